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

// curlRequest is a request of curl behind a proxy.
var curlRequest = Request[HeaderField]{
	Address: "wss://contoso.example/$hc/hyco/sub?sb-hc-rendezvous=" + secret +
		"&sb-hc-action=request&sb-hc-id=8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0",
	ID: "8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0", Target: "/hyco/sub?a=1", Method: "POST",
	Via: "contoso.example", Remote: netip.MustParseAddrPort("203.0.113.9:62917"),
	Proto: "https", Forwarded: ForwardedAll, Body: true,
	Fields: []HeaderField{
		{"Host", "contoso.example"},
		{"User-Agent", "curl/8.14.1"},
		{"Accept", "*/*"},
		{"Connection", "keep-alive, X-Private"},
		{"ServiceBusAuthorization", "SharedAccessSignature sr=http%3A%2F%2Fh&sig=a%3D&se=1&skn=n"},
		{"X-Private", "1"},
		{"X-Forwarded-For", "192.0.2.1"},
		{"Content-Type", "application/json"},
		{"Content-Length", "1024"},
	},
}

// nodeResponse is a response of npm hyco-https.
var nodeResponse = []byte(`{"requestId":"8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0",` +
	`"statusCode":200,"statusDescription":"OK",` +
	`"responseHeaders":{"content-type":"application/json; charset=utf-8",` +
	`"etag":"W/\u002249-abc\u0022","x-num":5,"cache-control":"no-store","x-powered-by":"Express"},` +
	`"body":true}`)

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

func BenchmarkAppendRequest(b *testing.B) {
	var message []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if message, err = AppendRequest(message[:0], &curlRequest); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequestTarget(b *testing.B) {
	target, err := ParseTarget("/hyco/a%20b/%C3%A4?a=1")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		phrase = target.RequestTarget(false)
	}
}

func BenchmarkParseResponse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseResponse(nodeResponse); err != nil {
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
