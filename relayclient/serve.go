package relayclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/wsframe"
)

// answer serves a request that came on a control channel, whole. It does not
// wait.
func (l *Listener) answer(ch *channel, m *requestMessage, body []byte) {
	if !l.slot() {
		l.whenFree(m.ID, func() error {
			return ch.send(responseOf(m.ID, http.StatusServiceUnavailable, nil, false), nil)
		})
		return
	}
	l.serving.Go(func() {
		defer func() { <-l.requests }()
		address, err := parseAddress(m.Address, l.base)
		if err != nil {
			address = nil // a small response needs none
		}
		x := &exchange{l: l, ch: ch, id: m.ID, address: address}
		r, err := x.request(m)
		if err != nil {
			l.drop("request", m.ID, err)
			_ = ch.send(responseOf(m.ID, http.StatusBadGateway, nil, false), nil)
			return
		}
		defer x.cancel()
		// The channel's end is the request's, unless the response is on its
		// own connection by then.
		stop := context.AfterFunc(ch.ctx, x.channelLost)
		defer stop()
		r.Body = http.NoBody
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
		}
		x.serve(r)
	})
}

// fetch serves a request that is to be had on a rendezvous connection. It does
// not wait.
func (l *Listener) fetch(m *requestMessage) {
	address, err := parseAddress(m.Address, l.base)
	if err != nil {
		l.drop("request", m.ID, err)
		return
	}
	if !l.slot() {
		l.whenFree(m.ID, func() error { return l.fetched(address, true) })
		return
	}
	l.serving.Go(func() {
		defer func() { <-l.requests }()
		if err := l.fetched(address, false); err != nil {
			l.drop("request", m.ID, err)
		}
	})
}

func (l *Listener) slot() bool {
	select {
	case l.requests <- struct{}{}:
		return true
	default:
		return false
	}
}

// fetched opens the rendezvous connection of a request and serves it there, or
// refuses it with 503.
func (l *Listener) fetched(address *url.URL, refuse bool) error {
	w, err := l.openRendezvous(address, nil)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	x := &exchange{l: l}
	x.adopt(w)
	defer x.release()
	_ = w.conn.SetReadDeadline(time.Now().Add(openTimeout))
	op, p, err := w.message(messageMax)
	if err != nil {
		w.abort()
		return fmt.Errorf("fetch: %w", err)
	}
	_ = w.conn.SetReadDeadline(time.Time{})
	c, err := parseCommand(p)
	if err == nil && (op != wsframe.OpText || c.Request == nil || c.Request.Method == "") {
		err = fmt.Errorf("%w: a rendezvous connection that begins with no request", ErrProtocol)
	}
	var r *http.Request
	if err == nil {
		x.id = c.Request.ID
		r, err = x.request(c.Request)
	}
	if err != nil {
		w.finish(wsframe.CodeProtocol, "")
		w.abort()
		return err
	}
	defer x.cancel()
	if c.Request.Body {
		r.Body, r.ContentLength = &bodyReader{x: x}, -1
	} else {
		r.Body = http.NoBody
		x.watch()
	}
	if refuse {
		x.WriteHeader(http.StatusServiceUnavailable)
		x.end()
		return nil
	}
	x.serve(r)
	return nil
}

// request makes an http.Request of a message, without a body, and the exchange's
// context.
func (x *exchange) request(m *requestMessage) (*http.Request, error) {
	u, err := parseTarget(m.RequestTarget)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(x.l.ctx)
	x.cancel = cancel
	x.method, x.header = m.Method, http.Header{}
	r := (&http.Request{
		Method: m.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: m.RequestHeaders.header(), RemoteAddr: m.RemoteEndpoint.String(),
		RequestURI: u.RequestURI(),
	}).WithContext(ctx)
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	return r, nil
}

// serve calls the handler and completes the response.
func (x *exchange) serve(r *http.Request) {
	h := x.l.handler.Load()
	if h == nil {
		x.WriteHeader(http.StatusNotImplemented)
		x.end()
		return
	}
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				trace := make([]byte, 16<<10)
				trace = trace[:runtime.Stack(trace, false)]
				x.l.o.Logger.Error("handler panicked", "id", x.id, "panic", p,
					"stack", string(trace))
			}
			x.fail()
		}
	}()
	(*h).ServeHTTP(x, r)
	x.end()
}

// bodyReader is the body of a request on its rendezvous connection: one binary
// message.
type bodyReader struct {
	x      *exchange
	done   atomic.Bool // the message has been read; the connection is watched
	closed atomic.Bool
}

// Read reads the body; it is for one goroutine.
//
//	Errors: io.EOF behind the last byte; http.ErrBodyReadAfterClose;
//	        io.ErrUnexpectedEOF and *CloseError when the sender goes away.
func (b *bodyReader) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.done.Load():
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	w := b.x.w
	w.reading.Lock()
	defer w.reading.Unlock()
	for w.remain == 0 {
		if err := w.next(); err != nil {
			return 0, b.failed(err)
		}
		if b.advance(); b.done.Load() {
			return 0, io.EOF
		}
	}
	n, err := w.read(p)
	if err != nil {
		return 0, b.failed(err)
	}
	b.advance()
	return n, nil
}

// advance notices the end of the message, behind which the connection is only
// watched.
func (b *bodyReader) advance() {
	w := b.x.w
	if w.remain == 0 && w.fin {
		w.frameDone()
		b.done.Store(true)
		b.x.watch()
	}
}

func (b *bodyReader) failed(err error) error {
	if b.closed.Load() {
		return http.ErrBodyReadAfterClose
	}
	b.x.cancel()
	var ce *CloseError
	if errors.As(err, &ce) {
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return err
}

// Close makes later reads fail. What has not been read is dropped at the end of
// the exchange.
func (b *bodyReader) Close() error {
	b.closed.Store(true)
	return nil
}
