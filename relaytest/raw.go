package relaytest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Raw is a TCP connection to a node. Every operation has Patience.
type Raw struct {
	*net.TCPConn
	n *Client
	r *bufio.Reader
}

// Raw opens a TCP connection.
func (n *Client) Raw(t testing.TB) *Raw {
	t.Helper()
	c, err := n.TryRaw()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TryRaw is Raw for goroutines other than the test's, which close it.
func (n *Client) TryRaw() (*Raw, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c, err := n.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Raw{TCPConn: c.(*net.TCPConn), n: n, r: bufio.NewReader(c)}, nil
}

// RawListen opens a control channel by hand. The path may have a query.
func (n *Client) RawListen(t testing.TB, path string, fields ...string) *Raw {
	t.Helper()
	c := n.Raw(t)
	path, query, _ := strings.Cut(path, "?")
	fields = append(fields, "ServiceBusAuthorization: "+Token(path))
	target := "/$hc/" + path + "?sb-hc-action=listen&" + query
	if a := c.Upgrade(t, target, fields...); a.Status != 101 {
		t.Fatalf("listen: %+v", a)
	}
	return c
}

// RawOpen opens a WebSocket by hand at an address from an accept message.
func (n *Client) RawOpen(t testing.TB, address string, fields ...string) (*Raw, Answer) {
	t.Helper()
	c := n.Raw(t)
	return c, c.Upgrade(t, TargetOf(address), fields...)
}

// RawPair is a relayed connection of two ends that do nothing on their own.
// Its listener has left.
func (n *Client) RawPair(t testing.TB) (sender, listener *Raw) {
	t.Helper()
	id := ownID()
	l := n.Listen(t, Dial{Path: Anonymous, Query: "sb-hc-id=" + id})
	defer l.Close(t)
	sender = n.Raw(t)
	sender.Send(t, n.UpgradeRequest("/$hc/"+Anonymous, allowed+": "+id))
	listener, a := n.RawOpen(t, l.Next(t).Address)
	if b := sender.Answer(t); a.Status != 101 || b.Status != 101 {
		t.Fatalf("pair: listener's end %+v, sender's end %+v", a, b)
	}
	return sender, listener
}

// TargetOf is the request target of an address.
func TargetOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// Key is the Sec-WebSocket-Key of requests by hand, and KeyAnswer the
// Sec-WebSocket-Accept for it: the example of RFC 6455 section 1.3.
const (
	Key       = "dGhlIHNhbXBsZSBub25jZQ=="
	KeyAnswer = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// UpgradeRequest is the head of a handshake. A field named like one of the
// usual ones comes in its place; "Name" without a colon leaves it out.
func (n *Client) UpgradeRequest(target string, fields ...string) string {
	usual := []string{
		"Host: " + n.HTTP, "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + Key, "Sec-WebSocket-Version: 13",
	}
	var b strings.Builder
	b.WriteString("GET " + target + " HTTP/1.1\r\n")
	for _, f := range usual {
		name, _, _ := strings.Cut(f, ":")
		if !named(fields, name) {
			b.WriteString(f + "\r\n")
		}
	}
	for _, f := range fields {
		if strings.Contains(f, ":") {
			b.WriteString(f + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

func named(fields []string, name string) bool {
	for _, f := range fields {
		if f, _, _ = strings.Cut(f, ":"); strings.EqualFold(f, name) {
			return true
		}
	}
	return false
}

func (c *Raw) patience() { _ = c.SetDeadline(time.Now().Add(Patience)) }

// Send writes text as it is.
func (c *Raw) Send(t testing.TB, text string) {
	t.Helper()
	c.patience()
	if _, err := io.WriteString(c.TCPConn, text); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// Answer reads a response.
func (c *Raw) Answer(t testing.TB) Answer {
	t.Helper()
	c.patience()
	res, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodGet})
	if err != nil {
		t.Fatalf("response: %v", err)
	}
	a := answerOf(res)
	_ = res.Body.Close()
	return a
}

// Head reads the head of a response as it came, blank line included.
func (c *Raw) Head(t testing.TB) string {
	t.Helper()
	c.patience()
	var b bytes.Buffer
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		line, err := c.r.ReadBytes('\n')
		b.Write(line)
		if err != nil {
			t.Fatalf("response %q: %v", b.String(), err)
		}
	}
	return b.String()
}

// Upgrade sends a handshake and reads the answer.
func (c *Raw) Upgrade(t testing.TB, target string, fields ...string) Answer {
	t.Helper()
	c.Send(t, c.n.UpgradeRequest(target, fields...))
	return c.Answer(t)
}

// Want reads a response, which must have a status, and the end behind it.
func (c *Raw) Want(t testing.TB, status int) Answer {
	t.Helper()
	a := c.Answer(t)
	if a.Status != status {
		t.Fatalf("answer %d %q, want %d", a.Status, a.Phrase, status)
	}
	c.WantEnd(t)
	return a
}

// WantEnd waits for the end of the stream and closes the connection; bytes
// before the end are an error.
func (c *Raw) WantEnd(t testing.TB) {
	t.Helper()
	defer c.Close() //nolint:errcheck // it has ended
	c.patience()
	p, err := io.ReadAll(c.r)
	if len(p) > 0 {
		t.Fatalf("%d bytes %.60q, want the end", len(p), p)
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v, want the end", err)
	}
}

// Frame is a frame as it came.
type Frame struct {
	Op      ws.OpCode
	Fin     bool
	Payload []byte
}

// The opcodes of frames by hand.
const (
	OpContinuation = ws.OpContinuation
	OpText         = ws.OpText
	OpBinary       = ws.OpBinary
	OpClose        = ws.OpClose
	OpPing         = ws.OpPing
	OpPong         = ws.OpPong
)

// SendFrame sends one masked frame.
func (c *Raw) SendFrame(t testing.TB, f Frame) {
	t.Helper()
	c.Send(t, string(f.Bytes()))
}

// Bytes is the frame as a client sends it, masked.
func (f Frame) Bytes() []byte {
	frame := ws.NewFrame(f.Op, f.Fin, bytes.Clone(f.Payload))
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(frame, [4]byte{0xA5, 1, 0x7F, 0x10}))
}

// CloseFrame is a Close with a code and a reason.
func CloseFrame(code int, reason string) Frame {
	return Frame{OpClose, true, ws.NewCloseFrameBody(ws.StatusCode(code), reason)}
}

// ReadFrame reads one frame, which must not be masked.
func (c *Raw) ReadFrame(t testing.TB) Frame {
	t.Helper()
	f, err := c.tryFrame()
	if err != nil {
		t.Fatalf("frame: %v", err)
	}
	return f
}

func (c *Raw) tryFrame() (Frame, error) {
	c.patience()
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return Frame{}, err
	}
	if h.Masked || h.Rsv != 0 {
		return Frame{}, fmt.Errorf("header %+v from the gateway", h)
	}
	f := Frame{h.OpCode, h.Fin, make([]byte, h.Length)}
	_, err = io.ReadFull(c.r, f.Payload)
	return f, err
}

// WantFrame reads a frame, which must be this one.
func (c *Raw) WantFrame(t testing.TB, want Frame) {
	t.Helper()
	got := c.ReadFrame(t)
	if got.Op != want.Op || got.Fin != want.Fin || !bytes.Equal(got.Payload, want.Payload) {
		t.Fatalf("frame %v fin=%v %.60q, want %v fin=%v %.60q",
			got.Op, got.Fin, got.Payload, want.Op, want.Fin, want.Payload)
	}
}

// WantCloseFrame reads a Close frame with a code.
func (c *Raw) WantCloseFrame(t testing.TB, code int) (reason string) {
	t.Helper()
	f := c.ReadFrame(t)
	got, reason := ws.ParseCloseFrameData(f.Payload)
	if f.Op != OpClose || int(got) != code {
		t.Fatalf("frame %v %.60q, want Close %d", f.Op, f.Payload, code)
	}
	return reason
}

// Abort resets the TCP connection.
func (c *Raw) Abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// ReadMessage reads frames up to the end of a data message.
func (c *Raw) ReadMessage(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for fin := false; !fin; {
		f := c.ReadFrame(t)
		if f.Op.IsControl() {
			t.Fatalf("frame %v %.60q in a message", f.Op, f.Payload)
		}
		b.Write(f.Payload)
		fin = f.Fin
	}
	return b.String()
}

// ReadBytes reads n bytes as they came.
func (c *Raw) ReadBytes(t testing.TB, n int) []byte {
	t.Helper()
	c.patience()
	p := make([]byte, n)
	if _, err := io.ReadFull(c.r, p); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	return p
}

// ReadFrameHead reads the header of a frame and n bytes of its payload.
func (c *Raw) ReadFrameHead(t testing.TB, n int) []byte {
	t.Helper()
	c.patience()
	if _, err := ws.ReadHeader(c.r); err != nil {
		t.Fatalf("frame: %v", err)
	}
	return c.ReadBytes(t, n)
}
