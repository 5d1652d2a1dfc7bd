//go:build !race

package rendezvous

import (
	"testing"
	"time"
)

// TestHotCallsDoNotAllocate: what runs for every connection request costs no
// garbage. A steady table reuses its slots, so Reserve is among them.
func TestHotCallsDoNotAllocate(t *testing.T) {
	table := newTable(Config{Shards: 1})
	for _, name := range []string{"a", "b", "c"} {
		_, _, _ = table.Register("ns/e", name, 25, name)
	}
	ids := make([]ID, 0, 1001)
	skip := func(l string) bool { return l == "a" }
	for name, f := range map[string]func(){
		"Pick":           func() { _, _ = table.Pick("ns/e", Filter{}, nil) },
		"Pick with skip": func() { _, _ = table.Pick("ns/e", Filter{}, skip) },
		"Listeners":      func() { table.Listeners("ns/e") },
		"Expire nothing": func() { table.Expire(epoch, 100) },
		"Reserve and Claim": func() {
			id, _ := table.Reserve(1, epoch)
			_, _ = table.Claim(id, epoch)
		},
		"Reserve and Drop": func() {
			id, _ := table.Reserve(1, epoch)
			table.Drop(id)
		},
		"Claim unknown": func() { _, _ = table.Claim(ID{1}, epoch) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocs", name, n)
		}
	}
	for range cap(ids) {
		id, _ := table.Reserve(1, epoch.Add(time.Minute))
		ids = append(ids, id)
	}
	claimLast := func() {
		_, _ = table.Claim(ids[len(ids)-1], epoch)
		ids = ids[:len(ids)-1]
	}
	if n := testing.AllocsPerRun(1000, claimLast); n != 0 || table.Pending() != 0 {
		t.Errorf("Claim: %v allocs, %d left", n, table.Pending())
	}
}
