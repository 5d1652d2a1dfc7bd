package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
)

// responseMax bounds what a refusal queues: phrase, headers and body.
const responseMax = 8192

// closeReasons maps the codes of refusals to close reasons; what is missing
// follows from the status, see closeReason.
var closeReasons = map[string]metrics.CloseReason{
	hyco.RefusalHeadTimeout.Code:       metrics.CloseHeadTimeout,
	hyco.RefusalHeadTooLarge.Code:      metrics.CloseHeadTooLarge,
	hyco.RefusalBadHead.Code:           metrics.CloseHeadInvalid,
	hyco.RefusalBadHTTPVersion.Code:    metrics.CloseHeadInvalid,
	hyco.RefusalListenerQuota.Code:     metrics.CloseQuota,
	hyco.RefusalListenerBusy.Code:      metrics.CloseOutputFull,
	hyco.RefusalListenerLost.Code:      metrics.CloseListenerLost,
	hyco.RefusalAcceptTimeout.Code:     metrics.CloseAcceptTimeout,
	hyco.RefusalRejectionRecorded.Code: metrics.CloseRejection,
	hyco.RefusalOverloaded.Code:        metrics.CloseOverload,
	hyco.RefusalDraining.Code:          metrics.CloseDrain,
	hyco.RefusalTooManyFailures.Code:   metrics.CloseRateLimited,
	hyco.RefusalInternal.Code:          metrics.CloseInternal,
	hyco.RefusalReplaced.Code:          metrics.CloseReplaced,
	hyco.RefusalEntityRemoved.Code:     metrics.CloseEntityRemoved,
	hyco.RefusalListenerSilent.Code:    metrics.CloseListenerSilent,
	hyco.RefusalMessageInvalid.Code:    metrics.CloseProtocol,
}

func closeReason(r *hyco.Refusal) metrics.CloseReason {
	if reason, ok := closeReasons[r.Code]; ok {
		return reason
	}
	switch r.Status {
	case 401:
		return metrics.CloseUnauthorized
	case 403:
		return metrics.CloseForbidden
	case 404:
		return metrics.CloseNotFound
	}
	return metrics.CloseBadRequest
}

// refuse answers a handshake with a refusal and ends the connection. r is nil
// if the head could not be read. Failures of a client that has used up its
// budget are answered late, see limiter.
func (g *Gateway) refuse(c *engine.Conn, r *request, refusal *hyco.Refusal) {
	g.refuseKeeping(c, r, refusal, nil)
}

// refuseKeeping is refuse, but the connection goes on with behind, the bytes
// behind the request, unless that is nil or its client has to wait.
func (g *Gateway) refuseKeeping(c *engine.Conn, r *request, refusal *hyco.Refusal, behind []byte) {
	if r == nil {
		r = &request{g: g, id: g.trackingID(""), now: g.cfg.Now(), source: sourceOf(c)}
	}
	g.countRefusal(r, refusal)
	verdict := pass
	if unauthorized(refusal) {
		verdict = g.limiter.failure(r.source.addr.Addr(), r.now)
	}
	if verdict == pass && behind != nil {
		g.logRefusal(r, refusal)
		g.reply(c, r.response(refusal, true), true, behind)
		return
	}
	e := &ended{g: g, role: c.Role(), id: r.id, detail: refusal.Code, since: r.now,
		peer: r.source.addr}
	c.SetHandler(e)
	if verdict == tooMany {
		g.cfg.Counters.FailuresRefused.Add(1)
		refusal = hyco.RefusalTooManyFailures
	}
	response := r.response(refusal, false)
	if verdict == hold && g.cfg.FailureDelay > 0 {
		g.cfg.Counters.FailuresHeld.Add(1)
		e.held, e.response, e.reason = true, response, closeReason(refusal)
		c.Pause()
		c.SetDeadline(g.ticks(c, g.cfg.FailureDelay))
		return
	}
	if verdict == hold {
		g.limiter.released(r.source.addr.Addr())
	}
	if verdict == pass {
		g.logRefusal(r, refusal)
	}
	c.Write(response, responseMax)
	c.Finish(closeReason(refusal))
}

// logRefusal writes one line: for everybody to see if somebody tried a token,
// which the limiter bounds; otherwise, floods of garbage among it, for those who
// look for it.
func (g *Gateway) logRefusal(r *request, refusal *hyco.Refusal) {
	level := slog.LevelDebug
	if unauthorized(refusal) && refusal != hyco.RefusalIPNotAllowed {
		level = slog.LevelInfo
	}
	g.cfg.Log.LogAttrs(context.Background(), level, "handshake refused",
		slog.String("event", eventOf(refusal)), slog.String("code", refusal.Code),
		slog.Int("status", refusal.Status), slog.String("path", r.target.Path),
		slog.String("trackingId", r.id), slog.String("clientAddr", r.source.addr.String()))
}

// unauthorized says whether a refusal counts against the client's address: a
// token that does not open anything, an entity or a rendezvous address that does
// not exist, an address that is not let in. What cannot be read costs less than
// that and is no guess at a key.
func unauthorized(r *hyco.Refusal) bool {
	switch r.Code {
	case hyco.RefusalNoListeners.Code, hyco.RefusalNoListenerMatches.Code,
		hyco.RefusalListenerQuota.Code, hyco.RefusalEntityAbsent.Code, hyco.RefusalEntityQuota.Code:
		return false // the client may well be who it says
	}
	return r.Status == 401 || r.Status == 403 || r.Status == 404
}

// eventOf names a refusal in the vocabulary of Azure's diagnostic logs
// (docs/protocol.md, section 11).
func eventOf(r *hyco.Refusal) string {
	switch r.Status {
	case 401:
		switch r.Code {
		case hyco.RefusalMissingClaim("").Code, hyco.RefusalIPNotAllowed.Code:
			return "AuthorizationFailed"
		}
		return "InvalidSasToken"
	}
	return "ProcessingRequestFailed"
}

func (g *Gateway) countRefusal(r *request, refusal *hyco.Refusal) {
	if refusal.Status == 401 || refusal.Code == hyco.RefusalMissingClaim("").Code {
		g.cfg.Counters.AuthFailure(refusal.Code)
	}
	switch {
	case !r.target.WebSocket:
		if r.head.Method != "" {
			g.cfg.Counters.HTTPResponse(refusal.Status, 0)
		}
	case r.target.Action == hyco.ActionListen:
		g.cfg.Counters.ListenerConnect(refusal.Status)
	case r.target.Action == hyco.ActionConnect:
		g.cfg.Counters.SenderConnect(refusal.Status)
	}
}

// response is the whole answer to a refused request; keep says whether the
// connection stays open behind it. WebSocket clients read the reason phrase; the
// body says the same to people with curl.
func (r *request) response(refusal *hyco.Refusal, keep bool) []byte {
	phrase := hyco.ReasonPhrase(refusal.Text, r.id, r.hostName(), r.target.Path, r.now)
	fields := append(make([]httphead.Field, 0, 5),
		httphead.Field{Name: hyco.HeaderTrackingID, Value: r.id},
		httphead.Field{Name: "Content-Type", Value: "application/json"})
	switch refusal.Status {
	case 426:
		fields = append(fields, httphead.Field{Name: "Sec-WebSocket-Version", Value: "13"},
			httphead.Field{Name: "Upgrade", Value: "websocket"})
	case 405:
		allow := httphead.Field{Name: "Allow",
			Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"}
		if r.management && r.g.cfg.Entities == nil {
			allow.Value = "GET"
		} else if r.management {
			allow.Value = "GET, PUT, DELETE"
		}
		fields = append(fields, allow)
	case 429, 503:
		fields = append(fields, httphead.Field{Name: "Retry-After", Value: strconv.Itoa(1)})
	}
	text, _ := json.Marshal(phrase)
	code := refusal.Code
	if !r.target.WebSocket {
		code = refusal.HTTPCode()
	}
	body := `{"error":{"code":"` + code + `","message":` + string(text) + "}}\n"
	if r.management {
		fields[1].Value = hyco.ErrorDocumentType
		body = string(hyco.AppendErrorDocument(nil, refusal.Status, phrase))
	}
	if r.head.Method == "HEAD" {
		body = ""
	}
	return httphead.AppendResponse(nil, refusal.Status, phrase, fields, body, keep)
}

// ended is the last handler of a connection whose handshake was refused.
type ended struct {
	noEvents
	g        *Gateway
	role     metrics.Role
	held     bool // response waits for the deadline
	reason   metrics.CloseReason
	response []byte
	id       string
	entity   string
	detail   string
	peer     netip.AddrPort
	since    time.Time
}

func (e *ended) Timeout(c *engine.Conn) {
	c.Write(e.response, responseMax)
	c.Finish(e.reason)
}

func (e *ended) Hangup(c *engine.Conn) { c.Close(metrics.ClosePeerEOF) }

func (e *ended) Closed(c *engine.Conn, reason metrics.CloseReason) {
	if e.held {
		e.g.limiter.released(e.peer.Addr())
	}
	e.g.closed(c, e.peer, e.role, reason, e.entity, e.id, e.since, e.detail)
}

// overload refuses a connection over the limit without reading its request.
type overload struct {
	noEvents
	g *Gateway
}

func (o *overload) Data(c *engine.Conn, _ []byte) { o.g.refuse(c, nil, hyco.RefusalOverloaded) }

func (o *overload) Hangup(c *engine.Conn) { c.Close(metrics.ClosePeerEOF) }

func (o *overload) Timeout(c *engine.Conn) { c.Close(metrics.CloseOverload) }
