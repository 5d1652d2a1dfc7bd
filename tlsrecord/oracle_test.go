package tlsrecord

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for go:linkname
)

// What a client of crypto/tls offers, and a server prefers. No configuration
// chooses among the suites of TLS 1.3, so the tests set the list, which crypto/tls
// keeps open for that.
//
//go:linkname offeredSuites crypto/tls.defaultCipherSuitesTLS13
var offeredSuites []uint16

// The same list on a machine without AES in hardware.
//
//go:linkname offeredSuitesNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var offeredSuitesNoAES []uint16

// stream is one direction of a connection in memory. Its buffer grows as it
// must; the tests are small.
type stream struct {
	mu     sync.Mutex
	filled sync.Cond
	buf    []byte
	later  bool // an empty stream answers errLater instead of waiting
	closed bool
	sink   bool // what is written disappears
}

// errLater is a temporary error, which a tls.Conn survives.
var errLater = &net.DNSError{IsTemporary: true, IsTimeout: true}

func newStream() *stream {
	s := &stream{}
	s.filled.L = &s.mu
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && !s.closed && !s.later {
		s.filled.Wait()
	}
	switch {
	case len(s.buf) == 0 && s.closed:
		return 0, io.EOF
	case len(s.buf) == 0:
		return 0, errLater
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if s.sink {
		return len(p), nil
	}
	s.buf = append(s.buf, p...)
	s.filled.Signal()
	return len(p), nil
}

// take returns what was written and not read, and empties the stream.
func (s *stream) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.buf
	s.buf = nil
	return p
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.filled.Broadcast()
}

// end is one end of a connection in memory.
type end struct{ in, out *stream }

func (e end) Read(p []byte) (int, error)       { return e.in.Read(p) }
func (e end) Write(p []byte) (int, error)      { return e.out.Write(p) }
func (e end) Close() error                     { e.in.close(); e.out.close(); return nil }
func (e end) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (e end) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e end) SetDeadline(time.Time) error      { return nil }
func (e end) SetReadDeadline(time.Time) error  { return nil }
func (e end) SetWriteDeadline(time.Time) error { return nil }

// recordwise gives a tls.Conn no byte beyond the record that it reads, and keeps
// what it writes. It is what the owner of a connection does in the handshake.
type recordwise struct {
	net.Conn
	header [RecordHeader]byte
	have   int // of header
	left   int // bytes of the record after the header
	flight []byte
	done   bool // the handshake is over, nothing is kept any more
}

func (c *recordwise) Read(p []byte) (int, error) {
	if c.have == RecordHeader && c.left == 0 {
		c.have = 0
	}
	if c.have < RecordHeader {
		n, err := c.Conn.Read(p[:min(len(p), RecordHeader-c.have)])
		copy(c.header[c.have:], p[:n])
		c.have += n
		if c.have == RecordHeader {
			length, headerErr := RecordLen(c.header[:])
			if headerErr != nil {
				return n, headerErr
			}
			c.left = length - RecordHeader
		}
		return n, err
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (c *recordwise) Write(p []byte) (int, error) {
	if !c.done {
		c.flight = append(c.flight, p...)
	}
	return c.Conn.Write(p)
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// serverConfig is that of a server whose secrets go to secrets. Its tls.Conn
// writes records as Seal does.
func serverConfig(secrets *Secrets) *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{certificate()},
		MinVersion:                  tls.VersionTLS13,
		CurvePreferences:            []tls.CurveID{tls.X25519},
		DynamicRecordSizingDisabled: true,
		KeyLogWriter:                secrets,
	}
}

// pair is a connection between two tls.Conn after their handshake.
type pair struct {
	client, server     *tls.Conn
	toServer, toClient *stream
	suite              uint16
	secrets            Secrets
	flight             []byte // what the server wrote in the handshake
}

// handshake makes a pair with the suite of the given id. Reads do not wait any
// more afterwards: they answer errLater. change may alter the server's
// configuration. The client writes first, if it has something, in the same
// moment as its Finished.
func handshake(t testing.TB, id uint16, first []byte, change func(*tls.Config)) *pair {
	t.Helper()
	offered, offeredNoAES := offeredSuites, offeredSuitesNoAES
	defer func() { offeredSuites, offeredSuitesNoAES = offered, offeredNoAES }()
	offeredSuites, offeredSuitesNoAES = []uint16{id}, []uint16{id}

	p := &pair{toServer: newStream(), toClient: newStream()}
	conn := &recordwise{Conn: end{p.toServer, p.toClient}}
	config := serverConfig(&p.secrets)
	if change != nil {
		change(config)
	}
	p.server = tls.Server(conn, config)
	p.client = tls.Client(end{p.toClient, p.toServer}, &tls.Config{InsecureSkipVerify: true,
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		ClientSessionCache:          tls.NewLRUClientSessionCache(1),
		DynamicRecordSizingDisabled: true})
	done := make(chan error, 1)
	go func() {
		err := p.client.Handshake()
		if err == nil && len(first) > 0 {
			_, err = p.client.Write(first)
		}
		done <- err
	}()
	if err := p.server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.suite = p.server.ConnectionState().CipherSuite
	if p.suite != id {
		t.Fatalf("suite %x was agreed on, want %x", p.suite, id)
	}
	p.flight, conn.flight, conn.done = conn.flight, nil, true
	p.toServer.later, p.toClient.later = true, true
	return p
}

// layer makes the layer that takes the server's place.
func (p *pair) layer(t testing.TB) *Layer {
	t.Helper()
	written, err := Written(p.suite, p.secrets.Server, p.flight)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(p.suite, p.secrets.Client, p.secrets.Server, written)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
