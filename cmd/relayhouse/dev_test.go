package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/sas"
)

// dev arguments that no other process can be in the way of.
func devArgs(dir string, more ...string) []string {
	return append([]string{"dev", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--https", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir", dir}, more...)
}

func devToken(path string) string {
	return sas.Sign("http://localhost/"+path, config.DevKeyName, config.DevKey,
		time.Now().Add(time.Hour))
}

// emulator starts "relayhouse dev" and waits for its endpoints.json.
func emulator(t *testing.T, more ...string) (*process, *relaytest.Client, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "by", "dev")
	p, n := emulatorIn(t, dir, more...)
	return p, n, dir
}

func emulatorIn(t *testing.T, dir string, more ...string) (*process, *relaytest.Client) {
	t.Helper()
	p := start(t, devArgs(dir, more...)...)
	endpoints := endpointsIn(t, dir)
	address := regexp.MustCompile(`^127\.0\.0\.1:[1-9]\d*$`)
	for _, name := range []string{"http", "https", "admin", "management"} {
		if got, ok := endpoints[name]; !ok || !address.MatchString(got) {
			t.Errorf("%s is %q in %v", name, got, endpoints)
		}
	}
	if len(endpoints) != 4 {
		t.Errorf("members of %v", endpoints)
	}
	return p, relaytest.NewClient(endpoints["http"], endpoints["admin"])
}

// endpointsIn waits for endpoints.json and reads it.
func endpointsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	file := filepath.Join(dir, "endpoints.json")
	var text []byte
	relaytest.Eventually(t, "endpoints.json", func() bool {
		var err error
		text, err = os.ReadFile(file)
		return err == nil
	})
	var endpoints map[string]string
	if err := json.Unmarshal(text, &endpoints); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return endpoints
}

// TestDev is the contract that scripts rely on.
func TestDev(t *testing.T) {
	t.Parallel()
	p, n, dir := emulator(t)
	if status, body := n.Get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}
	// Every host maps to the one namespace.
	for _, path := range []string{relaytest.Authorized, relaytest.Anonymous} {
		d := relaytest.Dial{Path: path, Token: devToken(path), Host: "contoso.relay.test:443"}
		l := n.Listen(t, d)
		if path == relaytest.Anonymous {
			d.Token = ""
		} else {
			n.Connect(t, relaytest.Dial{Path: path}).Want(t, 401)
		}
		s, r := l.Pair(t, d)
		relaytest.Exchange(t, s, r)
		s.Abort()
		r.Abort()
		l.Close(t)
	}
	// One step: a script that waits for the file never sees half of it.
	if left := namesIn(t, dir); left != "ca-key.pem ca.pem endpoints.json management.token namespaces.db" {
		t.Errorf("files %q", left)
	}
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	if lines := p.errors.snapshot(); len(lines) > 0 {
		t.Errorf("standard error %q", lines)
	}
	// Nothing is left that a script could take for a running emulator.
	if left := namesIn(t, dir); left != "ca-key.pem ca.pem management.token namespaces.db" {
		t.Errorf("files %q", left)
	}
}

// namesIn lists a directory.
func namesIn(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestDevReplacesEndpoints of a run that had no time to clean up. The test
// would read dead addresses if they were not gone before the port is open.
func TestDevReplacesEndpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "endpoints.json")
	if err := os.WriteFile(file, []byte(`{"http":"127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it only holds the port
	args := devArgs(dir)
	args[2] = l.Addr().String()
	if status, _, stderr := result(t, nil, args...); status != exitUsage {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of an earlier run is there: %v", err)
	}
	p, n := emulatorIn(t, dir)
	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 404)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
}

// TestDevTwice: a second one that finds the port taken leaves the first one's
// file alone.
func TestDevTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, n := emulatorIn(t, dir)
	args := devArgs(dir)
	args[2] = n.HTTP
	args = append(args, "--log-level", "error") // it also says that it cannot have the store
	wantUsage(t, "second", nil, args, []string{"listen.http: " + n.HTTP + " is in use"})
	text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err != nil || !strings.Contains(string(text), n.HTTP) {
		t.Errorf("endpoints.json: %s (%v)", text, err)
	}
}

// TestDevWelcome: what is printed can be pasted.
func TestDevWelcome(t *testing.T) {
	t.Parallel()
	p, n, dir := emulator(t, "--hyco", "orders", "--hyco", "public:anonymous")
	_, port, _ := net.SplitHostPort(endpointsIn(t, dir)["https"])
	secure := "localhost:" + port // As clients that always dial TLS want it.
	relaytest.Eventually(t, "the last line", func() bool {
		return p.output.find("curl http://"+n.Admin+"/readyz") != ""
	})
	for _, path := range []string{"authenticated", "unauthenticated", "orders", "public"} {
		line := strings.TrimSpace(p.output.find(";EntityPath=" + path))
		c, err := sas.ParseConnectionString(line)
		if err != nil || line != "Endpoint=sb://"+secure+"/;SharedAccessKeyName="+
			config.DevKeyName+";SharedAccessKey="+config.DevKey+";EntityPath="+path {
			t.Errorf("%q: %+v, %v", line, c, err)
		}
		line = p.output.find("npx wscat -c 'ws://" + n.HTTP + "/$hc/" + path + "'")
		if line == "" {
			t.Fatalf("no line for %s in %q", path, p.output.snapshot())
		}
		d := relaytest.Dial{Path: path}
		if _, header, ok := strings.Cut(line, "-H 'ServiceBusAuthorization: "); ok {
			d.Token = strings.TrimSuffix(header, "'")
		}
		if (d.Token == "") != (path == "unauthenticated" || path == "public") {
			t.Errorf("%s: token in %q", path, line)
		}
		listen := d
		listen.Token = devToken(path)
		s, r := n.Listen(t, listen).Pair(t, d)
		relaytest.Exchange(t, s, r)
	}
	ca := filepath.Join(dir, "ca.pem")
	for _, text := range []string{
		filepath.Join(dir, "endpoints.json"), "  CA      " + ca,
		"export NODE_EXTRA_CA_CERTS='" + ca + "'",
		"npx wscat -c 'wss://" + secure + "/$hc/public'",
		"curl -i --cacert '" + ca + "' https://" + secure + "/public/some/path",
	} {
		if p.output.find(text) == "" {
			t.Errorf("no %q in %q", text, p.output.snapshot())
		}
	}
}

// TestDevEntities: --hyco adds and replaces, --config does away with both.
func TestDevEntities(t *testing.T) {
	t.Parallel()
	_, n, _ := emulator(t, "--hyco=Authenticated:anonymous", "--hyco", "unauthenticated")
	for path, status := range map[string]int{
		"authenticated": 404, "unauthenticated": 401, "other": 401,
	} {
		n.Connect(t, relaytest.Dial{Path: path}).Want(t, status)
	}
	file := write(t, "Config.json", `{"UserConfig": {"Namespaces": [{ // as of the emulators
		"Name": "sbemulatorns",
		"AuthorizationRules": [{"Name": "one", "Rights": ["Listen", "Send"],
			"PrimaryKey": "`+relaytest.RootKey+`"}],
		"HybridConnections": [{"Name": "only",
			"Properties": {"RequiresClientAuthorization": false}}]}]}}`)
	_, n, _ = emulator(t, "--config", file)
	n.Connect(t, relaytest.Dial{Path: "only"}).Want(t, 404)
	n.Connect(t, relaytest.Dial{Path: "unauthenticated"}).Want(t, 401)
	n.Listen(t, relaytest.Dial{Path: "only",
		Token: sas.Sign("http://x/only", "one", relaytest.RootKey, time.Now().Add(time.Hour))})
}

// TestDevManagement: what is made by the API is there again in the next run, and
// flags do not undo it.
func TestDevManagement(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, n := emulatorIn(t, dir, "--hyco", "orders")
	for _, name := range []string{"made", "authenticated", "orders"} {
		status, text := manage(t, dir, "PUT", "/hybridConnections/"+name,
			`{"properties":{"requiresClientAuthorization":false}}`)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, text)
		}
		n.Connect(t, relaytest.Dial{Path: name}).Want(t, 404)
	}
	if status, text := manage(t, dir, "DELETE", "/hybridConnections/unauthenticated", ""); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	p.signal(t, syscall.SIGKILL)
	<-p.exited
	if err := os.Remove(filepath.Join(dir, "endpoints.json")); err != nil {
		t.Fatal(err)
	}
	_, n = emulatorIn(t, dir, "--hyco", "orders")
	for path, status := range map[string]int{
		"made": 404, "authenticated": 404, "unauthenticated": 404, "orders": 401, "other": 401,
	} {
		n.Connect(t, relaytest.Dial{Path: path}).Want(t, status)
	}
}

// manage asks the management API of the emulator in dir about its namespace.
func manage(t *testing.T, dir, method, path, body string) (int, string) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(dir, "management.token"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
	r, err := http.NewRequest(method, "https://"+endpointsIn(t, dir)["management"]+
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Relay/namespaces/dev"+path+
		"?api-version=2017-04-01", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// TestDevManagementPort: the usual port that is taken is given up for another
// one, and one that was asked for is not.
func TestDevManagementPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", devManagement)
	if err == nil {
		defer l.Close() //nolint:errcheck // it only holds the port
	} // else somebody else holds it
	dir := t.TempDir()
	start(t, "dev", "--http", "127.0.0.1:0", "--https", "", "--admin", "127.0.0.1:0", "--data-dir", dir)
	if got := endpointsIn(t, dir)["management"]; got == "" || got == devManagement {
		t.Errorf("management is %q", got)
	}
	wantUsage(t, "taken", nil, devArgs(t.TempDir(), "--management", devManagement),
		[]string{"management.listen: " + devManagement + " is in use"})
	dir = t.TempDir()
	start(t, devArgs(dir, "--management", "")...)
	if got := endpointsIn(t, dir)["management"]; got != "" {
		t.Errorf("management is %q", got)
	}
	if left := namesIn(t, dir); strings.Contains(left, "management.token") {
		t.Errorf("files %q", left)
	}
}

// TestDevCA: kept from start to start, made anew with a word when it cannot be
// read.
func TestDevCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	var made [3]string
	for i := range made {
		if i == 2 {
			if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, _ := emulatorIn(t, dir)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made[i] = string(text)
		said := p.errors.find("relayhouse: the local CA is made anew") != ""
		if said != (i == 2) {
			t.Errorf("start %d: standard error %q", i, p.errors.snapshot())
		}
		p.signal(t, syscall.SIGTERM)
		p.wantExit(t, 0)
	}
	if made[0] != made[1] || made[1] == made[2] {
		t.Errorf("files %q", made)
	}
}

// TestDevPorts: each of the two may be turned off, not both.
func TestDevPorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ off, on, line, not string }{
		{"http", "https", "Endpoint=sb://localhost:", "ws://"},
		{"https", "http", "Endpoint=sb://127.0.0.1:", "wss://"},
	} {
		dir := t.TempDir()
		p := start(t, devArgs(dir, "--"+tt.off, "")...)
		endpoints := endpointsIn(t, dir)
		if endpoints[tt.off] != "" || endpoints[tt.on] == "" {
			t.Errorf("without %s: %v", tt.off, endpoints)
		}
		relaytest.Eventually(t, "the last line", func() bool {
			return p.output.find("/readyz") != "" && p.output.find(tt.line) != ""
		})
		if p.output.find(" '"+tt.not) != "" || p.output.find("("+tt.not) != "" {
			t.Errorf("without %s: %q", tt.off, p.output.snapshot())
		}
		p.signal(t, syscall.SIGTERM)
		p.wantExit(t, 0)
	}
	dir := t.TempDir()
	wantUsage(t, "no port", nil, devArgs(dir, "--http", "", "--https", ""),
		[]string{"listen.http: want host:port, here or at listen.https"})
}

// TestDevErrors: the same as for serve, with the flags of dev.
func TestDevErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := write(t, "none.json", `{"UserConfig": {"Namespaces": []}}`)
	broken := write(t, "broken.json", `{"UserConfig": {"Namespaces": [{"Nam": "x"}]}}`)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"option", []string{"--hyco", "a:public"}, `--hyco: want NAME or NAME:anonymous, got "a:public"`},
		{"empty option", []string{"--hyco", "a:"}, `--hyco: want NAME or NAME:anonymous`},
		{"no name", []string{"--hyco", ""}, `--hyco: `},
		{"bad name", []string{"--hyco", "/a"}, `--hyco: `},
		{"blank", []string{"--hyco", "a b"}, `--hyco: `},
		{"two sources", []string{"--hyco", "a", "--config", none}, "--hyco: cannot be combined"},
		{"no file", []string{"--config", dir + "/none.json"}, dir + "/none.json"},
		{"unknown member", []string{"--config", broken}, "UserConfig.Namespaces[0].Nam: unknown key"},
		{"no namespace", []string{"--config", none}, "Namespaces"},
		{"limit", []string{"--drain-timeout", "-1s"}, "drain.timeout: want 0–24h"},
	} {
		wantUsage(t, tt.name, nil, devArgs(dir, tt.args...), []string{tt.want})
	}
}
