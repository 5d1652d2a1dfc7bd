package engine

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
)

// A TLS handshake cannot stop in the middle and go on later: crypto/tls makes
// every error of it final. So it has a goroutine, which is fed by the loop
// through a pipe and ends with the handshake. Peers that are slow or silent are
// to cost little: the goroutine begins when the ClientHello is whole, at most
// TLS.HandshakesMax have begun, and at most TLS.Workers of these compute; one
// that waits for its peer holds no worker, and is ended if others wait for its
// place.

// handshakeHeld bounds what a peer may send ahead of its handshake, in bytes,
// beyond the last read: more is left in the kernel. handshakeHello bounds its
// first message (crypto/tls takes no longer one); its records may add recordMax.
const (
	handshakeHeld  = 32 << 10
	handshakeHello = 64 << 10
)

var (
	errPeerGone  = errors.New("the connection ended")
	errAnswers   = errors.New("the peer asks for answers and does not read them")
	errHello     = errors.New("the first message is no ClientHello")
	errHelloSize = errors.New("the ClientHello is too large")
)

// handshake is the first handler of a connection on a port with TLS.
type handshake struct {
	tls      *TLS
	overload bool
	resumed  bool
	outcome  metrics.Handshake // for Closed to count
	hello    []byte            // what has come, until the handshake begins
	scan     helloScan         // of hello
	place    *list.Element     // in the queue; nil unless it waits there
	turn     *list.Element     // among those that have begun
	until    uint32            // tick of its deadline, while it waits in the queue
	pipe     *pipe             // once it has begun
	layer    recordLayer       // once it has ended well
}

func newHandshake(c *Conn, t *TLS, overload bool) Handler {
	t.init()
	c.SetDeadline(c.loop.engine.Ticks(t.HandshakeTimeout))
	if c.gen == 0 { // not attached yet
		c.role = metrics.RoleHandshake
	} else {
		c.SetRole(metrics.RoleHandshake)
	}
	return &handshake{tls: t, overload: overload, outcome: metrics.HandshakeFailed}
}

// Data collects the ClientHello, then feeds the goroutine.
func (h *handshake) Data(c *Conn, p []byte) {
	if h.pipe != nil {
		if h.pipe.feed(p) {
			c.Pause()
		}
		c.loop.poller.RunReady()
		return
	}
	if len(h.hello) == 0 && p[0] != recordHandshake {
		h.notTLS(c, p)
		return
	}
	h.hello = append(h.hello, p...)
	switch whole, err := h.scan.whole(h.hello); {
	case err != nil:
		const decodeError = 50
		c.Write(alert(decodeError), recordMax)
		h.fail(c, err)
	case whole:
		if h.place = h.tls.queue.enter(c.Ref()); h.place == nil {
			h.begin(c)
		} else {
			c.Pause() // it has nothing more to say before it is answered
			h.until = c.deadline
			c.SetDeadline(c.loop.engine.Ticks(placeMin))
		}
	}
}

// helloScan looks for the end of a ClientHello in what has come so far, each
// byte once: a peer that sends little at a time must not make much work.
type helloScan struct {
	at   int     // where the next record begins
	size int     // bytes of the message before that
	head [4]byte // the first of these: type and length
}

// whole says whether p, whole records and a rest, holds a ClientHello. p begins
// with what it was before.
func (s *helloScan) whole(p []byte) (bool, error) {
	for {
		n, ok := recordLen(p[s.at:])
		switch {
		case !ok || s.at < len(p) && p[s.at] != recordHandshake || n == recordHeader:
			return false, errHello // an empty record is none (RFC 8446, section 5.1)
		case s.at > handshakeHello+recordMax:
			return false, errHelloSize
		case n == 0 || n > len(p)-s.at:
			return false, nil
		}
		message := p[s.at+recordHeader : s.at+n]
		if s.size < len(s.head) {
			copy(s.head[s.size:], message)
		}
		s.size += len(message)
		s.at += n
		if s.size < len(s.head) {
			continue
		}
		const clientHello = 1
		size := int(s.head[1])<<16 + int(s.head[2])<<8 + int(s.head[3])
		switch {
		case s.head[0] != clientHello:
			return false, errHello
		case size > handshakeHello:
			return false, errHelloSize
		case s.size >= len(s.head)+size:
			return true, nil
		}
	}
}

// begin starts the goroutine of the handshake.
func (h *handshake) begin(c *Conn) {
	if h.place != nil {
		h.place = nil
		c.loop.wheel.set(c, h.until)
	}
	h.turn = h.tls.queue.begins(c.Ref())
	h.pipe = newPipe(c.Ref(), h.tls.queue, h.hello)
	h.hello = nil
	peer, pipe, turn := c.Peer(), h.pipe, h.turn
	c.loop.engine.running.Go(func() {
		records := &stdRecords{wire: wire{pipe: pipe, peer: peer}}
		layer, resumed, err := h.tls.shake(records)
		h.tls.queue.leave(turn)
		if err != nil && h.tls.Failed != nil && !pipe.ended() {
			h.tls.Failed(peer, err)
		}
		pipe.ref.Post(func(c *Conn) {
			if c != nil && c.handler == Handler(h) {
				h.end(c, layer, resumed, err)
			}
		})
	})
	c.loop.poller.RunReady()
	c.Resume()
}

// end takes the outcome of the handshake.
func (h *handshake) end(c *Conn, layer recordLayer, resumed bool, err error) {
	if err != nil {
		h.fail(c, err)
		return
	}
	h.layer, h.resumed = layer, resumed
	if c.left == nil {
		h.secured(c)
	}
}

// Drained: the last flight of the handshake is out.
func (h *handshake) Drained(c *Conn) {
	if h.layer != nil {
		h.secured(c)
	}
}

// secured gives c its record layer and the handler that it would have had at
// once without TLS, and to that what came behind the handshake.
func (h *handshake) secured(c *Conn) {
	l := c.loop
	end := metrics.HandshakeFull
	if h.resumed {
		end = metrics.HandshakeResumed
	}
	l.counters.Handshakes[end].Add(1)
	c.secure = &secure{records: h.layer}
	c.secure.hold(l, h.pipe.rest())
	c.SetRole(metrics.RoleHead)
	c.handler = l.engine.cfg.Accept(c, h.overload)
	c.flags &^= paused | eof // an end that was read is met again
	c.flags |= readable
	l.read(c)
}

// fail ends a handshake that cannot succeed; an alert has been written.
func (h *handshake) fail(c *Conn, err error) {
	if h.pipe == nil && h.tls.Failed != nil {
		h.tls.Failed(c.Peer(), err)
	}
	if c.flags&eof != 0 {
		c.Finish(metrics.ClosePeerEOF)
		return
	}
	c.Finish(metrics.CloseTLSFailed)
}

// Hangup: no handshake begins without its peer. One that has begun goes on with
// what came before the end, which may be all that it needs.
func (h *handshake) Hangup(c *Conn) {
	switch {
	case h.pipe == nil:
		c.Close(metrics.ClosePeerEOF)
	case c.flags&eof != 0: // else Resume brings what is left
		h.pipe.end()
	}
}

// Timeout: the handshake took too long; or it has waited for a place for a
// while, and asks for one that somebody holds idle.
func (h *handshake) Timeout(c *Conn) {
	if h.place != nil && c.loop.clock() < h.until {
		h.tls.queue.evict()
		c.SetDeadline(c.loop.engine.Ticks(placeMin))
		return
	}
	h.outcome = metrics.HandshakeTimeout
	c.Close(metrics.CloseTLSTimeout)
}

// Closed ends the goroutine, or takes the connection out of the queue.
func (h *handshake) Closed(c *Conn, _ metrics.CloseReason) {
	c.loop.counters.Handshakes[h.outcome].Add(1)
	if h.pipe != nil {
		h.pipe.fail(errPeerGone)
	}
	h.tls.queue.remove(h.place)
}

// placeMin is how long a handshake keeps its place although others wait for it.
// A peer at the other end of the world answers within a few tenths of this.
const placeMin = time.Second

// handshakes is the queue of a port's handshakes. Its methods may be called
// from any goroutine.
type handshakes struct {
	workers chan struct{} // holds a token for each handshake that computes

	// Guarded by mu.
	mu      sync.Mutex
	room    int
	waiting list.List // of Ref
	begun   list.List // of turn, in order; without those that were told to end
}

// turn is a handshake that has begun.
type turn struct {
	ref   Ref
	since time.Time
}

func newHandshakes(most, workers int) *handshakes {
	return &handshakes{room: most, workers: make(chan struct{}, workers)}
}

// enter takes a place among the handshakes that have begun, and returns nil, or
// one in the queue.
func (q *handshakes) enter(ref Ref) *list.Element {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.room == 0 {
		return q.waiting.PushBack(ref)
	}
	q.room--
	return nil
}

// begins notes that a handshake makes use of its place.
func (q *handshakes) begins(ref Ref) *list.Element {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.begun.PushBack(turn{ref, time.Now()})
}

// evict ends the handshake that has begun first, unless that was just now:
// somebody waits, and whoever takes this long may have stopped for good.
func (q *handshakes) evict() {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.begun.Front()
	if first == nil || time.Since(first.Value.(turn).since) < placeMin {
		return
	}
	q.begun.Remove(first).(turn).ref.Post(func(c *Conn) {
		if c != nil {
			if h, ok := c.handler.(*handshake); ok {
				h.Timeout(c)
			}
		}
	})
}

// leave gives the place of a handshake to the one that has waited longest.
// ended is its turn, nil if it has had none.
func (q *handshakes) leave(ended *list.Element) {
	q.mu.Lock()
	if ended != nil {
		q.begun.Remove(ended)
	}
	first := q.waiting.Front()
	if first == nil {
		q.room++
		q.mu.Unlock()
		return
	}
	ref := q.waiting.Remove(first).(Ref)
	q.mu.Unlock()
	ref.Post(func(c *Conn) {
		if c != nil && !c.Gone() {
			if h, ok := c.handler.(*handshake); ok {
				h.begin(c)
				return
			}
		}
		q.leave(nil)
	})
}

// remove takes a connection out of the queue, if it is there.
func (q *handshakes) remove(place *list.Element) {
	if place != nil {
		q.mu.Lock()
		q.waiting.Remove(place)
		q.mu.Unlock()
	}
}

func (q *handshakes) work() { q.workers <- struct{}{} }
func (q *handshakes) rest() { <-q.workers }
