package gateway

import (
	"encoding/json"
	"log/slog"

	"github.com/valyala/bytebufferpool"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httprelay"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// answer is a response on a control channel of which the body is still to
// come. It belongs to the listener's loop.
type answer struct {
	l        *listener
	h        *httpRequest
	response hyco.Response
	parts    *bytebufferpool.ByteBuffer // body that has not been passed on
	size     int                        // of the body so far
	begun    bool                       // something has been passed on
	waiting  bool                       // a task will pass on what there is
}

// respond takes a response message (docs/protocol.md, section 5.5). Responses
// come in any order; one that nobody waits for is ignored with its body.
func (l *listener) respond(raw json.RawMessage) {
	if l.answer != nil {
		l.failAnswer(hyco.RefusalBadResponse.Because("its body did not follow"))
	}
	response, err := hyco.ParseResponse(raw)
	h := l.requests[response.RequestID]
	if h == nil {
		l.log(slog.LevelDebug, "response to no request ignored")
		return
	}
	delete(l.requests, response.RequestID)
	a := &answer{l: l, h: h, response: response}
	switch {
	case err != nil:
		a.fail(asRefusal(err))
	case !response.Body || h.x.Bodyless(response.Status):
		a.pass(nil, true)
	default:
		l.answer = a
	}
	l.settled()
}

// responseBody takes a part of a binary message: the body of the response
// before it. Others are ignored: one client sends an empty one behind a
// response without a body.
func (l *listener) responseBody(p []byte, fin bool) {
	a := l.answer
	if a == nil {
		return
	}
	a.size += len(p)
	if uint64(a.size)+l.reader.Remain() > httprelay.ControlBodyMax {
		l.failAnswer(hyco.RefusalResponseTooLarge)
		return
	}
	if fin && a.parts == nil {
		l.answer = nil
		a.pass(p, true)
		l.settled()
		return
	}
	if a.parts == nil {
		a.parts = bytebufferpool.Get()
	}
	_, _ = a.parts.Write(p)
	if fin {
		l.answer = nil
		a.passParts(true)
		l.settled()
		return
	}
}

// passLater sees to it that what has come of a body goes on even if no more
// comes: from a task, behind what is being read now. The head waits for the
// first frame, which says whether the body is too large for this channel.
func (l *listener) passLater() {
	a := l.answer
	if a == nil || a.waiting || a.parts == nil {
		return
	}
	a.waiting = true
	l.ref.Post(func(*engine.Conn) {
		a.waiting = false
		if l.answer == a {
			a.passParts(false)
		}
	})
}

func (l *listener) failAnswer(r *hyco.Refusal) {
	a := l.answer
	l.answer = nil
	if a.parts != nil {
		bytebufferpool.Put(a.parts)
		a.parts = nil
	}
	a.fail(r)
	l.settled()
}

func (a *answer) passParts(fin bool) {
	p := a.parts
	a.parts = nil
	if p != nil {
		a.pass(p.B, fin)
		bytebufferpool.Put(p)
	}
}

// pass hands a part of the body, behind the response's head if it is the
// first, to the exchange.
func (a *answer) pass(p []byte, fin bool) {
	h, first := a.h, !a.begun
	a.begun = true
	take := func(p []byte) {
		if h.settled {
			return // it is answered on its rendezvous connection
		}
		h.answered = true
		if first {
			h.x.Respond(a.response)
		}
		h.x.Body(p, fin)
		h.x.Flush()
	}
	if h.ref.Loop() == a.l.ref.Loop() {
		if c := h.ref.Get(); c != nil && c.Handler() == engine.Handler(h.x) {
			take(p)
		}
		return
	}
	var held *bytebufferpool.ByteBuffer
	if len(p) > 0 {
		held = bytebufferpool.Get()
		held.B = append(held.B[:0], p...)
	}
	h.ref.Post(func(c *engine.Conn) {
		if c != nil && c.Handler() == engine.Handler(h.x) {
			var p []byte
			if held != nil {
				p = held.B
			}
			take(p)
		}
		if held != nil {
			bytebufferpool.Put(held)
		}
	})
}

func (a *answer) fail(r *hyco.Refusal) {
	a.h.post(func() {
		if !a.h.settled {
			a.h.answered = true
			a.h.x.Fail(r)
		}
	})
}

// forget drops a request that needs no response any more.
func (l *listener) forget(h *httpRequest) {
	if l.requests[h.x.ID()] == h {
		delete(l.requests, h.x.ID())
		l.settled()
	}
}

// settled ends a control channel that was only waiting for responses.
func (l *listener) settled() {
	if l.retiring && len(l.requests) == 0 && l.answer == nil {
		l.end(hyco.RefusalDraining)
	}
}

// abandon fails the requests that the listener cannot answer any more.
func (l *listener) abandon() {
	if l.answer != nil {
		l.failAnswer(hyco.RefusalListenerGone)
	}
	for _, h := range l.requests {
		h.post(func() {
			h.answered = true
			h.x.ListenerLost()
		})
	}
	l.requests = nil
}

// joinRequest takes a listener's rendezvous connection for an HTTP request. Its
// address is good until the response is complete (docs/protocol.md, section
// 5.2).
func (g *Gateway) joinRequest(c *engine.Conn, r *request, h *httpRequest, rest []byte) {
	leg := &requestLeg{g: g, h: h, request: r, rest: append([]byte(nil), rest...)}
	c.SetHandler(leg)
	c.SetRole(metrics.RoleRendezvous)
	c.Migrate(h.ref.Loop(), leg.join)
}

// requestLeg is the handler of a rendezvous connection on its way to its
// request.
type requestLeg struct {
	noEvents
	g       *Gateway
	h       *httpRequest
	request *request
	rest    []byte
}

func (l *requestLeg) join(c *engine.Conn) {
	h := l.h
	sc := h.ref.Get()
	waits := sc != nil && sc.Handler() == engine.Handler(h.x)
	since := l.request.now.Sub(h.x.Since())
	switching := wsframe.AppendSwitching(nil, l.request.key, "", h.x.ID())
	if !waits || !h.x.Join(c, switching, l.rest) {
		l.g.refuse(c, l.request, hyco.RefusalUnknownRendezvous)
		return
	}
	l.g.cfg.Counters.Rendezvous(since)
}

// Hangup, on the way: join will find out, or Closed.
func (l *requestLeg) Hangup(c *engine.Conn) { c.Close(metrics.ClosePeerEOF) }

// Closed on the way: the request waits no longer, for its address is used up.
func (l *requestLeg) Closed(c *engine.Conn, reason metrics.CloseReason) {
	l.h.post(func() { l.h.x.Fail(hyco.RefusalListenerGone) })
	l.g.closed(c, c.Peer(),
		metrics.RoleRendezvous, reason, l.h.entity.Key(), l.h.x.ID(), l.request.now, "")
}
