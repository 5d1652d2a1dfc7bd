package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/relayhouse/relayhouse/namespace"
)

// edge is a value and whether it is in the range.
type edge struct {
	text string
	ok   bool
}

var (
	bounds = regexp.MustCompile(`^([^–, ]+)–([^–, ]+)`)
	steps  = regexp.MustCompile(`a multiple of (\w+)`)
)

// edges derives the values to try from what a setting says of itself.
func edges(t *testing.T, f Field) []edge {
	t.Helper()
	all := []edge{
		{"", (f.Kind == "string" || f.Kind == "list") && strings.HasSuffix(f.Range, "or empty")},
		{f.Default, true},
	}
	switch {
	case f.Kind == "bool":
		return append(all, edge{"true", true}, edge{"false", true}, edge{"yes", false},
			edge{"1", false}, edge{"True", false})
	case strings.Contains(f.Range, " | "):
		for _, option := range strings.Split(f.Range, " | ") {
			all = append(all, edge{option, true}, edge{option + "x", false})
		}
		return append(all, edge{f.Range, false})
	case f.Kind == "string":
		return all
	case f.Path == "tls.acme.domains": // with more settings beside it: TestTLSRules
		return append(all, edge{"10.0.0.1", false}, edge{"*.example.com", false})
	case f.Kind == "list":
		return append(all, edge{"10.0.0.0/8,::1", true}, edge{"10.0.0.1/8", false})
	}
	m := bounds.FindStringSubmatch(f.Range)
	if m == nil {
		t.Fatalf("%s: range %q", f.Path, f.Range)
	}
	low, lowText := edgeValue(t, f, m[1])
	high, highText := edgeValue(t, f, m[2])
	if m := steps.FindStringSubmatch(f.Range); m != nil {
		step, _ := parseSize(m[1])
		all = append(all, edge{edgeText(f, low+step+1), false}, edge{edgeText(f, low+step), true})
	}
	zero := strings.Contains(f.Range, "or 0 for") || low == 0
	return append(all,
		edge{lowText, true}, edge{highText, true},
		edge{edgeText(f, low-1), zero && low == 1}, edge{edgeText(f, high+1), false},
		edge{edgeText(f, 0), zero}, edge{edgeText(f, -1), false},
		edge{"many", false}, edge{"1.5", false}, edge{"0x10", false}, edge{"1 ", false},
		edge{"99999999999999999999", false},
	)
}

func edgeValue(t *testing.T, f Field, text string) (int64, string) {
	t.Helper()
	switch f.Kind {
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n, text
	case "bytes":
		n, ok := parseSize(text)
		if !ok {
			t.Fatalf("%s: size %q", f.Path, text)
		}
		return n, text
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return int64(d), text
}

func edgeText(f Field, n int64) string {
	if f.Kind == "duration" {
		return time.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// TestRanges tries every setting at the edges of its range.
func TestRanges(t *testing.T) {
	for _, f := range Fields() {
		t.Run(f.Path, func(t *testing.T) {
			for _, e := range edges(t, f) {
				if f.Path == "listen.http" && e.text == "" {
					continue // Nothing would listen; see TestLoadErrors.
				}
				_, err := Load(Options{Flags: map[string]string{f.Path: e.text}})
				if (err == nil) != e.ok {
					t.Errorf("%q: %v, want ok = %v", e.text, err, e.ok)
				}
				if err == nil {
					continue
				}
				got := e.text
				if got == "" {
					got = "nothing"
				}
				want := fmt.Sprintf("%s: want %s, got %s (--%s)", f.Path, f.Range, got, f.Flag)
				var one *Error
				if err.Error() != want || !errors.As(err, &one) || one.Path != f.Path {
					t.Errorf("error %q, want %q", err, want)
				}
			}
		})
	}
}

// TestValidateChecksEverySetting sets each field out of range in a Config made
// by hand. A field without a setting fails here too.
func TestValidateChecksEverySetting(t *testing.T) {
	c := Default()
	settings := map[any]*setting{}
	for _, s := range c.settings() {
		settings[s.path] = &s
	}
	n := 0
	var try func(section reflect.Value, prefix string)
	try = func(section reflect.Value, prefix string) {
		for i := range section.NumField() {
			field, before := section.Field(i), reflect.ValueOf(section.Field(i).Interface())
			path := prefix + snake(section.Type().Field(i).Name)
			switch field.Kind() {
			case reflect.Struct:
				try(field, path+".")
				continue
			case reflect.Bool:
				if settings[path] != nil {
					n++ // Else it is the emulator's.
				}
				continue
			case reflect.Slice:
				if settings[path] == nil {
					continue // Not a setting of its own: see TestLists.
				}
				switch field.Interface().(type) {
				case []string:
					field.Set(reflect.ValueOf([]string{"no\nvalue"}))
				case []netip.Prefix:
					field.Set(reflect.ValueOf([]netip.Prefix{{}}))
				}
			case reflect.String:
				field.SetString("no\nvalue")
			default:
				field.SetInt(-1)
			}
			n++
			err := c.Validate()
			if settings[path] == nil || err == nil || !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%s: %v", path, err)
			}
			field.Set(before)
		}
	}
	try(reflect.ValueOf(&c).Elem(), "")
	if n != len(settings) {
		t.Errorf("%d fields, %d settings", n, len(settings))
	}
	if err := c.Validate(); err != nil {
		t.Errorf("Default: %v", err)
	}
}

var (
	wordEnd  = regexp.MustCompile(`([a-z])([A-Z])`)
	initials = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
)

// snake turns the name of a field into its key.
func snake(name string) string {
	name = wordEnd.ReplaceAllString(name, "${1}_$2")
	return strings.ToLower(initials.ReplaceAllString(name, "${1}_$2"))
}

func TestValidateReportsAll(t *testing.T) {
	c := Default()
	c.Listen.HTTPS = ":443"
	c.TCP.Backlog = 0
	c.Namespaces = []namespace.Definition{{Name: "-"}, {Name: "a", Hosts: []string{"a"}}}
	want := []string{"tcp.backlog", "listen.https", "namespaces[0].name"}
	err := c.Validate()
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, path := range want {
		if !strings.HasPrefix(lines[i], path+": ") {
			t.Errorf("%q, want %s", lines[i], path)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	e := &Error{"a\nb", "got " + strings.Repeat("x", 10_000) + "\r\n\x1b[31m\xff", "f:1"}
	text := e.Error()
	if len(text) > 1000 || strings.ContainsAny(text, "\n\r\x1b") || !utf8.ValidString(text) {
		t.Errorf("%q", text)
	}
	if !strings.HasPrefix(text, "a?b: got x") || !strings.HasSuffix(text, " (f:1)") {
		t.Errorf("%q", text)
	}
}

func TestFieldsAreTold(t *testing.T) {
	seen := map[string]string{}
	for _, f := range Fields() {
		if f.Doc == "" || strings.HasSuffix(f.Doc, ".") || f.Range == "" || f.Kind == "" {
			t.Errorf("%s: %+v", f.Path, f)
		}
		for _, name := range []string{f.Flag, f.Env} {
			if other := seen[name]; other != "" {
				t.Errorf("%s and %s share %s", other, f.Path, name)
			}
			seen[name] = f.Path
		}
	}
	for name, path := range map[string]string{
		"http": "listen.http", "https": "listen.https", "admin": "admin.listen",
		"management": "management.listen", "management-audit-log": "management.audit_log",
		"RELAYHOUSE_STORE__NAMESPACES_MAX": "store.namespaces_max",
		"tls-certificate":                  "tls.certificate", "tls-acme-domains": "tls.acme.domains",
		"RELAYHOUSE_TLS__ACME__DOMAINS":         "tls.acme.domains",
		"gateway-rendezvous-window":             "gateway.rendezvous_window",
		"RELAYHOUSE_GATEWAY__RENDEZVOUS_WINDOW": "gateway.rendezvous_window",
		"RELAYHOUSE_LISTEN__HTTP":               "listen.http",
		"http-response-timeout":                 "http.response_timeout",
		"RELAYHOUSE_HTTP__RESPONSE_TIMEOUT":     "http.response_timeout",
	} {
		if seen[name] != path {
			t.Errorf("%s is %q, want %s", name, seen[name], path)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Default()
	for _, ok := range []bool{
		c.Listen.HTTP == "127.0.0.1:8080", c.Admin.Listen == "127.0.0.1:9090",
		c.Gateway.RendezvousWindow == 30*time.Second, c.Gateway.ListenersMax == 25,
		c.Gateway.TokenSkew == 300*time.Second, c.Gateway.UnprefixedReject,
		c.Gateway.ForbiddenStatusForMissingClaim == 401, c.Gateway.AdvertisedScheme == "auto",
		c.Limits.HeadBytes == 32768, c.Limits.HeadMemory == 67108864,
		c.Limits.ControlMessage == 262144, c.Limits.ControlQueue == 1048576,
		c.Limits.LeftoverMemory == 268435456, c.Engine.ReadBuffer == 262144,
		c.TLS.MinVersion == "1.2", c.TLS.HandshakeTimeout == 10*time.Second,
		c.TLS.HandshakesMax == 4096, c.TLS.HandshakeWorkers == 0, c.TLS.ClientAuth == "off",
		c.TLS.RecordLayer == "crypto/tls", !c.TLS.ACME.Agree, c.TLS.ACME.Domains == nil,
		reflect.DeepEqual(c.HTTP, HTTP{
			ResponseTimeout: time.Minute, BodyGap: time.Minute, Keepalive: 2 * time.Minute,
			CollectTime: time.Second, BodyMemory: 67108864,
			Forwarded: "off", RequestTarget: "decoded", NoListenerStatus: 404,
		}), c.ProxyProtocol.Networks == nil,
		c.Management == Management{}, reflect.DeepEqual(c.Store, Store{NamespacesMax: 1000, EntitiesMax: 100_000}),
		c.TCP.UserTimeout == 0, c.Drain.Delay == 0, c.Log.Level == "info",
	} {
		if !ok {
			t.Errorf("%+v", c)
		}
	}
}

func TestFlags(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(fs)
	err := fs.Parse([]string{
		"--http", "127.0.0.1:0", "--gateway-unprefixed-reject=false",
		"--gateway-rendezvous-window=5s", "--log-level", "debug",
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{Flags: FlagValues(fs)})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen.HTTP != "127.0.0.1:0" || c.Gateway.UnprefixedReject ||
		c.Gateway.RendezvousWindow != 5*time.Second || c.Log.Level != "debug" {
		t.Errorf("%+v", c)
	}
	if n := len(FlagValues(fs)); n != 4 {
		t.Errorf("%d flags were given, want 4", n)
	}
	if usage := fs.FlagUsages(); !strings.Contains(usage, "--gateway-id int") {
		t.Error(usage)
	}
	if n := len(FlagValues(pflag.NewFlagSet("other", pflag.ContinueOnError))); n != 0 {
		t.Errorf("%d flags of a set without ours", n)
	}
}

func TestHostPort(t *testing.T) {
	for text, ok := range map[string]bool{
		"127.0.0.1:8080": true, ":8080": true, "localhost:0": true, "[::1]:443": true,
		"relay.example.com:65535": true, "127.0.0.1": false, ":": false, "8080": false,
		":65536": false, "::1:80": false, ":http": false, ":-1": false, "a:b:1": false,
	} {
		if isHostPort(text) != ok {
			t.Errorf("isHostPort(%q) = %v", text, !ok)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"ws://relay.example.com": true, "wss://relay.example.com:443": true,
		"ws://127.0.0.1:8080": true, "wss://[::1]:443": true,
		"http://relay.example.com": false, "relay.example.com": false, "ws://": false,
		"ws://a/": false, "ws://a/path": false, "ws://a?x": false, "ws://a#x": false,
		"ws://user@a": false, "ws://a:": false, "ws://a:0": false, "ws://a:65536": false,
		"ws://a:x": false, "WS://a": false, "ws://a b": false, "ws://:80": false,
	} {
		if isBaseURL(text) != ok {
			t.Errorf("isBaseURL(%q) = %v", text, !ok)
		}
	}
}

func TestSizesAndSpansReadBack(t *testing.T) {
	for n, text := range map[int64]string{
		0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1536: "1536", 32768: "32KiB",
		mib: "1MiB", 64 * mib: "64MiB", 4 * gib: "4GiB", gib + kib: "1048577KiB",
	} {
		got, ok := parseSize(text)
		if formatSize(n) != text || got != n || !ok {
			t.Errorf("%d: %s, %q reads as %d", n, formatSize(n), text, got)
		}
	}
	for _, text := range []string{
		"", "-1", "1KB", "1kib", "KiB", "1.5KiB", "9223372036854775807GiB", "+ 1",
	} {
		if n, ok := parseSize(text); ok {
			t.Errorf("%q reads as %d", text, n)
		}
	}
	if n, ok := parseSize("64 MiB"); !ok || n != 64*mib {
		t.Errorf("64 MiB = %d", n)
	}
	for d, text := range map[time.Duration]string{
		0: "0", time.Millisecond: "1ms", time.Second: "1s", time.Minute: "1m",
		90 * time.Second: "1m30s", time.Hour: "1h", 100 * time.Minute: "1h40m",
		24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m",
	} {
		got, err := time.ParseDuration(text)
		if formatSpan(d) != text || got != d || err != nil {
			t.Errorf("%v: %s", d, formatSpan(d))
		}
	}
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
