package bench

import (
	"fmt"
)

const (
	// sendsPerEvent bounds how often one leg writes before others have their
	// turn.
	sendsPerEvent = 4
	// closeNormal is the code of a Close in order (RFC 6455 §7.4.1).
	closeNormal = 1000
)

// direction says which way a stream flows.
type direction uint8

const (
	toListener direction = iota
	toSender
)

func (d direction) String() string {
	if d == toListener {
		return "to listener"
	}
	return "to sender"
}

// stream is the load of one-way transfer.
type stream struct {
	dir direction
	// batch is written again and again; perBatch says how many messages are
	// in it.
	batch    []byte
	perBatch int
	// size is the payload of one message in bytes.
	size int
	// limit, when not zero, ends each pair's stream after so many bytes with
	// a Close, and every byte is verified.
	limit uint64
	// stalled receivers do not read until release is called.
	stalled bool

	bytes, messages uint64 // received by all pairs
	ended           int    // pairs whose stream ended in order, or failed
}

// streamState is what a stream keeps per pair.
type streamState struct {
	buf             []byte // verified streams: the batch under way
	sent            uint64 // payload bytes handed to send
	bytes, messages uint64 // already counted
	closeSent       bool
	ended           bool
}

// newStream sends perBatch messages of size bytes in every write.
func newStream(dir direction, size, perBatch int) *stream {
	s := &stream{dir: dir, size: size, perBatch: perBatch}
	for range perBatch {
		s.batch = appendPatternFrame(s.batch, size, 0)
	}
	return s
}

func (s *stream) ends(p *pair) (from, to *conn) {
	if s.dir == toListener {
		return p.sender, p.listener
	}
	return p.listener, p.sender
}

func (s *stream) ready(p *pair) {
	_, to := s.ends(p)
	to.rx.verify = s.limit > 0
	if s.stalled {
		to.pause()
	}
}

// start begins to send on p.
func (s *stream) start(p *pair) {
	from, _ := s.ends(p)
	from.stream(true)
}

// release lets the receiving end of p read.
func (s *stream) release(p *pair) {
	_, to := s.ends(p)
	to.resume()
}

func (s *stream) drained(p *pair, c *conn) {
	if from, _ := s.ends(p); c != from {
		return
	}
	for range sendsPerEvent {
		if !c.idle() || p.streamed.closeSent {
			break
		}
		c.send(s.next(p))
	}
	if p.streamed.closeSent {
		c.stream(false)
	}
}

// next is what p sends next. In a verified stream it is made in a buffer of
// the pair, which is free because the kernel has taken everything before.
func (s *stream) next(p *pair) []byte {
	st := &p.streamed
	if s.limit == 0 {
		return s.batch
	}
	if st.sent == s.limit {
		st.closeSent = true
		return appendClose(nil, closeNormal)
	}
	st.buf = st.buf[:0]
	for i := 0; i < s.perBatch && st.sent < s.limit; i++ {
		size := min(uint64(s.size), s.limit-st.sent)
		st.buf = appendPatternFrame(st.buf, int(size), st.sent)
		st.sent += size
	}
	return st.buf
}

func (s *stream) received(p *pair, from *conn, _ int) {
	_, to := s.ends(p)
	st := &p.streamed
	if from == to {
		s.bytes += to.rx.bytes - st.bytes
		s.messages += to.rx.messages - st.messages
		st.bytes, st.messages = to.rx.bytes, to.rx.messages
	}
	if !from.rx.closed {
		return
	}
	switch {
	case from == to && st.bytes != s.limit:
		s.fail(p, fmt.Errorf("stream: Close after %d of %d bytes", st.bytes, s.limit))
	case from == to && from.rx.closeCode != closeNormal:
		s.fail(p, fmt.Errorf("stream: Close %d forwarded as %d", closeNormal,
			from.rx.closeCode))
	case from == to:
		from.send(appendClose(nil, closeNormal))
	case !st.closeSent:
		s.fail(p, fmt.Errorf("stream: Close %d while sending", from.rx.closeCode))
	}
}

// lost is in order on a leg that has sent a Close and received one.
func (s *stream) lost(p *pair, c *conn, err error) {
	st := &p.streamed
	if !st.closeSent || !c.rx.closed {
		s.fail(p, fmt.Errorf("stream: %s leg after %d bytes: %w", p.name(c), st.bytes,
			describe(err)))
		return
	}
	if p.other(c).gone && !st.ended {
		st.ended = true
		s.ended++
	}
}

func (s *stream) fail(p *pair, err error) {
	if !p.streamed.ended {
		p.streamed.ended = true
		s.ended++
	}
	p.fail(err)
}
