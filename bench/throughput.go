package bench

import (
	"fmt"
	"time"
)

// runStream measures one stream from sender to listener, under names that begin
// with prefix.
func runStream(t *trial, prefix string, size, perWrite int) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	s := newStream(toListener, size, perWrite)
	pairs, err := d.openPairs(1, 1, s)
	if err != nil {
		return err
	}
	s.start(pairs[0])
	if err := d.runFor(t.size.warmUp); err != nil {
		return err
	}
	bytes, messages := s.bytes, s.messages
	u, err := t.measure(t.gw, func() error { return d.runFor(t.size.window) })
	if err != nil {
		return err
	}
	bytes, messages = s.bytes-bytes, s.messages-messages
	if bytes == 0 {
		t.failures.addf("stream: nothing arrived within %v", t.size.window)
	}
	t.cpuCost(prefix+"cpu", "s/GB", u, float64(bytes)/1e9, time.Second)
	t.cpuCost(prefix+"cpu per message", "us", u, float64(messages), time.Microsecond)
	t.rate(prefix+"throughput", "GB/s", float64(bytes)/1e9/u.elapsed.Seconds())
	t.rate(prefix+"messages", "1/s", float64(messages)/u.elapsed.Seconds())
	return nil
}

// The sizes of messages that sizes sends, and how many bytes go into one write.
var messageSizes = []int{128, 1 << 10, 8 << 10, 64 << 10}

const sizesPerWrite = 32 << 10

// runSizes measures one stream for every size of message.
func runSizes(t *trial) error {
	for _, size := range messageSizes {
		if err := runStream(t, names(size), size, max(1, sizesPerWrite/size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

// runSetUps measures how fast relayed connections come to be.
func runSetUps(t *trial) error {
	for _, n := range t.size.atOnce {
		if err := runSetUpsAtOnce(t, names(n), n); err != nil {
			return err
		}
	}
	return nil
}

const (
	// setUpSources spreads set-ups over so many source addresses, so that
	// ports in TIME_WAIT do not run out.
	setUpSources = 16
	// failedMax is how many pairs may fail before no further ones are begun:
	// nothing is learned from more.
	failedMax = 1000
	// setUpTurns is how often every place for a set-up must have had its turn
	// before a window may end: what is under way at either end of it is then a
	// small part, however slow a busy machine is.
	setUpTurns = 4
)

func runSetUpsAtOnce(t *trial, prefix string, atOnce int) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	d.spread = setUpSources
	var hist Histogram
	e, ready := newEcho(8), 0
	e.whenDone = func(p *pair) {
		hist.Record(time.Since(p.begun))
		ready++
		// Cut, not closed: the driver keeps no port in TIME_WAIT.
		p.failed = true
		p.abort()
	}
	begun := 0
	// run goes on for dur, and until so many further set-ups are done.
	run := func(dur time.Duration, least int) error {
		d.now = time.Now()
		end, least := d.now.Add(dur), ready+least
		_, err := d.runUntil(d.now.Add(max(dur, stallMax)), func() bool {
			for begun-ready-d.failed < atOnce && d.failed < failedMax {
				d.connect(e)
				begun++
			}
			return d.failed >= failedMax || ready >= least && !d.now.Before(end)
		})
		return err
	}
	if err := run(t.size.warmUp, atOnce); err != nil {
		return err
	}
	hist.Reset()
	before := ready
	u, err := t.measure(t.gw, func() error { return run(t.size.window, setUpTurns*atOnce) })
	if err != nil {
		return err
	}
	n := float64(ready - before)
	// What is still under way must finish too.
	ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
		return ready+d.failed >= begun
	})
	if err != nil {
		return err
	}
	if !ok {
		t.failures.addText("set-up did not finish", begun-ready-d.failed)
	}
	t.cpuCost(prefix+"cpu", "us", u, n, time.Microsecond)
	t.rate(prefix+"set-ups", "1/s", n/u.elapsed.Seconds())
	t.latency(prefix, &hist)
	if h := &d.handshakes; h.done > 0 {
		t.fact(prefix+"resumed", "%", 100*float64(h.resumed)/float64(h.done))
	}
	return nil
}
