package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/sas"
)

// devTokenLife is how long the token in the printed example is good.
const devTokenLife = 24 * time.Hour

// devOptions are the flags of "relayhouse dev"; scripts rely on them.
type devOptions struct {
	management, dataDir, emulator string
	entities                      []string
}

func devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev [flags]",
		Short: "run an emulator: no configuration, known key, ready at once",
		Long: `Run an emulator of Azure Relay for development and tests.

Every host name maps to one namespace with the rule ` + config.DevKeyName + `,
key ` + config.DevKey + `, and the entities "authenticated" and "unauthenticated"
(senders need no token); --hyco adds more. Port 0 picks a free port. The chosen
addresses are printed and written to DIR/endpoints.json. All settings of
"relayhouse serve" may be given as flags too.`,
		Example: `  relayhouse dev
  relayhouse dev --http 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir ./relay
  relayhouse dev --hyco orders --hyco public:anonymous`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dev(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.management, "management", "127.0.0.1:9091",
		"management `ADDR` (not yet: nothing listens there)")
	f.StringVar(&o.dataDir, "data-dir", defaultDataDir(), "`DIR` for endpoints.json")
	f.StringArrayVar(&o.entities, "hyco", nil, "hybrid connection `NAME[:anonymous]`, may be repeated")
	f.StringVar(&o.emulator, "config", "", "namespaces from an emulator's `Config.json`")
	config.RegisterFlags(f) // --http, --https and --admin are among them
	return cmd
}

func defaultDataDir() string {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "relayhouse-dev")
}

func dev(cmd *cobra.Command, o devOptions) error {
	defs, err := devDefinitions(o)
	if err != nil {
		return err
	}
	flags := config.FlagValues(cmd.Flags())
	for _, name := range []string{"https", "management"} {
		if cmd.Flags().Changed(name) {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(),
				"relayhouse: --%s: not yet: TLS is not part of this build; nothing listens there\n", name)
		}
	}
	delete(flags, "listen.https")
	for path, value := range map[string]string{
		"log.level": "warn", "drain.spread": "0", "drain.timeout": "5s",
	} {
		if _, given := flags[path]; !given {
			flags[path] = value
		}
	}
	cfg, err := config.Load(config.Options{Env: os.Environ(), Flags: flags})
	if err != nil {
		return err
	}
	cfg.Namespaces = defs
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return &config.Error{Path: "--data-dir", Text: err.Error()}
	}
	endpoints := filepath.Join(o.dataDir, "endpoints.json")
	removeStale(endpoints)
	written := false
	defer func() {
		if written {
			_ = os.Remove(endpoints)
		}
	}()
	return serve(cfg, nil, func(n *node.Node) error {
		a := n.Addresses()
		if err := writeEndpoints(endpoints, a); err != nil {
			return &config.Error{Path: "--data-dir", Text: err.Error()}
		}
		written = true
		welcome(cmd.OutOrStdout(), a, cfg.Namespaces[0], o.dataDir)
		return nil
	})
}

func devDefinitions(o devOptions) ([]namespace.Definition, error) {
	if o.emulator == "" {
		return config.DevNamespaces(o.entities)
	}
	if len(o.entities) > 0 {
		return nil, &config.Error{
			Path: "--hyco", Text: "cannot be combined with --config; list the entity there",
		}
	}
	defs, err := config.LoadEmulator(o.emulator)
	if err == nil && len(defs) == 0 {
		err = &config.Error{
			Path: "UserConfig.Namespaces", Text: "want at least one namespace, got none",
			Source: o.emulator,
		}
	}
	return defs, err
}

// removeStale removes the file of an emulator that ended without doing so
// itself: a script that waits for the new one must not find it. The file of one
// that still answers stays.
func removeStale(endpoints string) {
	var a node.Addresses
	text, err := os.ReadFile(endpoints)
	if err != nil {
		return
	}
	if json.Unmarshal(text, &a) == nil {
		if c, err := net.DialTimeout("tcp", a.HTTP, time.Second); err == nil {
			_ = c.Close()
			return
		}
	}
	_ = os.Remove(endpoints)
}

// writeEndpoints replaces the file in one step, so that a script that waits for
// it never reads half of it.
func writeEndpoints(file string, a node.Addresses) error {
	dir := filepath.Dir(file)
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "endpoints-*")
	if err != nil {
		return err
	}
	_, werr := tmp.Write(append(text, '\n'))
	if cerr := tmp.Close(); werr == nil {
		werr = cerr
	}
	if werr == nil {
		werr = os.Rename(tmp.Name(), file)
	}
	if werr != nil {
		_ = os.Remove(tmp.Name())
	}
	return werr
}

// welcome prints what a newcomer can paste.
func welcome(w io.Writer, a node.Addresses, ns namespace.Definition, dir string) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("Relayhouse emulator, namespace %q", ns.Name)
	p("  relay   http://%s   (ws://%s/$hc/ENTITY)", a.HTTP, a.HTTP)
	p("  admin   http://%s   (/readyz /metrics /status /debug/pprof)", a.Admin)
	p("  files   %s", filepath.Join(dir, "endpoints.json"))
	if len(ns.Rules) > 0 {
		p("\nConnection strings:")
		for _, e := range ns.HybridConnections {
			p("  Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=%s;EntityPath=%s",
				a.HTTP, ns.Rules[0].Name, ns.Rules[0].PrimaryKey, e.Name)
		}
	}
	p("\nAs a sender, once a listener is connected (make run has one that echoes):")
	for _, e := range ns.HybridConnections {
		if !e.RequiresClientAuthorization {
			p("  npx wscat -c 'ws://%s/$hc/%s'", a.HTTP, e.Name)
			p("  curl -i http://%s/%s/some/path", a.HTTP, e.Name)
		} else if len(ns.Rules) > 0 {
			token := sas.Sign("http://"+a.HTTP+"/"+e.Name, ns.Rules[0].Name,
				ns.Rules[0].PrimaryKey, time.Now().Add(devTokenLife))
			p("  npx wscat -c 'ws://%s/$hc/%s' -H 'ServiceBusAuthorization: %s'",
				a.HTTP, e.Name, token)
			p("  curl -i http://%s/%s/some/path -H 'ServiceBusAuthorization: %s'",
				a.HTTP, e.Name, token)
		}
	}
	p("\nIs it up?")
	p("  curl http://%s/readyz", a.Admin)
}
