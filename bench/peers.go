package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relayhouse/relayhouse/bench/floor"
)

// A Peer is a relay of others, or of ours for comparison, that can be measured
// beside a gateway.
type Peer struct {
	Name string
	// Version is the pinned one; empty for what the machine has.
	Version string
	// Compared says what work it does.
	Compared string
	prepare  func(ctx context.Context, p Places, t *Target) error
}

// Places say where peers come from.
type Places struct {
	// Self is the binary of relaybench, which holds the naive relays.
	Self string
	// Cache is a directory for what is compiled; see DefaultCache.
	Cache string
}

// DefaultCache is where compiled peers are kept.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("directory for peers: %w", err)
	}
	return filepath.Join(dir, "relayhouse", "bench"), nil
}

const (
	sameWork = "the same work: control channel, accept message, two handshakes, frames; no tokens"
	proxied  = "less work: one handshake, passed on to a fixed address, then bytes as they are"
	twoHops  = "other work: bytes over a server and an agent, a connection between them; CPU " +
		"and memory of both"
)

// strelayEnds are the two clients of syncthing's relay.
//
//go:embed ends/strelaysrv.go.txt
var strelayEnds string

var (
	frp = module{path: "github.com/fatedier/frp", version: "v0.61.0",
		packages: []string{"/cmd/frps", "/cmd/frpc"},
		replace: "github.com/hashicorp/yamux => github.com/fatedier/yamux " +
			"v0.0.0-20230628132301-7aca4898904d"}
	chisel = module{path: "github.com/jpillora/chisel", version: "v1.10.1",
		packages: []string{""}}
	strelaysrv = module{path: "github.com/syncthing/syncthing", version: "v1.27.12",
		packages: []string{"/cmd/strelaysrv"}, main: strelayEnds}
)

// Peers returns all peers, those that do the same work first.
func Peers() []*Peer { return peers }

var peers = []*Peer{
	{
		Name: "floor", Version: "bench/floor", Compared: sameWork + "; C, one thread",
		prepare: func(ctx context.Context, p Places, t *Target) (err error) {
			t.Command, t.Open, t.OnlyWebSockets = "floor", true, true
			t.Binary, err = floor.Build(ctx, p.Cache)
			return err
		},
	},
	{
		Name: "naive", Version: "coder/websocket v1.8.15", Compared: sameWork + "; two goroutines",
		prepare: func(_ context.Context, p Places, t *Target) error {
			t.Binary, t.Command, t.Open = p.Self, "naive", true
			return nil
		},
	},
	{
		Name: "naive-gorilla", Version: "gorilla/websocket v1.5.3",
		Compared: sameWork + "; two goroutines",
		prepare: func(_ context.Context, p Places, t *Target) error {
			t.Binary, t.Command, t.Open, t.Args = p.Self, "naive", true, []string{"--gorilla"}
			return nil
		},
	},
	{
		Name: "haproxy", Compared: proxied,
		prepare: func(ctx context.Context, _ Places, t *Target) error {
			return t.installed(ctx, []string{"haproxy", "/usr/sbin/haproxy"}, launchHAProxy)
		},
	},
	{
		Name: "nginx", Compared: proxied + "; default buffers",
		prepare: func(ctx context.Context, _ Places, t *Target) error {
			return t.installed(ctx, []string{"nginx", "/usr/sbin/nginx"}, launchNginx)
		},
	},
	{
		Name: "frp", Version: frp.version, Compared: twoHops + "; multiplexed, TLS off",
		prepare: func(ctx context.Context, p Places, t *Target) error {
			return t.compiled(ctx, p, &frp, launchFRP)
		},
	},
	{
		Name: "chisel", Version: chisel.version, Compared: twoHops + "; multiplexed, within SSH",
		prepare: func(ctx context.Context, p Places, t *Target) error {
			return t.compiled(ctx, p, &chisel, launchChisel)
		},
	},
	{
		Name: "strelaysrv", Version: strelaysrv.version,
		Compared: "other work: a TLS handshake for each session, then bytes as they are; CPU and " +
			"memory of the relay alone, times with two clients that hand on to the driver",
		prepare: func(ctx context.Context, p Places, t *Target) error {
			return t.compiled(ctx, p, &strelaysrv, launchStrelaysrv)
		},
	},
}

// Target makes p ready to be measured. Where that fails the target's tests fail
// with the reason.
func (p *Peer) Target(ctx context.Context, places Places) Target {
	t := Target{Name: p.Name, Version: p.Version, Compared: p.Compared}
	if err := p.prepare(ctx, places, &t); err != nil {
		t.Missing = fmt.Errorf("install %s: %w", p.Name, err)
	}
	return t
}

// Check starts p once and ends it again.
func (p *Peer) Check(ctx context.Context, places Places) (Target, error) {
	t := p.Target(ctx, places)
	g, err := t.start(ctx, startOptions{})
	if err != nil {
		return t, err
	}
	return t, g.stop()
}

// installed makes a target of a program that the machine has.
func (t *Target) installed(ctx context.Context, places []string,
	launch func(path string) func(context.Context, *gateway, startOptions) error,
) error {
	for _, place := range places {
		path, err := exec.LookPath(place)
		if err != nil {
			continue
		}
		t.launch, t.Open = launch(path), true
		// One says its version with --version, the other with -v.
		out, _ := exec.CommandContext(ctx, path, "-v").CombinedOutput()
		t.Version, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
		return nil
	}
	return errors.New("it is not on this machine (apt-get install " + places[0] + ")")
}

// compiled makes a target of a module's programs.
func (t *Target) compiled(ctx context.Context, p Places, m *module,
	launch func(dir string) func(context.Context, *gateway, startOptions) error,
) error {
	dir, err := m.install(ctx, p.Cache)
	if err == nil {
		t.launch, t.Open = launch(dir), true
	}
	return err
}
