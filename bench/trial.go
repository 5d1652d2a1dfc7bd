package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

// Better says which way a figure improves.
type Better string

// The ways. A neutral figure describes the run and is never called better.
const (
	Lower   Better = "lower"
	Higher  Better = "higher"
	Neutral Better = ""
)

// A value is one figure of one trial.
type value struct {
	name, unit string
	v          float64
	better     Better
}

// A trial is one run of one test against one target.
type trial struct {
	ctx    context.Context
	target *Target
	gw     *gateway // nil when the test starts its own
	opt    *Options
	size   sizes
	mode   tlsMode // of targets that are reached with TLS

	values   []value
	curves   map[string][]float64 // by name, at each of CurveQuantiles
	notes    []string
	failures failures
	// foreign is the largest share of the machine that neither the gateway
	// nor the driver used inside a measured window, 0 to 1.
	foreign  float64
	spinners []*exec.Cmd
	// handshakes are those of every driver of the trial.
	handshakes []*handshakes
}

// cost and rate report figures that should be low and high; fact reports one
// that is neither.
func (t *trial) cost(name, unit string, v float64) {
	t.values = append(t.values, value{name, unit, v, Lower})
}

func (t *trial) rate(name, unit string, v float64) {
	t.values = append(t.values, value{name, unit, v, Higher})
}

func (t *trial) fact(name, unit string, v float64) {
	t.values = append(t.values, value{name, unit, v, Neutral})
}

func (t *trial) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// latency reports quantiles of h under names that begin with prefix.
func (t *trial) latency(prefix string, h *Histogram) {
	t.cost(prefix+"p50", "us", micros(h.Quantile(0.50)))
	t.cost(prefix+"p99", "us", micros(h.Quantile(0.99)))
	if t.curves == nil {
		t.curves = map[string][]float64{}
	}
	var points []float64
	for _, q := range CurveQuantiles {
		points = append(points, micros(h.Quantile(q)))
	}
	t.curves[strings.TrimRight(prefix, ": ")] = points
}

// bound judges a limit that gateways must keep; the baseline and peers need not,
// so for them a breach is only told.
func (t *trial) bound(kept bool, format string, args ...any) {
	switch {
	case kept:
	case t.target.Name == t.opt.Baseline || t.target.Compared != "":
		t.note(format, args...)
	default:
		t.failures.addf(format, args...)
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// tokenLife is how long the tokens of a run are valid: longer than any run.
const tokenLife = 12 * time.Hour

// site is where the trial's drivers connect, with good tokens.
func (t *trial) site(g *gateway) site {
	s := site{addr: g.addr, entity: t.opt.Entity}
	if g.secure {
		s.tls = t.mode.config()
	}
	if g.door != nil {
		s.forwardedTo = int(g.door.Fd())
	}
	s.listenToken = t.token(s, t.opt.Key)
	if t.opt.Tokens {
		s.sendToken = s.listenToken
	}
	return s
}

// token signs for the entity of s, the way the official clients do: the http
// scheme and the host without a port (docs/protocol.md, section 6.4).
func (t *trial) token(s site, key string) string {
	resource := "http://" + s.addr.Addr().String() + "/" + s.entity + "/"
	return sas.Sign(resource, t.opt.Rule, key, time.Now().Add(tokenLife))
}

// driver opens a driver against the trial's gateway. The test closes it.
func (t *trial) driver() (*driver, error) { return t.driverAt(t.gw) }

// driverAt opens a driver against g.
func (t *trial) driverAt(g *gateway) (*driver, error) {
	d, err := newDriver(t.ctx, t.site(g), &t.failures)
	if err == nil {
		t.handshakes = append(t.handshakes, &d.handshakes)
	}
	return d, err
}

// A usage is what happened in one measured window.
type usage struct {
	elapsed time.Duration
	cpu     time.Duration // of the gateway, all its processes
}

// measure runs f as a measured window of g.
func (t *trial) measure(g *gateway, f func() error) (usage, error) {
	start, before := time.Now(), t.cpuNow(g)
	if err := f(); err != nil {
		return usage{}, err
	}
	after := t.cpuNow(g)
	u := usage{elapsed: time.Since(start), cpu: after.gateway - before.gateway}
	own := after.own - before.own
	machine := u.elapsed * time.Duration(runtime.NumCPU())
	if foreign := after.busy - before.busy - own; foreign > 0 && machine > 0 {
		t.foreign = max(t.foreign, min(float64(foreign)/float64(machine), 1))
	}
	return u, nil
}

// cpuClocks are CPU times: of the gateway, of everything that belongs to the
// run, the gateway included, and of the whole machine.
type cpuClocks struct{ gateway, own, busy time.Duration }

// cpuNow reads the clocks. One that cannot be read stays at zero.
func (t *trial) cpuNow(g *gateway) (c cpuClocks) {
	c.busy, _ = machineBusy()
	c.own, _ = cpuTime(os.Getpid())
	c.gateway, _ = g.pids.cpuTime()
	if !g.pids.own() {
		c.own += c.gateway
	}
	for _, s := range t.spinners {
		used, _ := cpuTime(s.Process.Pid)
		c.own += used
	}
	return c
}

// cpuCost reports the CPU time of u divided by n under the given unit; nothing
// when the process is not known. scale is the unit in nanoseconds.
func (t *trial) cpuCost(name, unit string, u usage, n float64, scale time.Duration) {
	if !t.pids().known() || n == 0 {
		return
	}
	t.cost(name, unit, float64(u.cpu)/n/float64(scale))
}

// pids are the processes of the target; none while the test has none.
func (t *trial) pids() processes {
	if t.gw == nil {
		return nil
	}
	return t.gw.pids
}

// spin starts one idle-class process per core for the rest of the trial.
func (t *trial) spin() {
	if len(t.opt.Spin) == 0 {
		t.note("no spinners: a halted core's wake-up is part of the latency")
		return
	}
	for range runtime.NumCPU() {
		cmd := exec.Command(t.opt.Spin[0], t.opt.Spin[1:]...)
		tieToParent(cmd)
		if err := cmd.Start(); err != nil {
			t.note("no spinners: %v", err)
			return
		}
		t.spinners = append(t.spinners, cmd)
	}
}

// stopSpinners ends what spin started.
func (t *trial) stopSpinners() {
	for _, s := range t.spinners {
		_ = s.Process.Kill()
		_ = s.Wait()
	}
	t.spinners = nil
}
