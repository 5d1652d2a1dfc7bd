package gateway_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/sas"
)

// mint signs for a path with a rule, for an hour.
func mint(path, rule, key string) string {
	return sas.Sign("http://relay.test/"+path, rule, key, time.Now().Add(time.Hour))
}

// TestItem70KeysRulesAndRights: what a token is good for.
func TestItem70KeysRulesAndRights(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	const here, sibling = relaytest.Authorized, relaytest.Sibling
	const invalidSignature = "The token has an invalid signature"
	for _, tt := range []struct {
		name, token  string
		path         string
		listen, send string // part of the refusal, or empty
	}{
		{"primary key", mint(here, relaytest.RootRule, relaytest.RootKey), here, "", ""},
		{"secondary key", mint(here, relaytest.RootRule, relaytest.SecondaryKey), here, "", ""},
		{"rule in another letter case",
			mint(here, strings.ToUpper(relaytest.RootRule), relaytest.RootKey), here, "", ""},
		{"whole namespace", mint("", relaytest.RootRule, relaytest.RootKey), here, "", ""},
		{"entity rule", mint(here, relaytest.EntityRule, relaytest.EntityKey), here, "", ""},
		{"entity rule, namespace scope",
			mint("", relaytest.EntityRule, relaytest.EntityKey), here, "", ""},
		{"below the entity", mint(here, relaytest.RootRule, relaytest.RootKey),
			here + "/deep/er", "", ""},
		{"sibling's token", mint(sibling, relaytest.RootRule, relaytest.RootKey), here,
			"wrong audience", "wrong audience"},
		{"entity rule at the sibling", mint(sibling, relaytest.EntityRule, relaytest.EntityKey),
			sibling, invalidSignature, invalidSignature},
		{"entity key, namespace rule", mint(here, relaytest.RootRule, relaytest.EntityKey),
			here, invalidSignature, invalidSignature},
		{"unknown rule", mint(here, "nobody", relaytest.RootKey), here,
			invalidSignature, invalidSignature},
		{"Send only", mint(here, relaytest.SendRule, relaytest.SendKey), here,
			"Authorization failed for specified action: Listen. TrackingId", ""},
		{"Listen only", mint(here, relaytest.ListenRule, relaytest.ListenKey), here,
			"", "Authorization failed for specified action: Send. TrackingId"},
		{"half a segment", mint(here[:4], relaytest.RootRule, relaytest.RootKey), here,
			"wrong audience", "wrong audience"},
		{"none", "", here, "MissingToken", "MissingToken"},
		{"garbage", "SharedAccessSignature com.example.Token@1f2e3d", here,
			"MalformedToken", "MalformedToken"},
		{"Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", here, "MalformedToken", "MalformedToken"},
	} {
		d := relaytest.Dial{Path: tt.path, Token: tt.token}
		listen := n.TryListen(t, d)
		if tt.listen == "" {
			listen.Listener(t).Close(t)
			n.WantMetric(t, "relay_active_listeners", 0)
		} else {
			wantPhrase(t, listen.Want(t, 401), tt.listen)
		}
		send := n.Connect(t, d)
		if tt.send == "" {
			wantPhrase(t, send.Want(t, 404), "There are no listeners connected")
		} else {
			wantPhrase(t, send.Want(t, 401), tt.send)
		}
		if t.Failed() {
			t.Fatalf("token %q", tt.name)
		}
	}
}

// TestMissingClaimStatus: the documents say 403, the SDKs know 401 only.
func TestMissingClaimStatus(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Gateway.ForbiddenStatusForMissingClaim = 403
	})
	d := relaytest.Dial{Path: relaytest.Authorized,
		Token: mint(relaytest.Authorized, relaytest.SendRule, relaytest.SendKey)}
	n.TryListen(t, d).Want(t, 403)
	d.Token = mint(relaytest.Sibling, relaytest.RootRule, relaytest.RootKey)
	n.TryListen(t, d).Want(t, 401)
	n.WantMetric(t, `relay_auth_failures_total{reason="MissingClaim"}`, 1)
}

// TestItem71TokensOfAllClients: the shapes that clients sign, in both cases of
// escapes, in the header and in the query.
func TestItem71TokensOfAllClients(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	const path = relaytest.Authorized
	for _, resource := range []string{
		"http://relay.test/authenticated/",          // .NET
		"http://relay.test:443/authenticated",       // hyco-ws
		"http://relay.test",                         // samples for Node
		"sb://relay.test",                           // Java, sender
		"sb://relay.test:8443",                      // the same with a port
		"sb://relay.test:8443/authenticated",        // Java, listener
		"https://relay.test:8443/authenticated",     // Go
		"http://relay.test/Authenticated",           // Python, another case
		"HTTP://RELAY.TEST/AUTHENTICATED/",          // another case
		"ws://relay.test/$hc/authenticated",         // address as dialed
		"wss://relay.test:443//authenticated//",     // doubled slashes
		"sb://user@relay.test/authenticated?x=y#z",  // what a URI may have
		"http://[2001:db8::7]:8080/authenticated",   // IPv6
		"http://127.0.0.1:8443/authenticated/",      // by address
		"http://relay.test/%61uthenticated",         // escaped once more
		"relay.test/authenticated",                  // no scheme
		"amqps://relay.test/authenticated?sb-hc=il", // unknown scheme
	} {
		upper := url.QueryEscape(resource)
		for _, raw := range []string{upper, lowerEscapes(upper), resource} {
			if strings.ContainsAny(raw, "&#%?") && raw == resource {
				continue // a token cannot carry it like that
			}
			token := root(raw)
			loose, err := url.PathUnescape(token)
			if err != nil {
				t.Fatal(err)
			}
			escaped := url.QueryEscape(token)
			prefix := token[:strings.Index(token, "&sig=")]
			for where, d := range map[string]relaytest.Dial{
				"header":          {Token: token},
				"query, +":        {Query: "sb-hc-token=" + escaped},
				"query, %20":      {Query: "SB-HC-Token=" + strings.ReplaceAll(escaped, "+", "%20")},
				"loose signature": {Token: prefix + bareSig(loose)},
			} {
				d.Path = path
				a := n.Connect(t, d).Refused(t)
				if a.Status != 404 {
					t.Errorf("%s, %s: %d %s", raw, where, a.Status, a.Phrase)
				}
			}
		}
	}
}

// lowerEscapes turns %2F into %2f, as PHP and .NET Framework write.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:], strings.ToLower(s[i:i+3]))
		}
	}
	return string(b)
}

// bareSig is what follows sr in an unescaped token: the signature with bare
// "/", "+" and "=", as Python's samples leave it.
func bareSig(token string) string { return token[strings.Index(token, "&sig="):] }

// TestItem68TokensStayHere: no listener ever sees a relay token.
func TestItem68TokensStayHere(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	token := relaytest.Token(relaytest.Anonymous)
	for _, entity := range []string{relaytest.Authorized, relaytest.Anonymous} {
		l := n.Listen(t, relaytest.Dial{Path: entity})
		both := relaytest.Token(entity)
		p := n.Connect(t, relaytest.Dial{
			Path: entity, Token: both,
			Query:  "a=1&sb-hc-token=" + url.QueryEscape(token) + "&sb-hc-action=connect&b=2",
			Header: header("Authorization", "Bearer of my own", "X-Mine", "yes"),
		})
		a := l.Next(t)
		for name, value := range a.ConnectHeaders {
			if strings.EqualFold(name, "ServiceBusAuthorization") ||
				strings.Contains(value, "SharedAccessSignature") {
				t.Errorf("%s: the listener sees %s: %s", entity, name, value)
			}
		}
		if a.ConnectHeaders["Authorization"] != "Bearer of my own" ||
			a.ConnectHeaders["X-Mine"] != "yes" {
			t.Errorf("%s: headers %v", entity, a.ConnectHeaders)
		}
		if strings.Contains(a.Address, "SharedAccess") || strings.Contains(a.Address, "token") ||
			!strings.Contains(a.Address, "/"+entity+"?a=1&b=2&") {
			t.Errorf("address %s", a.Address)
		}
		p.Cancel()
	}
	// An anonymous sender's token is not even looked at.
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous + "/x", Query: "sb-hc-id=anon",
		Token: relaytest.Token(relaytest.Anonymous)})
	only := header("Microsoft-Relay-AllowedListeners", "anon")
	s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous, Token: "no token", Header: only})
	relaytest.Exchange(t, s, r)
	// The header goes before the parameter.
	d := relaytest.Dial{Path: relaytest.Authorized, Token: "garbage",
		Query: "sb-hc-token=" + url.QueryEscape(relaytest.Token(relaytest.Authorized))}
	n.Connect(t, d).Want(t, 401)
	// Authorization is no relay token on a WebSocket.
	d = relaytest.Dial{Path: relaytest.Authorized,
		Header: header("Authorization", relaytest.Token(relaytest.Authorized))}
	wantPhrase(t, n.Connect(t, d).Want(t, 401), "MissingToken")
}

// TestExpiredTokens: se counts with the skew.
func TestExpiredTokens(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.TokenSkew = time.Minute })
	for _, tt := range []struct {
		seconds int64
		status  int
	}{
		{-62, 401}, {-3600, 401}, {-45, 404}, {-1, 404}, {1, 404}, {30, 404},
	} {
		d := relaytest.Dial{Path: relaytest.Authorized, Token: signed("http%3A%2F%2Fx",
			relaytest.RootRule, relaytest.RootKey, inSeconds(tt.seconds))}
		a := n.Connect(t, d).Want(t, tt.status)
		if tt.status == 401 {
			wantPhrase(t, a, "ExpiredToken: The token is expired. Expiration time: '20")
		}
	}
}
