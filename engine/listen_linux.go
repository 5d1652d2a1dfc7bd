package engine

import (
	"fmt"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// Listen opens addr, "host:port" with port 0 for a free one, once per loop,
// and returns the address. The kernel spreads connections over the loops
// (SO_REUSEPORT). Call it before Start.
//
//	Errors: the address cannot be used; in particular another process holds
//	        it, which SO_REUSEPORT alone would not tell.
func (e *Engine) Listen(addr string, cfg ListenConfig) (net.Addr, error) {
	if err := probe(addr); err != nil {
		return nil, err
	}
	opts := socketOptions(cfg)
	var bound net.Addr
	var fds []int
	for range e.loops {
		fd, _, err := socket.TCPSocket("tcp", addr, true, opts, nil)
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		fds = append(fds, fd)
		if cfg.Backlog > 0 {
			_ = unix.Listen(fd, cfg.Backlog)
		}
		if bound == nil {
			sa, err := unix.Getsockname(fd)
			if err != nil {
				closeAll(fds)
				return nil, fmt.Errorf("listen on %s: %w", addr, err)
			}
			bound = socket.SockaddrToTCPOrUnixAddr(sa)
			addr = bound.String() // port 0 has become a number
		}
	}
	for i, l := range e.loops {
		if err := l.AddListener(fds[i], &cfg); err != nil {
			closeAll(fds[i:])
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	return bound, nil
}

// socketOptions are those of a listening socket.
func socketOptions(cfg ListenConfig) []socket.Option[int] {
	opts := []socket.Option[int]{
		{SetSockOpt: socket.SetReuseAddr, Opt: 1},
		{SetSockOpt: socket.SetReuseport, Opt: 1},
		{SetSockOpt: socket.SetNoDelay, Opt: 1},
	}
	if s := int(cfg.KeepAlive / time.Second); s > 0 {
		opts = append(opts, socket.Option[int]{SetSockOpt: func(fd, secs int) error {
			return socket.SetKeepAlive(fd, true, secs, max(1, secs/5), 5)
		}, Opt: s})
	}
	if ms := int(cfg.UserTimeout / time.Millisecond); ms > 0 {
		opts = append(opts, socket.Option[int]{SetSockOpt: func(fd, ms int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
		}, Opt: ms})
	}
	if n := cfg.SendBuffer; n > 0 {
		opts = append(opts, socket.Option[int]{SetSockOpt: socket.SetSendBuffer, Opt: n})
	}
	if n := cfg.ReceiveBuffer; n > 0 {
		opts = append(opts, socket.Option[int]{SetSockOpt: socket.SetRecvBuffer, Opt: n})
	}
	return opts
}

// probe binds addr without SO_REUSEPORT and lets it go again.
func probe(addr string) error {
	sa, family, _, _, err := socket.GetTCPSockAddr("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	defer closeAll([]int{fd})
	_ = socket.SetReuseAddr(fd, 1)
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
