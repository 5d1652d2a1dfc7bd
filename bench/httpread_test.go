package bench

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// sample is a response with a body of the pattern, in chunks of the given sizes
// or, without any, with its length.
func sample(fields string, size int, chunks ...int) string {
	body := string(pattern(size, 0))
	head := "HTTP/1.1 200 OK\r\n" + fields
	if len(chunks) == 0 {
		return head + "Content-Length: " + strconv.Itoa(size) + "\r\n\r\n" + body
	}
	var b strings.Builder
	b.WriteString(head + "Transfer-Encoding: chunked\r\n\r\n")
	for _, n := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func TestResponseReaderInPieces(t *testing.T) {
	for _, c := range []struct {
		name, response string
		want           responseReader
	}{
		{"length", sample("X-Exchange: 7\r\n", 40), responseReader{number: 7, bytes: 40}},
		{"no body", sample("x-exchange:3\r\n", 0), responseReader{number: 3}},
		{"chunks", sample("X-Exchange: 12 \r\n", 300, 1, 255, 44),
			responseReader{number: 12, bytes: 300}},
		{"empty chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			responseReader{number: -1}},
		{"close", sample("Connection: close\r\n", 1, 1),
			responseReader{number: -1, bytes: 1, closing: true}},
		{"error", "HTTP/1.1 404 No listeners. TrackingId:1\r\nContent-Length: 0\r\n\r\n",
			responseReader{status: 404, reason: "No listeners", number: -1}},
		{"no reason", "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n",
			responseReader{status: 599, number: -1}},
	} {
		if c.want.status == 0 {
			c.want.status = 200
		}
		for cut := range len(c.response) {
			r := responseReader{verify: true}
			// The reader is used for one response after the other.
			for range 2 {
				r.next()
				if done, err := r.feed([]byte(c.response[:cut])); done || err != nil {
					t.Fatalf("%s, cut %d: done %v, %v", c.name, cut, done, err)
				}
				if done, err := r.feed([]byte(c.response[cut:])); !done || err != nil {
					t.Fatalf("%s, cut %d: done %v, %v", c.name, cut, done, err)
				}
			}
			if r.status != c.want.status || r.reason != c.want.reason ||
				r.number != c.want.number || r.bytes != c.want.bytes ||
				r.closing != c.want.closing {
				t.Fatalf("%s, cut %d: %+v, want %+v", c.name, cut, r, c.want)
			}
		}
	}
}

func TestResponseReaderRefuses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	any := errors.New("any error")
	for _, c := range []struct {
		response string
		want     error
	}{
		{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", errResponseHead},
		{"HTTP/1.1 100 Continue\r\n\r\n", errResponseHead},
		{"HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n", errResponseHead},
		{"\r\n\r\n", errResponseHead},
		{ok + "\r\n", errResponseLength},
		{ok + "Content-Length: -1\r\n\r\n", errResponseLength},
		{ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", errResponseLength},
		{ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", errResponseLength},
		{ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", errResponseLength},
		{ok + "X-Exchange: x\r\nContent-Length: 0\r\n\r\n", any},
		{ok + "A: " + strings.Repeat("a", responseHeadMax), errResponseLarge},
		{chunked + "x\r\n", errChunkSize},
		{chunked + "\r\n", errChunkSize},
		{chunked + "-1\r\n", errChunkSize},
		{chunked + "8000000000000000\r\n", errChunkSize},
		{chunked + "1;a=b\r\n", errChunkSize},
		{chunked + strings.Repeat("0", lineMax+2), errChunkSize},
		{chunked + "1\r\n" + string(pattern(1, 0)) + "1\r\n", errChunkEnd},
		{chunked + "0\r\nTrailer: x\r\n\r\n", errChunkEnd},
		{sample("", 8) + "x", any},
		{sample("", 8, 8) + "HTTP/1.1", any},
		{ok + "Content-Length: 2\r\n\r\nab", any},
	} {
		for _, step := range []int{1, len(c.response)} {
			r := responseReader{verify: true}
			var err error
			for i := 0; i < len(c.response) && err == nil; i += step {
				_, err = r.feed([]byte(c.response[i:min(i+step, len(c.response))]))
			}
			if err == nil || c.want != any && !errors.Is(err, c.want) {
				t.Errorf("%.60q in steps of %d: %v, want %v", c.response, step, err, c.want)
			}
		}
	}
}

// FuzzResponseReader checks that no input panics, and that it makes no
// difference how an input is cut.
func FuzzResponseReader(f *testing.F) {
	f.Add([]byte(sample("X-Exchange: 1\r\n", 20)), 5)
	f.Add([]byte(sample("Connection: close\r\n", 20, 3, 17)), 70)
	f.Add([]byte("HTTP/1.1 404 No. TrackingId:x\r\nContent-Length: 0\r\n\r\nrest"), 51)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n"), 50)
	f.Fuzz(func(t *testing.T, input []byte, cut int) {
		whole, cutUp := responseReader{verify: true}, responseReader{verify: true}
		done, errWhole := whole.feed(input)
		if cut < 0 || cut > len(input) {
			cut = len(input) / 2
		}
		doneUp, err := cutUp.feed(input[:cut])
		if err == nil && cut < len(input) {
			doneUp, err = cutUp.feed(input[cut:])
		}
		if (err == nil) != (errWhole == nil) || err == nil &&
			(done != doneUp || whole.bytes != cutUp.bytes || whole.status != cutUp.status ||
				whole.number != cutUp.number || whole.state != cutUp.state) {
			t.Fatalf("whole %+v %v, cut at %d %+v %v", whole, errWhole, cut, cutUp, err)
		}
	})
}
