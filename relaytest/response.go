package relaytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// HTTPRequest is the bytes of an HTTP request. A body brings its Content-Length
// along. A field named like one of the usual ones comes in its place; "Name"
// without a colon leaves it out.
func (n *Client) HTTPRequest(method, target, body string, fields ...string) string {
	usual := []string{"Host: " + n.HTTP}
	if body != "" && !named(fields, "Transfer-Encoding") {
		usual = append(usual, "Content-Length: "+strconv.Itoa(len(body)))
	}
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\n")
	for _, f := range usual {
		if name, _, _ := strings.Cut(f, ":"); !named(fields, name) {
			b.WriteString(f + "\r\n")
		}
	}
	for _, f := range fields {
		if strings.Contains(f, ":") {
			b.WriteString(f + "\r\n")
		}
	}
	return b.String() + "\r\n" + body
}

// Chunked is a body of chunks, for a request with the field [ChunkedCoding].
func Chunked(chunks ...string) string {
	var b strings.Builder
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	return b.String() + "0\r\n\r\n"
}

// ChunkedCoding is the field of requests with a body of chunks.
const ChunkedCoding = "Transfer-Encoding: chunked"

// Ask opens a connection and sends a request; see HTTPRequest.
func (n *Client) Ask(t testing.TB, method, target, body string, fields ...string) *Raw {
	t.Helper()
	c := n.Raw(t)
	c.Send(t, n.HTTPRequest(method, target, body, fields...))
	return c
}

// The framings of a response.
const (
	FramedNone    = "none" // it cannot have a body
	FramedLength  = "length"
	FramedChunked = "chunked"
	FramedClose   = "close" // the body ends with the connection
)

// Response is a response as it came, read strictly.
type Response struct {
	Status  int
	Phrase  string
	Header  http.Header
	Framing string
	Body    string   // as far as it came
	Chunks  []string // of which Body consists, if it is chunked

	length int
}

// String is what to say of r when it is not what it should be.
func (r Response) String() string {
	return fmt.Sprintf("%d %q %v, %s, %d bytes of body %.120q", r.Status, r.Phrase, r.Header,
		r.Framing, len(r.Body), r.Body)
}

// Answer is the part of r that handshakes have too.
func (r Response) Answer() Answer {
	return Answer{Status: r.Status, Phrase: r.Phrase, Header: r.Header, Body: r.Body}
}

// Response reads a response that is no response to HEAD.
func (c *Raw) Response(t testing.TB) Response {
	t.Helper()
	return c.ResponseTo(t, http.MethodGet)
}

// ResponseTo reads the response to a request with the method.
func (c *Raw) ResponseTo(t testing.TB, method string) Response {
	t.Helper()
	r, err := c.TryResponse(method)
	if err != nil {
		t.Fatalf("response %v: %v", r, err)
	}
	return r
}

// WantResponse reads a response, which must have the status and the body.
func (c *Raw) WantResponse(t testing.TB, status int, body string) Response {
	t.Helper()
	r := c.Response(t)
	if r.Status != status || r.Body != body {
		t.Fatalf("response %d %q with %d bytes %.60q, want %d with %d bytes %.60q",
			r.Status, r.Phrase, len(r.Body), r.Body, status, len(body), body)
	}
	return r
}

// WantCut reads a response whose end must be missing.
func (c *Raw) WantCut(t testing.TB) Response {
	t.Helper()
	r, err := c.TryResponse(http.MethodGet)
	if !Cut(err) {
		t.Fatalf("response %v ended with %v, want it cut", r, err)
	}
	_ = c.Close()
	return r
}

// Cut says whether an error of TryResponse is the end of the connection before
// the end of the response.
func Cut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET)
}

// TryResponse reads the response to a request with the method. With an error,
// see Cut, it has what came before; for goroutines other than the test's.
func (c *Raw) TryResponse(method string) (Response, error) {
	c.patience()
	r, err := c.readHead(method)
	if err != nil {
		return r, err
	}
	switch r.Framing {
	case FramedLength:
		p := make([]byte, r.length)
		var n int
		n, err = io.ReadFull(c.r, p)
		r.Body = string(p[:n])
	case FramedClose:
		var p []byte
		p, err = io.ReadAll(c.r)
		r.Body = string(p)
	case FramedChunked:
		for err == nil {
			var chunk string
			if chunk, err = readChunk(c.r); err != nil || chunk == "" {
				break
			}
			r.Chunks = append(r.Chunks, chunk)
		}
		r.Body = strings.Join(r.Chunks, "")
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return r, err
}

// ResponseHead reads the head of a response that is no response to HEAD; the
// body is the test's to read, with ReadBytes or Chunk.
func (c *Raw) ResponseHead(t testing.TB) Response {
	t.Helper()
	c.patience()
	r, err := c.readHead(http.MethodGet)
	if err != nil {
		t.Fatalf("head of the response %v: %v", r, err)
	}
	return r
}

// Chunk reads one chunk, "" if it is the last one.
func (c *Raw) Chunk(t testing.TB) string {
	t.Helper()
	c.patience()
	chunk, err := readChunk(c.r)
	if err != nil {
		t.Fatalf("chunk: %v", err)
	}
	return chunk
}

// WantChunks reads chunks up to the text, whatever their borders.
func (c *Raw) WantChunks(t testing.TB, text string) {
	t.Helper()
	got := ""
	for len(got) < len(text) {
		chunk := c.Chunk(t)
		if got += chunk; chunk == "" || !strings.HasPrefix(text, got) {
			t.Fatalf("chunks up to %.80q, want %.80q", got, text)
		}
	}
}

// What a head of the gateway looks like: no leniency here, for clients of all
// sorts read it.
var (
	statusLine = regexp.MustCompile(`^HTTP/1\.1 ([1-9][0-9][0-9]) (` + printable + `)\r\n$`)
	fieldLine  = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+): (" + printable + ")\r\n$")
)

// printable is any text without control characters but tabs.
const printable = `[^\x00-\x08\x0A-\x1F\x7F]*`

func (c *Raw) readHead(method string) (Response, error) {
	r := Response{Header: http.Header{}}
	line, err := c.r.ReadString('\n')
	if err != nil && line == "" {
		return r, err
	}
	if err != nil {
		return r, cutLine(err)
	}
	m := statusLine.FindStringSubmatch(line)
	if m == nil {
		return r, fmt.Errorf("bad status line %q", line)
	}
	r.Status, _ = strconv.Atoi(m[1])
	r.Phrase = m[2]
	for {
		if line, err = c.r.ReadString('\n'); err != nil {
			return r, cutLine(err)
		}
		if line == "\r\n" {
			break
		}
		if m = fieldLine.FindStringSubmatch(line); m == nil {
			return r, fmt.Errorf("bad field %q", line)
		}
		r.Header.Add(m[1], m[2])
	}
	return r, r.frame(method)
}

// cutLine is the error of a line that did not come whole.
func cutLine(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frame finds the framing, of which there must be exactly one.
func (r *Response) frame(method string) error {
	coding, length := r.Header.Values("Transfer-Encoding"), r.Header.Values("Content-Length")
	if len(coding)+len(length) > 1 {
		return fmt.Errorf("Transfer-Encoding %q, Content-Length %q", coding, length)
	}
	if len(coding) == 1 && coding[0] != "chunked" {
		return fmt.Errorf("Transfer-Encoding %q", coding)
	}
	if len(length) == 1 {
		n, err := strconv.ParseUint(length[0], 10, 31)
		if err != nil {
			return err
		}
		r.length = int(n)
	}
	bodyless := r.Status < 200 || r.Status == http.StatusNoContent
	if bodyless && len(coding)+len(length) > 0 {
		return fmt.Errorf("a %d with Transfer-Encoding %q, Content-Length %q", r.Status, coding, length)
	}
	switch {
	case bodyless, method == http.MethodHead, r.Status == http.StatusNotModified:
		r.Framing = FramedNone
	case len(coding) == 1:
		r.Framing = FramedChunked
	case len(length) == 1:
		r.Framing = FramedLength
	case r.Header.Get("Connection") != "close":
		return errors.New("a body that ends with a connection that stays open")
	default:
		r.Framing = FramedClose
	}
	return nil
}

// readChunk reads one chunk without extension, or the last one without trailer.
func readChunk(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", cutLine(err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	size, err := strconv.ParseUint(text, 16, 31)
	if !ok || err != nil {
		return "", fmt.Errorf("bad size of a chunk %q", line)
	}
	p := make([]byte, size+2)
	n, err := io.ReadFull(r, p)
	if err != nil {
		return string(p[:min(n, int(size))]), io.ErrUnexpectedEOF
	}
	if string(p[size:]) != "\r\n" {
		return "", fmt.Errorf("chunk of %d bytes followed by %q", size, p[size:])
	}
	return string(p[:size]), nil
}
