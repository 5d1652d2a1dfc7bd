package hyco

import (
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// Forwarded says which headers about the sender a gateway adds to a request:
// none, or a sum of the others.
type Forwarded uint8

// The additions: X-Forwarded-For with X-Forwarded-Proto, and the Forwarded of
// RFC 7239.
const (
	ForwardedOff Forwarded = 0
	ForwardedX   Forwarded = 1 << 0
	ForwardedRFC Forwarded = 1 << 1
	ForwardedAll           = ForwardedX | ForwardedRFC
)

// Request is an HTTP request of a sender, for AppendRequest. F is a header line
// of the caller's own package.
type Request[F ~struct{ Name, Value string }] struct {
	Address string // rendezvous address, see AppendRequestAddress
	ID      string // tracking id, which the listener's response repeats
	Target  string // see Target.RequestTarget
	Method  string // as received
	Via     string // name of the namespace's host
	Remote  netip.AddrPort
	Fields  []F // all header lines, as received
	// Authorized says that Authorization held the token of the relay: it is
	// left out.
	Authorized bool
	Body       bool      // a binary message follows
	Forwarded  Forwarded // what is added about the sender
	Proto      string    // http or https: what the sender speaks, for Forwarded

	// Peer is the proxy from which the gateway has the request, and PeerProto
	// what it speaks with the gateway; they are what Forwarded adds then. The
	// zero values say that it comes from Remote itself.
	Peer      netip.AddrPort
	PeerProto string
}

// AppendRequest appends the whole request message to a listener.
//
//	Shape:  {"request":{"address","id","requestTarget","method",
//	        "remoteEndpoint":{"address","port"},"requestHeaders":{},"body"}}, one
//	        line of valid UTF-8 whatever r holds. requestHeaders has the
//	        sender's headers, in its order and spelling, equal names joined
//	        with ", " or, for Cookie, "; ". Left out are the headers that end
//	        at a gateway, the relay's own, and what Connection names; then Via
//	        and what r.Forwarded asks for are added, behind what the sender
//	        sent of it. Bytes that are not UTF-8 are read as Latin-1. The
//	        remote address is an IP literal without brackets and zone.
//	Bounds: what goes over a control channel should be no longer than
//	        MaxControlRequest.
//	Errors: RefusalHeadTooLarge if the message would be longer than
//	        MaxRequestMessage, has over MaxHeaderFields or if Connection names
//	        over 64 headers; dst is as it was.
//	Cost:   0 allocs beyond the growth of dst.
//	Source: docs/protocol.md, sections 1.8, 5.3 and 5.4.
func AppendRequest[F ~struct{ Name, Value string }](dst []byte, r *Request[F]) ([]byte, error) {
	start := len(dst)
	if len(r.Fields) > MaxHeaderFields ||
		len(r.Address)+len(r.ID)+len(r.Target)+len(r.Method)+len(r.Via) > MaxRequestMessage {
		return dst, RefusalHeadTooLarge
	}
	dst = append(dst, `{"request":{"address":"`...)
	dst = appendJSON(dst, r.Address)
	dst = append(dst, `","id":"`...)
	dst = appendJSON(dst, r.ID)
	dst = append(dst, `","requestTarget":"`...)
	dst = appendJSON(dst, r.Target)
	dst = append(dst, `","method":"`...)
	dst = appendJSON(dst, r.Method)
	dst = append(dst, `","remoteEndpoint":{"address":"`...)
	dst = appendAddress(dst, r.Remote)
	dst = append(dst, `","port":`...)
	dst = strconv.AppendUint(dst, uint64(r.Remote.Port()), 10)
	dst = append(dst, `},"requestHeaders":{`...)
	dst, ok := appendRequestHeaders(dst, r, start+MaxRequestMessage)
	dst = append(dst, `},"body":`...)
	dst = strconv.AppendBool(dst, r.Body)
	dst = append(dst, `}}`...)
	if !ok || len(dst)-start > MaxRequestMessage {
		return dst[:start], RefusalHeadTooLarge
	}
	return dst, nil
}

// appendAddress appends an IP literal without brackets and zone.
func appendAddress(dst []byte, remote netip.AddrPort) []byte {
	return remote.Addr().Unmap().WithZone("").AppendTo(dst)
}

// AppendRendezvousRequest appends the message that makes a listener dial
// address, where it gets the request message.
//
//	Shape:  {"request":{"address","id"}}. Clients take the missing method and
//	        body for the sign to dial.
//	Source: docs/protocol.md, section 5.2.
func AppendRendezvousRequest(dst []byte, address, id string) []byte {
	dst = append(dst, `{"request":{"address":"`...)
	dst = appendJSON(dst, address)
	dst = append(dst, `","id":"`...)
	dst = appendJSON(dst, id)
	return append(dst, `"}}`...)
}

// AppendRequestAddress appends the rendezvous address for the target of an HTTP
// request.
//
//	Shape:  {base}/$hc/{path}?sb-hc-rendezvous={hex}&sb-hc-action=request
//	        &sb-hc-id={id}. base, rendezvous and id are as for
//	        AppendAcceptAddress. The path is as sent, but with all bytes
//	        percent-encoded that a URI must not have, for the Java client
//	        refuses those. The sender's query is left out.
//	Source: docs/protocol.md, section 5.2.
func AppendRequestAddress(dst []byte, base string, t Target, rendezvous, id string) []byte {
	dst = append(dst, base...)
	dst = append(dst, "/$hc/"...)
	for i := range len(t.RawPath) {
		if c := t.RawPath[i]; inPath(c) {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	dst = append(dst, "?sb-hc-rendezvous="...)
	dst = append(dst, rendezvous...)
	dst = append(dst, "&sb-hc-action=request&sb-hc-id="...)
	return append(dst, id...)
}

// inPath says whether c may stand in the path of a URI, as itself or as the
// beginning of an escape (RFC 3986 section 3.3).
func inPath(c byte) bool {
	switch c {
	case '"', '<', '>', '[', '\\', ']', '^', '`', '{', '|', '}', '?', '#':
		return false
	}
	return ' ' < c && c < 0x7f
}

// RequestTarget is the target of an HTTP request as its listener sees it.
//
//	Shape:  path, "?" and the query that survived. The path begins with "/"
//	        and is decoded once, except for %25, %3F, %23, %2F, %5C, control
//	        characters and what is not UTF-8, which stay as they were sent.
//	        With raw the path is not decoded. Bytes beyond ASCII that were not
//	        encoded are, in the query, in a raw path and if they are not UTF-8.
//	Cost:   1 alloc.
//	Source: docs/protocol.md, section 5.3.
func (t Target) RequestTarget(raw bool) string {
	var room [256]byte
	b := append(room[:0], '/')
	if raw {
		b = appendASCII(b, t.RawPath)
	} else {
		b = appendDecoded(b, t.RawPath)
	}
	if t.HasQuery {
		b = appendASCII(append(b, '?'), t.Query)
	}
	return string(b)
}

// appendDecoded appends the path decoded as RequestTarget has it.
func appendDecoded(dst []byte, path string) []byte {
	for i := 0; i < len(path); {
		c, width := unit(path[i:])
		switch {
		case c >= utf8.RuneSelf:
			dst, width = appendRune(dst, path[i:])
		case width == 1 || !staysEncoded(c):
			dst = append(dst, c)
		default:
			dst = append(dst, path[i:i+width]...)
		}
		i += width
	}
	return dst
}

// staysEncoded says whether a decoded c would change the meaning of a path.
func staysEncoded(c byte) bool {
	switch c {
	case '%', '?', '#', '/', '\\', 0x7f:
		return true
	}
	return c < ' '
}

// appendRune appends the character beyond ASCII that path begins with, its
// bytes encoded or not; width is its length in path. Without a character it is
// the first byte, encoded.
func appendRune(dst []byte, path string) (_ []byte, width int) {
	const c1End = 0xa0 // U+0080 to U+009F are control characters too
	var room [utf8.UTFMax]byte
	var ends [utf8.UTFMax]int
	n, at := 0, 0
	for n < len(room) && at < len(path) {
		c, width := unit(path[at:])
		at += width
		room[n], ends[n] = c, at
		n++
	}
	r, size := utf8.DecodeRune(room[:n])
	if size > 1 && r >= c1End {
		return append(dst, room[:size]...), ends[size-1]
	}
	if ends[0] > 1 {
		return append(dst, path[:ends[0]]...), ends[0]
	}
	return appendEscape(dst, room[0]), 1
}

// unit is the first byte of s, decoded, and its length in s. A broken escape
// stands for itself.
func unit(s string) (c byte, width int) {
	if s[0] == '%' && len(s) > 2 {
		if high, low := unhex(s[1]), unhex(s[2]); high < 16 && low < 16 {
			return high<<4 | low, 3
		}
	}
	return s[0], 1
}
