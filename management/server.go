package management

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
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
type Server struct {
	// Fixed after Listen.
	api      *API
	listener net.Listener
	server   *http.Server

	// Atomic.
	connections atomic.Int64
}

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
	s := &Server{api: api, listener: l}
	s.server = &http.Server{
		Handler:           api,
		TLSConfig:         t.Clone(),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headBytesMax,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ErrorLog:          log.New(complaints{api}, "", 0),
		ConnState:         s.count,
	}
	return s, nil
}

// Listener is the socket that the server listens on.
func (s *Server) Listener() net.Listener { return s.listener }

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// API is what the server serves.
func (s *Server) API() *API { return s.api }

// Serve answers requests until Close and then returns nil.
func (s *Server) Serve() error {
	if err := s.server.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve management port: %w", err)
	}
	return nil
}

// Close stops listening and waits for requests in progress until ctx is done,
// then ends them.
func (s *Server) Close(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	// Without Serve, http.Server does not know the listener.
	if closeErr := s.listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		return fmt.Errorf("close management port: %w", err)
	}
	return nil
}

// count enforces connectionsMax.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.connections.Add(1) > connectionsMax {
			_ = c.Close() // The read that follows fails, and net/http cleans up.
		}
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
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
