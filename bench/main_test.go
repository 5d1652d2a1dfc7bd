package bench

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/naive"
	"github.com/relayhouse/relayhouse/internal/leak"
)

// childEnv makes the test binary play a gateway process: see playGateway.
const childEnv = "BENCH_TEST_CHILD"

// driveArgs make a child a driver process instead.
var driveArgs = []string{"drive"}

func TestMain(m *testing.M) {
	how := os.Getenv(childEnv)
	if slices.Equal(os.Args[1:], driveArgs) && how != "" {
		if err := Drive(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if how != "" {
		os.Exit(playGateway(how))
	}
	leak.Main(m)
}

// playGateway is a gateway process that behaves as told.
func playGateway(how string) int {
	switch how {
	case "dies":
		fmt.Println("port in use")
		return 2
	case "bad exit":
		defer os.Exit(3)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fs := flag.NewFlagSet("child", flag.ContinueOnError)
	c := naive.Config{}
	fs.StringVar(&c.HTTP, "http", "", "")
	fs.StringVar(&c.HTTPS, "https", "", "")
	fs.StringVar(&c.Scheme, "gateway-advertised-scheme", "", "")
	fs.StringVar(&c.Admin, "admin", "", "")
	fs.StringVar(&c.DataDir, "data-dir", "", "")
	if err := fs.Parse(os.Args[2:]); err != nil {
		return 2
	}
	if how == "without TLS" {
		c.HTTPS = ""
	}
	if err := naive.Serve(ctx, c); err != nil {
		return 1
	}
	return 0
}

// childTarget is a target whose process is the test binary.
func childTarget(t *testing.T, how string) Target {
	t.Helper()
	t.Setenv(childEnv, how)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // do not wait for reports at exit
	return Target{Name: "gateway", Binary: os.Args[0], Command: "dev"}
}

// inProcess serves h on loopback and returns it as a target that runs already.
func inProcess(t *testing.T, h http.Handler) Target {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return Target{Name: "gateway", URL: srv.URL, PID: os.Getpid(), Open: true}
}

// tinySizes keep every test of the matrix within some tens of milliseconds.
func tinySizes() *sizes {
	return &sizes{
		warmUp: 10 * time.Millisecond, window: 40 * time.Millisecond, pairs: 5, rate: 500,
		atOnce: []int{2, 4}, relays: []int{2, 4}, settle: time.Millisecond, idle: []int{0, 3},
		busy: 3, busyRate: 300, stuckPairs: 2, stuckBytes: 3e6, stuckEach: 1e6,
		stall: 10 * time.Millisecond, stopped: 3, stormRate: 200, churn: 2,
		tlsAtOnce: 3, tlsRelays: []int{2, 4}, tlsCrowd: 3,
		httpSmall: 3, httpLarge: 2, httpBytes: 3e6, httpSlow: 1e6,
		hold: HoldSize{Relays: 11, Gateways: 2, Step: 4, Rest: time.Millisecond, MemoryFloor: 1},
	}
}

func testOptions(targets ...Target) Options {
	return Options{Targets: targets, Rounds: 1, tiny: tinySizes(),
		Drive: append([]string{os.Args[0]}, driveArgs...)}
}

// startTrial makes a trial against target, for tests that drive it themselves.
func startTrial(t *testing.T, target Target) *trial {
	t.Helper()
	o := testOptions(target)
	if _, err := o.check(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(stop)
	g, err := o.Targets[0].start(ctx, startOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	return &trial{ctx: ctx, target: &o.Targets[0], gw: g, opt: &o, size: o.sizes(),
		mode: tlsFull}
}

// A meddler forwards TCP to a gateway and changes what the gateway sends.
type meddler struct {
	target string
	// change may edit p, which begins at byte at of what the gateway sends on
	// one connection; false cuts the connection.
	change func(p []byte, at int) bool
	// pieces, when not zero, is the size in which bytes are handed on.
	pieces int
}

// serve runs the meddler as a target.
func (m *meddler) serve(t *testing.T) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.forward(c)
		}
	}()
	return Target{Name: "gateway", URL: "http://" + l.Addr().String(), PID: os.Getpid()}
}

func (m *meddler) forward(c net.Conn) {
	defer func() { _ = c.Close() }()
	up, err := net.Dial("tcp", m.target)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(up, c)
		_ = up.Close()
	}()
	buf, at := make([]byte, 16<<10), 0
	for {
		n, err := up.Read(buf)
		if n == 0 && err != nil {
			return
		}
		if !m.change(buf[:n], at) {
			_ = up.Close()
			return
		}
		at += n
		for piece := range slices.Chunk(buf[:n], cmp.Or(m.pieces, n)) {
			if _, err := c.Write(piece); err != nil {
				_ = up.Close()
				return
			}
		}
	}
}
