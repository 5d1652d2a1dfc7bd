package httphead

import (
	"math"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// BodyKind is how the end of a request's body is found.
type BodyKind uint8

// The kinds of framing that a request may have (RFC 9112 section 6.3).
const (
	BodyNone    BodyKind = iota // no body, or one of length 0
	BodyLength                  // Content-Length, at least 1
	BodyChunked                 // Transfer-Encoding: chunked; see Chunks
)

// Body says how the request's body is framed. It refuses what another reader
// of the same bytes could frame in another way.
//
//	Shape:  length is 0 but for BodyLength.
//	Errors: ErrTransferCoding stands for 501, the ErrFraming values for 400.
//	        After each of them the connection must be closed.
//	Cost:   0 allocs.
//	Source: RFC 9112 sections 6.1, 6.2, 6.3.
func (h *Head) Body() (kind BodyKind, length int64, err error) {
	lengths, codings, value := 0, 0, ""
	for i := range h.Fields {
		switch f := &h.Fields[i]; {
		case ascii.EqualFold(f.Name, "Content-Length"):
			lengths++
			value = f.Value
		case ascii.EqualFold(f.Name, "Transfer-Encoding"):
			codings++
		}
	}
	switch {
	case codings > 0 && h.Minor == 0:
		return BodyNone, 0, ErrFramingVersion
	case codings > 0 && lengths > 0:
		return BodyNone, 0, ErrFramingBoth
	case codings > 0:
		if err := h.chunked(); err != nil {
			return BodyNone, 0, err
		}
		return BodyChunked, 0, nil
	case lengths > 1:
		return BodyNone, 0, ErrFramingLengths
	case lengths == 0:
		return BodyNone, 0, nil
	}
	if length, err = parseLength(value); err != nil || length == 0 {
		return BodyNone, 0, err
	}
	return BodyLength, length, nil
}

// chunked checks that the only transfer coding is chunked, once. It is
// stricter than the list rule of RFC 9110 section 5.6.1: empty elements are
// refused, because readers differ on them.
func (h *Head) chunked() error {
	chunked, other := false, false
	for i := range h.Fields {
		if !ascii.EqualFold(h.Fields[i].Name, "Transfer-Encoding") {
			continue
		}
		for element := range strings.SplitSeq(h.Fields[i].Value, ",") {
			coding, _, parameters := strings.Cut(strings.Trim(element, " \t"), ";")
			coding = strings.TrimRight(coding, " \t")
			if chunked || !IsToken(coding) {
				return ErrFramingCoding
			}
			chunked = ascii.EqualFold(coding, "chunked")
			if chunked && parameters {
				return ErrFramingCoding
			}
			other = other || !chunked
		}
	}
	if other {
		return ErrTransferCoding
	}
	return nil
}

// parseLength reads 1*DIGIT, nothing else (RFC 9110 section 8.6).
func parseLength(s string) (int64, error) {
	if s == "" {
		return 0, ErrFramingLength
	}
	var n int64
	for i := range len(s) {
		digit := int64(s[i]) - '0'
		if digit < 0 || digit > 9 || n > (math.MaxInt64-digit)/10 {
			return 0, ErrFramingLength
		}
		n = n*10 + digit
	}
	return n, nil
}

// KeepAlive says whether the sender can use the connection for another
// request. HTTP/1.0 cannot, whatever its Connection header says: it is
// answered with Connection: close (RFC 9112 section 9.3).
func (h *Head) KeepAlive() bool {
	return h.Minor > 0 && !h.HasToken("Connection", "close")
}
