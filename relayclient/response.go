package relayclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/wsframe"
)

// exchange is an HTTP request and the http.ResponseWriter of its response.
//
// What the handler writes is collected up to bodyMax. If that was all, it goes
// over the control channel on which the request came. Otherwise, and when the
// handler flushes, the response goes over a rendezvous connection, and is a
// stream from then on. A request that came on a rendezvous connection is
// answered there. Source: docs/protocol.md, section 5.5.
//
// Like that of net/http it adds Content-Type and, if all is known at the end,
// Content-Length. It knows no trailers and no informational responses.
type exchange struct {
	// Fixed before the handler runs.
	l       *Listener
	ch      *channel // on which the request came whole; nil for one that was fetched
	id      string
	address *url.URL // where the response may go in place of ch; nil: nowhere
	method  string
	cancel  context.CancelFunc
	header  http.Header // the handler's

	mu sync.Mutex
	// Guarded by mu.
	w       *wire // the rendezvous connection, if there is one
	release func() bool
	status  int         // 0 before WriteHeader
	fixed   http.Header // the headers at WriteHeader
	length  int64       // Content-Length of the handler, or -1
	written int64
	buf     []byte
	begun   bool // the head is on the rendezvous connection
	middle  bool // and a part of the body
	ended   bool
	err     error // why nothing can be written any more
}

var _ http.Flusher = (*exchange)(nil)

// errNowhere: a response that does not fit where it could go.
var errNowhere = fmt.Errorf("%w: a request without a rendezvous address", ErrProtocol)

// adopt makes w the connection of the exchange; Close of the listener ends it.
func (x *exchange) adopt(w *wire) {
	x.w = w
	x.release = context.AfterFunc(x.l.ctx, w.abort)
}

// watch has the exchange cancelled when the connection ends, of which nothing
// else is read any more.
func (x *exchange) watch() {
	w := x.w
	go func() {
		w.reading.Lock()
		defer w.reading.Unlock()
		for w.end == nil && w.skip() == nil {
		}
		x.cancel()
	}()
}

// channelLost cancels the exchange if only the control channel could take its
// response.
func (x *exchange) channelLost() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.w == nil {
		x.cancel()
	}
}

// Header has the headers of the response; changes behind the first Write,
// WriteHeader or Flush do nothing.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader sets the status. Informational ones do nothing.
func (x *exchange) WriteHeader(status int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeaderLocked(status)
}

func (x *exchange) writeHeaderLocked(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("relayclient: invalid status %d", status)) // as net/http does
	}
	if x.ended || x.status != 0 || status < 200 {
		return
	}
	x.status, x.fixed, x.length = status, x.header.Clone(), -1
	if text := x.fixed.Get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			x.fixed.Del("Content-Length")
		} else {
			x.length = n
		}
	}
}

// Write collects or sends a part of the body.
//
//	Errors: http.ErrBodyNotAllowed, http.ErrContentLength; net.ErrClosed behind
//	        the handler's end; those of the rendezvous connection.
func (x *exchange) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return 0, net.ErrClosed
	}
	if x.status == 0 {
		x.writeHeaderLocked(http.StatusOK)
	}
	switch {
	case x.err != nil:
		return 0, x.err
	case x.method == http.MethodHead:
		return len(p), nil
	case !bodyAllowed(x.status):
		return 0, http.ErrBodyNotAllowed
	case x.length >= 0 && x.written+int64(len(p)) > x.length:
		return 0, http.ErrContentLength
	}
	x.written += int64(len(p))
	if len(x.buf)+len(p) <= bodyMax {
		x.buf = append(x.buf, p...)
		return len(p), nil
	}
	if err := x.stream(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// Flush sends what has been collected.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is Flush for http.ResponseController.
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return net.ErrClosed
	}
	if x.status == 0 {
		x.writeHeaderLocked(http.StatusOK)
	}
	if x.err != nil || x.method == http.MethodHead || !bodyAllowed(x.status) {
		return x.err
	}
	return x.stream(nil)
}

// EnableFullDuplex is for http.ResponseController: it always is.
func (x *exchange) EnableFullDuplex() error { return nil }

// stream sends what has been collected, and p, over the rendezvous connection.
func (x *exchange) stream(p []byte) error {
	sample := x.buf
	if len(sample) == 0 {
		sample = p
	}
	x.begin(sample, true)
	for _, part := range [][]byte{x.buf, p} {
		if x.err == nil && len(part) > 0 {
			x.err = x.w.write(wsframe.OpBinary, part, !x.middle, false)
			x.middle = true
		}
	}
	x.buf = x.buf[:0]
	return x.err
}

// begin sends the head over the rendezvous connection, which it opens if need
// be. sample is the beginning of the body.
func (x *exchange) begin(sample []byte, body bool) {
	if x.begun || x.err != nil {
		return
	}
	if x.w == nil {
		if x.address == nil {
			x.err = errNowhere
			return
		}
		w, err := x.l.openRendezvous(x.address, nil)
		if err != nil {
			x.err = fmt.Errorf("response: %w", err)
			x.cancel()
			return
		}
		x.adopt(w)
		x.watch()
	}
	x.begun = true
	x.err = x.w.writeJSON(x.head(sample, body))
}

// head is the message of the response.
func (x *exchange) head(sample []byte, body bool) responseMessage {
	if len(sample) > 0 && len(x.fixed["Content-Type"]) == 0 &&
		x.fixed.Get("Content-Encoding") == "" {
		x.fixed.Set("Content-Type", http.DetectContentType(sample))
	}
	return responseOf(x.id, x.status, x.fixed, body)
}

// end completes the response when the handler has returned.
func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.status == 0 {
		x.writeHeaderLocked(http.StatusOK)
	}
	if x.ended = true; x.err == nil && !x.onChannel() {
		x.complete()
	}
	if x.err != nil && !errors.Is(x.err, context.Canceled) {
		x.l.drop("response", x.id, x.err)
	}
	if x.w != nil {
		if x.err == nil {
			x.w.finish(wsframe.CodeNormal, "")
			x.w.linger()
		}
		x.w.abort()
		x.release()
	}
}

// onChannel sends the response over the control channel, if that is its place.
func (x *exchange) onChannel() bool {
	if x.w != nil || x.begun {
		return false
	}
	if n := len(x.buf); n > 0 && x.length < 0 {
		x.fixed.Set("Content-Length", strconv.Itoa(n))
	}
	m := x.head(x.buf, len(x.buf) > 0)
	if x.address != nil && m.size() > hyco.MaxControlRequest {
		return false
	}
	x.err = x.ch.send(m, x.buf)
	return true
}

// complete sends the rest of the response over the rendezvous connection.
func (x *exchange) complete() {
	body := x.begun || len(x.buf) > 0
	if !x.begun && body && x.length < 0 {
		x.fixed.Set("Content-Length", strconv.Itoa(len(x.buf)))
	}
	if x.begin(x.buf, body); x.err == nil && body {
		x.err = x.w.write(wsframe.OpBinary, x.buf, !x.middle, true)
	}
}

// fail is end for a handler that panicked: 500, or a response that is cut.
func (x *exchange) fail() {
	x.mu.Lock()
	if x.begun {
		x.err = http.ErrAbortHandler
	} else {
		clear(x.header)
		x.status, x.buf = 0, nil
		x.writeHeaderLocked(http.StatusInternalServerError)
	}
	x.mu.Unlock()
	x.end()
}

// responseMessage is docs/protocol.md, section 5.5.
type responseMessage struct {
	Response struct {
		RequestID         string         `json:"requestId"`
		StatusCode        int            `json:"statusCode"`
		StatusDescription string         `json:"statusDescription,omitempty"`
		ResponseHeaders   map[string]any `json:"responseHeaders"`
		Body              bool           `json:"body"`
	} `json:"response"`
}

// responseOf makes a response message. Several values of a header are joined,
// those of Set-Cookie are an array.
func responseOf(id string, status int, header http.Header, body bool) responseMessage {
	var m responseMessage
	r := &m.Response
	r.RequestID, r.StatusCode, r.Body = id, status, body
	r.StatusDescription = http.StatusText(status)
	r.ResponseHeaders = make(map[string]any, len(header))
	for name, values := range header {
		if !isToken(name) || len(values) == 0 {
			continue // as net/http does
		}
		clean := make([]string, len(values))
		for i, value := range values {
			clean[i] = cleanValue(value)
		}
		if name == "Set-Cookie" && len(clean) > 1 {
			r.ResponseHeaders[name] = clean
			continue
		}
		r.ResponseHeaders[name] = strings.Join(clean, ", ")
	}
	return m
}

// size is about the bytes of the message.
func (m *responseMessage) size() (n int) {
	for name, value := range m.Response.ResponseHeaders {
		n += len(name) + len(fmt.Sprint(value)) + len(`"":"",`)
	}
	return n
}

// isToken says whether a text may be the name of a header (RFC 9110 section
// 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return name != ""
}

// cleanValue makes blanks of control characters, which would cost the response.
func cleanValue(value string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, value))
}
