package ascii

import "testing"

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"sb-HC-Id", "SB-hc-iD", true}, {"a", "b", false}, {"a", "ab", false},
		{"@", "`", false}, {"[", "{", false}, {"k", "\u212a", false}, {"\xc9", "\xe9", false},
	} {
		if EqualFold(c.a, c.b) != c.want || EqualFold(c.b, c.a) != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, !c.want)
		}
	}
}
