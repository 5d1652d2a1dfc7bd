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
	if !h.HasToken("connection", "upgrade") || h.HasToken("Connection", "up") ||
		h.HasToken("Upgrade", "websoc\u212aet") {
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
		{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrRequestLine},
		{"bare CR after the request line", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"HTTP/2 without a minor version", "GET / HTTP/2\r\nHost: a\r\n\r\n", ErrVersion},
		{"no version", "GET / HTTP/\r\nHost: a\r\n\r\n", ErrRequestLine},
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
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
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
	got := AppendResponse(nil, 404, "No\r\nX: y", []Field{{"TrackingId", "a\nb"}}, "body", false)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil || resp.StatusCode != 404 || resp.Status != "404 No??X: y" || resp.Header.Get("TrackingId") != "a?b" ||
		resp.ContentLength != 4 || !resp.Close {
		t.Errorf("%q: %v", got, err)
	}
}

func TestAppendLines(t *testing.T) {
	for want, got := range map[string][]byte{
		"HTTP/1.1 200 OK\r\n":              AppendStatus(nil, 200, "OK"),
		"HTTP/1.1 999 \r\n":                AppendStatus(nil, 999, ""),
		"HTTP/1.1 404 a?? \u00e9\t???\r\n": AppendStatus(nil, 404, "a\r\n \u00e9\t\x00\x1f\x7f"),
		"X-App: one, two\r\n":              AppendField(nil, "X-App", "one, two"),
		"X_Y__Z__: a??b\r\n":               AppendField(nil, "X:Y\r\nZ \x80", "a\r\nb"),
		"ab5\r\nhello\r\n":                 AppendChunk([]byte("ab"), []byte("hello")),
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// BenchmarkParse is what a head costs: Scan, Parse, Body and KeepAlive.
func BenchmarkParse(b *testing.B) {
	p := []byte(sample[:len(sample)-2] + "Content-Length: 65536\r\n\r\n")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		end, _, err := Scan(p, 0)
		if err != nil {
			b.Fatal(err)
		}
		h, err := Parse(p[:end])
		if err != nil {
			b.Fatal(err)
		}
		if kind, _, err := h.Body(); kind != BodyLength || err != nil || !h.KeepAlive() {
			b.Fatal(kind, err)
		}
	}
}
