package rendezvous

import (
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/cpu"
)

type listenerShard[L comparable] struct {
	// Guarded by mu.
	mu       sync.RWMutex
	entities map[string]*entity[L] // An entity without listeners is absent.

	_ cpu.CacheLinePad
}

type entity[L comparable] struct {
	listeners []listener[L] // In no order.
}

type listener[L comparable] struct {
	id     string // As given.
	folded string // Lower case: what filters and replacement compare.
	party  L
}

// Filter narrows a choice to the listeners that a sender names in its
// Microsoft-Relay-AllowedListeners and -DisallowedListeners headers. Ids are
// compared without regard to case. An empty list does not restrict.
type Filter struct {
	Allowed    []string
	Disallowed []string
}

func (t *Table[L, P]) listenerShard(entityKey string) *listenerShard[L] {
	return &t.listeners[xxhash.Sum64String(entityKey)&t.mask]
}

// Register adds a listener to an entity. A listener with the same non-empty
// listenerID is replaced, whatever the number of listeners, and returned: its
// control channel is to be closed (docs/protocol.md, section 2.6).
//
//	Bound:  listenersMax listeners per entity.
//	Errors: ErrListenerQuota.
//	Cost:   O(listeners of the entity), for the comparison of ids.
func (t *Table[L, P]) Register(
	entityKey, listenerID string, listenersMax int, party L,
) (replaced L, wasReplaced bool, err error) {
	added := listener[L]{id: listenerID, folded: strings.ToLower(listenerID), party: party}
	s := t.listenerShard(entityKey)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[entityKey]
	if e != nil && listenerID != "" {
		same := func(l listener[L]) bool { return l.folded == added.folded }
		if i := slices.IndexFunc(e.listeners, same); i >= 0 {
			replaced = e.listeners[i].party
			e.listeners[i] = added
			return replaced, true, nil
		}
	}
	if e == nil {
		e = &entity[L]{}
	}
	if len(e.listeners) >= listenersMax {
		return replaced, false, ErrListenerQuota
	}
	e.listeners = append(e.listeners, added)
	s.entities[entityKey] = e
	t.listenerCount.Add(1)
	return replaced, false, nil
}

// Unregister removes the listener that registered with this id and handle. It
// reports false when there is none, as after a replacement: the successor
// stays.
func (t *Table[L, P]) Unregister(entityKey, listenerID string, party L) bool {
	s := t.listenerShard(entityKey)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[entityKey]
	if e == nil {
		return false
	}
	i := slices.IndexFunc(e.listeners, func(l listener[L]) bool {
		return l.party == party && l.id == listenerID
	})
	if i < 0 {
		return false
	}
	last := len(e.listeners) - 1
	e.listeners[i] = e.listeners[last]
	e.listeners[last] = listener[L]{}
	e.listeners = e.listeners[:last]
	if last == 0 {
		delete(s.entities, entityKey)
	}
	t.listenerCount.Add(-1)
	return true
}

// Pick chooses a listener of the entity, uniformly at random among those that
// pass the filter and that skip, which may be nil, does not exclude. A caller
// whose message could not be written skips that listener and picks again.
//
//	Owner:  skip runs with the shard locked and must not call the table.
//	Errors: ErrNoListeners, ErrNoneMatches.
//	Cost:   0 allocs without a filter. O(1) unless the first draw is
//	        excluded, then O(listeners of the entity).
//	Source: docs/protocol.md, section 2.6.
func (t *Table[L, P]) Pick(
	entityKey string, f Filter, skip func(L) bool,
) (party L, err error) {
	allowed, disallowed := fold(f.Allowed), fold(f.Disallowed)
	s := t.listenerShard(entityKey)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entities[entityKey]
	if e == nil {
		return party, ErrNoListeners
	}
	matches := func(l *listener[L]) bool {
		return (allowed == nil || allowed[l.folded]) && !disallowed[l.folded]
	}
	first := &e.listeners[t.intn(len(e.listeners))]
	if matches(first) && (skip == nil || !skip(first.party)) {
		return first.party, nil
	}
	// The n-th candidate takes the place of the chosen one with chance 1/n, so
	// that all have the same chance in one pass.
	candidates, err := 0, ErrNoneMatches
	for i := range e.listeners {
		l := &e.listeners[i]
		if !matches(l) {
			continue
		}
		if err != nil {
			err = ErrNoListeners
		}
		if skip != nil && skip(l.party) {
			continue
		}
		candidates++
		if t.intn(candidates) == 0 {
			party = l.party
		}
	}
	if candidates > 0 {
		err = nil
	}
	return party, err
}

// fold turns a list of ids into a set of their lower-case forms, so that a
// long filter on an entity with many listeners costs the sum of both, not the
// product. An empty list gives nil.
func fold(ids []string) map[string]bool {
	if len(ids) == 0 {
		return nil
	}
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[strings.ToLower(id)] = true
	}
	return set
}

// Listeners returns how many listeners the entity has.
func (t *Table[L, P]) Listeners(entityKey string) int {
	s := t.listenerShard(entityKey)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.entities[entityKey]; e != nil {
		return len(e.listeners)
	}
	return 0
}

// ListenersAll returns how many listeners all entities have together.
func (t *Table[L, P]) ListenersAll() int { return int(t.listenerCount.Load()) }

// Each calls f for the listeners that the entity has at the time of the call,
// in no order. f may call the table.
func (t *Table[L, P]) Each(entityKey string, f func(listenerID string, party L)) {
	s := t.listenerShard(entityKey)
	s.mu.RLock()
	var all []listener[L]
	if e := s.entities[entityKey]; e != nil {
		all = slices.Clone(e.listeners)
	}
	s.mu.RUnlock()
	for _, l := range all {
		f(l.id, l.party)
	}
}

// Range calls f for at most limit listeners of all entities, in no order. It
// is a view for operators: shards are copied one after the other, so it is not
// one moment of the whole table. f may call the table.
func (t *Table[L, P]) Range(limit int, f func(entityKey, listenerID string, party L)) {
	type row struct {
		entityKey string
		listener  listener[L]
	}
	var rows []row
	for i := range t.listeners {
		if limit <= 0 {
			return
		}
		rows = rows[:0]
		s := &t.listeners[i]
		s.mu.RLock()
		for key, e := range s.entities {
			for _, l := range e.listeners[:min(len(e.listeners), limit-len(rows))] {
				rows = append(rows, row{key, l})
			}
			if len(rows) == limit {
				break
			}
		}
		s.mu.RUnlock()
		for _, r := range rows {
			f(r.entityKey, r.listener.id, r.listener.party)
		}
		limit -= len(rows)
	}
}
