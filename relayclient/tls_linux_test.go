package relayclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/internal/selfsigned"
	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
)

// proxy is an HTTP proxy that knows CONNECT only, and counts.
func proxy(t *testing.T, count *atomic.Int64) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			t.Errorf("proxy asked for %s", r.Method)
			return
		}
		count.Add(1)
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(struct{ io.Writer }{far}, near) // no splice, whose pipes stay
			_ = far.Close()
		}()
		_, _ = io.Copy(struct{ io.Writer }{near}, far)
		_ = near.Close()
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestTLS: with an authority of one's own, directly and through a proxy; the
// rendezvous connections go the same way.
func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, key, err := selfsigned.New()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := config.KeyPair{Certificate: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k")}
	for file, text := range map[string][]byte{files.Certificate: certificate, files.Key: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := relaytest.Start(t, func(c *config.Config) {
		c.Listen.HTTPS = "127.0.0.1:0"
		c.TLS.Certificates = []config.KeyPair{files}
	})
	e := entity(n, relaytest.Authorized)
	e.Endpoint = "sb://" + n.Addresses().HTTPS
	if _, err := (&relayclient.Dialer{Entity: e}).Dial(patient(t)); err == nil ||
		!strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("without trust: %v", err)
	}
	e.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	e.TLS.RootCAs.AppendCertsFromPEM(certificate)
	var proxied, dialled atomic.Int64
	through := e
	// A proxy for loopback is not taken from the environment.
	through.Proxy = http.ProxyURL(proxy(t, &proxied))
	through.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for _, e := range []relayclient.Entity{e, through} {
		l := listen(t, n, relaytest.Authorized, func(o *relayclient.Options) {
			o.Entity = e
			o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
			})
		})
		s, r := pair(t, l, relayclient.Dialer{Entity: e})
		data := strings.Repeat("data ", 100000)
		go func() {
			_, _ = io.WriteString(s, data)
			_ = s.CloseWrite()
		}()
		if got, err := io.ReadAll(r); string(got) != data || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_ = r.Close()
		if got, err := io.ReadAll(s); len(got) != 0 || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		transport, err := e.Transport()
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: transport}
		res, err := client.Post(e.URL(""), "", strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); string(got) != data || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_ = res.Body.Close()
		client.CloseIdleConnections()
		_ = l.Close()
	}
	// Control channel, sender, rendezvous connection, request, its rendezvous
	// connection.
	if proxied.Load() != 5 || dialled.Load() != 5 {
		t.Errorf("%d connections through the proxy, %d dialled", proxied.Load(), dialled.Load())
	}
}
