package budget

import "sync/atomic"

// Bytes is a number of bytes out of which holders take their share. The zero
// value has none to give. All methods may be called from any goroutine.
type Bytes struct {
	Max  int64 // fixed before use
	used atomic.Int64
}

// Take takes n bytes, or reports false and takes nothing if fewer are left.
func (b *Bytes) Take(n int64) bool {
	if b.used.Add(n) > b.Max {
		b.used.Add(-n)
		return false
	}
	return true
}

// Give gives n bytes back.
func (b *Bytes) Give(n int64) { b.used.Add(-n) }

// Used is the number of bytes taken.
func (b *Bytes) Used() int64 { return b.used.Load() }
