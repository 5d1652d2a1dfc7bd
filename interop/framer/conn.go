package framer

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// ReadTimeout bounds each read, and so the time until a test fails.
	ReadTimeout = 15 * time.Second

	// handshakeTimeout bounds the wait for an answer: the gateway holds a
	// sender for up to 30 s (docs/protocol.md, section 3.1).
	handshakeTimeout = 40 * time.Second

	dialTimeout  = 5 * time.Second
	writeTimeout = 15 * time.Second

	// headMax bounds the head of a response, in bytes.
	headMax = 16384
)

// Field is one header line.
type Field struct{ Name, Value string }

// Response is the head of the gateway's answer, as it came.
type Response struct {
	Proto  string
	Status int
	Reason string
	Fields []Field
}

// Values returns the values of every line of that name, in order.
func (r *Response) Values(name string) []string {
	var values []string
	for _, field := range r.Fields {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

// Conn is one WebSocket connection, after a 101.
type Conn struct {
	tcp    *net.TCPConn
	stream stream // tcp, or TLS over it
	reader *bufio.Reader
}

// stream is what a *net.TCPConn and a *tls.Conn have in common.
type stream interface {
	net.Conn
	CloseWrite() error
}

// key is the Sec-WebSocket-Key of every handshake: 16 fixed bytes.
var key = base64.StdEncoding.EncodeToString([]byte("relayhouse-tests"))

// Request returns the head of an upgrade request. Extra lines are given as
// "Name: value"; one with the name of a usual line takes its place, and one
// without a value leaves it out.
func Request(target, host string, extra ...string) string {
	usual := []string{"Host: " + host, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key}
	var lines []string
	for _, line := range usual {
		if !slices.ContainsFunc(extra, func(e string) bool { return sameName(e, line) }) {
			lines = append(lines, line)
		}
	}
	for _, line := range extra {
		if _, value, _ := strings.Cut(line, ":"); value != "" {
			lines = append(lines, line)
		}
	}
	return "GET " + target + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func sameName(line, other string) bool {
	name, _, _ := strings.Cut(line, ":")
	otherName, _, _ := strings.Cut(other, ":")
	return strings.EqualFold(name, otherName)
}

// Dial opens address, "ws://host:port/path?query" exactly as it is to be sent,
// with extra header lines as in Request. When the gateway refuses, the Conn is
// nil and the Response says why.
func Dial(address string, extra ...string) (*Conn, *Response, error) {
	return DialTLS(nil, address, extra...)
}

// DialTLS is Dial for "wss://"; without a configuration, for "ws://".
func DialTLS(cfg *tls.Config, address string, extra ...string) (*Conn, *Response, error) {
	scheme := "ws://"
	if cfg != nil {
		scheme = "wss://"
	}
	rest, ok := strings.CutPrefix(address, scheme)
	if !ok {
		return nil, nil, fmt.Errorf("dial %q: want a %s address", address, scheme)
	}
	host, target := rest, "/"
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		host, target = rest[:at], rest[at:]
	}
	c, err := ConnectTLS(cfg, host)
	if err != nil {
		return nil, nil, err
	}
	if err := c.SendBytes([]byte(Request(target, host, extra...))); err != nil {
		c.Abort()
		return nil, nil, fmt.Errorf("send request: %w", err)
	}
	response, err := c.ReadResponse()
	if err != nil {
		c.Abort()
		return nil, nil, fmt.Errorf("read response: %w", err)
	}
	if response.Status != 101 {
		c.Abort()
		return nil, response, nil
	}
	return c, response, checkAccept(response)
}

// Connect opens the TCP connection only, to send requests by hand.
func Connect(host string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", host, dialTimeout)
	if err != nil {
		return nil, err
	}
	tcp := nc.(*net.TCPConn)
	return &Conn{tcp: tcp, stream: tcp, reader: bufio.NewReader(tcp)}, nil
}

// ConnectTLS is Connect with a TLS handshake; without one if there is no
// configuration.
func ConnectTLS(cfg *tls.Config, host string) (*Conn, error) {
	c, err := Connect(host)
	if err != nil || cfg == nil {
		return c, err
	}
	secure := tls.Client(c.tcp, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Abort()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c.stream, c.reader = secure, bufio.NewReader(secure)
	return c, nil
}

func checkAccept(response *Response) error {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	want := base64.StdEncoding.EncodeToString(sum[:])
	got := response.Values("Sec-WebSocket-Accept")
	if len(got) != 1 || got[0] != want {
		return fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
	}
	return nil
}

// ReadResponse reads one response head, strictly: CRLF, no folding, a colon in
// every line.
func (c *Conn) ReadResponse() (*Response, error) {
	if err := c.stream.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	var head []byte
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		b, err := c.reader.ReadByte()
		if err != nil {
			return nil, err
		}
		if head = append(head, b); len(head) > headMax {
			return nil, errors.New("the response head does not end")
		}
	}
	return parseResponse(string(head))
}

func parseResponse(head string) (*Response, error) {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	proto, rest, _ := strings.Cut(lines[0], " ")
	code, reason, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 {
		return nil, fmt.Errorf("status line %q", lines[0])
	}
	r := &Response{Proto: proto, Status: status, Reason: reason}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("header line %q", line)
		}
		r.Fields = append(r.Fields, Field{name, strings.Trim(value, " \t")})
	}
	return r, nil
}

// Send writes frames.
func (c *Conn) Send(frames ...Frame) error {
	var wire []byte
	for _, f := range frames {
		wire = f.Append(wire)
	}
	return c.SendBytes(wire)
}

// SendBytes writes bytes as they are.
func (c *Conn) SendBytes(wire []byte) error {
	if err := c.stream.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.stream.Write(wire)
	return err
}

// SendSome writes as many of the bytes as the gateway takes within that time.
func (c *Conn) SendSome(wire []byte, within time.Duration) (n int, err error) {
	if err := c.stream.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	n, err = c.stream.Write(wire)
	if IsTimeout(err) {
		err = nil
	}
	return n, err
}

// Receive reads the next frame of any kind. io.EOF means that the gateway has
// ended the connection between two frames.
func (c *Conn) Receive() (Frame, error) {
	return c.ReceiveWithin(ReadTimeout)
}

// ReceiveWithin is Receive with another timeout.
func (c *Conn) ReceiveWithin(timeout time.Duration) (Frame, error) {
	if err := c.stream.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return Frame{}, err
	}
	return Read(c.reader)
}

// ReceiveHeader reads a frame's header only; ReceiveBytes reads its payload.
func (c *Conn) ReceiveHeader() (f Frame, length uint64, err error) {
	if err := c.stream.SetReadDeadline(time.Now().Add(ReadTimeout)); err != nil {
		return f, 0, err
	}
	return ReadHeader(c.reader)
}

// ReceiveBytes reads exactly n bytes.
func (c *Conn) ReceiveBytes(n int) ([]byte, error) {
	if err := c.stream.SetReadDeadline(time.Now().Add(ReadTimeout)); err != nil {
		return nil, err
	}
	p := make([]byte, n)
	_, err := io.ReadFull(c.reader, p)
	return p, err
}

// IsEnd says whether err means that the peer's TCP connection has ended, by a
// FIN or by a reset, in a frame or between two.
func IsEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// IsTimeout says whether err means that nothing came.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// HalfClose sends a FIN, or over TLS a close_notify; reading goes on.
func (c *Conn) HalfClose() error { return c.stream.CloseWrite() }

// Close ends the connection with a FIN, over TLS behind a close_notify, without a
// Close frame.
func (c *Conn) Close() { _ = c.stream.Close() }

// Cut ends the TCP connection with a FIN, over TLS without a close_notify.
func (c *Conn) Cut() { _ = c.tcp.Close() }

// Abort ends the TCP connection with a reset.
func (c *Conn) Abort() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// Escape percent-encodes a query value, blanks as %20.
func Escape(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}
