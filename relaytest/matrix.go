package relaytest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/relayhouse/relayhouse/config"
)

// History is what a run looked like from outside: lines in an order that must
// not depend on the shape of the node.
type History struct {
	mu    sync.Mutex
	lines []string // Guarded by mu.
}

// Add writes a line.
func (h *History) Add(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

// String returns all lines.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// shapes are the nodes of Matrix: one loop, so that everything meets on it;
// two and four, so that connections migrate; the smallest buffer and turn, so
// that work is cut.
var shapes = []struct {
	name          string
	loops         int
	buffer, turns int
}{
	{"1 loop", 1, 256 << 10, 256 << 10},
	{"2 loops", 2, 256 << 10, 256 << 10},
	{"4 loops", 4, 256 << 10, 256 << 10},
	{"2 loops, small buffers", 2, 64 << 10, 64 << 10},
}

// Matrix runs body on a node of each shape, as subtests, and fails if their
// histories differ.
func Matrix(
	t *testing.T, body func(t *testing.T, n *Node, h *History), edit ...func(*config.Config),
) {
	t.Helper()
	first := ""
	for i, s := range shapes {
		h := new(History)
		ok := t.Run(s.name, func(t *testing.T) {
			shape := func(c *config.Config) {
				c.Engine.Loops = s.loops
				c.Engine.ReadBuffer, c.Engine.TurnBytes = s.buffer, s.turns
			}
			body(t, Start(t, append(edit, shape)...), h)
		})
		switch {
		case !ok:
			return
		case i == 0:
			first = h.String()
		case h.String() != first:
			t.Errorf("%s: history\n%s\nwant that of %s\n%s", s.name, h, shapes[0].name, first)
		}
	}
}
