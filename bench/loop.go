package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"
)

const (
	// pollInterval bounds one wait, so that a cancelled run ends soon.
	pollInterval = 100 * time.Millisecond
	// readBuffer is what one read takes at most, in bytes; the same as the
	// gateway's, so that neither side sets the pace of the other.
	readBuffer = 256 << 10
	// sourcePorts is how many connections leave from one source address
	// before the next is used. The kernel's default range (ip_local_port_range)
	// has 28,232 ports, but connect looks through the 14,116 of one parity
	// first: beyond those each search costs milliseconds. Measured with 8,300
	// relays, 16,600 connections, per address.
	sourcePorts = 12_000
)

// A loop owns the sockets of one driver and runs on one goroutine: the one that
// calls step. Nothing in this file may be called from another.
type loop struct {
	ctx    context.Context
	poll   *poller
	conns  []*conn // by descriptor
	buf    []byte
	now    time.Time // of the last wake-up
	dialed int       // connections ever begun
	// door is a listening socket, 0 for none, and arrived takes what comes in.
	door    int
	arrived func(fd int) error
	// ethernet is for the connections that are dialed from now on, see dialTCP.
	ethernet bool
	// spread gives every connection the next of so many source addresses;
	// zero moves on only after sourcePorts connections.
	spread int
	// firstSource is the last byte of the first source address, and sourceNet
	// the one before it: 127.0.sourceNet.firstSource.
	firstSource, sourceNet byte

	// tls are the settings of all connections; nil for plain ones. opened is
	// what was read of one, sealed what it is to send; both are scratch.
	tls            *tls.Config
	opened, sealed []byte
	handshakes     handshakes
}

// newLoop makes a loop whose connections are plain when secure is nil.
func newLoop(ctx context.Context, secure *tls.Config) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{
		ctx: ctx, poll: p, buf: make([]byte, readBuffer), now: time.Now(), firstSource: 1,
		tls: secure,
	}
	if secure != nil {
		l.opened = make([]byte, recordSize)
	}
	return l, nil
}

// close resets every connection and ends the loop.
func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			c.abort()
		}
	}
	if l.door != 0 {
		closeFD(l.door)
	}
	l.poll.close()
}

// step waits for events, at the latest until the given time, and handles one
// batch of them. It returns an error when the run was cancelled.
func (l *loop) step(until time.Time) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	n, err := l.poll.wait(until)
	if err != nil {
		return err
	}
	l.now = time.Now()
	for i := range n {
		fd, in, out := l.poll.event(i)
		if fd == l.door && fd != 0 {
			if err := l.admit(); err != nil {
				return err
			}
			continue
		}
		c := l.conn(fd)
		if c != nil && in {
			c.readable()
		}
		if c = l.conn(fd); c != nil && out {
			c.writable()
		}
	}
	return nil
}

// runUntil steps until done reports true or the time has come; it reports
// which of the two.
func (l *loop) runUntil(end time.Time, done func() bool) (bool, error) {
	for !done() {
		if !l.now.Before(end) {
			return false, nil
		}
		if err := l.step(end); err != nil {
			return false, err
		}
	}
	return true, nil
}

// runFor steps for d.
func (l *loop) runFor(d time.Duration) error {
	l.now = time.Now()
	_, err := l.runUntil(l.now.Add(d), func() bool { return false })
	return err
}

func (l *loop) conn(fd int) *conn {
	if fd < 0 || fd >= len(l.conns) {
		return nil
	}
	return l.conns[fd]
}

// dial begins a connection to target and sends request as soon as it stands.
// From then on o hears about it. With TLS, it is sent when the handshake is over.
func (l *loop) dial(target netip.AddrPort, request []byte, o owner) (*conn, error) {
	fd, err := dialTCP(l.source(target.Addr()), target, l.ethernet)
	if err != nil {
		return nil, err
	}
	l.dialed++
	c, err := l.adopt(fd, o)
	if err != nil {
		return nil, err
	}
	if l.tls != nil {
		c.startTLS()
	}
	c.send(request)
	return c, nil
}

// adopt makes fd a connection of the loop; it is closed when that fails.
func (l *loop) adopt(fd int, o owner) (*conn, error) {
	c := &conn{loop: l, fd: fd, owner: o, in: true}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, 1024)...)
	}
	if err := l.poll.watch(fd, true, false, true); err != nil {
		closeFD(fd)
		return nil, err
	}
	l.conns[fd] = c
	return c, nil
}

// admitMax is how many connections come in before others have their turn.
const admitMax = 64

// admit takes connections that wait at the door.
func (l *loop) admit() error {
	for range admitMax {
		fd, err := acceptFD(l.door)
		if errors.Is(err, errAgain) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.arrived(fd); err != nil {
			return err
		}
	}
	return nil
}

// dialPlain begins a connection without WebSocket. Nothing is sent yet; what
// comes is given to take.
func (l *loop) dialPlain(
	target netip.AddrPort, o owner, take func(p []byte) error,
) (*conn, error) {
	c, err := l.dial(target, nil, o)
	if err == nil {
		c.plain, c.upgraded = take, true
	}
	return c, err
}

// source picks the next source address of 127.0.0.0/8. The kernel chooses for
// targets elsewhere.
func (l *loop) source(target netip.Addr) netip.Addr {
	if !target.Is4() || !target.IsLoopback() {
		return netip.Addr{}
	}
	turn := l.dialed / sourcePorts
	if l.spread > 0 {
		turn = l.dialed % l.spread
	}
	return netip.AddrFrom4([4]byte{127, 0, l.sourceNet, l.firstSource + byte(turn)})
}
