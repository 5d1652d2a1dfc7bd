package takeover

import (
	"sync"
	"time"
)

// Link is a Conn with a queue, after the takeover. Its methods may be called
// from any goroutine and do not wait, but Flush.
type Link struct {
	conn *Conn

	mu      sync.Mutex
	change  sync.Cond // of what follows
	queue   []Message
	started bool
	sending bool
	closed  bool
	done    chan struct{} // closed when the writer has ended
}

// queueMax bounds the messages that wait in a Link. Each stands for one
// connection or one entity; the other process takes tens of thousands per
// second, so that a full queue means that it hangs.
const queueMax = 65536

// NewLink makes a link of a connection. What is sent waits until Start. Reading
// stays the caller's.
func NewLink(c *Conn) *Link {
	l := &Link{conn: c, done: make(chan struct{})}
	l.change.L = &l.mu
	return l
}

// Start starts the writer, once.
func (l *Link) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started && !l.closed {
		l.started = true
		go l.write()
	}
}

// Take closes a link that was not started and returns what was sent. The Conn
// stays open.
func (l *Link) Take() []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	all := l.queue
	l.queue = nil
	return all
}

// Send queues a message and owns its descriptors and its Bytes. False means that
// it was not taken and its descriptors are closed: the link is closed or its
// queue full.
func (l *Link) Send(m Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.queue) >= queueMax {
		m.release()
		return false
	}
	l.queue = append(l.queue, m)
	l.change.Broadcast()
	return true
}

func (l *Link) write() {
	defer close(l.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.queue) == 0 && !l.closed {
			l.change.Wait()
		}
		if len(l.queue) == 0 {
			return
		}
		batch := l.queue
		l.queue = nil
		l.sending = true
		failed := l.closed
		l.mu.Unlock()
		for _, m := range batch {
			if failed {
				m.release()
				continue
			}
			failed = l.conn.Send(m) != nil
		}
		l.mu.Lock()
		l.sending = false
		if failed {
			l.closed = true
		}
		l.change.Broadcast()
	}
}

// Flush waits until all that was queued has been sent, or the link is closed. A
// process that does not take it in time is given up.
func (l *Link) Flush(limit time.Duration) {
	_ = l.conn.conn.SetWriteDeadline(time.Now().Add(limit))
	l.mu.Lock()
	defer l.mu.Unlock()
	for (len(l.queue) > 0 || l.sending) && !l.closed {
		l.change.Wait()
	}
}

// Receive is that of the Conn.
func (l *Link) Receive() (Message, error) { return l.conn.Receive() }

// Close ends the link; what is queued is dropped.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.change.Broadcast()
	if !l.started {
		for _, m := range l.queue {
			m.release()
		}
		l.queue = nil
	}
	started := l.started
	l.mu.Unlock()
	_ = l.conn.Close()
	if started {
		<-l.done
	}
}
