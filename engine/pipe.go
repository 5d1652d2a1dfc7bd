package engine

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// pipe carries the bytes of one handshake between its loop and its goroutine.
// To the goroutine it gives one record at a time, so that crypto/tls cannot
// read what follows the handshake: that is rest.
type pipe struct {
	// Fixed.
	ref   Ref
	queue *handshakes
	keep  bool // collect flight

	// Owned by the goroutine.
	record int    // bytes left of the record being read
	flight []byte // all that was written

	// Guarded by mu.
	mu     sync.Mutex
	more   sync.Cond
	in     []byte
	paused bool  // the loop does not read until more is asked for
	last   bool  // nothing follows in
	err    error // the connection has gone
}

func newPipe(ref Ref, queue *handshakes, in []byte) *pipe {
	p := &pipe{ref: ref, queue: queue, in: in}
	p.more.L = &p.mu
	return p
}

// feed gives bytes from the peer to the goroutine, on the loop. It returns true
// when there are enough for now: the pipe resumes the connection.
func (p *pipe) feed(b []byte) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in = append(p.in, b...)
	p.paused = len(p.in) >= handshakeHeld
	p.more.Signal()
	return p.paused
}

// fail ends the goroutine's wait for good.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.more.Signal()
}

// end says that the peer has ended its stream.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = true
	p.more.Signal()
}

// ended says whether the peer has gone.
func (p *pipe) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last || p.err != nil
}

// rest is what came behind the handshake. Only after its end.
func (p *pipe) rest() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.in
}

// Read reads within one record. While it waits it holds no worker.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil && !p.readable() {
		if p.last {
			return 0, io.ErrUnexpectedEOF
		}
		if p.paused {
			p.paused = false
			p.ref.Post(func(c *Conn) {
				if c != nil {
					c.Resume()
				}
			})
		}
		p.queue.rest()
		p.more.Wait()
		p.mu.Unlock()
		p.queue.work() // not under the lock: the loop shall not wait for it
		p.mu.Lock()
	}
	if p.err != nil {
		return 0, p.err
	}
	n := copy(b, p.in[:min(p.record, len(p.in))])
	p.in = p.in[n:]
	p.record -= n
	return n, nil
}

// readable says whether there is something of a record, and how long it is.
func (p *pipe) readable() bool {
	if p.record == 0 && len(p.in) >= recordHeader {
		// A header that cannot be is crypto/tls's to refuse.
		p.record = recordHeader + int(p.in[3])<<8 + int(p.in[4])
	}
	return p.record > 0 && len(p.in) > 0
}

// Write sends b to the peer. Handshakes write little: what a peer does not take
// is queued, and its handshake ends in time.
func (p *pipe) Write(b []byte) (int, error) {
	copied := append([]byte(nil), b...)
	if p.keep {
		p.flight = append(p.flight, b...)
	}
	p.ref.Post(func(c *Conn) {
		if c != nil && c.secure == nil {
			c.Write(copied, flightMax)
		}
	})
	return len(b), nil
}

// flightMax bounds what of a handshake may be queued for its peer, in bytes: a
// long chain of certificates is 16 KiB.
const flightMax = 256 << 10

// wire is the net.Conn under a tls.Conn: the pipe during the handshake, and
// after it the buffers of the record layer.
type wire struct {
	pipe *pipe  // nil after the handshake
	in   []byte // the record being opened
	out  []byte // what is to be sent
	peer netip.AddrPort
}

func (w *wire) Read(b []byte) (int, error) {
	if w.pipe != nil {
		return w.pipe.Read(b)
	}
	if len(w.in) == 0 {
		return 0, errAgain{}
	}
	n := copy(b, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	if w.pipe != nil {
		return w.pipe.Write(b)
	}
	w.out = append(w.out, b...)
	return len(b), nil
}

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (w *wire) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(w.peer) }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// errAgain ends a Read for now: crypto/tls goes on after a temporary error, and
// after no other (readRecordOrCCS in crypto/tls/conn.go).
type errAgain struct{}

func (errAgain) Error() string   { return "no more records for now" }
func (errAgain) Timeout() bool   { return false }
func (errAgain) Temporary() bool { return true }
