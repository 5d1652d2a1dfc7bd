package interop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// A sender of HTTP requests at byte level: requests go out as they are, and
// responses are read by the rules that a server has to keep (RFC 9112), not by
// those that a lenient client follows.

// httpSender is one TCP connection. Writing is for one goroutine, and so is
// reading.
type httpSender struct {
	tcp  *net.TCPConn
	r    *bufio.Reader
	host string
}

// dialSender opens a connection for the length of the test.
func dialSender(t *testing.T, g *emulator.Gateway) *httpSender {
	t.Helper()
	s, err := tryDialSender(g.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.abort)
	return s
}

func tryDialSender(host string) (*httpSender, error) {
	nc, err := net.DialTimeout("tcp", host, peerTimeout)
	if err != nil {
		return nil, err
	}
	s := &httpSender{tcp: nc.(*net.TCPConn), host: host}
	s.r = bufio.NewReader(patient{s.tcp})
	return s, nil
}

// patient bounds each read, so that a test fails and does not hang.
type patient struct{ tcp *net.TCPConn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.tcp.SetReadDeadline(time.Now().Add(peerTimeout)); err != nil {
		return 0, err
	}
	return p.tcp.Read(b)
}

func (s *httpSender) write(p []byte) error {
	if err := s.tcp.SetWriteDeadline(time.Now().Add(peerTimeout)); err != nil {
		return err
	}
	_, err := s.tcp.Write(p)
	return err
}

func (s *httpSender) send(t *testing.T, text string) {
	t.Helper()
	if err := s.write([]byte(text)); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// abort ends the connection with a reset, close with a FIN.
func (s *httpSender) abort() {
	_ = s.tcp.SetLinger(0)
	_ = s.tcp.Close()
}

func (s *httpSender) close() { _ = s.tcp.Close() }

// outgoing is one request.
type outgoing struct {
	method string // GET when empty
	target string
	lines  []string // "Name: value"
	host   string   // the sender's own when empty
	minor  string   // "1" when empty: HTTP/1.1

	body []byte // nil is no body and no Content-Length
	// chunk is the size of the chunks of the body; 0 is a Content-Length.
	chunk    int
	trailers []string
}

func (o outgoing) head(host string) []byte {
	method, minor := o.method, o.minor
	if method == "" {
		method = "GET"
	}
	if minor == "" {
		minor = "1"
	}
	if o.host != "" {
		host = o.host
	}
	text := fmt.Sprintf("%s %s HTTP/1.%s\r\nHost: %s\r\n", method, o.target, minor, host)
	for _, line := range o.lines {
		text += line + "\r\n"
	}
	switch {
	case o.chunk > 0:
		text += "Transfer-Encoding: chunked\r\n"
	case o.body != nil:
		text += "Content-Length: " + strconv.Itoa(len(o.body)) + "\r\n"
	}
	return []byte(text + "\r\n")
}

func (o outgoing) bytes(host string) []byte {
	wire := o.head(host)
	if o.chunk == 0 {
		return append(wire, o.body...)
	}
	for rest := o.body; len(rest) > 0; {
		n := min(o.chunk, len(rest))
		wire = appendChunk(wire, rest[:n])
		rest = rest[n:]
	}
	wire = append(wire, "0\r\n"...)
	for _, line := range o.trailers {
		wire = append(wire, line+"\r\n"...)
	}
	return append(wire, "\r\n"...)
}

func appendChunk(dst, p []byte) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(p)), 16), "\r\n"...)
	return append(append(dst, p...), "\r\n"...)
}

// exchange sends a request and reads the whole response. Both go on at the same
// time: a response may come before the request is out.
func (s *httpSender) exchange(o outgoing) (*httpResponse, error) {
	sent := make(chan error, 1)
	go func() { sent <- s.write(o.bytes(s.host)) }()
	r, err := s.receive(o.method)
	if err != nil {
		return r, err
	}
	return r, <-sent
}

func (s *httpSender) fetch(t *testing.T, o outgoing) *httpResponse {
	t.Helper()
	r, err := s.exchange(o)
	if err != nil {
		t.Fatalf("%s %.60s: %v", o.method, o.target, err)
	}
	return r
}

// fetch is one request on a connection of its own.
func fetch(t *testing.T, g *emulator.Gateway, o outgoing) *httpResponse {
	t.Helper()
	return dialSender(t, g).fetch(t, o)
}

// receive reads one whole response to a request of that method.
func (s *httpSender) receive(method string) (*httpResponse, error) {
	r, err := readHead(s.r, method)
	if err != nil {
		return nil, err
	}
	return r, r.readBody()
}

func (s *httpSender) mustReceive(t *testing.T, method string) *httpResponse {
	t.Helper()
	r, err := s.receive(method)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return r
}

func (s *httpSender) mustReceiveHead(t *testing.T, method string) *httpResponse {
	t.Helper()
	r, err := readHead(s.r, method)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return r
}

// wantEnd wants nothing more and the end of the connection.
func (s *httpSender) wantEnd(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(s.r); len(rest) > 0 || err != nil && !framer.IsEnd(err) {
		t.Fatalf("received %.100q, %v; want the end of the connection", rest, err)
	}
}

// wantSilence wants nothing for a moment; what comes is not lost.
func (s *httpSender) wantSilence(t *testing.T, moment time.Duration) {
	t.Helper()
	if s.r.Buffered() == 0 {
		if err := s.tcp.SetReadDeadline(time.Now().Add(moment)); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		n, err := s.tcp.Read(b[:])
		if n == 0 && framer.IsTimeout(err) {
			return
		}
		t.Fatalf("received %q %v, want nothing for %v", b[:n], err, moment)
	}
	p, _ := s.r.Peek(s.r.Buffered())
	t.Fatalf("received %.100q, want nothing", p)
}

// framing is how the end of a response body is told.
type framing string

const (
	noBody   framing = "no body"
	byLength framing = "Content-Length"
	chunked  framing = "chunked"
	byClose  framing = "the end of the connection"
)

// httpResponse is a response in the order in which it comes: the head, then
// parts of the body by next, or all of it by readBody.
type httpResponse struct {
	framer.Response
	framing framing
	length  int64  // of Content-Length, else -1
	body    []byte // what next has given
	parts   []int  // the sizes of these parts: of a chunked body the chunks
	ended   bool

	r *bufio.Reader
}

// headTextMax bounds a response head, in bytes.
const headTextMax = 128 << 10

// readLine reads a line that ends with CRLF and has no other CR or LF.
func readLine(r *bufio.Reader, most int) (string, error) {
	var line []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			if len(line) > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if b == '\n' {
			break
		}
		if line = append(line, b); len(line) > most {
			return "", fmt.Errorf("a line of more than %d bytes: %.80q", most, line)
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r")
	if !ok || strings.Contains(text, "\r") {
		return "", fmt.Errorf("line %.80q does not end with CRLF, or has a bare CR", line)
	}
	return text, nil
}

// readHead reads the head of a response to a request of that method.
func readHead(r *bufio.Reader, method string) (*httpResponse, error) {
	line, err := readLine(r, headTextMax)
	if err != nil {
		return nil, err
	}
	response := &httpResponse{r: r, length: -1}
	if err := response.parseStatusLine(line); err != nil {
		return nil, err
	}
	for total := 0; ; total += len(line) {
		if line, err = readLine(r, headTextMax-total); err != nil {
			return nil, fmt.Errorf("in a response head: %w", noEOF(err))
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return nil, fmt.Errorf("header line %.80q", line)
		}
		response.Fields = append(response.Fields,
			framer.Field{Name: name, Value: strings.Trim(value, " \t")})
	}
	return response, response.chooseFraming(method)
}

func (r *httpResponse) parseStatusLine(line string) error {
	proto, rest, ok := strings.Cut(line, " ")
	if !ok || proto != "HTTP/1.1" {
		return fmt.Errorf("status line %.80q", line)
	}
	code, reason, ok := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !ok || err != nil || len(code) != 3 || status < 100 || !isFieldValue(reason) {
		return fmt.Errorf("status line %.80q", line)
	}
	r.Proto, r.Status, r.Reason = proto, status, reason
	return nil
}

func isToken(name string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7F || strings.IndexByte("()<>@,;:\\\"/[]?={}", c) >= 0 {
			return false
		}
	}
	return name != ""
}

func isFieldValue(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}

// chooseFraming follows RFC 9112 section 6.3 and holds the gateway to what a
// server must not send.
func (r *httpResponse) chooseFraming(method string) error {
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Connection", "Date",
		"TrackingId", "Via"} {
		if values := r.Values(name); len(values) > 1 {
			return fmt.Errorf("%s comes %d times: %q", name, len(values), values)
		}
	}
	lengths, codings := r.Values("Content-Length"), r.Values("Transfer-Encoding")
	if len(lengths) > 0 && len(codings) > 0 {
		return errors.New("both Content-Length and Transfer-Encoding")
	}
	if len(codings) > 0 && codings[0] != "chunked" {
		return fmt.Errorf("Transfer-Encoding: %s", codings[0])
	}
	if len(lengths) > 0 {
		length, err := strconv.ParseUint(lengths[0], 10, 62)
		if err != nil {
			return fmt.Errorf("Content-Length: %q", lengths[0])
		}
		r.length = int64(length)
	}
	if (r.Status < 200 || r.Status == 204) && len(lengths)+len(codings) > 0 {
		return fmt.Errorf("status %d with the length %q %q", r.Status, lengths, codings)
	}
	switch {
	case method == "HEAD", r.Status < 200, r.Status == 204, r.Status == 304:
		r.framing, r.ended = noBody, true
	case len(codings) > 0:
		r.framing = chunked
	case len(lengths) > 0:
		r.framing, r.ended = byLength, r.length == 0
	case r.closes():
		r.framing = byClose
	default:
		return fmt.Errorf("status %d: the end of the body is not told: %v", r.Status, r.Fields)
	}
	return nil
}

// closes says whether the response announces the end of the connection.
func (r *httpResponse) closes() bool {
	return strings.EqualFold(strings.Join(r.Values("Connection"), ","), "close")
}

// header returns the values of that name, joined.
func (r *httpResponse) header(name string) string {
	return strings.Join(r.Values(name), ", ")
}

// next gives the next part of the body; r.ended tells that there is none. A
// body that is cut short is an error.
func (r *httpResponse) next() ([]byte, error) {
	var p []byte
	var err error
	switch {
	case r.ended:
		return nil, nil
	case r.framing == chunked:
		p, err = r.nextChunk()
	case r.framing == byLength:
		p, err = r.some(r.length - int64(len(r.body)))
		err = noEOF(err)
		r.ended = err == nil && int64(len(r.body)+len(p)) == r.length
	default:
		p, err = r.some(1 << 20)
		if err == io.EOF {
			r.ended, err = true, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("in a body by %s, after %d bytes: %w", r.framing, len(r.body),
			err)
	}
	if len(p) > 0 {
		r.body = append(r.body, p...)
		r.parts = append(r.parts, len(p))
	}
	return p, nil
}

// some reads what is there, at least one byte and at most n.
func (r *httpResponse) some(n int64) ([]byte, error) {
	p := make([]byte, min(n, 64<<10))
	got, err := r.r.Read(p)
	if got > 0 {
		err = nil
	}
	return p[:got], err
}

func (r *httpResponse) nextChunk() ([]byte, error) {
	line, err := readLine(r.r, 64)
	if err != nil {
		return nil, noEOF(err)
	}
	size, err := strconv.ParseUint(line, 16, 31)
	if err != nil {
		return nil, fmt.Errorf("chunk size %q", line)
	}
	p := make([]byte, size)
	if _, err := io.ReadFull(r.r, p); err != nil {
		return nil, noEOF(err)
	}
	if line, err = readLine(r.r, 64); err != nil {
		return nil, fmt.Errorf("after a chunk of %d bytes: %w", size, noEOF(err))
	}
	if line != "" {
		return nil, fmt.Errorf("after a chunk of %d bytes: %q", size, line)
	}
	r.ended = size == 0
	return p, nil
}

func (r *httpResponse) readBody() error {
	for !r.ended {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// wantPart wants exactly these bytes as the next part of the body.
func (r *httpResponse) wantPart(t *testing.T, want []byte) {
	t.Helper()
	var got []byte
	for len(got) < len(want) && !r.ended {
		p, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("received %d bytes %.40q, want the %d bytes sent, %.40q", len(got), got,
			len(want), want)
	}
}

// wantBodyEnd reads the rest of a body that must not have more bytes.
func (r *httpResponse) wantBodyEnd(t *testing.T) {
	t.Helper()
	p, err := r.next()
	if err != nil || len(p) > 0 || !r.ended {
		t.Fatalf("received %.40q %v, want the end of the body", p, err)
	}
}

// wantTruncated wants the body to be cut short.
func (r *httpResponse) wantTruncated(t *testing.T) {
	t.Helper()
	for !r.ended {
		if _, err := r.next(); err != nil {
			if !framer.IsEnd(err) {
				t.Fatalf("%v, want the connection to be cut", err)
			}
			return
		}
	}
	t.Fatalf("the body ended properly after %d bytes, want it to be cut short", len(r.body))
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// wantResponse checks the status, the phrase and the body of a listener's
// response, and that it says where it comes from (docs/protocol.md, section
// 5.6).
func wantResponse(t *testing.T, r *httpResponse, status int, reason string, body []byte) {
	t.Helper()
	if r.Status != status || r.Reason != reason {
		t.Errorf("status %d %q, want %d %q", r.Status, r.Reason, status, reason)
	}
	if !bytes.Equal(r.body, body) {
		t.Errorf("a body of %d bytes %.60q, want the %d bytes sent, %.60q", len(r.body), r.body,
			len(body), body)
	}
	if !strings.HasPrefix(r.header("Via"), "1.1 ") {
		t.Errorf("Via is %q on the response of a listener", r.header("Via"))
	}
	if _, err := time.Parse(time.RFC1123, r.header("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
}
