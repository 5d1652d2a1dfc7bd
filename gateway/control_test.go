package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestItem34RenewToken: good tokens of any rule leave the channel open, others
// end it with 1008.
func TestItem34RenewToken(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	const path = relaytest.Authorized
	for _, tt := range []struct{ name, token, reason string }{
		{"same rule", relaytest.Token(path), ""},
		{"secondary key", mint(path, relaytest.RootRule, relaytest.SecondaryKey), ""},
		{"another rule", mint(path, relaytest.ListenRule, relaytest.ListenKey), ""},
		{"entity rule", mint("", relaytest.EntityRule, relaytest.EntityKey), ""},
		{"no right", mint(path, relaytest.SendRule, relaytest.SendKey),
			"Authorization failed for specified action: Listen. TrackingId:"},
		{"wrong key", mint(path, relaytest.RootRule, "wrong"), "InvalidSignature"},
		{"sibling", mint(relaytest.Sibling, relaytest.RootRule, relaytest.RootKey),
			"InvalidAudience"},
		{"expired", signed("http%3A%2F%2Fx", relaytest.RootRule, relaytest.RootKey,
			inSeconds(-1000)), "ExpiredToken"},
		{"empty", "", "MissingToken"},
		{"query form", strings.ReplaceAll(relaytest.Token(path), "SharedAccessSignature ",
			"SharedAccessSignature+"), "MalformedToken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := n.Listen(t, relaytest.Dial{Path: path, Query: "sb-hc-id=renews"})
			l.Renew(t, tt.token)
			if tt.reason == "" {
				l.Ping(t) // a Pong comes behind whatever renewal does
				s, r := l.Pair(t, relaytest.Dial{Path: path, Token: relaytest.Token(path)})
				relaytest.Exchange(t, s, r)
				return
			}
			reason := l.WantClose(t, 1008)
			if !strings.Contains(reason, tt.reason) ||
				!strings.HasSuffix(reason, "TrackingId:renews_G0") || len(reason) > 123 {
				t.Errorf("reason %q, want %q in it", reason, tt.reason)
			}
			n.WantClosed(t, "listener", "token_refused")
		})
	}
}

// TestItem73GarbageRenewToken: the Java client sends an object's address.
// Clients listen again at once; an established relay lives on.
func TestItem73GarbageRenewToken(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	d := relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=java"}
	for _, message := range []string{
		`{"renewToken":{"token":"com.microsoft.azure.relay.SecurityToken@3b07d329"}}`,
		`{"renewToken":{"token":""}}`,
		`{"renewToken":{"token":7}}`,
		`{"renewToken":{"token":null}}`,
		`{"renewToken":{}}`,
		`{"renewToken":null}`,
		`{"renewToken":"SharedAccessSignature sr=x"}`,
		`{"renewToken":["` + strings.Repeat("x", 60_000) + `"]}`,
	} {
		l := n.Listen(t, d)
		s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
		l.Send(t, message)
		l.WantClose(t, 1008)
		again := n.Listen(t, d)
		relaytest.Exchange(t, s, r)
		s, r = again.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
		relaytest.Exchange(t, s, r)
	}
}

// TestItem67TokenExpiry: 1008 at se plus skew, unless renewed; relays live on.
func TestItem67TokenExpiry(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.TokenSkew = time.Second })
	token := func(seconds int64) string {
		return signed("http%3A%2F%2Frelay.test", relaytest.RootRule, relaytest.RootKey,
			inSeconds(seconds))
	}
	begin := time.Now()
	d := relaytest.Dial{Path: relaytest.Anonymous, Token: token(1)}
	l, renewed := n.Listen(t, d), n.Listen(t, d)
	renewed.Renew(t, token(60))
	renewed.Ping(t)
	var relays [4][2]*relaytest.Conn
	for i := range relays {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		var a relaytest.Accept
		relaytest.Eventually(t, "an accept message", func() bool {
			for _, l := range []*relaytest.Listener{l, renewed} {
				if l.Waiting() > 0 {
					a = l.Next(t)
					return true
				}
			}
			return false
		})
		relays[i][0] = n.Open(t, a.Address, relaytest.Dial{}).Conn(t)
		relays[i][1] = p.Conn(t)
	}
	reason := l.WantClose(t, 1008)
	// se is a whole second: it may come up to one second early.
	if life := time.Since(begin); life < time.Second {
		t.Errorf("ended after %v", life)
	}
	if !strings.HasPrefix(reason, "ExpiredToken: The token is expired. Expiration time: '") {
		t.Errorf("reason %q", reason)
	}
	n.WantClosed(t, "listener", "token_expired")
	n.WantMetric(t, "relay_active_listeners", 1)
	for _, ends := range relays {
		relaytest.Exchange(t, ends[0], ends[1])
	}
	renewed.Ping(t)
}

// TestCommandsIgnored: clients grow commands; the channel stays open.
func TestCommandsIgnored(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	for _, message := range []string{
		`{}`, `{"injectFault":{"delay":"00:01:00"}}`, `{"hello":1}`, ` { "a" : [ { } ] } `,
		`{"response":{"requestId":"x","statusCode":"200","body":false}}`,
		`{"accept":{"address":"ws://elsewhere/"}}`, `{"":null}`,
		`{"x":"` + strings.Repeat("y", 200_000) + `"}`,
	} {
		c.SendFrame(t, relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte(message)})
	}
	// Binary messages belong to responses; there are none to belong to.
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpBinary, Fin: false, Payload: []byte("part")})
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true, Payload: []byte("between")})
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpContinuation, Fin: true})
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpBinary, Fin: true,
		Payload: make([]byte, 400_000)})
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true, Payload: []byte("unasked")})
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true, Payload: []byte("last")})
	for _, payload := range []string{"between", "last"} {
		c.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true, Payload: []byte(payload)})
	}
}

// TestControlViolations: what ends a control channel, with which code.
func TestControlViolations(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.ControlMessage = 64 << 10 })
	text := func(fin bool, payload string) string {
		return string(relaytest.Frame{
			Op: relaytest.OpText, Fin: fin, Payload: []byte(payload),
		}.Bytes())
	}
	part := string(relaytest.Frame{Op: relaytest.OpContinuation, Fin: true}.Bytes())
	for _, tt := range []struct {
		name, bytes string
		code        int
		reason      string
	}{
		{"no JSON", text(true, "hello"), 1007, "protocol"},
		{"JSON, no object", text(true, `["renewToken"]`), 1007, "protocol"},
		{"cut JSON", text(true, `{"renewToken":{"token":"x"}`), 1007, "protocol"},
		{"empty", text(true, ""), 1007, "protocol"},
		{"two objects", text(true, "{}{}"), 1007, "protocol"},
		{"no UTF-8", text(true, "{\"\xff\":1}"), 1007, "protocol"},
		{"too large", text(true, `{"x":"`+strings.Repeat("y", 64<<10)+`"}`), 1009,
			"message_too_large"},
		{"too large in parts", text(false, strings.Repeat(" ", 64<<10)) + part[:1] +
			"\x81\x00\x00\x00\x00 ", 1009, "message_too_large"},
		{"not masked", "\x81\x02{}", 1002, "protocol"},
		{"reserved bit", "\xC1\x82\x00\x00\x00\x00{}", 1002, "protocol"},
		{"reserved opcode", "\x83\x80\x00\x00\x00\x00", 1002, "protocol"},
		{"ping of 126 bytes", "\x89\xFE\x00\x7E", 1002, "protocol"},
		{"ping in fragments", "\x09\x80\x00\x00\x00\x00", 1002, "protocol"},
		{"continuation of nothing", part, 1002, "protocol"},
		{"message in a message", text(false, "{") + text(true, "}"), 1002, "protocol"},
		{"close of one byte", "\x88\x81\x00\x00\x00\x00x", 1002, "protocol"},
		{"close 1005", "\x88\x82\x00\x00\x00\x00\x03\xED", 1002, "protocol"},
		{"63-bit length", "\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x00", 1002, "protocol"},
		{"length not minimal", "\x81\xFE\x00\x02", 1002, "protocol"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := n.RawListen(t, relaytest.Anonymous)
			c.Send(t, tt.bytes)
			reason := c.WantCloseFrame(t, tt.code)
			if !strings.Contains(reason, ". TrackingId:") {
				t.Errorf("reason %q", reason)
			}
			c.WantEnd(t)
			n.WantClosed(t, "listener", tt.reason)
		})
	}
	n.WantMetric(t, "relay_active_listeners", 0)
}

// TestItem15And29Close: a listener's Close is answered at once, with its code,
// and takes it out of the table before that.
func TestItem15And29Close(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(2*time.Second))
	empty := relaytest.Frame{Op: relaytest.OpClose, Fin: true, Payload: []byte{}}
	for _, tt := range []struct {
		sent, want relaytest.Frame
	}{
		{relaytest.CloseFrame(1000, "Normal Closure"), relaytest.CloseFrame(1000, "")},
		{relaytest.CloseFrame(4999, ""), relaytest.CloseFrame(4999, "")},
		{empty, empty},
	} {
		c := n.RawListen(t, relaytest.Anonymous)
		var waiting []*relaytest.Pending
		for range 50 { // accept messages that it never answers
			waiting = append(waiting, n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}))
			if f := c.ReadFrame(t); f.Op != relaytest.OpText {
				t.Fatalf("frame %+v", f)
			}
		}
		c.SendFrame(t, tt.sent)
		c.WantFrame(t, tt.want)
		if left := n.Listeners(1).Total; left != 0 {
			t.Errorf("%d listeners after Close", left)
		}
		c.WantEnd(t)
		for _, p := range waiting {
			p.Cancel()
		}
	}
	n.WantMetric(t, `relay_listener_disconnects_total{reason="peer"}`, 3)
}

// TestPingsToSilentListeners: a listener that says nothing is asked, one that
// does not answer is given up, and only that one.
func TestPingsToSilentListeners(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Gateway.ListenerPing, c.Gateway.ListenerPingGrace = time.Second, time.Second
	})
	pings := make(chan struct{}, 16)
	answers := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=answers",
		OnPing: func() { pings <- struct{}{} }})
	talks := n.RawListen(t, relaytest.Anonymous)
	mute := n.RawListen(t, relaytest.Anonymous)
	begin := time.Now()
	mute.WantFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true, Payload: []byte{}})
	if waited := time.Since(begin); waited < 800*time.Millisecond {
		t.Errorf("pinged after %v", waited)
	}
	// Anything counts as a sign of life, an unsolicited Pong as well.
	talks.SendFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true})
	if reason := mute.WantCloseFrame(t, 1001); !strings.HasPrefix(reason,
		"The listener does not answer pings. TrackingId:") {
		t.Errorf("reason %q", reason)
	}
	mute.WantEnd(t)
	n.WantClosed(t, "listener", "listener_silent")
	for range 2 {
		relaytest.Receive(t, pings, "another ping")
	}
	answers.Ping(t)
	if s := n.Status(t).Listeners; s.Total < 1 || s.Total > 2 {
		t.Errorf("listeners %+v", s)
	}
	// What it had not accepted, others still may.
	s, r := answers.Pair(t, relaytest.Dial{Path: relaytest.Anonymous,
		Header: header("Microsoft-Relay-AllowedListeners", "answers")})
	relaytest.Exchange(t, s, r)
}

// manyPings are 500 Pings of a client.
var manyPings = strings.Repeat(string(relaytest.Frame{
	Op: relaytest.OpPing, Fin: true, Payload: make([]byte, 125),
}.Bytes()), 500)

// leftover says whether at least so many bytes wait for peers.
func leftover(n *relaytest.Node, bytes int64) bool {
	for _, pool := range n.Pools() {
		if pool.Name == "leftover" && pool.Used >= bytes {
			return true
		}
	}
	return false
}

// TestDeadListenersGo: a listener that will never take its Close frame nor end
// its stream is gone all the same: after relay.linger, or after relay.send_stall
// when bytes wait for it.
func TestDeadListenersGo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		queued bool
		stall  time.Duration // the linger is 1 s
	}{
		{"nothing queued", false, time.Hour},
		{"full queue", true, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := relaytest.Start(t, func(c *config.Config) {
				c.Gateway.ListenerPing, c.Gateway.ListenerPingGrace = time.Second, time.Second
				c.Relay.Linger, c.Relay.SendStall = time.Second, tt.stall
			})
			dead := n.RawListen(t, relaytest.Anonymous)
			if tt.queued {
				relaytest.Eventually(t, "Pongs wait that nobody reads", func() bool {
					dead.Send(t, manyPings)
					return leftover(n, 64<<10)
				})
			}
			n.WantClosed(t, "listener", "listener_silent")
			if n.Total() != 0 || n.Listeners(1).Total != 0 {
				t.Errorf("%d connections, listeners %+v", n.Total(), n.Listeners(1))
			}
		})
	}
}

// TestControlQueueFull: a listener that does not read its messages is passed
// over; when there is no other, the sender is told.
func TestControlQueueFull(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(30*time.Second), func(c *config.Config) {
		c.Limits.ControlQueue = 128 << 10
	})
	stuck := n.RawListen(t, relaytest.Anonymous)
	// Each Ping is owed a Pong that nobody reads; once the kernel takes no
	// more the queue fills up, and then Pongs are left out.
	relaytest.Eventually(t, "the queue of the listener is full", func() bool {
		stuck.Send(t, manyPings)
		return leftover(n, 128<<10)
	})
	// The last gap may have room for a message or two.
	d := relaytest.Dial{Path: relaytest.Anonymous, Header: header("X", strings.Repeat("y", 8000))}
	var a relaytest.Answer
	relaytest.Eventually(t, "a sender is refused", func() bool {
		stuck.Send(t, manyPings)
		p := n.Connect(t, d)
		answered := false
		relaytest.Eventually(t, "the sender waits or is refused", func() bool {
			answered = p.Answered()
			return answered || n.Pending(1).Total > 0
		})
		if answered {
			a = p.Refused(t)
			return true
		}
		p.Cancel()
		relaytest.Eventually(t, "the sender is gone", func() bool { return n.Pending(1).Total == 0 })
		return false
	})
	if a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("answer %+v", a)
	}
	wantPhrase(t, a, "The listener does not take its messages fast enough")
	n.WantClosed(t, "sender", "output_full")

	other := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for range 8 { // half of them ask the stuck one first
		s, r := other.Pair(t, d)
		relaytest.Exchange(t, s, r)
	}
}
