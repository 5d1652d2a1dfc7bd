package hyco

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// FuzzParseTarget checks the path against net/url and the query against a
// plain reading of the rule in docs/protocol.md, section 1.4.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{
		"/$hc/hyco?sb-hc-action=listen&sb-hc-id=8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c",
		"/$hc/hyco/sub?foo=b%20r&sb-hc-action=connect&sb-hc-token=SharedAccessSignature+sr%3d",
		"/%24HC%2fa%2Fb?&&&", "/hyco?a=1&a=2&", "wss://[::1]:1/$hc/a?sb-hc-undefined",
		"/$hc/a?x=1&sb-hc-rendezvous=00&sb-hc-action=accept&sb-hc-id=i&sb-hc-statusCode=418" +
			"&sb-hc-statusDescription=no+way",
		"/$hc/a?sb-hc-action=accept&sb-hc-id=i&statusCode=403&statusDescription=Not%20you",
		"/%zz", "/\x00", "/a?sb-hc-id=%", "*", "/$hc/../%2e/\xff?\xfe=sb%2Dhc-=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := ParseTarget(raw)
		if err != nil {
			if r, ok := err.(*Refusal); !ok || r.Status != 400 || target.Rejection != nil {
				t.Fatalf("%v with %+v", err, target)
			}
			return
		}
		if path, err := url.PathUnescape(target.RawPath); err != nil || path != target.Path {
			t.Fatalf("path %q, %v, got %q", path, err, target.Path)
		}
		checkQuery(t, raw, target)
		checkRequestTarget(t, target)
		if r := target.Rejection; r != nil {
			status, phrase := r.Answer()
			if status < 200 || status > 999 || CleanPhrase(phrase) != phrase ||
				target.Action != ActionAccept {
				t.Fatalf("%+v answers %d %q", r, status, phrase)
			}
		}
		address := string(AppendAcceptAddress(nil, "ws://h", target, secret, "i"))
		back, err := ParseTarget(address)
		if err != nil || back.Rendezvous != secret || back.Action != ActionAccept ||
			back.ID != "i" || back.Token != "" || back.Rejection != nil ||
			back.Path != target.Path || back.Authority != "h" || !back.WebSocket {
			t.Fatalf("address %q reads as %+v, %v", address, back, err)
		}
		address = string(AppendRequestAddress(nil, "ws://h", target, secret, "i"))
		back, err = ParseTarget(address)
		if _, uriErr := url.ParseRequestURI(address); err != nil || uriErr != nil ||
			back.Rendezvous != secret || back.Action != ActionRequest || back.ID != "i" ||
			back.Path != target.Path || back.HasQuery || !back.WebSocket {
			t.Fatalf("address %q reads as %+v, %v, %v", address, back, err, uriErr)
		}
	})
}

func checkQuery(t *testing.T, raw string, target Target) {
	t.Helper()
	var kept []string
	if _, query, ok := strings.Cut(raw, "?"); ok {
		for piece := range strings.SplitSeq(query, "&") {
			name, _, hasValue := strings.Cut(piece, "=")
			if !hasValue || !strings.HasPrefix(strings.ToLower(decodeLoosely(name)), paramPrefix) {
				kept = append(kept, piece)
			}
		}
	}
	if target.Query != strings.Join(kept, "&") || target.HasQuery != (len(kept) > 0) {
		t.Fatalf("query %q (%v), want %q", target.Query, target.HasQuery, kept)
	}
}

// checkRequestTarget: what a listener gets means what the sender wrote.
func checkRequestTarget(t *testing.T, target Target) {
	t.Helper()
	for _, raw := range []bool{false, true} {
		text := target.RequestTarget(raw)
		path, query, hasQuery := strings.Cut(text, "?")
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded != "/"+target.Path || hasQuery != target.HasQuery ||
			decodeLoosely(query) != decodeLoosely(target.Query) || !utf8.ValidString(text) ||
			strings.ContainsFunc(text, unicode.IsControl) {
			t.Fatalf("%+v: target %q, %v", target, text, err)
		}
		if raw && strings.ContainsFunc(text, func(c rune) bool { return c >= utf8.RuneSelf }) {
			t.Fatalf("%+v: raw target %q", target, text)
		}
	}
}

// decodeLoosely decodes the escapes that are whole.
func decodeLoosely(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+3 <= len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil && len(c) == 1 {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func FuzzAppendAccept(f *testing.F) {
	f.Add("ws://h/$hc/a?sb-hc-action=accept", "i_G0", "Sec-WebSocket-Key", "k==", "X-App", "1")
	f.Add("\"\\\x00", "\xff", "ServiceBusAuthorization", "secret", "a", "\xed\xa0\x80")
	f.Add("", "", "a", "1", "A", "2")
	f.Fuzz(func(t *testing.T, address, id, name1, value1, name2, value2 string) {
		message, err := AppendAccept(nil, address, id,
			[]HeaderField{{name1, value1}, {name2, value2}}, netip.AddrPort{})
		if err != nil {
			if len(address)+len(id)+len(name1+value1+name2+value2) < MaxAcceptMessage/6-200 {
				t.Fatalf("short, but %v", err)
			}
			return
		}
		var got accept
		if err := json.Unmarshal(message, &got); err != nil || !utf8.Valid(message) ||
			len(message) > MaxAcceptMessage {
			t.Fatalf("%q: %v", message, err)
		}
		if utf8.ValidString(address) && got.Accept.Address != address {
			t.Fatalf("address %q, want %q", got.Accept.Address, address)
		}
		for name := range got.Accept.ConnectHeaders {
			if ascii.EqualFold(name, HeaderToken) {
				t.Fatalf("the token is visible in %q", message)
			}
		}
	})
}

func FuzzParseListenerMessage(f *testing.F) {
	for _, seed := range []string{
		`{"renewToken":{"token":"SharedAccessSignature sr=a&sig=b&se=1&skn=n"}}`,
		`{"response":{"requestId":"r","statusCode":"200","responseHeaders":{"x":[1]},"body":true}}`,
		`{"injectFault":{"delay":"00:01:00"}}`, `{"renewToken":null}`, `{"a":{}}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := ParseListenerMessage(p)
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(p, &object) == nil && object != nil
		if isObject != (err == nil) {
			t.Fatalf("object %v, but %v", isObject, err)
		}
		if err != nil && err != RefusalMessageInvalid {
			t.Fatal(err)
		}
		if m.Response != nil && !json.Valid(m.Response) || CleanPhrase(m.Name) != m.Name {
			t.Fatalf("got %+v", m)
		}
	})
}
