package relaytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

// responseOf has bytes read as a response, behind which the connection ends.
func responseOf(t *testing.T, method, bytes string) (Response, error) {
	t.Helper()
	near, far := tcpPair(t)
	if _, err := io.WriteString(far, bytes); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	return (&Raw{TCPConn: near, r: bufio.NewReader(near)}).TryResponse(method)
}

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestResponsesRead(t *testing.T) {
	t.Parallel()
	const line = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, method, bytes, framing string
		status                       int
		phrase, body                 string
		chunks                       []string
	}{
		{"length", "GET", line + "Content-Length: 2\r\n\r\nab",
			FramedLength, 200, "OK", "ab", nil},
		{"no phrase", "GET", "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
			FramedLength, 299, "", "", nil},
		{"chunks", "GET", "HTTP/1.1 200 a b\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n",
			FramedChunked, 200, "a b", "a0123456789", []string{"a", "0123456789"}},
		{"close", "GET", line + "Connection: close\r\n\r\nabc",
			FramedClose, 200, "OK", "abc", nil},
		{"HEAD", "HEAD", line + "Content-Length: 9\r\n\r\n",
			FramedNone, 200, "OK", "", nil},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n",
			FramedNone, 204, "No Content", "", nil},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
			FramedNone, 304, "Not Modified", "", nil},
		{"100", "GET", "HTTP/1.1 100 Continue\r\n\r\n",
			FramedNone, 100, "Continue", "", nil},
	} {
		r, err := responseOf(t, tt.method, tt.bytes)
		if err != nil || r.Status != tt.status || r.Phrase != tt.phrase || r.Body != tt.body ||
			r.Framing != tt.framing || !slices.Equal(r.Chunks, tt.chunks) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}

// TestResponsesRefused: what a strict client would not take, and what it takes
// for the end of the connection.
func TestResponsesRefused(t *testing.T) {
	t.Parallel()
	const line = "HTTP/1.1 200 OK\r\n"
	for name, bytes := range map[string]string{
		"HTTP/1.0":         "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"no blank":         "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		"bare LF":          "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"bare LF in field": line + "Content-Length: 0\n\r\n",
		"two lengths":      line + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"both":             line + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding":           line + "Transfer-Encoding: gzip\r\n\r\n",
		"bad length":       line + "Content-Length: -1\r\n\r\n",
		"no framing":       line + "\r\nabc",
		"204 with length":  "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		"bad name":         line + "A b: c\r\n\r\n",
		"no colon":         line + "A\r\n\r\n",
		"control":          line + "A: b\x01\r\n\r\n",
		"bad chunk":        line + "Transfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
		"chunk too long":   line + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
	} {
		if r, err := responseOf(t, "GET", bytes); err == nil || Cut(err) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, whole := range []string{
		line + "Content-Length: 3\r\n\r\nabc",
		line + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		for i := range whole {
			if r, err := responseOf(t, "GET", whole[:i]); !Cut(err) ||
				i > 0 && errors.Is(err, io.EOF) {
				t.Errorf("%q: %+v, %v", whole[:i], r, err)
			}
		}
	}
}

func TestHTTPRequest(t *testing.T) {
	n := NewClient("h:1", "")
	for _, tt := range []struct {
		body   string
		fields []string
		want   string
	}{
		{"", nil, "Host: h:1\r\n"},
		{"abc", []string{"A: b"}, "Host: h:1\r\nContent-Length: 3\r\nA: b\r\n"},
		{Chunked("abc"), []string{ChunkedCoding}, "Host: h:1\r\nTransfer-Encoding: chunked\r\n"},
		{"abc", []string{"host", "content-length: 9"}, "content-length: 9\r\n"},
	} {
		got := n.HTTPRequest("GET", "/x", tt.body, tt.fields...)
		if got != "GET /x HTTP/1.1\r\n"+tt.want+"\r\n"+tt.body {
			t.Errorf("%q: %q", tt.fields, got)
		}
	}
}

// TestRequestsAreStrict: a message must have the members of its form and no
// others.
func TestRequestsAreStrict(t *testing.T) {
	const both = `"address":"ws://h/$hc/x?sb-hc-action=request","id":"i"`
	const rest = `,"requestTarget":"/x","method":"GET","remoteEndpoint":{"address":"a","port":1},` +
		`"requestHeaders":{},"body":false`
	for message, good := range map[string]bool{
		`{"request":{` + both + `}}`:               true,
		`{"request":{` + both + rest + `}}`:        true,
		`{"request":{` + both + `,"body":true}}`:   false,
		`{"request":{` + both + rest + `,"a":1}}`:  false,
		`{"request":{"id":"i"}}`:                   false,
		`{"accept":{"address":"ws://h/","id":""}}`: false,
		`{"request":{` + both + `},"accept":{}}`:   false,
		`{`:                                        false,
	} {
		if r, err := parseRequest([]byte(message)); (err == nil) != good {
			t.Errorf("%s: %+v, %v", message, r, err)
		}
	}
}

// TestHTTPRelayed goes through every step that a test may take.
func TestHTTPRelayed(t *testing.T) {
	t.Parallel()
	n := Start(t)
	l := n.Listen(t, Dial{Path: Anonymous, Query: "sb-hc-id=one"})
	s := n.Ask(t, "POST", "/"+Anonymous+"/a?b=c", "body", "X-A: b")
	r := l.NextRequest(t)
	if !r.Control || r.Method != "POST" || r.Target != "/"+Anonymous+"/a?b=c" ||
		r.Body != "body" || !r.HasBody || r.Headers["X-A"] != "b" || r.Leg != nil ||
		r.Endpoint.Address != "127.0.0.1" || r.Endpoint.Port == 0 {
		t.Errorf("request %+v", r)
	}
	r.Respond(t, Reply{Status: 201, Phrase: "Made", Headers: map[string]any{"X": 1},
		Parts: []string{"a", "b"}})
	res := s.WantResponse(t, 201, "ab")
	if res.Phrase != "Made" || res.Header.Get("X") != "1" {
		t.Errorf("response %+v", res)
	}

	s.Send(t, n.HTTPRequest("PUT", "/"+Anonymous, Chunked("bo", "dy"), ChunkedCoding))
	r = l.NextRequest(t)
	if r.Control || r.Method != "PUT" || r.Body != "body" || r.Leg == nil {
		t.Errorf("request %+v", r)
	}
	r.Respond(t, Reply{Parts: []string{"whole"}})
	s.WantResponse(t, 200, "whole")

	s.Send(t, n.HTTPRequest("GET", "/"+Anonymous, ""))
	r = l.Announced(t)
	r.OnRendezvous(t, Reply{}).WantClosing(t, 1000)
	s.WantResponse(t, 200, "")
	l.Close(t)

	c := n.RawListen(t, Anonymous)
	s.Send(t, n.HTTPRequest("GET", "/"+Anonymous, ""))
	c.NextRequest(t).Respond(t, Reply{Parts: []string{"x", "y"}})
	s.WantResponse(t, 200, "xy")
	s.Send(t, n.HTTPRequest("POST", "/"+Anonymous, "123"))
	if r = c.NextRequest(t); r.Body != "123" {
		t.Errorf("request %+v", r)
	}
	r.OnRendezvous(t, Reply{Parts: []string{""}}).WantClosing(t, 1000)
	s.WantResponse(t, 200, "")
	c.Abort()

	l = n.Listen(t, Dial{Path: Anonymous})
	l.Serve(t, func(r *Request) Reply { return Reply{Parts: []string{r.Method, r.Body}} })
	s.Send(t, n.HTTPRequest("PUT", "/"+Anonymous, Chunked("1", "2"), ChunkedCoding))
	s.WantResponse(t, 200, "PUT12")
	s.Send(t, n.HTTPRequest("PUT", "/"+Anonymous, "3"))
	s.WantResponse(t, 200, "PUT3")
}
