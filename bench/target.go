package bench

import (
	"context"
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
	"strings"
	"sync"
	"syscall"
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

// A Target is something to measure. Either Binary or URL is set.
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

	// URL is the plain HTTP address of a gateway that is running already, and
	// PID its process, 0 when unknown: then nothing is said about its CPU
	// time and memory, and no test can have a fresh process.
	URL string
	PID int

	// Open says that the target does not check tokens.
	Open bool
}

// startOptions are the wishes of one test about the process that it measures.
type startOptions struct{ oneLoop bool }

// A gateway is a running target.
type gateway struct {
	addr netip.AddrPort
	pid  int
	// fresh says that the process was started for this test.
	fresh bool

	child  *exec.Cmd
	exited chan exit // receives the child's end once
	output *tail
	dir    string
}

// start makes t available.
func (t *Target) start(ctx context.Context, o startOptions) (*gateway, error) {
	if t.Binary == "" {
		addr, err := resolve(t.URL)
		if err != nil {
			return nil, err
		}
		return &gateway{addr: addr, pid: t.PID}, nil
	}
	dir, err := os.MkdirTemp("", "relaybench-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	g := &gateway{fresh: true, dir: dir, output: &tail{}, exited: make(chan exit, 1)}
	args := []string{t.Command, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--data-dir", dir}
	args = append(args, t.Args...)
	g.child = exec.Command(t.Binary, args...)
	// By a variable, because not every target has the flag; the last one counts.
	g.child.Env = append(os.Environ(), "RELAYHOUSE_LISTEN__HTTPS=127.0.0.1:0")
	if o.oneLoop {
		g.child.Args = append(g.child.Args, t.OneLoop...)
		g.child.Env = append(g.child.Env, "GOMAXPROCS=1")
	}
	g.child.Stdout, g.child.Stderr = g.output, g.output
	tieToParent(g.child)
	if err := g.child.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", t.Binary, err)
	}
	g.pid = g.child.Process.Pid
	go func() { g.exited <- exit{g.child.Wait()} }()
	if err := g.awaitReady(ctx); err != nil {
		g.kill()
		return nil, fmt.Errorf("start %s: %w%s", t.Name, err, g.output)
	}
	return g, nil
}

// resolve turns a URL such as http://localhost:8080 into an address.
func resolve(raw string) (netip.AddrPort, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "ws" || u.Port() == "" {
		return netip.AddrPort{}, fmt.Errorf("gateway address %q: want http://HOST:PORT", raw)
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
type endpoints struct{ HTTP, Admin string }

func (g *gateway) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	last := errors.New("no endpoints.json yet")
	for {
		if err := g.tryReady(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", startMax, last)
		case end := <-g.exited:
			g.exited <- end
			return fmt.Errorf("ended before it was ready: %s", end)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (g *gateway) tryReady(ctx context.Context) error {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Admin+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := probe.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", res.Status)
	}
	return nil
}

// stop ends a process that start began and checks how it ended.
func (g *gateway) stop() error {
	if g.child == nil {
		return nil
	}
	defer func() { _ = os.RemoveAll(g.dir) }()
	if err := g.child.Process.Signal(syscall.SIGTERM); err != nil &&
		!errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop: %w", err)
	}
	select {
	case end := <-g.exited:
		if end.err != nil {
			return fmt.Errorf("stop: %s%s", end, g.output)
		}
		return nil
	case <-time.After(stopMax):
		g.kill()
		return fmt.Errorf("stop: still running %v after SIGTERM, killed%s", stopMax, g.output)
	}
}

func (g *gateway) kill() {
	_ = g.child.Process.Kill()
	<-g.exited
	_ = os.RemoveAll(g.dir)
}

// An exit is how a process ended; a nil error is status 0.
type exit struct{ err error }

func (e exit) String() string {
	if e.err == nil {
		return "exit status 0"
	}
	return e.err.Error()
}

// A tail keeps the end of what a process prints.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - outputKept; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

// String is the kept text as the end of an error message, empty when nothing
// was printed.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return ""
	}
	return "; it printed last: " + strings.TrimSpace(string(t.kept))
}
