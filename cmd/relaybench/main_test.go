package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/bench/naive"
)

func relaybench(args ...string) (out string, err error) {
	var b bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&b)
	root.SetErr(&b)
	err = root.ExecuteContext(context.Background())
	return b.String(), err
}

// A run, its file, and the comparison of the file with itself.
func TestRunAndCompare(t *testing.T) {
	srv := httptest.NewServer(new(naive.Relay))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "rows.json")
	out, err := relaybench("run", "--gateway", srv.URL, "--tests", "b1,churn", "--small",
		"--duration", "50ms", "--json", file, "--commit", "abc", "--key", "k")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"commit abc", "b1     throughput", "churn  lives",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, err = relaybench("compare", file, file)
	if err != nil || !strings.Contains(out, "one round") {
		t.Errorf("%v\n%s", err, out)
	}
	plots := t.TempDir()
	out, err = relaybench("plot", file, "--out", plots)
	if err != nil || !strings.Contains(out, filepath.Join(plots, "latency-churn.svg")) {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := relaybench("compare", file, file); err == nil ||
		!strings.Contains(err.Error(), file+": line 1") {
		t.Errorf("error %v", err)
	}
}

func TestSizeOfLongBodies(t *testing.T) {
	srv := httptest.NewServer(new(naive.Relay))
	defer srv.Close()
	out, err := relaybench("run", "--gateway", srv.URL, "--tests", "http-bulk", "--small",
		"--http-mb", "3", "--commit", "abc")
	body := regexp.MustCompile(`  (down|up)load: verified +3\.00 +MB`)
	if err != nil || len(body.FindAllString(out, -1)) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFailuresAreAnError(t *testing.T) {
	out, err := relaybench("run", "--gateway", "http://127.0.0.1:1", "--tests", "b1", "--small")
	if err != errFailures || !strings.Contains(out, "FAILED: open control channel: ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWrongUse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"run", "at least one of the flags in the group [start gateway naive peers tls]"},
		{"run --start x --gateway y", "none of the others can be"},
		{"run --gateway http://127.0.0.1:1 --tests b99", "no test \"b99\""},
		{"run --gateway http://127.0.0.1:1 --rounds -1", "--rounds and --duration above zero"},
		{"run --tls", "--tls=plain: which gateway? Use --start"},
		{"run --start x --tls=some", "--tls=some: want plain, own, haproxy or naive"},
		{"run --gateway http://127.0.0.1:1 --tls", "none of the others can be"},
		{"run --peers nonsense", "no peer \"nonsense\""},
		{"run --naive --peers naive", "two targets are called naive"},
		{"run --naive --baseline floor", "--baseline floor is not measured"},
		{"peers --build haproxy", "haproxy"},
		{"gate", "required flag(s) \"start\""},
		{"hold --relays 5", "required flag(s) \"start\""},
		{"compare one.json", "accepts 2 arg(s)"},
		{"compare /nonexistent/a /nonexistent/b", "no such file"},
		{"naive --http 127.0.0.1:99999", "listen for clients"},
	} {
		if _, err := relaybench(strings.Fields(c.args)...); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestPeersAreListed(t *testing.T) {
	out, err := relaybench("peers")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"floor", "naive", "naive-gorilla", "haproxy", "nginx", "frp",
		"chisel", "strelaysrv"} {
		if !strings.Contains("\n"+out, "\n"+name+" ") {
			t.Errorf("no %q in\n%s", name, out)
		}
	}
}

func TestListNamesEveryTest(t *testing.T) {
	out, err := relaybench("list")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b1 ", "b8 ", "fairness ", "stuck ", "storm ", "churn ", "b13 ",
		"b13b ", "http-bulk ", "sizes ", "b10 ", "b11 ", "b12 "} {
		if !strings.Contains(out, "\n"+id) && !strings.HasPrefix(out, id) {
			t.Errorf("no %q in\n%s", id, out)
		}
	}
}

func TestCommandLineHidesTheKey(t *testing.T) {
	defer func(args []string) { os.Args = args }(os.Args)
	for _, args := range [][]string{
		{"relaybench", "run", "--key", "hidden", "--small"},
		{"relaybench", "run", "--key=hidden", "--small"},
	} {
		os.Args = args
		if got := commandLine(); strings.Contains(got, "hidden") || !strings.Contains(got, "--small") {
			t.Errorf("command line %q", got)
		}
	}
}
