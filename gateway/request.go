package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/httprelay"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/rendezvous"
	"github.com/relayhouse/relayhouse/sas"
)

// httpRequest is what the gateway around it knows of one relayed HTTP request.
// It is what waits at the table under the request's address.
type httpRequest struct {
	// Fixed after relayHTTP. Read from any loop.
	g      *Gateway
	x      *httprelay.Exchange
	ref    engine.Ref
	peer   netip.AddrPort
	entity *namespace.Entity

	// Owned by the loop of the sender's connection.
	request   *request // its head is empty once the request is settled
	pending   rendezvous.ID
	stored    bool      // at the table
	held      bool      // until a listener comes over, see handover.go
	heldSince time.Time // the first time
	settled   bool
	answered  bool        // chosen does not know it any more
	tried     []*listener // listeners that did not take the message
	chosen    *listener
}

// relayHTTP takes an HTTP request: a management call, or a request for the
// listeners of an entity (docs/protocol.md, section 5).
func (g *Gateway) relayHTTP(c *engine.Conn, r *request, rest []byte) {
	r.management = r.isManagement()
	kind, length, err := r.head.Body()
	if err != nil {
		g.refuse(c, r, badHead(err))
		return
	}
	continues, refusal := r.checkHTTP()
	if refusal != nil {
		g.refuse(c, r, refusal)
		return
	}
	if !r.admitted() {
		g.refuseHTTP(c, r, hyco.RefusalIPNotAllowed, r.behind(kind, length, rest))
		return
	}
	if r.management {
		g.manage(c, r, body{kind, length, continues}, rest)
		return
	}
	entity, _ := r.ns.Find(r.target.Path)
	token, authorized := r.httpToken(entity)
	if _, err := r.authorizeToken(entity, token, sas.Send); err != nil {
		g.refuseHTTP(c, r, asRefusal(err), r.behind(kind, length, rest))
		return
	}
	if g.draining.Load() {
		g.refuse(c, r, hyco.RefusalDraining)
		return
	}
	if continues { // who is refused is not asked for the body
		_, refusal := g.pickHTTP(entity, &r.head, nil)
		if refusal != nil && !g.expects(entity.Key()) {
			g.refuseHTTP(c, r, refusal, r.behind(kind, length, rest))
			return
		}
	}
	r.id = g.trackingID("") // it finds the response: a sender must not choose it
	h := &httpRequest{g: g, ref: c.Ref(), peer: r.source.addr, entity: entity, request: r}
	x, ok := httprelay.New(&g.http, h, httprelay.Request{
		Head: r.head, Size: r.size, Target: r.target, ID: r.id, Via: r.hostName(),
		Authorized: authorized, Kind: kind, Length: length, Continue: continues,
		Rendezvous: entity.HTTPDelivery == namespace.DeliveryRendezvous || r.wantsEvents(),
		Start:      r.now, Remote: r.source.addr, Proto: r.proto(),
		Peer: r.source.proxy, PeerProto: r.source.proxyProto(),

		ResponseTimeout: either(entity.HTTPResponseTimeout, g.cfg.HTTP.ResponseTimeout),
		BodyGap:         either(entity.HTTPBodyGap, g.cfg.HTTP.BodyGap),
	})
	if !ok {
		g.cfg.Counters.Throttled("head_memory")
		g.refuse(c, r, hyco.RefusalOverloaded.Because("too many requests are waiting"))
		return
	}
	h.x = x
	h.log(slog.LevelDebug, "HTTP request", "SenderSentHttpRequest")
	x.Start(c, rest)
}

// either is the entity's time, or the gateway's if it has none.
func either(entity, gateway time.Duration) time.Duration {
	switch entity {
	case 0:
		return gateway
	case namespace.Never:
		return 0
	}
	return entity
}

// checkHTTP refuses what cannot be relayed, see docs/protocol.md, section 5.1.
func (r *request) checkHTTP() (continues bool, refusal *hyco.Refusal) {
	switch {
	case r.head.HasToken("Upgrade", "websocket"):
		return false, hyco.RefusalUpgradeOutside
	case r.head.Count("Upgrade") > 0 && !r.head.HasToken("Connection", "upgrade"):
		return false, hyco.RefusalUpgradeWithoutConnection
	}
	for expect := range r.head.Tokens("Expect") {
		if !strings.EqualFold(expect, "100-continue") {
			return false, hyco.RefusalExpectation
		}
		continues = r.head.Minor > 0
	}
	return continues, nil
}

// wantsEvents says whether the sender asks for server-sent events: they flow
// on a rendezvous connection only, because npm hyco-https collects what it
// answers on the control channel (docs/adr/0013).
func (r *request) wantsEvents() bool {
	for accept := range r.head.Tokens("Accept") {
		media, _, _ := strings.Cut(accept, ";")
		if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
			return true
		}
	}
	return false
}

// httpToken is what authorizes a sender's HTTP request; own says that it was
// the Authorization header, which is the listener's where no token is needed
// (docs/protocol.md, section 6.6).
func (r *request) httpToken(entity *namespace.Entity) (token string, own bool) {
	if r.target.Token != "" {
		return r.target.Token, false
	}
	if t := r.head.Get(hyco.HeaderToken); t != "" {
		return t, false
	}
	if r.g.cfg.HTTP.KeyParameters && (r.target.KeyName != "" || r.target.Key != "") {
		if r.target.KeyName == "" || r.target.Key == "" {
			return "half a key", false // no token: it is refused as malformed
		}
		return sas.Sign("http://"+r.hostName()+"/"+r.target.RawPath, r.target.KeyName,
			r.target.Key, r.now.Add(time.Minute)), false
	}
	if entity != nil && !entity.RequiresClientAuthorization {
		return "", false
	}
	t := r.head.Get("Authorization")
	return t, t != ""
}

// behind is what follows a request in rest, or nil if the request's body is
// not whole.
func (r *request) behind(kind httphead.BodyKind, length int64, rest []byte) []byte {
	switch {
	case kind == httphead.BodyNone:
		return append([]byte{}, rest...)
	case kind == httphead.BodyLength && length <= int64(len(rest)):
		return append([]byte{}, rest[length:]...)
	}
	return nil
}

// refuseHTTP answers an HTTP request with a refusal. The connection stays open
// if behind, what follows the request, is not nil.
func (g *Gateway) refuseHTTP(c *engine.Conn, r *request, refusal *hyco.Refusal, behind []byte) {
	if !r.head.KeepAlive() || g.draining.Load() {
		behind = nil
	}
	g.refuseKeeping(c, r, refusal, behind)
}

// reply writes a whole response of the gateway's own and, with keep, goes on
// with behind. A client that does not take it gets no more.
func (g *Gateway) reply(c *engine.Conn, response []byte, keep bool, behind []byte) {
	c.Write(response, responseMax+len(response))
	if !keep || c.Queued() > 0 {
		c.SetHandler(&ended{g: g, role: c.Role(), since: g.cfg.Now(), peer: c.Peer()})
		c.Finish(metrics.ClosePeer)
		return
	}
	c.Pause()
	g.next(c, behind)
}

// next makes c ready for its next request, of which rest may hold a part. The
// connection is paused.
func (g *Gateway) next(c *engine.Conn, rest []byte) {
	c.SetRole(metrics.RoleHead)
	if string(rest) == "\r\n" { // of an old client, behind its body
		rest = nil
	}
	if g.forward(c, rest) {
		return
	}
	if len(rest) == 0 && g.draining.Load() {
		c.SetHandler(g.idle)
		c.Finish(metrics.CloseDrain)
		return
	}
	if len(rest) == 0 {
		c.SetHandler(g.idle)
		c.SetDeadline(g.ticks(c, g.cfg.HTTP.KeepAlive))
		c.Resume()
		return
	}
	// In a turn of its own: pipelined requests wait for other connections, and
	// do not pile up on the stack. There is none while the client takes nothing.
	c.SetHandler(&pipelined{g: g, rest: rest})
	c.SetDeadline(g.ticks(c, g.cfg.HTTP.SendStall))
	c.Yield()
}

// idle is the handler of a connection between two requests.
type idle struct {
	headHandler
}

// Data begins the next request.
func (h *idle) Data(c *engine.Conn, p []byte) {
	if string(p) == "\r\n" {
		return // RFC 9112 section 2.2: it begins no request yet
	}
	c.SetHandler(h.g.head)
	c.SetDeadline(h.g.ticks(c, h.g.cfg.HeadTimeout))
	h.g.head.Data(c, p)
}

// Timeout: the sender has no further request.
func (h *idle) Timeout(c *engine.Conn) { c.Finish(metrics.CloseKeepAlive) }

// pipelined holds the requests that came before the response to the last one.
// They are answered even if the sender has ended its stream.
type pipelined struct {
	noEvents
	g    *Gateway
	rest []byte
}

// Turn goes on with the next of them.
func (p *pipelined) Turn(c *engine.Conn) {
	c.SetHandler(p.g.head)
	c.SetDeadline(p.g.ticks(c, p.g.cfg.HeadTimeout))
	c.Resume()
	p.g.head.Data(c, p.rest)
}

// Timeout: the responses so far fill the socket, and nobody takes them.
func (p *pipelined) Timeout(c *engine.Conn) { c.Close(metrics.CloseSendStalled) }

// Announce chooses a listener and hands it the request. It implements
// httprelay.Gateway, as do the methods below.
func (h *httpRequest) Announce(x *httprelay.Exchange) {
	if !h.stored {
		var err error
		if h.pending, err = h.g.table.Hold(h); err != nil {
			h.g.cfg.Counters.Throttled("pending_max")
			x.Fail(hyco.RefusalOverloaded.Because("too many requests are waiting"))
			return
		}
		h.stored = true
	}
	l, refusal, holds := h.g.chooseOrHold(h.entity, h, func() (*listener, *hyco.Refusal) {
		return h.g.pickHTTP(h.entity, &h.request.head, h.tried)
	})
	switch {
	case holds:
		h.hold(refusal)
		return
	case refusal != nil && h.g.handover.successor.Load() != nil && h.forward():
		return
	case refusal != nil:
		if h.g.draining.Load() {
			refusal = hyco.RefusalDraining // the listeners have been sent away
		}
		x.Fail(refusal)
		return
	}
	message, err := x.Message(l.base, h.pending.String())
	if err != nil {
		x.Fail(asRefusal(err))
		return
	}
	h.chosen = l
	hasBody := x.HasBody()
	if c := h.ref.Get(); c != nil {
		l.offer(c, x, func() bool {
			taken := l.request(h, message)
			if taken && hasBody {
				h.post(x.Delivered)
			}
			return taken
		}, func(*engine.Conn) { h.undelivered(l) })
	}
}

// pickHTTP is pick with the status that HTTP has for an entity without
// listeners.
func (g *Gateway) pickHTTP(entity *namespace.Entity, head *httphead.Head, tried []*listener,
) (*listener, *hyco.Refusal) {
	l, refusal := g.pick(entity, head, tried)
	if refusal == hyco.RefusalNoListeners && g.cfg.HTTP.NoListenerStatus != 0 {
		other := *refusal
		other.Status = g.cfg.HTTP.NoListenerStatus
		refusal = &other
	}
	return l, refusal
}

// undelivered goes on to another listener.
func (h *httpRequest) undelivered(l *listener) {
	if h.settled {
		return
	}
	h.chosen = nil
	h.tried = append(h.tried, l)
	h.Announce(h.x)
}

// request hands an HTTP request to the listener and waits for its response.
// Only on the listener's loop.
func (l *listener) request(h *httpRequest, message *bytebufferpool.ByteBuffer) bool {
	defer bytebufferpool.Put(message)
	if !l.deliver(message.B) {
		return false
	}
	if l.requests == nil {
		l.requests = make(map[string]*httpRequest)
	}
	l.requests[h.x.ID()] = h
	return true
}

// post runs f on the loop of the sender's connection while the request is in
// progress.
func (h *httpRequest) post(f func()) {
	h.ref.Post(func(c *engine.Conn) {
		if c != nil && c.Handler() == engine.Handler(h.x) {
			f()
		}
	})
}

// Settle takes the request off the table and off its listener.
func (h *httpRequest) Settle(*httprelay.Exchange) {
	if h.settled {
		return
	}
	h.settled = true
	if h.stored {
		h.g.table.Drop(h.pending)
	}
	if h.held {
		h.held = false
		h.g.unhold(h.entity.Key(), h)
	}
	if l := h.chosen; l != nil && !h.answered {
		l.ref.Post(func(c *engine.Conn) {
			if c != nil {
				l.forget(h)
			}
		})
	}
	if h.x.Status() != 0 {
		return // it ends now
	}
	// What goes on may last: the head must not be kept for it.
	r := h.request
	h.request = &request{g: r.g, head: httphead.Head{Method: strings.Clone(r.head.Method)},
		target: hyco.Target{Path: strings.Clone(r.target.Path)},
		host:   strings.Clone(r.host), ns: r.ns, id: r.id, now: r.now}
}

// Refusal is the response to a request that fails.
func (h *httpRequest) Refusal(_ *httprelay.Exchange, r *hyco.Refusal, keep bool) []byte {
	event, level := "ListenerReturningHttpResponseFailed", slog.LevelInfo
	switch r.Code {
	case hyco.RefusalRequestAcceptTimeout.Code, hyco.RefusalResponseTimeout.Code:
		event = "ListenerAcceptingRequestTimeout"
	case hyco.RefusalNoListeners.Code, hyco.RefusalNoListenerMatches.Code,
		hyco.RefusalListenerBusy.Code:
		// Anybody can cause these on an entity for anonymous senders.
		event, level = "ListenerAcceptingHttpRequestFailed", slog.LevelDebug
	case hyco.RefusalOverloaded.Code, hyco.RefusalBadFraming.Code,
		hyco.RefusalBodyTimeout.Code, hyco.RefusalDraining.Code:
		event, level = "ProcessingRequestFailed", slog.LevelDebug
	}
	h.log(level, "HTTP request failed", event, slog.String("code", r.Code),
		slog.Int("status", r.Status), slog.String("cause", r.Text))
	return h.request.response(r, keep)
}

// Next gives the sender's connection back.
func (h *httpRequest) Next(c *engine.Conn, rest []byte) { h.g.next(c, rest) }

// Closing says whether connections end after their response.
func (h *httpRequest) Closing() bool { return h.g.draining.Load() }

// Ended accounts for the request.
func (h *httpRequest) Ended(x *httprelay.Exchange, c *engine.Conn, reason metrics.CloseReason) {
	switch {
	case !x.Relayed():
	case reason == metrics.CloseUnset || reason == metrics.ClosePeer:
		h.log(slog.LevelDebug, "HTTP response", "ListenerSentHttpResponse",
			slog.Int("status", x.Status()))
	case reason == metrics.CloseSenderLost || reason == metrics.ClosePeerReset:
		h.log(slog.LevelDebug, "HTTP response not wanted", "SenderConnectionClosed",
			slog.Int("status", x.Status()), slog.String("reason", reason.String()))
	default:
		h.log(slog.LevelInfo, "HTTP response cut", "ListenerReturningHttpResponseFailed",
			slog.Int("status", x.Status()), slog.String("reason", reason.String()))
	}
	if reason != metrics.CloseUnset {
		h.g.closed(c, h.peer, metrics.RoleHTTPSender, reason, h.entity.Key(), x.ID(), x.Since(), "")
	}
}

// LegClosed accounts for the rendezvous connection.
func (h *httpRequest) LegClosed(x *httprelay.Exchange, c *engine.Conn, reason metrics.CloseReason) {
	h.g.closed(c, c.Peer(), metrics.RoleHTTPListener, reason, h.entity.Key(), x.ID(), x.Since(), "")
}

func (h *httpRequest) status() PendingStatus {
	return PendingStatus{Entity: h.entity.Key(), TrackingID: h.x.ID(), Peer: h.peer}
}

func (h *httpRequest) log(level slog.Level, text, event string, attrs ...slog.Attr) {
	log := h.g.cfg.Log
	if !log.Enabled(context.Background(), level) {
		return
	}
	if h.chosen != nil {
		attrs = append(attrs, slog.String("listenerId", h.chosen.listenerID))
	}
	log.LogAttrs(context.Background(), level, text, append(attrs, slog.String("event", event),
		slog.String("entity", h.entity.Key()), slog.String("trackingId", h.x.ID()))...)
}
