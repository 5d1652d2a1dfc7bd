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

// The bounds of what a loop keeps for later.
const (
	SparesMax = sparesMax
	PollBatch = pollBatch
)

// Spares takes n leftovers, gives them back, and returns how many l has kept.
func (l *Loop) Spares(n int) int {
	var taken []*leftover
	for range n {
		taken = append(taken, l.spare())
	}
	for _, left := range taken {
		l.keep(left)
	}
	return len(l.spares)
}

// TaskRoom is the number of tasks that the poller of l has room for. On l only.
func (l *Loop) TaskRoom() int {
	p := l.poller.(*epollPoller)
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(cap(p.run), cap(p.tasks))
}
