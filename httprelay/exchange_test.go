package httprelay

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/internal/budget"
)

// The whole way of a request is tested where there are connections for it, in
// package gateway. Here are the parts that need none.

func TestUploadNext(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   httphead.BodyKind
		length int64
		in     string
		body   string
		rest   string
		done   bool
	}{
		{"none", httphead.BodyNone, 0, "GET /", "", "GET /", true},
		{"length 0", httphead.BodyLength, 0, "GET /", "", "GET /", true},
		{"length", httphead.BodyLength, 3, "abcGET /", "abc", "GET /", true},
		{"length, cut", httphead.BodyLength, 9, "abc", "abc", "", false},
		{"chunks", httphead.BodyChunked, 0, "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nA: b\r\n\r\nGET /",
			"abcd", "GET /", true},
		{"chunks, cut", httphead.BodyChunked, 0, "3\r\nab", "ab", "", false},
		{"no chunks", httphead.BodyChunked, 0, "0\r\n\r\nGET /", "", "GET /", true},
	} {
		for step := 1; step <= len(tt.in); step++ {
			var u upload
			u.start(tt.kind, tt.length)
			got, rest := "", tt.in
			for read := 0; !u.done && read < len(tt.in); {
				read = min(read+step, len(tt.in))
				for p := []byte(tt.in[len(tt.in)-len(rest) : read]); len(p) > 0 && !u.done; {
					n, data, err := u.next(p)
					if err != nil {
						t.Fatalf("%s: %v", tt.name, err)
					}
					got += string(data)
					p, rest = p[n:], rest[n:]
				}
			}
			if got != tt.body || rest != tt.rest || u.done != tt.done {
				t.Fatalf("%s, %d at a time: body %q, rest %q, done %v", tt.name, step, got, rest, u.done)
			}
		}
	}
}

func TestResponseHead(t *testing.T) {
	const dated = "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n"
	cfg := &Config{Now: func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }}
	field := func(pairs ...string) (all []hyco.HeaderField) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, hyco.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		r       hyco.Response
		framing framing
		empty   bool
		close   bool
		want    string
	}{
		{"chunked", hyco.Response{Status: 200, Phrase: "OK", Body: true, Length: -1,
			Fields: field("x-a", "1", "X-A", "2")}, framedChunked, false, false,
			"200 OK\r\nx-a: 1\r\nX-A: 2\r\nVia: 1.1 ns\r\n" + dated + "Transfer-Encoding: chunked\r\n\r\n"},
		{"length", hyco.Response{Status: 299, Phrase: "Odd, but so", Body: true, Length: 5},
			framedLength, false, false,
			"299 Odd, but so\r\nVia: 1.1 ns\r\n" + dated + "Content-Length: 5\r\n\r\n"},
		{"no body", hyco.Response{Status: 200, Phrase: "OK", Length: -1}, framedEmpty, false, true,
			"200 OK\r\nVia: 1.1 ns\r\n" + dated + "Content-Length: 0\r\nConnection: close\r\n\r\n"},
		{"HEAD or 304 with a length", hyco.Response{Status: 304, Length: 99, Body: true},
			framedEmpty, true, false, "304 \r\nVia: 1.1 ns\r\n" + dated + "Content-Length: 99\r\n\r\n"},
		{"HEAD without", hyco.Response{Status: 200, Phrase: "OK", Length: -1}, framedEmpty, true, false,
			"200 OK\r\nVia: 1.1 ns\r\n" + dated + "\r\n"},
		{"204", hyco.Response{Status: 204, Phrase: "No Content", Length: 0}, framedEmpty, true, false,
			"204 No Content\r\nVia: 1.1 ns\r\n" + dated + "\r\n"},
		{"for HTTP/1.0", hyco.Response{Status: 200, Phrase: "OK", Body: true, Length: -1},
			framedClose, false, true, "200 OK\r\nVia: 1.1 ns\r\n" + dated + "Connection: close\r\n\r\n"},
		{"Via and Date of the listener", hyco.Response{Status: 200, Phrase: "OK", Length: -1,
			Fields: field("via", "1.0 a", "Date", "then", "Via", "1.1 b")}, framedEmpty, false, false,
			"200 OK\r\nDate: then\r\nVia: 1.0 a, 1.1 b, 1.1 ns\r\nContent-Length: 0\r\n\r\n"},
	} {
		x := &Exchange{cfg: cfg, req: Request{Via: "ns"},
			response: response{framing: tt.framing, close: tt.close}}
		got := strings.TrimPrefix(string(x.appendHead(nil, &tt.r, tt.empty)), "HTTP/1.1 ")
		if got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
}

func TestBodyless(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		want   bool
	}{
		{"GET", 200, false}, {"GET", 204, true}, {"GET", 304, true}, {"GET", 205, false},
		{"HEAD", 200, true}, {"HEAD", 404, true}, {"head", 200, false},
	} {
		if x := (&Exchange{method: tt.method}); x.Bodyless(tt.status) != tt.want {
			t.Errorf("%s, %d: %v", tt.method, tt.status, !tt.want)
		}
	}
}

// TestNewTakesTheHead: a request without room for its head is none.
func TestNewTakesTheHead(t *testing.T) {
	heads := &budget.Bytes{Max: 100}
	cfg := &Config{Heads: heads}
	if _, ok := New(cfg, nil, Request{Size: 101}); ok || heads.Used() != 0 {
		t.Errorf("made, %d bytes used", heads.Used())
	}
	if _, ok := New(cfg, nil, Request{Size: 100}); !ok || heads.Used() != 100 {
		t.Errorf("not made, %d bytes used", heads.Used())
	}
}
