package gateway_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

var anonymous = relaytest.Dial{Path: relaytest.Anonymous}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// A header for 192.0.2.7:4000, and the beginning of one of version 2 that says
// the same; a part for TLS follows it.
const (
	proxyLine = "PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n"
	proxyTLS  = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x14\xc0\x00\x02\x07\x7f\x00\x00\x01\x0f\xa0\x00\x50" +
		"\x20\x00\x05\x01\x00\x00\x00\x00"
	proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// TestProxyProtocol: whoever is behind a balancer is who it says, to listeners,
// in the status and in the closed history.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for first, want := range map[string]struct{ address, scheme string }{
		proxyLine:                                {"192.0.2.7", "ws://"},
		proxyTLS:                                 {"192.0.2.7", "wss://"},
		proxyLocal:                               {"127.0.0.1", "ws://"},
		"PROXY TCP6 2001:db8::7 ::1 4000 80\r\n": {"2001:db8::7", "ws://"},
	} {
		n := relaytest.Start(t, func(c *config.Config) {
			c.ProxyProtocol.Networks = loopback
			c.Gateway.AdvertisedScheme = "auto"
			c.HTTP.Forwarded = "both"
		})
		b := n.Behind(first)
		l := b.Listen(t, anonymous)
		if peer := n.Listeners(1).Items[0].Peer; !strings.Contains(peer, want.address) {
			t.Errorf("%q: listener of %s", first, peer)
		}
		p := b.Connect(t, anonymous)
		a := l.Next(t)
		if a.RemoteEndpoint.Address != want.address || !strings.HasPrefix(a.Address, want.scheme) {
			t.Errorf("%q: %+v", first, a)
		}
		far := b.Open(t, strings.Replace(a.Address, "wss://", "ws://", 1), relaytest.Dial{}).Conn(t)
		near := p.Conn(t)
		relaytest.Exchange(t, near, far)
		near.Abort()
		far.Abort()
		relaytest.Eventually(t, "the sender's end is in the history", func() bool {
			for _, c := range n.Closed(1000).Items {
				if c.Role == "relayed_sender" {
					return strings.Contains(c.Peer, want.address)
				}
			}
			return false
		})
		c := b.Ask(t, "GET", "/"+relaytest.Anonymous, "")
		r := l.NextRequest(t)
		proto := strings.Replace(want.scheme[:len(want.scheme)-3], "ws", "http", 1)
		if r.Endpoint.Address != want.address || r.Headers["X-Forwarded-For"] != want.address ||
			r.Headers["X-Forwarded-Proto"] != proto {
			t.Errorf("%q: %+v", first, r)
		}
		r.Respond(t, relaytest.Reply{})
		if a := c.Answer(t); a.Status != 200 {
			t.Errorf("%q: %+v", first, a)
		}
	}
}

// TestProxyProtocolInvalid: a balancer without a header is told apart from
// everything else, and cannot be answered.
func TestProxyProtocolInvalid(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.ProxyProtocol.Networks = loopback
		c.Limits.HeadTimeout = time.Second
	})
	for _, send := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 1\r\n", "PROXY"} {
		c := n.Raw(t)
		c.Send(t, send)
		c.WantEnd(t)
	}
	n.WantMetric(t, `relay_connections_closed_total{reason="proxy_invalid"}`, 3)
	if c := n.WantClosed(t, "head", "proxy_invalid"); !strings.Contains(c.Detail, "PROXY protocol") {
		t.Errorf("%+v", c)
	}
}

// TestProxyProtocolFromOthers: a header from elsewhere is garbage.
func TestProxyProtocolFromOthers(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.ProxyProtocol.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	for _, first := range []string{proxyLine, proxyTLS} {
		c := n.Raw(t)
		c.Send(t, first+n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
		c.Want(t, 400)
	}
}

func trusting(c *config.Config) {
	c.HTTP.TrustedProxies = []netip.Prefix{loopback[0], netip.MustParsePrefix("10.0.0.0/8")}
	c.Gateway.AdvertisedScheme = "auto"
}

// TestTrustedProxies: WebSockets and requests of many senders, those on one
// connection too, each with its own address and scheme.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, trusting, func(c *config.Config) { c.HTTP.Forwarded = "both" })
	l := n.RawListen(t, relaytest.Anonymous, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")
	if peer := n.Listeners(1).Items[0].Peer; peer != "192.0.2.1:0" {
		t.Errorf("listener of %s", peer)
	}
	s := n.Raw(t)
	s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous,
		"X-Forwarded-For: 1.1.1.1, 192.0.2.2:99, 10.0.0.1"))
	a := relaytest.ParseAccept(t, []byte(l.ReadMessage(t)))
	if a.RemoteEndpoint.Address != "192.0.2.2" || a.RemoteEndpoint.Port != 99 ||
		!strings.HasPrefix(a.Address, "wss://") ||
		a.ConnectHeaders["X-Forwarded-For"] != "1.1.1.1, 192.0.2.2:99, 10.0.0.1" {
		t.Errorf("%+v", a)
	}
	if peer := n.Pending(1).Items[0].Peer; peer != "192.0.2.2:99" {
		t.Errorf("pending %s", peer)
	}
	c := n.Raw(t)
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	for _, tt := range []struct{ fields, address, chain, proto, forwarded string }{
		{"X-Forwarded-For: 192.0.2.3\r\nX-Forwarded-Proto: https\r\n",
			"192.0.2.3", "192.0.2.3, 127.0.0.1", "https", "for=127.0.0.1;proto=http"},
		{"X-Forwarded-For: 192.0.2.4\r\nX-Forwarded-Proto: http\r\n",
			"192.0.2.4", "192.0.2.4, 127.0.0.1", "http", "for=127.0.0.1;proto=http"},
		{"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 2001:db8::5, 10.0.0.1\r\n",
			"2001:db8::5", "9.9.9.9, 2001:db8::5, 10.0.0.1, 127.0.0.1", "http",
			"for=127.0.0.1;proto=http"},
		{"Forwarded: for=192.0.2.6;proto=https\r\n", "192.0.2.6", "127.0.0.1", "https",
			"for=192.0.2.6;proto=https, for=127.0.0.1;proto=http"},
		{"", "127.0.0.1", "127.0.0.1", "http", "for=127.0.0.1;proto=http"},
		{"X-Forwarded-For: garbage\r\n", "127.0.0.1", "garbage, 127.0.0.1", "http",
			"for=127.0.0.1;proto=http"},
	} {
		c.Send(t, fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", relaytest.Anonymous, n.HTTP, tt.fields))
		r := l.NextRequest(t)
		h := r.Headers
		if r.Endpoint.Address != tt.address || h["X-Forwarded-For"] != tt.chain ||
			h["X-Forwarded-Proto"] != tt.proto || !strings.HasPrefix(h["Forwarded"], tt.forwarded) {
			t.Errorf("%q: %+v", tt.fields, r)
		}
		if own := fmt.Sprint(r.Endpoint.Port) == port; own != (tt.address == "127.0.0.1") {
			t.Errorf("%q: port %d", tt.fields, r.Endpoint.Port)
		}
		r.Respond(t, relaytest.Reply{})
		if a := c.Answer(t); a.Status != 200 {
			t.Fatalf("%q: %+v", tt.fields, a)
		}
	}
	s.Abort()
	if peer := n.WantClosed(t, "sender", "sender_lost").Peer; peer != "192.0.2.2:99" {
		t.Errorf("closed %s", peer)
	}
}

// TestSpoofedSenders: what a peer that is not trusted says of itself is no more
// than a header.
func TestSpoofedSenders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		trusting(c)
		c.HTTP.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	l := n.RawListen(t, relaytest.Anonymous, "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1")
	if peer := n.Listeners(1).Items[0].Peer; !strings.HasPrefix(peer, "127.0.0.1:") {
		t.Errorf("listener of %s", peer)
	}
	for _, field := range []string{
		"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.1, 10.0.0.1", "Forwarded: for=192.0.2.1",
	} {
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous, field))
		a := relaytest.ParseAccept(t, []byte(l.ReadMessage(t)))
		if a.RemoteEndpoint.Address != "127.0.0.1" || !strings.HasPrefix(a.Address, "ws://") {
			t.Errorf("%s: %+v", field, a)
		}
		s.Abort()
		c := n.Ask(t, "GET", "/"+relaytest.Anonymous, "", field, "X-Forwarded-Proto: https")
		if r := l.NextRequest(t); r.Endpoint.Address != "127.0.0.1" {
			t.Errorf("%s: %+v", field, r)
		} else {
			r.Respond(t, relaytest.Reply{})
		}
		c.Answer(t)
	}
}

// TestFailuresOfSenders: behind a proxy each sender has a budget of its own, and
// none can use up another's or get a new one by what it writes in front.
func TestFailuresOfSenders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, trusting, func(c *config.Config) {
		c.Gateway.FailureRate, c.Gateway.FailureBurst = 1, 3
		c.Gateway.FailureDelay, c.Gateway.FailureHeldMax = 0, 0
	})
	target := "/$hc/" + relaytest.Authorized
	fail := func(forwardedFor string) int {
		return n.Raw(t).Upgrade(t, target, "X-Forwarded-For: "+forwardedFor).Status
	}
	spent, asked := false, 0
	for ; asked < 100 && !spent; asked++ {
		spent = fail(fmt.Sprintf("198.51.100.%d, 192.0.2.1", asked)) == 429
	}
	if !spent {
		t.Fatalf("%d failures of one sender passed", asked)
	}
	for i := range 3 {
		if status := fail("192.0.2.2"); status != 401 {
			t.Errorf("failure %d of another sender: %d", i, status)
		}
	}
	if status := n.Raw(t).Upgrade(t, target).Status; status != 401 {
		t.Errorf("a failure of the proxy itself: %d", status)
	}
	found := false
	for _, line := range n.Lines() {
		found = found || strings.Contains(line, `"clientAddr":"192.0.2.2:0"`)
	}
	if !found {
		t.Error("the log has not the sender's address")
	}
}
