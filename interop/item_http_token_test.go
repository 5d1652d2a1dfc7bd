package interop

import (
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 68-71 and 74 of the conformance list for HTTP senders: authorization,
// Via, and the call for the state of an entity.

// TestItem68HTTPTokenIsNotShown: tokens are taken from three places; what was
// not used of the last is the application's own (docs/protocol.md, section
// 6.6).
func TestItem68HTTPTokenIsNotShown(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	const own = "Bearer of-the-application"
	good := emulator.Token(emulator.Authenticated)
	inQuery := "&sb-hc-token=" + url.QueryEscape(good)
	tests := []struct {
		name, entity string
		query        string
		lines        []string
		seen         string // Authorization
	}{
		{"header", emulator.Authenticated, "", []string{"ServiceBusAuthorization: " + good,
			"Authorization: " + own}, own},
		{"query", emulator.Authenticated, inQuery, []string{"Authorization: " + own}, own},
		{"query and header", emulator.Authenticated, inQuery,
			[]string{"ServiceBusAuthorization: SharedAccessSignature sig=bad"}, ""},
		{"Authorization", emulator.Authenticated, "", []string{"Authorization: " + good}, ""},
		{"letter case", emulator.Authenticated, "&SB-HC-Token=" + framer.Escape(good),
			[]string{"servicebusauthorization: x"}, ""},
		{"anonymous, all of them", emulator.Anonymous, inQuery,
			[]string{"ServiceBusAuthorization: " + good, "Authorization: " + own}, own},
		{"anonymous, none good", emulator.Anonymous, "&sb-hc-token=bad",
			[]string{"ServiceBusAuthorization: bad", "Authorization: bad"}, "bad"},
	}
	for _, entity := range bothEntities {
		w := watch(t, g, entity)
		for _, tt := range tests {
			if tt.entity != entity {
				continue
			}
			for _, body := range [][]byte{nil, pattern(70_000)} {
				r := w.seen(t, g, outgoing{method: "PUT", body: body, lines: tt.lines,
					target: "/" + entity + "?a=1" + tt.query + "&%73b-hc-x=x&b=2"})
				for _, secret := range []string{"SharedAccessSignature", "sig=", "sb-hc-token",
					"ServiceBusAuthorization", "servicebusauthorization"} {
					if strings.Contains(r.text, secret) {
						t.Errorf("%s: the listener sees %s: %s", tt.name, secret, r.text)
					}
				}
				if r.header("Authorization") != tt.seen ||
					r.RequestTarget != "/"+entity+"?a=1&b=2" {
					t.Errorf("%s: the listener sees Authorization: %q, %s", tt.name,
						r.header("Authorization"), r.RequestTarget)
				}
			}
		}
	}
}

// TestItem68HTTPRefused: a bad token is refused where it is looked at, and the
// listener hears nothing of it.
func TestItem68HTTPRefused(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Authenticated)
	good, bad := emulator.Token(emulator.Authenticated), namespaceToken("wrong")
	tests := []struct {
		name, query string
		lines       []string
		text        string
	}{
		{"none", "", nil, "MissingToken"},
		{"wrong key", "", []string{"ServiceBusAuthorization: " + bad},
			"token has an invalid signature"},
		{"in the query before the header", "?sb-hc-token=" + url.QueryEscape(bad),
			[]string{"ServiceBusAuthorization: " + good}, "InvalidSignature"},
		{"in the header before Authorization", "",
			[]string{"ServiceBusAuthorization: garbage", "Authorization: " + good},
			"MalformedToken"},
		{"Authorization of the application", "", []string{"Authorization: Basic eDp5"}, "token"},
		{"of another entity", "", []string{"ServiceBusAuthorization: " +
			emulator.Token(emulator.Anonymous)}, "InvalidAudience"},
	}
	s := dialSender(t, g)
	for _, tt := range tests {
		for _, path := range []string{"", "/below"} {
			r := s.fetch(t, outgoing{method: "POST", lines: tt.lines, body: []byte("body"),
				target: "/" + emulator.Authenticated + path + tt.query})
			wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", tt.text,
				emulator.Authenticated+path)
		}
		if len(w.requests) > 0 {
			t.Fatalf("%s: the listener has got the request", tt.name)
		}
	}
	// Nobody learns without a token what exists.
	r := s.fetch(t, outgoing{target: "/nosuch"})
	wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", "", "nosuch")
}

func TestItem69Via(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, httpNamespace)
	w := watch(t, g, emulator.Anonymous)
	tests := []struct {
		sent []string
		seen string
	}{
		{nil, "1.1 127.0.0.1"},
		{[]string{"1.0 fred"}, "1.0 fred, 1.1 127.0.0.1"},
		{[]string{"1.0 fred", "1.1 p.example (x)"},
			"1.0 fred, 1.1 p.example (x), 1.1 127.0.0.1"},
	}
	for _, tt := range tests {
		var lines []string
		for _, via := range tt.sent {
			lines = append(lines, "Via: "+via)
		}
		a := reply{}
		if tt.sent != nil {
			a.headers = map[string]any{"via": tt.sent}
		}
		r, response := w.answer(t, g, outgoing{target: "/" + emulator.Anonymous, lines: lines}, a)
		if got := r.header("Via"); got != tt.seen {
			t.Errorf("%q: the listener sees Via: %s, want %s", tt.sent, got, tt.seen)
		}
		if got := response.header("Via"); got != tt.seen {
			t.Errorf("%q: the sender sees Via: %s, want %s", tt.sent, got, tt.seen)
		}
	}
	// wantHTTPRefusal looks for a Via.
	r := fetch(t, g, outgoing{target: "/" + emulator.Authenticated, lines: []string{"Via: 1.0 x"}})
	wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", "", emulator.Authenticated)
}

func TestItem70HTTPKeysAndScopes(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, itemSeventy)
	const claim = "Authorization failed for specified action: Send"
	const signature = "token has an invalid signature"
	tests := []struct {
		name, rule, key, scope, entity string
		refusal                        string // "" is none
	}{
		{"primary", "own", "own-primary", "one", "one", ""},
		{"secondary", "own", "own-secondary", "one", "one", ""},
		{"wrong key", "own", "other", "one", "one", signature},
		{"rule of a sibling", "own", "own-primary", "other", "other", signature},
		{"token of a sibling", "sendonly", "send-primary", "one", "other", "InvalidAudience"},
		{"send token", "sendonly", "send-primary", "one", "one", ""},
		{"send token, secondary, below", "sendonly", "send-secondary", "one", "one/below", ""},
		{"listen token", "listenonly", "listen-primary", "one", "one", claim},
		{"namespace scope", "sendonly", "send-primary", "", "other", ""},
	}
	s := dialSender(t, g)
	for _, tt := range tests {
		token := emulator.Sign("http://127.0.0.1/"+tt.scope, tt.rule, tt.key,
			time.Now().Add(time.Hour))
		for _, name := range []string{"ServiceBusAuthorization", "Authorization"} {
			r := s.fetch(t, outgoing{target: "/" + tt.entity, lines: []string{name + ": " + token}})
			if tt.refusal == "" {
				wantHTTPRefusal(t, r, 404, "EndpointNotFound", "There are no listeners", tt.entity)
				continue
			}
			wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", tt.refusal, tt.entity)
		}
	}
}

func TestItem71HTTPTokenShapes(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	entity := emulator.Authenticated
	_, port, _ := strings.Cut(g.HTTP, ":")
	s := dialSender(t, g)
	for _, token := range []string{
		signed("http://127.0.0.1/" + entity + "/"), signed("http://127.0.0.1:443/" + entity),
		signed("http://127.0.0.1"), signed("sb://127.0.0.1:" + port),
		signed("https://localhost:" + port + "/" + entity),
		signedRaw("http%3a%2f%2f127.0.0.1%2f" + entity + "%2f"),
		signedRaw("http://127.0.0.1/" + entity + "/"),
	} {
		for _, o := range []outgoing{
			{target: "/" + entity, lines: []string{"ServiceBusAuthorization: " + token}},
			{target: "/" + entity, lines: []string{"authorization: " + token}},
			{target: "/" + entity + "?sb-hc-token=" + url.QueryEscape(token)},
			{target: "/" + entity + "?x&sb-hc-token=" + framer.Escape(token)},
		} {
			r := s.fetch(t, o)
			wantHTTPRefusal(t, r, 404, "EndpointNotFound", "There are no listeners", entity)
		}
	}
}

// atomEntry is the answer to the call for the state of an entity, as .NET reads
// it (docs/protocol.md, section 5.11).
type atomEntry struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom entry"`
	Content struct {
		Type        string             `xml:"type,attr"`
		Description *entityDescription `xml:"HybridConnectionDescription"`
	} `xml:"http://www.w3.org/2005/Atom content"`
}

// relayNamespace is that of the XML, and has nothing to do with ours.
const relayNamespace = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"

type entityDescription struct {
	XMLName xml.Name
	Members []struct {
		XMLName xml.Name
		Text    string `xml:",chardata"`
	} `xml:",any"`
}

// descriptionMembers must come in this order; a data contract of .NET skips
// what comes earlier than it should.
var descriptionMembers = []string{"CreatedAt", "UpdatedAt", "RequiresClientAuthorization",
	"AuthorizationRules", "UserMetadata", "ListenerCount"}

// runtimeCall asks for the state of an entity.
func runtimeCall(t *testing.T, s *httpSender, path, line string) *httpResponse {
	t.Helper()
	return s.fetch(t, outgoing{target: "/" + path + "?api-version=2016-07",
		lines: []string{"X-PROCESS-AT: ServiceBus", line}})
}

// wantDescription reads the entry and gives its members.
func wantDescription(t *testing.T, r *httpResponse) map[string]string {
	t.Helper()
	var entry atomEntry
	if err := xml.Unmarshal(r.body, &entry); err != nil {
		t.Fatalf("status %d, %q: %v", r.Status, r.body, err)
	}
	if r.Status != 200 || r.header("Via") != "" || entry.Content.Type != "application/xml" ||
		!strings.HasPrefix(r.header("Content-Type"), "application/atom+xml") {
		t.Errorf("status %d, type %q, content of type %q", r.Status, r.header("Content-Type"),
			entry.Content.Type)
	}
	if d := entry.Content.Description; d == nil || d.XMLName.Space != relayNamespace {
		t.Fatalf("no HybridConnectionDescription in %s", r.body)
	}
	members, last := map[string]string{}, -1
	for _, m := range entry.Content.Description.Members {
		at := -1
		for i, name := range descriptionMembers {
			if m.XMLName.Local == name {
				at = i
			}
		}
		if at <= last || m.XMLName.Space != relayNamespace {
			t.Errorf("member %v is unknown or comes too late", m.XMLName)
		}
		members[m.XMLName.Local], last = m.Text, at
	}
	return members
}

func TestItem74RuntimeInformation(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	s := dialSender(t, g)
	for _, entity := range bothEntities {
		var listeners []*control
		for _, count := range []string{"0", "1", "2"} {
			for _, name := range []string{"Authorization", "ServiceBusAuthorization"} {
				r := runtimeCall(t, s, entity, name+": "+emulator.Token(entity))
				got := wantDescription(t, r)
				required := "true"
				if entity == emulator.Anonymous {
					required = "false"
				}
				if got["ListenerCount"] != count || got["RequiresClientAuthorization"] != required {
					t.Errorf("%s with %s listeners: %q", entity, count, got)
				}
				for _, name := range []string{"CreatedAt", "UpdatedAt"} {
					if text := got[name]; text != "" {
						if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				}
			}
			listeners = append(listeners, listen(t, g, framerPeer, entity))
		}
		for _, l := range listeners { // none of them has heard of it
			if err := l.Close(1000, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
}

// TestItem74Refused: who may not ask, and what does not exist. An unknown path
// is a feed, which .NET takes for "not found".
func TestItem74Refused(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, strings.ReplaceAll(itemSeventy, "hybrid_connections:",
		"hybrid_connections:\n      - name: metadata\n        user_metadata: '<a> & \"b\"'")+
		"        requires_client_authorization: false\n"+`
        authorization_rules:
          - name: all
            rights: [Listen, Send, Manage]
            primary_key: all-primary
`)
	s := dialSender(t, g)
	token := func(entity, rule, key string) string {
		return "Authorization: " + emulator.Sign("http://127.0.0.1/"+entity, rule, key,
			time.Now().Add(time.Hour))
	}
	for _, line := range []string{"X-None: 1", "Authorization: garbage",
		token("other", "all", "wrong"), token("other", "sendonly", "send-primary"),
		token("one", "own", "own-primary")} {
		if r := runtimeCall(t, s, "other", line); r.Status != 401 {
			t.Errorf("%.60s: %d %q, want 401", line, r.Status, r.Reason)
		}
	}
	got := wantDescription(t, runtimeCall(t, s, "other", token("other", "all", "all-primary")))
	if got["ListenerCount"] != "0" || got["RequiresClientAuthorization"] != "false" {
		t.Errorf("%q", got)
	}
}

// TestItem74UnknownPath is apart because it needs a token of the namespace.
func TestItem74UnknownPath(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, strings.Replace(httpNamespace, "- name: patient",
		"- name: patient\n        user_metadata: '<a> & \"b\"'", 1))
	s := dialSender(t, g)
	r := runtimeCall(t, s, "nosuch/x", "Authorization: "+namespaceToken(emulator.Key))
	var feed struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
	}
	if err := xml.Unmarshal(r.body, &feed); err != nil || r.Status != 200 ||
		!strings.Contains(r.header("Content-Type"), "type=feed") {
		t.Errorf("unknown path: %d of type %q, %q: %v", r.Status, r.header("Content-Type"),
			r.body, err)
	}
	got := wantDescription(t, runtimeCall(t, s, "patient",
		"Authorization: "+namespaceToken(emulator.Key)))
	if got["UserMetadata"] != `<a> & "b"` {
		t.Errorf("UserMetadata is %q", got["UserMetadata"])
	}
	// Without the header it is a request like any other.
	w := watch(t, g, emulator.Anonymous)
	seen := w.seen(t, g, outgoing{target: "/" + emulator.Anonymous + "?api-version=2016-07"})
	if seen.RequestTarget != "/"+emulator.Anonymous+"?api-version=2016-07" {
		t.Errorf("arrives as %s", seen.RequestTarget)
	}
}
