package simnet

import (
	"net/netip"
	"syscall"

	"github.com/relayhouse/relayhouse/engine"
)

// batchMax is the number of events that one wait reports.
const batchMax = 8

// poller is the simulated engine.Poller of one loop.
type poller struct {
	net     *Net
	ready   []*socket
	tasks   []*engine.Task // nil: stop
	stopped bool
	turn    chan func(event func(int, engine.Events)) // what to do next
	done    chan struct{}                             // that it is done
}

// NewPoller is for engine.Config.NewPoller.
func (n *Net) NewPoller(int) (engine.Poller, error) {
	p := &poller{net: n, turn: make(chan func(func(int, engine.Events))), done: make(chan struct{})}
	n.pollers = append(n.pollers, p)
	return p, nil
}

func (p *poller) Run(event func(fd int, ev engine.Events)) error {
	for f := range p.turn {
		f(event)
		p.net.mu.Lock()
		stopped := p.stopped
		p.net.mu.Unlock()
		p.done <- struct{}{}
		if stopped {
			return nil
		}
	}
	return nil
}

func (p *poller) runTask(func(int, engine.Events)) {
	p.net.mu.Lock()
	t := p.tasks[0]
	p.tasks = p.tasks[1:]
	p.net.mu.Unlock()
	if t == nil {
		p.net.mu.Lock()
		p.stopped = true
		p.net.mu.Unlock()
		return
	}
	t.Run()
}

// runBatch reports some of the ready descriptors by number, each with the
// state of the moment in which the batch began: what the loop does in between
// can make an event stale or its number another connection's.
func (p *poller) runBatch(event func(int, engine.Events)) {
	type report struct {
		fd int
		ev engine.Events
	}
	n := p.net
	n.mu.Lock()
	var batch []report
	for len(p.ready) > 0 && len(batch) < batchMax {
		i := n.rnd.IntN(len(p.ready))
		s := p.ready[i]
		p.ready = append(p.ready[:i], p.ready[i+1:]...)
		s.queued = false
		if s.poller != p {
			continue // removed since
		}
		batch = append(batch, report{s.fd, s.pending})
		s.pending = 0
		if s.peer == nil && len(s.backlog) > 0 {
			defer n.again(s) // level-triggered
		}
	}
	n.mu.Unlock()
	for _, r := range batch {
		event(r.fd, r.ev)
	}
}

func (n *Net) again(s *socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(s.backlog) > 0 {
		n.notify(s, engine.Readable)
	}
}

func (p *poller) Post(t engine.Task) error { return p.post(&t) }

func (p *poller) post(t *engine.Task) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.tasks = append(p.tasks, t)
	return nil
}

func (p *poller) Stop() { _ = p.post(nil) }

func (p *poller) RunReady() {}

func (p *poller) Release() {}

// state is what a fresh look at s reports.
func (s *socket) state() engine.Events {
	c := s.peer
	if c == nil {
		if len(s.backlog) > 0 {
			return engine.Readable
		}
		return 0
	}
	var ev engine.Events
	if len(c.toServer) > 0 || c.peerShut || c.reset {
		ev |= engine.Readable
	}
	if len(c.toPeer) < c.toPeerMax || c.reset {
		ev |= engine.Writable
	}
	if c.peerShut || c.reset {
		ev |= engine.Hangup
	}
	if c.reset {
		ev |= engine.Broken
	}
	return ev
}

func (p *poller) watch(fd int) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s := p.net.sockets[fd]
	if s == nil || s.poller != nil {
		return syscall.EBADF
	}
	s.poller = p
	if ev := s.state(); ev != 0 {
		p.net.notify(s, ev)
	}
	return nil
}

func (p *poller) Add(fd int) error         { return p.watch(fd) }
func (p *poller) AddListener(fd int) error { return p.watch(fd) }

func (p *poller) Rearm(fd int) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s := p.net.sockets[fd]
	if s == nil || s.poller != p {
		return syscall.ENOENT
	}
	if ev := s.state(); ev != 0 {
		p.net.notify(s, ev)
	}
	return nil
}

func (p *poller) Remove(fd int) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s := p.net.sockets[fd]
	if s == nil || s.poller != p {
		return syscall.ENOENT
	}
	s.poller, s.pending = nil, 0
	return nil
}

func (p *poller) Read(fd int, b []byte) (int, syscall.Errno) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sockets[fd]
	if s == nil || s.peer == nil {
		return 0, syscall.EBADF
	}
	c := s.peer
	switch {
	case n.rnd.IntN(50) == 0:
		return n.interrupted(s)
	case c.reset:
		return 0, syscall.ECONNRESET
	case len(c.toServer) > 0:
		k := copy(b, c.toServer)
		c.toServer = c.toServer[k:]
		return k, 0
	case c.peerShut:
		return 0, 0
	}
	return 0, syscall.EAGAIN
}

// interrupted is EINTR. A real kernel has none for these calls; the engine
// takes it as "not now", so that the event must come again.
func (n *Net) interrupted(s *socket) (int, syscall.Errno) {
	if ev := s.state(); ev != 0 {
		n.notify(s, ev)
	}
	return 0, syscall.EINTR
}

func (p *poller) Write(fd int, b []byte) (int, syscall.Errno) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sockets[fd]
	if s == nil || s.peer == nil {
		return 0, syscall.EBADF
	}
	c := s.peer
	if c.reset {
		return 0, syscall.ECONNRESET
	}
	if c.serverShut {
		return 0, syscall.EPIPE
	}
	k := min(len(b), c.toPeerMax-len(c.toPeer))
	if k < len(b) {
		c.full = true
	}
	if k == 0 {
		return 0, syscall.EAGAIN
	}
	c.toPeer = append(c.toPeer, b[:k]...)
	return k, 0
}

func (p *poller) CloseWrite(fd int) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if s := p.net.sockets[fd]; s != nil && s.peer != nil {
		s.peer.serverShut = true
	}
}

// CloseFD ends a connection; bytes that were not read make it a reset.
func (p *poller) CloseFD(fd int, reset bool) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sockets[fd]
	if s == nil {
		panic("simnet: a descriptor is closed twice")
	}
	delete(n.sockets, fd)
	s.poller = nil
	if c := s.peer; c != nil {
		c.serverShut, c.serverClosed = true, true
		if reset || len(c.toServer) > 0 {
			c.reset = true
			c.toPeer = nil
		}
	}
	for _, waiting := range s.backlog {
		waiting.peer.reset = true
	}
}

func (p *poller) Accept(fd int) (int, netip.AddrPort, syscall.Errno) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.sockets[fd]
	if l == nil || len(l.backlog) == 0 {
		return -1, netip.AddrPort{}, syscall.EAGAIN
	}
	if len(n.failures) > 0 {
		errno := n.failures[0]
		n.failures = n.failures[1:]
		return -1, netip.AddrPort{}, errno
	}
	waiting := l.backlog[0]
	l.backlog = l.backlog[1:]
	s := n.newSocket(waiting.peer)
	waiting.peer.server = s
	return s.fd, waiting.peer.addr, 0
}

func (p *poller) Shed(fd int) bool {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.sockets[fd]
	if l == nil || len(l.backlog) == 0 {
		return false
	}
	c := l.backlog[0].peer
	l.backlog = l.backlog[1:]
	c.reset, c.serverClosed = true, true
	return true
}
