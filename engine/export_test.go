package engine

import (
	"net/netip"
	"syscall"
)

type addrPort = netip.AddrPort

// TestPoller wraps a Poller to inject faults.
type TestPoller struct {
	Poller
	AcceptErrno func() syscall.Errno // nonzero: Accept fails so
}

// Accept fails on demand.
func (p *TestPoller) Accept(fd int) (int, addrPort, syscall.Errno) {
	if p.AcceptErrno != nil {
		if errno := p.AcceptErrno(); errno != 0 {
			return -1, addrPort{}, errno
		}
	}
	return p.Poller.Accept(fd)
}

// NewEpollPoller opens the operating system's poller.
func NewEpollPoller() (Poller, error) { return newEpollPoller() }

// Clock is the time that l's deadlines count from.
func (l *Loop) Clock() uint32 { return l.clock() }

// Proxied says whether connections from peer begin with a header.
func (p *ListenConfig) Proxied(peer netip.Addr) bool { return p.proxied(peer) }

// FD is c's descriptor.
func (c *Conn) FD() int { return int(c.fd) }
