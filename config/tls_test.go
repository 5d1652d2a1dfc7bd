package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// loadTLS loads a file with listen.https and the lines of a section tls.
func loadTLS(t *testing.T, section string, flags map[string]string) (Config, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.yaml")
	text := "listen: {http: '', https: ':8443'}\n" + section
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{File: file, Flags: flags})
	if err == nil {
		return c, ""
	}
	return c, strings.ReplaceAll(err.Error(), file, "F")
}

// TestTLSRules: what one setting asks of another.
func TestTLSRules(t *testing.T) {
	const pair = "tls:\n  certificate: c\n  key: k\n"
	const domains = "tls:\n  acme:\n    domains: [a.example.com, B.example.com]\n"
	for _, tt := range []struct{ name, section, want string }{
		{"a pair", pair, ""},
		{"a list", "tls:\n  certificates: [{certificate: c, key: k}]\n", ""},
		{"nothing", "", "listen.https: want a certificate: set tls.certificate and tls.key, "},
		{"no key", "tls: {certificate: c}\n", "tls.key: want the file of the key"},
		{"no certificate", "tls: {key: k}\n", "tls.certificate: want the file of the certificate"},
		{"clients", pair + "  client_auth: require\n  client_ca: a\n", ""},
		{"no authorities", pair + "  client_auth: request\n",
			"tls.client_ca: want the authorities of clients, for tls.client_auth: request"},
		{"no use", pair + "  client_ca: a\n", "tls.client_auth: want request or require"},
		{"own records", pair + "  record_layer: own\n", ""},
		{"version", pair + "  min_version: 1.1\n", "tls.min_version: want 1.2 | 1.3, got 1.1 (F:5)"},
		{"ACME", domains + "    agree: true\n", ""},
		{"ACME alone", domains, "tls.acme.agree: want true, by which you agree"},
		{"ACME without storage", domains + "    agree: true\n    storage: ''\n",
			"tls.acme.storage: want a directory"},
		{"wildcard", "tls: {acme: {domains: '*.example.com', agree: true}}\n",
			"tls.acme.domains: want host names without wildcard"},
		{"address", "tls: {acme: {domains: 127.0.0.1, agree: true}}\n", "tls.acme.domains: want "},
		{"list of lists", "tls: {acme: {domains: [[a]], agree: true}}\n",
			"tls.acme.domains[0]: want a value (F:2)"},
		{"plain directory", domains + "    agree: true\n    directory: http://a/dir\n",
			"tls.acme.directory: want https://"},
		{"mail", domains + "    agree: true\n    email: me\n", "tls.acme.email: want an address"},
		{"unknown", pair + "  certificat: c\n", "did you mean tls.certificate"},
		{"unknown in a section", domains + "    agre: true\n",
			"tls.acme.agre: unknown key, did you mean tls.acme.agree?"},
		{"twice", pair + "  min_version: 1.2\n  \"min_version\": 1.2\n", "min_version"},
		{"not a section", "tls: {acme: yes}\n", "tls.acme: want a mapping, got a value"},
		{"not a list", "tls: {certificates: c}\n", "tls.certificates: want a list, got a value"},
		{"item", "tls: {certificates: [{certificate: c, kei: k}]}\n",
			"tls.certificates[0].kei: unknown key, did you mean tls.certificates[0].key?"},
		{"half an item", "tls:\n  certificates:\n    - certificate: c\n",
			"tls.certificates[0].key: want a PEM file, got nothing (F:4)"},
	} {
		_, got := loadTLS(t, tt.section, nil)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	c := Default()
	c.Listen.HTTPS = ":8443"
	c.TLS.Made = make([]tls.Certificate, 1)
	if err := c.Validate(); err != nil {
		t.Errorf("a certificate of the program: %v", err)
	}
}

// TestLists: of files, flags and printed settings alike.
func TestLists(t *testing.T) {
	section := `tls:
  certificates:
    - {certificate: a.pem, key: a-key.pem}
    - {certificate: b.pem, key: b-key.pem}
  acme:
    domains: [a.example.com, b.example.com]
    agree: true
`
	c, text := loadTLS(t, section, map[string]string{
		"tls.certificate": "first.pem", "tls.key": "first-key.pem"})
	if text != "" {
		t.Fatal(text)
	}
	pairs := []KeyPair{{"first.pem", "first-key.pem"}, {"a.pem", "a-key.pem"}, {"b.pem", "b-key.pem"}}
	if !reflect.DeepEqual(c.TLS.Pairs(), pairs) {
		t.Errorf("pairs %v", c.TLS.Pairs())
	}
	if want := []string{"a.example.com", "b.example.com"}; !reflect.DeepEqual(c.TLS.ACME.Domains, want) {
		t.Errorf("domains %v", c.TLS.ACME.Domains)
	}
	var printed strings.Builder
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(file, []byte(printed.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Options{File: file})
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%v\n%s", err, printed.String())
	}
	_, text = loadTLS(t, section, map[string]string{"tls.acme.domains": "x.example.com,,"})
	if !strings.Contains(text, "tls.acme.domains: want ") {
		t.Errorf("an empty name: %q", text)
	}
	many := "tls:\n  certificates:\n" + strings.Repeat("    - {certificate: c, key: k}\n", listMax+1)
	if _, text = loadTLS(t, many, nil); !strings.Contains(text, "tls.certificates: want at most 100") {
		t.Errorf("many: %q", text)
	}
	domains := strings.Repeat(",a.example.com", listMax+1)[1:]
	_, text = loadTLS(t, section, map[string]string{"tls.acme.domains": domains})
	if !strings.Contains(text, "tls.acme.domains: want ") {
		t.Errorf("many names: %q", text)
	}
}

func TestNamesOfACME(t *testing.T) {
	for text, ok := range map[string]bool{
		"localhost": true, "relay.example.com": true, "xn--bcher-kva.example": true, "a-1.b2": true,
		"": false, ".": false, "a.": false, "*.a.b": false, "-a.b": false, "a-.b": false,
		"10.0.0.1": false, "a_b.c": false, "bücher.example": false, "a b": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 127): false,
		strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127) + "a": false,
	} {
		if isHostName(text) != ok {
			t.Errorf("isHostName(%q) = %v", text, !ok)
		}
	}
	for text, ok := range map[string]bool{
		"a@example.com": true, "a.b+c@localhost": true, "a": false, "@b": false, "a@": false,
		"a@b@c": false, "a b@c": false, "a,b@c": false,
	} {
		if isEmail(text) != ok {
			t.Errorf("isEmail(%q) = %v", text, !ok)
		}
	}
	for text, ok := range map[string]bool{
		"https://acme.example.com/directory": true, "https://127.0.0.1:14000/dir": true,
		"http://a/dir": false, "https:///dir": false, "https://u@a/": false, "https://a/?q": false,
		"https://a/#f": false, "a": false, "": false,
	} {
		if isDirectoryURL(text) != ok {
			t.Errorf("isDirectoryURL(%q) = %v", text, !ok)
		}
	}
	if s := fmt.Sprint(isPath("a/b c.pem"), isPath("a\nb"), isPath(strings.Repeat("a", 4096))); s !=
		"true false false" {
		t.Error(s)
	}
}

// TestDefaultsOfACommand are the lowest of all sources.
func TestDefaultsOfACommand(t *testing.T) {
	o := Options{Made: true, Defaults: map[string]string{
		"listen.https": ":1", "log.level": "warn", "drain.timeout": "5s"}}
	o.Env = []string{"RELAYHOUSE_LOG__LEVEL=error"}
	o.Flags = map[string]string{"listen.https": ""}
	c, err := Load(o)
	if err != nil || c.Listen.HTTPS != "" || c.Log.Level != "error" || c.Drain.Timeout != 5e9 {
		t.Errorf("%+v, %v", c, err)
	}
	o.Defaults["drain.timeout"] = "x"
	if _, err = Load(o); err == nil || err.Error() != "drain.timeout: want 0–24h, got x (default)" {
		t.Error(err)
	}
}
