package budget

import "testing"

func TestBytes(t *testing.T) {
	b := Bytes{Max: 10}
	for _, step := range []struct {
		take int64
		ok   bool
		used int64
	}{{4, true, 4}, {7, false, 4}, {6, true, 10}, {1, false, 10}, {0, true, 10}} {
		if ok := b.Take(step.take); ok != step.ok || b.Used() != step.used {
			t.Errorf("Take(%d) = %v, %d used; want %v, %d", step.take, ok, b.Used(), step.ok, step.used)
		}
	}
	b.Give(10)
	if b.Used() != 0 || !b.Take(10) {
		t.Errorf("%d used after all was given back", b.Used())
	}
}
