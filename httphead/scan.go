package httphead

// Scan looks for the blank line that ends a head, and refuses p as soon as it
// cannot become one. A CRLF before the request line is part of the head.
//
//	Shape:  from is what the last call on a shorter p returned, at first 0.
//	        end is the size of the head with its blank line, or 0 if p does
//	        not hold it yet; next is where to go on looking.
//	Errors: ErrTLS and ErrRequestLine for the first bytes, ErrLineEnd for a
//	        bare CR or LF, ErrControl for any other control character. The
//	        first offence in p decides, however p came in pieces.
//	Cost:   the bytes from from on, and the first 27; 0 allocs.
//	Source: RFC 9112 sections 2.2, 5.
func Scan(p []byte, from int) (end, next int, err error) {
	if from < methodEnd {
		if len(p) >= 1 && p[0] == 0x16 {
			return 0, 0, ErrTLS
		}
		if _, err := method(p); err != nil {
			return 0, 0, err
		}
	}
	for i := from; i < len(p); i++ {
		c := p[i]
		if c >= 0x20 && c != 0x7f || c == '\t' {
			continue
		}
		switch c {
		case '\r':
			if i+1 == len(p) {
				return 0, i, nil
			}
			if i++; p[i] != '\n' {
				return 0, i, ErrLineEnd
			}
			if i >= 3 && p[i-2] == '\n' {
				return i + 1, 0, nil
			}
		case '\n':
			return 0, i, ErrLineEnd
		default:
			return 0, i, ErrControl
		}
	}
	return 0, len(p), nil
}

// methodEnd is how far method looks: a leading CRLF, the longest method and
// its blank.
const methodEnd = 2 + methodMax + 1

// method looks at the first bytes of a head, up to the blank behind the
// method. It returns where that blank is, or 0 if p does not hold it yet.
func method(p []byte) (blank int, err error) {
	start := 0
	if len(p) > 0 && p[0] == '\r' {
		if len(p) == 1 {
			return 0, nil
		}
		if p[1] != '\n' {
			return 0, ErrLineEnd
		}
		start = 2
	}
	for i, c := range p[start:min(len(p), start+methodMax+1)] {
		switch {
		case c == ' ' && i > 0:
			return start + i, nil
		case i >= methodMax || !tokenByte(c):
			return 0, ErrRequestLine
		}
	}
	return 0, nil
}
