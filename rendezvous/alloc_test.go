//go:build !race

package rendezvous

import (
	"runtime"
	"testing"
	"time"
)

// TestHotCallsDoNotAllocate: what runs for every connection request costs no
// garbage. The map of a steady table does not grow, so Reserve is among them.
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
		"Reserve and Claim": func() {
			id, _ := table.Reserve(1, epoch)
			_, _ = table.Claim(id, epoch)
		},
		"Reserve and Drop": func() {
			id, _ := table.Reserve(1, epoch)
			table.Drop(id)
		},
		"Claim unknown": func() { _, _ = table.Claim(ID{1}, epoch) },
		"Drop unknown":  func() { table.Drop(ID{1}) },
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

// TestChurnDoesNotGrow: the memory of a table is a small multiple of what the
// most senders that waited at one time need, however many come and go. The map
// makes room for deleted keys now and then: 0.7 MB here, where a table that
// kept what is gone would take 50.
func TestChurnDoesNotGrow(t *testing.T) {
	const waiting, rounds, bytesMax = 1000, 1_000_000, 4 << 20
	table := newTable(Config{Shards: 1})
	ids := make([]ID, waiting)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range rounds {
		at := i % waiting
		if i%2 == 0 {
			table.Drop(ids[at])
		} else {
			_, _ = table.Claim(ids[at], epoch)
		}
		ids[at], _ = table.Reserve(i, epoch)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > bytesMax {
		t.Errorf("%d bytes allocated for %d senders at a time", n, waiting)
	}
	if n := len(table.pending[0].senders); n != waiting || table.Pending() != waiting {
		t.Errorf("%d stored, %d pending, want %d", n, table.Pending(), waiting)
	}
}
