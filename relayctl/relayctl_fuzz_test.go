package relayctl

import (
	"slices"
	"strings"
	"testing"
)

// FuzzFoldWords: no word is lost, and what follows -- stays.
func FuzzFoldWords(f *testing.F) {
	f.Add("rule create r --rights Listen Send --hyco a")
	f.Add("hyco create a -c false -- --rights x")
	f.Add("hyco create -c")
	f.Fuzz(func(t *testing.T, line string) {
		root := (&app{Surroundings: Surroundings{Env: func(string) string { return "" }}}).root()
		args := strings.Split(line, " ")
		folded := foldWords(root, slices.Clone(args))
		text := strings.Join(folded, " ")
		for _, word := range args {
			name := strings.TrimLeft(word, "-")
			if name != "c" && name != "t" && !strings.Contains(text, name) {
				t.Errorf("%q: %q is lost: %q", line, word, text)
			}
		}
		if i := slices.Index(args, "--"); i >= 0 && len(folded) < len(args)-i {
			t.Errorf("%q: %q", line, folded)
		}
	})
}

// FuzzParseIPRules: what is taken has an address and a known action.
func FuzzParseIPRules(f *testing.F) {
	f.Add("10.0.0.0/8 ip-mask=::1 action=Deny")
	f.Add("[{ip-mask:2001:db8::/32,action:Allow}]")
	f.Add(`[{"ipMask":"10.0.0.1"}]`)
	f.Fuzz(func(t *testing.T, line string) {
		rules, err := parseIPRules(strings.Split(line, " "))
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Mask == "" || r.Action != "Allow" && r.Action != "Deny" {
				t.Errorf("%q: %v", line, r)
			}
		}
	})
}
