package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// stormAtOnce bounds the bad handshakes under way. A client that doubles
	// its attempts would otherwise end by running the driver out of sockets.
	stormAtOnce = 256
	// stormSource is the source address of the storm, 127.0.0.stormSource:
	// another than those of the relays, because a gateway limits failures by
	// address.
	stormSource = 99
)

// runStorm measures established relays alone, then beside a listener with a bad
// token that reconnects as hyco-ws does: without pause and, because every
// refusal starts two attempts, doubling.
func runStorm(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	pairs, err := d.openPairs(t.size.busy, openAtOnce, e)
	if err != nil {
		return err
	}
	quiet, err := paced(t, d, e, pairs, t.size.busyRate, "alone ")
	if err != nil {
		return err
	}
	alone := e.hist.Quantile(0.99)

	ctx, stop := context.WithCancel(t.ctx)
	defer stop()
	s, err := newStorm(ctx, t)
	if err != nil {
		return err
	}
	defer s.close()
	finished, begun := make(chan error, 1), time.Now()
	go func() { finished <- s.rage() }()
	loud, err := paced(t, d, e, pairs, t.size.busyRate, "storm ")
	elapsed := time.Since(begun)
	stop()
	if stormErr := <-finished; !errors.Is(stormErr, context.Canceled) {
		t.failures.addf("storm ended early: %v", stormErr)
	}
	if err != nil {
		return err
	}
	if alone > 0 {
		t.cost("p99 storm/alone", "", float64(e.hist.Quantile(0.99))/float64(alone))
	}
	attempts := float64(s.begun) / elapsed.Seconds()
	t.fact("attempts", "1/s", attempts)
	extra := usage{cpu: loud.cpu - quiet.cpu}
	t.cpuCost("cpu per refusal", "us", extra, attempts*loud.elapsed.Seconds(), time.Microsecond)
	s.report(t)
	return nil
}

// A storm is the bad listener, on a loop of its own.
type storm struct {
	*loop
	site
	request []byte
	every   time.Duration // least time between two attempts

	owed    int // attempts that refusals have earned
	under   int
	begun   int
	answers map[string]int
}

func newStorm(ctx context.Context, t *trial) (*storm, error) {
	at := t.site(t.gw)
	l, err := newLoop(ctx, at.tls)
	if err != nil {
		return nil, err
	}
	l.firstSource = stormSource
	s := &storm{loop: l, site: at, owed: 1, answers: map[string]int{},
		every: time.Second / time.Duration(t.size.stormRate)}
	bad := t.token(s.site, t.opt.Key+" but wrong")
	s.request = s.handshake("sb-hc-action=listen", bad)
	return s, nil
}

// rage reconnects until the context ends.
func (s *storm) rage() error {
	next := time.Now()
	for {
		now := time.Now()
		for ; s.owed > 0 && s.under < stormAtOnce && !next.After(now); next = next.Add(s.every) {
			s.owed--
			s.begun++
			if _, err := s.dial(s.addr, s.request, s); err != nil {
				s.answer(err)
				continue
			}
			s.under++
		}
		if s.owed == 0 || s.under >= stormAtOnce {
			next = now.Add(s.every)
		}
		if err := s.step(next); err != nil {
			return err
		}
	}
}

func (s *storm) opened(c *conn) {
	s.under--
	c.close()
	s.answers["101"]++
	s.owed++
}

func (s *storm) received(*conn, int) {}
func (s *storm) drained(*conn)       {}

func (s *storm) lost(_ *conn, err error) {
	s.under--
	s.answer(err)
}

// answer counts how an attempt ended; each end earns two more.
func (s *storm) answer(err error) {
	var refused *refusal
	if errors.As(err, &refused) {
		s.answers[fmt.Sprint(refused.status)]++
	} else {
		s.answers[describe(err).Error()]++
	}
	s.owed = min(s.owed+2, stormAtOnce)
}

func (s *storm) report(t *trial) {
	for _, what := range slices.Sorted(maps.Keys(s.answers)) {
		t.fact("answered "+what, "", float64(s.answers[what]))
	}
	if n := s.answers["101"]; n > 0 {
		t.failures.addText("storm: a listener with a bad token was registered", n)
	}
}
