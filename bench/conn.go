package bench

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// responseHeadMax bounds the response to a handshake, in bytes. The
	// gateway's own is a few hundred.
	responseHeadMax = 8 << 10
	// handshakeKey is sent by every handshake; it is the sample nonce of RFC
	// 6455 §1.3, so the expected answer is known in advance.
	handshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="
	// handshakeGUID is fixed by RFC 6455 §1.3.
	handshakeGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// handshakeAccept is the Sec-WebSocket-Accept that answers handshakeKey.
var handshakeAccept = func() string {
	sum := sha1.Sum([]byte(handshakeKey + handshakeGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

// A refusal is a handshake answered with another status than 101.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("handshake refused: %d %s", r.status, r.reason)
}

// An owner hears what happens to its connections, always on the loop.
type owner interface {
	// opened: the handshake was answered with 101.
	opened(c *conn)
	// received: some frames were read. messages is how many data messages
	// ended; c.rx holds the totals and whether a Close has come.
	received(c *conn, messages int)
	// drained: the kernel has taken everything that was sent, after it had
	// refused some; on a leg that streams, whenever there is room.
	drained(c *conn)
	// lost: the connection is gone. io.EOF when the gateway ended it in
	// order, a *refusal when it refused the handshake. Not called for
	// connections that this side closed.
	lost(c *conn, err error)
}

// A conn is one leg: the TCP connection, the WebSocket handshake on it, then
// frames; or a sender's connection for HTTP requests, which is plain. It belongs
// to its loop.
type conn struct {
	loop  *loop
	fd    int
	owner owner
	rx    frameReader
	// plain, when set, takes what was read on a connection that carries no
	// WebSocket; its error ends the connection.
	plain func(p []byte) error
	// arrival, when set, answers the handshake of a connection that came in
	// through the driver's door, instead of waiting for an answer.
	arrival func(c *conn, head string) error
	// secure is the TLS of the connection, nil without.
	secure *secureLeg

	upgraded bool
	gone     bool
	broken   error  // of a write; the read side will notice, too
	in, out  bool   // what the poller watches for
	streams  bool   // drained is wanted whenever there is room
	head     []byte // response so far, when it came in pieces
	unsent   []byte // what the kernel has not taken yet, with TLS: records
}

// send queues p and writes what the kernel takes. p must not change until
// everything was sent. Whether that is so now is reported by idle.
func (c *conn) send(p []byte) {
	if c.gone || c.broken != nil {
		return
	}
	if c.secure != nil {
		c.seal(p)
		return
	}
	if len(c.unsent) > 0 {
		// The capacity is cut so that append copies: unsent may be a part
		// of a shared, prebuilt frame.
		c.unsent = append(c.unsent[:len(c.unsent):len(c.unsent)], p...)
		return
	}
	c.unsent = p
	c.flush()
}

// idle reports whether everything sent so far was taken by the kernel.
func (c *conn) idle() bool {
	return len(c.unsent) == 0 && !c.gone && c.broken == nil &&
		(c.secure == nil || len(c.secure.queued) == 0)
}

func (c *conn) flush() {
	for len(c.unsent) > 0 {
		n, err := writeFD(c.fd, c.unsent)
		if err != nil {
			if !errors.Is(err, errAgain) {
				c.broken, c.unsent = err, nil
				return
			}
			c.setInterest(c.in, true)
			return
		}
		c.unsent = c.unsent[n:]
	}
	c.unsent = nil
}

// writable continues what the kernel had refused.
func (c *conn) writable() {
	c.flush()
	if len(c.unsent) > 0 {
		return
	}
	if c.upgraded && c.broken == nil {
		c.owner.drained(c)
	}
	c.setInterest(c.in, c.broken == nil && (c.streams || len(c.unsent) > 0))
}

// stream asks for drained whenever the socket has room, until it is stopped.
func (c *conn) stream(on bool) {
	c.streams = on
	c.setInterest(c.in, on || len(c.unsent) > 0)
}

// pause stops and resume restarts reading from the socket.
func (c *conn) pause()  { c.setInterest(false, c.out) }
func (c *conn) resume() { c.setInterest(true, c.out) }

func (c *conn) setInterest(in, out bool) {
	if c.gone || (c.in == in && c.out == out) {
		return
	}
	c.in, c.out = in, out
	if err := c.loop.poll.watch(c.fd, in, out, false); err != nil {
		c.fail(err)
	}
}

// readable reads once and follows what came.
func (c *conn) readable() {
	n, err := readFD(c.fd, c.loop.buf)
	switch {
	case errors.Is(err, errAgain):
		return
	case err != nil:
		c.fail(err)
		return
	case n == 0:
		c.fail(io.EOF)
		return
	}
	if p := c.loop.buf[:n]; c.secure != nil {
		c.open(p)
	} else {
		c.take(p)
	}
}

// take follows bytes of the gateway; p stays as it is until take returns.
func (c *conn) take(p []byte) {
	if c.plain != nil {
		if err := c.plain(p); err != nil {
			c.fail(err)
		}
		return
	}
	if !c.upgraded {
		var err error
		if p, err = c.response(p); err != nil {
			c.fail(err)
			return
		}
		if !c.upgraded {
			return
		}
		if c.owner.opened(c); c.gone || len(p) == 0 {
			return
		}
	}
	closed := c.rx.closed
	messages, err := c.rx.feed(p)
	if err != nil {
		c.fail(err)
		return
	}
	if len(c.rx.reply) > 0 {
		c.send(bytes.Clone(c.rx.reply))
		c.rx.reply = c.rx.reply[:0]
	}
	if messages > 0 || c.rx.closed != closed {
		c.owner.received(c, messages)
	}
}

// response consumes the answer to the handshake and returns what follows it.
// The bytes after it in p stay valid as long as p.
func (c *conn) response(p []byte) ([]byte, error) {
	if len(c.head) > 0 {
		c.head = append(c.head, p...)
		p = c.head
	}
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) > responseHeadMax {
			return nil, fmt.Errorf("response head over %d bytes", responseHeadMax)
		}
		if len(c.head) == 0 {
			c.head = bytes.Clone(p)
		}
		return nil, nil
	}
	check := checkResponse
	if c.arrival != nil {
		check = func(head string) error { return c.arrival(c, head) }
	}
	if err := check(string(p[:end])); err != nil {
		return nil, err
	}
	c.head, c.upgraded = nil, true
	return p[end+4:], nil
}

// checkResponse returns nil when head accepts the handshake.
func checkResponse(head string) error {
	line, fields, _ := strings.Cut(head, "\r\n")
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	code, reason, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !ok || err != nil {
		return fmt.Errorf("not a response: %.40q", line)
	}
	if status != 101 {
		return &refusal{status: status, reason: reason}
	}
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "Sec-WebSocket-Accept") {
			if strings.TrimSpace(value) == handshakeAccept {
				return nil
			}
			return fmt.Errorf("wrong Sec-WebSocket-Accept %q", value)
		}
	}
	return errors.New("response without Sec-WebSocket-Accept")
}

// fail ends the connection and tells the owner.
func (c *conn) fail(err error) {
	if err == io.EOF && !c.upgraded && c.broken != nil {
		// A refused connect shows in the first write only.
		err = c.broken
	}
	if c.forget() {
		closeFD(c.fd)
		c.owner.lost(c, err)
	}
}

// close ends the connection with a FIN, abort with a reset. Neither tells the
// owner.
func (c *conn) close() {
	if c.forget() {
		closeFD(c.fd)
	}
}

func (c *conn) abort() {
	if c.forget() {
		abortFD(c.fd)
	}
}

// forget takes the connection off its loop; false when it was gone before.
func (c *conn) forget() bool {
	if c.gone {
		return false
	}
	c.gone, c.unsent = true, nil
	if c.secure != nil {
		c.secure.stop()
		c.loop.sealed = c.loop.sealed[:0] // no alert for nobody
	}
	c.loop.conns[c.fd] = nil
	return true
}
