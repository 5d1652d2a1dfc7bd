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
	// slowEvery is how often a slow handshake sends one more byte.
	slowEvery = time.Second
	// The types of TLS records with which a server may answer (RFC 8446 §5.1).
	recordAlert, recordHandshake = 0x15, 0x16
)

// runTLSStorm measures established relays alone, beside handshakes that make the
// target do all its work for little of the client's, and beside the same with
// many connections that never finish theirs.
func runTLSStorm(t *trial) error {
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
	for _, stage := range []struct {
		name  string
		crowd int
	}{{"storm", 0}, {"crowd", t.size.tlsCrowd}} {
		s, err := newHelloStorm(t, stage.crowd)
		if err != nil {
			return err
		}
		var loud usage
		err = s.beside(func() (err error) {
			loud, err = paced(t, d, e, pairs, t.size.busyRate, stage.name+" ")
			return err
		})
		if err == nil {
			s.report(t, stage.name+": ")
		}
		s.close()
		if err != nil {
			return err
		}
		if alone > 0 {
			t.cost("p99 "+stage.name+"/alone", "", float64(e.hist.Quantile(0.99))/float64(alone))
		}
		if stage.crowd == 0 {
			extra := usage{cpu: loud.cpu - quiet.cpu}
			t.cpuCost("cpu per handshake begun", "us", extra,
				s.perSecond()*loud.elapsed.Seconds(), time.Microsecond)
		}
	}
	return nil
}

// A helloStorm begins handshakes at a fixed rate and leaves as soon as the
// target has answered: by then it has done the costly part, while the client
// sends the same prepared ClientHello again and again. Beside these it holds
// connections that say nothing and others that say it byte by byte. It runs on
// a loop of its own.
type helloStorm struct {
	*loop
	site
	hello []byte
	every time.Duration // between two handshakes
	crowd int           // silent connections, and as many slow ones

	begun, under int
	answers      map[string]int
	heard        func() // tests hear of every answer
	took         time.Duration
	silent, slow []*slowHello
}

// newHelloStorm prepares a storm with so many silent and as many slow
// connections.
func newHelloStorm(t *trial, crowd int) (*helloStorm, error) {
	at := t.site(t.gw)
	l, err := newLoop(t.ctx, nil)
	if err != nil {
		return nil, err
	}
	l.firstSource = stormSource
	return &helloStorm{
		loop: l, site: at, hello: clientHello(&at), crowd: crowd, answers: map[string]int{},
		every: time.Second / time.Duration(t.size.stormRate),
	}, nil
}

// clientHello is the first flight of a client of s.
func clientHello(s *site) []byte {
	l := &loop{tls: s.tls}
	leg := newSecureLeg(l)
	leg.turn()
	hello := slices.Clone(l.sealed)
	leg.stop()
	return hello
}

// beside runs f while the storm rages, which begins with the crowd complete.
func (s *helloStorm) beside(f func() error) error {
	if err := s.gather(); err != nil {
		return err
	}
	whole := s.ctx
	ctx, stop := context.WithCancel(whole)
	defer stop()
	s.ctx = ctx
	finished, begun := make(chan error, 1), time.Now()
	go func() { finished <- s.rage() }()
	err := f()
	s.took = time.Since(begun)
	stop()
	if stormErr := <-finished; !errors.Is(stormErr, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("storm ended early: %w", stormErr))
	}
	return err
}

// gather connects the crowd.
func (s *helloStorm) gather() error {
	for range s.crowd {
		for _, group := range []*[]*slowHello{&s.silent, &s.slow} {
			o := &slowHello{left: s.hello}
			var err error
			if o.c, err = s.dialPlain(s.addr, o, o.take); err != nil {
				return fmt.Errorf("connect the crowd: %w", err)
			}
			*group = append(*group, o)
		}
	}
	return s.runFor(pollInterval)
}

// rage begins handshakes until the context ends.
func (s *helloStorm) rage() error {
	next, nextSlow, turn := time.Now(), time.Now(), 0
	for {
		now := time.Now()
		for ; !next.After(now); next = next.Add(s.every) {
			if s.under < stormAtOnce {
				s.begin()
			}
		}
		for ; len(s.slow) > 0 && !nextSlow.After(now); turn++ {
			s.slow[turn%len(s.slow)].say()
			nextSlow = nextSlow.Add(slowEvery / time.Duration(len(s.slow)))
		}
		if err := s.step(next); err != nil {
			return err
		}
	}
}

func (s *helloStorm) begin() {
	s.begun++
	o := &hello{storm: s}
	c, err := s.dialPlain(s.addr, o, o.take)
	if err != nil {
		s.answers[err.Error()]++
		return
	}
	s.under++
	o.c = c
	c.send(s.hello)
}

// answer counts how a handshake ended.
func (s *helloStorm) answer(what string) {
	s.under--
	s.answers[what]++
	if s.heard != nil {
		s.heard()
	}
}

// perSecond is the rate at which handshakes were begun.
func (s *helloStorm) perSecond() float64 { return float64(s.begun) / s.took.Seconds() }

func (s *helloStorm) report(t *trial, prefix string) {
	t.fact(prefix+"handshakes", "1/s", s.perSecond())
	for _, what := range slices.Sorted(maps.Keys(s.answers)) {
		t.fact(prefix+what, "", float64(s.answers[what]))
	}
	for _, group := range []struct {
		name string
		all  []*slowHello
	}{{"silent", s.silent}, {"slow", s.slow}} {
		if len(group.all) == 0 {
			continue
		}
		left := 0
		for _, o := range group.all {
			if !o.c.gone {
				left++
			}
		}
		t.fact(prefix+group.name+" still there", "", float64(left))
	}
	if s.answers[answered] == 0 {
		t.failures.addf("TLS storm: no handshake was answered")
	}
}

// answered counts handshakes that a target has taken up.
const answered = "answered"

// A hello is one handshake of a storm.
type hello struct {
	storm *helloStorm
	c     *conn
}

func (o *hello) take(p []byte) error {
	what := "answered with something else"
	switch p[0] {
	case recordHandshake:
		what = answered
	case recordAlert:
		what = "refused by an alert"
	}
	o.c.abort()
	o.storm.answer(what)
	return nil
}

func (o *hello) opened(*conn)        {}
func (o *hello) received(*conn, int) {}
func (o *hello) drained(*conn)       {}

func (o *hello) lost(_ *conn, err error) {
	o.storm.answer(describe(err).Error())
}

// A slowHello is a connection that is not in a hurry.
type slowHello struct {
	c    *conn
	left []byte // of its ClientHello
}

// say sends one more byte.
func (o *slowHello) say() {
	if len(o.left) > 0 && o.c.idle() {
		o.c.send(o.left[:1])
		o.left = o.left[1:]
	}
}

func (o *slowHello) take([]byte) error { return nil }

func (o *slowHello) opened(*conn)        {}
func (o *slowHello) received(*conn, int) {}
func (o *slowHello) drained(*conn)       {}
func (o *slowHello) lost(*conn, error)   {}
