package gatewaystore

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

func TestMemory(t *testing.T) {
	reg := func(entity, id string) Registration { return Registration{7, entity, id} }
	type step struct {
		do   string // + announce, - withdraw
		reg  Registration
		want []Registration // Of the entity, afterwards.
	}
	var m Memory
	for i, s := range []step{
		{"-", reg("e", "1"), nil},
		{"+", reg("e", "1"), []Registration{reg("e", "1")}},
		{"+", reg("e", "2"), []Registration{reg("e", "1"), reg("e", "2")}},
		{"+", reg("f", "1"), []Registration{reg("f", "1")}},
		{"+", reg("e", "1"), []Registration{reg("e", "1"), reg("e", "2"), reg("e", "1")}},
		{"-", reg("e", "3"), []Registration{reg("e", "1"), reg("e", "2"), reg("e", "1")}},
		{"-", Registration{8, "e", "1"},
			[]Registration{reg("e", "1"), reg("e", "2"), reg("e", "1")}},
		{"-", reg("e", "1"), []Registration{reg("e", "2"), reg("e", "1")}},
		{"-", reg("e", "1"), []Registration{reg("e", "2")}},
		{"-", reg("e", "2"), nil},
		{"-", reg("f", "1"), nil},
		{"+", reg("e", ""), []Registration{reg("e", "")}},
		{"-", reg("e", ""), nil},
	} {
		if s.do == "+" {
			m.Announce(s.reg)
		} else {
			m.Withdraw(s.reg)
		}
		if got := m.Lookup(nil, s.reg.Entity); !slices.Equal(got, s.want) {
			t.Fatalf("step %d: %v, want %v", i, got, s.want)
		}
	}
	if len(m.byEntity) != 0 {
		t.Errorf("entities without registrations stay: %v", m.byEntity)
	}
}

func TestLookupAppendsACopy(t *testing.T) {
	var m Memory
	m.Announce(Registration{Gateway: 1, Entity: "e"})
	got := m.Lookup([]Registration{{Gateway: 9}}, "e")
	if len(got) != 2 || got[0].Gateway != 9 {
		t.Fatalf("Lookup = %v", got)
	}
	got[1].Gateway = 5
	if again := m.Lookup(nil, "e"); again[0].Gateway != 1 {
		t.Error("a caller reached into the store")
	}
}

func TestConcurrentUse(t *testing.T) {
	var m Memory
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				r := Registration{Gateway: g, Entity: fmt.Sprint(i % 5)}
				m.Announce(r)
				if !slices.Contains(m.Lookup(nil, r.Entity), r) {
					t.Error("announced, but not found")
				}
				m.Withdraw(r)
			}
		})
	}
	wg.Wait()
	if len(m.byEntity) != 0 {
		t.Errorf("left: %v", m.byEntity)
	}
}
