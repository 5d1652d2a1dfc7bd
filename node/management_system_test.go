//go:build system

package node_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// managed is a process with a management API and the client for it.
type managed struct {
	*process
	dir, base string
	log       *processLog
	client    *http.Client
	token     string
}

// startManaged starts an emulator in dir; change may alter the command.
func startManaged(t *testing.T, dir string, change func(*exec.Cmd), args ...string) *managed {
	t.Helper()
	binary, err := binaryUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"dev", "--http", "127.0.0.1:0", "--https", "", "--admin", "127.0.0.1:0",
		"--management", "127.0.0.1:0", "--log-format", "json", "--data-dir", dir}, args...)
	m := &managed{process: &process{t: t, cmd: exec.Command(binary, args...)}, dir: dir,
		log: new(processLog)}
	m.cmd.Stderr = m.log
	if change != nil {
		change(m.cmd)
	}
	_ = os.Remove(filepath.Join(dir, "endpoints.json"))
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.cmd.ProcessState == nil {
			_ = m.cmd.Process.Kill()
			_ = m.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("standard error:\n%s", m.log.text.String())
		}
	})
	var endpoints struct{ HTTP, Admin, Management string }
	soon(t, "endpoints.json", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
		return err == nil && json.Unmarshal(text, &endpoints) == nil
	})
	m.http, m.admin = endpoints.HTTP, endpoints.Admin
	m.connectTo(endpoints.Management)
	return m
}

func (m *managed) connectTo(address string) {
	m.t.Helper()
	ca, err := os.ReadFile(filepath.Join(m.dir, "ca.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(m.dir, "management.token"))
	if err != nil {
		m.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	m.token = strings.TrimSpace(string(token))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16,
	}
	m.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	m.t.Cleanup(transport.CloseIdleConnections)
	m.base = "https://" + address + "/subscriptions/00000000-0000-0000-0000-000000000000" +
		"/resourceGroups/default/providers/Microsoft.Relay/namespaces/dev"
}

// call asks the management API; path is below the namespace dev, or a URL.
func (m *managed) call(method, path string, body any) (status int, answer []byte, err error) {
	if !strings.HasPrefix(path, "https:") {
		path = m.base + path + "?api-version=2024-01-01"
	}
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		text = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, path, text)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+m.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := m.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// entity is one of the API's, as far as the tests look at it.
type entity struct {
	Name       string `json:"name,omitempty"`
	Properties struct {
		UserMetadata                string `json:"userMetadata"`
		RequiresClientAuthorization bool   `json:"requiresClientAuthorization"`
	} `json:"properties"`
}

// versioned is an entity whose members all follow from one number.
func versioned(version int) (e entity) {
	e.Properties.UserMetadata = fmt.Sprint("v", version)
	e.Properties.RequiresClientAuthorization = version%2 == 0
	return e
}

// entities reads all hybrid connections, page by page.
func (m *managed) entities() map[string]entity {
	m.t.Helper()
	all := make(map[string]entity)
	for next := "/hybridConnections"; next != ""; {
		status, text, err := m.call("GET", next, nil)
		var page struct {
			Value    []entity `json:"value"`
			NextLink string   `json:"nextLink"`
		}
		if err != nil || status != 200 || json.Unmarshal(text, &page) != nil {
			m.t.Fatalf("GET %s: %d %s %v", next, status, text, err)
		}
		for _, e := range page.Value {
			if _, twice := all[e.Name]; twice {
				m.t.Fatalf("%s is listed twice", e.Name)
			}
			all[e.Name] = e
		}
		next = page.NextLink
	}
	return all
}

// TestProcessManagementKilled kills the process again and again while clients
// write. After each start, every write that was acknowledged is there, and an
// entity is as one write made it.
func TestProcessManagementKilled(t *testing.T) {
	const writes, writers, names = 10_000, 4, 25
	dir := t.TempDir()
	type record struct {
		acknowledged int // version; 0 is deleted or never there
		tried        int // the one that was not answered, if it is another
	}
	state := make([][]record, writers)
	for i := range state {
		state[i] = make([]record, names)
	}
	random := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	acknowledged, kills, version := 0, 0, 0
	var startup time.Duration
	for acknowledged < writes {
		begin := time.Now()
		m := startManaged(t, dir, nil)
		startup = max(startup, time.Since(begin))
		all := m.entities()
		for w := range state {
			for k := range state[w] {
				r := &state[w][k]
				name := fmt.Sprintf("w%d/e%d", w, k)
				got, there := all[name]
				is := 0
				if there {
					_, _ = fmt.Sscanf(got.Properties.UserMetadata, "v%d", &is)
					if got.Properties != versioned(is).Properties {
						t.Fatalf("%s is half written: %+v", name, got)
					}
				}
				if is != r.acknowledged && is != r.tried {
					t.Fatalf("after %d kills %s is version %d; %d was acknowledged, %d tried",
						kills, name, is, r.acknowledged, r.tried)
				}
				r.acknowledged, r.tried = is, is
			}
		}
		after := int64(1 + random.IntN(500))
		var done atomic.Int64
		var group sync.WaitGroup
		for w := range writers {
			seed, first := random.Uint64(), version+1+w
			group.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for v := first; ; v += writers {
					k := r.IntN(names)
					path := fmt.Sprintf("/hybridConnections/w%d%%2Fe%d", w, k)
					method, body, want := "PUT", any(versioned(v)), v
					if r.IntN(5) == 0 {
						method, body, want = "DELETE", nil, 0
					}
					state[w][k].tried = want
					status, text, err := m.call(method, path, body)
					if err != nil {
						return
					}
					if status != 200 && (method != "DELETE" || status != 204) {
						t.Errorf("%s %s: %d %s", method, path, status, text)
						return
					}
					state[w][k].acknowledged = want
					if done.Add(1) == after {
						_ = m.cmd.Process.Kill()
					}
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		_ = m.cmd.Wait()
		kills++
		acknowledged += int(done.Load())
		version += writers * (int(done.Load()) + writers)
	}
	t.Logf("%d acknowledged writes, %d kills, slowest start %v", acknowledged, kills, startup)
	left, _ := filepath.Glob(filepath.Join(dir, ".relayhouse-store-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestProcessManagementDiskFull limits the size of files below what a write
// needs. The write is refused in words, the data path goes on, and with room
// again so do writes.
func TestProcessManagementDiskFull(t *testing.T) {
	m := startManaged(t, t.TempDir(), nil)
	m.dial = m.process.dialHTTP()
	control := m.listener()
	sender, listener, err := m.relay(control)
	if err != nil {
		t.Fatal(err)
	}
	big := map[string]any{"properties": map[string]any{"userMetadata": strings.Repeat("x", 1000)}}
	limit := func(bytes uint64) {
		l := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(m.cmd.Process.Pid, unix.RLIMIT_FSIZE, &l, nil); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(m.dir, "namespaces.db"))
	if err != nil {
		t.Fatal(err)
	}
	limit(uint64(info.Size()))
	refused, made := 0, 0
	for i := range 400 {
		status, text, err := m.call("PUT", fmt.Sprint("/hybridConnections/full", i), big)
		switch {
		case err != nil:
			t.Fatal(err)
		case status == 200 && refused == 0:
			made++
		case status == 503:
			refused++
			if !strings.Contains(string(text), `"ServiceUnavailable"`) {
				t.Fatalf("got %s", text)
			}
		case status != 200:
			t.Fatalf("got %d %s", status, text)
		}
		if refused == 20 {
			break
		}
	}
	if refused == 0 {
		t.Fatalf("%d writes and none was refused", made)
	}
	if m.log.find(0, "the namespace store cannot be written") == "" {
		t.Error("no line in the log")
	}
	m.echo(sender, listener)
	if other, end, err := m.relay(control); err != nil {
		t.Errorf("a new relay: %v", err)
	} else {
		m.echo(other, end)
	}
	limit(unix.RLIM_INFINITY)
	if status, text, err := m.call("PUT", "/hybridConnections/again", big); status != 200 {
		t.Errorf("with room again: %d %s %v", status, text, err)
	}
	want := len(m.entities())
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	if got := len(startManaged(t, m.dir, nil).entities()); got != want {
		t.Errorf("%d entities after a restart, want %d", got, want)
	}
	t.Logf("%d writes, then %d refused", made, refused)
}

// TestProcessManagementReadOnly: a store that may only be read is served, and
// the API says that it cannot be changed.
func TestProcessManagementReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process that may not write its files")
	}
	// Not t.TempDir: its parents are for the user of the test alone.
	dir, err := os.MkdirTemp("", "relayhouse-ro-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := startManaged(t, dir, nil)
	if status, text, err := m.call("PUT", "/hybridConnections/kept", versioned(2)); status != 200 {
		t.Fatal(status, string(text), err)
	}
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	_ = m.cmd.Wait()
	const nobody = 65534
	binary := filepath.Join(dir, "relayhouse")
	built, err := binaryUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(built)
	if err = errors.Join(err, os.WriteFile(binary, text, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	// The data directory is written at each start; the store is elsewhere.
	store, data := filepath.Join(dir, "store"), filepath.Join(dir, "data")
	err = errors.Join(os.Mkdir(store, 0o755), os.Mkdir(data, 0o700), os.Chown(data, nobody, nobody),
		os.Rename(filepath.Join(dir, "namespaces.db"), filepath.Join(store, "namespaces.db")),
		os.Chown(filepath.Join(store, "namespaces.db"), 0, nobody),
		os.Chmod(filepath.Join(store, "namespaces.db"), 0o440))
	if err != nil {
		t.Fatal(err)
	}
	m = startManaged(t, data, func(cmd *exec.Cmd) {
		cmd.Path = binary
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}, "--store-file", filepath.Join(store, "namespaces.db"))
	if e, ok := m.entities()["kept"]; !ok || e.Properties != versioned(2).Properties {
		t.Errorf("got %+v", e)
	}
	status, answer, err := m.call("PUT", "/hybridConnections/more", versioned(4))
	if status != 503 || !strings.Contains(string(answer), "ServiceUnavailable") {
		t.Errorf("got %d %s %v", status, answer, err)
	}
	if m.log.find(0, "the namespace store is read-only") == "" {
		t.Error("no line in the log")
	}
	m.dial = m.process.dialHTTP()
	s, l, err := m.relay(m.listener())
	if err != nil {
		t.Fatal(err)
	}
	m.echo(s, l)
}

// TestProcessManagementMany: 10,000 entities with two rules each, by one import;
// they are there after a restart, page by page.
func TestProcessManagementMany(t *testing.T) {
	const many = 10_000
	m := startManaged(t, t.TempDir(), nil)
	var text strings.Builder
	text.WriteString("namespaces:\n  - name: dev\n    hybrid_connections:\n")
	for i := range many {
		fmt.Fprintf(&text, "      - name: site-%05d/api\n        authorization_rules:\n"+
			"          - {name: listen, rights: [Listen], primary_key: listen-key-%d}\n"+
			"          - {name: send, rights: [Send], primary_key: send-key-%d}\n", i, i, i)
	}
	begin := time.Now()
	host := strings.SplitAfter(m.base, "/subscriptions")[0]
	r, err := http.NewRequest("POST", strings.TrimSuffix(host, "/subscriptions")+"/relayhouse/import",
		strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+m.token)
	resp, err := m.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("import: %d %s", resp.StatusCode, answer)
	}
	imported := time.Since(begin)
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	begin = time.Now()
	m = startManaged(t, m.dir, nil)
	ready := time.Since(begin)
	begin = time.Now()
	all := m.entities()
	if len(all) != many+2 {
		t.Errorf("%d entities, want %d", len(all), many+2)
	}
	listed := time.Since(begin)
	begin = time.Now()
	if status, text, err := m.call("PUT", "/hybridConnections/one-more", versioned(2)); status != 200 {
		t.Errorf("%d %s %v", status, text, err)
	}
	t.Logf("import %v, ready after %v, all pages %v, one more %v", imported, ready, listed,
		time.Since(begin))
}
