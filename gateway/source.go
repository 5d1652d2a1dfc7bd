package gateway

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/metrics"
)

// source is who has sent a request, which is not always the peer of the
// connection: a proxy sends the requests of many on one.
type source struct {
	addr   netip.AddrPort // port 0 if unknown
	secure bool           // it speaks TLS, with us or with a proxy

	// The trusted proxy from which the request comes; zero if there is none.
	proxy       netip.AddrPort
	proxySecure bool
	said        bool // secure is the word of a proxy
}

// sourceOf is the peer of a connection.
func sourceOf(c *engine.Conn) source { return source{addr: c.Peer(), secure: c.Secure()} }

// proxied takes the word of the peer for whose request this is, if it is among
// the trusted; what others say of themselves only passes through.
func (s *source) proxied(head *httphead.Head, trusted []netip.Prefix) {
	if !contains(trusted, s.addr.Addr()) {
		return
	}
	s.proxy, s.proxySecure = s.addr, s.secure
	said := head.Sender(func(a netip.Addr) bool { return contains(trusted, a) })
	if said.Addr.IsValid() {
		s.addr = said.Addr
	}
	if said.Scheme != "" {
		s.secure, s.said = said.Scheme == "https", true
	}
}

// contains says whether one of the networks has the address.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	if len(networks) == 0 {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// overTLS says whether the client speaks TLS, as configured or as it does.
func (s *source) overTLS(g *Gateway) bool {
	switch g.cfg.AdvertisedScheme {
	case "ws":
		return false
	case "wss":
		return true
	}
	return s.secure
}

// proto is what the sender of a request speaks. Where no proxy says so, an
// advertised URL with TLS means that TLS ends in front of this gateway.
func (r *request) proto() string {
	if r.source.said {
		return protoOf(r.source.secure)
	}
	return protoOf(r.source.overTLS(r.g) || strings.HasPrefix(r.g.cfg.AdvertisedURL, "wss:"))
}

// proxyProto is what the trusted proxy speaks with the gateway; "" without one.
func (s *source) proxyProto() string {
	if !s.proxy.IsValid() {
		return ""
	}
	return protoOf(s.proxySecure)
}

func protoOf(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// ProxyFailed records a connection that ends without the header of the PROXY
// protocol that its network has to send. It is engine.ListenConfig.ProxyFailed.
// Whoever reaches the port from there can cause it, hence no louder than other
// bytes that nobody can read.
func (g *Gateway) ProxyFailed(c *engine.Conn, err error) {
	now := g.cfg.Now()
	g.cfg.Log.Debug("connection of a balancer refused",
		slog.String("event", "ProcessingRequestFailed"),
		slog.String("reason", metrics.CloseProxyInvalid.String()), slog.String("cause", err.Error()),
		slog.String("clientAddr", c.Peer().String()))
	g.closed(c, c.Peer(), c.Role(), metrics.CloseProxyInvalid, "", "", now, err.Error())
}
