package engine_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/metrics"
)

// finisher ends a connection when it has sent something.
func finisher(*engine.Conn, bool) engine.Handler { return silent{} }

type silent struct{}

func (silent) Data(c *engine.Conn, _ []byte)            { c.Finish(metrics.ClosePeer) }
func (silent) Hangup(*engine.Conn)                      {}
func (silent) Timeout(*engine.Conn)                     {}
func (silent) Drained(*engine.Conn)                     {}
func (silent) Closed(*engine.Conn, metrics.CloseReason) {}

func newFinisher(t *testing.T, loops int) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{Accept: finisher, Loops: loops})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

// TestListenOn: sockets pass from engine to engine, whatever the numbers of
// loops; each loop accepts; suspended sockets keep what waits at them.
func TestListenOn(t *testing.T) {
	cfg := engine.ListenConfig{Name: "one", Backlog: 64}
	last := newFinisher(t, 2)
	addr, err := last.Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	last.Start()
	for _, loops := range []int{4, 1, 3} {
		fds, err := last.Sockets("one")
		if err != nil || len(fds) == 0 {
			t.Fatalf("%d sockets, %v", len(fds), err)
		}
		if other, _ := last.Sockets("two"); len(other) != 0 {
			t.Errorf("%d sockets of another name", len(other))
		}
		next := newFinisher(t, loops)
		again, err := next.ListenOn(fds, cfg)
		if err != nil || again.String() != addr.String() {
			t.Fatalf("%v, %v", again, err)
		}
		last.SuspendListeners()
		var early []net.Conn
		for range 20 {
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			early = append(early, c)
		}
		next.Start()
		if n := next.Accepting(); n != loops {
			t.Errorf("%d of %d loops accept", n, loops)
		}
		last.ReleaseListeners()
		for _, c := range early {
			_, _ = c.Write([]byte("x"))
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || err.Error() != "EOF" {
				t.Errorf("a connection that waited: %d, %v", n, err)
			}
			_ = c.Close()
		}
		last.Stop()
		last = next
	}
}

func TestListenOnErrors(t *testing.T) {
	e := newFinisher(t, 1)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var pair [2]int
	if err := unix.Pipe(pair[:]); err != nil {
		t.Fatal(err)
	}
	for _, fds := range [][]int{nil, {fd}, {pair[0], pair[1]}} {
		if addr, err := e.ListenOn(fds, engine.ListenConfig{}); err == nil {
			t.Errorf("%v: listens on %v", fds, addr)
		}
	}
}
