package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// headMax is where a head without an end is given up as not being HTTP, in
// bytes.
const headMax = 64 << 10

// An upgrade is what the two directions of a connection know of each other:
// frames begin, in both, after the head of a 101 response.
type upgrade struct{ done atomic.Bool }

// A stream follows one direction of one connection and prints what it finds.
type stream struct {
	fromClient bool
	upgrade    *upgrade
	show       int // bytes of a payload to print
	secrets    bool
	print      func(line string)

	head    []byte // HTTP head or frame header so far
	frames  bool   // WebSocket from here on
	opaque  bool   // neither; only sizes are printed
	body    uint64 // bytes of an HTTP body to come
	left    uint64 // bytes of a frame's payload to come
	frame   string // the line of that frame so far
	opcode  byte
	mask    []byte
	pos     int    // payload bytes of the frame seen
	preview []byte // what is printed of them
}

// feed follows the next bytes of the direction.
func (s *stream) feed(p []byte) {
	for len(p) > 0 {
		switch {
		case s.opaque:
			s.print(fmt.Sprintf("%d bytes", len(p)))
			return
		case s.body > 0:
			n := min(s.body, uint64(len(p)))
			if s.body -= n; s.body == 0 {
				s.print("end of body")
			}
			p = p[n:]
		case s.left > 0:
			p = s.payload(p)
		case s.frames || s.fromClient && s.upgrade.done.Load():
			s.frames = true
			p = s.header(p)
		default:
			p = s.http(p)
		}
	}
}

// unfinished says what the end of the direction has cut off, as the end of a
// line; empty when nothing.
func (s *stream) unfinished() string {
	switch {
	case s.body > 0:
		return fmt.Sprintf(", %d bytes of the body missing", s.body)
	case s.left > 0:
		return fmt.Sprintf(", %d bytes of a frame missing: %s", s.left, s.frame)
	case len(s.head) > 0:
		return fmt.Sprintf(" after %d bytes of a head", len(s.head))
	}
	return ""
}

// http takes bytes of an HTTP head and returns the rest.
func (s *stream) http(p []byte) []byte {
	before := len(s.head)
	s.head = append(s.head, p...)
	end := bytes.Index(s.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(s.head) > headMax {
			s.opaque = true
			s.print(fmt.Sprintf("no end of a head in %d bytes", len(s.head)))
		}
		return nil
	}
	head := string(s.head[:end])
	s.head = s.head[:0]
	for line := range strings.SplitSeq(head, "\r\n") {
		s.print(s.redact(line))
	}
	s.endHead(head)
	return p[end+4-before:]
}

// endHead decides what follows a head.
func (s *stream) endHead(head string) {
	if !s.fromClient && strings.HasPrefix(head, "HTTP/1.1 101 ") {
		s.frames = true
		s.upgrade.done.Store(true)
		return
	}
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			s.body, _ = strconv.ParseUint(value, 10, 64)
		case "transfer-encoding":
			s.opaque = true
		}
	}
}

var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^((?:ServiceBus)?Authorization: *).+`),
	regexp.MustCompile(`(?i)(sb-hc-token=)[^& ]+`),
	regexp.MustCompile(`(?i)(sig=)[^&" ]+`),
}

// redact takes tokens out of a line.
func (s *stream) redact(line string) string {
	if s.secrets {
		return line
	}
	for _, re := range secrets {
		line = re.ReplaceAllString(line, "${1}(not shown)")
	}
	return line
}

// header takes bytes of a frame header and returns the rest.
func (s *stream) header(p []byte) []byte {
	for len(p) > 0 && (len(s.head) < 2 || len(s.head) < frameHeader(s.head[1])) {
		s.head = append(s.head, p[0])
		p = p[1:]
	}
	if len(s.head) < 2 || len(s.head) < frameHeader(s.head[1]) {
		return p
	}
	h := s.head
	s.left = uint64(h[1] & 0x7f)
	switch s.left {
	case 126:
		s.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		s.left = binary.BigEndian.Uint64(h[2:])
	}
	s.mask = nil
	if h[1]&0x80 != 0 {
		s.mask = bytes.Clone(h[len(h)-4:])
	}
	s.opcode, s.pos, s.preview = h[0]&0x0f, 0, s.preview[:0]
	s.frame = describe(h[0], s.mask != nil, s.left)
	s.head = s.head[:0]
	if s.left == 0 {
		s.endFrame()
	}
	return p
}

// frameHeader is the size of a header whose second byte is b (RFC 6455 §5.2).
func frameHeader(b byte) int {
	n := 2
	switch b & 0x7f {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if b&0x80 != 0 {
		n += 4
	}
	return n
}

// describe words a frame without its payload.
func describe(first byte, masked bool, size uint64) string {
	names := map[byte]string{
		0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong",
	}
	name := names[first&0x0f]
	if name == "" {
		name = fmt.Sprintf("opcode %d", first&0x0f)
	}
	if first&0x80 != 0 {
		name += " fin"
	}
	if rsv := first >> 4 & 7; rsv != 0 {
		name += fmt.Sprintf(" rsv %03b", rsv)
	}
	if masked {
		name += " masked"
	}
	return fmt.Sprintf("%s %d bytes", name, size)
}

// payload takes bytes of a frame's payload and returns the rest.
func (s *stream) payload(p []byte) []byte {
	n := int(min(s.left, uint64(len(p))))
	for i := 0; i < n && len(s.preview) < s.wanted(); i++ {
		b := p[i]
		if s.mask != nil {
			b ^= s.mask[(s.pos+i)&3]
		}
		s.preview = append(s.preview, b)
	}
	s.pos += n
	if s.left -= uint64(n); s.left == 0 {
		s.endFrame()
	}
	return p[n:]
}

// controlMax is the largest payload of a control frame (RFC 6455 §5.5).
const controlMax = 125

// wanted is how much of the payload is printed: all of a control frame.
func (s *stream) wanted() int {
	if s.opcode >= 8 {
		return max(s.show, controlMax)
	}
	return s.show
}

func (s *stream) endFrame() {
	line := s.frame
	switch {
	case s.opcode == 8 && len(s.preview) >= 2:
		line += fmt.Sprintf("  %d %q", binary.BigEndian.Uint16(s.preview), s.preview[2:])
	case len(s.preview) > 0 && printable(s.preview):
		line += fmt.Sprintf("  %q", s.redact(string(s.preview)))
	case len(s.preview) > 0:
		line += fmt.Sprintf("  % x", s.preview)
	}
	if s.pos > len(s.preview) && len(s.preview) > 0 {
		line += " ..."
	}
	s.print(line)
}

// printable allows for a character cut at the end of a preview.
func printable(p []byte) bool {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && len(p) >= utf8.UTFMax || r < ' ' && r != '\n' && r != '\t' {
			return false
		}
		p = p[n:]
	}
	return true
}
