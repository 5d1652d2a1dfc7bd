package gateway

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/httprelay"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
)

// A restart has two processes of one gateway for a while (docs/adr/0016). What
// is new belongs to the younger one; the older one, its predecessor, keeps what
// it has until it ends. So each connection that arrives at the wrong one moves:
//
//	rendezvous addresses that are unknown here:     to the predecessor
//	all other requests, once there is a successor:  to the successor
//
// Rendezvous connections go back only and all others forward only, so that none
// can go round. A sender whose listeners are still with the predecessor, or on
// their way from there, is held until one of them registers here.

// Process is the other process of a restart. Its methods may be called from any
// goroutine and do not wait.
type Process interface {
	// Hand passes a client's connection on. The process owns fd, also where it
	// reports false, because it cannot be reached.
	Hand(fd int, h Handed) bool
	// Retire asks a predecessor to send the listeners of an entity away.
	Retire(entity string)
	// Retired and Absent tell a successor that this has been done, or that
	// there are none.
	Retired(entity string)
	Absent(entity string)
}

// Handed is what goes along with a connection.
type Handed struct {
	Peer   netip.AddrPort
	Secure bool   // the client came over TLS, wherever that ends
	Bytes  []byte // what has been read and belongs to its next request
}

// handedMax bounds the connections whose bytes this process passes on to
// another one. Beyond it they are refused with 503. Each is one that was under
// way while the processes changed places, so there are few.
const handedMax = 4096

// handover is what a gateway knows of the processes before and behind it.
type handover struct {
	predecessor atomic.Pointer[Process]
	successor   atomic.Pointer[Process]
	handed      atomic.Int64 // spliced to another process, see handedMax

	mu sync.Mutex
	// Guarded by mu.
	//
	// away has the entities whose listeners are with the predecessor (the zero
	// time) or on their way here (until when they are waited for). At most as
	// many as the predecessor had.
	away map[string]time.Time
	// asked has those of away that the predecessor was asked about.
	asked map[string]bool
	// held has who waits for a listener, by entity. They count towards
	// Config.PendingMax.
	held map[string]map[heldWaiter]struct{}
	// retired has the entities whose listeners this process has sent away.
	retired map[string]bool
}

// heldWaiter is a sender, or an HTTP request, that waits for listeners of its entity
// to come over. Both methods may be called from any goroutine.
type heldWaiter interface {
	// arrived says that a listener has come.
	arrived()
	// absent says that none will.
	absent()
}

// SetPredecessor says where the listeners of entities are: with p. Before the
// engine accepts.
func (g *Gateway) SetPredecessor(p Process, entities []string) {
	h := &g.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = make(map[string]time.Time, len(entities))
	h.asked = map[string]bool{}
	for _, key := range entities {
		h.away[key] = time.Time{}
	}
	h.predecessor.Store(&p)
}

// PredecessorGone says that the predecessor has ended: no rendezvous address is
// its own any more, and its listeners are on their way.
func (g *Gateway) PredecessorGone() {
	h := &g.handover
	h.predecessor.Store(nil)
	until := g.cfg.Now().Add(g.cfg.RestartHold)
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, since := range h.away {
		if since.IsZero() {
			h.away[key] = until
		}
	}
}

// ListenersRetired says that the predecessor has sent the listeners of an entity
// away.
func (g *Gateway) ListenersRetired(entity string) {
	h := &g.handover
	h.mu.Lock()
	if _, known := h.away[entity]; known {
		h.away[entity] = g.cfg.Now().Add(g.cfg.RestartHold)
	}
	h.mu.Unlock()
	if next := h.successor.Load(); next != nil {
		(*next).Retired(entity)
	}
}

// ListenersAbsent says that the predecessor has no listener of an entity.
func (g *Gateway) ListenersAbsent(entity string) {
	h := &g.handover
	h.mu.Lock()
	delete(h.away, entity)
	waiting := h.held[entity]
	delete(h.held, entity)
	retired := h.retired[entity]
	h.mu.Unlock()
	for w := range waiting {
		w.absent()
	}
	if next := h.successor.Load(); next != nil && !retired {
		(*next).Absent(entity)
	}
}

// RetireEntity sends the listeners of an entity to the successor, or finds out
// that there are none, here and with the predecessor.
func (g *Gateway) RetireEntity(entity string) {
	h := &g.handover
	found := false
	g.table.Each(entity, func(_ string, l *listener) {
		found = true
		l.retireLater()
	})
	h.mu.Lock()
	known := h.retired[entity]
	if found {
		h.retired[entity] = true
	}
	since, away := h.away[entity]
	h.mu.Unlock()
	next, last := h.successor.Load(), h.predecessor.Load()
	switch {
	case next == nil:
	case found:
		(*next).Retired(entity)
	case known:
	case away && since.IsZero() && last != nil:
		(*last).Retire(entity)
	case away && g.cfg.Now().Before(since):
		(*next).Retired(entity)
	default:
		(*next).Absent(entity)
	}
}

func (l *listener) retireLater() {
	l.ref.Post(func(c *engine.Conn) {
		if c != nil {
			l.retire()
		}
	})
}

// SetSuccessor makes p take what is new from now on. What is under way on other
// loops ends with the next task that all loops run.
func (g *Gateway) SetSuccessor(p Process) {
	h := &g.handover
	h.mu.Lock()
	h.retired = map[string]bool{}
	h.mu.Unlock()
	h.successor.Store(&p)
}

// DropSuccessor undoes SetSuccessor, if that process did not get as far as to
// accept.
func (g *Gateway) DropSuccessor() { g.handover.successor.Store(nil) }

// Away are the entities whose listeners a successor may expect.
func (g *Gateway) Away() []string {
	h := &g.handover
	keys := map[string]bool{}
	g.table.Range(g.table.ListenersAll()+1, func(entity, _ string, _ *listener) {
		keys[entity] = true
	})
	now := g.cfg.Now()
	h.mu.Lock()
	for key, until := range h.away {
		if until.IsZero() || now.Before(until) {
			keys[key] = true
		}
	}
	h.mu.Unlock()
	all := make([]string, 0, len(keys))
	for key := range keys {
		all = append(all, key)
	}
	return all
}

// HandOver moves to the successor what is in this process's keeping, but has no
// listener: connections without a request, and senders that are held.
func (g *Gateway) HandOver(e *engine.Engine) {
	eachHandler(e, func(c *engine.Conn, _ *headHandler) { g.forward(c, nil) })
	eachHandler(e, func(c *engine.Conn, _ *idle) { g.forward(c, nil) })
	eachHandler(e, func(c *engine.Conn, s *sender) {
		if s.held {
			s.forward(c)
		}
	})
	eachHandler(e, func(_ *engine.Conn, x *httprelay.Exchange) {
		if h, ok := x.Gateway().(*httpRequest); ok && h.held {
			h.forward()
		}
	})
}

// HandedOn is the number of connections whose bytes pass to another process.
func (g *Gateway) HandedOn() int { return int(g.handover.handed.Load()) }

// forward passes c on to the successor, if there is one, with what was read of
// it.
func (g *Gateway) forward(c *engine.Conn, read []byte) bool {
	next := g.handover.successor.Load()
	return next != nil && g.hand(*next, c, read)
}

// back passes a rendezvous connection on to the predecessor, if there is one.
func (g *Gateway) back(c *engine.Conn, r *request, rest []byte) bool {
	last := g.handover.predecessor.Load()
	return last != nil && g.hand(*last, c, append(httphead.Append(nil, &r.head), rest...))
}

// hand passes c on. read is copied. False means that c is still here.
func (g *Gateway) hand(p Process, c *engine.Conn, read []byte) bool {
	if c.Gone() || c.Queued() > 0 {
		return false
	}
	h := Handed{Peer: c.Peer(), Secure: c.Secure(), Bytes: append([]byte(nil), read...)}
	if g.endsTLS(c) {
		return g.handBytes(p, c, h)
	}
	g.cfg.Counters.HandedOn.Add(1)
	p.Hand(c.Release(), h)
	return true
}

// endsTLS says whether the descriptor of c is not all there is of it, because
// this process ends its TLS.
func (g *Gateway) endsTLS(c *engine.Conn) bool {
	if g.cfg.EndsTLS != nil {
		return g.cfg.EndsTLS(c)
	}
	return c.EndsTLS()
}

// handBytes keeps c and passes its bytes to the other process and back.
func (g *Gateway) handBytes(p Process, c *engine.Conn, h Handed) bool {
	if g.handover.handed.Add(1) > handedMax {
		g.handover.handed.Add(-1)
		return false
	}
	const kind = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err != nil {
		g.handover.handed.Add(-1)
		return false
	}
	g.cfg.Counters.HandedOn.Add(1)
	end := &handedEnd{g: g, since: g.cfg.Now(), counts: true}
	c.SetHandler(end)
	c.SetRole(metrics.RoleHandedOn)
	c.SetDeadline(0)
	c.Pause()
	p.Hand(fds[1], h)
	ref := c.Ref()
	c.Loop().Post(func(l *engine.Loop) { // connections are attached from tasks only
		c := ref.Get()
		if c == nil || c.Gone() {
			_ = unix.Close(fds[0])
			return
		}
		mate := l.Attach(fds[0], h.Peer)
		if mate == nil {
			c.Close(metrics.CloseInternal)
			return
		}
		mate.SetHandler(&handedEnd{g: g, since: end.since})
		mate.SetRole(metrics.RoleHandedOn)
		engine.SpliceRaw(c, mate, nil, nil)
	})
	return true
}

// handedEnd is the handler of both ends of a connection whose bytes pass to
// another process.
type handedEnd struct {
	noEvents
	g      *Gateway
	since  time.Time
	counts bool // the client's end
}

// Hangup, before the splice.
func (e *handedEnd) Hangup(c *engine.Conn) { c.Close(metrics.ClosePeerEOF) }

func (e *handedEnd) Closed(c *engine.Conn, reason metrics.CloseReason) {
	if e.counts {
		e.g.handover.handed.Add(-1)
		e.g.closed(c, c.Peer(), metrics.RoleHandedOn, reason, "", "", e.since, "")
	}
}

// Arrive takes a connection that another process has handed on. Its request is
// served as if it had come here.
func (g *Gateway) Arrive(e *engine.Engine, fd int, h Handed) {
	g.cfg.Counters.HandedHere.Add(1)
	e.Adopt(fd, h.Peer, func(c *engine.Conn, overloaded bool) {
		if h.Secure {
			c.SetSecure()
		}
		c.SetHandler(g.Accept(c, overloaded))
		if len(h.Bytes) > 0 {
			c.Handler().Data(c, h.Bytes)
		}
	})
}

// hold keeps w until a listener of the entity comes over; false if none is
// expected.
func (g *Gateway) hold(entity string, w heldWaiter) bool {
	ask, ok := g.holdQuietly(entity, w)
	if ask != nil {
		(*ask).Retire(entity)
	}
	return ok
}

// holdQuietly is hold; ask is the predecessor if it must be told.
func (g *Gateway) holdQuietly(entity string, w heldWaiter) (ask *Process, ok bool) {
	h := &g.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	until, away := h.away[entity]
	if away && !until.IsZero() && !g.cfg.Now().Before(until) {
		delete(h.away, entity)
		away = false
	}
	if !away || g.cfg.RestartHold == 0 {
		return nil, false
	}
	last := h.predecessor.Load()
	if until.IsZero() && last != nil && !h.asked[entity] {
		h.asked[entity] = true
		ask = last
	}
	if h.held == nil {
		h.held = map[string]map[heldWaiter]struct{}{}
	}
	if h.held[entity] == nil {
		h.held[entity] = map[heldWaiter]struct{}{}
	}
	h.held[entity][w] = struct{}{}
	return ask, true
}

// unhold undoes hold.
func (g *Gateway) unhold(entity string, w heldWaiter) {
	h := &g.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	if all := h.held[entity]; all != nil {
		delete(all, w)
		if len(all) == 0 {
			delete(h.held, entity)
		}
	}
}

// arrived wakes those who wait for a listener of the entity.
func (g *Gateway) arrived(entity string) {
	h := &g.handover
	h.mu.Lock()
	waiting := h.held[entity]
	delete(h.held, entity)
	h.mu.Unlock()
	for w := range waiting {
		w.arrived()
	}
}

// chooseOrHold chooses a listener, or holds w where one is expected.
func (g *Gateway) chooseOrHold(entity *namespace.Entity, w heldWaiter,
	choose func() (*listener, *hyco.Refusal)) (l *listener, refusal *hyco.Refusal, holds bool) {
	if l, refusal = choose(); refusal == nil || !g.hold(entity.Key(), w) {
		return l, refusal, false
	}
	if l, refusal = choose(); refusal == nil { // it came in between
		g.unhold(entity.Key(), w)
		return l, nil, false
	}
	return nil, refusal, true
}

// expects says whether a listener of the entity may come over.
func (g *Gateway) expects(entity string) bool {
	h := &g.handover
	h.mu.Lock()
	defer h.mu.Unlock()
	until, away := h.away[entity]
	return away && g.cfg.RestartHold > 0 && (until.IsZero() || g.cfg.Now().Before(until))
}
