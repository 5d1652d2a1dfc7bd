package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/naive"
	"github.com/relayhouse/relayhouse/internal/selfsigned"
)

// secureServer serves h with TLS and returns its address.
func secureServer(t *testing.T, h http.Handler, change func(*tls.Config)) string {
	t.Helper()
	certificate, key, err := selfsigned.New()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if change != nil {
		change(srv.TLS)
	}
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "https://")
}

// secureTarget is a running target that is reached with TLS.
func secureTarget(addr string) Target {
	return Target{Name: "gateway", URL: "https://" + addr, PID: os.Getpid(), Open: true}
}

// startTLSTrial makes a trial whose connections go through m, unless it is nil,
// to a naive relay with TLS.
func startTLSTrial(t *testing.T, m *meddler) *trial {
	t.Helper()
	addr := secureServer(t, &naive.Relay{Scheme: "wss"}, nil)
	if m != nil {
		m.target = addr
		at, err := url.Parse(m.serve(t).URL)
		if err != nil {
			t.Fatal(err)
		}
		addr = at.Host
	}
	return startTrial(t, secureTarget(addr))
}

// Whatever pairs do without TLS they do with it, and the counts of handshakes
// say what was negotiated.
func TestRoundTripsWithTLS(t *testing.T) {
	for _, c := range []struct {
		mode tlsMode
		want string
	}{
		{tlsFull, "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256"},
		{tlsResumed, "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256"},
		{tlsOld, "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, X25519, ECDSA P-256"},
	} {
		tr := startTLSTrial(t, nil)
		tr.mode = c.mode
		if err := runSetUpsAtOnce(tr, "", 3); err != nil {
			t.Fatal(err)
		}
		if n := tr.failures.count(); n > 0 {
			t.Errorf("%v: %v", c.mode, tr.failures.list())
		}
		tr.noteHandshakes()
		if want := []string{"negotiated " + c.want}; !slices.Equal(tr.notes, want) {
			t.Errorf("%v: notes %q, want %q", c.mode, tr.notes, want)
		}
		resumed, _ := tr.value("resumed")
		if c.mode.resume != (resumed > 0) {
			t.Errorf("%v: %.1f %% resumed", c.mode, resumed)
		}
	}
}

// A certificate with nothing of which the run is sure.
func TestHandshakesThatDiffer(t *testing.T) {
	tr := new(trial)
	tr.opt, tr.target = new(Options), new(Target)
	h := new(handshakes)
	tr.handshakes = append(tr.handshakes, h, new(handshakes))
	h.add(tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256})
	h.add(tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_256_GCM_SHA384})
	tr.noteHandshakes()
	if tr.failures.count() != 1 || !strings.Contains(tr.failures.first(), "other parameters") {
		t.Errorf("failures %q", tr.failures.list())
	}
	if len(tr.notes) != 1 || !strings.HasSuffix(tr.notes[0], "no certificate") {
		t.Errorf("notes %q", tr.notes)
	}
}

// Every byte of a stream must arrive through records of all sizes, to receivers
// that stop, in both directions.
func TestStreamWithTLS(t *testing.T) {
	for _, dir := range []direction{toListener, toSender} {
		tr := startTLSTrial(t, nil)
		if err := runStuckPairs(tr, 2, dir, 5e6, 1<<40); err != nil {
			t.Errorf("%v: %v", dir, err)
		}
		if n := tr.failures.count(); n > 0 {
			t.Errorf("%v: %v", dir, tr.failures.list())
		}
	}
}

// A handshake and records that come byte by byte.
func TestTLSInPieces(t *testing.T) {
	tr := startTLSTrial(t, &meddler{pieces: 1, change: func([]byte, int) bool { return true }})
	d, err := tr.driver()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	e := newEcho(pingSize)
	pairs, err := d.openPairs(2, 2, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		e.ask(p, time.Now())
	}
	if _, err := d.runUntil(time.Now().Add(10*time.Second), func() bool {
		return outstanding(pairs) == 0
	}); err != nil || e.trips != 2 || tr.failures.count() > 0 {
		t.Errorf("%d round trips, %v, %v", e.trips, err, tr.failures.list())
	}
}

// A record that was changed on its way ends the connection.
func TestTLSNoticesDamage(t *testing.T) {
	const where = 50_000
	tr := startTLSTrial(t, &meddler{change: func(p []byte, at int) bool {
		if at <= where && where < at+len(p) {
			p[where-at] ^= 1
		}
		return true
	}})
	if err := runStuckPairs(tr, 1, toListener, 1e6, 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tr.failures.list(), "\n"); !strings.Contains(got, "bad record MAC") {
		t.Errorf("failures %q", got)
	}
}

// Handshakes that come to nothing are failures that say why, and leave nothing
// behind: TestMain counts goroutines.
func TestTLSRefused(t *testing.T) {
	relay := new(naive.Relay)
	plain := strings.TrimPrefix(inProcess(t, relay).URL, "http://")
	modern := secureServer(t, relay, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 })
	for _, c := range []struct{ addr, want string }{
		{plain, "TLS handshake: tls: first record does not look like a TLS handshake"},
		{modern, "TLS handshake: remote error: tls: protocol version not supported"},
		{cutting(t), "open control channel: EOF"},
		{"127.0.0.1:1", "connection refused"},
	} {
		tr := startTrial(t, secureTarget(c.addr))
		tr.mode = tlsOld
		if _, err := tr.driver(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.addr, err, c.want)
		}
	}
}

// cutting ends every connection when it has heard the first bytes.
func cutting(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 4096))
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// A run that ends in the middle of a handshake; what the broken off handshake
// may still want to say goes nowhere.
func TestTLSBrokenOff(t *testing.T) {
	l, err := newLoop(context.Background(), tlsFull.config())
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	at := mustResolve(t, "https://"+silent.Addr().String())
	c, err := l.dial(at, []byte("queued"), &slowHello{})
	if err != nil {
		t.Fatal(err)
	}
	if c.idle() || c.secure.done || string(c.secure.queued) != "queued" {
		t.Errorf("idle %v, done %v, queued %q", c.idle(), c.secure.done, c.secure.queued)
	}
	l.close()
	if !c.secure.done || !errors.Is(c.secure.err, os.ErrClosed) || len(l.sealed) != 0 {
		t.Errorf("done %v with %v, %d bytes to send", c.secure.done, c.secure.err, len(l.sealed))
	}
}

// The ends of a connection with TLS: with and without close_notify.
func TestTLSEnds(t *testing.T) {
	for _, notify := range []bool{true, false} {
		addr := secureServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 404 None\r\n\r\n")
			if !notify {
				c = c.(*tls.Conn).NetConn()
			}
			_ = c.Close()
		}), nil)
		tr := startTrial(t, secureTarget(addr))
		if _, err := tr.driver(); err == nil || !strings.Contains(err.Error(), "refused: 404") {
			t.Errorf("close_notify %v: %v", notify, err)
		}
	}
}

func TestCheckCertificate(t *testing.T) {
	addr := secureServer(t, http.NotFoundHandler(), nil)
	at := mustResolve(t, "https://"+addr)
	other, _, err := selfsigned.New()
	if err != nil {
		t.Fatal(err)
	}
	err = checkCertificate(t.Context(), at, other)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("another authority: %v", err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](
		checkCertificate(t.Context(), at, nil)); !ok {
		t.Error("no authority was good enough")
	}
}

// What the kernel does not take of one connection's records must not change while
// others seal theirs.
func TestTLSKeepsRecords(t *testing.T) {
	const size, legs = 16 << 20, 2
	got := make(chan int, legs)
	addr := secureServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got <- int(n)
	}), nil)
	l, err := newLoop(t.Context(), tlsFull.config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	request := append([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 16777216\r\n\r\n"),
		make([]byte, size)...)
	for range legs {
		if _, err := l.dial(mustResolve(t, "https://"+addr), request, &slowHello{}); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := l.runUntil(time.Now().Add(20*time.Second), func() bool {
		return len(got) == legs
	}); !ok || err != nil {
		t.Fatalf("%d of %d requests came whole, %v", len(got), legs, err)
	}
	for range legs {
		if n := <-got; n != size {
			t.Errorf("%d of %d bytes came", n, size)
		}
	}
}
