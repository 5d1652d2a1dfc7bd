package framer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes of RFC 6455 section 5.2.
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// LengthForm chooses how the payload length is written.
type LengthForm int

// Minimal is what RFC 6455 section 5.2 demands; the others are used to send
// lengths that are longer than needed.
const (
	Minimal LengthForm = iota
	As16               // 126 and two bytes
	As64               // 127 and eight bytes
)

// Frame is one frame as it is on the wire.
type Frame struct {
	Fin      bool
	RSV      byte // the three reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3
	Opcode   byte
	Unmasked bool // a client's frames are masked; set it to break the rule
	Form     LengthForm
	Payload  []byte
}

// Message returns a whole message in one masked frame.
func Message(opcode byte, payload []byte) Frame {
	return Frame{Fin: true, Opcode: opcode, Payload: payload}
}

// Part returns a fragment that is not the last.
func Part(opcode byte, payload []byte) Frame {
	return Frame{Opcode: opcode, Payload: payload}
}

// CloseFrame returns a Close with a code and a reason.
func CloseFrame(code int, reason string) Frame {
	return Message(Close, ClosePayload(code, reason))
}

// ClosePayload returns the payload of a Close.
func ClosePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// CloseCode returns the code in a Close and its reason; 1005 for an empty one
// (RFC 6455 section 7.1.5), and an error for anything else.
func (f Frame) CloseCode() (code int, reason string, err error) {
	switch {
	case f.Opcode != Close || !f.Fin:
		return 0, "", fmt.Errorf("not a Close: %v", f)
	case len(f.Payload) == 0:
		return 1005, "", nil
	case len(f.Payload) == 1:
		return 0, "", errors.New("a Close with a payload of one byte")
	}
	return int(binary.BigEndian.Uint16(f.Payload)), string(f.Payload[2:]), nil
}

// String describes the frame for test failures; of the payload only a little.
func (f Frame) String() string {
	shown := f.Payload
	if len(shown) > 24 {
		shown = shown[:24]
	}
	return fmt.Sprintf("{fin=%t rsv=%d opcode=%#x length=%d payload=%q…}",
		f.Fin, f.RSV, f.Opcode, len(f.Payload), shown)
}

// mask is the masking key of every frame: any four bytes will do, and a fixed
// one makes captures easy to read.
var mask = [4]byte{0x5A, 0xC3, 0x17, 0xE9}

// Append writes the frame to dst as a client sends it.
func (f Frame) Append(dst []byte) []byte {
	dst = AppendHeader(dst, f, uint64(len(f.Payload)))
	if f.Unmasked {
		return append(dst, f.Payload...)
	}
	return AppendMasked(dst, f.Payload, 0)
}

// AppendHeader writes the header of f with any length, whatever f holds.
func AppendHeader(dst []byte, f Frame, length uint64) []byte {
	first := f.RSV<<4 | f.Opcode
	if f.Fin {
		first |= 0x80
	}
	var maskBit byte = 0x80
	if f.Unmasked {
		maskBit = 0
	}
	switch {
	case f.Form == As64 || length > 0xFFFF:
		dst = append(dst, first, maskBit|127)
		dst = binary.BigEndian.AppendUint64(dst, length)
	case f.Form == As16 || length > 125:
		dst = append(dst, first, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	default:
		dst = append(dst, first, maskBit|byte(length))
	}
	if f.Unmasked {
		return dst
	}
	return append(dst, mask[:]...)
}

// AppendMasked appends a piece of payload, masked as the bytes from offset on.
func AppendMasked(dst, piece []byte, offset int) []byte {
	for i, b := range piece {
		dst = append(dst, b^mask[(offset+i)%4])
	}
	return dst
}

// receivedMax bounds the payload that Read takes, in bytes: a header with a
// wild length must fail a test, not take the machine's memory.
const receivedMax = 1 << 20

// ReadHeader reads the header of one frame and the length of its payload. It
// refuses what a server must not send: a mask, a length that is longer than
// needed, a length with the top bit.
func ReadHeader(r io.Reader) (f Frame, length uint64, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return f, 0, err // io.EOF only between two frames
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return f, 0, fmt.Errorf("in a frame header: %w", noEOF(err))
	}
	f.Fin = head[0]&0x80 != 0
	f.RSV = head[0] >> 4 & 7
	f.Opcode = head[0] & 0x0F
	if head[1]&0x80 != 0 {
		return f, 0, errors.New("a masked frame from the server")
	}
	length, err = readLength(r, head[1]&0x7F)
	return f, length, err
}

func readLength(r io.Reader, short byte) (uint64, error) {
	if short < 126 {
		return uint64(short), nil
	}
	extended := make([]byte, 2)
	least := uint64(126)
	if short == 127 {
		extended = make([]byte, 8)
		least = 0x10000
	}
	if _, err := io.ReadFull(r, extended); err != nil {
		return 0, fmt.Errorf("in a frame header: %w", noEOF(err))
	}
	var length uint64
	for _, b := range extended {
		length = length<<8 | uint64(b)
	}
	if length < least || length >= 1<<63 {
		return 0, fmt.Errorf("length %d is not written in the shortest form", length)
	}
	return length, nil
}

// Read reads one frame. io.EOF means the end between two frames; an end inside
// a frame is io.ErrUnexpectedEOF.
func Read(r io.Reader) (Frame, error) {
	f, length, err := ReadHeader(r)
	if err != nil {
		return f, err
	}
	if length > receivedMax {
		return f, fmt.Errorf("a frame of %d bytes", length)
	}
	f.Payload = make([]byte, length)
	if _, err := io.ReadFull(r, f.Payload); err != nil {
		return f, fmt.Errorf("in a payload of %d bytes: %w", length, noEOF(err))
	}
	return f, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
