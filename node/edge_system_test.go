//go:build system

package node_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
)

// layers are the arguments for each record layer.
var layers = map[string][]string{
	"crypto/tls": nil,
	"own":        {"--tls-record-layer", "own"},
}

// edge is `relayhouse serve` with a TLS port, which its clients dial.
type edge struct {
	*process
	https, dir string
	log        *processLog
	root       *issuer
	client     *tls.Config
}

// processLog keeps what a process writes.
type processLog struct {
	mu   sync.Mutex
	text bytes.Buffer // Guarded by mu.
}

func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// find returns the first line that has all parts, behind the first skip bytes.
func (l *processLog) find(skip int, parts ...string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()[skip:]) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		return line
	}
	return ""
}

func (l *processLog) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

// edgeSettings is the file of an edge: its certificate and key, and a key of
// the namespace.
const edgeSettings = `
listen: {http: "127.0.0.1:0", https: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
tls: {certificate: %q, key: %q}
namespaces:
  - name: test
    authorization_rules:
      - {name: %s, rights: [Listen, Send, Manage], primary_key: %s}
    hybrid_connections:
      - {name: unauthenticated, requires_client_authorization: false}
`

func (e *edge) settings(certificate, key string) {
	e.t.Helper()
	e.put("relay.yaml", fmt.Appendf(nil, edgeSettings, filepath.Join(e.dir, certificate),
		filepath.Join(e.dir, key), config.DevKeyName, config.DevKey))
}

// put replaces a file in one step.
func (e *edge) put(name string, content []byte) {
	e.t.Helper()
	file := filepath.Join(e.dir, name)
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) putPair(certificate, key []byte) {
	e.put("tls.key", key)
	e.put("tls.crt", certificate)
}

func startEdge(t *testing.T, args ...string) *edge {
	t.Helper()
	dir := t.TempDir()
	binary, err := binaryUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{process: &process{t: t}, dir: dir, log: new(processLog), root: newIssuer(t)}
	e.putPair(e.root.issue(t, 1, time.Hour))
	e.settings("tls.crt", "tls.key")
	e.put("ca.crt", e.root.pem)
	args = append([]string{"serve", "-c", filepath.Join(dir, "relay.yaml")}, args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	e.cmd = exec.Command(binary, args...)
	e.cmd.Stderr = e.log
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.cmd.ProcessState == nil {
			_ = e.cmd.Process.Kill()
			_ = e.cmd.Wait()
		}
		http.DefaultClient.CloseIdleConnections()
		if text := e.log.find(0, "DATA RACE"); text != "" || t.Failed() {
			t.Errorf("the log:\n%s", e.log.text.String())
		}
	})
	var ready struct{ HTTPS, Admin string }
	soon(t, "ready", func() bool {
		return json.Unmarshal([]byte(e.log.find(0, `"msg":"ready"`)), &ready) == nil
	})
	e.https, e.http, e.admin = ready.HTTPS, ready.HTTPS, ready.Admin
	e.client = &tls.Config{
		RootCAs: e.root.pool, ServerName: "localhost",
		CurvePreferences: []tls.CurveID{tls.X25519}, // cheap
	}
	e.dial = func() (net.Conn, error) { return tls.Dial("tcp", e.https, e.client) }
	return e
}

// state is what must come back to what it was.
func (e *edge) state() (goroutines, descriptors, rss int) {
	e.t.Helper()
	resp, err := http.Get("http://" + e.admin + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if _, err := fmt.Sscanf(string(text), "goroutine profile: total %d", &goroutines); err != nil {
		e.t.Fatal(err)
	}
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.cmd.Process.Pid))
	if err != nil {
		e.t.Fatal(err)
	}
	return goroutines, len(names), int(e.metric("process_resident_memory_bytes"))
}

// wantBack waits for the goroutines and descriptors of an earlier state.
// Connections of the admin port may be a few more.
func (e *edge) wantBack(goroutines, descriptors int) {
	e.t.Helper()
	soon(e.t, "goroutines, descriptors and handshakes are back", func() bool {
		g, d, _ := e.state()
		return g <= goroutines+4 && d <= descriptors+2 &&
			e.metric(`relay_connections{role="handshake"}`) == 0
	})
}

// serial is that of the certificate that a new client is shown.
func (e *edge) serial() int64 {
	e.t.Helper()
	c, err := tls.Dial("tcp", e.https, e.client)
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// issuer signs certificates of a test.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
	pool        *x509.CertPool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, pool: x509.NewCertPool()}
	i.certificate, _ = x509.ParseCertificate(der)
	i.pool.AddCert(i.certificate)
	i.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return i
}

// issue makes a certificate for servers and clients, in PEM text.
func (i *issuer) issue(t *testing.T, serial int64, life time.Duration) (certificate, key []byte) {
	t.Helper()
	own, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames:  []string{"localhost"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.certificate, own.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// poolOf is a pool of one certificate.
func poolOf(t *testing.T, der []byte) *x509.CertPool {
	t.Helper()
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool
}
