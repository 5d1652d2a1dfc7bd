// Command relaybench measures a gateway: it plays the listener and the sender of
// every relayed connection over loopback and reports what relaying costs.
//
//	relaybench run --start bin/relayhouse --naive
//	relaybench run --gateway http://127.0.0.1:8080 --pid 4711 --tests b1,b2
//	relaybench compare before.json after.json
//	relaybench list
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses: a run with failures is a failed run, wrong use is another
// matter.
const (
	exitFailures = 1
	exitUsage    = 2
)

// errFailures says that the results hold failures; they were printed.
var errFailures = errors.New("the run has failures")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, errFailures):
		os.Exit(exitFailures)
	default:
		fmt.Fprintln(os.Stderr, "relaybench:", err)
		os.Exit(exitUsage)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "relaybench",
		Short: "measure what a Hybrid Connections gateway costs",
		Long: `relaybench plays both ends of every relayed connection, the listener and the
sender, over loopback, and reports what the gateway between them costs.

CPU cost of the gateway process (seconds per GB, microseconds per round trip
and per set-up) and memory per idle relay are the figures to trust; throughput
and latency stand beside them and move with whatever else the machine does. A
naive relay in the same run (--naive) gives ratios that travel better than
absolute numbers.`,
		Example: `  relaybench run --start bin/relayhouse --naive --json today.json
  relaybench run --start bin/relayhouse --tests b1,b2,fairness --duration 5s
  relaybench compare yesterday.json today.json
  relaybench list`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRun(), newHold(), newGate(), newPeers(), newCompare(), newPlot(),
		newList(), newNaive(), newSpin(), newDrive())
	return root
}
