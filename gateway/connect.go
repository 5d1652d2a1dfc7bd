package gateway

import (
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/rendezvous"
	"github.com/relayhouse/relayhouse/sas"
	"github.com/relayhouse/relayhouse/wsframe"
)

// lostGrace is how long a sender goes on waiting when the control channel of
// its listener has ended: the rendezvous connection may be on its way
// (docs/protocol.md, section 2.8).
const lostGrace = 5 * time.Second

// sender is the handler of a sender that waits: a pending rendezvous.
type sender struct {
	// Fixed after connect. Read from any loop.
	g         *Gateway
	ref       engine.Ref
	peer      netip.AddrPort
	entity    *namespace.Entity
	id        string // tracking id
	key       string // Sec-WebSocket-Key
	protocols []string
	since     time.Time

	// Owned by the loop.
	request  *request // for the messages to listeners
	rest     []byte   // what came behind the head
	charged  int64    // bytes taken from Gateway.heads
	pending  rendezvous.ID
	tried    []*listener // listeners that did not take the message
	chosen   *listener
	orphan   bool // chosen has gone
	resolved bool

	held      bool          // until a listener comes over, see handover.go
	heldSince time.Time     // the first time
	window    time.Time     // when the rendezvous window began
	refusal   *hyco.Refusal // if none comes
}

// connect authorizes a sender, reserves its rendezvous and has a listener told.
func (g *Gateway) connect(c *engine.Conn, r *request, rest []byte) {
	entity, _ := r.ns.Find(r.target.Path)
	_, err := r.authorize(entity, sas.Send)
	if err != nil {
		g.refuse(c, r, asRefusal(err))
		return
	}
	if g.draining.Load() {
		g.refuse(c, r, hyco.RefusalDraining)
		return
	}
	s := &sender{
		g: g, ref: c.Ref(), peer: c.Peer(), entity: entity, id: r.id, key: strings.Clone(r.key),
		protocols: r.protocols(), since: r.now, window: r.now,
		request: r, charged: int64(r.size + len(rest)),
	}
	if !g.heads.Take(s.charged) {
		g.cfg.Counters.Throttled("head_memory")
		g.refuse(c, r, hyco.RefusalOverloaded.Because("too many requests are waiting"))
		return
	}
	if s.pending, err = g.table.Reserve(s, r.now); err != nil {
		g.heads.Give(s.charged)
		g.cfg.Counters.Throttled("pending_max")
		g.refuse(c, r, hyco.RefusalOverloaded.Because("too many requests are waiting"))
		return
	}
	s.rest = slices.Clone(rest)
	c.SetHandler(s)
	c.SetRole(metrics.RoleSender)
	c.Pause()
	c.SetDeadline(g.ticks(c, g.cfg.RendezvousWindow))
	if c.HungUp() {
		s.Hangup(c)
		return
	}
	s.announce(c)
}

// announce sends the accept message to a listener that has not been tried.
// Once a listener's socket has taken it, nobody else is asked.
func (s *sender) announce(c *engine.Conn) {
	l, refusal, holds := s.g.chooseOrHold(s.entity, s, func() (*listener, *hyco.Refusal) {
		return s.g.pick(s.entity, &s.request.head, s.tried)
	})
	switch {
	case holds:
		s.hold(c, refusal)
		return
	case refusal != nil && s.g.handover.successor.Load() != nil:
		s.forward(c)
		return
	case refusal != nil:
		s.fail(c, refusal)
		return
	}
	message, err := s.message(l, c)
	if err != nil {
		s.fail(c, asRefusal(err))
		return
	}
	s.chosen = l
	l.waiting.Add(1)
	l.offer(c, s, func() bool { return l.deliver(message) }, func(c *engine.Conn) {
		s.undelivered(c, l)
	})
}

// undelivered goes on to another listener.
func (s *sender) undelivered(c *engine.Conn, l *listener) {
	l.waiting.Add(-1)
	s.chosen = nil
	s.tried = append(s.tried, l)
	s.announce(c)
}

// message is the accept message for one listener, as a WebSocket frame: in the
// loop's scratch buffer, unless the listener lives on another loop.
func (s *sender) message(l *listener, c *engine.Conn) ([]byte, error) {
	r := s.request
	buf := c.Loop().Scratch()
	address := string(hyco.AppendAcceptAddress(buf, l.base, r.target, s.pending.String(), s.id))
	body, err := hyco.AppendAccept(buf, address, s.id, r.head.Fields, c.Peer())
	if err != nil {
		return nil, err
	}
	frame := wsframe.AppendFrame(body, wsframe.OpText, body)[len(body):]
	if l.ref.Loop() != c.Loop() {
		frame = slices.Clone(frame)
	}
	return frame, nil
}

func (s *sender) status() PendingStatus {
	return PendingStatus{Entity: s.entity.Key(), TrackingID: s.id, Peer: s.peer}
}

// fail answers the sender with a refusal, unless a rendezvous connection has
// claimed it already: then that one settles it.
func (s *sender) fail(c *engine.Conn, refusal *hyco.Refusal) {
	if _, mine := s.g.table.Drop(s.pending); mine {
		s.refuse(c, refusal)
	}
}

// refuse answers a sender that has been taken out of the table.
func (s *sender) refuse(c *engine.Conn, refusal *hyco.Refusal) {
	r := s.request
	s.settle()
	c.SetDeadline(0)
	s.g.refuse(c, r, refusal)
}

// settle ends the wait: what it holds is let go.
func (s *sender) settle() {
	if s.resolved {
		return
	}
	s.resolved = true
	if s.held {
		s.held = false
		s.g.unhold(s.entity.Key(), s)
	}
	s.g.heads.Give(s.charged)
	s.request = nil
	if s.chosen != nil {
		s.chosen.waiting.Add(-1)
		s.chosen = nil
	}
}

// Data does not come: the connection is paused.
func (s *sender) Data(*engine.Conn, []byte) {}

// Drained does not come: nothing is written while it waits.
func (s *sender) Drained(*engine.Conn) {}

// Hangup: the sender does not wait any longer. Its address dies with it.
func (s *sender) Hangup(c *engine.Conn) {
	if _, mine := s.g.table.Drop(s.pending); mine {
		s.settle()
		c.Close(metrics.CloseSenderLost)
	}
}

// Timeout: nobody accepted within the window, or within the grace after the
// listener was lost.
func (s *sender) Timeout(c *engine.Conn) {
	if s.held {
		s.fail(c, s.refusal)
		return
	}
	if s.orphan {
		s.fail(c, hyco.RefusalListenerLost)
		return
	}
	s.g.cfg.Counters.AcceptTimeouts.Add(1)
	s.g.cfg.Log.Info("accept timed out", slog.String("event", "ListenerAcceptingConnectionTimeout"),
		slog.String("entity", s.entity.Key()), slog.String("trackingId", s.id))
	s.fail(c, hyco.RefusalAcceptTimeout)
}

// Closed: the connection ended while it waited.
func (s *sender) Closed(c *engine.Conn, reason metrics.CloseReason) {
	s.g.table.Drop(s.pending)
	s.settle()
	s.g.closed(c, s.peer, metrics.RoleSender, reason, s.entity.Key(), s.id, s.since, "")
}

// listenerLost hastens the senders that were announced to l and still wait.
func (g *Gateway) listenerLost(l *listener) {
	for _, loop := range l.ref.Loop().Engine().Loops() {
		loop.Post(func(loop *engine.Loop) {
			loop.Each(math.MaxInt, func(c *engine.Conn) {
				s, ok := c.Handler().(*sender)
				if ok && s.chosen == l && !s.resolved {
					s.orphan = true
					left := s.window.Add(g.cfg.RendezvousWindow).Sub(g.cfg.Now())
					c.SetDeadline(max(1, g.ticks(c, min(lostGrace, max(left, 0)))))
				}
			})
		})
	}
}

// offered says whether the sender offered a subprotocol, in any letter case.
func (s *sender) offered(protocol string) bool {
	return slices.ContainsFunc(s.protocols, func(p string) bool {
		return strings.EqualFold(p, protocol)
	})
}
