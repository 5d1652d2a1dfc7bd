package relayctl

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environment returns surroundings with variables.
func (s *standIn) environment(vars map[string]string) Surroundings {
	around := s.surroundings("")
	around.Env = func(name string) string { return vars[name] }
	return around
}

// emulatorIn writes the files of an emulator that is s.
func (s *standIn) emulatorIn(dir string) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	address := strings.TrimPrefix(s.server.URL, "https://")
	text, _ := json.Marshal(map[string]string{"management": address, "admin": "127.0.0.1:1"})
	ca, _ := os.ReadFile(filepath.Join(s.dir, "ca.pem"))
	for name, text := range map[string]string{
		"endpoints.json": string(text), "management.token": testToken, "ca.pem": string(ca),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestEmulator: without a context, or with --data-dir, its files count.
func TestEmulator(t *testing.T) {
	s := newStandIn(t)
	around := s.surroundings("")
	around.CacheDir = filepath.Join(s.dir, "cache")
	r := runWith(t, around, "hyco", "list", "--management", "https://127.0.0.1:1")
	if want := `relayctl: no gateway answers at https://127.0.0.1:1 (connection refused); start one with ` +
		`"relayhouse dev", or choose another with --management` + "\n"; r.status != 1 || r.err != want {
		t.Errorf("none: status %d: %s", r.status, r.err)
	}
	other := filepath.Join(s.dir, "other")
	s.emulatorIn(other)
	if r := runWith(t, around, "hyco", "list", "--data-dir", other); r.status != 0 {
		t.Errorf("--data-dir: status %d: %s", r.status, r.err)
	}
	s.emulatorIn(filepath.Join(around.CacheDir, "relayhouse-dev"))
	if r := runWith(t, around, "hyco", "list"); r.status != 0 {
		t.Errorf("default: status %d: %s", r.status, r.err)
	}
	r = runWith(t, around, "show", "info")
	if !strings.Contains(r.err, "no gateway answers at http://127.0.0.1:1 (connection refused)") {
		t.Errorf("admin: %s", r.err)
	}
	_ = os.WriteFile(filepath.Join(other, "endpoints.json"), []byte("{"), 0o600)
	r = runWith(t, around, "hyco", "list", "--data-dir", other)
	if r.status != 1 || r.err != "relayctl: "+filepath.Join(other, "endpoints.json")+": want JSON\n" {
		t.Errorf("broken file: status %d: %s", r.status, r.err)
	}
	r = runWith(t, around, "hyco", "list", "--data-dir", other, "--context", "x")
	if r.status != 2 {
		t.Errorf("both: status %d: %s", r.status, r.err)
	}
}

// TestContexts follows one file from its first context to its last.
func TestContexts(t *testing.T) {
	s := newStandIn(t)
	s.namespace("fabrikam")
	file := filepath.Join(s.dir, "deep", "relayctl.yaml")
	vars := map[string]string{"RELAYCTL_CONFIG": file}
	around := s.environment(vars)
	t.Chdir(s.dir)
	for _, c := range []struct {
		args   string
		status int
		want   string // Of standard output, else of standard error.
	}{
		{"context list", 0, "there are none; without one, relayctl speaks to the emulator of this user\n"},
		{"context list -o json", 0, "[]\n"},
		{"context show", 2, "relayctl: there is no current context; choose one with \"relayctl context use NAME\"\n"},
		{"context set lab", 2, "relayctl: say where its gateway is: relayctl context set lab --management ADDRESS\n"},
		{"context set lab --management http://h", 2, "relayctl: --management: want https; a token must not be sent in plain text\n"},
		{"context set lab --management URL --token-file token --ca ca.pem -n contoso", 0, "the context lab is set; it is the current one\n"},
		{"hyco list -o tsv", 0, ""},
		{"rule list -n fabrikam -o tsv", 0, "RootManageSharedAccessKey\tListen Manage Send\n"},
		{"context set prod --management URL --token secret-token-of-prod --admin http://127.0.0.1:1 -g g --subscription 1", 0,
			"the context prod is set; \"relayctl context use prod\" makes it the current one\n"},
		{"context use prod", 0, "the current context is prod\n"},
		{"context list", 0, "   NAME  MANAGEMENT               NAMESPACE\n   lab   URL  contoso\n*  prod  URL\n"},
		{"context list -o tsv", 0, "\tlab\tURL\tcontoso\n*\tprod\tURL\t\n"},
		{"context show", 0, "name            prod\ncurrent         true\nmanagement      URL\ntoken           ***\n" +
			"admin           http://127.0.0.1:1\nsubscription    1\nresource_group  g\n"},
		{"context show lab -o yaml", 0, "ca: DIR/ca.pem\ncurrent: false\nmanagement: URL\nname: lab\nnamespace: contoso\ntoken_file: DIR/token\n"},
		{"hyco list --ca ca.pem -n contoso", 1, "relayctl: list the hybrid connections of contoso: InvalidAuthenticationToken: The access token is invalid; " +
			"choose another token with --token-file or RELAYCTL_TOKEN\n"},
		{"hyco list -o tsv --context lab", 0, ""},
		{"context set prod --token-file token --ca ca.pem --subscription= -g=", 0, "the context prod is set; it is the current one\n"},
		{"hyco list", 2, "relayctl: there are 2 namespaces (contoso, fabrikam); say which with --namespace-name\n"},
		{"context delete prod", 0, "the context prod is deleted\n"},
		{"context delete prod", 2, "relayctl: there is no context \"prod\"; \"relayctl context list\" shows those that are there\n"},
		{"__complete context use l", 0, "lab\n:4\n"},
	} {
		r := runWith(t, around, strings.Fields(strings.ReplaceAll(c.args, "URL", s.server.URL))...)
		got := r.out
		if got == "" {
			got = r.err
		}
		want := strings.NewReplacer("URL ", s.server.URL+" ", "URL\t", s.server.URL+"\t",
			"URL\n", s.server.URL+"\n", "DIR", s.dir).Replace(c.want)
		if strings.HasPrefix(c.args, "context list") { // The address has another length each time.
			got, want = strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")
		}
		if r.status != c.status || got != want {
			t.Errorf("%s: status %d:\n%swant %d:\n%s", c.args, r.status, got, c.status, want)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	vars["RELAYCTL_CONTEXT"] = "lab"
	if r := runWith(t, around, "hyco", "list"); r.status != 0 {
		t.Errorf("RELAYCTL_CONTEXT: status %d: %s", r.status, r.err)
	}
	vars["RELAYCTL_TOKEN"] = "another-token-1"
	if r := runWith(t, around, "hyco", "list"); r.status != 1 {
		t.Errorf("RELAYCTL_TOKEN: status %d: %s", r.status, r.err)
	}
}

// TestContextFile: what is wrong in it is told without its tokens.
func TestContextFile(t *testing.T) {
	s := newStandIn(t)
	file := s.file("contexts.yaml", "")
	for _, c := range []struct{ text, want string }{
		{"current: x\ncontexts: []\n", `there is no context "x"; "relayctl context list" shows those that are there`},
		{"contexts:\n- name: a\n  tokn: secret-one\n", file + ", line 3: not the YAML of contexts, see docs/relayctl.md"},
		{"contexts: [\n  secret-two", file + ", line 2: not the YAML of contexts, see docs/relayctl.md"},
		{strings.Repeat("#", 1<<20+1), file + " is longer than 1048576 bytes"},
		{"current: a\ncontexts: [{name: a}]", `the context "a" has no management URL; add it with "relayctl context set", or give --management`},
	} {
		s.file("contexts.yaml", c.text)
		r := runWith(t, s.surroundings(""), "hyco", "list", "--config", file)
		if r.status == 0 || r.err != "relayctl: "+c.want+"\n" {
			t.Errorf("%.40q: status %d: %s", c.text, r.status, r.err)
		}
	}
}

// TestReadToken takes the gateway's file of tokens too.
func TestReadToken(t *testing.T) {
	s := newStandIn(t)
	for text, want := range map[string]string{
		"one\n":                              "one",
		"# comment\n\nname tok\n":            "tok",
		"name tok reader\nb c\n":             "tok",
		"":                                   "FILE holds no token",
		"# only\n":                           "FILE holds no token",
		"name sha256:00\n":                   "FILE holds the hash of a token, not the token",
		strings.Repeat("x", secretFileMax+1): "FILE is longer than 65536 bytes",
	} {
		file := s.file("tokens", text)
		got, err := readToken(file)
		if err != nil {
			got = strings.ReplaceAll(err.Error(), file, "FILE")
		}
		if got != want {
			t.Errorf("%.40q: got %q", text, got)
		}
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", "0.0.0.0:1": "localhost:1", "[::]:1": "localhost:1",
		":1": "localhost:1", "host:1": "host:1", "odd": "odd",
	} {
		if got := reachable(address); got != want {
			t.Errorf("%s: got %s", address, got)
		}
	}
}

// TestFiles: export, import and backup.
func TestFiles(t *testing.T) {
	s := newStandIn(t)
	s.answers["GET /relayhouse/export"] = answer{200, "namespaces: []\n", nil}
	s.answers["GET /relayhouse/backup"] = answer{200, "\x00\x01", nil}
	s.answers["GET /relayhouse/version"] = answer{200, `{"version":"v9"}`, nil}
	s.answers["POST /relayhouse/import"] = answer{200, `{"namespaces":1,"entities":2,"rules":3}`, nil}
	s.file("in.yaml", "namespaces: []\n")
	s.file("Config.json", "{}")
	for _, c := range []struct{ args, out, request string }{
		{"export", "namespaces: []\n", "GET /relayhouse/export"},
		{"export --emulator", "namespaces: []\n", "GET /relayhouse/export?form=emulator"},
		{"export -f $DIR/out.yaml", "$DIR/out.yaml is written; it holds keys\n", "GET /relayhouse/export"},
		{"backup $DIR/b.db", "$DIR/b.db is written; it holds keys\n", "GET /relayhouse/backup"},
		{"backup -", "\x00\x01", "GET /relayhouse/backup"},
		{"import $DIR/in.yaml", "imported $DIR/in.yaml: namespaces 1, entities 2, rules 3\n",
			"POST /relayhouse/import?mode=merge namespaces: []"},
		{"import $DIR/Config.json --mode replace -o tsv", "1\t2\t3\n", "POST /relayhouse/import?mode=replace {}"},
		{"version", "relayctl  " + clientVersion() + "\ngateway   v9\n", "GET /relayhouse/version"},
		{"version --client", "relayctl  " + clientVersion() + "\n", ""},
	} {
		r := s.run(strings.Fields(c.args)...)
		want := strings.ReplaceAll(c.out, "$DIR", s.dir)
		if got := s.taken(); r.status != 0 || r.out != want || got != c.request {
			t.Errorf("%s: status %d: %s%s: %s", c.args, r.status, r.out, r.err, got)
		}
	}
	for name, want := range map[string]string{"out.yaml": "namespaces: []\n", "b.db": "\x00\x01"} {
		file := filepath.Join(s.dir, name)
		text, err := os.ReadFile(file)
		info, _ := os.Stat(file)
		if err != nil || string(text) != want || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %q, %v, %v", name, text, info.Mode(), err)
		}
	}
}

// TestCutFile: what was there stays, and nothing else is left.
func TestCutFile(t *testing.T) {
	s := newStandIn(t)
	s.answers["GET /relayhouse/export"] = answer{200, "namesp", http.Header{"Content-Length": {"100"}}}
	file := s.file("out.yaml", "old")
	r := s.run("export", "-f", file)
	if want := "relayctl: export to " + file + ": unexpected EOF\n"; r.status != 1 || r.err != want {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	text, _ := os.ReadFile(file)
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"))
	if string(text) != "old" || len(left) > 0 {
		t.Errorf("%q, %q", text, left)
	}
}

// TestComplete asks as a shell does.
func TestComplete(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{})
	s.entity("contoso", "hybridConnections", "other", map[string]any{})
	s.rule("namespaces/contoso/hybridConnections/orders", "app", "Listen")
	for args, want := range map[string]string{
		"hyco show o":                                     "orders\nother\n:4\n",
		"hyco show orders ":                               ":4\n",
		"hyco show -n or":                                 "orders\n:4\n",
		"hyco list --namespace-name ":                     "contoso\n:4\n",
		"namespace show ":                                 "contoso\n:4\n",
		"rule show --hyco orders ":                        "app\n:4\n",
		"connection-string --hyco orders --rule ":         "app\n:4\n",
		"hyco list -o ":                                   "table\njson\nyaml\ntsv\n:4\n",
		"hyco authorization-rule list --hyco ot":          "other\n:4\n",
		"key renew app --key ":                            "PrimaryKey\nSecondaryKey\n:4\n",
		"hyco show --management https://127.0.0.1:1 -n o": ":4\n",
	} {
		words := append([]string{"__complete"}, s.flags()...)
		r := runWith(t, s.surroundings(""), append(words, strings.Split(args, " ")...)...)
		if r.out != want {
			t.Errorf("%s: %s%s", args, r.out, r.err)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := s.run("completion", shell); r.status != 0 || !strings.Contains(r.out, "relayctl") {
			t.Errorf("%s: %s", shell, r.err)
		}
	}
}
