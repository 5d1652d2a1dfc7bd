package gateway

import (
	"log/slog"
	"math"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httprelay"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
)

// The steps of a drain, in the order in which a node takes them. Each posts to
// the loops and returns when they have done it; none may be called on a loop.

// RefuseNew makes new listeners and senders get 503. What has been announced to
// a listener may still be accepted.
func (g *Gateway) RefuseNew() {
	g.draining.Store(true)
	g.cfg.Counters.Draining.Store(true)
}

// EndListeners closes every control channel with 1001, as soon as the HTTP
// requests that it has are answered. Their clients connect again, elsewhere if
// a balancer has noticed.
func (g *Gateway) EndListeners(e *engine.Engine) {
	eachHandler(e, func(_ *engine.Conn, l *listener) { l.retire() })
}

// EndSenders refuses the senders that still wait, and closes the connections
// between two requests.
func (g *Gateway) EndSenders(e *engine.Engine) {
	eachHandler(e, func(c *engine.Conn, s *sender) { s.fail(c, hyco.RefusalDraining) })
	eachHandler(e, func(c *engine.Conn, _ *idle) { c.Finish(metrics.CloseDrain) })
}

// EndRelays sends Close 1001 to both ends of every relayed connection, at a
// frame boundary, and cancels the HTTP requests that are left.
func (g *Gateway) EndRelays(e *engine.Engine) {
	eachHandler(e, func(_ *engine.Conn, x *httprelay.Exchange) {
		x.Cancel(hyco.RefusalDraining, metrics.CloseDrain)
	})
	eachHandler(e, func(c *engine.Conn, m *change) { m.cancel(c) })
	eachHandler(e, func(c *engine.Conn, _ *taking) { c.Close(metrics.CloseDrain) })
	eachHandler(e, func(_ *engine.Conn, l *listener) { l.end(hyco.RefusalDraining) })
	eachHandler(e, func(c *engine.Conn, _ *handedEnd) { c.Close(metrics.CloseDrain) })
	eachHandler(e, func(c *engine.Conn, r *senderEnd) {
		(*relay)(r).end(c, hyco.RefusalDraining, metrics.CloseDrain)
	})
}

// Relays is the number of relayed connections and HTTP requests.
func Relays(loops []*metrics.Loop) int {
	n := int64(0)
	for _, l := range loops {
		n += l.Connections[metrics.RoleRelayedSender].Load()
		n += l.Connections[metrics.RoleHTTPSender].Load()
	}
	return int(n)
}

// EntitiesRemoved ends what belongs to entities that next lacks: listeners and
// relayed connections with 1001, senders with 404 (docs/protocol.md, sections
// 2.8 and 4.4).
func (g *Gateway) EntitiesRemoved(e *engine.Engine, previous, next *namespace.Snapshot) {
	removed := map[string]bool{}
	for _, key := range previous.Removed(next) {
		removed[key] = true
	}
	if len(removed) == 0 {
		return
	}
	g.cfg.Log.Info("entities removed", slog.Int("count", len(removed)))
	gone := hyco.RefusalEntityRemoved
	eachHandler(e, func(_ *engine.Conn, x *httprelay.Exchange) {
		if h, ok := x.Gateway().(*httpRequest); ok && removed[h.entity.Key()] {
			x.Cancel(hyco.RefusalNoSuchEntity, metrics.CloseEntityRemoved)
		}
	})
	eachHandler(e, func(_ *engine.Conn, l *listener) {
		if removed[l.entity.Key()] {
			l.end(gone)
		}
	})
	eachHandler(e, func(c *engine.Conn, s *sender) {
		if removed[s.entity.Key()] {
			s.fail(c, hyco.RefusalNoSuchEntity)
		}
	})
	eachHandler(e, func(c *engine.Conn, r *senderEnd) {
		if removed[r.entity.Key()] {
			(*relay)(r).end(c, gone, metrics.CloseEntityRemoved)
		}
	})
}

// eachHandler calls f, on its loop, for each connection whose handler is an H.
func eachHandler[H engine.Handler](e *engine.Engine, f func(*engine.Conn, H)) {
	e.Do(func(l *engine.Loop) {
		l.Each(math.MaxInt, func(c *engine.Conn) {
			if h, ok := c.Handler().(H); ok {
				f(c, h)
			}
		})
	})
}
