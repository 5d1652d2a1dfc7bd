package gateway_test

import (
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

func TestItem10SenderForUnknownEntity(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	d := relaytest.Dial{Path: "nowhere/at/all", Token: root("http%3A%2F%2Frelay.test")}
	wantPhrase(t, n.Connect(t, d).Want(t, 404), "Endpoint does not exist", "nowhere/at/all")
	d.Token = "" // unknown entities always want a token
	wantPhrase(t, n.Connect(t, d).Want(t, 401), "MissingToken")
	n.WantMetric(t, `relay_sender_connects_total{code="404",result="client_error"}`, 1)
}

func TestItem13SenderWithWrongKey(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	d := relaytest.Dial{Path: relaytest.Authorized,
		Token: mint(relaytest.Authorized, relaytest.RootRule, "wrong")}
	wantPhrase(t, n.Connect(t, d).Want(t, 401), "token", relaytest.Authorized)
	if l.Waiting() > 0 {
		t.Error("the listener was asked")
	}
}

func TestItem14SenderWithoutToken(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	a := n.Connect(t, relaytest.Dial{Path: relaytest.Authorized}).Want(t, 401)
	wantPhrase(t, a, "MissingToken", relaytest.Authorized)
	if l.Waiting() > 0 {
		t.Error("the listener was asked")
	}
}

// TestItem16RawSender: no action, a token for the namespace in the query, a
// closing handshake that the sender begins.
func TestItem16RawSender(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	query := "sb-hc-token=" + url.QueryEscape(root("http%3A%2F%2Frelay.test%2F"))
	if !strings.Contains(query, "SharedAccessSignature+sr") {
		t.Fatalf("query %s", query)
	}
	s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Authorized, Query: query})
	if s.Protocol() != "" || len(s.Answer.Header["Sec-Websocket-Protocol"]) > 0 {
		t.Errorf("subprotocol in %v", s.Answer.Header)
	}
	relaytest.Exchange(t, s, r)
	closed := s.Close(1001, "From Test Code")
	if reason := r.WantClose(t, 1001); reason != "From Test Code" {
		t.Errorf("reason %q", reason)
	}
	if err := relaytest.Receive(t, closed, "the answer to Close"); err != nil {
		t.Error(err)
	}
	l.Ping(t)
}

func TestItem63NoListener(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for _, path := range []string{relaytest.Authorized, relaytest.Anonymous} {
		d := relaytest.Dial{Path: path, Token: relaytest.Token(path)}
		wantPhrase(t, n.Connect(t, d).Want(t, 404),
			"There are no listeners connected for the endpoint", path)
	}
}

// TestItem69NoViaInRefusals, nor in what a listener rejects a WebSocket with.
func TestItem69NoViaInRefusals(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	l.Reject(t, 403, "no")
	refused := n.Connect(t, relaytest.Dial{Path: relaytest.Authorized}).Want(t, 401)
	for _, a := range []relaytest.Answer{p.Want(t, 403), refused} {
		if via := a.Header.Get("Via"); via != "" {
			t.Errorf("answer %d has Via %q", a.Status, via)
		}
		if a.Header.Get("TrackingId") == "" {
			t.Errorf("answer %d has no TrackingId", a.Status)
		}
	}
}

// TestAcceptMessage: what listeners are told about a sender.
func TestAcceptMessage(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	c := n.Raw(t)
	c.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous,
		"Host: Contoso.Relay.Test:443", "X-Twice: one", "x-once: ;/. \"\\", "X-TWICE: two",
		"0: Sec-WebSocket-Extensions: permessage-deflate", "X-Latin: gr\xfc\xdfe", "X-Empty:",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"Sec-WebSocket-Protocol: a, b", "X-Forwarded-For: 192.0.2.1", "Cookie: k=v"))
	a := l.Next(t)
	for name, want := range map[string]string{
		"Host": "Contoso.Relay.Test:443", "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Key": relaytest.Key, "Sec-WebSocket-Version": "13",
		"X-Twice": "one, two", "x-once": ";/. \"\\", "X-Latin": "gr\u00fc\u00dfe", "X-Empty": "",
		"0": "Sec-WebSocket-Extensions: permessage-deflate", "X-Forwarded-For": "192.0.2.1",
		"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
		"Sec-WebSocket-Protocol":   "a, b", "Cookie": "k=v",
	} {
		got, ok := a.ConnectHeaders[name]
		if !ok || got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, ok, want)
		}
		delete(a.ConnectHeaders, name)
	}
	if len(a.ConnectHeaders) > 0 {
		t.Errorf("more headers: %v", a.ConnectHeaders)
	}
	local := c.LocalAddr().(*net.TCPAddr)
	if a.RemoteEndpoint.Address != "127.0.0.1" || a.RemoteEndpoint.Port != local.Port {
		t.Errorf("remote endpoint %+v, want %v", a.RemoteEndpoint, local)
	}
}

// TestTrackingIDs: a sender's sb-hc-id is its tracking id, if it is fit.
func TestTrackingIDs(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ID = 12 })
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	guid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-` +
		`[0-9a-f]{12}_G12$`)
	for _, tt := range []struct{ query, want string }{
		{"sb-hc-id=4a9b6d0e-1111-4222-8333-444455556666",
			"4a9b6d0e-1111-4222-8333-444455556666_G12"},
		{"sb-hc-id=first_G3&sb-hc-id=second", "first_G3_G12"},
		{"SB-HC-ID=a.b:c-d", "a.b:c-d_G12"},
		{"", ""},
		{"sb-hc-id=", ""},
		{"sb-hc-id=a%22b", ""},
		{"sb-hc-id=" + strings.Repeat("x", 129), ""},
	} {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous, Query: tt.query})
		a := l.Next(t)
		if tt.want != "" && a.ID != tt.want || tt.want == "" && !guid.MatchString(a.ID) {
			t.Errorf("%s: id %q, want %q", tt.query, a.ID, tt.want)
		}
		if !strings.HasSuffix(a.Address, "&sb-hc-action=accept&sb-hc-id="+a.ID) {
			t.Errorf("%s: address %s", tt.query, a.Address)
		}
		r := n.Open(t, a.Address, relaytest.Dial{}).Conn(t)
		s := p.Conn(t)
		for _, c := range []*relaytest.Conn{s, r} {
			if id := c.Answer.Header.Get("TrackingId"); id != a.ID {
				t.Errorf("%s: TrackingId %q, want %q", tt.query, id, a.ID)
			}
		}
	}
}

// TestAddresses: the path as sent, the query filtered, the host that the
// listener itself used or the one that is configured.
func TestAddresses(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`sb-hc-rendezvous=[0-9a-f]{32}&sb-hc-action=accept&sb-hc-id=.+$`)
	for _, tt := range []struct {
		name, host     string
		advertised     string
		scheme         string
		target, prefix string
	}{
		{"host of the listener", "relay.test", "", "ws", "/$hc/unauthenticated",
			"ws://relay.test/$hc/unauthenticated?"},
		{"with its port", "Relay.Test:8443", "", "wss", "/$hc/unauthenticated",
			"wss://Relay.Test:8443/$hc/unauthenticated?"},
		{"IPv4", "127.0.0.1:80", "", "ws", "/$hc/unauthenticated",
			"ws://127.0.0.1:80/$hc/unauthenticated?"},
		{"IPv6", "[::1]:8080", "", "ws", "/$hc/unauthenticated",
			"ws://[::1]:8080/$hc/unauthenticated?"},
		{"advertised", "relay.test", "wss://g0.relay.test:444", "ws", "/$hc/unauthenticated",
			"wss://g0.relay.test:444/$hc/unauthenticated?"},
		{"path as sent", "h", "", "ws", "/$hc/UnAuthenticated/a%20b/%252F/../c?",
			"ws://h/$hc/UnAuthenticated/a%20b/%252F/../c?"},
		{"query", "h", "", "ws",
			"/$hc/unauthenticated?a=1&sb-hc-action=connect&a=2&sb-hc-x=y&b%20=+%2b'",
			"ws://h/$hc/unauthenticated?a=1&a=2&b%20=+%2b'&"},
		{"query, nothing survives", "h", "", "ws", "/$hc/unauthenticated?sb-hc-action=connect",
			"ws://h/$hc/unauthenticated?"},
		{"query without a value", "h", "", "ws", "/$hc/unauthenticated?sb-hc-undefined",
			"ws://h/$hc/unauthenticated?sb-hc-undefined&"},
		{"forged parameters", "h", "", "ws",
			"/$hc/unauthenticated?sb-hc-rendezvous=" + strings.Repeat("0", 32) +
				"&sb-hc-statusCode=200&%73b-hc-id=x&c=d",
			"ws://h/$hc/unauthenticated?c=d&"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := relaytest.Start(t, func(c *config.Config) {
				c.Gateway.AdvertisedURL, c.Gateway.AdvertisedScheme = tt.advertised, tt.scheme
			})
			l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Host: tt.host})
			s := n.Raw(t)
			s.Send(t, n.UpgradeRequest(tt.target, "Host: other.test"))
			a := l.Next(t)
			rest, ok := strings.CutPrefix(a.Address, tt.prefix)
			if !ok || !secret.MatchString(rest) || secret.FindStringIndex(rest)[0] != 0 {
				t.Fatalf("address %s, want it to begin with %s", a.Address, tt.prefix)
			}
			r, answer := n.RawOpen(t, a.Address)
			if b := s.Answer(t); answer.Status != 101 || b.Status != 101 {
				t.Fatalf("answers %+v, %+v", answer, b)
			}
			s.SendFrame(t, relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte("x")})
			r.WantFrame(t, relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte("x")})
		})
	}
}

// TestPipelinedBytes: what a client sends behind its upgrade, before it has
// the answer, arrives first and in order.
func TestPipelinedBytes(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	frame := func(text string) relaytest.Frame {
		return relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte(text)}
	}
	for _, size := range []int{1, 1000, 15000, 100_000} {
		l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
		early, late := strings.Repeat("e", size), strings.Repeat("l", size)
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous)+
			string(frame(early).Bytes())+string(frame("second").Bytes()))
		a := l.Next(t)
		s.SendFrame(t, frame("third"))
		r := n.Raw(t)
		r.Send(t, n.UpgradeRequest(relaytest.TargetOf(a.Address))+
			string(frame(late).Bytes())+string(frame("second").Bytes()))
		for _, tt := range []struct {
			c     *relaytest.Raw
			texts []string
		}{
			{r, []string{early, "second", "third"}}, {s, []string{late, "second"}},
		} {
			if a := tt.c.Answer(t); a.Status != 101 {
				t.Fatalf("answer %+v", a)
			}
			for _, text := range tt.texts {
				if got := tt.c.ReadMessage(t); got != text {
					t.Errorf("size %d: message of %d bytes %.10q, want %d bytes %.10q",
						size, len(got), got, len(text), text)
				}
			}
		}
		l.Close(t)
	}
}

// TestPipelinedListenerMessages: a listener's first message may come in the
// same packet as its handshake.
func TestPipelinedListenerMessages(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.Raw(t)
	ping := relaytest.Frame{Op: relaytest.OpPing, Fin: true, Payload: []byte("early")}
	c.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous+"?sb-hc-action=listen",
		"ServiceBusAuthorization: "+relaytest.Token(relaytest.Anonymous))+string(ping.Bytes()))
	if a := c.Answer(t); a.Status != 101 {
		t.Fatalf("answer %+v", a)
	}
	c.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true, Payload: []byte("early")})
}

// TestHeadMemoryOfSenders: the heads of senders that wait count as well; the
// one too many is refused in words, and the rest is given back.
func TestHeadMemoryOfSenders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadMemory = 1 << 20 })
	n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	head := n.UpgradeRequest("/$hc/"+relaytest.Anonymous, "X-Pad: "+strings.Repeat("p", 12000))
	room := 1 << 20 / len(head) // each comes in one read, so that only waiting counts
	for i := range room {
		n.Raw(t).Send(t, head)
		n.WantMetric(t, "relay_pending_rendezvous", float64(i+1))
	}
	one := n.Raw(t)
	one.Send(t, head)
	wantPhrase(t, one.Want(t, 503), "The gateway is full: too many requests are waiting")
}
