package engine

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"time"

	"github.com/relayhouse/relayhouse/tlsrecord"
)

// A recordLayer protects the records of one connection after its handshake, on
// the loop. Both directions are independent, errors are final. Package tlsrecord
// says more of each method.
type recordLayer interface {
	// Open appends the data of one whole record to dst, which has room for it.
	// The record may be changed. io.EOF: the peer has ended its stream.
	Open(dst, record []byte) ([]byte, error)
	// AppendPending appends what Open makes necessary to send: the answer to a
	// KeyUpdate, the alert that belongs to an error.
	AppendPending(dst []byte) []byte
	// Seal appends p in records.
	Seal(dst, p []byte) []byte
	// AppendCloseNotify appends the alert that ends our stream.
	AppendCloseNotify(dst []byte) []byte
}

// shake runs the handshake of s and returns the record layer that goes on from
// it.
func (t *TLS) shake(s *stdRecords) (layer recordLayer, resumed bool, err error) {
	t.queue.work()
	defer t.queue.rest()
	pipe, cfg := s.wire.pipe, t.Config
	var secrets tlsrecord.Secrets
	if t.OwnRecords {
		pipe.keep = true
		cfg = t.logging(&secrets)
	}
	s.conn = tls.Server(&s.wire, cfg)
	if err := s.conn.Handshake(); err != nil {
		return nil, false, err
	}
	s.wire.pipe = nil
	state := s.conn.ConnectionState()
	if !t.OwnRecords || state.Version != tls.VersionTLS13 {
		return s, state.DidResume, nil
	}
	layer, err = ownRecords(state.CipherSuite, secrets, pipe.flight)
	return layer, state.DidResume, err
}

// ownRecords goes on from a handshake that crypto/tls has done and whose server
// has written flight.
func ownRecords(suite uint16, secrets tlsrecord.Secrets, flight []byte) (recordLayer, error) {
	written, err := tlsrecord.Written(suite, secrets.Server, flight)
	if err != nil {
		return nil, err
	}
	return tlsrecord.New(suite, secrets.Client, secrets.Server, written)
}

// logging returns a configuration for one connection, the secrets of which go
// to secrets.
func (t *TLS) logging(secrets *tlsrecord.Secrets) *tls.Config {
	t.tickets.renew(t.Config)
	cfg := t.Config.Clone()
	cfg.KeyLogWriter = secrets
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen = chosen.Clone() // without keys for tickets it takes those of cfg
				chosen.KeyLogWriter = secrets
			}
			return chosen, err
		}
	}
	return cfg
}

// ticketLife is how long a key of session tickets makes new ones; it opens old
// ones for as long again. crypto/tls does the same by itself, but for one
// configuration, of which each connection has a copy here.
const ticketLife = 24 * time.Hour

// renew gives cfg another key for its session tickets when it is time.
func (k *ticketKeys) renew(cfg *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.made) >= ticketLife {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // never fails
		k.made = now
		k.keys = append([][32]byte{fresh}, k.keys[:min(1, len(k.keys))]...)
		cfg.SetSessionTicketKeys(k.keys)
	}
}

// stdRecords is the recordLayer of crypto/tls.
//
//	Memory: 8 KiB for a connection that was never busy. crypto/tls keeps a
//	        buffer of the longest record that it has opened, up to 32 KiB more
//	        (docs/adr/0018).
type stdRecords struct {
	conn *tls.Conn
	wire wire
}

func (s *stdRecords) Open(dst, record []byte) ([]byte, error) {
	s.wire.in = record
	for {
		n, err := s.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, errAgain{}) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

func (s *stdRecords) AppendPending(dst []byte) []byte {
	dst = append(dst, s.wire.out...)
	s.wire.out = nil
	return dst
}

func (s *stdRecords) Seal(dst, p []byte) []byte {
	s.wire.out = dst
	_, _ = s.conn.Write(p) // the wire takes everything
	dst, s.wire.out = s.wire.out, nil
	return dst
}

func (s *stdRecords) AppendCloseNotify(dst []byte) []byte {
	s.wire.out = dst
	_ = s.conn.CloseWrite()
	dst, s.wire.out = s.wire.out, nil
	return dst
}
