package gateway_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

func TestItem11ListenerForUnknownEntity(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	d := relaytest.Dial{Path: "no/such-entity", Token: root("http%3A%2F%2Frelay.test")}
	wantPhrase(t, n.TryListen(t, d).Want(t, 404), "Endpoint does not exist", "no/such-entity")
	// Only a token that is good for the namespace learns that much.
	for _, token := range []string{"", "SharedAccessSignature x", relaytest.Token("other")} {
		d.Token = token
		n.TryListen(t, d).Want(t, 401)
	}
}

func TestItem12ListenerWithWrongKey(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for _, path := range []string{relaytest.Authorized, relaytest.Anonymous} {
		d := relaytest.Dial{Path: path, Token: signed("http%3A%2F%2Frelay.test",
			relaytest.RootRule, "another key", inSeconds(60))}
		a := n.TryListen(t, d).Want(t, 401)
		wantPhrase(t, a, "token has an invalid signature", path)
	}
	n.WantMetric(t, `relay_auth_failures_total{reason="InvalidSignature"}`, 2)
	n.WantMetric(t, `relay_listener_connects_total{result="client_error"}`, 2)
}

// TestListenAnswer pins the bytes: the .NET listener takes no other form.
func TestListenAnswer(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ID = 7 })
	const target = "/$hc/" + relaytest.Anonymous + "?sb-hc-action=listen&sb-hc-id=my-id"
	token := "ServiceBusAuthorization: " + relaytest.Token(relaytest.Anonymous)
	head := func(protocol string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
			"Connection: Upgrade\r\nSec-WebSocket-Accept: " + relaytest.KeyAnswer + "\r\n" +
			protocol + "TrackingId: my-id_G7\r\n\r\n"
	}
	for _, tt := range []struct {
		field, protocol string
	}{
		{"X-None: 0", ""},
		{"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", ""},
		{"Sec-WebSocket-Protocol: first, second", "Sec-WebSocket-Protocol: first\r\n"},
	} {
		c := n.Raw(t)
		c.Send(t, n.UpgradeRequest(target, token, tt.field))
		if got := c.Head(t); got != head(tt.protocol) {
			t.Errorf("%s: answer\n%s\nwant\n%s", tt.field, got, head(tt.protocol))
		}
	}
}

// TestListenSpellings has requests that clients and proxies write differently.
func TestListenSpellings(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	token := "ServiceBusAuthorization: " + relaytest.Token(relaytest.Anonymous)
	for _, tt := range []struct {
		target string
		fields []string
	}{
		{"/$hc/" + relaytest.Anonymous + "?sb-hc-action=listen", nil},
		{"/%24hc/" + relaytest.Anonymous + "?sb-hc-action=LISTEN", nil},
		{"/$HC/UnAuthenticated?SB-HC-Action=listen", nil},
		{"/$hc/%75nauthenticated?sb-hc-action=%6cisten", nil},
		{"/$hc/" + relaytest.Anonymous + "/below/it?sb-hc-action=listen", nil},
		{"http://relay.test:443/$hc/" + relaytest.Anonymous + "?sb-hc-action=listen", nil},
		{"/$hc/" + relaytest.Anonymous + "?sb-hc-action=listen",
			[]string{"Connection: keep-alive, Upgrade", "Upgrade: WebSocket"}},
	} {
		c := n.Raw(t)
		if a := c.Upgrade(t, tt.target, append(tt.fields, token)...); a.Status != 101 {
			t.Errorf("%s %q: answer %+v", tt.target, tt.fields, a)
		}
		for _, l := range n.Status(t).Listeners.Items {
			if l.Entity != "test/"+relaytest.Anonymous {
				t.Errorf("%s: registered at %s", tt.target, l.Entity)
			}
		}
	}
}

var phraseForm = regexp.MustCompile(`^MissingToken: Relay security token is required\. ` +
	`TrackingId:([0-9a-f-]{36}_G0), SystemTracker:sb://127\.0\.0\.1/authenticated, ` +
	`Timestamp:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)

// TestRefusalForm: the phrase is what the SDKs read, the header what operators
// search for, the body what people with curl see.
func TestRefusalForm(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.Raw(t)
	c.Send(t, n.UpgradeRequest("/$hc/authenticated?sb-hc-action=listen"))
	a := c.Want(t, 401)
	m := phraseForm.FindStringSubmatch(a.Phrase)
	if m == nil {
		t.Fatalf("phrase %q", a.Phrase)
	}
	if id := a.Header.Get("TrackingId"); id != m[1] {
		t.Errorf("TrackingId %q, in the phrase %q", id, m[1])
	}
	if a.Header.Get("Via") != "" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", a.Header)
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil ||
		body.Error.Code != "MissingToken" || body.Error.Message != a.Phrase {
		t.Errorf("body %s (%v)", a.Body, err)
	}
	found := false
	for _, line := range n.Lines() {
		found = found || strings.Contains(line, m[1]) && strings.Contains(line, "InvalidSasToken")
	}
	if !found {
		t.Errorf("no line of the log has the tracking id %s", m[1])
	}
}

// TestItem65QuotaOfListeners: the 26th is refused, the 25 serve at random.
func TestItem65QuotaOfListeners(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	const quota = 25
	served := make([]int, quota)
	stop, done := make(chan struct{}), make(chan struct{}, quota)
	for i := range quota {
		l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
		l.RejectAll(400+i, stop, done)
	}
	a := n.TryListen(t, relaytest.Dial{
		Path: relaytest.Anonymous, Token: relaytest.Token(relaytest.Anonymous),
	}).Want(t, 403)
	wantPhrase(t, a, "QuotaExceeded", "MaximumListenersPerEndpoint")
	n.WantMetric(t, `relay_throttled_total{quota="listeners_max"}`, 1)
	// Another entity has a quota of its own.
	n.Listen(t, relaytest.Dial{Path: relaytest.Sibling})

	missing := quota
	for range 3000 {
		a := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Refused(t)
		i := a.Status - 400
		if i < 0 || i >= quota {
			t.Fatalf("answer %+v", a)
		}
		if served[i]++; served[i] == 1 {
			missing--
		}
		if missing == 0 {
			break
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d listeners never served: %v", missing, quota, served)
	}
	close(stop)
	for range quota {
		relaytest.Receive(t, done, "a listener to stop")
	}
}

// TestListenersMaxOfAnEntity: an entity's own limit goes before the gateway's.
func TestListenersMaxOfAnEntity(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Gateway.ListenersMax = 1
		c.Namespaces[0].HybridConnections[1].ListenersMax = 3
	})
	d := relaytest.Dial{Path: relaytest.Anonymous}
	first := n.Listen(t, d)
	n.Listen(t, d)
	n.Listen(t, d)
	d.Token = relaytest.Token(d.Path)
	n.TryListen(t, d).Want(t, 403)
	first.Close(t)
	n.WantMetric(t, "relay_active_listeners", 2)
	n.Listen(t, d)

	n.Listen(t, relaytest.Dial{Path: relaytest.Sibling})
	n.TryListen(t, relaytest.Dial{
		Path: relaytest.Sibling, Token: relaytest.Token(relaytest.Sibling),
	}).Want(t, 403)
}

// TestSameListenerReplaces: the same sb-hc-id again is a client that comes
// back, even when the quota is used up.
func TestSameListenerReplaces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ListenersMax = 1 })
	d := relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=7f1c"}
	old := n.Listen(t, d)
	s, r := old.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
	for _, id := range []string{"7f1c", "7F1C"} {
		d.Query = "sb-hc-id=" + id
		l := n.Listen(t, d)
		reason := old.WantClose(t, 1001)
		if !strings.Contains(reason, "TrackingId:7") {
			t.Errorf("reason %q", reason)
		}
		n.WantMetric(t, "relay_active_listeners", 1)
		l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
		old = l
	}
	n.WantClosed(t, "listener", "replaced")
	// What the first one had accepted lives on.
	relaytest.Exchange(t, s, r)
	// Without an id, or with one that is unfit, everybody is somebody else.
	d.Token = relaytest.Token(d.Path)
	for _, query := range []string{"", "sb-hc-id=", "sb-hc-id=a%20b"} {
		d.Query = query
		n.TryListen(t, d).Want(t, 403)
	}
	old.Ping(t)
}

// TestListenerFilters: senders name the listeners that they want.
func TestListenerFilters(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	all := map[string]*relaytest.Listener{}
	for _, id := range []string{"one", "two", "three"} {
		all[id] = n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=" + id})
	}
	const allowed, disallowed = "Microsoft-Relay-AllowedListeners",
		"Microsoft-Relay-DisallowedListeners"
	for _, tt := range []struct {
		header []string
		want   string
	}{
		{[]string{allowed, "two"}, "two"},
		{[]string{allowed, " TWO , nobody"}, "two"},
		{[]string{disallowed, "one, three"}, "two"},
		{[]string{disallowed, "one", disallowed, "three"}, "two"},
		{[]string{allowed, "one,two", disallowed, "one"}, "two"},
		{[]string{allowed, "nobody"}, ""},
		{[]string{disallowed, "one,two,three"}, ""},
		{[]string{allowed, "one", disallowed, "one"}, ""},
	} {
		d := relaytest.Dial{Path: relaytest.Anonymous, Header: header(tt.header...)}
		for range 5 {
			p := n.Connect(t, d)
			if tt.want == "" {
				wantPhrase(t, p.Want(t, 404), "None of the connected listeners meet the "+
					"AllowedListeners/DisallowedListeners criteria")
				continue
			}
			a := all[tt.want].Next(t)
			for name := range a.ConnectHeaders {
				if strings.HasPrefix(strings.ToLower(name), "microsoft-relay-") {
					t.Errorf("%v: the listener sees %s", tt.header, name)
				}
			}
			n.Open(t, a.Address, relaytest.Dial{}).Conn(t)
			p.Conn(t)
		}
	}
	if n.Metric(t, "relay_pending_rendezvous") != 0 {
		t.Error("senders still wait")
	}
}

// TestListenHost: rendezvous addresses are made of the Host header, so it must
// not hold what breaks one.
func TestListenHost(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	token := "ServiceBusAuthorization: " + relaytest.Token(relaytest.Anonymous)
	for _, host := range []string{"", "a/b", "a?b", "a b", "a\"b", "a<b>", "user@a", "a\\b"} {
		c := n.Raw(t)
		c.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous+"?sb-hc-action=listen",
			"Host: "+host, token))
		c.Want(t, 400)
	}
	if n.Metric(t, "relay_active_listeners") != 0 {
		t.Error("a listener was registered")
	}
}

// TestItem31ListenAgainAtOnce: hyco-ws closes and registers in one breath.
func TestItem31ListenAgainAtOnce(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ListenersMax = 1 })
	for i := range 20 {
		l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
		s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
		text := fmt.Appendf(nil, "round %d", i)
		s.Send(t, relaytest.Text, text)
		r.Want(t, relaytest.Text, text)
		l.Close(t) // returns with the gateway's Close: the place is free then
	}
	n.WantMetric(t, "relay_active_listeners", 0)
}
