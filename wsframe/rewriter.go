package wsframe

const (
	// ChunkMax is the largest payload of a frame that leaves a Rewriter, in
	// bytes. The Java listener's frame limit is 65,536 bytes and it ends the
	// relay on a larger one. Source: docs/protocol.md, section 4.1, measured
	// with 70,000 bytes.
	ChunkMax = 65536

	// Headroom is the room that Rewrite needs in front of the bytes that it
	// is given. Output can exceed input by a held header (14 bytes held, up
	// to 10 written), a Close that was held (127), and one 10-byte header per
	// ChunkMax of a frame that is cut (5 in a 256 KiB read, 17 in 1 MiB).
	Headroom = 512
)

// Bits of the flags of a Rewriter and of a Reader.
const (
	inMessage uint8 = 1 << iota // a fragmented message is open
	inControl                   // remain counts the payload of a control frame
	lastFin                     // the incoming frame being cut carries FIN
	closed                      // the peer has sent its Close
	inFrame                     // Reader: between a header and its frame's end
)

// Rewriter turns the masked frames of one client into the unmasked frames for
// the other: one direction of a relayed connection. The zero value is ready
// at the start of a stream.
//
// Its state is what a cut at any byte needs: the mask turned to its phase, the
// payload left in the incoming and in the outgoing frame, and the first part of
// a cut header or control frame.
type Rewriter struct {
	remain    uint64 // payload bytes of the incoming frame still to come
	cut       *cut   // of a header or of a control frame's payload, else nil
	mask      uint32 // for the next payload byte, lowest byte first
	chunk     uint32 // payload bytes of the outgoing frame still to come
	closeCode uint16 // code of the Close that passed, else 0
	flags     uint8
	opcode    Opcode // of the control frame that remain belongs to
}

// AtBoundary says whether a control frame may follow the output so far: no
// outgoing frame is incomplete.
func (r *Rewriter) AtBoundary() bool { return r.chunk == 0 }

// Closed says whether the peer's Close has passed, and with which code;
// CodeNone if it was empty.
func (r *Rewriter) Closed() (code uint16, ok bool) {
	return r.closeCode, r.flags&closed != 0
}

// Rewrite consumes b[lo:hi] and leaves the bytes for the other client in
// b[outLo:outHi]. Answers to Pings are added to pongs. Pings and Pongs after
// the peer's Close are dropped.
//
//	Shape:  lo >= Headroom; outLo >= lo-Headroom; outHi <= hi.
//	Owner:  b is the caller's; nothing of it is kept.
//	Errors: a Violation. The frames before it are in the output; the stream
//	        must not be read further.
//	Cost:   one pass; 1 alloc of 128 bytes where the end of the input cuts a
//	        header or a control frame, else none.
//	Source: RFC 6455 section 5; ChunkMax.
func (r *Rewriter) Rewrite(b []byte, lo, hi int, pongs *Pongs) (outLo, outHi int, err error) {
	outLo = lo - Headroom
	dst := outLo
	for lo < hi {
		switch {
		case r.flags&inControl != 0:
			lo, dst, err = r.control(b, dst, lo, hi, pongs)
		case r.remain > 0:
			if r.chunk == 0 {
				dst += r.nextChunk(b[dst:])
			}
			n := min(hi-lo, int(r.chunk))
			r.mask = xorMove(b[dst:hi], b[lo:lo+n], r.mask)
			r.chunk -= uint32(n)
			r.remain -= uint64(n)
			lo += n
			dst += n
		default:
			lo, dst, err = r.header(b, dst, lo, hi, pongs)
		}
		if err != nil {
			return outLo, dst, err
		}
	}
	return outLo, dst, nil
}

// header consumes a frame header or the part of one, and writes the outgoing
// header of a data frame.
func (r *Rewriter) header(b []byte, dst, lo, hi int, pongs *Pongs) (int, int, error) {
	h, n, err := parseCut(&r.cut, b[lo:hi])
	if err != nil {
		return lo, dst, err
	}
	if n == 0 {
		return hi, dst, nil
	}
	lo += n
	r.mask = h.Mask
	r.remain = h.Length
	if h.Opcode.Control() {
		r.opcode = h.Opcode
		r.flags |= inControl
		if h.Length == 0 {
			return r.control(b, dst, lo, lo, pongs)
		}
		return lo, dst, nil
	}
	if err := r.startData(h); err != nil {
		return lo, dst, err
	}
	fin, length := h.Fin, h.Length
	if length > ChunkMax {
		fin, length = false, ChunkMax
	}
	r.chunk = uint32(length)
	return lo, dst + putHeader(b[dst:], fin, h.Opcode, length), nil
}

// startData checks a data frame against the message that is open.
func (r *Rewriter) startData(h Header) error {
	switch open := r.flags&inMessage != 0; {
	case r.flags&closed != 0:
		return DataAfterClose
	case h.Opcode == OpContinuation && !open:
		return ContinuationNoStart
	case h.Opcode != OpContinuation && open:
		return MessageInterrupted
	}
	r.flags &^= inMessage | lastFin
	if h.Fin {
		r.flags |= lastFin
	} else {
		r.flags |= inMessage
	}
	return nil
}

// nextChunk starts the next continuation frame of a frame that is being cut.
func (r *Rewriter) nextChunk(dst []byte) int {
	length := min(r.remain, ChunkMax)
	r.chunk = uint32(length)
	fin := r.flags&lastFin != 0 && length == r.remain
	return putHeader(dst, fin, OpContinuation, length)
}

// control consumes payload of a control frame and acts when it is whole.
func (r *Rewriter) control(b []byte, dst, lo, hi int, pongs *Pongs) (int, int, error) {
	n := min(hi-lo, int(r.remain))
	payload := b[lo : lo+n]
	r.mask = xorMove(payload, payload, r.mask)
	r.remain -= uint64(n)
	payload = joinCut(&r.cut, payload, r.remain == 0)
	if r.remain > 0 {
		return lo + n, dst, nil
	}
	r.flags &^= inControl
	if r.flags&closed != 0 {
		return lo + n, dst, nil
	}
	switch r.opcode {
	case OpPing:
		pongs.Add(payload)
	case OpClose:
		code, _, err := ParseClose(payload)
		if err != nil {
			return lo + n, dst, err
		}
		r.closeCode = code
		r.flags |= closed
		dst += putHeader(b[dst:], true, OpClose, uint64(len(payload)))
		dst += copy(b[dst:], payload)
	}
	return lo + n, dst, nil
}
