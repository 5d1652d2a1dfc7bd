package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The opcodes of RFC 6455 §5.2 that the driver sends or meets.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit = 0x80 // in the byte of the opcode
)

const (
	// gatewayFrameMax is the largest frame that may leave a gateway, in bytes
	// of payload. A larger one is an error, because a client of the Hybrid
	// Connections protocol closes on it (docs/protocol.md, section 4.1).
	gatewayFrameMax = 65536
	// collectMax bounds a collected message, in bytes: the limit of messages
	// to listeners (docs/protocol.md, section 1.8).
	collectMax = 65536
	// closeEmpty stands for a Close without a code (RFC 6455 §7.1.5).
	closeEmpty = 1005
)

// maskKey masks every frame that the driver sends. Any key that is not zero
// makes the gateway do the work of unmasking.
var maskKey = [4]byte{0x5a, 0xc3, 0x17, 0x8e}

// What a gateway may do wrong in framing.
var (
	errFrameMasked   = errors.New("masked frame from a gateway, or none from a client (RFC 6455 §5.1)")
	errFrameReserved = errors.New("reserved bits set without an extension (RFC 6455 §5.2)")
	errFrameOpcode   = errors.New("reserved opcode (RFC 6455 §5.2)")
	errFrameControl  = errors.New("fragmented or oversize control frame (RFC 6455 §5.5)")
	errFrameLength   = errors.New("length not in its shortest form (RFC 6455 §5.2)")
	errFrameOrder    = errors.New("continuation out of place (RFC 6455 §5.4)")
	errFrameLarge    = errors.New("frame over 65536 bytes")
	errFrameAfter    = errors.New("frame after Close (RFC 6455 §5.5.1)")
	errMessageLarge  = errors.New("control message over 65536 bytes")
)

// appendFrame appends one masked frame with FIN set.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = appendHeader(dst, opcode, len(payload))
	start := len(dst)
	dst = append(dst, payload...)
	mask(dst[start:])
	return dst
}

// appendHeader appends the header, mask included, of a frame with FIN set.
func appendHeader(dst []byte, opcode byte, size int) []byte {
	return appendSize(append(dst, finBit|opcode), size)
}

// appendSize appends what follows the first byte of a header.
func appendSize(dst []byte, size int) []byte {
	switch {
	case size < 126:
		dst = append(dst, 0x80|byte(size))
	case size <= 0xffff:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	}
	return append(dst, maskKey[:]...)
}

// appendClose appends a masked Close frame with a code.
func appendClose(dst []byte, code uint16) []byte {
	return appendFrame(dst, opClose, binary.BigEndian.AppendUint16(nil, code))
}

// mask applies maskKey to a payload from its first byte on.
func mask(p []byte) {
	key := uint64(binary.LittleEndian.Uint32(maskKey[:]))
	key |= key << 32
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^key)
	}
	for i := range p {
		p[i] ^= maskKey[i&3]
	}
}

// patternWord is word i of the byte stream that verified tests send. The
// multiplier is odd, so no two words of a stream are equal: a byte that is
// lost, repeated or moved shows.
func patternWord(i uint64) uint64 { return (i + 1) * 0x9e3779b97f4a7c15 }

func patternByte(offset uint64) byte {
	return byte(patternWord(offset/8) >> (offset % 8 * 8))
}

// fillPattern writes the bytes of the pattern that begin at offset.
func fillPattern(p []byte, offset uint64) {
	for len(p) > 0 {
		if offset%8 == 0 && len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, patternWord(offset/8))
			p, offset = p[8:], offset+8
			continue
		}
		p[0] = patternByte(offset)
		p, offset = p[1:], offset+1
	}
}

// checkPattern returns the index of the first byte of p that differs from the
// pattern at offset, or -1.
func checkPattern(p []byte, offset uint64) int {
	for i := 0; i < len(p); {
		at := offset + uint64(i)
		if at%8 == 0 && len(p)-i >= 8 &&
			binary.LittleEndian.Uint64(p[i:]) == patternWord(at/8) {
			i += 8
			continue
		}
		if p[i] != patternByte(at) {
			return i
		}
		i++
	}
	return -1
}

// appendPatternFrame appends one masked binary frame that carries the pattern
// from offset on.
func appendPatternFrame(dst []byte, size int, offset uint64) []byte {
	dst = appendHeader(dst, opBinary, size)
	start := len(dst)
	dst = append(dst, make([]byte, size)...)
	fillPattern(dst[start:], offset)
	mask(dst[start:])
	return dst
}

// appendPatternFragment appends the bytes of the pattern from offset to end, or
// the first size of them, as one masked fragment of the binary message that
// begins at offset 0 and ends at end.
func appendPatternFragment(dst []byte, size int, offset, end uint64) []byte {
	size = int(min(uint64(size), end-offset))
	first := byte(opContinuation)
	if offset == 0 {
		first = opBinary
	}
	if offset+uint64(size) == end {
		first |= finBit
	}
	dst = appendSize(append(dst, first), size)
	start := len(dst)
	dst = append(dst, make([]byte, size)...)
	fillPattern(dst[start:], offset)
	mask(dst[start:])
	return dst
}

// A frameReader follows the frames that a gateway sends on one leg. It keeps no
// payload unless told to; the zero value counts only.
type frameReader struct {
	// Fixed before the first feed.
	verify    bool              // compare the payload with the pattern
	onMessage func(body []byte) // collect data messages and hand them over
	// onText, when set, takes the text messages: they are collected and handed
	// over, counted in messages, and left out of bytes and of the comparison.
	onText func(body []byte)
	// masked expects frames as clients send them, from a target that hands on
	// bytes. Their payload is counted, not unmasked.
	masked bool

	messages  uint64 // data messages ended
	frames    uint64 // data frames begun
	bytes     uint64 // payload bytes of data frames
	closed    bool   // a Close has arrived
	closeCode int    // its code; closeEmpty when it had none
	reply     []byte // Pongs that the leg owes; the reader of it clears it

	head     [14]byte // header so far
	headLen  int
	inFrame  bool
	opcode   byte
	fin      bool
	left     uint64 // payload bytes of the current frame to come
	unended  bool   // a data message has begun and not ended
	text     bool   // the latest data message is a text message
	control  []byte // payload of the current control frame
	body     []byte // payload of the current message, when collecting
	failedAt error
}

// feed consumes what was read from the socket and returns how many data
// messages ended in it. After an error the reader stays failed.
func (r *frameReader) feed(p []byte) (ended int, err error) {
	before := r.messages
	for r.failedAt == nil {
		if !r.inFrame {
			if len(p) == 0 {
				break
			}
			p, r.failedAt = r.header(p)
			continue
		}
		n := min(r.left, uint64(len(p)))
		if n == 0 && r.left > 0 {
			break
		}
		r.left -= n
		r.failedAt = r.payload(p[:n])
		p = p[n:]
		if r.left == 0 && r.failedAt == nil {
			r.endFrame()
		}
	}
	return int(r.messages - before), r.failedAt
}

// header takes bytes of a header from p and returns the rest.
func (r *frameReader) header(p []byte) ([]byte, error) {
	want := 2
	if r.headLen >= 2 {
		want = r.headerSize()
	}
	n := copy(r.head[r.headLen:want], p)
	r.headLen += n
	p = p[n:]
	if r.headLen < 2 || r.headLen < r.headerSize() {
		return p, nil
	}
	r.headLen = 0
	return p, r.beginFrame()
}

// headerSize is the size of a header of which two bytes are there.
func (r *frameReader) headerSize() int {
	size := 2
	switch r.head[1] & 0x7f {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if r.masked {
		size += len(maskKey)
	}
	return size
}

func (r *frameReader) beginFrame() error {
	r.fin, r.opcode = r.head[0]&0x80 != 0, r.head[0]&0x0f
	r.left = uint64(r.head[1] & 0x7f)
	switch r.left {
	case 126:
		r.left = uint64(binary.BigEndian.Uint16(r.head[2:]))
		if r.left < 126 {
			return errFrameLength
		}
	case 127:
		r.left = binary.BigEndian.Uint64(r.head[2:])
		if r.left <= 0xffff {
			return errFrameLength
		}
	}
	switch {
	case r.closed:
		return errFrameAfter
	case r.head[0]&0x70 != 0:
		return errFrameReserved
	case r.head[1]&0x80 != 0 != r.masked:
		return errFrameMasked
	case r.left > gatewayFrameMax:
		return fmt.Errorf("%w: %d", errFrameLarge, r.left)
	}
	r.inFrame = true
	switch r.opcode {
	case opText, opBinary, opContinuation:
		if r.unended != (r.opcode == opContinuation) {
			return errFrameOrder
		}
		r.unended = !r.fin
		r.frames++
		r.text = r.opcode == opText || r.opcode == opContinuation && r.text
	case opClose, opPing, opPong:
		if !r.fin || r.left > 125 {
			return errFrameControl
		}
		r.control = r.control[:0]
	default:
		return errFrameOpcode
	}
	return nil
}

func (r *frameReader) payload(p []byte) error {
	if r.opcode >= opClose {
		r.control = append(r.control, p...)
		return nil
	}
	if r.text && r.onText != nil {
		return r.collect(p)
	}
	if r.verify {
		if i := checkPattern(p, r.bytes); i >= 0 {
			at := r.bytes + uint64(i)
			return fmt.Errorf("byte %d of the stream is %#02x, want %#02x", at, p[i],
				patternByte(at))
		}
	}
	r.bytes += uint64(len(p))
	if r.onMessage != nil {
		return r.collect(p)
	}
	return nil
}

func (r *frameReader) collect(p []byte) error {
	if len(r.body)+len(p) > collectMax {
		return errMessageLarge
	}
	r.body = append(r.body, p...)
	return nil
}

func (r *frameReader) endFrame() {
	r.inFrame = false
	switch {
	case r.opcode == opClose:
		r.closed, r.closeCode = true, closeEmpty
		if len(r.control) >= 2 {
			r.closeCode = int(binary.BigEndian.Uint16(r.control))
		}
	case r.opcode == opPing:
		r.reply = appendFrame(r.reply, opPong, r.control)
	case r.opcode < opClose && r.fin:
		r.messages++
		take := r.onMessage
		if r.text && r.onText != nil {
			take = r.onText
		}
		if take != nil {
			take(r.body)
			r.body = r.body[:0]
		}
	}
}
