package management

import (
	"fmt"
	"net/http"
	"testing"
)

const benchEntities = 10_000

// BenchmarkList reads all pages of a namespace with 10,000 hybrid connections.
func BenchmarkList(b *testing.B) {
	for _, top := range []int{pageDefault, pageMax} {
		b.Run(fmt.Sprintf("top=%d", top), func(b *testing.B) {
			f := newFixture(b).withContoso().withEntities(benchEntities)
			f.quiet = true
			path := at(fmt.Sprintf("%s/hybridConnections?$top=%d", contoso, top))
			b.ReportAllocs()
			for b.Loop() {
				if names, pages := f.all(path); len(names) != benchEntities ||
					pages != benchEntities/top {
					b.Fatalf("%d names on %d pages", len(names), pages)
				}
			}
		})
	}
}

// BenchmarkPut changes one of 10,000 hybrid connections.
func BenchmarkPut(b *testing.B) {
	f := newFixture(b).withContoso().withEntities(benchEntities)
	f.quiet = true
	b.ReportAllocs()
	for b.Loop() {
		f.want(200, http.MethodPut, at(contoso+"/hybridConnections/e5000"),
			`{"properties":{"userMetadata":"x"}}`)
	}
}

// BenchmarkGet reads one of 10,000 hybrid connections.
func BenchmarkGet(b *testing.B) {
	f := newFixture(b).withContoso().withEntities(benchEntities)
	f.quiet = true
	b.ReportAllocs()
	for b.Loop() {
		f.want(200, http.MethodGet, at(contoso+"/hybridConnections/e5000"), "")
	}
}
