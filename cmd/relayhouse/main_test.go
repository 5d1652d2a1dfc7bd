package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/internal/leak"
	"github.com/relayhouse/relayhouse/relaytest"
)

// asCommand makes the test binary the command.
const asCommand = "RUN_AS_RELAYHOUSE"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	leak.Main(m)
}

// command prepares a run in an environment without settings.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RELAYHOUSE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, asCommand+"=1"), env...)
	return cmd
}

// result runs a command to its end.
func result(t *testing.T, env []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, env, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(relaytest.Patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// write puts a file into a directory of the test.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a command that runs.
type process struct {
	cmd    *exec.Cmd
	errors *lines
	output *lines
	exited chan struct{} // closed when it has ended
}

// lines collects the lines of a stream.
type lines struct {
	mu  sync.Mutex
	all []string // Guarded by mu.
	end chan struct{}
}

func collect(r io.Reader) *lines {
	l := &lines{end: make(chan struct{})}
	go func() {
		defer close(l.end)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.mu.Lock()
			l.all = append(l.all, s.Text())
			l.mu.Unlock()
		}
	}()
	return l
}

func (l *lines) snapshot() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// find returns the first line with text in it, or "".
func (l *lines) find(text string) string {
	for _, line := range l.snapshot() {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// start runs a command until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := command(t, nil, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd: cmd, output: collect(stdout), errors: collect(stderr), exited: make(chan struct{}),
	}
	go func() {
		defer close(p.exited)
		<-p.output.end
		<-p.errors.end
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("standard error:\n%s", strings.Join(p.errors.snapshot(), "\n"))
		}
	})
	return p
}

// ready waits for the line that says so and returns a client.
func (p *process) ready(t *testing.T) *relaytest.Client {
	t.Helper()
	var line struct{ HTTP, Admin string }
	relaytest.Eventually(t, "the line that says ready", func() bool {
		text := p.errors.find(`"msg":"ready"`)
		return text != "" && json.Unmarshal([]byte(text), &line) == nil
	})
	return relaytest.NewClient(line.HTTP, line.Admin)
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wantExit waits for the end.
func (p *process) wantExit(t *testing.T, status int) {
	t.Helper()
	relaytest.Receive(t, p.exited, "the end of the process")
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
}

// settings is a file with two entities.
const settings = `
listen:
  http: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
drain:
  timeout: 1m
namespaces:
  - name: test
    authorization_rules:
      - name: ` + relaytest.RootRule + `
        rights: [Listen, Send, Manage]
        primary_key: ` + relaytest.RootKey + `
    hybrid_connections:
      - name: ` + relaytest.Anonymous + `
        requires_client_authorization: false
      - name: ` + relaytest.Authorized + `
`

var anonymous = relaytest.Dial{Path: relaytest.Anonymous}

// TestErrorsOfOperators: exit status 2, one line for each mistake, which names
// the setting and what would be right; nothing on standard output.
func TestErrorsOfOperators(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it only holds the port
	taken := l.Addr().String()
	dir := t.TempDir()
	misspelled := write(t, "a.yaml", "gateway:\n  rendezvous_windw: 5s\n")
	several := write(t, "b.yaml", "gateway:\n  id: -1\n  listeners_max: 0\nlimit:\n  x: 1\n")
	broken := write(t, "c.yaml", "gateway: [\n")
	good := write(t, "good.yaml", settings)
	noKey := write(t, "d.yaml", strings.ReplaceAll(settings, relaytest.RootKey, "env:NO_SUCH_KEY"))
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		want []string // one line each
	}{
		{"unknown key", nil, []string{"serve", "-c", misspelled},
			[]string{"gateway.rendezvous_windw: unknown key, did you mean " +
				"gateway.rendezvous_window? (" + misspelled + ":2)"}},
		{"several mistakes", nil, []string{"serve", "-c", several},
			[]string{"limit: unknown key, did you mean limits?", "gateway.id: want 0–65535, got -1",
				"gateway.listeners_max: want 1–10000, got 0"}},
		{"no YAML", nil, []string{"serve", "-c", broken}, []string{broken}},
		{"no file", nil, []string{"serve", "-c", dir + "/none.yaml"}, []string{dir + "/none.yaml"}},
		{"a directory", nil, []string{"serve", "-c", dir}, []string{dir}},
		{"no key", nil, []string{"serve", "-c", noKey}, []string{"NO_SUCH_KEY"}},
		{"port in use", nil, []string{"serve", "-c", good, "--http", taken},
			[]string{"listen.http: " + taken + " is in use by another process"}},
		{"admin port in use", nil, []string{"serve", "-c", good, "--admin", taken},
			[]string{"admin.listen: " + taken + " is in use by another process"}},
		{"impossible limit", nil, []string{"serve", "--gateway-rendezvous-window", "45s"},
			[]string{"gateway.rendezvous_window: want 1s–30s, got 45s (--gateway-rendezvous-window)"}},
		{"more than the descriptors", nil,
			[]string{"serve", "-c", good, "--gateway-connections-max=1048576"},
			[]string{"gateway.connections_max: want at most "}},
		{"TLS", nil, []string{"serve", "--https", ":443"}, []string{"listen.https: want a certificate"}},
		{"no certificate", nil, []string{"serve", "-c", good, "--https", "127.0.0.1:0",
			"--tls-certificate", dir + "/none.pem", "--tls-key", dir + "/none.pem"},
			[]string{"tls: cannot be opened: no such file or directory (" + dir + "/none.pem)"}},
		{"dev: HTTPS port in use", nil, []string{"dev", "--http", "127.0.0.1:0", "--admin",
			"127.0.0.1:0", "--https", taken, "--data-dir", dir},
			[]string{"listen.https: " + taken + " is in use"}},
		{"environment", []string{"RELAYHOUSE_GATEWAY__ID=x", "RELAYHOUSE_GATEWAY__IT=1"},
			[]string{"serve"}, []string{
				"RELAYHOUSE_GATEWAY__IT: unknown key, did you mean RELAYHOUSE_GATEWAY__ID?",
				"gateway.id: want 0–65535, got x (RELAYHOUSE_GATEWAY__ID)"}},
		{"unknown flag", nil, []string{"serve", "--nonsense"}, []string{"--nonsense"}},
		{"unknown command", nil, []string{"server"}, []string{`unknown command "server"`}},
		{"extra argument", nil, []string{"serve", "file.yaml"}, []string{"file.yaml"}},
		{"extra argument of dev", nil, []string{"dev", "up"}, []string{"up"}},
		{"dev: port in use", nil, []string{"dev", "--http", taken, "--admin", "127.0.0.1:0",
			"--https", "127.0.0.1:0", "--data-dir", dir}, []string{"listen.http: " + taken + " is in use"}},
		{"dev: data directory", nil, []string{"dev", "--http", "127.0.0.1:0", "--admin",
			"127.0.0.1:0", "--data-dir", misspelled}, []string{"--data-dir: "}},
		{"check", nil, []string{"serve", "-c", misspelled, "--check-config"},
			[]string{"gateway.rendezvous_windw: unknown key"}},
		{"print", nil, []string{"serve", "-c", misspelled, "--print-config"},
			[]string{"gateway.rendezvous_windw: unknown key"}},
	} {
		wantUsage(t, tt.name, tt.env, tt.args, tt.want)
	}
}

func wantUsage(t *testing.T, name string, env, args, want []string) {
	t.Helper()
	status, stdout, stderr := result(t, env, args...)
	if status != exitUsage || stdout != "" {
		t.Errorf("%s: exit status %d, standard output %q, error %q", name, status, stdout, stderr)
	}
	got := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if len(got) != len(want) {
		t.Errorf("%s: %d lines, want %d:\n%s", name, len(got), len(want), stderr)
		return
	}
	for i, line := range got {
		if !strings.HasPrefix(line, "relayhouse: ") || !strings.Contains(line, want[i]) {
			t.Errorf("%s: line %q, want %q in it", name, line, want[i])
		}
	}
}

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	file := write(t, "good.yaml", settings)
	status, stdout, stderr := result(t, nil, "serve", "-c", file, "--check-config")
	if status != 0 || stdout != "the settings are valid\n" || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

// TestPrintConfig: all sources together, keys masked, and good to read again.
func TestPrintConfig(t *testing.T) {
	t.Parallel()
	file := write(t, "good.yaml", settings+`
        authorization_rules:
          - name: second
            rights: [Send]
            primary_key: env:SECOND_KEY
            secondary_key: file:`+write(t, "key", relaytest.SecondaryKey+"\n")+`
`)
	env := []string{"SECOND_KEY=" + relaytest.SendKey, "RELAYHOUSE_GATEWAY__ID=5",
		"RELAYHOUSE_GATEWAY__LISTENERS_MAX=7", "RELAYHOUSE_PORT=tcp://10.0.0.1:80"}
	status, stdout, stderr := result(t, env, "serve", "-c", file, "--print-config",
		"--gateway-listeners-max", "9")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	if strings.Contains(stdout, relaytest.KeyMark) {
		t.Errorf("a key is printed:\n%s", stdout)
	}
	for _, line := range []string{"  id: 5\n", "  listeners_max: 9\n", "  timeout: 1m\n",
		`primary_key: "***"`, `secondary_key: "***"`, `rights: ["Send"]`,
		"requires_client_authorization: false\n"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
	again := write(t, "printed.yaml", strings.ReplaceAll(stdout, "***", "abc"))
	status, second, stderr := result(t, nil, "serve", "-c", again, "--print-config")
	if status != 0 || stderr != "" || second != stdout {
		t.Errorf("printed again: status %d, %q\n%s", status, stderr, second)
	}
}

// TestServe: a drain at SIGTERM, which ends early when nobody is left.
func TestServe(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, "serve", "-c", write(t, "relay.yaml", settings))
		n := p.ready(t)
		if status, _ := n.Get(t, "/readyz"); status != 200 {
			t.Errorf("/readyz: %d", status)
		}
		l := n.Listen(t, anonymous)
		sender, r := l.Pair(t, anonymous)
		relaytest.Exchange(t, sender, r)
		p.signal(t, s)
		l.WantClose(t, 1001)
		if status, body := n.Get(t, "/readyz"); status != 503 {
			t.Errorf("/readyz: %d %s", status, body)
		}
		relaytest.Exchange(t, sender, r) // it lives on
		closed := sender.Close(1000, "")
		r.WantClose(t, 1000)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		p.wantExit(t, 0)
		if p.errors.find(relaytest.KeyMark) != "" {
			t.Error("a key is in the log")
		}
	}
}

// TestDrainDeadline: relays get 1001 when drain.timeout is over.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-c", write(t, "relay.yaml", settings), "--drain-timeout", "500ms")
	n := p.ready(t)
	s, r := n.Pair(t, relaytest.Anonymous)
	p.signal(t, syscall.SIGTERM)
	s.WantClose(t, 1001)
	r.WantClose(t, 1001)
	p.wantExit(t, 0)
}

// TestSecondSignal ends the drain at once, and says so.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-c", write(t, "relay.yaml", settings), "--drain-timeout", "1h")
	n := p.ready(t)
	l := n.Listen(t, anonymous)
	s, r := l.Pair(t, anonymous)
	p.signal(t, syscall.SIGTERM)
	l.WantClose(t, 1001)
	p.signal(t, syscall.SIGHUP) // means nothing now
	relaytest.Exchange(t, s, r)
	p.signal(t, syscall.SIGTERM)
	s.WantClose(t, 1001)
	r.WantClose(t, 1001)
	p.wantExit(t, exitFailure)
	if p.errors.find("relayhouse: ended by a second terminated while draining") == "" {
		t.Errorf("standard error %q", p.errors.snapshot())
	}
}

// TestReload: SIGHUP reads the entities again; a file that is wrong changes
// nothing and costs one line.
func TestReload(t *testing.T) {
	t.Parallel()
	file := write(t, "relay.yaml", settings)
	p := start(t, "serve", "-c", file)
	n := p.ready(t)
	l := n.Listen(t, anonymous)
	s, r := l.Pair(t, anonymous)
	rewrite := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGHUP)
	}

	rewrite(settings + "      - name: added\n        requires_client_authorization: false\n")
	relaytest.Eventually(t, "reloaded", func() bool {
		return p.errors.find("namespaces reloaded") != ""
	})
	added := n.Listen(t, relaytest.Dial{Path: "added"})
	s2, r2 := added.Pair(t, relaytest.Dial{Path: "added"})
	relaytest.Exchange(t, s2, r2)
	relaytest.Exchange(t, s, r)

	before := len(p.errors.snapshot())
	rewrite("namespaces: [{name: -}]\nunknown: {}\n")
	relaytest.Eventually(t, "not reloaded", func() bool {
		return p.errors.find("the settings were not reloaded; the old ones stay") != ""
	})
	relaytest.Exchange(t, s, r)
	added.Ping(t)
	if more := p.errors.snapshot()[before:]; len(more) != 1 ||
		!strings.Contains(more[0], "namespaces[0].name") || !strings.Contains(more[0], "unknown") {
		t.Errorf("lines %q", more)
	}

	rewrite(strings.Replace(settings, "- name: "+relaytest.Anonymous, "- name: other", 1))
	for _, gone := range []*relaytest.Listener{l, added} {
		gone.WantClose(t, 1001)
	}
	for _, gone := range []*relaytest.Conn{s, r, s2, r2} {
		gone.WantClose(t, 1001)
	}
	n.Listen(t, relaytest.Dial{Path: "other"}).Close(t)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
}
