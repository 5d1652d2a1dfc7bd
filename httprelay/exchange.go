package httprelay

import (
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/internal/budget"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// ControlBodyMax bounds a body on a control channel, in bytes, either way.
// Source: docs/protocol.md, section 1.8; all clients have the same number.
const ControlBodyMax = 65536

// lostGrace is how long a request in the rendezvous form goes on waiting when
// the control channel of its listener has ended: the rendezvous connection may
// be on its way.
const lostGrace = 5 * time.Second

// Config is what the exchanges of one gateway have in common.
type Config struct {
	CollectTime      time.Duration // for a body that is to go over a control channel
	RendezvousWindow time.Duration // for the listener to dial
	SendStall        time.Duration // a receiver must take bytes; 0 is never
	HalfIdle         time.Duration // for a response without limit, if the sender may have gone
	ControlMessage   int           // text message from a listener, in bytes
	RawTarget        bool          // hand the path on as it was sent
	Forwarded        hyco.Forwarded

	Heads    *budget.Bytes // heads and what was read behind them
	Bodies   *budget.Bytes // bodies collected for a control channel
	Counters *metrics.Gateway
	Now      func() time.Time
}

// Gateway is what an Exchange asks of the gateway around it. All methods are
// called on the loop of the sender's connection.
type Gateway interface {
	// Announce chooses a listener and hands it Exchange.Message. It may be
	// followed by Exchange.Delivered or Exchange.Fail, now or later.
	Announce(x *Exchange)
	// Settle ends the request's life outside its Exchange: its address is
	// dead, and a response on a control channel finds nothing. It may be
	// called again and then does nothing.
	Settle(x *Exchange)
	// Refusal is the whole response to a refused request; keep says whether
	// the connection stays open behind it.
	Refusal(x *Exchange, r *hyco.Refusal, keep bool) []byte
	// Next gives the connection back for the next request, of which rest may
	// hold the beginning. The connection is paused. The gateway owns rest.
	Next(c *engine.Conn, rest []byte)
	// Closing says whether connections should end after their response.
	Closing() bool
	// Ended hears of the end of the exchange. reason is CloseUnset unless
	// the connection ends with it or has ended.
	Ended(x *Exchange, c *engine.Conn, reason metrics.CloseReason)
	// LegClosed hears of the end of the rendezvous connection.
	LegClosed(x *Exchange, c *engine.Conn, reason metrics.CloseReason)
}

// Request is one request of a sender, past all checks.
type Request struct {
	Head       httphead.Head
	Size       int // of the head, in bytes; taken from Config.Heads by New
	Target     hyco.Target
	ID         string         // unique, safe in a query
	Via        string         // name of the namespace's host
	Remote     netip.AddrPort // the sender
	Proto      string         // http or https: what it speaks
	Peer       netip.AddrPort // see hyco.Request
	PeerProto  string
	Authorized bool // Authorization held the relay token
	Kind       httphead.BodyKind
	Length     int64 // of BodyLength
	Continue   bool  // Expect: 100-continue
	Rendezvous bool  // never use the control form
	Start      time.Time

	ResponseTimeout time.Duration // 0 is never
	BodyGap         time.Duration // 0 is never
}

// phase is where an exchange is in its life; see docs/relay-states.md.
type phase uint8

const (
	collecting phase = iota // reads a small body
	announced               // rendezvous form: a listener is to dial
	handed                  // control form: a listener has the request, or will
	joined                  // the rendezvous connection is here
	flushing                // the response is complete, but not taken
	over
)

// Exchange is one HTTP request and its response. It is the handler of the
// sender's connection meanwhile. All methods are for the loop of that
// connection.
type Exchange struct {
	// Fixed after New.
	cfg     *Config
	gateway Gateway
	req     Request
	method  string
	minor   int

	// Owned by the loop.
	conn      *engine.Conn
	leg       *Leg
	phase     phase
	control   bool          // control form
	orphan    bool          // the listener's control channel has gone
	held      *hyco.Refusal // see Hold; nil if it is not held
	upload    upload
	rest      []byte // read behind what has been used of the request
	charged   int64  // taken from Config.Heads
	collected *bytebufferpool.ByteBuffer
	room      int64  // taken from Config.Bodies for collected
	text      []byte // rendezvous form: the request message
	response  response
	stall     stall // of the sender

	// What the phase waits for, if it is neither a body nor the sender.
	waitSince time.Time
	waitLimit time.Duration // 0 is no limit
}

// New makes an exchange. It takes the request's Size from Config.Heads; false
// means that there is no room.
func New(cfg *Config, g Gateway, r Request) (*Exchange, bool) {
	if !cfg.Heads.Take(int64(r.Size)) {
		return nil, false
	}
	x := &Exchange{cfg: cfg, gateway: g, req: r, charged: int64(r.Size),
		method: strings.Clone(r.Head.Method), minor: r.Head.Minor}
	x.response.close = !r.Head.KeepAlive()
	x.upload.start(r.Kind, r.Length)
	return x, true
}

// ID is the request's id.
func (x *Exchange) ID() string { return x.req.ID }

// Status is that of the response, 0 before there is one.
func (x *Exchange) Status() int { return x.response.status }

// Gateway is what New was given.
func (x *Exchange) Gateway() Gateway { return x.gateway }

// Since is when the request came.
func (x *Exchange) Since() time.Time { return x.req.Start }

// Relayed says whether the response, if there is one, is the listener's.
func (x *Exchange) Relayed() bool { return x.response.relayed }

// HasBody says whether a body is held until Delivered.
func (x *Exchange) HasBody() bool { return x.collected != nil }

// Start begins the exchange on c. rest is what was read behind the head; it is
// in the loop's buffer.
func (x *Exchange) Start(c *engine.Conn, rest []byte) {
	x.conn = c
	c.SetHandler(x)
	c.SetRole(metrics.RoleHTTPSender)
	c.SetDeadline(0)
	x.control = !x.req.Rendezvous && (x.upload.done ||
		x.req.Kind == httphead.BodyLength && x.req.Length <= ControlBodyMax)
	if x.control && !x.upload.done {
		if x.cfg.Bodies.Take(x.req.Length) {
			x.room = x.req.Length
			x.collected = bytebufferpool.Get()
			if len(rest) == 0 {
				x.proceed()
			}
			x.wait(x.cfg.CollectTime)
			x.Data(c, rest)
			return
		}
		x.cfg.Counters.Throttled("body_memory")
		x.control = false
	}
	x.announce(rest)
}

// announce holds rest and has a listener told.
func (x *Exchange) announce(rest []byte) {
	x.conn.Pause()
	if !x.hold(rest) {
		x.response.close = true // what follows the request is lost
		x.Fail(hyco.RefusalOverloaded.Because("too many requests are waiting"))
		return
	}
	x.phase = announced
	x.offer()
}

// offer has a listener told.
func (x *Exchange) offer() {
	x.wait(x.cfg.RendezvousWindow)
	x.gateway.Announce(x)
	if x.phase == announced && x.control && x.held == nil {
		x.phase = handed
		x.wait(x.req.ResponseTimeout)
	}
}

// hold keeps a copy of p in place of what is held.
func (x *Exchange) hold(p []byte) bool {
	x.release(int64(len(x.rest)))
	x.rest = nil
	if len(p) == 0 {
		return true
	}
	if !x.cfg.Heads.Take(int64(len(p))) {
		x.cfg.Counters.Throttled("head_memory")
		return false
	}
	x.charged += int64(len(p))
	x.rest = append([]byte(nil), p...)
	return true
}

func (x *Exchange) release(n int64) {
	x.charged -= n
	x.cfg.Heads.Give(n)
}

// Delivered says that a listener's control channel has taken the request: its
// body is not needed for another one.
func (x *Exchange) Delivered() {
	if x.control {
		x.releaseBody()
	}
}

// ListenerLost says that the control channel of the listener that has the
// request has ended (docs/protocol.md, section 2.8).
func (x *Exchange) ListenerLost() {
	switch x.phase {
	case handed:
		x.Fail(hyco.RefusalListenerGone)
	case announced:
		x.orphan = true
		left := x.cfg.RendezvousWindow - x.cfg.Now().Sub(x.req.Start)
		x.wait(max(time.Millisecond, min(lostGrace, left)))
	}
}

// Data takes the request's body.
func (x *Exchange) Data(c *engine.Conn, p []byte) {
	switch x.phase {
	case collecting:
		x.collect(p)
	case joined:
		x.forward(p)
	}
}

// collect takes a body for the control channel.
func (x *Exchange) collect(p []byte) {
	n, data, _ := x.upload.next(p) // a body with a length has no errors
	_, _ = x.collected.Write(data)
	if x.upload.done {
		x.announce(p[n:])
	}
}

// proceed tells a sender that waits for it to send its body.
func (x *Exchange) proceed() {
	if x.req.Continue {
		x.req.Continue = false
		x.conn.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), smallMax)
	}
}

// smallMax lets short messages of the gateway's own pass a queue.
const smallMax = 1 << 20

// Hangup: the sender sends no more than it has sent. That is its end if the
// body is not whole, and if a rendezvous connection can be told; a sender that
// has only ended its own stream looks the same (docs/adr/0014).
func (x *Exchange) Hangup(c *engine.Conn) {
	switch {
	case c.Broke():
		x.lost(c, metrics.CloseSenderLost)
	case x.phase == collecting, x.phase == joined && !x.upload.done && !x.upload.paused:
		x.lost(c, metrics.CloseSenderLost)
	case x.phase == joined && x.upload.done:
		x.lost(c, metrics.CloseSenderLost)
	case x.phase == handed && x.req.ResponseTimeout == 0:
		x.wait(x.cfg.HalfIdle) // nobody may be waiting: not for ever, then
	}
}

// lost ends the exchange because of the sender.
func (x *Exchange) lost(c *engine.Conn, reason metrics.CloseReason) {
	x.end(reason)
	c.Close(reason)
}

// Timeout: what is waited for depends on the phase.
func (x *Exchange) Timeout(c *engine.Conn) {
	switch {
	case c.Queued() > 0:
		if x.stall.over(c) {
			x.lost(c, metrics.CloseSendStalled)
			return
		}
		x.rearm()
	case x.response.begun && x.phase < joined:
		x.abort(metrics.CloseBodyTimeout)
	case x.phase == collecting:
		// Too slow to be worth its memory: the rest goes as it comes.
		x.control = false
		x.announce(nil)
	case x.phase == announced && x.held != nil:
		x.Fail(x.held)
	case x.phase == announced && x.orphan:
		x.Fail(hyco.RefusalListenerGone)
	case x.phase == announced:
		x.cfg.Counters.AcceptTimeouts.Add(1)
		x.Fail(hyco.RefusalRequestAcceptTimeout)
	case x.phase == handed:
		x.Fail(hyco.RefusalResponseTimeout)
	case x.phase == joined && (x.upload.done || x.upload.paused || x.sendGathered()):
		x.rearm()
	case x.phase == joined:
		x.Fail(hyco.RefusalBodyTimeout)
	}
}

// Drained: the sender has taken all of the response so far.
func (x *Exchange) Drained(*engine.Conn) {
	if x.phase == flushing {
		x.next()
		return
	}
	x.rearm()
	if x.leg != nil {
		x.leg.resume()
	}
}

// Closed is the end of the sender's connection.
func (x *Exchange) Closed(_ *engine.Conn, reason metrics.CloseReason) { x.end(reason) }

// rearm sets the sender's deadline to what is waited for. Each wait counts from
// its own beginning, however often something else happens meanwhile.
func (x *Exchange) rearm() {
	c := x.conn
	if x.phase == over || x.stall.running(c, x.cfg.SendStall) {
		return
	}
	switch {
	case x.phase == joined && x.upload.gathered != nil:
		x.arm(x.upload.since, gatherTime)
	case x.phase == joined && (x.upload.done || x.upload.paused):
		c.SetDeadline(0) // the leg's deadline counts
	case x.phase == joined:
		x.arm(x.upload.since, x.req.BodyGap)
	case x.phase < joined && x.response.begun:
		x.arm(x.response.since, x.req.BodyGap)
	default:
		x.arm(x.waitSince, x.waitLimit)
	}
}

// wait begins what the phase waits for; limit 0 is no limit.
func (x *Exchange) wait(limit time.Duration) {
	x.waitSince, x.waitLimit = x.cfg.Now(), limit
	x.arm(x.waitSince, limit)
}

func (x *Exchange) arm(since time.Time, limit time.Duration) {
	x.conn.SetDeadline(x.ticks(since, limit))
}

// ticks is the time that is left of limit, at least one tick; none if limit
// is 0.
func (x *Exchange) ticks(since time.Time, limit time.Duration) uint32 {
	if limit != 0 {
		limit = max(limit-x.cfg.Now().Sub(since), 1)
	}
	return x.conn.Loop().Engine().Ticks(limit)
}

// end lets go of everything the exchange holds, once. The connection is the
// caller's matter.
func (x *Exchange) end(reason metrics.CloseReason) {
	if x.phase == over {
		return
	}
	x.phase = over
	x.settle()
	if x.leg != nil {
		x.leg.end(reason)
	}
	x.rest = nil
	x.release(x.charged)
	x.response.discard()
	if buf := x.upload.gathered; buf != nil {
		bytebufferpool.Put(buf)
		x.upload.gathered = nil
	}
	x.gateway.Ended(x, x.conn, reason)
}

// settle ends the request's life outside: nothing of it will be needed again.
func (x *Exchange) settle() {
	x.gateway.Settle(x)
	x.releaseBody()
	x.req.Head, x.req.Target = httphead.Head{}, hyco.Target{}
	x.release(int64(len(x.text)))
	x.text = nil
}

func (x *Exchange) releaseBody() {
	if x.collected != nil {
		bytebufferpool.Put(x.collected)
		x.collected = nil
	}
	x.cfg.Bodies.Give(x.room)
	x.room = 0
}

// next ends an exchange whose response is with the sender.
func (x *Exchange) next() {
	rest := x.rest
	x.rest = nil
	c := x.conn
	x.end(metrics.CloseUnset)
	c.SetBulk(false)
	c.SetDeadline(0)
	x.gateway.Next(c, rest)
}

// Fail answers the request with a refusal, or cuts a response that has begun.
func (x *Exchange) Fail(r *hyco.Refusal) {
	switch {
	case x.phase >= flushing:
		return
	case x.response.begun:
		x.abort(metrics.CloseMateLost)
		return
	}
	c := x.conn
	keep := x.upload.done && x.keepAlive()
	x.response.status = r.Status
	x.response.begun = true
	x.cfg.Counters.HTTPResponse(r.Status, x.cfg.Now().Sub(x.req.Start))
	if x.leg != nil {
		x.leg.finish(wsframe.CodeGoingAway, r.Text, metrics.CloseMateLost)
	}
	c.Write(x.gateway.Refusal(x, r, keep), smallMax)
	x.complete(keep)
}

// abort ends a response that cannot be completed: its end is missing, so that
// the sender sees that it is cut.
func (x *Exchange) abort(reason metrics.CloseReason) {
	c := x.conn
	x.response.flush(x)
	x.end(reason)
	if x.response.framing == framedClose {
		c.Reset(reason)
		return
	}
	c.Finish(reason)
}

// complete ends an exchange whose response has been written whole.
func (x *Exchange) complete(keep bool) {
	c := x.conn
	x.settle()
	if leg := x.leg; leg != nil {
		x.leg = nil
		leg.end(metrics.ClosePeer)
	}
	switch {
	case !keep:
		x.end(metrics.ClosePeer)
		c.Finish(metrics.ClosePeer)
	case c.Queued() > 0:
		x.phase = flushing
		c.Pause()
		x.rearm()
	default:
		x.next()
	}
}

func (x *Exchange) keepAlive() bool {
	return !x.response.close && !x.gateway.Closing()
}

// Cancel ends the exchange because of the gateway: with a refusal if nothing
// has been answered, else by cutting the response.
func (x *Exchange) Cancel(r *hyco.Refusal, reason metrics.CloseReason) {
	if x.response.begun && x.phase < flushing {
		x.abort(reason)
		return
	}
	x.Fail(r)
}

// stall notices a receiver that takes nothing.
type stall struct {
	sent    uint64
	watches bool
}

// running says whether c has bytes queued, and sees to it that c's deadline is
// that of a receiver that takes none of them.
func (s *stall) running(c *engine.Conn, limit time.Duration) bool {
	_, sent := c.Bytes()
	if c.Queued() == 0 {
		s.watches = false
		return false
	}
	if !s.watches || sent != s.sent {
		s.watches, s.sent = true, sent
		c.SetDeadline(c.Loop().Engine().Ticks(limit))
	}
	return true
}

// over says, at the deadline, whether nothing was taken since.
func (s *stall) over(c *engine.Conn) bool {
	_, sent := c.Bytes()
	return s.watches && sent == s.sent
}
