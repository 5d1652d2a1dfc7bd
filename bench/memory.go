package bench

import (
	"fmt"
	"slices"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	// descriptorsSpare is how many descriptors a process keeps for other
	// purposes when relays fill the rest.
	descriptorsSpare = 300
	// trafficSize is what every relay carries each way before memory is
	// read again.
	trafficSize = 64 << 10
)

// withinLimit cuts points to what the descriptor limit allows beside so many
// other relays: a relay takes two descriptors here and two in the gateway, or
// more in a process that stands in front of it.
func (t *trial) withinLimit(points []int, others int) []int {
	most := (int(descriptorLimit())-descriptorsSpare)/t.target.relayDescriptors() - others
	var fit []int
	for _, p := range points {
		if p = min(p, most); !slices.Contains(fit, p) {
			fit = append(fit, p)
		}
	}
	return fit
}

// A memoryPoint is what a fresh process with so many relays uses, in bytes.
type memoryPoint struct {
	relays              int
	user, after, kernel float64
}

// runMemory measures the memory of relays in fresh processes, one per point.
func runMemory(t *trial, relays []int, traffic bool) error {
	var points []memoryPoint
	for _, n := range t.withinLimit(relays, 0) {
		p, err := memoryAt(t, n, traffic)
		if err != nil {
			return fmt.Errorf("%d relays: %w", n, err)
		}
		points = append(points, p)
	}
	column := func(of func(memoryPoint) float64) (slope, intercept float64) {
		var x, y []float64
		for _, p := range points {
			x, y = append(x, float64(p.relays)), append(y, of(p))
		}
		return fitLine(x, y)
	}
	user, intercept := column(func(p memoryPoint) float64 { return p.user })
	kernel, _ := column(func(p memoryPoint) float64 { return p.kernel })
	t.cost("user per relay", "KiB", user/kib)
	t.fact("intercept", "MiB", intercept/mib)
	t.fact("kernel per relay", "KiB", kernel/kib)
	for _, p := range points {
		t.cost(names(p.relays)+"user", "MiB", p.user/mib)
	}
	if !traffic {
		return nil
	}
	after, _ := column(func(p memoryPoint) float64 { return p.after })
	t.cost("after traffic per relay", "KiB", after/kib)
	if user > 0 {
		t.cost("after/idle", "", after/user)
	}
	for _, p := range points {
		t.cost(names(p.relays)+"after", "MiB", p.after/mib)
	}
	return nil
}

func memoryAt(t *trial, n int, traffic bool) (p memoryPoint, err error) {
	p.relays = n
	g, err := t.target.start(t.ctx, startOptions{})
	if err != nil {
		return p, err
	}
	defer func() {
		if stopErr := g.stop(); stopErr != nil {
			t.failures.add(stopErr)
		}
	}()
	before, err := slab()
	if err != nil {
		return p, err
	}
	d, err := t.driverAt(g)
	if err != nil {
		return p, err
	}
	defer d.close()
	e := newEcho(trafficSize)
	pairs, err := d.openPairs(n, openAtOnce, e)
	if err != nil {
		return p, err
	}
	p.relays = len(pairs)
	if p.user, err = settled(t, d, g); err != nil {
		return p, err
	}
	after, err := slab()
	if err != nil {
		return p, err
	}
	p.kernel = float64(after) - float64(before)
	if traffic {
		if err := carry(d, e, pairs); err != nil {
			return p, err
		}
		p.after, err = settled(t, d, g)
	}
	return p, err
}

// settled waits for the memory to settle and reads it.
func settled(t *trial, d *driver, g *gateway) (float64, error) {
	if err := d.runFor(t.size.settle); err != nil {
		return 0, err
	}
	n, err := g.pids.userMemory()
	return float64(n), err
}

// carry makes one round trip over every pair that stands, some pairs at a time,
// for as long as any of them makes progress.
func carry(d *driver, e *echo, pairs []*pair) error {
	next, begun, failed := 0, e.trips, d.failed
	ended := func() int { return int(e.trips-begun) + d.failed - failed }
	done := func() bool { return next == len(pairs) && outstanding(pairs) == 0 }
	for !done() {
		before := ended()
		ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
			for under := next - ended(); under < openAtOnce && next < len(pairs); next++ {
				if p := pairs[next]; !p.failed {
					e.ask(p, time.Now())
					under++
				}
			}
			return ended() > before || done()
		})
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("traffic: %d of %d relays echoed, then none for %v", e.trips-begun,
				len(pairs), stallMax)
		}
	}
	return nil
}

// fitLine fits y = slope*x + intercept by least squares. One point gives a
// line through the origin.
func fitLine(x, y []float64) (slope, intercept float64) {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
		sxx, sxy = sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	det := n*sxx - sx*sx
	switch {
	case det != 0:
		slope = (n*sxy - sx*sy) / det
		return slope, (sy - slope*sx) / n
	case sxx != 0:
		return sxy / sxx, 0
	}
	return 0, 0
}
