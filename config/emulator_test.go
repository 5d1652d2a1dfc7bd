package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// serviceBusForm is how users of the Service Bus emulator write it.
const serviceBusForm = `// Entities of the emulator.
{
	"UserConfig": {
		"Namespaces": [
			{
				"Name": "rzemulatorns",
				"AuthorizationRules": [
					{
						"Name": "RootManageSharedAccessKey",
						"Rights": [ "Listen", "Manage", "Send" ],
						"PrimaryKey": "SAS_KEY_VALUE"
					}
				],
				"HybridConnections": [
					/* needs a token */
					{ "Name": "site-a/api", "Properties": { "UserMetadata": "caf\u00e9" } },
					{
						"Name": "open",
						"Properties": { "RequiresClientAuthorization": false },
						"AuthorizationRules": [
							{ "Name": "l", "Rights": ["Listen"], "PrimaryKey": "env:KEY" },
						],
					},
				]
			}
		],
		"Logging": { "Type": "File" }
	}
}
`

// eventHubsForm says the same with the words of the Event Hubs emulator, in
// YAML and in another letter case.
const eventHubsForm = `
userConfig:
  namespaceConfig:
    - type: relay
      name: rzemulatorns
      authorizationRules:
        - { name: RootManageSharedAccessKey, rights: [Listen, Manage, Send],
            primaryKey: SAS_KEY_VALUE }
      hybridConnections:
        - name: site-a/api
          properties: { userMetadata: café, requiresClientAuthorization: true }
        - name: open
          properties: { requiresClientAuthorization: false }
          authorizationRules:
            - { name: l, rights: [Listen], primaryKey: env:KEY }
  loggingConfig: { type: File }
`

var emulatorWant = []namespace.Definition{{
	Name: "rzemulatorns",
	Rules: []namespace.Rule{{
		Name: "RootManageSharedAccessKey", Rights: sas.Listen | sas.Manage | sas.Send,
		PrimaryKey: "SAS_KEY_VALUE",
	}},
	HybridConnections: []namespace.Entity{
		{Name: "site-a/api", RequiresClientAuthorization: true, UserMetadata: "café"},
		{Name: "open", Rules: []namespace.Rule{
			{Name: "l", Rights: sas.Listen, PrimaryKey: "k"},
		}},
	},
}}

func TestLoadEmulator(t *testing.T) {
	t.Setenv("KEY", "k")
	for name, content := range map[string]string{
		"Service Bus form": serviceBusForm, "Event Hubs form": eventHubsForm,
	} {
		got, err := LoadDefinitions(write(t, "Config.json", content))
		if err != nil || !reflect.DeepEqual(got, emulatorWant) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestEmulatorMembers: in the words of both emulators, with all that we add.
func TestEmulatorMembers(t *testing.T) {
	const serviceBus = `{"UserConfig": {"Namespaces": [{
		"Name": "contoso", "Hosts": ["contoso.example.com"],
		"NetworkRuleSet": {
			"DefaultAction": "Deny", "IpRules": [
				{ "IpMask": "10.0.0.0/8" }, { "IpMask": "::1", "Action": "Deny" },
			],
			"PublicNetworkAccess": "Disabled", "TrustedServiceAccessEnabled": true,
		},
		"Quotas": { "ListenersPerEntity": 7, "Connections": 5000 },
		"HybridConnections": [{ "Name": "a" }],
		"WcfRelays": [
			{ "Name": "echo", "Properties": { "RelayType": "NetTcp", "RequiresTransportSecurity": true } },
			{ "Name": "web", "Properties": {
				"RelayType": "Http", "RequiresTransportSecurity": false,
				"RequiresClientAuthorization": false, "UserMetadata": "x" },
			  "AuthorizationRules": [{ "Name": "s", "Rights": ["Send"], "PrimaryKey": "k" }] },
		],
	}]}}`
	const eventHubs = `
userConfig:
  namespaceConfig:
  - type: Relay
    name: contoso
    hosts: [contoso.example.com]
    networkRuleSet:
      defaultAction: deny
      ipRules: [{ ipMask: 10.0.0.0/8, action: allow }, { ipMask: "::1", action: deny }]
      publicNetworkAccess: disabled
      trustedServiceAccessEnabled: true
    quotas: { connections: 5000, listenersPerEntity: 7 }
    wcfrelays:
    - { name: echo, properties: { relayType: nettcp } }
    - name: web
      properties: { relayType: http, requiresTransportSecurity: false,
        requiresClientAuthorization: false, userMetadata: x }
      authorizationRules: [{ name: s, rights: [send], primaryKey: k }]
    hybridConnections: [{ name: a }]
`
	want := []namespace.Definition{{
		Name: "contoso", Hosts: []string{"contoso.example.com"},
		PublicNetworkAccess: namespace.AccessDisabled,
		Network: namespace.NetworkRules{
			DefaultDeny: true, TrustedServiceAccess: true,
			IPRules: []namespace.IPRule{ipRule("10.0.0.0/8", false), ipRule("::1", true)},
		},
		HybridConnections: []namespace.Entity{
			{Name: "a", RequiresClientAuthorization: true, ListenersMax: 7},
		},
		WCFRelays: []namespace.Entity{
			{
				Kind: namespace.KindWCFRelay, Name: "echo", RelayType: namespace.RelayNetTCP,
				RequiresClientAuthorization: true, RequiresTransportSecurity: true, ListenersMax: 7,
			},
			{
				Kind: namespace.KindWCFRelay, Name: "web", RelayType: namespace.RelayHTTP,
				UserMetadata: "x", ListenersMax: 7,
				Rules: []namespace.Rule{{Name: "s", Rights: sas.Send, PrimaryKey: "k"}},
			},
		},
	}}
	for name, text := range map[string]string{"Service Bus": serviceBus, "Event Hubs": eventHubs} {
		got, err := LoadDefinitions(write(t, "Config.json", text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err = ReadDefinitions("FILE", []byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestEmulatorErrors(t *testing.T) {
	within := func(s string) string {
		return `{"UserConfig": {"Namespaces": [{"Name": "rzemulatorns", ` + s + `}]}}`
	}
	for name, c := range map[string]struct{ file, want string }{
		"nothing": {
			"", "namespaces: want a list, got nothing; [] is an empty one (FILE:1)"},
		"other top": {`{"Namespaces": []}`, "Namespaces: unknown key, did you mean namespaces? (FILE:1)\n" +
			"want namespaces or UserConfig and nothing beside (FILE:1)"},
		"misspelled": {
			`{"UserConfig": {"Namespace": []}}`,
			"UserConfig.Namespace: unknown key, did you mean UserConfig.Namespaces? (FILE:1)"},
		"WCF relay without type": {
			within(`"WcfRelays": [{"Name": "echo"}]`),
			"UserConfig.Namespaces[0].WcfRelays[0].Properties.RelayType: " +
				`want NetTcp or Http, got "" (FILE:1)`},
		"WCF relay of another type, other case": {
			within("\n" + `"wcfRelays": [{"name": "e", "properties": {"relayType": "NetEvent"}}]`),
			"UserConfig.Namespaces[0].WcfRelays[0].Properties.RelayType: " +
				"want NetTcp | Http, got NetEvent (FILE:2)"},
		"type of a hybrid connection": {
			within(`"HybridConnections": [{"Name": "e", "Properties": {"RelayType": "Http"}}]`),
			"UserConfig.Namespaces[0].HybridConnections[0].Properties.RelayType: " +
				"unknown key (FILE:1)"},
		"action": {
			within(`"NetworkRuleSet": {"DefaultAction": "Refuse"}`),
			"UserConfig.Namespaces[0].NetworkRuleSet.DefaultAction: " +
				"want Allow | Deny, got Refuse (FILE:1)"},
		"mask": {
			within("\"networkRuleSet\": {\"ipRules\": [{\"IpMask\": \"10.0.0.0/8\"},\n" +
				`{"ipMask": "10.0.0.0/x"}]}`),
			"UserConfig.Namespaces[0].NetworkRuleSet.IpRules[1].IpMask: " +
				`want an address or a prefix such as 10.0.0.0/8, got "10.0.0.0/x" (FILE:2)`},
		"no mask": {
			within(`"NetworkRuleSet": {"IpRules": [{"Mask": "::1"}]}`),
			"UserConfig.Namespaces[0].NetworkRuleSet.IpRules[0].Mask: unknown key, " +
				"did you mean UserConfig.Namespaces[0].NetworkRuleSet.IpRules[0].IpMask? (FILE:1)"},
		"access": {
			within(`"NetworkRuleSet": {"PublicNetworkAccess": "Maybe"}`),
			"UserConfig.Namespaces[0].NetworkRuleSet.PublicNetworkAccess: " +
				"want Enabled | Disabled | SecuredByPerimeter, got Maybe (FILE:1)"},
		"too many listeners": {
			within(`"Quotas": {"ListenersPerEntity": 10001}`),
			"UserConfig.Namespaces[0].Quotas.ListenersPerEntity: " +
				"want 1–10000, or 0 for gateway.listeners_max, got 10001 (FILE:1)"},
		"connections": {
			within(`"Quotas": {"Connections": "many"}`),
			"UserConfig.Namespaces[0].Quotas.Connections: want 0–2147483647, got many (FILE:1)"},
		"other quota": {
			within(`"Quotas": {"Listeners": 1}`),
			"UserConfig.Namespaces[0].Quotas.Listeners: unknown key (FILE:1)"},
		"no list": {
			`{"UserConfig": {"Logging": {"Type": "File"}}}`,
			"UserConfig.Namespaces: want a list, got nothing; [] is an empty one (FILE:1)"},
		"our members": {
			within(`"Tags": {"a": "b"}`), "UserConfig.Namespaces[0].Tags: unknown key (FILE:1)"},
		"queues": {
			within(`"Queues": []`), "UserConfig.Namespaces[0].Queues: unknown key (FILE:1)"},
		"type outside NamespaceConfig": {
			within(`"Type": "Relay"`), "UserConfig.Namespaces[0].Type: unknown key (FILE:1)"},
		"event hubs": {
			`{"UserConfig": {"NamespaceConfig": [{"Type": "EventHub", "Name": "a"}]}}`,
			"UserConfig.NamespaceConfig[0].Type: want Relay, got EventHub (FILE:1)"},
		"both spellings": {
			`{"UserConfig": {"Namespaces": [], "NamespaceConfig": []}}`,
			"UserConfig.NamespaceConfig: given beside Namespaces; want one (FILE:1)"},
		"bad name": {
			"UserConfig:\n  Namespaces:\n  - Name: a\n    HybridConnections:\n    - Name: /x\n",
			"UserConfig.Namespaces[0].HybridConnections[0].Name: want 1–260 letters, digits " +
				"and -._/, a letter or digit at both ends, no segment that is empty or dots, " +
				`got "/x" (FILE:5)`},
		"name twice": {
			"UserConfig:\n  NamespaceConfig:\n  - Name: a\n    Hosts: [a]\n  - Name: b\n    Hosts: [A]\n",
			"UserConfig.NamespaceConfig[1].Hosts[0]: want another name than " +
				`UserConfig.NamespaceConfig[0].Hosts[0], got "a" (FILE:6)`},
		"no key": {
			within("\"AuthorizationRules\":\n[{\"Name\": \"r\", \"Rights\": [\"Send\"]}]"),
			"UserConfig.Namespaces[0].AuthorizationRules[0].PrimaryKey: want 1–256 printable " +
				"ASCII characters without blanks and semicolons, got 0 (FILE:2)"},
		"twice in another case": {
			within(`"name": "b"`), "UserConfig.Namespaces[0].name: given twice (FILE:1)"},
		"not among properties": {
			within("\"HybridConnections\": [{\"Name\": \"e\",\n\"RequiresClientAuthorization\": true}]"),
			"UserConfig.Namespaces[0].HybridConnections[0].RequiresClientAuthorization: " +
				"unknown key (FILE:2)"},
		"no boolean": {
			within(`"HybridConnections": [{"Properties": {"RequiresClientAuthorization": 1}}]`),
			"UserConfig.Namespaces[0].HybridConnections[0].Properties." +
				"RequiresClientAuthorization: want true | false, got 1 (FILE:1)"},
		"no timeout of HTTP": {
			within(`"HybridConnections": [{"Properties": {"http_response_timeout": "5s"}}]`),
			"UserConfig.Namespaces[0].HybridConnections[0].Properties." +
				"http_response_timeout: unknown key (FILE:1)"},
		"no delivery of HTTP": {
			within(`"HybridConnections": [{"Name": "e", "http_delivery": "auto"}]`),
			"UserConfig.Namespaces[0].HybridConnections[0].http_delivery: unknown key (FILE:1)"},
		"logging": {
			`{"UserConfig": {"Logging": {"Level": "x"}}}`,
			"UserConfig.Logging.Level: unknown key (FILE:1)"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "Config.json", c.file)
			_, err := LoadDefinitions(file)
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), file, "FILE"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPlainJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a": 1}`, `{"a": 1}`},
		{"{ // x\n}", "{     \n}"},
		{"{ /* x\n, */ }", "{     \n     }"},
		{`["//", "/*", "a\"//"]`, `["//", "/*", "a\"//"]`},
		{`[1, 2, ]`, `[1, 2  ]`},
		{`[1, /* x */ ]`, `[1          ]`},
		{`[","]`, `[","]`},
		{`[1,,]`, `[1, ]`},
		{`"\`, `"\`},
		{`/`, `/`},
		{`/*`, `/*`},
		{`//`, `  `},
	} {
		if got := string(plainJSON([]byte(c.in))); got != c.want {
			t.Errorf("plainJSON(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzEmulator: any file gives definitions or errors, each one line, with the
// path of the file and without the value of a key.
func FuzzEmulator(f *testing.F) {
	f.Add([]byte(serviceBusForm))
	f.Add([]byte(eventHubsForm))
	f.Add([]byte(`{"UserConfig": {"Namespaces": [{"WcfRelays": [{}], "Name": ["a"]}]}}`))
	f.Add([]byte("UserConfig: {Namespaces: [{AuthorizationRules: [{PrimaryKey: env:NO}]}]}"))
	f.Add([]byte("a: &x [*x]\n---\nb: !t c\n<<: d"))
	f.Add([]byte("{\"a\": [1, // x\n2,], /* y */ }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := ReadDefinitions("FILE", b, WithReferences([]string{"KEY=k"}))
		checkErrors(t, err)
	})
}

// FuzzFile does the same for our own file. Namespaces that are read come back
// equal from what Print writes, but for their keys.
func FuzzFile(f *testing.F) {
	f.Add([]byte(contoso))
	f.Add([]byte("gateway:\n  id: 1\n  rendezvous_windw: 5s\nlog: [a]\n"))
	f.Add([]byte("namespaces:\n- name: a\n  hybrid_connections:\n  - name: b\n" +
		"    http_response_timeout: 0\n    http_body_gap: 90s\n    http_delivery: rendezvous\n"))
	f.Add([]byte("http: {response_timeout: 0, forwarded: off, key_parameters: true}"))
	f.Add([]byte(`{"gateway": {"id": 1, "id": 2}, "limits": {"head_bytes": 1.5e3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := parseTree("FILE", b)
		c := Default()
		if err == nil {
			l := newLoader(nil)
			l.tree(&c, "FILE", root)
			err = errors.Join(l.errs...)
		}
		checkErrors(t, err)
		if err == nil {
			readBack(t, c)
		}
	})
}

// readBack prints c, puts "k" where keys are masked, and reads it.
func readBack(t *testing.T, c Config) {
	t.Helper()
	text := strings.ReplaceAll(printed(t, c), `_key: "***"`, "_key: k")
	back := Default()
	root, err := parseTree("FILE", []byte(text))
	if err == nil {
		l := newLoader(nil)
		l.tree(&back, "FILE", root)
		err = errors.Join(l.errs...)
	}
	for _, d := range c.Namespaces {
		setKeys(d.Rules)
		for _, e := range slices.Concat(d.HybridConnections, d.WCFRelays) {
			setKeys(e.Rules)
		}
	}
	if err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("%v: printed\n%s\nreads as\n%+v\nwant\n%+v", err, text, back, c)
	}
}

// setKeys replaces every key by k.
func setKeys(rules []namespace.Rule) {
	const key = "k"
	for i := range rules {
		rules[i].PrimaryKey = key
		if rules[i].SecondaryKey != "" {
			rules[i].SecondaryKey = key
		}
	}
}

// checkErrors: every error is an *Error of one line that names its place.
func checkErrors(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		var one *Error
		if !errors.As(err, &one) || !strings.HasPrefix(one.Source, "FILE:") {
			t.Errorf("no place: %q", err)
		}
		if strings.ContainsAny(err.Error(), "\n\r") || !utf8.ValidString(err.Error()) {
			t.Errorf("not a line: %q", err)
		}
	}
}
