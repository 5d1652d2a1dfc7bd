package engine_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/internal/leak"
	"github.com/relayhouse/relayhouse/metrics"
)

var heldNow atomic.Pointer[engine.Engine]

func TestMain(m *testing.M) {
	leak.Main(m, func() int64 {
		if e := heldNow.Load(); e != nil {
			return e.Held() + int64(e.Open())
		}
		return 0
	})
}

// joiner pairs connections: the first byte of each is a name, and the second
// connection of a name is moved to the first one's loop and spliced with it.
type joiner struct {
	mu      sync.Mutex
	waiting map[byte]engine.Ref
	closed  chan metrics.CloseReason
}

func newJoiner() *joiner {
	return &joiner{waiting: map[byte]engine.Ref{}, closed: make(chan metrics.CloseReason, 4096)}
}

func (j *joiner) accept(*engine.Conn, bool) engine.Handler { return &joinee{j: j} }

type joinee struct {
	j    *joiner
	rest []byte
}

func (h *joinee) Data(c *engine.Conn, p []byte) {
	j := h.j
	h.rest = bytes.Clone(p[1:])
	j.mu.Lock()
	first, ok := j.waiting[p[0]]
	if ok {
		delete(j.waiting, p[0])
	} else {
		j.waiting[p[0]] = c.Ref()
	}
	j.mu.Unlock()
	c.Pause()
	if !ok {
		return
	}
	c.Migrate(first.Loop(), func(c *engine.Conn) {
		a := first.Get()
		if a == nil {
			c.Close(metrics.CloseSenderLost)
			return
		}
		a.Write([]byte("+"), 100)
		c.Write([]byte("+"), 100)
		a.SetRole(metrics.RoleRelayedSender)
		c.SetRole(metrics.RoleRelayedListener)
		engine.Splice(a, c, a.Handler().(*joinee).rest, h.rest)
	})
}
func (h *joinee) Hangup(c *engine.Conn)  { c.Close(metrics.ClosePeerEOF) }
func (h *joinee) Timeout(c *engine.Conn) { c.Close(metrics.CloseHeadTimeout) }
func (h *joinee) Drained(*engine.Conn)   {}
func (h *joinee) Closed(_ *engine.Conn, r metrics.CloseReason) {
	h.j.closed <- r
}

// run starts an engine and returns its address.
func run(t testing.TB, cfg engine.Config) (*engine.Engine, string) {
	t.Helper()
	return runPort(t, cfg, engine.ListenConfig{KeepAlive: time.Minute}, plain)
}

// runPort is run with a port of its own; the address says how to dial it.
func runPort(t testing.TB, cfg engine.Config, port engine.ListenConfig, transport string,
) (*engine.Engine, string) {
	t.Helper()
	if cfg.Tick == 0 {
		cfg.Tick = 20 * time.Millisecond
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := e.Listen("127.0.0.1:0", port)
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	heldNow.Store(e)
	t.Cleanup(e.Stop)
	if transport == plain {
		return e, addr.String()
	}
	return e, transport + "|" + addr.String()
}

// client is one end, with a deadline on everything.
type client struct {
	net.Conn
	tcp *net.TCPConn
	t   testing.TB
}

// CloseWrite ends the client's stream; reading goes on.
func (c *client) CloseWrite() { c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func dial(t testing.TB, addr string, name byte, first ...byte) *client {
	t.Helper()
	transport := plain
	if before, after, ok := strings.Cut(addr, "|"); ok {
		transport, addr = before, after
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	tcp := c.(*net.TCPConn)
	if transport != plain {
		c = tls.Client(c, clientConfig(transport))
	}
	if _, err := c.Write(append([]byte{name}, first...)); err != nil {
		t.Fatal(err)
	}
	return &client{c, tcp, t}
}

func (c *client) joined() *client {
	c.t.Helper()
	var one [1]byte
	if _, err := io.ReadFull(c, one[:]); err != nil || one[0] != '+' {
		c.t.Fatalf("not joined: %q %v", one, err)
	}
	return c
}

func pair(t testing.TB, addr string, name byte) (a, b *client) {
	t.Helper()
	a, b = dial(t, addr, name), dial(t, addr, name)
	return a.joined(), b.joined()
}

func (c *client) send(p []byte) {
	if _, err := c.Write(p); err != nil {
		c.t.Errorf("write: %v", err)
	}
}

// message reads one whole message.
func (c *client) message() (ws.OpCode, []byte, error) {
	var all []byte
	var op ws.OpCode
	for {
		f, err := ws.ReadFrame(c)
		if err != nil {
			return 0, nil, err
		}
		if f.Header.Masked || f.Header.Length > 65536 {
			return 0, nil, fmt.Errorf("frame %+v", f.Header)
		}
		if f.Header.OpCode != ws.OpContinuation {
			op = f.Header.OpCode
		}
		if all = append(all, f.Payload...); f.Header.Fin {
			return op, all, nil
		}
	}
}

func (c *client) wantMessage(op ws.OpCode, want []byte) {
	c.t.Helper()
	gotOp, got, err := c.message()
	if err != nil || gotOp != op || !bytes.Equal(got, want) {
		c.t.Fatalf("got %v, %d bytes, %v; want %v, %d bytes", gotOp, len(got), err, op, len(want))
	}
}

func (c *client) wantEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("want the end of the stream, got %q, %v", rest, err)
	}
}

func masked(fin bool, op ws.OpCode, p []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, bytes.Clone(p))))
}

func closeFrame(code ws.StatusCode, reason string) []byte {
	return masked(true, ws.OpClose, ws.NewCloseFrameBody(code, reason))
}

func random(n int, seed uint64) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 3))
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for k := range 8 {
			p[i+k] = byte(v >> (8 * k))
		}
	}
	return p
}

func reasons(t *testing.T, j *joiner, want ...metrics.CloseReason) {
	t.Helper()
	got := map[metrics.CloseReason]int{}
	for range want {
		select {
		case r := <-j.closed:
			got[r]++
		case <-time.After(10 * time.Second):
			t.Fatalf("closed so far: %v, want %v", got, want)
		}
	}
	for _, w := range want {
		if got[w]--; got[w] < 0 {
			t.Errorf("close reasons %v lack %v", got, w)
		}
	}
}

// One body, many modes: messages of every size pass both ways at once.
func TestRelayModes(t *testing.T) { over(t, testRelayModes) }

func testRelayModes(t *testing.T, run runner) {
	sizes := []int{0, 1, 125, 126, 127, 1000, 65535, 65536, 65537, 300000, 1 << 20}
	for _, loops := range []int{1, 2, 4} {
		for _, buffer := range []int{16 << 10, 64 << 10, 256 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("loops=%d/buffer=%d", loops, buffer), func(t *testing.T) {
				j := newJoiner()
				_, addr := run(t, engine.Config{Accept: j.accept, Loops: loops, ReadBuffer: buffer})
				a, b := pair(t, addr, 'x')
				var done sync.WaitGroup
				for i, c := range []*client{a, b} {
					done.Go(func() {
						for _, n := range sizes {
							c.send(masked(true, ws.OpBinary, random(n, uint64(i))))
						}
						c.send(closeFrame(4000+ws.StatusCode(i), "done"))
					})
					done.Go(func() {
						for _, n := range sizes {
							c.wantMessage(ws.OpBinary, random(n, uint64(1-i)))
						}
						c.wantMessage(ws.OpClose, ws.NewCloseFrameBody(4001-ws.StatusCode(i), "done"))
						c.wantEnd()
						c.Close()
					})
				}
				done.Wait()
				reasons(t, j, metrics.ClosePeer, metrics.ClosePeer)
			})
		}
	}
}

// Bytes sent right behind the name, before the splice, come first.
func TestEarlyBytes(t *testing.T) { over(t, testEarlyBytes) }

func testEarlyBytes(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	for range 20 {
		a := dial(t, addr, 'e', masked(true, ws.OpText, []byte("early a"))...)
		b := dial(t, addr, 'e', masked(true, ws.OpText, []byte("early b"))...)
		a.joined().wantMessage(ws.OpText, []byte("early b"))
		b.joined().wantMessage(ws.OpText, []byte("early a"))
		a.Close()
		b.wantEnd()
	}
}

// A receiver that does not read stops the sender; memory stays bounded, nothing
// is lost, and the end is forwarded. Both directions, several pairs.
func TestStuckReceiver(t *testing.T) { over(t, testStuckReceiver) }

func testStuckReceiver(t *testing.T, run runner) {
	j := newJoiner()
	const pairs, total = 8, 24 << 20
	e, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	var done sync.WaitGroup
	for i := range pairs {
		from, to := pair(t, addr, byte(i))
		if i%2 == 1 {
			from, to = to, from
		}
		message := random(1<<20, uint64(i))
		stuck := make(chan struct{})
		done.Go(func() {
			var once sync.Once
			for range total >> 20 {
				timer := time.AfterFunc(200*time.Millisecond, func() { once.Do(func() { close(stuck) }) })
				from.send(masked(true, ws.OpBinary, message))
				timer.Stop()
			}
			once.Do(func() { close(stuck) })
			from.CloseWrite()
		})
		done.Go(func() {
			<-stuck // the sender blocks: everything in between is full
			if held := e.Held(); held > pairs*(256<<10) {
				t.Errorf("%d bytes held for %d pairs", held, pairs)
			}
			for range total >> 20 {
				to.wantMessage(ws.OpBinary, message)
			}
			to.wantEnd()
		})
	}
	done.Wait()
}

// Over the limit of all leftovers, a further stuck receiver costs one smallest
// window, not a whole read buffer.
func TestLeftoverMax(t *testing.T) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Loops: 1, LeftoverMax: 1})
	message := masked(true, ws.OpBinary, random(1<<20, 1))
	const pairs = 6
	for i := range pairs {
		from, _ := pair(t, addr, byte(i))
		from.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		for {
			if _, err := from.Write(message); err != nil {
				break // everything in between is full
			}
		}
	}
	if held := e.Held(); held == 0 || held > 256<<10+(pairs-1)*(32<<10) {
		t.Errorf("%d bytes held for %d pairs", held, pairs)
	}
}

func TestPingPong(t *testing.T) { over(t, testPingPong) }

func testPingPong(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 1})
	a, b := pair(t, addr, 'p')
	for n := 0; n <= 125; n += 25 {
		p := random(n, 9)
		a.send(append(masked(true, ws.OpPong, []byte("unsolicited")), masked(true, ws.OpPing, p)...))
		a.wantMessage(ws.OpPong, p)
	}
	// A Ping while a frame towards the pinger is incomplete: the Pong waits.
	big := masked(true, ws.OpBinary, random(1000, 1))
	b.send(big[:500])
	part := make([]byte, 400)
	if _, err := io.ReadFull(a, part); err != nil {
		t.Fatal(err)
	}
	a.send(masked(true, ws.OpPing, []byte("wait")))
	b.wantNothing()
	a.send(masked(true, ws.OpText, []byte("forward")))
	b.wantMessage(ws.OpText, []byte("forward"))
	b.send(big[500:])
	rest := make([]byte, 4+1000-400)
	if _, err := io.ReadFull(a, rest); err != nil || !bytes.Equal(append(part, rest...)[4:], random(1000, 1)) {
		t.Fatal("frame damaged", err)
	}
	a.wantMessage(ws.OpPong, []byte("wait"))
}

func (c *client) wantNothing() {} // pings never pass: the next message proves it

func TestHalfCloseByFrame(t *testing.T) { over(t, testHalfCloseByFrame) }

func testHalfCloseByFrame(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2, HalfIdle: time.Minute})
	a, b := pair(t, addr, 'h')
	a.send(closeFrame(1000, "half"))
	b.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1000, "half"))
	for i := range 5 {
		p := random(100000*i, 5)
		b.send(masked(true, ws.OpBinary, p))
		a.wantMessage(ws.OpBinary, p)
	}
	b.send(closeFrame(1000, "too"))
	a.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1000, "too"))
	a.wantEnd()
	b.wantEnd()
	a.Close()
	b.Close()
	reasons(t, j, metrics.ClosePeer, metrics.ClosePeer)
}

func TestHalfCloseByTCP(t *testing.T) { over(t, testHalfCloseByTCP) }

func testHalfCloseByTCP(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2, HalfIdle: time.Minute})
	a, b := pair(t, addr, 'h')
	a.send(masked(true, ws.OpText, []byte("last")))
	a.CloseWrite()
	b.wantMessage(ws.OpText, []byte("last"))
	b.wantEnd()
	b.send(masked(true, ws.OpText, []byte("answer")))
	a.wantMessage(ws.OpText, []byte("answer"))
	b.Close()
	a.wantEnd()
	reasons(t, j, metrics.ClosePeerEOF, metrics.ClosePeerEOF)
}

func TestHalfIdleEnds(t *testing.T) { over(t, testHalfIdleEnds) }

func testHalfIdleEnds(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, HalfIdle: 100 * time.Millisecond})
	a, b := pair(t, addr, 'i')
	a.send(closeFrame(1000, ""))
	b.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1000, ""))
	a.wantEnd()
	b.wantEnd()
	reasons(t, j, metrics.CloseHalfIdle, metrics.CloseHalfIdle)
}

func TestSendStallEnds(t *testing.T) { over(t, testSendStallEnds) }

func testSendStallEnds(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, SendStall: 200 * time.Millisecond})
	a, _ := pair(t, addr, 's')
	message := masked(true, ws.OpBinary, random(1<<20, 1))
	for {
		if _, err := a.Write(message); err != nil {
			break
		}
	}
	reasons(t, j, metrics.CloseSendStalled, metrics.CloseSendStalled)
}

func TestAbortCutsTheOther(t *testing.T) { over(t, testAbortCutsTheOther) }

func testAbortCutsTheOther(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	a, b := pair(t, addr, 'r')
	b.send(masked(true, ws.OpText, []byte("unread")))
	a.send(masked(true, ws.OpText, []byte("before")))
	b.wantMessage(ws.OpText, []byte("before"))
	a.tcp.SetLinger(0)
	a.tcp.Close() // without a close_notify
	b.wantEnd()
	b.Close()
	reasons(t, j, metrics.ClosePeerReset, metrics.CloseMateLost)
}

func TestViolationEndsBoth(t *testing.T) { over(t, testViolationEndsBoth) }

func testViolationEndsBoth(t *testing.T, run runner) {
	for name, bad := range map[string][]byte{
		"reserved bits":    {0xC1, 0x80, 1, 2, 3, 4},
		"unmasked":         {0x81, 0x01, 'x'},
		"data after close": append(closeFrame(1000, ""), masked(true, ws.OpText, []byte("x"))...),
	} {
		t.Run(name, func(t *testing.T) {
			j := newJoiner()
			_, addr := run(t, engine.Config{Accept: j.accept})
			a, b := pair(t, addr, 'v')
			a.send(append(masked(true, ws.OpText, []byte("good")), bad...))
			op, p, err := a.message()
			if code, _ := ws.ParseCloseFrameData(p); err != nil || op != ws.OpClose || code != 1002 {
				t.Fatalf("got %v %q %v, want Close 1002", op, p, err)
			}
			a.wantEnd()
			b.wantMessage(ws.OpText, []byte("good"))
			rest, _ := io.ReadAll(b)
			if want := name == "data after close"; (len(rest) > 0) != want {
				t.Errorf("the other end got %q", rest)
			}
			a.Close()
			b.Close()
			reasons(t, j, metrics.CloseProtocol, metrics.CloseMateLost)
		})
	}
}

// EndSplice waits for a frame boundary on each side.
func TestEndSplice(t *testing.T) { over(t, testEndSplice) }

func testEndSplice(t *testing.T, run runner) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Linger: time.Minute})
	a, b := pair(t, addr, 'd')
	big := masked(true, ws.OpBinary, random(5000, 2))
	a.send(big[:3000])
	if _, err := io.ReadFull(b, make([]byte, 2900)); err != nil {
		t.Fatal(err)
	}
	e.Do(func(l *engine.Loop) {
		l.Each(10, func(c *engine.Conn) { c.EndSplice(1001, "drain", metrics.CloseDrain) })
	})
	a.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1001, "drain"))
	a.send(big[3000:])
	if _, err := io.ReadFull(b, make([]byte, 4+5000-2900)); err != nil {
		t.Fatal(err)
	}
	b.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1001, "drain"))
	a.wantEnd()
	b.wantEnd()
	a.Close()
	b.Close()
	reasons(t, j, metrics.CloseDrain, metrics.CloseDrain)
}

// What has no frame boundary within Config.Linger is cut.
func TestEndSpliceWithoutBoundary(t *testing.T) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Linger: 100 * time.Millisecond})
	a, b := pair(t, addr, 'd')
	big := masked(true, ws.OpBinary, random(5000, 2))
	a.send(big[:3000])
	if _, err := io.ReadFull(b, make([]byte, 2900)); err != nil {
		t.Fatal(err)
	}
	e.Do(func(l *engine.Loop) {
		l.Each(10, func(c *engine.Conn) { c.EndSplice(1001, "drain", metrics.CloseDrain) })
	})
	a.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1001, "drain"))
	rest, _ := io.ReadAll(b)
	if want := random(5000, 2)[2896 : 3000-8]; !bytes.Equal(rest, want) {
		t.Errorf("behind the cut frame came %d bytes, want %d", len(rest), len(want))
	}
	reasons(t, j, metrics.CloseDrain, metrics.CloseDrain)
}

// Behind our own Close nothing passes any more; what still comes is dropped.
func TestNothingBehindOwnClose(t *testing.T) { over(t, testNothingBehindOwnClose) }

func testNothingBehindOwnClose(t *testing.T, run runner) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Linger: time.Minute})
	a, b := pair(t, addr, 'd')
	big := masked(true, ws.OpBinary, random(5000, 2))
	b.send(big[:3000]) // a cannot be told yet, b can
	if _, err := io.ReadFull(a, make([]byte, 2900)); err != nil {
		t.Fatal(err)
	}
	e.Do(func(l *engine.Loop) {
		l.Each(10, func(c *engine.Conn) { c.EndSplice(1001, "drain", metrics.CloseDrain) })
	})
	b.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1001, "drain"))
	a.send(masked(true, ws.OpText, []byte("too late")))
	b.send(big[3000:])
	if _, err := io.ReadFull(a, make([]byte, 4+5000-2900)); err != nil {
		t.Fatal(err)
	}
	a.wantMessage(ws.OpClose, ws.NewCloseFrameBody(1001, "drain"))
	a.wantEnd()
	b.wantEnd()
	a.Close()
	b.Close()
	reasons(t, j, metrics.CloseDrain, metrics.CloseDrain)
}

// A client that sends its Close and leaves at once: the other one is told, and
// may finish what it says, which has nowhere to go.
func TestCloseThenGone(t *testing.T) { over(t, testCloseThenGone) }

func testCloseThenGone(t *testing.T, run runner) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	a, b := pair(t, addr, 'g')
	a.send(closeFrame(4001, "bye"))
	a.CloseWrite()
	b.wantMessage(ws.OpClose, ws.NewCloseFrameBody(4001, "bye"))
	b.wantEnd()
	b.send(masked(true, ws.OpText, []byte("late")))
	b.send(closeFrame(4001, "bye"))
	a.wantMessage(ws.OpText, []byte("late"))
	a.wantMessage(ws.OpClose, ws.NewCloseFrameBody(4001, "bye"))
	a.wantEnd()
	b.Close()
	reasons(t, j, metrics.ClosePeer, metrics.ClosePeer)
}

// One busy relay does not starve another one of the same loop.
func TestFairness(t *testing.T) { over(t, testFairness) }

func testFairness(t *testing.T, run runner) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Loops: 1})
	var done sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		from, to := pair(t, addr, byte(i))
		message := masked(true, ws.OpBinary, random(1<<20, 1))
		done.Go(func() {
			for {
				select {
				case <-stop:
					from.Close()
					return
				default:
					from.Write(message)
				}
			}
		})
		done.Go(func() { io.Copy(io.Discard, to) })
	}
	a, b := pair(t, addr, 'f')
	for range 200 {
		a.send(masked(true, ws.OpText, []byte("ping")))
		b.wantMessage(ws.OpText, []byte("ping"))
	}
	if e.Counters()[0].Yields.Load() == 0 {
		t.Error("no turn ended by its budget: the test proves nothing")
	}
	close(stop)
	done.Wait()
}

func TestMigrationUnderTraffic(t *testing.T) { over(t, testMigrationUnderTraffic) }

func testMigrationUnderTraffic(t *testing.T, run runner) {
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Loops: 4})
	const n = 200
	for i := range n {
		a := dial(t, addr, byte(i), masked(true, ws.OpText, []byte("first"))...)
		b := dial(t, addr, byte(i))
		a.send(masked(true, ws.OpText, []byte("second")))
		b.joined().wantMessage(ws.OpText, []byte("first"))
		b.wantMessage(ws.OpText, []byte("second"))
		a.Close()
		b.Close()
	}
	moved := uint64(0)
	for _, c := range e.Counters() {
		moved += c.Migrations.Load()
	}
	if moved < n/4 {
		t.Errorf("%d of %d connections moved", moved, n)
	}
}

// The time that deadlines count from does not wait for the goroutine that posts
// ticks, which may be late: nothing runs here.
func TestClockOfItsOwn(t *testing.T) {
	e, err := engine.New(engine.Config{
		Accept: func(*engine.Conn, bool) engine.Handler { return nil },
		Loops:  1, Tick: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	l := e.Loops()[0]
	for late := time.Now().Add(10 * time.Second); l.Clock() < 3; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatal("the clock stands still")
		}
	}
}

// No accept error ends the engine or an established relay.
func TestAcceptErrors(t *testing.T) {
	var errno atomic.Uint32
	j := newJoiner()
	e, addr := run(t, engine.Config{Accept: j.accept, Loops: 1, NewPoller: func(int) (engine.Poller, error) {
		p, err := engine.NewEpollPoller()
		return &engine.TestPoller{Poller: p, AcceptErrno: func() syscall.Errno {
			return syscall.Errno(errno.Swap(0))
		}}, err
	}})
	a, b := pair(t, addr, 'a')
	for _, fault := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EPERM, syscall.EINTR} {
		errno.Store(uint32(fault))
		if c, err := net.Dial("tcp", addr); err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			c.Write([]byte{'z'}) // shed, or left to wait for a mate
			wait(t, func() bool { return errno.Load() == 0 })
			c.Close()
		}
		a.send(masked(true, ws.OpText, []byte("alive")))
		b.wantMessage(ws.OpText, []byte("alive"))
	}
	pair(t, addr, 'n')
	counters := e.Counters()[0]
	if n := counters.AcceptErrors[metrics.AcceptDescriptorLimit].Load(); n != 2 {
		t.Errorf("descriptor limit counted %d times", n)
	}
	if n := counters.AcceptErrors[metrics.AcceptMemory].Load(); n != 2 {
		t.Errorf("lack of memory counted %d times", n)
	}
	if n := counters.AcceptErrors[metrics.AcceptOther].Load(); n != 1 {
		t.Errorf("other errors counted %d times", n)
	}
}

// Over the limit, connections are told; far over it they are closed.
func TestConnectionsMax(t *testing.T) {
	j := newJoiner()
	told := 0
	e, addr := run(t, engine.Config{Loops: 1, ConnectionsMax: 2, Accept: func(c *engine.Conn, over bool) engine.Handler {
		if over {
			told++
		}
		return j.accept(c, over)
	}})
	for i := range 2 + engine.OverloadSlack + 5 {
		dial(t, addr, byte(i))
	}
	wait(t, func() bool { return e.Counters()[0].Refused.Load() == engine.OverloadSlack+5 })
	e.Do(func(*engine.Loop) {
		if told != engine.OverloadSlack {
			t.Errorf("%d told, want %d", told, engine.OverloadSlack)
		}
	})
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

// Idle or busy, a connection has no goroutine.
func TestNoGoroutinePerConnection(t *testing.T) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	pair(t, addr, 0)
	before := runtime.NumGoroutine()
	for i := range 200 {
		a, b := pair(t, addr, byte(i+1))
		a.send(masked(true, ws.OpText, []byte("x")))
		b.wantMessage(ws.OpText, []byte("x"))
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more for 200 relays", after-before)
	}
}

func TestListenErrors(t *testing.T) {
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 2})
	e, err := engine.New(engine.Config{Accept: j.accept})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	if _, err := e.Listen(addr, engine.ListenConfig{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := e.Listen("127.0.0.1:x", engine.ListenConfig{}); err == nil {
		t.Error("no error for a bad port")
	}
	if _, err := engine.New(engine.Config{Accept: j.accept, ReadBuffer: 1000}); err == nil ||
		!strings.Contains(err.Error(), "16384") {
		t.Errorf("a bad buffer: %v", err)
	}
}

// The hot path: a relayed frame allocates nothing.
func TestRelayAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	j := newJoiner()
	_, addr := run(t, engine.Config{Accept: j.accept, Loops: 1, Tick: time.Minute})
	a, b := pair(t, addr, 'z')
	for _, size := range []int{64, 60000} {
		out, in := masked(true, ws.OpBinary, random(size, 1)), make([]byte, size+10)
		in = in[:len(out)-4]
		round := func() {
			a.Write(out)
			if _, err := io.ReadFull(b, in); err != nil {
				t.Fatal(err)
			}
		}
		round()
		if n := testing.AllocsPerRun(500, round); n != 0 {
			t.Errorf("%v allocations per frame of %d bytes, want 0", n, size)
		}
	}
}
