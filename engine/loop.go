package engine

import (
	"slices"
	"syscall"

	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// Read windows, as powers of two in bytes. A connection starts with the
// smallest, doubles while its reads fill it and the other end takes all of it,
// and falls back when something is left over: so that many stuck relays hold
// 16 KiB each, and a few fast ones read Config.ReadBuffer at a time.
const windowMin = 14

// scratchSize is the capacity of Loop.Scratch in bytes: nearly all heads and
// messages of the control channel are shorter.
const scratchSize = 4 << 10

// Loop is one event loop: a goroutine, a Poller, a read buffer and the
// connections that live on it. Its methods may be called on the loop only,
// except Post, Index and Engine.
type Loop struct {
	// Fixed after New.
	engine   *Engine
	poller   Poller
	counters *metrics.Loop
	index    int

	// Owned by the loop.
	buf       []byte // Headroom, Config.ReadBuffer, room for Pongs
	cipher    []byte // what TLS connections have received; nil before the first
	sealed    []byte // what they are to be sent
	conns     []*Conn
	wheel     wheel
	pongs     wsframe.Pongs // of the batch being rewritten
	listeners []listener
	accepted  []accepted // to be attached by the task that is posted, see accept
	scratch   []byte
	spares    []*leftover
	lastGen   uint32
	count     int  // connections in conns
	stopping  bool // no attach any more
}

// Index is the loop's number, from 0.
func (l *Loop) Index() int { return l.index }

// Engine is the engine that the loop belongs to.
func (l *Loop) Engine() *Engine { return l.engine }

// Now is the loop's clock in ticks of Config.Tick.
func (l *Loop) Now() uint32 { return l.wheel.now }

// clock is the time in ticks, which the loop's own clock may be behind of. What
// a deadline counts from it never makes it early.
func (l *Loop) clock() uint32 { return max(l.wheel.now, l.engine.now()) }

// Post runs f on the loop, behind the tasks already posted. May be called from
// any goroutine. After Stop f does not run.
func (l *Loop) Post(f func(l *Loop)) {
	_ = l.poller.Post(Task{run: f, l: l})
}

// Scratch is an empty buffer for what is to be written at once, such as a
// response: until the next call of Scratch, or the end of the event.
func (l *Loop) Scratch() []byte {
	if l.scratch == nil {
		l.scratch = make([]byte, 0, scratchSize)
	}
	return l.scratch
}

// Each calls f for up to limit connections of the loop.
func (l *Loop) Each(limit int, f func(c *Conn)) {
	for _, c := range l.conns {
		if c != nil && limit > 0 {
			limit--
			f(c)
		}
	}
}

func (l *Loop) find(r Ref) *Conn {
	if int(r.fd) < len(l.conns) {
		if c := l.conns[r.fd]; c != nil && c.gen == r.gen {
			return c
		}
	}
	return nil
}

// attach makes c one of the loop's connections; on failure c is closed.
func (l *Loop) attach(c *Conn) bool {
	c.loop = l
	l.lastGen++
	c.gen = l.lastGen
	if n := int(c.fd) + 1 - len(l.conns); n > 0 {
		l.conns = slices.Grow(l.conns, n) // by a quarter when it is large
		l.conns = l.conns[:cap(l.conns)]
	}
	l.conns[c.fd] = c
	l.count++
	l.counters.Connections[c.role].Add(1)
	if l.stopping || l.poller.Add(int(c.fd)) != nil {
		c.Close(metrics.CloseInternal)
		return false
	}
	if c.deadline != 0 {
		l.wheel.set(c, c.deadline)
	}
	return true
}

// detach takes c off the loop and leaves its descriptor open.
func (l *Loop) detach(c *Conn) {
	deadline := c.deadline
	l.wheel.clear(c)
	c.deadline = deadline
	_ = l.poller.Remove(int(c.fd))
	l.forget(c)
}

func (l *Loop) forget(c *Conn) {
	l.conns[c.fd] = nil
	l.count--
	l.counters.Connections[c.role].Add(-1)
}

// drop closes c's descriptor and reports its end; a mate gets what is queued
// for it and then its own end. Closing takes c off the poller; an event of it
// later in this batch finds no connection.
func (l *Loop) drop(c *Conn) {
	if c.flags&gone != 0 {
		return
	}
	m := c.mate
	if m != nil {
		l.part(c)
	}
	l.wheel.clear(c)
	c.releaseLeft()
	c.secure.release(l)
	l.forget(c)
	c.flags |= gone
	l.poller.CloseFD(int(c.fd), c.flags&reset != 0)
	l.engine.open.Add(-1)
	l.counters.Closed[c.endRole][c.reason].Add(1)
	c.handler.Closed(c, c.reason)
	if m != nil {
		m.Finish(metrics.CloseMateLost)
	}
}

// event is the Poller's callback.
func (l *Loop) event(fd int, ev Events) {
	if fd >= len(l.conns) || l.conns[fd] == nil {
		l.accept(fd)
		return
	}
	c := l.conns[fd]
	if ev&Readable != 0 {
		c.flags |= readable
	}
	if ev&Hangup != 0 {
		c.flags |= peerHangup
	}
	if ev&Broken != 0 {
		c.flags |= broke
	}
	if ev&Writable != 0 && c.flags&writable == 0 {
		c.flags |= writable
		if c.left != nil && !l.flush(c) {
			return
		}
	}
	if c.flags&yielding != 0 {
		c.flags &^= yielding
		if t, ok := c.handler.(Turner); ok && c.flags&finishing == 0 {
			t.Turn(c)
			return // Resume brings what is readable
		}
	}
	if c.flags&readable == 0 {
		return
	}
	switch {
	case c.flags&finishing != 0:
		l.discard(c)
	case c.mate != nil:
		l.pump(c)
	case c.flags&paused == 0:
		l.read(c)
	case c.flags&peerHangup != 0:
		c.handler.Hangup(c)
	}
}

// read hands what a connection that is not spliced has received to its
// handler, up to the budget of a turn. A handler may close or migrate it: then
// it is not in the table any more, and may be another loop's already.
func (l *Loop) read(c *Conn) {
	fd := c.fd
	budget := l.engine.cfg.TurnBytes
	for c.flags&(readable|paused|finishing) == readable && c.mate == nil {
		if budget <= 0 {
			l.yield(c)
			return
		}
		room := 1 << windowMin
		if c.flags&bulk != 0 && l.engine.cfg.ReadBuffer >= BulkBytes {
			room = BulkBytes
		}
		n, errno := l.receive(c, room)
		switch {
		case errno != 0 && !broken(errno):
			c.flags &^= readable
		case errno != 0:
			c.Close(lost(errno))
		case n == 0:
			c.flags |= eof
			c.flags &^= readable
			c.handler.Hangup(c)
		default:
			budget -= n
			c.handler.Data(c, l.buf[wsframe.Headroom:wsframe.Headroom+n])
		}
		if l.conns[fd] != c {
			return
		}
	}
	if c.flags&(finishing|readable) == finishing|readable {
		l.discard(c)
	}
}

// receive reads up to room bytes of c's stream, or one TLS record if that is
// more, into the loop's buffer, behind its headroom.
//
//	Errors: n is 0 without one at the end of the stream. EAGAIN, EINTR: nothing
//	        for now. EPROTO: the peer broke TLS. Others: the connection is lost.
func (l *Loop) receive(c *Conn, room int) (n int, errno syscall.Errno) {
	if c.secure != nil {
		return l.receiveSecure(c, room)
	}
	n, errno = l.poller.Read(int(c.fd), l.buf[wsframe.Headroom:wsframe.Headroom+room])
	if n > 0 {
		l.received(c, n, n < room)
	}
	return n, errno
}

// lost is the reason for which a connection ends that receive has failed on.
func lost(errno syscall.Errno) metrics.CloseReason {
	if errno == syscall.EPROTO {
		return metrics.CloseTLSFailed
	}
	return metrics.ClosePeerReset
}

// received notes n bytes from c's descriptor. A short read has emptied the
// kernel's buffer: no further call is needed to learn that.
func (l *Loop) received(c *Conn, n int, short bool) {
	if short && c.flags&peerHangup == 0 {
		c.flags &^= readable
	}
	c.bytesIn += uint64(n)
	c.lastRead = l.wheel.now
	l.counters.Reads.Add(1)
}

// yield ends c's turn: the kernel reports it again behind the others.
func (l *Loop) yield(c *Conn) {
	l.counters.Yields.Add(1)
	_ = l.poller.Rearm(int(c.fd))
}

// write gives p to the kernel.
//
//	Shape:  n bytes were taken; ok is false if the connection was lost and has
//	        been closed.
func (l *Loop) write(c *Conn, p []byte) (n int, ok bool) {
	n, errno := l.poller.Write(int(c.fd), p)
	if errno != 0 && broken(errno) {
		c.Close(metrics.ClosePeerReset)
		return 0, false
	}
	c.wrote(n, len(p))
	return n, true
}

// flush writes what c has queued. It returns false when c is gone, or another
// loop's: a handshake may end here, and what has come behind it be handled.
func (l *Loop) flush(c *Conn) bool {
	fd := c.fd
	left := c.left
	n, ok := l.write(c, left.block[left.sent:])
	if !ok {
		return false
	}
	if n > 0 {
		left.sent += n
		left.taken = l.clock()
	}
	if left.sent < len(left.block) {
		return true
	}
	c.releaseLeft()
	if c.flags&(shutting|finishing) != 0 {
		c.shut()
	}
	switch {
	case c.flags&(gone|finishing) != 0:
	case c.mate != nil:
		l.drained(c)
	default:
		c.handler.Drained(c)
	}
	return l.conns[fd] == c
}

// discard reads and drops what a finishing connection still receives, until
// its peer ends too.
func (l *Loop) discard(c *Conn) {
	budget := l.engine.cfg.TurnBytes
	for c.flags&(readable|gone) == readable {
		if budget <= 0 {
			l.yield(c)
			return
		}
		room := l.buf[wsframe.Headroom:]
		n, errno := l.poller.Read(int(c.fd), room)
		switch {
		case errno == syscall.EAGAIN || errno == syscall.EINTR:
			c.flags &^= readable
		case errno != 0:
			l.drop(c)
		case n == 0:
			c.flags |= eof
			c.flags &^= readable
			if c.left == nil {
				l.drop(c)
			}
		default:
			l.received(c, n, n < len(room))
			budget -= n
		}
	}
}

// watch arms the deadline by which c's peer must take queued bytes, where the
// loop, not a handler, keeps the time.
func (l *Loop) watch(c *Conn) {
	if c.mate == nil && c.flags&finishing == 0 {
		return
	}
	stall := l.engine.stallTicks
	if stall == 0 && c.flags&finishing != 0 {
		stall = l.engine.lingerTicks
	}
	if stall != 0 && (c.deadline == 0 || c.deadline > l.wheel.now+stall) {
		l.wheel.set(c, l.clock()+stall+1)
	}
}

// fire handles a connection's deadline.
func (l *Loop) fire(c *Conn) {
	switch {
	case c.flags&finishing != 0:
		limit := max(l.engine.stallTicks, l.engine.lingerTicks)
		if c.left != nil && int32(l.wheel.now-c.left.taken) < int32(limit) {
			l.watch(c)
			return
		}
		l.drop(c)
	case c.mate != nil:
		l.overdue(c)
	default:
		c.handler.Timeout(c)
	}
}

// tick moves the loop's clock.
func (l *Loop) tick(now uint32) {
	l.wheel.advance(now, l.fire)
	l.resumeListeners()
}
