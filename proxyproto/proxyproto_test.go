package proxyproto

import (
	"net/netip"
	"strings"
	"testing"
)

// binary2 is a header of version 2 with a length that fits what follows.
func binary2(command, family byte, body string) string {
	return signature + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

// part is a type-length-value part.
func part(kind byte, value string) string {
	return string([]byte{kind, byte(len(value) >> 8), byte(len(value))}) + value
}

const (
	tcp4 = "\xC0\x00\x02\x07\x0A\x00\x00\x01\x30\x39\x01\xBB" // 192.0.2.7:12345
	tcp6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x30\x39\x01\xBB"
	mapped6 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xC0\x00\x02\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0A\x00\x00\x01\x30\x39\x01\xBB"
	zeros = "\x00\x00\x00\x00" // verify field: the certificate is good
)

var (
	v4      = Header{Source: netip.MustParseAddrPort("192.0.2.7:12345")}
	v4TLS   = Header{Source: v4.Source, TLS: true}
	v6      = Header{Source: netip.MustParseAddrPort("[2001:db8::7]:12345")}
	own     = Header{}
	ownTLS  = Header{TLS: true}
	unix    = strings.Repeat("/", 216)
	overTLS = part(partTLS, "\x01"+zeros)
	// What HAProxy sends with send-proxy-v2-ssl-cn: version and common name.
	haproxy = part(partTLS, "\x07"+zeros+part(0x21, "TLSv1.3")+part(0x22, "client"))
)

var valid = []struct {
	header string
	want   Header
}{
	{"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", v4},
	{"PROXY TCP6 2001:db8::7 2001:DB8::1 12345 443\r\n", v6},
	{"PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0007 ::1 12345 443\r\n", v6},
	{"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 12345 443\r\n", v4},
	{"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
		Header{Source: netip.MustParseAddrPort("0.0.0.0:0")}},
	{"PROXY UNKNOWN\r\n", own},
	{"PROXY UNKNOWN \r\n", own},
	{"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", own},
	{"PROXY UNKNOWN " + strings.Repeat("x", lineMax-16) + "\r\n", own},

	{binary2(0x21, 0x11, tcp4), v4},
	{binary2(0x21, 0x21, tcp6), v6},
	{binary2(0x21, 0x21, mapped6), v4},
	{binary2(0x21, 0x31, unix), own},
	{binary2(0x21, 0x31, unix+overTLS), ownTLS},
	{binary2(0x21, 0x11, tcp4+overTLS), v4TLS},
	{binary2(0x21, 0x11, tcp4+haproxy), v4TLS},
	{binary2(0x21, 0x11, tcp4+part(0x04, "")+part(0x05, "id")+overTLS+part(0xEA, "\x01vpce")), v4TLS},
	{binary2(0x21, 0x11, tcp4+part(partTLS, "\x06"+zeros)), v4},
	{binary2(0x21, 0x11, tcp4+part(0xEE, overTLS)), v4},
	{binary2(0x21, 0x11, tcp4+part(0x04, strings.Repeat("x", HeaderMax-addressesAt-12-3))), v4},
	{binary2(0x21, 0x00, ""), own},
	{binary2(0x21, 0x00, tcp4), own},
	{binary2(0x20, 0x00, ""), own},
	{binary2(0x20, 0x11, tcp4), own},
	{binary2(0x20, 0xFF, "anything"), own},
}

// TestParse gives each header whole, cut at every byte, and with more behind.
func TestParse(t *testing.T) {
	for _, tt := range valid {
		for cut := range len(tt.header) {
			h, n, err := Parse([]byte(tt.header[:cut]))
			if h != own || n != 0 || err != nil {
				t.Fatalf("%.60q cut at %d: %+v, %d, %v", tt.header, cut, h, n, err)
			}
		}
		for _, rest := range []string{"", "G", "GET / HTTP/1.1\r\n", tt.header} {
			h, n, err := Parse([]byte(tt.header + rest))
			if h != tt.want || n != len(tt.header) || err != nil {
				t.Errorf("%.60q and %.10q: %+v, %d, %v", tt.header, rest, h, n, err)
			}
		}
	}
}

func TestParseInvalid(t *testing.T) {
	line := func(s string) string { return "PROXY " + s + "\r\n" }
	for _, tt := range []struct {
		header string
		want   Error
	}{
		{"GET / HTTP/1.1\r\n", ErrNone},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ErrNone},
		{"POST", ErrNone},
		{"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n", ErrNone},
		{"PROXY\tTCP4 192.0.2.7 10.0.0.1 1 2\r\n", ErrNone},
		{" PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n", ErrNone},
		{"\r\n\r\nGET / HTTP/1.1\r\n", ErrNone},
		{"\r\nPROXY UNKNOWN\r\n", ErrNone},

		{line(""), ErrLine},
		{line("TCP4"), ErrLine},
		{line("UNKNOWNS"), ErrLine},
		{line("TCP4 192.0.2.7 10.0.0.1 1"), ErrLine},
		{line("TCP4 192.0.2.7 10.0.0.1 1 2 3"), ErrLine},
		{line("TCP4 192.0.2.7 10.0.0.1 1 2 "), ErrLine},
		{line("TCP4  192.0.2.7 10.0.0.1 1 2"), ErrLine},
		{"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n", ErrLine},
		{"PROXY UNKNOWN\n", ErrLine},
		{"PROXY UNKNOWN a\nb\r\n", ErrLine},
		{line("UNKNOWN " + strings.Repeat("x", lineMax-15)), ErrLine},
		{"PROXY " + strings.Repeat("x", lineMax), ErrLine},
		{line("TCP5 192.0.2.7 10.0.0.1 1 2"), ErrFamily},
		{line("tcp4 192.0.2.7 10.0.0.1 1 2"), ErrFamily},
		{line("UDP4 192.0.2.7 10.0.0.1 1 2"), ErrFamily},
		{line("TCP4 192.0.2.07 10.0.0.1 1 2"), ErrAddress},
		{line("TCP4 192.0.2.256 10.0.0.1 1 2"), ErrAddress},
		{line("TCP4 192.0.2 10.0.0.1 1 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0 1 2"), ErrAddress},
		{line("TCP4 ::1 ::1 1 2"), ErrAddress},
		{line("TCP4 192.0.2.7 ::1 1 2"), ErrAddress},
		{line("TCP6 192.0.2.7 10.0.0.1 1 2"), ErrAddress},
		{line("TCP6 [::1] [::1] 1 2"), ErrAddress},
		{line("TCP6 fe80::1%eth0 ::1 1 2"), ErrAddress},
		{line("TCP6 1::2::3 ::1 1 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1 01 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1 1 02"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1 65536 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1 +1 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1 -1 2"), ErrAddress},
		{line("TCP4 192.0.2.7 10.0.0.1  "), ErrAddress},

		{binary2(0x11, 0x11, tcp4), ErrVersion},
		{binary2(0x22, 0x11, tcp4), ErrVersion},
		{binary2(0x31, 0x11, tcp4), ErrVersion},
		{binary2(0x21, 0x12, tcp4), ErrFamily},
		{binary2(0x21, 0x10, tcp4), ErrFamily},
		{binary2(0x21, 0x01, tcp4), ErrFamily},
		{binary2(0x21, 0x41, tcp4), ErrFamily},
		{binary2(0x21, 0x11, tcp4[1:]), ErrLength},
		{binary2(0x21, 0x21, tcp6[1:]), ErrLength},
		{binary2(0x21, 0x31, unix[1:]), ErrLength},
		{binary2(0x21, 0x11, tcp4+"\x04"), ErrLength},
		{binary2(0x21, 0x11, tcp4+"\x04\x00\x02x"), ErrLength},
		{binary2(0x21, 0x11, tcp4+part(partTLS, zeros)), ErrLength},
		{binary2(0x21, 0x11, strings.Repeat("x", HeaderMax-addressesAt+1)), ErrTooLong},
		{binary2(0x20, 0x00, strings.Repeat("x", 0xFFFF)), ErrTooLong},
	} {
		h, n, err := Parse([]byte(tt.header))
		if err != tt.want || n != 0 || h != own {
			t.Errorf("%.60q: %+v, %d, %v; want %v", tt.header, h, n, err, tt.want)
		}
	}
}

// TestParseRefusesEarly: bytes that are no header are refused when the first
// of them that does not fit is there, and a length that is too large before
// what it announces.
func TestParseRefusesEarly(t *testing.T) {
	for _, tt := range []struct {
		text  string
		bytes int // that are needed
	}{
		{"GET / HTTP/1.1\r\n", 1},
		{"PUT / HTTP/1.1\r\n", 2},
		{"\x16\x03\x01", 1},
		{"\r\n\r\nGET", 5},
		{signature + "\x11", 13},
		{signature + "\x21\x12\x00\x0c", 16},
		{signature + "\x21\x11\x00\x0b", 16},
		{signature + "\x21\x11\xff\xff", 16},
		{"PROXY " + strings.Repeat(" ", 200), lineMax},
	} {
		for cut := range len(tt.text) {
			_, _, err := Parse([]byte(tt.text[:cut+1]))
			if (err != nil) != (cut+1 >= tt.bytes) {
				t.Errorf("%.20q: %d bytes: %v", tt.text, cut+1, err)
			}
		}
	}
}
