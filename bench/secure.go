package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
)

const (
	// recordSize is what one read of a TLS connection yields at most, in bytes:
	// the payload of one record (RFC 8446 §5.1).
	recordSize = 16 << 10
	// tlsName is the name that the certificate of a target must cover.
	tlsName = "127.0.0.1"
)

// A tlsMode says how the connections of a driver shake hands. All modes ask for
// the same group and the same cipher, so that no target does more work than
// another: X25519, and AES-128-GCM, which servers in Go prefer. A certificate is
// looked at when a process starts, not by every connection: its signature is
// the client's business, and clients are not what is measured.
type tlsMode struct {
	version uint16
	// resume makes the client keep and present session tickets; without it
	// every handshake is a full one.
	resume bool
}

// The modes that are measured.
var (
	tlsFull    = tlsMode{version: tls.VersionTLS13}
	tlsResumed = tlsMode{version: tls.VersionTLS13, resume: true}
	tlsOld     = tlsMode{version: tls.VersionTLS12}
)

func (m tlsMode) String() string {
	if m.resume {
		return tls.VersionName(m.version) + ", resumed"
	}
	return tls.VersionName(m.version)
}

// config makes the settings of one driver's connections.
func (m tlsMode) config() *tls.Config {
	c := &tls.Config{
		ServerName: tlsName, InsecureSkipVerify: true,
		MinVersion: m.version, MaxVersion: m.version,
		// Servers take X25519. OpenSSL wants to see the curve of its certificate
		// here as well, in 1.2.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		// For 1.2; suites of 1.3 are not for clients in Go to choose.
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		// Records of full size from the first: what the target has to open must
		// not depend on how long a connection has lived.
		DynamicRecordSizingDisabled: true,
	}
	if m.resume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return c
}

// handshakes counts what the TLS handshakes of one loop have come to.
type handshakes struct {
	done, resumed int
	// others are those that came to something else than the first one.
	others int
	first  tls.ConnectionState
}

func (h *handshakes) add(s tls.ConnectionState) {
	if h.done == 0 {
		h.first = s
	}
	h.done++
	if s.DidResume {
		h.resumed++
	}
	if s.Version != h.first.Version || s.CipherSuite != h.first.CipherSuite ||
		s.CurveID != h.first.CurveID {
		h.others++
	}
}

// String is what the first one has come to.
func (h *handshakes) String() string {
	s := &h.first
	key := "no certificate"
	if len(s.PeerCertificates) > 0 {
		key = s.PeerCertificates[0].PublicKeyAlgorithm.String()
		if public, ok := s.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey); ok {
			key += " " + public.Curve.Params().Name
		}
	}
	return fmt.Sprintf("%s, %s, %v, %s", tls.VersionName(s.Version),
		tls.CipherSuiteName(s.CipherSuite), s.CurveID, key)
}

// A secureLeg is the TLS of one connection, between the bytes of its socket and
// those of its owner. It belongs to the loop of the connection, which it never
// blocks: the handshake is a coroutine that gives the turn back whenever it wants
// bytes that are not there, and afterwards a read that finds none returns
// errWouldBlock, which crypto/tls takes for a passing trouble. What crypto/tls
// wants to send gathers in loop.sealed and is written when the turn is back.
type secureLeg struct {
	loop *loop
	tls  *tls.Conn
	// in is what came from the socket and was not consumed; it is empty
	// whenever the loop has its turn.
	in []byte
	// queued is what the owner has sent before the handshake was over.
	queued []byte

	done bool                       // the handshake is over
	err  error                      // how it failed
	turn func() (struct{}, bool)    // lets it go on as far as it can
	stop func()                     // gives it up
	back func(struct{}) (goOn bool) // in the coroutine: gives the turn back
}

func newSecureLeg(l *loop) *secureLeg {
	s := &secureLeg{loop: l}
	s.tls = tls.Client(&memoryConn{leg: s}, l.tls)
	s.turn, s.stop = iter.Pull(func(back func(struct{}) bool) {
		s.back = back
		s.err = s.tls.Handshake()
		s.done, s.back = true, nil
	})
	return s
}

// errWouldBlock is a net.Error of the kind that crypto/tls does not keep.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "no bytes yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// memoryConn is what crypto/tls takes for a socket. It calls Read and Write and
// no more, because nothing here closes a connection or sets a deadline by it.
type memoryConn struct {
	net.Conn
	leg *secureLeg
}

func (m *memoryConn) Read(p []byte) (int, error) {
	s := m.leg
	for len(s.in) == 0 {
		if s.done {
			return 0, errWouldBlock
		}
		if !s.back(struct{}{}) {
			return 0, os.ErrClosed
		}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// Write takes everything: an error of a write would end the connection.
func (m *memoryConn) Write(p []byte) (int, error) {
	m.leg.loop.sealed = append(m.leg.loop.sealed, p...)
	return len(p), nil
}

// startTLS begins the handshake.
func (c *conn) startTLS() {
	c.secure = newSecureLeg(c.loop)
	c.secure.turn()
	c.sendSealed()
}

// seal sends p in records, as soon as the handshake is over.
func (c *conn) seal(p []byte) {
	s := c.secure
	if !s.done {
		s.queued = append(s.queued, p...)
		return
	}
	if _, err := s.tls.Write(p); err != nil && c.broken == nil {
		c.broken = err
	}
	c.sendSealed()
}

// sendSealed writes what the kernel takes of the records that are due, and keeps
// a copy of the rest: the next connection needs loop.sealed.
func (c *conn) sendSealed() {
	due := c.loop.sealed
	c.loop.sealed = due[:0]
	switch {
	case len(due) == 0 || c.gone || c.broken != nil:
	case len(c.unsent) > 0:
		c.unsent = append(c.unsent, due...)
	default:
		c.unsent = due
		c.flush()
		c.unsent = bytes.Clone(c.unsent)
	}
}

// open follows p, which came from the socket.
func (c *conn) open(p []byte) {
	s := c.secure
	s.in = p
	if !s.done {
		s.turn()
		if s.err != nil || !s.done {
			c.sendSealed()
		}
		if s.err != nil {
			c.fail(fmt.Errorf("TLS handshake: %w", s.err))
		}
		if c.gone || !s.done {
			return
		}
		c.loop.handshakes.add(s.tls.ConnectionState())
		queued := s.queued
		s.queued = nil
		c.seal(queued)
	}
	for !c.gone {
		n, err := s.tls.Read(c.loop.opened)
		if len(c.loop.sealed) > 0 {
			c.sendSealed() // the answer to an update of keys
		}
		if n > 0 {
			c.take(c.loop.opened[:n])
		}
		if errors.Is(err, errWouldBlock) {
			return
		}
		if err != nil && !c.gone {
			c.fail(err)
		}
	}
}
