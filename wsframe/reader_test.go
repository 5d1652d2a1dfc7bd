package wsframe

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

type seen struct {
	kind EventKind
	data string
}

// drain runs stream through r in pieces of step bytes.
func drain(r *Reader, stream []byte, step int) (all []seen, err error) {
	var binary []byte
	for len(stream) > 0 {
		piece := bytes.Clone(stream[:min(step, len(stream))])
		stream = stream[len(piece):]
		for {
			n, ev, rerr := r.Next(piece)
			if rerr != nil {
				return all, rerr
			}
			piece = piece[n:]
			switch {
			case ev.Kind == EventBinary:
				if binary = append(binary, ev.Payload...); ev.Fin {
					all = append(all, seen{EventBinary, string(binary)})
					binary = nil
				}
			case ev.Kind != EventNone:
				all = append(all, seen{ev.Kind, string(ev.Payload)})
			}
			if len(piece) == 0 {
				break
			}
		}
	}
	return all, nil
}

func TestReaderMessages(t *testing.T) {
	long := strings.Repeat("j", 70000)
	stream := join(
		frame(true, ws.OpText, []byte(`{"a":1}`)),
		frame(true, ws.OpBinary, []byte("body")),
		frame(false, ws.OpText, []byte(`{"b"`)),
		frame(true, ws.OpPing, []byte("p")),
		frame(false, ws.OpContinuation, nil),
		frame(true, ws.OpContinuation, []byte(`:2}`)),
		frame(true, ws.OpText, nil),
		frame(false, ws.OpBinary, []byte("1")), frame(true, ws.OpContinuation, []byte("2")),
		frame(true, ws.OpBinary, nil),
		frame(true, ws.OpText, []byte(long)),
		frame(true, ws.OpPong, nil),
		closeFrame(1000, "bye"),
	)
	want := []seen{{EventText, `{"a":1}`}, {EventBinary, "body"}, {EventPing, "p"}, {EventText, `{"b":2}`},
		{EventText, ""}, {EventBinary, "12"}, {EventBinary, ""}, {EventText, long}, {EventPong, ""},
		{EventClose, "\x03\xe8bye"}}
	for _, step := range []int{1, 2, 3, 7, 1000, len(stream)} {
		r := NewReader(1 << 18)
		got, err := drain(&r, stream, step)
		if err != nil || len(got) != len(want) {
			t.Fatalf("step %d: %d events, want %d, error %v", step, len(got), len(want), err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("step %d event %d: %v %.40q, want %v %.40q",
					step, i, got[i].kind, got[i].data, want[i].kind, want[i].data)
			}
		}
		if r.Buffered() != 0 {
			t.Errorf("step %d: %d bytes held after the last message", step, r.Buffered())
		}
	}
}

func TestReaderLimits(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"text at the limit", frame(true, ws.OpText, bytes.Repeat([]byte("x"), 100)), nil},
		{"text over the limit", frame(true, ws.OpText, bytes.Repeat([]byte("x"), 101)), MessageTooLarge},
		{"over the limit by its header alone", []byte{0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, MessageTooLarge},
		{"fragments at the limit", join(frame(false, ws.OpText, make([]byte, 60)),
			frame(true, ws.OpContinuation, make([]byte, 40))), nil},
		{"fragments over the limit", join(frame(false, ws.OpText, make([]byte, 60)),
			frame(true, ws.OpContinuation, make([]byte, 41))), MessageTooLarge},
		{"binary is not limited", frame(true, ws.OpBinary, make([]byte, 100000)), nil},
		{"not UTF-8", frame(true, ws.OpText, []byte{0xff, 0xfe}), TextNotUTF8},
		{"not UTF-8 in fragments", join(frame(false, ws.OpText, []byte{0xe2}),
			frame(true, ws.OpContinuation, []byte{0x28})), TextNotUTF8},
		{"UTF-8 cut inside a rune", join(frame(false, ws.OpText, []byte{0xe2, 0x82}),
			frame(true, ws.OpContinuation, []byte{0xac})), nil},
		{"data after close", join(closeFrame(1000, ""), frame(true, ws.OpText, nil)), DataAfterClose},
		{"close of one byte", frame(true, ws.OpClose, []byte{1}), CloseTooShort},
		{"continuation first", frame(true, ws.OpContinuation, nil), ContinuationNoStart},
		{"interrupted", join(frame(false, ws.OpBinary, nil), frame(true, ws.OpText, nil)), MessageInterrupted},
		{"unmasked", []byte{0x81, 0x00}, NotMasked},
	}
	for _, tt := range tests {
		for _, step := range []int{1, 1 << 20} {
			r := NewReader(100)
			if _, err := drain(&r, tt.in, step); !errors.Is(err, tt.want) {
				t.Errorf("%s, step %d: error %v, want %v", tt.name, step, err, tt.want)
			}
		}
	}
	if MessageTooLarge.CloseCode() != 1009 || TextNotUTF8.CloseCode() != 1007 {
		t.Error("wrong close codes")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(mixedStream(300), 7)
	f.Add(join(frame(false, ws.OpText, []byte("{")), frame(true, ws.OpContinuation, []byte("}"))), 3)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		if step < 1 {
			step = 1
		}
		a, b := NewReader(1000), NewReader(1000)
		one, oneErr := drain(&a, stream, len(stream)+1)
		cut, cutErr := drain(&b, stream, step)
		if !errors.Is(oneErr, cutErr) || len(one) != len(cut) {
			t.Fatalf("cutting changed the result: %d %v, %d %v", len(one), oneErr, len(cut), cutErr)
		}
		for i := range one {
			if one[i] != cut[i] {
				t.Fatalf("event %d differs", i)
			}
		}
		if a.Buffered() > 4000 {
			t.Fatalf("%d bytes held with a limit of 1000", a.Buffered())
		}
	})
}

func TestUpgradeTexts(t *testing.T) {
	// The example of RFC 6455 section 1.3.
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	if got := AcceptKey(key); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("AcceptKey = %q", got)
	}
	got := string(AppendSwitching(nil, key, "chat", "id_G0"))
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n" +
		"TrackingId: id_G0\r\n\r\n"
	if got != want {
		t.Errorf("AppendSwitching = %q", got)
	}
	if got := string(AppendSwitching(nil, key, "", "")); strings.Contains(got, "Protocol:") {
		t.Errorf("a subprotocol that nobody asked for: %q", got)
	}
	for key, want := range map[string]bool{key: true, "MTMtMTcwMDAwMDAwMDAwMA==": true,
		"": false, "short": false, "dGhlIHNhbXBsZSBub25jZ===": false, strings.Repeat("!", 24): false} {
		if ValidKey(key) != want {
			t.Errorf("ValidKey(%q) = %v", key, !want)
		}
	}
}

func TestAppendClose(t *testing.T) {
	if got := AppendClose(nil, CodeNone, "ignored"); string(got) != "\x88\x00" {
		t.Errorf("empty close %q", got)
	}
	long := strings.Repeat("ä", 80)
	got := AppendClose(nil, CodePolicy, long)
	if len(got) > 2+ControlMax || len(got) != 2+2+122 {
		t.Errorf("cut to %d bytes", len(got))
	}
	if code, reason, err := ParseClose(got[2:]); code != 1008 || err != nil || string(reason) != long[:122] {
		t.Errorf("%d %q %v", code, reason, err)
	}
}
