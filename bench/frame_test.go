package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// gatewayFrame is a frame as a gateway sends it, built by another framer.
func gatewayFrame(op ws.OpCode, fin bool, payload []byte) []byte {
	var b bytes.Buffer
	if err := ws.WriteFrame(&b, ws.NewFrame(op, fin, payload)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// readFrame reads one frame with the other framer and unmasks it.
func readFrame(t *testing.T, stream []byte) (h ws.Header, payload []byte) {
	t.Helper()
	rd := bytes.NewReader(stream)
	h, err := ws.ReadHeader(rd)
	if err != nil || h.Length != int64(rd.Len()) {
		t.Fatalf("header %+v for %d bytes, %v", h, rd.Len(), err)
	}
	payload = stream[len(stream)-rd.Len():]
	ws.Cipher(payload, h.Mask, 0)
	return h, payload
}

func pattern(size int, offset uint64) []byte {
	p := make([]byte, size)
	fillPattern(p, offset)
	return p
}

func TestAppendFrameReadByAnotherFramer(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 127, 1024, 65535, 65536, 70000} {
		want := pattern(size, 3)
		h, got := readFrame(t, appendFrame(nil, opBinary, want))
		if !h.Masked || !h.Fin || h.OpCode != ws.OpBinary || !bytes.Equal(got, want) {
			t.Errorf("size %d: header %+v, or the payload differs", size, h)
		}
	}
	if _, got := readFrame(t, appendPatternFrame(nil, 300, 41)); !bytes.Equal(got, pattern(300, 41)) {
		t.Error("pattern frame differs")
	}
	h, got := readFrame(t, appendClose(nil, 1000))
	if h.OpCode != ws.OpClose || !bytes.Equal(got, []byte{3, 232}) {
		t.Errorf("close frame %+v % x", h, got)
	}
}

func TestPatternAtEveryAlignment(t *testing.T) {
	whole := pattern(200, 0)
	for at := range 40 {
		for size := range 40 {
			p := pattern(size, uint64(at))
			if !bytes.Equal(p, whole[at:at+size]) {
				t.Fatalf("pattern of %d bytes at %d differs", size, at)
			}
			if i := checkPattern(p, uint64(at)); i != -1 {
				t.Fatalf("check of %d bytes at %d fails at %d", size, at, i)
			}
			for i := range p {
				p[i] ^= 0x10
				if got := checkPattern(p, uint64(at)); got != i {
					t.Fatalf("flipped byte %d of %d at %d found at %d", i, size, at, got)
				}
				p[i] ^= 0x10
			}
		}
	}
}

// Every cut of the stream must give the same counts: a header that arrives in
// two reads is where framers fail.
func TestFrameReaderAtEveryCut(t *testing.T) {
	var stream []byte
	add := func(op ws.OpCode, fin bool, payload []byte) {
		stream = append(stream, gatewayFrame(op, fin, payload)...)
	}
	add(ws.OpBinary, true, pattern(5, 0))
	add(ws.OpText, false, pattern(130, 5))
	add(ws.OpPing, true, []byte("hello"))
	add(ws.OpContinuation, false, nil)
	add(ws.OpContinuation, true, pattern(125, 135))
	add(ws.OpBinary, true, nil)
	add(ws.OpPong, true, nil)
	add(ws.OpBinary, true, pattern(65536, 260))
	add(ws.OpClose, true, ws.NewCloseFrameBody(1001, "bye"))

	cuts := make([]int, 0, 800)
	for i := range 400 {
		cuts = append(cuts, i, len(stream)-i)
	}
	for _, cut := range cuts {
		r := frameReader{verify: true}
		a, err := r.feed(stream[:cut])
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		b, err := r.feed(stream[cut:])
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if a+b != 4 || r.messages != 4 || r.bytes != 260+65536 {
			t.Fatalf("cut %d: %d+%d messages, %d bytes", cut, a, b, r.bytes)
		}
		if !r.closed || r.closeCode != 1001 {
			t.Fatalf("cut %d: close %v %d", cut, r.closed, r.closeCode)
		}
		if want := appendFrame(nil, opPong, []byte("hello")); !bytes.Equal(r.reply, want) {
			t.Fatalf("cut %d: reply %x, want %x", cut, r.reply, want)
		}
	}
}

func TestFrameReaderCollects(t *testing.T) {
	var got []string
	r := frameReader{onMessage: func(b []byte) { got = append(got, string(b)) }}
	stream := append(gatewayFrame(ws.OpText, false, []byte("on")),
		gatewayFrame(ws.OpContinuation, true, []byte("e"))...)
	stream = append(stream, gatewayFrame(ws.OpText, true, []byte("two"))...)
	for _, b := range stream {
		if _, err := r.feed([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != "[one two]" {
		t.Errorf("collected %q", got)
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	closed := gatewayFrame(ws.OpClose, true, nil)
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"masked", appendFrame(nil, opBinary, []byte("x")), errFrameMasked},
		{"reserved bit", []byte{0xc2, 0}, errFrameReserved},
		{"reserved data opcode", []byte{0x83, 0}, errFrameOpcode},
		{"reserved control opcode", []byte{0x8b, 0}, errFrameOpcode},
		{"fragmented ping", []byte{0x09, 0}, errFrameControl},
		{"long ping", []byte{0x89, 126, 0, 126}, errFrameControl},
		{"long form of 125", []byte{0x82, 126, 0, 125}, errFrameLength},
		{"longest form of 65535", []byte{0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255}, errFrameLength},
		{"65537 bytes", []byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1}, errFrameLarge},
		{"continuation first", []byte{0x80, 0}, errFrameOrder},
		{"text inside a message", []byte{0x02, 0, 0x81, 0}, errFrameOrder},
		{"frame after close", append(closed, 0x82, 0), errFrameAfter},
	} {
		r := new(frameReader)
		if _, err := r.feed(c.stream); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if _, err := r.feed([]byte{0x82, 0}); !errors.Is(err, c.want) {
			t.Errorf("%s: the reader did not stay failed: %v", c.name, err)
		}
	}
	verify := frameReader{verify: true}
	if _, err := verify.feed(gatewayFrame(ws.OpBinary, true, pattern(8, 8))); err == nil {
		t.Error("a stream that begins 8 bytes late passed verification")
	}
	collect := frameReader{onMessage: func([]byte) {}}
	big := gatewayFrame(ws.OpBinary, false, make([]byte, 65536))
	more := gatewayFrame(ws.OpContinuation, true, []byte("x"))
	if _, err := collect.feed(append(big, more...)); !errors.Is(err, errMessageLarge) {
		t.Errorf("an oversize control message gave %v", err)
	}
}

// FuzzFrameReader checks that no input panics, and that a stream that another
// framer reads as clean data is counted alike however it is cut.
func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{0x82, 3, 1, 2, 3}, 1)
	f.Add(gatewayFrame(ws.OpBinary, true, pattern(300, 0)), 3)
	f.Add([]byte{0x89, 2, 'h', 'i', 0x88, 0}, 2)
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 9)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole, cutUp := new(frameReader), new(frameReader)
		_, errWhole := whole.feed(stream)
		if cut < 0 || cut > len(stream) {
			cut = len(stream) / 2
		}
		_, err := cutUp.feed(stream[:cut])
		if err == nil {
			_, err = cutUp.feed(stream[cut:])
		}
		if fmt.Sprint(err) != fmt.Sprint(errWhole) || whole.messages != cutUp.messages ||
			whole.bytes != cutUp.bytes || !bytes.Equal(whole.reply, cutUp.reply) {
			t.Fatalf("whole %d/%d %v, cut at %d %d/%d %v", whole.messages, whole.bytes,
				errWhole, cut, cutUp.messages, cutUp.bytes, err)
		}
		if errWhole == nil && !whole.closed {
			compareWithOracle(t, stream, whole)
		}
	})
}

func compareWithOracle(t *testing.T, stream []byte, r *frameReader) {
	messages, rd := uint64(0), bytes.NewReader(stream)
	for {
		h, err := ws.ReadHeader(rd)
		if err != nil || h.Length > int64(rd.Len()) {
			break
		}
		if _, err := io.CopyN(io.Discard, rd, h.Length); err != nil {
			break
		}
		if h.Fin && !h.OpCode.IsControl() {
			messages++
		}
	}
	if messages != r.messages {
		t.Fatalf("%d messages, another framer sees %d", r.messages, messages)
	}
}
