package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A HoldSize says how many relays b10 holds, and how.
type HoldSize struct {
	// Relays in all, over so many gateway processes. Each of them has a
	// driver process of its own: a relay takes two descriptors in either.
	Relays, Gateways int
	// Step is how many relays are added at a time; memory is read in between.
	Step int
	// Rest is how long all relays are idle before each of them echoes.
	Rest time.Duration
	// MemoryFloor ends the build-up, in order, before less than so many bytes
	// of the machine's memory are available; 0 means DefaultMemoryFloor.
	MemoryFloor uint64
}

const (
	// DefaultMemoryFloor leaves the kernel and others room to work in, in bytes.
	DefaultMemoryFloor = 3 << 30
	// DefaultRest is long enough for what happens once to have happened.
	DefaultRest = 10 * time.Second
)

const (
	// relayMemory is what one relay may cost the whole machine, in bytes: four
	// sockets, the gateway's and the driver's state. Measured: about 24 KiB.
	relayMemory = 40 << 10
	// holdAtOnce is how many set-ups each driver process has under way.
	holdAtOnce = 32
	// reportMax is how long a driver process may be busy with one order.
	reportMax = 10 * time.Minute
)

// or fills in what h leaves open.
func (h HoldSize) or(d HoldSize) HoldSize {
	if h.Relays == 0 {
		h.Relays = d.Relays
	}
	if h.Gateways == 0 {
		h.Gateways = d.Gateways
	}
	if h.Step == 0 {
		h.Step = min(d.Step, h.Relays)
	}
	if h.Rest == 0 {
		h.Rest = d.Rest
	}
	if h.MemoryFloor == 0 {
		h.MemoryFloor = DefaultMemoryFloor
	}
	return h
}

// check refuses what the descriptor limit does not allow.
func (h HoldSize) check() error {
	if h.Relays < 1 || h.Gateways < 1 || h.Step < 1 || h.Gateways > sourceNets {
		return fmt.Errorf("hold %d relays with %d gateways in steps of %d: want all above zero "+
			"and at most %d gateways", h.Relays, h.Gateways, h.Step, sourceNets)
	}
	most := (int(descriptorLimit()) - descriptorsSpare) / 2
	if each := (h.Relays + h.Gateways - 1) / h.Gateways; each > most {
		return fmt.Errorf("hold %d relays with %d gateways: %d each, but %d descriptors allow "+
			"%d; take %d gateways", h.Relays, h.Gateways, each, descriptorLimit(), most,
			(h.Relays+most-1)/most)
	}
	return nil
}

// A holding is many relays over many processes.
type holding struct {
	t        *trial
	size     HoldSize
	gateways []*gateway
	drivers  []*remoteDriver
	pids     processes
	held     int
	points   []holdPoint
}

// A holdPoint is what the machine uses while it holds so many relays, in bytes.
type holdPoint struct {
	relays                            int
	user, heap, slab, buffers, driver float64
}

// runHold builds up relays in steps, lets them rest, and makes all of them echo.
func runHold(t *trial) error {
	switch {
	case len(t.opt.Drive) == 0:
		return &unfit{"there is no command for driver processes"}
	case t.target.secure():
		return &unfit{"driver processes have no TLS"}
	}
	h := &holding{t: t, size: t.size.hold}
	if err := h.size.check(); err != nil {
		return err
	}
	dropped, err := droppedPackets()
	if err != nil {
		return err
	}
	defer h.stop()
	if err := h.start(); err != nil {
		return err
	}
	begun := time.Now()
	if err := h.buildUp(); err != nil {
		return err
	}
	took := time.Since(begun)
	cpu, err := h.rest()
	if err != nil {
		return err
	}
	echoed, swept, err := h.sweep()
	if err != nil {
		return err
	}
	h.report(took, cpu, echoed, swept)
	after, err := droppedPackets()
	t.fact("dropped packets", "", float64(after-dropped))
	if after > dropped {
		t.note("the kernel dropped packets on loopback, because a core's queue was full " +
			"(net.core.netdev_max_backlog): failures may be due to that")
	}
	return err
}

// start begins the gateways, one after the other, and a driver for each.
func (h *holding) start() error {
	for i := range h.size.Gateways {
		g, err := h.t.target.start(h.t.ctx, startOptions{})
		if err != nil {
			return fmt.Errorf("gateway %d: %w", i, err)
		}
		h.gateways, h.pids = append(h.gateways, g), append(h.pids, g.pids...)
		d, err := startDriver(h.t.ctx, h.t.opt.Drive, h.t.site(g), i)
		if err != nil {
			return fmt.Errorf("driver %d: %w", i, err)
		}
		h.drivers = append(h.drivers, d)
	}
	return nil
}

// stop ends all processes. A gateway that does not end well is a failure.
func (h *holding) stop() {
	for _, d := range h.drivers {
		if err := d.stop(); err != nil {
			h.t.failures.add(fmt.Errorf("driver: %w", err))
		}
	}
	for _, g := range h.gateways {
		if err := g.stop(); err != nil {
			h.t.failures.add(err)
		}
	}
}

// buildUp adds relays step by step, as long as there is memory.
func (h *holding) buildUp() error {
	if err := h.measure(0); err != nil {
		return err
	}
	for wanted := 0; wanted < h.size.Relays; {
		step := min(h.size.Step, h.size.Relays-wanted)
		available, err := availableMemory()
		if err != nil {
			return err
		}
		if available < h.size.MemoryFloor+uint64(step)*relayMemory {
			h.t.note("stopped at %d of %d relays: %.1f GiB of memory available", h.held,
				h.size.Relays, float64(available)/(1<<30))
			break
		}
		begun, n := time.Now(), len(h.drivers)
		held, err := h.order(func(i int) order {
			return order{Open: (wanted+step)*(i+1)/n - (wanted+step)*i/n -
				(wanted*(i+1)/n - wanted*i/n)}
		}, func(r report) int { return r.Held })
		if err != nil {
			return err
		}
		wanted += step
		h.held = held
		if err := h.measure(time.Since(begun)); err != nil {
			return err
		}
	}
	if h.held == 0 {
		return errors.New("no relay could be held")
	}
	return nil
}

// order gives every driver its order and adds up what they report.
func (h *holding) order(of func(driver int) order, part func(report) int) (sum int, err error) {
	for i, d := range h.drivers {
		if err := d.tell(of(i)); err != nil {
			return 0, fmt.Errorf("driver %d: %w", i, err)
		}
	}
	for i, d := range h.drivers {
		r, err := d.hear(h.t.ctx, &h.t.failures)
		if err != nil {
			return 0, fmt.Errorf("driver %d: %w", i, err)
		}
		sum += part(r)
	}
	return sum, nil
}

// measure reads the memory of the machine and of the processes; took is how long
// the last step has taken.
func (h *holding) measure(took time.Duration) error {
	p := holdPoint{relays: h.held}
	user, err := h.pids.userMemory()
	if err != nil {
		return err
	}
	slab, err := slab()
	if err != nil {
		return err
	}
	buffers, sockets, err := socketMemory()
	if err != nil {
		return err
	}
	available, err := availableMemory()
	if err != nil {
		return err
	}
	var drivers processes
	for _, d := range h.drivers {
		drivers = append(drivers, d.child.pid())
	}
	driver, err := drivers.userMemory()
	if err != nil {
		return err
	}
	p.user, p.slab, p.buffers, p.driver = float64(user), float64(slab), float64(buffers),
		float64(driver)
	for _, g := range h.gateways {
		p.heap += g.metric(h.t.ctx, "go_memstats_heap_inuse_bytes")
	}
	h.points = append(h.points, p)
	if h.t.opt.Progress != nil {
		_, _ = fmt.Fprintf(h.t.opt.Progress, "%-9s %-8s %7d relays, %7d sockets, step %5.1f s, "+
			"gateways %.0f MiB, slab %.0f MiB, available %.1f GiB, failures %d\n", "b10",
			h.t.target.Name, p.relays, sockets, took.Seconds(), p.user/mib, p.slab/mib,
			float64(available)/(1<<30), h.t.failures.count())
	}
	return nil
}

// rest leaves all relays alone and returns the share of a core that the gateways
// used meanwhile.
func (h *holding) rest() (float64, error) {
	before, err := h.pids.cpuTime()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	select {
	case <-time.After(h.size.Rest):
	case <-h.t.ctx.Done():
		return 0, h.t.ctx.Err()
	}
	after, err := h.pids.cpuTime()
	return float64(after-before) / float64(time.Since(begun)), err
}

// sweep makes one round trip over every relay.
func (h *holding) sweep() (echoed int, took time.Duration, err error) {
	begun := time.Now()
	echoed, err = h.order(func(int) order { return order{Sweep: true} },
		func(r report) int { return r.Echoed })
	if err == nil && echoed < h.held {
		h.t.failures.addText("a relay did not echo after the rest", h.held-echoed)
	}
	return echoed, time.Since(begun), err
}

// report turns the points into figures: slopes, and the points themselves.
func (h *holding) report(took time.Duration, cpu float64, echoed int, swept time.Duration) {
	t := h.t
	points := h.points // without the empty process, when there are enough
	if len(points) > 2 {
		points = points[1:]
	}
	slope := func(of func(holdPoint) float64) float64 {
		var x, y []float64
		for _, p := range points {
			x, y = append(x, float64(p.relays)), append(y, of(p))
		}
		slope, _ := fitLine(x, y)
		return slope
	}
	t.rate("relays held", "", float64(h.held))
	t.rate("relays echoed", "", float64(echoed))
	t.fact("gateways", "", float64(len(h.gateways)))
	t.cost("set-up", "s", took.Seconds())
	t.cost("sweep", "s", swept.Seconds())
	t.cost("cpu at rest", "% of a core", 100*cpu)
	t.cost("user per relay", "KiB", slope(func(p holdPoint) float64 { return p.user })/kib)
	if h.points[0].heap > 0 {
		t.cost("heap per relay", "KiB", slope(func(p holdPoint) float64 { return p.heap })/kib)
	}
	t.fact("slab per relay", "KiB", slope(func(p holdPoint) float64 { return p.slab })/kib)
	t.fact("socket buffers per relay", "KiB",
		slope(func(p holdPoint) float64 { return p.buffers })/kib)
	t.fact("driver per relay", "KiB", slope(func(p holdPoint) float64 { return p.driver })/kib)
	for _, p := range h.points[1:] {
		t.cost(names(p.relays)+"user", "MiB", p.user/mib)
	}
}

// metric asks a gateway for one of its metrics; 0 when it has none of that name.
func (g *gateway) metric(ctx context.Context, name string) float64 {
	if g.admin == "" {
		return 0
	}
	body, err := g.metrics(ctx)
	if err != nil {
		return 0
	}
	return sumMetric(body, name)
}
