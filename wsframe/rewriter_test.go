package wsframe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
)

// frame makes one masked client frame with the independent framer.
func frame(fin bool, op ws.OpCode, payload []byte) []byte {
	f := ws.NewFrame(op, fin, bytes.Clone(payload))
	return ws.MustCompileFrame(ws.MaskFrameWith(f, [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// feed runs stream through r in pieces of the sizes that next gives.
func feed(r *Rewriter, stream []byte, next func() int) (out, pongs []byte, err error) {
	var q Pongs
	buf := make([]byte, Headroom+len(stream))
	for len(stream) > 0 {
		n := min(next(), len(stream))
		copy(buf[Headroom:], stream[:n])
		stream = stream[n:]
		var lo, hi int
		lo, hi, err = r.Rewrite(buf, Headroom, Headroom+n, &q)
		out = append(out, buf[lo:hi]...)
		pongs = append(pongs, q.Bytes()...)
		q.Reset()
		if err != nil {
			break
		}
	}
	return out, pongs, err
}

func whole(n int) func() int { return func() int { return n } }

// expect is the oracle: what the other client must receive, computed with the
// independent framer from whole frames.
func expect(t testing.TB, stream []byte) (out, pongs []byte) {
	t.Helper()
	in := bytes.NewReader(stream)
	for in.Len() > 0 {
		f, err := ws.ReadFrame(in)
		if err != nil {
			t.Fatalf("oracle: %v", err)
		}
		f = ws.UnmaskFrameInPlace(f)
		switch f.Header.OpCode {
		case ws.OpPing:
			pongs = append(pongs, ws.MustCompileFrame(ws.NewPongFrame(f.Payload))...)
			continue
		case ws.OpPong:
			continue
		}
		op, rest := f.Header.OpCode, f.Payload
		for {
			n := min(len(rest), ChunkMax)
			last := n == len(rest)
			part := ws.NewFrame(op, last && f.Header.Fin, rest[:n])
			out = append(out, ws.MustCompileFrame(part)...)
			op, rest = ws.OpContinuation, rest[n:]
			if last {
				break
			}
		}
	}
	return out, pongs
}

func payload(n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func closeFrame(code uint16, reason string) []byte {
	return frame(true, ws.OpClose, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// mixedStream holds every header form, fragments with control frames between
// them, empty frames and a Close.
func mixedStream(big int) []byte {
	return join(
		frame(true, ws.OpText, []byte("hello")),
		frame(true, ws.OpBinary, nil),
		frame(true, ws.OpPing, []byte("are you there")),
		frame(true, ws.OpBinary, payload(125)),
		frame(true, ws.OpBinary, payload(126)),
		frame(false, ws.OpText, payload(127)),
		frame(true, ws.OpPing, payload(125)),
		frame(false, ws.OpContinuation, nil),
		frame(true, ws.OpPong, []byte("unsolicited")),
		frame(true, ws.OpContinuation, payload(300)),
		frame(true, ws.OpPing, nil),
		frame(true, ws.OpBinary, payload(big)),
		frame(true, ws.OpText, []byte("after")),
		closeFrame(4001, "bye"),
	)
}

func TestRewriteMatchesIndependentFramer(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 131072, 200000, 1 << 20} {
		stream := mixedStream(size)
		want, wantPongs := expect(t, stream)
		for _, step := range []int{1, 7, 4096, 65536, 262144, 1 << 22} {
			if step == 1 && size > 70000 {
				continue
			}
			var r Rewriter
			got, pongs, err := feed(&r, stream, whole(step))
			if err != nil || !bytes.Equal(got, want) || !bytes.Equal(pongs, wantPongs) {
				t.Fatalf("size %d step %d: err %v, output equal %v, pongs equal %v",
					size, step, err, bytes.Equal(got, want), bytes.Equal(pongs, wantPongs))
			}
			if code, ok := r.Closed(); !ok || code != 4001 || !r.AtBoundary() {
				t.Fatalf("size %d step %d: closed %v %d", size, step, ok, code)
			}
		}
	}
}

// A header cut at any offset, held twice, with bytes before and after it.
func TestRewriteCutAtEveryOffset(t *testing.T) {
	for _, size := range []int{0, 5, 126, 65536, 70000} {
		stream := join(frame(true, ws.OpBinary, payload(size)), frame(true, ws.OpText, []byte("next")),
			frame(true, ws.OpPing, []byte("ping")), closeFrame(1000, "done"))
		want, wantPongs := expect(t, stream)
		check := func(name string, cuts ...int) {
			i := 0
			var r Rewriter
			got, pongs, err := feed(&r, stream, func() int {
				if i++; i <= len(cuts) {
					return cuts[i-1]
				}
				return len(stream)
			})
			if err != nil || !bytes.Equal(got, want) || !bytes.Equal(pongs, wantPongs) {
				t.Fatalf("size %d %s: err %v", size, name, err)
			}
		}
		near := map[int]bool{}
		for _, base := range []int{0, len(stream) - 60, size} {
			for d := -20; d < 80; d++ {
				if c := base + d; c > 0 && c < len(stream) {
					near[c] = true
				}
			}
		}
		for c := range near {
			check(fmt.Sprintf("cut %d", c), c)
			for d := 1; d < 4; d++ {
				check(fmt.Sprintf("cuts %d+%d", c, d), c, d)
			}
		}
	}
}

func TestRewriteViolations(t *testing.T) {
	ok := frame(true, ws.OpText, []byte("before"))
	raw := func(b ...byte) []byte { return b }
	tests := []struct {
		name string
		in   []byte
		want Violation
	}{
		{"RSV1 set", raw(0xC1, 0x80), ReservedBits},
		{"RSV2 set", raw(0xA1), ReservedBits},
		{"RSV3 on a control frame", raw(0x99), ReservedBits},
		{"opcode 3", raw(0x83), ReservedOpcode},
		{"opcode 7", raw(0x87), ReservedOpcode},
		{"opcode 11", raw(0x8B), ReservedOpcode},
		{"opcode 15", raw(0x8F), ReservedOpcode},
		{"unmasked", raw(0x81, 0x05), NotMasked},
		{"ping of 126", raw(0x89, 0xFE), ControlTooLong},
		{"ping with 64-bit length", raw(0x89, 0xFF), ControlTooLong},
		{"fragmented ping", raw(0x09), ControlFragmented},
		{"fragmented close", raw(0x08), ControlFragmented},
		{"continuation without start", frame(true, ws.OpContinuation, []byte("x")), ContinuationNoStart},
		{"continuation after the end", join(frame(false, ws.OpText, nil),
			frame(true, ws.OpContinuation, nil), frame(true, ws.OpContinuation, nil)), ContinuationNoStart},
		{"text inside text", join(frame(false, ws.OpText, []byte("a")), frame(true, ws.OpText, nil)), MessageInterrupted},
		{"binary inside text", join(frame(false, ws.OpText, nil), frame(true, ws.OpBinary, nil)), MessageInterrupted},
		{"125 in 16-bit form", raw(0x82, 0xFE, 0, 125), LengthNotMinimal},
		{"65535 in 64-bit form", raw(0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF), LengthNotMinimal},
		{"top bit of the length", raw(0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0), LengthTooLarge},
		{"close of one byte", frame(true, ws.OpClose, []byte{3}), CloseTooShort},
		{"close 999", closeFrame(999, ""), CloseCodeInvalid},
		{"close 1004", closeFrame(1004, ""), CloseCodeInvalid},
		{"close 1005", closeFrame(1005, ""), CloseCodeInvalid},
		{"close 1006", closeFrame(1006, "x"), CloseCodeInvalid},
		{"close 1015", closeFrame(1015, ""), CloseCodeInvalid},
		{"close 2999", closeFrame(2999, ""), CloseCodeInvalid},
		{"close 5000", closeFrame(5000, ""), CloseCodeInvalid},
		{"text after close", join(closeFrame(1000, ""), frame(true, ws.OpText, []byte("x"))), DataAfterClose},
		{"continuation after close", join(closeFrame(1000, ""), frame(true, ws.OpContinuation, nil)), DataAfterClose},
	}
	for _, tt := range tests {
		for _, step := range []int{1, 1 << 20} {
			var r Rewriter
			out, _, err := feed(&r, join(ok, tt.in), whole(step))
			if !errors.Is(err, tt.want) {
				t.Errorf("%s, step %d: error %v, want %v", tt.name, step, err, tt.want)
			}
			if !bytes.HasPrefix(out, []byte("\x81\x06before")) {
				t.Errorf("%s: the frame before it is lost: %q", tt.name, out)
			}
			if tt.want.CloseCode() != CodeProtocol {
				t.Errorf("%s: close code %d", tt.name, tt.want.CloseCode())
			}
		}
	}
}

func TestRewriteAllowedCloses(t *testing.T) {
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		var r Rewriter
		in := closeFrame(code, "why")
		want, _ := expect(t, in)
		if got, _, err := feed(&r, in, whole(3)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("close %d: %q, %v", code, got, err)
		}
	}
	for _, n := range []int{0, 2, 125} {
		p := append([]byte{0x03, 0xE8}, bytes.Repeat([]byte("r"), 123)...)[:n]
		var r Rewriter
		in := frame(true, ws.OpClose, p)
		want, _ := expect(t, in)
		if got, _, err := feed(&r, in, whole(len(in))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("close payload %d: %q, %v", n, got, err)
		}
	}
}

// Pings and Pongs behind a Close are dropped: their answer could follow ours.
func TestRewriteControlAfterClose(t *testing.T) {
	var r Rewriter
	in := join(closeFrame(1000, ""), frame(true, ws.OpPing, []byte("late")),
		frame(true, ws.OpPong, nil), closeFrame(1001, "again"))
	out, pongs, err := feed(&r, in, whole(len(in)))
	if err != nil || len(pongs) != 0 || !bytes.Equal(out, []byte("\x88\x02\x03\xe8")) {
		t.Errorf("got %q, pongs %q, %v", out, pongs, err)
	}
}

func TestRewriteBoundary(t *testing.T) {
	var r Rewriter
	in := frame(true, ws.OpBinary, payload(ChunkMax+10))
	feed(&r, in[:14], whole(14))
	if r.AtBoundary() {
		t.Error("boundary right behind a header")
	}
	feed(&r, in[14:14+ChunkMax], whole(ChunkMax))
	if !r.AtBoundary() {
		t.Error("no boundary between two chunks of a cut frame")
	}
	feed(&r, in[14+ChunkMax:len(in)-1], whole(ChunkMax))
	if r.AtBoundary() {
		t.Error("boundary one byte before the end")
	}
}

func TestPongsBounded(t *testing.T) {
	var q Pongs
	for i := range 100 {
		q.Add(append([]byte{byte(i)}, make([]byte, 124)...))
	}
	if q.Len() > pongsMax {
		t.Fatalf("%d bytes queued", q.Len())
	}
	in := bytes.NewReader(q.Bytes())
	var last ws.Frame
	n := 0
	for ; in.Len() > 0; n++ {
		var err error
		if last, err = ws.ReadFrame(in); err != nil || last.Header.OpCode != ws.OpPong {
			t.Fatal(last, err)
		}
	}
	if n != pongsMax/127 || last.Payload[0] != 99 {
		t.Errorf("%d pongs kept, newest %d", n, last.Payload[0])
	}
	var to Pongs
	to.Add([]byte("first"))
	to.Take(&q)
	if q.Len() != 0 || to.Len() > pongsMax {
		t.Errorf("after Take: %d and %d bytes", q.Len(), to.Len())
	}
}

func TestRewriteAllocations(t *testing.T) {
	stream := mixedStream(70000)
	buf := make([]byte, Headroom+len(stream))
	var q Pongs
	q.Add(nil)
	if n := testing.AllocsPerRun(100, func() {
		var r Rewriter
		copy(buf[Headroom:], stream)
		if _, _, err := r.Rewrite(buf, Headroom, Headroom+len(stream), &q); err != nil {
			t.Fatal(err)
		}
		q.Reset()
	}); n != 0 {
		t.Errorf("%v allocations per stream, want 0", n)
	}
}

// FuzzRewrite: whatever comes, cut anywhere, the output is the oracle's for
// the frames before the first violation, and cutting changes nothing.
func FuzzRewrite(f *testing.F) {
	f.Add(mixedStream(130), uint64(1))
	f.Add(mixedStream(10), uint64(2))
	f.Add(join(frame(false, ws.OpText, []byte("a")), frame(true, ws.OpText, nil)), uint64(3))
	f.Add([]byte("\x81\x85\x00\x00"), uint64(4))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(5))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		var a, b Rewriter
		one, onePongs, oneErr := feed(&a, stream, whole(len(stream)))
		rnd := rand.New(rand.NewPCG(seed, 1))
		cut, cutPongs, cutErr := feed(&b, stream, func() int { return 1 + rnd.IntN(40) })
		if !bytes.Equal(one, cut) || !errors.Is(oneErr, cutErr) {
			t.Fatalf("cutting changed the result: %v and %v", oneErr, cutErr)
		}
		if len(onePongs) < pongsMax-130 && !bytes.Equal(onePongs, cutPongs) {
			t.Fatal("cutting changed the pongs")
		}
		checkAgainstOracle(t, stream, one, oneErr)
	})
}

// checkAgainstOracle takes stream apart with the independent framer, with the
// rules of a server that relays, and compares.
func checkAgainstOracle(t *testing.T, stream, got []byte, gotErr error) {
	t.Helper()
	in := bytes.NewReader(stream)
	state := ws.StateServerSide
	done := 0 // bytes of whole legal frames
	bad, shut := false, false
	for {
		h, err := ws.ReadHeader(in)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err != nil && in.Len() == 0 {
			break
		}
		if err != nil || ws.CheckHeader(h, state) != nil {
			bad = true
			break
		}
		if shut && !h.OpCode.IsControl() {
			bad = true
			break
		}
		p := make([]byte, min(h.Length, int64(in.Len())))
		n, _ := io.ReadFull(in, p)
		if int64(n) < h.Length {
			break
		}
		if h.OpCode == ws.OpClose && !shut {
			ws.Cipher(p, h.Mask, 0)
			if _, _, err := ParseClose(p); err != nil {
				bad = true
				break
			}
			shut = true
		}
		if h.OpCode.IsData() || h.OpCode == ws.OpContinuation {
			if state = state.Clear(ws.StateFragmented); !h.Fin {
				state = state.Set(ws.StateFragmented)
			}
		}
		done = len(stream) - in.Len()
	}
	var r Rewriter
	want, _, _ := feed(&r, stream[:done], whole(done+1))
	if !bytes.HasPrefix(got, want) {
		t.Fatalf("output lacks a whole legal frame: %q, want prefix %q", got, want)
	}
	if bad && gotErr == nil {
		t.Fatal("the independent framer refuses this stream, Rewrite does not")
	}
}

func BenchmarkRewrite(b *testing.B) {
	for _, size := range []int{8, 125, 1024, 65536} {
		one := frame(true, ws.OpBinary, payload(size))
		stream := bytes.Repeat(one, max(1, 262144/len(one)))
		stream = stream[:min(len(stream), 262144)]
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := make([]byte, Headroom+len(stream))
			var q Pongs
			var r Rewriter
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				copy(buf[Headroom:], stream)
				r = Rewriter{}
				r.Rewrite(buf, Headroom, Headroom+len(stream), &q)
			}
		})
	}
}
