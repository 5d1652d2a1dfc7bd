package gateway

import (
	"context"
	"log/slog"
	"slices"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/rendezvous"
	"github.com/relayhouse/relayhouse/wsframe"
)

// rendezvous takes a listener's rendezvous connection. The address is the
// credential: it holds the id under which a sender or a request waits, and is
// good for one handshake (docs/protocol.md, sections 3.2 and 5.2).
func (g *Gateway) rendezvous(c *engine.Conn, r *request, rest []byte) {
	id, ok := rendezvous.ParseID(r.target.Rendezvous)
	if !ok {
		g.refuse(c, r, hyco.RefusalUnknownRendezvous)
		return
	}
	// An action that is not for who waits does not use the address up.
	w, _ := g.table.Find(id, r.now)
	if w == nil && g.back(c, r, rest) {
		return
	}
	s, accepts := w.(*sender)
	h, requests := w.(*httpRequest)
	if accepts && r.target.Action != hyco.ActionAccept ||
		requests && r.target.Action != hyco.ActionRequest {
		g.refuse(c, r, hyco.RefusalUnknownRendezvous)
		return
	}
	if _, err := g.table.Claim(id, r.now); err != nil {
		g.refuse(c, r, hyco.RefusalUnknownRendezvous)
		return
	}
	if requests {
		g.joinRequest(c, r, h, rest)
		return
	}
	g.accept(c, r, s, rest)
}

// accept joins a listener's rendezvous connection with a sender, or passes its
// rejection on.
func (g *Gateway) accept(c *engine.Conn, r *request, s *sender, rest []byte) {
	rejection := r.target.Rejection
	if rejection != nil && rejection.Unprefixed && !g.cfg.UnprefixedReject {
		rejection = nil
	}
	if rejection != nil {
		g.reject(s, rejection)
		g.refuse(c, r, hyco.RefusalRejectionRecorded)
		return
	}
	leg := &leg{
		g: g, sender: s, request: r,
		protocol: firstOf(r.protocols()), rest: slices.Clone(rest),
	}
	c.SetHandler(leg)
	c.SetRole(metrics.RoleRendezvous)
	c.Migrate(s.ref.Loop(), leg.join)
}

// reject passes a listener's word on to the sender: its status and its text as
// the reason phrase, no body (docs/protocol.md, section 3.4).
func (g *Gateway) reject(s *sender, rejection *hyco.Rejection) {
	status, phrase := rejection.Answer()
	s.ref.Post(func(c *engine.Conn) {
		if c == nil || c.Handler() != engine.Handler(s) {
			return
		}
		s.settle()
		c.SetDeadline(0)
		g.cfg.Counters.SenderConnect(status)
		g.cfg.Log.Info("sender rejected", slog.String("event", "ListenerRejectedConnection"),
			slog.String("entity", s.entity.Key()), slog.Int("status", status),
			slog.String("trackingId", s.id))
		fields := []httphead.Field{{Name: hyco.HeaderTrackingID, Value: s.id}}
		c.SetHandler(&ended{
			g: g, role: metrics.RoleSender, id: s.id, entity: s.entity.Key(), since: s.since,
			peer: s.peer,
		})
		c.Write(httphead.AppendResponse(nil, status, phrase, fields, "", false), responseMax)
		c.Finish(metrics.CloseRejected)
	})
}

// leg is the handler of a rendezvous connection on its way to its sender.
type leg struct {
	noEvents
	g        *Gateway
	sender   *sender // nil once joined
	request  *request
	protocol string
	rest     []byte
}

// join runs on the sender's loop: it answers both handshakes, the listener's
// first, and splices (docs/protocol.md, section 3.3).
func (l *leg) join(c *engine.Conn) {
	s, g := l.sender, l.g
	sc := s.ref.Get()
	if sc == nil || sc.Gone() || sc.HungUp() {
		if sc != nil && !sc.Gone() {
			sc.Close(metrics.CloseSenderLost)
		}
		g.refuse(c, l.request, hyco.RefusalUnknownRendezvous)
		return
	}
	g.cfg.Counters.Rendezvous(g.cfg.Now().Sub(s.since))
	g.cfg.Counters.SenderConnect(101)
	c.Write(wsframe.AppendSwitching(c.Loop().Scratch(), l.request.key, l.protocol, s.id), responseMax)
	protocol := l.protocol
	if !s.offered(protocol) {
		protocol = ""
	}
	sc.Write(wsframe.AppendSwitching(c.Loop().Scratch(), s.key, protocol, s.id), responseMax)
	if g.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		g.cfg.Log.Debug("relayed connection established",
			slog.String("event", "SenderListenerConnectionEstablished"),
			slog.String("entity", s.entity.Key()), slog.String("trackingId", s.id))
	}

	rest := s.rest
	s.settle()
	r := newRelay(s)
	sc.SetHandler((*senderEnd)(r))
	sc.SetRole(metrics.RoleRelayedSender)
	c.SetHandler((*listenerEnd)(r))
	c.SetRole(metrics.RoleRelayedListener)
	engine.Splice(sc, c, rest, l.rest)
}

// Hangup, on the way: join will find out, or Closed.
func (l *leg) Hangup(c *engine.Conn) { c.Close(metrics.ClosePeerEOF) }

// Closed on the way to the sender leaves it without its rendezvous connection.
func (l *leg) Closed(c *engine.Conn, reason metrics.CloseReason) {
	s := l.sender
	s.ref.Post(func(sc *engine.Conn) {
		if sc != nil && sc.Handler() == engine.Handler(s) {
			s.refuse(sc, hyco.RefusalListenerLost)
		}
	})
	l.g.closed(c, c.Peer(), metrics.RoleRendezvous, reason, s.entity.Key(), s.id, l.request.now, "")
}
