package simnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"syscall"

	"github.com/relayhouse/relayhouse/engine"
)

// Net is a simulated network. Its methods are for one goroutine, the driver.
type Net struct {
	// Port is how the listening sockets treat their connections. It is set
	// before AddListener, or never.
	Port engine.ListenConfig

	rnd       *rand.Rand
	busy      []*poller // scratch of Step
	bufferMax int

	// mu guards what follows; loops and the driver take turns, but tasks may
	// be posted by goroutines that wait for a loop.
	mu        sync.Mutex
	sockets   map[int]*socket
	pollers   []*poller
	listeners []*socket
	failures  []syscall.Errno // of the next accepts
	dialled   int
}

// New makes a network. Socket buffers hold between bufferMax/50 and
// about bufferMax bytes, at least 1.
func New(seed uint64, bufferMax int) *Net {
	return &Net{
		rnd:       rand.New(rand.NewPCG(seed, 0x5117)),
		bufferMax: bufferMax,
		sockets:   map[int]*socket{},
	}
}

// socket is the engine's side of a connection, or a listening socket.
type socket struct {
	fd      int
	poller  *poller // nil while nobody watches it
	pending engine.Events
	queued  bool // in poller.ready

	peer    *Peer     // nil for a listening socket
	backlog []*socket // of a listening socket
}

// Peer is a client's end of a connection.
type Peer struct {
	net    *Net
	server *socket
	addr   netip.AddrPort

	toServer, toPeer       []byte
	toServerMax, toPeerMax int
	peerShut, serverShut   bool // that side sends no more
	reset                  bool // broken by either side
	serverClosed           bool
	full                   bool // the engine met a full buffer
}

// AddListener gives each loop a listening socket; call it before Start.
func (n *Net) AddListener(e *engine.Engine) error {
	port := n.Port
	for _, l := range e.Loops() {
		n.mu.Lock()
		s := n.newSocket(nil)
		n.listeners = append(n.listeners, s)
		n.mu.Unlock()
		if err := l.AddListener(s.fd, &port); err != nil {
			return err
		}
	}
	return nil
}

// newSocket takes the lowest free descriptor, as the kernel does.
func (n *Net) newSocket(p *Peer) *socket {
	fd := 3
	for n.sockets[fd] != nil {
		fd++
	}
	s := &socket{fd: fd, peer: p}
	n.sockets[fd] = s
	return s
}

// FailAccept makes the next accepts fail.
func (n *Net) FailAccept(errnos ...syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failures = append(n.failures, errnos...)
}

// Dial connects to the listening socket of a random loop.
func (n *Net) Dial() *Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled++
	p := &Peer{
		net:         n,
		addr:        netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(n.dialled)),
		toServerMax: n.capacity(),
		toPeerMax:   n.capacity(),
	}
	l := n.listeners[n.rnd.IntN(len(n.listeners))]
	p.server = &socket{fd: -1, peer: p}
	l.backlog = append(l.backlog, p.server)
	n.notify(l, engine.Readable)
	return p
}

// capacity is the size of one socket buffer.
func (n *Net) capacity() int { return 1 + n.bufferMax/50 + n.rnd.IntN(n.bufferMax) }

// Open is the number of descriptors in use, listening ones included.
func (n *Net) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.sockets)
}

// notify queues an event for the loop that watches s.
func (n *Net) notify(s *socket, ev engine.Events) {
	if s.poller == nil {
		return
	}
	s.pending |= ev
	if !s.queued {
		s.queued = true
		s.poller.ready = append(s.poller.ready, s)
	}
}

// Write sends what fits into the buffer towards the engine and returns how
// much that was; 0 and an error once the connection is broken.
func (p *Peer) Write(b []byte) (int, error) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.reset || p.serverClosed || p.peerShut {
		if p.serverClosed && len(b) > 0 {
			p.reset = true
		}
		return 0, syscall.EPIPE
	}
	k := min(len(b), p.toServerMax-len(p.toServer))
	if k > 0 {
		p.toServer = append(p.toServer, b[:k]...)
		n.notify(p.server, engine.Readable)
	}
	return k, nil
}

// Read takes up to len(b) bytes of what the engine has sent. At the end of the
// stream it returns 0 and true; on a broken connection an error.
func (p *Peer) Read(b []byte) (k int, end bool, err error) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.reset {
		return 0, false, syscall.ECONNRESET
	}
	k = copy(b, p.toPeer)
	p.toPeer = p.toPeer[k:]
	if k > 0 && p.full {
		p.full = false
		n.notify(p.server, engine.Writable)
	}
	return k, k == 0 && len(b) > 0 && p.serverShut, nil
}

// CloseWrite ends the stream towards the engine.
func (p *Peer) CloseWrite() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if !p.peerShut {
		p.peerShut = true
		p.net.notify(p.server, engine.Readable|engine.Hangup)
	}
}

// Abort breaks the connection; what was under way is lost.
func (p *Peer) Abort() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.reset = true
	p.toServer, p.toPeer = nil, nil
	p.net.notify(p.server, engine.Readable|engine.Writable|engine.Hangup|engine.Broken)
}

// Step lets one loop do one thing and returns false if none has anything to
// do.
func (n *Net) Step() bool {
	n.mu.Lock()
	busy := n.busy[:0]
	for _, p := range n.pollers {
		if !p.stopped && (len(p.ready) > 0 || len(p.tasks) > 0) {
			busy = append(busy, p)
		}
	}
	n.busy = busy
	if len(busy) == 0 {
		n.mu.Unlock()
		return false
	}
	p := busy[n.rnd.IntN(len(busy))]
	task := len(p.tasks) > 0 && (len(p.ready) == 0 || n.rnd.IntN(2) == 0)
	n.mu.Unlock()
	if task {
		p.turn <- p.runTask
	} else {
		p.turn <- p.runBatch
	}
	<-p.done
	return true
}

// Settle steps until nothing is left to do; it fails after limit steps.
func (n *Net) Settle(limit int) error {
	for range limit {
		if !n.Step() {
			return nil
		}
	}
	return fmt.Errorf("still busy after %d steps: a loop makes work for itself", limit)
}

// Stop ends the engine, stepping while it does.
func (n *Net) Stop(e *engine.Engine) {
	done := make(chan struct{})
	go func() {
		e.Stop()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		default:
			if !n.Step() {
				runtime.Gosched()
			}
		}
	}
}
