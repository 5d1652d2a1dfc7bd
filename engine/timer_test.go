package engine

import (
	"math/rand/v2"
	"testing"
)

// The wheel against a plain list: random sets, moves and clears; everything
// fires at its tick, once.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		conns := make([]*Conn, 40)
		want := map[*Conn]uint32{}
		for i := range conns {
			conns[i] = &Conn{}
		}
		for step := 0; step < 3000; step++ {
			c := conns[r.IntN(len(conns))]
			switch r.IntN(5) {
			case 0:
				w.clear(c)
				delete(want, c)
			case 1, 2:
				d := w.now + 1 + uint32(r.IntN([]int{5, 600, 3000}[r.IntN(3)]))
				w.set(c, d)
				want[c] = d
			default:
				to := w.now + uint32(r.IntN(20))
				w.advance(to, func(c *Conn) {
					if want[c] != w.now {
						t.Fatalf("seed %d: fired at %d, wanted %d", seed, w.now, want[c])
					}
					delete(want, c)
					if r.IntN(3) == 0 { // arming and clearing others from fire
						o := conns[r.IntN(len(conns))]
						w.clear(o)
						delete(want, o)
						d := w.now + 1 + uint32(r.IntN(2*wheelSlots))
						w.set(c, d)
						want[c] = d
					}
				})
				for c, d := range want {
					if d <= w.now {
						t.Fatalf("seed %d: missed at %d (in wheel %v)", seed, d, c.inWheel)
					}
				}
			}
		}
	}
}

func BenchmarkWheelSet(b *testing.B) {
	var w wheel
	c := &Conn{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.set(c, uint32(i%400)+1)
	}
}
