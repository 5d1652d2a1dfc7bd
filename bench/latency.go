package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// pingSize is the payload of one round trip in bytes.
	pingSize = 128
	// openAtOnce is how many relays are set up at a time when the set-up is
	// not what is measured.
	openAtOnce = 64
	// drainMax is how long replies may take after the load has ended.
	drainMax = 5 * time.Second
	// fairnessMax is what p99 of a ping beside blasting relays may be.
	fairnessMax = 50 * time.Millisecond
)

// names makes a prefix for figures of one size.
func names(n int) string { return fmt.Sprintf("%d: ", n) }

// runOnePair measures the round trip of one pair that has the gateway to
// itself. Its CPU cost shows what a single wake-up costs.
func runOnePair(t *trial) error {
	t.spin()
	return runClosedLoop(t, 1)
}

func runSaturated(t *trial) error { return runClosedLoop(t, t.size.pairs) }

func runClosedLoop(t *trial, n int) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	e.closed = true
	if _, err := d.openPairs(n, openAtOnce, e); err != nil {
		return err
	}
	if err := d.runFor(t.size.warmUp); err != nil {
		return err
	}
	e.reset()
	u, err := t.measure(t.gw, func() error { return d.runFor(t.size.window) })
	if err != nil {
		return err
	}
	t.latency("", &e.hist)
	t.cpuCost("cpu per round trip", "us", u, float64(e.trips), time.Microsecond)
	t.rate("round trips", "1/s", float64(e.trips)/u.elapsed.Seconds())
	return nil
}

// paced measures round trips at a fixed rate and reports them under names that
// begin with prefix.
func paced(t *trial, d *driver, e *echo, pairs []*pair, rate int, prefix string) (usage, error) {
	c := newPacer(e, pairs, rate)
	if err := c.run(d.loop, t.size.warmUp); err != nil {
		return usage{}, err
	}
	e.reset()
	u, err := t.measure(t.gw, func() error { return c.run(d.loop, t.size.window) })
	if err != nil {
		return u, err
	}
	trips := e.trips
	ok, err := d.runUntil(time.Now().Add(drainMax), func() bool { return outstanding(pairs) == 0 })
	if err != nil {
		return u, err
	}
	if !ok {
		t.failures.addText("a reply did not come", outstanding(pairs))
	}
	t.latency(prefix, &e.hist)
	t.cost(prefix+"p99.9", "us", micros(e.hist.Quantile(0.999)))
	t.cpuCost(prefix+"cpu per round trip", "us", u, float64(trips), time.Microsecond)
	return u, nil
}

// runPaced measures many pairs at moderate load.
func runPaced(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	pairs, err := d.openPairs(t.size.pairs, openAtOnce, e)
	if err != nil {
		return err
	}
	u, err := paced(t, d, e, pairs, t.size.rate, "")
	if err != nil {
		return err
	}
	t.fact("round trips", "1/s", float64(e.trips)/u.elapsed.Seconds())
	return nil
}

// runBesideIdle measures the same load beside more and more idle relays.
func runBesideIdle(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e, idle := newEcho(pingSize), newEcho(pingSize)
	pairs, err := d.openPairs(t.size.busy, openAtOnce, e)
	if err != nil {
		return err
	}
	held := 0
	for _, n := range t.withinLimit(t.size.idle, t.size.busy) {
		if _, err := d.openPairs(n-held, openAtOnce, idle); err != nil {
			return err
		}
		held = n
		if _, err := paced(t, d, e, pairs, t.size.busyRate, names(n)); err != nil {
			return err
		}
	}
	return nil
}

// runBesideHeap measures moderate load alone and beside many idle relays, and
// what the garbage collector of the gateway has to do with it.
func runBesideHeap(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e, idle := newEcho(pingSize), newEcho(pingSize)
	pairs, err := d.openPairs(t.size.pairs, openAtOnce, e)
	if err != nil {
		return err
	}
	if _, err := paced(t, d, e, pairs, t.size.rate, "alone "); err != nil {
		return err
	}
	alone := e.hist.Quantile(0.999)
	objects := t.gw.metric(t.ctx, "go_memstats_heap_objects")
	cycles := t.gw.metric(t.ctx, "go_gc_duration_seconds_count")
	n := t.withinLimit(t.size.idle[len(t.size.idle)-1:], t.size.pairs)[0]
	if _, err := d.openPairs(n, openAtOnce, idle); err != nil {
		return err
	}
	if _, err := paced(t, d, e, pairs, t.size.rate, "beside "); err != nil {
		return err
	}
	t.fact("idle relays", "", float64(n))
	if alone > 0 {
		t.cost("p99.9 beside/alone", "", float64(e.hist.Quantile(0.999))/float64(alone))
	}
	if objects == 0 {
		t.note("the target has no metrics of its heap")
		return nil
	}
	t.cost("heap objects per relay", "",
		(t.gw.metric(t.ctx, "go_memstats_heap_objects")-objects)/float64(n))
	t.cost("longest pause", "us", 1e6*t.gw.metric(t.ctx, `go_gc_duration_seconds{quantile="1"}`))
	t.fact("collections", "", t.gw.metric(t.ctx, "go_gc_duration_seconds_count")-cycles)
	return nil
}

// runFairness measures a ping alone, then beside three relays that send all
// they can. The blasting runs on a loop of its own, so that the driver does
// not delay its own ping more than it must.
func runFairness(t *trial) error {
	blast, s, blasting, err := openBlast(t)
	if err != nil {
		return err
	}
	defer blast.close()
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	e.closed = true
	if _, err := d.openPairs(1, 1, e); err != nil {
		return err
	}
	idle, err := pings(t, d, e)
	if err != nil {
		return err
	}
	t.latency("idle ", &idle)

	ctx, stop := context.WithCancel(t.ctx)
	defer stop()
	blast.ctx = ctx
	for _, p := range blasting {
		s.start(p)
	}
	finished := make(chan error, 1)
	go func() { finished <- blast.runFor(time.Hour) }()
	var beside Histogram
	u, err := t.measure(t.gw, func() (err error) {
		beside, err = pings(t, d, e)
		return err
	})
	stop()
	if blastErr := <-finished; !errors.Is(blastErr, context.Canceled) {
		t.failures.addf("blast ended early: %v", blastErr)
	}
	if err != nil {
		return err
	}
	t.latency("beside ", &beside)
	if idle.Quantile(0.99) > 0 {
		t.cost("p99 beside/idle", "", float64(beside.Quantile(0.99))/float64(idle.Quantile(0.99)))
	}
	t.fact("blast", "GB/s", float64(s.bytes)/1e9/u.elapsed.Seconds())
	t.bound(beside.Quantile(0.99) <= fairnessMax, "ping p99 beside blasting relays over %v",
		fairnessMax)
	t.bound(beside.Count() > 0, "no ping came back beside blasting relays")
	return nil
}

// blasters is how many relays the ping has to share its loop with.
const blasters = 3

// openBlast opens the blasting relays and gives up their control channel, so
// that the ping's accept message goes to the ping's own listener.
func openBlast(t *trial) (*driver, *stream, []*pair, error) {
	d, err := t.driver()
	if err != nil {
		return nil, nil, nil, err
	}
	s := newStream(toListener, 64<<10, 1)
	pairs, err := d.openPairs(blasters, blasters, s)
	if err == nil {
		err = d.unlisten()
	}
	if err != nil {
		d.close()
		return nil, nil, nil, err
	}
	return d, s, pairs, nil
}

// pings measures the closed loop that runs on d.
func pings(t *trial, d *driver, e *echo) (Histogram, error) {
	if err := d.runFor(t.size.warmUp); err != nil {
		return Histogram{}, err
	}
	e.reset()
	err := d.runFor(t.size.window)
	return e.hist, err
}
