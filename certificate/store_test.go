package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// signer is an authority of a test; the zero value signs nothing.
type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecdsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newSigner makes an authority.
func newSigner(t *testing.T, name string) signer {
	t.Helper()
	s := signer{key: ecdsaKey(t)}
	s.certificate = s.issue(t, s.key, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA = name, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
	})
	return s
}

// issue makes a certificate for a key, edited, for server and client.
func (s signer) issue(t *testing.T, key crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	edit(template)
	parent := s.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, name)
			}
		}
	}
}

// files are the pairs of a test in a directory of their own.
type files struct {
	dir    string
	signer signer
}

func newFiles(t *testing.T) files {
	t.Helper()
	return files{t.TempDir(), newSigner(t, "authority")}
}

func (f files) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pair writes a certificate for names, with an ECDSA key.
func (f files) pair(t *testing.T, base string, names ...string) Pair {
	t.Helper()
	return f.pairOf(t, base, ecdsaKey(t), named(names...))
}

func (f files) pairOf(t *testing.T, base string, key crypto.Signer, edit func(*x509.Certificate)) Pair {
	t.Helper()
	return Pair{
		Certificate: f.write(t, base+".pem", certificatePEM(f.signer.issue(t, key, edit))),
		Key:         f.write(t, base+"-key.pem", keyPEM(t, key)),
	}
}

// logged collects a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) count(text string) int { return strings.Count(l.String(), text) }

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newStore(t *testing.T, o Options) (*Store, *logged) {
	t.Helper()
	log := new(logged)
	o.Log = log.logger()
	if o.MinVersion == 0 {
		o.MinVersion = tls.VersionTLS12
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

// shake does a handshake over loopback and sends a byte each way.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it has served
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		c := tls.Server(conn, server)
		_, err = io.ReadFull(c, make([]byte, 1))
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		_ = c.Close()
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := tls.Client(conn, client)
	_, err = c.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	state := c.ConnectionState()
	_ = conn.Close()
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return state, err
}

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// anyone is a client that takes every certificate.
func anyone(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // it looks itself
}

// TestGetCertificate: which one a client gets, by the name that it sends.
func TestGetCertificate(t *testing.T) {
	f := newFiles(t)
	s, _ := newStore(t, Options{Pairs: []Pair{
		f.pair(t, "first", "first.test"),
		f.pairOf(t, "rsa", rsaKey(), named("both.test", "rsa.test")),
		f.pair(t, "ecdsa", "both.test", "ECDSA.test"),
		f.pair(t, "wild", "*.wild.test", "exact.wild.test", "192.0.2.1", "2001:db8::1"),
		f.pair(t, "exact", "exact.wild.test"),
	}})
	server := s.Config()
	onlyRSA := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	onlyECDSA := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	for _, tt := range []struct {
		name   string
		suites []uint16 // nil for TLS 1.3
		want   string   // the file
	}{
		{"first.test", nil, "first"},
		{"", nil, "first"},
		{"unknown.test", nil, "first"},
		{"test", nil, "first"},
		{"unknown.test", onlyRSA, "rsa"},
		{"both.test", nil, "rsa"},
		{"both.test", onlyRSA, "rsa"},
		{"both.test", onlyECDSA, "ecdsa"},
		{"BOTH.test.", onlyECDSA, "ecdsa"},
		{"ecdsa.test", nil, "ecdsa"},
		{"a.wild.test", nil, "wild"},
		{"a.b.wild.test", nil, "first"},
		{"wild.test", nil, "first"},
		{"exact.wild.test", nil, "wild"},
	} {
		client := anyone(tt.name)
		if tt.suites != nil {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, tt.suites
		}
		state, err := shake(t, server, client)
		if err != nil {
			t.Errorf("%q: %v", tt.name, err)
			continue
		}
		want := s.table.Load()
		for _, e := range want.all {
			base := strings.TrimSuffix(filepath.Base(e.source), ".pem")
			if got := state.PeerCertificates[0].Equal(e.Leaf); got != (base == tt.want) {
				t.Errorf("%q with %v: %s = %v, want %s", tt.name, tt.suites, base, got, tt.want)
			}
		}
	}
	// Go's client sends no address as a name, others do.
	for _, name := range []string{"192.0.2.1", "[2001:db8::1]", "2001:DB8:0::1", "::ffff:192.0.2.1"} {
		c, err := s.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || c.Leaf.DNSNames[0] != "*.wild.test" {
			t.Errorf("%s: %v", name, err)
		}
	}
	client := anyone("first.test")
	client.MaxVersion, client.CipherSuites = tls.VersionTLS12, onlyRSA
	if _, err := shake(t, server, client); err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Errorf("a certificate that the client cannot use: %v", err)
	}
}

// TestConfig: versions, protocols, groups, tickets.
func TestConfig(t *testing.T) {
	f := newFiles(t)
	pairs := []Pair{f.pair(t, "a", "a.test")}
	s, _ := newStore(t, Options{Pairs: pairs})
	server := s.Config()
	for name, edit := range map[string]func(*tls.Config){
		"1.2":          func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"P-384":        func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		"P-256":        func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
		"http/1.1":     func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
		"no protocols": func(c *tls.Config) { c.NextProtos = nil },
	} {
		client := anyone("a.test")
		edit(client)
		if _, err := shake(t, server, client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*tls.Config){
		"1.1":       func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"h2 only":   func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"challenge": func(c *tls.Config) { c.NextProtos = []string{challengeProtocol} },
	} {
		client := anyone("a.test")
		edit(client)
		if _, err := shake(t, server, client); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	client := anyone("a.test")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		state, err := shake(t, server, client)
		if err != nil || state.DidResume != (i == 1) {
			t.Errorf("handshake %d: resumed %v, %v", i, state.DidResume, err)
		}
	}
	if !server.DynamicRecordSizingDisabled || server.SessionTicketsDisabled {
		t.Error("records and tickets")
	}
	strict, _ := newStore(t, Options{Pairs: pairs, MinVersion: tls.VersionTLS13})
	client = anyone("a.test")
	client.MaxVersion = tls.VersionTLS12
	if _, err := shake(t, strict.Config(), client); err == nil {
		t.Error("1.2 where 1.3 is the least")
	}
}

// TestClientAuth: modes, and authorities that change behind the config.
func TestClientAuth(t *testing.T) {
	f := newFiles(t)
	other := newSigner(t, "other")
	ca := f.write(t, "clients.pem", certificatePEM(f.signer.certificate))
	show := func(s signer) *tls.Config {
		key := ecdsaKey(t)
		c := anyone("a.test")
		leaf := s.issue(t, key, named("client.test"))
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, nil
		}
		return c
	}
	for _, tt := range []struct {
		mode                  tls.ClientAuthType
		none, ours, strangers bool
	}{
		{tls.NoClientCert, true, true, true},
		{tls.VerifyClientCertIfGiven, true, true, false},
		{tls.RequireAndVerifyClientCert, false, true, false},
	} {
		o := Options{Pairs: []Pair{f.pair(t, "a", "a.test")}, ClientAuth: tt.mode}
		if tt.mode != tls.NoClientCert {
			o.ClientCA = ca
		}
		s, _ := newStore(t, o)
		server := s.Config()
		check := func(who string, client *tls.Config, want bool) {
			t.Helper()
			if _, err := shake(t, server, client); (err == nil) != want {
				t.Errorf("mode %v, %s: %v", tt.mode, who, err)
			}
		}
		check("none", anyone("a.test"), tt.none)
		check("ours", show(f.signer), tt.ours)
		check("strangers", show(other), tt.strangers)
		if tt.mode == tls.NoClientCert {
			continue
		}
		f.write(t, "clients.pem", certificatePEM(other.certificate))
		if err := s.Reload(nil); err != nil {
			t.Fatal(err)
		}
		check("ours, after a change", show(f.signer), false)
		check("theirs, after a change", show(other), true)
		f.write(t, "clients.pem", []byte("nonsense"))
		if err := s.Reload(nil); err == nil || !strings.Contains(err.Error(),
			"clients.pem: holds no certificate of an authority") {
			t.Errorf("nonsense: %v", err)
		}
		check("theirs, after nonsense", show(other), true)
		f.write(t, "clients.pem", certificatePEM(f.signer.certificate))
	}
}

// TestFileErrors: one line that names the file and says what to do.
func TestFileErrors(t *testing.T) {
	f := newFiles(t)
	good, other := f.pair(t, "good", "a.test"), f.pair(t, "other", "a.test")
	expired := f.pairOf(t, "expired", ecdsaKey(t), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	empty := f.write(t, "empty.pem", []byte(" \n"))
	text := f.write(t, "text.pem", []byte("hello"))
	broken := f.write(t, "broken.pem", []byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"))
	brokenKey := f.write(t, "broken-key.pem", []byte("-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n"))
	pkcs8 := f.write(t, "pkcs8.pem", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	legacy := f.write(t, "legacy.pem", []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"+
		"DEK-Info: AES-128-CBC,00\n\naGVsbG8=\n-----END EC PRIVATE KEY-----\n"))
	large := f.write(t, "large.pem", bytes.Repeat([]byte("a"), fileBytesMax+1))
	none := filepath.Join(f.dir, "none.pem")
	for _, tt := range []struct {
		pair       Pair
		file, text string
	}{
		{Pair{none, good.Key}, none, "cannot be opened: no such file or directory"},
		{Pair{good.Certificate, none}, none, "cannot be opened"},
		{Pair{f.dir, good.Key}, f.dir, "is no file"},
		{Pair{empty, good.Key}, empty, "is empty; put PEM text into it"},
		{Pair{large, good.Key}, large, "is larger than 1024 KiB"},
		{Pair{text, good.Key}, text, "openssl x509 -inform der"},
		{Pair{good.Certificate, text}, text, "openssl pkey -inform der"},
		{Pair{broken, good.Key}, broken, "cannot be used: "},
		{Pair{good.Certificate, brokenKey}, brokenKey, "cannot be used: "},
		{Pair{good.Certificate, pkcs8}, pkcs8, "is encrypted; write it without a passphrase"},
		{Pair{good.Certificate, legacy}, legacy, "is encrypted; write it without a passphrase"},
		{Pair{good.Key, good.Certificate}, good.Key, "are the two files exchanged?"},
		{Pair{good.Certificate, other.Certificate}, other.Certificate, "are the two files exchanged?"},
		{Pair{good.Certificate, other.Key}, good.Certificate, "does not belong to the key in " + other.Key},
		{Pair{expired.Certificate, expired.Key}, expired.Certificate, "expired at 20"},
		{f.pairOf(t, "later", ecdsaKey(t), named("a.test")), "", ""},
	} {
		_, err := New(Options{Pairs: []Pair{good, tt.pair}})
		if tt.text == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var wrong *FileError
		if !errors.As(err, &wrong) || wrong.File != tt.file || !strings.Contains(wrong.Text, tt.text) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %s: %s", tt.pair, err, tt.file, tt.text)
		}
	}
	rsaOther := f.pairOf(t, "rsa", rsaKey(), named("a.test"))
	if _, err := New(Options{Pairs: []Pair{{good.Certificate, rsaOther.Key}}}); err == nil ||
		!strings.Contains(err.Error(), "does not belong to the key in") {
		t.Errorf("a key of another kind: %v", err)
	}
	if _, err := New(Options{Pairs: make([]Pair, pairsMax+1)}); err == nil {
		t.Error("too many pairs")
	}
	key := ecdsaKey(t)
	both := f.write(t, "both.pem", append(keyPEM(t, key),
		certificatePEM(f.signer.issue(t, key, named("a.test")))...))
	if _, err := New(Options{Pairs: []Pair{{both, both}}}); err != nil {
		t.Errorf("one file for both: %v", err)
	}
}

// TestWarnings: what works, but is worth a line.
func TestWarnings(t *testing.T) {
	f := newFiles(t)
	open := f.pair(t, "open", "a.test")
	if err := os.Chmod(open.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, log := newStore(t, Options{Pairs: []Pair{open, f.pair(t, "nameless"),
		f.pairOf(t, "early", ecdsaKey(t), func(c *x509.Certificate) {
			c.DNSNames, c.NotBefore = []string{"b.test"}, time.Now().Add(time.Hour)
		})}})
	for _, text := range []string{
		"open-key.pem: every user of this machine may use the key (mode 0644); chmod o= it",
		"nameless.pem: names no host", "early.pem: is not valid before",
	} {
		if log.count(text) != 1 {
			t.Errorf("no %q in %s", text, log)
		}
	}
	if n := log.count("level=WARN"); n != 3 {
		t.Errorf("%d warnings: %s", n, log)
	}
}

// TestExpiry: a line from 14 days before, once a day; a quarter of a short life.
func TestExpiry(t *testing.T) {
	f := newFiles(t)
	life := func(before, after time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-before), time.Now().Add(after)
		}
	}
	const day = 24 * time.Hour
	s, log := newStore(t, Options{Pairs: []Pair{
		f.pairOf(t, "soon", ecdsaKey(t), life(100*day, 13*day)),
		f.pairOf(t, "short", ecdsaKey(t), life(day, 3*day)),
	}})
	now := time.Now()
	for _, tt := range []struct {
		after       time.Duration
		soon, short int
	}{
		{0, 1, 0}, {time.Minute, 1, 0}, {day + time.Hour, 2, 0}, {2*day + 2*time.Hour, 3, 1},
		{2*day + 3*time.Hour, 3, 1}, {4 * day, 4, 2},
	} {
		s.warnExpiring(now.Add(tt.after))
		if a, b := log.count("soon.pem)"), log.count("short.pem)"); a != tt.soon || b != tt.short {
			t.Errorf("after %v: %d and %d, want %d and %d", tt.after, a, b, tt.soon, tt.short)
		}
	}
	if log.count("the certificate of no host has expired at ") != 1 {
		t.Error(log)
	}
	for i := range warnedMax + 10 {
		s.warnLocked(strings.Repeat("x", i), now, 0)
	}
	if len(s.warned) > warnedMax {
		t.Errorf("%d warnings are remembered", len(s.warned))
	}
}

// TestStatus says what is there, and nothing of keys.
func TestStatus(t *testing.T) {
	f := newFiles(t)
	key := ecdsaKey(t)
	made := f.signer.issue(t, key, named("made.test"))
	pair := f.pairOf(t, "a", rsaKey(), named("a.test", "192.0.2.1"))
	o := Options{Pairs: []Pair{pair}, Made: []tls.Certificate{
		{Certificate: [][]byte{made.Raw}, PrivateKey: key, Leaf: made}}}
	s, _ := newStore(t, o)
	all := s.Status()
	if len(all) != 2 || all[0].Key != "rsa" || all[0].Source != pair.Certificate ||
		strings.Join(all[0].Names, " ") != "a.test 192.0.2.1" || all[0].Issuer != "CN=authority" ||
		all[1].Key != "ecdsa" || all[1].Source != "made at start" || !all[1].NotAfter.Equal(made.NotAfter) {
		t.Errorf("%+v", all)
	}
	o.Made[0].Leaf = nil
	if _, err := New(o); err == nil {
		t.Error("a made certificate that is not parsed")
	}
}
