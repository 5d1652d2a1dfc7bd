//go:build !race

package hyco

import (
	"net/netip"
	"testing"
)

// TestAllocs bounds the garbage of a handshake and of an HTTP request.
func TestAllocs(t *testing.T) {
	target, err := ParseTarget("/$hc/hyco/sub?a=1&sb-hc-action=connect&sb-hc-id=7")
	if err != nil {
		t.Fatal(err)
	}
	var message [2048]byte
	remote := netip.MustParseAddrPort("203.0.113.9:62917")
	parse := func(raw string) func() {
		return func() {
			if _, err := ParseTarget(raw); err != nil {
				t.Error(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		want float64
		call func()
	}{
		{"listen", 0, parse("/$hc/hyco?sb-hc-action=listen&sb-hc-id=7")},
		{"connect", 0, parse("/$hc/hyco/sub?a=1&b=2&sb-hc-action=connect&sb-hc-id=7")},
		{"accept", 0, parse("/$hc/hyco?sb-hc-rendezvous=00&sb-hc-action=accept&sb-hc-id=7")},
		{"token", 1, parse("/$hc/hyco?sb-hc-token=SharedAccessSignature+sr%3da")},
		{"escaped path", 1, parse("/$hc/a%20b")},
		{"query with a gap", 2, parse("/$hc/hyco?a=1&sb-hc-id=7&b=2")},
		{"AppendAcceptAddress", 0, func() {
			AppendAcceptAddress(message[:0], "ws://h", target, secret, "7")
		}},
		{"AppendAccept", 0, func() {
			if _, err := AppendAccept(message[:0], "ws://h", "7", senderFields, remote); err != nil {
				t.Error(err)
			}
		}},
		{"HTTP target", 0, parse("/hyco/sub?a=1&b=2&sb-hc-id=7")},
		{"RequestTarget", 1, func() { phrase = target.RequestTarget(false) }},
		{"RequestTarget, raw", 1, func() { phrase = target.RequestTarget(true) }},
		{"AppendRequestAddress", 0, func() {
			AppendRequestAddress(message[:0], "ws://h", target, secret, "7")
		}},
		{"AppendRequest", 0, func() {
			if _, err := AppendRequest(message[:0], &curlRequest); err != nil {
				t.Error(err)
			}
		}},
		{"AppendRendezvousRequest", 0, func() {
			AppendRendezvousRequest(message[:0], "ws://h", "7")
		}},
		{"ParseResponse", 3, func() {
			if _, err := ParseResponse(nodeResponse); err != nil {
				t.Error(err)
			}
		}},
		{"HTTPCode", 0, func() { phrase = RefusalBadHead.HTTPCode() }},
		{"ReasonPhrase", 1, func() { phrase = ReasonPhrase("text.", "id", "h", "hyco", noon) }},
	} {
		if n := testing.AllocsPerRun(1000, c.call); n > c.want {
			t.Errorf("%s: %v allocs, want %v", c.name, n, c.want)
		}
	}
}
