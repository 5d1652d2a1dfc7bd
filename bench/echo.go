package bench

import (
	"fmt"
	"time"
)

// echo is the load of round trips: the sender's message comes back from the
// listener, message for message.
type echo struct {
	request, reply []byte
	// closed sends the next request as soon as a reply is there.
	closed bool
	// whenDone, when set, makes each pair do one round trip and hears of it.
	whenDone func(p *pair)

	hist  Histogram
	trips uint64
}

func newEcho(size int) *echo {
	frame := appendPatternFrame(nil, size, 0)
	return &echo{request: frame, reply: frame}
}

func (e *echo) ready(p *pair) {
	if e.closed || e.whenDone != nil {
		e.ask(p, time.Now())
	}
}

// ask sends one request that was due at the given time.
func (e *echo) ask(p *pair, due time.Time) {
	p.due = append(p.due, due)
	p.sender.send(e.request)
}

func (e *echo) received(p *pair, from *conn, messages int) {
	if from.rx.closed {
		p.fail(fmt.Errorf("echo: Close %d from the gateway to the %s", from.rx.closeCode,
			p.name(from)))
		return
	}
	if from == p.listener {
		for range messages {
			from.send(e.reply)
		}
		return
	}
	now := time.Now()
	for range messages {
		if len(p.due) == 0 {
			p.fail(fmt.Errorf("echo: a reply that nobody asked for"))
			return
		}
		e.hist.Record(now.Sub(p.due[0]))
		e.trips++
		p.due = p.due[:copy(p.due, p.due[1:])]
		switch {
		case e.closed:
			e.ask(p, now)
		case e.whenDone != nil:
			e.whenDone(p)
		}
	}
}

func (e *echo) drained(*pair, *conn) {}

func (e *echo) lost(p *pair, c *conn, err error) {
	p.fail(fmt.Errorf("echo: %s leg: %w", p.name(c), describe(err)))
}

// reset forgets what was measured so far.
func (e *echo) reset() {
	e.hist.Reset()
	e.trips = 0
}

// A pacer gives requests to pairs at a fixed rate, whatever the replies do.
type pacer struct {
	e     *echo
	pairs []*pair
	every time.Duration
	next  time.Time
	turn  int
}

func newPacer(e *echo, pairs []*pair, perSecond int) *pacer {
	return &pacer{e: e, pairs: pairs, every: time.Second / time.Duration(perSecond)}
}

// run paces requests for d. Latency counts from the time in the schedule, so
// a request that leaves late because the gateway or the driver was held up is
// charged with the wait.
func (c *pacer) run(l *loop, d time.Duration) error {
	if c.next.IsZero() {
		c.next = time.Now()
	}
	for end := time.Now().Add(d); l.now.Before(end); {
		for now := time.Now(); !c.next.After(now); c.next = c.next.Add(c.every) {
			p := c.pairs[c.turn%len(c.pairs)]
			c.turn++
			if !p.failed {
				c.e.ask(p, c.next)
			}
		}
		if err := l.step(c.next); err != nil {
			return err
		}
	}
	return nil
}

// outstanding is how many requests of pairs have no reply yet.
func outstanding(pairs []*pair) (n int) {
	for _, p := range pairs {
		if !p.failed {
			n += len(p.due)
		}
	}
	return n
}
