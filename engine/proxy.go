package engine

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/proxyproto"
)

// overTLS is a bit of Conn.flags: a balancer said that its client speaks TLS.
const overTLS uint16 = 1 << 14

// proxiedTLS says whether a header of the PROXY protocol said that the client
// speaks TLS with the balancer.
func (c *Conn) proxiedTLS() bool { return c.flags&overTLS != 0 }

// SetSecure says that the client of c came over TLS, which has ended elsewhere.
func (c *Conn) SetSecure() { c.flags |= overTLS }

// SetPeer makes peer the address of the other end, for a connection that a
// proxy has made for one client. A zone is dropped.
func (c *Conn) SetPeer(peer netip.AddrPort) {
	addr := peer.Addr()
	c.peerAddr, c.peerPort = addr.As16(), peer.Port()
	switch {
	case addr.Is4():
		c.peerKind = peerV4
	case addr.IsValid():
		c.peerKind = peerV6
	default:
		c.peerKind = peerNone
	}
}

// The errors of ListenConfig.ProxyFailed beside those of package proxyproto.
var (
	ErrProxyCut  = errors.New("the connection ended within the PROXY protocol header")
	ErrProxyLate = errors.New("no PROXY protocol header in time")
)

// proxied says whether the connections of an address begin with a header.
func (p *ListenConfig) proxied(a netip.Addr) bool {
	if len(p.ProxyFrom) == 0 {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p.ProxyFrom, func(n netip.Prefix) bool { return n.Contains(a) })
}

// proxyHeader is the first handler of a connection that begins with a header
// of the PROXY protocol. What comes in one read, which is nearly all, is read
// where it lies.
type proxyHeader struct {
	port *ListenConfig
	over bool   // of Config.Accept
	buf  []byte // a header in pieces, at most proxyproto.HeaderMax bytes
}

func newProxyHeader(c *Conn, port *ListenConfig, over bool) Handler {
	c.SetDeadline(c.loop.engine.Ticks(port.ProxyTimeout))
	return &proxyHeader{port: port, over: over}
}

// Data takes the header, and gives what is behind it to the next handler.
func (h *proxyHeader) Data(c *Conn, p []byte) {
	header, before := p, len(h.buf)
	if before > 0 {
		h.buf = append(h.buf, p[:min(len(p), proxyproto.HeaderMax-before)]...)
		header = h.buf
	}
	said, n, err := proxyproto.Parse(header)
	switch {
	case err != nil:
		h.fail(c, err)
	case n > 0:
		h.pass(c, said, p[n-before:])
	case before == 0:
		h.buf = append(h.buf, p...)
	}
}

// pass makes c the connection of the client that the header names.
func (h *proxyHeader) pass(c *Conn, said proxyproto.Header, rest []byte) {
	if said.Source.IsValid() {
		c.SetPeer(said.Source)
	}
	if said.TLS {
		c.SetSecure()
	}
	c.SetDeadline(0)
	c.SetHandler(c.loop.begun(c, h.port, h.over))
	if len(rest) > 0 && !c.Gone() {
		c.handler.Data(c, rest)
	}
}

func (h *proxyHeader) fail(c *Conn, err error) {
	if h.port.ProxyFailed != nil {
		h.port.ProxyFailed(c, err)
	}
	c.Close(metrics.CloseProxyInvalid)
}

// Hangup: balancers try a port by connecting and leaving again.
func (h *proxyHeader) Hangup(c *Conn) {
	if len(h.buf) == 0 {
		c.Close(metrics.ClosePeerEOF)
		return
	}
	h.fail(c, ErrProxyCut)
}

func (h *proxyHeader) Timeout(c *Conn) { h.fail(c, ErrProxyLate) }

func (h *proxyHeader) Drained(*Conn) {} // nothing is written

func (h *proxyHeader) Closed(*Conn, metrics.CloseReason) {}
