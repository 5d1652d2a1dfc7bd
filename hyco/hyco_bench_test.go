package hyco

import (
	"net/netip"
	"testing"
)

// senderFields are the headers of a sender with the npm package ws.
var senderFields = []HeaderField{
	{"Sec-WebSocket-Version", "13"},
	{"Sec-WebSocket-Key", "MTMtMTcwMDAwMDAwMDAwMA=="},
	{"Connection", "Upgrade"},
	{"Upgrade", "websocket"},
	{"ServiceBusAuthorization", "SharedAccessSignature sr=http%3A%2F%2Fh&sig=a%3D&se=1&skn=n"},
	{"Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"},
	{"Host", "contoso.servicebus.windows.net:443"},
}

var phrase string // keeps results from being optimized away

func BenchmarkParseTarget(b *testing.B) {
	for _, c := range []struct{ name, raw string }{
		{"listen", "/$hc/hyco?sb-hc-action=listen&sb-hc-id=8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c"},
		{"accept", "/$hc/hyco?a=1&sb-hc-rendezvous=" + secret + "&sb-hc-action=accept" +
			"&sb-hc-id=8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0"},
		{"token", "/$hc/hyco?sb-hc-action=connect&sb-hc-token=SharedAccessSignature+sr%3dhttp" +
			"%253A%252F%252Fh%252Fhyco%26sig%3dKaWcguPSAybygXrdlrNjM%252F8PnL8hLuhB7JokwQN" +
			"jr6o%253D%26se%3d1893456000%26skn%3dRootManageSharedAccessKey"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseTarget(c.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendAccept(b *testing.B) {
	target, err := ParseTarget("/$hc/hyco/sub?a=1&sb-hc-action=connect&sb-hc-id=7")
	if err != nil {
		b.Fatal(err)
	}
	remote := netip.MustParseAddrPort("203.0.113.9:62917")
	var address, message []byte
	b.ReportAllocs()
	for b.Loop() {
		address = AppendAcceptAddress(address[:0], "ws://contoso.example", target, secret, "7_G0")
		message, err = AppendAccept(message[:0], string(address), "7_G0", senderFields, remote)
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReasonPhrase(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		phrase = ReasonPhrase(RefusalInvalidSignature.Text,
			"8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0", "contoso.example", "hyco", noon)
	}
}
