package node_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/relaytest"
)

// pair writes a new certificate of an authority into a directory.
func pair(t *testing.T, a *certificate.Authority, dir string) config.KeyPair {
	t.Helper()
	leaf, err := a.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p := config.KeyPair{Certificate: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls-key.pem")}
	for file, block := range map[string]*pem.Block{
		p.Certificate: {Type: "CERTIFICATE", Bytes: leaf.Certificate[0]},
		p.Key:         {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestTLSPort: both ports serve, admin pages tell of the certificate, and
// Reload replaces it, with the namespaces or not at all.
func TestTLSPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := certificate.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	var cfg config.Config
	n := relaytest.Start(t, func(c *config.Config) {
		c.Listen.HTTPS = "127.0.0.1:0"
		c.TLS.Certificates = []config.KeyPair{pair(t, a, dir)}
		cfg = *c
	})
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Timeout: relaytest.Patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	serial := func() string {
		t.Helper()
		r, err := client.Get("https://" + n.Addresses().HTTPS + "/" + relaytest.Anonymous)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusNotFound || r.TLS.NegotiatedProtocol == "h2" {
			t.Errorf("status %d, protocol %q", r.StatusCode, r.TLS.NegotiatedProtocol)
		}
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 404)
	var list struct {
		Items []struct {
			Names  []string
			Source string
		}
	}
	_, body := n.Get(t, "/status/certificates")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) != 1 ||
		list.Items[0].Names[0] != "localhost" || list.Items[0].Source != cfg.TLS.Certificates[0].Certificate {
		t.Errorf("/status/certificates: %s (%v)", body, err)
	}
	if _, body := n.Get(t, "/metrics"); !strings.Contains(body,
		`relay_certificate_expiry_seconds{name="localhost"} 7.7`) {
		t.Error("no metric of the certificate")
	}

	wrong := cfg
	wrong.TLS.Certificates = []config.KeyPair{{Certificate: dir + "/none", Key: dir + "/none"}}
	wrong.Namespaces = nil
	if err := n.Reload(wrong); err == nil ||
		err.Error() != "tls: cannot be opened: no such file or directory ("+dir+"/none)" {
		t.Errorf("Reload: %v", err)
	}
	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 404) // The namespace is there.
	if serial() != first {
		t.Error("another certificate after a mistake")
	}
	pair(t, a, dir)
	if err := n.Reload(cfg); err != nil || serial() == first {
		t.Errorf("the old certificate after a reload: %v", err)
	}
}

// TestTLSStartErrors: the file, and what to do; the ports are given back.
func TestTLSStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := certificate.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	good := pair(t, a, dir)
	for _, tt := range []struct {
		edit       func(c *config.Config)
		path, text string
	}{
		{func(c *config.Config) { c.TLS.Certificate, c.TLS.Key = empty, empty }, "tls", "is empty"},
		{func(c *config.Config) { c.TLS.ClientAuth, c.TLS.ClientCA = "require", empty }, "tls", "is empty"},
		{func(c *config.Config) { c.Listen.HTTPS = occupied(t) }, "listen.https", "is in use"},
		{func(c *config.Config) { c.Admin.Listen = occupied(t) }, "admin.listen", "is in use"},
	} {
		cfg := relaytest.Settings()
		cfg.Listen.HTTP, cfg.Listen.HTTPS = "", "127.0.0.1:0"
		cfg.TLS.Certificates = []config.KeyPair{good}
		tt.edit(&cfg)
		_, err := node.Start(cfg, slog.New(slog.DiscardHandler))
		var wrong *config.Error
		if !errors.As(err, &wrong) || wrong.Path != tt.path || !strings.Contains(wrong.Text, tt.text) {
			t.Errorf("%s: %v", tt.path, err)
		}
	}
}
