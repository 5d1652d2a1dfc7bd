package engine

import (
	"net/netip"
	"syscall"
)

// Events is a set of readiness bits of one descriptor. They are hints: a set
// bit that is no longer true costs one call that returns EAGAIN.
type Events uint8

// The bits of Events.
const (
	Readable Events = 1 << iota
	Writable
	Hangup // the peer has shut down its sending side, or the connection broke
	Broken // the connection broke
)

// Poller is what a loop needs of the operating system: readiness, tasks from
// elsewhere, and non-blocking system calls on its descriptors. The one for
// Linux stands on epoll; package simnet has a simulated one.
//
// Post and Stop may be called from any goroutine, everything else on the loop
// only; descriptors are added from tasks only, never from inside an event, so
// that a number that is used again within one batch cannot meet an old event.
type Poller interface {
	// Run calls event for each ready descriptor and runs posted tasks until
	// Stop.
	Run(event func(fd int, ev Events)) error
	// Post queues a task for the loop and wakes it.
	Post(t Task) error
	// Stop ends Run behind the tasks that are queued.
	Stop()
	// RunReady asks that goroutines that the loop has made ready run before it
	// waits again. Waiting holds the loop's processor for a while.
	RunReady()
	// Release frees the poller after Run has returned.
	Release()

	// Add watches fd, edge-triggered, for all Events at once.
	Add(fd int) error
	// AddListener watches a listening fd, level-triggered.
	AddListener(fd int) error
	// Rearm reports fd again, behind the others, if it is still ready.
	Rearm(fd int) error
	// Remove ends watching fd.
	Remove(fd int) error

	// Read returns 0 and no error at the end of the stream.
	Read(fd int, p []byte) (int, syscall.Errno)
	// Write may take a part of p.
	Write(fd int, p []byte) (int, syscall.Errno)
	// CloseWrite sends the end of the stream.
	CloseWrite(fd int)
	// CloseFD releases the descriptor. reset makes the peer see a reset
	// instead of the end of the stream.
	CloseFD(fd int, reset bool)
	// Accept takes one connection, non-blocking.
	Accept(fd int) (conn int, peer netip.AddrPort, errno syscall.Errno)
	// Shed takes one connection when no descriptor is free, ends it at once,
	// and says whether there was one.
	Shed(fd int) bool
}

// Task is a function with an argument, to be run on a loop.
type Task struct {
	run func(l *Loop)
	l   *Loop
}

// Run runs the task; a Poller calls it once.
func (t Task) Run() {
	t.l.counters.PostsRun.Add(1)
	t.run(t.l)
}
