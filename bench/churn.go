package bench

import (
	"fmt"
	"time"
)

const (
	// churnTrips is how many round trips a relay makes in its life.
	churnTrips = 4
	// descriptorsSlack is how many descriptors more than before a gateway may
	// hold after the churn, for its own log files and the like.
	descriptorsSlack = 2
)

// runChurn measures relays that live a short and orderly life.
func runChurn(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	d.spread = setUpSources
	before := 0
	if t.pids().known() {
		if before, err = t.pids().descriptors(); err != nil {
			return err
		}
	}
	l := newLives()
	run := func(dur time.Duration) error {
		_, err := d.runUntil(time.Now().Add(dur), func() bool {
			for l.alive(d) < t.size.churn && d.failed < failedMax {
				d.connect(l)
				l.begun++
			}
			return false
		})
		return err
	}
	if err := run(t.size.warmUp); err != nil {
		return err
	}
	first := l.ended
	l.hist.Reset()
	u, err := t.measure(t.gw, func() error { return run(t.size.window) })
	if err != nil {
		return err
	}
	lives := float64(l.ended - first)
	ok, err := d.runUntil(time.Now().Add(stallMax), func() bool { return l.alive(d) <= 0 })
	if err != nil {
		return err
	}
	if !ok {
		t.failures.addText("churn: a relay did not end", l.alive(d))
	}
	t.cpuCost("cpu per life", "us", u, lives, time.Microsecond)
	t.rate("lives", "1/s", lives/u.elapsed.Seconds())
	t.latency("life ", &l.hist)
	return checkDescriptors(t, d, before)
}

// checkDescriptors waits for the gateway to close what it had opened.
func checkDescriptors(t *trial, d *driver, before int) error {
	if !t.pids().known() {
		return nil
	}
	now := 0
	_, err := d.runUntil(time.Now().Add(drainMax), func() bool {
		n, err := t.pids().descriptors()
		now = n
		return err == nil && n <= before+descriptorsSlack
	})
	t.fact("descriptors kept", "", float64(now-before))
	if err == nil && now > before+descriptorsSlack {
		t.failures.addf("churn: %d descriptors before, %d after", before, now)
	}
	return err
}

// lives is the load of churn: a few round trips, then a Close from the sender,
// answered by the listener; then the gateway ends both connections.
type lives struct {
	ping, bye    []byte
	begun, ended int
	hist         Histogram
}

func newLives() *lives {
	return &lives{
		ping: appendPatternFrame(nil, pingSize, 0), bye: appendClose(nil, closeNormal),
	}
}

// alive counts relays that have begun and neither ended nor failed.
func (l *lives) alive(d *driver) int { return l.begun - l.ended - d.failed }

func (l *lives) ready(p *pair) { p.sender.send(l.ping) }

func (l *lives) received(p *pair, from *conn, messages int) {
	if from == p.listener {
		for range messages {
			from.send(l.ping)
		}
		if from.rx.closed {
			from.send(l.bye)
		}
		return
	}
	if messages > 0 {
		if from.rx.messages == churnTrips {
			from.send(l.bye)
		} else {
			from.send(l.ping)
		}
	}
}

func (l *lives) drained(*pair, *conn) {}

func (l *lives) lost(p *pair, c *conn, err error) {
	if !c.rx.closed {
		p.fail(fmt.Errorf("churn: %s leg: %w", p.name(c), describe(err)))
		return
	}
	if p.other(c).gone {
		l.ended++
		l.hist.Record(time.Since(p.begun))
	}
}
