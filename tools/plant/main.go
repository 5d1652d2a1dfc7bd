package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// bug is one planted defect: in file, the only occurrence of the text was
// becomes the text is. The simulation of a package should find it.
type bug struct{ name, pkg, file, was, is string }

// The packages with simulations: relayed connections, and a whole gateway.
const (
	relays   = "./engine/simnet"
	gateways = "./gateway"
)

var bugs = []bug{
	{"a drained end does not resume the other one", relays, "engine/splice.go",
		"if !l.settle(c) && m.flags&readable != 0 {", "if !l.settle(c) && false {"},
	{"a cut header forgets how many bytes it held", relays, "wsframe/cut.go",
		"return h, n - before, nil", "return h, n, nil"},
	{"a partial write loses its last byte", relays, "engine/splice.go",
		"\t\ta.window = windowMin\n\t\tb.queue(p[n:])", "\t\tb.queue(p[n : len(p)-1])"},
	{"the end of a stream is not passed on", relays, "engine/splice.go",
		"\tb.shut()\n\tl.half(a)", "\tl.half(a)"},
	{"a full end does not stop the other one", relays, "engine/splice.go",
		"a.mate != nil && a.mate.left == nil {\n\t\tif budget", "a.mate != nil {\n\t\tif budget"},
	{"a Pong is written inside a frame", relays, "engine/splice.go",
		"c.left != nil || !m.rewriter.AtBoundary() ||", "c.left != nil ||"},
	{"a block is not released at the end", relays, "engine/loop.go",
		"\tc.releaseLeft()\n\tc.secure.release(l)", "\tc.secure.release(l)"},
	{"what waits in the kernel is forgotten at the splice", relays, "engine/splice.go",
		"\t\t\tl.pump(c)", "\t\t\t_ = c"},
	{"a turn that ends by its budget is not continued", relays, "engine/loop.go",
		"\t_ = l.poller.Rearm(int(c.fd))\n}\n\n// write", "}\n\n// write"},

	{"what is behind a request is lost and its connection kept", gateways, "httprelay/exchange.go",
		"\t\tx.response.close = true // what", "\t\t// what"},
	{"the end of a request's body is not marked", gateways, "httprelay/upload.go",
		"room[:0], u.done, op, size)", "room[:0], false, op, size)"},
	{"a part of a response on a control channel is lost", gateways, "gateway/response.go",
		"\t_, _ = a.parts.Write(p)", "\t_ = p"},
	{"the address of a request is not taken back", gateways, "gateway/request.go",
		"\t\th.g.table.Drop(h.pending)", "\t\t_ = h"},
	{"the memory of a request's body is not given back", gateways, "httprelay/exchange.go",
		"\tx.cfg.Bodies.Give(x.room)", "\t_ = x"},
	{"the rest of a request's body is read as a request", gateways, "httprelay/upload.go",
		"\tu.done = u.remain == 0", "\tu.done = true"},
}

// verdict is the line of the test's output that says what was found.
var verdict = regexp.MustCompile(`seed \d+: .*|panic: .*`)

func main() {
	if os.Getenv("SIM_SEEDS") == "" {
		_ = os.Setenv("SIM_SEEDS", "3000")
	}
	missed := 0
	for _, b := range bugs {
		found, err := try(b)
		switch {
		case err != nil:
			fmt.Fprintf(os.Stderr, "plant: %s: %v\n", b.name, err)
			os.Exit(2)
		case found == "":
			missed++
			fmt.Printf("MISSED  %s\n", b.name)
		default:
			fmt.Printf("found   %s\n        %s\n", b.name, found)
		}
	}
	fmt.Printf("%d of %d planted bugs found\n", len(bugs)-missed, len(bugs))
	if missed > 0 {
		os.Exit(1)
	}
}

// try plants b, runs the simulation, and returns what it reported, or "" if it
// passed.
func try(b bug) (found string, err error) {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), b.was); n != 1 {
		return "", fmt.Errorf("%s holds the text to change %d times, want once", b.file, n)
	}
	dir, err := os.MkdirTemp("", "plant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	planted := filepath.Join(dir, filepath.Base(b.file))
	changed := strings.Replace(string(text), b.was, b.is, 1)
	if err := os.WriteFile(planted, []byte(changed), 0o600); err != nil {
		return "", err
	}
	file, err := filepath.Abs(b.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: planted}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "test", "-count=1", "-timeout=180s", "-overlay", list,
		"-run", "^TestSim", b.pkg).CombinedOutput()
	if err == nil {
		return "", nil
	}
	if line := verdict.Find(out); line != nil {
		return string(line), nil
	}
	return "", fmt.Errorf("the test did not run: %s", out)
}
