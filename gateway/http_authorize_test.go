package gateway_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPTokenPlaces: where a token is looked for, in which order, and what
// the listener sees of it (docs/protocol.md, section 6.6; items 35, 68).
func TestHTTPTokenPlaces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	good := mint(relaytest.Authorized, relaytest.SendRule, relaytest.SendKey)
	bad := mint(relaytest.Authorized, relaytest.SendRule, "wrong")
	const service, own = "ServiceBusAuthorization: ", "Authorization: "
	query := func(token string) string { return "?a=1&sb-hc-token=" + url.QueryEscape(token) + "&b=2" }
	for _, tt := range []struct {
		name, query string
		fields      []string
		text        string // of the refusal, "" if there is none
		seen        string // Authorization at the listener
	}{
		{"nowhere", "", nil, "MissingToken", ""},
		{"parameter", query(good), nil, "", ""},
		{"header of the service", "", []string{service + good}, "", ""},
		{"Authorization", "", []string{own + good}, "", ""},
		{"parameter before header", query(bad), []string{service + good}, "InvalidSignature", ""},
		{"header behind parameter", query(good), []string{service + bad}, "", ""},
		{"parameter before Authorization", query(bad), []string{own + good}, "InvalidSignature", ""},
		{"header before Authorization", "", []string{service + bad, own + good}, "InvalidSignature", ""},
		{"Authorization of the listener", query(good), []string{own + "Basic eDp5"}, "", "Basic eDp5"},
		{"the same with the header", "", []string{service + good, own + "Basic eDp5"}, "", "Basic eDp5"},
		{"Authorization of another kind", "", []string{own + "Basic eDp5"}, "MalformedToken", ""},
		{"no right", "", []string{own + mint(relaytest.Authorized, relaytest.ListenRule,
			relaytest.ListenKey)}, "Authorization failed for specified action: Send", ""},
		{"of a sibling", "", []string{own + mint(relaytest.Sibling, relaytest.SendRule,
			relaytest.SendKey)}, "InvalidAudience", ""},
		{"expired", "", []string{own + signed("http%3A%2F%2Fx", relaytest.RootRule, relaytest.RootKey,
			inSeconds(-1000))}, "ExpiredToken", ""},
	} {
		s := n.Ask(t, "GET", closedTarget+tt.query, "", tt.fields...)
		if tt.text != "" {
			wantError(t, s.Response(t), 401, "TokenMissingOrInvalid", tt.text)
			s.Send(t, n.HTTPRequest("GET", closedTarget, "", service+good)) // it may try again
			l.NextRequest(t).Respond(t, relaytest.Reply{})
			s.WantResponse(t, 200, "")
			continue
		}
		r := l.NextRequest(t)
		target := closedTarget
		if tt.query != "" {
			target += "?a=1&b=2"
		}
		if r.Target != target || r.Headers["Authorization"] != tt.seen ||
			strings.Contains(r.Text, "sig=") || strings.Contains(r.Text, "SharedAccess") {
			t.Errorf("%s: request %s", tt.name, r.Text)
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	if l.Requests() != 0 {
		t.Errorf("%d requests without authorization", l.Requests())
	}
	n.WantMetric(t, `relay_auth_failures_total{reason="MissingToken"}`, 1)
}

// TestHTTPAnonymous: tokens are taken off without a look at them, Authorization
// is the listener's.
func TestHTTPAnonymous(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for _, token := range []string{"", "garbage", relaytest.Token(relaytest.Anonymous),
		mint(relaytest.Anonymous, relaytest.RootRule, "wrong")} {
		for _, body := range bodies[:6] {
			text := bodyRequest(n, body.body, body.chunked)
			text = strings.Replace(text, openTarget+" ", openTarget+"/x?sb-hc-token="+
				url.QueryEscape(token)+"&sb-hc-x=1&sb-hc-y ", 1)
			text = strings.Replace(text, "\r\n", "\r\nServiceBusAuthorization: "+token+
				"\r\nAuthorization: Bearer own\r\nMicrosoft-Relay-DisallowedListeners: x\r\n", 1)
			s := n.Raw(t)
			s.Send(t, text)
			r := l.NextRequest(t)
			if r.Target != openTarget+"/x?sb-hc-y" || r.Headers["Authorization"] != "Bearer own" {
				t.Errorf("request %.500s", r.Text)
			}
			for _, hidden := range []string{"ServiceBusAuth", "sb-hc-token", "sb-hc-x", "sig=",
				"garbage", "Microsoft-Relay"} {
				if strings.Contains(r.Text, hidden) {
					t.Errorf("%s in the request %.500s", hidden, r.Text)
				}
			}
			r.Respond(t, relaytest.Reply{})
			s.WantResponse(t, 200, "")
		}
	}
}

// TestHTTPUnknownEntity: 404 for those with a token for the namespace, 401 for
// others.
func TestHTTPUnknownEntity(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	s := n.Raw(t)
	for _, target := range []string{"/", "/nowhere", "/nowhere/x?y", "/unauthenticatedx", "/$hcx"} {
		s.Send(t, n.HTTPRequest("GET", target, ""))
		wantError(t, s.Response(t), 401, "TokenMissingOrInvalid", "MissingToken")
		s.Send(t, n.HTTPRequest("GET", target, "", "Authorization: "+root("http%3A%2F%2Frelay.test")))
		wantError(t, s.Response(t), 404, "EndpointNotFound", "Endpoint does not exist")
	}
	// Letter case does not count, and the longest entity is the one.
	l := openListener(t, n)
	for _, target := range []string{"/UnAuthenticated", "/unauthenticated/", "/%75nauthenticated/%2F",
		"http://relay.test:81/unauthenticated/x"} {
		s.Send(t, n.HTTPRequest("GET", target, ""))
		l.NextRequest(t).Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
}

// TestHTTPMissingClaimStatus: the switch holds for HTTP, too.
func TestHTTPMissingClaimStatus(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ForbiddenStatusForMissingClaim = 403 })
	s := n.Ask(t, "GET", closedTarget, "", "Authorization: "+
		mint(relaytest.Authorized, relaytest.ListenRule, relaytest.ListenKey))
	wantError(t, s.Response(t), 403, "Forbidden", "Authorization failed")
}

// TestHTTPKeyParameters: a rule's name and key in the query are a token where
// that is switched on, and never go on.
func TestHTTPKeyParameters(t *testing.T) {
	t.Parallel()
	query := func(rule, key string) string {
		return "?x=1&sb-hc-sas-key-name=" + rule + "&sb-hc-sas-key=" + url.QueryEscape(key)
	}
	good := query(relaytest.SendRule, relaytest.SendKey)
	on := relaytest.Start(t, func(c *config.Config) { c.HTTP.KeyParameters = true })
	off := relaytest.Start(t)
	for _, tt := range []struct {
		name, target string
		n            *relaytest.Node
		text         string
	}{
		{"on", closedTarget + good, on, ""},
		{"entity's rule", closedTarget + query(relaytest.EntityRule, relaytest.EntityKey), on, ""},
		{"wrong key", closedTarget + query(relaytest.SendRule, relaytest.KeyMark), on,
			"InvalidSignature"},
		{"no such rule", closedTarget + query("nobody", relaytest.SendKey), on, "InvalidSignature"},
		{"no right", closedTarget + query(relaytest.ListenRule, relaytest.ListenKey), on,
			"Authorization failed for specified action: Send"},
		{"name only", closedTarget + "?x=1&sb-hc-sas-key-name=send", on, "MalformedToken"},
		{"key only", closedTarget + "?x=1&sb-hc-sas-key=k", on, "MalformedToken"},
		{"empty key", closedTarget + "?x=1&sb-hc-sas-key-name=send&sb-hc-sas-key=", on, "MalformedToken"},
		{"token before it", closedTarget + good + "&sb-hc-token=x", on, "MalformedToken"},
		{"off", closedTarget + good, off, "MissingToken"},
		{"no need", openTarget + good, off, ""},
		{"no need, wrong", openTarget + query("x", "y"), on, ""},
	} {
		path, _, _ := strings.Cut(tt.target[1:], "?")
		l := tt.n.Listen(t, relaytest.Dial{Path: path})
		s := tt.n.Ask(t, "GET", tt.target, "")
		if tt.text != "" {
			wantError(t, s.Response(t), 401, "TokenMissingOrInvalid", tt.text)
		} else {
			r := l.NextRequest(t)
			if r.Target != "/"+path+"?x=1" || strings.Contains(r.Text, relaytest.KeyMark) {
				t.Errorf("%s: request %s", tt.name, r.Text)
			}
			r.Respond(t, relaytest.Reply{})
			s.WantResponse(t, 200, "")
		}
		l.Close(t)
	}
}

// TestHTTPNoListener: 404, or what the settings say, and filters are told apart.
func TestHTTPNoListener(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	s := n.Ask(t, "GET", openTarget, "")
	const none = "There are no listeners connected for the endpoint"
	wantError(t, s.Response(t), 404, "EndpointNotFound", none, relaytest.Anonymous)
	bad := relaytest.Start(t, func(c *config.Config) { c.HTTP.NoListenerStatus = 502 })
	b := bad.Ask(t, "POST", openTarget, "body")
	wantError(t, b.Response(t), 502, "BadGateway", none)
	const criteria = "None of the connected listeners meet the " +
		"AllowedListeners/DisallowedListeners criteria"
	for _, tt := range []struct {
		n *relaytest.Node
		s *relaytest.Raw
	}{{n, s}, {bad, b}} {
		one := tt.n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=one"})
		two := tt.n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=two"})
		for field, to := range map[string]*relaytest.Listener{
			"Microsoft-Relay-AllowedListeners: one":       one,
			"Microsoft-Relay-AllowedListeners: other,two": two,
			"Microsoft-Relay-DisallowedListeners: one":    two,
			"Microsoft-Relay-DisallowedListeners: two":    one,
			"Microsoft-Relay-AllowedListeners: other":     nil,
			"microsoft-relay-disallowedlisteners:one,two": nil,
		} {
			for range 4 {
				tt.s.Send(t, get(tt.n, field))
				if to == nil {
					wantError(t, tt.s.Response(t), 404, "EndpointNotFound", criteria)
					continue
				}
				to.NextRequest(t).Respond(t, relaytest.Reply{})
				tt.s.WantResponse(t, 200, "")
			}
		}
	}
}

// TestHTTPRequestTarget: decoded once, but unambiguous, or as it was sent; the
// query is never touched (items 48, 56, 57, 60, 61).
func TestHTTPRequestTarget(t *testing.T) {
	t.Parallel()
	for _, raw := range []bool{false, true} {
		n := relaytest.Start(t, func(c *config.Config) {
			if raw {
				c.HTTP.RequestTarget = "raw"
			}
		})
		l := openListener(t, n)
		s := n.Raw(t)
		for sent, decoded := range map[string]string{
			"":                               "",
			"/":                              "/",
			"/a/b?c=d&e":                     "/a/b?c=d&e",
			"/a%20b%2Fc%25":                  "/a b%2Fc%25",
			"/%252F":                         "/%252F",
			"/%3Fx%23y%5C?p=%20+%2B%3f":      "/%3Fx%23y%5C?p=%20+%2B%3f",
			"/%0d%0aX:%20y%00":               "/%0D%0AX: y%00",
			"?&&&":                           "?&&&",
			"?custom=value&sb-hc-id=1":       "?custom=value",
			"?sb-hc-undefined":               "?sb-hc-undefined",
			"?sb-hc-id=1&%73b-hc-x=1&SB-HC-": "?SB-HC-",
			"?a=1&a=2&":                      "?a=1&a=2&",
		} {
			s.Send(t, n.HTTPRequest("GET", openTarget+sent, ""))
			r := l.NextRequest(t)
			want := decoded
			if raw {
				path, _, _ := strings.Cut(sent, "?")
				want = path
				if _, query, ok := strings.Cut(decoded, "?"); ok {
					want += "?" + query
				}
			}
			if !strings.EqualFold(r.Target, openTarget+want) {
				t.Errorf("raw=%v, %q: %q, want %q", raw, sent, r.Target, openTarget+want)
			}
			if strings.Contains(r.Address, "custom") || strings.Contains(r.Address, "c=d") {
				t.Errorf("the address %q has the sender's query", r.Address)
			}
			r.Respond(t, relaytest.Reply{})
			s.WantResponse(t, 200, "")
		}
		s.Send(t, n.HTTPRequest("GET", "http://elsewhere"+openTarget+"/x?y", ""))
		r := l.NextRequest(t)
		if r.Target != openTarget+"/x?y" {
			t.Errorf("absolute form: %q", r.Target)
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
}

// TestHTTPForwarded: what is added about the sender, behind what it says itself.
func TestHTTPForwarded(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][3]string{
		"off":         {"10.0.0.1", "", "for=10.0.0.1"},
		"x-forwarded": {"10.0.0.1, 127.0.0.1", "http", "for=10.0.0.1"},
		"forwarded":   {"10.0.0.1", "", "for=10.0.0.1, for=127.0.0.1;proto=http"},
		"both":        {"10.0.0.1, 127.0.0.1", "http", "for=10.0.0.1, for=127.0.0.1;proto=http"},
	} {
		n := relaytest.Start(t, func(c *config.Config) { c.HTTP.Forwarded = mode })
		l := openListener(t, n)
		for _, body := range bodies[:6] {
			s := n.Raw(t)
			s.Send(t, strings.Replace(bodyRequest(n, body.body, body.chunked), "\r\n",
				"\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n", 1))
			r := l.NextRequest(t)
			h := r.Headers
			if h["X-Forwarded-For"] != want[0] || h["X-Forwarded-Proto"] != want[1] ||
				!strings.HasPrefix(h["Forwarded"], want[2]) || mode == "off" && h["Forwarded"] != want[2] {
				t.Errorf("%s, %s: %v", mode, body.name, h)
			}
			r.Respond(t, relaytest.Reply{})
			s.WantResponse(t, 200, "")
		}
	}
}
