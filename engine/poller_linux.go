package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pollBatch is the number of events taken from the kernel at a time.
const pollBatch = 1024

// yieldEvery is the time after which a loop gives its processor up by itself. To
// one that does not for 10 ms the runtime sends a signal, takes the processor
// away, and looks every 20 us for the next one.
const yieldEvery = 5 * time.Millisecond

// epollPoller is the Poller on epoll.
//
// The loop's goroutine is not locked to its thread; only the non-blocking read
// and write are raw system calls, the wait is an ordinary one (docs/adr/0002).
// There is one wait per turn. Gosched, which wakes another thread whenever a
// processor is idle, comes every yieldEvery, or when RunReady asked for it
// (docs/adr/0021).
type epollPoller struct {
	epoll int
	wake  int // eventfd: tasks are waiting
	spare int // a descriptor held back for Shed, or -1

	// Owned by the loop.
	events [pollBatch]unix.EpollEvent
	run    []Task    // being run; its array is used again
	ready  bool      // RunReady was called
	since  time.Time // of the last Gosched

	// Guarded by mu.
	mu      sync.Mutex
	tasks   []Task
	asleep  bool // the loop waits, or is about to: a task has to wake it
	stopped bool
}

func newEpollPoller() (Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open poller: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("open poller: %w", err)
	}
	p := &epollPoller{epoll: epoll, wake: wake, spare: openSpare()}
	// Edge-triggered: each write to it is an event, and nobody reads it.
	if err := p.control(unix.EPOLL_CTL_ADD, wake, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.Release()
		return nil, fmt.Errorf("open poller: %w", err)
	}
	return p, nil
}

func openSpare() int {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

func (p *epollPoller) Run(event func(fd int, ev Events)) error {
	for {
		n, err := unix.EpollWait(p.epoll, p.events[:], p.prepare())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for events: %w", err)
		}
		p.awake()
		for i := range max(n, 0) {
			ev := &p.events[i]
			if int(ev.Fd) != p.wake {
				event(int(ev.Fd), events(ev.Events))
			}
		}
		if !p.runTasks() {
			return nil
		}
	}
}

// prepare returns the time-out of the next wait: none if there are tasks.
func (p *epollPoller) prepare() (timeout int) {
	if now := time.Now(); p.ready || now.Sub(p.since) > yieldEvery {
		p.ready, p.since = false, now
		runtime.Gosched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tasks) > 0 || p.stopped {
		return 0
	}
	p.asleep = true
	return -1
}

func (p *epollPoller) awake() {
	p.mu.Lock()
	p.asleep = false
	p.mu.Unlock()
}

func events(ev uint32) (e Events) {
	if ev&(unix.EPOLLIN|unix.EPOLLPRI) != 0 {
		e |= Readable
	}
	if ev&unix.EPOLLOUT != 0 {
		e |= Writable
	}
	if ev&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e |= Hangup | Readable
	}
	if ev&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e |= Broken
	}
	return e
}

// runTasks runs what is posted, and not what these tasks post: that has its
// turn behind the events that are ready. It returns false after Stop.
func (p *epollPoller) runTasks() bool {
	p.mu.Lock()
	p.run, p.tasks = p.tasks, p.run[:0]
	stopped := p.stopped
	p.mu.Unlock()
	for i, t := range p.run {
		p.run[i] = Task{}
		t.Run()
	}
	if cap(p.run) > pollBatch {
		p.run = nil // of a burst
	}
	return !stopped
}

func (p *epollPoller) Post(t Task) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tasks = append(p.tasks, t)
	return p.rouse()
}

func (p *epollPoller) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	_ = p.rouse()
}

// rouse ends the wait of a loop that waits; the others look at their tasks
// before they do. The counter of an eventfd that nobody reads would be full
// after 2^64 times. Needs mu.
func (p *epollPoller) rouse() error {
	if !p.asleep {
		return nil
	}
	p.asleep = false
	one := [8]byte{1}
	if _, err := unix.Write(p.wake, one[:]); err != nil {
		return fmt.Errorf("wake a loop: %w", err)
	}
	return nil
}

func (p *epollPoller) RunReady() { p.ready = true }

func (p *epollPoller) Release() {
	for _, fd := range [3]int{p.epoll, p.wake, p.spare} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// edges watches everything about a connection, each change once.
const edges = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

func (p *epollPoller) control(op, fd int, ev uint32) error {
	return unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: ev})
}

func (p *epollPoller) Add(fd int) error { return p.control(unix.EPOLL_CTL_ADD, fd, edges) }

func (p *epollPoller) AddListener(fd int) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

func (p *epollPoller) Rearm(fd int) error { return p.control(unix.EPOLL_CTL_MOD, fd, edges) }

func (p *epollPoller) Remove(fd int) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

func (p *epollPoller) Read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (p *epollPoller) Write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (p *epollPoller) CloseWrite(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }

func (p *epollPoller) CloseFD(fd int, reset bool) {
	if reset {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(fd)
}

func (p *epollPoller) Accept(fd int) (int, netip.AddrPort, syscall.Errno) {
	// unix.Accept4 would allocate the address three times.
	var sa unix.RawSockaddrInet6
	size := uint32(unsafe.Sizeof(sa))
	conn, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd),
		uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(conn), peerOf(&sa), 0
}

// peerOf is the address in sa, which the kernel has filled for any family; the
// zero address for others than those of IP.
func peerOf(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch sa.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port(&v4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port(&sa.Port))
	}
	return netip.AddrPort{}
}

// Shed gives up the spare descriptor for one accept. Without it a full table
// would leave the connection in the backlog, its client waiting in the dark
// and the level-triggered listener reporting without end.
func (p *epollPoller) Shed(fd int) bool {
	if p.spare >= 0 {
		_ = unix.Close(p.spare)
		p.spare = -1
	}
	conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		_ = unix.SetsockoptLinger(conn, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(conn)
	}
	p.spare = openSpare()
	return err == nil
}
