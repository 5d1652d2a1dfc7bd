package relayclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// stub is a connection whose other end has sent all that it will, and which
// takes what is written. With stutter every other call ends at a deadline, and
// the others pass one byte.
type stub struct {
	in      []byte
	out     bytes.Buffer
	stutter bool
	late    bool // the next call ends at a deadline
	closed  bool
}

func (s *stub) step(p []byte) ([]byte, error) {
	if !s.stutter {
		return p, nil
	}
	if s.late = !s.late; s.late {
		return nil, os.ErrDeadlineExceeded
	}
	return p[:min(len(p), 1)], nil
}

func (s *stub) Read(p []byte) (int, error) {
	p, err := s.step(p)
	if err != nil {
		return 0, err
	}
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *stub) Write(p []byte) (int, error) {
	part, err := s.step(p)
	if err == nil && len(part) < len(p) {
		err = os.ErrDeadlineExceeded
	}
	s.out.Write(part)
	return len(part), err
}

func (s *stub) Close() error                     { s.closed = true; return nil }
func (s *stub) LocalAddr() net.Addr              { return Addr{} }
func (s *stub) RemoteAddr() net.Addr             { return Addr{} }
func (s *stub) SetDeadline(time.Time) error      { return nil }
func (s *stub) SetReadDeadline(time.Time) error  { return nil }
func (s *stub) SetWriteDeadline(time.Time) error { return nil }

func stubbed(in []byte, stutter bool) (*stub, *Conn) {
	s := &stub{in: in, stutter: stutter}
	return s, &Conn{w: newWire(s, s, "")}
}

// patientReader reads on behind deadlines.
type patientReader struct{ io.Reader }

func (r patientReader) Read(p []byte) (int, error) {
	for {
		n, err := r.Reader.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// bytesOf are frames of a gateway.
func bytesOf(t testing.TB, frames ...ws.Frame) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, f := range frames {
		if err := ws.WriteFrame(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// framesOf reads the frames that a client has written.
func framesOf(t testing.TB, p []byte) (frames []ws.Frame) {
	t.Helper()
	for r := bytes.NewReader(p); r.Len() > 0; {
		f, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatalf("frame %d: %v", len(frames), err)
		}
		if !f.Header.Masked {
			t.Errorf("frame %d is not masked", len(frames))
		}
		frames = append(frames, ws.UnmaskFrameInPlace(f))
	}
	return frames
}

func frame(op ws.OpCode, fin bool, payload string) ws.Frame {
	return ws.NewFrame(op, fin, []byte(payload))
}

func closeFrame(code int, reason string) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// TestWireReads: what Read gives, whole and with a deadline at every byte.
func TestWireReads(t *testing.T) {
	long := strings.Repeat("long ", 20000)
	for name, tt := range map[string]struct {
		frames []ws.Frame
		want   string
		err    string // empty: io.EOF
	}{
		"nothing":      {nil, "", "unexpected EOF"},
		"empty Close":  {[]ws.Frame{frame(ws.OpClose, true, "")}, "", ""},
		"normal Close": {[]ws.Frame{closeFrame(1000, "bye")}, "", ""},
		"other Close":  {[]ws.Frame{closeFrame(4001, "bye")}, "", `closed with 4001 "bye"`},
		"cut":          {[]ws.Frame{frame(ws.OpText, true, "ab")}, "ab", "unexpected EOF"},
		"messages": {[]ws.Frame{frame(ws.OpText, true, "a"), frame(ws.OpBinary, true, ""),
			frame(ws.OpBinary, true, "b"), closeFrame(1000, "")}, "ab", ""},
		"pieces, with control frames between": {[]ws.Frame{frame(ws.OpBinary, false, "a"),
			frame(ws.OpPing, true, "p"), frame(ws.OpContinuation, false, ""),
			frame(ws.OpPong, true, strings.Repeat("x", 125)),
			frame(ws.OpContinuation, true, "b"), closeFrame(1000, "")}, "ab", ""},
		"long": {[]ws.Frame{frame(ws.OpBinary, true, long[:125]), frame(ws.OpBinary, true,
			long[:126]), frame(ws.OpBinary, true, long[:65535]), frame(ws.OpBinary, true, long),
			closeFrame(1000, "")}, long[:125] + long[:126] + long[:65535] + long, ""},
	} {
		for _, stutter := range []bool{false, true} {
			s, c := stubbed(bytesOf(t, tt.frames...), stutter)
			got, err := io.ReadAll(patientReader{c})
			if string(got) != tt.want || fmt.Sprint(err) != "<nil>" && err.Error() != tt.err ||
				err == nil && tt.err != "" {
				t.Errorf("%s, %v: %d bytes, %v", name, stutter, len(got), err)
			}
			s.stutter = false
			if _, again := c.Read(make([]byte, 1)); again == nil || tt.err != "" &&
				again.Error() != tt.err {
				t.Errorf("%s: then %v", name, again)
			}
			if name[0] != 'p' || stutter {
				continue
			}
			if out := framesOf(t, s.out.Bytes()); len(out) != 1 ||
				out[0].Header.OpCode != ws.OpPong || string(out[0].Payload) != "p" {
				t.Errorf("%s: answered by %+v", name, out)
			}
		}
	}
}

// TestWireViolations: a gateway that breaks the rules gets Close 1002, or 1009.
func TestWireViolations(t *testing.T) {
	for name, in := range map[string][]byte{
		"masked":                 {0x82, 0x81, 1, 2, 3, 4, 5},
		"reserved bit":           {0xc2, 0},
		"reserved opcode":        {0x83, 0},
		"reserved control":       {0x8b, 0},
		"Ping in pieces":         {0x09, 0},
		"long Ping":              {0x89, 126, 0, 126},
		"continuation of none":   {0x80, 0},
		"message in a message":   {0x02, 1, 'a', 0x82, 1, 'b'},
		"Close of one byte":      {0x88, 1, 3},
		"Close with 1005":        {0x88, 2, 0x03, 0xed},
		"length beyond 63 bits":  {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"message over the limit": append([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1}, 1, 2, 3),
	} {
		s, c := stubbed(in, false)
		code := ws.StatusProtocolError
		var err error
		if strings.HasSuffix(name, "limit") {
			code = ws.StatusMessageTooBig
			_, _, err = c.w.message(65536)
		} else {
			_, err = io.ReadAll(c)
		}
		if !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		out := framesOf(t, s.out.Bytes())
		if len(out) != 1 || out[0].Header.OpCode != ws.OpClose {
			t.Errorf("%s: wrote %+v", name, out)
			continue
		}
		if got, _ := ws.ParseCloseFrameData(out[0].Payload); got != code {
			t.Errorf("%s: closed with %d", name, got)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: write: %v", name, err)
		}
	}
}

// TestWireWrites: frames of all sizes, whole and with a deadline at every byte.
func TestWireWrites(t *testing.T) {
	for _, size := range []int{1, 125, 126, 65535, 65536, 65537, 200000} {
		for _, stutter := range []bool{false, true} {
			if stutter && size > 1000 {
				continue // a step for each byte
			}
			s, c := stubbed(nil, stutter)
			data := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
			for rest := data; len(rest) > 0; {
				n, err := c.Write(rest)
				if rest = rest[n:]; err != nil && !stutter {
					t.Fatal(err)
				}
			}
			for c.CloseWrite() != ErrWriteClosed { // the rest goes first
				if !stutter {
					break
				}
			}
			var got []byte
			out := framesOf(t, s.out.Bytes())
			for i, f := range out {
				if last := i == len(out)-1; last != (f.Header.OpCode == ws.OpClose) ||
					!last && (f.Header.OpCode != ws.OpBinary || len(f.Payload) > frameMax) ||
					!f.Header.Fin {
					t.Errorf("%d bytes: frame %d is %+v", size, i, f.Header)
				}
				if f.Header.OpCode == ws.OpBinary {
					got = append(got, f.Payload...)
				}
			}
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v: other bytes", size, stutter)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{least: time.Second, most: 30 * time.Second}
	for range 2 {
		for _, most := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			most *= time.Second
			if got := b.next(); got > most || got < most/2 {
				t.Errorf("%v, want up to %v", got, most)
			}
		}
		b.reset()
	}
}
