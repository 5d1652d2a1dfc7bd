package relayclient

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/relayhouse/relayhouse/wsframe"
)

const (
	// readBuffer is the buffer of a connection's reader, in bytes. It must
	// hold a whole control frame.
	readBuffer = 16 << 10

	// frameMax is the payload of the largest frame that is written, in bytes.
	// The gateway cuts larger ones (docs/protocol.md, section 4.1).
	frameMax = wsframe.ChunkMax

	// closeTimeout bounds what is done for an orderly end: writing a Close,
	// and waiting for the other one.
	closeTimeout = 3 * time.Second
)

// longAgo is a deadline that interrupts.
var longAgo = time.Unix(1, 0)

// wire is the client's end of a WebSocket: frames over a stream. No library
// does what the relay needs: a Close that ends one direction only, deadlines
// that leave the connection alive, messages that are flushed before their end.
//
// Reading is for one goroutine at a time, which holds reading; any goroutine
// may write.
type wire struct {
	// Fixed after newWire.
	conn        net.Conn           // for deadlines and addresses
	stream      io.ReadWriteCloser // its bytes, those behind the handshake first
	subprotocol string             // that was agreed
	idle        time.Duration      // of the longest silence, if not 0

	reading sync.Mutex
	// Guarded by reading.
	r      *bufio.Reader
	remain uint64         // payload of the current data frame that is unread
	op     wsframe.Opcode // of the current message; OpContinuation: between two
	fin    bool           // the current frame is its message's last
	end    error          // what Read will say from now on

	writing sync.Mutex
	// Guarded by writing.
	cut    []byte // rest of a frame of which a deadline let a part pass
	broken error  // a write failed, or a Close has been written

	pongs sync.Mutex
	pong  []byte // payload of a Ping that is to be answered; guarded by pongs
}

func newWire(conn net.Conn, stream io.ReadWriteCloser, subprotocol string) *wire {
	return &wire{conn: conn, stream: stream, subprotocol: subprotocol,
		r: bufio.NewReaderSize(stream, readBuffer)}
}

// frames is where buffers for frames that are written come from: the
// bytes of whoever writes must stay as they are.
var frames = sync.Pool{New: func() any { return new([wsframe.MaskedHeaderMax + frameMax]byte) }}

// writeFrameLocked writes a frame of at most frameMax bytes, in one call. An
// error stays, unless it is a deadline: then taken says whether the frame has
// been begun, in which case its rest goes before the next one.
func (w *wire) writeFrameLocked(fin bool, op wsframe.Opcode, p []byte) (taken bool, err error) {
	if err := w.writeCutLocked(); err != nil {
		return false, err
	}
	if w.broken != nil {
		return false, w.broken
	}
	buf := frames.Get().(*[wsframe.MaskedHeaderMax + frameMax]byte)
	defer frames.Put(buf)
	b := buf[:2]
	b[0] = byte(op)
	if fin {
		b[0] |= 0x80
	}
	switch {
	case len(p) <= 125:
		b[1] = 0x80 | byte(len(p))
	case len(p) <= 0xffff:
		b[1] = 0x80 | 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	default:
		b[1] = 0x80 | 127
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
	}
	var key [4]byte
	_, _ = rand.Read(key[:]) // crypto/rand says that it never fails
	b = append(append(b, key[:]...), p...)
	mask(b[len(b)-len(p):], key)
	n, err := w.stream.Write(b)
	if n > 0 && n < len(b) {
		w.cut = bytes.Clone(b[n:])
	}
	return n > 0, w.writeFailedLocked(err)
}

// writeCutLocked writes the rest of a frame.
func (w *wire) writeCutLocked() error {
	if len(w.cut) == 0 {
		return nil
	}
	n, err := w.stream.Write(w.cut)
	w.cut = w.cut[n:]
	return w.writeFailedLocked(err)
}

// writeFailedLocked keeps an error, unless it is a deadline's. Behind one
// crypto/tls fails for good, and says so.
func (w *wire) writeFailedLocked(err error) error {
	if err != nil && !isTimeout(err) {
		w.broken, w.cut = err, nil
	}
	return err
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// mask applies a masking key (RFC 6455 section 5.3).
func mask(p []byte, key [4]byte) {
	wide := uint64(binary.LittleEndian.Uint32(key[:]))
	wide |= wide << 32
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
	}
	for i := range p {
		p[i] ^= key[i&3]
	}
}

// unlockWrite ends a turn of writing; a Pong that was due in it follows.
func (w *wire) unlockWrite() {
	w.writing.Unlock()
	w.flushPong()
}

// flushPong answers a Ping, unless somebody writes, who will. A reader never
// waits for a writer: the other end may be waiting for the reader.
func (w *wire) flushPong() {
	for {
		w.pongs.Lock()
		due := w.pong != nil
		w.pongs.Unlock()
		if !due || !w.writing.TryLock() {
			return
		}
		w.pongs.Lock()
		p := w.pong
		w.pong = nil
		w.pongs.Unlock()
		if p != nil {
			_, _ = w.writeFrameLocked(true, wsframe.OpPong, p) // the next write reports it
		}
		w.writing.Unlock()
	}
}

// write writes a part of a message, in frames of at most frameMax bytes. first
// says that it begins the message, fin that it ends it.
func (w *wire) write(op wsframe.Opcode, p []byte, first, fin bool) error {
	w.writing.Lock()
	defer w.unlockWrite()
	return w.writeLocked(op, p, first, fin)
}

func (w *wire) writeLocked(op wsframe.Opcode, p []byte, first, fin bool) error {
	for {
		if !first {
			op = wsframe.OpContinuation
		}
		n := min(len(p), frameMax)
		if _, err := w.writeFrameLocked(fin && n == len(p), op, p[:n]); err != nil {
			return err
		}
		if p, first = p[n:], false; len(p) == 0 {
			return nil
		}
	}
}

// writeJSON writes a text message.
func (w *wire) writeJSON(message any) error {
	p, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return w.write(wsframe.OpText, p, true, true)
}

// ping writes a Ping.
func (w *wire) ping() error {
	w.writing.Lock()
	defer w.unlockWrite()
	_, err := w.writeFrameLocked(true, wsframe.OpPing, nil)
	return err
}

// closeWriteLocked writes a Close; later writes fail with then.
func (w *wire) closeWriteLocked(code uint16, reason string, then error) error {
	var p []byte
	if code != wsframe.CodeNone {
		p = append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	taken, err := w.writeFrameLocked(true, wsframe.OpClose, p)
	if taken {
		w.broken = then
	}
	return err
}

// finish writes a Close, unless one has been written, within closeTimeout,
// which holds for those who are writing too; later writes are net.ErrClosed.
func (w *wire) finish(code uint16, reason string) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.closeWriteLocked(code, reason, net.ErrClosed)
	if errors.Is(w.broken, ErrWriteClosed) {
		w.broken = net.ErrClosed
	}
}

// linger reads and drops what comes until the other end is done, within
// closeTimeout, and closes: to close with bytes unread would reset the
// connection and take what was written with it.
func (w *wire) linger() {
	_ = w.conn.SetReadDeadline(longAgo) // whoever reads gives way
	w.reading.Lock()
	defer w.reading.Unlock()
	w.idle = 0
	_ = w.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	for w.end == nil && w.skip() == nil {
	}
	w.abort()
}

// abort closes the connection as it is.
func (w *wire) abort() { _ = w.stream.Close() }

// fail ends reading with an error that the gateway has caused, and tells it.
// The caller holds reading.
func (w *wire) fail(code uint16, err error) error {
	w.end = err
	w.finish(code, "")
	return err
}

// next reads frames up to the header of the next data frame, and answers
// Pings. The caller holds reading.
//
//	Shape:  w.remain is 0 before and the payload's length after it; op and fin
//	        are those of the message.
//	Errors: those that stay are in w.end: a *CloseError (with 1000 and 1005
//	        too), io.ErrUnexpectedEOF, ErrProtocol. A timeout is not, and next
//	        goes on where it was.
func (w *wire) next() error {
	for w.end == nil {
		if w.idle > 0 {
			_ = w.conn.SetReadDeadline(time.Now().Add(w.idle))
		}
		h, size, err := w.header()
		if err != nil {
			return err
		}
		if h.op.Control() {
			if err := w.control(h, size); err != nil {
				return err
			}
			continue
		}
		if (h.op == wsframe.OpContinuation) != (w.op != wsframe.OpContinuation) {
			return w.fail(wsframe.CodeProtocol,
				fmt.Errorf("%w: a frame out of order", ErrProtocol))
		}
		_, _ = w.r.Discard(size)
		if h.op != wsframe.OpContinuation {
			w.op = h.op
		}
		w.remain, w.fin = h.length, h.fin
		return nil
	}
	return w.end
}

// frameHeader is the header of a frame from the gateway.
type frameHeader struct {
	op     wsframe.Opcode
	fin    bool
	length uint64
}

// header looks at the next header, which stays in the buffer.
func (w *wire) header() (h frameHeader, size int, err error) {
	p, err := w.peek(2)
	if err != nil {
		return h, 0, err
	}
	h.op, h.fin, h.length = wsframe.Opcode(p[0]&0x0f), p[0]&0x80 != 0, uint64(p[1])
	size = 2
	switch p[1] {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if p, err = w.peek(size); err != nil {
		return h, 0, err
	}
	switch size {
	case 4:
		h.length = uint64(binary.BigEndian.Uint16(p[2:]))
	case 10:
		h.length = binary.BigEndian.Uint64(p[2:])
	}
	known := h.op <= wsframe.OpBinary || wsframe.OpClose <= h.op && h.op <= wsframe.OpPong
	if p[0]&0x70 != 0 || p[1]&0x80 != 0 || !known || h.length>>63 != 0 ||
		h.op.Control() && (!h.fin || h.length > wsframe.ControlMax) {
		return h, 0, w.fail(wsframe.CodeProtocol, fmt.Errorf("%w: an invalid frame", ErrProtocol))
	}
	return h, size, nil
}

// peek waits for n bytes, which stay in the buffer.
func (w *wire) peek(n int) ([]byte, error) {
	p, err := w.r.Peek(n)
	if err != nil {
		return nil, w.lost(err)
	}
	return p, nil
}

// lost makes what reading ends with of an error of the stream.
func (w *wire) lost(err error) error {
	if isTimeout(err) && w.idle == 0 {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	w.end = err
	return err
}

// control takes a control frame, of which the header has been looked at.
func (w *wire) control(h frameHeader, size int) error {
	p, err := w.peek(size + int(h.length))
	if err != nil {
		return err
	}
	p = p[size:]
	switch h.op {
	case wsframe.OpPing:
		w.pongs.Lock()
		w.pong = append(make([]byte, 0, len(p)), p...)
		w.pongs.Unlock()
		w.flushPong()
	case wsframe.OpClose:
		code, reason, err := wsframe.ParseClose(p)
		if err != nil {
			return w.fail(wsframe.CodeProtocol, fmt.Errorf("%w: an invalid Close", ErrProtocol))
		}
		w.end = &CloseError{Code: int(code), Reason: string(reason)}
		return w.end
	}
	_, _ = w.r.Discard(size + int(h.length))
	return nil
}

// read reads payload of the current frame, which has some left.
// The caller holds reading.
func (w *wire) read(p []byte) (int, error) {
	if w.end != nil {
		return 0, w.end
	}
	if uint64(len(p)) > w.remain {
		p = p[:w.remain]
	}
	if w.idle > 0 {
		_ = w.conn.SetReadDeadline(time.Now().Add(w.idle))
	}
	n, err := w.r.Read(p)
	w.remain -= uint64(n)
	if err != nil && n == 0 {
		return 0, w.lost(err)
	}
	w.frameDone()
	return n, nil
}

// frameDone leaves the message behind its last byte.
func (w *wire) frameDone() {
	if w.remain == 0 && w.fin {
		w.op = wsframe.OpContinuation
	}
}

// skip drops the rest of the current frame and goes to the next one.
func (w *wire) skip() error {
	for w.remain > 0 {
		n, err := w.r.Discard(int(min(w.remain, readBuffer)))
		w.remain -= uint64(n)
		if err != nil && n == 0 {
			return w.lost(err)
		}
	}
	w.frameDone()
	return w.next()
}

// message reads a whole message of at most limit bytes. It must stand between
// two messages.
func (w *wire) message(limit int) (op wsframe.Opcode, p []byte, err error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	for done := false; !done; {
		if err := w.next(); err != nil {
			return 0, nil, err
		}
		op = w.op
		done = w.fin
		if w.remain > uint64(limit-len(p)) {
			return 0, nil, w.fail(wsframe.CodeTooLarge, ErrTooLarge)
		}
		at := len(p)
		p = append(p, make([]byte, w.remain)...)
		for at < len(p) {
			n, err := w.read(p[at:])
			if err != nil {
				return 0, nil, err
			}
			at += n
		}
		w.frameDone()
	}
	return op, p, nil
}
