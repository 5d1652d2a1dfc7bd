package relayclient

import (
	"math/rand/v2"
	"time"
)

// backoff gives the waits between attempts: they double, from least to most,
// and up to a half is taken off at random, so that listeners that were cut
// together do not come back together.
type backoff struct {
	least, most time.Duration
	last        time.Duration // before the half; 0 at the start
}

func (b *backoff) next() time.Duration {
	b.last = min(max(b.least, 2*b.last), b.most)
	return b.last - rand.N(b.last/2+1)
}

func (b *backoff) reset() { b.last = 0 }
