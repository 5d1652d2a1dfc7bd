package rendezvous

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// epoch is when the tests begin; no test reads the clock.
var epoch = time.Unix(1_700_000_000, 0)

func newTable(c Config) *Table[string, int] { return New[string, int](c) }

func TestNewFillsAndCutsConfig(t *testing.T) {
	for _, c := range []struct{ shards, want int }{
		{-1, DefaultShards}, {0, DefaultShards}, {1, 1}, {2, 2}, {3, 4}, {64, 64},
		{ShardsMax, ShardsMax}, {ShardsMax + 1, ShardsMax}, {math.MaxInt, ShardsMax},
	} {
		if got := len(newTable(Config{Shards: c.shards}).pending); got != c.want {
			t.Errorf("%d shards became %d, want %d", c.shards, got, c.want)
		}
	}
}

func TestRegister(t *testing.T) {
	type step struct {
		do       string // + register, - unregister
		id       string
		party    string
		replaced string
		err      error
		ok       bool
		left     int
	}
	for name, steps := range map[string][]step{
		"quota": {
			{do: "+", id: "1", party: "a", left: 1},
			{do: "+", id: "2", party: "b", left: 2},
			{do: "+", id: "3", party: "c", err: ErrListenerQuota, left: 2},
			{do: "-", id: "1", party: "a", ok: true, left: 1},
			{do: "+", id: "3", party: "c", left: 2},
		},
		"same id replaces, also at the quota": {
			{do: "+", id: "1", party: "a", left: 1},
			{do: "+", id: "2", party: "b", left: 2},
			{do: "+", id: "1", party: "c", replaced: "a", left: 2},
			{do: "-", id: "1", party: "a", left: 2},
			{do: "-", id: "1", party: "c", ok: true, left: 1},
		},
		"same id in other case replaces": {
			{do: "+", id: "AB-1", party: "a", left: 1},
			{do: "+", id: "ab-1", party: "b", replaced: "a", left: 1},
		},
		"empty id never replaces": {
			{do: "+", party: "a", left: 1},
			{do: "+", party: "b", left: 2},
			{do: "-", party: "a", ok: true, left: 1},
			{do: "-", party: "a", left: 1},
			{do: "-", party: "b", ok: true, left: 0},
			{do: "-", party: "b", left: 0},
		},
		"wrong id does not unregister": {
			{do: "+", id: "1", party: "a", left: 1},
			{do: "-", id: "2", party: "a", left: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(Config{})
			for i, s := range steps {
				if s.do == "+" {
					replaced, was, err := table.Register("ns/e", s.id, 2, s.party)
					if replaced != s.replaced || was != (s.replaced != "") || err != s.err {
						t.Fatalf("step %d: %q, %v, %v", i, replaced, was, err)
					}
				} else if ok := table.Unregister("ns/e", s.id, s.party); ok != s.ok {
					t.Fatalf("step %d: Unregister = %v", i, ok)
				}
				if n := table.Listeners("ns/e"); n != s.left || table.ListenersAll() != n {
					t.Fatalf("step %d: %d listeners, want %d", i, n, s.left)
				}
			}
		})
	}
}

func TestRegisterWithoutQuotaLeavesNothing(t *testing.T) {
	table := newTable(Config{Shards: 1})
	if _, _, err := table.Register("e", "1", 0, "a"); !errors.Is(err, ErrListenerQuota) {
		t.Fatal(err)
	}
	if n := len(table.listeners[0].entities); n != 0 {
		t.Fatalf("%d entities without a listener", n)
	}
}

func TestPick(t *testing.T) {
	except := func(names ...string) func(string) bool {
		return func(l string) bool { return slices.Contains(names, l) }
	}
	for name, c := range map[string]struct {
		entity string
		filter Filter
		skip   func(string) bool
		want   string // Every listener that may come out, all of which must.
		err    error
	}{
		"unknown entity":     {entity: "f", err: ErrNoListeners},
		"entity keys differ": {entity: "E", err: ErrNoListeners},
		"all":                {entity: "e", want: "abc"},
		"allowed":            {entity: "e", filter: Filter{Allowed: []string{"1"}}, want: "a"},
		"allowed, other case": {
			entity: "e", filter: Filter{Allowed: []string{"xY", "zz"}}, want: "c",
		},
		"disallowed": {entity: "e", filter: Filter{Disallowed: []string{"1"}}, want: "bc"},
		"disallowed, other case": {
			entity: "e", filter: Filter{Disallowed: []string{"xy"}}, want: "ab",
		},
		"disallowed wins": {
			entity: "e", want: "b",
			filter: Filter{Allowed: []string{"1", "2"}, Disallowed: []string{"1"}},
		},
		"none allowed": {
			entity: "e", filter: Filter{Allowed: []string{"4"}}, err: ErrNoneMatches,
		},
		"all disallowed": {
			entity: "e", err: ErrNoneMatches,
			filter: Filter{Disallowed: []string{"1", "2", "XY"}},
		},
		"skip":     {entity: "e", skip: except("a"), want: "bc"},
		"skip two": {entity: "e", skip: except("a", "c"), want: "b"},
		"skip all": {entity: "e", skip: except("a", "b", "c"), err: ErrNoListeners},
		"skip the only allowed": {
			entity: "e", filter: Filter{Allowed: []string{"2"}}, skip: except("b"),
			err: ErrNoListeners,
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(Config{})
			for id, party := range map[string]string{"1": "a", "2": "b", "Xy": "c"} {
				if _, _, err := table.Register("e", id, 25, party); err != nil {
					t.Fatal(err)
				}
			}
			seen := map[string]bool{}
			for range 200 { // A listener stays unseen with chance (2/3)^200.
				l, err := table.Pick(c.entity, c.filter, c.skip)
				if err != c.err {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				if err == nil && !strings.Contains(c.want, l) || err != nil && l != "" {
					t.Fatalf("picked %q, want one of %q", l, c.want)
				}
				seen[l] = true
			}
			if c.err == nil && len(seen) != len(c.want) {
				t.Errorf("only %v of %q came out", seen, c.want)
			}
		})
	}
}

// TestPickIsUniform compares the counts of many draws with the same chance for
// each candidate, through every path of Pick. The bound of chi-squared is the
// one that a fair choice passes but once in a million runs.
func TestPickIsUniform(t *testing.T) {
	const listeners, draws = 10, 100_000
	odd := func(l string) bool { return l[0]%2 == 1 }
	var half []string
	for i := range listeners / 2 {
		half = append(half, string(rune('A'+i)))
	}
	for name, c := range map[string]struct {
		random     func() uint64
		filter     Filter
		skip       func(string) bool
		candidates int
		bound      float64
	}{
		"plain":    {candidates: 10, bound: 46.7},
		"skip":     {skip: odd, candidates: 5, bound: 33.4},
		"filter":   {filter: Filter{Allowed: half}, candidates: 5, bound: 33.4},
		"seeded":   {random: seeded(1), candidates: 10, bound: 46.7},
		"seeded 5": {random: seeded(2), skip: odd, candidates: 5, bound: 33.4},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(Config{Random: c.random})
			for i := range listeners {
				name := string(rune('a' + i))
				if _, _, err := table.Register("e", name, 25, name); err != nil {
					t.Fatal(err)
				}
			}
			counts := map[string]int{}
			for range draws {
				l, err := table.Pick("e", c.filter, c.skip)
				if err != nil {
					t.Fatal(err)
				}
				counts[l]++
			}
			if len(counts) != c.candidates {
				t.Fatalf("%d candidates, want %d", len(counts), c.candidates)
			}
			expected, chi2 := float64(draws)/float64(c.candidates), 0.0
			for _, n := range counts {
				chi2 += (float64(n) - expected) * (float64(n) - expected) / expected
			}
			if chi2 > c.bound {
				t.Errorf("chi-squared %.1f over %.1f: %v", chi2, c.bound, counts)
			}
		})
	}
}

func TestEachAndRange(t *testing.T) {
	table := newTable(Config{Shards: 4})
	for i := range 30 {
		key := fmt.Sprint("e", i%10)
		if _, _, err := table.Register(key, fmt.Sprint(i), 25, fmt.Sprint("l", i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	table.Each("e3", func(id, party string) {
		got = append(got, id+party)
		table.Unregister("e3", id, party) // The table may be called.
	})
	slices.Sort(got)
	if !slices.Equal(got, []string{"13l13", "23l23", "3l3"}) {
		t.Errorf("Each gave %v", got)
	}
	table.Each("nowhere", func(string, string) { t.Error("Each of an unknown entity") })
	for _, c := range []struct{ limit, want int }{
		{-1, 0}, {0, 0}, {1, 1}, {26, 26}, {27, 27}, {1000, 27},
	} {
		seen := map[string]bool{}
		table.Range(c.limit, func(key, id, party string) {
			if table.Listeners(key) != 3 {
				t.Errorf("Range gave %q", key)
			}
			seen[id] = true
		})
		if len(seen) != c.want {
			t.Errorf("Range(%d) gave %d", c.limit, len(seen))
		}
	}
}

func TestPendingWindow(t *testing.T) {
	const window = 30 * time.Second
	for name, c := range map[string]struct {
		after time.Duration
		valid bool
	}{
		"at once":      {0, true},
		"clock behind": {-time.Second, true},
		"last moment":  {window - 1, true},
		"over":         {window, false},
		"long over":    {window + time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(Config{Window: window})
			id, err := table.Reserve(7, epoch)
			if err != nil {
				t.Fatal(err)
			}
			p, err := table.Claim(id, epoch.Add(c.after))
			if c.valid && (p != 7 || err != nil) || !c.valid && err != ErrUnknown {
				t.Fatalf("Claim = %v, %v", p, err)
			}
			if _, err := table.Claim(id, epoch); c.valid && err != ErrUnknown {
				t.Fatalf("second Claim: %v", err)
			}
		})
	}
}

// TestExpiredStaysForDrop: a late accept is refused, again and again, and the
// sender still gets its answer from the one that drops it.
func TestExpiredStaysForDrop(t *testing.T) {
	table := newTable(Config{Window: time.Second})
	id, _ := table.Reserve(7, epoch)
	late := epoch.Add(time.Second)
	for range 2 {
		if _, err := table.Claim(id, late); err != ErrUnknown || table.Pending() != 1 {
			t.Fatalf("late Claim: %v, %d pending", err, table.Pending())
		}
	}
	if p, ok := table.Drop(id); !ok || p != 7 {
		t.Fatalf("Drop = %v, %v", p, ok)
	}
	if p, ok := table.Drop(id); ok || p != 0 || table.Pending() != 0 {
		t.Fatalf("dropped twice: %v, %d pending", p, table.Pending())
	}
	if _, err := table.Claim(id, epoch); err != ErrUnknown {
		t.Fatalf("Claim after Drop: %v", err)
	}
}

// TestReserveDrawsAgain: an id that is in use is not given out twice, and the
// sender that has it stays.
func TestReserveDrawsAgain(t *testing.T) {
	var draws []uint64
	table := newTable(Config{Random: func() uint64 {
		d := draws[0]
		draws = draws[1:]
		return d
	}})
	draws = []uint64{1, 2, 1, 2, 1, 3}
	first, _ := table.Reserve(1, epoch)
	second, err := table.Reserve(2, epoch)
	if err != nil || first == second || table.Pending() != 2 {
		t.Fatalf("%v, %v, %v, %d pending", first, second, err, table.Pending())
	}
	for i, id := range []ID{first, second} {
		if p, err := table.Claim(id, epoch); err != nil || p != i+1 {
			t.Errorf("Claim = %v, %v, want %d", p, err, i+1)
		}
	}
}

func TestPendingMax(t *testing.T) {
	table := newTable(Config{PendingMax: 3})
	var ids []ID
	for i := range 3 {
		id, err := table.Reserve(i, epoch)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := table.Reserve(3, epoch); err != ErrPendingFull {
		t.Fatalf("fourth: %v", err)
	}
	table.Drop(ids[1])
	if _, err := table.Reserve(4, epoch); err != nil {
		t.Fatalf("after Drop: %v", err)
	}
	if _, err := table.Claim(ids[0], epoch); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Reserve(5, epoch); err != nil {
		t.Fatalf("after Claim: %v", err)
	}
	// Those whose window is over count until they are dropped.
	if _, err := table.Reserve(6, epoch.Add(time.Hour)); err != ErrPendingFull {
		t.Fatalf("with expired ones: %v", err)
	}
	table.Drop(ids[2])
	if _, err := table.Reserve(7, epoch.Add(time.Hour)); err != nil || table.Pending() != 3 {
		t.Fatalf("after Drop of an expired one: %v, %d pending", err, table.Pending())
	}
}

func TestRangePending(t *testing.T) {
	table := newTable(Config{Shards: 4, Window: time.Minute})
	for i := range 20 {
		id, err := table.Reserve(i, epoch)
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			table.Drop(id)
		}
	}
	for _, c := range []struct{ limit, want int }{
		{-1, 0}, {0, 0}, {1, 1}, {14, 14}, {15, 15}, {1000, 15},
	} {
		seen := map[int]bool{}
		table.RangePending(c.limit, func(party int, deadline time.Time) {
			if party%4 == 0 || !deadline.Equal(epoch.Add(time.Minute)) {
				t.Errorf("RangePending gave %d, %v", party, deadline)
			}
			seen[party] = true
			table.Pending() // The table may be called.
		})
		if len(seen) != c.want {
			t.Errorf("RangePending(%d) gave %d", c.limit, len(seen))
		}
	}
}
