package wsframe

// cut holds the part of a header, or of a control frame's payload, that came
// before the end of an input. Few directions need one at any time, so it is no
// part of their state; nil is none.
type cut struct {
	n     uint8
	bytes [ControlMax]byte // at most MaskedHeaderMax of a header
}

// parseCut parses the header that begins in *held and goes on in p; used is the
// part of p, 0 if p ends within it. A cut header is kept as received and parsed
// again with the bytes that follow, so that no byte offset is special.
func parseCut(held **cut, p []byte) (h Header, used int, err error) {
	src, before := p, 0
	if c := *held; c != nil {
		before = int(c.n)
		src = c.bytes[:before+copy(c.bytes[before:MaskedHeaderMax], p)]
	}
	h, n, err := ParseHeader(src)
	if err != nil {
		return h, 0, err
	}
	if n == 0 {
		if *held == nil {
			*held = new(cut)
		}
		(*held).n = uint8(copy((*held).bytes[:], src))
		return h, 0, nil
	}
	*held = nil
	return h, n - before, nil
}

// joinCut returns the payload of a control frame that begins in *held and goes
// on in p. It is kept there until it is whole.
func joinCut(held **cut, p []byte, whole bool) []byte {
	c := *held
	if c == nil {
		if whole {
			return p
		}
		c = new(cut)
		*held = c
	}
	c.n += uint8(copy(c.bytes[c.n:], p))
	if whole {
		*held = nil
	}
	return c.bytes[:c.n]
}
