package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// lineMax bounds the line before a chunk, in bytes: the gateway writes neither
// extensions nor trailers.
const lineMax = 32

// What a gateway may do wrong in a response.
var (
	errResponseHead   = errors.New("response head is not HTTP/1.1")
	errResponseLarge  = fmt.Errorf("response head over %d bytes", responseHeadMax)
	errResponseLength = errors.New("response with neither one Content-Length nor chunks")
	errChunkSize      = errors.New("bad size of a chunk (RFC 9112 section 7.1)")
	errChunkEnd       = errors.New("chunk without its end (RFC 9112 section 7.1)")
)

// exchangeField carries the number of the sender from the target of the request
// through the listener into the response, so that a response that goes to the
// wrong sender shows.
const exchangeField = "X-Exchange"

// readState says what the next byte of a response belongs to.
type readState uint8

const (
	readHead    readState = iota
	readLength            // body of left bytes
	readSize              // line with the size of a chunk
	readChunk             // chunk, left bytes to come
	readEnd               // line end after a chunk
	readTrailer           // line end after the last chunk
	readDone
)

// A responseReader follows the responses that a gateway sends on one sender's
// connection, one after the other. It keeps no body.
type responseReader struct {
	verify bool // compare the body with the pattern

	// Of the current response.
	status  int
	reason  string // of other statuses than 200
	number  int    // of exchangeField, -1 without one
	closing bool   // Connection: close
	bytes   uint64 // of the body so far

	state readState
	left  uint64
	part  []byte // head or line so far, when it came in pieces
}

// next forgets the current response.
func (r *responseReader) next() {
	*r = responseReader{verify: r.verify, part: r.part[:0]}
}

// feed consumes p and reports whether the response is complete. Nothing follows
// a response that no request asked for, so bytes behind it are an error.
func (r *responseReader) feed(p []byte) (done bool, err error) {
	for len(p) > 0 && err == nil {
		switch r.state {
		case readHead:
			p, err = r.takeHead(p)
		case readLength, readChunk:
			p, err = r.takeBody(p)
		case readDone:
			return true, fmt.Errorf("%d bytes behind the response: %.40q", len(p), p)
		default:
			p, err = r.takeLine(p)
		}
	}
	return r.state == readDone, err
}

// takeHead consumes a head, or all of p.
func (r *responseReader) takeHead(p []byte) ([]byte, error) {
	head, rest, err := r.until(p, "\r\n\r\n", responseHeadMax, errResponseLarge)
	if head == nil {
		return nil, err
	}
	err = r.parseHead(head)
	r.part = r.part[:0]
	return rest, err
}

// until returns what stands before end and what follows it in p; before is nil
// while end has not come. It stays valid until part is used again. More than
// most bytes without an end are the error large.
func (r *responseReader) until(
	p []byte, end string, most int, large error,
) (before, rest []byte, err error) {
	from, text := len(r.part), p
	if from > 0 {
		r.part = append(r.part, p[:min(len(p), most+len(end))]...)
		text = r.part
	}
	begin := max(from-len(end)+1, 0)
	i := bytes.Index(text[begin:], []byte(end)) + begin
	switch {
	case i > most || i < begin && len(text) >= most+len(end):
		return nil, nil, large
	case i >= begin:
		return text[:i], p[i+len(end)-from:], nil
	case from == 0:
		r.part = append(r.part, p...)
	}
	return nil, nil, nil
}

func (r *responseReader) parseHead(head []byte) error {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	code, reason, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(code))
	if !ok || err != nil || status < 200 {
		return fmt.Errorf("%w: %.40q", errResponseHead, line)
	}
	r.status, r.number = status, -1
	if status != 200 {
		// The tracking id would make every text another one.
		reason, _, _ = bytes.Cut(reason, []byte(". TrackingId:"))
		r.reason = string(reason)
	}
	length, chunked := -1, false
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case fieldIs(name, "Content-Length"):
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 0 || length >= 0 {
				return errResponseLength
			}
			length = n
		case fieldIs(name, "Transfer-Encoding"):
			chunked = string(value) == "chunked"
		case fieldIs(name, "Connection"):
			r.closing = bytes.EqualFold(value, []byte("close"))
		case fieldIs(name, exchangeField):
			if r.number, err = strconv.Atoi(string(value)); err != nil {
				return fmt.Errorf("%s: %w", exchangeField, err)
			}
		}
	}
	switch {
	case chunked == (length >= 0):
		return errResponseLength
	case chunked:
		r.state = readSize
	case length == 0:
		r.state = readDone
	default:
		r.state, r.left = readLength, uint64(length)
	}
	return nil
}

// fieldIs compares names; most fields differ in length already.
func fieldIs(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

func (r *responseReader) takeBody(p []byte) ([]byte, error) {
	n := min(r.left, uint64(len(p)))
	if r.verify {
		if i := checkPattern(p[:n], r.bytes); i >= 0 {
			at := r.bytes + uint64(i)
			return nil, fmt.Errorf("byte %d of the body is %#02x, want %#02x", at, p[i],
				patternByte(at))
		}
	}
	r.bytes += n
	if r.left -= n; r.left == 0 {
		if r.state == readChunk {
			r.state = readEnd
		} else {
			r.state = readDone
		}
	}
	return p[n:], nil
}

// takeLine consumes one of the lines around chunks, or all of p.
func (r *responseReader) takeLine(p []byte) ([]byte, error) {
	line, rest, err := r.until(p, "\r\n", lineMax, errChunkSize)
	if line == nil {
		return nil, err
	}
	r.part = r.part[:0]
	if r.state != readSize {
		if len(line) > 0 {
			return nil, errChunkEnd
		}
		if r.state == readEnd {
			r.state = readSize
		} else {
			r.state = readDone
		}
		return rest, nil
	}
	size, err := strconv.ParseUint(string(line), 16, 63)
	if err != nil {
		return nil, errChunkSize
	}
	r.state, r.left = readChunk, size
	if size == 0 {
		r.state = readTrailer
	}
	return rest, nil
}
