package interop

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 10-14, 16, 68, 70 and 71 of the conformance list: authorization.

// namespaceToken is valid for every entity and for paths that are none.
func namespaceToken(key string) string {
	return emulator.Sign("http://127.0.0.1/", emulator.KeyName, key,
		time.Now().Add(time.Hour))
}

func TestItem10SenderForUnknownEntity(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		_, a, _ := p.dial(g.URL("nosuch/entity", "sb-hc-action=connect"),
			tokenHeader(namespaceToken(emulator.Key)))
		wantRefusal(t, a, 404, "Endpoint does not exist", "nosuch/entity")
		// Nobody learns without a token what exists (docs/protocol.md, section 3.1).
		_, a, _ = p.dial(g.URL("nosuch/entity", "sb-hc-action=connect"), nil)
		wantRefusal(t, a, 401, "token", "nosuch/entity")
	})
}

func TestItem11ListenerForUnknownEntity(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		_, a, _ := tryListen(g, p, "nosuch", "", namespaceToken(emulator.Key))
		wantRefusal(t, a, 404, "Endpoint does not exist", "nosuch")
		_, a, _ = tryListen(g, p, "nosuch", "", namespaceToken("wrong"))
		wantRefusal(t, a, 401, "token has an invalid signature", "nosuch")
	})
}

func TestItem12ListenerWithWrongKey(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		forEachEntity(t, func(t *testing.T, entity string) {
			_, a, _ := tryListen(g, p, entity, "", namespaceToken("wrong"))
			wantRefusal(t, a, 401, "token has an invalid signature", entity)
			_, a, _ = tryListen(g, p, entity, "", "")
			wantRefusal(t, a, 401, "token", entity) // listeners always need one
		})
	})
}

func TestItem13SenderWithWrongKey(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		l := listen(t, g, p, emulator.Authenticated)
		address := g.URL(emulator.Authenticated, "sb-hc-action=connect")
		_, a, _ := p.dial(address, tokenHeader(namespaceToken("wrong")))
		wantRefusal(t, a, 401, "token", emulator.Authenticated)
		_, a, _ = p.dial(address, tokenHeader("SharedAccessSignature garbage"))
		wantRefusal(t, a, 401, "token", emulator.Authenticated)
		if err := l.Close(1000, ""); err != nil { // it has heard nothing of them
			t.Errorf("close: %v", err)
		}
	})
}

func TestItem14SenderWithoutToken(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		_, a, _ := p.dial(g.URL(emulator.Authenticated, "sb-hc-action=connect"), nil)
		wantRefusal(t, a, 401, "token", emulator.Authenticated)
		// A path below an entity is the entity.
		_, a, _ = p.dial(g.URL(emulator.Authenticated+"/below", "sb-hc-action=connect"), nil)
		wantRefusal(t, a, 401, "token", emulator.Authenticated)
	})
}

func TestItem16RawSender(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Authenticated)
		// No action; the token form-encoded: a blank is a plus.
		token := url.QueryEscape(namespaceToken(emulator.Key))
		if !strings.HasPrefix(token, "SharedAccessSignature+") {
			t.Fatalf("the token %s is not form-encoded", token)
		}
		pending := connecting(sender, g.URL(emulator.Authenticated, "sb-hc-token="+token), nil)
		accepted := l.accept(t, l.next(t))
		o := <-pending
		if o.err != nil {
			t.Fatalf("connect: %v, answer %+v", o.err, o.answer)
		}
		defer o.conn.Abort()
		if values := o.answer.header.Values("Sec-WebSocket-Protocol"); len(values) != 0 {
			t.Errorf("the answer names the subprotocols %q", values)
		}
		transfer(t, o.conn, accepted, framer.Text, []byte("works"))
		done := make(chan error, 1)
		go func() { done <- o.conn.Close(1001, "From Test Code") }()
		if reason := wantClosed(t, accepted, 1001); reason != "From Test Code" {
			t.Errorf("reason %q, want From Test Code", reason)
		}
		if err := <-done; err != nil {
			t.Errorf("the sender's close was not completed: %v", err)
		}
	})
}

func TestItem68TokenIsNotShown(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		forEachEntity(t, func(t *testing.T, entity string) {
			l := listen(t, g, listener, entity)
			header := tokenHeader(emulator.Token(entity))
			header.Set("Authorization", "Bearer of-the-application")
			query := "a=1&sb-hc-token=" + url.QueryEscape(emulator.Token(entity)) +
				"&sb-hc-action=connect&%73b-hc-token=x&b=2"
			pending := connecting(sender, g.URL(entity, query), header)
			kind, message, err := l.Read()
			if err != nil || kind != framer.Text {
				t.Fatalf("kind %d, %v", kind, err)
			}
			for _, secret := range []string{"SharedAccessSignature", "sig=", "sb-hc-token",
				"ServiceBusAuthorization", "Servicebusauthorization"} {
				if strings.Contains(string(message), secret) {
					t.Errorf("the listener sees %s: %s", secret, message)
				}
			}
			a, err := parseAccept(message)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.header("Authorization"); got != "Bearer of-the-application" {
				t.Errorf("Authorization is %q, want the application's own", got)
			}
			if !strings.Contains(a.Address, "?a=1&b=2&") {
				t.Errorf("accept address %s, want the sender's own query kept", a.Address)
			}
			l.accept(t, a)
			connected(t, pending)
		})
	})
}

// itemSeventy is a namespace with a rule per right and two entities.
const itemSeventy = `
namespaces:
  - name: interop
    hosts: [127.0.0.1]
    authorization_rules:
      - name: listenonly
        rights: [Listen]
        primary_key: listen-primary
        secondary_key: listen-secondary
      - name: sendonly
        rights: [Send]
        primary_key: send-primary
        secondary_key: send-secondary
    hybrid_connections:
      - name: one
        authorization_rules:
          - name: own
            rights: [Listen, Send]
            primary_key: own-primary
            secondary_key: own-secondary
      - name: other
`

func TestItem70KeysAndScopes(t *testing.T) {
	g := emulator.Serve(t, itemSeventy)
	const audience, claim = "InvalidAudience", "Authorization failed for specified action: "
	const signature = "token has an invalid signature"
	tests := []struct {
		name            string
		rule, key       string
		scope, entity   string
		listens, sends  bool
		listen, connect string // the text of the refusal
	}{
		{"primary", "own", "own-primary", "one", "one", true, true, "", ""},
		{"secondary", "own", "own-secondary", "one", "one", true, true, "", ""},
		{"wrong key", "own", "other", "one", "one", false, false, signature, signature},
		{"empty key", "own", "", "one", "one", false, false, signature, signature},
		{"rule names have no case", "OWN", "own-primary", "one", "one", true, true, "", ""},
		{"rule of a sibling", "own", "own-primary", "other", "other", false, false,
			signature, signature},
		{"token of a sibling", "sendonly", "send-primary", "one", "other", false, false,
			audience, audience},
		{"send token", "sendonly", "send-primary", "one", "one", false, true,
			claim + "Listen", ""},
		{"send token, secondary", "sendonly", "send-secondary", "one", "one", false, true,
			claim + "Listen", ""},
		{"listen token", "listenonly", "listen-primary", "one", "one", true, false,
			"", claim + "Send"},
		{"namespace scope", "listenonly", "listen-secondary", "", "other", true, false,
			"", claim + "Send"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := emulator.Sign("http://127.0.0.1/"+tt.scope, tt.rule, tt.key,
				time.Now().Add(time.Hour))
			l, a, err := tryListen(g, framerPeer, tt.entity, "", token)
			if tt.listens {
				if err != nil {
					t.Errorf("listen: %v, answer %+v", err, a)
				} else if err := l.Close(1000, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			} else {
				wantRefusal(t, a, 401, tt.listen, tt.entity)
			}
			_, a, _ = framerPeer.dial(g.URL(tt.entity, "sb-hc-action=connect"),
				tokenHeader(token))
			if tt.sends {
				wantRefusal(t, a, 404, "There are no listeners", tt.entity)
			} else {
				wantRefusal(t, a, 401, tt.connect, tt.entity)
			}
		})
	}
}

// signed returns a token for a resource, in the usual shape.
func signed(resource string) string {
	return emulator.Sign(resource, emulator.KeyName, emulator.Key, time.Now().Add(time.Hour))
}

// signedRaw returns a token for a resource text that stands as it is.
func signedRaw(raw string) string {
	return emulator.SignRaw(raw, emulator.KeyName, emulator.Key, time.Now().Add(time.Hour))
}

func TestItem71TokenShapes(t *testing.T) {
	g := emulator.Start(t)
	entity := emulator.Authenticated
	_, port, _ := strings.Cut(g.HTTP, ":")
	good := signed("http://127.0.0.1/" + entity)
	signature := good[strings.Index(good, "&sig="):strings.Index(good, "&se=")]
	bare, err := url.QueryUnescape(signature)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimPrefix(good, "SharedAccessSignature "), "&")
	tests := []struct{ name, token string }{
		{".NET", signed("http://127.0.0.1/" + entity + "/")},
		{"Node helper, port 443 kept", signed("http://127.0.0.1:443/" + entity)},
		{"Node, own port", signed("http://127.0.0.1:" + port + "/" + entity)},
		{"Node sample, namespace", signed("http://127.0.0.1")},
		{"Java sender", signed("sb://127.0.0.1:" + port)},
		{"Java listener", signed("sb://127.0.0.1:" + port + "/" + entity)},
		{"aztunnel", signed("https://localhost:" + port + "/" + entity)},
		{"wss with $hc", signed("wss://127.0.0.1:" + port + "/$hc/" + entity + "?x=y")},
		{"lower-case escapes", signedRaw("http%3a%2f%2f127.0.0.1%2f" + entity + "%2f")},
		{"bare resource", signedRaw("http://127.0.0.1/" + entity + "/")},
		{"letter case", signed("HTTP://127.0.0.1/" + strings.ToUpper(entity))},
		{"double slashes", signed("http://127.0.0.1//" + entity + "//")},
		{"bare signature", strings.Replace(good, signature, bare, 1)},
		{"other order", fmt.Sprintf("SharedAccessSignature %s&%s&%s&%s", fields[3], fields[2],
			fields[1], fields[0])},
		{"scheme word in lower case", strings.Replace(good, "SharedAccessSignature",
			"sharedaccesssignature", 1)},
		{"empty pairs", good + "&&"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			forms := []struct {
				name, query string
				header      http.Header
			}{
				{"header", "", tokenHeader(tt.token)},
				{"query, blank as %20", "&sb-hc-token=" + framer.Escape(tt.token), nil},
				{"query, blank as plus", "&sb-hc-token=" + url.QueryEscape(tt.token), nil},
			}
			for _, form := range forms {
				c, a, err := framerPeer.dial(g.URL(entity, "sb-hc-action=listen"+form.query),
					form.header)
				if err != nil {
					t.Errorf("%s: %v, answer %+v", form.name, err, a)
					continue
				}
				if err := c.Close(1000, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
}

func TestItem71RefusedTokens(t *testing.T) {
	g := emulator.Start(t)
	entity := emulator.Authenticated
	good := signed("http://127.0.0.1/" + entity)
	tests := []struct{ name, token, text string }{
		{"another host", signed("http://example.org/other"), "InvalidAudience"},
		{"half a segment", signed("http://127.0.0.1/auth"), "InvalidAudience"},
		{"below the entity", signed("http://127.0.0.1/" + entity + "/below"), "InvalidAudience"},
		{"two blanks", strings.Replace(good, " ", "  ", 1), "MalformedToken"},
		{"no skn", good[:strings.Index(good, "&skn=")], "MalformedToken"},
		{"no words", "x", "MalformedToken"},
		{"changed expiry", strings.Replace(good, "&se=1", "&se=2", 1), "InvalidSignature"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, a, _ := tryListen(g, framerPeer, entity, "", tt.token)
			wantRefusal(t, a, 401, tt.text, entity)
		})
	}
}
