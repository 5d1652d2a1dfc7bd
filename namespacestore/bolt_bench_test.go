package namespacestore

import (
	"fmt"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// many is a namespace of n entities with two rules each.
func many(n int) []namespace.Change {
	rules := []namespace.Rule{
		{Name: "listen", Rights: sas.Listen, PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()},
		{Name: "send", Rights: sas.Send, PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()},
	}
	changes := []namespace.Change{namespace.PutNamespace(namespace.Definition{Name: "many"})}
	for i := range n {
		changes = append(changes, namespace.PutEntity("many", namespace.Entity{
			Name: fmt.Sprintf("site-%05d/api", i), RequiresClientAuthorization: true, Rules: rules,
		}))
	}
	return changes
}

// BenchmarkOpen is the start of a node: 10,000 entities with two rules each.
func BenchmarkOpen(b *testing.B) {
	for _, sealed := range []string{"plain", "sealed"} {
		b.Run(sealed, func(b *testing.B) {
			o := options(b)
			if sealed == "sealed" {
				o.MasterKey = masterKey(b, "0123456789abcdef0123456789abcdef")
			}
			store := open(b, o)
			put(b, store, many(10_000)...)
			store.Close()
			for b.Loop() {
				o.Current = new(namespace.Store)
				store, err := OpenBolt(o)
				if err != nil {
					b.Fatal(err)
				}
				store.Close()
			}
		})
	}
}

// BenchmarkUpdate changes one of 1 or 10,000 entities, with a sync to disk.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := open(b, options(b))
			put(b, store, many(n)...)
			i := 0
			for b.Loop() {
				i++
				put(b, store, namespace.PutEntity("many", namespace.Entity{
					Name: "site-00000/api", ListenersMax: i % 100,
				}))
			}
		})
	}
}
