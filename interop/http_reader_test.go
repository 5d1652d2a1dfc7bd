package interop

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/interop/framer"
)

// TestResponseReader shows that the sender of these tests would see what a
// gateway must not do.
func TestResponseReader(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, method, wire string
		framing            framing
		body, rest         string
	}{
		{"length", "GET", ok + "Content-Length: 3\r\n\r\nabcX", byLength, "abc", "X"},
		{"length 0", "GET", ok + "Content-Length: 0\r\n\r\nX", byLength, "", "X"},
		{"chunked", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n" +
			"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nX", chunked, "abc0123456789", "X"},
		{"close", "GET", ok + "Connection: close\r\n\r\nabc", byClose, "abc", ""},
		{"HEAD", "HEAD", ok + "Content-Length: 3\r\n\r\nX", noBody, "", "X"},
		{"204", "GET", "HTTP/1.1 204 \r\n\r\nX", noBody, "", "X"},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nX", noBody, "", "X"},
		{"100", "POST", "HTTP/1.1 100 Continue\r\n\r\n" + ok, noBody, "", ok},
	}
	for _, tt := range tests {
		reader := bufio.NewReader(strings.NewReader(tt.wire))
		r, err := readHead(reader, tt.method)
		if err == nil {
			err = r.readBody()
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		rest, _ := reader.Peek(reader.Buffered())
		if r.framing != tt.framing || string(r.body) != tt.body || string(rest) != tt.rest {
			t.Errorf("%s: by %s, %q, rest %q", tt.name, r.framing, r.body, rest)
		}
	}
}

func TestResponseReaderRefuses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunkedHead = ok + "Transfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, wire string
		end        bool // as a cut: framer.IsEnd
	}{
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", false},
		{"no blank behind the code", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false},
		{"bare LF", ok + "Content-Length: 0\n\r\n", false},
		{"bare CR", ok + "A: b\rc\r\nContent-Length: 0\r\n\r\n", false},
		{"NUL", ok + "A: b\x00c\r\nContent-Length: 0\r\n\r\n", false},
		{"no colon", ok + "Content-Length\r\n\r\n", false},
		{"blank in a name", ok + "Content-Length : 0\r\n\r\n", false},
		{"folded", ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", false},
		{"no framing", ok + "\r\n", false},
		{"two lengths", ok + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", false},
		{"length and chunked", ok + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
			false},
		{"other coding", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false},
		{"length of 204", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false},
		{"short body", ok + "Content-Length: 5\r\n\r\nabcd", true},
		{"no last chunk", chunkedHead + "3\r\nabc\r\n", true},
		{"no end behind the last chunk", chunkedHead + "3\r\nabc\r\n0\r\n", true},
		{"in a chunk", chunkedHead + "4\r\nabc", true},
		{"chunk too long", chunkedHead + "3\r\nabcd\r\n0\r\n\r\n", false},
		{"trailer", chunkedHead + "0\r\nA: b\r\n\r\n", false},
		{"extension", chunkedHead + "0;a=b\r\n\r\n", false},
		{"head only in part", ok + "A: b\r\n", true},
		{"nothing", "", true},
	}
	for _, tt := range tests {
		r, err := readHead(bufio.NewReader(strings.NewReader(tt.wire)), "GET")
		if err == nil {
			err = r.readBody()
		}
		if err == nil || framer.IsEnd(err) != tt.end {
			t.Errorf("%s: %v, want a cut: %t", tt.name, err, tt.end)
		}
	}
}

func TestOutgoing(t *testing.T) {
	tests := []struct {
		request outgoing
		want    string
	}{
		{outgoing{target: "/x", lines: []string{"A: b"}},
			"GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"},
		{outgoing{method: "POST", target: "/x", minor: "0", body: []byte("abc")},
			"POST /x HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{outgoing{method: "PUT", target: "/x", body: []byte("abcde"), chunk: 3,
			trailers: []string{"T: u"}}, "PUT /x HTTP/1.1\r\nHost: h\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"},
	}
	for i, tt := range tests {
		if got := string(tt.request.bytes("h")); got != tt.want {
			t.Error(fmt.Sprint(i), got)
		}
	}
}
