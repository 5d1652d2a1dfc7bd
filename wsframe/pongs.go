package wsframe

// pongsMax bounds the Pong frames that wait for a frame boundary, in bytes.
// 2 KiB hold 16 of the longest; a peer that pings faster than it reads gets
// the newest ones only, as RFC 6455 section 5.5.3 permits.
const pongsMax = 2048

// Pongs is a bounded queue of encoded Pong frames. The zero value is empty
// and allocates at its first use.
type Pongs struct {
	frames []byte
}

// Add appends the Pong that answers a Ping with this payload, at most
// ControlMax bytes, and drops the oldest frames when the queue is full.
func (q *Pongs) Add(payload []byte) {
	if q.frames == nil {
		q.frames = make([]byte, 0, pongsMax)
	}
	for len(q.frames)+2+len(payload) > cap(q.frames) {
		oldest := 2 + int(q.frames[1])
		q.frames = q.frames[:copy(q.frames, q.frames[oldest:])]
	}
	q.frames = AppendFrame(q.frames, OpPong, payload)
}

// Take moves the frames of from behind those of q.
func (q *Pongs) Take(from *Pongs) {
	for p := from.frames; len(p) > 0; {
		n := 2 + int(p[1])
		q.Add(p[2:n])
		p = p[n:]
	}
	from.Reset()
}

// Bytes returns the queued frames; they live until the next call.
func (q *Pongs) Bytes() []byte { return q.frames }

// Count is the number of queued frames.
func (q *Pongs) Count() int {
	n := 0
	for p := q.frames; len(p) > 0; p = p[2+int(p[1]):] {
		n++
	}
	return n
}

// Len is the number of queued bytes; 0 for a nil q.
func (q *Pongs) Len() int {
	if q == nil {
		return 0
	}
	return len(q.frames)
}

// Reset empties the queue and keeps its memory.
func (q *Pongs) Reset() { q.frames = q.frames[:0] }
