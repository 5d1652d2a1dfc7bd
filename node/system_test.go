//go:build system

package node_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/sas"
)

// process is the real binary in a process of its own.
type process struct {
	t           *testing.T
	cmd         *exec.Cmd
	http, admin string
	dial        func() (net.Conn, error) // to the port of clients
}

// binaryUnderTest builds the command once, where builds go; its path is
// absolute.
var binaryUnderTest = sync.OnceValues(func() (string, error) {
	binary, err := filepath.Abs("../bin/relayhouse-system")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", binary, "../cmd/relayhouse").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
})

// startProcess runs "relayhouse dev" with a descriptor limit of nofile, 0 for
// the present one.
func startProcess(t *testing.T, nofile int, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	binary, err := binaryUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"dev", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir", dir}, args...)
	cmd := exec.Command(binary, args...)
	if nofile > 0 {
		cmd = exec.Command("sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`,
			strconv.Itoa(nofile), binary}, args...)...)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	soon(t, "endpoints.json", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
		var a struct{ HTTP, Admin string }
		if err != nil || json.Unmarshal(text, &a) != nil {
			return false
		}
		p.http, p.admin = a.HTTP, a.Admin
		p.dial = p.dialHTTP()
		resp, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// dialHTTP dials the port without TLS.
func (p *process) dialHTTP() func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", p.http) }
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// metric sums the series of the metrics page that begin with prefix.
func (p *process) metric(prefix string) (sum float64) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, prefix) {
			fields := strings.Fields(line)
			v, _ := strconv.ParseFloat(fields[len(fields)-1], 64)
			sum += v
		}
	}
	return sum
}

// leg is a connection after its upgrade.
type processLeg struct {
	net.Conn
	r *bufio.Reader
}

func (p *process) upgrade(target string, fields ...string) (*processLeg, string, error) {
	c, err := p.dial()
	if err != nil {
		return nil, "", err
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	head := "GET " + target + " HTTP/1.1\r\nHost: " + p.http + "\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(fields, "") + "\r\n"
	l := &processLeg{c, bufio.NewReader(c)}
	if _, err := io.WriteString(c, head); err != nil {
		return l, "", err
	}
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return l, "", err
	}
	return l, resp.Status, nil
}

// listener opens a control channel on the anonymous entity.
func (p *process) listener() *processLeg {
	p.t.Helper()
	token := sas.Sign("http://"+p.http+"/", config.DevKeyName, config.DevKey, time.Now().Add(time.Hour))
	l, status, err := p.upgrade("/$hc/unauthenticated?sb-hc-action=listen", "ServiceBusAuthorization: "+token+"\r\n")
	if err != nil || !strings.HasPrefix(status, "101") {
		p.t.Fatalf("listen: %s %v", status, err)
	}
	p.t.Cleanup(func() { l.Close() })
	return l
}

// relay opens a relayed connection through the listener.
func (p *process) relay(control *processLeg) (sender, listener *processLeg, err error) {
	type outcome struct {
		l   *processLeg
		err error
	}
	connected := make(chan outcome, 1)
	go func() {
		l, status, err := p.upgrade("/$hc/unauthenticated")
		if err == nil && !strings.HasPrefix(status, "101") {
			err = errors.New(status)
		}
		connected <- outcome{l, err}
	}()
	control.SetDeadline(time.Now().Add(5 * time.Second))
	f, err := ws.ReadFrame(control.r)
	if err != nil {
		return nil, nil, errors.Join(err, (<-connected).err)
	}
	var m struct{ Accept struct{ Address string } }
	if err := json.Unmarshal(f.Payload, &m); err != nil {
		return nil, nil, err
	}
	_, target, _ := strings.Cut(m.Accept.Address, "://"+p.http)
	listener, status, err := p.upgrade(target)
	if err != nil || !strings.HasPrefix(status, "101") {
		return nil, nil, errors.Join(err, errors.New(status))
	}
	s := <-connected
	return s.l, listener, s.err
}

func (p *process) echo(from, to *processLeg) {
	p.t.Helper()
	want := []byte("still here")
	f := ws.MaskFrame(ws.NewTextFrame(append([]byte(nil), want...)))
	if err := ws.WriteFrame(from, f); err != nil {
		p.t.Fatal(err)
	}
	got, err := ws.ReadFrame(to.r)
	if err != nil || string(got.Payload) != string(want) {
		p.t.Fatalf("got %q, %v", got.Payload, err)
	}
}

func (p *process) end(wantStatus int) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != wantStatus {
		p.t.Errorf("exit status %d, want %d", got, wantStatus)
	}
}

// A descriptor limit of 200 and 400 connections: established relays go on, the
// rest is refused in words or ended, all is counted, and when descriptors are
// free again new relays work.
func TestProcessDescriptorLimit(t *testing.T) {
	p := startProcess(t, 200)
	p.crowd(func() float64 {
		return p.metric("relay_refused_total")
	})
}

// The same, with the limit lowered behind the gateway's back, so that accept
// itself fails.
func TestProcessDescriptorLimitLowered(t *testing.T) {
	p := startProcess(t, 0)
	limit := unix.Rlimit{Cur: 200, Max: 200}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	p.crowd(func() float64 {
		return p.metric(`relay_accept_errors_total{kind="descriptor_limit"}`)
	})
}

func (p *process) crowd(refused func() float64) {
	t := p.t
	control := p.listener()
	sender, listener, err := p.relay(control)
	if err != nil {
		t.Fatal(err)
	}
	before := refused()
	var crowd []net.Conn
	for range 400 {
		if c, err := net.Dial("tcp", p.http); err == nil {
			crowd = append(crowd, c) // without one it was ended at once
		}
		p.echo(sender, listener)
	}
	soon(t, "refusals counted", func() bool { return refused() > before })
	p.echo(listener, sender)
	for _, c := range crowd {
		c.Close()
	}
	soon(t, "the crowd to be gone", func() bool {
		return p.metric("relay_connections{") <= 3
	})
	a, b, err := p.relay(control)
	if err != nil {
		t.Fatalf("a new relay: %v", err)
	}
	p.echo(a, b)
	a.Close()
	b.Close()
	p.echo(sender, listener)
	sender.Close()
	listener.Close()
	control.Close()
	p.end(0)
}

// SIGTERM: not ready, the listener gets 1001, the relay lives on to the
// deadline and then gets 1001, exit status 0.
func TestProcessDrain(t *testing.T) {
	p := startProcess(t, 0, "--drain-timeout", "2s")
	control := p.listener()
	sender, listener, err := p.relay(control)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	control.SetDeadline(time.Now().Add(5 * time.Second))
	wantProcessClose(t, control, 1001)
	control.Close()
	resp, err := http.Get("http://" + p.admin + "/readyz")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %v %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	p.echo(sender, listener)
	wantProcessClose(t, sender, 1001)
	wantProcessClose(t, listener, 1001)
	sender.Close()
	listener.Close()
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("the relay was closed after %v", took)
	}
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != 0 {
		t.Errorf("exit status %d", got)
	}
}

func wantProcessClose(t *testing.T, l *processLeg, code ws.StatusCode) {
	t.Helper()
	f, err := ws.ReadFrame(l.r)
	if err != nil || f.Header.OpCode != ws.OpClose {
		t.Fatalf("got %v, %v, want Close %d", f.Header, err, code)
	}
	if got, reason := ws.ParseCloseFrameData(f.Payload); got != code || !strings.Contains(reason, "TrackingId") {
		t.Errorf("Close %d %q, want %d and a tracking id", got, reason, code)
	}
}
