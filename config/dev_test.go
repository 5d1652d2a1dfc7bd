package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

func TestDevNamespaces(t *testing.T) {
	for _, tt := range []struct {
		given string // separated by blanks
		want  string // with a "*" where senders need a token
	}{
		{"", "authenticated* unauthenticated"},
		{"a b:anonymous", "authenticated* unauthenticated a* b"},
		{"authenticated:anonymous", "authenticated unauthenticated"},
		{"UnAuthenticated", "authenticated* UnAuthenticated*"},
		{"a a:anonymous", "authenticated* unauthenticated a"},
		{"a:anonymous A", "authenticated* unauthenticated A*"},
		{"x/y.z-0_1", "authenticated* unauthenticated x/y.z-0_1*"},
	} {
		defs, err := DevNamespaces(strings.Fields(tt.given))
		if err != nil || len(defs) != 1 {
			t.Fatalf("%q: %v, %d namespaces", tt.given, err, len(defs))
		}
		var got []string
		for _, e := range defs[0].HybridConnections {
			mark := ""
			if e.RequiresClientAuthorization {
				mark = "*"
			}
			got = append(got, e.Name+mark)
		}
		if all := strings.Join(got, " "); all != tt.want {
			t.Errorf("%q: %s, want %s", tt.given, all, tt.want)
		}
	}
}

// TestDevNamespaceIsOpen: every host, and one rule with all rights.
func TestDevNamespaceIsOpen(t *testing.T) {
	defs, err := DevNamespaces(nil)
	if err != nil {
		t.Fatal(err)
	}
	rules := defs[0].Rules
	if len(defs[0].Hosts) > 0 || len(rules) != 1 || rules[0].Name != "RootManageSharedAccessKey" ||
		rules[0].PrimaryKey != "SAS_KEY_VALUE" || rules[0].SecondaryKey != "SAS_SECONDARY_KEY_VALUE" ||
		rules[0].Rights != sas.Listen|sas.Send|sas.Manage {
		t.Errorf("%+v", defs[0])
	}
	snapshot, err := namespace.NewSnapshot(defs)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "127.0.0.1:8080", "contoso.servicebus.windows.net", "[::1]"} {
		ns := snapshot.Lookup(host)
		if e, _ := ns.Find("authenticated/x"); e == nil || e.Key() != "dev/authenticated" {
			t.Errorf("host %q: %+v", host, e)
		}
	}
}

func TestDevNamespacesErrors(t *testing.T) {
	for _, given := range []string{
		"", ":", "a:", ":anonymous", "a:public", "a:Anonymous", "a:anonymous:b", "a:anonymous ",
		"/a", "a/", "a//b", "a/../b", "a b", "a\x00", "ä", strings.Repeat("x", 261),
	} {
		defs, err := DevNamespaces([]string{"good", given})
		var wrong *Error
		if defs != nil || !errors.As(err, &wrong) || wrong.Path != "--hyco" ||
			strings.ContainsAny(wrong.Error(), "\n\x00") {
			t.Errorf("%q: %v, error %v", given, defs, err)
		}
	}
}
