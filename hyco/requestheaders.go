package hyco

import (
	"net/netip"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// optionsMax bounds the headers that a sender's Connection names. Real ones
// name one or two.
const optionsMax = 64

// appendRequestHeaders appends the members of requestHeaders. It is false if
// dst would grow beyond limit or if Connection names too many headers.
func appendRequestHeaders[F ~struct{ Name, Value string }](
	dst []byte, r *Request[F], limit int,
) ([]byte, bool) {
	var room [optionsMax]string
	options, ok := connectionOptions(room[:0], r.Fields)
	if !ok {
		return dst, false
	}
	h := headerWriter[F]{r: r, dst: dst, separator: `"`}
	for i := range r.Fields {
		f := HeaderField(r.Fields[i])
		if !withheld(f.Name, r.Authorized, options) && !repeats(r.Fields[:i], r.Fields[i]) {
			h.add(f.Name, r.Fields[i:])
		}
		if len(h.dst) > limit {
			return h.dst, false
		}
	}
	h.addMissing()
	return h.dst, true
}

// headerWriter appends members of requestHeaders, in the sender's order and
// then those of the gateway that the sender did not send.
type headerWriter[F ~struct{ Name, Value string }] struct {
	r         *Request[F]
	dst       []byte
	separator string
	added     addition // additions that are written
}

// addition is a header that the gateway writes.
type addition uint8

const (
	addVia addition = 1 << iota
	addXFor
	addXProto
	addForwarded
)

var additionNames = [...]string{"Via", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"}

// wanted are the additions that r asks for.
func wanted(f Forwarded) addition {
	a := addVia
	if f&ForwardedX != 0 {
		a |= addXFor | addXProto
	}
	if f&ForwardedRFC != 0 {
		a |= addForwarded
	}
	return a
}

// add appends a header with the values of all fields of that name, and the
// gateway's behind them. fields begins with the first.
func (h *headerWriter[F]) add(name string, fields []F) {
	joint := ", "
	if ascii.EqualFold(name, "Cookie") {
		joint = "; "
	}
	own := addition(0)
	for i := range additionNames {
		if ascii.EqualFold(name, additionNames[i]) {
			own = 1 << i & wanted(h.r.Forwarded)
		}
	}
	h.open(name)
	start := len(h.dst)
	if own != addForwarded || closedQuotes(name, fields) {
		for i := range fields {
			if f := HeaderField(fields[i]); i == 0 || ascii.EqualFold(f.Name, name) {
				if i > 0 {
					h.dst = append(h.dst, joint...)
				}
				h.dst = appendJSON(h.dst, f.Value)
			}
		}
	}
	if own != 0 && own != addXProto {
		if len(h.dst) > start {
			h.dst = append(h.dst, joint...)
		}
		h.addition(own)
	}
	h.added |= own
	h.dst = append(h.dst, '"')
}

// closedQuotes says whether the fields of that name leave no quoted string
// open, in which what follows would be hidden.
func closedQuotes[F ~struct{ Name, Value string }](name string, fields []F) bool {
	quoted := false
	for i := range fields {
		f := HeaderField(fields[i])
		if !ascii.EqualFold(f.Name, name) {
			continue
		}
		for j := 0; j < len(f.Value); j++ {
			switch c := f.Value[j]; {
			case c == '"':
				quoted = !quoted
			case c == '\\' && quoted:
				j++
			}
		}
	}
	return !quoted
}

// addMissing appends the additions that are not written yet.
func (h *headerWriter[F]) addMissing() {
	for i := range additionNames {
		if a := addition(1 << i); wanted(h.r.Forwarded)&a&^h.added != 0 {
			h.open(additionNames[i])
			h.addition(a)
			h.dst = append(h.dst, '"')
		}
	}
}

func (h *headerWriter[F]) open(name string) {
	h.dst = append(h.dst, h.separator...)
	h.separator = `,"`
	h.dst = appendJSON(h.dst, name)
	h.dst = append(h.dst, `":"`...)
}

// addition appends the gateway's part of a value.
func (h *headerWriter[F]) addition(a addition) {
	switch a {
	case addVia:
		h.dst = append(h.dst, "1.1 "...)
		h.dst = appendJSON(h.dst, h.r.Via)
	case addXFor:
		h.peer()
	case addXProto:
		h.dst = appendJSON(h.dst, h.r.Proto)
	case addForwarded:
		h.forwarded()
	}
}

// peer is whom the gateway has the request from.
func (r *Request[F]) peer() netip.AddrPort {
	if r.Peer.IsValid() {
		return r.Peer
	}
	return r.Remote
}

func (h *headerWriter[F]) peer() {
	peer := h.r.peer()
	if !peer.IsValid() {
		h.dst = append(h.dst, "unknown"...)
		return
	}
	h.dst = appendAddress(h.dst, peer)
}

// forwarded appends an element of RFC 7239 section 4.
func (h *headerWriter[F]) forwarded() {
	before, after := "for=", ""
	if h.r.peer().Addr().Unmap().Is6() {
		before, after = `for=\"[`, `]\"` // quotes in JSON
	}
	h.dst = append(h.dst, before...)
	h.peer()
	h.dst = append(h.dst, after...)
	h.dst = append(h.dst, ";proto="...)
	proto := h.r.Proto
	if h.r.PeerProto != "" {
		proto = h.r.PeerProto
	}
	h.dst = appendJSON(h.dst, proto)
	for i := range h.r.Fields {
		if f := HeaderField(h.r.Fields[i]); ascii.EqualFold(f.Name, "Host") {
			h.dst = append(h.dst, ";host="...)
			h.dst = appendQuotable(h.dst, f.Value)
			return
		}
	}
}

// appendQuotable appends s as a token or, where it is none, as a quoted string,
// as the inside of a JSON string.
func appendQuotable(dst []byte, s string) []byte {
	if isToken(s) {
		return append(dst, s...)
	}
	dst = append(dst, `\"`...)
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		dst = appendJSON(dst, s[:i])
		dst = append(dst, '\\', '\\', '\\', s[i])
		s = s[i+1:]
	}
	dst = appendJSON(dst, s)
	return append(dst, `\"`...)
}

// withheld says whether a listener must not see a header of a request: it ends
// at a gateway, is the relay's own, or is among options. Of the headers that
// say where a request came from and went to, none is withheld because a sender
// wants it so: a proxy before the gateway may have written them.
func withheld(name string, authorized bool, options []string) bool {
	switch {
	case hidden(name), hopByHop(name), ascii.EqualFold(name, "Content-Length"),
		ascii.EqualFold(name, "Close"), ascii.EqualFold(name, "Expect"),
		ascii.EqualFold(name, "HTTP2-Settings"):
		return true
	case ascii.EqualFold(name, "Authorization") && authorized:
		return true
	case !contains(options, name):
		return false
	}
	return !contains(kept[:], name)
}

// kept are headers that a sender's Connection cannot take away.
var kept = [...]string{
	"Host", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
}

// hopByHopNames are headers for the next hop only, in both directions.
var hopByHopNames = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
}

func hopByHop(name string) bool { return contains(hopByHopNames[:], name) }

func contains(names []string, name string) bool {
	for i := range names {
		if ascii.EqualFold(names[i], name) {
			return true
		}
	}
	return false
}

// connectionOptions appends the names in Connection to dst, which has room for
// those that may be; it is false if there are more.
func connectionOptions[F ~struct{ Name, Value string }](
	dst []string, fields []F,
) ([]string, bool) {
	for i := range fields {
		f := HeaderField(fields[i])
		if !ascii.EqualFold(f.Name, "Connection") {
			continue
		}
		for rest, more := f.Value, true; more; {
			var option string
			option, rest, more = strings.Cut(rest, ",")
			if option = trimBlanks(option); option == "" {
				continue
			}
			if len(dst) == cap(dst) {
				return dst, false
			}
			dst = append(dst, option)
		}
	}
	return dst, true
}

func trimBlanks(s string) string { return strings.Trim(s, " \t") }

// isToken says whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
