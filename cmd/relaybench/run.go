package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/bench"
)

// runFlags are the flags of relaybench run; each is explained where it is
// defined.
type runFlags struct {
	options  bench.Options
	start    string
	command  string
	args     string
	oneLoop  string
	gateway  string
	pid      int
	naive    bool
	tls      []string
	jsonFile string
	commit   string
	stuckMB  uint64
	stuckMBs uint64
	httpMB   uint64
	quiet    bool
	noSpin   bool
	peers    []string
	baseline string
	foreign  float64
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run (--start BINARY | --gateway URL [--pid PID])",
		Short: "run tests against a gateway",
		Long: `Runs tests against a gateway and prints one table.

With --start every test begins a process of its own:

  BINARY dev --http 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir TMP [--args]

It is ready once TMP/endpoints.json is there and /readyz answers 200, and it
must end with status 0 after SIGTERM. With --gateway the process is already
running; --pid lets relaybench read its CPU time and memory. Tests that need
fresh processes (b7, b8) are skipped then, and fairness measures however many
loops the gateway has.

With --tls the tests are those for TLS, in turn against the gateway over plain
HTTP (plain), with its own TLS (own; it gets --https 127.0.0.1:0 and is the
"gateway" of the table), behind an HAProxy that ends TLS (haproxy: CPU and memory
of both), and against the naive relay with TLS (naive). --tls=own,naive measures
those two only. Each certificate is ECDSA P-256; a line below the table says what
was negotiated. HAProxy has to be installed; its rows are skipped otherwise.

How to read the table: MEDIAN, BEST and SPREAD are over the N rounds; NAIVE is
the naive relay's median and RATIO the median of the ratios to it, each taken
inside one round: below 1 is cheaper, or for rates lower. In every round each
target has its turn, and another one is first.

A round in which other processes used more than --foreign-max of the machine is
thrown away, and repeated, up to --retries times per test; its failures count all
the same. When that does not help the calmest attempt is kept, and a line below
the table calls the row BUSY: repeat it, or trust CPU figures and ratios only.

The exit status is 1 when any test has failures: a relay that lost a byte, a
set-up that was refused, a gateway that did not end cleanly.`,
		Example: `  relaybench run --start bin/relayhouse --naive
  relaybench run --start bin/relayhouse --peers floor,naive,haproxy --tests b1,b2,b5,b6
  relaybench run --start bin/relayhouse --small
  relaybench run --start bin/relayhouse --tests stuck --stuck-mb 2000
  relaybench run --start bin/relayhouse --tls --tests tls-bulk
  relaybench run --gateway http://127.0.0.1:8080 --pid $(pidof relayhouse) --tests b4`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.define(cmd)
	return cmd
}

func (f *runFlags) define(cmd *cobra.Command) {
	f.defineTarget(cmd)
	f.defineTests(cmd)
	f.defineOutput(cmd)
	cmd.MarkFlagsMutuallyExclusive("start", "gateway")
	cmd.MarkFlagsMutuallyExclusive("start", "pid")
	cmd.MarkFlagsMutuallyExclusive("gateway", "tls")
	cmd.MarkFlagsOneRequired("start", "gateway", "naive", "peers", "tls")
}

// defineTarget has the flags that say how a gateway is started and spoken to.
func (f *runFlags) defineTarget(cmd *cobra.Command) {
	p, o := cmd.Flags(), &f.options
	p.StringVar(&f.start, "start", "", "gateway binary to start for each test")
	p.StringVar(&f.command, "command", "dev", "subcommand of the --start binary")
	p.StringVar(&f.args, "args", "", "further arguments for the --start binary, split at blanks")
	p.StringVar(&o.Entity, "entity", "", "hybrid connection to use (default unauthenticated, "+
		"or authenticated with --tokens)")
	p.BoolVar(&o.Tokens, "tokens", false, "senders present a token too")
	p.StringVar(&o.Rule, "rule", bench.DefaultRule, "authorization rule that signs tokens")
	p.StringVar(&o.Key, "key", bench.DefaultKey, "key of the rule")
}

// defineTests has the flags that say what is measured and how often.
func (f *runFlags) defineTests(cmd *cobra.Command) {
	p, o := cmd.Flags(), &f.options
	p.StringVar(&f.oneLoop, "one-loop-args", "--engine-loops=1",
		"further arguments that make the --start binary run one event loop (fairness)")
	p.StringVar(&f.gateway, "gateway", "", "address of a running gateway, http://127.0.0.1:PORT "+
		"or https://127.0.0.1:PORT")
	p.IntVar(&f.pid, "pid", 0, "process id of the running gateway")
	p.BoolVar(&f.naive, "naive", false, "also measure the naive relay, and print ratios to it")
	p.StringSliceVar(&f.peers, "peers", nil, "also measure these, in the same rounds (see "+
		"relaybench peers)")
	p.StringVar(&f.baseline, "baseline", "", "target that ratios are to (default naive with "+
		"--naive, else the first of --peers)")
	p.StringSliceVar(&f.tls, "tls", nil, "measure with TLS, and beside it without: which of "+
		"plain, own, haproxy, naive")
	p.Lookup("tls").NoOptDefVal = "plain,own,haproxy,naive"
	p.StringSliceVar(&o.Tests, "tests", nil, "ids from `relaybench list`, comma-separated "+
		"(default all, tls-... only with TLS)")
	p.DurationVar(&o.Duration, "duration", 2*time.Second, "measured window; at least 1.5s for "+
		"figures that mean something")
	p.IntVar(&o.Rounds, "rounds", 0, "how often to repeat each test (default 3; 1 for b7, b8, "+
		"b10, stuck, http-bulk, tls-idle and with --small)")
	p.Float64Var(&f.foreign, "foreign-max", 5, "percent of the machine that other processes may "+
		"use in a round before it is thrown away; 0 keeps all (default with --small)")
	p.IntVar(&o.Retries, "retries", 3, "how many rounds per test may be thrown away")
	p.BoolVar(&o.Small, "small", false, "small sizes and one round: does everything work?")
	p.Uint64Var(&f.stuckMB, "stuck-mb", 0, "megabytes over the single pair of stuck (default 600)")
	p.Uint64Var(&f.stuckMBs, "stuck-mb-each", 0, "megabytes over each of the many pairs of stuck "+
		"(default 60)")
	p.Uint64Var(&f.httpMB, "http-mb", 0, "megabytes of each long body of http-bulk (default 1000)")
	p.BoolVar(&f.noSpin, "no-spinners", false, "let cores sleep during b3 and b13b")
}

// defineOutput has the flags that say where results go.
func (f *runFlags) defineOutput(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.jsonFile, "json", "", "also write the rows to this file, one JSON object "+
		"per line")
	p.StringVar(&f.commit, "commit", "", "commit to name in the rows (default: ask git)")
	p.BoolVar(&f.quiet, "quiet", false, "no line per round on standard error")
}

func (f *runFlags) run(cmd *cobra.Command) error {
	if err := f.complete(cmd); err != nil {
		return err
	}
	rows, runErr := bench.Run(cmd.Context(), f.options)
	if err := bench.WriteTable(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	if f.jsonFile != "" && len(rows) > 0 {
		if err := writeFile(f.jsonFile, rows); err != nil {
			return err
		}
	}
	if runErr != nil {
		return runErr
	}
	for _, r := range rows {
		if r.Failures > 0 {
			return errFailures
		}
	}
	return nil
}

// complete turns flags into options.
func (f *runFlags) complete(cmd *cobra.Command) error {
	o := &f.options
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	if f.command != "dev" && cmd.Flags().Lookup("one-loop-args") != nil &&
		!cmd.Flags().Changed("one-loop-args") {
		f.oneLoop = "" // GOMAXPROCS=1 has to do
	}
	if err := f.addTargets(cmd.Context(), self); err != nil {
		return err
	}
	if o.Rounds < 0 || o.Duration < 0 || o.Duration == 0 && cmd.Flags().Changed("duration") {
		return errors.New("want --rounds and --duration above zero")
	}
	o.Drive = []string{self, "drive"}
	if !f.noSpin {
		o.Spin = []string{self, "spin"}
	}
	if !f.quiet {
		o.Progress = cmd.ErrOrStderr()
	}
	o.StuckBytes, o.StuckBytesEach = f.stuckMB*1e6, f.stuckMBs*1e6
	o.HTTPBytes = f.httpMB * 1e6
	if !o.Small || cmd.Flags().Changed("foreign-max") {
		o.ForeignMax = f.foreign / 100
	}
	o.Environment = bench.ThisEnvironment(f.commitName(), commandLine())
	return nil
}

// addTargets says what is measured, in the order of the rows.
func (f *runFlags) addTargets(ctx context.Context, self string) error {
	o := &f.options
	gateway := bench.Target{
		Name: "gateway", Binary: f.start, Command: f.command,
		Args: strings.Fields(f.args), OneLoop: strings.Fields(f.oneLoop),
		Open: f.command == "naive",
	}
	naive := bench.Target{Name: "naive", Binary: self, Command: "naive", Open: true}
	for _, kind := range f.tls {
		t := gateway
		switch kind {
		case "plain":
			t.Name = "plain"
		case "own":
			t.TLS = bench.OwnTLS
		case "haproxy":
			t.Name, t.TLS = "haproxy", bench.FrontTLS
			t.Args = append(slices.Clone(t.Args), "--gateway-advertised-scheme=wss")
		case "naive":
			f.naive, naive.TLS = true, bench.OwnTLS
			continue
		default:
			return fmt.Errorf("--tls=%s: want plain, own, haproxy or naive", kind)
		}
		if f.start == "" {
			return fmt.Errorf("--tls=%s: which gateway? Use --start", kind)
		}
		o.Targets = append(o.Targets, t)
	}
	switch {
	case f.gateway != "":
		o.Targets = append(o.Targets, bench.Target{Name: "gateway", URL: f.gateway, PID: f.pid})
	case f.start != "" && len(f.tls) == 0:
		o.Targets = append(o.Targets, gateway)
	}
	if f.naive {
		o.Targets = append(o.Targets, naive)
		o.Baseline = naive.Name
	}
	return f.addPeers(ctx)
}

// addPeers adds what --peers names and settles what ratios are to.
func (f *runFlags) addPeers(ctx context.Context) error {
	o := &f.options
	targets, err := peerTargets(ctx, f.peers)
	if err != nil {
		return err
	}
	o.Targets = append(o.Targets, targets...)
	if o.Baseline == "" && len(f.peers) > 0 {
		o.Baseline = f.peers[0]
	}
	if f.baseline != "" {
		o.Baseline = f.baseline
	}
	for i, t := range o.Targets {
		if slices.ContainsFunc(o.Targets[:i], func(u bench.Target) bool { return u.Name == t.Name }) {
			return fmt.Errorf("two targets are called %s", t.Name)
		}
	}
	if o.Baseline != "" && !slices.ContainsFunc(o.Targets, func(t bench.Target) bool {
		return t.Name == o.Baseline
	}) {
		return fmt.Errorf("--baseline %s is not measured", o.Baseline)
	}
	return nil
}

// commitName is the commit that the figures belong to, with "-dirty" when the
// work tree has changes.
func (f *runFlags) commitName() string {
	if f.commit != "" {
		return f.commit
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// commandLine is the command as given, without the value of --key.
func commandLine() string {
	args := append([]string{"relaybench"}, os.Args[1:]...)
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "--key="):
			args[i] = "--key=..."
		case i > 0 && args[i-1] == "--key":
			args[i] = "..."
		}
	}
	return strings.Join(args, " ")
}

func writeFile(path string, rows []bench.Row) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	err = bench.WriteRows(file, rows)
	return errors.Join(err, file.Close())
}
