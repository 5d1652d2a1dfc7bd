package engine

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/metrics"
)

// Listening sockets that another process opened, and connections that come from
// it or go there. Why descriptors: docs/adr/0016.

// ListenOn accepts from sockets that are open already, of one address, and
// returns the address. It owns the descriptors, also when it fails. Every socket
// gets a loop, so that nothing waits in a queue that nobody empties; a loop that
// is left without one gets one of its own, in the same group if the sockets have
// SO_REUSEPORT, else a copy that it shares. Call it before Start.
//
//	Errors: a descriptor is no listening TCP socket, or the addresses differ.
func (e *Engine) ListenOn(fds []int, cfg ListenConfig) (net.Addr, error) {
	bound, err := checkSockets(fds)
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	for _, fd := range fds {
		_ = unix.SetNonblock(fd, true)
		unix.CloseOnExec(fd)
		for _, o := range socketOptions(cfg) {
			_ = o.SetSockOpt(fd, o.Opt)
		}
		if cfg.Backlog > 0 {
			_ = unix.Listen(fd, cfg.Backlog)
		}
	}
	for i := len(fds); i < len(e.loops); i++ {
		fd, err := openBeside(fds[0], bound.String(), cfg)
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("listen on %s: %w", bound, err)
		}
		fds = append(fds, fd)
	}
	for i, fd := range fds {
		if err := e.loops[i%len(e.loops)].AddListener(fd, &cfg); err != nil {
			closeAll(fds[i:])
			return nil, fmt.Errorf("listen on %s: %w", bound, err)
		}
	}
	return bound, nil
}

// checkSockets returns the one address that fds listen on.
func checkSockets(fds []int) (net.Addr, error) {
	if len(fds) == 0 {
		return nil, fmt.Errorf("no socket to listen on")
	}
	var bound net.Addr
	for _, fd := range fds {
		listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
		kind, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if listening == 0 || kind != unix.SOCK_STREAM ||
			domain != unix.AF_INET && domain != unix.AF_INET6 { // MPTCP is fine, too
			return nil, fmt.Errorf("descriptor %d is no listening TCP socket", fd)
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
		addr := socket.SockaddrToTCPOrUnixAddr(sa)
		if bound != nil && addr.String() != bound.String() {
			return nil, fmt.Errorf("sockets of two addresses, %s and %s", bound, addr)
		}
		bound = addr
	}
	return bound, nil
}

// openBeside opens one more socket of the group of fd, or copies fd.
func openBeside(fd int, addr string, cfg ListenConfig) (int, error) {
	group, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT)
	if group != 0 {
		added, _, err := socket.TCPSocket("tcp", addr, true, socketOptions(cfg), nil)
		if err == nil {
			if cfg.Backlog > 0 {
				_ = unix.Listen(added, cfg.Backlog)
			}
			return added, nil
		}
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// Sockets returns copies of the listening sockets of a name. The caller owns
// the descriptors.
func (e *Engine) Sockets(name string) ([]int, error) {
	perLoop := make([][]int, len(e.loops))
	failed := make([]error, len(e.loops))
	e.Do(func(l *Loop) {
		for _, ln := range l.listeners {
			if ln.port.Name != name {
				continue
			}
			fd, err := unix.FcntlInt(uintptr(ln.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				failed[l.index] = err
				return
			}
			perLoop[l.index] = append(perLoop[l.index], fd)
		}
	})
	var all []int
	for _, fds := range perLoop {
		all = append(all, fds...)
	}
	for _, err := range failed {
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("copy the sockets of %s: %w", name, err)
		}
	}
	return all, nil
}

// SuspendListeners stops accepting; connections wait in the kernel until
// ResumeListeners, or until another process that has the sockets accepts them.
func (e *Engine) SuspendListeners() {
	e.Do(func(l *Loop) {
		for i := range l.listeners {
			ln := &l.listeners[i]
			if !ln.suspended && !ln.resume {
				_ = l.poller.Remove(ln.fd)
			}
			ln.suspended, ln.resume = true, false
		}
	})
}

// ResumeListeners undoes SuspendListeners.
func (e *Engine) ResumeListeners() {
	e.Do(func(l *Loop) {
		for i := range l.listeners {
			if ln := &l.listeners[i]; ln.suspended {
				ln.suspended = false
				ln.resume = l.poller.AddListener(ln.fd) != nil
			}
		}
	})
}

// ReleaseListeners closes suspended sockets and leaves what waits at them to
// the process that has them too.
func (e *Engine) ReleaseListeners() {
	e.Do(func(l *Loop) {
		kept := l.listeners[:0]
		for _, ln := range l.listeners {
			if ln.suspended {
				l.poller.CloseFD(ln.fd, false)
				continue
			}
			kept = append(kept, ln)
		}
		l.listeners = kept
	})
}

// Release gives up a connection and returns its descriptor, which the caller
// owns. The handler hears no more of it, not even Closed. Nothing may be queued,
// and c must not be spliced.
func (c *Conn) Release() int {
	l := c.loop
	l.detach(c)
	c.flags |= gone
	l.engine.open.Add(-1)
	return int(c.fd)
}

// Adopt makes a connection of another process one of this engine, on a loop of
// the engine's choice. It owns fd, a stream socket. arrive runs on the loop with
// the new connection and gives it a handler; overloaded is as in Config.Accept.
func (e *Engine) Adopt(fd int, peer netip.AddrPort, arrive func(c *Conn, overloaded bool)) {
	_ = unix.SetNonblock(fd, true)
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.started || e.stopped {
		_ = unix.Close(fd)
		return
	}
	l := e.loops[int(e.adopted.Add(1)%uint32(len(e.loops)))]
	open := e.open.Add(1)
	over := e.cfg.ConnectionsMax > 0 && open > int64(e.cfg.ConnectionsMax)
	l.Post(func(l *Loop) {
		if c := l.attachFD(fd, peer); c != nil {
			arrive(c, over)
		}
	})
}

// Attach makes fd, a stream socket, a connection of the loop, paused, beside
// those that were accepted; nil if that fails. It owns fd. Only from a task.
func (l *Loop) Attach(fd int, peer netip.AddrPort) *Conn {
	_ = unix.SetNonblock(fd, true)
	l.engine.open.Add(1)
	c := l.attachFD(fd, peer)
	if c != nil {
		c.Pause()
	}
	return c
}

func (l *Loop) attachFD(fd int, peer netip.AddrPort) *Conn {
	c := l.newConn(fd, peer)
	c.handler = unattended{}
	if !l.attach(c) {
		return nil
	}
	return c
}

// unattended is the handler of a connection that has not got one.
type unattended struct{}

func (unattended) Data(*Conn, []byte)                {}
func (unattended) Hangup(*Conn)                      {}
func (unattended) Timeout(*Conn)                     {}
func (unattended) Drained(*Conn)                     {}
func (unattended) Closed(*Conn, metrics.CloseReason) {}

// Accepting is the number of loops that have a listening socket.
func (e *Engine) Accepting() int {
	has := make([]int, len(e.loops))
	e.Do(func(l *Loop) { has[l.index] = min(1, len(l.listeners)) })
	n := 0
	for _, one := range has {
		n += one
	}
	return n
}
