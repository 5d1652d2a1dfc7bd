package httprelay

import (
	"math"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// legQueueMax lets every frame into the queue: the sender is paused as soon as
// anything is queued, so that the queue is bounded by one read and a message.
const legQueueMax = math.MaxInt

// Leg is the handler of a rendezvous connection that carries one HTTP request.
// It is on the loop of the sender's connection.
type Leg struct {
	x      *Exchange
	conn   *engine.Conn
	reader wsframe.Reader
	over   bool // the exchange does not hear of it any more
	paused bool // the sender is the slower one
	stall  stall
	since  time.Time // when the request was complete
}

// Data takes the response: one text message, one binary message, Close. What
// follows a complete response is nobody's.
func (l *Leg) Data(c *engine.Conn, p []byte) {
	for len(p) > 0 && !l.over {
		n, ev, err := l.reader.Next(p)
		if err != nil {
			code := wsframe.CodeProtocol
			if v, ok := err.(wsframe.Violation); ok {
				code = v.CloseCode()
			}
			l.violation(code, err.Error())
			return
		}
		p = p[n:]
		switch ev.Kind {
		case wsframe.EventText:
			l.response(ev.Payload)
		case wsframe.EventBinary:
			if !l.x.response.begun {
				l.violation(wsframe.CodeProtocol, "a response begins with a text message")
				return
			}
			l.x.Body(ev.Payload, ev.Fin)
		case wsframe.EventPing:
			c.Write(wsframe.AppendFrame(nil, wsframe.OpPong, ev.Payload), smallMax)
		case wsframe.EventClose:
			code, _, _ := wsframe.ParseClose(ev.Payload)
			l.closed(code)
		}
	}
	if x := l.x; !l.over {
		x.response.flush(x)
		if x.conn.Queued() > 0 {
			l.paused = true
			c.Pause()
		}
		x.rearm()
		l.rearm()
	}
}

// response takes the text message.
func (l *Leg) response(p []byte) {
	x := l.x
	if x.response.begun {
		l.violation(wsframe.CodeProtocol, "a response has one text message")
		return
	}
	m, err := hyco.ParseListenerMessage(p)
	if err != nil || m.Kind != hyco.MessageResponse {
		l.violation(wsframe.CodeProtocol, "a response begins with a response message")
		return
	}
	r, err := hyco.ParseResponse(m.Response)
	switch refusal, _ := err.(*hyco.Refusal); {
	case r.RequestID == "":
		l.violation(wsframe.CodeProtocol, "a response needs a requestId")
	case refusal != nil:
		x.Fail(refusal)
	case err != nil:
		x.Fail(hyco.RefusalInternal)
	default:
		x.Respond(r)
	}
}

// violation fails the request; the listener is told with 1002
// (docs/protocol.md, section 5.5).
func (l *Leg) violation(code uint16, text string) {
	x := l.x
	l.finish(code, text, metrics.CloseProtocol)
	x.Fail(hyco.RefusalBadResponse.Because(text))
}

// closed: a normal Close ends the body, for one client never sets FIN; any
// other is the loss of the listener (docs/protocol.md, section 5.5).
func (l *Leg) closed(code uint16) {
	x := l.x
	l.finish(code, "", metrics.ClosePeer)
	if x.response.begun && (code == wsframe.CodeNormal || code == wsframe.CodeNone) {
		x.Body(nil, true)
		return
	}
	x.Fail(hyco.RefusalListenerGone)
}

// Hangup: the listener's stream has ended without a Close.
func (l *Leg) Hangup(c *engine.Conn) {
	if !l.paused {
		l.gone()
		c.Finish(metrics.ClosePeerEOF)
	}
}

// Closed is the end of the connection.
func (l *Leg) Closed(c *engine.Conn, reason metrics.CloseReason) {
	l.gone()
	l.x.gateway.LegClosed(l.x, c, reason)
}

// gone leaves the exchange without its rendezvous connection.
func (l *Leg) gone() {
	if !l.over {
		l.over = true
		l.x.Fail(hyco.RefusalListenerGone)
	}
}

// Timeout: the listener has not taken, or not sent, anything for its time.
func (l *Leg) Timeout(c *engine.Conn) {
	x := l.x
	switch {
	case l.over:
	case c.Queued() > 0:
		if l.stall.over(c) {
			l.over = true
			x.Fail(hyco.RefusalResponseTimeout)
			c.Close(metrics.CloseSendStalled)
			return
		}
		l.rearm()
	case l.paused || !x.response.begun && !x.upload.done:
		l.rearm()
	case !x.response.begun:
		x.Fail(hyco.RefusalResponseTimeout)
	default:
		x.abort(metrics.CloseBodyTimeout)
	}
}

// Drained: the listener has taken all of the body so far.
func (l *Leg) Drained(*engine.Conn) {
	if !l.over {
		l.x.resume()
		l.rearm()
	}
}

// requested says that the listener has the whole request, or will have it.
func (l *Leg) requested() {
	l.since = l.x.cfg.Now()
	l.rearm()
}

// resume goes on reading the response when the sender has taken what was
// queued.
func (l *Leg) resume() {
	if l.paused && !l.over {
		l.paused = false
		l.x.response.since = l.x.cfg.Now()
		l.rearm()
		l.conn.Resume()
	}
}

// rearm sets the deadline to what is waited for, as Exchange.rearm does.
func (l *Leg) rearm() {
	x, c := l.x, l.conn
	if l.over || c.Gone() || l.stall.running(c, x.cfg.SendStall) {
		return
	}
	switch {
	case l.paused:
		c.SetDeadline(0)
	case x.response.begun:
		c.SetDeadline(x.ticks(x.response.since, x.req.BodyGap))
	case x.upload.done:
		c.SetDeadline(x.ticks(l.since, x.req.ResponseTimeout))
	default:
		c.SetDeadline(0)
	}
}

// legEnds says why a rendezvous connection ends with its exchange, where that
// is no fault of the listener's and not the end of the response.
var legEnds = map[metrics.CloseReason]string{
	metrics.CloseBodyTimeout:   "The body stopped for too long.",
	metrics.CloseSendStalled:   "The sender does not take the response.",
	metrics.CloseDrain:         hyco.RefusalDraining.Text,
	metrics.CloseEntityRemoved: hyco.RefusalEntityRemoved.Text,
}

// end closes the connection because of the exchange.
func (l *Leg) end(reason metrics.CloseReason) {
	text, known := legEnds[reason]
	switch {
	case reason == metrics.ClosePeer || reason == metrics.CloseUnset:
		l.finish(wsframe.CodeNormal, "", metrics.ClosePeer)
	case reason == metrics.CloseProtocol:
		l.finish(wsframe.CodeProtocol, "The body is not as long as its Content-Length.", reason)
	case known:
		l.finish(wsframe.CodeGoingAway, text, reason)
	default:
		l.finish(wsframe.CodeGoingAway, "The sender went away.", metrics.CloseSenderLost)
	}
}

// finish sends Close and ends the connection, once.
func (l *Leg) finish(code uint16, text string, reason metrics.CloseReason) {
	if l.over {
		return
	}
	l.over = true
	if text != "" {
		text = hyco.CloseText(text, l.x.req.ID)
	}
	l.conn.Write(wsframe.AppendClose(nil, code, text), legQueueMax)
	l.conn.Finish(reason)
}
