package management

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/internal/httpserver"
)

// Bounds of the server; ours. Tokens of Entra, which clients may send, take up
// to 4 KiB of a head.
const (
	headBytesMax   = 16 << 10
	headTimeout    = 10 * time.Second // TLS handshake too
	readTimeout    = 30 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	connectionsMax = 256 // Further ones are closed at once.
	streamsMax     = 64  // of one HTTP/2 connection; further ones wait
)

// Server serves an API over TLS.
type Server struct{ *httpserver.Server }

// Listen opens the port of the management API. Connections wait until Serve.
//
//	Shape:  t says which certificate clients see; it is not changed.
//	Errors: of New; of the network, such as an address in use; no t. Nothing
//	        is open then.
func Listen(address string, t *tls.Config, o Options) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open management port: %w", err)
	}
	s, err := ListenOn(l, t, o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// ListenOn is Listen with a socket that is open already; it stays open if there
// is an error.
func ListenOn(l net.Listener, t *tls.Config, o Options) (*Server, error) {
	if t == nil {
		return nil, errors.New("open management port: want a certificate: " +
			"the API is served over TLS only")
	}
	api, err := New(o)
	if err != nil {
		return nil, fmt.Errorf("open management port: %w", err)
	}
	return &Server{httpserver.New("management", l, &http.Server{
		Handler:           api,
		TLSConfig:         t.Clone(),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headBytesMax,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ErrorLog:          log.New(complaints{api}, "", 0),
	}, connectionsMax)}, nil
}

// complaints takes what net/http logs, mostly handshakes that strangers broke
// off, and lets some of it through.
type complaints struct{ *API }

// Write logs one complaint.
func (c complaints) Write(p []byte) (int, error) {
	c.failures.warn(c.log, "management server",
		slog.String("complaint", strings.TrimSpace(string(p))))
	return len(p), nil
}
