package bench

import (
	"fmt"
	"time"
)

const (
	// sampleEvery is how often the memory of the gateway is read.
	sampleEvery = 50 * time.Millisecond
	// stuckGrowthOne and stuckGrowthMany bound how much gateway memory may
	// grow while receivers do not read, in bytes.
	stuckGrowthOne  = 16 << 20
	stuckGrowthMany = 64 << 20
	// stuckSize is the size of the messages.
	stuckSize = 64 << 10
)

// runStuck sends much to receivers that do not read for a while.
func runStuck(t *trial) error {
	if !t.pids().known() {
		t.note("process unknown: memory was not sampled")
	}
	for _, n := range []int{1, t.size.stuckPairs} {
		for _, dir := range []direction{toListener, toSender} {
			bytes, growthMax := t.size.stuckBytes, uint64(stuckGrowthOne)
			if n > 1 {
				bytes, growthMax = t.size.stuckEach, stuckGrowthMany
			}
			if err := runStuckPairs(t, n, dir, bytes, growthMax); err != nil {
				return fmt.Errorf("%d %v: %w", n, dir, err)
			}
		}
	}
	return nil
}

func runStuckPairs(t *trial, n int, dir direction, bytes, growthMax uint64) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	s := newStream(dir, stuckSize, 1)
	s.limit, s.stalled = bytes, true
	pairs, err := d.openPairs(n, openAtOnce, s)
	if err != nil {
		return err
	}
	memory := sampleMemory(t.pids())
	begun := time.Now()
	for _, p := range pairs {
		s.start(p)
	}
	if err = d.runFor(t.size.stall); err == nil {
		for _, p := range pairs {
			s.release(p)
		}
		err = awaitStreams(d, s, len(pairs))
	}
	growth := memory.stop()
	if err != nil {
		return err
	}
	prefix := fmt.Sprintf("%d %v: ", n, dir)
	t.fact(prefix+"verified", "MB", float64(s.bytes)/1e6)
	t.fact(prefix+"time", "s", time.Since(begun).Seconds())
	if !t.pids().known() {
		return nil
	}
	t.cost(prefix+"memory growth", "MiB", float64(growth)/mib)
	t.bound(growth <= growthMax, "stuck %v: memory of the gateway grew by more than %d MiB", dir,
		growthMax/mib)
	return nil
}

const (
	// stoppedBound is what a gateway may hold per direction, in bytes: one read
	// (docs/threat-model.md), and stoppedSlack what its own state and the
	// allocator may add. stuckGrowthOne is for what does not grow with relays.
	stoppedBound = 256 << 10
	stoppedSlack = 16 << 10
)

// probesThin is how many stalls runStopped waits. The kernel asks every full receiver
// whether it has room again, all that became full at the same time in the same
// millisecond, and doubles the time in between.
const probesThin = 4

// runStopped measures moderate load alone, then beside relays whose receivers never
// read and whose senders do not stop, and the memory that these hold.
func runStopped(t *trial) error {
	if !t.pids().known() {
		return &unfit{"the process is not known"}
	}
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	busy, err := d.openPairs(t.size.busy, openAtOnce, e)
	if err != nil {
		return err
	}
	if _, err = paced(t, d, e, busy, t.size.busyRate, "alone "); err != nil {
		return err
	}
	alone50, alone99 := e.hist.Quantile(0.5), e.hist.Quantile(0.99)

	s := newStream(toListener, stuckSize, 1)
	s.stalled = true
	n := t.withinLimit([]int{t.size.stopped}, t.size.busy)[0]
	d.ethernet = true
	pairs, err := d.openPairs(n, openAtOnce, s)
	if err != nil {
		return err
	}
	memory := sampleMemory(t.pids())
	for _, p := range pairs {
		s.start(p)
	}
	err = d.runFor(probesThin * t.size.stall)
	growth := memory.stop() // its samples cost the gateway milliseconds each
	if err != nil {
		return err
	}
	if _, err = paced(t, d, e, busy, t.size.busyRate, "beside "); err != nil {
		return err
	}
	if now, err := t.pids().userMemory(); err == nil && now > memory.first {
		growth = max(growth, now-memory.first)
	}
	if alone50 > 0 && alone99 > 0 {
		t.cost("p50 beside/alone", "", float64(e.hist.Quantile(0.5))/float64(alone50))
		t.cost("p99 beside/alone", "", float64(e.hist.Quantile(0.99))/float64(alone99))
	}
	buffers, _, err := socketMemory()
	if err != nil {
		return err
	}
	each := float64(growth) / float64(len(pairs))
	t.fact("relays", "", float64(len(pairs)))
	t.cost("held per relay", "KiB", each/kib)
	t.fact("socket buffers of the machine", "MiB", float64(buffers)/mib)
	most := uint64(len(pairs))*(stoppedBound+stoppedSlack) + stuckGrowthOne
	t.bound(growth <= most, "stopped receivers: memory of the gateway grew by more than %d MiB",
		most/mib)
	return nil
}

// awaitStreams waits until n streams have ended, as long as bytes arrive.
func awaitStreams(d *driver, s *stream, n int) error {
	for s.ended < n {
		before := s.bytes
		ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
			return s.ended >= n || s.bytes > before
		})
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("stream: %d of %d ended, then no byte for %v", s.ended, n, stallMax)
		}
	}
	return nil
}

// A memorySampler reads the memory of a target from a goroutine of its own,
// because the loop is busy just when it matters.
type memorySampler struct {
	first, most uint64
	quit, done  chan struct{}
}

// sampleMemory begins to sample; nothing is sampled when it is not known.
func sampleMemory(p processes) *memorySampler {
	m := &memorySampler{quit: make(chan struct{}), done: make(chan struct{})}
	if !p.known() {
		close(m.done)
		return m
	}
	m.first, _ = p.userMemory()
	m.most = m.first
	go func() {
		defer close(m.done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			now, err := p.userMemory()
			if err == nil {
				m.most = max(m.most, now)
			}
			select {
			case <-tick.C:
			case <-m.quit:
				return
			}
		}
	}()
	return m
}

// stop ends the sampling and returns by how many bytes memory grew at most.
func (m *memorySampler) stop() uint64 {
	close(m.quit)
	<-m.done
	return m.most - m.first
}
