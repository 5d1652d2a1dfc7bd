package emulator

import (
	"strings"
	"testing"
	"time"
)

// The vectors of docs/protocol.md, section 6.3.
func TestSignature(t *testing.T) {
	const key = "c2VjcmV0LWtleS1mb3ItdGVzdC12ZWN0b3JzLW9ubHkhMTI="
	tests := []struct{ resource, want string }{
		{"http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco%2F",
			"KaWcguPSAybygXrdlrNjM/8PnL8hLuhB7JokwQNjr6o="},
		{"http%3a%2f%2fcontoso.servicebus.windows.net%2fhyco%2f",
			"62q0r5h6qZmklAUY0lupVOVErZEapbQhPKnYMZk2oBM="},
		{"http%3A%2F%2Fcontoso.servicebus.windows.net%2F",
			"wcwWmWYqhRsqQRcBZvUihI7tmZLCxpEy5ctFx7K2Ag8="},
		{"http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco",
			"s7EpCROrsFKVBLwB4bwvRV7HBCz0GdCudIvrMpoeRKY="},
		{"sb%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco",
			"f8sGMfqtD/gZmaCXMuvX0+TtPL7HGXjOlLp0RMwTVrQ="},
	}
	for _, tt := range tests {
		if got := Signature(tt.resource, key, "1893456000"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.resource, got, tt.want)
		}
	}
}

func TestSign(t *testing.T) {
	got := Sign("http://h/e/", "rule", "key", time.Unix(1893456000, 0))
	want := "SharedAccessSignature sr=http%3A%2F%2Fh%2Fe%2F&sig="
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "&se=1893456000&skn=rule") {
		t.Errorf("Sign = %s", got)
	}
}
