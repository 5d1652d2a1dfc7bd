package hyco

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var peer = netip.MustParseAddrPort("203.0.113.9:62917")

// TestRequest compares a whole message, byte for byte.
func TestRequest(t *testing.T) {
	const want = `{"request":{"address":"ws://h/$hc/a?sb-hc-action=request","id":"i_G0",` +
		`"requestTarget":"/a/b c?x=1&y=%20z","method":"POST",` +
		`"remoteEndpoint":{"address":"203.0.113.9","port":62917},` +
		`"requestHeaders":{"X-Foo":"bar","host":"contoso:443","Via":"1.1 contoso"},"body":true}}`
	for _, remote := range []string{"203.0.113.9:62917", "[::ffff:203.0.113.9]:62917"} {
		got, err := AppendRequest([]byte("x"), &Request[HeaderField]{
			Address: "ws://h/$hc/a?sb-hc-action=request", ID: "i_G0", Target: "/a/b c?x=1&y=%20z",
			Method: "POST", Via: "contoso", Remote: netip.MustParseAddrPort(remote),
			Fields: []HeaderField{{"X-Foo", "bar"}, {"Connection", "close"}, {"host", "contoso:443"}},
			Body:   true, Proto: "http",
		})
		if err != nil || string(got) != "x"+want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", remote, err, got, want)
		}
	}
	none, err := AppendRequest(nil, &Request[HeaderField]{
		Remote: netip.MustParseAddrPort("[fe80::1%eth0]:1")})
	const wantNone = `{"request":{"address":"","id":"","requestTarget":"","method":"",` +
		`"remoteEndpoint":{"address":"fe80::1","port":1},` +
		`"requestHeaders":{"Via":"1.1 "},"body":false}}`
	if err != nil || string(none) != wantNone {
		t.Errorf("got %s, %v", none, err)
	}
	const wantDial = `x{"request":{"address":"ws://h/\"","id":"i"}}`
	if got := string(AppendRendezvousRequest([]byte("x"), `ws://h/"`, "i")); got != wantDial {
		t.Errorf("got %s, want %s", got, wantDial)
	}
}

// request is the message as a client reads it.
type request struct {
	Request struct {
		Address, ID, RequestTarget, Method string
		RequestHeaders                     map[string]string
		RemoteEndpoint                     struct {
			Address string
			Port    int
		}
		Body *bool
	}
}

// headerCases are lines of a sender and what its listener gets, in order; the
// gateway's Via is taken for granted.
var headerCases = []struct {
	name       string
	authorized bool
	sent, want string
}{
	{name: "item 46: repeated", sent: "Test: requestValue1|X: 1|TEST: requestValue2|test: c, d",
		want: `"Test":"requestValue1, requestValue2, c, d","X":"1"`},
	{name: "cookies", sent: "cookie: a=1|Cookie: b=2; c=3", want: `"cookie":"a=1; b=2; c=3"`},
	{name: "empty values", sent: "A: |a: |B: ", want: `"A":", ","B":""`},
	{name: "item 47: Host", sent: "hOST: contoso:443", want: `"hOST":"contoso:443"`},
	{name: "item 47: Host stays", sent: "Connection: host|Host: contoso", want: `"Host":"contoso"`},
	{name: "item 68: token", sent: "ServiceBusAuthorization: s|servicebusauthorization: s"},
	{name: "Authorization of the listener", sent: "Authorization: Basic eA==",
		want: `"Authorization":"Basic eA=="`},
	{name: "item 68: Authorization of the relay", sent: "authorization: s|A: 1|Authorization: s",
		authorized: true, want: `"A":"1"`},
	{name: "choice of listeners", sent: "Microsoft-Relay-AllowedListeners: g|" +
		"microsoft-relay-disallowedlisteners: g|Microsoft-Relay-Other: g",
		want: `"Microsoft-Relay-Other":"g"`},
	{name: "ends at a gateway", sent: "CONNECTION: close|Content-Length: 5|te: trailers|" +
		"Trailer: X|Transfer-Encoding: chunked|Upgrade: h2c|Close: 1|Keep-Alive: 5|" +
		"Proxy-Connection: x|Expect: 100-continue|http2-settings: AAMAA"},
	{name: "goes on", sent: "Accept: */*|Content-Type: text/plain|User-Agent: u|" +
		"Relay-User-Agent: azure-relay-dotnet/3.0.1.0|Proxy-Authorization: p|X-Forwarded-For: q",
		want: `"Accept":"*/*","Content-Type":"text/plain","User-Agent":"u",` +
			`"Relay-User-Agent":"azure-relay-dotnet/3.0.1.0","Proxy-Authorization":"p",` +
			`"X-Forwarded-For":"q"`},
	{name: "named in Connection", sent: "X-A: 1|x-b: 2|X-C: 3|Connection: ,x-a ,\tX-B,,close|" +
		"X-a: 4|Connection: X-D|X-D: 5", want: `"X-C":"3"`},
	{name: "Connection of nothing", sent: "Connection: |A: 1|connection: ,", want: `"A":"1"`},
	{name: "Connection cannot hide the way", sent: "Connection: via, forwarded, " +
		"X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host|Forwarded: for=x|" +
		"X-Forwarded-For: x|X-Forwarded-Proto: https|X-Forwarded-Host: h",
		want: `"Forwarded":"for=x","X-Forwarded-For":"x","X-Forwarded-Proto":"https",` +
			`"X-Forwarded-Host":"h"`},
	{name: "Connection cannot show what is hidden", sent: "Connection: ServiceBusAuthorization|" +
		"ServiceBusAuthorization: s"},
	{name: "names of every kind", sent: "0: zero|__proto__: p|!#$%&'*+-.^_`|~: all",
		want: `"0":"zero","__proto__":"p","!#$%&'*+-.^_` + "`" + `":"","~":"all"`},
	{name: "texts", sent: `A: "q" \ / <&>' ` + "\xc3\xa4 \xe4",
		want: `"A":"\"q\" \\ / <&>' ä \u00e4"`},
}

func TestRequestHeaders(t *testing.T) {
	for _, c := range headerCases {
		r := Request[HeaderField]{Via: "contoso", Authorized: c.authorized, Fields: lines(c.sent)}
		want := `"Via":"1.1 contoso"`
		if c.want != "" {
			want = c.want + "," + want
		}
		if got := headersOf(t, &r); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

// lines reads header lines with "|" between them.
func lines(text string) (fields []HeaderField) {
	for line := range strings.SplitSeq(text, "|") {
		if name, value, ok := strings.Cut(line, ": "); ok || line != "" {
			fields = append(fields, HeaderField{name, value})
		}
	}
	return fields
}

// headersOf is the inside of requestHeaders in the message of r.
func headersOf(t *testing.T, r *Request[HeaderField]) string {
	t.Helper()
	message, err := AppendRequest(nil, r)
	if err != nil || !json.Valid(message) || !utf8.Valid(message) {
		t.Fatalf("%s: %v", message, err)
	}
	_, rest, _ := strings.Cut(string(message), `"requestHeaders":{`)
	headers, _, _ := strings.Cut(rest, `},"body":`)
	return headers
}

// additionCases are what a gateway adds about the sender and itself.
var additionCases = []struct {
	name      string
	forwarded Forwarded
	remote    string
	sent      string
	want      string
}{
	{"Via behind another", ForwardedOff, "", "VIA: 1.0 fred|A: 1|via: 1.1 p.example (x)",
		`"VIA":"1.0 fred, 1.1 p.example (x), 1.1 h","A":"1"`},
	{"Via although named in Connection", ForwardedOff, "", "Connection: Via|Via: 1.0 fred",
		`"Via":"1.0 fred, 1.1 h"`},
	{"empty Via", ForwardedOff, "", "Via: ", `"Via":"1.1 h"`},
	{"off", ForwardedOff, "", "X-Forwarded-For: a|Forwarded: for=b",
		`"X-Forwarded-For":"a","Forwarded":"for=b","Via":"1.1 h"`},
	{"x-forwarded, absent", ForwardedX, "", "",
		`"Via":"1.1 h","X-Forwarded-For":"203.0.113.9","X-Forwarded-Proto":"https"`},
	{"x-forwarded, behind others", ForwardedX, "",
		"X-Forwarded-Proto: http|x-forwarded-for: 192.0.2.1|X-Forwarded-For: 192.0.2.2",
		`"X-Forwarded-Proto":"http","x-forwarded-for":"192.0.2.1, 192.0.2.2, 203.0.113.9",` +
			`"Via":"1.1 h"`},
	{"x-forwarded, not to be hidden", ForwardedX, "",
		"Connection: X-Forwarded-For|X-Forwarded-For: 192.0.2.1", `"X-Forwarded-For":` +
			`"192.0.2.1, 203.0.113.9","Via":"1.1 h","X-Forwarded-Proto":"https"`},
	{"x-forwarded, IPv6", ForwardedX, "[2001:db8::1%eth0]:5", "", `"Via":"1.1 h",` +
		`"X-Forwarded-For":"2001:db8::1","X-Forwarded-Proto":"https"`},
	{"forwarded, absent", ForwardedRFC, "", "", `"Via":"1.1 h",` +
		`"Forwarded":"for=203.0.113.9;proto=https"`},
	{"forwarded, host", ForwardedRFC, "", "Host: contoso", `"Host":"contoso","Via":"1.1 h",` +
		`"Forwarded":"for=203.0.113.9;proto=https;host=contoso"`},
	{"forwarded, IPv6 and port", ForwardedRFC, "[2001:db8::1]:5", "hoSt: contoso:443",
		`"hoSt":"contoso:443","Via":"1.1 h",` +
			`"Forwarded":"for=\"[2001:db8::1]\";proto=https;host=\"contoso:443\""`},
	{"forwarded, IPv4 in IPv6", ForwardedRFC, "[::ffff:192.0.2.7]:5", "", `"Via":"1.1 h",` +
		`"Forwarded":"for=192.0.2.7;proto=https"`},
	{"forwarded, behind others", ForwardedRFC, "", "forwarded: for=192.0.2.1;by=x|" +
		`Forwarded: for="[::1]"`, `"forwarded":"for=192.0.2.1;by=x, for=\"[::1]\", ` +
		`for=203.0.113.9;proto=https","Via":"1.1 h"`},
	{"forwarded, open quotes", ForwardedRFC, "", `Forwarded: for="x|A: 1|Forwarded: y\"`,
		`"Forwarded":"for=203.0.113.9;proto=https","A":"1","Via":"1.1 h"`},
	{"forwarded, escaped quote", ForwardedRFC, "", `Forwarded: for="x\"y"`,
		`"Forwarded":"for=\"x\\\"y\", for=203.0.113.9;proto=https","Via":"1.1 h"`},
	{"forwarded, odd host", ForwardedRFC, "", `Host: a"b\;ä`, `"Host":"a\"b\\;ä","Via":"1.1 h",` +
		`"Forwarded":"for=203.0.113.9;proto=https;host=\"a\\\"b\\\\;ä\""`},
	{"both", ForwardedAll, "", "A: 1", `"A":"1","Via":"1.1 h","X-Forwarded-For":"203.0.113.9",` +
		`"X-Forwarded-Proto":"https","Forwarded":"for=203.0.113.9;proto=https"`},
}

func TestRequestAdditions(t *testing.T) {
	for _, c := range additionCases {
		r := Request[HeaderField]{Via: "h", Remote: peer, Proto: "https", Forwarded: c.forwarded,
			Fields: lines(c.sent)}
		if c.remote != "" {
			r.Remote = netip.MustParseAddrPort(c.remote)
		}
		if got := headersOf(t, &r); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	r := Request[HeaderField]{Forwarded: ForwardedAll, Proto: "http"}
	const want = `"Via":"1.1 ","X-Forwarded-For":"unknown","X-Forwarded-Proto":"http",` +
		`"Forwarded":"for=unknown;proto=http"`
	if got := headersOf(t, &r); got != want {
		t.Errorf("no address:\ngot  %s\nwant %s", got, want)
	}
}

func TestRequestLimits(t *testing.T) {
	type field struct{ Name, Value string } // another package's header line
	empty, err := AppendRequest(nil, &Request[field]{Fields: []field{{"a", ""}}})
	if err != nil {
		t.Fatal(err)
	}
	room := MaxRequestMessage - len(empty)
	with := func(fields ...field) Request[field] { return Request[field]{Fields: fields} }
	long := strings.Repeat("x", room+30)
	for _, c := range []struct {
		name    string
		request Request[field]
		ok      bool
	}{
		{"exactly full", with(field{"a", long[:room]}), true},
		{"one more", with(field{"a", long[:room+1]}), false},
		{"escapes count", with(field{"a", strings.Repeat("\x01", room/6+1)}), false},
		{"repeats count", with(field{"a", long[:room-3]}, field{"A", "xx"}), false},
		{"additions count", Request[field]{Fields: []field{{"a", long[:room]}}, Via: "h"}, false},
		{"long address", Request[field]{Address: long + long}, false},
		{"long target", Request[field]{Target: long + long}, false},
		{"long method", Request[field]{Method: long + long}, false},
		{"most fields", with(make([]field, MaxHeaderFields)...), true},
		{"too many fields", with(make([]field, MaxHeaderFields+1)...), false},
		{"most options", with(field{"Connection", strings.Repeat("x,", 64)}), true},
		{"too many options", with(field{"Connection", strings.Repeat("x,", 65)}), false},
		{"options in many lines", with(field{"Connection", strings.Repeat("x,", 60)},
			field{"connection", strings.Repeat(",y,", 5)}), false},
	} {
		got, err := AppendRequest([]byte("before"), &c.request)
		switch {
		case c.ok && (err != nil || len(got)-len("before") > MaxRequestMessage):
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		case !c.ok && (err != RefusalHeadTooLarge || string(got) != "before"):
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
}

func TestRequestAddress(t *testing.T) {
	const tail = "?sb-hc-rendezvous=" + secret + "&sb-hc-action=request&sb-hc-id=id_G0"
	for _, c := range []struct{ name, target, want string }{
		{"item 56", "/hyco/extraPath/extraPath2?p=1&q=%2f", "ws://h:1/$hc/hyco/extraPath/extraPath2"},
		{"item 57", "/hyco/a%20b", "ws://h:1/$hc/hyco/a%20b"},
		{"item 61", "/hyco/%252F", "ws://h:1/$hc/hyco/%252F"},
		{"item 68: no token", "/hyco?sb-hc-token=secret", "ws://h:1/$hc/hyco"},
		{"what a path may have", "/a-._~!$&'()*+,;=:@/%41%2f", "ws://h:1/$hc/a-._~!$&'()*+,;=:@/%41%2f"},
		{"what it may not", "/\"<>[\\]^`{|}\xc3\xa4\xff",
			"ws://h:1/$hc/%22%3C%3E%5B%5C%5D%5E%60%7B%7C%7D%C3%A4%FF"},
	} {
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		got := string(AppendRequestAddress([]byte("x"), "ws://h:1", target, secret, "id_G0"))
		if got != "x"+c.want+tail {
			t.Errorf("%s: got  %s\nwant %s", c.name, got[1:], c.want)
		}
		back, err := ParseTarget(strings.TrimPrefix(got, "x"))
		if err != nil || back.Action != ActionRequest || back.Rendezvous != secret ||
			back.ID != "id_G0" || back.Path != target.Path || !back.WebSocket || back.HasQuery {
			t.Errorf("%s: read back as %+v, %v", c.name, back, err)
		}
	}
}

func TestRequestTarget(t *testing.T) {
	for _, c := range []struct{ name, sent, want, raw string }{
		{"plain", "/hyco", "/hyco", "/hyco"},
		{"root", "/", "/", "/"},
		{"item 48: query stays", "/hyco?a+b=%2B%20%2f%3a%3d%26'&", "/hyco?a+b=%2B%20%2f%3a%3d%26'&",
			"/hyco?a+b=%2B%20%2f%3a%3d%26'&"},
		{"item 48: ours goes", "/hyco?custom=value&sb-hc-id=1", "/hyco?custom=value",
			"/hyco?custom=value"},
		{"item 48: only ours", "/hyco?sb-hc-whatever=", "/hyco", "/hyco"},
		{"item 48: empty query", "/hyco?", "/hyco?", "/hyco?"},
		{"item 56", "/hyco/extraPath/extraPath2?p=1", "/hyco/extraPath/extraPath2?p=1",
			"/hyco/extraPath/extraPath2?p=1"},
		{"item 57", "/hyco/a%20b%20c?d=%20e", "/hyco/a b c?d=%20e", "/hyco/a%20b%20c?d=%20e"},
		{"item 60: absolute form", "http://h:1/hyco/x?y", "/hyco/x?y", "/hyco/x?y"},
		{"item 60: without path", "http://h", "/", "/"},
		{"item 61", "/hyco/%252F", "/hyco/%252F", "/hyco/%252F"},
		{"stay encoded", "/%25%3F%3f%23%2F%2f%5C%5c", "/%25%3F%3f%23%2F%2f%5C%5c",
			"/%25%3F%3f%23%2F%2f%5C%5c"},
		{"control characters", "/%00%1F%1f%0D%0a%7F%C2%80%c2%9f", "/%00%1F%1f%0D%0a%7F%C2%80%c2%9f",
			"/%00%1F%1f%0D%0a%7F%C2%80%c2%9f"},
		{"are decoded", `/%22%27%3C%7e%41%C2%A0`, `/"'<~A` + "\u00a0", `/%22%27%3C%7e%41%C2%A0`},
		{"decoded once", "/%2541%252541", "/%2541%252541", "/%2541%252541"},
		{"characters", "/%C3%A4%e2%82%ac%F0%9F%98%80", "/ä€\U0001f600",
			"/%C3%A4%e2%82%ac%F0%9F%98%80"},
		{"bare characters", "/ä€?ä", "/ä€?%C3%A4", "/%C3%A4%E2%82%AC?%C3%A4"},
		{"half encoded", "/\xc3%A4\xe2%82\xac", "/ä€", "/%C3%A4%E2%82%AC"},
		{"not UTF-8", "/%ff%C3%28%ED%A0%80%c0%af", "/%ff%C3(%ED%A0%80%c0%af",
			"/%ff%C3%28%ED%A0%80%c0%af"},
		{"bare bytes", "/\xff\xc3?\xfe", "/%FF%C3?%FE", "/%FF%C3?%FE"},
		{"cut character", "/%E2%82/%e2%82", "/%E2%82/%e2%82", "/%E2%82/%e2%82"},
		{"dots and slashes", "/a//../%2e%2E/;b", "/a//../../;b", "/a//../%2e%2E/;b"},
	} {
		target, err := ParseTarget(c.sent)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := target.RequestTarget(false); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if got := target.RequestTarget(true); got != c.raw {
			t.Errorf("%s, raw: got %q, want %q", c.name, got, c.raw)
		}
	}
}

// TestRequestEscapes has each byte, escaped in both ways, in a path.
func TestRequestEscapes(t *testing.T) {
	for c := range 256 {
		hex := strconv.FormatInt(int64(c)|0x100, 16)[1:]
		for _, escape := range []string{"%" + hex, "%" + strings.ToUpper(hex)} {
			want := string(rune(c))
			if c < ' ' || c >= 0x7f || strings.ContainsRune("%?#/\\", rune(c)) {
				want = escape
			}
			target, err := ParseTarget("/x" + escape + "y")
			if err != nil || target.RequestTarget(false) != "/x"+want+"y" {
				t.Errorf("%s: got %q, %v", escape, target.RequestTarget(false), err)
			}
		}
	}
}
