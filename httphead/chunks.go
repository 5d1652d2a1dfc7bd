package httphead

// chunkDigitsMax bounds the digits of a chunk size, leading zeros included, so
// that a size is below 2⁶⁰ and cannot overflow.
const chunkDigitsMax = 15

// chunkLineMax bounds the line of a chunk size with its extensions and CRLF,
// in bytes; beyond it the request is refused with 400. Extensions are rare,
// and signatures in them stay below 100 bytes.
const chunkLineMax = 1 << 10

// trailersMax bounds all trailers of a body with their CRLFs, in bytes; beyond
// it the request is refused with 400. They are dropped anyway.
const trailersMax = 8 << 10

// Chunks takes the chunked transfer coding off a request's body. The zero
// value is ready for the first byte behind the head.
//
//	Source: RFC 9112 section 7.1.
type Chunks struct {
	left   int64 // the size being read, then bytes of its data to come
	line   int   // bytes of the line of a size, or of all trailers
	digits uint8 // of the size
	state  chunkState
	err    Violation // 0, or what Next returns for ever
}

type chunkState uint8

const (
	chunkSize    chunkState = iota
	chunkBlank              // between the size and a semicolon
	chunkExt                // behind the semicolon
	chunkSizeLF             // the size line lacks its LF
	chunkData               // left bytes of data, at least 1
	chunkDataCR             // the data lacks its CRLF
	chunkDataLF             // the data lacks its LF
	trailerStart            // at the start of a trailer, or of the last CRLF
	trailerName
	trailerValue
	trailerLF // the trailer lacks its LF
	chunkLF   // the last LF
	chunkDone
)

// Next takes bytes of the body off p. Repeat it with p[n:] until p is used up
// or the body is done; what is behind the body stays in p[n:].
//
//	Shape:  data is a part of p, the last bytes of p[:n], of one chunk. It is
//	        empty only if p is used up or the body is done. done says that
//	        the last chunk and the trailers were read; it stays so, as errors
//	        do.
//	Errors: the ErrChunk and ErrTrailer values; n is where it went wrong.
//	Cost:   0 allocs; data is not looked at.
func (d *Chunks) Next(p []byte) (n int, data []byte, done bool, err error) {
	if d.err != 0 {
		return 0, nil, false, d.err
	}
	for n < len(p) && d.state != chunkDone {
		if d.state == chunkData {
			end := n + int(min(d.left, int64(len(p)-n)))
			if d.left -= int64(end - n); d.left == 0 {
				d.state = chunkDataCR
			}
			return end, p[n:end:end], false, nil
		}
		if d.err = d.step(p[n]); d.err != 0 {
			return n, nil, false, d.err
		}
		n++
	}
	return n, nil, d.state == chunkDone, nil
}

// step takes a byte that is not data.
func (d *Chunks) step(c byte) Violation {
	if d.state >= trailerStart {
		return d.trailer(c)
	}
	switch d.state {
	case chunkDataCR:
		d.state = chunkDataLF
		return unless(c == '\r', ErrChunkEnd)
	case chunkDataLF:
		*d = Chunks{}
		return unless(c == '\n', ErrChunkEnd)
	}
	if d.line++; d.line > chunkLineMax {
		return ErrChunkLineTooLong
	}
	switch d.state {
	case chunkSize:
		return d.size(c)
	case chunkBlank:
		if c == ';' {
			d.state = chunkExt
			return 0
		}
		return unless(c == ' ' || c == '\t', ErrChunkSize)
	case chunkExt:
		if c == '\r' {
			d.state = chunkSizeLF
			return 0
		}
		return unless(textByte(c), ErrChunkLine)
	}
	d.state = chunkData // from chunkSizeLF
	if d.left == 0 {
		d.state, d.line = trailerStart, 0
	}
	return unless(c == '\n', ErrChunkLine)
}

// size takes a byte of a chunk size or the one behind it. Blanks behind it are
// taken only before a semicolon, where the grammar has them.
func (d *Chunks) size(c byte) Violation {
	digit := hexDigit(c)
	switch {
	case digit >= 0:
		d.left = d.left<<4 | int64(digit)
		d.digits++
		return unless(d.digits <= chunkDigitsMax, ErrChunkSize)
	case d.digits == 0:
		return ErrChunkSize
	case c == '\r':
		d.state = chunkSizeLF
	case c == ';':
		d.state = chunkExt
	case c == ' ' || c == '\t':
		d.state = chunkBlank
	default:
		return ErrChunkSize
	}
	return 0
}

// trailer takes a byte behind the line of the last chunk.
func (d *Chunks) trailer(c byte) Violation {
	if d.line++; d.line > trailersMax {
		return ErrTrailerTooLong
	}
	switch d.state {
	case trailerStart:
		d.state = trailerName
		if c == '\r' {
			d.state = chunkLF
			return 0
		}
		return unless(tokenByte(c), ErrTrailer)
	case trailerName:
		if c == ':' {
			d.state = trailerValue
			return 0
		}
		return unless(tokenByte(c), ErrTrailer)
	case trailerValue:
		if c == '\r' {
			d.state = trailerLF
			return 0
		}
		return unless(textByte(c), ErrTrailer)
	case trailerLF:
		d.state = trailerStart
	default:
		d.state = chunkDone
	}
	return unless(c == '\n', ErrTrailer)
}

func unless(ok bool, v Violation) Violation {
	if ok {
		return 0
	}
	return v
}

// hexDigit is the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
