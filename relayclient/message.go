package relayclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/hyco"
)

// messageMax bounds a text message of the gateway, in bytes. Theirs are at most
// 64 KiB on a control channel (docs/protocol.md, section 1.8); the rest is
// margin.
const messageMax = 256 << 10

// bodyMax bounds a body on a control channel, in bytes, in both directions:
// docs/protocol.md, section 1.8.
const bodyMax = 64 << 10

// command is a message of the gateway. Both members are nil if it is neither.
type command struct {
	Accept  *acceptMessage
	Request *requestMessage
}

// acceptMessage announces a sender: docs/protocol.md, section 2.3.
type acceptMessage struct {
	Address        string
	ID             string
	ConnectHeaders headerMap
	RemoteEndpoint endpoint
}

// requestMessage announces an HTTP request or is one: docs/protocol.md, sections
// 5.2 and 5.3. Without a Method the rest is to be had at Address.
type requestMessage struct {
	Address        string
	ID             string
	RequestTarget  string
	Method         string
	RemoteEndpoint endpoint
	RequestHeaders headerMap
	Body           bool
}

// endpoint is the address of a sender.
type endpoint struct {
	Address string
	Port    int
}

// String is host:port, empty if nothing is known.
func (e endpoint) String() string {
	if e.Address == "" {
		return ""
	}
	return net.JoinHostPort(e.Address, strconv.Itoa(e.Port))
}

// tcp is e as a net.Addr, of the address 0.0.0.0 if nothing is known.
func (e endpoint) tcp() net.Addr {
	ip, _ := netip.ParseAddr(e.Address)
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(max(0, min(e.Port, 65535)))))
}

// headerMap is an object of header lines. Values are texts; others are taken as
// they are written, an array as several lines.
type headerMap http.Header

// UnmarshalJSON reads an object.
func (h *headerMap) UnmarshalJSON(p []byte) error {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		return err
	}
	out := http.Header{}
	for _, name := range sortedNames(members) {
		values, ok := members[name].([]any)
		if !ok {
			values = []any{members[name]}
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range values {
			if v != nil {
				out[name] = append(out[name], fmt.Sprint(v))
			}
		}
	}
	*h = headerMap(out)
	return nil
}

// sortedNames makes the order of two spellings of a name certain.
func sortedNames(members map[string]any) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// header is h, which may be nil, as one that can be added to.
func (h headerMap) header() http.Header {
	if h == nil {
		return http.Header{}
	}
	return http.Header(h)
}

// parseCommand reads a text message of the gateway.
//
//	Shape:  {"accept":{…}} or {"request":{…}}; any other object is a command of
//	        neither kind.
//	Errors: wrap ErrProtocol.
//	Source: docs/protocol.md, section 2.2.
func parseCommand(p []byte) (command, error) {
	var c command
	if err := json.Unmarshal(p, &c); err != nil {
		// The error of encoding/json may quote the message.
		return command{}, fmt.Errorf("%w: a command that cannot be read", ErrProtocol)
	}
	return c, nil
}

// parseAddress reads a rendezvous address.
//
//	Errors: wrap ErrProtocol; the address is a secret, and in none.
func parseAddress(text string, base *url.URL) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.User != nil ||
		u.RawQuery == "" {
		return nil, fmt.Errorf("%w: a rendezvous address that is none", ErrProtocol)
	}
	if u.Scheme == "ws" && base.Scheme == "wss" {
		return nil, fmt.Errorf("%w: a rendezvous address without TLS, but this channel has it",
			ErrProtocol)
	}
	return u, nil
}

// request is what a sender asked for.
//
//	Errors: wrap ErrProtocol.
func (m *acceptMessage) request(address *url.URL) (*Request, error) {
	t, err := hyco.ParseTarget(address.RequestURI())
	if err != nil {
		return nil, fmt.Errorf("%w: a rendezvous address that is none", ErrProtocol)
	}
	target := "/" + t.RawPath
	if t.HasQuery {
		target += "?" + t.Query
	}
	u, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	return &Request{ID: m.ID, URL: u, Header: m.ConnectHeaders.header(),
		RemoteAddr: m.RemoteEndpoint.String()}, nil
}

// parseTarget makes a URL of a requestTarget, of which the path may be decoded
// in part (docs/protocol.md, section 5.3): bytes that a path may not have are
// encoded, and so is a percent sign that begins no escape.
func parseTarget(target string) (*url.URL, error) {
	raw, query, hasQuery := strings.Cut(target, "?")
	if raw == "" || raw[0] != '/' {
		return nil, fmt.Errorf("%w: a request target that is no path", ErrProtocol)
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(raw))
	for i := range len(raw) {
		c := raw[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}#", c) >= 0 ||
			c == '%' && !escapes(raw[i:]) {
			b = append(b, '%', digits[c>>4], digits[c&15])
			continue
		}
		b = append(b, c)
	}
	path, err := url.PathUnescape(string(b))
	if err != nil {
		return nil, fmt.Errorf("%w: a request target that is no path", ErrProtocol)
	}
	u := &url.URL{Path: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
	if u.EscapedPath() != string(b) {
		u.RawPath = string(b)
	}
	return u, nil
}

// escapes says whether s begins with a percent escape.
func escapes(s string) bool {
	return len(s) >= 3 && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
