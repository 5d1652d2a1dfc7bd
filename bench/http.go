package bench

import (
	"fmt"
	"time"
)

// tinyBody is the size of a response that says no more than "done", in bytes.
const tinyBody = 8

// httpCases are the loads of relayed HTTP, in the order of their figures. Bodies
// of 1 KiB travel on control channels, those of 1 MiB on rendezvous connections
// (docs/protocol.md, section 5.2).
var httpCases = []struct {
	name  string
	x     exchange
	large bool
}{
	{name: "GET 1 KiB", x: exchange{response: kib}},
	{name: "POST 1 KiB", x: exchange{request: kib, response: tinyBody}},
	{name: "GET 1 MiB", x: exchange{response: mib}, large: true},
	{name: "POST 1 MiB", x: exchange{request: mib, response: tinyBody}, large: true},
}

// runHTTP measures requests of many senders.
func runHTTP(t *trial) error {
	return runHTTPCases(t, t.size.httpSmall, t.size.httpLarge)
}

// runHTTPOne measures requests of one sender that has the gateway to itself.
func runHTTPOne(t *trial) error {
	t.spin()
	return runHTTPCases(t, 1, 1)
}

func runHTTPCases(t *trial, small, large int) error {
	for _, c := range httpCases {
		n := small
		if c.large {
			n = large
		}
		if err := runHTTPCase(t, c.name+": ", c.x, n); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func runHTTPCase(t *trial, prefix string, x exchange, senders int) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	d.spread = setUpSources
	l := answerHTTP(d, x)
	h, err := newHTTPLoad(d, x, senders)
	if err != nil {
		return err
	}
	h.start()
	if err := h.runFor(t.size.warmUp, 0); err != nil {
		return err
	}
	h.hist.Reset()
	done := h.done
	u, err := t.measure(t.gw, func() error { return h.runFor(t.size.window, done+1) })
	if err != nil {
		return err
	}
	done = h.done - done
	if err := h.finish(l); err != nil {
		return err
	}
	if done == 0 {
		t.failures.addf("http: no answer within %v", stallMax)
	}
	t.cpuCost(prefix+"cpu per request", "us", u, float64(done), time.Microsecond)
	t.rate(prefix+"requests", "1/s", float64(done)/u.elapsed.Seconds())
	t.latency(prefix, &h.hist)
	if x.request > 0 && x.request <= inlineMax && l.dialed > 0 {
		t.note("%s%d of %d requests came by rendezvous", prefix, l.dialed, l.dialed+l.inlined)
	}
	return nil
}

// runFor runs the load for dur, and longer if fewer than so many answers have
// come in all: a short window on a busy machine must not end without any. It
// ends early when there is no sender or no listener any more.
func (h *httpLoad) runFor(dur time.Duration, answers uint64) error {
	h.d.now = time.Now()
	end := h.d.now.Add(dur)
	_, err := h.d.runUntil(h.d.now.Add(max(dur, stallMax)), func() bool {
		enough := h.done >= answers || h.d.failures.count() > 0
		return h.over() != nil || enough && !h.d.now.Before(end)
	})
	if err != nil {
		return err
	}
	return h.over()
}

// over says why the load cannot go on.
func (h *httpLoad) over() error {
	switch {
	case h.d.controlLost != nil:
		return fmt.Errorf("control channel: %w", describe(h.d.controlLost))
	case h.alive() == 0:
		return fmt.Errorf("no sender has its connection any more: %s", h.d.failures.first())
	}
	return nil
}

// finish waits for the answers under way and for the end of every rendezvous
// connection; what does not come is a failure. Then the listener leaves in order,
// so that no request of the next load is given to it.
func (h *httpLoad) finish(l *httpListener) error {
	h.running = false
	h.d.now = time.Now()
	ok, err := h.d.runUntil(time.Now().Add(stallMax), func() bool {
		return h.busy() == 0 && l.legs == 0 || h.d.controlLost != nil
	})
	if err != nil {
		return err
	}
	if !ok {
		if n := h.busy(); n > 0 {
			h.d.failures.addText("http: an answer did not come", n)
		}
		if l.legs > 0 {
			h.d.failures.addText("http: a rendezvous connection was not closed", l.legs)
		}
	}
	if err := h.over(); err != nil {
		return err
	}
	return h.d.unlisten()
}
