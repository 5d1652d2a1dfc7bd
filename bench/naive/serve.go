package naive

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/relayhouse/relayhouse/internal/selfsigned"
)

// headMax is how long a request head may take to arrive.
const headMax = 30 * time.Second

// Config says where to listen. Port 0 picks a free one.
type Config struct {
	HTTP, Admin string // addresses
	// HTTPS is the address for clients that speak TLS; empty serves none.
	// The certificate is made anew by each Serve.
	HTTPS string
	// Scheme and Gorilla are the Relay's.
	Scheme  string
	Gorilla bool
	// DataDir gets endpoints.json with the chosen addresses, and ca.pem with
	// the certificate when there is TLS; empty writes neither.
	DataDir string
	// Ready, when set, is called once with the chosen addresses.
	Ready func(Addresses)
}

// Addresses are what a relay has chosen, as endpoints.json tells them.
type Addresses struct {
	HTTP       string `json:"http"`
	HTTPS      string `json:"https"` // empty without TLS
	Admin      string `json:"admin"`
	Management string `json:"management"` // always empty
}

// Serve runs a relay until ctx ends. Relayed connections do not outlive it.
func Serve(ctx context.Context, c Config) error {
	s := &servers{failed: make(chan error, 3)}
	defer s.close()
	relay := &Relay{Scheme: c.Scheme, Gorilla: c.Gorilla}
	var at Addresses
	var err error
	if at.HTTP, err = s.serve("clients", c.HTTP, relay, nil); err != nil {
		return err
	}
	if at.Admin, err = s.serve("the operator", c.Admin, readiness(), nil); err != nil {
		return err
	}
	if c.HTTPS != "" {
		certificate, key, err := selfsigned.New()
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return fmt.Errorf("use the certificate: %w", err)
		}
		// Without h2: WebSockets and the clients that are compared use HTTP/1.1.
		secure := &tls.Config{Certificates: []tls.Certificate{pair},
			NextProtos: []string{"http/1.1"}}
		if at.HTTPS, err = s.serve("clients with TLS", c.HTTPS, relay, secure); err != nil {
			return err
		}
		if err := writeFile(c.DataDir, "ca.pem", certificate); err != nil {
			return err
		}
	}
	if err := writeEndpoints(c.DataDir, at); err != nil {
		return err
	}
	if c.Ready != nil {
		c.Ready(at)
	}
	select {
	case err = <-s.failed:
	case <-ctx.Done():
	}
	return err
}

// servers are the listening addresses of one relay.
type servers struct {
	all    []*http.Server
	failed chan error // hears of each server that ended by itself
}

// serve begins to serve h for somebody and returns the address that was chosen.
func (s *servers) serve(
	whom, addr string, h http.Handler, secure *tls.Config,
) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", whom, err)
	}
	at := l.Addr().String()
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headMax}
	s.all = append(s.all, srv)
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return at, nil
}

func (s *servers) close() {
	for _, srv := range s.all {
		_ = srv.Close()
	}
}

func readiness() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

func writeEndpoints(dir string, at Addresses) error {
	body, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return writeFile(dir, "endpoints.json", append(body, '\n'))
}

// writeFile writes the file as a whole: a reader sees all of it or none.
func writeFile(dir, name string, body []byte) error {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", body, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
