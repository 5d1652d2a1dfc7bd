package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/bench"
)

// gateFile is where the committed figures are, from the root of the repository.
const gateFile = "bench/testdata/gate.json"

func newGate() *cobra.Command {
	var f runFlags
	var file string
	var write bool
	cmd := &cobra.Command{
		Use:   "gate --start BINARY",
		Short: "fail when the gateway has become dearer in what can be counted",
		Long: `Counts system calls and allocations per round trip and per set-up, and memory
with idle relays, in a gateway process with one loop, and compares them with a
committed file. Nothing is timed, so a busy machine changes nothing: it is a gate
for continuous integration. Reads, writes and allocations are the gateway's own
counters; where strace is installed and may attach, all system calls on
connections are counted as well.

A figure above its committed value plus its slack fails. One that is below asks to
be committed: --write does that.`,
		Example: "  relaybench gate --start bin/relayhouse",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.quiet = true
			f.oneLoop = "--engine-loops=1"
			if err := f.complete(cmd); err != nil {
				return err
			}
			now, err := bench.MeasureGate(cmd.Context(), f.options)
			if err != nil {
				return err
			}
			committed, err := bench.ReadGate(file)
			if write && (err == nil || errors.Is(err, os.ErrNotExist)) {
				if committed == nil {
					committed = new(bench.Gate)
				}
				return now.Write(file, committed)
			}
			if err != nil {
				return err
			}
			ok, err := committed.Compare(cmd.OutOrStdout(), now)
			if err == nil && !ok {
				err = errFailures
			}
			return err
		},
	}
	f.defineTarget(cmd)
	cmd.Flags().StringVar(&file, "file", gateFile, "the committed figures")
	cmd.Flags().BoolVar(&write, "write", false, "write the figures to the file instead")
	if err := cmd.MarkFlagRequired("start"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}
