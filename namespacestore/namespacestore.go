package namespacestore

import (
	"errors"
	"sync"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

// What Update returns beside the errors of its function and of
// namespace.Snapshot.Apply; errors.Is finds them.
var (
	// ErrReadOnly: the namespaces come from a file that only its owner changes.
	ErrReadOnly = errors.New("the namespaces are read-only")
	// ErrUnavailable: the change could not be written. Nothing has changed.
	ErrUnavailable = errors.New("the namespace store cannot be written")
	// ErrFull: the change would pass a limit of the store. Nothing has changed.
	ErrFull = errors.New("a limit of the namespace store is reached")
)

// Writer changes the namespaces of a node. Its methods may be called from any
// goroutine, but not from an event loop: they wait for the disk.
type Writer interface {
	// Update changes the namespaces. f sees the newest state and says what to
	// change; it runs on another goroutine, must not block and must not call
	// Update. Updates happen one after the other.
	//
	//	Errors: that of f, and then nothing has changed; those of
	//	        namespace.Snapshot.Apply; ErrReadOnly, ErrUnavailable, ErrFull.
	//	        Without an error the change is on disk and in force: the
	//	        snapshot that is returned, or a newer one, is the current.
	Update(f func(*namespace.Snapshot) ([]namespace.Change, error)) (*namespace.Snapshot, error)
}

// Limits bound what a store takes. 0 is no limit.
type Limits struct {
	NamespacesMax int
	EntitiesMax   int // of one namespace, of both kinds together
}

// check says whether next is within the limits; what was over them before may
// stay.
func (l Limits) check(previous, next *namespace.Snapshot) error {
	all := next.Namespaces()
	if l.NamespacesMax > 0 && len(all) > max(l.NamespacesMax, len(previous.Namespaces())) {
		return fullError("store.namespaces_max", l.NamespacesMax)
	}
	if l.EntitiesMax == 0 {
		return nil
	}
	for _, n := range all {
		before := 0
		if p := previous.Namespace(n.Name()); p != nil {
			before = p.Len()
		}
		if n.Len() > max(l.EntitiesMax, before) {
			return fullError("store.entities_max", l.EntitiesMax)
		}
	}
	return nil
}

// Memory is a Writer that keeps nothing beyond the process.
type Memory struct {
	// Fixed after NewMemory.
	current *namespace.Store
	limits  Limits

	mu sync.Mutex // one update at a time
}

// NewMemory returns a Writer for what current holds.
func NewMemory(current *namespace.Store, l Limits) *Memory {
	return &Memory{current: current, limits: l}
}

// Update implements Writer.
func (m *Memory) Update(
	f func(*namespace.Snapshot) ([]namespace.Change, error),
) (*namespace.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	previous := m.current.Load()
	_, next, err := plan(previous, f, m.limits)
	if err != nil || next == previous {
		return next, err
	}
	m.current.Swap(next)
	return next, nil
}

// plan runs f and applies what it says.
func plan(
	previous *namespace.Snapshot,
	f func(*namespace.Snapshot) ([]namespace.Change, error), l Limits,
) ([]namespace.Change, *namespace.Snapshot, error) {
	changes, err := f(previous)
	if err != nil || len(changes) == 0 {
		return nil, previous, err
	}
	next, err := previous.Apply(time.Now().UTC(), changes...)
	if err != nil {
		return nil, previous, err
	}
	if err := l.check(previous, next); err != nil {
		return nil, previous, err
	}
	return changes, next, nil
}

// ReadOnly is a Writer that refuses every change.
type ReadOnly struct{}

// Update implements Writer: ErrReadOnly.
func (ReadOnly) Update(
	func(*namespace.Snapshot) ([]namespace.Change, error),
) (*namespace.Snapshot, error) {
	return nil, ErrReadOnly
}
