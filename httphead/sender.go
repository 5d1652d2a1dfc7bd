package httphead

import (
	"net/netip"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// Sender is who sent a request, as the proxies say through which it came.
type Sender struct {
	// Addr is the sender's address, its port 0 if unknown. The zero value
	// says that the proxies name none.
	Addr netip.AddrPort
	// Scheme is http or https: what the sender speaks; "" if nobody says.
	Scheme string
}

// hopsMax bounds the trusted proxies of one request. Nobody has more; a sender
// that writes as many must not cost a search each.
const hopsMax = 32

// Sender reads what the proxies in front have written: the elements of
// X-Forwarded-For, all lines together, or if there are none, those of
// Forwarded. It goes from the last, which the next proxy wrote, to the first
// that trusted does not know: that one is the sender, and what stands before it
// is its own word. The walk ends at an element that is no address, too, or after
// 32 of them, with the last address that it met. The caller knows that the
// request comes from a trusted proxy itself.
//
//	Shape:  trusted gets unmapped addresses without zone. The scheme is the
//	        last element of X-Forwarded-Proto, or without that, the proto of
//	        the element of Forwarded that named the sender.
//	Cost:   0 allocs for X-Forwarded-For; time is linear in the head.
//	Source: RFC 7239 sections 4 to 6 and 7.4; X-Forwarded-For by custom.
func (h *Head) Sender(trusted func(netip.Addr) bool) Sender {
	w := walk{trusted: trusted}
	name, step := "Forwarded", w.forwarded
	if h.Count("X-Forwarded-For") > 0 {
		name, step = "X-Forwarded-For", w.forwardedFor
	}
	for i := len(h.Fields) - 1; i >= 0; i-- {
		if ascii.EqualFold(h.Fields[i].Name, name) && !step(h.Fields[i].Value) {
			break
		}
	}
	if h.Count("X-Forwarded-Proto") > 0 {
		w.sender.Scheme = ""
		for proto := range h.Tokens("X-Forwarded-Proto") {
			w.sender.Scheme = scheme(proto)
		}
	}
	return w.sender
}

// scheme is http or https for what a proxy calls it, else "".
func scheme(proto string) string {
	switch {
	case ascii.EqualFold(proto, "https"), ascii.EqualFold(proto, "wss"):
		return "https"
	case ascii.EqualFold(proto, "http"), ascii.EqualFold(proto, "ws"):
		return "http"
	}
	return ""
}

// walk goes from proxy to proxy towards the sender.
type walk struct {
	trusted func(netip.Addr) bool
	hops    int
	sender  Sender
}

// take makes the next step; false ends the walk.
func (w *walk) take(node, proto string) bool {
	a, ok := parseNode(node)
	if w.hops++; !ok || w.hops > hopsMax {
		return false
	}
	w.sender = Sender{Addr: a, Scheme: scheme(proto)}
	return w.trusted(a.Addr())
}

// forwardedFor takes a line of X-Forwarded-For.
func (w *walk) forwardedFor(line string) bool {
	for more := true; more; {
		i := strings.LastIndexByte(line, ',')
		element := strings.Trim(line[i+1:], " \t")
		if more = i >= 0; more {
			line = line[:i]
		}
		if element != "" && !w.take(element, "") {
			return false
		}
	}
	return true
}

// forwarded takes a line of Forwarded. A comma may stand in a quoted string, so
// that the line is cut from its beginning; the last elements are kept. In a line
// that leaves a quote open nothing is certain.
func (w *walk) forwarded(line string) bool {
	var last [hopsMax]string
	n := 0
	if !cutQuoted(line, ',', func(element string) bool {
		last[n%hopsMax] = element
		n++
		return true
	}) {
		return false
	}
	for i := n - 1; i >= max(0, n-hopsMax); i-- {
		node, proto, ok := parseElement(last[i%hopsMax])
		if !ok || !w.take(node, proto) {
			return false
		}
	}
	return true
}

// cutQuoted calls f for the parts of s between separators that are in no quoted
// string, trimmed, but for empty ones. It is false if f is, or if a quote is
// left open.
func cutQuoted(s string, separator byte, f func(part string) bool) bool {
	quoted, start := false, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == separator && !quoted:
			part := strings.Trim(s[start:i], " \t")
			start = i + 1
			if part != "" && !f(part) {
				return false
			}
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		}
	}
	return !quoted
}

// parseElement reads an element of Forwarded: pairs of a name and a token or
// quoted string. It is false without a node, and if a pair is malformed or one
// that matters comes twice. Blanks around pairs are let pass, and characters in
// a value that should be quoted.
func parseElement(element string) (node, proto string, ok bool) {
	ok = cutQuoted(element, ';', func(pair string) bool {
		name, value, found := strings.Cut(pair, "=")
		if !found || !IsToken(name) || value == "" {
			return false
		}
		if value, found = unquote(value); !found {
			return false
		}
		of := &node
		switch {
		case ascii.EqualFold(name, "proto"):
			of = &proto
		case !ascii.EqualFold(name, "for"):
			return true
		}
		twice := *of != ""
		*of = value
		return !twice
	})
	return node, proto, ok && node != ""
}

// unquote takes the quotes off a quoted string. A backslash stays: nothing that
// is read here needs one.
func unquote(s string) (string, bool) {
	if s[0] != '"' {
		return s, strings.IndexByte(s, '"') < 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return s[1:i], i == len(s)-1
		case '\\':
			i++
		}
	}
	return "", false
}

// nodeMax is longer than an IPv6 address in brackets with a port.
const nodeMax = 64

// parseNode reads an address with a port or without; IPv6 with a port has
// brackets, and may have them without.
func parseNode(s string) (netip.AddrPort, bool) {
	if len(s) > nodeMax {
		return netip.AddrPort{}, false
	}
	if s[0] != '[' && strings.Count(s, ":") != 1 {
		a, err := netip.ParseAddr(s)
		return netip.AddrPortFrom(a.Unmap(), 0), err == nil && a.Zone() == ""
	}
	if strings.HasSuffix(s, "]") {
		s += ":0"
	}
	a, err := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), err == nil && a.Addr().Zone() == ""
}
