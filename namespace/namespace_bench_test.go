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

// BenchmarkHandshakeCheck is all that a handshake asks this package for: the
// namespace, the entity and the check of a new token, among few entities and
// among many, with two rules each.
func BenchmarkHandshakeCheck(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		rules := []Rule{
			testRule("listen", sas.Listen, sas.NewKey()), testRule("send", sas.Send, sas.NewKey()),
		}
		list := make([]Entity, n)
		for i := range list {
			list[i] = Entity{Name: fmt.Sprintf("site-%05d/api", i), RequiresClientAuthorization: true,
				Rules: rules}
		}
		snap := newSnapshot(b, Definition{Name: "n", Hosts: []string{host}, HybridConnections: list},
			Definition{Name: "other", Hosts: []string{"other.example"}})
		path := fmt.Sprintf("site-%05d/api", n/2)
		token := sas.Sign("http://"+host+"/"+path, "send", rules[1].PrimaryKey, now)
		for _, cached := range []int{0, 100} {
			a := NewAuthorizer(AuthorizerConfig{Skew: time.Minute, CacheMax: cached})
			b.Run(fmt.Sprintf("entities=%d/cached=%v", n, cached > 0), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ns := snap.Resolve(host, path, token)
					e, _ := ns.Find(path)
					if _, err := a.Authorize(ns, path, e, token, sas.Send, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
