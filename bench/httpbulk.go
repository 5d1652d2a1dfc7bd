package bench

import (
	"fmt"
	"time"
)

// bulkGrowth bounds how much gateway memory may grow while one body passes, in
// bytes: as for one stuck relay.
const bulkGrowth = stuckGrowthOne

// A bulkCase is one long body through the gateway.
type bulkCase struct {
	name string
	x    exchange
	// slow receivers do not read at first, and again after half of the body.
	slow bool
}

// bulkCases are chosen so that each direction is framed in both ways.
func bulkCases(size, slow uint64) []bulkCase {
	return []bulkCase{
		{name: "download", x: exchange{response: size}},
		{name: "upload", x: exchange{request: size, response: tinyBody}},
		{name: "slow download", x: exchange{response: slow, stated: true}, slow: true},
		{name: "slow upload", x: exchange{request: slow, response: tinyBody, chunked: true},
			slow: true},
	}
}

// runHTTPBulk sends long bodies and compares every byte of them.
func runHTTPBulk(t *trial) error {
	if !t.pids().known() {
		t.note("process unknown: memory was not sampled")
	}
	for _, c := range bulkCases(t.size.httpBytes, t.size.httpSlow) {
		if err := runBulkCase(t, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// A bulkRun is one long body under way.
type bulkRun struct {
	d *driver
	l *httpListener
	h *httpLoad
	// leg is the rendezvous connection, nil until it stands.
	leg *httpLeg
}

func runBulkCase(t *trial, c bulkCase) error {
	c.x.bulk = true
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	b := &bulkRun{d: d, l: answerHTTP(d, c.x)}
	if b.h, err = newHTTPLoad(d, c.x, 1); err != nil {
		return err
	}
	b.l.atLeg = func(g *httpLeg) {
		b.leg = g
		if c.slow && c.x.request > tinyBody {
			g.c.pause()
		}
	}
	memory := sampleMemory(t.pids())
	u, err := t.measure(t.gw, func() error { return b.run(t, &c) })
	growth := memory.stop()
	if err != nil {
		return err
	}
	if err := b.h.finish(b.l); err != nil {
		return err
	}
	if b.h.done != 1 || b.l.answered != 1 {
		t.failures.addf("%s: %d answers sent, %d right ones received, want 1", c.name,
			b.l.answered, b.h.done)
	}
	size := float64(max(c.x.request, c.x.response))
	prefix := c.name + ": "
	t.fact(prefix+"verified", "MB", size/1e6)
	if c.x.request > tinyBody && b.leg != nil {
		// Real listeners bear so many frames in a message and no more.
		t.fact(prefix+"size of frames", "KiB", size/kib/float64(b.leg.c.rx.frames))
	}
	if !c.slow {
		t.cpuCost(prefix+"cpu", "s/GB", u, size/1e9, time.Second)
		t.rate(prefix+"throughput", "GB/s", size/1e9/u.elapsed.Seconds())
	}
	if t.pids().known() {
		t.cost(prefix+"memory growth", "MiB", float64(growth)/mib)
		t.bound(growth <= bulkGrowth, "%s: memory of the gateway grew by more than %d MiB",
			c.name, bulkGrowth/mib)
	}
	return nil
}

// run sends the body and returns when the sender has its answer.
func (b *bulkRun) run(t *trial, c *bulkCase) error {
	sender := b.h.senders[0]
	sender.ask()
	if c.slow {
		half := max(c.x.request, c.x.response) / 2
		for _, until := range []uint64{0, half} {
			if err := b.await(func() bool { return b.passed() >= until }); err != nil {
				return err
			}
			if err := b.stall(t.size.stall); err != nil {
				return err
			}
		}
	}
	return b.await(func() bool { return !sender.busy })
}

// passed is how many bytes of the body were received, the tiny ones included.
func (b *bulkRun) passed() (n uint64) {
	if b.leg != nil {
		n = b.leg.c.rx.bytes
	}
	return n + b.h.senders[0].reader.bytes
}

// receiver is the connection that the body comes out of; nil while there is
// none.
func (b *bulkRun) receiver() *conn {
	switch {
	case b.l.x.request <= tinyBody:
		return b.h.senders[0].c
	case b.leg != nil:
		return b.leg.c
	}
	return nil
}

// stall lets the receiver read nothing for dur.
func (b *bulkRun) stall(dur time.Duration) error {
	if err := b.await(func() bool { return b.receiver() != nil }); err != nil {
		return err
	}
	c := b.receiver()
	c.pause()
	err := b.h.runFor(dur, 0)
	c.resume()
	return err
}

// await waits for done, as long as bytes arrive.
func (b *bulkRun) await(done func() bool) error {
	for !done() {
		before := b.passed()
		ok, err := b.d.runUntil(time.Now().Add(stallMax), func() bool {
			return done() || b.passed() > before || b.h.over() != nil
		})
		if err == nil {
			err = b.h.over()
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("no byte for %v after %d", stallMax, before)
		}
	}
	return nil
}
