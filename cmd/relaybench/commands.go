package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/bench"
	"github.com/relayhouse/relayhouse/bench/naive"
)

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare BEFORE.json AFTER.json",
		Short: "put the figures of two runs side by side",
		Long: `Compares two files that "relaybench run --json" wrote.

RATIO is the second median divided by the first; SPREAD is lowest to highest over
the rounds. The verdict is "within spread" unless the spreads of the two runs do
not overlap: then "better" or "WORSE". With one round per run there is none. Take
both runs on the same machine, with at least three rounds, in the same hour.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var runs [2][]bench.Row
			for i, path := range args {
				rows, err := readFile(path)
				if err != nil {
					return err
				}
				runs[i] = rows
			}
			return bench.WriteComparison(cmd.OutOrStdout(), runs[0], runs[1])
		},
	}
}

func readFile(path string) ([]bench.Row, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	rows, err := bench.ReadRows(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}

func newList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the tests and what they mean",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, t := range bench.Tests() {
				_, _ = fmt.Fprintf(tw, "%s\t%s\n\t  %s\n", t.ID, t.Title, t.About)
			}
			return tw.Flush()
		},
	}
}

func newNaive() *cobra.Command {
	var c naive.Config
	cmd := &cobra.Command{
		Use:   "naive",
		Short: "run the naive relay that gateways are compared with",
		Long: `Runs a relay written the plain way: net/http, a WebSocket library and two
goroutines per relayed connection. It checks no token; never let it face a
network. It writes endpoints.json and answers /readyz like "relayhouse dev", so
"relaybench run --start relaybench --command naive" measures it alone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Ready = func(at naive.Addresses) {
				also := ""
				if at.HTTPS != "" {
					also = " and https://" + at.HTTPS
				}
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "naive relay on http://%s%s, readiness on "+
					"http://%s/readyz\n", at.HTTP, also, at.Admin)
			}
			return naive.Serve(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&c.HTTP, "http", "127.0.0.1:8080", "address for clients")
	cmd.Flags().StringVar(&c.HTTPS, "https", "", "address for clients that speak TLS, with a "+
		"certificate of its own making")
	cmd.Flags().StringVar(&c.Scheme, "gateway-advertised-scheme", "", "ws or wss for rendezvous "+
		"addresses (default: that of the request)")
	cmd.Flags().BoolVar(&c.Gorilla, "gorilla", false, "use gorilla/websocket, not "+
		"coder/websocket")
	cmd.Flags().StringVar(&c.Admin, "admin", "127.0.0.1:0", "address of /readyz")
	cmd.Flags().StringVar(&c.DataDir, "data-dir", "", "directory for endpoints.json and ca.pem")
	return cmd
}

func newSpin() *cobra.Command {
	return &cobra.Command{
		Use:    "spin",
		Short:  "keep a core from sleeping; b3 and b13b start one per core",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return bench.Spin() },
	}
}

func newPlot() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "plot FILE...",
		Short: "draw the figures of runs as SVG",
		Long: `Draws what the files of "relaybench run --json" hold: throughput and CPU by size
of message (test sizes), latency (every test that measures it, one picture each),
and memory by number of relays (b7, b8, b10). Of rows with the same test and target
the last one counts. The names of the files written are printed.`,
		Example: "  relaybench plot today.json --out docs/plots",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rows []bench.Row
			for _, path := range args {
				more, err := readFile(path)
				if err != nil {
					return err
				}
				rows = slices.DeleteFunc(rows, func(r bench.Row) bool {
					return slices.ContainsFunc(more, func(m bench.Row) bool {
						return m.Test == r.Test && m.Target == r.Target
					})
				})
				rows = append(rows, more...)
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			plots := bench.Plots(rows)
			if len(plots) == 0 {
				return errors.New("the files hold nothing to draw")
			}
			for _, p := range plots {
				path := filepath.Join(out, p.Name+".svg")
				if err := os.WriteFile(path, p.SVG, 0o644); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", ".", "directory for the pictures")
	return cmd
}
