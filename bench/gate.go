package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A Gate is what a change must not make dearer: figures that repeat on any
// machine, however busy, because they are counted and not timed.
type Gate struct {
	// Figures in the order in which they are measured.
	Figures []GateFigure `json:"figures"`
}

// A GateFigure is one of them, per relay, round trip or set-up.
type GateFigure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	// Slack is how much more is still no change, in the unit of the figure:
	// what repetitions of one binary differ by.
	Slack float64 `json:"slack"`
	// Skipped says why a figure could not be measured here.
	Skipped string `json:"-"`
}

const (
	gateTrips  = 20_000
	gateSetUps = 1000
	gateTraced = 200 // set-ups under strace, which slows them down
	gateSize   = 1 << 10
	gateStream = 512 << 20 // bytes of the stream
	gateRelays = 4000
)

// MeasureGate counts what target does, in one process with one loop.
func MeasureGate(ctx context.Context, o Options) (*Gate, error) {
	if _, err := o.check(); err != nil {
		return nil, err
	}
	g, err := o.Targets[0].start(ctx, startOptions{oneLoop: true})
	if err != nil {
		return nil, err
	}
	t := &trial{ctx: ctx, target: &o.Targets[0], gw: g, opt: &o, size: o.sizes(), mode: tlsFull}
	gate := new(Gate)
	for _, part := range []func(*trial) error{gate.trips, gate.stream, gate.setUps, gate.traced,
		gate.memory} {
		if err := part(t); err != nil {
			return nil, errors.Join(err, g.stop())
		}
	}
	if err := g.stop(); err != nil {
		return nil, err
	}
	if t.failures.count() > 0 {
		return nil, errors.New(strings.Join(t.failures.list(), "; "))
	}
	return gate, nil
}

func (g *Gate) add(name, unit string, value, slack float64) {
	g.Figures = append(g.Figures, GateFigure{Name: name, Unit: unit, Value: value, Slack: slack})
}

// counters are what the gateway counts of itself.
type counters struct{ reads, writes, mallocs float64 }

func (t *trial) counters() (c counters, err error) {
	body, err := t.gw.metrics(t.ctx)
	if err != nil {
		return c, err
	}
	c.reads = sumMetric(body, "relay_reads_total")
	c.writes = sumMetric(body, "relay_writes_total")
	c.mallocs = sumMetric(body, "go_memstats_mallocs_total")
	if c.reads == 0 && c.mallocs == 0 {
		return c, &unfit{"the target has no counters of its own"}
	}
	return c, nil
}

// counted runs f and returns what the gateway counted meanwhile, without what
// the asking costs: of several times in a row the least.
func (t *trial) counted(f func() error) (c counters, err error) {
	before, err := t.counters()
	if err != nil {
		return c, err
	}
	asking := math.Inf(1)
	for range 5 {
		now, err := t.counters()
		if err != nil {
			return c, err
		}
		asking, before = min(asking, now.mallocs-before.mallocs), now
	}
	if err := f(); err != nil {
		return c, err
	}
	after, err := t.counters()
	if err != nil {
		return c, err
	}
	return counters{after.reads - before.reads, after.writes - before.writes,
		max(0, after.mallocs-before.mallocs-asking)}, nil
}

// trips counts round trips of one pair.
func (g *Gate) trips(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	e := newEcho(pingSize)
	e.closed = true
	if _, err := d.openPairs(1, 1, e); err != nil {
		return err
	}
	if err := d.runFor(t.size.warmUp); err != nil {
		return err
	}
	var n uint64
	c, err := t.counted(func() error {
		before := e.trips
		ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
			return e.trips >= before+gateTrips
		})
		if n = e.trips - before; err == nil && !ok {
			err = fmt.Errorf("only %d round trips within %v", n, stallMax)
		}
		return err
	})
	if err != nil {
		return err
	}
	g.add("reads per round trip", "", c.reads/float64(n), 0.02)
	g.add("writes per round trip", "", c.writes/float64(n), 0.02)
	g.add("allocations per round trip", "", c.mallocs/float64(n), 0.3)
	return nil
}

// stream counts allocations of bulk transfer; its reads and writes depend on
// time. So do the few allocations: one per message would be 1,000.
func (g *Gate) stream(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	s := newStream(toListener, gateSize, 32)
	pairs, err := d.openPairs(1, 1, s)
	if err != nil {
		return err
	}
	s.start(pairs[0])
	if err := d.runFor(t.size.warmUp); err != nil {
		return err
	}
	begun := s.messages
	c, err := t.counted(func() error {
		ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
			return s.messages >= begun+gateStream/gateSize
		})
		if err == nil && !ok {
			err = fmt.Errorf("only %d messages within %v", s.messages-begun, stallMax)
		}
		return err
	})
	if err != nil {
		return err
	}
	g.add("allocations per 1,000 messages", "", 1000*c.mallocs/float64(s.messages-begun), 15)
	return nil
}

// setUps counts set-ups, one at a time.
func (g *Gate) setUps(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	if err := setUpOnes(d, gateSetUps/10); err != nil {
		return err
	}
	c, err := t.counted(func() error { return setUpOnes(d, gateSetUps) })
	if err != nil {
		return err
	}
	g.add("reads per set-up", "", c.reads/gateSetUps, 0.1)
	g.add("writes per set-up", "", c.writes/gateSetUps, 0.1)
	g.add("allocations per set-up", "", c.mallocs/gateSetUps, 4)
	return nil
}

// setUpOnes makes n relays one after the other, each with one round trip.
func setUpOnes(d *driver, n int) error {
	d.spread = setUpSources
	done, e := 0, newEcho(8)
	e.whenDone = func(p *pair) {
		p.failed = true
		p.abort()
		done++
	}
	for i := range n {
		d.connect(e)
		ok, err := d.runUntil(time.Now().Add(stallMax), func() bool { return done+d.failed > i })
		if err == nil && (!ok || d.failed > 0) {
			err = fmt.Errorf("set-up %d of %d: %s", i, n, d.failures.first())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tracedCalls are those that belong to connections; how often a loop waits or a
// thread wakes another depends on time.
const tracedCalls = "accept4,epoll_ctl,read,write,close,setsockopt,getsockopt,getsockname," +
	"getpeername,shutdown,fcntl"

// traced counts system calls per set-up, where strace may do so.
func (g *Gate) traced(t *trial) error {
	const name = "system calls per set-up, by strace"
	skip := func(format string, args ...any) error {
		g.Figures = append(g.Figures, GateFigure{Name: name, Skipped: fmt.Sprintf(format, args...)})
		return nil
	}
	path, err := exec.LookPath("strace")
	if err != nil {
		return skip("there is no strace on this machine")
	}
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	dir, err := os.MkdirTemp("", "relaybench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "calls")
	c, err := startChild(exec.Command(path, "-f", "-c", "-e", "trace="+tracedCalls, "-o", file,
		"-p", strconv.Itoa(t.gw.child.pid())))
	if err != nil {
		return skip("%v", err)
	}
	if err := attached(t.ctx, c); err != nil {
		return skip("%v", err)
	}
	if err := setUpOnes(d, gateTraced); err != nil {
		c.kill()
		return err
	}
	if err := c.stop(true); err != nil {
		return skip("%v", err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	calls, err := totalCalls(raw)
	if err != nil {
		return skip("%v", err)
	}
	g.add(name, "", calls/gateTraced, 0.5)
	return nil
}

// attached waits until strace says that it follows the process.
func attached(ctx context.Context, c *child) error {
	for end := time.Now().Add(startMax); time.Now().Before(end); {
		if strings.Contains(c.output.String(), "attached") {
			return nil
		}
		select {
		case end := <-c.exited:
			return fmt.Errorf("strace: %s%s", end, c.output)
		case <-ctx.Done():
			c.kill()
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	c.kill()
	return fmt.Errorf("strace has not attached within %v", startMax)
}

// totalCalls reads the last line of a summary of strace: "100.00 SECONDS USECS
// CALLS [ERRORS] total".
func totalCalls(summary []byte) (float64, error) {
	for line := range bytes.Lines(summary) {
		f := bytes.Fields(line)
		if len(f) >= 5 && string(f[len(f)-1]) == "total" {
			return strconv.ParseFloat(string(f[3]), 64)
		}
	}
	return 0, errors.New("strace counted nothing")
}

// memory takes what idle relays add to a process that has worked already.
func (g *Gate) memory(t *trial) error {
	d, err := t.driver()
	if err != nil {
		return err
	}
	defer d.close()
	n := t.withinLimit([]int{gateRelays}, 0)[0]
	before, err := t.pids().userMemory()
	if err != nil {
		return err
	}
	if _, err := d.openPairs(n, openAtOnce, newEcho(8)); err != nil {
		return err
	}
	after, err := t.pids().userMemory()
	if err != nil {
		return err
	}
	each := (float64(after) - float64(before)) / float64(n)
	g.add("memory per idle relay", "KiB", each/kib, 0.5)
	return nil
}

// metrics is the body of the gateway's /metrics.
func (g *gateway) metrics(ctx context.Context) (string, error) {
	res, err := g.get(ctx, "/metrics")
	if err != nil {
		return "", fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4*mib))
	return string(body), err
}

// sumMetric adds up all series of a metric; 0 when there is none.
func sumMetric(body, name string) (sum float64) {
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		sum += v
	}
	return sum
}

// ReadGate reads a file that WriteGate wrote.
func ReadGate(path string) (*Gate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := new(Gate)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// Write writes g as the file to compare with. Figures that were skipped keep the
// value that they have in old, if any.
func (g *Gate) Write(path string, old *Gate) error {
	kept := Gate{}
	for _, f := range g.Figures {
		if f.Skipped != "" {
			if before := old.figure(f.Name); before != nil {
				kept.Figures = append(kept.Figures, *before)
			}
			continue
		}
		kept.Figures = append(kept.Figures, f)
	}
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func (g *Gate) figure(name string) *GateFigure {
	for i := range g.Figures {
		if g.Figures[i].Name == name {
			return &g.Figures[i]
		}
	}
	return nil
}

// Compare prints now beside g, which was committed, and says whether nothing has
// become dearer. A figure that is missing on either side is no pass.
func (g *Gate) Compare(w io.Writer, now *Gate) (ok bool, err error) {
	ok = true
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "FIGURE\tUNIT\tCOMMITTED\tNOW\tSLACK\tVERDICT")
	for _, f := range now.Figures {
		before := g.figure(f.Name)
		verdict := "ok"
		switch {
		case f.Skipped != "":
			_, _ = fmt.Fprintf(tw, "%s\t\t\t\t\tskipped: %s\n", f.Name, f.Skipped)
			continue
		case before == nil:
			before, ok, verdict = &GateFigure{}, false, "NEW: commit it with --write"
		case f.Value > before.Value+before.Slack:
			ok, verdict = false, "WORSE"
		case f.Value < before.Value-before.Slack:
			verdict = "better: commit it with --write"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Unit, short(before.Value),
			short(f.Value), short(before.Slack), verdict)
	}
	for _, f := range g.Figures {
		if now.figure(f.Name) == nil {
			ok = false
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t\t\tGONE\n", f.Name, f.Unit, short(f.Value))
		}
	}
	return ok, tw.Flush()
}
