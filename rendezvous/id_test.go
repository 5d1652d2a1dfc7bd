package rendezvous

import (
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"00000000000000000000000000000000", true},
		{"0123456789abcdef0123456789abcdef", true},
		{"ffffffffffffffffffffffffffffffff", true},
		{"", false},
		{"0123456789abcdef0123456789abcde", false},
		{"0123456789abcdef0123456789abcdef0", false},
		{"0123456789ABCDEF0123456789ABCDEF", false},
		{"0123456789abcdef0123456789abcdeg", false},
		{"0123456789abcdef 123456789abcdef", false},
		{"01234567-89abcdef-0123456789abcd", false},
		{strings.Repeat("é", 16), false},
	} {
		id, ok := ParseID(c.text)
		if ok != c.ok {
			t.Errorf("ParseID(%q) ok = %v, want %v", c.text, ok, c.ok)
		}
		if ok && id.String() != c.text {
			t.Errorf("ParseID(%q).String() = %q", c.text, id)
		}
		if !ok && id != (ID{}) {
			t.Errorf("ParseID(%q) = %v beside false", c.text, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef")
	f.Add("0123456789ABCDEF0123456789ABCDEF")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ParseID(s); ok && id.String() != s {
			t.Fatalf("%q reads as %v", s, id)
		}
	})
}
