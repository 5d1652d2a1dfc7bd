package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, "relayhouse.yaml", `
gateway:
  id: 1
  pending_max: 1
  listeners_max: 1
limits: # Nothing set.
relay:
  linger: 1s
`)
	o := Options{
		File: file,
		Env: []string{
			"RELAYHOUSE_GATEWAY__PENDING_MAX=2", "RELAYHOUSE_GATEWAY__LISTENERS_MAX=2",
			"RELAYHOUSE_TCP__BACKLOG=2", "PATH=/bin", "odd",
			// What Kubernetes sets for a service named relayhouse.
			"RELAYHOUSE_PORT=tcp://10.0.0.1:80", "RELAYHOUSE_SERVICE_PORT_HTTP=80",
		},
		Flags: map[string]string{"gateway.listeners_max": "3"},
	}
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Gateway.ID = 1
	want.Gateway.PendingMax = 2
	want.Gateway.ListenersMax = 3
	want.TCP.Backlog = 2
	want.Relay.Linger = time.Second
	if got, want := printed(t, c), printed(t, want); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestJSONWithComments(t *testing.T) {
	c, err := Load(Options{File: write(t, "relayhouse.json", `
// A gateway.
{
	"gateway": {
		"id": 7, /* of 9 */
		"advertised_url": "ws://a.example.com", // No comment: "//".
		"unprefixed_reject": false,
	},
	"limits": {"head_bytes": 8192},
}`)})
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway.ID != 7 || c.Gateway.AdvertisedURL != "ws://a.example.com" ||
		c.Gateway.UnprefixedReject || c.Limits.HeadBytes != 8192 {
		t.Errorf("%+v", c)
	}
}

// TestHTTPSection: off is a word here, not a boolean.
func TestHTTPSection(t *testing.T) {
	for text, want := range map[string]string{
		"off": "off", `"off"`: "off", "x-forwarded": "x-forwarded", "both": "both",
	} {
		c, err := Load(Options{
			File: write(t, "c", "http:\n  response_timeout: 0\n  forwarded: "+text+"\n"),
			Env:  []string{"RELAYHOUSE_HTTP__BODY_GAP=5s", "RELAYHOUSE_HTTP=1"},
		})
		if err != nil || c.HTTP.Forwarded != want || c.HTTP.ResponseTimeout != 0 ||
			c.HTTP.BodyGap != 5*time.Second {
			t.Errorf("%s: %+v, %v", text, c.HTTP, err)
		}
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, content := range []string{"", "\n", "# Nothing.\n", "---\n", "{}", "\ufeff{}", "null"} {
		c, err := Load(Options{File: write(t, "c", content)})
		if err != nil {
			t.Errorf("%q: %v", content, err)
		} else if printed(t, c) != printed(t, Default()) {
			t.Errorf("%q is not the default", content)
		}
	}
}

// TestLoadErrors: one line for each thing wrong, with its path and place. FILE
// stands for the path of the file.
func TestLoadErrors(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		env     []string
		flags   map[string]string
		want    []string
		contain bool // want is contained only: the rest is another library's.
	}{
		"out of range": {
			file: "gateway:\n  rendezvous_window: 45s\n",
			want: []string{"gateway.rendezvous_window: want 1s–30s, got 45s (FILE:2)"},
		},
		"no unit": {
			file: "relay: {linger: 5}",
			want: []string{"relay.linger: want 100ms–1m, got 5 (FILE:1)"},
		},
		"everything at once": {
			file: "gateway:\n  id: -1\n  wings: 2\nlog:\n  level: loud\n",
			env:  []string{"RELAYHOUSE_TCP__BACKLOG=x"},
			want: []string{
				"gateway.wings: unknown key (FILE:3)",
				"gateway.id: want 0–65535, got -1 (FILE:2)",
				"tcp.backlog: want 1–65535, got x (RELAYHOUSE_TCP__BACKLOG)",
				"log.level: want debug | info | warn | error, got loud (FILE:5)",
			},
		},
		"misspelled key": {
			file: "gateway:\n\n  rendezvous_windw: 5s\n",
			want: []string{"gateway.rendezvous_windw: unknown key, " +
				"did you mean gateway.rendezvous_window? (FILE:3)"},
		},
		"key in the wrong section": {
			file: "gateway:\n  half_idle: 5s\n",
			want: []string{
				"gateway.half_idle: unknown key, did you mean relay.half_idle? (FILE:2)"},
		},
		"misspelled section": {
			file: "gatway:\n  id: 5\n",
			want: []string{"gatway: unknown key, did you mean gateway? (FILE:1)"},
		},
		"HTTP out of range": {
			file: "http:\n  response_timeout: 25h\n  collect_time: 0\n  forwarded: all\n" +
				"  no_listener_status: 503\n",
			flags: map[string]string{"http.body_memory": "4097MiB"},
			want: []string{
				"http.response_timeout: want 1s–24h, or 0 for never, got 25h (FILE:2)",
				"http.collect_time: want 10ms–10s, got 0 (FILE:3)",
				"http.body_memory: want 1MiB–4GiB, got 4097MiB (--http-body-memory)",
				"http.forwarded: want off | x-forwarded | forwarded | both, got all (FILE:4)",
				"http.no_listener_status: want 404 | 502, got 503 (FILE:5)",
			},
		},
		"address in the section of requests": {
			file: "http: 127.0.0.1:8080\n",
			want: []string{"http: want a mapping, got a value (FILE:1)"},
		},
		"unlike any key": {
			file: "quagmire:\n  id: 5\n",
			want: []string{"quagmire: unknown key (FILE:1)"},
		},
		"case matters": {
			file: "Gateway:\n  id: 5\n",
			want: []string{"Gateway: unknown key, did you mean gateway? (FILE:1)"},
		},
		"section is a value": {
			file: "gateway: 5\n",
			want: []string{"gateway: want a mapping, got a value (FILE:1)"},
		},
		"section is a list": {
			file: "gateway: [5]\n",
			want: []string{"gateway: want a mapping, got a list (FILE:1)"},
		},
		"value is a mapping": {
			file: "gateway:\n  id: {a: b}\n",
			want: []string{"gateway.id: want a value, got a mapping (FILE:2)"},
		},
		"value is missing": {
			file: "gateway:\n  id:\n",
			want: []string{"gateway.id: want a value, got nothing (FILE:2)"},
		},
		"file is a list": {
			file: "- gateway\n",
			want: []string{"want a mapping of sections (FILE:1)"},
		},
		"twice in JSON": {
			file: `{"gateway": {"id": 1,` + "\n" + `"id": 2}, "log": {}, "log": {}}`,
			want: []string{"gateway.id: given twice (FILE:2)", "log: given twice (FILE:2)"},
		},
		"twice in YAML": {
			file: "gateway:\n  id: 1\n  id: 2\n", want: []string{"FILE:3", "id"}, contain: true,
		},
		"two documents": {
			file: "log:\n---\nlog:\n", want: []string{"a second document; want one (FILE:3)"},
		},
		"anchors": {
			file: "gateway: &g\n  id: 1\n",
			want: []string{"anchors, aliases and tags are not supported (FILE:1)"},
		},
		"bad YAML": {
			file: "gateway:\n  id: [1\n", want: []string{"(FILE:2)"}, contain: true,
		},
		"bad JSON": {
			file: "{\n\"gateway\": {\n\"id\" 1}}",
			want: []string{"not JSON: ", "(FILE:3)"}, contain: true,
		},
		"short JSON": {
			file: "{\n\"gateway\": {\n", want: []string{"not JSON: ends too early (FILE:3)"},
		},
		"long JSON": {
			file: "{}\n{}", want: []string{"text behind the closing brace (FILE:2)"},
		},
		"open comment": {
			file: "{}\n/* no end", want: []string{"text behind the closing brace (FILE:2)"},
		},
		"deep": {
			file: strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40),
			want: []string{"nested too deep (FILE:1)"},
		},
		"deep YAML": {
			file: "a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40),
			want: []string{"nested too deep (FILE:1)"},
		},
		"unknown variable": {
			env: []string{"RELAYHOUSE_GATEWAY__IDS=5"},
			want: []string{"RELAYHOUSE_GATEWAY__IDS: unknown key, " +
				"did you mean RELAYHOUSE_GATEWAY__ID? (environment)"},
		},
		"unknown flag": {
			flags: map[string]string{"gateway.ids": "5"},
			want:  []string{"gateway.ids: unknown key, did you mean gateway.id? (flags)"},
		},
		"TLS": {
			flags: map[string]string{"listen.https": "127.0.0.1:8443"},
			want: []string{"listen.https: want a certificate: set tls.certificate and tls.key, " +
				"tls.certificates, or tls.acme.domains"},
		},
		"nothing listens": {
			flags: map[string]string{"listen.http": ""},
			want:  []string{"listen.http: want host:port, here or at listen.https; without it nothing listens"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Env: c.env, Flags: c.flags}
			if c.file != "" {
				o.File = write(t, "relayhouse.yaml", c.file)
			}
			_, err := Load(o)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if o.File != "" {
				got = strings.ReplaceAll(got, o.File, "FILE")
			}
			if !c.contain && got != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(c.want, "\n"))
			}
			for _, part := range c.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q is not in %q", part, got)
				}
			}
			var one *Error
			if !errors.As(err, &one) || strings.Count(got, "\n") >= max(len(c.want), 1) {
				t.Errorf("not one *Error a line: %q", got)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte(" "), fileBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, part := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "is a directory",
		large:                      "larger than 16MiB",
	} {
		_, err := Load(Options{File: path})
		var one *Error
		if !errors.As(err, &one) || !strings.HasPrefix(err.Error(), "config: ") ||
			!strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := LoadDefinitions(path); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("emulator %s: %v", path, err)
		}
	}
}

// TestSyntaxErrorsKeepKeys: the text around an error may hold a key and stays
// out of the message.
func TestSyntaxErrorsKeepKeys(t *testing.T) {
	const rule = "authorization_rules: [{name: a, rights: [Send], primary_key: SECRET"
	for _, content := range []string{
		"namespaces: [{name: abcdef, " + rule + "}}]",
		"namespaces: [{name: abcdef, " + rule + "\n",
		"namespaces:\n  - " + rule + "\"}]\n   - x\n",
		`{"namespaces": [{"authorization_rules": [{"primary_key": "SECRET" "a": 1`,
		`{"namespaces": [{"authorization_rules": [{"primary_key": SECRET}]}]}`,
		"namespaces:\n  - authorization_rules:\n    - primary_key: SECRET\n      primary_key: SECRET\n",
		"namespaces:\n  - authorization_rules:\n    - primary_key: !x SECRET\n",
		"namespaces:\n  - authorization_rules:\n    - primary_key: [SECRET]\n",
	} {
		_, err := Load(Options{File: write(t, "c", content)})
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func printed(t *testing.T, c Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
