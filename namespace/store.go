package namespace

import (
	"sync"
	"sync/atomic"
)

// Store holds the current snapshot. The zero Store holds nil, the empty one.
type Store struct {
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // serializes Swap
	onChange []func(previous, next *Snapshot)
}

// Load returns the current snapshot. It takes no lock.
func (s *Store) Load() *Snapshot { return s.current.Load() }

// OnChange has f called after every later Swap, in the order of subscription,
// on the goroutine that swaps. f must not call Swap or OnChange.
func (s *Store) OnChange(f func(previous, next *Snapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = append(s.onChange, f)
}

// Swap makes next the current snapshot and returns when all subscribers have
// been told. Swaps happen one after the other. A snapshot that was made from
// definitions learns from the one before what is gone; nobody may use it before.
func (s *Store) Swap(next *Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next.remember(s.current.Load())
	previous := s.current.Swap(next)
	for _, f := range s.onChange {
		f(previous, next)
	}
}
