package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	// startMax is how long a gateway may take until it is ready; the emulator
	// promises less than a second.
	startMax = 15 * time.Second
	// stopMax is how long it may drain after SIGTERM, when no connection is
	// left to drain. Beyond it the process is killed and that is a failure.
	stopMax = 20 * time.Second
	// outputKept is how much of the end of a gateway's output is kept to
	// explain a failure, in bytes.
	outputKept = 4 << 10
)

// A TLSEnd says who ends the TLS of a target's clients.
type TLSEnd uint8

// The ends.
const (
	NoTLS    TLSEnd = iota // nobody: clients speak plain HTTP
	OwnTLS                 // the target itself
	FrontTLS               // an HAProxy that is started in front of it
)

// A Target is something to measure. Either Binary or URL is set, or it is one of
// Peers.
type Target struct {
	// Name heads the column of figures: "gateway", "naive".
	Name string

	// Binary is started for each test, as
	//
	//	BINARY Command --http 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir TMP Args
	//
	// and is ready once TMP/endpoints.json names its addresses and
	// http://ADMIN/readyz answers 200. It ends with SIGTERM and status 0.
	Binary  string
	Command string
	Args    []string
	// OneLoop are arguments that make it run a single event loop, for the
	// tests that need one. It also gets GOMAXPROCS=1 in the environment then.
	OneLoop []string
	// TLS says how clients reach the binary. With OwnTLS it also gets
	//
	//	--https 127.0.0.1:0
	//
	// and must trust its certificate to TMP/ca.pem; where its endpoints.json
	// has no "https" the tests are skipped. With FrontTLS the CPU time and the
	// memory of HAProxy count, too, and without an HAProxy on this machine the
	// tests are skipped. Its Args must make it tell listeners wss addresses.
	TLS TLSEnd

	// URL is the address of a gateway that is running already, http or https,
	// and PID its process, 0 when unknown: then nothing is said about its CPU
	// time and memory, and no test can have a fresh process.
	URL string
	PID int

	// Open says that the target does not check tokens, and OnlyWebSockets
	// that it relays no HTTP requests.
	Open, OnlyWebSockets bool
	// Compared says what the target does, when that is not the work of a
	// gateway.
	Compared string
	// Version is what is measured, as the row tells it.
	Version string
	// launch, when set, starts processes that forward what they take at g.addr
	// to g.door, in place of Binary.
	launch func(ctx context.Context, g *gateway, o startOptions) error
	// Missing is why the target could not be made ready; every test fails
	// with it.
	Missing error
}

// secure says that clients reach t with TLS.
func (t *Target) secure() bool {
	u, err := url.Parse(t.URL)
	return t.TLS != NoTLS || err == nil && (u.Scheme == "https" || u.Scheme == "wss")
}

// relayDescriptors is how many descriptors a relay takes in the process of t
// that holds most of them.
func (t *Target) relayDescriptors() int {
	if t.TLS == FrontTLS {
		return 4 // two on either side of HAProxy
	}
	return 2
}

// fresh says that every test can have a process of its own.
func (t *Target) fresh() bool { return t.Binary != "" || t.launch != nil || t.Missing != nil }

// An unfit target is one that cannot do what a test needs; that is no failure.
type unfit struct{ reason string }

func (u *unfit) Error() string { return u.reason }

// startOptions are the wishes of one test about the process that it measures.
type startOptions struct{ oneLoop bool }

// A gateway is a running target.
type gateway struct {
	addr   netip.AddrPort // where clients connect
	admin  string         // address of its metrics; empty when it runs already
	secure bool           // with TLS
	pids   processes
	// fresh says that the process was started for this test.
	fresh bool

	child *child
	front *child // HAProxy, if any
	dir   string
	// forwarders are the processes of a target that only forwards, the last so
	// many of them not measured, and door is where they forward to.
	forwarders []*child
	unmeasured int
	door       *os.File
}

// start makes t available.
func (t *Target) start(ctx context.Context, o startOptions) (*gateway, error) {
	if t.Missing != nil {
		return nil, t.Missing
	}
	if t.launch != nil {
		return t.startForwarders(ctx, o)
	}
	if t.Binary == "" {
		addr, err := resolve(t.URL)
		if err != nil {
			return nil, err
		}
		g := &gateway{addr: addr, secure: t.secure()}
		if t.PID != 0 {
			g.pids = processes{t.PID}
		}
		return g, nil
	}
	dir, err := os.MkdirTemp("", "relaybench-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	g := &gateway{fresh: true, dir: dir, secure: t.secure()}
	args := []string{t.Command, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--data-dir", dir}
	if t.TLS == OwnTLS {
		args = append(args, "--https", "127.0.0.1:0")
	}
	cmd := exec.Command(t.Binary, append(args, t.Args...)...)
	// By a variable, because not every target has the flag; a flag counts more.
	cmd.Env = append(os.Environ(), "RELAYHOUSE_LISTEN__HTTPS=127.0.0.1:0")
	if o.oneLoop {
		cmd.Args = append(cmd.Args, t.OneLoop...)
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	if g.child, err = startChild(cmd); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	g.pids = processes{g.child.pid()}
	if err := g.awaitReady(ctx, t.TLS); err != nil {
		g.kill()
		return nil, fmt.Errorf("start %s: %w%s", t.Name, err, g.child.output)
	}
	if t.TLS == FrontTLS {
		if err := g.startFront(ctx, o); err != nil {
			g.kill()
			return nil, err
		}
	}
	return g, nil
}

// resolve turns a URL such as http://localhost:8080 into an address.
func resolve(raw string) (netip.AddrPort, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address: %w", err)
	}
	switch u.Scheme {
	case "http", "ws", "https", "wss":
	default:
		u.Host = ""
	}
	if u.Port() == "" {
		return netip.AddrPort{}, fmt.Errorf("gateway address %q: want http://HOST:PORT or "+
			"https://HOST:PORT", raw)
	}
	a, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address: %w", err)
	}
	at := a.AddrPort()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if !at.Addr().IsLoopback() {
		return at, fmt.Errorf("gateway address %v: want a loopback address; both ends of "+
			"every relayed connection are played here", at)
	}
	return at, nil
}

// probe asks once per connection, so that none stays behind.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// endpoints is the part of DIR/endpoints.json that the driver needs.
type endpoints struct{ HTTP, HTTPS, Admin string }

func (g *gateway) awaitReady(ctx context.Context, end TLSEnd) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	last := errors.New("no endpoints.json yet")
	for {
		err := g.tryReady(ctx, end)
		if _, never := errors.AsType[*unfit](err); err == nil || never {
			return err
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", startMax, last)
		case end := <-g.child.exited:
			g.child.exited <- end
			return fmt.Errorf("ended before it was ready: %s", end)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (g *gateway) tryReady(ctx context.Context, end TLSEnd) error {
	raw, err := os.ReadFile(filepath.Join(g.dir, "endpoints.json"))
	if err != nil {
		return err
	}
	var e endpoints
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("endpoints.json: %w", err)
	}
	if g.addr, err = netip.ParseAddrPort(e.HTTP); err != nil {
		return fmt.Errorf("endpoints.json: http: %w", err)
	}
	g.admin = e.Admin
	res, err := g.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", res.Status)
	}
	if end != OwnTLS {
		return nil
	}
	if e.HTTPS == "" {
		return &unfit{"the gateway serves no https: its endpoints.json names no address"}
	}
	if g.addr, err = netip.ParseAddrPort(e.HTTPS); err != nil {
		return fmt.Errorf("endpoints.json: https: %w", err)
	}
	certificate, err := os.ReadFile(filepath.Join(g.dir, "ca.pem"))
	if err != nil {
		return err
	}
	return checkCertificate(ctx, g.addr, certificate)
}

// get asks the operator's port of g.
func (g *gateway) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+path, nil)
	if err != nil {
		return nil, err
	}
	return probe.Do(req)
}

// checkCertificate shakes hands once as a client that trusts only the given
// authorities.
func checkCertificate(ctx context.Context, at netip.AddrPort, authorities []byte) error {
	c := tlsFull.config()
	c.InsecureSkipVerify, c.RootCAs = false, x509.NewCertPool()
	c.RootCAs.AppendCertsFromPEM(authorities)
	d := tls.Dialer{Config: c}
	conn, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return fmt.Errorf("shake hands with %v: %w", at, err)
	}
	return conn.Close()
}

// stop ends the processes that start began and checks how they ended.
func (g *gateway) stop() error {
	if g.dir == "" {
		return nil
	}
	defer func() { _ = os.RemoveAll(g.dir) }()
	var err error
	for _, c := range slices.Backward(g.forwarders) {
		err = errors.Join(err, c.stop(true))
	}
	if g.door != nil {
		return errors.Join(err, g.door.Close())
	}
	if g.front != nil {
		err = g.front.stop(true) // HAProxy dies of SIGTERM
	}
	return errors.Join(err, g.child.stop(false))
}

func (g *gateway) kill() {
	if g.front != nil {
		g.front.kill()
	}
	if g.child != nil {
		g.child.kill()
	}
	for _, c := range slices.Backward(g.forwarders) {
		c.kill()
	}
	if g.door != nil {
		_ = g.door.Close()
	}
	_ = os.RemoveAll(g.dir)
}
