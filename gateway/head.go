package gateway

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
	"github.com/relayhouse/relayhouse/wsframe"
)

// request is a parsed head on its way to one of listen, connect and accept.
type request struct {
	g      *Gateway
	head   httphead.Head
	size   int // bytes of the head
	target hyco.Target
	host   string // of the Host header, as sent
	source source
	ns     *namespace.Namespace
	id     string // tracking id, with the gateway's mark
	key    string // Sec-WebSocket-Key
	now    time.Time

	management bool // errors are documents of the management surface
}

// headHandler takes connections whose head comes whole in one read, which is
// nearly all. It has no state of its own; a head that comes in pieces gets a
// partialHead.
type headHandler struct {
	noEvents
	g *Gateway
}

func (h *headHandler) Data(c *engine.Conn, p []byte) {
	end, next, err := httphead.Scan(p, 0)
	if err != nil {
		h.g.refuse(c, nil, badHead(err))
		return
	}
	if end > 0 && end <= h.g.cfg.HeadBytes {
		h.g.route(c, p[:end], p[end:])
		return
	}
	ph := &partialHead{g: h.g, buf: bytebufferpool.Get()}
	c.SetHandler(ph)
	ph.add(c, p, next)
}

// Hangup: responses may still be on their way out.
func (h *headHandler) Hangup(c *engine.Conn) { c.Finish(metrics.ClosePeerEOF) }

// Timeout of a connection that has sent nothing: browsers and proxies open some
// in advance, and an answer to no question would confuse the next one.
func (h *headHandler) Timeout(c *engine.Conn) { c.Close(metrics.CloseHeadTimeout) }

// partialHead collects a head that comes in pieces, in a pooled buffer that
// counts towards Config.HeadMemory.
type partialHead struct {
	noEvents
	g       *Gateway
	buf     *bytebufferpool.ByteBuffer // nil once released
	next    int                        // where to go on looking for the end
	charged int64
}

func (h *partialHead) Data(c *engine.Conn, p []byte) { h.add(c, p, h.next) }

// add appends p; a head that turns out to be impossible, too large or over the
// memory of all heads is refused at once.
func (h *partialHead) add(c *engine.Conn, p []byte, next int) {
	limit := h.g.cfg.HeadBytes
	keep := p[:min(len(p), limit+4-h.buf.Len())]
	before := cap(h.buf.B)
	_, _ = h.buf.Write(keep)
	if grown := int64(cap(h.buf.B) - before); h.charged == 0 || grown > 0 {
		if h.charged == 0 {
			grown = int64(cap(h.buf.B))
		}
		if !h.g.heads.Take(grown) {
			h.g.cfg.Counters.Throttled("head_memory")
			h.refuse(c, hyco.RefusalOverloaded.Because("too many requests are waiting"))
			return
		}
		h.charged += grown
	}
	end, next, err := httphead.Scan(h.buf.B, min(next, h.buf.Len()))
	switch {
	case err != nil:
		h.refuse(c, badHead(err))
	case end > 0 && end <= limit:
		rest := p[len(keep)-(h.buf.Len()-end):]
		head := append([]byte(nil), h.buf.B[:end]...)
		h.release()
		h.g.route(c, head, rest)
	case h.buf.Len() > limit || end > limit:
		h.refuse(c, hyco.RefusalHeadTooLarge.Because("at most "+strconv.Itoa(limit)+" bytes"))
	default:
		h.next = next
	}
}

func (h *partialHead) refuse(c *engine.Conn, r *hyco.Refusal) {
	h.release()
	h.g.refuse(c, nil, r)
}

func (h *partialHead) release() {
	if h.buf != nil {
		h.g.heads.Give(h.charged)
		bytebufferpool.Put(h.buf)
		h.buf = nil
	}
}

func (h *partialHead) Hangup(c *engine.Conn) { c.Finish(metrics.ClosePeerEOF) }

func (h *partialHead) Timeout(c *engine.Conn) { h.refuse(c, hyco.RefusalHeadTimeout) }

func (h *partialHead) Closed(*engine.Conn, metrics.CloseReason) { h.release() }

// badHead maps an error of package httphead to its refusal.
func badHead(err error) *hyco.Refusal {
	switch err {
	case httphead.ErrTooMany:
		return hyco.RefusalHeadTooLarge.Because(err.Error())
	case httphead.ErrVersion:
		return hyco.RefusalBadHTTPVersion
	case httphead.ErrTransferCoding:
		return hyco.RefusalTransferCoding
	}
	return hyco.RefusalBadHead.Because(err.Error())
}

// route parses a whole head and hands it to the step that it asks for. rest is
// what was read behind it; it lives until the next event of the loop.
func (g *Gateway) route(c *engine.Conn, head, rest []byte) {
	c.SetDeadline(0)
	r := &request{g: g, size: len(head), now: g.cfg.Now(), source: sourceOf(c)}
	var err error
	if r.head, err = httphead.Parse(head); err != nil {
		g.refuse(c, nil, badHead(err))
		return
	}
	r.source.proxied(&r.head, g.cfg.TrustedProxies)
	if r.head.Method == "CONNECT" { // its target is of a form of its own
		r.id, r.host = g.trackingID(""), r.head.Get("Host")
		g.refuse(c, r, hyco.RefusalMethod)
		return
	}
	r.target, err = hyco.ParseTarget(r.head.Target)
	r.id = g.trackingID(r.target.ID)
	if r.host = r.target.Authority; r.host == "" {
		r.host = r.head.Get("Host")
	}
	r.ns = r.resolve(g.cfg.Namespaces.Load())
	if err != nil {
		g.refuse(c, r, asRefusal(err))
		return
	}
	if refusal := r.check(); refusal != nil {
		g.refuse(c, r, refusal)
		return
	}
	waits := r.target.Action == hyco.ActionAccept || r.target.Action == hyco.ActionRequest
	if (!r.target.WebSocket || !waits) && g.handover.successor.Load() != nil &&
		g.forward(c, append(httphead.Append(nil, &r.head), rest...)) {
		return
	}
	if !r.target.WebSocket {
		g.relayHTTP(c, r, rest)
		return
	}
	c.SetPeer(r.source.addr) // no other request follows
	if !waits && !r.admitted() {
		g.refuse(c, r, hyco.RefusalIPNotAllowed)
		return
	}
	switch r.target.Action {
	case hyco.ActionConnect:
		g.connect(c, r, rest)
	case hyco.ActionListen:
		g.listen(c, r, rest)
	case hyco.ActionAccept, hyco.ActionRequest:
		g.rendezvous(c, r, rest)
	default:
		g.refuse(c, r, hyco.RefusalUnknownAction(r.target.ActionText))
	}
}

// resolve finds the namespace of the request: by its host, or where several
// namespaces share that, by its path and token.
func (r *request) resolve(s *namespace.Snapshot) *namespace.Namespace {
	if n := s.Lookup(r.host); n != nil {
		return n
	}
	token := r.token()
	if token == "" && !r.target.WebSocket {
		token = r.head.Get("Authorization")
	}
	return s.Resolve(r.host, r.target.Path, token)
}

// check refuses what is no WebSocket upgrade on the WebSocket surface.
func (r *request) check() *hyco.Refusal {
	upgrade := r.head.HasToken("Upgrade", "websocket")
	switch {
	case !r.target.WebSocket:
		return nil
	case !upgrade || !r.head.HasToken("Connection", "upgrade"):
		return hyco.RefusalNotWebSocket
	case r.head.Method != "GET" || r.head.Minor < 1:
		return hyco.RefusalBadUpgrade.Because("it must be a GET of HTTP/1.1")
	case r.head.HasBody():
		return hyco.RefusalBadUpgrade.Because("it must not have a body")
	}
	const version = "Sec-WebSocket-Version"
	if r.head.Count(version) != 1 || r.head.Get(version) != "13" {
		return hyco.RefusalBadVersion
	}
	r.key = r.head.Get("Sec-WebSocket-Key")
	if r.head.Count("Sec-WebSocket-Key") != 1 || !wsframe.ValidKey(r.key) {
		return hyco.RefusalBadUpgrade.Because("Sec-WebSocket-Key must be base64 of 16 bytes")
	}
	return nil
}

// admitted says whether the namespace lets the sender's address in. It is asked
// before the token is looked at, of all but rendezvous connections: their
// address is a secret that only who was let in has been told, and a listener may
// well dial it from another of its own addresses (docs/protocol.md, section
// 6.10).
func (r *request) admitted() bool { return r.ns.Admits(r.source.addr.Addr()) }

// authorize checks the request's token for an action on entity, which is nil
// if there is none at the path.
func (r *request) authorize(entity *namespace.Entity, right sas.Right) (namespace.Grant, error) {
	return r.authorizeToken(entity, r.token(), right)
}

func (r *request) authorizeToken(entity *namespace.Entity, token string, right sas.Right,
) (namespace.Grant, error) {
	return r.g.cfg.Authorizer.Authorize(r.ns, r.target.Path, entity, token, right, r.now)
}

// token is what authorizes the request: the header before the parameter
// (docs/protocol.md, section 6.6).
func (r *request) token() string {
	if t := r.head.Get(hyco.HeaderToken); t != "" {
		return t
	}
	return r.target.Token
}

// hostName is the namespace's host name, or the one that the client used if the
// namespace has none of its own.
func (r *request) hostName() string {
	if r.ns == nil {
		return r.host
	}
	if !r.ns.AnyHost() {
		return r.ns.Host()
	}
	host := r.host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !isHost(host) {
		return r.ns.Host()
	}
	return host
}

// protocols are the subprotocols that the client offers, in its order, in
// memory of their own.
func (r *request) protocols() []string {
	var all []string
	for p := range r.head.Tokens("Sec-WebSocket-Protocol") {
		if httphead.IsToken(p) {
			all = append(all, strings.Clone(p))
		}
	}
	return all
}

// asRefusal takes the refusal out of an error; other errors are internal.
func asRefusal(err error) *hyco.Refusal {
	if r, ok := err.(*hyco.Refusal); ok {
		return r
	}
	return hyco.RefusalInternal
}
