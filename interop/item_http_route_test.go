package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 45-50, 52-57, 60-62 of the conformance list: where relayed HTTP
// requests go, and what of a request and a response arrives.

func TestItem45TwoListeners(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			var listeners [2]*httpListener
			for i := range listeners {
				listeners[i] = listenHTTP(t, g, entity, respondWith(style, reply{}))
			}
			kept := dialSender(t, g)
			for i := range 100 {
				s := kept
				if i%2 == 0 {
					s = dialSender(t, g)
				}
				r := s.fetch(t, outgoing{target: "/" + entity, lines: senderLines(entity)})
				wantResponse(t, r, 200, "OK", nil)
			}
			// Either is missed with a chance of 2^-99.
			if a, b := listeners[0].seen(), listeners[1].seen(); a+b != 100 || a == 0 || b == 0 {
				t.Errorf("the listeners have seen %d and %d of 100 requests", a, b)
			}
		})
	})
}

// sentinel hands requests to the test, which responds by itself.
type sentinel struct{ requests chan *httpRequest }

// watch registers a listener whose requests go to the test.
func watch(t *testing.T, g *emulator.Gateway, entity string) sentinel {
	t.Helper()
	w := sentinel{make(chan *httpRequest, 10_000)}
	listenHTTP(t, g, entity, func(r *httpRequest) error {
		w.requests <- r
		return nil
	})
	return w
}

// seen sends a request, gives what the listener sees of it, and answers.
func (w sentinel) seen(t *testing.T, g *emulator.Gateway, o outgoing) *httpRequest {
	t.Helper()
	r, _ := w.answer(t, g, o, reply{})
	return r
}

func (w sentinel) answer(t *testing.T, g *emulator.Gateway, o outgoing, a reply) (
	*httpRequest, *httpResponse) {
	t.Helper()
	responses := make(chan *httpResponse, 1)
	s := dialSender(t, g)
	go func() {
		r, err := s.exchange(o)
		if err != nil {
			t.Errorf("%s %.60s: %v", o.method, o.target, err)
		}
		responses <- r
	}()
	select {
	case r := <-w.requests:
		if err := respondWith(httpStyles[0], a)(r); err != nil {
			t.Fatal(err)
		}
		response := <-responses
		if response == nil {
			t.FailNow()
		}
		return r, response
	case response := <-responses:
		t.Fatalf("%s %.60s: the listener was not asked: %+v", o.method, o.target, response)
	}
	return nil, nil
}

func TestItem46RepeatedHeaders(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	r, response := w.answer(t, g, outgoing{target: "/" + emulator.Anonymous, lines: []string{
		"X-Multi: requestValue1", "Cookie: a=1", "x-multi:requestValue2", "Cookie: b=2",
		"X-Empty:", "X-Blanks:  \t a  b \t "}},
		reply{headers: map[string]any{"X-Multi": []string{"responseValue1", "responseValue2"},
			"X-Empty": ""}})
	for name, want := range map[string]string{"X-Multi": "requestValue1, requestValue2",
		"Cookie": "a=1; b=2", "X-Empty": "", "X-Blanks": "a  b"} {
		if got := r.header(name); got != want || !r.has(name) {
			t.Errorf("the listener sees %s: %q, want %q", name, got, want)
		}
	}
	if got := response.header("X-Multi"); got != "responseValue1, responseValue2" {
		t.Errorf("the sender sees X-Multi: %q", got)
	}
	if got := response.Values("X-Empty"); len(got) != 1 || got[0] != "" {
		t.Errorf("the sender sees X-Empty: %q", got)
	}
}

// TestItem46HeaderCharacters: names with every character of a token, values
// with all that is printable, and escapes of JSON, both ways.
func TestItem46HeaderCharacters(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	const name = "X!#$%&'*+-.^_`|~09az"
	value := "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t </script> \\u0041"
	r, response := w.answer(t, g, outgoing{target: "/" + emulator.Anonymous,
		lines: []string{name + ": " + value}}, reply{headers: map[string]any{name: value}})
	if got := r.header(name); got != value {
		t.Errorf("the listener sees %q, want %q", got, value)
	}
	if got := response.header(name); got != value {
		t.Errorf("the sender sees %q, want %q", got, value)
	}
}

// TestItem46HopByHop: what concerns one connection only stays on it
// (docs/protocol.md, sections 5.4 and 5.6).
func TestItem46HopByHop(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	// check refuses what must not be seen, on every request.
	r, response := w.answer(t, g, outgoing{target: "/" + emulator.Anonymous, body: []byte("x"),
		method: "POST", lines: []string{"Connection: X-Named, keep-alive, x-other ",
			"X-Named: 1", "X-Other: 2", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
			"TE: trailers", "Trailer: X-T", "Close: x", "X-Kept: 3", "User-Agent: tests",
			"Accept: */*", "X-Forwarded-For: 203.0.113.7"}},
		reply{body: []byte("y"), headers: map[string]any{"Connection": "x-hop",
			"Keep-Alive": "timeout=5", "Transfer-Encoding": "chunked", "Upgrade": "h2c",
			"Trailer": "X-T", "TE": "trailers", "X-Kept": "4"}})
	for name, want := range map[string]string{"X-Named": "", "X-Other": "", "X-Kept": "3",
		"User-Agent": "tests", "Accept": "*/*", "X-Forwarded-For": "203.0.113.7"} {
		if got := r.header(name); got != want {
			t.Errorf("the listener sees %s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Upgrade", "Trailer", "TE"} {
		if got := response.Values(name); got != nil {
			t.Errorf("the sender sees %s: %q", name, got)
		}
	}
	wantResponse(t, response, 200, "OK", []byte("y"))
	if response.header("X-Kept") != "4" {
		t.Errorf("the sender sees X-Kept: %q", response.header("X-Kept"))
	}
}

func TestItem47Host(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	for _, host := range []string{g.HTTP, "127.0.0.1", "127.0.0.1:443", "LOCALHOST:1"} {
		r := w.seen(t, g, outgoing{target: "/" + emulator.Anonymous, host: host})
		if got := r.header("Host"); got != host {
			t.Errorf("the listener sees Host: %q, want %q", got, host)
		}
	}
}

// queryTable is the table of docs/protocol.md, section 1.4: a query and what of
// it arrives, the question mark included.
var queryTable = []struct{ sent, seen string }{
	{"?a=1&a=2&", "?a=1&a=2&"},
	{"?&&&", "?&&&"},
	{"?sb-hc-undefined", "?sb-hc-undefined"},
	{"?sb-hc-whatever=", ""},
	{"?sb-hc-id=1", ""},
	{"?custom=value&sb-hc-id=1", "?custom=value"},
	{"?sb-hc-id=1&custom=value", "?custom=value"},
	{"?%73b-hc-x=1&b", "?b"},
	{"?SB-HC-X=1&b=2", "?b=2"},
	{"?x=+%2B%20%2f%3a%3d%26'", "?x=+%2B%20%2f%3a%3d%26'"},
	{"?name=sb-hc-x=1", "?name=sb-hc-x=1"},
	{"?a=?&b=/", "?a=?&b=/"},
	{"", ""},
}

func TestItem48Query(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	for _, tt := range queryTable {
		for _, path := range []string{"/" + emulator.Anonymous, "/" + emulator.Anonymous + "/x"} {
			r := w.seen(t, g, outgoing{target: path + tt.sent})
			if r.RequestTarget != path+tt.seen {
				t.Errorf("%s%s arrives as %s, want %s%s", path, tt.sent, r.RequestTarget, path,
					tt.seen)
			}
			if strings.Contains(r.Address, "custom") || strings.Contains(r.Address, "name=") {
				t.Errorf("the address %s has the sender's query", r.Address)
			}
		}
	}
}

// noHandler and handlerFailure are what .NET answers by itself.
const (
	noHandler = "The RequestHandler has not been configured for this listener. " +
		"TrackingId:3a3b7f22-0000-4000-8000-0123456789ab, Address:sb://HOST/ENTITY/, " +
		"Timestamp:1/1/2030 12:00:00 AM"
	handlerFailure = "The Listener's custom RequestHandler threw an exception. See Listener " +
		"logs for details. TrackingId:3a3b7f22-0000-4000-8000-0123456789ab"
)

func testListenersOwnError(t *testing.T, status int, phrase string) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			phrase := strings.NewReplacer("HOST", g.HTTP, "ENTITY", entity).Replace(phrase)
			listenHTTP(t, g, entity, respondWith(style, reply{status: status, phrase: phrase}))
			r := fetch(t, g, outgoing{target: "/" + entity, lines: senderLines(entity)})
			wantResponse(t, r, status, phrase, nil) // Via included
			if r.header("TrackingId") != "" {
				t.Errorf("TrackingId: %s on the response of a listener", r.header("TrackingId"))
			}
		})
	})
}

func TestItem49NoHandler(t *testing.T) { testListenersOwnError(t, 501, noHandler) }

func TestItem50HandlerFailure(t *testing.T) { testListenersOwnError(t, 500, handlerFailure) }

// allStatuses are those that the official tests relay.
var allStatuses = []int{200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 305, 306,
	307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,
	416, 417, 418, 421, 422, 426, 429, 431, 450, 451, 500, 501, 502, 503, 504, 505, 511, 599,
	600, 999}

func TestItem52Statuses(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		for _, method := range []string{"GET", "POST"} {
			var replies []reply
			for _, status := range allStatuses {
				a := reply{status: status, phrase: "Own", body: []byte("body"),
					headers: map[string]any{"Location": "/elsewhere",
						"WWW-Authenticate": "Basic", "Proxy-Authenticate": "Basic"}}
				if status == 204 || status == 205 || status == 304 {
					a.body = nil
				}
				replies = append(replies, a)
			}
			answered(t, g, style, method, replies, func(i int, r *httpResponse) {
				wantResponse(t, r, allStatuses[i], "Own", replies[i].body)
				if r.closes() {
					t.Errorf("status %d ends the connection", r.Status)
				}
				for name, value := range replies[i].headers {
					if r.header(name) != value {
						t.Errorf("status %d: %s is %q", r.Status, name, r.header(name))
					}
				}
			})
		}
	})
}

// TestItem52NoBody: 204 and 304 have no body, whatever the listener sends, and
// neither has the response to HEAD.
func TestItem52NoBody(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			var replies []reply
			for _, status := range []int{200, 204, 304, 404} {
				if method == "GET" && status != 204 && status != 304 {
					continue
				}
				for _, length := range []string{"", "4", "0"} {
					a := reply{status: status, body: []byte("body"), headers: map[string]any{}}
					if length != "" {
						a.headers["Content-Length"] = length
					}
					dialled, empty := a, a
					dialled.dial, empty.body = true, nil
					replies = append(replies, a, dialled, empty)
				}
			}
			for _, style := range httpStyles[:2] { // Node's own never do that
				answered(t, g, style, method, replies, func(i int, r *httpResponse) {
					if r.Status != replies[i].status || r.closes() {
						t.Errorf("%v: %d %v", replies[i], r.Status, r.Fields)
					}
				})
			}
		})
	}
}

// TestItem52BadStatuses: what is no final status is 502 for the sender, and the
// control channel goes on.
func TestItem52BadStatuses(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	var replies []reply
	for _, status := range []any{100, 101, 199, 0, -1, 1000, 99, "abc", "", "200 OK", 200.5,
		true, []int{200}, jsonNull} {
		for _, dial := range []bool{false, true} {
			replies = append(replies, reply{status: status, body: []byte("x"), dial: dial},
				reply{status: status, dial: dial})
		}
	}
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		a := replies[r.index()]
		if !a.dial {
			return javaReply(r, a)
		}
		// How the rendezvous connection ends then is not said.
		_ = nodeReply(r, a)
		return nil
	})
	s := dialSender(t, g)
	for i := range replies {
		r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous, lines: indexLine(i)})
		wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
		if t.Failed() {
			t.Fatalf("after the status %v, by rendezvous %t", replies[i].status, replies[i].dial)
		}
	}
}

func TestItem53Methods(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			a := reply{headers: map[string]any{"X-Method": r.Method}, body: []byte("for you")}
			if r.Method == "HEAD" && r.header("X-Length") != "" {
				a.headers["Content-Length"] = "1000"
			}
			if r.Method == "HEAD" && r.header("X-Body") == "" {
				a.body = nil
			}
			a.dial = r.header("X-Dial") != ""
			return respondWith(style, a)(r)
		})
		s := dialSender(t, g)
		for _, method := range []string{"DELETE", "GET", "OPTIONS", "POST", "PUT", "TRACE",
			"PATCH", "PROPFIND", "M-SEARCH", "get"} {
			for _, body := range [][]byte{nil, []byte("some")} {
				r := s.fetch(t, outgoing{method: method, target: "/" + emulator.Anonymous,
					body: body})
				wantResponse(t, r, 200, "OK", []byte("for you"))
				if r.header("X-Method") != method {
					t.Errorf("%s arrives as %s", method, r.header("X-Method"))
				}
			}
		}
		for _, line := range []string{"X-None: 1", "X-Length: 1", "X-Body: 1"} {
			for _, dial := range []string{"X-None: 1", "X-Dial: 1"} {
				r := s.fetch(t, outgoing{method: "HEAD", target: "/" + emulator.Anonymous,
					lines: []string{line, dial}})
				wantResponse(t, r, 200, "OK", nil)
				if length := r.header("Content-Length"); line == "X-Length: 1" &&
					length != "1000" {
					t.Errorf("HEAD: Content-Length is %q, want the listener's 1000", length)
				}
			}
		}
	})
}

// listenerIDs are those of the listeners that filters choose from.
var listenerIDs = []string{"11111111-0000-4000-8000-000000000001",
	"11111111-0000-4000-8000-000000000002", "11111111-0000-4000-8000-000000000003"}

func testListenerFilter(t *testing.T, header string, allowed func(named []int) []int) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		for i, id := range listenerIDs {
			listenHTTPWith(t, g, emulator.Anonymous, "&sb-hc-id="+id,
				emulator.Token(emulator.Anonymous), func(r *httpRequest) error {
					if r.has(header) {
						return errors.New("the listener sees " + header)
					}
					return style.respond(r, reply{headers: map[string]any{"X-Listener": i}})
				})
		}
		const unknown = "11111111-0000-4000-8000-000000000009"
		s := dialSender(t, g)
		for _, named := range [][]int{{0}, {1}, {2}, {0, 2}, {0, 1, 2}, {}} {
			value := unknown
			for _, i := range named {
				value += "," + strings.ToUpper(listenerIDs[i])
			}
			may := allowed(named)
			for range 5 {
				r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous,
					lines: []string{header + ": " + value}})
				if len(may) == 0 {
					wantHTTPRefusal(t, r, 404, "EndpointNotFound", "None of the connected "+
						"listeners meet the AllowedListeners/DisallowedListeners criteria",
						emulator.Anonymous)
					continue
				}
				wantResponse(t, r, 200, "OK", nil)
				if !slices.ContainsFunc(may, func(i int) bool {
					return r.header("X-Listener") == fmt.Sprint(i)
				}) {
					t.Errorf("%s: %v chose listener %s", header, named, r.header("X-Listener"))
				}
			}
		}
	})
}

func TestItem54AllowedListeners(t *testing.T) {
	testListenerFilter(t, "Microsoft-Relay-AllowedListeners",
		func(named []int) []int { return named })
}

func TestItem55DisallowedListeners(t *testing.T) {
	testListenerFilter(t, "Microsoft-Relay-DisallowedListeners", func(named []int) []int {
		var others []int
		for i := range listenerIDs {
			if !slices.Contains(named, i) {
				others = append(others, i)
			}
		}
		return others
	})
}

func TestItem56SuffixAndQuery(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t, "--hyco", "outer:anonymous", "--hyco", "outer/inner:anonymous")
	outer, inner := watch(t, g, "outer"), watch(t, g, "outer/inner")
	tests := []struct {
		w      sentinel
		target string
	}{
		{outer, "/outer"}, {outer, "/outer/"}, {outer, "/OUTER/x"},
		{outer, "/outer/extraPath/extraPath2?a=b&c=d%20e"}, {outer, "/outer//x//"},
		{outer, "/outer/innermost"}, {inner, "/outer/inner"}, {inner, "/outer/inner/outer"},
		{outer, "/outer/a.b,c;d=e:f@g!h$i&j'k(l)m*n+o~p"},
	}
	for _, tt := range tests {
		if r := tt.w.seen(t, g, outgoing{target: tt.target}); r.RequestTarget != tt.target {
			t.Errorf("%s arrives as %s", tt.target, r.RequestTarget)
		}
	}
}

// TestItem57Escapes: the path arrives decoded, but for what would change its
// meaning (docs/protocol.md, section 5.3).
func TestItem57Escapes(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	tests := []struct{ sent, seen string }{
		{"/a%20b/c%20d?x=%20y", "/a b/c d?x=%20y"},
		{"/%41%7E", "/A~"},
		{"/gr%C3%BCn", "/grün"},
		{"/%25", "/%25"}, {"/%2525", "/%2525"}, {"/100%25%20", "/100%25 "},
		{"/%3F%3f", "/%3F%3f"}, {"/%23", "/%23"}, {"/%2F%2f", "/%2F%2f"}, {"/%5C", "/%5C"},
		{"/%00%0D%0a%1f%7F", "/%00%0D%0a%1f%7F"},
		{"/%22%3C%3E", `/"<>`},
	}
	for _, tt := range tests {
		r := w.seen(t, g, outgoing{target: "/" + emulator.Anonymous + tt.sent})
		want := "/" + emulator.Anonymous + tt.seen
		if r.RequestTarget != want {
			t.Errorf("%s arrives as %q, want %q", tt.sent, r.RequestTarget, want)
		}
	}
}

func TestItem60AbsoluteForm(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	const below = "/" + emulator.Anonymous + "/below?x=y"
	for _, scheme := range []string{"http", "HTTP", "https"} {
		r := w.seen(t, g, outgoing{target: scheme + "://" + g.HTTP + below})
		if r.RequestTarget != below {
			t.Errorf("%s://…%s arrives as %s", scheme, below, r.RequestTarget)
		}
	}
}

func TestItem61DoubleEscape(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	target := "/" + emulator.Anonymous + "/%252F"
	r, response := w.answer(t, g, outgoing{target: target}, reply{})
	wantResponse(t, response, 200, "OK", nil)
	if r.RequestTarget != target {
		t.Errorf("%s arrives as %s", target, r.RequestTarget)
	}
}

// messageListener serves requests with the messages of a library, one at a
// time: body and headers come back.
func messageListener(t *testing.T, g *emulator.Gateway, p peer) {
	t.Helper()
	l := listen(t, g, p, emulator.Anonymous)
	go func() {
		for {
			c, request, body, err := nextByMessages(l)
			if err != nil {
				return
			}
			text := responseText(member{"requestId", request.ID}, member{"statusCode", "200"},
				member{"body", true}, member{"responseHeaders", map[string]any{
					"X-Method": request.Method, "X-Target": request.RequestTarget}})
			if c.Write(framer.Text, text) != nil || c.Write(framer.Binary, body) != nil {
				return
			}
			if c != l.conn { // left open, as Node does
				_, _, _ = c.Read()
				c.Abort()
			}
		}
	}()
}

// nextByMessages reads one request in either form; the response goes to c.
func nextByMessages(l *control) (c conn, request relayedRequest, body []byte, err error) {
	c = l.conn
	for {
		_, text, err := c.Read()
		if err != nil {
			return nil, request, nil, err
		}
		var message struct{ Request relayedRequest }
		if err := json.Unmarshal(text, &message); err != nil {
			return nil, request, nil, err
		}
		request = message.Request
		if request.Method != "" {
			break
		}
		if c, _, err = l.peer.dial(request.Address, nil); err != nil {
			return nil, request, nil, err
		}
	}
	if request.Body {
		_, body, err = c.Read()
	}
	return c, request, body, err
}

// TestItem62Interoperability: every sender with every listener.
func TestItem62Interoperability(t *testing.T) {
	bodies := [][]byte{nil, []byte("small"), pattern(65_536), pattern(65_537), pattern(1 << 20)}
	for _, p := range allPeers {
		t.Run("sender=net/http/listener="+p.name, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			messageListener(t, g, p)
			for _, body := range bodies {
				testNetHTTP(t, g, "POST", body)
			}
		})
	}
	for _, style := range httpStyles {
		t.Run("sender=net/http/listener="+style.name, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				return echoWith(style, reply{headers: map[string]any{"X-Method": r.Method,
					"X-Target": r.RequestTarget}})(r)
			})
			for _, body := range bodies {
				testNetHTTP(t, g, "PUT", body)
			}
		})
	}
}

// testNetHTTP sends a body with the standard library, with its length and in
// chunks, and wants it back.
func testNetHTTP(t *testing.T, g *emulator.Gateway, method string, body []byte) {
	t.Helper()
	target := "/" + emulator.Anonymous + "/of/net-http?x=y"
	for _, reader := range []io.Reader{bytes.NewReader(body),
		io.MultiReader(bytes.NewReader(body))} {
		request, err := http.NewRequest(method, "http://"+g.HTTP+target, reader)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != 200 || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: status %s, %d bytes, %v", len(body), response.Status, len(got),
				err)
		}
		if response.Header.Get("X-Method") != method || response.Header.Get("X-Target") != target {
			t.Errorf("arrived as %s %s", response.Header.Get("X-Method"),
				response.Header.Get("X-Target"))
		}
	}
}

// TestItem63HTTPNoListeners: who is not there is told apart, in the body too,
// and the connection stays open.
func TestItem63HTTPNoListeners(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	s := dialSender(t, g)
	token := "ServiceBusAuthorization: " + namespaceToken(emulator.Key)
	for range 3 {
		r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous})
		wantHTTPRefusal(t, r, 404, "EndpointNotFound",
			"There are no listeners connected for the endpoint", emulator.Anonymous)
		r = s.fetch(t, outgoing{method: "POST", target: "/nosuch/x", lines: []string{token},
			body: pattern(1000)})
		wantHTTPRefusal(t, r, 404, "EndpointNotFound", "Endpoint does not exist", "nosuch/x")
		r = s.fetch(t, outgoing{method: "HEAD", target: "/" + emulator.Anonymous})
		wantHTTPRefusal(t, r, 404, "EndpointNotFound", "There are no listeners",
			emulator.Anonymous)
	}
}

// TestItem64HTTPAddress: the address of a request is good for one handshake,
// while the request waits.
func TestItem64HTTPAddress(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	again := func(address string) {
		t.Helper()
		_, refusal, _ := framerPeer.dial(address, nil)
		wantRefusal(t, refusal, 403, "", emulator.Anonymous)
	}
	var dials atomic.Int32
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.conn != nil || r.header("X-Dial") != "" {
			if err := r.dial(); err != nil {
				return err
			}
			again(r.Address) // while it is in use
			dials.Add(1)
		}
		if err := respondWith(httpStyles[2], reply{})(r); err != nil {
			return err
		}
		if r.conn != nil {
			again(r.Address)
		}
		return nil
	})
	s := dialSender(t, g)
	for _, o := range []outgoing{{lines: []string{"X-Dial: 1"}}, {body: pattern(70_000)}} {
		o.method, o.target = "POST", "/"+emulator.Anonymous
		wantResponse(t, s.fetch(t, o), 200, "OK", nil)
	}
	if dials.Load() != 2 {
		t.Errorf("%d rendezvous, want 2", dials.Load())
	}
	w := watch(t, g, emulator.Authenticated)
	r := w.seen(t, g, outgoing{target: "/" + emulator.Authenticated,
		lines: senderLines(emulator.Authenticated)})
	_, refusal, _ := framerPeer.dial(r.Address, nil) // after a response elsewhere
	wantRefusal(t, refusal, 403, "", emulator.Authenticated)
}
