package config

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

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
        http_response_timeout: 1h30m
        http_body_gap: 0
        http_delivery: rendezvous
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
			HTTPResponseTimeout: 90 * time.Minute, HTTPBodyGap: namespace.Never,
			HTTPDelivery: namespace.DeliveryRendezvous,
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
	entity := func(member string) string {
		return "namespaces:\n- name: contoso\n  hybrid_connections:\n  - name: e\n    " + member + "\n"
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
		"time is a list": {
			entity("http_body_gap: [1s]"),
			"namespaces[0].hybrid_connections[0].http_body_gap: want a value, got a list (FILE:5)"},
		"time is missing": {
			entity("http_response_timeout:"),
			"namespaces[0].hybrid_connections[0].http_response_timeout: " +
				"want a value, got nothing (FILE:5)"},
		"unknown delivery": {
			entity("http_delivery: control"),
			"namespaces[0].hybrid_connections[0].http_delivery: " +
				"want auto | rendezvous, got control (FILE:5)"},
		"delivery is no word": {
			entity("http_delivery: {a: b}"),
			"namespaces[0].hybrid_connections[0].http_delivery: " +
				"want a value, got a mapping (FILE:5)"},
		"delivery is missing": {
			entity("http_delivery:"),
			"namespaces[0].hybrid_connections[0].http_delivery: want a value, got nothing (FILE:5)"},
		"misspelled time": {
			entity("http_response_timout: 5s"),
			"namespaces[0].hybrid_connections[0].http_response_timout: unknown key, did you mean " +
				"namespaces[0].hybrid_connections[0].http_response_timeout? (FILE:5)"},
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

// TestEntityTimes: 0 is never, and nothing but an absent member is the
// gateway's time.
func TestEntityTimes(t *testing.T) {
	const wrong = 0
	for text, want := range map[string]time.Duration{
		"0": namespace.Never, "0s": namespace.Never, `"0"`: namespace.Never,
		"1s": time.Second, "1m30s": 90 * time.Second, "24h": 24 * time.Hour, "1.5s": 3 * time.Second / 2,
		"-1ns": wrong, "-1": wrong, "1ns": wrong, "999ms": wrong, "24h0m1s": wrong,
		"60": wrong, "never": wrong, "true": wrong, `""`: wrong, "9999999h": wrong,
	} {
		for _, key := range []string{"http_response_timeout", "http_body_gap"} {
			file := write(t, "relayhouse.yaml", "namespaces:\n- name: contoso\n"+
				"  hybrid_connections:\n  - name: e\n  - name: f\n    "+key+": "+text+"\n")
			c, err := Load(Options{File: file})
			if want == wrong {
				got := strings.Trim(text, `"`)
				if got == "" {
					got = "nothing"
				}
				line := "namespaces[0].hybrid_connections[1]." + key +
					": want 1s–24h, or 0 for never, got " + got + " (" + file + ":6)"
				if err == nil || err.Error() != line {
					t.Errorf("%s: %s: error %v\nwant %s", key, text, err, line)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %s: %v", key, text, err)
				continue
			}
			expected := []namespace.Entity{
				{Name: "e", RequiresClientAuthorization: true},
				{Name: "f", RequiresClientAuthorization: true},
			}
			if key == "http_body_gap" {
				expected[1].HTTPBodyGap = want
			} else {
				expected[1].HTTPResponseTimeout = want
			}
			if got := c.Namespaces[0].HybridConnections; !reflect.DeepEqual(got, expected) {
				t.Errorf("%s: %s: %+v", key, text, got)
			}
		}
	}
}

func TestPrintMasksAndReadsBack(t *testing.T) {
	c := Default()
	c.Gateway.AdvertisedURL = "wss://relay.example.com"
	c.Limits.HeadBytes = 5000
	c.HTTP = HTTP{
		ResponseTimeout: 0, BodyGap: 90 * time.Second, Keepalive: time.Hour,
		CollectTime: 10 * time.Millisecond, BodyMemory: mib, Forwarded: "both",
		RequestTarget: "raw", NoListenerStatus: 502, KeyParameters: true,
	}
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
