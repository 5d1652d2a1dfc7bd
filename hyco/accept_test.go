package hyco

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

const secret = "00112233445566778899aabbccddeeff"

func TestAcceptAddress(t *testing.T) {
	const tail = "sb-hc-rendezvous=" + secret + "&sb-hc-action=accept&sb-hc-id=id_G0"
	for _, c := range []struct{ name, target, want string }{
		{"plain", "/$hc/hyco", "ws://h:1/$hc/hyco?" + tail},
		{"prefix is normal", "/%24HC/Hyco/", "ws://h:1/$hc/Hyco/?" + tail},
		{"item 56", "/$hc/hyco/extraPath/extraPath2?sb-hc-action=connect&p=1&q=%2f&sb-hc-id=7",
			"ws://h:1/$hc/hyco/extraPath/extraPath2?p=1&q=%2f&" + tail},
		{"item 57", "/$hc/hyco/a%20b?c=%20+", "ws://h:1/$hc/hyco/a%20b?c=%20+&" + tail},
		{"item 68: no token", "/$hc/hyco?sb-hc-token=secret&a=1&SB-HC-TOKEN=secret",
			"ws://h:1/$hc/hyco?a=1&" + tail},
		{"a secret of the sender's own", "/$hc/hyco?sb-hc-rendezvous=evil",
			"ws://h:1/$hc/hyco?" + tail},
		{"empty query", "/$hc/hyco?", "ws://h:1/$hc/hyco?" + tail},
		{"trailing &", "/$hc/hyco?a=1&", "ws://h:1/$hc/hyco?a=1&&" + tail},
		{"bytes beyond ASCII", "/$hc/\xc3\xa4\xff?\x80", "ws://h:1/$hc/%C3%A4%FF?%80&" + tail},
	} {
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		got := string(AppendAcceptAddress([]byte("x"), "ws://h:1", target, secret, "id_G0"))
		if got != "x"+c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, got[1:], c.want)
		}
		back, err := ParseTarget(strings.TrimPrefix(got, "x"))
		if err != nil || back.Action != ActionAccept || back.Rendezvous != secret ||
			back.ID != "id_G0" || back.Rejection != nil || back.Path != target.Path {
			t.Errorf("%s: read back as %+v, %v", c.name, back, err)
		}
	}
}

// TestAccept compares whole messages, byte for byte.
func TestAccept(t *testing.T) {
	fields := []HeaderField{
		{"Host", "contoso:443"}, {"Connection", "Upgrade"}, {"Upgrade", "websocket"},
		{"ServiceBusAuthorization", "SharedAccessSignature secret"}, {"Sec-WebSocket-Key", "k=="},
		{"servicebusauthorization", "secret"}, {"X-App", "a"},
		{"Microsoft-Relay-AllowedListeners", "g"}, {"microsoft-relay-DISALLOWEDlisteners", "g"},
		{"x-app", "b, c"}, {"Authorization", "Basic eA=="}, {"0", "Sec-WebSocket-Extensions: x"},
		{"X-APP", "d"}, {"Microsoft-Relay-Other", "stays"},
	}
	const want = `{"accept":{"address":"ws://h/$hc/a?sb-hc-action=accept","id":"i",` +
		`"connectHeaders":{"Host":"contoso:443","Connection":"Upgrade","Upgrade":"websocket",` +
		`"Sec-WebSocket-Key":"k==","X-App":"a, b, c, d","Authorization":"Basic eA==",` +
		`"0":"Sec-WebSocket-Extensions: x","Microsoft-Relay-Other":"stays"},` +
		`"remoteEndpoint":{"address":"203.0.113.9","port":62917}}}`
	for _, remote := range []string{"203.0.113.9:62917", "[::ffff:203.0.113.9]:62917"} {
		got, err := AppendAccept([]byte("x"), "ws://h/$hc/a?sb-hc-action=accept", "i", fields,
			netip.MustParseAddrPort(remote))
		if err != nil || string(got) != "x"+want {
			t.Errorf("item 68, %s: %v, got\n%s\nwant\n%s", remote, err, got, want)
		}
	}
	none, err := AppendAccept[HeaderField](nil, "", "", nil,
		netip.MustParseAddrPort("[fe80::1%eth0]:1"))
	const wantNone = `{"accept":{"address":"","id":"","connectHeaders":{},` +
		`"remoteEndpoint":{"address":"fe80::1","port":1}}}`
	if err != nil || string(none) != wantNone {
		t.Errorf("got %s, %v", none, err)
	}
	hidden, err := AppendAccept(nil, "", "", fields[3:4], netip.AddrPort{})
	if err != nil || !strings.Contains(string(hidden), `"connectHeaders":{}`) {
		t.Errorf("got %s, %v", hidden, err)
	}
}

// accept is the message as a client reads it.
type accept struct {
	Accept struct {
		Address, ID    string
		ConnectHeaders map[string]string
		RemoteEndpoint struct {
			Address string
			Port    int
		}
	}
}

func TestAcceptAnyBytes(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`a"b\c/d`, `a"b\c/d`},
		{"\x00\t\r\n\x1f\x7f", "\x00\t\r\n\x1f\x7f"},
		{"ä€\U0001f600", "ä€\U0001f600"},
		{"\xe4\xff", "\u00e4\u00ff"},
		{"\xc3", "\u00c3"},
		{"\xed\xa0\x80", "\u00ed\u00a0\u0080"}, // a surrogate in UTF-8
		{"\ufffd", "\ufffd"},
		{" !#~&<>'", " !#~&<>'"},
	} {
		message, err := AppendAccept(nil, c.value, c.value,
			[]HeaderField{{c.value, c.value}}, netip.AddrPort{})
		if err != nil || !utf8.Valid(message) {
			t.Errorf("%q: got %q, %v", c.value, message, err)
		}
		var got accept
		if err := json.Unmarshal(message, &got); err != nil || got.Accept.Address != c.want ||
			got.Accept.ID != c.want || got.Accept.ConnectHeaders[c.want] != c.want {
			t.Errorf("%q: got %+v, %v", c.value, got, err)
		}
	}
}

func TestAcceptLimits(t *testing.T) {
	type field struct{ Name, Value string } // another package's header line
	empty, err := AppendAccept(nil, "", "", []field{{"a", ""}}, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	room := MaxAcceptMessage - len(empty)
	dst := []byte("before")
	for _, c := range []struct {
		name   string
		fields []field
		ok     bool
	}{
		{"exactly full", []field{{"a", strings.Repeat("x", room)}}, true},
		{"one more", []field{{"a", strings.Repeat("x", room+1)}}, false},
		{"escapes count", []field{{"a", strings.Repeat("\x01", room/6+1)}}, false},
		{"duplicates count", []field{{"a", strings.Repeat("x", room-3)}, {"A", "xx"}}, false},
		{"tail counts", []field{{"a", strings.Repeat("x", room+20)}}, false},
		{"most fields", make([]field, MaxHeaderFields), true},
		{"too many fields", make([]field, MaxHeaderFields+1), false},
	} {
		got, err := AppendAccept(dst, "", "", c.fields, netip.AddrPort{})
		switch {
		case c.ok && (err != nil || len(got)-len(dst) > MaxAcceptMessage):
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		case !c.ok && (err != RefusalHeadTooLarge || string(got) != "before"):
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
	long := strings.Repeat("x", MaxAcceptMessage+1)
	if got, err := AppendAccept[field](nil, long, "", nil, netip.AddrPort{}); err == nil {
		t.Errorf("long address: %d bytes", len(got))
	}
}
