package engine

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
)

// acceptMax is the number of connections that one event of a listening socket
// may bring; it is level-triggered and comes again. Small, so that a flood of
// connections takes turns with established ones.
const acceptMax = 16

// listener is a listening socket of one loop.
type listener struct {
	fd        int
	port      *ListenConfig
	resume    bool // taken off the poller after an error, until the next tick
	suspended bool // taken off the poller, see SuspendListeners
}

// accepted is a connection that is not attached yet.
type accepted struct {
	fd   int
	peer netip.AddrPort
	port *ListenConfig
	over bool // ConnectionsMax is reached
}

// ListenConfig is how a port treats its connections. The socket options are
// set on the listening socket, from which accepted connections inherit them.
type ListenConfig struct {
	Name        string        // of the port, for Engine.Sockets
	KeepAlive   time.Duration // 0 is off; whole seconds
	UserTimeout time.Duration // TCP_USER_TIMEOUT; 0 is the system's
	Backlog     int           // default 4096, capped by the system

	// SO_SNDBUF and SO_RCVBUF in bytes, of which the kernel takes twice as much
	// for its own purposes; 0 leaves the size to the kernel, which lets it grow.
	SendBuffer, ReceiveBuffer int

	// TLS ends TLS on the connections; nil is plain.
	TLS *TLS

	// ProxyFrom are the networks whose connections begin with a header of the
	// PROXY protocol, before TLS, which says whose they are. None may be of
	// IPv4-mapped IPv6. To all others such a header is what a client sends.
	ProxyFrom []netip.Prefix
	// ProxyTimeout is the time for the header to arrive; 0 is no limit.
	ProxyTimeout time.Duration
	// ProxyFailed hears, on the loop, of a connection that is closed for
	// want of a header, and why. Nil hears of none.
	ProxyFailed func(c *Conn, err error)
}

// AddListener makes the loop accept from a listening, non-blocking socket,
// which it then owns. Called on the loop or before Start.
func (l *Loop) AddListener(fd int, port *ListenConfig) error {
	if err := l.poller.AddListener(fd); err != nil {
		return err
	}
	l.listeners = append(l.listeners, listener{fd: fd, port: port})
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
		l.admit(conn, peer, ln.port)
	}
}

// admit attaches one accepted descriptor, unless the limit is passed by far.
func (l *Loop) admit(fd int, peer netip.AddrPort, port *ListenConfig) {
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
	l.accepted = append(l.accepted, accepted{fd: fd, peer: peer, port: port, over: over})
	if len(l.accepted) == 1 {
		l.Post((*Loop).attachAccepted)
	}
}

// attachAccepted attaches the connections that have been accepted since.
func (l *Loop) attachAccepted() {
	for i := range l.accepted {
		a := &l.accepted[i]
		c := l.newConn(a.fd, a.peer)
		c.handler = l.begin(c, a.port, a.over)
		l.attach(c)
	}
	clear(l.accepted)
	l.accepted = l.accepted[:0]
}

// begin returns the first handler of an accepted connection: what its port has
// in front of the engine's own Config.Accept.
func (l *Loop) begin(c *Conn, port *ListenConfig, over bool) Handler {
	if port.proxied(c.Peer().Addr()) {
		return newProxyHeader(c, port, over)
	}
	return l.begun(c, port, over)
}

// begun returns the handler of a connection of which nothing but TLS, if the
// port has it, stands between the next byte and Config.Accept.
func (l *Loop) begun(c *Conn, port *ListenConfig, over bool) Handler {
	if port.TLS != nil {
		return newHandshake(c, port.TLS, over)
	}
	return l.engine.cfg.Accept(c, over)
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
