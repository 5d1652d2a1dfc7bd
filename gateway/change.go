package gateway

import (
	"sync/atomic"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/sas"
)

// body is the framing of a request's body.
type body struct {
	kind      httphead.BodyKind
	length    int64
	continues bool // its sender waits to be told to send it
}

// change is the handler of a connection during a management call that makes,
// changes or removes an entity. Its states are in docs/relay-states.md.
type change struct {
	// Fixed after Gateway.change.
	g       *Gateway
	ref     engine.Ref
	request *request
	token   string
	room    int64 // taken from Gateway.bodies for text

	// Owned by the loop.
	phase   changePhase
	chunks  httphead.Chunks
	kind    httphead.BodyKind
	left    int64 // of a body with a length
	whole   bool
	rest    []byte // read behind the call; nil if that is lost
	charged int64  // taken from Gateway.heads for the head and rest

	// Owned by the loop while it is collecting, then by run.
	text  []byte
	actor string // the rule that signed the token

	begun atomic.Int32 // a changeState
}

// changePhase is where the loop is with a change.
type changePhase uint8

const (
	changeCollecting changePhase = iota // reads the body; it holds room
	changeWaiting                       // for run, which holds room unless it is withdrawn
	changeOver
)

// The states of a change that is waiting. Who leaves the first one owns what
// run would.
const (
	changeQueued int32 = iota
	changeBegun
	changeWithdrawn
)

// change takes a PUT or a DELETE. Nothing is read of its body before its token
// is known to be good.
func (g *Gateway) change(c *engine.Conn, r *request, b body, rest []byte) {
	token, _ := r.httpToken(nil)
	grant, err := r.authorizeToken(entityOf(r.ns, r.target.Path), token, sas.Manage)
	refusal := asRefusal(err)
	match := r.head.Count("If-Match")
	switch {
	case err != nil && refusal.Code != hyco.RefusalNoSuchEntity.Code:
	case g.cfg.Entities == nil:
		refusal = hyco.RefusalReadOnly
	case g.draining.Load():
		refusal = hyco.RefusalDraining
	case match > 1 || match == 1 && r.head.Get("If-Match") != "*":
		refusal = hyco.RefusalPrecondition
	case b.length > hyco.EntryMax:
		refusal = hyco.RefusalBodyTooLarge
	default:
		refusal = nil
	}
	if refusal != nil {
		g.refuseHTTP(c, r, refusal, r.behind(b.kind, b.length, rest))
		return
	}
	m := &change{
		g: g, ref: c.Ref(), request: r, token: token, room: b.length, kind: b.kind, left: b.length,
		whole: b.kind == httphead.BodyNone, charged: int64(r.size), actor: grant.Rule,
	}
	if b.kind == httphead.BodyChunked {
		m.room = hyco.EntryMax
	}
	if !g.takeChange(m) {
		g.refuseHTTP(c, r, hyco.RefusalOverloaded.Because("too many requests are waiting"),
			r.behind(b.kind, b.length, rest))
		return
	}
	c.SetHandler(m)
	c.SetRole(metrics.RoleHTTPSender)
	c.SetDeadline(g.ticks(c, g.cfg.HeadTimeout))
	if b.continues && !m.whole && len(rest) == 0 {
		c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), responseMax)
	}
	m.Data(c, rest)
}

// takeChange takes the memory of a change; false if there is none.
func (g *Gateway) takeChange(m *change) bool {
	if !g.heads.Take(m.charged) {
		g.cfg.Counters.Throttled("head_memory")
		return false
	}
	if !g.bodies.Take(m.room) {
		g.heads.Give(m.charged)
		g.cfg.Counters.Throttled("body_memory")
		return false
	}
	return true
}

// Data collects the body. All of it must come within Config.HeadTimeout.
func (m *change) Data(c *engine.Conn, p []byte) {
	for !m.whole {
		if len(p) == 0 {
			return
		}
		n, data, err := m.next(p)
		switch {
		case err != nil:
			m.fail(c, hyco.RefusalBadFraming.Because(err.Error()))
			return
		case len(m.text)+len(data) > hyco.EntryMax:
			m.fail(c, hyco.RefusalBodyTooLarge)
			return
		}
		m.text = append(m.text, data...)
		p = p[n:]
	}
	m.submit(c, p)
}

// next takes bytes of the body off p, see httphead.Chunks.Next.
func (m *change) next(p []byte) (n int, data []byte, err error) {
	if m.kind == httphead.BodyChunked {
		n, data, m.whole, err = m.chunks.Next(p)
		return n, data, err
	}
	n = int(min(int64(len(p)), m.left))
	m.left -= int64(n)
	m.whole = m.left == 0
	return n, p[:n], nil
}

// submit has the change made. p is what was read behind it.
func (m *change) submit(c *engine.Conn, p []byte) {
	g := m.g
	c.Pause()
	m.phase = changeWaiting
	if g.heads.Take(int64(len(p))) {
		m.charged += int64(len(p))
		m.rest = append([]byte{}, p...)
	} else {
		g.cfg.Counters.Throttled("head_memory")
	}
	if !g.changes.enter() {
		g.cfg.Counters.Throttled("changes")
		m.withdraw(c, hyco.RefusalOverloaded.Because("too many changes are waiting"))
		return
	}
	c.SetDeadline(g.ticks(c, g.cfg.HTTP.ResponseTimeout))
	go m.run()
}

// fail refuses a change whose body is not whole, which ends the connection.
func (m *change) fail(c *engine.Conn, refusal *hyco.Refusal) {
	m.g.bodies.Give(m.room)
	m.settle(c)
	m.g.refuse(c, m.request, refusal)
}

// withdraw answers a change that waits. It is not made if that has not begun.
func (m *change) withdraw(c *engine.Conn, refusal *hyco.Refusal) {
	if m.begun.CompareAndSwap(changeQueued, changeWithdrawn) {
		m.g.bodies.Give(m.room)
	} else {
		refusal = refusal.Because("the change may still be made")
	}
	m.settle(c)
	m.g.refuseHTTP(c, m.request, refusal, m.rest)
}

// settle lets go of what the loop holds.
func (m *change) settle(c *engine.Conn) {
	m.phase = changeOver
	m.g.heads.Give(m.charged)
	c.SetDeadline(0)
}

// answer ends the call with what has become of it.
func (m *change) answer(c *engine.Conn, o outcome) {
	m.settle(c)
	g, r := m.g, m.request
	switch {
	case o.refusal != nil:
		g.refuseHTTP(c, r, o.refusal, m.rest)
	case o.after == nil:
		g.document(c, r, o.status, "", nil, m.rest)
	default:
		e := g.entry(r, o.after, true)
		g.document(c, r, o.status, hyco.AtomEntryType, hyco.AppendEntry(nil, &e), m.rest)
	}
}

// cancel answers a change at the end of a drain.
func (m *change) cancel(c *engine.Conn) {
	if m.phase == changeCollecting {
		m.fail(c, hyco.RefusalDraining)
		return
	}
	m.withdraw(c, hyco.RefusalDraining)
}

// Timeout: the body is too slow, or the change.
func (m *change) Timeout(c *engine.Conn) {
	if m.phase == changeCollecting {
		m.fail(c, hyco.RefusalBodyTimeout)
		return
	}
	m.withdraw(c, hyco.RefusalStoreUnavailable)
}

// Hangup: a client that has only ended its own stream waits for its answer.
func (m *change) Hangup(c *engine.Conn) {
	if m.phase == changeCollecting || c.Broke() {
		c.Close(metrics.CloseSenderLost)
	}
}

// Drained does not matter: at most a 100 has been written.
func (m *change) Drained(*engine.Conn) {}

// Closed: a change that waits is made all the same, as it was asked for whole.
func (m *change) Closed(c *engine.Conn, reason metrics.CloseReason) {
	if m.phase == changeCollecting {
		m.g.bodies.Give(m.room)
	}
	m.phase = changeOver
	m.g.heads.Give(m.charged)
	r := m.request
	m.g.closed(c, r.source.addr, metrics.RoleHTTPSender, reason, "", r.id, r.now, "")
}
