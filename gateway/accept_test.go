package gateway_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

func TestItem09SenderGoesBeforeAccept(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	a := l.Next(t)
	p.Cancel()
	n.WantClosed(t, "sender", "sender_lost")
	if left := n.Metric(t, "relay_pending_rendezvous"); left != 0 {
		t.Errorf("%v pending rendezvous", left)
	}
	wantPhrase(t, n.Open(t, a.Address, relaytest.Dial{}).Want(t, 403), "rendezvous address")
	wantPhrase(t, n.Open(t, a.Address+"&sb-hc-statusCode=400", relaytest.Dial{}).Want(t, 403),
		"rendezvous address")
}

func TestItem17AcceptWithOddHeaders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for _, fields := range [][]string{
		nil,
		{"X-From-Handler: value"},
		{"0: Sec-WebSocket-Extensions: permessage-deflate"}, // hyco-ws
		{"Sec-WebSocket-Extensions: permessage-deflate"},
		{"Sec-WebSocket-Protocol:"},
		{"ServiceBusAuthorization: not asked for"},
	} {
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
		r := n.Raw(t)
		address := l.Next(t)
		r.Send(t, n.UpgradeRequest(relaytest.TargetOf(address.Address), fields...))
		want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
			"Connection: Upgrade\r\nSec-WebSocket-Accept: " + relaytest.KeyAnswer +
			"\r\nTrackingId: " + address.ID + "\r\n\r\n"
		if got := r.Head(t); got != want {
			t.Errorf("%q: answer to the listener\n%s", fields, got)
		}
		if got := s.Head(t); got != want {
			t.Errorf("%q: answer to the sender\n%s", fields, got)
		}
	}
}

func TestItem22RejectsAndAcceptsInARow(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for i := range 20 {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		if i%3 != 0 {
			l.Reject(t, 400+i, "")
			p.Want(t, 400+i)
			continue
		}
		r := l.Accept(t)
		relaytest.Exchange(t, p.Conn(t), r)
	}
	l.Ping(t)
}

// TestItem23Subprotocols: the listener's first choice, for the sender only if
// it offered it.
func TestItem23Subprotocols(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for _, tt := range []struct{ offer, choice, listener, sender string }{
		{"echo-protocol, chat-protocol", "echo-protocol", "echo-protocol", "echo-protocol"},
		{"echo-protocol,chat-protocol", "chat-protocol", "chat-protocol", "chat-protocol"},
		{"echo-protocol", "", "", ""},
		{"", "", "", ""},
		{"", "own", "own", ""},
		{"a", "b", "b", ""},
		{"A", "a", "a", "a"},
		{"a, b", "b, a", "b", "b"},
		{"a", ", ,a", "a", "a"},
		{"a", "not a token, a", "a", "a"},
	} {
		offer := "Sec-WebSocket-Protocol: " + tt.offer
		if tt.offer == "" {
			offer = "X-No: offer"
		}
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous, offer))
		a := l.Next(t)
		if got := a.ConnectHeaders["Sec-WebSocket-Protocol"]; got != tt.offer {
			t.Errorf("offer %q reads %q", tt.offer, got)
		}
		choice := "Sec-WebSocket-Protocol: " + tt.choice
		if tt.choice == "" {
			choice = "X-No: choice"
		}
		_, answer := n.RawOpen(t, a.Address, choice)
		for who, got := range map[string][]string{
			tt.listener: answer.Header["Sec-Websocket-Protocol"],
			tt.sender:   s.Answer(t).Header["Sec-Websocket-Protocol"],
		} {
			if strings.Join(got, "|") != who {
				t.Errorf("%q / %q: answer names %q, want %q", tt.offer, tt.choice, got, who)
			}
		}
	}
}

// TestItem64AcceptWindow: nobody accepts; the address dies with the wait.
func TestItem64AcceptWindow(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(time.Second))
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	begin := time.Now()
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	late := l.Next(t)
	wantPhrase(t, p.Want(t, 504), "did not accept the connection within the allotted time")
	if waited := time.Since(begin); waited < time.Second {
		t.Errorf("answered after %v", waited)
	}
	n.Open(t, late.Address, relaytest.Dial{}).Want(t, 403)
	n.WantMetric(t, "relay_accept_timeouts_total", 1)
	n.WantMetric(t, "relay_pending_rendezvous", 0)
	n.WantMetric(t, `relay_sender_disconnects_total{reason="accept_timeout"}`, 1)
	// The listener is still good for the next one.
	s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
	relaytest.Exchange(t, s, r)
}

// TestItem64LateWithinATick: the address dies on time, also where the clock of
// the loops is too coarse to have told the sender yet.
func TestItem64LateWithinATick(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(time.Second), func(c *config.Config) {
		c.Engine.Tick = time.Second
	})
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	late := l.Next(t)
	relaytest.Eventually(t, "the address's last moment", func() bool {
		pending := n.Status(t).Pending.Items
		return len(pending) == 0 || time.Now().After(pending[0].Expires)
	})
	n.Open(t, late.Address, relaytest.Dial{}).Want(t, 403)
	p.Want(t, 504)
}

// TestItem64SecondUse: an address is good for one handshake of either kind.
func TestItem64SecondUse(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	uses := []string{"", "&sb-hc-statusCode=400&sb-hc-statusDescription=no"}
	for _, first := range uses {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		a := l.Next(t)
		opened := n.Open(t, a.Address+first, relaytest.Dial{})
		var s, r *relaytest.Conn
		if first == "" {
			r, s = opened.Conn(t), p.Conn(t)
		} else {
			opened.Want(t, 410)
			p.Want(t, 400)
		}
		for _, second := range uses {
			n.Open(t, a.Address+second, relaytest.Dial{}).Want(t, 403)
		}
		if s != nil {
			relaytest.Exchange(t, s, r)
		}
	}
	n.WantMetric(t, `relay_connections_closed_total{reason="rejection"}`, 1)
	n.WantMetric(t, `relay_connections_closed_total{reason="forbidden"}`, 4)
}

// TestOneOfManyAccepts: of several handshakes at once, one wins.
func TestOneOfManyAccepts(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for range 10 {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		address := l.Next(t).Address
		var all []*relaytest.Pending
		for range 6 {
			all = append(all, n.Open(t, address, relaytest.Dial{}))
		}
		s := p.Conn(t)
		won := 0
		for _, o := range all {
			if r, a := o.Outcome(t); r != nil {
				relaytest.Exchange(t, s, r)
				won++
			} else if a.Status != 403 {
				t.Errorf("answer %+v", a)
			}
		}
		if won != 1 {
			t.Fatalf("%d handshakes won", won)
		}
	}
}

// TestUnknownAddresses: whatever is not exactly one that waits is 403.
func TestUnknownAddresses(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	a := l.Next(t)
	secret := regexp.MustCompile(`sb-hc-rendezvous=([0-9a-f]{32})`)
	digits := secret.FindStringSubmatch(a.Address)[1]
	last := "0"
	if strings.HasSuffix(digits, "0") {
		last = "1"
	}
	for _, other := range []string{
		"", "0", strings.Repeat("0", 32), digits[:31], digits + "0", digits[:31] + last,
		strings.ToUpper(digits[:31]) + "G",
	} {
		address := strings.Replace(a.Address, digits, other, 1)
		n.Open(t, address, relaytest.Dial{}).Want(t, 403)
		n.Open(t, address+"&sb-hc-statusCode=500", relaytest.Dial{}).Want(t, 403)
	}
	n.Open(t, secret.ReplaceAllString(a.Address, "x=y"), relaytest.Dial{}).Want(t, 403)
	// HTTP requests are not relayed: their rendezvous does not exist.
	request := strings.Replace(a.Address, "sb-hc-action=accept", "sb-hc-action=request", 1)
	n.Open(t, request, relaytest.Dial{}).Want(t, 403)
	// None of that has harmed the sender.
	relaytest.Exchange(t, n.Open(t, a.Address, relaytest.Dial{}).Conn(t), p.Conn(t))
}

// TestPendingMax: senders beyond it are refused in words, and the number that
// waits is given back.
func TestPendingMax(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.PendingMax = 2 })
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	d := relaytest.Dial{Path: relaytest.Anonymous}
	first, second := n.Waiting(t, d), n.Waiting(t, d)
	a := n.Connect(t, d).Want(t, 503)
	if a.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %+v", a)
	}
	wantPhrase(t, a, "The gateway is full")
	n.WantMetric(t, `relay_throttled_total{quota="pending_max"}`, 1)
	l.Reject(t, 409, "")
	l.Accept(t)
	third := n.Waiting(t, d)
	l.Reject(t, 409, "")
	third.Want(t, 409)
	for _, p := range []*relaytest.Pending{first, second} {
		if _, a := p.Outcome(t); a.Status != 101 && a.Status != 409 {
			t.Errorf("answer %+v", a)
		}
	}
}

// TestHeadMemoryOfWaitingSenders: their heads are kept for the accept message,
// within limits.head_memory.
func TestHeadMemoryOfWaitingSenders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadMemory = 1 << 20 })
	n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	d := relaytest.Dial{Path: relaytest.Anonymous,
		Header: header("X-Large", strings.Repeat("x", 31<<10))}
	var waiting []*relaytest.Pending
	for range 40 {
		p := n.Connect(t, d)
		relaytest.Eventually(t, "the sender waits or is refused", func() bool {
			return p.Answered() || n.Pending(1).Total > len(waiting)
		})
		if !p.Answered() {
			waiting = append(waiting, p)
			continue
		}
		p.Want(t, 503)
		n.WantMetric(t, `relay_throttled_total{quota="head_memory"}`, 1)
		if len(waiting) < 25 {
			t.Errorf("refused when %d were waiting", len(waiting))
		}
		for _, w := range waiting {
			w.Cancel()
		}
		n.WantMetric(t, "relay_head_bytes", 0)
		return
	}
	t.Errorf("%d heads of 31 KiB in 1 MiB", len(waiting))
}
