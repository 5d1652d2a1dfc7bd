package interop

import (
	"bytes"
	"testing"

	"github.com/relayhouse/relayhouse/interop/framer"
)

// frameMax is the largest frame that leaves the gateway, in bytes
// (docs/protocol.md, section 4.1: the Java client takes no larger one).
const frameMax = 65_536

// send writes frames.
func send(t *testing.T, c *framer.Conn, frames ...framer.Frame) {
	t.Helper()
	if err := c.Send(frames...); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// sendBytes writes bytes as they are.
func sendBytes(t *testing.T, c *framer.Conn, wire []byte) {
	t.Helper()
	if err := c.SendBytes(wire); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// wantFrame wants exactly this frame next.
func wantFrame(t *testing.T, c *framer.Conn, fin bool, opcode byte, payload []byte) {
	t.Helper()
	f, err := c.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want opcode %#x with %d bytes", err, opcode, len(payload))
	}
	if f.Fin != fin || f.RSV != 0 || f.Opcode != opcode || !bytes.Equal(f.Payload, payload) {
		t.Fatalf("received %v, want fin=%t opcode=%#x and the %d bytes sent", f, fin, opcode,
			len(payload))
	}
}

// wantMessage wants one message: in one frame when it came in one of at most
// 65,536 bytes, in continuation frames of at most that when it was larger.
func wantMessage(t *testing.T, c *framer.Conn, opcode byte, message []byte) {
	t.Helper()
	if len(message) <= frameMax {
		wantFrame(t, c, true, opcode, message)
		return
	}
	var got []byte
	want := opcode
	for {
		f, err := c.Receive()
		if err != nil {
			t.Fatalf("receive: %v after %d of %d bytes", err, len(got), len(message))
		}
		if f.Opcode != want || f.RSV != 0 || len(f.Payload) > frameMax {
			t.Fatalf("received %v after %d bytes, want opcode %#x and at most %d bytes",
				f, len(got), want, frameMax)
		}
		got = append(got, f.Payload...)
		want = framer.Continuation
		if f.Fin {
			break
		}
	}
	if !bytes.Equal(got, message) {
		t.Fatalf("received %d bytes, not the %d bytes sent", len(got), len(message))
	}
}

// wantClose wants a Close with this code and reason; code 1005 is an empty one.
func wantClose(t *testing.T, c *framer.Conn, code int, reason string) {
	t.Helper()
	f, err := c.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want a Close %d", err, code)
	}
	gotCode, gotReason, err := f.CloseCode()
	if err != nil || gotCode != code || gotReason != reason {
		t.Fatalf("received %v (code %d), want a Close %d %q", f, gotCode, code, reason)
	}
}

// wantEnd wants the TCP connection to end now, with nothing before.
func wantEnd(t *testing.T, c *framer.Conn) {
	t.Helper()
	if f, err := c.Receive(); !framer.IsEnd(err) {
		t.Fatalf("received %v %v, want the end of the connection", f, err)
	}
}

// wantCut wants the end without a Close: what was on its way may come first.
func wantCut(t *testing.T, c *framer.Conn) {
	t.Helper()
	for {
		f, err := c.Receive()
		switch {
		case framer.IsEnd(err):
			return
		case err != nil:
			t.Fatalf("receive: %v, want the connection to be cut", err)
		case f.Opcode == framer.Close:
			t.Fatalf("received the Close %v, want the connection to be cut without", f)
		}
	}
}

// wantFailed wants a Close with the code of a protocol failure and a reason of
// at most 123 bytes, and then the end.
func wantFailed(t *testing.T, c *framer.Conn, code int) {
	t.Helper()
	f, err := c.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want a Close %d", err, code)
	}
	got, reason, err := f.CloseCode()
	if err != nil || got != code || len(reason) > 123 {
		t.Fatalf("received %v (code %d), want a Close %d", f, got, code)
	}
	wantEnd(t, c)
}
