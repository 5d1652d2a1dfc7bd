package sas

import (
	"errors"
	"testing"
)

// TestParseAudience holds what each client signs (item 71; docs/protocol.md,
// section 6.4) and what it must become.
func TestParseAudience(t *testing.T) {
	const ns = "contoso.servicebus.windows.net"
	for _, c := range []struct{ name, raw, host, path string }{
		{".NET", "http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco%2F", ns, "hyco"},
		{".NET Framework", "http%3a%2f%2fcontoso.servicebus.windows.net%2fhyco%2f", ns, "hyco"},
		{"Node, URI", "http%3A%2F%2Fcontoso.servicebus.windows.net%3A443%2Fhyco", ns, "hyco"},
		{"Node, local", "http%3A%2F%2F127.0.0.1%3A8443%2Fhc1", "127.0.0.1", "hc1"},
		{"Node samples", "http%3A%2F%2Fcontoso.servicebus.windows.net", ns, ""},
		{"Java sender", "sb%3A%2F%2F127.0.0.1%3A8443", "127.0.0.1", ""},
		{"Java listener", "sb%3A%2F%2F127.0.0.1%3A8443%2Fhcj", "127.0.0.1", "hcj"},
		{"aztunnel", "https%3A%2F%2Flocalhost%3A8443%2Fazt", "localhost", "azt"},
		{"Python", "http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco", ns, "hyco"},
		{"not encoded", "http://contoso.servicebus.windows.net/hyco", ns, "hyco"},

		{"wss", "wss://h/a", "h", "a"},
		{"no scheme", "h:443/a", "h", "a"},
		{"host in capitals", "HTTP://H.Example/A", "h.example", "A"},
		{"dot at the end", "http://h.example./a", "h.example", "a"},
		{"user info", "http://u:p@h:1/a", "h", "a"},
		{"IPv6", "http://[::1]:8443/a", "::1", "a"},
		{"query", "http://h/a?x=/b", "h", "a"},
		{"query without path", "http://h?x", "h", ""},
		{"fragment", "http://h/a#b", "h", "a"},
		{"slash only", "http://h/", "h", ""},
		{"doubled slashes", "sb://h//a//b//", "h", "a/b"},
		{"$hc", "wss://h/$hc/a", "h", "a"},
		{"$HC escaped", "wss%3A%2F%2Fh%2F%2524HC%2Fa", "h", "a"},
		{"$hc once", "wss://h/$hc/$hc/a", "h", "$hc/a"},
		{"$hc alone", "wss://h/$hc", "h", ""},
		{"not $hc", "wss://h/$hca/b", "h", "$hca/b"},
		{"escape of the URI", "http%3A%2F%2Fh%2Fa%2520b", "h", "a b"},
		{"escaped mark in the path", "http%3A%2F%2Fh%2Fa%253Fb", "h", "a?b"},
		{"form blank", "http://h/a+b", "h", "a b"},
		{"percent in the path", "http%3A%2F%2Fh%2F100%25", "h", "100%"},
		{"scheme in the path", "h/a://b", "h", "a:/b"},
	} {
		a, err := ParseAudience(c.raw)
		if err != nil || a.Host != c.host || a.Path != c.path {
			t.Errorf("%s: got %+v, %v", c.name, a, err)
		}
	}
	for _, c := range []struct {
		raw  string
		want error
	}{
		{"", ErrAudience}, {"http://", ErrAudience}, {"http:///a", ErrAudience},
		{"http://:443/a", ErrAudience}, {"/a", ErrAudience}, {"http://u@/a", ErrAudience},
		{"http%3A%2F%2Fh%2", ErrEscape}, {"%zz", ErrEscape},
	} {
		a, err := ParseAudience(c.raw)
		if !errors.Is(err, c.want) || !errors.Is(err, ErrMalformed) || a != (Audience{}) {
			t.Errorf("%q: got %+v, %v, want %v", c.raw, a, err, c.want)
		}
	}
}

func TestCovers(t *testing.T) {
	isHost := func(host string) bool { return host == "h" }
	for _, c := range []struct {
		sr, path string
		want     bool
	}{
		{"http://h/", "a", true},
		{"http://h/", "", true},
		{"http://H:8443/a", "a", true},
		{"http://h/a", "A", true},
		{"http://h/A/", "a/b/c", true},
		{"http://h/a", "a/", true},
		{"http://h/a/b", "a/b", true},
		{"http://h/a/b/", "a/b/c", true},
		{"http://h/a//b", "a//b/c", true},
		{"http://h/a//b", "a/b", true},

		{"http://other/a", "a", false},
		{"http://h.other/a", "a", false},
		{"http://h/a", "ab", false},
		{"http://h/ab", "a", false},
		{"http://h/a", "b", false},
		{"http://h/a", "", false},
		{"http://h/a/b", "a", false},
		{"http://h/a/b", "a//b", false}, // another entity may lie there
		{"http://h/a/b", "a/bc", false},
		{"http://h/a", "/a", false},
		{"http://h/%FF", "\xfe", false},
		{"http://h/k", "\u212a", false}, // the Kelvin sign is no k
	} {
		a, err := ParseAudience(c.sr)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Covers(isHost, c.path); got != c.want {
			t.Errorf("%s covers %q: got %v", c.sr, c.path, got)
		}
	}
}

func TestHostName(t *testing.T) {
	for authority, want := range map[string]string{
		"": "", "h": "h", "H:443": "H", "h:": "h", "h.": "h", "h.:1": "h", "[::1]": "::1",
		"[::1]:443": "::1", "::1": "::1", "[::1": "::1", "u@h": "h", "u@v@h:1": "h", "@": "",
	} {
		if got := HostName(authority); got != want {
			t.Errorf("%q: got %q, want %q", authority, got, want)
		}
	}
}
