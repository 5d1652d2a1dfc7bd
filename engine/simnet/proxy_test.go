package simnet_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/engine/simnet"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/proxyproto"
)

// note is a handler that notes what it is told.
type note struct {
	peer       netip.AddrPort
	secure     bool
	overloaded bool
	got        strings.Builder
	calls      int // of Data
	hung, late bool
	closed     metrics.CloseReason
}

func (h *note) Data(c *engine.Conn, p []byte) {
	h.peer, h.secure = c.Peer(), c.Secure()
	h.calls++
	h.got.Write(p)
}
func (h *note) Hangup(c *engine.Conn)                        { h.hung = true; c.Close(metrics.ClosePeer) }
func (h *note) Timeout(c *engine.Conn)                       { h.late = true; c.Close(metrics.CloseHeadTimeout) }
func (h *note) Drained(*engine.Conn)                         {}
func (h *note) Closed(_ *engine.Conn, r metrics.CloseReason) { h.closed = r }
func (h *note) accept(c *engine.Conn, over bool) engine.Handler { // one connection per net
	h.overloaded = over
	c.SetDeadline(50)
	return h
}

// port is a simulated port, its balancer, and what came of the connection.
type port struct {
	*simnet.Net
	*note
	engine  *engine.Engine
	peer    *simnet.Peer
	failure error
	t       *testing.T
}

// newPort expects headers from the networks and has one connection, whose
// address is 127.0.0.1:1.
func newPort(t *testing.T, networks ...string) *port {
	t.Helper()
	p := &port{Net: simnet.New(1, 1<<20), note: new(note), t: t}
	for _, s := range networks {
		p.Port.ProxyFrom = append(p.Port.ProxyFrom, netip.MustParsePrefix(s))
	}
	p.Port.ProxyTimeout = 10 * time.Second
	p.Port.ProxyFailed = func(_ *engine.Conn, err error) { p.failure = err }
	e, err := engine.New(engine.Config{Accept: p.accept, Loops: 1, NewPoller: p.NewPoller,
		ManualClock: true, Tick: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AddListener(e); err != nil {
		t.Fatal(err)
	}
	p.engine = e
	e.Start()
	t.Cleanup(func() { p.Stop(e) })
	p.peer = p.Dial()
	p.settle()
	return p
}

func (p *port) settle() {
	p.t.Helper()
	if err := p.Settle(10000); err != nil {
		p.t.Fatal(err)
	}
}

func (p *port) send(text string) {
	p.t.Helper()
	if _, err := p.peer.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
	p.settle()
}

func (p *port) count(r metrics.CloseReason) uint64 {
	return p.engine.Counters()[0].Closed[metrics.RoleHead][r].Load()
}

// TestProxyHeaderCut: a header and the bytes behind it reach the next handler
// as those of the client, wherever they are cut.
func TestProxyHeaderCut(t *testing.T) {
	self := netip.MustParseAddrPort("127.0.0.1:1")
	for _, tt := range []struct {
		header string
		peer   netip.AddrPort
		secure bool
	}{
		{"PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n", clientOf(7), false},
		{"PROXY TCP6 2001:db8::7 ::1 4000 80\r\n", netip.MustParseAddrPort("[2001:db8::7]:4000"), false},
		{"PROXY UNKNOWN\r\n", self, false},
		{string(proxyHeader(7)), clientOf(7), true},
		{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", self, false},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00", self, false},
		{"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("/", 216), self, false},
	} {
		const rest = "GET / HTTP/1.1\r\n\r\n"
		all := tt.header + rest
		for cut := 1; cut <= len(all); cut++ {
			p := newPort(t, "127.0.0.0/8")
			p.send(all[:cut])
			if cut <= len(tt.header) && p.calls > 0 {
				t.Fatalf("%q cut at %d: the next handler has %q", tt.header, cut, p.got.String())
			}
			if cut < len(all) {
				p.send(all[cut:])
			}
			if p.got.String() != rest || p.note.peer != tt.peer || p.secure != tt.secure {
				t.Fatalf("%q cut at %d: %q of %v, TLS %v", tt.header, cut, p.got.String(),
					p.note.peer, p.secure)
			}
		}
		p := newPort(t, "127.0.0.0/8")
		for i := range len(all) {
			p.send(all[i : i+1])
		}
		if p.got.String() != rest || p.note.peer != tt.peer {
			t.Fatalf("%q in single bytes: %q of %v", tt.header, p.got.String(), p.note.peer)
		}
	}
}

// TestProxyHeaderFromOthers: bytes of a peer that may send no header are left
// alone, header or not.
func TestProxyHeaderFromOthers(t *testing.T) {
	for _, networks := range [][]string{nil, {"10.0.0.0/8", "::/0"}, {"127.0.0.2/32"}} {
		p := newPort(t, networks...)
		header := string(proxyHeader(7))
		p.send(header)
		if p.got.String() != header || p.note.peer != netip.MustParseAddrPort("127.0.0.1:1") || p.secure {
			t.Errorf("networks %v: %q of %v", networks, p.got.String(), p.note.peer)
		}
	}
}

// TestProxyHeaderInvalid: what is no header ends the connection, at once, with
// a reason of its own, and nobody else hears of it.
func TestProxyHeaderInvalid(t *testing.T) {
	long := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"
	for _, tt := range []struct {
		sends []string
		want  error
	}{
		{[]string{"GET / HTTP/1.1\r\n\r\n"}, proxyproto.ErrNone},
		{[]string{"G"}, proxyproto.ErrNone},
		{[]string{"\x16\x03\x01\x02\x00\x01"}, proxyproto.ErrNone},
		{[]string{"PROX", "Y!"}, proxyproto.ErrNone},
		{[]string{"PROXY TCP4 192.0.2.7 127.0.0.1 ", "4000 80 \r\n"}, proxyproto.ErrLine},
		{[]string{"PROXY TCP4 ", strings.Repeat("1", 20000)}, proxyproto.ErrLine},
		{[]string{long}, proxyproto.ErrTooLong},
		{[]string{long[:14], long[14:]}, proxyproto.ErrTooLong},
	} {
		p := newPort(t, "127.0.0.0/8")
		for _, s := range tt.sends {
			p.send(s)
		}
		if p.failure != tt.want || p.count(metrics.CloseProxyInvalid) != 1 || p.calls+int(p.closed) != 0 {
			t.Errorf("%.30q: %v, want %v; counted %d times, next handler has %q", tt.sends, p.failure,
				tt.want, p.count(metrics.CloseProxyInvalid), p.got.String())
		}
		if p.engine.Open() != 0 {
			t.Errorf("%.30q: it is still open", tt.sends)
		}
	}
}

// TestProxyHeaderEnds: who leaves or waits before the header is whole.
func TestProxyHeaderEnds(t *testing.T) {
	part := string(proxyHeader(7)[:20])
	for _, tt := range []struct {
		name, sends string
		leaves      bool
		want        metrics.CloseReason
		failure     error
	}{
		{"a check of the port", "", true, metrics.ClosePeerEOF, nil},
		{"a cut header", part, true, metrics.CloseProxyInvalid, engine.ErrProxyCut},
		{"silence", "", false, metrics.CloseProxyInvalid, engine.ErrProxyLate},
		{"a slow header", part, false, metrics.CloseProxyInvalid, engine.ErrProxyLate},
	} {
		p := newPort(t, "127.0.0.0/8")
		if tt.sends != "" {
			p.send(tt.sends)
		}
		if tt.leaves {
			p.peer.CloseWrite()
			p.settle()
		} else {
			p.engine.Advance(10)
			p.settle()
			if p.engine.Open() != 1 {
				t.Errorf("%s: closed before its time", tt.name)
			}
			p.engine.Advance(12)
			p.settle()
		}
		if p.count(tt.want) != 1 || p.failure != tt.failure || p.engine.Open() != 0 {
			t.Errorf("%s: %v, %d open", tt.name, p.failure, p.engine.Open())
		}
	}
}

// TestProxyHeaderDeadline: the next handler's time is its own.
func TestProxyHeaderDeadline(t *testing.T) {
	p := newPort(t, "127.0.0.0/8")
	p.engine.Advance(9)
	p.settle()
	p.send(string(proxyHeader(7)))
	p.engine.Advance(59)
	p.settle()
	if p.late || p.engine.Open() != 1 {
		t.Fatal("the deadline of the header outlived it")
	}
	p.engine.Advance(61)
	p.settle()
	if !p.late || p.closed != metrics.CloseHeadTimeout {
		t.Fatalf("late %v, closed %v", p.late, p.closed)
	}
}
