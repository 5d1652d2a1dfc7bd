//go:build linux

package floor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const (
	testMax = 30 * time.Second // for one test
	nonce   = "dGhlIHNhbXBsZSBub25jZQ=="
	answer  = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // RFC 6455 §1.3
)

// start runs a floor until the test ends and returns its address and process.
func start(t *testing.T) (addr string, pid int) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), testMax)
	defer stop()
	dir := t.TempDir()
	binary, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err) // gcc is one of the prerequisites: never skipped
	}
	cmd := exec.Command(binary, "floor", "--http", "127.0.0.1:0", "--data-dir", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("nothing printed: %v", err)
	}
	var at struct{ HTTP, Admin string }
	raw, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err == nil {
		err = json.Unmarshal(raw, &at)
	}
	if err != nil || at.HTTP != at.Admin {
		t.Fatalf("endpoints.json %s: %v", raw, err)
	}
	return at.HTTP, cmd.Process.Pid
}

// A leg is one client connection behind its handshake.
type leg struct {
	*net.TCPConn
	r *bufio.Reader
}

// dial connects and sends the head of a handshake, piece by piece when pieces is
// set. The response is not read yet.
func dial(t *testing.T, addr, target string, pieces int) *leg {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testMax))
	head := "GET " + target + " HTTP/1.1\r\nhost: " + addr + "\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + nonce +
		"\r\n\r\n"
	for len(head) > 0 {
		n := len(head)
		if pieces > 0 {
			n = min(n, pieces)
		}
		if _, err := io.WriteString(c, head[:n]); err != nil {
			t.Fatal(err)
		}
		head = head[n:]
	}
	return &leg{c.(*net.TCPConn), bufio.NewReaderSize(c, 64<<10)}
}

// status reads the response to the handshake.
func (l *leg) status(t *testing.T) int {
	t.Helper()
	res, err := http.ReadResponse(l.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode == 101 && got != answer {
		t.Fatalf("Sec-WebSocket-Accept %q", got)
	}
	return res.StatusCode
}

// frame reads one frame, which must not be masked.
func (l *leg) frame() (first byte, payload []byte, err error) {
	var h [8]byte
	if _, err := io.ReadFull(l.r, h[:2]); err != nil {
		return 0, nil, err
	}
	first, size := h[0], uint64(h[1])
	switch size {
	case 126:
		_, err = io.ReadFull(l.r, h[:2])
		size = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		_, err = io.ReadFull(l.r, h[:8])
		size = binary.BigEndian.Uint64(h[:])
	}
	if err == nil && size > 1<<20 {
		err = fmt.Errorf("frame of %d bytes", size)
	}
	if err != nil {
		return first, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(l.r, payload)
	return first, payload, err
}

// masked appends a frame as clients send it.
func masked(dst []byte, first byte, payload []byte, key [4]byte) []byte {
	dst = append(dst, first)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, key[:]...)
	for i, b := range payload {
		dst = append(dst, b^key[i&3])
	}
	return dst
}

// control opens a control channel.
func control(t *testing.T, addr string) *leg {
	t.Helper()
	c := dial(t, addr, "/$hc/e?sb-hc-action=listen", 0)
	if s := c.status(t); s != 101 {
		t.Fatalf("listen: %d", s)
	}
	return c
}

// meet opens a pair through c. The sender says early right behind its head, and
// the listener likewise.
func meet(t *testing.T, addr string, c *leg, pieces int, early []byte) (s, l *leg) {
	t.Helper()
	s = dial(t, addr, "/$hc/e?pair=7&sb-hc-action=connect&sb-hc-id=1&x", pieces)
	if _, err := s.Write(early); err != nil {
		t.Fatal(err)
	}
	first, body, err := c.frame()
	var m struct{ Accept struct{ Address, ID string } }
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	target, ok := strings.CutPrefix(m.Accept.Address, "ws://"+addr)
	if err != nil || first != 0x81 || !ok ||
		!strings.HasPrefix(target, "/$hc/e?pair=7&x&sb-hc-action=accept&sb-hc-rendezvous=") {
		t.Fatalf("accept message %x %s: %v", first, body, err)
	}
	l = dial(t, addr, target, pieces)
	if _, err := l.Write(early); err != nil {
		t.Fatal(err)
	}
	if a, b := l.status(t), s.status(t); a != 101 || b != 101 {
		t.Fatalf("listener %d, sender %d", a, b)
	}
	if again := dial(t, addr, target, 0).status(t); again != 403 {
		t.Errorf("a rendezvous address worked twice: %d", again)
	}
	return s, l
}

// A sent frame.
type sent struct {
	first   byte
	payload []byte
}

// randomFrames makes frames of all three forms of length, and how they look on
// the wire.
func randomFrames(r *rand.Rand, total int) (frames []sent, wire []byte) {
	for len(wire) < total {
		size := r.IntN(200)
		switch r.IntN(4) {
		case 0:
			size = r.IntN(5000)
		case 1:
			size = []int{0, 125, 126, 127, 65535, 65536, 65537, 200_000}[r.IntN(8)]
		}
		f := sent{first: byte(r.IntN(2))<<7 | byte(r.IntN(3)), payload: make([]byte, size)}
		for i := range f.payload {
			f.payload[i] = byte(r.Uint32())
		}
		var key [4]byte
		binary.LittleEndian.PutUint32(key[:], r.Uint32())
		frames, wire = append(frames, f), masked(wire, f.first, f.payload, key)
	}
	return frames, wire
}

// expect reads frames and compares every byte.
func (l *leg) expect(frames []sent) error {
	for i, want := range frames {
		first, payload, err := l.frame()
		if err != nil {
			return fmt.Errorf("frame %d of %d: %w", i, len(frames), err)
		}
		if first != want.first || !bytes.Equal(payload, want.payload) {
			return fmt.Errorf("frame %d: %x with %d bytes, want %x with %d", i, first,
				len(payload), want.first, len(want.payload))
		}
	}
	return nil
}

// Random frames both ways at once, in pieces of random size, arrive as sent.
func TestRelayComparesEveryByte(t *testing.T) {
	addr, _ := start(t)
	c := control(t, addr)
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		total, piece := 1_500_000, 1<<(9+r.IntN(11))
		if seed == 0 {
			total, piece = 4000, 1 // a cut at every byte
		}
		early, wire := randomFrames(r, 300)
		s, l := meet(t, addr, c, int(seed)*20, wire)
		done := make(chan error, 4)
		for _, ends := range [][2]*leg{{s, l}, {l, s}} {
			frames, wire := randomFrames(r, total)
			cuts := rand.New(rand.NewPCG(seed, 2))
			go func() {
				for len(wire) > 0 {
					n := min(1+cuts.IntN(piece), len(wire))
					if _, err := ends[0].Write(wire[:n]); err != nil {
						done <- err
						return
					}
					wire = wire[n:]
				}
				done <- nil
			}()
			go func() { done <- ends[1].expect(append(early[:len(early):len(early)], frames...)) }()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

// A receiver that does not read stops the sender; then everything arrives, and
// the memory of the floor has held one block.
func TestSlowReceiver(t *testing.T) {
	addr, pid := start(t)
	s, l := meet(t, addr, control(t, addr), 0, nil)
	frames, wire := randomFrames(rand.New(rand.NewPCG(1, 1)), 40_000_000)
	before := resident(t, pid)
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(wire)
		if err == nil {
			err = s.CloseWrite()
		}
		written <- err
	}()
	select {
	case err := <-written:
		t.Fatalf("40 MB were taken from a sender whose receiver does not read: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if grown := resident(t, pid) - before; grown > 2<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	if err := l.expect(frames); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if _, err := l.r.ReadByte(); err != io.EOF {
		t.Errorf("after the sender's end: %v", err)
	}
}

// resident is the memory of a process in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	var size, pages int
	if err == nil {
		_, err = fmt.Sscan(string(raw), &size, &pages)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// An end of stream passes while the other direction goes on; a Close passes, and
// when both have come both connections end.
func TestEnds(t *testing.T) {
	addr, _ := start(t)
	c := control(t, addr)
	hello := sent{0x82, []byte("hello")}
	key := [4]byte{1, 2, 3, 4}
	for _, fromListener := range []bool{false, true} {
		a, b := meet(t, addr, c, 0, nil)
		if fromListener {
			a, b = b, a
		}
		_ = a.CloseWrite()
		if _, err := b.r.ReadByte(); err != io.EOF {
			t.Errorf("half-close: %v", err)
		}
		_, _ = b.Write(masked(nil, hello.first, hello.payload, key))
		if err := a.expect([]sent{hello}); err != nil {
			t.Errorf("after a half-close: %v", err)
		}
		_ = b.CloseWrite()
		if _, err := a.r.ReadByte(); err != io.EOF {
			t.Errorf("second half-close: %v", err)
		}

		a, b = meet(t, addr, c, 0, nil)
		bye := sent{0x88, []byte{0x03, 0xe8}}
		for _, ends := range [][2]*leg{{a, b}, {b, a}} {
			_, _ = ends[0].Write(masked(nil, bye.first, bye.payload, key))
			if err := ends[1].expect([]sent{bye}); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		for _, end := range []*leg{a, b} {
			if _, err := end.r.ReadByte(); err != io.EOF {
				t.Errorf("after both Closes: %v", err)
			}
		}

		a, b = meet(t, addr, c, 0, nil)
		_ = a.SetLinger(0)
		_ = a.Close()
		if _, err := b.r.ReadByte(); err == nil {
			t.Error("the mate of a leg that was reset still reads")
		}
	}
	_, _ = c.Write(masked(nil, 0x88, []byte{0x03, 0xe8}, key))
	if err := c.expect([]sent{{0x88, []byte{0x03, 0xe8}}}); err != nil {
		t.Errorf("Close of the control channel: %v", err)
	}
	if s := dial(t, addr, "/$hc/e?sb-hc-action=connect", 0).status(t); s != 404 {
		t.Errorf("without a listener: %d", s)
	}
}

func TestRefusals(t *testing.T) {
	addr, _ := start(t)
	for target, want := range map[string]int{
		"/readyz": 200, "/": 400, "/$hc/": 400, "/$hc/e": 404, `/$hc/e"`: 400, `/$hc/e?\`: 400,
		"/$hc/" + strings.Repeat("x", 64):                     400,
		"/$hc/e?sb-hc-action=accept":                          403,
		"/$hc/e?sb-hc-action=accept&sb-hc-rendezvous=5-1":     403,
		"/$hc/e?sb-hc-action=accept&sb-hc-rendezvous=5000000": 403,
	} {
		if got := dial(t, addr, target, 0).status(t); got != want {
			t.Errorf("%s: %d, want %d", target, got, want)
		}
	}
	for _, head := range []string{"POST / HTTP/1.1\r\n\r\n", "GET\r\n\r\n", "\r\n\r\n",
		"GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 3000)} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testMax))
		_, _ = io.WriteString(c, head)
		got, _ := io.ReadAll(c)
		if len(got) > 0 && !bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) {
			t.Errorf("%.20q: %q", head, got)
		}
		_ = c.Close()
	}
	s, l := meet(t, addr, control(t, addr), 0, nil)
	_, _ = s.Write([]byte{0x82, 1, 'x'}) // not masked
	if _, err := l.r.ReadByte(); err == nil {
		t.Error("a frame without a mask passed")
	}
}

func TestBuild(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Build(ctx, dir)
	if second, _ := os.Stat(again); err != nil || !os.SameFile(first, second) {
		t.Errorf("built twice: %s, %s, %v", path, again, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files left: %v", files)
	}
	for _, arg := range []string{"10.0.0.1:0", "127.0.0.1:x:y", "nonsense"} {
		out, err := exec.Command(path, "--http", arg, "x").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "want 127.x.y.z:PORT") {
			t.Errorf("%s: %v, %s", arg, err, out)
		}
	}
}

func TestBuildWithout(t *testing.T) {
	defer func(kept []string, text []byte) { compilers, source = kept, text }(compilers, source)
	t.Setenv("CC", "")
	source = []byte("int main() { return nonsense; }")
	if _, err := Build(context.Background(), t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a source with an error: %v", err)
	}
	compilers = []string{"no-such-compiler"}
	if _, err := Build(context.Background(), t.TempDir()); !errors.Is(err, ErrNoCompiler) {
		t.Errorf("without a compiler: %v", err)
	}
}
