//go:build !race

package namespace

import (
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/sas"
)

// TestHotCallsDoNotAllocate: what every handshake of a known client does.
func TestHotCallsDoNotAllocate(t *testing.T) {
	other := Definition{Name: "other", Hosts: []string{"other.example"}}
	snap := newSnapshot(t, testDefinition(), other)
	n := snap.Lookup(host)
	e, _ := n.Find("hyco")
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 100})
	token := sas.Sign("http://"+host+"/hyco", "root", "root-key", now)
	long := "hyco/" + strings.Repeat("x/", 1000)
	for name, call := range map[string]func(){
		"Lookup":            func() { snap.Lookup("Contoso.Example:443") },
		"Find":              func() { n.Find("hyco/Nested/suffix") },
		"Find, long suffix": func() { n.Find(long) },
		"Authorize, hit": func() {
			if _, err := a.Authorize(n, "Hyco/x", e, token, sas.Listen, now); err != nil {
				t.Error(err)
			}
		},
		"Authorize, no token": func() {
			_, _ = a.Authorize(n, "hyco", e, "", sas.Listen, now)
		},
	} {
		if allocs := testing.AllocsPerRun(1000, call); allocs != 0 {
			t.Errorf("%s: %v allocs", name, allocs)
		}
	}
}
