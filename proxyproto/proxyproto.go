package proxyproto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// HeaderMax bounds a header of either version, in bytes. A longer one is
// ErrTooLong. A line of version 1 has at most 107. A header of version 2 says
// its length, up to 65,551; addresses take 52 at most, what balancers add to
// them a few hundred, a client's certificate some thousand. nginx has the same
// bound for both.
const HeaderMax = 4096

// lineMax is the longest line of version 1, CRLF included.
const lineMax = 107

// Header is what a balancer says of a connection.
type Header struct {
	// Source is the client's address. The zero value says that the
	// connection's own counts: the balancer made it for itself, as for a
	// health check, or does not know whose it is, or has it from a client
	// without an IP address.
	Source netip.AddrPort
	// TLS says that the client speaks TLS with the balancer.
	TLS bool
}

// Error is what is wrong with a header.
type Error string

// Error returns the text.
func (e Error) Error() string { return string(e) }

// The errors of Parse.
const (
	ErrNone    Error = "no PROXY protocol header"
	ErrLine    Error = "malformed PROXY protocol line"
	ErrAddress Error = "malformed address in the PROXY protocol header"
	ErrVersion Error = "unknown version or command of the PROXY protocol"
	ErrFamily  Error = "address family of the PROXY protocol that is not served"
	ErrLength  Error = "length of the PROXY protocol header that does not fit"
	ErrTooLong Error = "PROXY protocol header of over 4096 bytes"
)

const (
	linePrefix = "PROXY "
	signature  = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
)

// Parse reads the header that p begins with.
//
//	Shape:  n is the length of the header; what follows it in p is the
//	        client's. n is 0 with no error while p is the beginning of one.
//	Errors: an Error, as soon as p cannot become a header. Its text has
//	        nothing of p.
//	Cost:   0 allocs for version 2; what the line has for version 1.
func Parse(p []byte) (h Header, n int, err error) {
	switch {
	case startsAs(p, signature):
		return parseBinary(p)
	case startsAs(p, linePrefix):
		return parseLine(p)
	}
	return h, 0, ErrNone
}

// startsAs says whether p and prefix agree as far as both go.
func startsAs(p []byte, prefix string) bool {
	n := min(len(p), len(prefix))
	return string(p[:n]) == prefix[:n]
}

// parseLine reads version 1: "PROXY", family, source and destination address,
// source and destination port, with single blanks between them, and CRLF.
func parseLine(p []byte) (h Header, n int, err error) {
	end := bytes.IndexByte(p[:min(len(p), lineMax)], '\n')
	switch {
	case end < 0 && len(p) >= lineMax:
		return h, 0, ErrLine
	case end < 0:
		return h, 0, nil
	case end < len(linePrefix) || p[end-1] != '\r':
		return h, 0, ErrLine
	}
	line := string(p[len(linePrefix) : end-1])
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return h, end + 1, nil
	}
	parts := strings.SplitN(line, " ", 6)
	if len(parts) != 5 {
		return h, 0, ErrLine
	}
	family := parts[0]
	if family != "TCP4" && family != "TCP6" {
		return h, 0, ErrFamily
	}
	source, ok1 := parseAddress(parts[1], family)
	_, ok2 := parseAddress(parts[2], family)
	port, ok3 := parsePort(parts[3])
	_, ok4 := parsePort(parts[4])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return h, 0, ErrAddress
	}
	h.Source = netip.AddrPortFrom(source, port)
	return h, end + 1, nil
}

func parseAddress(s, family string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return a, false
	}
	return a.Unmap(), true
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || s[0] == '+' || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	return uint16(n), true
}

// Layout of version 2: signature, version and command, family and transport,
// length of what follows (2 bytes); addresses; type-length-value parts.
const (
	commandAt    = len(signature)
	familyAt     = commandAt + 1
	lengthAt     = familyAt + 1
	addressesAt  = lengthAt + 2
	commandLocal = 0x20
	commandProxy = 0x21

	familyUnspecified = 0x00
	familyTCP4        = 0x11
	familyTCP6        = 0x21
	familyUnix        = 0x31
)

func parseBinary(p []byte) (h Header, n int, err error) {
	if len(p) > commandAt && p[commandAt] != commandLocal && p[commandAt] != commandProxy {
		return h, 0, ErrVersion
	}
	if len(p) < addressesAt {
		return h, 0, nil
	}
	n = addressesAt + int(binary.BigEndian.Uint16(p[lengthAt:]))
	if n > HeaderMax {
		return h, 0, ErrTooLong
	}
	if p[commandAt] == commandProxy {
		size, ok := addressesSize(p[familyAt])
		switch {
		case !ok:
			return h, 0, ErrFamily
		case n < addressesAt+size:
			return h, 0, ErrLength
		}
	}
	if len(p) < n {
		return h, 0, nil
	}
	if p[commandAt] == commandLocal {
		return h, n, nil // the rest, family included, must be ignored
	}
	if h, err = parseAddresses(p[familyAt], p[addressesAt:n]); err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

// addressesSize is the size of both addresses and ports of a family, in bytes.
func addressesSize(family byte) (size int, ok bool) {
	switch family {
	case familyUnspecified:
		return 0, true
	case familyTCP4:
		return 2 * (4 + 2), true
	case familyTCP6:
		return 2 * (16 + 2), true
	case familyUnix:
		return 2 * 108, true
	}
	return 0, false
}

// parseAddresses reads what follows the length: the source and the destination
// address, the source and the destination port, and the parts behind them. The
// size has been checked.
func parseAddresses(family byte, p []byte) (h Header, err error) {
	size, _ := addressesSize(family)
	switch family {
	case familyUnspecified:
		return h, nil // what it has must be ignored
	case familyTCP4:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p)), binary.BigEndian.Uint16(p[8:]))
	case familyTCP6:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(p)).Unmap(),
			binary.BigEndian.Uint16(p[32:]))
	}
	h.TLS, err = parseParts(p[size:])
	return h, err
}

// Parts: a type, the length of the value (2 bytes), the value. Of the part
// partTLS the value is a set of bits, the result of the verification of the
// client's certificate (4 bytes), and parts of its own.
const (
	partTLS      = 0x20 // PP2_TYPE_SSL
	partTLSMin   = 5
	clientHasTLS = 0x01 // PP2_CLIENT_SSL
)

// parseParts looks for the part that says that the client speaks TLS.
func parseParts(p []byte) (overTLS bool, err error) {
	for len(p) > 0 {
		if len(p) < 3 {
			return false, ErrLength
		}
		kind, size := p[0], int(binary.BigEndian.Uint16(p[1:]))
		if p = p[3:]; len(p) < size || kind == partTLS && size < partTLSMin {
			return false, ErrLength
		}
		if kind == partTLS && p[0]&clientHasTLS != 0 {
			overTLS = true
		}
		p = p[size:]
	}
	return overTLS, nil
}
