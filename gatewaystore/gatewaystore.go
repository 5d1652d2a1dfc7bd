package gatewaystore

import (
	"slices"
	"sync"
)

// Registration says that a gateway holds a listener of an entity. Equal values
// may be announced more than once, as listeners need no id of their own.
type Registration struct {
	// Gateway is the configured gateway.id, the n of the suffix _G{n}.
	Gateway int
	// Entity is the key of the entity, as the rendezvous table has it.
	Entity string
	// ListenerID is what the listener sent as sb-hc-id, or empty.
	ListenerID string
}

// Store is the record of all gateways together. Its methods may be called from
// any goroutine and never block on the network: an announcement reaches other
// gateways later, and Lookup answers from what has arrived.
type Store interface {
	// Announce adds one registration.
	Announce(Registration)
	// Withdraw removes one registration equal to the given one, if any.
	Withdraw(Registration)
	// Lookup appends the registrations of an entity to dst, in no order. A
	// result may be out of date; the gateway it names has the last word.
	Lookup(dst []Registration, entityKey string) []Registration
}

// Memory is the Store of one gateway that is alone. It is bounded by the
// listeners which that gateway admits. The zero value is ready for use.
type Memory struct {
	// Guarded by mu.
	mu       sync.RWMutex
	byEntity map[string][]Registration // An entity without any is absent.
}

var _ Store = (*Memory)(nil)

// Announce adds one registration.
func (m *Memory) Announce(r Registration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byEntity == nil {
		m.byEntity = make(map[string][]Registration)
	}
	m.byEntity[r.Entity] = append(m.byEntity[r.Entity], r)
}

// Withdraw removes one registration equal to r, if any.
func (m *Memory) Withdraw(r Registration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.byEntity[r.Entity]
	i := slices.Index(all, r)
	switch {
	case i < 0:
	case len(all) == 1:
		delete(m.byEntity, r.Entity)
	default:
		m.byEntity[r.Entity] = slices.Delete(all, i, i+1)
	}
}

// Lookup appends the registrations of an entity to dst.
func (m *Memory) Lookup(dst []Registration, entityKey string) []Registration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return append(dst, m.byEntity[entityKey]...)
}
