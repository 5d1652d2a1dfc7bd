package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what to run and how.
type Options struct {
	// Targets are measured in turn inside every round.
	Targets []Target
	// Baseline names the target to which the others are put in proportion.
	Baseline string
	// Tests are ids of Tests; empty means all that are not for TLS, or with a
	// target that is reached with TLS those that are.
	Tests []string
	// Duration is the measured window of the tests that have one.
	Duration time.Duration
	// ForeignMax is the share of the machine, 0 to 1, that other processes may
	// use inside a measured window; 0 for any. A round in which they used more
	// is thrown away for all targets and repeated, at most Retries times per
	// test. When that is not enough the calmest attempt counts, and the rows
	// say that it was a busy one.
	ForeignMax float64
	Retries    int
	// Rounds is how often each test is repeated per target; 0 means
	// DefaultRounds, or once for tests that are long and steady.
	Rounds int
	// Small shrinks every size, so that all tests end within half a minute:
	// they show that everything works, their figures mean little.
	Small bool
	// Entity is the hybrid connection to use. Tokens makes senders present
	// a token too; listeners always do.
	Entity string
	Tokens bool
	// Rule and Key sign the tokens.
	Rule, Key string
	// StuckBytes is what the stuck test sends over its single pair, and
	// StuckBytesEach over each of its many pairs; 0 means the default.
	StuckBytes, StuckBytesEach uint64
	// HTTPBytes is the body of http-bulk; 0 means the default.
	HTTPBytes uint64
	// Hold are the dimensions of b10; zero fields mean the default.
	Hold HoldSize
	// Spin is the command of one spinner (see Spin), empty for none.
	Spin []string
	// Drive is the command of one driver process (see Drive); without it b10
	// is skipped.
	Drive []string
	// Environment is copied into every row.
	Environment Environment
	// Progress hears one line per trial; nil for silence.
	Progress io.Writer

	// tiny replaces the sizes in the tests of this package.
	tiny *sizes
}

// DefaultRounds shows a spread; comparing two runs needs at least as many.
const DefaultRounds = 3

// The defaults that the emulator and the official examples share.
const (
	DefaultRule        = "RootManageSharedAccessKey"
	DefaultKey         = "SAS_KEY_VALUE"
	DefaultEntity      = "unauthenticated"
	DefaultTokenEntity = "authenticated"
)

// sizes are the dimensions of the tests. The small ones keep the shape of each
// test and fit a continuous integration run.
type sizes struct {
	warmUp     time.Duration // load before a measured window
	window     time.Duration
	pairs      int           // b4, b5
	rate       int           // b4: round trips per second
	atOnce     []int         // b6
	relays     []int         // b7, b8: points of the slope
	settle     time.Duration // b7, b8: wait before memory is read
	idle       []int         // b9; the last one b12
	busy       int           // b9, storm: pairs
	busyRate   int           // b9, storm: round trips per second
	tlsAtOnce  int           // tls-setup
	tlsRelays  []int         // tls-idle
	tlsCrowd   int           // tls-storm: silent connections, and as many slow ones
	stuckPairs int
	stuckBytes uint64 // one pair
	stuckEach  uint64 // each of many pairs
	stall      time.Duration
	stopped    int // b11
	stormRate  int // storm, tls-storm: handshakes per second
	churn      int // relays alive at once
	httpSmall  int // b13: senders with bodies of 1 KiB
	httpLarge  int // b13: senders with bodies of 1 MiB
	httpBytes  uint64
	httpSlow   uint64 // http-bulk: body for a receiver that stalls
	hold       HoldSize
}

func (o *Options) sizes() sizes {
	if o.tiny != nil {
		return *o.tiny
	}
	s := sizes{
		warmUp: 300 * time.Millisecond, window: o.Duration, pairs: 500, rate: 10_000,
		atOnce: []int{32, 256}, relays: []int{1000, 4000, 9000}, settle: 6 * time.Second,
		idle: []int{0, 1000, 4000, 9000}, busy: 90, busyRate: 2000,
		stuckPairs: 100, stuckBytes: 600e6, stuckEach: 60e6, stall: 3 * time.Second, stopped: 1000,
		stormRate: 1000, churn: 32,
		tlsAtOnce: 32, tlsRelays: []int{500, 2000, 4000}, tlsCrowd: 1000,
		httpSmall: 64, httpLarge: 8, httpBytes: 1e9, httpSlow: 64 * mib,
		hold: HoldSize{Relays: 20_000, Gateways: 3, Step: 10_000, Rest: DefaultRest},
	}
	if o.Small {
		s = sizes{
			warmUp: 50 * time.Millisecond, window: min(o.Duration, 300*time.Millisecond),
			pairs: 50, rate: 2000, atOnce: []int{8, 32}, relays: []int{50, 100, 200},
			settle: 100 * time.Millisecond, idle: []int{0, 50, 200}, busy: 20, busyRate: 1000,
			stuckPairs: 4, stuckBytes: 40e6, stuckEach: 10e6, stall: 300 * time.Millisecond, stopped: 20,
			stormRate: 300, churn: 8,
			tlsAtOnce: 16, tlsRelays: []int{50, 100, 200}, tlsCrowd: 50,
			httpSmall: 16, httpLarge: 2, httpBytes: 64 * mib, httpSlow: 64 * mib,
			hold: HoldSize{Relays: 400, Gateways: 2, Step: 200, Rest: 100 * time.Millisecond},
		}
	}
	if o.StuckBytes > 0 {
		s.stuckBytes = o.StuckBytes
	}
	if o.StuckBytesEach > 0 {
		s.stuckEach = o.StuckBytesEach
	}
	if o.HTTPBytes > 0 {
		s.httpBytes = o.HTTPBytes
	}
	s.hold = o.Hold.or(s.hold)
	return s
}

// rounds is how often test is run.
func (o *Options) rounds(test *Test) int {
	switch {
	case o.Rounds > 0:
		return o.Rounds
	case o.Small || test.once:
		return 1
	}
	return DefaultRounds
}

// check fills in defaults and refuses what cannot be run.
func (o *Options) check() ([]*Test, error) {
	if len(o.Targets) == 0 {
		return nil, errors.New("nothing to measure: no target")
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Rounds < 0 || o.Duration < 0 || o.Retries < 0 || o.ForeignMax < 0 {
		return nil, fmt.Errorf("rounds %d, duration %v, retries %d, foreign CPU %v: want none "+
			"below zero", o.Rounds, o.Duration, o.Retries, o.ForeignMax)
	}
	if o.Rule == "" && o.Key == "" {
		o.Rule, o.Key = DefaultRule, DefaultKey
	}
	if o.Entity == "" {
		o.Entity = DefaultEntity
		if o.Tokens {
			o.Entity = DefaultTokenEntity
		}
	}
	var chosen []*Test
	if len(o.Tests) == 0 {
		secure := slices.ContainsFunc(o.Targets, func(t Target) bool { return t.secure() })
		for _, t := range Tests() {
			if t.forTLS == secure {
				chosen = append(chosen, t)
			}
		}
		return chosen, nil
	}
	for _, id := range o.Tests {
		i := slices.IndexFunc(Tests(), func(t *Test) bool { return t.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("no test %q; there are %s", id, strings.Join(testIDs(), ", "))
		}
		chosen = append(chosen, Tests()[i])
	}
	return chosen, nil
}

// Run measures and returns one row per test and target. A failed measurement is
// a row with failures, not an error; the error is about options that cannot be
// run, or a cancelled context, and then comes with the rows that were finished.
func Run(ctx context.Context, o Options) ([]Row, error) {
	tests, err := o.check()
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, test := range tests {
		done := runTest(ctx, &o, test)
		if ctx.Err() != nil {
			return rows, ctx.Err()
		}
		rows = append(rows, done...)
	}
	return rows, nil
}

// A series collects the trials of one test against one target.
type series struct {
	target *Target
	gw     *gateway
	trials []*trial // one per round
	// failures outside those trials: at start and stop, and of trials that
	// were thrown away.
	failures failures
	skipped  string
	// thrown counts the trials that were thrown away, and busy those rounds
	// that no repetition made calm.
	thrown, busy int
}

func runTest(ctx context.Context, o *Options, test *Test) []Row {
	all := make([]*series, len(o.Targets))
	for i := range o.Targets {
		s := &series{target: &o.Targets[i]}
		s.skipped = test.skip(s.target)
		all[i] = s
		if s.skipped != "" || test.ownProcesses {
			continue
		}
		var err error
		if s.gw, err = s.target.start(ctx, test.start); err != nil {
			s.startFailed(err)
		}
	}
	retries := o.Retries
	for round := range o.rounds(test) {
		retries -= runRound(ctx, o, test, all, round, retries)
	}
	var rows []Row
	for _, s := range all {
		if s.gw != nil {
			if err := s.gw.stop(); err != nil {
				s.failures.add(err)
			}
		}
	}
	for _, s := range all {
		rows = append(rows, s.row(o, test, baselineOf(o, all)))
	}
	return rows
}

// runRound runs one trial against every target, in an order that moves on with
// the rounds, and repeats the whole of it while others disturb it. It returns
// how many repetitions, at most retries, that took.
func runRound(
	ctx context.Context, o *Options, test *Test, all []*series, round, retries int,
) (used int) {
	var calmest []*trial
	least := 0.0
	for {
		attempt, foreign := make([]*trial, len(all)), 0.0
		for i := range all {
			at := (round + i) % len(all)
			s := all[at]
			if s.skipped == "" && (s.gw != nil || test.ownProcesses) && ctx.Err() == nil {
				if attempt[at] = s.run(ctx, o, test, round); attempt[at] != nil {
					foreign = max(foreign, attempt[at].foreign)
				}
			}
		}
		other := attempt
		if calmest == nil || foreign < least {
			calmest, other, least = attempt, calmest, foreign
		}
		for i, t := range other {
			if t != nil {
				all[i].thrown++
				all[i].failures.merge(&t.failures) // a failure counts, whatever else went on
			}
		}
		calm := o.ForeignMax == 0 || foreign <= o.ForeignMax
		if calm || used == retries || ctx.Err() != nil {
			break
		}
		used++
		if o.Progress != nil {
			_, _ = fmt.Fprintf(o.Progress, "%-9s round %d: other processes used %.0f %% of the "+
				"machine: thrown away\n", test.ID, round+1, foreign*100)
		}
	}
	for i, t := range calmest {
		if t == nil {
			continue
		}
		all[i].trials = append(all[i].trials, t)
		if o.ForeignMax > 0 && least > o.ForeignMax {
			all[i].busy++
		}
	}
	return used
}

// startFailed takes note of a target that could not be started.
func (s *series) startFailed(err error) {
	if u, ok := errors.AsType[*unfit](err); ok {
		s.skipped = u.reason
		return
	}
	s.failures.add(err)
}

// run makes one trial; nil when the test does not apply after all.
func (s *series) run(ctx context.Context, o *Options, test *Test, round int) *trial {
	t := &trial{ctx: ctx, target: s.target, gw: s.gw, opt: o, size: o.sizes(),
		mode: tlsFull}
	begun := time.Now()
	err := test.run(t)
	t.stopSpinners()
	t.noteHandshakes()
	s.calmDown(ctx)
	if u, ok := errors.AsType[*unfit](err); ok {
		s.skipped = u.reason // found by a test that starts its own processes
		return nil
	}
	if err != nil && ctx.Err() == nil {
		t.failures.add(err)
	}
	if o.Progress != nil {
		_, _ = fmt.Fprintf(o.Progress, "%-9s %-8s round %d: %.1f s, failures %d\n", test.ID,
			s.target.Name, round+1, time.Since(begun).Seconds(), t.failures.count())
	}
	return t
}

const (
	// calmInterval is how often a target is asked whether it still works, and
	// calmShare the share of one core below which it counts as calm.
	calmInterval = 50 * time.Millisecond
	calmShare    = 0.05
	// calmMax is how long it may take to calm down.
	calmMax = 10 * time.Second
)

// calmDown waits until the process has cleared up after a trial. Ended
// connections by the thousand keep it busy for a while, and that must not
// disturb the target that is measured next.
func (s *series) calmDown(ctx context.Context) {
	if s.gw == nil || !s.gw.pids.known() || s.gw.pids.own() {
		return
	}
	before, err := s.gw.pids.cpuTime()
	for end := time.Now().Add(calmMax); err == nil && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(calmInterval):
		}
		var now time.Duration
		now, err = s.gw.pids.cpuTime()
		if float64(now-before) < calmShare*float64(calmInterval) {
			return
		}
		before = now
	}
}

// baselineOf is the series that others are compared with, or nil.
func baselineOf(o *Options, all []*series) *series {
	for _, s := range all {
		if s.target.Name == o.Baseline {
			return s
		}
	}
	return nil
}
