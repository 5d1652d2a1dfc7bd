package engine

import (
	"crypto/tls"
	"io"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// TLS is how a port ends TLS. After the handshake, which runs off the loops, a
// connection is driven by its loop like a plain one: what stands between the
// kernel and the handlers is one recordLayer, and buffers of the loop.
type TLS struct {
	// Config is the server's. It must have certificates or GetCertificate, and
	// is not changed after Listen; certificates are replaced behind
	// GetCertificate.
	Config *tls.Config
	// HandshakeTimeout is the time from the accepted connection to the end of
	// its handshake; default 10 s.
	HandshakeTimeout time.Duration
	// HandshakesMax bounds the handshakes that have begun, each of which holds
	// a goroutine and about 30 KiB; others wait for their turn, within the
	// time above. Default 4096.
	HandshakesMax int
	// Workers bounds the handshakes that compute at the same time; default
	// GOMAXPROCS.
	Workers int
	// OwnRecords says that TLS 1.3 records are protected by package tlsrecord
	// after the handshake, not by crypto/tls. Config gets ticket keys then.
	OwnRecords bool
	// NotTLS gives a handler to a connection whose first byte is a letter, so
	// most likely HTTP, not TLS; nil ends it.
	NotTLS func(c *Conn) Handler
	// Failed hears why a handshake failed, from any goroutine; may be nil.
	Failed func(peer netip.AddrPort, err error)

	once    sync.Once
	queue   *handshakes
	tickets ticketKeys
}

// ticketKeys are the keys of session tickets where OwnRecords is set.
type ticketKeys struct {
	mu   sync.Mutex
	made time.Time
	keys [][32]byte // the first makes tickets
}

// init sets what Listen was not told. The first connection of a port calls it.
func (t *TLS) init() {
	t.once.Do(func() {
		if t.HandshakeTimeout == 0 {
			t.HandshakeTimeout = 10 * time.Second
		}
		if t.HandshakesMax == 0 {
			t.HandshakesMax = 4096
		}
		if t.Workers == 0 {
			t.Workers = runtime.GOMAXPROCS(0)
		}
		t.queue = newHandshakes(t.HandshakesMax, t.Workers)
	})
}

// recordMax is the longest record that a peer may send, header included
// (RFC 5246, section 6.2.3; TLS 1.3 allows less).
const recordMax = recordHeader + 16384 + 2048

const recordHeader = 5

// Types of records (RFC 8446, appendix B.1).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// recordLen returns the length of the record that p begins with, header
// included, and whether a record of TLS can begin so. 0: more is needed.
func recordLen(p []byte) (n int, ok bool) {
	if len(p) < recordHeader {
		return 0, true
	}
	n = recordHeader + int(p[3])<<8 + int(p[4])
	return n, p[0] >= 20 && p[0] <= 24 && p[1] == 3 && n <= recordMax
}

// secure is the TLS of a Conn after its handshake. nil is plain.
type secure struct {
	records recordLayer
	held    []byte // of a block: the beginning of a record, encrypted; nil if none
	err     error  // Open's, kept until what came before it has been handled
	answers int    // bytes of answers in Conn.left, or that were there
}

func (s *secure) release(l *Loop) {
	if s != nil && s.held != nil {
		l.release(s.held[:0])
		s.held = nil
	}
}

// heldBytes is the memory that s holds of the loop's pool.
func (s *secure) heldBytes() int64 {
	if s == nil {
		return 0
	}
	return int64(cap(s.held))
}

// hold keeps rest, which lies in the loop's buffer, for the next read.
func (s *secure) hold(l *Loop, rest []byte) {
	if len(rest) == 0 || cap(s.held) < len(rest) {
		s.release(l)
	}
	if len(rest) > 0 {
		if s.held == nil {
			s.held = l.acquire(len(rest))
		}
		s.held = s.held[:copy(s.held[:len(rest)], rest)]
	}
}

// EndsTLS says whether the TLS of c ends here, so that its descriptor is not all
// there is of it.
func (c *Conn) EndsTLS() bool { return c.secure != nil }

// Secure says whether the bytes of c go through TLS, here or, as its balancer
// said, there.
func (c *Conn) Secure() bool { return c.secure != nil || c.proxiedTLS() }

// receiveSecure is receive for a connection with TLS. All whole records that
// were read are opened, so that nothing but a cut one ever waits here, of which
// no event would tell.
func (l *Loop) receiveSecure(c *Conn, room int) (int, syscall.Errno) {
	s := c.secure
	room = max(room, recordMax)
	for s.err == nil {
		n := len(s.held)
		if whole, _ := recordLen(s.held); whole == 0 || whole > n {
			var errno syscall.Errno
			if n, errno = l.receiveCipher(c, room); errno != 0 || n == 0 {
				return 0, errno
			}
		} else { // what the handshake left; only once
			copy(l.cipherBuffer(), s.held)
		}
		if plain := l.open(c, l.cipher[:n]); plain > 0 {
			return plain, 0
		}
		if s.err == nil && c.flags&readable == 0 {
			return 0, syscall.EAGAIN
		}
	}
	if s.err != io.EOF {
		return 0, syscall.EPROTO
	}
	// Behind the end of the stream only the descriptor's own end is of interest.
	n, errno := l.poller.Read(int(c.fd), l.cipherBuffer())
	if errno == 0 && (n > 0 || c.flags&eof != 0) {
		errno = syscall.EAGAIN
	}
	if c.flags&eof == 0 && !broken(errno) {
		return 0, 0
	}
	return 0, errno
}

// cipherBuffer is the loop's buffer for what TLS connections have received: as
// much as one read brings, or as a handshake leaves.
func (l *Loop) cipherBuffer() []byte {
	if l.cipher == nil {
		l.cipher = make([]byte, max(l.engine.cfg.ReadBuffer, bufferMin)+recordMax)
	}
	return l.cipher
}

// receiveCipher puts what c holds and what the kernel has into l.cipher, room
// bytes at most. It returns their number, 0 at the end of the stream.
func (l *Loop) receiveCipher(c *Conn, room int) (int, syscall.Errno) {
	held := copy(l.cipherBuffer(), c.secure.held)
	n, errno := l.poller.Read(int(c.fd), l.cipher[held:room])
	if n <= 0 || errno != 0 {
		return 0, errno
	}
	l.received(c, n, n < room-held)
	return held + n, 0
}

// open decrypts the records of p, which lies in l.cipher, into the loop's
// buffer, and holds what is left. It returns the number of bytes of data. An
// error is kept in c.secure.err.
func (l *Loop) open(c *Conn, p []byte) int {
	s := c.secure
	out := l.buf[wsframe.Headroom:wsframe.Headroom]
	for s.err == nil {
		n, ok := recordLen(p)
		if ok && (n == 0 || n > len(p)) {
			break
		}
		// A length that cannot be is left to the record layer to refuse.
		out, s.err = s.records.Open(out, p[:min(n, len(p))])
		p = p[min(n, len(p)):]
		if own := s.records.AppendPending(nil); len(own) > 0 {
			c.answer(own)
		}
	}
	if s.err != nil {
		p = nil
		c.flags |= readable // no event would tell
	}
	s.hold(l, p)
	return len(out)
}

// answersMax bounds what a peer that does not read makes us queue by asking
// for answers of the record layer, in bytes; an answer to a KeyUpdate has 27.
const answersMax = 16 << 10

// answer sends what the record layer has to say by itself.
func (c *Conn) answer(p []byte) {
	s := c.secure
	if c.left == nil {
		s.answers = 0
	}
	switch s.answers += len(p); {
	case c.flags&writeShut != 0:
	case s.answers > answersMax:
		s.err = errAnswers
	default:
		c.transmit(p)
	}
}

// encode returns p as c's peer is to get it: itself, or in records that lie in
// the loop's buffer until the next call.
func (l *Loop) encode(c *Conn, p []byte) []byte {
	if c.secure == nil {
		return p
	}
	if cap(l.sealed) > 2*l.engine.cfg.ReadBuffer+recordMax {
		l.sealed = nil // one large message shall not stay for ever
	}
	l.sealed = c.secure.records.Seal(l.sealed[:0], p)
	return l.sealed
}

// alert is a fatal alert in plain text, for peers that have no keys yet
// (RFC 8446, section 6).
func alert(description byte) []byte {
	return []byte{recordAlert, 3, 1, 0, 2, 2, description}
}

// notTLS ends the handshake of a connection that does not speak TLS.
func (h *handshake) notTLS(c *Conn, p []byte) {
	h.outcome = metrics.HandshakeNotTLS
	letter := p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z'
	if letter && h.tls.NotTLS != nil {
		c.loop.counters.Handshakes[h.outcome].Add(1)
		c.SetRole(metrics.RoleHead)
		c.handler = h.tls.NotTLS(c)
		c.handler.Data(c, p)
		return
	}
	const unexpectedMessage = 10
	c.Write(alert(unexpectedMessage), recordMax)
	c.Finish(metrics.CloseTLSFailed)
}
