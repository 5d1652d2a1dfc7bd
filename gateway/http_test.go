package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/relaytest"
)

// Request targets of the entities.
const (
	openTarget   = "/" + relaytest.Anonymous
	closedTarget = "/" + relaytest.Authorized
)

// get is a request without a body to an entity that needs no token.
func get(n *relaytest.Node, fields ...string) string {
	return n.HTTPRequest("GET", openTarget, "", fields...)
}

// openListener is a listener of that entity.
func openListener(t *testing.T, n *relaytest.Node) *relaytest.Listener {
	t.Helper()
	return n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
}

// wantRelayed has a request relayed on c, and shows that the connection and the
// listener are in step.
func wantRelayed(t *testing.T, n *relaytest.Node, c *relaytest.Raw, l *relaytest.Listener) {
	t.Helper()
	mark := time.Now().String()
	c.Send(t, n.HTTPRequest("POST", openTarget, mark))
	r := l.NextRequest(t)
	if r.Body != mark {
		t.Fatalf("request with the body %.60q, want %q", r.Body, mark)
	}
	r.Respond(t, relaytest.Reply{Parts: []string{mark}})
	c.WantResponse(t, 200, mark)
}

// passed lets time pass.
func passed(t *testing.T, d time.Duration) {
	t.Helper()
	begin := time.Now()
	relaytest.Eventually(t, "time passes", func() bool { return time.Since(begin) > d })
}

// long is n bytes that show when some are lost.
func long(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

// binary is a frame of a binary message.
func binary(fin bool, payload string) relaytest.Frame {
	return relaytest.Frame{Op: relaytest.OpBinary, Fin: fin, Payload: []byte(payload)}
}

// more is a frame that continues a message.
func more(fin bool, payload string) relaytest.Frame {
	return relaytest.Frame{Op: relaytest.OpContinuation, Fin: fin, Payload: []byte(payload)}
}

// text is a text message.
func text(payload string) relaytest.Frame {
	return relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte(payload)}
}

// head is the response message that begins a body.
func head(r *relaytest.Request, headers map[string]any) relaytest.Frame {
	return text(relaytest.Reply{Headers: headers, Parts: []string{}}.Message(r.ID))
}

// bodies are those of requests, and whether they fit a control channel.
var bodies = []struct {
	name, body string
	chunked    bool
	control    bool
}{
	{"none", "", false, true},
	{"one byte", "x", false, true},
	{"64 KiB", long(65536), false, true},
	{"64 KiB and 1", long(65537), false, false},
	{"200 KB", long(200_000), false, false},
	{"chunked, empty", "", true, false},
	{"chunked, small", "small", true, false},
	{"chunked, large", long(200_000), true, false},
}

// bodyRequest is a request with a body, which may be chunked.
func bodyRequest(n *relaytest.Node, body string, chunked bool) string {
	if !chunked {
		return n.HTTPRequest("POST", openTarget, body)
	}
	third := len(body) / 3
	chunks := []string{}
	for _, c := range []string{body[:third], body[third : 2*third], body[2*third:]} {
		if c != "" {
			chunks = append(chunks, c)
		}
	}
	return n.HTTPRequest("POST", openTarget, relaytest.Chunked(chunks...), relaytest.ChunkedCoding)
}

// replies are the ways in which clients send responses.
var replies = []struct {
	name, body string
	send       func(t *testing.T, r *relaytest.Request)
}{
	{"where it came from, nothing", "", func(t *testing.T, r *relaytest.Request) {
		r.Respond(t, relaytest.Reply{})
	}},
	{"where it came from, empty", "", func(t *testing.T, r *relaytest.Request) {
		r.Respond(t, relaytest.Reply{Parts: []string{""}})
	}},
	{"where it came from, 64 KiB", long(65536), func(t *testing.T, r *relaytest.Request) {
		r.Respond(t, relaytest.Reply{Parts: []string{long(65536)}})
	}},
	{"where it came from, in parts", "abcde", func(t *testing.T, r *relaytest.Request) {
		r.Respond(t, relaytest.Reply{Parts: []string{"a", "", "bcd", "e"}})
	}},
	{"rendezvous, nothing", "", func(t *testing.T, r *relaytest.Request) {
		r.OnRendezvous(t, relaytest.Reply{}).WantClosing(t, 1000)
	}},
	{"rendezvous, 200 KB", long(200_000), func(t *testing.T, r *relaytest.Request) {
		r.OnRendezvous(t, relaytest.Reply{Parts: []string{long(200_000)}}).WantClosing(t, 1000)
	}},
	{"rendezvous, with a length", "12345", func(t *testing.T, r *relaytest.Request) {
		r.OnRendezvous(t, relaytest.Reply{Headers: map[string]any{"content-length": "5"},
			Parts: []string{"12", "345"}}).WantClosing(t, 1000)
	}},
	// Java never ends its message, and .NET closes at once behind it: item 72.
	{"rendezvous, ended by Close", "Java", func(t *testing.T, r *relaytest.Request) {
		leg := r.OnRendezvous(t, relaytest.Reply{Parts: []string{}})
		leg.SendFrame(t, binary(false, "Ja"))
		leg.SendFrame(t, more(false, "va"))
		leg.SendFrame(t, relaytest.CloseFrame(1000, "NormalClosure"))
		leg.WantCloseFrame(t, 1000)
		leg.WantEnd(t)
	}},
	{"rendezvous, ended by an empty Close", "odd", func(t *testing.T, r *relaytest.Request) {
		leg := r.OnRendezvous(t, relaytest.Reply{Parts: []string{}})
		leg.SendFrame(t, binary(false, "odd"))
		leg.SendFrame(t, relaytest.Frame{Op: relaytest.OpClose, Fin: true})
		leg.ReadFrame(t)
		leg.WantEnd(t)
	}},
}

// TestHTTPForms: every request by every form of it and of its response, one
// after the other on one connection, alike on nodes of all shapes.
func TestHTTPForms(t *testing.T) {
	t.Parallel()
	relaytest.Matrix(t, func(t *testing.T, n *relaytest.Node, h *relaytest.History) {
		l := openListener(t, n)
		s := n.Raw(t)
		for _, b := range bodies {
			for _, reply := range replies {
				s.Send(t, bodyRequest(n, b.body, b.chunked))
				r := l.NextRequest(t)
				if r.Control != b.control || r.Body != b.body || r.HasBody != (b.body != "" || b.chunked) {
					t.Fatalf("%s: control=%v, %d bytes of body=%v", b.name, r.Control, len(r.Body),
						r.HasBody)
				}
				reply.send(t, r)
				res := s.WantResponse(t, 200, reply.body)
				h.Add("%s, %s: %s %d", b.name, reply.name, res.Framing, len(res.Body))
			}
		}
		n.WantMetric(t, `relay_http_requests_total{code="200"}`, float64(len(bodies)*len(replies)))
	})
}

// TestHTTPStreams: what the listener sends in a frame is with the sender before
// the next one, and what the sender sends is with the listener.
func TestHTTPStreams(t *testing.T) {
	t.Parallel()
	relaytest.Matrix(t, func(t *testing.T, n *relaytest.Node, h *relaytest.History) {
		c := n.RawListen(t, relaytest.Anonymous)
		s := n.Ask(t, "POST", openTarget, "", relaytest.ChunkedCoding)
		r := c.Announced(t)
		leg := r.Dial(t)
		for i, part := range []string{"one", "two", "three"} {
			s.Send(t, fmt.Sprintf("%x\r\n%s\r\n", len(part), part))
			f := leg.ReadFrame(t)
			h.Add("%v %v %s", f.Op, f.Fin, f.Payload)
			if string(f.Payload) != part || f.Fin || f.Op == relaytest.OpBinary != (i == 0) {
				t.Fatalf("frame %+v for %s", f, part)
			}
		}
		s.Send(t, "0\r\n\r\n")
		leg.WantFrame(t, more(true, ""))
		leg.SendFrame(t, head(r, nil))
		stream := func(c *relaytest.Raw) {
			c.SendFrame(t, binary(false, "first"))
			res := s.ResponseHead(t)
			h.Add("%d %s", res.Status, res.Framing)
			s.WantChunks(t, "first")
			c.SendFrame(t, more(false, "second"))
			s.WantChunks(t, "second")
			c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true, Payload: []byte("p")})
			c.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true, Payload: []byte("p")})
			c.SendFrame(t, more(true, ""))
			if last := s.Chunk(t); last != "" {
				t.Fatalf("chunk %q behind the end", last)
			}
		}
		stream(leg)
		leg.WantClosing(t, 1000)

		s.Send(t, get(n))
		r = c.Announced(t)
		c.SendFrame(t, head(r, nil))
		stream(c)
		s.Send(t, get(n))
		c.NextRequest(t).Respond(t, relaytest.Reply{Parts: []string{"in step"}})
		s.WantResponse(t, 200, "in step")
	})
}

// TestHTTPHeadOfResponseGoesOut: on a rendezvous connection the head does not
// wait for the body, on a control channel for the first frame of it only, which
// may show that the body is too long.
func TestHTTPHeadOfResponseGoesOut(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	for _, control := range []bool{true, false} {
		s := n.Ask(t, "GET", openTarget, "")
		r := c.Announced(t)
		to := c
		if !control {
			to = r.Dial(t)
		}
		to.SendFrame(t, head(r, nil))
		if control {
			to.SendFrame(t, binary(false, ""))
		}
		if res := s.ResponseHead(t); res.Framing != relaytest.FramedChunked {
			t.Errorf("response %+v", res)
		}
		to.SendFrame(t, func() relaytest.Frame {
			if control {
				return more(true, "end")
			}
			return binary(true, "end")
		}())
		s.WantChunks(t, "end")
		if last := s.Chunk(t); last != "" {
			t.Errorf("chunk %q behind the end", last)
		}
	}
}

// bodyless are responses that have no body whatever the listener sends.
var bodyless = []struct {
	method string
	status int
}{{"HEAD", 200}, {"HEAD", 404}, {"GET", 204}, {"POST", 204}, {"GET", 304}}

// TestHTTPWithoutBody: HEAD, 204 and 304, with the stray empty message of npm
// hyco-https, and with a body that nobody wants.
func TestHTTPWithoutBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Raw(t)
	for _, tt := range bodyless {
		for name, reply := range map[string]relaytest.Reply{
			"nothing":                 {Status: tt.status},
			"a body":                  {Status: tt.status, Parts: []string{"unwanted"}},
			"parts":                   {Status: tt.status, Parts: []string{"un", "wanted"}},
			"a length":                {Status: tt.status, Headers: map[string]any{"Content-Length": "8"}},
			"a body that never comes": {Status: tt.status, Parts: []string{}},
		} {
			for _, rendezvous := range []bool{false, true} {
				s.Send(t, n.HTTPRequest(tt.method, openTarget, ""))
				r := c.NextRequest(t)
				if rendezvous {
					r.OnRendezvous(t, reply)
				} else {
					r.OnControl(t, reply)
					if len(reply.Parts) > 0 || reply.Parts == nil {
						c.SendFrame(t, binary(true, "")) // item 72
					}
				}
				res := s.ResponseTo(t, tt.method)
				if res.Status != tt.status || res.Framing != relaytest.FramedNone {
					t.Fatalf("%s %d, %s: response %+v", tt.method, tt.status, name, res)
				}
				if length := res.Header.Get("Content-Length"); name == "a length" &&
					tt.method == "HEAD" && length != "8" {
					t.Errorf("%s %d: Content-Length %q", tt.method, tt.status, length)
				}
				// Nothing of it is left for the next response.
				s.Send(t, get(n))
				r = c.NextRequest(t)
				r.Respond(t, relaytest.Reply{Parts: []string{"next"}})
				s.WantResponse(t, 200, "next")
			}
		}
	}
}

// TestHTTP10: the response is HTTP/1.1, without chunks, and ends with the
// connection.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for _, fields := range [][]string{nil, {"Connection: keep-alive"}} {
		for _, reply := range replies {
			s := n.Raw(t)
			s.Send(t, strings.Replace(get(n, fields...), "HTTP/1.1", "HTTP/1.0", 1))
			reply.send(t, l.NextRequest(t))
			res := s.WantResponse(t, 200, reply.body)
			if res.Framing == relaytest.FramedChunked || res.Header.Get("Connection") != "close" {
				t.Errorf("%s: response %+v", reply.name, res)
			}
			s.WantEnd(t)
		}
	}
	s := n.Raw(t)
	s.Send(t, "POST "+openTarget+" HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
	if r := l.NextRequest(t); r.Body != "abc" || !r.Control {
		t.Errorf("request %+v", r)
	} else {
		r.Respond(t, relaytest.Reply{})
	}
	s.WantResponse(t, 200, "") // no 100 before it
}

// TestHTTPConnectionClose: asked for by either end, the connection ends behind
// the response.
func TestHTTPConnectionClose(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for _, tt := range []struct{ sender, listener string }{
		{"Connection: close", ""}, {"", "close"}, {"Connection: x, Close", "Keep-Alive, CLOSE"},
	} {
		for _, reply := range []relaytest.Reply{{}, {Parts: []string{"a"}}} {
			if tt.listener != "" {
				reply.Headers = map[string]any{"connection": tt.listener}
			}
			s := n.Raw(t)
			s.Send(t, get(n, tt.sender)+get(n)) // the second one is nobody's
			r := l.NextRequest(t)
			if r.Headers["Connection"] != "" {
				t.Errorf("headers %v", r.Headers)
			}
			r.Respond(t, reply)
			if res := s.Response(t); res.Header.Get("Connection") != "close" {
				t.Errorf("%v: response %+v", tt, res)
			}
			s.WantEnd(t)
		}
	}
	l.Ping(t)
	if l.Requests() != 0 {
		t.Errorf("%d requests behind Connection: close", l.Requests())
	}
}

// TestHTTPExpect: 100 is sent when the body is wanted, and not before.
func TestHTTPExpect(t *testing.T) {
	t.Parallel()
	const expect = "Expect: 100-Continue"
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)

	s.Send(t, n.HTTPRequest("POST", openTarget, "", "Content-Length: 4", expect))
	if head := s.Head(t); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("head %q", head)
	}
	s.Send(t, "body")
	r := l.NextRequest(t)
	if r.Body != "body" || !r.Control || r.Headers["Expect"] != "" {
		t.Errorf("request %+v", r)
	}
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")

	s.Send(t, n.HTTPRequest("POST", openTarget, "", relaytest.ChunkedCoding, expect))
	r = l.Announced(t)
	r.Dial(t)
	if head := s.Head(t); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("head %q", head)
	}
	s.Send(t, relaytest.Chunked("body"))
	r.ReadBody(t)
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")

	// Without a body there is nothing to wait for.
	s.Send(t, n.HTTPRequest("GET", openTarget, "", expect))
	l.NextRequest(t).Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")

	// Who is refused is told so instead.
	s.Send(t, n.HTTPRequest("POST", closedTarget, "", "Content-Length: 4", expect))
	if res := s.Response(t); res.Status != 401 || res.Header.Get("Connection") != "close" {
		t.Errorf("response %+v", res)
	}
	s.WantEnd(t)
	l.Close(t)
	for _, body := range []string{
		"Content-Length: 4", "Content-Length: 100000", relaytest.ChunkedCoding,
	} {
		s = n.Ask(t, "POST", openTarget, "", body, expect)
		wantError(t, s.Response(t), 404, "EndpointNotFound", "no listeners")
		s.WantEnd(t)
	}
	s = n.Ask(t, "POST", openTarget, "", "Content-Length: 4", "Expect: miracles")
	if res := s.Response(t); res.Status != 417 {
		t.Errorf("response %+v", res)
	}
	s.WantEnd(t)

}
