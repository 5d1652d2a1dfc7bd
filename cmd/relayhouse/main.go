// Command relayhouse is the gateway: "relayhouse serve" in production,
// "relayhouse dev" as an emulator for development.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/node"
)

// exitUsage is the status for everything that an operator can mend: settings,
// flags, addresses in use. exitFailure is the rest.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run()) }

func run() int {
	root := &cobra.Command{
		Use:   "relayhouse",
		Short: "A self-hosted gateway that speaks the Azure Relay protocols",
		Long: `relayhouse lets a service behind a firewall be reached without opening a port:
the service (a listener) and its clients (senders) both connect to this gateway,
which joins them. Clients of Azure Relay Hybrid Connections work unchanged.

  relayhouse dev                     an emulator: no configuration, known key
  relayhouse serve -c FILE           a gateway
`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(serveCommand(), devCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	root.DisableSuggestions = true // they would make an error two lines
	err := root.Execute()
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "relayhouse:", line)
	}
	var failed *failure
	if errors.As(err, &failed) {
		return exitFailure
	}
	return exitUsage
}

// failure is an error that no setting is to blame for.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func serveCommand() *cobra.Command {
	var file string
	var check, show bool
	cmd := &cobra.Command{
		Use:   "serve -c FILE [flags]",
		Short: "run a gateway",
		Long: `Run a gateway. Settings come from the file, then from the environment
(RELAYHOUSE_GATEWAY__ID for gateway.id), then from flags; the last one counts.

SIGHUP reads the namespaces and certificates again; entities that are gone are
closed. Certificates are also read again when their files change.
SIGTERM drains: not ready, listeners are sent elsewhere, relayed connections
live on until drain.timeout. A second SIGTERM ends at once.
SIGUSR2, with restart.socket, starts the command again, which takes over the
ports without losing a connection; then this process drains.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (config.Config, error) {
				return config.Load(config.Options{
					File: file, Env: os.Environ(), Flags: config.FlagValues(cmd.Flags()),
				})
			}
			cfg, err := load()
			switch {
			case err != nil:
				return err
			case show:
				return cfg.Print(cmd.OutOrStdout())
			case check:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the settings are valid")
				return err
			}
			return serve(cfg, load, nil)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "settings `FILE` (YAML)")
	cmd.Flags().BoolVar(&check, "check-config", false, "check the settings and exit")
	cmd.Flags().BoolVar(&show, "print-config", false,
		"print the settings in force, keys masked, and exit")
	config.RegisterFlags(cmd.Flags())
	return cmd
}

// serve runs a node until a signal ends it, or a new process has taken its
// place. reload may be nil.
func serve(
	cfg config.Config, reload func() (config.Config, error), ready func(*node.Node) error,
) error {
	log := logger(cfg.Log)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	processors(&cfg)
	n, err := node.Start(cfg, log)
	if err != nil {
		return err
	}
	defer n.Stop()
	if ready != nil {
		if err := ready(n); err != nil {
			return err
		}
	}
	a := n.Addresses()
	log.Info("ready", slog.String("http", a.HTTP), slog.String("https", a.HTTPS),
		slog.String("admin", a.Admin), slog.String("management", a.Management))
	s := startSupervision(n, log)
	defer s.end()
	next := &successor{cfg: cfg, log: log, supervision: s}
	for running := true; running; {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				if reload != nil {
					s.reloading()
					reloaded(n, log, reload)
					s.ready()
				}
			case syscall.SIGUSR2:
				next.start()
			default:
				s.stopping()
				return drain(n, log, signals, 1)
			}
		case <-next.ended: //nolint:errcheck // gone says it
			next.gone()
		case <-n.Replaced():
			s.handOver(n.Successor())
			running = false
		}
	}
	// systemd sends SIGTERM to all processes of the service: the first one says
	// nothing new to a process that is draining.
	return drain(n, log, signals, 2)
}

// cpus is what the process may use, container limits included.
var cpus = runtime.GOMAXPROCS(0)

// processors gives the scheduler one processor more than there are loops, unless
// the environment says how many. With an idle one at hand the runtime leaves a
// loop that waits its own for up to 10 ms; without it takes it away after 20 us
// and looks for more at that pace: 10 % of the cost of a set-up (docs/adr/0021).
func processors(cfg *config.Config) {
	if cfg.Engine.Loops == 0 {
		cfg.Engine.Loops = cpus
	}
	if cfg.TLS.HandshakeWorkers == 0 {
		cfg.TLS.HandshakeWorkers = cpus
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(cpus, cfg.Engine.Loops+1))
	}
}

// drain drains the node; the patience-th signal ends it at once.
func drain(n *node.Node, log *slog.Logger, signals <-chan os.Signal, patience int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drained := make(chan struct{})
	go func() {
		n.Drain(ctx)
		close(drained)
	}()
	for {
		select {
		case <-drained:
			return nil
		case s := <-signals:
			if s == syscall.SIGHUP || s == syscall.SIGUSR2 {
				continue
			}
			if patience--; patience > 0 {
				log.Info("draining already; one more signal ends the process at once")
				continue
			}
			cancel()
			<-drained
			return &failure{fmt.Errorf("ended by a second %v while draining", s)}
		}
	}
}

func reloaded(n *node.Node, log *slog.Logger, reload func() (config.Config, error)) {
	cfg, err := reload()
	if err == nil {
		err = n.Reload(cfg)
	}
	if err != nil {
		log.Error("the settings were not reloaded; the old ones stay", slog.String("error", err.Error()))
		return
	}
	log.Info("namespaces reloaded")
}

func logger(c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked by Validate
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" || c.Format == "auto" && !term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
