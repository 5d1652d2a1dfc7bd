package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/bench"
)

func newPeers() *cobra.Command {
	var check bool
	var build string
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "list the relays of others that can be measured beside a gateway",
		Long: `Lists what "relaybench run --peers" can measure in the same rounds, and what work
each of them does. With --check every peer is made ready, started and ended, and
the list says which can run here; one that cannot is no error. With --build NAME
one peer is made ready and the path of its binary printed.

The floor is compiled by the machine's C compiler, frp, chisel and strelaysrv by
Go, pinned and each in a module of its own, into the user's cache directory;
HAProxy and nginx are those that the machine has.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			places, err := peerPlaces()
			if err != nil {
				return err
			}
			if build != "" {
				targets, err := peerTargets(cmd.Context(), []string{build})
				if err != nil {
					return err
				}
				if targets[0].Missing != nil {
					return targets[0].Missing
				}
				if targets[0].Binary == "" {
					return fmt.Errorf("%s is no single binary", build)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), targets[0].Binary)
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, p := range bench.Peers() {
				version, state := p.Version, ""
				if check {
					t, err := p.Check(cmd.Context(), places)
					version, state = t.Version, "runs here\t"
					if err != nil {
						state = "FAILED: " + firstLine(err.Error()) + "\t"
					}
				}
				_, _ = fmt.Fprintf(tw, "%s\t%s\t%s%s\n", p.Name, version, state, p.Compared)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "install and start each: which can run here?")
	cmd.Flags().StringVar(&build, "build", "", "make this peer ready and print its binary")
	return cmd
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func peerPlaces() (p bench.Places, err error) {
	if p.Self, err = os.Executable(); err != nil {
		return p, fmt.Errorf("find own binary: %w", err)
	}
	p.Cache, err = bench.DefaultCache()
	return p, err
}

// peerTargets makes the named peers ready.
func peerTargets(ctx context.Context, names []string) ([]bench.Target, error) {
	places, err := peerPlaces()
	if err != nil {
		return nil, err
	}
	var targets []bench.Target
	for _, name := range names {
		all := bench.Peers()
		i := slices.IndexFunc(all, func(p *bench.Peer) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no peer %q; see relaybench peers", name)
		}
		targets = append(targets, all[i].Target(ctx, places))
	}
	return targets, nil
}
