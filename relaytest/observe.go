package relaytest

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/admin"
)

// Eventually waits until ok, Patience at most.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(Patience); !ok(); <-poll.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}

// Receive waits for a value, Patience at most.
func Receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatalf("waited %v in vain: %s", Patience, what)
	}
	panic("not reached")
}

// Get asks the admin port for a path.
func (n *Client) Get(t testing.TB, path string) (status int, body string) {
	t.Helper()
	res, err := n.admin.Get("http://" + n.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Status is the answer to /status.
func (n *Client) Status(t testing.TB) admin.Status {
	t.Helper()
	code, body := n.Get(t, "/status?limit=1000")
	var s admin.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK {
		t.Fatalf("/status: %d, %v", code, err)
	}
	return s
}

// Metric is the sum of some series of /metrics, written as there:
// relay_connections{role="head"}. A series that does not exist is 0.
func (n *Client) Metric(t testing.TB, series ...string) (sum float64) {
	t.Helper()
	_, body := n.Get(t, "/metrics")
	for line := range strings.SplitSeq(body, "\n") {
		name, value, _ := strings.Cut(line, " ")
		if !slices.Contains(series, name) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// WantMetric waits until a series has a value.
func (n *Client) WantMetric(t testing.TB, series string, want float64) {
	t.Helper()
	got := 0.0
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(Patience); time.Now().Before(end); <-poll.C {
		if got = n.Metric(t, series); got == want {
			return
		}
	}
	t.Fatalf("%s is %v, want %v", series, got, want)
}

// WantClosed waits for an entry of the closed history.
func (n *Node) WantClosed(t testing.TB, role, reason string) admin.Closed {
	t.Helper()
	var found admin.Closed
	Eventually(t, "closed history has "+role+" "+reason, func() bool {
		for _, c := range n.Closed(1000).Items {
			if c.Role == role && c.Reason == reason {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// Lines are the lines of the node's log, each a JSON object.
func (n *Node) Lines() []string { return n.log.lines() }

// logBuffer collects a log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // Guarded by mu.
}

func (b *logBuffer) logger(level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // checked by Validate
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: l}))
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.text.String()), "\n")
}

// Heads is the memory of request heads, in bytes.
func (n *Node) Heads(t testing.TB) int64 {
	t.Helper()
	for _, pool := range n.Pools() {
		if pool.Name == "heads" {
			return pool.Used
		}
	}
	t.Fatal("no pool of heads")
	return 0
}

// Total is the number of connections in all roles.
func (n *Node) Total() int64 {
	total := int64(0)
	for _, count := range n.Connections() {
		total += count
	}
	return total
}
