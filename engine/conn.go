package engine

import (
	"net/netip"
	"syscall"

	"github.com/relayhouse/relayhouse/internal/invariants"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// Handler hears of one connection's events, on its loop, never two at a time.
type Handler interface {
	// Data has the bytes just read. p is the loop's buffer: it may be changed
	// in place and is gone when Data returns or calls Splice or Migrate.
	Data(c *Conn, p []byte)
	// Hangup says that the peer has ended its stream behind the bytes that
	// Data had, or, while the connection is paused, that it will send no more
	// than it has sent.
	Hangup(c *Conn)
	// Timeout says that the deadline of SetDeadline has come.
	Timeout(c *Conn)
	// Drained says that all bytes of Write have been taken by the kernel,
	// after some were not.
	Drained(c *Conn)
	// Closed is the last call for c.
	Closed(c *Conn, reason metrics.CloseReason)
}

// Bits of Conn.flags.
const (
	readable   uint16 = 1 << iota // the kernel may hold bytes for us
	writable                      // the kernel may take bytes from us
	peerHangup                    // the peer sends no more than it has sent
	eof                           // the end of its stream has been read
	writeShut                     // we have sent the end of our stream
	paused                        // Data is not wanted now
	finishing                     // flush, shut, linger
	gone                          // the descriptor is closed
	closeSent                     // spliced: a Close frame of ours is queued
	bulk                          // Data takes BulkBytes at a time
	broke                         // the connection broke
	yielding                      // Turn is due
	reset                         // the descriptor is closed with a reset
	shutting                      // the end of our stream follows what is queued
)

// raw is a bit of Conn.flags: spliced, and bytes pass unchanged.
const raw uint16 = 1 << 15

// Conn is one TCP connection. It belongs to its loop: methods are called there
// only. It has no goroutine and no buffer of its own while it is idle.
type Conn struct {
	loop    *Loop
	handler Handler

	// The relayed connection, see splice.go; nil before Splice.
	mate     *Conn
	rewriter wsframe.Rewriter // of the frames from this end
	pongs    *wsframe.Pongs   // for this end, waiting for a frame boundary; nil is none
	ending   *[]byte          // Close frame of ours, waiting for a boundary

	secure *secure   // TLS, after its handshake; nil is plain
	left   *leftover // nil when the peer has taken everything

	timerNext, timerPrev *Conn
	slot, deadline       uint32

	bytesIn, bytesOut uint64
	lastRead          uint32 // tick of the last bytes received
	fd                int32
	gen               uint32

	flags    uint16
	peerPort uint16
	peerAddr [16]byte
	peerKind peerKind
	inWheel  bool
	window   uint8 // log2 of the next read's size
	role     metrics.Role
	endRole  metrics.Role // role when reason was set
	reason   metrics.CloseReason
}

// leftover is what the peer has not taken, as it goes to the kernel:
// block[sent:]. At most one block of Config.ReadBuffer when spliced.
type leftover struct {
	block []byte
	sent  int
	taken uint32 // tick at which the peer last took bytes of it
}

// peerKind says how Conn.peerAddr is to be read. A netip.AddrPort has twice
// their size, for zones, which no peer has.
type peerKind uint8

const (
	peerNone peerKind = iota
	peerV4            // mapped into IPv6
	peerV6
)

// newConn makes a connection that is not attached yet and has no handler.
func (l *Loop) newConn(fd int, peer netip.AddrPort) *Conn {
	c := &Conn{
		fd: int32(fd), loop: l, window: windowMin, role: metrics.RoleHead, lastRead: l.wheel.now,
	}
	c.SetPeer(peer)
	return c
}

// Ref names a Conn from anywhere. It may outlive it. The zero Ref names none.
type Ref struct {
	loop *Loop
	fd   int32
	gen  uint32
}

// Ref returns the name of c on its present loop; migration makes it stale.
func (c *Conn) Ref() Ref { return Ref{c.loop, c.fd, c.gen} }

// Loop is the loop that owns the connection; nil for the zero Ref.
func (r Ref) Loop() *Loop { return r.loop }

// Post runs f on the connection's loop, with nil if the connection is gone.
// May be called from any goroutine.
func (r Ref) Post(f func(c *Conn)) {
	r.loop.Post(func(l *Loop) { f(l.find(r)) })
}

// Get returns the connection, or nil if it is gone. Only on its loop.
func (r Ref) Get() *Conn { return r.loop.find(r) }

// Loop returns the loop that owns c.
func (c *Conn) Loop() *Loop { return c.loop }

// Peer is the address of the other end of the TCP connection, or of the client
// behind it, as a header of the PROXY protocol or SetPeer said.
func (c *Conn) Peer() netip.AddrPort {
	switch c.peerKind {
	case peerV4:
		return netip.AddrPortFrom(netip.AddrFrom16(c.peerAddr).Unmap(), c.peerPort)
	case peerV6:
		return netip.AddrPortFrom(netip.AddrFrom16(c.peerAddr), c.peerPort)
	}
	return netip.AddrPort{}
}

// Handler returns the present handler.
func (c *Conn) Handler() Handler { return c.handler }

// SetHandler gives the events that follow to h.
func (c *Conn) SetHandler(h Handler) { c.handler = h }

// Bytes are the counts received from and sent to the peer, framing and TLS
// included.
func (c *Conn) Bytes() (in, out uint64) { return c.bytesIn, c.bytesOut }

// Role is what the connection is doing.
func (c *Conn) Role() metrics.Role { return c.role }

// SetRole moves the connection to another role's gauge.
func (c *Conn) SetRole(r metrics.Role) {
	if c.flags&gone != 0 {
		return
	}
	c.loop.counters.Move(c.role, r)
	c.role = r
}

// SetDeadline asks for one Handler.Timeout after at least d ticks of the
// loop's clock, in place of any earlier deadline. 0 clears it.
func (c *Conn) SetDeadline(ticks uint32) {
	if ticks == 0 {
		c.loop.wheel.clear(c)
		return
	}
	// The present tick is partly over: one more makes it never early, also on
	// a loop that is behind the clock.
	c.loop.wheel.set(c, c.loop.clock()+ticks+1)
}

// LastRead is the tick at which bytes last came from the peer.
func (c *Conn) LastRead() uint32 { return c.lastRead }

// Pause stops Data until Resume; bytes stay in the kernel. Hangup still comes.
func (c *Conn) Pause() { c.flags |= paused }

// Resume undoes Pause. Data is called for waiting bytes from a later task.
func (c *Conn) Resume() {
	c.flags &^= paused
	if c.flags&(readable|gone) == readable {
		_ = c.loop.poller.Rearm(int(c.fd))
	}
}

// BulkBytes is the most that Data gets at one time from a connection that
// carries much; others get 16 KiB. It is the largest frame that leaves a gateway
// (docs/protocol.md, section 4.1), and small beside a turn.
const BulkBytes = 1 << 16

// SetBulk says that c carries much: Data gets up to BulkBytes at a time.
func (c *Conn) SetBulk(on bool) {
	c.flags &^= bulk
	if on {
		c.flags |= bulk
	}
}

// Turner is a Handler that calls Conn.Yield.
type Turner interface {
	Handler
	// Turn is the turn that Yield asked for.
	Turn(c *Conn)
}

// Yield asks for Turner.Turn behind the events of other connections. A task of
// its own would not do: tasks that post tasks come before all events.
func (c *Conn) Yield() {
	c.flags |= yielding
	c.loop.yield(c)
}

// Queued is the number of bytes that the peer has not taken.
func (c *Conn) Queued() int {
	if c.left == nil {
		return 0
	}
	return len(c.left.block) - c.left.sent
}

// Write sends p, or queues what the peer does not take at once.
//
//	Owner:  p is copied where it must be kept.
//	Bounds: if more than queueMax bytes would be waiting, nothing of p is
//	        taken and Write returns false.
//	Errors: a broken connection takes everything; its end follows as an event.
func (c *Conn) Write(p []byte, queueMax int) bool {
	if c.flags&(gone|writeShut) != 0 || len(p) == 0 {
		return true
	}
	if c.left != nil && c.Queued()+len(p) > queueMax {
		return false
	}
	return c.transmit(c.loop.encode(c, p))
}

// transmit sends p, as it goes to the kernel, or queues what is not taken.
func (c *Conn) transmit(p []byte) bool {
	if c.left != nil {
		c.queue(p)
		return true
	}
	n, errno := c.loop.poller.Write(int(c.fd), p)
	if errno != 0 && broken(errno) {
		// A handler is calling: let it finish before it hears of the end.
		c.flags |= writeShut
		c.Ref().Post(func(c *Conn) {
			if c != nil {
				c.Close(metrics.ClosePeerReset)
			}
		})
		return true
	}
	c.wrote(n, len(p))
	if n < len(p) {
		c.queue(p[n:])
	}
	return true
}

// wrote notes that the kernel took n of size bytes.
func (c *Conn) wrote(n, size int) {
	if n < size {
		c.flags &^= writable
	}
	c.bytesOut += uint64(n)
	switch c.loop.counters.Writes.Add(1); c.role {
	case metrics.RoleRelayedListener:
		c.loop.counters.BytesToListener.Add(uint64(n))
	case metrics.RoleRelayedSender:
		c.loop.counters.BytesToSender.Add(uint64(n))
	}
}

// queue copies p behind the bytes that wait, and watches the peer's pace.
func (c *Conn) queue(p []byte) {
	l := c.loop
	left := c.left
	if left == nil {
		c.left = l.spare()
		*c.left = leftover{block: l.acquire(len(p)), taken: l.clock()}
		copy(c.left.block, p)
		l.watch(c)
		return
	}
	if len(left.block)+len(p) > cap(left.block) {
		bigger := l.acquire(c.Queued() + len(p))
		n := copy(bigger, left.block[left.sent:])
		l.release(left.block[:0])
		left.block, left.sent = bigger[:n], 0
	}
	left.block = append(left.block, p...)
}

func (c *Conn) releaseLeft() {
	if c.left != nil {
		c.loop.release(c.left.block[:0])
		c.loop.keep(c.left)
		c.left = nil
	}
}

// Finish ends c in good order: what is queued is flushed, the stream to the
// peer is ended, what still comes is read and dropped, and the descriptor is
// closed when the peer has ended its side too or after Config.Linger. The
// handler hears of nothing but Closed. The first reason counts.
func (c *Conn) Finish(reason metrics.CloseReason) {
	if c.flags&(gone|finishing) != 0 {
		return
	}
	c.setReason(reason)
	c.flags |= finishing
	c.SetRole(metrics.RoleClosing)
	c.loop.wheel.clear(c)
	if c.left != nil {
		c.loop.watch(c)
		return
	}
	c.shut()
}

// shut ends the stream to the peer and starts the linger of a finishing c.
func (c *Conn) shut() {
	l := c.loop
	if c.flags&writeShut == 0 {
		c.flags |= shutting
		if c.secure != nil {
			c.transmit(c.secure.records.AppendCloseNotify(nil))
		}
		c.flags |= writeShut
	}
	if c.left != nil {
		return // flush comes back
	}
	if c.flags&shutting != 0 {
		c.flags &^= shutting
		l.poller.CloseWrite(int(c.fd))
	}
	if c.flags&finishing == 0 {
		return
	}
	if c.flags&eof != 0 {
		l.drop(c)
		return
	}
	l.wheel.set(c, l.wheel.now+l.engine.lingerTicks+1)
	if c.flags&readable != 0 {
		_ = l.poller.Rearm(int(c.fd)) // discard from an event of its own
	}
}

// Close ends c at once; bytes that are queued are lost.
func (c *Conn) Close(reason metrics.CloseReason) {
	if c.flags&gone == 0 {
		c.setReason(reason)
		c.loop.drop(c)
	}
}

// Reset is Close, and the peer is to see that its stream is cut, not that it
// ended: for a stream whose end has a meaning.
func (c *Conn) Reset(r metrics.CloseReason) {
	c.flags |= reset
	c.Close(r)
}

func (c *Conn) setReason(r metrics.CloseReason) {
	if c.reason == metrics.CloseUnset {
		c.reason, c.endRole = r, c.role
	}
}

// Gone says whether c is closed or on its way there.
func (c *Conn) Gone() bool { return c.flags&(gone|finishing) != 0 }

// HungUp says whether the peer has ended its stream.
func (c *Conn) HungUp() bool { return c.flags&(peerHangup|eof) != 0 }

// Broke says whether the connection is lost, as far as the system has told. A
// connection that is not paused is closed then.
func (c *Conn) Broke() bool { return c.flags&broke != 0 }

// Migrate hands c to loop to and calls f there; on the same loop it calls f
// now. c's handler, deadline and bytes not yet read go along; c must not be
// spliced nor have bytes queued. If the engine stops in between, c is closed
// and f not called. Every Ref to c becomes stale.
func (c *Conn) Migrate(to *Loop, f func(c *Conn)) {
	from := c.loop
	if from == to {
		f(c)
		return
	}
	invariants.Check(c.mate == nil && c.left == nil, "migration of a busy connection")
	from.detach(c)
	held := c.secure.heldBytes()
	from.counters.AddLeftover(-held)
	to.Post(func(l *Loop) {
		l.counters.AddLeftover(held)
		if l.attach(c) {
			l.counters.Migrations.Add(1)
			f(c)
		}
	})
}

// broken says whether errno means that the connection is lost, not that the
// call should be repeated later.
func broken(errno syscall.Errno) bool {
	return errno != syscall.EAGAIN && errno != syscall.EINTR
}
