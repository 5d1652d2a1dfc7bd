package rendezvous

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func seeded(seed uint64) func() uint64 { return rand.New(rand.NewPCG(seed, 0)).Uint64 }

// model is the table as one would write it without regard to cost.
type model struct {
	listeners map[string]map[string]string // entity → folded id → party
	pending   map[ID]modelPending
	max       int
	window    time.Duration
}

type modelPending struct {
	party    int
	deadline time.Time
}

// TestAgainstModel runs random operations against the table and the model and
// compares every answer. A failure prints the seed that repeats it.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { runModel(t, seed, 3000) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := model{map[string]map[string]string{}, map[ID]modelPending{}, 20, time.Second}
	table := newTable(Config{
		Shards: 1 << r.IntN(4), PendingMax: m.max, Window: m.window, Random: seeded(seed),
	})
	now, ids := epoch, []ID{{}}
	for step := range steps {
		now = now.Add(time.Duration(r.IntN(60)) * time.Millisecond)
		var err error
		switch op := r.IntN(9); op {
		case 0, 1, 2:
			err = m.listenerStep(table, r, op, step)
		case 3, 4:
			id, got := table.Reserve(step, now)
			if full := len(m.pending) >= m.max; full != (got == ErrPendingFull) {
				err = fmt.Errorf("Reserve = %v with %d pending", got, len(m.pending))
			} else if !full {
				m.pending[id] = modelPending{step, now.Add(m.window)}
				ids = append(ids, id)
			}
		case 5, 6:
			err = m.takeStep(table, ids[max(0, len(ids)-1-r.IntN(30))], now, op == 5)
		case 7:
			err = m.timeoutStep(table, now, 1+r.IntN(30))
		case 8:
			err = m.rangeStep(table, r.IntN(30))
		}
		if err == nil && table.Pending() != len(m.pending) {
			err = fmt.Errorf("%d pending, want %d", table.Pending(), len(m.pending))
		}
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, step, err)
		}
	}
}

func (m *model) listenerStep(
	table *Table[string, int], r *rand.Rand, op, step int,
) error {
	const listenersMax = 3
	entity := string(rune('a' + r.IntN(5)))
	id := string("pPqQrRsStT"[r.IntN(10)])
	folded, of := strings.ToLower(id), m.listeners[entity]
	switch op {
	case 0:
		party := fmt.Sprint("l", step)
		replaced, was, err := table.Register(entity, id, listenersMax, party+id)
		old, present := of[folded]
		if !present && len(of) == listenersMax {
			if err != ErrListenerQuota {
				return fmt.Errorf("Register over the quota: %v", err)
			}
			return nil
		}
		if err != nil || was != present || replaced != old {
			return fmt.Errorf("Register = %q, %v, %v; want %q", replaced, was, err, old)
		}
		if of == nil {
			of = map[string]string{}
			m.listeners[entity] = of
		}
		of[folded] = party + id
	case 1:
		party, present := of[folded]
		if present { // Sometimes under the id in the wrong case: not the same one.
			present = strings.HasSuffix(party, id)
		}
		if got := table.Unregister(entity, id, party); got != present {
			return fmt.Errorf("Unregister(%q, %q) = %v", entity, id, got)
		}
		if present {
			delete(of, folded)
		}
	case 2:
		f := Filter{Disallowed: []string{id}}
		want := maps.Clone(of)
		delete(want, folded)
		got, err := table.Pick(entity, f, nil)
		switch {
		case len(of) == 0 && err == ErrNoListeners:
		case len(of) > 0 && len(want) == 0 && err == ErrNoneMatches:
		case err == nil && slices.Contains(slices.Collect(maps.Values(want)), got):
		default:
			return fmt.Errorf("Pick = %q, %v; want one of %v", got, err, want)
		}
	}
	if n := table.Listeners(entity); n != len(m.listeners[entity]) {
		return fmt.Errorf("%d listeners, want %d", n, len(m.listeners[entity]))
	}
	return nil
}

func (m *model) takeStep(
	table *Table[string, int], id ID, now time.Time, claim bool,
) error {
	want, present := m.pending[id]
	var got int
	var ok bool
	if claim {
		present = present && now.Before(want.deadline)
		var err error
		got, err = table.Claim(id, now)
		ok = err == nil
	} else {
		got, ok = table.Drop(id)
	}
	if ok != present || ok && got != want.party {
		return fmt.Errorf("claim=%v: %d, %v; want %d, %v", claim, got, ok, want.party, present)
	}
	if ok {
		delete(m.pending, id)
	}
	return nil
}

// timeoutStep does what at most limit senders do whose window is over, the
// oldest first: a claim comes too late for them, and they drop themselves.
func (m *model) timeoutStep(table *Table[string, int], now time.Time, limit int) error {
	var due []ID
	for id, p := range m.pending {
		if !now.Before(p.deadline) {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b ID) int { return m.pending[a].party - m.pending[b].party })
	for _, id := range due[:min(limit, len(due))] {
		if err := m.takeStep(table, id, now, true); err != nil {
			return err
		}
		if err := m.takeStep(table, id, now, false); err != nil {
			return err
		}
	}
	return nil
}

// rangeStep compares the view with the model: each sender at most once, with
// its own deadline, expired or not, and as many as the limit allows.
func (m *model) rangeStep(table *Table[string, int], limit int) error {
	want := map[int]time.Time{}
	for _, p := range m.pending {
		want[p.party] = p.deadline
	}
	left := len(want) - min(limit, len(want))
	var err error
	table.RangePending(limit, func(party int, deadline time.Time) {
		if d, ok := want[party]; !ok || !d.Equal(deadline) {
			err = fmt.Errorf("RangePending gave %d, %v; want %v, %v", party, deadline, d, ok)
		}
		delete(want, party)
	})
	if err == nil && len(want) != left {
		err = fmt.Errorf("RangePending(%d) left out %d, want %d", limit, len(want), left)
	}
	return err
}

// TestExactlyOnce lets many goroutines claim, in time and late, and drop the
// same pending rendezvous while others look at them. Each must be handed out
// exactly once, and none to a late claim.
func TestExactlyOnce(t *testing.T) {
	const senders, takers = 2000, 16
	table := newTable(Config{Shards: 4, Window: time.Second})
	ids := make([]ID, senders)
	for i := range ids {
		var err error
		if ids[i], err = table.Reserve(i, epoch); err != nil {
			t.Fatal(err)
		}
	}
	var taken [senders]atomic.Int32
	var wg sync.WaitGroup
	for g := range takers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for _, i := range r.Perm(senders) {
				switch r.IntN(8) {
				case 0:
					if p, err := table.Claim(ids[i], epoch.Add(time.Second)); err == nil {
						t.Errorf("sender %d was claimed late", p)
					}
				case 1:
					table.RangePending(3, func(p int, deadline time.Time) {
						if !deadline.Equal(epoch.Add(time.Second)) {
							t.Errorf("sender %d: deadline %v", p, deadline)
						}
					})
				case 2, 3:
					if p, ok := table.Drop(ids[i]); ok {
						taken[p].Add(1)
					}
				default:
					if p, err := table.Claim(ids[i], epoch); err == nil {
						taken[p].Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids { // Whoever nobody wanted times out.
		if p, ok := table.Drop(id); ok {
			taken[p].Add(1)
		}
	}
	for i := range taken {
		if n := taken[i].Load(); n != 1 {
			t.Errorf("sender %d was handed out %d times", i, n)
		}
	}
	if table.Pending() != 0 {
		t.Errorf("%d left", table.Pending())
	}
}

// TestBoundsUnderConcurrency: neither bound is ever passed, and the counters
// return to zero.
func TestBoundsUnderConcurrency(t *testing.T) {
	const pendingMax, listenersMax, workers = 50, 5, 16
	table := newTable(Config{Shards: 2, PendingMax: pendingMax})
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			var held []ID
			name := fmt.Sprint("l", g)
			for i := range 1000 {
				if id, err := table.Reserve(i, epoch); err == nil {
					held = append(held, id)
				} else if len(held) > 0 {
					table.Drop(held[0])
					held = held[1:]
				}
				if n := table.Pending(); n > pendingMax+workers {
					t.Errorf("%d pending", n)
				}
				_, _, err := table.Register("e", name, listenersMax, name)
				if n := table.Listeners("e"); n > listenersMax {
					t.Errorf("%d listeners", n)
				}
				if _, pickErr := table.Pick("e", Filter{}, nil); err == nil && pickErr != nil {
					t.Error(pickErr)
				}
				if err == nil && !table.Unregister("e", name, name) {
					t.Error("registered, but not there")
				}
			}
			for _, id := range held {
				table.Drop(id)
			}
		})
	}
	wg.Wait()
	if table.Pending() != 0 || table.ListenersAll() != 0 {
		t.Errorf("%d pending, %d listeners left", table.Pending(), table.ListenersAll())
	}
}

// TestSeedRepeats: with Random set, two tables make the same choices.
func TestSeedRepeats(t *testing.T) {
	run := func() (log []string) {
		table := newTable(Config{Random: seeded(42)})
		for i := range 5 {
			id, _ := table.Reserve(i, epoch)
			log = append(log, id.String())
			_, _, _ = table.Register("e", "", 25, fmt.Sprint(i))
			l, _ := table.Pick("e", Filter{}, nil)
			log = append(log, l)
		}
		return log
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestIDsDiffer(t *testing.T) {
	table := newTable(Config{PendingMax: 1 << 20})
	ids := make([]string, 10_000)
	for i := range ids {
		id, err := table.Reserve(i, epoch)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id.String()
	}
	sort.Strings(ids)
	if n := len(slices.Compact(ids)); n != 10_000 {
		t.Errorf("only %d different ids", n)
	}
}
