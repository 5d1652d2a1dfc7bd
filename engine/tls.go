package engine

import (
	"crypto/tls"
	"time"
)

// TLS is how a port ends TLS.
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
	// after the handshake, not by crypto/tls.
	OwnRecords bool
	// NotTLS gives a handler to a connection whose first bytes are text, so
	// most likely HTTP, not TLS; nil ends it.
	NotTLS func(c *Conn) Handler
}

// Secure says whether the bytes of c go through TLS, here or, as its balancer
// said, there.
func (c *Conn) Secure() bool { return c.proxiedTLS() }

func newHandshake(_ *Conn, _ *TLS, _ bool) Handler { return nil }
