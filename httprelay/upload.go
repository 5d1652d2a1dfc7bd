package httprelay

import (
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// upload is the body of a request on its way to the listener.
type upload struct {
	chunks httphead.Chunks
	remain int64 // of a body with a length
	kind   httphead.BodyKind
	done   bool // the end of the body has been read
	begun  bool // a frame of the binary message has been sent
	sent   bool // and its last one
	paused bool // the listener is the slower one
	frames int
	since  time.Time // when something of it came last, or is waited for
	// gathered is data that waits to become part of a larger frame; nil if
	// there is none.
	gathered *bytebufferpool.ByteBuffer
}

// Widely used WebSocket libraries refuse a message of more than 16,384
// fragments (npm ws since 6.2.7). A body that comes in small pieces for long is
// gathered, after the first gatherAfter frames, into frames of gatherBytes, or
// of what comes within gatherTime.
const (
	gatherAfter = 4096
	gatherBytes = 16 << 10
	gatherTime  = time.Second
)

func (u *upload) start(kind httphead.BodyKind, length int64) {
	u.kind, u.remain = kind, length
	u.done = kind == httphead.BodyNone || kind == httphead.BodyLength && length == 0
}

// next takes bytes of the body off p.
//
//	Shape: n bytes of p are used, data is the part of them that is body. It
//	       stops at the end of a chunk, so that the caller repeats it until p
//	       is used up or the body is done.
func (u *upload) next(p []byte) (n int, data []byte, err error) {
	if u.kind == httphead.BodyChunked {
		n, data, u.done, err = u.chunks.Next(p)
		return n, data, err
	}
	n = int(min(int64(len(p)), u.remain))
	u.remain -= int64(n)
	u.done = u.remain == 0
	return n, p[:n], nil
}

// frameRoom is kept free in front of a frame's payload for its header. The
// payload is at most one read, which fits a 16 bit length.
const frameRoom = wsframe.HeaderMax

// forward sends what has come of the body to the rendezvous connection: one
// frame for all of it, the last one with FIN.
func (x *Exchange) forward(p []byte) {
	u := &x.upload
	if u.gathered == nil { // that one waits since its first byte
		u.since = x.cfg.Now()
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	b := append(*buf, make([]byte, frameRoom)...)
	if held := u.gathered; held != nil {
		b = append(b, held.B...)
		u.gathered = nil
		bytebufferpool.Put(held)
		if len(b)+len(p) > frameRoom+engine.BulkBytes {
			x.sendFrame(b)
			b = b[:frameRoom]
		}
	}
	for len(p) > 0 && !u.done {
		n, data, err := u.next(p)
		if err != nil {
			x.Fail(hyco.RefusalBadFraming.Because(err.Error()))
			return
		}
		b = append(b, data...)
		p = p[n:]
	}
	if u.frames >= gatherAfter && len(b) < gatherBytes && !u.done {
		u.gathered = bytebufferpool.Get()
		_, _ = u.gathered.Write(b[frameRoom:])
		x.rearm()
		return
	}
	x.sendFrame(b)
	switch {
	case u.done:
		x.conn.Pause()
		if !x.hold(p) {
			x.response.close = true // what is pipelined is not answered
		}
		x.leg.requested()
	case x.leg.conn.Queued() > 0:
		u.paused = true
		x.conn.Pause()
		x.leg.rearm()
	}
	x.rearm()
}

// sendFrame sends b[frameRoom:] as a frame of the request's one binary message
// and writes its header in front.
func (x *Exchange) sendFrame(b []byte) {
	u := &x.upload
	size := len(b) - frameRoom
	if u.sent || size == 0 && !u.done {
		return
	}
	u.sent = u.done
	u.frames++
	op := wsframe.OpContinuation
	if !u.begun {
		op = wsframe.OpBinary
		u.begun = true
	}
	var room [frameRoom]byte
	header := wsframe.AppendHeader(room[:0], u.done, op, size)
	at := frameRoom - len(header)
	copy(b[at:], header)
	x.cfg.Counters.HTTPBytesToListener.Add(uint64(size))
	x.leg.conn.Write(b[at:], legQueueMax)
}

// sendGathered sends what waits for more. It reports whether there was any.
func (x *Exchange) sendGathered() bool {
	buf := x.upload.gathered
	if buf == nil || x.leg == nil {
		return false
	}
	x.upload.gathered, x.upload.since = nil, x.cfg.Now()
	x.sendFrame(append(make([]byte, frameRoom), buf.B...))
	bytebufferpool.Put(buf)
	return true
}

// Message is what a listener gets on its control channel, as WebSocket frames.
// In the control form the body is part of it.
//
//	Shape:  base is the scheme and authority of addresses for that listener,
//	        rendezvous the secret.
//	Errors: a *hyco.Refusal: the request is too large for a message.
//	Owner:  the caller puts the buffer back into its pool.
func (x *Exchange) Message(base, rendezvous string) (*bytebufferpool.ByteBuffer, error) {
	address := string(hyco.AppendRequestAddress(nil, base, x.req.Target, rendezvous, x.req.ID))
	scratch := takeBuffer()
	defer giveBuffer(scratch)
	text, err := x.requestMessage(*scratch, address)
	if err != nil {
		return nil, err
	}
	if x.control && len(text) > hyco.MaxControlRequest {
		x.control = false
		if x.phase == handed { // to another listener, with a shorter address
			x.phase = announced
			x.wait(x.cfg.RendezvousWindow)
		}
		if text, err = x.requestMessage(*scratch, address); err != nil {
			return nil, err
		}
	}
	buf := bytebufferpool.Get()
	if !x.control {
		x.release(int64(len(x.text)))
		x.text = nil
		if !x.cfg.Heads.Take(int64(len(text))) {
			x.cfg.Counters.Throttled("head_memory")
			bytebufferpool.Put(buf)
			return nil, hyco.RefusalOverloaded.Because("too many requests are waiting")
		}
		x.charged += int64(len(text))
		x.text = append([]byte(nil), text...)
		buf.B = wsframe.AppendFrame(buf.B[:0], wsframe.OpText,
			hyco.AppendRendezvousRequest(nil, address, x.req.ID))
		return buf, nil
	}
	buf.B = wsframe.AppendFrame(buf.B[:0], wsframe.OpText, text)
	if x.collected != nil {
		buf.B = wsframe.AppendFrame(buf.B, wsframe.OpBinary, x.collected.B)
		x.cfg.Counters.HTTPBytesToListener.Add(uint64(x.collected.Len()))
	}
	return buf, nil
}

// requestMessage appends the JSON message with everything but the body. A listener
// that has dialled for it is always told of a body, if only an empty one
// (docs/protocol.md, section 5.2).
func (x *Exchange) requestMessage(dst []byte, address string) ([]byte, error) {
	r := &x.req
	return hyco.AppendRequest(dst, &hyco.Request[httphead.Field]{
		Address: address, ID: r.ID, Target: r.Target.RequestTarget(x.cfg.RawTarget),
		Method: x.method, Via: r.Via, Remote: r.Remote, Fields: r.Head.Fields,
		Authorized: r.Authorized, Body: !x.control || x.collected != nil,
		Forwarded: x.cfg.Forwarded, Proto: r.Proto,
		Peer: r.Peer, PeerProto: r.PeerProto,
	})
}

// Join makes c the rendezvous connection of the exchange, on which the answer
// to its handshake, switching, is due. It reports false if none is wanted: the
// exchange is over or is being answered. rest is what the listener has sent
// behind its handshake.
func (x *Exchange) Join(c *engine.Conn, switching, rest []byte) bool {
	if x.phase != announced && x.phase != handed || x.response.begun {
		return false
	}
	collected, text := x.collected, x.text
	x.collected = nil
	x.gateway.Settle(x)
	x.phase = joined
	l := &Leg{x: x, conn: c, reader: wsframe.NewReader(x.cfg.ControlMessage)}
	x.leg = l
	c.SetHandler(l)
	c.SetRole(metrics.RoleHTTPListener)
	c.SetBulk(true)
	x.conn.SetBulk(true)
	c.Write(switching, smallMax)
	if x.control {
		l.requested()
	} else {
		c.Write(wsframe.AppendFrame(nil, wsframe.OpText, text), legQueueMax)
		x.begin(collected)
	}
	if collected != nil {
		bytebufferpool.Put(collected)
	}
	x.settle()
	x.rearm()
	if len(rest) > 0 && x.leg == l {
		l.Data(c, rest)
	}
	return true
}

// begin sends the body as far as it is here, and asks for the rest.
func (x *Exchange) begin(collected *bytebufferpool.ByteBuffer) {
	if collected != nil && collected.Len() > 0 {
		x.sendFrame(append(make([]byte, frameRoom), collected.B...))
	}
	p := x.rest
	x.rest = nil
	x.release(int64(len(p)))
	if len(p) == 0 && !x.upload.done {
		x.proceed()
	}
	x.forward(p)
	if x.phase == joined && !x.upload.done && !x.upload.paused {
		x.conn.Resume()
	}
}

// resume goes on reading the body when the listener has taken what was queued.
func (x *Exchange) resume() {
	if x.upload.paused {
		x.upload.paused = false
		x.upload.since = x.cfg.Now()
		x.rearm()
		x.conn.Resume()
	}
}
