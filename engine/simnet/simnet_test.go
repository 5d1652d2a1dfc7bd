package simnet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/engine/simnet"
	"github.com/relayhouse/relayhouse/internal/leak"
	"github.com/relayhouse/relayhouse/metrics"
)

// number reads an environment variable: SIM_SEEDS is how many seeds to run,
// SIM_SEED the one to repeat.
func number(name string, def uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return def
}

func TestMain(m *testing.M) { leak.Main(m) }

// joiner pairs connections by the first byte that they send, as a gateway
// would: the second moves to the loop of the first.
type joiner struct {
	waiting map[byte]engine.Ref
	proxied bool // connections begin with a header as of proxyHeader
	raw     bool // splice without looking at frames
	open    int  // handlers that have not been told Closed
	moved   int
}

type joinee struct {
	j     *joiner
	rest  []byte
	named bool
}

func (j *joiner) accept(*engine.Conn, bool) engine.Handler {
	j.open++
	return &joinee{j: j}
}

func (h *joinee) Data(c *engine.Conn, p []byte) {
	if want := clientOf(p[0]); h.j.proxied != (c.Peer() == want) || h.j.proxied != c.Secure() {
		panic(fmt.Sprintf("peer %v, TLS %v; want %v", c.Peer(), c.Secure(), want))
	}
	h.rest, h.named = bytes.Clone(p[1:]), true
	c.Pause()
	first, ok := h.j.waiting[p[0]]
	if !ok {
		h.j.waiting[p[0]] = c.Ref()
		c.SetDeadline(100)
		return
	}
	if first.Loop() != c.Loop() {
		h.j.moved++
	}
	c.Migrate(first.Loop(), func(c *engine.Conn) {
		a := first.Get()
		if a == nil || a.Gone() {
			c.Close(metrics.CloseSenderLost)
			return
		}
		splice := engine.Splice
		if h.j.raw {
			splice = engine.SpliceRaw
		}
		splice(a, c, a.Handler().(*joinee).rest, h.rest)
	})
}
func (h *joinee) Hangup(c *engine.Conn) {
	if !h.named && !h.j.raw { // else its frames, or bytes, may wait in the kernel
		c.Close(metrics.ClosePeerEOF)
	}
}
func (h *joinee) Timeout(c *engine.Conn) { c.Close(metrics.CloseHeadTimeout) }
func (h *joinee) Drained(*engine.Conn)   {}
func (h *joinee) Closed(*engine.Conn, metrics.CloseReason) {
	h.j.open--
	if h.j.open < 0 {
		panic("Closed was called twice")
	}
}

// clientOf is the address that the header of a name has.
func clientOf(name byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, name}), 4000)
}

// proxyHeader is a PROXY protocol header of version 2 for a name, with the part
// that says TLS.
func proxyHeader(name byte) []byte {
	return append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x14\xc0\x00\x02"), name,
		127, 0, 0, 1, 4000>>8, 4000&0xff, 0, 80, 0x20, 0, 5, 1, 0, 0, 0, 0)
}

// How a client's stream ends.
type ending int

const (
	byClose ending = iota
	byShutdown
	byAbort
	byViolation
)

// end is one client of a relayed connection.
type end struct {
	peer    *simnet.Peer
	mate    *end
	out     []byte // still to be sent
	want    []byte // what the mate must receive, without Pongs
	pings   [][]byte
	ending  ending
	pace    int // acts once in so many turns
	burst   int // bytes that it tries to write at once, at most
	got     []byte
	buf     []byte // for reads
	hasty   bool   // it ends its stream right behind its Close
	raw     bool   // what it sends is no frames
	patient bool   // it ends its stream only when the mate's has ended
	ended   bool   // it has seen the end of its stream, or an error
	done    bool   // it has sent all and ended
}

func (e *end) frame(r *rand.Rand, fin bool, op byte, p []byte) {
	b0 := op
	if fin {
		b0 |= 0x80
	}
	h := []byte{b0}
	switch n := len(p); {
	case n < 126:
		h = append(h, 0x80|byte(n))
	case n < 65536:
		h = binary.BigEndian.AppendUint16(append(h, 0xFE), uint16(n))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 0xFF), uint64(n))
	}
	key := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
	e.out = append(append(e.out, h...), key[:]...)
	for i, c := range p {
		e.out = append(e.out, c^key[i&3])
	}
	switch op {
	case 9:
		e.pings = append(e.pings, p)
		return
	case 10:
		return
	}
	for {
		n := min(len(p), 65536)
		last := n == len(p)
		b0 = op
		if fin && last {
			b0 |= 0x80
		}
		e.want = append(e.want, b0)
		switch {
		case n < 126:
			e.want = append(e.want, byte(n))
		case n < 65536:
			e.want = binary.BigEndian.AppendUint16(append(e.want, 126), uint16(n))
		default:
			e.want = binary.BigEndian.AppendUint64(append(e.want, 127), uint64(n))
		}
		e.want = append(e.want, p[:n]...)
		if p, op = p[n:], 0; last {
			return
		}
	}
}

func newEnd(n *simnet.Net, r *rand.Rand, name byte, big bool) *end {
	e := &end{peer: n.Dial(), out: []byte{name}, pace: 1 + r.IntN(6),
		burst: []int{50, 5000, 200000}[r.IntN(3)]}
	sizes := []int{0, 1, 125, 126, 127, 1 + r.IntN(3000)}
	if big && r.IntN(8) == 0 {
		sizes = append(sizes, 65535, 65536, 65537, 65536*2+r.IntN(5))
	}
	body := func() []byte {
		p := make([]byte, sizes[r.IntN(len(sizes))])
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	control := func() {
		if r.IntN(4) == 0 {
			e.frame(r, true, byte(9+r.IntN(2)), body()[:0])
			e.frame(r, true, 9, []byte{byte(len(e.pings))})
		}
	}
	for range 1 + r.IntN(12) {
		op := byte(1 + r.IntN(2))
		for r.IntN(3) == 0 {
			e.frame(r, false, op, body())
			control()
			op = 0
		}
		e.frame(r, true, op, body())
		control()
	}
	switch e.ending = ending([]int{0, 0, 0, 1, 1, 2, 3}[r.IntN(7)]); e.ending {
	case byClose:
		e.hasty = r.IntN(3) == 0
		e.frame(r, true, 8, append([]byte{0x0f, 0xa0 + byte(r.IntN(9))}, "bye"...))
	case byViolation:
		e.out = append(e.out, 0xF1, 0x80, 0, 0, 0, 0)
	}
	return e
}

// newRawEnd sends bytes of any kind, and ends its stream or breaks.
func newRawEnd(n *simnet.Net, r *rand.Rand, name byte, big bool) *end {
	e := &end{peer: n.Dial(), raw: true, pace: 1 + r.IntN(6),
		burst:  []int{50, 5000, 200000}[r.IntN(3)],
		ending: []ending{byShutdown, byShutdown, byShutdown, byAbort}[r.IntN(4)]}
	size := []int{1, 100, 20_000}[r.IntN(3)]
	if big && r.IntN(4) == 0 {
		size = 300_000
	}
	for range 1 + r.IntN(size) {
		e.want = append(e.want, byte(r.Uint32()))
	}
	e.out = append([]byte{name}, e.want...)
	return e
}

// act does one thing as a client.
func (e *end) act(r *rand.Rand) (progress bool) {
	if e.buf == nil {
		e.buf = make([]byte, 9000)
	}
	buf := e.buf[:1+r.IntN(9000)]
	if n, end, err := e.peer.Read(buf); n > 0 {
		e.got = append(e.got, buf[:n]...)
		progress = true
	} else if (end || err != nil) && !e.ended {
		e.ended, progress = true, true
		if err == nil && len(e.out) == 0 {
			e.peer.CloseWrite()
		}
	}
	if len(e.out) > 0 {
		n, err := e.peer.Write(e.out[:min(len(e.out), 1+r.IntN(e.burst))])
		e.out = e.out[n:]
		if err != nil {
			e.out, e.ended, progress = nil, true, true
		}
		return progress || n > 0
	}
	if e.done || e.patient && !e.ended {
		return progress
	}
	e.done = true
	switch e.ending {
	case byClose:
		if e.hasty {
			e.peer.CloseWrite()
		}
	case byShutdown:
		e.peer.CloseWrite()
	case byAbort:
		e.peer.Abort()
	}
	if e.ended {
		e.peer.CloseWrite()
	}
	return true
}

// check compares what e received with what its mate sent.
func (e *end) check() error {
	got, pongs, own := e.split()
	m := e.mate
	if e.raw {
		got, pongs, own = e.got, nil, nil
	}
	if own != nil && e.ending != byViolation {
		return fmt.Errorf("a Close %q of the gateway's own", own)
	}
	if !bytes.HasPrefix(m.want, got) {
		return fmt.Errorf("received %d bytes that are no prefix of the %d sent", len(got), len(m.want))
	}
	last := -1
	for _, p := range pongs {
		if len(p) == 0 {
			continue
		}
		if i := e.index(p); i <= last {
			return fmt.Errorf("Pongs out of order, or not asked for: %v", pongs)
		} else {
			last = i
		}
	}
	if e.ending >= byAbort || m.ending >= byAbort {
		return nil
	}
	if len(got) != len(m.want) {
		return fmt.Errorf("received %d of %d bytes and no more", len(got), len(m.want))
	}
	if !e.ended {
		return fmt.Errorf("received all %d bytes but not the end", len(got))
	}
	return nil
}

func (e *end) index(payload []byte) int {
	for i, p := range e.pings {
		if bytes.Equal(p, payload) {
			return i
		}
	}
	return -1
}

// split takes Pongs, and a Close 1002 at the end, out of what e received.
func (e *end) split() (got []byte, pongs [][]byte, own []byte) {
	for p := e.got; len(p) > 0; {
		size := 2
		length := uint64(0)
		if len(p) >= 2 {
			switch length = uint64(p[1]); length {
			case 126:
				if size = 4; len(p) >= 4 {
					length = uint64(binary.BigEndian.Uint16(p[2:]))
				}
			case 127:
				if size = 10; len(p) >= 10 {
					length = binary.BigEndian.Uint64(p[2:])
				}
			}
		}
		n := int(min(uint64(len(p)), uint64(size)+length))
		f := p[:n]
		p = p[n:]
		switch {
		case f[0] == 0x8A:
			if len(f) == size+int(length) {
				pongs = append(pongs, f[2:])
			}
		case f[0] == 0x88 && len(f) > 4 && f[2] == 0x03 && f[3] == 0xEA:
			own = f
		default:
			got = append(got, f...)
		}
	}
	return got, pongs, own
}

// runSeed runs one random scenario and returns what is wrong with it.
func runSeed(seed uint64, raw bool) error {
	r := rand.New(rand.NewPCG(seed, 42))
	bufferMax := []int{3, 200, 5000, 200000}[r.IntN(4)]
	n := simnet.New(seed, bufferMax)
	j := &joiner{waiting: map[byte]engine.Ref{}, proxied: r.IntN(2) == 0, raw: raw}
	if j.proxied {
		n.Port.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		n.Port.ProxyTimeout = 100 * time.Second
	}
	loops, readBuffer := 1+r.IntN(3), 16<<10<<r.IntN(3)
	e, err := engine.New(engine.Config{
		Accept: j.accept, Loops: loops, NewPoller: n.NewPoller, ManualClock: true,
		ReadBuffer: readBuffer, TurnBytes: 1 << (8 + r.IntN(10)),
		Tick: time.Second, HalfIdle: 60 * time.Second, SendStall: 60 * time.Second,
	})
	if err != nil {
		return err
	}
	if err := n.AddListener(e); err != nil {
		return err
	}
	listeners := n.Open()
	e.Start()
	var ends []*end
	dial := newEnd
	if raw {
		dial = newRawEnd
	}
	for i := range 1 + r.IntN(4) {
		a, b := dial(n, r, byte(i), bufferMax > 200), dial(n, r, byte(i), bufferMax > 200)
		a.mate, b.mate = b, a
		if j.proxied {
			a.out = append(proxyHeader(byte(i)), a.out...)
			b.out = append(proxyHeader(byte(i)), b.out...)
		}
		a.patient = a.ending == byShutdown && b.ending == byShutdown && r.IntN(2) == 0
		ends = append(ends, a, b)
	}
	// One block per direction, which frames of the gateway's own may double.
	err = play(n, r, ends, func() error {
		if held, most := e.Held(), int64(2*readBuffer*len(ends)); held > most {
			return fmt.Errorf("%d bytes are held for %d ends, want %d at most", held, len(ends), most)
		}
		return nil
	})
	for _, x := range ends {
		if err == nil {
			err = x.check()
		}
	}
	// Whoever never reads or closes is ended by the clock.
	for tick := uint32(20); tick <= 200 && err == nil; tick += 20 {
		e.Advance(tick)
		err = n.Settle(100000)
	}
	if err == nil {
		err = atRest(n, e, j, listeners)
	}
	n.Stop(e)
	return err
}

// play lets clients and loops act in random order until nobody can.
func play(n *simnet.Net, r *rand.Rand, ends []*end, check func() error) error {
	for idle, turns := 0, 0; idle < 40; turns++ {
		if turns > 2000000 {
			return fmt.Errorf("no rest after %d turns", turns)
		}
		progress := false
		if r.IntN(2) == 0 {
			progress = n.Step()
			if err := check(); err != nil {
				return err
			}
		} else if x := ends[r.IntN(len(ends))]; r.IntN(x.pace) == 0 {
			progress = x.act(r)
		}
		if idle++; progress {
			idle = 0
		}
		if idle == 39 { // make sure that it is not bad luck
			for _, x := range ends {
				if x.act(r) {
					idle = 0
				}
			}
			if n.Step() {
				idle = 0
			}
		}
	}
	return nil
}

func atRest(n *simnet.Net, e *engine.Engine, j *joiner, listeners int) error {
	switch {
	case e.Held() != 0:
		return fmt.Errorf("%d bytes of blocks are not released", e.Held())
	case e.Open() != 0 || n.Open() != listeners || j.open != 0:
		return fmt.Errorf("left over: %d connections, %d descriptors, %d handlers",
			e.Open(), n.Open()-listeners, j.open)
	}
	for _, c := range e.Counters() {
		for role := range c.Connections {
			if v := c.Connections[role].Load(); v != 0 {
				return fmt.Errorf("gauge of role %v is %d", metrics.Role(role), v)
			}
		}
	}
	return nil
}

// TestSimRelays runs random relays on the simulated network. A failure names
// its seed: make sim SEED=n
func TestSimRelays(t *testing.T) { runSeeds(t, false) }

// TestSimRaw is TestSimRelays for splices that pass bytes unchanged.
func TestSimRaw(t *testing.T) { runSeeds(t, true) }

func runSeeds(t *testing.T, raw bool) {
	if seed := number("SIM_SEED", 0); seed != 0 {
		if err := runSeed(seed, raw); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return
	}
	seeds := number("SIM_SEEDS", 300)
	var next atomic.Uint64
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for s := next.Add(1); s <= seeds && !t.Failed(); s = next.Add(1) {
				if err := runSeed(s, raw); err != nil {
					t.Errorf("seed %d: %v", s, err)
				}
			}
		})
	}
	done.Wait()
	t.Logf("%d seeds", seeds)
}
