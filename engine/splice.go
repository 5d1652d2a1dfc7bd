package engine

import (
	"github.com/relayhouse/relayhouse/internal/invariants"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// A relayed connection is two Conns of one loop that are each other's mate.
// Per direction a → b:
//
//	readable(a), nothing queued for b:  read, rewrite in place, write to b.
//	b takes a part:                     the rest is queued; a is not read.
//	b takes the rest:                   a is read again, if it is readable.
//	Ping from a:                        a Pong goes to a, at a frame boundary
//	                                    of b → a.
//	Close from a:                       passes to b as it is. b → a goes on.
//	Close from b, too:                  both are finished.
//	end of a's stream, no Close:        the end of the stream goes to b behind
//	                                    what is queued. b → a goes on.
//	a breaks, or cannot be written to:  b gets what is queued, then its end. A
//	                                    break is met when a is read or written,
//	                                    so not while b is full.
//	a breaks the protocol:              a gets Close 1002 if no frame to it is
//	                                    incomplete, and is finished; b as above.
//	one side closed, the rest idle:     after Config.HalfIdle both are ended.
//	queued bytes not taken:             after Config.SendStall both are ended.
//
// Pausing costs no system call: an edge-triggered descriptor that is not read
// stays silent. The states are in docs/relay-states.md, tested row by row.

// Splice joins a and b, which live on one loop and have no handler data under
// way but what is given here. restA and restB are bytes that have been read
// behind the upgrade of each; they are copied. What was written to either
// before, such as a 101 response, goes out first. The handlers and roles
// stay; the handlers hear of Closed only.
func Splice(a, b *Conn, restA, restB []byte) { splice(a, b, restA, restB, 0) }

// SpliceRaw is Splice, but bytes pass unchanged, whatever they are: no frame is
// looked at, so nothing of the gateway's own is ever put between them. The rules
// for pauses, ends of stream and stalls are the same.
func SpliceRaw(a, b *Conn, restA, restB []byte) { splice(a, b, restA, restB, raw) }

func splice(a, b *Conn, restA, restB []byte, mode uint16) {
	invariants.Check(a.loop == b.loop && a.mate == nil && b.mate == nil && a != b, "splice")
	l := a.loop
	l.wheel.clear(a)
	l.wheel.clear(b)
	a.mate, b.mate = b, a
	a.window, b.window = windowMin, windowMin
	a.flags = a.flags&^paused | mode
	b.flags = b.flags&^paused | mode
	// The rests come first; their bytes may lie in the loop's buffer.
	if len(restB) > 0 {
		restB = append([]byte(nil), restB...)
	}
	if len(restA) > 0 {
		n := copy(l.buf[wsframe.Headroom:], restA)
		invariants.Check(n == len(restA), "rest of %d bytes", len(restA))
		l.relay(a, n)
	}
	if len(restB) > 0 && b.mate != nil {
		n := copy(l.buf[wsframe.Headroom:], restB)
		l.relay(b, n)
	}
	for _, c := range [2]*Conn{a, b} {
		if c.mate != nil {
			if c.left != nil {
				l.watch(c)
			}
			l.pump(c)
		}
	}
}

// EndSplice sends a Close frame with code and reason to both ends of c's
// relayed connection, each at its next frame boundary, and finishes them; what
// has no boundary within Config.Linger is cut. A connection that is not
// spliced is left alone, as is one of SpliceRaw.
func (c *Conn) EndSplice(code uint16, text string, reason metrics.CloseReason) {
	m := c.mate
	if m == nil || c.flags&raw != 0 {
		return
	}
	frame := wsframe.AppendClose(nil, code, text)
	l := c.loop
	for _, x := range [2]*Conn{c, m} {
		x.setReason(reason)
		if x.ending == nil {
			x.ending = &frame
		}
		l.wheel.set(x, l.wheel.now+l.engine.lingerTicks+1)
	}
	l.boundary(c)
	l.boundary(m)
}

// pump reads a and writes to its mate until a is empty, its mate is full, or
// the turn is over.
func (l *Loop) pump(a *Conn) {
	budget := l.engine.cfg.TurnBytes
	for a.flags&(readable|eof) == readable && a.mate != nil && a.mate.left == nil {
		if budget <= 0 {
			l.yield(a)
			return
		}
		n, errno := l.receive(a, l.window(a))
		switch {
		case errno != 0 && !broken(errno):
			a.flags &^= readable
		case errno != 0:
			a.Close(lost(errno))
		case n == 0:
			a.flags |= eof
			a.flags &^= readable
			l.ended(a)
		default:
			budget -= n
			l.relay(a, n)
			if a.flags&readable != 0 && a.mate != nil && a.mate.left == nil {
				l.widen(a)
			}
		}
	}
}

// window is the size of a's next read.
func (l *Loop) window(a *Conn) int {
	if l.engine.held.Load() > l.engine.cfg.LeftoverMax {
		a.window = windowMin
	}
	return 1 << a.window
}

// widen doubles the next read of an end that filled this one.
func (l *Loop) widen(a *Conn) {
	if 2<<a.window <= l.engine.cfg.ReadBuffer {
		a.window++
	}
}

// relay rewrites the n bytes from a in the loop's buffer and sends the result.
func (l *Loop) relay(a *Conn, n int) {
	b := a.mate
	if a.flags&raw != 0 {
		l.send(a, b, l.buf[wsframe.Headroom:wsframe.Headroom+n])
		return
	}
	wasClosed := a.hasClosed()
	l.pongs.Reset()
	lo, hi, err := a.rewriter.Rewrite(l.buf, wsframe.Headroom, wsframe.Headroom+n, &l.pongs)
	if b.flags&closeSent != 0 {
		hi = lo // our own Close has gone to b: nothing may follow it
	}
	if hi > lo && !l.send(a, b, l.buf[lo:hi]) {
		return
	}
	if l.pongs.Len() > 0 {
		l.counters.PongsSent.Add(uint64(l.pongs.Count()))
		if a.pongs == nil {
			a.pongs = new(wsframe.Pongs)
		}
		a.pongs.Take(&l.pongs)
	}
	if err != nil {
		l.violate(a, err)
		return
	}
	if a.pongs.Len() > 0 {
		l.boundary(a)
	}
	if a.mate != nil && (b.pongs.Len() > 0 || b.ending != nil) {
		l.boundary(b)
	}
	if a.mate != nil && a.hasClosed() && !wasClosed {
		l.half(a)
	}
}

// send writes p from a to b and queues what b does not take. It returns false
// if the relayed connection has ended.
func (l *Loop) send(a, b *Conn, p []byte) bool {
	p = l.encode(b, p)
	if b.left != nil {
		b.queue(p)
		return true
	}
	n, ok := l.write(b, p)
	if !ok {
		return false
	}
	if n < len(p) {
		a.window = windowMin
		b.queue(p[n:])
	}
	return true
}

// boundary sends what waits for a frame boundary towards c: Pongs, and a Close
// of our own. Nothing happens while a frame to c is incomplete or bytes are
// queued; drained and relay come back here.
func (l *Loop) boundary(c *Conn) {
	m := c.mate
	if m == nil || c.left != nil || !m.rewriter.AtBoundary() ||
		c.flags&(closeSent|writeShut) != 0 {
		return
	}
	if m.hasClosed() {
		c.pongs = nil // a Close has gone to c: nothing may follow it
		return
	}
	if c.pongs.Len() > 0 {
		p := c.pongs.Bytes()
		c.pongs = nil
		if !c.sendOwn(p) {
			return
		}
	}
	if c.ending != nil {
		c.flags |= closeSent
		if c.sendOwn(*c.ending) {
			l.settle(c)
		}
	}
}

// sendOwn writes the gateway's own frame to c; false if c was lost.
func (c *Conn) sendOwn(p []byte) bool {
	p = c.loop.encode(c, p)
	if c.left != nil {
		c.queue(p)
		return true
	}
	n, ok := c.loop.write(c, p)
	if ok && n < len(p) {
		c.queue(p[n:])
	}
	return ok
}

// drained goes on where a full c had stopped its mate.
func (l *Loop) drained(c *Conn) {
	m := c.mate
	l.boundary(c)
	if c.mate == nil || c.left != nil {
		return
	}
	if !l.settle(c) && m.flags&readable != 0 {
		l.pump(m)
	}
}

// ended passes the end of a's stream on, without a Close frame of its own.
func (l *Loop) ended(a *Conn) {
	b := a.mate
	if !a.hasClosed() {
		a.setReason(metrics.ClosePeerEOF)
	}
	invariants.Check(b.left == nil, "end of a stream read over queued bytes")
	b.shut()
	l.half(a)
}

// hasClosed says whether c's client has sent its Close.
func (c *Conn) hasClosed() bool {
	_, ok := c.rewriter.Closed()
	return ok
}

// half starts the idle limit once one direction is over, and settles.
func (l *Loop) half(a *Conn) {
	if l.settle(a) {
		return
	}
	a.lastRead = l.wheel.now
	idle := l.engine.halfIdleTicks
	if idle != 0 && (a.deadline == 0 || a.deadline > l.wheel.now+idle) {
		l.wheel.set(a, l.clock()+idle+1)
	}
}

// settle finishes both ends when nothing more can pass between them: each
// direction is closed, at its end, or ended by us, and delivered.
func (l *Loop) settle(a *Conn) bool {
	b := a.mate
	if b == nil || a.left != nil || b.left != nil || !a.over() || !b.over() {
		return false
	}
	reason := metrics.ClosePeer
	if a.flags&eof != 0 && !a.hasClosed() || b.flags&eof != 0 && !b.hasClosed() {
		reason = metrics.ClosePeerEOF
	}
	l.part(a)
	a.Finish(reason)
	b.Finish(reason)
	return true
}

// over says that nothing more comes from c for its mate.
func (c *Conn) over() bool {
	return c.hasClosed() || c.flags&eof != 0 || c.mate.flags&closeSent != 0
}

// violate ends a relayed connection whose end a broke the protocol.
func (l *Loop) violate(a *Conn, err error) {
	b := a.mate
	if v, ok := err.(wsframe.Violation); ok && b.rewriter.AtBoundary() &&
		!b.hasClosed() && a.flags&(closeSent|writeShut) == 0 {
		a.flags |= closeSent
		if !a.sendOwn(wsframe.AppendClose(nil, v.CloseCode(), v.Error())) {
			return
		}
	}
	l.part(a)
	a.Finish(metrics.CloseProtocol)
	b.Finish(metrics.CloseMateLost)
}

// overdue handles the deadline of one end of a relayed connection.
func (l *Loop) overdue(c *Conn) {
	m, now, e := c.mate, l.wheel.now, l.engine
	if c.ending != nil {
		l.cut(c, c.reason)
		return
	}
	next := uint32(0)
	if c.left != nil && e.stallTicks != 0 {
		if next = c.left.taken + e.stallTicks + 1; next <= now {
			l.cut(c, metrics.CloseSendStalled)
			return
		}
	}
	if e.halfIdleTicks != 0 && (c.hasClosed() || c.flags&eof != 0) {
		idle := max(c.lastRead, m.lastRead) + e.halfIdleTicks + 1
		if idle <= now && c.left == nil && m.left == nil {
			l.cut(c, metrics.CloseHalfIdle)
			return
		}
		if idle = max(idle, now+1); next == 0 || idle < next {
			next = idle
		}
	}
	if next != 0 {
		l.wheel.set(c, next)
	}
}

// cut ends both ends at once.
func (l *Loop) cut(c *Conn, reason metrics.CloseReason) {
	m := c.mate
	l.part(c)
	c.Close(reason)
	m.Close(reason)
}

// part undoes a splice; the ends are then finished or closed by the caller,
// c's mate here.
func (l *Loop) part(c *Conn) {
	m := c.mate
	c.mate, m.mate = nil, nil
	c.flags &^= raw
	m.flags &^= raw
	c.pongs, m.pongs = nil, nil
	l.wheel.clear(c)
	l.wheel.clear(m)
}
