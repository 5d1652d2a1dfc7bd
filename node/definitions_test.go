package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestDefinitionsFollowTheirFile: what store.definitions says is in force soon,
// whole or not at all, and what it does not name any more is closed.
func TestDefinitionsFollowTheirFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "namespaces.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	const rule = "    authorization_rules:\n      - {name: root, rights: [Listen], primary_key: k}\n"
	entities := func(list string) string {
		return "namespaces:\n  - name: n\n" + rule + "    hybrid_connections: [" + list + "]\n"
	}
	const anonymous = ", requires_client_authorization: false}"
	write(entities("{name: one" + anonymous))
	n := relaytest.Start(t, func(c *config.Config) {
		c.Namespaces, c.Store.Definitions = nil, file
	})
	answers := func(path string, status int) {
		t.Helper()
		relaytest.Eventually(t, "the answer for "+path, func() bool {
			return n.Connect(t, relaytest.Dial{Path: path}).Refused(t).Status == status
		})
	}
	answers("one", 404) // no listener
	answers("two", 401)
	write(entities("{name: two" + anonymous))
	answers("two", 404)
	answers("never", 401)
	write("namespaces:\n  - name: n\n    hybrid_connections: [{name: -}]\n")
	write(entities("{name: three" + anonymous + ", {name: -}"))
	answers("two", 404)
	write(entities("{name: three" + anonymous))
	answers("three", 404)
}
