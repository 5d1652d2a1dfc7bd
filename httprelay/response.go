package httprelay

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/internal/ascii"
	"github.com/relayhouse/relayhouse/metrics"
)

// framing is how the sender learns where the response's body ends.
type framing uint8

const (
	framedEmpty   framing = iota // there is no body, whatever the listener sends
	framedLength                 // by the listener's Content-Length
	framedChunked                // by the last chunk
	framedClose                  // by the end of the connection, for HTTP/1.0
)

// response is the listener's response on its way to the sender.
type response struct {
	out     *[]byte   // not yet written, nil if nothing
	remain  int64     // of framedLength
	since   time.Time // when something of it came last
	status  int
	framing framing
	begun   bool
	relayed bool // it is the listener's
	close   bool // the connection ends behind it
}

// Respond begins the response (docs/protocol.md, section 5.6). The head waits
// for the first part of the body or flush, whichever is first.
func (x *Exchange) Respond(r hyco.Response) {
	p := &x.response
	if p.begun || x.phase >= flushing {
		return
	}
	empty := x.Bodyless(r.Status)
	if !empty && !r.Body && r.Length > 0 {
		x.Fail(hyco.RefusalBadResponse.Because("it has a Content-Length and no body"))
		return
	}
	p.close = p.close || r.Close || !x.upload.done || !x.keepAlive()
	p.begun, p.relayed, p.status = true, true, r.Status
	switch {
	case empty || !r.Body:
	case r.Length >= 0:
		p.framing, p.remain = framedLength, r.Length
	case x.minor == 0:
		p.framing = framedClose
	default:
		p.framing = framedChunked
	}
	now := x.cfg.Now()
	p.since = now
	x.cfg.Counters.HTTPResponse(r.Status, now.Sub(x.req.Start))
	p.out = takeBuffer()
	*p.out = x.appendHead(*p.out, &r, empty)
	if p.framing == framedEmpty {
		x.responded()
		return
	}
	x.rearm()
}

// Bodyless says whether a response of that status has no body, whatever the
// listener sends. From any loop.
func (x *Exchange) Bodyless(status int) bool {
	return x.method == http.MethodHead || status == http.StatusNoContent ||
		status == http.StatusNotModified
}

// appendHead appends the response's head.
func (x *Exchange) appendHead(b []byte, r *hyco.Response, empty bool) []byte {
	b = httphead.AppendStatus(b, r.Status, r.Phrase)
	via, dated := "", false
	for _, f := range r.Fields {
		switch {
		case ascii.EqualFold(f.Name, "Via"):
			via += f.Value + ", "
			continue
		case ascii.EqualFold(f.Name, "Date"):
			dated = true
		}
		b = httphead.AppendField(b, f.Name, f.Value)
	}
	b = httphead.AppendField(b, "Via", via+"1.1 "+x.req.Via)
	if !dated {
		b = append(b, "Date: "...)
		b = x.cfg.Now().UTC().AppendFormat(b, http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	length := r.Length
	if !empty && !r.Body {
		length = 0
	}
	switch {
	case x.response.framing == framedChunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Status == http.StatusNoContent || x.response.framing == framedClose || length < 0:
	default:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, "\r\n"...)
	}
	if x.response.close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// Body takes the next part of the response's body, which it does not keep; fin
// marks the last.
func (x *Exchange) Body(data []byte, fin bool) {
	p := &x.response
	if !p.begun || x.phase >= flushing {
		return
	}
	if len(data) > 0 {
		p.since = x.cfg.Now()
	}
	excess := false
	if p.framing == framedLength {
		excess = int64(len(data)) > p.remain
		data = data[:min(int64(len(data)), p.remain)]
		p.remain -= int64(len(data))
	}
	if p.out == nil {
		p.out = takeBuffer()
	}
	switch {
	case len(data) == 0:
	case p.framing == framedChunked:
		*p.out = httphead.AppendChunk(*p.out, data)
	default:
		*p.out = append(*p.out, data...)
	}
	x.cfg.Counters.HTTPBytesToSender.Add(uint64(len(data)))
	switch {
	case excess, fin && p.framing == framedLength && p.remain > 0:
		x.abort(metrics.CloseProtocol)
	case fin:
		if p.framing == framedChunked {
			*p.out = append(*p.out, httphead.LastChunk...)
		}
		x.responded()
	}
}

// Flush writes what has been taken and not been written.
func (x *Exchange) Flush() {
	x.response.flush(x)
	x.rearm()
}

// responded ends the exchange: the response is whole.
func (x *Exchange) responded() {
	x.response.flush(x)
	x.complete(!x.response.close && !x.gateway.Closing())
}

// flush writes what has been collected of the response.
func (p *response) flush(x *Exchange) {
	if p.out == nil {
		return
	}
	if len(*p.out) > 0 {
		// The listener is paused while anything is queued, and on a control
		// channel a body is bounded: so is the queue.
		x.conn.Write(*p.out, math.MaxInt)
	}
	p.discard()
}

func (p *response) discard() {
	if p.out != nil {
		giveBuffer(p.out)
		p.out = nil
	}
}
