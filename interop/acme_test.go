package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
)

// acmeDomain is the name that is obtained; the test's DNS knows it.
const acmeDomain = "relay.example.com"

// acmeWait bounds what an authority and the gateway take together: Pebble asks
// clients to come again after 3 s and 5 s.
const acmeWait = 90 * time.Second

// pebble is Let's Encrypt's authority for tests, with a DNS server of its own.
type pebble struct {
	directory string // URL
	ca        string // PEM file to trust the directory by
	roots     string // URL of the root of what it issues
	client    *http.Client
	process   *exec.Cmd
}

// output collects what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // Guarded by mu.
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// child runs a program until the test ends.
func child(t *testing.T, path string, arguments ...string) *exec.Cmd {
	t.Helper()
	log := new(output)
	cmd := exec.Command(path, arguments...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(path), log)
		}
	})
	return cmd
}

// startPebble builds and runs Pebble, which looks for challenges at the port of
// the given address.
func startPebble(t *testing.T, https string) *pebble {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"pebble", "pebble-challtestsrv"} {
		build := exec.Command("go", "build", "-o", dir, "github.com/letsencrypt/pebble/v2/cmd/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	dns := emulator.FreeAddress(t)
	child(t, filepath.Join(dir, "pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1",
		"-defaultIPv6", "", "-dnsserver", dns, "-management", emulator.FreeAddress(t),
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")

	p := &pebble{ca: filepath.Join(dir, "ca.pem")}
	certificate, pool := selfSigned(t)
	for file, block := range certificate {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen, management := emulator.FreeAddress(t), emulator.FreeAddress(t)
	_, portText, _ := net.SplitHostPort(https)
	port, _ := strconv.Atoi(portText)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": management,
		"certificate": p.ca, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": 1, "tlsPort": port, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	p.process = child(t, filepath.Join(dir, "pebble"), "-config", file, "-strict", "-dnsserver", dns)
	p.directory = "https://" + listen + "/dir"
	p.roots = "https://" + management + "/roots/0"
	p.client = &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	until(t, "Pebble answers", func() bool { return p.root() != nil })
	return p
}

// root returns the pool of what Pebble issues, nil as long as it does not answer.
func (p *pebble) root() *x509.CertPool {
	for _, url := range []string{p.directory, p.roots} {
		response, err := p.client.Get(url)
		if err != nil {
			return nil
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		pool := x509.NewCertPool()
		if url == p.roots && err == nil && pool.AppendCertsFromPEM(text) {
			return pool
		}
	}
	return nil
}

// selfSigned makes the certificate of Pebble's own ports, as files.
func selfSigned(t *testing.T) (map[string]*pem.Block, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return map[string]*pem.Block{
		"ca.pem":  {Type: "CERTIFICATE", Bytes: der},
		"key.pem": {Type: "PRIVATE KEY", Bytes: private},
	}, pool
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(acmeWait); !ok(); <-poll.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", acmeWait, what)
		}
	}
}

// TestACME: the gateway obtains a certificate by the challenge on its own port,
// serves it, and has it again after a restart without the authority.
func TestACME(t *testing.T) {
	https := emulator.FreeAddress(t)
	p := startPebble(t, https)
	arguments := []string{
		"--https", https, "--tls-acme-domains", acmeDomain, "--tls-acme-directory", p.directory,
		"--tls-acme-ca", p.ca, "--tls-acme-email", "operator@example.com",
		"--tls-acme-storage", filepath.Join(t.TempDir(), "acme"), "--tls-acme-agree",
	}
	roots := p.root()
	greet := func() error {
		dialer := &net.Dialer{Timeout: time.Second}
		c, err := tls.DialWithDialer(dialer, "tcp", https,
			&tls.Config{RootCAs: roots, ServerName: acmeDomain, NextProtos: []string{"http/1.1"}})
		if err == nil {
			err = c.Close()
		}
		return err
	}
	first := emulator.Serve(t, "", arguments...)
	until(t, "a certificate of the authority", func() bool { return greet() == nil })
	response, err := http.Get("http://" + first.Admin + "/status/certificates")
	if err != nil {
		t.Fatal(err)
	}
	status, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !strings.Contains(string(status), fmt.Sprintf("%q", acmeDomain)) ||
		!strings.Contains(string(status), "Pebble Intermediate CA") {
		t.Errorf("status %s, %v", status, err)
	}
	if ok, err := first.Terminate(10 * time.Second); !ok || err != nil {
		t.Errorf("the end of the first gateway: %v, %v", ok, err)
	}

	_ = p.process.Process.Kill()
	emulator.Serve(t, "", arguments...)
	until(t, "the certificate of the storage", func() bool { return greet() == nil })
}
