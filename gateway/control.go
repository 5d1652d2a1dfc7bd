package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
	"github.com/relayhouse/relayhouse/wsframe"
)

// listener is the handler of a control channel.
type listener struct {
	// Fixed after listen. Read from any loop.
	g          *Gateway
	ref        engine.Ref
	peer       netip.AddrPort
	entity     *namespace.Entity
	base       string // scheme and authority of rendezvous addresses
	path       string // as in the listen request
	namespace  string // its name
	id         string // tracking id
	listenerID string // sb-hc-id as sent, or ""
	since      time.Time

	// Owned by the loop.
	conn     *engine.Conn
	reader   wsframe.Reader
	pingedAt uint32                  // tick of the Ping that is not answered yet, else 0
	ended    bool                    // out of the table, nothing is delivered
	retiring bool                    // ends when requests is empty
	requests map[string]*httpRequest // without a response, by id
	answer   *answer                 // the response whose body is due

	// Atomic.
	token   atomic.Int64 // expiry of the token, s since 1970
	waiting atomic.Int32 // senders that were announced and not settled
}

// Data takes what the listener sends.
func (l *listener) Data(c *engine.Conn, p []byte) {
	for len(p) > 0 && !c.Gone() {
		n, ev, err := l.reader.Next(p)
		if err != nil {
			l.violation(c, err)
			return
		}
		p = p[n:]
		switch ev.Kind {
		case wsframe.EventText:
			l.command(ev.Payload)
		case wsframe.EventBinary:
			l.responseBody(ev.Payload, ev.Fin)
		case wsframe.EventPing:
			// A channel whose queue is full misses a Pong; it has bytes of
			// ours to read that prove as much.
			c.Write(wsframe.AppendFrame(nil, wsframe.OpPong, ev.Payload), l.g.cfg.ControlQueue)
		case wsframe.EventClose:
			code, _, _ := wsframe.ParseClose(ev.Payload)
			l.lost()
			c.Write(wsframe.AppendClose(nil, code, ""), closeQueue(l.g))
			c.Finish(metrics.ClosePeer)
		}
	}
	l.passLater()
}

// closeQueue lets a Close frame pass a full queue.
func closeQueue(g *Gateway) int {
	return g.cfg.ControlQueue + wsframe.ControlMax + wsframe.HeaderMax
}

func (l *listener) violation(c *engine.Conn, err error) {
	reason := metrics.CloseProtocol
	code := wsframe.CodeProtocol
	if v, ok := err.(wsframe.Violation); ok {
		if code = v.CloseCode(); v == wsframe.MessageTooLarge {
			reason = metrics.CloseMessageTooLarge
		}
	}
	l.lost()
	c.Write(wsframe.AppendClose(nil, code, hyco.CloseText(err.Error(), l.id)), closeQueue(l.g))
	c.Finish(reason)
}

// command handles one JSON message. What is unknown is logged and ignored, for
// clients grow commands (docs/protocol.md, section 2.2); what is no JSON object
// ends the channel.
func (l *listener) command(p []byte) {
	m, err := hyco.ParseListenerMessage(p)
	switch {
	case err != nil:
		l.end(asRefusal(err))
	case m.Kind == hyco.MessageRenewToken:
		l.renew(m.Token)
	case m.Kind == hyco.MessageResponse:
		l.respond(m.Response)
	default:
		l.log(slog.LevelDebug, "command from listener ignored",
			slog.String("command", m.Kind.String()), slog.String("name", m.Name))
	}
}

// renew takes a token that replaces the listener's. It may be of another rule;
// it must confer Listen on this entity as it is now.
func (l *listener) renew(token string) {
	g := l.g
	now := g.cfg.Now()
	var refusal error = hyco.RefusalNoSuchEntity
	if ns := g.cfg.Namespaces.Load().Namespace(l.namespace); ns != nil {
		entity, _ := ns.Find(l.path)
		var grant namespace.Grant
		grant, refusal = g.cfg.Authorizer.Authorize(ns, l.path, entity, token, sas.Listen, now)
		if refusal == nil {
			l.token.Store(grant.Expiry.Unix())
			l.schedule()
			return
		}
	}
	r := asRefusal(refusal)
	g.cfg.Counters.AuthFailure(r.Code)
	l.finish(wsframe.CodePolicy, r.Text, metrics.CloseTokenRefused)
}

// Timeout looks after the token and after a silent listener.
func (l *listener) Timeout(c *engine.Conn) {
	g := l.g
	now := g.cfg.Now()
	if !now.Before(l.tokenEnd()) {
		l.log(slog.LevelInfo, "token expired",
			slog.String("event", "ListenerClosingFromExpiredToken"))
		expired := hyco.RefusalExpiredToken(time.Unix(l.token.Load(), 0))
		l.finish(expired.CloseCode, expired.Text, metrics.CloseTokenExpired)
		return
	}
	tick := c.Loop().Now()
	if l.pingedAt != 0 && int32(c.LastRead()-l.pingedAt) >= 0 {
		l.pingedAt = 0
	}
	switch {
	case l.pingedAt != 0 && tick-l.pingedAt >= g.ticks(c, g.cfg.ListenerPingGrace):
		l.log(slog.LevelWarn, "listener does not answer",
			slog.String("event", "ListenerUnresponsive"))
		l.end(hyco.RefusalListenerSilent)
		return
	case l.pingedAt == 0 && tick-c.LastRead() >= g.ticks(c, g.cfg.ListenerPing):
		l.pingedAt = tick
		c.Write(wsframe.AppendFrame(nil, wsframe.OpPing, nil), g.cfg.ControlQueue)
	}
	l.schedule()
}

// schedule sets the deadline to whatever is next: the token's end, a Ping, or
// the end of the wait for a sign of life.
func (l *listener) schedule() {
	g, c := l.g, l.conn
	tick := c.Loop().Now()
	limit, since := g.ticks(c, g.cfg.ListenerPing), c.LastRead()
	if l.pingedAt != 0 {
		limit, since = g.ticks(c, g.cfg.ListenerPingGrace), l.pingedAt
	}
	wait := limit - min(tick-since, limit)
	token := min(max(l.tokenEnd().Sub(g.cfg.Now()), 0), 24*time.Hour)
	c.SetDeadline(max(1, min(wait, g.ticks(c, token))))
}

// tokenEnd is when the channel is closed unless the token is renewed. Clients
// renew at the token's expiry, not before it: hence the skew
// (docs/protocol.md, section 2.5).
func (l *listener) tokenEnd() time.Time {
	return time.Unix(l.token.Load(), 0).Add(l.g.cfg.TokenSkew)
}

// Hangup: the listener's stream has ended without a Close.
func (l *listener) Hangup(c *engine.Conn) {
	l.lost()
	c.Finish(metrics.ClosePeerEOF)
}

// Drained needs nothing: accept messages are not held back.
func (l *listener) Drained(*engine.Conn) {}

// Closed is the end of the control channel. Established relays live on.
func (l *listener) Closed(c *engine.Conn, reason metrics.CloseReason) {
	l.lost()
	l.log(slog.LevelInfo, "listener gone", slog.String("event", "ListenerUnregistered"),
		slog.String("reason", reason.String()))
	l.g.closed(c, l.peer, metrics.RoleListener, reason, l.entity.Key(), l.id, l.since, "")
}

// leave takes the listener out of the table, once, and hastens the senders
// that still wait for it.
func (l *listener) leave() {
	if l.ended {
		return
	}
	l.ended = true
	l.g.table.Unregister(l.entity.Key(), l.listenerID, l)
	l.g.cfg.Store.Withdraw(l.registration())
	if l.waiting.Load() > 0 {
		l.g.listenerLost(l)
	}
}

// lost ends what needs the control channel: the listener hears and says no
// more.
func (l *listener) lost() {
	l.retiring = false
	l.leave()
	l.abandon()
}

// retire ends the control channel once the requests that it has are answered;
// no more are delivered.
func (l *listener) retire() {
	if l.conn.Gone() || l.ended {
		return
	}
	l.retiring = true
	l.leave()
	l.settled()
}

// end closes the control channel with a refusal's code and text.
func (l *listener) end(r *hyco.Refusal) {
	l.finish(r.CloseCode, r.Text, closeReason(r))
}

func (l *listener) finish(code uint16, text string, reason metrics.CloseReason) {
	if l.conn.Gone() {
		return
	}
	l.lost()
	l.conn.Write(wsframe.AppendClose(nil, code, hyco.CloseText(text, l.id)), closeQueue(l.g))
	l.conn.Finish(reason)
}

// deliver sends a message to the listener. Only on its loop.
func (l *listener) deliver(message []byte) bool {
	return !l.ended && !l.conn.Gone() && l.conn.Write(message, l.g.cfg.ControlQueue)
}

func (l *listener) log(level slog.Level, text string, attrs ...slog.Attr) {
	l.g.cfg.Log.LogAttrs(context.Background(), level, text, append(attrs,
		slog.String("entity", l.entity.Key()), slog.String("listenerId", l.listenerID),
		slog.String("trackingId", l.id))...)
}
