package engine_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"hash"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/tlsrecord"
)

// The ways in which a connection may reach an engine.
const (
	plain = "plain"
	tls12 = "tls12"
	tls13 = "tls13"
	own   = "own" // TLS 1.3 with the records of package tlsrecord
)

type runner func(testing.TB, engine.Config) (*engine.Engine, string)

// over runs a test over every transport: TLS changes nothing of what it sees.
func over(t *testing.T, test func(t *testing.T, run runner)) {
	for _, transport := range []string{plain, tls12, tls13, own} {
		t.Run(transport, func(t *testing.T) {
			test(t, func(t testing.TB, cfg engine.Config) (*engine.Engine, string) {
				return runPort(t, cfg, portOf(transport), transport)
			})
		})
	}
}

func portOf(transport string) engine.ListenConfig {
	if transport == plain {
		return engine.ListenConfig{}
	}
	return engine.ListenConfig{TLS: &engine.TLS{
		Config: serverConfig(), OwnRecords: transport == own,
	}}
}

// serverCertificate is for localhost, made once.
var serverCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{serverCertificate()}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true,
	}
}

func clientConfig(transport string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(serverCertificate().Leaf)
	c := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if transport == tls12 {
		c.MaxVersion = tls.VersionTLS12
	}
	return c
}

// echo answers with what it gets, and tells how connections end.
type echo struct{ closed chan metrics.CloseReason }

func newEcho() *echo { return &echo{make(chan metrics.CloseReason, 4096)} }

func (e *echo) accept(*engine.Conn, bool) engine.Handler          { return e }
func (e *echo) Data(c *engine.Conn, p []byte)                     { c.Write(p, 1<<20) }
func (e *echo) Hangup(c *engine.Conn)                             { c.Finish(metrics.ClosePeerEOF) }
func (e *echo) Timeout(*engine.Conn)                              {}
func (e *echo) Drained(*engine.Conn)                              {}
func (e *echo) Closed(_ *engine.Conn, reason metrics.CloseReason) { e.closed <- reason }

// count adds up how handshakes ended.
func count(e *engine.Engine, end metrics.Handshake) (n uint64) {
	for _, l := range e.Counters() {
		n += l.Handshakes[end].Load()
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// pieces writes at most n bytes at a time.
type pieces struct {
	net.Conn
	n int
}

func (p pieces) Write(b []byte) (int, error) {
	for i := 0; i < len(b); i += p.n {
		if n, err := p.Conn.Write(b[i:min(i+p.n, len(b))]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// dialEcho opens TLS over a connection that wrap may change.
func dialEcho(t *testing.T, addr string, cfg *tls.Config, wrap func(net.Conn) net.Conn) *tls.Conn {
	t.Helper()
	var raw net.Conn = dialRaw(t, addr)
	if wrap != nil {
		raw = wrap(raw)
	}
	return tls.Client(raw, cfg)
}

func wantEcho(t *testing.T, c net.Conn, p []byte) {
	t.Helper()
	go c.Write(p)
	got := make([]byte, len(p))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("echo of %d bytes: %v", len(p), err)
	}
}

// TestTLSPieces: records that come 7 bytes at a time, and 1, from the first
// byte of the handshake on.
func TestTLSPieces(t *testing.T) {
	for _, transport := range []string{tls12, tls13, own} {
		_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, portOf(transport), transport)
		for _, n := range []int{1, 7} {
			c := dialEcho(t, addr, clientConfig(transport), func(c net.Conn) net.Conn { return pieces{c, n} })
			wantEcho(t, c, random(40000, 7))
			c.CloseWrite()
			if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
				t.Fatalf("behind the end: %q, %v", rest, err)
			}
		}
	}
}

// late holds back what is written from the second flight on, until release.
type late struct {
	net.Conn
	flights int
	held    []byte
	open    bool
}

func (l *late) Write(b []byte) (int, error) {
	if l.flights++; l.flights == 1 || l.open {
		return l.Conn.Write(b)
	}
	l.held = append(l.held, b...)
	return len(b), nil
}

// TestTLSBehindHandshake: what a client sends behind the last message of its
// handshake, in the same piece, is not lost, whole records or cut ones, also
// when it is more than one read.
func TestTLSBehindHandshake(t *testing.T) {
	_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, portOf(tls13), tls13)
	for _, size := range []int{1, 1000, 16384, 16385, 60000, 300000} {
		for _, cut := range []int{0, 1, 6} {
			var l *late
			c := dialEcho(t, addr, clientConfig(tls13), func(c net.Conn) net.Conn {
				l = &late{Conn: c}
				return l
			})
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			p := random(size, uint64(size))
			c.Write(p)
			l.open = true
			go func() {
				l.Conn.Write(l.held[:len(l.held)-cut])
				l.Conn.Write(l.held[len(l.held)-cut:])
			}()
			got := make([]byte, len(p))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d bytes, cut %d: %v", size, cut, err)
			}
		}
	}
}

// TestTLSHandshakesThatHang: peers that send nothing, half a ClientHello, or a
// whole one and nothing more cost a place at most, others are served meanwhile,
// and all end at the deadline.
func TestTLSHandshakesThatHang(t *testing.T) {
	port := portOf(tls13)
	port.TLS.HandshakeTimeout = 500 * time.Millisecond
	h := newEcho()
	e, addr := runPort(t, engine.Config{Accept: h.accept, Loops: 2}, port, tls13)
	hello := clientHello(t)
	const each = 50
	for range each {
		for _, sent := range []int{0, 1, 5, len(hello) / 2, len(hello)} {
			c := dialRaw(t, addr)
			c.Write(hello[:sent])
		}
	}
	wantEcho(t, dialEcho(t, addr, clientConfig(tls13), nil), []byte("served"))
	eventually(t, "all end", func() bool { return count(e, metrics.HandshakeTimeout) == 5*each })
	if e.Open() > 1 {
		t.Errorf("%d connections are open", e.Open())
	}
}

// TestTLSQueue: with one place for handshakes, others wait for their turn, and
// a place that is given back goes to one that is still there.
func TestTLSQueue(t *testing.T) {
	port := portOf(tls13)
	port.TLS.HandshakesMax = 1
	port.TLS.HandshakeTimeout = 20 * time.Second
	_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, port, tls13)
	hello := clientHello(t)
	first := dialRaw(t, addr)
	first.Write(hello)
	first.Read(make([]byte, 1)) // the server's flight: the place is taken
	gone := dialRaw(t, addr)
	gone.Write(hello)
	waiting := make([]*tls.Conn, 3)
	for i := range waiting {
		waiting[i] = dialEcho(t, addr, clientConfig(tls13), nil)
		go waiting[i].Handshake()
	}
	gone.Close()
	first.Close()
	for _, c := range waiting {
		wantEcho(t, c, []byte("served in turn"))
	}
}

// TestTLSPlacesAreNotKept: peers that say hello and nothing more hold all places;
// who comes then waits for about a second, not for their deadline.
func TestTLSPlacesAreNotKept(t *testing.T) {
	port := portOf(tls13)
	port.TLS.HandshakesMax, port.TLS.HandshakeTimeout = 3, time.Hour
	e, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 2}, port, tls13)
	hello := clientHello(t)
	for range 3 {
		c := dialRaw(t, addr)
		c.Write(hello)
		c.Read(make([]byte, 1)) // the server's flight: the place is taken
	}
	for range 6 {
		wantEcho(t, dialEcho(t, addr, clientConfig(tls13), nil), []byte("served"))
	}
	if n := count(e, metrics.HandshakeTimeout); n == 0 || n > 3 {
		t.Errorf("%d handshakes were ended for others", n)
	}
}

// clientHello is the first flight of a client.
func clientHello(t *testing.T) []byte {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, clientConfig(tls13)).Handshake()
	p := make([]byte, 4096)
	n, err := far.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

func dialRaw(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	_, addr, _ = strings.Cut(addr, "|")
	// A small buffer, so that little is enough to fill it; it must be small before
	// the connection begins, or the peer's acknowledgements fall out of its window.
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 32<<10)
		})
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

// TestTLSGarbage: what is no ClientHello gets an alert and the end.
func TestTLSGarbage(t *testing.T) {
	h := newEcho()
	_, addr := runPort(t, engine.Config{Accept: h.accept, Loops: 1}, portOf(tls13), tls13)
	hello := clientHello(t)
	for name, c := range map[string]struct {
		sent  []byte
		alert byte
	}{
		"zeros":                {make([]byte, 100), 10},
		"SSLv2":                {[]byte{0x80, 0x2e, 1, 0, 2}, 10},
		"a record of data":     {[]byte{23, 3, 3, 0, 1, 0}, 10},
		"text":                 {[]byte("GET / HTTP/1.1\r\n\r\n"), 10},
		"another message":      {[]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, 50},
		"a version of none":    {[]byte{22, 9, 1, 0, 4, 1, 0, 0, 0}, 50},
		"too long a record":    {[]byte{22, 3, 1, 255, 255}, 50},
		"too long a message":   {[]byte{22, 3, 1, 0, 4, 1, 1, 0, 1}, 50},
		"an alert in between":  {append(append([]byte{22, 3, 1, 0, 4}, hello[5:9]...), 21, 3, 1, 0, 2, 1, 0), 50},
		"a hello of nothing":   {[]byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, 50},
		"a hello without keys": {append([]byte{22, 3, 1, 0, 44, 1, 0, 0, 40, 3, 3}, make([]byte, 38)...), 47},
	} {
		t.Run(name, func(t *testing.T) {
			raw := dialRaw(t, addr)
			raw.Write(c.sent)
			got, err := io.ReadAll(raw)
			if err != nil || len(got) != 7 || got[0] != 21 || got[6] != c.alert {
				t.Fatalf("got %x, %v; want the alert %d", got, err, c.alert)
			}
		})
	}
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":        {InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"h2 alone":       {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		"distrust":       {ServerName: "localhost"},
		"no cipher ours": {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}},
	} {
		if err := dialEcho(t, addr, cfg, nil).Handshake(); err == nil {
			t.Errorf("%s: the handshake succeeded", name)
		}
	}
}

// TestTLSNotTLS: text goes to the handler for it.
func TestTLSNotTLS(t *testing.T) {
	port := portOf(tls13)
	port.TLS.NotTLS = func(*engine.Conn) engine.Handler { return newEcho() }
	e, addr := runPort(t, engine.Config{Accept: newEcho().accept}, port, tls13)
	wantEcho(t, dialRaw(t, addr), []byte("GET / HTTP/1.1"))
	if count(e, metrics.HandshakeNotTLS) != 1 {
		t.Error("not counted")
	}
}

// TestTLSBadRecords: a record that is changed on its way ends the connection
// with an alert; what came before it has its effect.
func TestTLSBadRecords(t *testing.T) {
	for _, transport := range []string{tls12, tls13, own} {
		h := newEcho()
		_, addr := runPort(t, engine.Config{Accept: h.accept, Loops: 1}, portOf(transport), transport)
		c := dialEcho(t, addr, clientConfig(transport), nil)
		wantEcho(t, c, []byte("good"))
		c.NetConn().Write([]byte{23, 3, 3, 0, 32, 31: 1, 36: 1})
		var alert *net.OpError
		if _, err := io.ReadAll(c); !errors.As(err, &alert) || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("%s: got %v, want an alert", transport, err)
		}
		if got := <-h.closed; got != metrics.CloseTLSFailed {
			t.Errorf("%s: closed by %v", transport, got)
		}
	}
}

// TestTLSResumption: a ticket of one connection shortens the next handshake.
func TestTLSResumption(t *testing.T) {
	for _, transport := range []string{tls12, tls13, own} {
		e, addr := runPort(t, engine.Config{Accept: newEcho().accept}, portOf(transport), transport)
		cfg := clientConfig(transport)
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 3 {
			c := dialEcho(t, addr, cfg, nil)
			wantEcho(t, c, []byte("hello"))
			if got := c.ConnectionState().DidResume; got != (i > 0) {
				t.Errorf("%s: connection %d resumed: %v", transport, i, got)
			}
			c.Close()
		}
		if full, resumed := count(e, metrics.HandshakeFull), count(e, metrics.HandshakeResumed); full != 1 || resumed != 2 {
			t.Errorf("%s: %d full, %d resumed", transport, full, resumed)
		}
	}
}

// TestTLSStop: an engine that stops ends the goroutines of its handshakes.
func TestTLSStop(t *testing.T) {
	e, addr := runPort(t, engine.Config{Accept: newEcho().accept}, portOf(tls13), tls13)
	hello := clientHello(t)
	for range 20 {
		c := dialRaw(t, addr)
		c.Write(hello)
		c.Read(make([]byte, 1))
	}
	e.Stop() // and TestMain looks for goroutines
	if e.Open() != 0 {
		t.Errorf("%d connections are open", e.Open())
	}
}

// TestTLSFailed: the reason of a failed handshake is told.
func TestTLSFailed(t *testing.T) {
	told := make(chan error, 1)
	port := portOf(tls13)
	port.TLS.Failed = func(_ netip.AddrPort, err error) { told <- err }
	_, addr := runPort(t, engine.Config{Accept: newEcho().accept}, port, tls13)
	dialEcho(t, addr, &tls.Config{ServerName: "localhost"}, nil).Handshake()
	if err := <-told; !strings.Contains(err.Error(), "certificate") {
		t.Errorf("told %v", err)
	}
}

// clientKeys seal what a client of TLS 1.3 sends, record by record.
type clientKeys struct {
	hash   func() hash.Hash
	size   int
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// keysOf takes the keys of a connection over from crypto/tls.
func keysOf(t *testing.T, c *tls.Conn, secrets *tlsrecord.Secrets) *clientKeys {
	t.Helper()
	k := &clientKeys{hash: sha256.New, size: 16, secret: secrets.Client}
	switch c.ConnectionState().CipherSuite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		k.hash, k.size = sha512.New384, 32
	default:
		t.Skip("this machine prefers ChaCha20: it has no AES instructions")
	}
	k.derive()
	return k
}

func (k *clientKeys) expand(label string, n int) []byte {
	info := append([]byte{byte(n >> 8), byte(n), byte(6 + len(label))}, "tls13 "+label...)
	out, err := hkdf.Expand(k.hash, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return out
}

func (k *clientKeys) derive() {
	block, _ := aes.NewCipher(k.expand("key", k.size))
	k.aead, _ = cipher.NewGCM(block)
	k.iv, k.seq = k.expand("iv", 12), 0
}

func (k *clientKeys) seal(dst []byte, contentType byte, content ...byte) []byte {
	nonce := bytes.Clone(k.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(k.seq >> (56 - 8*i))
	}
	k.seq++
	n := len(content) + 1 + 16
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return k.aead.Seal(append(dst, header...), nonce, append(bytes.Clone(content), contentType), header)
}

// TestTLSUnreadAnswers: a peer that asks for KeyUpdates and does not read is ended
// at a bound, though it sends just enough data between them; one that asks for a
// few, while much waits for it, or reads, is not.
func TestTLSUnreadAnswers(t *testing.T) {
	for _, transport := range []string{tls13, own} {
		t.Run(transport, func(t *testing.T) {
			h := newEcho()
			_, addr := runPort(t, engine.Config{Accept: h.accept, Loops: 1, ReadBuffer: 64 << 10},
				portOf(transport), transport)
			var secrets tlsrecord.Secrets
			cfg := clientConfig(transport)
			cfg.KeyLogWriter = &secrets
			c := dialEcho(t, addr, cfg, nil)
			wantEcho(t, c, []byte("x"))
			raw := c.NetConn().(*net.TCPConn)
			keys := keysOf(t, c, &secrets)
			keys.seq = 1 // the x
			update := func(n int) {
				var p []byte
				for range n {
					p = keys.seal(p, 22, 24, 0, 0, 1, 1)
					keys.secret = keys.expand("traffic upd", keys.hash().Size())
					keys.derive()
					p = keys.seal(p, 23, 'x')
				}
				raw.Write(p)
			}
			update(100)    // taken by the kernel
			for range 16 { // more than it takes
				var data []byte
				for range 64 {
					data = keys.seal(data, 23, make([]byte, 16384)...)
				}
				if _, err := raw.Write(data); err != nil {
					t.Fatal(err)
				}
			}
			update(300)
			select {
			case r := <-h.closed:
				t.Fatalf("closed by %v for a few answers", r)
			default:
			}
			update(2000)
			select {
			case r := <-h.closed:
				if r != metrics.CloseTLSFailed {
					t.Errorf("closed by %v", r)
				}
			case <-time.After(10 * time.Second):
				t.Error("the connection goes on")
			}
		})
	}
}

// TestTLSBareEnd: a client that ends its stream without a close_notify gets what
// it has asked for before, and the end.
func TestTLSBareEnd(t *testing.T) {
	for _, transport := range []string{tls12, tls13, own} {
		_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, portOf(transport), transport)
		for _, size := range []int{1, 1000, 100_000} {
			c := dialEcho(t, addr, clientConfig(transport), nil)
			p := random(size, 1)
			c.Write(p)
			c.NetConn().(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, p) {
				t.Errorf("%s: %d of %d bytes, %v", transport, len(got), size, err)
			}
		}
	}
}
