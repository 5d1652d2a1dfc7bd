package config

import (
	"crypto/tls"
	"reflect"
	"strings"
	"testing"
)

// TestManagementAndStoreRules: what their settings ask of each other and of
// others. A want is the whole error.
func TestManagementAndStoreRules(t *testing.T) {
	const (
		api    = "management: {listen: ':9091', tokens: t, certificate: c, key: k}\n"
		inline = "namespaces: [{name: a}]\n"
	)
	for _, tt := range []struct{ name, file, want string }{
		{"management", api, ""},
		{"all of management", "management:\n  listen: :9091\n  tokens: t\n  audit_log: a\n" +
			"  domain: relay.example.com\n  certificate: c\n  key: k\n", ""},
		{"not used", "management: {tokens: t, key: k}\n", ""},
		{"no tokens", "management: {listen: ':9091', certificate: c, key: k}\n",
			"management.tokens: want a file that says who may use management.listen, got nothing"},
		{"no certificate", "management: {listen: ':9091', tokens: t}\n",
			"management.listen: want a certificate: set management.certificate and " +
				"management.key, or those of tls"},
		{"no key", "management: {listen: ':9091', tokens: t, certificate: c}\n",
			"management.key: want the file of the key that belongs to " +
				"management.certificate, got nothing"},
		{"no certificate of a key", "management: {listen: ':9091', tokens: t, key: k}\n",
			"management.certificate: want the file of the certificate that belongs to " +
				"management.key, got nothing"},
		{"certificate of tls", "management: {listen: ':9091', tokens: t}\n" +
			"tls: {certificate: c, key: k}\n", ""},
		{"half a certificate of tls", "management: {listen: ':9091', tokens: t}\n" +
			"tls: {certificate: c}\n",
			"tls.key: want the file of the key that belongs to tls.certificate, got nothing"},
		{"tls is not used", api + "tls: {certificate: c}\n", ""},
		{"list of tls", "management: {listen: ':9091', tokens: t}\n" +
			"tls: {certificates: [{certificate: c, key: k}]}\n", ""},
		{"ACME of tls", "management: {listen: ':9091', tokens: t}\n" +
			"tls: {acme: {domains: a.example.com, agree: true}}\n", ""},
		{"address", "management: {listen: 9091, tokens: t, certificate: c, key: k}\n",
			"management.listen: want host:port, or empty, got 9091 (F:1)"},
		{"domain", "management: {domain: '*.example.com'}\n",
			"management.domain: want a host name, or empty, got *.example.com (F:1)"},
		{"domain with port", "management: {domain: 'example.com:443'}\n",
			"management.domain: want a host name, or empty, got example.com:443 (F:1)"},

		{"file", "store: {file: f, master_key: k, namespaces_max: 1, entities_max: 1000000}\n", ""},
		{"definitions", "store: {definitions: d}\n", ""},
		{"inline", inline, ""},
		{"file beside nothing", "store: {file: f}\nnamespaces: []\n", ""},
		{"definitions beside nothing", "store: {definitions: d}\nnamespaces: []\n", ""},
		{"definitions and inline", inline + "store: {definitions: d}\n",
			"store.definitions: want nothing beside namespaces in the file of settings; " +
				"put them all into one file"},
		{"file and inline", inline + "store: {file: f}\n",
			"store.file: want nothing beside namespaces in the file of settings; " +
				"take them into store.file with relayctl import"},
		{"file and definitions", "store: {file: f, definitions: d}\n",
			"store.file: want nothing beside store.definitions; " +
				"take them into store.file with relayctl import"},
		{"master key of nothing", "store: {master_key: k}\n",
			"store.file: want the file whose keys store.master_key encrypts, got nothing"},
		{"namespaces", "store: {namespaces_max: 0}\n",
			"store.namespaces_max: want 1–100000, got 0 (F:1)"},
		{"misspelled", "store: {definition: d}\n",
			"store.definition: unknown key, did you mean store.definitions? (F:1)"},
	} {
		file := write(t, "relayhouse.yaml", tt.file)
		c, err := Load(Options{File: file})
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), file, "F")
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
		if err != nil {
			continue
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: Validate: %v", tt.name, err)
		}
		back, err := Load(Options{File: write(t, "printed.yaml", printed(t, c))})
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%s: printed: %+v, %v\nwant %+v", tt.name, back, err, c)
		}
	}
	c := Default()
	c.Management.Listen, c.Management.Tokens = ":9091", "t"
	c.TLS.Made = make([]tls.Certificate, 1)
	if err := c.Validate(); err != nil {
		t.Errorf("a certificate of the program: %v", err)
	}
}
