package gateway_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPBadFraming: whatever leaves room for two readings is refused, and
// what lies behind it is never looked at.
func TestHTTPBadFraming(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	const line, host = "POST " + openTarget + " HTTP/1.1\r\n", "Host: h\r\n"
	const start, chunked = line + host, relaytest.ChunkedCoding + "\r\n"
	for _, tt := range []struct {
		name, bytes string
		status      int
	}{
		{"two lengths", start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"two equal lengths", start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
		{"lengths in a list", start + "Content-Length: 1, 1\r\n\r\n", 400},
		{"length and chunks", start + "Content-Length: 1\r\n" + chunked + "\r\n", 400},
		{"chunks and length", start + chunked + "Content-Length: 1\r\n\r\n", 400},
		{"signed length", start + "Content-Length: +1\r\n\r\n", 400},
		{"negative length", start + "Content-Length: -1\r\n\r\n", 400},
		{"hex length", start + "Content-Length: 0x1\r\n\r\n", 400},
		{"huge length", start + "Content-Length: 18446744073709551617\r\n\r\n", 400},
		{"empty length", start + "Content-Length:\r\n\r\n", 400},
		{"chunks in HTTP/1.0", strings.Replace(start, "1.1", "1.0", 1) + chunked + "\r\n", 400},
		{"chunks twice", start + chunked + chunked + "\r\n", 400},
		{"chunks not last", start + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
		{"unknown coding", start + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"unknown coding alone", start + "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{"blank before the colon", start + "Transfer-Encoding : chunked\r\n\r\n", 400},
		{"folded", start + "X: a\r\n b\r\n\r\n", 400},
		{"bare LF", start + "X: a\n\r\n", 400},
		{"bare CR", start + "X: a\rb\r\n\r\n", 400},
		{"NUL", start + "X: a\x00\r\n\r\n", 400},
		{"control character", start + "X: a\x7F\r\n\r\n", 400},
		{"two Hosts", start + host + "\r\n", 400},
		{"no Host", line + "\r\n", 400},
		{"HTTP/2.0", strings.Replace(start, "1.1", "2.0", 1) + "\r\n", 505},
	} {
		s := n.Raw(t)
		s.Send(t, tt.bytes+smuggled)
		r := s.Response(t)
		if r.Status != tt.status || r.Header.Get("Connection") != "close" {
			t.Errorf("%s: response %v, want %d", tt.name, r, tt.status)
		}
		s.WantEnd(t)
	}
	if l.Ping(t); l.Requests() != 0 {
		t.Errorf("request %+v", l.Announced(t))
	}
}

// smuggled is what must not be taken for a request behind one that is refused.
const smuggled = "GET " + openTarget + "/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// TestHTTPBadChunks: the listener never gets the end of such a body.
func TestHTTPBadChunks(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	trailer := "X: " + strings.Repeat("y", 100) + "\r\n"
	for _, body := range []string{
		"g\r\n", "\r\n", " 1\r\na\r\n", "0x1\r\na\r\n", "-1\r\na\r\n", "1\na\r\n", "1\r\nab\r\n",
		"1\r\na\n", "1 \r\na\r\n", "10000000000000000\r\n", "1;\x00\r\na\r\n",
		"1;" + strings.Repeat("x", 1100) + "\r\na\r\n",
		"0\r\nX: a\nY: b\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\n" + strings.Repeat(trailer, 100) + "\r\n",
	} {
		for _, good := range []string{"", "4\r\ngood\r\n"} {
			s := n.Ask(t, "POST", openTarget, good+body+smuggled, relaytest.ChunkedCoding)
			req := l.Announced(t)
			req.Dial(t)
			if good != "" {
				// What was good may come, but never the end of the message.
				for f := req.Leg.ReadFrame(t); f.Op != relaytest.OpClose; f = req.Leg.ReadFrame(t) {
					if f.Fin {
						t.Fatalf("%q: frame %v %q", body, f.Op, f.Payload)
					}
				}
				req.Leg.WantEnd(t)
			} else {
				wantLegEnds(t, req.Leg)
			}
			wantError(t, s.Response(t), 400, "BadRequest")
			s.WantEnd(t)
		}
	}
	if l.Ping(t); l.Requests() != 0 {
		t.Errorf("request %+v", l.Announced(t))
	}
}

// TestHTTPChunkedBodies: extensions and trailers are dropped, sizes are read as
// they may be written.
func TestHTTPChunkedBodies(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for body, want := range map[string]string{
		"0\r\n\r\n": "", "000\r\n\r\n": "", "1\r\na\r\n0\r\n\r\n": "a",
		"A\r\n0123456789\r\n0a\r\n0123456789\r\n0\r\n\r\n": "01234567890123456789",
		"1;x=y;z=\"q\"\r\na\r\n0;end\r\n\r\n":              "a",
		"1\r\na\r\n0\r\nTrailer: 1\r\nOther: 2\r\n\r\n":    "a",
	} {
		s.Send(t, n.HTTPRequest("POST", openTarget, body, relaytest.ChunkedCoding,
			"Trailer: Other", "TE: trailers"))
		r := l.NextRequest(t)
		if r.Body != want || r.Headers["Trailer"]+r.Headers["Other"]+r.Headers["TE"]+
			r.Headers["Transfer-Encoding"] != "" {
			t.Errorf("%q: request %+v", body, r)
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	// Many chunks are not as many frames: clients have limits on those.
	const count = 20_000
	s.Send(t, n.HTTPRequest("POST", openTarget, "", relaytest.ChunkedCoding))
	r := l.Announced(t)
	leg := r.Dial(t)
	part := strings.Repeat("x", 100)
	go func() {
		_, _ = s.Write([]byte(strings.Repeat("64\r\n"+part+"\r\n", count) + "0\r\n\r\n"))
	}()
	frames, size := 0, 0
	for fin := false; !fin; frames++ {
		f := leg.ReadFrame(t)
		size += len(f.Payload)
		fin = f.Fin
	}
	if size != 100*count || frames > 5000 {
		t.Errorf("%d bytes in %d frames", size, frames)
	}
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// TestHTTPBodyInSmallPieces: a body that comes in small pieces for long is
// gathered into larger frames, none of it waits for long, and none is lost.
func TestHTTPBodyInSmallPieces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Engine.Loops = 1 })
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, "", relaytest.ChunkedCoding)
	r := l.Announced(t)
	leg := r.Dial(t)
	var got, want strings.Builder
	frames := 0
	read := func() (fin bool) {
		f := leg.ReadFrame(t)
		frames++
		got.Write(f.Payload)
		return f.Fin
	}
	piece := func(p string) {
		want.WriteString(p)
		s.Send(t, fmt.Sprintf("%x\r\n%s\r\n", len(p), p))
	}
	// One frame each, as long as they are few.
	const few = 4096
	for i := range few {
		piece(strconv.Itoa(i))
		for got.Len() < want.Len() {
			read()
		}
	}
	piece("the last one for a while")
	for got.Len() < want.Len() {
		read()
	}
	for range 10 {
		for i := range 20 {
			piece(strings.Repeat(strconv.Itoa(i)+",", 30))
			l.Ping(t) // by then the loop has read it
		}
		piece(long(100_000))
	}
	s.Send(t, "0\r\n\r\n")
	for !read() {
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes of %d, or others", got.Len(), want.Len())
	}
	if frames > few+150 {
		t.Errorf("%d frames", frames)
	}
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// TestHTTPMethods: all are relayed as they are, but for CONNECT (item 53).
func TestHTTPMethods(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for _, method := range []string{"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE",
		"PATCH", "PROPFIND", "get", "M-SEARCH"} {
		for _, body := range []string{"", "body"} {
			s.Send(t, n.HTTPRequest(method, openTarget, body))
			r := l.NextRequest(t)
			if r.Method != method || r.Body != body {
				t.Errorf("%s: request %+v", method, r)
			}
			r.Respond(t, relaytest.Reply{Parts: []string{"x"}})
			if res := s.ResponseTo(t, method); res.Status != 200 {
				t.Errorf("%s: response %v", method, res)
			}
		}
	}
	s.Send(t, n.HTTPRequest("CONNECT", openTarget, ""))
	r := s.Response(t)
	wantError(t, r, 405, "MethodNotAllowed")
	if r.Header.Get("Allow") == "" {
		t.Errorf("response %v", r)
	}
	s = n.Ask(t, "CONNECT", "relay.test:443", "", "Host: relay.test:443")
	wantError(t, s.Response(t), 405, "MethodNotAllowed")
}

// TestHTTPUpgrades: h2c is an ordinary request, WebSockets live elsewhere.
func TestHTTPUpgrades(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Ask(t, "GET", openTarget, "", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
		"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
	r := l.NextRequest(t)
	if h := r.Headers; h["Upgrade"]+h["Connection"]+h["HTTP2-Settings"] != "" {
		t.Errorf("headers %v", h)
	}
	r.Respond(t, relaytest.Reply{Headers: map[string]any{"Upgrade": "h2c", "Connection": "upgrade"}})
	res := s.WantResponse(t, 200, "")
	if res.Header.Get("Upgrade")+res.Header.Get("Connection") != "" {
		t.Errorf("response %v", res)
	}
	wantRelayed(t, n, s, l)
	for _, fields := range [][]string{
		{"Upgrade: h2c"}, {"Connection: close", "Upgrade: h2c"},
		{"Upgrade: websocket", "Connection: Upgrade"}, {"Upgrade: h2c, WebSocket", "Connection: upgrade"},
	} {
		s := n.Ask(t, "GET", openTarget, "", fields...)
		wantError(t, s.Response(t), 400, "BadRequest")
		s.WantEnd(t)
	}
}

// TestHTTPHeaders: what each side sees of the other's headers (items 46, 47,
// 69).
func TestHTTPHeaders(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for _, chunked := range []bool{false, true} {
		text := strings.Replace(bodyRequest(n, "body", chunked), "\r\n", "\r\nX-A: 1\r\nx-b: \xE4\r\n"+
			"Cookie: a=1\r\nX-A: 2\r\nCookie: b=2\r\nVia: 1.0 fred\r\nKeep-Alive: 5\r\n"+
			"Connection: X-Hop\r\nX-Hop: gone\r\nProxy-Connection: x\r\nClose: x\r\n"+
			"User-Agent: \"q\\\r\n", 1)
		s.Send(t, text)
		r := l.NextRequest(t)
		want := map[string]string{
			"Host": n.HTTP, "X-A": "1, 2", "Cookie": "a=1; b=2", "User-Agent": `"q\`,
		}
		for name, value := range want {
			if r.Headers[name] != value {
				t.Errorf("%s: %q, want %q", name, r.Headers[name], value)
			}
		}
		if via := r.Headers["Via"]; !strings.HasPrefix(via, "1.0 fred, 1.1 ") {
			t.Errorf("Via: %q", via)
		}
		if len(r.Headers) != len(want)+2 { // x-b and Via
			t.Errorf("headers %q", r.Headers)
		}
		if r.Endpoint.Address != "127.0.0.1" || r.Endpoint.Port == 0 {
			t.Errorf("endpoint %+v", r.Endpoint)
		}
		const phrase = "Any! \"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
		r.Respond(t, relaytest.Reply{Status: 299, Phrase: phrase, Headers: map[string]any{
			"x-node": "a", "X-Number": 5, "X-List": []string{"a", "b"}, "Via": "1.1 listener",
			"Keep-Alive": "x", "Transfer-Encoding": "gzip", "Trailer": "x", "TE": "x",
			"Set-Cookie": []string{"a=1", "b=2"},
		}, Parts: []string{"x"}})
		res := s.WantResponse(t, 299, "x")
		h := res.Header
		if res.Phrase != phrase || h.Get("X-Node") != "a" || h.Get("X-Number") != "5" ||
			h.Get("X-List") != "a, b" || len(h.Values("Set-Cookie")) != 2 ||
			!strings.HasPrefix(h.Get("Via"), "1.1 listener, 1.1 ") || h.Get("Date") == "" ||
			h.Get("Keep-Alive")+h.Get("Trailer")+h.Get("TE") != "" ||
			res.Framing != relaytest.FramedChunked {
			t.Errorf("response %v", res)
		}
	}
	for _, tt := range []struct {
		status int
		phrase string
	}{
		{200, "OK"}, {404, "Not Found"}, {299, ""}, {999, ""}, {502, "Bad Gateway"},
		{418, "I'm a teapot"},
	} {
		s.Send(t, get(n))
		l.NextRequest(t).Respond(t, relaytest.Reply{Status: tt.status})
		res := s.WantResponse(t, tt.status, "")
		if res.Phrase != tt.phrase || res.Header.Get("Via") == "" ||
			res.Header.Get("Content-Length") != "0" {
			t.Errorf("response %v, want the phrase %q", res, tt.phrase)
		}
	}
	s.Send(t, get(n))
	date := "Mon, 01 Jan 2001 00:00:00 GMT"
	l.NextRequest(t).Respond(t, relaytest.Reply{Headers: map[string]any{"date": date}})
	if all := s.WantResponse(t, 200, "").Header.Values("Date"); len(all) != 1 || all[0] != date {
		t.Errorf("Date %q", all)
	}
}
