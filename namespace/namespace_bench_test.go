package namespace

import (
	"fmt"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

func BenchmarkFind(b *testing.B) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("group/hyco%d", i))
	}
	n := newSnapshot(b, Definition{Name: "n", HybridConnections: entities(names...)}).Lookup("")
	b.ReportAllocs()
	for b.Loop() {
		if e, _ := n.Find("group/hyco500/some/suffix"); e == nil {
			b.Fatal("not found")
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	snap := newSnapshot(b, testDefinition())
	n := snap.Lookup(host)
	e, _ := n.Find("hyco")
	token := sas.Sign("http://"+host+"/hyco", "root", "root-key", now)
	bad := sas.Sign("http://"+host+"/hyco", "root", "wrong", now)
	for _, c := range []struct {
		name     string
		cacheMax int
		token    string
		granted  bool
	}{
		{"hit", 100, token, true},
		{"miss", 0, token, true},
		{"refused", 100, bad, false},
	} {
		a := NewAuthorizer(AuthorizerConfig{Skew: time.Minute, CacheMax: c.cacheMax})
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := a.Authorize(n, "hyco", e, c.token, sas.Listen, now)
				if (err == nil) != c.granted {
					b.Fatal(err)
				}
			}
		})
	}
}
