package relayclient

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/wsframe"
)

// Addr is the address of an entity.
type Addr struct{ url string }

// Network is "relay".
func (Addr) Network() string { return "relay" }

// String is the URL of the entity: wss://host[:port]/path.
func (a Addr) String() string { return a.url }

// Request is what a sender asked for when it connected.
type Request struct {
	// ID is the tracking id of the sender.
	ID string
	// URL has the path that the sender asked for, the entity's and what
	// follows, and its query without parameters of the protocol.
	URL *url.URL
	// Header has the sender's headers, those of its handshake too. Its token
	// is not in it.
	Header http.Header
	// RemoteAddr is the address of the sender as the gateway saw it, host:port.
	RemoteAddr string
}

// Conn is an end of a relayed connection: a net.Conn. All methods may be called
// from any goroutine.
type Conn struct {
	w       *wire
	request *Request // nil for a sender
	local   net.Addr
	remote  net.Addr

	closed  atomic.Bool
	setting sync.Mutex // of deadlines: none is set behind Close
}

var _ net.Conn = (*Conn)(nil)

// Request is what the sender asked for, nil for a sender's own end.
func (c *Conn) Request() *Request { return c.request }

// Subprotocol is the subprotocol that both ends agreed on, if any.
func (c *Conn) Subprotocol() string { return c.w.subprotocol }

// Read reads what the other end has written, in the bounds of no messages.
//
//	Errors: io.EOF behind a Close with 1000 or without a code; a *CloseError
//	        behind any other; io.ErrUnexpectedEOF if the connection ended
//	        without a Close; os.ErrDeadlineExceeded, after which reading may
//	        go on.
func (c *Conn) Read(p []byte) (int, error) {
	w := c.w
	w.reading.Lock()
	defer w.reading.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for w.remain == 0 {
		if err := w.next(); err != nil {
			return 0, c.endOf(err)
		}
		w.frameDone() // of an empty frame
	}
	n, err := w.read(p)
	if err != nil {
		err = c.endOf(err)
	}
	return n, err
}

// endOf is what Read says at an error of the wire.
func (c *Conn) endOf(err error) error {
	var ce *CloseError
	if errors.As(err, &ce) &&
		(ce.Code == int(wsframe.CodeNormal) || ce.Code == int(wsframe.CodeNone)) {
		return io.EOF
	}
	if c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// Write sends p in binary messages of at most 64 KiB, and returns when the
// kernel has taken it. At a deadline n counts a message that has been begun; the
// rest of it, 64 KiB at most, goes with the next call of Write, CloseWrite or
// Close.
//
//	Errors: ErrWriteClosed, net.ErrClosed, os.ErrDeadlineExceeded. All end
//	        writing for good, but for a deadline without TLS.
func (c *Conn) Write(p []byte) (n int, err error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	w := c.w
	w.writing.Lock()
	defer w.unlockWrite()
	for n < len(p) {
		part := p[n:min(len(p), n+frameMax)]
		taken, err := w.writeFrameLocked(true, wsframe.OpBinary, part)
		if taken {
			n += len(part)
		}
		if err != nil {
			if c.closed.Load() {
				err = net.ErrClosed
			}
			return n, err
		}
	}
	return n, nil
}

// CloseWrite tells the other end that nothing more comes, by a Close with 1000;
// reading goes on. How the other end takes it is its own matter: one of this
// package or of .NET reads its end and may go on writing, while most WebSocket
// libraries close at once. A gateway ends a relayed connection that is closed
// in one direction and idle, Relayhouse after 60 s (docs/protocol.md, section
// 4.2).
func (c *Conn) CloseWrite() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.w.writing.Lock()
	defer c.w.unlockWrite()
	return c.w.closeWriteLocked(wsframe.CodeNormal, "", ErrWriteClosed)
}

// Close ends the connection in order, with a Close of 1000. What has been
// written still arrives. It waits for up to 3 s if the gateway takes nothing,
// and the connection lives on for up to 3 s in the background, until the other
// end has closed too.
func (c *Conn) Close() error {
	return c.closeWith(wsframe.CodeNormal, "")
}

// CloseWith is Close with a code and a reason for the other end.
//
//	Shape:  code is 1000, 1001, 1011 or 3000 to 4999; reason has at most 123
//	        bytes, more are cut off.
func (c *Conn) CloseWith(code int, reason string) error {
	if code != int(wsframe.CodeNormal) && code != int(wsframe.CodeGoingAway) &&
		code != int(wsframe.CodeInternal) && (code < 3000 || code > 4999) {
		return errors.New("relayclient: want a close code of 1000, 1001, 1011 or 3000 to 4999")
	}
	return c.closeWith(uint16(code), reason[:min(len(reason), wsframe.CloseReasonMax)])
}

func (c *Conn) closeWith(code uint16, reason string) error {
	c.setting.Lock()
	defer c.setting.Unlock()
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	_ = c.w.conn.SetReadDeadline(longAgo) // whoever reads gives way
	c.w.finish(code, reason)
	go c.w.linger()
	return nil
}

// LocalAddr is the entity's Addr for a listener, else the address of the TCP
// connection.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the sender's address, a *net.TCPAddr, for a listener, as far as
// the gateway told, else the entity's Addr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.deadline(t, c.w.conn.SetDeadline)
}

// SetReadDeadline ends Read at a time, also one that is waiting.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.deadline(t, c.w.conn.SetReadDeadline)
}

// SetWriteDeadline ends Write at a time, also one that is waiting.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.deadline(t, c.w.conn.SetWriteDeadline)
}

func (c *Conn) deadline(t time.Time, set func(time.Time) error) error {
	c.setting.Lock()
	defer c.setting.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	return set(t)
}
