package gateway

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTurn: turns come in order, each in its own part of the time.
func TestTurn(t *testing.T) {
	const n, over = 1000, 5 * time.Second
	last := time.Duration(-1)
	for i := range n {
		at := turn(i, n, over, rand.Float64())
		part := over / n
		if at <= last || at < part*time.Duration(i) || at >= part*time.Duration(i+1) {
			t.Errorf("turn %d at %v, behind %v", i, at, last)
		}
		last = at
	}
	if at := turn(0, 1, 0, 0.9); at != 0 {
		t.Errorf("over no time: %v", at)
	}
}
