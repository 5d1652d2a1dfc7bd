package engine

import (
	"net/netip"
	"syscall"

	"github.com/relayhouse/relayhouse/metrics"
)

// acceptMax is the number of connections that one event of a listening socket
// may bring; it is level-triggered and comes again. Small, so that a flood of
// connections takes turns with established ones.
const acceptMax = 16

// listener is a listening socket of one loop.
type listener struct {
	fd        int
	name      string // of the port, see ListenConfig
	resume    bool   // taken off the poller after an error, until the next tick
	suspended bool   // taken off the poller, see SuspendListeners
}

// AddListener makes the loop accept from a listening, non-blocking socket,
// which it then owns. Called on the loop or before Start.
func (l *Loop) AddListener(fd int) error {
	if err := l.poller.AddListener(fd); err != nil {
		return err
	}
	l.listeners = append(l.listeners, listener{fd: fd})
	return nil
}

// accept takes the connections that wait at a listening socket. They are
// attached from a task, because their numbers may be those of connections
// closed earlier in this batch of events.
func (l *Loop) accept(fd int) {
	var ln *listener
	for i := range l.listeners {
		if l.listeners[i].fd == fd {
			ln = &l.listeners[i]
		}
	}
	if ln == nil {
		return // an event of a connection that is gone
	}
	for range acceptMax {
		conn, peer, errno := l.poller.Accept(fd)
		if errno != 0 {
			if !l.acceptFailed(ln, errno) {
				return
			}
			continue
		}
		l.counters.Accepted.Add(1)
		l.admit(conn, peer)
	}
}

// admit attaches one accepted descriptor, unless the limit is passed by far.
func (l *Loop) admit(fd int, peer netip.AddrPort) {
	e := l.engine
	open := e.open.Add(1)
	over := e.cfg.ConnectionsMax > 0 && open > int64(e.cfg.ConnectionsMax)
	if over {
		l.counters.Refused.Add(1)
	}
	if over && open > int64(e.cfg.ConnectionsMax)+OverloadSlack {
		e.open.Add(-1)
		l.poller.CloseFD(fd, false)
		return
	}
	l.Post(func(l *Loop) {
		c := &Conn{fd: int32(fd), peer: peer, loop: l, window: windowMin, lastRead: l.wheel.now}
		c.handler = e.cfg.Accept(c, over)
		l.attach(c)
	})
}

// acceptFailed deals with a failed accept; true means try again at once. No
// error ends the listener: at the descriptor limit the connection is taken
// with the spare descriptor and ended, so that its client learns of it; when
// even that fails the socket rests until the next tick.
func (l *Loop) acceptFailed(ln *listener, errno syscall.Errno) bool {
	switch errno {
	case syscall.EAGAIN:
		return false
	case syscall.EINTR, syscall.ECONNABORTED, syscall.ECONNRESET:
		return true
	case syscall.EMFILE, syscall.ENFILE:
		l.counters.AcceptErrors[metrics.AcceptDescriptorLimit].Add(1)
		if l.poller.Shed(ln.fd) {
			return true
		}
	case syscall.ENOBUFS, syscall.ENOMEM:
		l.counters.AcceptErrors[metrics.AcceptMemory].Add(1)
	default:
		l.counters.AcceptErrors[metrics.AcceptOther].Add(1)
	}
	ln.resume = true
	_ = l.poller.Remove(ln.fd)
	return false
}

func (l *Loop) resumeListeners() {
	for i := range l.listeners {
		if ln := &l.listeners[i]; ln.resume && l.poller.AddListener(ln.fd) == nil {
			ln.resume = false
		}
	}
}

func (l *Loop) closeListeners() {
	for _, ln := range l.listeners {
		if !l.stopping && !ln.suspended {
			l.accept(ln.fd)
		}
		// Explicitly: where another process has the socket too, closing the
		// descriptor does not take it off the poller.
		_ = l.poller.Remove(ln.fd)
		l.poller.CloseFD(ln.fd, false)
	}
	l.listeners = nil
}
