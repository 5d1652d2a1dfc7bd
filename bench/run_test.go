package bench

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/naive"
)

// Every test of the matrix against a child process, beside a second one as the
// baseline: no failures, figures everywhere, ratios where both have one.
func TestRunEveryTest(t *testing.T) {
	gateway := childTarget(t, "naive")
	base := gateway
	base.Name, base.Open = "naive", true
	gateway.Open = true
	o := testOptions(gateway, base)
	o.Baseline, o.Tokens, o.Rounds, o.Tests = "naive", true, 2, testIDs()
	var progress bytes.Buffer
	o.Progress = &progress
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2*len(Tests()) {
		t.Fatalf("%d rows for %d tests and 2 targets", len(rows), len(Tests()))
	}
	for _, r := range rows {
		// One processor that this naive gateway shares with the blast may leave
		// the ping without a turn in so short a window: not ours to fail on.
		if r.Failures != 0 && r.Test != "fairness" {
			t.Errorf("%s %s: %v", r.Test, r.Target, r.FailureTexts)
		}
		if r.Test == "storm" || r.Test == "tls-storm" {
			if r.Skipped == "" {
				t.Errorf("%s ran against a target that checks no token and has no TLS", r.Test)
			}
			continue
		}
		if len(r.Figures) < 3 || r.N == 0 {
			t.Errorf("%s %s: only %d figures of %d rounds", r.Test, r.Target, len(r.Figures), r.N)
		}
		ratios := 0
		for _, f := range r.Figures {
			if f.N == 0 || f.Min > f.Median || f.Median > f.Max {
				t.Errorf("%s %s: %+v", r.Test, r.Target, f)
			}
			if f.Ratio > 0 {
				ratios++
			}
		}
		want := r.Target == "gateway"
		if r.Test == "stuck" || r.Test == "b11" {
			want = ratios > 0 && want // memory that did not grow has no ratio
		}
		if (ratios > 0) != want {
			t.Errorf("%s %s: %d ratios", r.Test, r.Target, ratios)
		}
	}
	if !strings.Contains(progress.String(), "b1        gateway  round 1") {
		t.Errorf("progress says %q", progress.String())
	}
}

// refusing answers listeners with a token other than the first one's with 401,
// as a gateway that checks tokens does.
func refusing(h http.Handler) http.Handler {
	good := ""
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("ServiceBusAuthorization")
		if strings.Contains(r.URL.RawQuery, "action=listen") && good == "" {
			good = token
		}
		if token != "" && token != good {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestStorm(t *testing.T) {
	target := inProcess(t, refusing(new(naive.Relay)))
	target.Open = false
	o := testOptions(target)
	o.Tests = []string{"storm"}
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	if r.Failures != 0 {
		t.Fatal(r.FailureTexts)
	}
	if f := r.figure("answered 401"); f == nil || f.Median < 3 {
		t.Errorf("refusals: %+v; two attempts must follow each", f)
	}
	if f := r.figure("p99 storm/alone"); f == nil || f.Median <= 0 {
		t.Errorf("ratio: %+v", f)
	}
}

func TestStormFailsWhenBadTokenIsTaken(t *testing.T) {
	target := inProcess(t, new(naive.Relay))
	target.Open = false
	o := testOptions(target)
	o.Tests = []string{"storm"}
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(rows[0].FailureTexts, "\n"), "bad token was registered") {
		t.Errorf("failures: %v", rows[0].FailureTexts)
	}
}

func TestRunReportsProcessesThatMisbehave(t *testing.T) {
	for _, c := range []struct{ how, want string }{
		{"dies", "ended before it was ready: exit status 2; it printed last: port in use"},
		{"bad exit", "stop: exit status 3"},
	} {
		o := testOptions(childTarget(t, c.how))
		o.Tests = []string{"b1"}
		rows, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rows[0].FailureTexts, "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: failures %q, want %q", c.how, got, c.want)
		}
	}
	o := testOptions(Target{Name: "gateway", Binary: "/nonexistent/relayhouse", Command: "dev"})
	o.Tests = []string{"b1", "b7"}
	rows, err := Run(context.Background(), o)
	if err != nil || rows[0].Failures == 0 || rows[1].Failures == 0 {
		t.Errorf("no binary: %+v %v", rows, err)
	}
}

// calmAfter makes a test whose first disturbed trials see foreign CPU.
func calmAfter(disturbed int, foreign ...float64) *Test {
	n := 0
	return &Test{ID: "x", run: func(t *trial) error {
		if t.cost("cpu", "s", float64(n)); n < disturbed {
			t.foreign = foreign[n%len(foreign)]
			t.failures.addf("failure in a disturbed trial")
		}
		n++
		return nil
	}}
}

// Rounds that others disturb are thrown away for all targets, their failures are
// not; what stays disturbed says so.
func TestRoundsThatOthersDisturb(t *testing.T) {
	target := Target{Name: "gateway", URL: "http://127.0.0.1:1"}
	other := target
	other.Name = "naive"
	for _, c := range []struct {
		name                   string
		test                   *Test
		rounds, retries        int
		thrown, busy, failures int
		values                 []float64 // of the gateway
	}{
		{"calm", calmAfter(0), 2, 3, 0, 0, 0, []float64{0, 3}},
		{"one of two targets", calmAfter(1, 0.5), 2, 3, 1, 0, 1, []float64{2, 5}},
		{"retries are shared", calmAfter(100, 0.5, 0.4), 2, 1, 1, 2, 3, []float64{0, 5}},
		{"the calmest counts", calmAfter(100, 0.5, 0.5, 0.2, 0.2, 0.4), 1, 2, 2, 1, 3,
			[]float64{2}},
		{"none allowed", calmAfter(100, 0.5), 1, 0, 0, 1, 1, []float64{0}},
	} {
		o := testOptions(target, other)
		o.Rounds, o.ForeignMax, o.Retries = c.rounds, 0.05, c.retries
		r := runTest(context.Background(), &o, c.test)[0]
		if r.Thrown != c.thrown || r.Busy != c.busy || r.Failures != c.failures ||
			!slices.Equal(r.Figures[0].Values, c.values) {
			t.Errorf("%s: thrown %d, busy %d, failures %d, values %v", c.name, r.Thrown, r.Busy,
				r.Failures, r.Figures[0].Values)
		}
		if text := strings.Join(remarksOf([]Row{r}), "\n"); strings.Contains(text, "BUSY") !=
			(c.busy > 0) || strings.Contains(text, "thrown away") != (c.thrown > 0) {
			t.Errorf("%s: remarks %q", c.name, text)
		}
	}
}

func TestRunRefusesWrongOptions(t *testing.T) {
	target := Target{Name: "gateway", URL: "http://127.0.0.1:1"}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no target"},
		{Options{Targets: []Target{target}, Tests: []string{"b99"}}, "no test \"b99\"; there are b1,"},
		{Options{Targets: []Target{target}, Rounds: -1}, "want none below zero"},
	} {
		if _, err := Run(context.Background(), c.o); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestRunEndsWhenCancelled(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	o := testOptions(inProcess(t, new(naive.Relay)))
	o.tiny.window = time.Hour
	o.Tests = []string{"b1"}
	o.Progress = nil
	time.AfterFunc(50*time.Millisecond, stop)
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// With a running gateway of unknown process there are no CPU figures, and tests
// that need fresh processes say that they were skipped.
func TestRunWithoutProcess(t *testing.T) {
	target := inProcess(t, new(naive.Relay))
	target.PID = 0
	o := testOptions(target)
	o.Tests = []string{"b1", "b7", "churn"}
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rows[0].figure("cpu") != nil || rows[0].figure("throughput") == nil {
		t.Errorf("b1: %+v", rows[0].Figures)
	}
	if rows[1].Skipped == "" || rows[1].Failures != 0 {
		t.Errorf("b7: %+v", rows[1])
	}
	if rows[2].Failures != 0 || rows[2].figure("lives") == nil {
		t.Errorf("churn: %+v", rows[2])
	}
}

func TestResolve(t *testing.T) {
	for raw, want := range map[string]string{
		"http://127.0.0.1:8080": "127.0.0.1:8080",
		"ws://127.0.0.1:80/x":   "127.0.0.1:80",
		"http://[::1]:8080":     "[::1]:8080",
		"http://192.0.2.1:8080": "want a loopback address",
		"https://127.0.0.1:443": "127.0.0.1:443",
		"ftp://127.0.0.1:21":    "want http://HOST:PORT",
		"http://127.0.0.1":      "want http://HOST:PORT",
		"127.0.0.1:8080":        "gateway address",
		"":                      "want http://HOST:PORT",
	} {
		got, err := resolve(raw)
		if text := got.String(); err != nil && !strings.Contains(err.Error(), want) ||
			err == nil && text != want {
			t.Errorf("resolve(%q) = %s, %v; want %s", raw, text, err, want)
		}
	}
}

func TestProcessFigures(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	begun, used := time.Now(), time.Duration(0)
	for used < 5*time.Millisecond && time.Since(begun) < 10*time.Second && err == nil {
		var now time.Duration
		now, err = cpuTime(os.Getpid())
		used = now - before
	}
	// Other threads of the tests may work, too: at most one per core.
	most := time.Since(begun) * time.Duration(runtime.NumCPU()+1)
	if err != nil || used < 5*time.Millisecond || used > most {
		t.Errorf("%v of work cost %v, %v", time.Since(begun), used, err)
	}
	memory, err := userMemory(os.Getpid())
	if err != nil || memory < 1<<20 {
		t.Errorf("memory %d, %v", memory, err)
	}
	if _, err := userMemory(1 << 30); err == nil {
		t.Error("memory of a process that does not exist")
	}
	if busy, err := machineBusy(); err != nil || busy == 0 {
		t.Errorf("machine busy %v, %v", busy, err)
	}
	if e := ThisEnvironment("c", "x"); e.Kernel == "unknown" || e.Cores == 0 || e.Descriptors == 0 {
		t.Errorf("environment %+v", e)
	}
}
