package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// Server is one port.
type Server struct {
	// Fixed after New.
	name           string
	listener       net.Listener
	http           *http.Server
	connectionsMax int64

	// Atomic.
	connections atomic.Int64
}

// New returns a server for l; connections wait until Serve. Those beyond
// connectionsMax are closed at once. h is the server's from now on; with a
// TLSConfig it serves TLS. name is for errors.
func New(name string, l net.Listener, h *http.Server, connectionsMax int) *Server {
	s := &Server{name: name, listener: l, http: h, connectionsMax: int64(connectionsMax)}
	h.ConnState = s.count
	return s
}

// Listener is the socket that the server listens on.
func (s *Server) Listener() net.Listener { return s.listener }

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// HTTP is the server with its bounds, to look at.
func (s *Server) HTTP() *http.Server { return s.http }

// Serve answers requests until Close and then returns nil.
func (s *Server) Serve() error {
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s port: %w", s.name, err)
	}
	return nil
}

// Close stops listening and waits for requests in progress until ctx is done,
// then ends them.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// Without Serve, http.Server does not know the listener.
	if closeErr := s.listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		return fmt.Errorf("close %s port: %w", s.name, err)
	}
	return nil
}

// count enforces connectionsMax.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.connections.Add(1) > s.connectionsMax {
			_ = c.Close() // The read that follows fails, and net/http cleans up.
		}
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
}
