package httphead

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const sample = "GET /$hc/a/b?x=1&sb-hc-action=connect HTTP/1.1\r\n" +
	"Host: contoso.example:8443\r\nX-App:  two words \r\nx-APP: again\r\n" +
	"0: Sec-WebSocket-Extensions: permessage-deflate\r\nEmpty:\r\n" +
	"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"

func TestParse(t *testing.T) {
	h, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{{"Host", "contoso.example:8443"}, {"X-App", "two words"}, {"x-APP", "again"},
		{"0", "Sec-WebSocket-Extensions: permessage-deflate"}, {"Empty", ""},
		{"Connection", "keep-alive, Upgrade"}, {"Upgrade", "websocket"}}
	if fmt.Sprint(h.Fields) != fmt.Sprint(want) || h.Method != "GET" || h.Minor != 1 ||
		h.Target != "/$hc/a/b?x=1&sb-hc-action=connect" {
		t.Errorf("got %+v", h)
	}
	if h.Get("x-app") != "two words" || h.Count("X-App") != 2 || h.Get("none") != "" {
		t.Error("Get or Count")
	}
	if !h.HasToken("connection", "upgrade") || h.HasToken("Connection", "up") {
		t.Error("HasToken")
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, head string
		want       error
	}{
		{"leading blank line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", nil},
		{"bytes over 127 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n", nil},
		{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"blank in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"NUL in target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"method no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"method too long", strings.Repeat("G", 25) + " / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", ErrVersion},
		{"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", ErrHost},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ErrHost},
		{"bare LF", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", ErrLineEnd},
		{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrVersion},
		{"bare CR", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", ErrFieldValue},
		{"folded", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", ErrFolded},
		{"blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", ErrFieldName},
		{"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", ErrFieldName},
		{"empty name", "GET / HTTP/1.1\r\n: a\r\n\r\n", ErrFieldName},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", ErrFieldValue},
		{"10,000 fields", "GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 10000) + "\r\n", ErrTooMany},
	}
	for _, tt := range tests {
		if _, err := Parse([]byte(tt.head)); !errors.Is(err, tt.want) {
			if tt.want == ErrVersion && errors.Is(err, ErrRequestLine) {
				continue // both refuse it
			}
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestPlausible(t *testing.T) {
	tests := []struct {
		in   string
		want error
	}{
		{"", nil}, {"G", nil}, {"GET", nil}, {"GET ", nil}, {"GET /x HTTP/1.1\r\nA\x00", nil}, {"\r", nil}, {"\r\nGE", nil},
		{"\x16\x03\x01\x02", ErrTLS}, {"\x00", ErrRequestLine}, {" GET", ErrRequestLine}, {"GET /\x01", ErrRequestLine},
		{strings.Repeat("A", 24), nil}, {strings.Repeat("A", 25), ErrRequestLine}, {"SSH-2.0-x\r\n", ErrRequestLine},
		{"\x81\x85abcd", ErrRequestLine},
	}
	for _, tt := range tests {
		if err := Plausible([]byte(tt.in)); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.in, err, tt.want)
		}
	}
	for i := range sample {
		if err := Plausible([]byte(sample[:i])); err != nil {
			t.Fatalf("first %d bytes: %v", i, err)
		}
	}
}

func TestFindEndResumes(t *testing.T) {
	from, end := 0, 0
	for i := 1; i <= len(sample); i++ {
		end, from = FindEnd([]byte(sample + "rest")[:i], from)
		if (end > 0) != (i == len(sample)) {
			t.Fatalf("after %d bytes: end %d", i, end)
		}
	}
	if end != len(sample) {
		t.Errorf("end %d, want %d", end, len(sample))
	}
}

func TestHasBody(t *testing.T) {
	for fields, want := range map[string]bool{"": false, "Content-Length: 0\r\n": false, "content-length: 5\r\n": true,
		"Content-Length: 0\r\nContent-Length: 0\r\n": true, "Transfer-Encoding: chunked\r\n": true} {
		h, err := Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"))
		if err != nil || h.HasBody() != want {
			t.Errorf("%q: %v %v", fields, h.HasBody(), err)
		}
	}
}

func TestAppendResponse(t *testing.T) {
	got := AppendResponse(nil, 404, "No\r\nX: y", []Field{{"TrackingId", "a\nb"}}, "body")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil || resp.StatusCode != 404 || resp.Status != "404 No??X: y" || resp.Header.Get("TrackingId") != "a?b" ||
		resp.ContentLength != 4 || !resp.Close {
		t.Errorf("%q: %v", got, err)
	}
}

// FuzzParse: what Parse takes, net/http must read the same way.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("PUT http://h/%2F HTTP/1.0\r\nA: \x80\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		end, _ := FindEnd(p, 0)
		if end == 0 {
			Plausible(p)
			return
		}
		p = p[:end]
		h, err := Parse(p)
		if err != nil {
			return
		}
		if err := Plausible(p); err != nil {
			t.Fatalf("Parse takes what Plausible refuses: %q", p)
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(p, []byte("\r\n")))))
		if err != nil {
			return // stricter in targets and lengths, which are the caller's
		}
		if req.Method != h.Method || req.RequestURI != h.Target {
			t.Fatalf("request line read as %q %q and %q %q", h.Method, h.Target, req.Method, req.RequestURI)
		}
		if host := h.Get("Host"); h.Count("Host") == 1 && !strings.Contains(h.Target, "://") &&
			h.Method != "CONNECT" && !strings.HasPrefix(h.Target, "//") && req.Host != host {
			t.Fatalf("Host read as %q and %q", host, req.Host)
		}
		for _, fl := range h.Fields {
			if !strings.EqualFold(fl.Name, "Host") && len(req.Header.Values(fl.Name)) > 0 &&
				len(req.Header.Values(fl.Name)) != h.Count(fl.Name) {
				t.Fatalf("field %q occurs %d and %d times", fl.Name, h.Count(fl.Name), len(req.Header.Values(fl.Name)))
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	p := []byte(sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(p); err != nil {
			b.Fatal(err)
		}
	}
}
