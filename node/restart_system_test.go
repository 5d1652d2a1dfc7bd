//go:build system

package node_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
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

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/sas"
	"github.com/relayhouse/relayhouse/takeover"
)

// service is "relayhouse serve" and the processes that take its place, all of
// them writing to one log.
type service struct {
	*process
	dir, program, socket string

	mu   sync.Mutex
	log  []string // Guarded by mu.
	pid  int      // of the present process
	pids []int    // of all
}

const serviceSettings = `
listen: {http: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
log: {format: json}
`

const serviceNamespaces = serviceSettings + `
namespaces:
  - name: test
    authorization_rules:
      - {name: %s, rights: [Listen, Send, Manage], primary_key: %s}
    hybrid_connections:
      - {name: unauthenticated, requires_client_authorization: false}
`

// startService runs the command with a namespace, and flags. change may edit it
// before it starts.
func startService(t *testing.T, change func(*exec.Cmd), flags ...string) *service {
	t.Helper()
	text := fmt.Sprintf(serviceNamespaces, config.DevKeyName, config.DevKey)
	return startServiceWith(t, text, change, flags...)
}

// startServiceWith is startService with other settings.
func startServiceWith(
	t *testing.T, text string, change func(*exec.Cmd), flags ...string,
) *service {
	t.Helper()
	// Processes that a process of ours leaves behind become our children, so
	// that their exit status can be had.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	binary, err := binaryUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{dir: t.TempDir()}
	s.socket = filepath.Join(s.dir, "restart")
	s.program = filepath.Join(s.dir, "relayhouse")
	s.install(t, binary)
	file := filepath.Join(s.dir, "relayhouse.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.program, append([]string{"serve", "-c", file,
		"--restart-socket", s.socket}, flags...)...)
	if change != nil {
		change(cmd)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	go s.read(r)
	s.process = &process{t: t, cmd: cmd}
	s.pid = cmd.Process.Pid
	s.pids = []int{s.pid}
	t.Cleanup(s.cleanup)
	ready := s.line("ready", `"http"`)
	s.http, s.admin = field(ready, "http"), field(ready, "admin")
	s.dial = func() (net.Conn, error) { return net.Dial("tcp", s.http) }
	return s
}

// startSecureService is startService, and all clients come over TLS.
func startSecureService(t *testing.T, flags ...string) *service {
	t.Helper()
	root, dir := newIssuer(t), t.TempDir()
	certificate, key := root.issue(t, 1, time.Hour)
	files := [2]string{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	for i, content := range [2][]byte{certificate, key} {
		if err := os.WriteFile(files[i], content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startService(t, nil, append(flags, "--https", "127.0.0.1:0",
		"--tls-certificate", files[0], "--tls-key", files[1])...)
	s.http = field(s.line("ready", `"http"`), "https")
	client := &tls.Config{RootCAs: root.pool, ServerName: "localhost"}
	s.dial = func() (net.Conn, error) { return tls.Dial("tcp", s.http, client) }
	return s
}

// install puts a program in the place of the service's.
func (s *service) install(t *testing.T, program string) {
	t.Helper()
	temp := s.program + ".new"
	if err := os.Symlink(program, temp); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, s.program); err != nil {
		t.Fatal(err)
	}
}

func (s *service) read(r *os.File) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.log = append(s.log, lines.Text())
		s.mu.Unlock()
	}
}

// line waits for a line of the log that has all parts.
func (s *service) line(parts ...string) (found string) {
	s.t.Helper()
	soon(s.t, fmt.Sprintf("the log says %q", parts), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, line := range s.log {
			has := true
			for _, part := range parts {
				has = has && strings.Contains(line, part)
			}
			if has {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func field(line, name string) string {
	var all map[string]any
	_ = json.Unmarshal([]byte(line), &all)
	return fmt.Sprint(all[name])
}

// restart has the present process start a new one, and waits until that one has
// taken over.
func (s *service) restart() {
	s.t.Helper()
	s.signal(syscall.SIGUSR2)
	s.taken()
}

func (s *service) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// taken waits for a process that takes over from the present one.
func (s *service) taken() {
	s.t.Helper()
	seen := map[int]bool{}
	for _, pid := range s.pids {
		seen[pid] = true
	}
	soon(s.t, "a new process takes over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, line := range s.log {
			if strings.Contains(line, "the new process has taken over") {
				if pid, _ := strconv.Atoi(field(line, "pid")); !seen[pid] {
					s.pid = pid
				}
			}
		}
		return !seen[s.pid]
	})
	s.pids = append(s.pids, s.pid)
}

// quiet fails the test if a process has logged an error.
func (s *service) quiet() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.log {
		if field(line, "level") != "INFO" {
			s.t.Errorf("logged: %s", line)
		}
	}
}

// wait waits for the end of a process and returns its exit status; 0 for one of
// which the parent lived longer, see quiet.
func (s *service) wait(pid int) (status int) {
	s.t.Helper()
	if pid == s.cmd.Process.Pid {
		_ = s.cmd.Wait()
		return s.cmd.ProcessState.ExitCode()
	}
	soon(s.t, "the end of a process", func() bool {
		var ws unix.WaitStatus
		got, err := unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		if err == nil && got == pid {
			status = ws.ExitStatus()
			return true
		}
		return syscall.Kill(pid, 0) == syscall.ESRCH // its parent has waited for it
	})
	return status
}

func (s *service) cleanup() {
	for _, pid := range s.pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.cmd.Wait()
	for _, pid := range s.pids[1:] {
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
	if s.t.Failed() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.t.Logf("log:\n%s", strings.Join(s.log[max(0, len(s.log)-60):], "\n"))
	}
}

// echoListener accepts senders and echoes what they send, and comes back at once
// when its control channel ends, as hyco-ws does.
type echoListener struct {
	p        *process
	stop     atomic.Bool
	connects atomic.Int32
	control  atomic.Pointer[processLeg]
	failed   atomic.Pointer[string]
	done     chan struct{}
}

func (p *process) echoListener() *echoListener {
	e := &echoListener{p: p, done: make(chan struct{})}
	first := make(chan struct{})
	go func() {
		defer close(e.done)
		for !e.stop.Load() {
			e.listen(first)
		}
	}()
	select {
	case <-first:
	case <-time.After(10 * time.Second):
		p.t.Fatal("the listener could not connect")
	}
	return e
}

func (e *echoListener) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.failed.CompareAndSwap(nil, &text)
}

func (e *echoListener) listen(first chan<- struct{}) {
	token := sas.Sign("http://"+e.p.http+"/", config.DevKeyName, config.DevKey, time.Now().Add(time.Hour))
	l, status, err := e.p.upgrade("/$hc/unauthenticated?sb-hc-action=listen",
		"ServiceBusAuthorization: "+token+"\r\n")
	if err != nil || !strings.HasPrefix(status, "101") {
		if !e.stop.Load() {
			e.fail("listen: %s %v", status, err)
			time.Sleep(10 * time.Millisecond)
		}
		return
	}
	defer l.Close()
	e.control.Store(l)
	if e.connects.Add(1) == 1 {
		close(first)
	}
	l.SetDeadline(time.Time{})
	for {
		f, err := ws.ReadFrame(l.r)
		switch {
		case err != nil:
			return
		case f.Header.OpCode == ws.OpClose:
			_ = ws.WriteFrame(l, ws.MaskFrame(ws.NewCloseFrame(f.Payload)))
			return
		case f.Header.OpCode == ws.OpPing:
			_ = ws.WriteFrame(l, ws.MaskFrame(ws.NewPongFrame(f.Payload)))
			continue
		}
		var m struct{ Accept struct{ Address string } }
		if json.Unmarshal(f.Payload, &m) != nil {
			e.fail("message %q", f.Payload)
			return
		}
		_, target, ok := strings.Cut(m.Accept.Address, "://"+e.p.http)
		if !ok {
			e.fail("address %q", m.Accept.Address)
			return
		}
		go e.accept(target)
	}
}

func (e *echoListener) accept(target string) {
	l, status, err := e.p.upgrade(target)
	if err != nil || !strings.HasPrefix(status, "101") {
		if !e.stop.Load() {
			e.fail("accept: %s %v", status, err)
		}
		return
	}
	defer l.Close()
	l.SetDeadline(time.Time{})
	for {
		f, err := ws.ReadFrame(l.r)
		if err != nil {
			return
		}
		if f.Header.OpCode == ws.OpClose {
			_ = ws.WriteFrame(l, ws.MaskFrame(ws.NewCloseFrame(f.Payload)))
			return
		}
		if ws.WriteFrame(l, ws.MaskFrame(ws.NewFrame(f.Header.OpCode, f.Header.Fin, f.Payload))) != nil {
			return
		}
	}
}

func (e *echoListener) end() {
	e.stop.Store(true)
	if l := e.control.Load(); l != nil {
		_ = l.Close()
	}
	<-e.done
}

// send is one new sender: 101, an echo, and an orderly end.
func (p *process) send(i int) error {
	c, status, err := p.upgrade("/$hc/unauthenticated")
	if c != nil {
		defer c.Close()
	}
	if err != nil || !strings.HasPrefix(status, "101") {
		return fmt.Errorf("connect: %s %v", status, err)
	}
	want := fmt.Sprintf("sender %d", i)
	if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewTextFrame([]byte(want)))); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	f, err := ws.ReadFrame(c.r)
	if err != nil || string(f.Payload) != want {
		return fmt.Errorf("echo: %q, %v", f.Payload, err)
	}
	if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if f, err = ws.ReadFrame(c.r); err != nil || f.Header.OpCode != ws.OpClose {
		return fmt.Errorf("close: %v, %v", f.Header, err)
	}
	return nil
}

// ask is one new HTTP connection with one request, for which there is no
// listener that answers: it must be answered all the same.
func (p *process) ask() error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != 401 && resp.StatusCode != 404 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// Twenty restarts under continuous new senders: each of them gets 101, its echo
// and an orderly end; every process exits 0.
func TestProcessRestartLoop(t *testing.T) {
	flags := []string{"--drain-spread", "300ms", "--drain-timeout", "10s"}
	t.Run("plain", func(t *testing.T) { restartLoop(t, startService(t, nil, flags...)) })
	t.Run("TLS", func(t *testing.T) { restartLoop(t, startSecureService(t, flags...)) })
	t.Run("own records", func(t *testing.T) {
		restartLoop(t, startSecureService(t, append(flags, layers["own"]...)...))
	})
}

func restartLoop(t *testing.T, s *service) {
	e := s.echoListener()
	var stop atomic.Bool
	var sent, asked atomic.Int64
	var senders sync.WaitGroup
	failed := make(chan error, 100)
	load := func(n *atomic.Int64, f func(i int) error) {
		for range 4 {
			senders.Go(func() {
				for i := 0; !stop.Load(); i++ {
					if err := f(i); err != nil {
						select {
						case failed <- err:
						default:
						}
					}
					n.Add(1)
				}
			})
		}
	}
	load(&sent, s.send)
	load(&asked, func(int) error { return s.ask() })
	for range 20 {
		before := sent.Load()
		s.restart()
		soon(t, "senders between two restarts", func() bool { return sent.Load() > before+20 })
	}
	stop.Store(true)
	senders.Wait()
	close(failed)
	n := 0
	for err := range failed {
		if n++; n < 10 {
			t.Error(err)
		}
	}
	e.end()
	if text := e.failed.Load(); text != nil {
		t.Errorf("the listener failed: %s", *text)
	}
	t.Logf("%d senders and %d requests over 20 restarts, %d failed; the listener connected %d times",
		sent.Load(), asked.Load(), n, e.connects.Load())
	s.signal(syscall.SIGTERM)
	for i, pid := range s.pids {
		if status := s.wait(pid); status != 0 {
			t.Errorf("process %d ended with status %d", i, status)
		}
	}
	s.quiet()
}

// transfer sends size random bytes in frames and compares what comes back.
func transfer(c *processLeg, size int, sum hash.Hash, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, 4096)
	for done := 0; done < size; done += len(p) {
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		sum.Write(p)
		f := ws.MaskFrame(ws.NewBinaryFrame(append([]byte(nil), p...)))
		if err := ws.WriteFrame(c, f); err != nil {
			return err
		}
	}
	return ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))))
}

// 2,000 relays are in the middle of a transfer when the process is replaced:
// none loses a byte, and the old process ends with status 0 when they are done.
func TestProcessRestartKeepsRelays(t *testing.T) {
	const relays, size = 2000, 64 << 10
	s := startService(t, nil, "--drain-spread", "0", "--drain-timeout", "60s",
		"--gateway-pending-max", "65536")
	e := s.echoListener()
	legs := make([]*processLeg, relays)
	var group sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		group.Go(func() {
			for i := next.Add(1) - 1; i < relays; i = next.Add(1) - 1 {
				c, status, err := s.upgrade("/$hc/unauthenticated")
				if err != nil || !strings.HasPrefix(status, "101") {
					t.Errorf("connect: %s %v", status, err)
					return
				}
				legs[i] = c
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	proceed := make(chan struct{})
	var intact atomic.Int64
	for i, c := range legs {
		group.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			sent, got := sha256.New(), sha256.New()
			wrote := make(chan error, 1)
			go func() {
				if err := transfer(c, size/2, sent, uint64(i)); err != nil {
					wrote <- err
					return
				}
				wrote <- nil
			}()
			if i%2 == 0 {
				<-proceed // what comes back waits in the kernel and in the gateway
			}
			for {
				f, err := ws.ReadFrame(c.r)
				if err != nil {
					t.Errorf("relay %d: %v", i, err)
					return
				}
				if f.Header.OpCode == ws.OpClose {
					break
				}
				got.Write(f.Payload)
			}
			if err := <-wrote; err != nil {
				t.Errorf("relay %d: %v", i, err)
			} else if string(sent.Sum(nil)) != string(got.Sum(nil)) {
				t.Errorf("relay %d: other bytes than were sent", i)
			} else {
				intact.Add(1)
			}
		})
	}
	old := s.pid
	s.restart()
	if err := s.send(0); err != nil {
		t.Errorf("a new sender: %v", err)
	}
	close(proceed)
	group.Wait()
	if status := s.wait(old); status != 0 {
		t.Errorf("the old process ended with status %d", status)
	}
	t.Logf("%d of %d relays intact", intact.Load(), relays)
	e.end()
	s.signal(syscall.SIGTERM)
	if status := s.wait(s.pid); status != 0 {
		t.Errorf("the new process ended with status %d", status)
	}
	s.quiet()
}

// TestHalfTakeover is no test: it is the new process of the next one, which dies
// before it accepts.
func TestHalfTakeover(t *testing.T) {
	path, step := os.Getenv("HALF_TAKEOVER"), os.Getenv("HALF_TAKEOVER_STEP")
	if path == "" {
		t.Skip("runs as a process of its own")
	}
	c, err := takeover.Dial(path)
	if err != nil || c == nil {
		t.Fatal(err)
	}
	_ = c.Send(takeover.Message{Kind: takeover.KindHello, Version: takeover.Version, PID: os.Getpid()})
	if _, err := c.Expect(takeover.KindSockets); err != nil {
		t.Fatal(err)
	}
	if step == "ready" {
		_ = c.Send(takeover.Message{Kind: takeover.KindReady})
		_, _ = c.Expect(takeover.KindAway)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// A new process that fails at once, and ones that are killed before they are
// ready and before they accept: the old process goes on.
func TestProcessRestartFails(t *testing.T) {
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := startService(t, nil)
	e := s.echoListener()
	for i, script := range []string{
		"exit 1",
		"HALF_TAKEOVER=" + s.socket + " HALF_TAKEOVER_STEP=sockets exec " + test + " -test.run=TestHalfTakeover",
		"HALF_TAKEOVER=" + s.socket + " HALF_TAKEOVER_STEP=ready exec " + test + " -test.run=TestHalfTakeover",
	} {
		program := filepath.Join(s.dir, fmt.Sprintf("script%d", i))
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.install(t, program)
		s.mu.Lock()
		s.log = nil
		s.mu.Unlock()
		s.signal(syscall.SIGUSR2)
		s.line("the new process ended before it took over")
		if i > 0 {
			s.line("the new process did not take over; this one goes on")
		}
		if err := s.send(i); err != nil {
			t.Errorf("%s: %v", script, err)
		}
	}
	if n := e.connects.Load(); n != 1 {
		t.Errorf("the listener connected %d times", n)
	}
	binary, _ := binaryUnderTest()
	s.install(t, binary)
	s.restart()
	if err := s.send(9); err != nil {
		t.Errorf("behind a restart that worked: %v", err)
	}
	e.end()
}

// The old process is killed in the middle of its drain: the new one goes on, and
// a sender that it holds is answered, by a listener or with 404.
func TestProcessRestartOldKilled(t *testing.T) {
	s := startService(t, nil, "--drain-spread", "1m", "--drain-timeout", "1m", "--restart-hold", "1s")
	control := s.listener() // it does not come back
	old := s.pid
	s.restart()
	answer := make(chan error, 1)
	go func() {
		_, status, err := s.upgrade("/$hc/unauthenticated")
		if err == nil && !strings.HasPrefix(status, "404") {
			err = fmt.Errorf("status %s", status)
		}
		answer <- err
	}()
	control.SetDeadline(time.Now().Add(10 * time.Second))
	wantProcessClose(t, control, 1001) // the sender is held
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.line("the process before this one ended early")
	if err := <-answer; err != nil {
		t.Errorf("the held sender: %v", err)
	}
	e := s.echoListener()
	if err := s.send(1); err != nil {
		t.Error(err)
	}
	e.end()
}

// What systemd is told, by a socket that plays systemd: READY, the watchdog, a
// reload, the new main process of a restart, the end.
func TestProcessNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := startService(t, func(c *exec.Cmd) {
		c.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000")
	}, "--drain-spread", "0")
	told := func(want ...string) string {
		t.Helper()
		_ = l.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 4096)
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("systemd is not told %q: %v", want, err)
			}
			has := true
			for _, part := range want {
				has = has && strings.Contains(string(buf[:n]), part)
			}
			if has {
				return string(buf[:n])
			}
		}
	}
	told("READY=1")
	told("WATCHDOG=1")
	told("WATCHDOG=1")
	s.signal(syscall.SIGHUP)
	told("RELOADING=1", "MONOTONIC_USEC=")
	told("READY=1")
	s.signal(syscall.SIGUSR2)
	told("RELOADING=1")
	main := told("MAINPID=", "READY=1")
	s.taken()
	if want := fmt.Sprintf("MAINPID=%d\n", s.pid); !strings.Contains(main, want) {
		t.Errorf("told %q, want %q", main, want)
	}
	if status := s.wait(s.pids[0]); status != 0 {
		t.Errorf("the old process ended with status %d", status)
	}
	told("WATCHDOG=1") // of the new one
	s.signal(syscall.SIGTERM)
	told("STOPPING=1")
	if status := s.wait(s.pid); status != 0 {
		t.Errorf("the new process ended with status %d", status)
	}
}

// Sockets that systemd opened: by name, whatever the settings say; one socket
// for all loops; connections that came before the process are served.
func TestProcessSocketActivation(t *testing.T) {
	open := func() (*os.File, string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return f, l.Addr().String()
	}
	http, address := open()
	admin, adminAddress := open()
	early, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	s := startService(t, func(c *exec.Cmd) {
		c.ExtraFiles = []*os.File{admin, http}
		c.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, append([]string{c.Path}, c.Args[1:]...)...)
		c.Path = "/bin/sh"
		c.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=admin:http")
	}, "--engine-loops", "4", "--drain-spread", "0")
	_ = http.Close()
	_ = admin.Close()
	if s.http != address || s.admin != adminAddress {
		t.Errorf("it listens on %s and %s, want %s and %s", s.http, s.admin, address, adminAddress)
	}
	_, _ = io.WriteString(early, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = early.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := http1(early); err != nil {
		t.Errorf("a connection that came before the process: %v", err)
	}
	e := s.echoListener()
	for i := range 20 {
		if err := s.send(i); err != nil {
			t.Error(err)
		}
	}
	s.restart()
	for i := range 20 {
		if err := s.send(i); err != nil {
			t.Error(err)
		}
	}
	e.end()
}

func http1(c net.Conn) (int, error) {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
