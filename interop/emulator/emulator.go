package emulator

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The emulator's defaults.
const (
	KeyName = "RootManageSharedAccessKey"
	Key     = "SAS_KEY_VALUE"

	// Authenticated is the entity whose senders need a token, Anonymous the
	// one whose senders do not.
	Authenticated = "authenticated"
	Anonymous     = "unauthenticated"
)

// readyTimeout bounds the start: "ready in under a second", and room for a
// busy machine.
const readyTimeout = 10 * time.Second

// Gateway is one running process.
type Gateway struct {
	HTTP  string // host:port of the public port
	HTTPS string // host:port of the public port with TLS
	Admin string // host:port of /readyz and the like
	CA    string // file of the authority that clients of HTTPS trust

	mode    Mode
	command *exec.Cmd
	log     *logBuffer
	exited  chan struct{} // closed when the process has ended
}

// Mode says which clients come over TLS. The zero Mode is none.
type Mode struct {
	Name             string // "" = nobody over TLS
	Listener, Sender bool
	Own              bool // the gateway has its own record layer
}

// Modes are all modes, the one without TLS first.
var Modes = []Mode{
	{},
	{Name: "TLS", Listener: true, Sender: true},
	{Name: "TLS listener", Listener: true},
	{Name: "TLS sender", Sender: true},
	{Name: "TLS own records", Listener: true, Sender: true, Own: true},
}

// Start runs `relayhouse dev` with extra arguments.
func Start(t testing.TB, arguments ...string) *Gateway {
	t.Helper()
	return StartMode(t, Mode{}, arguments...)
}

// StartMode is Start for clients that come as the mode says.
func StartMode(t testing.TB, mode Mode, arguments ...string) *Gateway {
	t.Helper()
	if mode.Own {
		arguments = append(arguments, "--tls-record-layer", "own")
	}
	dir := t.TempDir()
	g := start(t, append([]string{"dev", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--data-dir", dir}, arguments...))
	g.mode, g.CA = mode, filepath.Join(dir, "ca.pem")
	g.await(t, func() bool { return g.readEndpoints(dir) && g.isReady() })
	return g
}

// Serve runs `relayhouse serve` with a configuration, to which it adds the
// addresses, listen.http and admin.listen, and with extra arguments.
func Serve(t testing.TB, configuration string, arguments ...string) *Gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "relayhouse.yaml")
	public, admin := FreeAddress(t), FreeAddress(t)
	text := fmt.Sprintf("listen:\n  http: %q\nadmin:\n  listen: %q\n%s", public, admin,
		configuration)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, append([]string{"serve", "-c", file}, arguments...))
	g.HTTP, g.Admin = public, admin
	g.await(t, g.isReady)
	return g
}

// Binary returns the path of the gateway's binary.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("RELAYHOUSE_BIN"); path != "" {
		return path
	}
	path, err := filepath.Abs("../bin/relayhouse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first, or set RELAYHOUSE_BIN", err)
	}
	return path
}

func start(t testing.TB, arguments []string) *Gateway {
	t.Helper()
	g := &Gateway{log: &logBuffer{}, exited: make(chan struct{})}
	g.command = exec.Command(Binary(t), arguments...)
	g.command.Stdout, g.command.Stderr = g.log, g.log
	if err := g.command.Start(); err != nil {
		t.Fatalf("start the gateway: %v", err)
	}
	go func() {
		_ = g.command.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() { g.stop(t) })
	return g
}

// stop ends the process at once and fails the test when it had ended before.
func (g *Gateway) stop(t testing.TB) {
	select {
	case <-g.exited:
		if !g.command.ProcessState.Success() {
			t.Errorf("the gateway ended by itself: %v", g.command.ProcessState)
		}
	default:
		_ = g.command.Process.Kill()
		<-g.exited
	}
	// A binary built with -race tells on its output, and goes on.
	if strings.Contains(g.log.String(), "WARNING: DATA RACE") {
		t.Error("the gateway has a data race")
	}
	if t.Failed() {
		t.Logf("the gateway's output:\n%s", g.log.String())
	}
}

// Terminate sends SIGTERM and waits for the end: true when it was exit 0.
func (g *Gateway) Terminate(timeout time.Duration) (bool, error) {
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	select {
	case <-g.exited:
		return g.command.ProcessState.Success(), nil
	case <-time.After(timeout):
		return false, fmt.Errorf("still running %v after SIGTERM", timeout)
	}
}

func (g *Gateway) await(t testing.TB, ready func() bool) {
	t.Helper()
	deadline := time.Now().Add(readyTimeout)
	for !ready() {
		select {
		case <-g.exited:
			t.Fatalf("the gateway ended while starting:\n%s", g.log.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway was not ready after %v:\n%s", readyTimeout, g.log.String())
		}
	}
}

// readEndpoints takes the addresses from endpoints.json, which appears when
// the gateway listens.
func (g *Gateway) readEndpoints(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err != nil {
		return false
	}
	var endpoints struct{ HTTP, HTTPS, Admin string }
	if json.Unmarshal(text, &endpoints) != nil {
		return false
	}
	g.HTTP, g.HTTPS, g.Admin = endpoints.HTTP, endpoints.HTTPS, endpoints.Admin
	authority, err := os.ReadFile(g.CA)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		return false
	}
	configs.Store(g.HTTPS, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	return g.HTTP != "" && g.Admin != ""
}

// configs has what clients of each gateway need for TLS, a *tls.Config by host.
var configs sync.Map

// TLS returns how clients come to an address that begins with wss:// or https://,
// and nil for others.
func TLS(address string) *tls.Config {
	scheme, rest, _ := strings.Cut(address, "://")
	if scheme != "wss" && scheme != "https" {
		return nil
	}
	host := rest
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		host = rest[:at]
	}
	if cfg, ok := configs.Load(host); ok {
		return cfg.(*tls.Config).Clone()
	}
	return &tls.Config{} // of no gateway here: it will not be trusted
}

func (g *Gateway) isReady() bool {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + g.Admin + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// URL returns the WebSocket address of a path below /$hc/, with a query:
// URL("hc1", "sb-hc-action=listen"). Scheme and port are those of the mode, by
// the action.
func (g *Gateway) URL(path, query string) string {
	secure := g.mode.Sender
	if strings.HasPrefix(query, "sb-hc-action=listen") {
		secure = g.mode.Listener
	}
	address := "ws://" + g.HTTP + "/$hc/" + path
	if secure {
		address = "wss://" + g.HTTPS + "/$hc/" + path
	}
	if query != "" {
		address += "?" + query
	}
	return address
}

// freePorts are below the ports that systems give out for port 0 and for
// connections: what is free there stays free until it is used, unless another
// run of tests takes it.
const (
	freePortsFirst = 20_000
	freePortsCount = 12_000
)

// nextPort counts the ports of freePorts that have been tried; processes begin
// at different ones.
var nextPort atomic.Int64

func init() { nextPort.Store(int64(os.Getpid()) * 97) }

// FreeAddress returns a loopback address that was free a moment ago, and that
// no other call in this process gets.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range freePortsCount {
		port := freePortsFirst + nextPort.Add(1)%freePortsCount
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(port, 10))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// logBuffer collects the process's output.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// logBytesMax bounds what is kept, in bytes; the beginning says most.
const logBytesMax = 64 << 10

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text.Len() < logBytesMax {
		b.text.Write(p)
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
