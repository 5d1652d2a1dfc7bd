package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// dotnetFailure is what .NET rejects with when the application's handler
// throws.
const dotnetFailure = "The Listener's custom AcceptHandler threw an exception. " +
	"See Listener logs for details. TrackingId: 5a8e1c02-7b7b-4c0e-9d52-3f2f1f5e6a10"

// rejected has one sender rejected with a query and returns both answers, the
// sender's head as it came.
func rejected(
	t *testing.T, n *relaytest.Node, l *relaytest.Listener, query string,
) (listener relaytest.Answer, sender string) {
	t.Helper()
	s := n.Raw(t)
	s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
	_, listener = n.RawOpen(t, l.Next(t).Address+query)
	sender = s.Head(t)
	s.WantEnd(t)
	return listener, sender
}

// TestItems18To21Rejections: the sender gets the listener's status and text
// without a body, the listener 410.
func TestItems18To21Rejections(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	const code, text = "&sb-hc-statusCode=", "&sb-hc-statusDescription="
	long := strings.Repeat("long ", 200)
	for _, tt := range []struct{ name, query, want string }{
		{"item 18", code + "400" + text + "Rejected+by+user+code", "400 Rejected by user code"},
		{"item 18, %20", code + "400" + text + "Rejected%20by%20user%20code",
			"400 Rejected by user code"},
		{"item 19", code + "401" + text + "Unauthorized", "401 Unauthorized"},
		{"item 19, no text", code + "401", "401 Unauthorized"},
		{"item 19, empty text", code + "404" + text, "404 Not Found"},
		{"item 20", code + "401" + text + relaytest.Escape("no: a=b&c+d, 100% ä"),
			"401 no: a=b&c+d, 100% ??"},
		{"item 20, order", text + "first" + code + "403", "403 first"},
		{"item 20, letter case", "&SB-HC-STATUSCODE=418&sb-hc-statusdescription=I%27m+a+teapot",
			"418 I'm a teapot"},
		{"item 21", code + "502" + text + relaytest.Escape(dotnetFailure), "502 " + dotnetFailure},
		{"hyco-websocket", "&statusCode=403&statusDescription=Not%20you%2C%20sorry",
			"403 Not you, sorry"},
		{"informational", code + "101" + text + "Switching", "502 Switching"},
		{"continue", code + "100", "502 Bad Gateway"},
		{"processing", "&statusCode=199&statusDescription=x", "502 x"},
		{"success", code + "200" + text + "OK", "200 OK"},
		{"no content", code + "204", "204 No Content"},
		{"redirect", code + "302" + text + "Elsewhere", "302 Elsewhere"},
		{"unregistered", code + "999" + text + "odd", "999 odd"},
		{"unregistered, no text", code + "299", "299 "},
		{"line break", code + "400" + text + "a%0D%0ASet-Cookie:+b%00", "400 a??Set-Cookie: b?"},
		{"long", code + "400" + text + relaytest.Escape(long), "400 " + long[:512]},
	} {
		a, head := rejected(t, n, l, tt.query)
		if a.Status != 410 {
			t.Errorf("%s: the listener got %+v, want 410", tt.name, a)
		}
		line, rest, _ := strings.Cut(head, "\r\n")
		if line != "HTTP/1.1 "+tt.want {
			t.Errorf("%s: status line %q, want %q", tt.name, line, tt.want)
		}
		if !strings.Contains(rest, "Content-Length: 0\r\n") ||
			!strings.Contains(rest, "Connection: close\r\n") ||
			!strings.Contains(rest, "TrackingId: ") || strings.Contains(rest, "Cookie") {
			t.Errorf("%s: head %q", tt.name, rest)
		}
	}
	l.Ping(t)
	n.WantClosed(t, "sender", "rejected")
	n.WantMetric(t, `relay_sender_connects_total{code="418",result="client_error"}`, 1)
	n.WantMetric(t, `relay_sender_connects_total{code="999",result="server_error"}`, 1)
}

// TestBadRejections: what is no rejection leaves the sender waiting.
func TestBadRejections(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	s := n.Raw(t)
	s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
	a := l.Next(t)
	for _, code := range []string{
		"", "99", "1000", "0", "-400", "4e2", "400.0", "abc", "%20400", "40%30x", "%zz",
		"99999999999999999999",
	} {
		_, answer := n.RawOpen(t, a.Address+"&sb-hc-statusCode="+code)
		if answer.Status != 400 {
			t.Errorf("code %q: %+v", code, answer)
		}
		if code != "%zz" {
			wantPhrase(t, answer, "sb-hc-statusCode must be an integer between 100 and 999")
		}
	}
	r, answer := n.RawOpen(t, a.Address)
	if b := s.Answer(t); answer.Status != 101 || b.Status != 101 {
		t.Fatalf("answers %+v, %+v", answer, b)
	}
	r.SendFrame(t, relaytest.CloseFrame(1000, ""))
	s.WantFrame(t, relaytest.CloseFrame(1000, ""))
}

// TestUnprefixedRejectIsASwitch: with it off, statusCode means nothing.
func TestUnprefixedRejectIsASwitch(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.UnprefixedReject = false })
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	address := l.Next(t).Address + "&statusCode=403&statusDescription=no"
	relaytest.Exchange(t, n.Open(t, address, relaytest.Dial{}).Conn(t), p.Conn(t))
}

// TestSendersOwnStatusCode is the application's parameter, not a rejection.
func TestSendersOwnStatusCode(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for _, query := range []string{
		"statusCode=403&statusDescription=mine",
		"sb-hc-id=x&statusCode=403&statusDescription=mine",
		"sb-hc-statusCode=403&sb-hc-statusDescription=mine",
	} {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous, Query: query})
		a := l.Next(t)
		if strings.Contains(a.Address, "sb-hc-status") ||
			strings.Contains(query, "&statusCode") != strings.Contains(a.Address, "?statusCode") &&
				!strings.HasPrefix(query, "statusCode") {
			t.Errorf("%s: address %s", query, a.Address)
		}
		s := n.Open(t, a.Address, relaytest.Dial{}).Conn(t)
		relaytest.Exchange(t, s, p.Conn(t))
	}
}

// TestRejectionNeedsAnUpgrade: an address in a browser is no rejection.
func TestRejectionNeedsAnUpgrade(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
	a := l.Next(t)
	address := strings.Replace(a.Address, "ws://", "http://", 1) + "&sb-hc-statusCode=500"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 400 {
		t.Errorf("answer %s", res.Status)
	}
	relaytest.Exchange(t, n.Open(t, a.Address, relaytest.Dial{}).Conn(t), p.Conn(t))
}
