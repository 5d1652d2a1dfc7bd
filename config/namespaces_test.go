package config

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

const contoso = `
namespaces:
  - name: contoso
    hosts: [contoso.relay.example.com, relay.internal]
    authorization_rules:
      - name: RootManageSharedAccessKey
        rights: [Listen, Manage, Send]
        primary_key: env:ROOT_KEY
        secondary_key: literal-secondary
    hybrid_connections:
      - name: site-a/api
        user_metadata: "of site a"
        listeners_max: 3
        authorization_rules:
          - { name: listen, rights: [listen], primary_key: "file:KEYFILE" }
      - name: open
        requires_client_authorization: false
`

var contosoDefinitions = []namespace.Definition{{
	Name:  "contoso",
	Hosts: []string{"contoso.relay.example.com", "relay.internal"},
	Rules: []namespace.Rule{{
		Name: "RootManageSharedAccessKey", Rights: sas.Listen | sas.Manage | sas.Send,
		PrimaryKey: "root-secret", SecondaryKey: "literal-secondary",
	}},
	HybridConnections: []namespace.Entity{
		{
			Name: "site-a/api", RequiresClientAuthorization: true,
			UserMetadata: "of site a", ListenersMax: 3,
			Rules: []namespace.Rule{
				{Name: "listen", Rights: sas.Listen, PrimaryKey: "file-secret"},
			},
		},
		{Name: "open"},
	},
}}

func TestNamespaces(t *testing.T) {
	key := write(t, "key", "file-secret\n")
	c, err := Load(Options{
		File: write(t, "relayhouse.yaml", strings.ReplaceAll(contoso, "KEYFILE", key)),
		Env:  []string{"ROOT_KEY=root-secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Namespaces, contosoDefinitions) {
		t.Errorf("%+v\nwant\n%+v", c.Namespaces, contosoDefinitions)
	}
}

func TestNamespaceErrors(t *testing.T) {
	empty := write(t, "empty", "\n")
	large := write(t, "large", strings.Repeat("x", keyFileBytesMax+1))
	ruled := func(rule string) string {
		return "namespaces:\n- name: contoso\n  authorization_rules:\n  - " + rule + "\n"
	}
	for name, c := range map[string]struct{ file, want string }{
		"not a list": {
			"namespaces: {a: b}", "namespaces: want a list, got a mapping (FILE:1)"},
		"not a mapping": {
			"namespaces:\n- contoso\n", "namespaces[0]: want a mapping, got a value (FILE:2)"},
		"unknown member": {
			"namespaces:\n- name: contoso\n  host: [a]\n",
			"namespaces[0].host: unknown key, did you mean namespaces[0].hosts? (FILE:3)"},
		"name is a list": {
			"namespaces:\n- name: [contoso]\n",
			"namespaces[0].name: want a value, got a list (FILE:2)"},
		"unknown right": {
			ruled("{name: a, rights: [Read], primary_key: k}"),
			"namespaces[0].authorization_rules[0].rights[0]: " +
				"want Listen, Send or Manage, got Read (FILE:4)"},
		"right is a list": {
			ruled("{name: a, rights: [[Send]], primary_key: k}"),
			"namespaces[0].authorization_rules[0].rights[0]: want a value, got a list (FILE:4)"},
		"variable is not set": {
			ruled("{name: a, rights: [Send], primary_key: env:NONE}"),
			"namespaces[0].authorization_rules[0].primary_key: " +
				"environment variable NONE is not set (FILE:4)"},
		"variable is empty": {
			ruled("{name: a, rights: [Send], primary_key: env:EMPTY}"),
			"namespaces[0].authorization_rules[0].primary_key: " +
				"environment variable EMPTY is empty (FILE:4)"},
		"no key file": {
			ruled("{name: a, rights: [Send], primary_key: file:/nowhere/key}"),
			"namespaces[0].authorization_rules[0].primary_key: " +
				"open /nowhere/key: no such file or directory (FILE:4)"},
		"empty key file": {
			ruled("{name: a, rights: [Send], secondary_key: file:" + empty + "}"),
			"namespaces[0].authorization_rules[0].secondary_key: file " + empty +
				" is empty (FILE:4)"},
		"large key file": {
			ruled("{name: a, rights: [Send], primary_key: file:" + large + "}"),
			"namespaces[0].authorization_rules[0].primary_key: " + large +
				": larger than 4KiB (FILE:4)"},
		"masked key": {
			ruled(`{name: a, rights: [Send], primary_key: "***"}`),
			"namespaces[0].authorization_rules[0].primary_key: *** is how keys are printed; " +
				"write the key, env:NAME or file:PATH (FILE:4)"},
		"authorization is no boolean": {
			"namespaces:\n- name: contoso\n  hybrid_connections:\n" +
				"  - {name: e, requires_client_authorization: maybe}\n",
			"namespaces[0].hybrid_connections[0].requires_client_authorization: " +
				"want true | false, got maybe (FILE:4)"},
		"too many listeners": {
			"namespaces:\n- name: contoso\n  hybrid_connections:\n" +
				"  - {name: e, listeners_max: 10001}\n",
			"namespaces[0].hybrid_connections[0].listeners_max: " +
				"want 1–10000, or 0 for gateway.listeners_max, got 10001 (FILE:4)"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "relayhouse.yaml", c.file)
			_, err := Load(Options{File: file, Env: []string{"EMPTY="}})
			if err == nil {
				t.Fatal("no error")
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			if got := strings.ReplaceAll(first, file, "FILE"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPrintMasksAndReadsBack(t *testing.T) {
	c := Default()
	c.Gateway.AdvertisedURL = "wss://relay.example.com"
	c.Limits.HeadBytes = 5000
	c.Namespaces = contosoDefinitions
	text := printed(t, c)
	for _, secret := range []string{"root-secret", "literal-secondary", "file-secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is printed", secret)
		}
	}
	if n := strings.Count(text, `_key: "***"`); n != 3 {
		t.Errorf("%d masked keys, want 3:\n%s", n, text)
	}
	// With the masks replaced by keys it is a file like any other.
	for _, key := range []string{"root-secret", "literal-secondary", "file-secret"} {
		text = strings.Replace(text, `"***"`, key, 1)
	}
	back, err := Load(Options{File: write(t, "printed.yaml", text)})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, c) {
		t.Errorf("%+v\nwant\n%+v", back, c)
	}
	defaults, err := Load(Options{File: write(t, "default.yaml", printed(t, Default()))})
	if err != nil || !reflect.DeepEqual(defaults, Default()) {
		t.Errorf("%+v, %v", defaults, err)
	}
	if err := c.Print(failing{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Print to a broken writer: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
