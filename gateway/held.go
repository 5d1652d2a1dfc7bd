package gateway

import (
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
)

// How a sender and an HTTP request wait for a listener that comes over from the
// predecessor, and how they move to the successor themselves; see handover.go.

// hold waits for a listener, and for Config.RestartHold from the first time.
// refusal is the answer if none comes.
func (s *sender) hold(c *engine.Conn, refusal *hyco.Refusal) {
	s.held, s.refusal = true, refusal
	c.SetDeadline(s.g.ticks(c, s.g.holdLeft(&s.heldSince)))
}

// holdLeft is what is left of Config.RestartHold since the time given, which is
// set to now if it is zero; at least a moment.
func (g *Gateway) holdLeft(since *time.Time) time.Duration {
	now := g.cfg.Now()
	if since.IsZero() {
		g.cfg.Counters.Held.Add(1)
		*since = now
	}
	return max(since.Add(g.cfg.RestartHold).Sub(now), 1)
}

// arrived has the sender announced. Its window begins now.
func (s *sender) arrived() {
	s.onLoop(func(c *engine.Conn) {
		s.held, s.tried = false, nil
		if _, mine := s.g.table.Drop(s.pending); !mine {
			return
		}
		var err error
		s.window = s.g.cfg.Now()
		if s.pending, err = s.g.table.Reserve(s, s.window); err != nil {
			s.g.cfg.Counters.Throttled("pending_max")
			s.refuse(c, hyco.RefusalOverloaded.Because("too many requests are waiting"))
			return
		}
		c.SetDeadline(s.g.ticks(c, s.g.cfg.RendezvousWindow))
		s.announce(c)
	})
}

func (s *sender) absent() {
	s.onLoop(func(c *engine.Conn) { s.fail(c, s.refusal) })
}

// onLoop runs f on the sender's loop while it is held.
func (s *sender) onLoop(f func(c *engine.Conn)) {
	s.ref.Post(func(c *engine.Conn) {
		if c != nil && c.Handler() == engine.Handler(s) && s.held {
			f(c)
		}
	})
}

// forward moves the sender, which no listener knows of, to the successor.
func (s *sender) forward(c *engine.Conn) {
	if _, mine := s.g.table.Drop(s.pending); !mine {
		return
	}
	r := s.request
	read := append(httphead.Append(nil, &r.head), s.rest...)
	s.settle()
	c.SetDeadline(0)
	if !s.g.forward(c, read) {
		s.g.refuse(c, r, hyco.RefusalDraining)
	}
}

func (h *httpRequest) hold(refusal *hyco.Refusal) {
	h.held = true
	h.x.Hold(h.g.holdLeft(&h.heldSince), refusal)
}

func (h *httpRequest) arrived() {
	h.post(func() {
		if h.held {
			h.held, h.tried = false, nil
			h.x.Unhold()
		}
	})
}

func (h *httpRequest) absent() {
	h.post(func() {
		if h.held {
			h.x.FailHeld()
		}
	})
}

// forward moves the request, which no listener knows of, to the successor; false
// if it cannot be moved.
func (h *httpRequest) forward() bool {
	c := h.ref.Get()
	r := h.request
	if c == nil {
		return false
	}
	body, ok := h.x.Withdraw()
	if !ok {
		return false
	}
	if !h.g.forward(c, append(httphead.Append(nil, &r.head), body...)) {
		h.g.refuse(c, r, hyco.RefusalDraining)
	}
	return true
}
