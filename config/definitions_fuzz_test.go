package config

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
)

// FuzzDefinitions: any document gives definitions or errors, each one line with
// a place. Definitions are valid, and what is written of them reads back.
func FuzzDefinitions(f *testing.F) {
	for _, text := range []string{
		everything, serviceBusForm, eventHubsForm, "namespaces: []", "UserConfig: {namespaces: []}",
		"namespaces: [{name: a, tags: {? b : c, d: }, network_rules: {ip_rules: [{ip_mask: 1.2.3.4}]}}]",
		"namespaces:\n- name: a\n  wcf_relays: [{name: \"\\u0062\", relay_type: HTTP, disabled: true}]",
		`{"userconfig": {"NAMESPACES": [{"name": "a", "quotas": {"listenersPerEntity": 1}}]}}`,
		"namespaces:\n- name: |\n    a\n  location: >-\n    b\n    c\n",
		"a: &x [*x]\n--- !t\n<<: d", "[[[[{{{{", "? ? - - : :", "\xff\xfe\x00a", "%YAML 1.1\n---\n",
	} {
		f.Add([]byte(text))
	}
	for _, name := range []string{"everything.yaml", "everything.json"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defs, err := ReadDefinitions("FILE", text)
		checkErrors(t, err)
		if err != nil {
			return
		}
		if err := namespace.Validate(defs); err != nil {
			t.Fatalf("not valid: %v", err)
		}
		var b bytes.Buffer
		if err := WriteDefinitions(&b, defs); err != nil {
			t.Fatal(err)
		}
		back, err := ReadDefinitions("FILE", b.Bytes())
		if err != nil || !reflect.DeepEqual(back, defs) {
			t.Errorf("%v: written\n%s\nreads as\n%+v\nwant\n%+v", err, b.String(), back, defs)
		}
		b.Reset()
		if err := WriteEmulator(&b, defs); err != nil {
			t.Fatal(err)
		}
		if _, err = ReadDefinitions("FILE", b.Bytes()); err != nil {
			t.Errorf("%v: written\n%s", err, b.String())
		}
	})
}
