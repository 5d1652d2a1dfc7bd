package namespace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

func apply(t *testing.T, s *Snapshot, changes ...Change) *Snapshot {
	t.Helper()
	next, err := s.Apply(now, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestApply: each change, what it leaves alone, and the times.
func TestApply(t *testing.T) {
	var none *Snapshot
	one := apply(t, none, PutNamespace(Definition{Name: "Ns", Location: "here"}),
		PutEntity("ns", Entity{Name: "B"}), PutEntity("NS", Entity{Name: "a/x"}),
		PutEntity("ns", Entity{Kind: KindWCFRelay, Name: "w", RelayType: RelayNetTCP}))
	if n := one.Namespace("NS"); n.Name() != "Ns" || n.Len() != 3 ||
		n.Entity(KindHybridConnection, "b").Name != "B" || n.Entity(KindWCFRelay, "b") != nil ||
		n.Entity(KindWCFRelay, "W") == nil || n.Settings().CreatedAt != now {
		t.Errorf("got %+v", n.Definition())
	}
	later := now.Add(time.Hour)
	two, err := one.Apply(later, PutEntity("ns", Entity{Name: "b", UserMetadata: "text"}))
	if err != nil {
		t.Fatal(err)
	}
	was, is := one.Namespace("ns"), two.Namespace("ns")
	e := is.Entity(KindHybridConnection, "B")
	if e.Name != "B" || e.CreatedAt != now || e.UpdatedAt != later || e.UserMetadata != "text" ||
		was.Entity(KindHybridConnection, "B").UserMetadata != "" ||
		is.Entity(KindHybridConnection, "a/x") != was.Entity(KindHybridConnection, "a/x") ||
		is.settings != was.settings {
		t.Errorf("got %+v", e)
	}
	three, err := two.Apply(later, PutNamespace(Definition{Name: "ns", Location: "there"}))
	if err != nil {
		t.Fatal(err)
	}
	d := three.Namespace("ns").Settings()
	if d.Name != "Ns" || d.Location != "there" || d.CreatedAt != now || d.UpdatedAt != later ||
		three.Namespace("ns").Len() != 3 {
		t.Errorf("got %+v", d)
	}
	four := apply(t, three, DeleteEntity("ns", KindHybridConnection, "A/X"))
	if four.Namespace("ns").Len() != 2 || three.Namespace("ns").Len() != 3 {
		t.Error("an entity is there that was deleted, or gone where it was not")
	}
	if five := apply(t, four, DeleteNamespace("nS")); len(five.Namespaces()) != 0 ||
		five.Namespace("ns") != nil || len(four.Namespaces()) != 1 {
		t.Error("a namespace is there that was deleted, or gone where it was not")
	}
}

func TestApplyErrors(t *testing.T) {
	s := newSnapshot(t, Definition{Name: "a", Hosts: []string{"h"},
		HybridConnections: entities("x"),
		WCFRelays:         []Entity{{Kind: KindWCFRelay, Name: "w", RelayType: RelayHTTP}}},
		Definition{Name: "b"})
	for _, c := range []struct {
		change Change
		want   string
	}{
		{DeleteNamespace("c"), `namespace "c": not found`},
		{DeleteEntity("c", 0, "x"), `namespace "c": not found`},
		{DeleteEntity("a", 0, "y"), `hybrid connection "y": not found`},
		{DeleteEntity("a", KindWCFRelay, "x"), `WCF relay "x": not found`},
		{PutEntity("c", Entity{Name: "x"}), `namespace "c": not found`},
		{PutEntity("a", Entity{Name: "W"}), `"W" is the name of a WCF relay: conflict`},
		{PutEntity("a", Entity{Kind: KindWCFRelay, Name: "x", RelayType: RelayHTTP}),
			`"x" is the name of a hybrid connection: conflict`},
		{PutEntity("a", Entity{Kind: KindWCFRelay, Name: "y"}),
			`relay_type: want NetTcp or Http, got ""`},
		{PutEntity("a", Entity{Name: "-"}), "name: want 1–260 letters"},
		{PutNamespace(Definition{Name: "b", Hosts: []string{"H"}}),
			`host name "H", of namespace a: conflict`},
		{PutNamespace(Definition{Name: "b", Tags: map[string]string{"": "x"}}), "tags: want"},
		{PutNamespace(Definition{Name: "b", MinimumTLSVersion: "1.1"}), "minimum_tls_version: want"},
		{PutNamespace(Definition{Name: "b", PublicNetworkAccess: "x"}), "public_network_access: want"},
		{PutNamespace(Definition{Name: "b", Network: NetworkRules{
			IPRules: []IPRule{{Mask: "10.0.0.0/33"}}}}), "network_rules.ip_rules[0].ip_mask: want"},
	} {
		next, err := s.Apply(now, PutEntity("a", Entity{Name: "new"}), c.change)
		if next != nil || err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		var field *FieldError
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) && !errors.As(err, &field) {
			t.Errorf("%v is none of the known errors", err)
		}
	}
	if s.Namespace("a").Len() != 2 {
		t.Error("a refused change changed something")
	}
}

// TestApplyIsNewSnapshot: whatever changes are made, one after the other or
// many at once, the result is what NewSnapshot makes of the same definitions,
// and no earlier snapshot changes.
func TestApplyIsNewSnapshot(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s *Snapshot
	for i := range 300 {
		before := fmt.Sprintf("%+v", definitions(s))
		var changes []Change
		for range 1 + random.IntN(8) {
			changes = append(changes, randomChange(random))
		}
		next := s
		for _, c := range changes {
			if after, err := next.Apply(now, c); err == nil {
				next = after
			} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
				t.Fatal(err)
			}
		}
		if again, err := s.Apply(now, changes...); err == nil &&
			!reflect.DeepEqual(definitions(again), definitions(next)) {
			t.Fatalf("%d: at once and one by one differ", i)
		}
		fresh, err := NewSnapshot(definitions(next))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(definitions(fresh), definitions(next)) {
			t.Fatalf("%d:\n%+v\n%+v", i, definitions(fresh), definitions(next))
		}
		for _, n := range next.Namespaces() {
			for _, e := range n.Entities(KindHybridConnection) {
				if found, rest := n.Find(e.Name); e.Serves() && (found != e || rest != "") {
					t.Fatalf("%d: %s finds %v", i, e.Name, found)
				}
			}
			if len(n.byName) != len(n.entities[0])+len(n.entities[1]) {
				t.Fatalf("%d: the index has %d names", i, len(n.byName))
			}
		}
		if after := fmt.Sprintf("%+v", definitions(s)); before != after {
			t.Fatalf("%d: a snapshot changed", i)
		}
		s = next
	}
}

func definitions(s *Snapshot) []Definition {
	var all []Definition
	for _, n := range s.Namespaces() {
		all = append(all, n.Definition())
	}
	return all
}

func randomChange(r *rand.Rand) Change {
	ns := []string{"a", "B", "c"}[r.IntN(3)]
	name := []string{"x", "X/y", "z", "w", "V"}[r.IntN(5)]
	k := Kind(r.IntN(2))
	switch r.IntN(8) {
	case 0:
		return DeleteNamespace(ns)
	case 1, 2:
		return PutNamespace(Definition{Name: ns, Location: name, Hosts: []string{ns + ".example"}})
	case 3, 4:
		return DeleteEntity(ns, k, name)
	}
	e := Entity{Kind: k, Name: name, UserMetadata: fmt.Sprint(r.IntN(10)), Disabled: r.IntN(4) == 0}
	if k == KindWCFRelay {
		e.RelayType = RelayHTTP
	}
	return PutEntity(ns, e)
}

// TestDisabled: an entity out of service is as if it were not there, but hides
// what is above it, and counts as removed.
func TestDisabled(t *testing.T) {
	on := newSnapshot(t, Definition{Name: "n", HybridConnections: entities("a", "a/b")})
	off := apply(t, on, PutEntity("n", Entity{Name: "a/b", Disabled: true}))
	n := off.Namespace("n")
	for _, path := range []string{"a/b", "a/b/c"} {
		if e, _ := n.Find(path); e != nil {
			t.Errorf("%s finds %s", path, e.Name)
		}
	}
	if e, _ := n.Find("a/c"); e == nil || n.Entity(KindHybridConnection, "a/b") == nil {
		t.Error("the others are gone too")
	}
	if got := on.Removed(off); !slices.Equal(got, []string{"n/a/b"}) || off.Removed(on) != nil {
		t.Errorf("removed %v", got)
	}
	wcf := apply(t, off, DeleteEntity("n", 0, "a/b"),
		PutEntity("n", Entity{Kind: KindWCFRelay, Name: "a/b", RelayType: RelayHTTP}))
	if e, _ := wcf.Namespace("n").Find("a/b"); e != nil {
		t.Error("a WCF relay serves as a hybrid connection")
	}
}

// TestResolve: a host that several namespaces share.
func TestResolve(t *testing.T) {
	rule := func(key string) []Rule {
		return []Rule{{Name: "root", Rights: sas.Listen | sas.Send | sas.Manage, PrimaryKey: key}}
	}
	s := newSnapshot(t,
		Definition{Name: "dev", Rules: rule("dev-key"), HybridConnections: entities("a", "both")},
		Definition{Name: "two", Rules: rule("two-key"), HybridConnections: entities("b", "both")},
		Definition{Name: "named", Hosts: []string{"named.example"}, HybridConnections: entities("a")})
	s = apply(t, s, PutEntity("two", Entity{Name: "open"}), PutEntity("two", Entity{Name: "gone"}),
		DeleteEntity("two", 0, "gone"))
	token := func(key string) string { return sas.Sign("http://localhost/both", "root", key, now) }
	for _, c := range []struct{ host, path, token, want string }{
		{"localhost:8443", "a", "", "dev"},
		{"localhost", "a/x", "", "dev"},
		{"localhost", "b", "", "two"},
		{"localhost", "b/x/y", "", "two"},
		{"localhost", "both", "", "dev"},
		{"localhost", "both", token("dev-key"), "dev"},
		{"localhost", "both", token("two-key"), "two"},
		{"localhost", "both/x", token("two-key"), "two"},
		{"localhost", "both", token("no-key"), "dev"},
		{"localhost", "both", "junk", "dev"},
		{"localhost", "both", strings.Repeat("x", sas.TokenMax+1), "dev"},
		{"localhost", "none", token("two-key"), "two"},
		{"localhost", "none", token("dev-key"), "dev"},
		{"localhost", "none", "", "dev"},
		{"localhost", "open", token("dev-key"), "two"},
		{"localhost", "gone", token("two-key"), "two"},
		{"localhost", "gone", "", "two"},
		{"two.servicebus.windows.net", "a", "", "two"},
		{"TWO.x:443", "a", "", "two"},
		{"dev.x", "b", "", "dev"},
		{"named.example", "b", "", "named"},
		{"named.other", "a", "", "dev"},
		{"", "b", "", "two"},
	} {
		if n := s.Resolve(c.host, c.path, c.token); n == nil || n.Name() != c.want {
			t.Errorf("%s %s: got %v, want %s", c.host, c.path, n, c.want)
		}
	}
	named := newSnapshot(t, Definition{Name: "x", Hosts: []string{"x"}},
		Definition{Name: "y", Hosts: []string{"y"}})
	if n := named.Resolve("z", "a", ""); n != nil {
		t.Errorf("got %s", n.Name())
	}
	var none *Snapshot
	if none.Resolve("h", "a", "") != nil {
		t.Error("the empty snapshot has a namespace")
	}
}

func TestAdmits(t *testing.T) {
	rules := func(masks ...string) (all []IPRule) {
		for _, mask := range masks {
			deny := strings.HasPrefix(mask, "!")
			r, ok := ParseIPRule(strings.TrimPrefix(mask, "!"))
			if !ok {
				t.Fatalf("cannot read %s", mask)
			}
			r.Deny = deny
			all = append(all, r)
		}
		return all
	}
	for _, c := range []struct {
		access PublicNetworkAccess
		deny   bool
		rules  []IPRule
		admits string
		not    string
	}{
		{"", false, nil, "10.0.0.1 ::1", ""},
		{AccessEnabled, true, nil, "", "10.0.0.1 ::1"},
		{AccessDisabled, false, rules("10.0.0.0/8"), "", "10.0.0.1"},
		{AccessSecuredByPerimeter, false, nil, "10.0.0.1", ""},
		{"", false, rules("10.0.0.0/8"), "10.0.0.1 11.0.0.1", ""},
		{"", true, rules("10.0.0.0/8", "192.0.2.1"), "10.255.0.1 192.0.2.1 ::ffff:10.1.1.1",
			"192.0.2.2 11.0.0.1 ::1"},
		{"", true, rules("!10.1.0.0/16", "10.0.0.0/8"), "10.2.0.1", "10.1.0.1"},
		{"", false, rules("!10.1.0.0/16"), "10.2.0.1", "10.1.0.1"},
		{"", true, rules("2001:db8::/32", "fe80::1"), "2001:db8::1 fe80::1%eth0", "2001:db9::1"},
		{"", true, rules("::ffff:10.0.0.0/104"), "10.0.0.1", "11.0.0.1"},
		{"", true, rules("0.0.0.0/0"), "10.0.0.1", "::1"},
	} {
		d := Definition{Name: "n", PublicNetworkAccess: c.access,
			Network: NetworkRules{DefaultDeny: c.deny, IPRules: c.rules}}
		n := newSnapshot(t, d).Namespace("n")
		for _, a := range strings.Fields(c.admits) {
			if !n.Admits(netip.MustParseAddr(a)) {
				t.Errorf("%+v refuses %s", d.Network, a)
			}
		}
		for _, a := range strings.Fields(c.not) {
			if n.Admits(netip.MustParseAddr(a)) {
				t.Errorf("%+v admits %s", d.Network, a)
			}
		}
	}
	for _, mask := range []string{"", "x", "10.0.0.1/33", "10.0.0/8", "fe80::1%eth0", "1.2.3.4/"} {
		if _, ok := ParseIPRule(mask); ok {
			t.Errorf("%q is taken", mask)
		}
	}
	var none *Namespace
	if !none.Admits(netip.Addr{}) {
		t.Error("an unknown namespace is no reason to refuse by address")
	}
}
