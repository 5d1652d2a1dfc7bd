package node_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/takeover"
)

// restartable are settings of nodes that take over from each other.
func restartable(t *testing.T) func(*config.Config) {
	path := filepath.Join(t.TempDir(), "restart")
	return func(c *config.Config) {
		c.Restart.Socket = path
		c.Restart.Hold = time.Minute
		c.Drain.Spread, c.Drain.Timeout = 10*time.Minute, time.Hour
	}
}

// follow starts a node that takes over from n, which drains then.
func follow(t *testing.T, n *relaytest.Node, edit ...func(*config.Config)) (
	next *relaytest.Node, drained <-chan struct{},
) {
	t.Helper()
	next = relaytest.Start(t, edit...)
	relaytest.Receive(t, n.Replaced(), "the takeover")
	if next.HTTP != n.HTTP {
		t.Fatalf("the next process listens on %s, want %s", next.HTTP, n.HTTP)
	}
	ctx, hurry := context.WithCancel(context.Background())
	done := drain(ctx, n)
	t.Cleanup(func() {
		hurry()
		<-done
	})
	return next, done
}

// met has the listener accept the sender, and shows that they are joined.
func met(t *testing.T, sender *relaytest.Pending, l *relaytest.Listener) {
	t.Helper()
	r := l.Accept(t)
	relaytest.Exchange(t, sender.Conn(t), r)
}

func want404(t *testing.T, c *relaytest.Raw) {
	t.Helper()
	if r := c.Response(t); r.Status != 404 {
		t.Errorf("response %s", r)
	}
}

// TestTakeover: a sender brings the listener of its entity over and is joined
// with it there; what was relayed before goes on; the old process ends when that
// has ended.
func TestTakeover(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	idle := a.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	s, r := l.Pair(t, anonymous)
	b, drained := follow(t, a, set)

	waiting := b.Waiting(t, anonymous)
	l.WantClose(t, 1001)
	again := b.Listen(t, anonymous)
	met(t, waiting, again)
	relaytest.Exchange(t, s, r)
	if returned(drained) {
		t.Error("the old process ended with a relay")
	}
	b.WantMetric(t, "relay_restart_held_total", 1)
	select {
	case <-idle.Done():
		t.Error("a listener was sent away before its time")
	default:
	}
	closed := s.Close(1000, "")
	r.WantClose(t, 1000)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestTakeoverOfPending: what was announced before is accepted behind it, through
// the new process, with the sender at the old one; for WebSockets and for HTTP.
func TestTakeoverOfPending(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	waiting := a.Waiting(t, anonymous)
	accept := l.Next(t).Address // before the next: messages of two loops may come in any order
	rejected := a.Waiting(t, anonymous)
	reject := l.Next(t).Address + "&sb-hc-statusCode=418&sb-hc-statusDescription=no"
	request := a.Ask(t, "GET", "/"+relaytest.Anonymous, "", "Accept: text/event-stream")
	announced := l.Announced(t)
	b, _ := follow(t, a, set)

	r := a.Open(t, accept, relaytest.Dial{}).Conn(t)
	relaytest.Exchange(t, waiting.Conn(t), r)
	if n := b.Total(); n != 1 { // the request of the metrics is not among them
		b.WantMetric(t, `relay_connections{role="relayed_listener"}`, 0)
	}
	a.Open(t, reject, relaytest.Dial{}).Want(t, 410)
	rejected.Want(t, 418)
	announced.OnRendezvous(t, relaytest.Reply{Parts: []string{"one", "two"}})
	request.WantResponse(t, 200, "onetwo")
	b.WantMetric(t, `relay_restart_connections_total{direction="out"}`, 3)
}

// TestTakeoverOfConnections: connections without a request, with half of one,
// and between two requests move to the new process.
func TestTakeoverOfConnections(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	silent, half, kept, piped := a.Raw(t), a.Raw(t), a.Raw(t), a.Raw(t)
	request := a.HTTPRequest("GET", "/"+relaytest.Anonymous, "")
	half.Send(t, request[:20])
	kept.Send(t, request)
	l.NextRequest(t).Respond(t, relaytest.Reply{Parts: []string{"first"}})
	kept.WantResponse(t, 200, "first")
	piped.Send(t, request+request[:10])
	inProgress := l.NextRequest(t)
	relaytest.Eventually(t, "five connections", func() bool { return a.Total() == 5 })
	b, _ := follow(t, a, set)

	relaytest.Eventually(t, "the silent and the idle one have moved", func() bool {
		return b.Connections()["head"] == 2
	})
	inProgress.Respond(t, relaytest.Reply{Parts: []string{"old"}})
	piped.WantResponse(t, 200, "old")
	for i, c := range []*relaytest.Raw{silent, half, kept, piped} {
		c.Send(t, request[[]int{0, 20, 0, 10}[i]:])
	}
	l.WantClose(t, 1001)
	again := b.Listen(t, anonymous)
	for range 4 {
		again.NextRequest(t).Respond(t, relaytest.Reply{Parts: []string{"new"}})
	}
	for _, c := range []*relaytest.Raw{silent, half, kept, piped} {
		c.WantResponse(t, 200, "new")
	}
}

// TestTakeoverHolds: who is held and for how long.
func TestTakeoverHolds(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	b, _ := follow(t, a, set, func(c *config.Config) { c.Restart.Hold = 300 * time.Millisecond })

	token := relaytest.Token(relaytest.Sibling)
	b.Connect(t, relaytest.Dial{Path: relaytest.Sibling, Token: token}).Want(t, 404)
	begin := time.Now()
	waiting := b.Connect(t, anonymous)
	request := b.Ask(t, "POST", "/"+relaytest.Anonymous, "body")
	l.WantClose(t, 1001)
	waiting.Want(t, 404)
	if held := time.Since(begin); held < 300*time.Millisecond {
		t.Errorf("held for %v", held)
	}
	want404(t, request)
	b.Connect(t, anonymous).Want(t, 404)
	if b.Pending(1).Total != 0 {
		t.Error("somebody is pending")
	}
}

// TestTakeoverFinds: an entity whose listener has left by itself is answered at
// once.
func TestTakeoverFinds(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	b, _ := follow(t, a, set)
	l.Close(t)
	relaytest.Eventually(t, "no listener", func() bool { return a.Listeners(1).Total == 0 })
	b.Connect(t, anonymous).Want(t, 404)
	want404(t, b.Ask(t, "GET", "/"+relaytest.Anonymous, ""))
}

// TestTakeoverInARow: three processes; what the first one has is found through
// the second, and senders that the second one holds move to the third.
func TestTakeoverInARow(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	l := a.Listen(t, anonymous)
	other := a.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	pending := a.Waiting(t, anonymous)
	b, _ := follow(t, a, set)
	held := b.Connect(t, anonymous)
	heldRequest := b.Ask(t, "POST", "/"+relaytest.Anonymous, "body")
	l.WantClose(t, 1001)
	relaytest.Eventually(t, "both are held", func() bool { return b.Pending(9).Total == 2 })
	c, _ := follow(t, b, set)

	token := relaytest.Token(relaytest.Authorized)
	far := c.Connect(t, relaytest.Dial{Path: relaytest.Authorized, Token: token})
	other.WantClose(t, 1001)
	otherAgain := c.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	met(t, far, otherAgain)

	met(t, pending, l)
	again := c.Listen(t, anonymous)
	r := again.NextRequest(t)
	if r.Body != "body" {
		t.Errorf("body %q", r.Body)
	}
	r.Respond(t, relaytest.Reply{Parts: []string{"answer"}})
	heldRequest.WantResponse(t, 200, "answer")
	met(t, held, again)
}

// TestTakeoverChangesLoops: more loops than sockets and fewer.
func TestTakeoverChangesLoops(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	last := relaytest.Start(t, set)
	for _, loops := range []int{5, 1, 3} {
		next, _ := follow(t, last, set, func(c *config.Config) { c.Engine.Loops = loops })
		for range 40 {
			c := next.Raw(t)
			c.Send(t, "GET /$hc/none HTTP/1.1\r\nHost: a\r\n\r\n")
			c.Want(t, 400)
		}
		last = next
	}
}

// TestTakeoverOfAddresses: an address that has changed is opened, the old one is
// closed.
func TestTakeoverOfAddresses(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	a := relaytest.Start(t, set)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	b := relaytest.Start(t, set, func(c *config.Config) { c.Listen.HTTP = address })
	relaytest.Receive(t, a.Replaced(), "the takeover")
	if b.HTTP != address || b.Admin != a.Admin {
		t.Errorf("addresses %+v", b.Addresses())
	}
	relaytest.Eventually(t, "the old address is closed", func() bool {
		c, err := net.DialTimeout("tcp", a.HTTP, relaytest.Patience)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	b.Pair(t, relaytest.Anonymous)
}

// talk is a process that wants to take over, played by the test.
func talk(t *testing.T, path string) *takeover.Conn {
	t.Helper()
	c, err := takeover.Dial(path)
	if err != nil || c == nil {
		t.Fatalf("no process: %v", err)
	}
	c.SetDeadline(time.Now().Add(relaytest.Patience))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c *takeover.Conn, m takeover.Message) {
	t.Helper()
	if err := c.Send(m); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c *takeover.Conn, kind takeover.Kind) {
	t.Helper()
	m, err := c.Expect(kind)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range m.Descriptors {
		_ = os.NewFile(uintptr(fd), "").Close()
	}
}

var hello = takeover.Message{Kind: takeover.KindHello, Version: takeover.Version, PID: 1}

// TestTakeoverThatEndsEarly: however far a new process gets, the old one goes on
// if it does not accept in the end.
func TestTakeoverThatEndsEarly(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	var path string
	n := relaytest.Start(t, set, func(c *config.Config) { path = c.Restart.Socket })
	l := n.Listen(t, anonymous)
	steps := []func(c *takeover.Conn){
		func(c *takeover.Conn) { send(t, c, hello) },
		func(c *takeover.Conn) { expect(t, c, takeover.KindSockets) },
		func(c *takeover.Conn) { send(t, c, takeover.Message{Kind: takeover.KindReady}) },
		func(c *takeover.Conn) { expect(t, c, takeover.KindAway) },
		func(c *takeover.Conn) { expect(t, c, takeover.KindGo) },
		func(c *takeover.Conn) { send(t, c, takeover.Message{Kind: takeover.KindSettled}) },
	}
	for i := range len(steps) + 1 {
		c := talk(t, path)
		for _, step := range steps[:i] {
			step(c)
		}
		var meanwhile *relaytest.Pending
		if i == len(steps)-1 { // nobody accepts now
			meanwhile = n.Connect(t, anonymous)
		}
		_ = c.Close()
		if meanwhile != nil {
			met(t, meanwhile, l)
		}
		s, r := l.Pair(t, anonymous)
		relaytest.Exchange(t, s, r)
		s.Abort()
		// Each one but the first has said hello; until it is given up, the next
		// would be refused.
		relaytest.Eventually(t, "the process goes on", func() bool {
			return countLines(n, "the new process did not take over; this one goes on") == i
		})
	}
	if returned(n.Replaced()) {
		t.Error("the node says that it is replaced")
	}
	b, _ := follow(t, n, set)
	again := b.Listen(t, anonymous)
	again.Pair(t, anonymous)
}

// countLines counts the lines of the log that have text.
func countLines(n *relaytest.Node, text string) int {
	count := 0
	for _, line := range n.Lines() {
		if strings.Contains(line, text) {
			count++
		}
	}
	return count
}

// TestTakeoverRefused: nonsense, another version, a second process, one that
// says nothing.
func TestTakeoverRefused(t *testing.T) {
	t.Parallel()
	set := restartable(t)
	var cfg config.Config
	n := relaytest.Start(t, set, func(c *config.Config) {
		c.Restart.ReadyTimeout = time.Second
		cfg = *c
	})
	path := cfg.Restart.Socket
	for _, packet := range []string{"{", "{}\n", `{"kind":"ready"}` + "\n", `{"kind":"hello"}`,
		`{"kind":"hello","version":99}` + "\n", strings.Repeat("x", 100_000), "\x00\xff"} {
		raw, err := net.Dial("unixpacket", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(relaytest.Patience))
		if _, err := raw.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1000)
		k, _ := raw.Read(buf)
		refused := strings.Contains(string(buf[:k]), "the new one 99")
		if refused != strings.Contains(packet, "99") || k > 0 && !refused {
			t.Errorf("%.40q was answered %q", packet, buf[:k])
		}
		_ = raw.Close()
	}
	first := talk(t, path)
	send(t, first, hello)
	expect(t, first, takeover.KindSockets)
	_, err := node.Start(cfg, discard)
	if err == nil || !strings.Contains(err.Error(), "another process is taking over") {
		t.Errorf("second process: %v", err)
	}
	// Whoever says nothing is given up, and does not keep others out.
	var silent []*takeover.Conn
	for range 10 {
		silent = append(silent, talk(t, path))
	}
	for _, c := range append(silent, first) {
		if _, err := c.Receive(); err == nil {
			t.Error("a silent process got a message")
		}
	}
	follow(t, n, set)
}

// TestRestartSocket: a file that is in the way, and one that was left behind.
func TestRestartSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "restart")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := relaytest.Settings()
	cfg.Restart.Socket = path
	if _, err := node.Start(cfg, discard); err == nil || !strings.Contains(err.Error(), "restart.socket") {
		t.Errorf("a file in the way: %v", err)
	}
	_ = os.Remove(path)
	left, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	n, err := node.Start(cfg, discard)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	n.Stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

var discard = slog.New(slog.DiscardHandler)
