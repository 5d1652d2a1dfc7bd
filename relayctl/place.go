package relayctl

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// What holds where nothing else is said.
const (
	managementDefault   = "https://127.0.0.1:9091"
	adminDefault        = "http://127.0.0.1:9090"
	subscriptionDefault = "00000000-0000-0000-0000-000000000000"
	groupDefault        = "default"
	timeoutDefault      = 30 * time.Second

	// secretFileMax bounds a file with a token, a key or CAs, in bytes.
	secretFileMax = 64 << 10
)

// globalFlags are those of every command.
type globalFlags struct {
	config, context, dataDir              string
	management, token, tokenFile, ca      string
	admin, subscription, group, namespace string
	output                                string
	timeout                               time.Duration
}

func (g *globalFlags) register(a *app, root *cobra.Command) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVarP(&g.output, "output", "o", outputTable,
		"`FORMAT` of the output: table, json, yaml, tsv")
	f.StringVarP(&g.group, "resource-group", "g", "",
		"`NAME` of the resource group (default: the context's, else \""+groupDefault+"\")")
	f.StringVar(&g.subscription, "subscription", "", "`ID` of the subscription (default: zeros)")
	f.StringVar(&g.context, "context", "", "`NAME` of the context (default: the current one)")
	f.StringVar(&g.dataDir, "data-dir", "", "`DIR` of an emulator to speak to, instead of a context")
	f.StringVar(&g.management, "management", "", "`URL` of the management API")
	f.StringVar(&g.token, "token", "",
		"`TOKEN` for the management API; others can see it in lists of processes")
	f.StringVar(&g.tokenFile, "token-file", "", "`FILE` with the token for the management API")
	f.StringVar(&g.ca, "ca", "",
		"`FILE` with CA certificates (PEM) to trust, beside those of the system")
	f.StringVar(&g.admin, "admin", "", "`URL` of the admin port, for \"relayctl show\"")
	f.StringVar(&g.config, "config", "", "`FILE` of contexts (default: $RELAYCTL_CONFIG, else "+
		"relayhouse/relayctl.yaml in the user's directory of settings)")
	f.DurationVar(&g.timeout, "timeout", timeoutDefault, "longest `TIME` for a request")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{outputTable, outputJSON, outputYAML, outputTSV}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("context", a.completeContexts)
}

func (g *globalFlags) check() error {
	output, ok := outputs[g.output]
	if !ok {
		return usage("-o: want table, json, yaml or tsv, got %q", g.output)
	}
	g.output = output
	if g.token != "" && g.tokenFile != "" {
		return usage("give --token or --token-file, not both")
	}
	if g.dataDir != "" && g.context != "" {
		return usage("give --data-dir or --context, not both")
	}
	if g.timeout <= 0 {
		return usage("--timeout: want more than 0, got %v", g.timeout)
	}
	return nil
}

// place is a gateway, and what to say to it when a command does not say.
type place struct {
	management, token, tokenFile, ca, admin string
	namespace, subscription, group          string
	source                                  string // For errors: where it was taken from.
}

// place returns where the command goes. The first source counts: flags, the
// environment, --data-dir, the context, the emulator's own directory.
func (a *app) place() (*place, error) {
	if a.where != nil {
		return a.where, nil
	}
	p, err := a.base()
	if err != nil {
		return nil, err
	}
	g := &a.flags
	if token := a.Env("RELAYCTL_TOKEN"); token != "" {
		p.token, p.tokenFile = token, ""
	}
	if g.token != "" || g.tokenFile != "" {
		p.token, p.tokenFile = g.token, g.tokenFile
	}
	over := func(dst *string, values ...string) {
		for _, v := range values {
			if v != "" {
				*dst = v
			}
		}
	}
	over(&p.management, g.management)
	over(&p.ca, g.ca)
	over(&p.admin, g.admin)
	over(&p.namespace, g.namespace)
	over(&p.subscription, g.subscription)
	over(&p.group, g.group)
	a.secret(p.token)
	a.where = p
	return p, nil
}

// base is the place without what flags and environment say.
func (a *app) base() (*place, error) {
	if a.flags.dataDir != "" {
		return emulator(a.flags.dataDir)
	}
	file, err := a.readContexts()
	if err != nil {
		return nil, err
	}
	name := a.flags.context
	if name == "" {
		name = a.Env("RELAYCTL_CONTEXT")
	}
	if name == "" {
		name = file.Current
	}
	if name == "" {
		return emulator(filepath.Join(a.CacheDir, "relayhouse-dev")) // As relayhouse dev has it.
	}
	c := file.find(name)
	if c == nil {
		return nil, noContext(name)
	}
	return &place{
		management: c.Management, token: c.Token, tokenFile: c.TokenFile, ca: c.CA, admin: c.Admin,
		namespace: c.Namespace, subscription: c.Subscription, group: c.ResourceGroup,
		source: fmt.Sprintf("the context %q", c.Name),
	}, nil
}

// emulator is the place that the files of an emulator tell. One that does not run
// has none; then its default addresses count.
func emulator(dir string) (*place, error) {
	p := &place{
		management: managementDefault, admin: adminDefault,
		source: "the emulator in " + dir,
	}
	text, err := readFile(filepath.Join(dir, "endpoints.json"), secretFileMax)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var e struct{ Management, Admin string }
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("%s: want JSON", filepath.Join(dir, "endpoints.json"))
		}
		if e.Management != "" {
			p.management = "https://" + reachable(e.Management)
		}
		if e.Admin != "" {
			p.admin = "http://" + reachable(e.Admin)
		}
	}
	exists := func(name string) string {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err != nil {
			return ""
		}
		return file
	}
	p.tokenFile, p.ca = exists("management.token"), exists("ca.pem")
	return p, nil
}

// reachable turns an address to listen on into one to connect to.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

// api returns the client of the management API. It belongs to the run.
func (a *app) api() (*arm.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	p, err := a.place()
	if err != nil {
		return nil, err
	}
	cfg := arm.Config{
		Token: p.token, Subscription: p.subscription, ResourceGroup: p.group,
		Timeout: a.flags.timeout, Program: "relayctl/" + clientVersion(),
	}
	if cfg.Subscription == "" {
		cfg.Subscription = subscriptionDefault
	}
	if cfg.ResourceGroup == "" {
		cfg.ResourceGroup = groupDefault
	}
	if p.management == "" {
		return nil, usage("%s has no management URL; add it with \"relayctl context set\", "+
			"or give --management", p.source)
	}
	if cfg.Base, err = baseURL("--management", p.management, "https"); err != nil {
		return nil, err
	}
	if p.tokenFile != "" {
		if cfg.Token, err = readToken(p.tokenFile); err != nil {
			return nil, err
		}
		a.secret(cfg.Token)
	}
	if cfg.CAs, err = readCAs(p.ca); err != nil {
		return nil, err
	}
	a.client = arm.New(cfg)
	return a.client, nil
}

// baseURL reads scheme://host[:port]. What wants https takes http on the loopback
// interface only: the token would be there for everybody to read.
func baseURL(name, text, scheme string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" ||
		u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, usage("%s: want %s://HOST:PORT", name, scheme)
	}
	if scheme == "https" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, usage("%s: want https; a token must not be sent in plain text", name)
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readToken reads a file with a token, or one with a gateway's tokens, of which the
// first counts: a line each, NAME TOKEN or the token alone, # for comments.
func readToken(file string) (string, error) {
	text, err := readFile(file, secretFileMax)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		token := fields[min(1, len(fields)-1)]
		if strings.HasPrefix(token, "sha256:") {
			return "", fmt.Errorf("%s holds the hash of a token, not the token", file)
		}
		return token, nil
	}
	return "", fmt.Errorf("%s holds no token", file)
}

// readCAs returns the CAs of the system and of a file; nil without one.
func readCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readFile(file, 1<<20)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no CA certificate in PEM", file)
	}
	return pool, nil
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readAtMost(f, name, limit)
}

func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return b.Bytes(), nil
}

// secretText returns the value of a flag that holds a secret: the text itself,
// env:NAME or file:PATH.
func (a *app) secretText(flag, text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if text = a.Env(name); text == "" {
			return "", usage("%s: the variable %s is not set", flag, name)
		}
	} else if file, ok := strings.CutPrefix(text, "file:"); ok {
		b, err := readFile(file, secretFileMax)
		if err != nil {
			return "", err
		}
		if text = strings.TrimSpace(string(b)); text == "" {
			return "", usage("%s: %s is empty", flag, file)
		}
	}
	a.secret(text)
	return text, nil
}
