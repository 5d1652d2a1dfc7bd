package relayctl

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// versionTimeout bounds the question to a gateway that may not be there.
const versionTimeout = 2 * time.Second

// clientVersion is that of this program.
func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "say which versions this tool and the gateway have",
		Example: `  relayctl version --client`,
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the gateway")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		versions := map[string]any{"relayctl": clientVersion()}
		rows := [][]string{{"relayctl", clientVersion()}}
		if !clientOnly {
			client, err := a.api()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), versionTimeout)
			defer cancel()
			if r, err := client.Version(ctx); err == nil {
				versions["gateway"] = r
				rows = append(rows, []string{"gateway", clean(r.Text("version"))})
			} else {
				_, _ = fmt.Fprintln(a.Err, "relayctl:", a.explain(err))
			}
		}
		switch a.flags.output {
		case outputTable:
			return a.write(align(rows))
		case outputTSV:
			return a.write(tabs(rows))
		}
		return a.printValue(versions)
	}
	return cmd
}
