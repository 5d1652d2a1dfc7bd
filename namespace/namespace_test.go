package namespace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

func newSnapshot(t testing.TB, defs ...Definition) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(defs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func entities(names ...string) []Entity {
	var list []Entity
	for _, name := range names {
		list = append(list, Entity{Name: name, RequiresClientAuthorization: true})
	}
	return list
}

func TestFind(t *testing.T) {
	long := "l" + strings.Repeat("/x", (EntityNameMax-1)/2) + "y" // EntityNameMax bytes
	n := newSnapshot(t, Definition{
		Name:              "ns",
		HybridConnections: entities("a", "a/b", "A/B/c/D", "hyco", "hyco2", "x.y-z_0", long),
	}).Namespaces()[0]
	for _, c := range []struct{ path, entity, suffix string }{
		{"a", "a", ""},
		{"A", "a", ""},
		{"a/", "a", "/"},
		{"a/c", "a", "/c"},
		{"a//b", "a", "//b"},
		{"a/b", "a/b", ""},
		{"a/B/c", "a/b", "/c"},
		{"a/b/C/d/e", "A/B/c/D", "/e"},
		{"a/bc", "a", "/bc"},
		{"a/../hyco", "a", "/../hyco"},
		{"hyco", "hyco", ""},
		{"hyco2/x", "hyco2", "/x"},
		{"X.Y-Z_0", "x.y-z_0", ""},
		{long, long, ""},
		{long + "/suffix", long, "/suffix"},
		{strings.ToUpper(long) + "/", long, "/"},
		{"a/" + strings.Repeat("/", 30000), "a", "/" + strings.Repeat("/", 30000)},
		{"a\x00", "", ""},
		{"a/\x00\xff", "a", "/\x00\xff"},

		{"", "", ""},
		{"/", "", ""},
		{"/a", "", ""},
		{"hyc", "", ""},
		{"hyco3", "", ""},
		{"hyco/"[:4] + "x", "", ""},
		{"a%2Fb", "", ""},
		{"x", "", ""},
		{"\u212ayco", "", ""},
		{long + "x", "", ""},
		{strings.Repeat("x", 30000), "", ""},
		{strings.Repeat("x/", 15000), "", ""},
	} {
		e, suffix := n.Find(c.path)
		got := ""
		if e != nil {
			got = e.Name
		}
		if got != c.entity || suffix != c.suffix {
			t.Errorf("%.40q: got %.40q %.40q, want %.40q %.40q",
				c.path, got, suffix, c.entity, c.suffix)
		}
	}
	var none *Namespace
	if e, _ := none.Find("a"); e != nil {
		t.Error("the nil namespace has an entity")
	}
	if e, _ := newSnapshot(t, Definition{Name: "n"}).Lookup("h").Find("a"); e != nil {
		t.Error("an empty namespace has an entity")
	}
}

func TestLookup(t *testing.T) {
	many := newSnapshot(t,
		Definition{Name: "one", Hosts: []string{"One.example", "127.0.0.1"}},
		Definition{Name: "two", Hosts: []string{"two.example", "::1"}})
	for host, want := range map[string]string{
		"one.example": "one", "ONE.EXAMPLE:443": "one", "one.example.": "one", "127.0.0.1:1": "one",
		"two.example": "two", "[::1]:8443": "two", "[::1]": "two",
		"": "", ":443": "", "example": "", "three.example": "", "two.example.evil": "",
		strings.Repeat("x", 300): "", "two.example\x00": "",
	} {
		got := ""
		if n := many.Lookup(host); n != nil {
			got = n.Name()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
	for _, hosts := range [][]string{nil, {"one.example"}} {
		single := newSnapshot(t, Definition{Name: "one", Hosts: hosts})
		for _, host := range []string{"one.example", "anything", ""} {
			if n := single.Lookup(host); n == nil || n.Name() != "one" {
				t.Errorf("%v, %s: got %v", hosts, host, n)
			}
		}
	}
	var none *Snapshot
	if none.Lookup("h") != nil || newSnapshot(t).Lookup("h") != nil {
		t.Error("an empty snapshot has a namespace")
	}
	if h := many.Namespaces()[0].Host(); h != "One.example" {
		t.Errorf("host is %s", h)
	}
	if h := newSnapshot(t, Definition{Name: "n"}).Namespaces()[0].Host(); h != "n" {
		t.Errorf("host is %s", h)
	}
}

func TestSnapshotIsACopy(t *testing.T) {
	d := Definition{
		Name: "Ns", Hosts: []string{"h"},
		Rules:             []Rule{{Name: "r", Rights: sas.Send, PrimaryKey: "k"}},
		HybridConnections: entities("A/b"),
	}
	d.HybridConnections[0].Rules = slices.Clone(d.Rules)
	n := newSnapshot(t, d).Namespaces()[0]
	d.Hosts[0], d.Rules[0].Name = "x", "x"
	d.HybridConnections[0].Rules[0].Name, d.HybridConnections[0].Name = "x", "x"
	e, _ := n.Find("a/b")
	if e == nil || e.Rules[0].Name != "r" || n.Rules()[0].Name != "r" || !n.HasHost("h") {
		t.Errorf("got %+v", n)
	}
	if e.Key() != "ns/a/b" || e.Name != "A/b" || len(n.Entities(KindHybridConnection)) != 1 {
		t.Errorf("key %s, name %s", e.Key(), e.Name)
	}
}

func TestStore(t *testing.T) {
	var store Store
	one := newSnapshot(t, Definition{Name: "n", HybridConnections: entities("a", "B", "c")})
	two := newSnapshot(t, Definition{Name: "N", HybridConnections: entities("b", "d")})
	var got []string
	store.OnChange(func(previous, next *Snapshot) {
		got = append(got, fmt.Sprint("first", previous.Removed(next)))
	})
	store.OnChange(func(_, next *Snapshot) {
		got = append(got, fmt.Sprint("second ", next == store.Load()))
	})
	for _, next := range []*Snapshot{one, two, nil} {
		store.Swap(next)
	}
	want := []string{
		"first[]", "second true",
		"first[n/a n/c]", "second true",
		"first[n/b n/d]", "second true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestSwapOfHTTPSettings: who asks the store next finds the new settings, and
// no entity is removed, so that listeners stay.
func TestSwapOfHTTPSettings(t *testing.T) {
	var store Store
	d := Definition{Name: "n", HybridConnections: entities("a", "b")}
	store.Swap(newSnapshot(t, d))
	var removed [][]string
	store.OnChange(func(previous, next *Snapshot) {
		removed = append(removed, previous.Removed(next))
	})
	before, _ := store.Load().Lookup("").Find("a/x")
	for i, change := range []Entity{
		{HTTPResponseTimeout: 5 * time.Second},
		{HTTPResponseTimeout: Never, HTTPBodyGap: time.Minute},
		{HTTPBodyGap: Never, HTTPDelivery: DeliveryRendezvous},
		{},
	} {
		change.Name, change.RequiresClientAuthorization = "a", true
		d.HybridConnections[0] = change
		store.Swap(newSnapshot(t, d))
		e, _ := store.Load().Lookup("").Find("a/x")
		if e.HTTPResponseTimeout != change.HTTPResponseTimeout ||
			e.HTTPBodyGap != change.HTTPBodyGap || e.HTTPDelivery != change.HTTPDelivery {
			t.Errorf("change %d: got %+v", i, e)
		}
		if e.Key() != before.Key() || len(removed[i]) != 0 {
			t.Errorf("change %d: key %s, was %s; removed %v", i, e.Key(), before.Key(), removed[i])
		}
	}
	if before.HTTPResponseTimeout != 0 || before.HTTPDelivery != DeliveryAuto {
		t.Errorf("a snapshot changed: %+v", before)
	}
}

func TestDeliveryNames(t *testing.T) {
	for d, want := range map[Delivery]string{
		DeliveryAuto: "auto", DeliveryRendezvous: "rendezvous", 2: "unknown",
	} {
		if d.String() != want {
			t.Errorf("%d is %s, want %s", d, d, want)
		}
	}
}

func TestRuleHidesItsKeys(t *testing.T) {
	d := Definition{Rules: []Rule{
		{Name: "r", Rights: sas.Send, PrimaryKey: "secret", SecondaryKey: "secret"},
	}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, d); strings.Contains(text, "secret") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
