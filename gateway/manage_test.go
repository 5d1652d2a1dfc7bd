package gateway_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/sas"
)

// mark makes a request a management call.
const mark = "X-PROCESS-AT: ServiceBus"

// managed is a gateway whose namespaces can be changed.
type managed struct {
	*half
	mu      sync.Mutex
	records []gateway.AuditRecord // Guarded by mu.
}

func startManaged(t *testing.T, edit ...func(*gateway.Config)) *managed {
	t.Helper()
	m := &managed{}
	all := append([]func(*gateway.Config){func(c *gateway.Config) {
		c.Entities = namespacestore.NewMemory(c.Namespaces, namespacestore.Limits{EntitiesMax: 1000})
		c.HTTP.ResponseTimeout = time.Minute
		c.Audit = func(r gateway.AuditRecord) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.records = append(m.records, r)
		}
	}}, edit...)
	m.half = startHalf(t, false, all...)
	m.store.OnChange(func(previous, next *namespace.Snapshot) {
		m.g.EntitiesRemoved(m.e, previous, next)
	})
	t.Cleanup(func() {
		relaytest.Eventually(t, "no memory is held", func() bool {
			return m.g.HeadMemory() == 0 && m.g.BodyMemory() == 0
		})
	})
	return m
}

// call is a management call with the root rule's token.
func (m *managed) call(method, target, body string, fields ...string) string {
	return m.HTTPRequest(method, target, body, append(fields, mark,
		"Authorization: "+root("http%3A%2F%2Frelay.test"))...)
}

// do makes a call on a connection of its own.
func (m *managed) do(t *testing.T, method, target, body string, fields ...string) relaytest.Response {
	t.Helper()
	c := m.Raw(t)
	defer c.Close() //nolint:errcheck // it is not needed any more
	c.Send(t, m.call(method, target, body, fields...))
	return c.Response(t)
}

// entity is an entity as it is in force.
func (m *managed) entity(name string) *namespace.Entity {
	ns := m.store.Load().Namespace("test")
	if e := ns.Entity(namespace.KindHybridConnection, name); e != nil {
		return e
	}
	return ns.Entity(namespace.KindWCFRelay, name)
}

// audited are the records so far.
func (m *managed) audited() []gateway.AuditRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// entryOf is the body of a PUT.
func entryOf(element, members string) string {
	return `<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"><` + element +
		` xmlns:i="http://www.w3.org/2001/XMLSchema-instance"` +
		` xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">` + members +
		`</` + element + `></content></entry>`
}

func hybrid(members string) string { return entryOf("HybridConnectionDescription", members) }

// atomRule is an authorization rule in such a body.
func atomRule(name, keys string, rights ...string) string {
	text := `<AuthorizationRule i:type="SharedAccessAuthorizationRule"><Rights>`
	for _, r := range rights {
		text += "<AccessRights>" + r + "</AccessRights>"
	}
	return text + "</Rights><KeyName>" + name + "</KeyName>" + keys + "</AuthorizationRule>"
}

// atomEntry is what clients read.
type atomEntry struct {
	Title  string         `xml:"title"`
	Hybrid *atomDescribed `xml:"content>HybridConnectionDescription"`
	Relay  *atomDescribed `xml:"content>RelayDescription"`
}

type atomDescribed struct {
	CreatedAt, UpdatedAt                                   time.Time
	RequiresClientAuthorization, RequiresTransportSecurity bool
	RelayType, UserMetadata                                string
	ListenerCount                                          int
	Rules                                                  []struct {
		Rights                            []string `xml:"Rights>AccessRights"`
		KeyName, PrimaryKey, SecondaryKey string
	} `xml:"AuthorizationRules>AuthorizationRule"`
}

func wantEntry(t *testing.T, r relaytest.Response, status int) atomEntry {
	t.Helper()
	var e atomEntry
	if err := xml.Unmarshal([]byte(r.Body), &e); err != nil || r.Status != status ||
		r.Header.Get("Content-Type") != "application/atom+xml;type=entry;charset=utf-8" ||
		r.Header.Get("TrackingId") == "" || r.Header.Get("Via") != "" {
		t.Fatalf("response %v, %v; want %d and an entry", r, err, status)
	}
	return e
}

// wantErrorDocument checks a refusal; parts are of its text.
func wantErrorDocument(t *testing.T, what string, r relaytest.Response, status int, parts ...string) {
	t.Helper()
	if r.Status != status || r.Header.Get("TrackingId") == "" || r.Header.Get("Via") != "" ||
		!strings.HasPrefix(r.Body, fmt.Sprintf("<Error><Code>%d</Code><Detail>", status)) {
		t.Errorf("%s: response %v, want %d", what, r, status)
	}
	for _, part := range append(parts, "TrackingId:", "Timestamp:") {
		if !strings.Contains(r.Body, part) || !strings.Contains(r.Phrase, part) {
			t.Errorf("%s: response %v, want %q", what, r, part)
		}
	}
}

// TestManagementLife: an entity from its making to its end, used in between.
func TestManagementLife(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	begin := time.Now().Add(-time.Second)
	c := m.Raw(t)
	do := func(method, body string, fields ...string) relaytest.Response {
		t.Helper()
		c.Send(t, m.call(method, "/made/Here?api-version=2016-07", body, fields...))
		return c.Response(t)
	}
	rules := "<AuthorizationRules>" + atomRule("both", "", "Listen", "Send") +
		atomRule("own", "<PrimaryKey>own-key</PrimaryKey>", "Manage", "Send", "Listen") +
		"</AuthorizationRules>"
	e := wantEntry(t, do("PUT", hybrid("<UserMetadata>&lt;m&gt;</UserMetadata>"+rules)), 201)
	d := e.Hybrid
	if e.Title != "made/Here" || d == nil || !d.RequiresClientAuthorization || d.UserMetadata != "<m>" ||
		d.CreatedAt.Before(begin) || !d.CreatedAt.Equal(d.UpdatedAt) || len(d.Rules) != 2 ||
		len(d.Rules[0].PrimaryKey) != 44 || len(d.Rules[0].SecondaryKey) != 44 ||
		d.Rules[0].PrimaryKey == d.Rules[0].SecondaryKey || d.Rules[1].PrimaryKey != "own-key" ||
		!slices.Equal(d.Rules[1].Rights, []string{"Listen", "Send", "Manage"}) {
		t.Fatalf("entry %+v %+v", e, d)
	}
	key := d.Rules[0].SecondaryKey
	token := sas.Sign("http://relay.test/made/here", "both", key, time.Now().Add(time.Hour))
	l := m.Listen(t, relaytest.Dial{Path: "made/here", Token: token})
	s, r := l.Pair(t, relaytest.Dial{Path: "made/here", Token: token})
	relaytest.Exchange(t, s, r)
	if d := wantEntry(t, do("GET", ""), 200).Hybrid; d.ListenerCount != 1 || len(d.Rules) != 2 {
		t.Errorf("entry %+v", d)
	}

	wantErrorDocument(t, "again", do("PUT", hybrid("")), 409, "exists already", "If-Match")
	e = wantEntry(t, do("PUT", hybrid("<RequiresClientAuthorization>false</RequiresClientAuthorization>"),
		"If-Match: *"), 200)
	d = e.Hybrid
	if d.RequiresClientAuthorization || d.UserMetadata != "" || !d.CreatedAt.Before(d.UpdatedAt) ||
		d.CreatedAt.Before(begin) || d.ListenerCount != 1 || len(d.Rules) != 2 ||
		d.Rules[0].SecondaryKey != key {
		t.Errorf("entry %+v", d)
	}
	again := wantEntry(t, do("PUT", hybrid("<AuthorizationRules>"+atomRule("BOTH", "", "Listen")+
		"</AuthorizationRules>"), "If-Match: *"), 200).Hybrid
	if len(again.Rules) != 1 || again.Rules[0].SecondaryKey != key {
		t.Errorf("entry %+v", again)
	}
	if got := m.entity("made/here").Rules; len(got) != 1 || got[0].Rights != sas.Listen {
		t.Errorf("rules %v", got)
	}
	relaytest.Exchange(t, s, r)

	if res := do("DELETE", ""); res.Status != 200 || res.Body != "" || res.Header.Get("TrackingId") == "" {
		t.Errorf("response %v", res)
	}
	l.WantClose(t, 1001)
	s.WantClose(t, 1001)
	m.Connect(t, relaytest.Dial{Path: "made/here", Token: root("http%3A%2F%2Frelay.test")}).Want(t, 404)
	wantErrorDocument(t, "delete again", do("DELETE", ""), 404, "Endpoint does not exist")
	wantErrorDocument(t, "change", do("PUT", hybrid(""), "If-Match: *"), 404, "Endpoint does not exist")
	if res := do("GET", ""); res.Status != 200 || !strings.Contains(res.Body, "<feed") {
		t.Errorf("response %v", res)
	}
}

// TestManagementKeepsWhatItCannotSay: a change leaves alone what the document
// has no member for.
func TestManagementKeepsWhatItCannotSay(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	before := *m.entity(relaytest.Authorized)
	before.ListenersMax, before.Disabled, before.HTTPBodyGap = 7, true, time.Minute
	next, err := m.store.Load().Apply(time.Now(), namespace.PutEntity("test", before))
	if err != nil {
		t.Fatal(err)
	}
	m.store.Swap(next)
	if d := wantEntry(t, m.do(t, "GET", closedTarget, ""), 200).Hybrid; d == nil {
		t.Error("a disabled entity is not described")
	}
	wantEntry(t, m.do(t, "PUT", "/AUTHENTICATED/", hybrid("<UserMetadata>new</UserMetadata>"), "If-Match: *"), 200)
	e := m.entity(relaytest.Authorized)
	if e.ListenersMax != 7 || !e.Disabled || e.HTTPBodyGap != time.Minute || e.UserMetadata != "new" ||
		e.Name != relaytest.Authorized || len(e.Rules) != 1 || e.Rules[0].PrimaryKey != relaytest.EntityKey {
		t.Errorf("entity %+v", e)
	}
}

// TestManagementWCFRelays: made, listed and removed beside hybrid connections,
// with which they share their names.
func TestManagementWCFRelays(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	relay := func(members string) string { return entryOf("RelayDescription", members) }
	d := wantEntry(t, m.do(t, "PUT", "/echo", relay("<RelayType>NetTcp</RelayType>"+
		"<RequiresTransportSecurity>false</RequiresTransportSecurity><IsDynamic>true</IsDynamic>")), 201).Relay
	if d == nil || d.RelayType != "NetTcp" || d.RequiresTransportSecurity ||
		!d.RequiresClientAuthorization || d.CreatedAt.IsZero() {
		t.Fatalf("entry %+v", d)
	}
	wantErrorDocument(t, "no type", m.do(t, "PUT", "/other", relay("")), 400, "relay_type: want NetTcp or Http")
	wantErrorDocument(t, "the other kind", m.do(t, "PUT", "/echo", hybrid(""), "If-Match: *"), 409)
	wantErrorDocument(t, "the other kind", m.do(t, "PUT", closedTarget,
		relay("<RelayType>Http</RelayType>"), "If-Match: *"), 409)
	if d := wantEntry(t, m.do(t, "GET", "/ECHO", ""), 200).Relay; d == nil || d.RelayType != "NetTcp" {
		t.Errorf("entry %+v", d)
	}
	if res := m.do(t, "GET", "/$Resources/Relays", ""); strings.Count(res.Body, "<entry") != 1 ||
		!strings.Contains(res.Body, "<RelayDescription") {
		t.Errorf("response %v", res)
	}
	// It is no path for requests.
	m.Connect(t, relaytest.Dial{Path: "echo", Token: root("http%3A%2F%2Frelay.test")}).Want(t, 404)
	if res := m.do(t, "DELETE", "/echo", ""); res.Status != 200 || m.entity("echo") != nil {
		t.Errorf("response %v", res)
	}
}

// TestManagementStatuses: each way in which a call may be wrong. Nothing
// changes, and the connection lives on where the call was read whole.
func TestManagementStatuses(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	before := m.store.Load()
	good := hybrid("")
	rules := func(all string) string { return hybrid("<AuthorizationRules>" + all + "</AuthorizationRules>") }
	for _, tt := range []struct {
		name, method, target, body string
		fields                     []string
		status                     int
		text                       string
		ends                       bool // the connection
	}{
		{"exists", "PUT", openTarget, good, nil, 409, "The endpoint exists already", false},
		{"in another letter case", "PUT", "/UNAUTHENTICATED/", good, nil, 409, "exists already", false},
		{"absent", "PUT", "/new", good, []string{"If-Match: *"}, 404, "Endpoint does not exist", false},
		{"below one", "PUT", openTarget + "/x", good, []string{"If-Match: *"}, 404, "does not exist", false},
		{"delete absent", "DELETE", "/new", "", nil, 404, "Endpoint does not exist", false},
		{"delete below one", "DELETE", openTarget + "/x", "", nil, 404, "does not exist", false},
		{"delete all", "DELETE", "/", "", nil, 404, "Endpoint does not exist", false},
		{"tag", "PUT", openTarget, good, []string{`If-Match: "x"`}, 412, "If-Match", false},
		{"two tags", "PUT", openTarget, good, []string{"If-Match: *", "If-Match: *"}, 412, "If-Match", false},
		{"no body", "PUT", "/new", "", nil, 400, "description of the entity", false},
		{"no XML", "PUT", "/new", "{}", nil, 400, "no Atom entry", false},
		{"document type", "PUT", "/new", "<!DOCTYPE a>" + good, nil, 400, "document type", false},
		{"no description", "PUT", "/new", entryOf("QueueDescription", ""), nil, 400, "its content is", false},
		{"no name", "PUT", "/", good, nil, 400, "name: want 1-260 letters", false},
		{"name", "PUT", "/a%20b", good, nil, 400, "name: want", false},
		{"long name", "PUT", "/" + strings.Repeat("a", 261), good, nil, 400, "name: want", false},
		{"reserved", "PUT", "/$Resources/Relays", good, nil, 400, "name: want", false},
		{"metadata", "PUT", "/new", hybrid("<UserMetadata>" + long(1025) + "</UserMetadata>"), nil, 400,
			"user_metadata: want 0-1024 characters, got 1025", false},
		{"no rights", "PUT", "/new", rules(atomRule("a", "")), nil, 400, "authorization_rules[0].rights", false},
		{"other rights", "PUT", "/new", rules(atomRule("a", "", "Read")), nil, 400, "other rights", false},
		{"Manage alone", "PUT", "/new", rules(atomRule("a", "", "Manage")), nil, 400,
			"want Listen and Send beside Manage", false},
		{"rule without a name", "PUT", "/new", rules(atomRule("", "", "Send")), nil, 400, "rules[0].name", false},
		{"rule twice", "PUT", "/new", rules(atomRule("a", "", "Send") + atomRule("A", "", "Send")), nil, 400,
			"another name than", false},
		{"13 rules", "PUT", "/new", rules(strings.Repeat(atomRule("a", "", "Send"), 13)), nil, 400, "0-12 rules",
			false},
		{"key", "PUT", "/new", rules(atomRule("a", "<PrimaryKey>"+relaytest.KeyMark+";</PrimaryKey>", "Send")),
			nil, 400, "primary_key", false},
		{"POST", "POST", openTarget, good, nil, 405, "not allowed", false},
		{"PATCH", "PATCH", openTarget, "", nil, 405, "not allowed", false},
		{"too long", "PUT", "/new", long(65537), nil, 413, "at most 65536 bytes", true},
		{"announced too long", "PUT", "/new", "", []string{"Content-Length: 65537"}, 413, "65536", true},
		{"chunks too long", "PUT", "/new", relaytest.Chunked(long(60_000), long(5537)),
			[]string{relaytest.ChunkedCoding}, 413, "65536", true},
		{"broken chunks", "PUT", "/new", "x\r\n", []string{relaytest.ChunkedCoding}, 400, "framing", true},
		{"expectation", "PUT", "/new", good, []string{"Expect: x"}, 417, "100-continue", true},
		{"page", "GET", "/$Resources/Relays?$skip=-1", "", nil, 400, "$skip", false},
		{"page", "GET", "/$Resources/Relays?$skip=x", "", nil, 400, "$skip", false},
		{"page", "GET", "/$Resources/Relays?%24top=0", "", nil, 400, "$top", false},
		{"page", "GET", "/$Resources/Relays?$top=99999999999999999999", "", nil, 400, "$top", false},
	} {
		c := m.Raw(t)
		c.Send(t, m.call(tt.method, tt.target, tt.body, tt.fields...))
		r := c.Response(t)
		wantErrorDocument(t, tt.name, r, tt.status, tt.text)
		if closes := r.Header.Get("Connection") == "close"; closes != tt.ends {
			t.Errorf("%s: response %v, want it to end the connection: %v", tt.name, r, tt.ends)
		}
		if strings.Contains(r.Body+r.Phrase, relaytest.KeyMark) {
			t.Errorf("%s: a key in %v", tt.name, r)
		}
		if r.Status == 405 && r.Header.Get("Allow") != "GET, PUT, DELETE" {
			t.Errorf("%s: response %v", tt.name, r)
		}
		if !tt.ends {
			c.Send(t, m.call("GET", openTarget, ""))
			wantEntry(t, c.Response(t), 200)
		}
		_ = c.Close()
	}
	if m.store.Load() != before {
		t.Error("something has changed")
	}
}

// TestManagementReadOnly: namespaces from a file.
func TestManagementReadOnly(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]namespacestore.Writer{
		"none": nil, "read-only": namespacestore.ReadOnly{},
		"later": writerFunc(func(update) (*namespace.Snapshot, error) { return nil, namespacestore.ErrReadOnly }),
	} {
		m := startManaged(t, func(c *gateway.Config) { c.Entities = w })
		for _, method := range []string{"PUT", "DELETE"} {
			r := m.do(t, method, "/new", hybrid(""))
			wantErrorDocument(t, name, r, 405, "namespaces of this gateway are read-only")
			if allow := r.Header.Get("Allow"); name != "later" && allow != "GET" {
				t.Errorf("%s: Allow %q", name, allow)
			}
			r = m.Ask(t, method, "/new", hybrid(""), mark).Response(t)
			wantErrorDocument(t, name, r, 401, "MissingToken")
		}
		wantEntry(t, m.do(t, "GET", openTarget, ""), 200)
	}
}

type update = func(*namespace.Snapshot) ([]namespace.Change, error)

// writerFunc is a store that does what a test wants.
type writerFunc func(update) (*namespace.Snapshot, error)

func (f writerFunc) Update(u update) (*namespace.Snapshot, error) { return f(u) }

// TestManagementStoreErrors: what the store says becomes a status.
func TestManagementStoreErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		text   string
	}{
		{fmt.Errorf("%w: disk on fire", namespacestore.ErrUnavailable), 503, "cannot be changed now"},
		{fmt.Errorf("%w: 10", namespacestore.ErrFull), 403, "QuotaExceeded"},
		{namespace.ErrConflict, 409, "exists already"},
		{namespace.ErrNotFound, 404, "does not exist"},
		{errors.New("something else"), 500, "InternalServerError"},
	} {
		m := startManaged(t, func(c *gateway.Config) {
			c.Entities = writerFunc(func(update) (*namespace.Snapshot, error) { return nil, tt.err })
		})
		c := m.Raw(t)
		for range 2 {
			c.Send(t, m.call("PUT", "/new", hybrid("")))
			r := c.Response(t)
			wantErrorDocument(t, tt.err.Error(), r, tt.status, tt.text)
			if retry := r.Header.Get("Retry-After") != ""; retry != (tt.status == 503) ||
				strings.Contains(r.Body, "fire") {
				t.Errorf("%v: response %v", tt.err, r)
			}
		}
	}
}

// TestManagementRights: who may do what.
func TestManagementRights(t *testing.T) {
	t.Parallel()
	const all = sas.Listen | sas.Send | sas.Manage
	m := startManaged(t)
	e := *m.entity(relaytest.Authorized)
	e.Rules = append(slices.Clone(e.Rules), namespace.Rule{Name: "boss", Rights: all, PrimaryKey: "boss-key"})
	next, err := m.store.Load().Apply(time.Now(), namespace.PutEntity("test", e))
	if err != nil {
		t.Fatal(err)
	}
	m.store.Swap(next)
	here := relaytest.Authorized
	tokens := map[string]string{
		"root":              mint("", relaytest.RootRule, relaytest.RootKey),
		"root, second key":  mint("", relaytest.RootRule, relaytest.SecondaryKey),
		"root, this entity": mint(here, relaytest.RootRule, relaytest.RootKey),
		"root, another":     mint(relaytest.Sibling, relaytest.RootRule, relaytest.RootKey),
		"listen":            mint("", relaytest.ListenRule, relaytest.ListenKey),
		"send":              mint("", relaytest.SendRule, relaytest.SendKey),
		"entity":            mint(here, relaytest.EntityRule, relaytest.EntityKey),
		"boss":              mint(here, "boss", "boss-key"),
		"wrong key":         mint("", relaytest.RootRule, "wrong"),
		"none":              "",
	}
	reads := []string{"root", "root, second key", "root, this entity", "listen", "entity", "boss"}
	manages := []string{"root", "root, second key", "root, this entity", "boss"}
	namespaces := []string{"root", "root, second key"}
	for _, tt := range []struct {
		method, target string
		fields         []string
		allowed        []string
		status         int
	}{
		{"GET", "/" + here, nil, reads, 200},
		{"GET", "/" + here + "/below", nil, reads, 200},
		{"GET", "/nowhere", nil, append(slices.Clone(namespaces), "listen"), 200},
		{"GET", "/$Resources/HybridConnections", nil, namespaces, 200},
		{"PUT", "/" + here, []string{"If-Match: *"}, manages, 200},
		{"PUT", "/" + here, nil, manages, 409},
		{"PUT", "/nowhere", []string{"If-Match: *"}, namespaces, 404},
		{"DELETE", "/nowhere", nil, namespaces, 404},
		{"DELETE", "/" + here + "/below", nil, append(slices.Clone(namespaces), "root, this entity"), 404},
	} {
		for name, token := range tokens {
			body := ""
			if tt.method == "PUT" {
				body = hybrid("")
			}
			r := m.Ask(t, tt.method, tt.target, body, append(tt.fields, mark, "Authorization: "+token)...).Response(t)
			if !slices.Contains(tt.allowed, name) {
				wantErrorDocument(t, tt.method+" "+tt.target+" "+name, r, 401)
				continue
			}
			if r.Status != tt.status {
				t.Errorf("%s %s with %s: response %v, want %d", tt.method, tt.target, name, r, tt.status)
			}
			keys := strings.Contains(r.Body, "boss-key")
			if want := r.Status == 200 && strings.Contains(tt.target, here) &&
				slices.Contains(manages, name); keys != want {
				t.Errorf("%s %s with %s: keys are shown: %v", tt.method, tt.target, name, keys)
			}
		}
	}
}

// TestManagementRuleRemoved: a token must be good when the change is made, not
// only when it came.
func TestManagementRuleRemoved(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	m := startManaged(t, func(c *gateway.Config) {
		memory := c.Entities
		c.Entities = writerFunc(func(u update) (*namespace.Snapshot, error) {
			begun <- struct{}{}
			<-proceed
			return memory.Update(u)
		})
	})
	c := m.Raw(t)
	c.Send(t, m.call("PUT", "/new", hybrid("")))
	<-begun
	d := m.store.Load().Namespace("test").Settings()
	d.Rules = d.Rules[1:]
	next, err := m.store.Load().Apply(time.Now(), namespace.PutNamespace(d))
	if err != nil {
		t.Fatal(err)
	}
	m.store.Swap(next)
	close(proceed)
	wantErrorDocument(t, "removed", c.Response(t), 401, "InvalidSignature")
	if m.entity("new") != nil {
		t.Error("it has been made")
	}
}
