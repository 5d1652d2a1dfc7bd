package management

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/internal/selfsigned"
)

// serve starts a server for f and returns a client that trusts it.
func (f *fixture) serve() (*Server, *http.Client) {
	f.Helper()
	certificate, key, err := selfsigned.New()
	if err != nil {
		f.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		f.Fatal(err)
	}
	s, err := Listen("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}}, f.api.o)
	if err != nil {
		f.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}
	f.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			f.Error(err)
		}
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	return s, &http.Client{Transport: transport}
}

func TestServer(t *testing.T) {
	f := newFixture(t)
	s, client := f.serve()
	base := "https://" + s.Addr().String()
	send := func(method, path, body string) (int, string, *http.Response) {
		r, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+ownerToken)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode, string(text), response
	}
	code, text, response := send(http.MethodPut, at(contoso), `{"location":"a"}`)
	if code != 201 || response.ProtoMajor != 2 {
		t.Errorf("%d %s over %s", code, text, response.Proto)
	}
	for range 3 {
		if code, text, _ = send(http.MethodPut, at(contoso+"/hybridConnections/a%2Fb"), `{}`); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	}
	code, text, response = send(http.MethodHead, at(contoso+"/hybridConnections/a%2Fb"), "")
	if code != 200 || text != "" || response.ContentLength <= 0 {
		t.Errorf("HEAD: %d %q %d", code, text, response.ContentLength)
	}
	if code, text, _ = send(http.MethodDelete, at(contoso), ""); code != 200 || text != "" {
		t.Errorf("%d %q", code, text)
	}
	// HTTP without TLS is no way in.
	plain, err := http.Get("http://" + s.Addr().String() + contoso)
	if err == nil {
		if _ = plain.Body.Close(); plain.StatusCode != 400 {
			t.Errorf("plain HTTP: %d", plain.StatusCode)
		}
	}
	if s.Listener().Addr().String() != s.Addr().String() {
		t.Error("not the server that was opened")
	}
}

// Connections beyond the limit are closed at once; when others end, there is
// room again.
func TestConnectionsMax(t *testing.T) {
	f := newFixture(t)
	s, client := f.serve()
	var open []net.Conn
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		return c
	}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range connectionsMax { // They are accepted in their order.
		dial()
	}
	c := dial()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a connection too many: %v", err)
	}
	_ = open[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r, _ := http.NewRequest(http.MethodGet, "https://"+s.Addr().String()+"/relayhouse/version", nil)
		r.Header.Set("Authorization", "Bearer "+ownerToken)
		response, err := client.Do(r)
		if err == nil {
			_ = response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a connection that went made no room: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

func TestListenErrors(t *testing.T) {
	f := newFixture(t)
	if _, err := Listen("127.0.0.1:0", nil, f.api.o); err == nil {
		t.Error("no TLS, no error")
	}
	if _, err := Listen("127.0.0.1:99999", &tls.Config{}, f.api.o); err == nil {
		t.Error("no such port, no error")
	}
	if _, err := Listen("127.0.0.1:0", &tls.Config{}, Options{}); err == nil {
		t.Error("no options, no error")
	}
	// A server that never served can be closed.
	s, err := Listen("127.0.0.1:0", &tls.Config{}, f.api.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Complaints of net/http are logged, within bounds.
func TestComplaints(t *testing.T) {
	f := newFixture(t)
	for range 1000 {
		if n, err := (complaints{f.api}).Write([]byte("TLS handshake error\n")); n != 20 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := strings.Count(f.log.String(), `"TLS handshake error"`); n == 0 || n > linesBurst+1 {
		t.Errorf("%d lines", n)
	}
}
