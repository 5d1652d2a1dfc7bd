package rendezvous

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/cpu"
)

type pendingShard[P any] struct {
	// Guarded by mu.
	mu      sync.Mutex
	senders map[ID]pending[P]

	_ cpu.CacheLinePad
}

type pending[P any] struct {
	party    P
	deadline time.Time // zero for none
}

func (p *pending[P]) expired(now time.Time) bool {
	return !p.deadline.IsZero() && !now.Before(p.deadline)
}

// pendingShard selects by the id itself, which is as random as any hash of it.
func (t *Table[L, P]) pendingShard(id ID) *pendingShard[P] {
	return &t.pending[binary.LittleEndian.Uint64(id[:])&t.mask]
}

// Reserve stores a sender that waits for its rendezvous connection and returns
// the id under which it can be claimed within the window from now. Nothing
// removes it when the window is over: the caller keeps that time and calls
// Drop, whatever becomes of the sender.
//
//	Bound:  Config.PendingMax in all, expired ones included until Drop takes
//	        them.
//	Errors: ErrPendingFull.
func (t *Table[L, P]) Reserve(party P, now time.Time) (ID, error) {
	if t.pendingCount.Add(1) > t.pendingMax {
		t.pendingCount.Add(-1)
		return ID{}, ErrPendingFull
	}
	return t.store(pending[P]{party, now.Add(t.window)}), nil
}

// Hold is Reserve without a window: the id can be claimed until Drop. An
// HTTP request's rendezvous address is valid until its response is complete.
//
//	Bound:  Config.PendingMax, as for Reserve.
//	Errors: ErrPendingFull.
func (t *Table[L, P]) Hold(party P) (ID, error) {
	if t.pendingCount.Add(1) > t.pendingMax {
		t.pendingCount.Add(-1)
		return ID{}, ErrPendingFull
	}
	return t.store(pending[P]{party: party}), nil
}

// store finds a free id.
func (t *Table[L, P]) store(p pending[P]) ID {
	for {
		if id := t.newID(); t.pendingShard(id).add(id, p) {
			return id
		}
	}
}

// Find returns what Claim would and leaves it there, for a caller that has to
// know who waits before it claims. An id never stands for two parties.
//
//	Errors: ErrUnknown, as Claim.
func (t *Table[L, P]) Find(id ID, now time.Time) (P, error) {
	s := t.pendingShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.senders[id]
	if !ok || p.expired(now) {
		var none P
		return none, ErrUnknown
	}
	return p.party, nil
}

// Claim takes the sender out of the table and returns it to the one caller
// that may pair it. An expired sender is left for Drop.
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

// Drop takes the sender out of the table, expired or not, because it left, was
// refused or has waited long enough. It reports false when Claim or Drop was
// first.
//
//	Cost: 0 allocs.
func (t *Table[L, P]) Drop(id ID) (P, bool) {
	p, ok := t.pendingShard(id).take(id, time.Time{})
	if ok {
		t.pendingCount.Add(-1)
	}
	return p, ok
}

// Pending returns how many senders wait.
func (t *Table[L, P]) Pending() int { return int(t.pendingCount.Load()) }

// RangePending calls f for at most limit senders that wait, with the end of
// their window or the zero time, in no order. It is a view for operators, as
// Range is, and does not give away ids. f may call the table.
func (t *Table[L, P]) RangePending(limit int, f func(party P, deadline time.Time)) {
	var rows []pending[P]
	for i := range t.pending {
		if limit <= 0 {
			return
		}
		rows = t.pending[i].appendTo(rows[:0], limit)
		for _, r := range rows {
			f(r.party, r.deadline)
		}
		limit -= len(rows)
	}
}

// add reports false when the id is in use.
func (s *pendingShard[P]) add(id ID, p pending[P]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.senders[id]; used {
		return false
	}
	s.senders[id] = p
	return true
}

// take removes and returns a sender that is valid at the given time. The zero
// time is before every deadline.
func (s *pendingShard[P]) take(id ID, now time.Time) (party P, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.senders[id]
	if !ok || p.expired(now) {
		return party, false
	}
	delete(s.senders, id)
	return p.party, true
}

// appendTo copies at most limit senders, limit > 0, behind rows.
func (s *pendingShard[P]) appendTo(rows []pending[P], limit int) []pending[P] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.senders {
		rows = append(rows, p)
		if len(rows) == limit {
			break
		}
	}
	return rows
}
