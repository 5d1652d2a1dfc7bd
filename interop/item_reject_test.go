package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 17-23 and 64 of the conformance list: accept, reject, subprotocols,
// rendezvous addresses.

func TestItem17AcceptWithResponseHeader(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	pending := connecting(framerPeer, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
	// hyco-ws sends a header whose name is a digit (docs/protocol.md, section 3.5).
	c, response, err := framer.Dial(l.next(t).Address, "X-Set-By-Handler: value",
		"0: Sec-WebSocket-Extensions: permessage-deflate")
	if err != nil || c == nil {
		t.Fatalf("accept: %v, answer %+v", err, response)
	}
	defer c.Abort()
	o := <-pending
	if o.err != nil {
		t.Fatalf("connect: %v, answer %+v", o.err, o.answer)
	}
	defer o.conn.Abort()
	for _, name := range []string{"X-Set-By-Handler", "0", "Sec-WebSocket-Extensions"} {
		if value := o.answer.header.Get(name); value != "" {
			t.Errorf("the sender's 101 has %s: %s", name, value)
		}
	}
	transfer(t, o.conn, &framerConn{c: c}, framer.Text, []byte("harmless"))
}

// reject dials the rendezvous address with a rejection and wants 410 for it.
func (l *control) reject(t *testing.T, a accept, rejection string) {
	t.Helper()
	c, answer, err := l.peer.dial(a.Address+rejection, nil)
	if err == nil {
		c.Abort()
		t.Fatal("the rejection was answered with 101")
	}
	if answer == nil || answer.status != 410 {
		t.Fatalf("the rejection was answered with %+v (%v), want 410", answer, err)
	}
}

// dotnetFailure is the sentence that .NET sends when its handler throws.
const dotnetFailure = "The Listener's custom AcceptHandler threw an exception. " +
	"See Listener logs for details. TrackingId: 3a3b7f22-0000-4000-8000-0123456789ab"

func testRejections(t *testing.T, rejections []rejection) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		for _, r := range rejections {
			pending := connecting(sender, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
			l.reject(t, l.next(t), r.query)
			a := refused(t, pending)
			if a.status != r.status || a.reason != r.reason {
				t.Errorf("%s: status %d %q, want %d %q", r.query, a.status, a.reason,
					r.status, r.reason)
			}
		}
	})
}

// rejection is what a listener appends to the address and what the sender gets.
type rejection struct {
	query  string
	status int
	reason string
}

func TestItem18RejectDefault(t *testing.T) {
	testRejections(t, []rejection{
		{"&sb-hc-statusCode=400&sb-hc-statusDescription=Rejected+by+user+code",
			400, "Rejected by user code"},
		{"&sb-hc-statusCode=400&sb-hc-statusDescription=Rejected%20by%20user%20code",
			400, "Rejected by user code"},
	})
}

func TestItem19RejectWithCodeOnly(t *testing.T) {
	testRejections(t, []rejection{
		{"&sb-hc-statusCode=401&sb-hc-statusDescription=Unauthorized", 401, "Unauthorized"},
		{"&sb-hc-statusCode=401", 401, "Unauthorized"},
		{"&sb-hc-statusCode=401&sb-hc-statusDescription=", 401, "Unauthorized"},
	})
}

func TestItem20RejectWithCodeAndText(t *testing.T) {
	testRejections(t, []rejection{
		{"&sb-hc-statusCode=403&sb-hc-statusDescription=" + framer.Escape("no way: a=b&c+d 100%"),
			403, "no way: a=b&c+d 100%"},
		{"&sb-hc-statusCode=418&sb-hc-statusDescription=I%27m+a+teapot", 418, "I'm a teapot"},
		{"&SB-HC-STATUSCODE=503&sb-hc-statusdescription=Later", 503, "Later"},
		// The spelling of hyco-websocket (docs/protocol.md, section 3.4).
		{"&statusCode=403&statusDescription=Not%20you%2C%20sorry", 403, "Not you, sorry"},
	})
}

func TestItem21HandlerFailure(t *testing.T) {
	testRejections(t, []rejection{
		{"&sb-hc-statusCode=502&sb-hc-statusDescription=" + framer.Escape(dotnetFailure),
			502, dotnetFailure},
	})
}

// TestRejectForm checks what docs/protocol.md, section 3.4, says beyond the
// items: the answer has no body and ends the connection; a 1xx becomes 502; a
// code that is none is 400 to the listener; a sender's own statusCode is no
// rejection.
func TestRejectForm(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	connect := func(query string) *framer.Conn {
		c, err := framer.Connect(g.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Abort)
		target := "/$hc/" + emulator.Anonymous + "?" + query
		if err := c.SendBytes([]byte(framer.Request(target, g.HTTP))); err != nil {
			t.Fatal(err)
		}
		return c
	}
	answer := func(c *framer.Conn) *framer.Response {
		r, err := c.ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}

	c := connect("sb-hc-action=connect")
	l.reject(t, l.next(t), "&sb-hc-statusCode=403&sb-hc-statusDescription=No")
	if r := answer(c); r.Status != 403 || strings.Join(r.Values("Content-Length"), ",") != "0" {
		t.Errorf("answer %+v, want 403 and Content-Length: 0", r)
	}
	if rest, err := c.ReceiveBytes(1); !framer.IsEnd(err) {
		t.Errorf("after the answer: %q %v, want the end", rest, err)
	}

	c = connect("sb-hc-action=connect")
	l.reject(t, l.next(t), "&sb-hc-statusCode=100&sb-hc-statusDescription=Continue")
	if r := answer(c); r.Status != 502 {
		t.Errorf("status %d for a rejection with 100, want 502", r.Status)
	}

	for _, code := range []string{"0", "99", "1000", "abc", "-5", ""} {
		connect("sb-hc-action=connect")
		_, refusal, _ := framerPeer.dial(l.next(t).Address+"&sb-hc-statusCode="+code, nil)
		wantRefusal(t, refusal, 400, "sb-hc-statusCode", emulator.Anonymous)
	}

	c = connect("statusCode=403&statusDescription=x&sb-hc-action=connect")
	accepted := l.accept(t, l.next(t))
	defer accepted.Abort()
	if r := answer(c); r.Status != 101 {
		t.Errorf("status %d for a sender whose query has statusCode, want 101", r.Status)
	}
}

func TestItem22RejectsAndAcceptsInARow(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		for i, accepting := range []bool{true, false, true, false, false, true} {
			pending := connecting(sender, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
			a := l.next(t)
			if accepting {
				c := l.accept(t, a)
				transfer(t, connected(t, pending), c, framer.Text, []byte("yes"))
				continue
			}
			l.reject(t, a, "&sb-hc-statusCode=403&sb-hc-statusDescription=no")
			if refusal := refused(t, pending); refusal.status != 403 {
				t.Errorf("attempt %d: status %d, want 403", i, refusal.status)
			}
		}
	})
}

func TestItem23Subprotocol(t *testing.T) {
	tests := []struct {
		name     string
		offered  []string
		taken    []string // by the listener
		listener string   // what its 101 names
		sender   string   // what the sender's 101 names
	}{
		{"first", []string{"echo-protocol", "chat-protocol"}, []string{"echo-protocol"},
			"echo-protocol", "echo-protocol"},
		{"second", []string{"echo-protocol", "chat-protocol"}, []string{"chat-protocol"},
			"chat-protocol", "chat-protocol"},
		{"first of a list", []string{"a", "b"}, []string{"b", "a"}, "b", "b"},
		{"none offered", nil, nil, "", ""},
		{"none taken", []string{"a"}, nil, "", ""},
	}
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				pending := connecting(sender,
					g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil, tt.offered...)
				a := l.next(t)
				offer := strings.Join(tt.offered, ", ")
				got := strings.ReplaceAll(a.header("Sec-WebSocket-Protocol"), ",", ", ")
				if strings.ReplaceAll(got, ",  ", ", ") != offer {
					t.Errorf("the listener sees the offer %q, want %q", got, offer)
				}
				c := l.accept(t, a, tt.taken...)
				if got := c.Subprotocol(); got != tt.listener {
					t.Errorf("the listener's 101 names %q, want %q", got, tt.listener)
				}
				if got := connected(t, pending).Subprotocol(); got != tt.sender {
					t.Errorf("the sender's 101 names %q, want %q", got, tt.sender)
				}
			})
		}
	})
}

// TestSubprotocolNotOffered: the listener's choice goes into the sender's 101
// only if the sender offered it (docs/protocol.md, section 3.5).
func TestSubprotocolNotOffered(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	pending := connecting(framerPeer, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil, "a")
	l.accept(t, l.next(t), "surprise")
	if got := connected(t, pending).Subprotocol(); got != "" {
		t.Errorf("the sender's 101 names %q, which it did not offer", got)
	}
}

func TestItem64SecondUseOfAnAddress(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		l := listen(t, g, p, emulator.Anonymous)
		// Used for an accept.
		pending := connecting(p, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
		a := l.next(t)
		accepted := l.accept(t, a)
		sender := connected(t, pending)
		_, refusal, _ := p.dial(a.Address, nil)
		wantRefusal(t, refusal, 403, "", emulator.Anonymous)
		transfer(t, sender, accepted, framer.Text, []byte("unharmed"))
		// Used for a rejection.
		pending = connecting(p, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
		a = l.next(t)
		l.reject(t, a, "&sb-hc-statusCode=404&sb-hc-statusDescription=no")
		refused(t, pending)
		_, refusal, _ = p.dial(a.Address, nil)
		wantRefusal(t, refusal, 403, "", emulator.Anonymous)
	})
}

// TestItem64AcceptWindow takes as long as the window: 30 s.
func TestItem64AcceptWindow(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	begun := time.Now()
	pending := connecting(framerPeer, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
	a := l.next(t)
	refusal := refused(t, pending)
	took := time.Since(begun)
	if took < 29*time.Second || took > 34*time.Second {
		t.Errorf("the sender was answered after %v, want 30s", took)
	}
	wantRefusal(t, refusal, 504, "", emulator.Anonymous)
	_, refusal, _ = framerPeer.dial(a.Address, nil)
	wantRefusal(t, refusal, 403, "", emulator.Anonymous)
}
