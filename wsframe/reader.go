package wsframe

import "unicode/utf8"

// EventKind says what a Reader has found.
type EventKind uint8

// The events of a Reader. EventNone: the input is used up.
const (
	EventNone EventKind = iota
	EventText
	EventBinary
	EventPing
	EventPong
	EventClose
)

// Event is one thing that a Reader has found.
type Event struct {
	// Payload is the whole text message, the next part of a binary message,
	// or the payload of the control frame. It lives until the next call.
	Payload []byte
	Kind    EventKind
	// Fin is false on a part of a binary message that is not its last.
	Fin bool
}

// Reader takes a client's frames apart where the gateway is the end point: on
// a control channel. Text messages are assembled up to a limit and checked for
// UTF-8; binary messages are handed on in the parts in which they arrive and
// never collected. The zero value refuses every text message; see NewReader.
type Reader struct {
	message   []byte // text of fragments or cut frames so far
	cut       *cut   // of a header or of a control frame's payload, else nil
	remain    uint64
	textMax   int
	mask      uint32
	flags     uint8
	messageOp Opcode // type of the open message
	frameOp   Opcode // type of the frame that remain belongs to
	fin       bool   // FIN of that frame
}

// NewReader makes a Reader that takes text messages of up to textMax bytes;
// longer ones are MessageTooLarge as soon as a header shows it.
func NewReader(textMax int) Reader { return Reader{textMax: textMax} }

// Next consumes bytes of p, unmasking them in place, until there is an event
// or p is used up.
//
//	Shape:  n <= len(p); the caller goes on with p[n:] until EventNone.
//	Errors: a Violation; the stream must not be read further.
func (r *Reader) Next(p []byte) (n int, ev Event, err error) {
	for n < len(p) {
		if r.flags&inFrame == 0 {
			var used int
			if used, err = r.header(p[n:]); err != nil {
				return n, ev, err
			}
			n += used
			if r.flags&inFrame == 0 {
				return n, ev, nil // cut header: p is used up
			}
		}
		if n == len(p) && r.remain > 0 {
			break
		}
		k := int(min(uint64(len(p)-n), r.remain))
		payload := p[n : n+k]
		r.mask = xorMove(payload, payload, r.mask)
		r.remain -= uint64(k)
		n += k
		if ev, err = r.payload(payload); err != nil || ev.Kind != EventNone {
			return n, ev, err
		}
	}
	return n, ev, nil
}

func (r *Reader) header(p []byte) (used int, err error) {
	h, used, err := parseCut(&r.cut, p)
	if err != nil {
		return 0, err
	}
	if used == 0 {
		return len(p), nil
	}
	if err := r.start(h); err != nil {
		return 0, err
	}
	r.mask, r.remain, r.frameOp, r.fin = h.Mask, h.Length, h.Opcode, h.Fin
	r.flags |= inFrame
	return used, nil
}

// start checks a frame against the message that is open and the limit.
func (r *Reader) start(h Header) error {
	if h.Opcode.Control() {
		return nil
	}
	switch open := r.flags&inMessage != 0; {
	case r.flags&closed != 0:
		return DataAfterClose
	case h.Opcode == OpContinuation && !open:
		return ContinuationNoStart
	case h.Opcode != OpContinuation && open:
		return MessageInterrupted
	}
	if h.Opcode != OpContinuation {
		r.messageOp = h.Opcode
	}
	r.flags &^= inMessage
	if !h.Fin {
		r.flags |= inMessage
	}
	if r.messageOp == OpText && h.Length > uint64(r.textMax-len(r.message)) {
		return MessageTooLarge
	}
	return nil
}

// payload takes the next unmasked bytes of the current frame.
func (r *Reader) payload(p []byte) (Event, error) {
	frameDone := r.remain == 0
	if frameDone {
		r.flags &^= inFrame
	}
	switch {
	case r.frameOp.Control():
		return r.control(p, frameDone)
	case r.messageOp == OpBinary:
		return Event{Kind: EventBinary, Payload: p, Fin: frameDone && r.fin}, nil
	case !frameDone || !r.fin:
		r.message = append(r.message, p...)
		return Event{}, nil
	case len(r.message) > 0:
		p = append(r.message, p...)
		r.message = nil
	}
	if !utf8.Valid(p) {
		return Event{}, TextNotUTF8
	}
	return Event{Kind: EventText, Payload: p, Fin: true}, nil
}

func (r *Reader) control(p []byte, frameDone bool) (Event, error) {
	p = joinCut(&r.cut, p, frameDone)
	if !frameDone {
		return Event{}, nil
	}
	if r.flags&closed != 0 {
		return Event{}, nil
	}
	ev := Event{Payload: p, Fin: true}
	switch r.frameOp {
	case OpPing:
		ev.Kind = EventPing
	case OpPong:
		ev.Kind = EventPong
	default:
		if _, _, err := ParseClose(p); err != nil {
			return Event{}, err
		}
		ev.Kind = EventClose
		r.flags |= closed
	}
	return ev, nil
}

// Remain is the number of payload bytes of the current frame that have not
// come yet; with an event, what follows its payload in the same frame.
func (r *Reader) Remain() uint64 { return r.remain }

// Buffered is the number of bytes that r holds of an incomplete message.
func (r *Reader) Buffered() int { return cap(r.message) }
