package main

import (
	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/bench"
)

func newHold() *cobra.Command {
	var f runFlags
	var floorGiB float64
	cmd := &cobra.Command{
		Use:   "hold --start BINARY --relays N --gateways G",
		Short: "hold very many relays over many processes, and make all of them echo",
		Long: `Starts G gateway processes and as many driver processes, sets up N relays over
them step by step, leaves them idle for a while, and then makes every relay carry
a message there and back. It is test b10 in a size of one's own.

A relay takes two descriptors in its gateway and two in its driver, so with the
usual limit of 20,000 per process 100,000 relays take at least 11 gateways. On
one machine a relay costs about 24 KiB, most of it the kernel's. Before less than
--memory-floor-gib would be available the build-up stops, in order, and the row
says where.

"user per relay" is the slope of the gateways' anonymous memory over all steps,
"heap per relay" that of the Go heap in use as the gateways' own metrics have it;
slab and socket buffers are the kernel's, for all four sockets of a relay.

The gateways get --tcp-keepalive=0 unless --args says otherwise. The kernel
seems to round the timers of keep-alive probes, so that those of 100,000
connections leave in bursts of tens of thousands; loopback drops what exceeds
net.core.netdev_max_backlog, and who loses five probes is cut off.

Run it under "nice -n 19" on a machine that is shared.`,
		Example: `  relaybench hold --start bin/relayhouse --relays 100000 --gateways 12
  relaybench hold --start $(relaybench peers --build floor) --command floor \
      --relays 250000 --gateways 28`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.options.Tests = []string{"b10"}
			f.options.Hold.MemoryFloor = uint64(floorGiB * (1 << 30))
			return f.run(cmd)
		},
	}
	f.defineTarget(cmd)
	f.defineOutput(cmd)
	args := cmd.Flags().Lookup("args")
	args.DefValue = "--tcp-keepalive=0"
	f.args = args.DefValue
	p, h := cmd.Flags(), &f.options.Hold
	p.IntVar(&h.Relays, "relays", 100_000, "relays in all")
	p.IntVar(&h.Gateways, "gateways", 12, "gateway processes, and as many driver processes")
	p.IntVar(&h.Step, "step", 10_000, "relays to add at a time")
	p.DurationVar(&h.Rest, "rest", bench.DefaultRest, "idle time before all relays echo")
	p.Float64Var(&floorGiB, "memory-floor-gib", bench.DefaultMemoryFloor/(1<<30),
		"memory of the machine that has to stay available")
	if err := cmd.MarkFlagRequired("start"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func newDrive() *cobra.Command {
	return &cobra.Command{
		Use:    "drive",
		Short:  "hold relays as standard input says; b10 starts one per gateway",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Drive(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
