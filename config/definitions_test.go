package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files of definitions")

// everything has each member of our form.
const everything = `namespaces:
  - name: contoso
    hosts: [contoso.relay.example.com, relay.internal]
    subscription: 00000000-0000-0000-0000-000000000000
    resource_group: Relays
    location: West Europe
    tags: { team: "#1", "cost center": 0042, empty: , "": x }
    created_at: 2026-01-02T03:04:05.678Z
    updated_at: "2026-01-02T05:04:05+02:00"
    public_network_access: securedByPerimeter
    minimum_tls_version: 1.3
    network_rules:
      default_action: Deny
      ip_rules:
        - { ip_mask: 10.0.0.0/8, action: allow }
        - ip_mask: 2001:db8::1
        - ip_mask: 192.0.2.7
          action: deny
      trusted_service_access: true
    authorization_rules:
      - name: RootManageSharedAccessKey
        rights: [Listen, Manage, Send]
        primary_key: root-secret
        secondary_key: literal:env:HOME
    hybrid_connections:
      - name: site-a/api
        requires_client_authorization: false
        disabled: true
        user_metadata: "of site a"
        created_at: 2026-02-02T03:04:05Z
        updated_at: 2026-03-02T03:04:05Z
        listeners_max: 3
        http_response_timeout: 1h30m
        http_body_gap: 0
        http_delivery: rendezvous
        authorization_rules:
          - { name: listen, rights: [listen], primary_key: literal:*** }
      - name: plain
    wcf_relays:
      - name: echo
        relay_type: nettcp
        requires_client_authorization: false
        requires_transport_security: false
        user_metadata: text
        disabled: true
        listeners_max: 2
        created_at: 2026-02-02T03:04:05Z
        updated_at: 2026-03-02T03:04:05Z
        authorization_rules:
          - { name: send, rights: [send], primary_key: k }
      - name: web
        relay_type: Http
`

func instant(month time.Month) time.Time {
	return time.Date(2026, month, 2, 3, 4, 5, 0, time.UTC)
}

func ipRule(mask string, deny bool) namespace.IPRule {
	r, _ := namespace.ParseIPRule(mask)
	r.Deny = deny
	return r
}

// everythingDefinitions is what everything says, but for the tag without a name,
// which no namespace may have.
func everythingDefinitions() []namespace.Definition {
	return []namespace.Definition{{
		Name: "contoso", Hosts: []string{"contoso.relay.example.com", "relay.internal"},
		Subscription:  "00000000-0000-0000-0000-000000000000",
		ResourceGroup: "Relays", Location: "West Europe",
		Tags:                map[string]string{"team": "#1", "cost center": "0042", "empty": ""},
		CreatedAt:           instant(time.January).Add(678 * time.Millisecond),
		UpdatedAt:           instant(time.January),
		PublicNetworkAccess: namespace.AccessSecuredByPerimeter, MinimumTLSVersion: "1.3",
		Network: namespace.NetworkRules{
			DefaultDeny: true, TrustedServiceAccess: true,
			IPRules: []namespace.IPRule{
				ipRule("10.0.0.0/8", false), ipRule("2001:db8::1", false), ipRule("192.0.2.7", true),
			},
		},
		Rules: []namespace.Rule{{
			Name: "RootManageSharedAccessKey", Rights: sas.Listen | sas.Manage | sas.Send,
			PrimaryKey: "root-secret", SecondaryKey: "env:HOME",
		}},
		HybridConnections: []namespace.Entity{
			{
				Name: "site-a/api", Disabled: true, UserMetadata: "of site a", ListenersMax: 3,
				CreatedAt: instant(time.February), UpdatedAt: instant(time.March),
				HTTPResponseTimeout: 90 * time.Minute, HTTPBodyGap: namespace.Never,
				HTTPDelivery: namespace.DeliveryRendezvous,
				Rules:        []namespace.Rule{{Name: "listen", Rights: sas.Listen, PrimaryKey: "***"}},
			},
			{Name: "plain", RequiresClientAuthorization: true},
		},
		WCFRelays: []namespace.Entity{
			{
				Kind: namespace.KindWCFRelay, Name: "echo", RelayType: namespace.RelayNetTCP,
				UserMetadata: "text", Disabled: true, ListenersMax: 2,
				CreatedAt: instant(time.February), UpdatedAt: instant(time.March),
				Rules: []namespace.Rule{{Name: "send", Rights: sas.Send, PrimaryKey: "k"}},
			},
			{
				Kind: namespace.KindWCFRelay, Name: "web", RelayType: namespace.RelayHTTP,
				RequiresClientAuthorization: true, RequiresTransportSecurity: true,
			},
		},
	}}
}

func TestReadDefinitions(t *testing.T) {
	text := strings.Replace(everything, `, "": x }`, " }", 1)
	want := everythingDefinitions()
	got, err := ReadDefinitions("FILE", []byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v\n%v", got, want, err)
	}
	got, err = LoadDefinitions(write(t, "namespaces.yaml", text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("LoadDefinitions: %+v, %v", got, err)
	}
	c, err := Load(Options{File: write(t, "relayhouse.yaml", "gateway: {id: 7}\n"+text)})
	if err != nil || !reflect.DeepEqual(c.Namespaces, want) || c.Gateway.ID != 7 {
		t.Errorf("Load: %+v, %v", c.Namespaces, err)
	}
	c.Gateway = Default().Gateway
	c.Namespaces = everythingDefinitions()
	readBack(t, c)
	if _, err = ReadDefinitions("FILE", []byte(everything)); fmt.Sprint(err) !=
		`namespaces[0].tags: want names of 1–512 printable characters, got "" (FILE:7)` {
		t.Error(err)
	}
	for _, form := range []string{serviceBusForm, eventHubsForm} {
		env := WithReferences([]string{"KEY=k"})
		if got, err = ReadDefinitions("FILE", []byte(form), env); err != nil ||
			!reflect.DeepEqual(got, emulatorWant) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, none := range []string{"namespaces: []", `{"namespaces": []}`, "UserConfig: {Namespaces: []}"} {
		if got, err = ReadDefinitions("FILE", []byte(none)); err != nil || got != nil {
			t.Errorf("%s: %+v, %v", none, got, err)
		}
	}
}

// TestDefinitionErrors: one line each, with path and line. What Validate finds
// wrong has the line of the member, too.
func TestDefinitionErrors(t *testing.T) {
	space := func(members string) string { return "namespaces:\n- name: a\n  " + members + "\n" }
	relay := func(members string) string {
		return "namespaces:\n- name: a\n  wcf_relays:\n  - name: e\n    relay_type: Http\n    " +
			members + "\n"
	}
	const within, entity = "namespaces[0].", "namespaces[0].wcf_relays[0]."
	for _, tt := range []struct{ file, want string }{
		{"", "namespaces: want a list, got nothing; [] is an empty one (F:1)"},
		{"# nothing\n", "namespaces: want a list, got nothing; [] is an empty one (F:1)"},
		{"{}", "namespaces: want a list, got nothing; [] is an empty one (F:1)"},
		{"\nnamespaces:\n", "namespaces: want a list, got nothing; [] is an empty one (F:2)"},
		{"UserConfig: {}\n",
			"UserConfig.Namespaces: want a list, got nothing; [] is an empty one (F:1)"},
		{"- a\n", "want a mapping, got a list (F:1)\n" +
			"want namespaces or UserConfig and nothing beside (F:1)"},
		{"namespaces: []\ngateway:\n  id: 1\n", "gateway: unknown key (F:2)\n" +
			"want namespaces or UserConfig and nothing beside (F:1)"},
		{"namespaces: []\nUserConfig: {Namespaces: []}\n", "namespaces: unknown key (F:1)"},
		{`{"namespaces": [], "namespaces": []}`, "namespaces: given twice (F:1)\n" +
			"want namespaces or UserConfig and nothing beside (F:1)"},

		{space("subscription: [a]"), within + "subscription: want a value, got a list (F:3)"},
		{space("location: " + strings.Repeat("x", 91)), within + "location: want 0–90 bytes of " +
			`printable text, got "` + strings.Repeat("x", 91) + `" (F:3)`},
		{space("tags: [a]"), within + "tags: want a mapping, got a list (F:3)"},
		{space("tags: {a: [b]}"), within + "tags.a: want a value, got a list (F:3)"},
		{space("tags:\n    a: 1\n    a: 2"), within + "tags.a: given twice (F:5)"},
		{space(`tags: {a: "\n"}`),
			within + `tags: want values of 0–256 printable characters, got "\n" (F:3)`},
		{space("created_at: yesterday"), within +
			"created_at: want a time such as 2006-01-02T15:04:05Z, got yesterday (F:3)"},
		{space("updated_at:"), within + "updated_at: want a value, got nothing (F:3)"},
		{space("created_at: 2026-02-30T00:00:00Z"), within + "created_at: want a time such as " +
			"2006-01-02T15:04:05Z, got 2026-02-30T00:00:00Z (F:3)"},
		{space("public_network_access: yes"), within + "public_network_access: want " +
			"Enabled | Disabled | SecuredByPerimeter, got yes (F:3)"},
		{space("minimum_tls_version: 1.1"),
			within + `minimum_tls_version: want 1.2 or 1.3, got "1.1" (F:3)`},
		{space("network_rules: Deny"), within + "network_rules: want a mapping, got a value (F:3)"},
		{space("network_rules:\n    default_action: refuse"),
			within + "network_rules.default_action: want allow | deny, got refuse (F:4)"},
		{space("network_rules: {default_action: ''}"),
			within + "network_rules.default_action: want allow | deny, got nothing (F:3)"},
		{space("network_rules: {default_actions: deny}"), within + "network_rules.default_actions: " +
			"unknown key, did you mean namespaces[0].network_rules.default_action? (F:3)"},
		{space("network_rules:\n    ip_rules:\n    - ip_mask: 10.0.0.0/8\n    - ip_mask: 10.0.0.0/33"),
			within + "network_rules.ip_rules[1].ip_mask: want an address or a prefix such as " +
				`10.0.0.0/8, got "10.0.0.0/33" (F:6)`},
		{space("network_rules: {ip_rules: [{action: deny}]}"), within +
			"network_rules.ip_rules[0].ip_mask: want an address or a prefix such as 10.0.0.0/8, " +
			`got "" (F:3)`},
		{space("network_rules: {ip_rules: [{ip_mask: 10.0.0.1, action: drop}]}"),
			within + "network_rules.ip_rules[0].action: want allow | deny, got drop (F:3)"},
		{space("network_rules: {ip_rules: [" + strings.Repeat("{ip_mask: 10.0.0.1},", 129) + "]}"),
			within + "network_rules.ip_rules: want 0–128 rules, got 129 (F:3)"},
		{space("network_rules: {trusted_service_access: maybe}"),
			within + "network_rules.trusted_service_access: want true | false, got maybe (F:3)"},
		{space("hybrid_connections: [{name: e, relay_type: Http}]"),
			within + "hybrid_connections[0].relay_type: unknown key (F:3)"},
		{space("hybrid_connections: [{name: e, disabled: 1}]"),
			within + "hybrid_connections[0].disabled: want true | false, got 1 (F:3)"},

		{space("wcf_relays:\n  - name: e\n    relay_type: Tcp"),
			entity + "relay_type: want NetTcp | Http, got Tcp (F:5)"},
		{space("wcf_relays:\n  - name: e"),
			entity + `relay_type: want NetTcp or Http, got "" (F:4)`},
		{relay("requires_transport_security: 1"),
			entity + "requires_transport_security: want true | false, got 1 (F:6)"},
		{relay("http_delivery: auto"), entity + "http_delivery: unknown key (F:6)"},
		{relay("is_dynamic: true"), entity + "is_dynamic: unknown key (F:6)"},
		{relay("authorization_rules: [{name: r, rights: [Send]}]"), entity +
			"authorization_rules[0].primary_key: want 1–256 printable ASCII characters " +
			"without blanks and semicolons, got 0 (F:6)"},
		{space("hybrid_connections:\n  - name: e\n  wcf_relays:\n  - relay_type: Http\n    name: E"),
			entity + "name: want another name than namespaces[0].hybrid_connections[0].name, " +
				`got "e" (F:7)`},

		{space("authorization_rules: [{name: r, rights: [Send], primary_key: env:HOME}]"), within +
			"authorization_rules[0].primary_key: want the key itself; env: and file: are for " +
			"files of the operator (F:3)"},
		{space("authorization_rules: [{name: r, rights: [Send], primary_key: k, " +
			"secondary_key: file:/etc/hostname}]"), within + "authorization_rules[0].secondary_key: " +
			"want the key itself; env: and file: are for files of the operator (F:3)"},
		{space("authorization_rules: [{name: r, rights: [Send], primary_key: 'literal:'}]"), within +
			"authorization_rules[0].primary_key: want 1–256 printable ASCII characters " +
			"without blanks and semicolons, got 0 (F:3)"},
	} {
		got, err := ReadDefinitions("F", []byte(tt.file))
		if err == nil || err.Error() != tt.want || got != nil {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.file, err, tt.want)
		}
		var one *Error
		if !errors.As(err, &one) {
			t.Errorf("%q: %T", tt.file, err)
		}
	}
	if _, err := LoadDefinitions(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
}

// TestLinesOfBrokenYAML: the line of an error is where a person would look.
func TestLinesOfBrokenYAML(t *testing.T) {
	for text, line := range map[string]int{
		"a: 1\nb: 2\n- c\n":              3,
		"a: [1\n":                        1,
		"\n\n\na: [1\n\n\n":              4,
		"a: 1\nb: 2\nc: [1, 2\nd: 3\n":   3,
		"a: 1\nb:\n  c: {x: 1\n":         3,
		"a: 1\nb: \"x\n":                 2,
		"a: 1\nb:\n\tc: 1\n":             3,
		"a: 1\nb: *x\n":                  2,
		"a: 1\nb: &x 2\n":                2,
		"a: 1\nb: !t 2\n":                2,
		"a: 1\nb: \"\\q\"\n":             2,
		"a: 1\nb: @c\n":                  2,
		"a: 1\nb: c: d\n":                2,
		"a: 1\nb\nc: 1\n":                2,
		"a:\n  - b\n  c\n  - d: e\n  f:": 3,
	} {
		_, err := parseTree("F", []byte(text))
		if err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf(" (F:%d)", line)) {
			t.Errorf("%q: %v, want line %d", text, err, line)
		}
	}
}

func TestBoundsOfFiles(t *testing.T) {
	flow := "a: [" + strings.Repeat("1,", marksMax) + "]"
	for name, tt := range map[string]struct{ text, want string }{
		"flow":       {flow, "too many values in one file (F:1)"},
		"JSON":       {"{" + flow[1:], "too many values in one file (F:1)"},
		"list":       {strings.Repeat("- 1\n", marksMax+1), fmt.Sprintf("too many values in one file (F:%d)", marksMax+1)},
		"open lists": {strings.Repeat("- ", marksMax+1), "too many values in one file (F:1)"},
		"large":      {strings.Repeat(" ", fileBytesMax+1), "larger than 16MiB (F:1)"},
		"deep":       {"- " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000), "nested too deep (F:1)"},
		"deeper":     {strings.Repeat("[", 20_000), "exceeded max depth of 10000 (F:1)"},
		"deep JSON":  {strings.Repeat(`{"a":`, 50_000), "nested too deep (F:1)"},
	} {
		if _, err := parseTree("F", []byte(tt.text)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	// Many errors end with one that says so.
	for _, text := range []string{
		"namespaces: [{" + strings.Repeat("\"a\": 1, ", 10*errorsMax) + "}]", // unknown
		"namespaces: [" + strings.Repeat("{},", 10*errorsMax) + "]",          // not valid
	} {
		_, err := ReadDefinitions("F", []byte(text))
		lines := strings.Split(fmt.Sprint(err), "\n")
		if last := lines[len(lines)-1]; len(lines) != errorsMax+1 ||
			last != "more than 100 errors; these are the first (F:1)" {
			t.Errorf("%d errors, the last %s", len(lines), last)
		}
	}
	// Texts of people are no values.
	long := "a: \"" + strings.Repeat("x:y-z ", mib) + "\"\n\n\n  \n"
	if _, err := parseTree("F", []byte(long)); err != nil {
		t.Error(err)
	}
}

// awkward texts are those that a reader of YAML could take for something else.
var awkward = []string{
	"", " ", " a", "a ", "#", "a #b", "# a", "'", `"`, `\`, `\n`, "\n", "a\nb\n", "\r\n", "\t", "\x00",
	"\x1b[0m", "\u0085", "\u2028", "\ufeff", "\ufffd", "é", "日本", "👍", "\U000e0001", "null", "~", "Null",
	"true", "no", "off", "0", "007", "0x1f", "1e3", "1.20", ".inf", "-", "- a", "? a", ": a", "a: b",
	"[a]", "{a: b}", "*a", "&a", "!a", "!!str a", "|", ">", "%a", "@a", "`a", "---", "...", "<<", "=",
	"2026-01-01", "2026-01-01T00:00:00Z", "12:30:45", "env:HOME", "file:/etc/hostname", "literal:x",
	"***", "// a", "/* a */", "a,", "key: [", strings.Repeat("long ", 200), strings.Repeat("\U000e0001", 300), strings.Repeat(`"`, 600),
}

// source makes random definitions that are valid.
type source struct{ *rand.Rand }

func pick[T any](r source, all ...T) T { return all[r.IntN(len(all))] }

func (r source) coin() bool { return r.IntN(2) == 0 }

// text is awkward or random, with up to limit characters.
func (r source) text(limit int, ok func(rune) bool) string {
	text := pick(r, awkward...)
	if r.coin() {
		runes := make([]rune, r.IntN(20))
		for i := range runes {
			runes[i] = pick(r, rune(r.IntN(128)), rune(r.IntN(0xd800)), 0xe000+rune(r.IntN(0x102000)))
		}
		text = string(runes) + text
	}
	runes := slices.DeleteFunc([]rune(text), func(c rune) bool { return !ok(c) })
	return string(runes[:min(len(runes), limit)])
}

func (r source) label() string { return r.text(20, unicode.IsPrint) }

func (r source) time() time.Time {
	return pick(r, time.Time{}, time.Unix(r.Int64N(1<<37), r.Int64N(1e9)).UTC(),
		time.Unix(r.Int64N(1<<37), 0).UTC())
}

func (r source) key(i int) string {
	key := r.text(200, func(c rune) bool { return ' ' < c && c <= '~' && c != ';' })
	return pick(r, key+fmt.Sprint(i), "env:"+key, "file:"+key, "literal:"+key, "***", sas.NewKey())
}

func (r source) rules() (all []namespace.Rule) {
	for i := range r.IntN(4) {
		rule := namespace.Rule{
			Name: pick(r, "null", "0", "True", "a.b-c_d/e", "1.0") + fmt.Sprint(i), PrimaryKey: r.key(i),
			Rights: pick(r, sas.Listen, sas.Send, sas.Listen|sas.Send, sas.Listen|sas.Send|sas.Manage),
		}
		if r.coin() {
			rule.SecondaryKey = r.key(i)
		}
		all = append(all, rule)
	}
	return all
}

func (r source) entity(k namespace.Kind, i int) namespace.Entity {
	e := namespace.Entity{
		Kind: k, Name: fmt.Sprintf("%s%d-%d", pick(r, "null", "1", "a/b", "007", "a.b"), k, i),
		RequiresClientAuthorization: r.coin(), Disabled: r.coin(),
		UserMetadata: r.text(namespace.UserMetadataMax, func(rune) bool { return true }),
		CreatedAt:    r.time(), UpdatedAt: r.time(), ListenersMax: pick(r, 0, 1, namespace.ListenersMaxMax),
		Rules: r.rules(),
	}
	if k == namespace.KindWCFRelay {
		e.RelayType = pick(r, namespace.RelayNetTCP, namespace.RelayHTTP)
		e.RequiresTransportSecurity = r.coin()
		return e
	}
	e.HTTPDelivery = pick(r, namespace.DeliveryAuto, namespace.DeliveryRendezvous)
	span := func() time.Duration {
		return pick(r, 0, namespace.Never, namespace.HTTPTimeMin, namespace.HTTPTimeMax,
			time.Second+time.Duration(r.Int64N(int64(time.Hour))))
	}
	e.HTTPResponseTimeout, e.HTTPBodyGap = span(), span()
	return e
}

func (r source) definitions(entities int) (all []namespace.Definition) {
	for i := range r.IntN(4) {
		d := namespace.Definition{
			Name: fmt.Sprintf("%s-%d", pick(r, "null", "0", "true", "a"), i), Rules: r.rules(),
			Subscription: r.label(), ResourceGroup: r.label(), Location: r.label(),
			CreatedAt: r.time(), UpdatedAt: r.time(), MinimumTLSVersion: pick(r, "", "1.2", "1.3"),
			PublicNetworkAccess: pick(r, "", namespace.AccessEnabled, namespace.AccessDisabled,
				namespace.AccessSecuredByPerimeter),
			Network: namespace.NetworkRules{DefaultDeny: r.coin(), TrustedServiceAccess: r.coin()},
		}
		for j := range r.IntN(3) {
			d.Hosts = append(d.Hosts, fmt.Sprintf("h%d.%d.example.com", i, j))
			d.Network.IPRules = append(d.Network.IPRules,
				ipRule(pick(r, "10.1.2.3/8", "::1", "fe80::/10", "1.2.3.4"), r.coin()))
		}
		for range r.IntN(4) {
			name := r.text(namespace.TagNameMax, unicode.IsPrint)
			if name == "" {
				continue
			}
			if d.Tags == nil {
				d.Tags = map[string]string{}
			}
			d.Tags[name] = r.text(namespace.TagValueMax, unicode.IsPrint)
		}
		for j := range r.IntN(entities) {
			d.HybridConnections = append(d.HybridConnections, r.entity(namespace.KindHybridConnection, j))
		}
		for j := range r.IntN(entities) {
			d.WCFRelays = append(d.WCFRelays, r.entity(namespace.KindWCFRelay, j))
		}
		all = append(all, d)
	}
	return all
}

// TestWriteDefinitionsReadsBack: any valid definitions come back equal. The
// seed of a failure is in its name.
func TestWriteDefinitionsReadsBack(t *testing.T) {
	const seeds = 300
	for seed := range uint64(seeds) {
		defs := source{rand.New(rand.NewPCG(seed, 1))}.definitions(6)
		if err := namespace.Validate(defs); err != nil {
			t.Fatalf("seed %d: not valid: %v", seed, err)
		}
		var b bytes.Buffer
		if err := WriteDefinitions(&b, defs); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, err := ReadDefinitions("FILE", b.Bytes())
		if err != nil || !reflect.DeepEqual(back, defs) {
			t.Fatalf("seed %d: %v\n%s\nread as\n%#v\nwant\n%#v", seed, err, b.String(), back, defs)
		}
		// References on do not change what is written.
		back, err = ReadDefinitions("FILE", b.Bytes(), WithReferences([]string{"HOME=x"}))
		if err != nil || !reflect.DeepEqual(back, defs) {
			t.Fatalf("seed %d, with references: %v", seed, err)
		}
	}
}

// TestWriteEmulatorReadsBack: what the form has members for comes back equal.
func TestWriteEmulatorReadsBack(t *testing.T) {
	const seeds = 100
	for seed := range uint64(seeds) {
		defs := source{rand.New(rand.NewPCG(seed, 2))}.definitions(4)
		var b bytes.Buffer
		if err := WriteEmulator(&b, defs); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, err := ReadDefinitions("FILE", b.Bytes())
		for i := range defs {
			reduce(&defs[i])
		}
		if err != nil || !reflect.DeepEqual(back, defs) {
			t.Fatalf("seed %d: %v\n%s\nread as\n%#v\nwant\n%#v", seed, err, b.String(), back, defs)
		}
	}
}

// reduce takes away what the emulators' form cannot say.
func reduce(d *namespace.Definition) {
	same := listenersOfAll(d)
	d.Subscription, d.ResourceGroup, d.Location, d.Tags = "", "", "", nil
	d.CreatedAt, d.UpdatedAt, d.MinimumTLSVersion = time.Time{}, time.Time{}, ""
	for _, list := range []*[]namespace.Entity{&d.HybridConnections, &d.WCFRelays} {
		*list = slices.DeleteFunc(*list, func(e namespace.Entity) bool { return e.Disabled })
		if len(*list) == 0 {
			*list = nil
		}
		for i := range *list {
			e := &(*list)[i]
			e.CreatedAt, e.UpdatedAt, e.ListenersMax = time.Time{}, time.Time{}, same
			e.HTTPResponseTimeout, e.HTTPBodyGap, e.HTTPDelivery = 0, 0, 0
		}
	}
}

func TestWriteErrors(t *testing.T) {
	entity := func(e namespace.Entity) []namespace.Definition {
		e.Name = "e"
		return []namespace.Definition{{Name: "a", HybridConnections: []namespace.Entity{{Name: "d"}, e}}}
	}
	year := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, defs := range map[string][]namespace.Definition{
		"namespaces[0].hybrid_connections[1]: want texts in UTF-8":   entity(namespace.Entity{UserMetadata: "\xff"}),
		"namespaces[0].hybrid_connections[1]: want years up to 9999": entity(namespace.Entity{UpdatedAt: year}),
		"namespaces[0]: want texts in UTF-8":                         {{Tags: map[string]string{"\xff": ""}}},
		"namespaces[0]: want years up to 9999":                       {{CreatedAt: year}},
	} {
		for name, to := range map[string]func(io.Writer, []namespace.Definition) error{
			"ours": WriteDefinitions, "emulator": WriteEmulator,
		} {
			var b bytes.Buffer
			if err := to(&b, defs); err == nil || err.Error() != want || b.Len() > 0 {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
			if err := to(failing{}, []namespace.Definition{{Name: "a"}}); !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestGoldens: what is written stays as it is, for people keep it in git.
func TestGoldens(t *testing.T) {
	for file, to := range map[string]func(io.Writer, []namespace.Definition) error{
		"everything.yaml": WriteDefinitions, "everything.json": WriteEmulator,
		"everything-masked.yaml": func(w io.Writer, defs []namespace.Definition) error {
			c := Default()
			c.Namespaces = defs
			return c.Print(w)
		},
	} {
		var b bytes.Buffer
		if err := to(&b, everythingDefinitions()); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if i := strings.Index(got, "\nnamespaces:"); i >= 0 {
			got = got[i+1:] // The settings are not of interest here.
		}
		file = filepath.Join("testdata", file)
		if *rewrite {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v: got\n%s\nwant\n%s", file, err, got, want)
		}
	}
}

// many are definitions with entities of two rules each.
func many(entities int) []namespace.Definition {
	d := namespace.Definition{Name: "contoso"}
	key := strings.Repeat("k", 43) + "="
	for i := range entities {
		d.HybridConnections = append(d.HybridConnections, namespace.Entity{
			Name: fmt.Sprintf("site-%d/api", i), RequiresClientAuthorization: true,
			UserMetadata: fmt.Sprintf(`{"site": %d}`, i),
			CreatedAt:    instant(time.May), UpdatedAt: instant(time.June),
			Rules: []namespace.Rule{
				{Name: "listen", Rights: sas.Listen, PrimaryKey: key, SecondaryKey: key},
				{Name: "send", Rights: sas.Send, PrimaryKey: key, SecondaryKey: key},
			},
		})
	}
	return []namespace.Definition{d}
}

// TestManyEntities: as many as Azure allows in a namespace.
func TestManyEntities(t *testing.T) {
	defs := many(10_000)
	for name, to := range map[string]func(io.Writer, []namespace.Definition) error{
		"ours": WriteDefinitions, "emulator": WriteEmulator,
	} {
		var b bytes.Buffer
		if err := to(&b, defs); err != nil {
			t.Fatal(err)
		}
		back, err := ReadDefinitions("FILE", b.Bytes())
		if name == "emulator" {
			reduce(&defs[0])
		}
		if err != nil || !reflect.DeepEqual(back, defs) {
			t.Errorf("%s: %v", name, err)
		}
		defs = many(10_000)
	}
}

func BenchmarkReadDefinitions(b *testing.B) {
	for _, entities := range []int{1000, 10_000} {
		forms := map[string]func(io.Writer, []namespace.Definition) error{
			"YAML": WriteDefinitions, "Config.json": WriteEmulator,
		}
		for _, name := range slices.Sorted(maps.Keys(forms)) {
			var text bytes.Buffer
			if err := forms[name](&text, many(entities)); err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/entities=%d", name, entities), func(b *testing.B) {
				b.SetBytes(int64(text.Len()))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ReadDefinitions("FILE", text.Bytes()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
