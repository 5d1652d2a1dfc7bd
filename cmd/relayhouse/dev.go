package main

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/sas"
)

// Where an emulator listens unless told otherwise.
const (
	devHTTPS      = "127.0.0.1:8443"
	devManagement = "127.0.0.1:9091"
)

// welcomeMax is how many entities are printed, with a few lines each.
const welcomeMax = 10

// devTokenLife is how long the token in the printed example is good.
const devTokenLife = 24 * time.Hour

// devOptions are the flags of "relayhouse dev"; scripts rely on them.
type devOptions struct {
	dataDir, emulator string
	entities          []string
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
addresses are printed and written to DIR/endpoints.json.

HTTPS is at 127.0.0.1:8443 unless --https says otherwise; --https "" turns it off.
Its certificate is signed by a local CA that is made once and kept in DIR;
clients must trust DIR/ca.pem. All settings of "relayhouse serve" may be given as
flags too; with --tls-certificate or --tls-acme-domains the local CA is not used.

The management API is at 127.0.0.1:9091, or another free port if that is in use and
--management does not ask for it; --management "" turns it off. Its bearer token is
in DIR/management.token. What is made there, or with relayctl, is kept in
DIR/namespaces.db and is there again in the next run. With --config, namespaces come
from that file alone and follow its changes; the API can only read them.`,
		Example: `  relayhouse dev
  relayhouse dev --http 127.0.0.1:0 --https 127.0.0.1:0 --admin 127.0.0.1:0 \
    --data-dir ./relay
  relayhouse dev --hyco orders --hyco public:anonymous`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dev(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dataDir, "data-dir", defaultDataDir(),
		"`DIR` for endpoints.json, the local CA, the management token and namespaces")
	f.StringArrayVar(&o.entities, "hyco", nil, "hybrid connection `NAME[:anonymous]`, may be repeated")
	f.StringVar(&o.emulator, "config", "", "namespaces from an emulator's `Config.json`, or YAML")
	config.RegisterFlags(f) // --http, --https, --admin and --management are among them
	f.Lookup("https").DefValue = devHTTPS
	f.Lookup("management").DefValue = devManagement
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
	cfg, err := devSettings(cmd.Flags(), o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return &config.Error{Path: "--data-dir", Text: err.Error()}
	}
	if cfg.Management.Listen != "" {
		if err := managementToken(cfg.Management.Tokens); err != nil {
			return &config.Error{Path: "--data-dir", Text: err.Error()}
		}
	}
	ca, err := localCA(&cfg, o.dataDir, cmd.ErrOrStderr())
	if err != nil {
		return err
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
		welcome(cmd.OutOrStdout(), n, cfg.Management.Tokens, o.dataDir, ca)
		return nil
	})
}

// devSettings are those of a node, with other defaults.
func devSettings(flags *pflag.FlagSet, o devOptions) (config.Config, error) {
	cfg, err := config.Load(config.Options{
		Env: os.Environ(), Flags: config.FlagValues(flags), Made: true,
		Defaults: map[string]string{
			"listen.https": devHTTPS, "log.level": "warn", "drain.spread": "0", "drain.timeout": "5s",
			"management.listen": devManagement,
			"management.tokens": filepath.Join(o.dataDir, "management.token"),
		},
	})
	if err != nil {
		return cfg, err
	}
	cfg.Management.AnyPort = cfg.Management.Listen == devManagement && !flags.Changed("management")
	s := &cfg.Store
	switch {
	case o.emulator == "" && s.Definitions == "":
		if s.Seed, err = config.DevNamespaces(o.entities); err != nil {
			return cfg, err
		}
		for _, text := range o.entities {
			name, _, _ := strings.Cut(text, ":")
			s.Given = append(s.Given, name)
		}
		if s.File == "" {
			s.File, s.Memory = filepath.Join(o.dataDir, "namespaces.db"), true
		}
	case len(o.entities) > 0:
		return cfg, &config.Error{
			Path: "--hyco", Text: "cannot be combined with --config; list the entity there",
		}
	case o.emulator != "":
		s.Definitions = o.emulator
		defs, err := config.LoadDefinitions(o.emulator)
		if err == nil && len(defs) == 0 {
			err = &config.Error{
				Path: "UserConfig.Namespaces", Text: "want at least one namespace, got none",
				Source: o.emulator,
			}
		}
		return cfg, err
	}
	return cfg, nil
}

// managementToken makes the file of the bearer token, once.
func managementToken(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, rand.Text())
	return errors.Join(err, f.Close())
}

// localCA gives the TLS port a certificate of the local CA, and returns the
// file to trust; empty without TLS, or where the settings bring a certificate.
func localCA(cfg *config.Config, dir string, errs io.Writer) (file string, err error) {
	given := len(cfg.TLS.Pairs())+len(cfg.TLS.ACME.Domains) > 0
	if given || cfg.Listen.HTTPS+cfg.Management.Listen == "" {
		return "", nil
	}
	ca, err := certificate.OpenAuthority(dir)
	if err != nil {
		return "", &config.Error{Path: "--data-dir", Text: err.Error()}
	}
	if ca.Notice != "" {
		_, _ = fmt.Fprintln(errs, "relayhouse:", ca.Notice)
	}
	leaf, err := ca.Leaf(append(hostsOf(cfg.Listen.HTTPS), hostsOf(cfg.Management.Listen)...)...)
	if err != nil {
		return "", &failure{err}
	}
	cfg.TLS.Made = []tls.Certificate{leaf}
	return ca.File, nil
}

// hostsOf returns the host of an address to listen on; for one that stands for
// all of the machine's, these.
func hostsOf(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{host}
	}
	const hostsMax = 32 // More would make each handshake longer.
	var hosts []string
	all, _ := net.InterfaceAddrs() // None is fine: localhost is there anyway.
	for _, one := range all {
		if network, ok := one.(*net.IPNet); ok && len(hosts) < hostsMax {
			hosts = append(hosts, network.IP.String())
		}
	}
	return hosts
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
		if c, err := net.DialTimeout("tcp", cmp.Or(a.HTTP, a.HTTPS), time.Second); err == nil {
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

// welcome prints what a newcomer can paste; ca is the file to trust, if any.
func welcome(w io.Writer, n *node.Node, token, dir, ca string) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	a := n.Addresses()
	ns := n.Namespaces()[0].Definition()
	p("Relayhouse emulator, namespace %q", ns.Name)
	if a.HTTP != "" {
		p("  relay   http://%s   (ws://%s/$hc/ENTITY)", a.HTTP, a.HTTP)
	}
	secure := localhost(a.HTTPS)
	if a.HTTPS != "" {
		p("  relay   https://%s   (wss://%s/$hc/ENTITY)", secure, secure)
	}
	p("  admin   http://%s   (/readyz /metrics /status /debug/pprof)", a.Admin)
	if a.Management != "" {
		p("  manage  https://%s   (token in %s)", localhost(a.Management), token)
	}
	p("  files   %s", filepath.Join(dir, "endpoints.json"))
	if ca != "" {
		p("  CA      %s", ca)
	}
	if len(ns.HybridConnections) > welcomeMax {
		p("\n%d of %d entities:", welcomeMax, len(ns.HybridConnections))
		ns.HybridConnections = ns.HybridConnections[:welcomeMax]
	}
	if len(ns.Rules) > 0 {
		p("\nConnection strings:")
		for _, e := range ns.HybridConnections {
			p("  Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=%s;EntityPath=%s",
				cmp.Or(secure, a.HTTP), ns.Rules[0].Name, ns.Rules[0].PrimaryKey, e.Name)
		}
	}
	p("\nAs a sender, once a listener is connected (make run has one that echoes):")
	if a.HTTP != "" {
		senders(p, "", a.HTTP, "", ns)
	}
	if a.HTTPS != "" {
		if ca != "" {
			p("\nOver TLS; clients on Node.js trust the local CA by a variable:")
			p("  export NODE_EXTRA_CA_CERTS='%s'", ca)
			ca = " --cacert '" + ca + "'"
		}
		senders(p, "s", secure, ca, ns)
	}
	p("\nIs it up?")
	p("  curl http://%s/readyz", a.Admin)
}

// senders prints a line or two for each entity; s is what TLS adds to schemes.
func senders(p func(string, ...any), s, address, options string, ns namespace.Definition) {
	for _, e := range ns.HybridConnections {
		header := ""
		switch {
		case !e.RequiresClientAuthorization:
		case len(ns.Rules) == 0:
			continue
		default:
			header = " -H 'ServiceBusAuthorization: " + sas.Sign("http://"+address+"/"+e.Name,
				ns.Rules[0].Name, ns.Rules[0].PrimaryKey, time.Now().Add(devTokenLife)) + "'"
		}
		p("  npx wscat -c 'ws%s://%s/$hc/%s'%s", s, address, e.Name, header)
		p("  curl -i%s http%s://%s/%s/some/path%s", options, s, address, e.Name, header)
	}
}

// localhost names this machine by its name where an address allows for it:
// clients of Azure take names only, and the certificate has it.
func localhost(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
