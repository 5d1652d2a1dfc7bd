package hyco

import (
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// HeaderField is one header line of a request.
type HeaderField struct{ Name, Value string }

// AppendAcceptAddress appends the rendezvous address for a sender's target.
//
//	Shape:  {base}/$hc/{path as sent}?{filtered query}&sb-hc-rendezvous={hex}
//	        &sb-hc-action=accept&sb-hc-id={id}. base is ws://host[:port] or
//	        wss://…. rendezvous and id are safe in a query: hexadecimal digits
//	        and a result of CleanID. Our parameters come last, because a
//	        listener appends its rejection. Bytes beyond ASCII, which no client
//	        is known to send, are percent-encoded; else nothing is changed.
//	Source: docs/protocol.md, sections 1.6 and 3.2.
func AppendAcceptAddress(dst []byte, base string, t Target, rendezvous, id string) []byte {
	dst = append(dst, base...)
	dst = append(dst, "/$hc/"...)
	dst = appendASCII(dst, t.RawPath)
	dst = append(dst, '?')
	if t.Query != "" {
		dst = appendASCII(dst, t.Query)
		dst = append(dst, '&')
	}
	dst = append(dst, "sb-hc-rendezvous="...)
	dst = append(dst, rendezvous...)
	dst = append(dst, "&sb-hc-action=accept&sb-hc-id="...)
	return append(dst, id...)
}

// appendASCII percent-encodes the bytes of s beyond ASCII.
func appendASCII(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	return dst
}

func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// AppendAccept appends the accept message to a listener.
//
//	Shape:  {"accept":{"address","id","connectHeaders":{},"remoteEndpoint":
//	        {"address","port"}}}, one line of valid UTF-8 whatever the
//	        arguments hold. connectHeaders has every header of the sender, in
//	        its order and spelling, equal names joined with ", "; HeaderToken
//	        and the two headers with listener ids are left out. Bytes that are
//	        not UTF-8 are read as Latin-1. The remote address is an IP literal
//	        without brackets and zone.
//	Errors: RefusalHeadTooLarge if the message would be longer than
//	        MaxAcceptMessage or has over MaxHeaderFields; dst is as it was.
//	Cost:   0 allocs beyond the growth of dst.
//	Source: docs/protocol.md, sections 1.8 and 2.3. The clients on record
//	        need each of the members.
func AppendAccept[F ~struct{ Name, Value string }](
	dst []byte, address, id string, headers []F, remote netip.AddrPort,
) ([]byte, error) {
	start := len(dst)
	if len(headers) > MaxHeaderFields || len(address) > MaxAcceptMessage {
		return dst, RefusalHeadTooLarge
	}
	dst = append(dst, `{"accept":{"address":"`...)
	dst = appendJSON(dst, address)
	dst = append(dst, `","id":"`...)
	dst = appendJSON(dst, id)
	dst = append(dst, `","connectHeaders":{`...)
	separator := `"`
	for i := range headers {
		if hidden(HeaderField(headers[i]).Name) || repeats(headers[:i], headers[i]) {
			continue
		}
		dst = append(dst, separator...)
		separator = `,"`
		dst = appendField(dst, headers[i:])
		if len(dst)-start > MaxAcceptMessage {
			return dst[:start], RefusalHeadTooLarge
		}
	}
	dst = append(dst, `},"remoteEndpoint":{"address":"`...)
	dst = appendAddress(dst, remote)
	dst = append(dst, `","port":`...)
	dst = strconv.AppendUint(dst, uint64(remote.Port()), 10)
	dst = append(dst, `}}}`...)
	if len(dst)-start > MaxAcceptMessage {
		return dst[:start], RefusalHeadTooLarge
	}
	return dst, nil
}

// hidden says whether a listener must not see a header of that name.
func hidden(name string) bool {
	return ascii.EqualFold(name, HeaderToken) ||
		ascii.EqualFold(name, HeaderAllowedListeners) ||
		ascii.EqualFold(name, HeaderDisallowedListeners)
}

// repeats says whether earlier has a field with the name of f.
func repeats[F ~struct{ Name, Value string }](earlier []F, f F) bool {
	for i := range earlier {
		if ascii.EqualFold(HeaderField(earlier[i]).Name, HeaderField(f).Name) {
			return true
		}
	}
	return false
}

// appendField appends the first of headers, without its opening quote, and the
// values of the later ones with the same name.
func appendField[F ~struct{ Name, Value string }](dst []byte, headers []F) []byte {
	first := HeaderField(headers[0])
	dst = appendJSON(dst, first.Name)
	dst = append(dst, `":"`...)
	dst = appendJSON(dst, first.Value)
	for i := range headers[1:] {
		if f := HeaderField(headers[1+i]); ascii.EqualFold(f.Name, first.Name) {
			dst = append(dst, ", "...)
			dst = appendJSON(dst, f.Value)
		}
	}
	return append(dst, '"')
}

// appendJSON appends s as the inside of a JSON string.
func appendJSON(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); {
		c, width := s[i], 1
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ' && c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			if c >= utf8.RuneSelf {
				_, width = utf8.DecodeRuneInString(s[i:])
			}
			if width > 1 {
				dst = append(dst, s[i:i+width]...)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			}
		}
		i += width
	}
	return dst
}
