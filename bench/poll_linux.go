package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// errAgain says that a socket has nothing to give or no room to take.
var errAgain error = unix.EAGAIN

// pollBatch is how many events one wait takes from the kernel; the rest stay
// for the next one.
const pollBatch = 256

// A poller is a level-triggered epoll set with an alarm clock in it. Level
// triggering lets a leg that must not read simply leave the set, and makes one
// read per wake-up fair and sufficient.
type poller struct {
	fd     int
	timer  int
	alarm  time.Time
	events [pollBatch]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	p := &poller{fd: fd}
	p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("create timer: %w", err)
	}
	if err := p.watch(p.timer, true, false, true); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	_ = unix.Close(p.timer)
	_ = unix.Close(p.fd)
}

// watch sets what fd is watched for; first is true the first time.
func (p *poller) watch(fd int, in, out, first bool) error {
	op, ev := unix.EPOLL_CTL_MOD, unix.EpollEvent{Fd: int32(fd)}
	if first {
		op = unix.EPOLL_CTL_ADD
	}
	if in {
		ev.Events |= unix.EPOLLIN
	}
	if out {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	return nil
}

// wait blocks until something happens, until the given time, or for
// pollInterval, and returns the number of events. The timer makes the time
// exact; the time-out of epoll itself counts in milliseconds.
func (p *poller) wait(until time.Time) (int, error) {
	timeout := pollInterval
	left := time.Until(until)
	switch {
	case left <= 0:
		timeout = 0
	case left < pollInterval && !until.Equal(p.alarm):
		p.alarm = until
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
		if err := unix.TimerfdSettime(p.timer, 0, &spec, nil); err != nil {
			return 0, fmt.Errorf("set timer: %w", err)
		}
	}
	n, err := unix.EpollWait(p.fd, p.events[:], int(timeout.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("wait for events: %w", err)
	}
	return n, nil
}

// event returns event i of the last wait. An error or a hang-up counts as
// readable: the read tells which. The timer answers with a negative fd.
func (p *poller) event(i int) (fd int, in, out bool) {
	ev := &p.events[i]
	if int(ev.Fd) == p.timer {
		var ticks [8]byte
		_, _ = unix.Read(p.timer, ticks[:])
		p.alarm = time.Time{}
		return -1, false, false
	}
	in = ev.Events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0
	return int(ev.Fd), in, ev.Events&unix.EPOLLOUT != 0
}

// ethernetBuffer is the size of either buffer of such a socket, in bytes.
const ethernetBuffer = 64 << 10

// dialTCP begins a connection from source, or from wherever the kernel likes
// when source is not valid. The socket does not block; its first write waits
// until the connection stands. With ethernet it has what a client on Ethernet has:
// segments of 1,460 bytes, not the 64 KiB of loopback, of which the kernel lets both ends
// buffer megabytes, and small buffers of its own.
func dialTCP(source netip.Addr, target netip.AddrPort, ethernet bool) (fd int, err error) {
	family := unix.AF_INET
	if target.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("create socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			fd = -1
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fd, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if ethernet {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1460)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, ethernetBuffer)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, ethernetBuffer)
	}
	if source.IsValid() {
		// The port is chosen at connect, where all four parts of the
		// connection are known, so ports run out per target only.
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			return fd, fmt.Errorf("bind to %v: %w", source, err)
		}
	}
	err = unix.Connect(fd, sockaddr(target))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fd, fmt.Errorf("connect to %v: %w", target, err)
	}
	return fd, nil
}

// acceptFD takes one connection that has come to a listening socket.
func acceptFD(door int) (int, error) {
	for {
		fd, _, err := unix.Accept4(door, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			return fd, nil
		case errors.Is(err, unix.EAGAIN):
			return -1, errAgain
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED):
			return -1, fmt.Errorf("accept: %w", err)
		}
	}
}

// duplicateFD makes another descriptor of the same socket, which does not block.
func duplicateFD(fd int) (int, error) {
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("duplicate descriptor: %w", err)
	}
	return other, unix.SetNonblock(other, true)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

func readFD(fd int, p []byte) (int, error) { return unix.Read(fd, p) }

func writeFD(fd int, p []byte) (int, error) { return unix.Write(fd, p) }

func closeFD(fd int) { _ = unix.Close(fd) }

// abortFD closes fd with a reset, so that neither side keeps the port.
func abortFD(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER,
		&unix.Linger{Onoff: 1, Linger: 0})
	_ = unix.Close(fd)
}
