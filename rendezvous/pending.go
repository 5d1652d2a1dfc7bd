package rendezvous

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/cpu"
)

// none is the end of a list of slots.
const none int32 = -1

// pendingShard keeps its pending rendezvous in slots that are reused, linked
// in the order of reservation: the first to expire is the head of the list.
type pendingShard[P any] struct {
	// Guarded by mu.
	mu         sync.Mutex
	slots      map[ID]int32
	entries    []pending[P]
	head, tail int32 // In use, oldest first.
	free       int32 // Unused, linked by next.

	_ cpu.CacheLinePad
}

type pending[P any] struct {
	id         ID
	party      P
	deadline   time.Time
	prev, next int32
}

// pendingShard selects by the id itself, which is as random as any hash of it.
func (t *Table[L, P]) pendingShard(id ID) *pendingShard[P] {
	return &t.pending[binary.LittleEndian.Uint64(id[:])&t.mask]
}

// Reserve stores a sender that waits for its rendezvous connection and returns
// the id under which it can be claimed within the window from now.
//
//	Bound:  Config.PendingMax in all, expired ones included until Expire or
//	        Drop takes them.
//	Errors: ErrPendingFull.
func (t *Table[L, P]) Reserve(party P, now time.Time) (ID, error) {
	if t.pendingCount.Add(1) > t.pendingMax {
		t.pendingCount.Add(-1)
		return ID{}, ErrPendingFull
	}
	for {
		id := t.newID()
		if t.pendingShard(id).add(id, party, now.Add(t.window)) {
			return id, nil
		}
	}
}

// Claim takes the sender out of the table and returns it to the one caller
// that may pair it. An expired sender is left for Expire.
//
//	Errors: ErrUnknown, the same for an id that is unknown, used or expired.
//	Cost:   0 allocs.
func (t *Table[L, P]) Claim(id ID, now time.Time) (P, error) {
	p, ok := t.pendingShard(id).take(id, now)
	if !ok {
		return p, ErrUnknown
	}
	t.pendingCount.Add(-1)
	return p, nil
}

// Drop takes the sender out of the table, expired or not, because it left or
// was refused. It reports false when Claim, Expire or Drop was first.
//
//	Cost: 0 allocs.
func (t *Table[L, P]) Drop(id ID) (P, bool) {
	p, ok := t.pendingShard(id).take(id, time.Time{})
	if ok {
		t.pendingCount.Add(-1)
	}
	return p, ok
}

// Expire takes at most limit senders out of the table whose window is over,
// and returns them. A result of limit entries means that there may be more.
//
// A shard is looked at from its oldest reservation to the first one that is
// still valid. Callers whose clocks differ make entries wait that difference
// longer to be returned; Claim is exact.
//
//	Cost: O(shards + returned); 0 allocs when nothing has expired.
func (t *Table[L, P]) Expire(now time.Time, limit int) []P {
	var expired []P
	for i := range t.pending {
		if len(expired) >= limit {
			break
		}
		before := len(expired)
		expired = t.pending[i].expire(expired, now, limit)
		t.pendingCount.Add(int64(before - len(expired)))
	}
	return expired
}

// Pending returns how many senders wait.
func (t *Table[L, P]) Pending() int { return int(t.pendingCount.Load()) }

// RangePending calls f for at most limit senders that wait, with the end of
// their window, in no order. It is a view for operators, as Range is, and does
// not give away ids. f may call the table.
func (t *Table[L, P]) RangePending(limit int, f func(party P, deadline time.Time)) {
	var rows []pending[P]
	for i := range t.pending {
		rows = rows[:0]
		s := &t.pending[i]
		s.mu.Lock()
		for at := s.head; at != none && len(rows) < limit; at = s.entries[at].next {
			rows = append(rows, s.entries[at])
		}
		s.mu.Unlock()
		for _, r := range rows {
			f(r.party, r.deadline)
		}
		limit -= len(rows)
	}
}

// add reports false when the id is in use.
func (s *pendingShard[P]) add(id ID, party P, deadline time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.slots[id]; used {
		return false
	}
	slot := s.free
	if slot == none {
		slot = int32(len(s.entries))
		s.entries = append(s.entries, pending[P]{})
	} else {
		s.free = s.entries[slot].next
	}
	s.entries[slot] = pending[P]{
		id: id, party: party, deadline: deadline, prev: s.tail, next: none,
	}
	if s.tail == none {
		s.head = slot
	} else {
		s.entries[s.tail].next = slot
	}
	s.tail = slot
	s.slots[id] = slot
	return true
}

// take removes and returns an entry that is valid at the given time. The zero
// time is before every deadline.
func (s *pendingShard[P]) take(id ID, now time.Time) (party P, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, ok := s.slots[id]
	if !ok || !now.Before(s.entries[slot].deadline) {
		return party, false
	}
	return s.remove(slot), true
}

func (s *pendingShard[P]) expire(dst []P, now time.Time, limit int) []P {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(dst) < limit && s.head != none && !now.Before(s.entries[s.head].deadline) {
		dst = append(dst, s.remove(s.head))
	}
	return dst
}

// remove unlinks a slot that is in use and frees it. The caller holds mu.
func (s *pendingShard[P]) remove(slot int32) P {
	e := &s.entries[slot]
	if e.prev == none {
		s.head = e.next
	} else {
		s.entries[e.prev].next = e.next
	}
	if e.next == none {
		s.tail = e.prev
	} else {
		s.entries[e.next].prev = e.prev
	}
	party := e.party
	delete(s.slots, e.id)
	*e = pending[P]{next: s.free}
	s.free = slot
	return party
}
