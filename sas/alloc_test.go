//go:build !race

package sas

import "testing"

// TestCoversDoesNotAllocate: it runs on every hit of a token cache.
func TestCoversDoesNotAllocate(t *testing.T) {
	a, err := ParseAudience("http://h/Hyco/")
	if err != nil {
		t.Fatal(err)
	}
	want := "h"
	isHost := func(host string) bool { return host == want }
	if n := testing.AllocsPerRun(1000, func() {
		if !a.Covers(isHost, "hYCO/sub/path") {
			t.Error("not covered")
		}
	}); n != 0 {
		t.Errorf("%v allocs", n)
	}
}
