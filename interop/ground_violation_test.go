package interop

import (
	"fmt"
	"testing"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// violation is something that RFC 6455 forbids a client to send.
type violation struct {
	name string
	wire []byte
}

// forbiddenCodes must not be in a Close: below 1000, reserved for other uses,
// not assigned by any document, or above the ranges for applications.
var forbiddenCodes = []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
	65_535}

// violations lists what every leg refuses with 1002. Where a frame must come
// before it, that is part of the wire text.
func violations() []violation {
	var list []violation
	add := func(name string, frames ...framer.Frame) {
		var wire []byte
		for _, f := range frames {
			wire = f.Append(wire)
		}
		list = append(list, violation{name, wire})
	}
	hello := []byte("{}") // on the control channel a command that is ignored
	for _, control := range []byte{framer.Ping, framer.Pong, framer.Close} {
		payload := append(framer.ClosePayload(1000, ""), pattern(124)...)
		add(fmt.Sprintf("control %#x of 126 bytes", control), framer.Message(control, payload))
		add(fmt.Sprintf("control %#x, length in 16 bits", control),
			framer.Frame{Fin: true, Opcode: control, Form: framer.As16})
		add(fmt.Sprintf("control %#x, length in 64 bits", control),
			framer.Frame{Fin: true, Opcode: control, Form: framer.As64})
		add(fmt.Sprintf("control %#x in fragments", control), framer.Part(control, nil))
	}
	for _, bit := range []byte{1, 2, 4, 7} {
		for _, opcode := range []byte{framer.Text, framer.Binary, framer.Ping, framer.Close} {
			add(fmt.Sprintf("reserved bits %d in %#x", bit, opcode),
				framer.Frame{Fin: true, RSV: bit, Opcode: opcode})
		}
		add(fmt.Sprintf("reserved bits %d in a continuation", bit),
			framer.Part(framer.Text, hello), framer.Frame{Fin: true, RSV: bit, Payload: hello})
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		add(fmt.Sprintf("opcode %d", opcode), framer.Message(opcode, hello))
		add(fmt.Sprintf("opcode %d, empty", opcode), framer.Message(opcode, nil))
	}
	add("continuation without a start", framer.Message(framer.Continuation, hello))
	add("continuation without a start, not final", framer.Part(framer.Continuation, hello))
	add("continuation after the end", framer.Message(framer.Text, hello),
		framer.Message(framer.Continuation, hello))
	add("text inside a message", framer.Part(framer.Text, hello),
		framer.Message(framer.Text, hello))
	add("binary inside a message", framer.Part(framer.Text, hello),
		framer.Part(framer.Binary, hello))
	for _, opcode := range []byte{framer.Text, framer.Binary, framer.Ping, framer.Close} {
		add(fmt.Sprintf("unmasked %#x", opcode),
			framer.Frame{Fin: true, Opcode: opcode, Unmasked: true})
	}
	add("unmasked text with a payload",
		framer.Frame{Fin: true, Opcode: framer.Text, Unmasked: true, Payload: hello})
	add("close of one byte", framer.Message(framer.Close, []byte{3}))
	for _, code := range forbiddenCodes {
		add(fmt.Sprintf("close code %d", code), framer.CloseFrame(code, ""))
		add(fmt.Sprintf("close code %d with a reason", code), framer.CloseFrame(code, "r"))
	}
	for _, length := range []int{0, 1, 125} {
		add(fmt.Sprintf("length %d in 16 bits", length), framer.Frame{Fin: true,
			Opcode: framer.Text, Form: framer.As16, Payload: pattern(length)})
	}
	for _, length := range []int{0, 125, 126, 65_535} {
		add(fmt.Sprintf("length %d in 64 bits", length), framer.Frame{Fin: true,
			Opcode: framer.Text, Form: framer.As64, Payload: pattern(length)})
	}
	for _, length := range []uint64{1 << 63, 1<<64 - 1} {
		list = append(list, violation{fmt.Sprintf("length %#x", length),
			framer.AppendHeader(nil, framer.Message(framer.Binary, nil), length)})
	}
	return list
}

// TestGroundViolations: the leg that breaks the rules gets Close 1002 and its
// end; the other leg is cut without a Close (docs/protocol.md, section 4.3).
func TestGroundViolations(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, v := range violations() {
			t.Run(v.name, func(t *testing.T) {
				tested, other := open()
				sendBytes(t, tested, v.wire)
				wantFailed(t, tested, 1002)
				wantCut(t, other)
			})
		}
	})
}

// TestGroundViolationCostsOnlyItself: other relayed connections of the same
// listener, and its control channel, go on.
func TestGroundViolationCostsOnlyItself(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	s, accepted := relayOn(t, g, l, framerPeer, emulator.Anonymous)
	for _, v := range violations()[:20] {
		bad, other := relayOn(t, g, l, framerPeer, emulator.Anonymous)
		sendBytes(t, raw(bad), v.wire)
		wantCut(t, raw(other))
		wantAlive(t, raw(s), raw(accepted))
	}
}

// TestGroundDataAfterClose: what comes after a Close from the same side is a
// protocol error that ends both legs (docs/protocol.md, section 4.2, rule 5).
func TestGroundDataAfterClose(t *testing.T) {
	after := map[string]framer.Frame{
		"text":         framer.Message(framer.Text, []byte("more")),
		"binary":       framer.Message(framer.Binary, pattern(70_000)),
		"continuation": framer.Message(framer.Continuation, []byte("more")),
	}
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for name, f := range after {
			t.Run(name, func(t *testing.T) {
				tested, other := open()
				send(t, tested, framer.CloseFrame(1000, "bye"))
				wantClose(t, other, 1000, "bye")
				send(t, tested, f)
				wantFailed(t, tested, 1002)
				wantCut(t, other)
			})
			t.Run(name+" in one piece", func(t *testing.T) {
				tested, other := open()
				send(t, tested, framer.CloseFrame(1000, "bye"), f)
				wantFailed(t, tested, 1002)
				wantEndAfterClose(t, other)
			})
		}
	})
}

// wantEndAfterClose allows the forwarded Close before the end.
func wantEndAfterClose(t *testing.T, c *framer.Conn) {
	t.Helper()
	f, err := c.Receive()
	if err == nil && f.Opcode == framer.Close {
		_, err = c.Receive()
	}
	if !framer.IsEnd(err) {
		t.Fatalf("received %v %v, want the end", f, err)
	}
}
