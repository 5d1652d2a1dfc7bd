package gateway_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestManagementRecognised: what is a management call, and what a request for a
// listener, which gets its query whole.
func TestManagementRecognised(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	l := m.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	l.Serve(t, func(r *relaytest.Request) relaytest.Reply {
		return relaytest.Reply{Headers: map[string]any{"X-Target": r.Target}}
	})
	const atom = "application/atom+xml"
	for _, tt := range []struct {
		method, query string
		fields        []string
		call          bool
	}{
		{"GET", "?api-version=2016-07", []string{mark}, true},
		{"GET", "?a=b&API-Version=2013-10", []string{"x-process-at: servicebus"}, true},
		{"GET", "", []string{mark}, true},
		{"GET", "?api-version=2099-01", []string{mark}, true},
		{"GET", "?api-version=2016-07", nil, false},
		{"GET", "?api-version=2016-07", []string{"X-PROCESS-AT: other"}, false},
		{"GET", "?api-version=2016-07", []string{"Accept: " + atom}, true},
		{"GET", "?api%2Dversion=2017%2D04", []string{"Accept: text/html, Application/Atom+xml ; type=entry"}, true},
		{"GET", "?api-version=2013-07", []string{"Content-Type: " + atom + ";charset=utf-8"}, true},
		{"GET", "?api-version=2012-07", []string{"Accept: " + atom}, false},
		{"GET", "?api-version=2018-01", []string{"Accept: " + atom}, false},
		{"GET", "?api-version=2016", []string{"Accept: " + atom}, false},
		{"GET", "?api-version=", []string{"Accept: " + atom}, false},
		{"GET", "?xapi-version=2016-07", []string{"Accept: " + atom}, false},
		{"GET", "?api-version=2016-07", []string{"Accept: */*"}, false},
		{"GET", "", []string{"Accept: " + atom}, false},
		{"PUT", "?api-version=2016-07", []string{"Content-Type: " + atom, "If-Match: *"}, true},
		{"PUT", "?api-version=2016-07", []string{"Content-Type: text/xml", "If-Match: *"}, false},
	} {
		body := ""
		if tt.method == "PUT" {
			body = hybrid("<RequiresClientAuthorization>0</RequiresClientAuthorization>")
		}
		r := m.Ask(t, tt.method, openTarget+tt.query, body, append(tt.fields,
			"Authorization: "+root("http%3A%2F%2Frelay.test"))...).Response(t)
		if target := r.Header.Get("X-Target"); r.Status != 200 || (target == "") != tt.call ||
			!tt.call && target != openTarget+tt.query {
			t.Errorf("%s %s %q: response %v, want a call: %v", tt.method, tt.query, tt.fields, r, tt.call)
		}
	}
}

// TestManagementFeeds follows the pages of a list.
func TestManagementFeeds(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	var all []namespace.Change
	for i := range 247 {
		all = append(all, namespace.PutEntity("test", namespace.Entity{Name: fmt.Sprintf("many/%03d", i),
			UserMetadata: strings.Repeat(`"`, 1024)}))
	}
	next, err := m.store.Load().Apply(time.Now(), all...)
	if err != nil {
		t.Fatal(err)
	}
	m.store.Swap(next)
	type feed struct {
		Links []struct {
			Rel  string `xml:"rel,attr"`
			Href string `xml:"href,attr"`
		} `xml:"link"`
		Entries []atomEntry `xml:"entry"`
	}
	c := m.Raw(t)
	read := func(target string) (f feed, following string) {
		t.Helper()
		c.Send(t, m.call("GET", target, ""))
		r := c.Response(t)
		if err := xml.Unmarshal([]byte(r.Body), &f); err != nil || r.Status != 200 ||
			r.Header.Get("Content-Type") != "application/atom+xml;type=feed;charset=utf-8" ||
			len(r.Body) > 1<<20 {
			t.Fatalf("%s: response %.300v, %v", target, r, err)
		}
		for _, l := range f.Links {
			if l.Rel == "next" {
				following = strings.TrimPrefix(l.Href, "http://"+m.HTTP)
			}
		}
		return f, following
	}
	for query, sizes := range map[string][]int{
		"?api-version=2016-07":                {100, 100, 50},
		"":                                    {100, 100, 50},
		"?$top=200&$skip=100":                 {100, 50},
		"?%24top=90&$SKIP=1&api-version=x%26": {90, 90, 69},
		"?$skip=249":                          {1},
		"?$skip=250":                          {0},
		"?$skip=9223372036854775807&$top=999999999999": {0},
	} {
		seen := map[string]bool{}
		target := "/$resources/HYBRIDConnections" + query
		for i, size := range sizes {
			f, following := read(target)
			for _, e := range f.Entries {
				seen[e.Title] = true
				if e.Hybrid == nil || len(e.Hybrid.Rules) != 0 {
					t.Errorf("%s: entry %+v", target, e)
				}
			}
			if len(f.Entries) != size || (following == "") != (i == len(sizes)-1) {
				t.Errorf("%s: %d entries, then %q", target, len(f.Entries), following)
			}
			target = following
		}
		total := 0
		for _, size := range sizes {
			total += size
		}
		if len(seen) != total {
			t.Errorf("%s: %d entities on all pages", query, len(seen))
		}
	}
	// An empty list is no list of something else.
	if f, following := read("/$Resources/Relays"); len(f.Entries) != 0 || following != "" {
		t.Errorf("feed %+v", f)
	}
}

// TestManagementLongAnswers: a client that takes its time gets all of it, and
// the answers to what it pipelined behind; one that takes nothing is given up.
func TestManagementLongAnswers(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *gateway.Config) { c.HTTP.SendStall = 3 * time.Second })
	var all []namespace.Change
	for i := range 100 {
		all = append(all, namespace.PutEntity("test", namespace.Entity{Name: fmt.Sprintf("many/%03d", i),
			UserMetadata: strings.Repeat(`"`, 1024)}))
	}
	next, err := m.store.Load().Apply(time.Now(), all...)
	if err != nil {
		t.Fatal(err)
	}
	m.store.Swap(next)
	feed := m.call("GET", "/$Resources/HybridConnections", "")
	const times = 16
	c := m.Raw(t)
	small(t, c)
	c.Send(t, strings.Repeat(feed, times)+m.call("GET", closedTarget, ""))
	for range times {
		if r := c.Response(t); r.Status != 200 || len(r.Body) < 100*5*1024 {
			t.Fatalf("response %.300v", r)
		}
	}
	wantEntry(t, c.Response(t), 200)

	stuck := m.Raw(t)
	small(t, stuck)
	stuck.Send(t, strings.Repeat(feed, times))
	relaytest.Eventually(t, "it is given up", func() bool { return m.e.Open() == 1 })
}

// TestManagementCut: a call that is cut anywhere changes nothing, and one that
// comes in two pieces is whole.
func TestManagementCut(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	body := hybrid("<UserMetadata>m</UserMetadata>")
	call := m.call("PUT", "/cut", body)
	chunked := m.call("PUT", "/cut", relaytest.Chunked(body[:9], body[9:]), relaytest.ChunkedCoding)
	for _, text := range []string{call, chunked} {
		for i := len(text) - len(body) - 100; i < len(text); i += 1 {
			c := m.Raw(t)
			c.Send(t, text[:i])
			_ = c.CloseWrite()
			_, _ = io.ReadAll(c)
			_ = c.Close()
		}
	}
	if m.entity("cut") != nil || len(m.audited()) != 0 {
		t.Error("a part of a call has made it")
	}
	c := m.Raw(t)
	for _, text := range []string{call, chunked} {
		text = strings.Replace(text, "\r\n", "\r\nIf-Match: *\r\n", 1)
		m.do(t, "PUT", "/cut", body)
		for i := 1; i < len(text); i++ {
			c.Send(t, text[:i])
			c.Send(t, text[i:])
			wantEntry(t, c.Response(t), 200)
		}
	}
}

// TestManagementSlowBody: the whole body has the time of a head.
func TestManagementSlowBody(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *gateway.Config) { c.HeadTimeout = short })
	begin := time.Now()
	c := m.Raw(t)
	c.Send(t, m.call("PUT", "/slow", "", "Content-Length: 60000"))
	done := make(chan relaytest.Response, 1)
	go func() {
		r, _ := c.TryResponse("PUT")
		done <- r
	}()
	for over := false; !over; {
		_, _ = io.WriteString(c.TCPConn, " ")
		select {
		case r := <-done:
			wantErrorDocument(t, "slow", r, 408, "body stopped arriving")
			over = true
		case <-time.After(short / 10):
		}
	}
	within(t, "408", begin, short, 20*short)
}

// TestManagementExpect: who waits for it is told to send its body, once its
// token is known to be good.
func TestManagementExpect(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	body := hybrid("")
	length := fmt.Sprintf("Content-Length: %d", len(body))
	c := m.Raw(t)
	c.Send(t, m.call("PUT", "/expect", "", length, "Expect: 100-continue"))
	if head := c.Head(t); !strings.HasPrefix(head, "HTTP/1.1 100 ") {
		t.Fatalf("got %q", head)
	}
	c.Send(t, body)
	wantEntry(t, c.Response(t), 201)
	c.Send(t, m.call("PUT", "/expect/2", body, length, "Expect: 100-continue"))
	wantEntry(t, c.Response(t), 201)
	c.Send(t, m.HTTPRequest("PUT", "/expect/3", "", mark, length, "Expect: 100-continue"))
	wantErrorDocument(t, "no token", c.Response(t), 401, "MissingToken")
	c.WantEnd(t)
}

// TestManagementAtOnce: of many that make the same entity, one does.
func TestManagementAtOnce(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	const clients = 20
	statuses := make(chan int, clients)
	for range clients {
		c := m.Raw(t)
		go func() {
			_, _ = io.WriteString(c.TCPConn, m.call("PUT", "/once", hybrid("")))
			r, _ := c.TryResponse("PUT")
			statuses <- r.Status
		}()
	}
	count := map[int]int{}
	for range clients {
		count[relaytest.Receive(t, statuses, "a response")]++
	}
	if count[201] != 1 || count[409] != clients-1 {
		t.Errorf("statuses %v", count)
	}
}

// TestManagementPipelined: calls and requests of one connection, in order.
func TestManagementPipelined(t *testing.T) {
	t.Parallel()
	m := startManaged(t)
	l := m.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	l.Serve(t, sentBack)
	body := hybrid("")
	all := m.call("PUT", "/pipe", body) + m.call("GET", "/pipe", "") +
		m.HTTPRequest("POST", openTarget, "relayed") + m.call("PUT", "/pipe", body) +
		m.call("PUT", "/pipe", relaytest.Chunked(body), relaytest.ChunkedCoding, "If-Match: *") +
		m.call("DELETE", "/pipe", "") + m.call("DELETE", "/pipe", "a body") +
		m.HTTPRequest("POST", openTarget, "too")
	for _, size := range []int{len(all), 500, 7} {
		c := m.Raw(t)
		go func() {
			for p := all; p != ""; p = p[min(size, len(p)):] {
				_, _ = io.WriteString(c.TCPConn, p[:min(size, len(p))])
			}
		}()
		for i, status := range []int{201, 200, 200, 409, 200, 200, 404, 200} {
			r := c.Response(t)
			if r.Status != status || i == 2 && r.Body != "relayed" || i == 7 && r.Body != "too" {
				t.Fatalf("pieces of %d, response %d: %v, want %d", size, i, r, status)
			}
		}
		_ = c.Close()
	}
	c := m.Raw(t) // one that leaves is answered
	c.Send(t, m.call("PUT", "/left", body)+m.call("DELETE", "/left", ""))
	_ = c.CloseWrite()
	wantEntry(t, c.Response(t), 201)
	c.WantResponse(t, 200, "")
	c.WantEnd(t)
}

// blocked is a gateway whose store waits until it is let go.
type blocked struct {
	*managed
	letGo func()
	begun atomic.Int32
}

func startBlocked(t *testing.T, edit ...func(*gateway.Config)) *blocked {
	t.Helper()
	b := &blocked{}
	wait := make(chan struct{})
	b.letGo = sync.OnceFunc(func() { close(wait) })
	all := append([]func(*gateway.Config){func(c *gateway.Config) {
		memory := namespacestore.NewMemory(c.Namespaces, namespacestore.Limits{})
		c.Entities = writerFunc(func(u update) (*namespace.Snapshot, error) {
			b.begun.Add(1)
			<-wait
			return memory.Update(u)
		})
	}}, edit...)
	b.managed = startManaged(t, all...)
	t.Cleanup(b.letGo)
	return b
}

// put begins a PUT of the entity and waits until the store has it, or until it
// waits for its turn.
func (b *blocked) put(t *testing.T, name string) *relaytest.Raw {
	t.Helper()
	before, begun := b.g.BodyMemory(), b.begun.Load()
	c := b.Raw(t)
	c.Send(t, b.call("PUT", "/"+name, hybrid("")))
	relaytest.Eventually(t, "the call is read", func() bool { return b.g.BodyMemory() > before })
	b.e.Do(func(*engine.Loop) {}) // and what comes of it is done
	if begun < 4 {
		relaytest.Eventually(t, "it is with the store", func() bool { return b.begun.Load() > begun })
	}
	return c
}

// TestManagementStoreBlocks: a store that hangs holds up four changes, and 64
// more that wait. All others go on.
func TestManagementStoreBlocks(t *testing.T) {
	t.Parallel()
	b := startBlocked(t)
	const most = 4 + 64
	var waiting []*relaytest.Raw
	for i := range most {
		waiting = append(waiting, b.put(t, fmt.Sprintf("new/%d", i)))
	}
	for range 3 {
		r := b.do(t, "PUT", "/more", hybrid(""))
		wantErrorDocument(t, "full", r, 503, "too many changes are waiting")
		if r.Header.Get("Retry-After") != "1" {
			t.Errorf("response %v", r)
		}
	}
	if n := b.begun.Load(); n != 4 {
		t.Errorf("%d changes at once", n)
	}
	l := b.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	c := b.Raw(t)
	c.Send(t, b.HTTPRequest("POST", openTarget, "x"))
	l.NextRequest(t).Respond(t, relaytest.Reply{})
	c.WantResponse(t, 200, "")
	c.Send(t, b.call("GET", openTarget, ""))
	wantEntry(t, c.Response(t), 200)
	b.letGo()
	for i, c := range waiting {
		wantEntry(t, c.Response(t), 201)
		if b.entity(fmt.Sprintf("new/%d", i)) == nil {
			t.Errorf("change %d was not made", i)
		}
	}
	wantEntry(t, b.do(t, "PUT", "/more", hybrid("")), 201)
}

// TestManagementTimeout: 503 for who waits too long. What has not begun is not
// made any more, what has is made and told of.
func TestManagementTimeout(t *testing.T) {
	t.Parallel()
	b := startBlocked(t, func(c *gateway.Config) { c.HTTP.ResponseTimeout = 3 * short })
	var all []*relaytest.Raw
	for i := range 6 {
		all = append(all, b.put(t, fmt.Sprintf("late/%d", i)))
	}
	for i, c := range all {
		r := c.Response(t)
		wantErrorDocument(t, "late", r, 503, "cannot be changed now")
		if may := strings.Contains(r.Phrase, "may still be made"); may != (i < 4) {
			t.Errorf("change %d: response %v", i, r)
		}
		c.Send(t, b.call("GET", openTarget, "")) // the connection is in step
		wantEntry(t, c.Response(t), 200)
	}
	b.letGo()
	relaytest.Eventually(t, "four are made", func() bool { return len(b.audited()) == 4 })
	for i := range all {
		if made := b.entity(fmt.Sprintf("late/%d", i)) != nil; made != (i < 4) {
			t.Errorf("change %d is made: %v", i, made)
		}
	}
	wantEntry(t, b.do(t, "PUT", "/new", hybrid("")), 201)
	if n := len(b.audited()); n != 5 {
		t.Errorf("%d records", n)
	}
}

// TestManagementClientGone: the change of a client that leaves is made.
func TestManagementClientGone(t *testing.T) {
	t.Parallel()
	b := startBlocked(t)
	b.put(t, "gone").Abort()
	_ = b.put(t, "gone/closed").Close()
	half := b.put(t, "gone/half")
	_ = half.CloseWrite()
	relaytest.Eventually(t, "one is gone", func() bool { return b.e.Open() < 3 })
	b.letGo()
	wantEntry(t, half.Response(t), 201)
	half.WantEnd(t)
	relaytest.Eventually(t, "all are made", func() bool { return len(b.audited()) == 3 })
	for _, name := range []string{"gone", "gone/closed", "gone/half"} {
		if b.entity(name) == nil {
			t.Errorf("%s is not made", name)
		}
	}
}

// TestManagementDrain: a change that is under way is finished and answered, new
// ones are refused, and the end of the drain does not wait for a store.
func TestManagementDrain(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{false, true} {
		b := startBlocked(t)
		c := b.put(t, "draining")
		part := b.Raw(t)
		before := b.g.BodyMemory()
		part.Send(t, b.call("PUT", "/part", "part", "Content-Length: 100"))
		relaytest.Eventually(t, "a part is there", func() bool { return b.g.BodyMemory() > before })
		late := b.Raw(t)
		late.Send(t, b.call("GET", openTarget, ""))
		wantEntry(t, late.Response(t), 200)
		b.g.RefuseNew()
		late.Send(t, b.call("PUT", "/late", hybrid("")))
		wantErrorDocument(t, "late", late.Response(t), 503, "shutting down")
		late.WantEnd(t)
		b.g.EndListeners(b.e)
		b.g.EndSenders(b.e)
		if n := gateway.Relays(b.e.Counters()); n != 2 {
			t.Errorf("the drain waits for %d", n)
		}
		if ends {
			b.g.EndRelays(b.e)
			wantErrorDocument(t, "end", c.Response(t), 503, "shutting down", "may still be made")
			wantErrorDocument(t, "end", part.Response(t), 503, "shutting down")
		} else {
			b.letGo()
			wantEntry(t, c.Response(t), 201)
			part.Abort()
		}
		c.WantEnd(t)
		relaytest.Eventually(t, "nothing is left", func() bool {
			return gateway.Relays(b.e.Counters()) == 0
		})
		b.letGo()
		relaytest.Eventually(t, "it is made", func() bool { return b.entity("draining") != nil })
	}
}

// TestManagementRestart: what is under way stays with the process that has it,
// what comes later goes to the next one.
func TestManagementRestart(t *testing.T) {
	t.Parallel()
	before, after := startBlocked(t), startManaged(t)
	c := before.put(t, "old")
	part := before.Raw(t)
	held := before.g.BodyMemory()
	text := before.call("PUT", "/part", hybrid(""))
	part.Send(t, text[:len(text)-1])
	relaytest.Eventually(t, "a part is there", func() bool { return before.g.BodyMemory() > held })
	later := before.Raw(t)
	later.Send(t, before.call("GET", openTarget, ""))
	wantEntry(t, later.Response(t), 200)

	before.g.SetSuccessor(after)
	after.g.SetPredecessor(before, before.g.Away())
	before.g.HandOver(before.e)
	later.Send(t, before.call("PUT", "/new", hybrid("")))
	wantEntry(t, later.Response(t), 201)
	if after.entity("new") == nil || before.entity("new") != nil {
		t.Error("the later change is not with the later process")
	}
	part.Send(t, text[len(text)-1:])
	before.letGo()
	wantEntry(t, c.Response(t), 201)
	wantEntry(t, part.Response(t), 201)
	if before.entity("old") == nil || before.entity("part") == nil {
		t.Error("the changes under way were not made")
	}
	c.Send(t, before.call("PUT", "/next", hybrid(""))) // the same connection moves then
	wantEntry(t, c.Response(t), 201)
	if after.entity("next") == nil {
		t.Error("the next change is not with the later process")
	}
}

// TestManagementMemory: bodies count towards http.body_memory, heads towards
// limits.head_memory.
func TestManagementMemory(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *gateway.Config) { c.HTTP.BodyMemory = 100_000 })
	first := m.Raw(t)
	first.Send(t, m.call("PUT", "/first", "", "Content-Length: 60000"))
	relaytest.Eventually(t, "it is held", func() bool { return m.g.BodyMemory() == 60_000 })
	wantErrorDocument(t, "second", m.do(t, "PUT", "/second", "", "Content-Length: 60000"), 503,
		"too many requests are waiting")
	wantErrorDocument(t, "chunks", m.do(t, "PUT", "/second", "", relaytest.ChunkedCoding), 503,
		"too many requests are waiting")
	wantEntry(t, m.do(t, "PUT", "/small", hybrid("")), 201)
	first.Abort()
	relaytest.Eventually(t, "it is given back", func() bool { return m.g.BodyMemory() == 0 })

	m = startManaged(t, func(c *gateway.Config) { c.HeadMemory = 100 })
	wantErrorDocument(t, "no room", m.do(t, "PUT", "/new", hybrid("")), 503, "too many requests are waiting")
}

// TestManagementAudit: each change, and each that was refused by what it said,
// is told of before it is answered, without keys.
func TestManagementAudit(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *gateway.Config) { c.TrustedProxies = loopback })
	rules := func(name string) string {
		return "<AuthorizationRules>" + atomRule(name, "<PrimaryKey>"+relaytest.KeyMark+"</PrimaryKey>", "Send") +
			"</AuthorizationRules>"
	}
	relay := entryOf("RelayDescription", "<RelayType>Http</RelayType>")
	const hybrids = "Microsoft.Relay/namespaces/HybridConnections/"
	const relays = "Microsoft.Relay/namespaces/WcfRelays/"
	c := m.Raw(t)
	for i, tt := range []struct {
		method, target, body, field string
		operation, entity           string
		status                      int
		before, after               string // the first rule of each
	}{
		{"PUT", "/Audit", hybrid(rules("one")), "", hybrids + "write", "Audit", 201, "", "one"},
		{"PUT", "/audit/", hybrid(rules("two")), "If-Match: *", hybrids + "write", "audit", 200, "one", "two"},
		{"PUT", "/audit", hybrid(""), "", hybrids + "write", "audit", 409, "two", ""},
		{"PUT", "/audit", "{}", "", hybrids + "write", "audit", 400, "", ""},
		{"PUT", "/a%20b", relay, "", relays + "write", "a b", 400, "", ""},
		{"PUT", "/relay", relay, "", relays + "write", "relay", 201, "", "-"},
		{"DELETE", "/relay", "", "", relays + "delete", "relay", 200, "-", ""},
		{"DELETE", "/relay", "", "", hybrids + "delete", "relay", 404, "", ""},
		{"DELETE", "/audit", "", "", hybrids + "delete", "audit", 200, "two", ""},
	} {
		c.Send(t, m.call(tt.method, tt.target, tt.body, "X-Forwarded-For: 192.0.2.7:9", tt.field))
		r := c.Response(t)
		all := m.audited()
		if r.Status != tt.status || len(all) != i+1 {
			t.Fatalf("%s %s: response %v, %d records", tt.method, tt.target, r, len(all))
		}
		got := all[i]
		if got.Operation != tt.operation || got.Entity != tt.entity || got.Status != tt.status ||
			got.Actor != relaytest.RootRule || got.Namespace != "test" ||
			got.Address.String() != "192.0.2.7:9" || got.TrackingID != r.Header.Get("TrackingId") ||
			time.Since(got.Time) > time.Minute || ruleOf(got.Before) != tt.before ||
			ruleOf(got.After) != tt.after {
			t.Errorf("%s %s: record %+v", tt.method, tt.target, got)
		}
		text, err := json.Marshal(got)
		if err != nil || strings.Contains(string(text), relaytest.KeyMark) ||
			strings.Contains(string(text), "Key\":\"a") {
			t.Errorf("record %s, %v", text, err)
		}
	}
	for _, text := range []string{
		m.HTTPRequest("PUT", "/audit", hybrid(""), mark), m.call("GET", openTarget, ""),
		m.call("POST", openTarget, ""),
	} {
		c.Send(t, text)
		c.Response(t)
	}
	if n := len(m.audited()); n != 9 {
		t.Errorf("%d records", n)
	}
}

// ruleOf is the name of the first rule, "-" for none, "" without an entity.
func ruleOf(e *namespace.Entity) string {
	switch {
	case e == nil:
		return ""
	case len(e.Rules) == 0:
		return "-"
	}
	return e.Rules[0].Name
}
