package relaytest

import (
	"bytes"
	"context"
	"testing"

	"github.com/coder/websocket"
)

// The kinds of messages.
const (
	Text   = websocket.MessageText
	Binary = websocket.MessageBinary
)

// Conn is one end of a relayed connection.
type Conn struct {
	Answer Answer // to its handshake
	ws     *websocket.Conn
}

// Protocol is the subprotocol that was agreed.
func (c *Conn) Protocol() string { return c.ws.Subprotocol() }

// Write sends a message in one frame; for goroutines other than the test's.
func (c *Conn) Write(kind websocket.MessageType, p []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return c.ws.Write(ctx, kind, p)
}

// Send sends a message in one frame.
func (c *Conn) Send(t testing.TB, kind websocket.MessageType, p []byte) {
	t.Helper()
	if err := c.Write(kind, p); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// WriteParts sends a message in one frame for each part, and one to end it.
func (c *Conn) WriteParts(kind websocket.MessageType, parts ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	w, err := c.ws.Writer(ctx, kind)
	for _, p := range parts {
		if err == nil {
			_, err = w.Write(p)
		}
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

// Read waits for a message.
func (c *Conn) Read(t testing.TB) (websocket.MessageType, []byte) {
	t.Helper()
	kind, p, err := c.TryRead()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return kind, p
}

// TryRead waits for a message; for goroutines other than the test's.
func (c *Conn) TryRead() (websocket.MessageType, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return c.ws.Read(ctx)
}

// Want waits for a message, which must be this one.
func (c *Conn) Want(t testing.TB, kind websocket.MessageType, p []byte) {
	t.Helper()
	gotKind, got := c.Read(t)
	if gotKind != kind || !bytes.Equal(got, p) {
		t.Fatalf("read %v of %d bytes %.40q, want %v of %d bytes %.40q",
			gotKind, len(got), got, kind, len(p), p)
	}
}

// Exchange sends a text each way and wants it at the other end.
func Exchange(t testing.TB, a, b *Conn) {
	t.Helper()
	a.Send(t, Text, []byte("there"))
	b.Want(t, Text, []byte("there"))
	b.Send(t, Text, []byte("and back"))
	a.Want(t, Text, []byte("and back"))
}

// WantClose waits for a Close frame, which is answered.
func (c *Conn) WantClose(t testing.TB, code int) (reason string) {
	t.Helper()
	_, p, err := c.TryRead()
	if err == nil {
		t.Fatalf("read %.40q, want close %d", p, code)
	}
	return wantClose(t, err, code)
}

// WantLost waits for the end of the connection without a Close frame, and
// closes it too, as WebSocket libraries do then.
func (c *Conn) WantLost(t testing.TB) {
	t.Helper()
	_, p, err := c.TryRead()
	if err == nil {
		t.Fatalf("read %.40q, want the end", p)
	}
	wantLost(t, err)
	c.Abort()
}

// Close closes with a Close frame; the result comes when the other end has
// answered, or when the test is over.
func (c *Conn) Close(code int, reason string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.ws.Close(websocket.StatusCode(code), reason) }()
	return done
}

// Abort cuts the TCP connection.
func (c *Conn) Abort() { _ = c.ws.CloseNow() }
