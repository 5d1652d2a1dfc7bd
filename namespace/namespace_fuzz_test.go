package namespace

import (
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/sas"
)

// FuzzFind compares Find with the rule of docs/protocol.md, section 1.5,
// applied to every entity.
func FuzzFind(f *testing.F) {
	n := newSnapshot(f, Definition{
		Name:              "n",
		HybridConnections: entities("a", "a/b", "a/b/c/d", "B", "hyco"),
	}).Lookup("")
	for _, seed := range []string{"a", "A/B/", "a/b/c", "hyco2", "//a", "", "b\x00", "a/\u212a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		var want *Entity
		for _, e := range n.Entities(KindHybridConnection) {
			if strings.HasPrefix(lower(path)+"/", lower(e.Name)+"/") &&
				(want == nil || len(e.Name) > len(want.Name)) {
				want = e
			}
		}
		got, suffix := n.Find(path)
		if got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
		if got != nil && lower(path) != lower(got.Name+suffix) || got == nil && suffix != "" {
			t.Fatalf("%v with suffix %q", got, suffix)
		}
	})
}

// FuzzAuthorize presents any token: whatever it holds, it opens nothing and
// nothing of it is kept.
func FuzzAuthorize(f *testing.F) {
	snap := newSnapshot(f, testDefinition())
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 100})
	f.Add("hyco", sas.Sign("http://"+host, "root", "wrong", now))
	f.Add("sibling", sas.Sign("http://"+host+"/sibling", "own", "wrong", now))
	f.Add("x", "SharedAccessSignature sr=%&sig=&se=1&skn=root")
	f.Add("open", "SharedAccessSignature skn=shared&se=99999999999&sr=h&sig=AAAA")
	f.Fuzz(func(t *testing.T, path, token string) {
		n := snap.Lookup(host)
		e, _ := n.Find(path)
		if grant, err := a.Authorize(n, path, e, token, sas.Listen, now); code(err) == "" ||
			grant != (Grant{}) {
			t.Fatalf("got %v, %v", grant, err)
		}
		if a.cache.size() != 0 {
			t.Fatal("a token without a good signature is cached")
		}
	})
}
