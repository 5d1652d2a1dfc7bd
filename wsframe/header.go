package wsframe

import "encoding/binary"

// Opcode is the frame type of RFC 6455 section 5.2.
type Opcode uint8

// The opcodes that exist; every other value is a ReservedOpcode.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// Control says whether o is Close, Ping or Pong.
func (o Opcode) Control() bool { return o&0x8 != 0 }

const (
	// MaskedHeaderMax is the longest client header: 2 + 8 + 4 bytes.
	MaskedHeaderMax = 14
	// HeaderMax is the longest header without a mask: 2 + 8 bytes.
	HeaderMax = 10
	// ControlMax is the longest payload of a control frame, in bytes
	// (RFC 6455 section 5.5); longer ones are refused as ControlTooLong.
	ControlMax = 125

	bitFin    = 0x80
	bitsRSV   = 0x70
	bitsOp    = 0x0F
	bitMask   = 0x80
	bitsLen   = 0x7F
	len16     = 126
	len64     = 127
	len16Max  = 1<<16 - 1
	maskBytes = 4
)

// Header is a parsed client frame header.
type Header struct {
	Length uint64 // payload bytes, below 1<<63
	Mask   uint32 // masking key, its first byte lowest
	Opcode Opcode
	Fin    bool
}

// ParseHeader reads the masked header at the start of p.
//
//	Shape:  n is the header's size, 6, 8 or 14; 0 means that p holds only a
//	        part of a header which so far is right.
//	Errors: a Violation, as soon as the bytes at hand show it. Rules that
//	        need the history of the stream are the caller's.
//	Cost:   0 allocs.
//	Source: RFC 6455 section 5.2.
func ParseHeader(p []byte) (h Header, n int, err error) {
	if len(p) == 0 {
		return h, 0, nil
	}
	if p[0]&bitsRSV != 0 {
		return h, 0, ReservedBits
	}
	h.Fin = p[0]&bitFin != 0
	h.Opcode = Opcode(p[0] & bitsOp)
	if h.Opcode&0x7 > 2 {
		return h, 0, ReservedOpcode
	}
	if h.Opcode.Control() && !h.Fin {
		return h, 0, ControlFragmented
	}
	if len(p) == 1 {
		return h, 0, nil
	}
	if p[1]&bitMask == 0 {
		return h, 0, NotMasked
	}
	length := uint64(p[1] & bitsLen)
	if h.Opcode.Control() && length > ControlMax {
		return h, 0, ControlTooLong
	}
	n = 2
	switch length {
	case len16:
		if len(p) < 4 {
			return h, 0, nil
		}
		if length = uint64(binary.BigEndian.Uint16(p[2:])); length < len16 {
			return h, 0, LengthNotMinimal
		}
		n = 4
	case len64:
		if len(p) < 10 {
			return h, 0, nil
		}
		length = binary.BigEndian.Uint64(p[2:])
		if length>>63 != 0 {
			return h, 0, LengthTooLarge
		}
		if length <= len16Max {
			return h, 0, LengthNotMinimal
		}
		n = 10
	}
	if len(p) < n+maskBytes {
		return h, 0, nil
	}
	h.Mask = binary.LittleEndian.Uint32(p[n:])
	h.Length = length
	return h, n + maskBytes, nil
}

// putHeader writes an unmasked header at the start of dst, which must have
// room for HeaderMax bytes, and returns its size.
func putHeader(dst []byte, fin bool, op Opcode, length uint64) int {
	b0 := byte(op)
	if fin {
		b0 |= bitFin
	}
	dst[0] = b0
	switch {
	case length < len16:
		dst[1] = byte(length)
		return 2
	case length <= len16Max:
		dst[1] = len16
		binary.BigEndian.PutUint16(dst[2:], uint16(length))
		return 4
	}
	dst[1] = len64
	binary.BigEndian.PutUint64(dst[2:], length)
	return HeaderMax
}

// AppendHeader appends an unmasked header, at most HeaderMax bytes.
func AppendHeader(dst []byte, fin bool, op Opcode, length int) []byte {
	var h [HeaderMax]byte
	n := putHeader(h[:], fin, op, uint64(length))
	return append(dst, h[:n]...)
}

// AppendFrame appends one whole unmasked frame with FIN set.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, true, op, len(payload)), payload...)
}
