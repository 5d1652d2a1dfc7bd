package engine

import (
	"github.com/panjf2000/gnet/v2/pkg/pool/byteslice"

	"github.com/relayhouse/relayhouse/internal/invariants"
)

// poison is what a released block holds in builds that check invariants: a
// reader of it sees frames with reserved bits, which end its connection.
const poison = 0xDB

// sparesMax is the number of leftovers that a loop keeps for the next ones.
const sparesMax = 64

// spare returns a leftover that is not in use.
func (l *Loop) spare() *leftover {
	if n := len(l.spares); n > 0 {
		left := l.spares[n-1]
		l.spares = l.spares[:n-1]
		return left
	}
	return new(leftover)
}

// keep takes back a leftover of spare whose block has been released.
func (l *Loop) keep(left *leftover) {
	if left.block = nil; len(l.spares) < sparesMax {
		l.spares = append(l.spares, left)
	}
}

// acquire returns a block of n bytes from the pool; its capacity is the next
// power of two. The caller owns it until release.
func (l *Loop) acquire(n int) []byte {
	b := byteslice.Get(n)
	l.engine.held.Add(int64(cap(b)))
	l.counters.AddLeftover(int64(cap(b)))
	return b
}

// release gives a block of acquire back. b may be any slice of the block that
// starts where the block starts.
func (l *Loop) release(b []byte) {
	l.engine.held.Add(-int64(cap(b)))
	l.counters.AddLeftover(-int64(cap(b)))
	if invariants.Enabled {
		b = b[:cap(b)]
		for i := range b {
			b[i] = poison
		}
	}
	byteslice.Put(b)
}
