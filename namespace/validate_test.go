package namespace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

func goodRule() Rule { return Rule{Name: "r", Rights: sas.Send, PrimaryKey: "k"} }

func goodDefinition() Definition {
	return Definition{
		Name: "contoso-1", Hosts: []string{"contoso.example", "127.0.0.1", "::1"},
		Rules:             []Rule{goodRule()},
		HybridConnections: entities("a", "a/b"),
	}
}

func repeat(n int) string { return strings.Repeat("x", n) }

func changeRule(f func(r *Rule)) func(d *Definition) {
	return func(d *Definition) { f(&d.Rules[0]) }
}

func changeEntity(f func(e *Entity)) func(d *Definition) {
	return func(d *Definition) { f(&d.HybridConnections[1]) }
}

func changeHTTP(responseTimeout, bodyGap time.Duration, d Delivery) func(d *Definition) {
	return changeEntity(func(e *Entity) {
		e.HTTPResponseTimeout, e.HTTPBodyGap, e.HTTPDelivery = responseTimeout, bodyGap, d
	})
}

var validateCases = []struct {
	want   string // the error's path; empty if all is well
	change func(d *Definition)
}{
	{"", func(*Definition) {}},
	{"", func(d *Definition) { *d = Definition{Name: "n"} }},
	{"", func(d *Definition) { d.Name = repeat(50) }},
	{"name", func(d *Definition) { d.Name = "" }},
	{"name", func(d *Definition) { d.Name = repeat(51) }},
	{"name", func(d *Definition) { d.Name = "a.b" }},
	{"name", func(d *Definition) { d.Name = "-a" }},
	{"name", func(d *Definition) { d.Name = "a-" }},
	{"name", func(d *Definition) { d.Name = "ä" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "h:443" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "[::1]" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "http://h" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "h/x" }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = repeat(254) }},
	{"hosts[1]", func(d *Definition) { d.Hosts[1] = "Contoso.Example" }},

	{"", func(d *Definition) { d.Rules = rules(RulesMax) }},
	{"authorization_rules", func(d *Definition) { d.Rules = rules(RulesMax + 1) }},
	{"authorization_rules[1].name", func(d *Definition) {
		d.Rules = append(d.Rules, Rule{Name: "R", Rights: sas.Send, PrimaryKey: "k"})
	}},
	{"", changeRule(func(r *Rule) { r.Name = repeat(256) })},
	{"authorization_rules[0].name", changeRule(func(r *Rule) { r.Name = "" })},
	{"authorization_rules[0].name", changeRule(func(r *Rule) { r.Name = repeat(257) })},
	{"authorization_rules[0].name", changeRule(func(r *Rule) { r.Name = "a b" })},
	{"", changeRule(func(r *Rule) { r.Rights = sas.Listen | sas.Send | sas.Manage })},
	{"authorization_rules[0].rights", changeRule(func(r *Rule) { r.Rights = 0 })},
	{"authorization_rules[0].rights", changeRule(func(r *Rule) { r.Rights = 1 << 6 })},
	{"authorization_rules[0].rights", changeRule(func(r *Rule) { r.Rights = sas.Manage })},
	{"authorization_rules[0].rights", changeRule(func(r *Rule) { r.Rights = sas.Manage | sas.Send })},
	{"", changeRule(func(r *Rule) { r.PrimaryKey, r.SecondaryKey = repeat(256), repeat(256) })},
	{"authorization_rules[0].primary_key", changeRule(func(r *Rule) { r.PrimaryKey = "" })},
	{"authorization_rules[0].primary_key", changeRule(func(r *Rule) { r.PrimaryKey = repeat(257) })},
	{"authorization_rules[0].primary_key", changeRule(func(r *Rule) { r.PrimaryKey = "xxx;y" })},
	{"authorization_rules[0].secondary_key", changeRule(func(r *Rule) { r.SecondaryKey = "xxx\n" })},

	{"", changeEntity(func(e *Entity) { e.Name = repeat(260) })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = repeat(261) })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "/a" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "a/" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "a//b" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "a/../b" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "a b" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "$hc" })},
	{"hybrid_connections[1].name", changeEntity(func(e *Entity) { e.Name = "A" })},
	{"", changeEntity(func(e *Entity) { e.UserMetadata = strings.Repeat("ä", 1024) })},
	{"hybrid_connections[1].user_metadata",
		changeEntity(func(e *Entity) { e.UserMetadata = repeat(1025) })},
	{"", changeEntity(func(e *Entity) { e.ListenersMax = 10000 })},
	{"hybrid_connections[1].listeners_max", changeEntity(func(e *Entity) { e.ListenersMax = -1 })},
	{"hybrid_connections[1].listeners_max", changeEntity(func(e *Entity) { e.ListenersMax = 10001 })},
	{"", changeHTTP(Never, Never, DeliveryRendezvous)},
	{"", changeHTTP(HTTPTimeMin, HTTPTimeMax, DeliveryAuto)},
	{"hybrid_connections[1].http_response_timeout", changeHTTP(HTTPTimeMin-1, 0, 0)},
	{"hybrid_connections[1].http_response_timeout", changeHTTP(HTTPTimeMax+1, 0, 0)},
	{"hybrid_connections[1].http_response_timeout", changeHTTP(1, 0, 0)},
	{"hybrid_connections[1].http_response_timeout", changeHTTP(-time.Second, 0, 0)},
	{"hybrid_connections[1].http_body_gap", changeHTTP(0, HTTPTimeMin-1, 0)},
	{"hybrid_connections[1].http_body_gap", changeHTTP(0, HTTPTimeMax+1, 0)},
	{"hybrid_connections[1].http_body_gap", changeHTTP(0, Never-1, 0)},
	{"hybrid_connections[1].http_delivery", changeHTTP(0, 0, DeliveryRendezvous+1)},
	{"hybrid_connections[1].authorization_rules[0].rights",
		changeEntity(func(e *Entity) { e.Rules = []Rule{{Name: "r", PrimaryKey: "k"}} })},
}

// TestValidate breaks one thing at a time.
func TestValidate(t *testing.T) {
	for _, c := range validateCases {
		d := goodDefinition()
		c.change(&d)
		_, err := NewSnapshot([]Definition{d})
		if c.want == "" {
			if err != nil {
				t.Errorf("refused: %v", err)
			}
			continue
		}
		var field *FieldError
		if !errors.As(err, &field) || field.Path != "namespaces[0]."+c.want {
			t.Errorf("got %v, want an error at %s", err, c.want)
			continue
		}
		if text := err.Error(); strings.Contains(text, "xxx;") || strings.Contains(text, "\n") ||
			!strings.HasPrefix(text, field.Path+": want ") {
			t.Errorf("got %q", text)
		}
	}
}

func rules(n int) []Rule {
	var list []Rule
	for i := range n {
		r := goodRule()
		r.Name = fmt.Sprint("r", i)
		list = append(list, r)
	}
	return list
}

func TestValidateTogether(t *testing.T) {
	one, two := goodDefinition(), goodDefinition()
	two.Name, two.Hosts = "CONTOSO-1", []string{"other", "CONTOSO.example"}
	three := Definition{Name: "three"}
	err := Validate([]Definition{one, two, three})
	const want = `namespaces[1].name: want another name than namespaces[0].name, got "contoso-1"
namespaces[1].hosts[1]: want another name than namespaces[0].hosts[0], got "contoso.example"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if s, err := NewSnapshot([]Definition{three, three}); s != nil || err == nil {
		t.Errorf("got %v, %v", s, err)
	}
	if err := Validate(nil); err != nil {
		t.Error(err)
	}
}
