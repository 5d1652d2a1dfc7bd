package management

import (
	"net/http"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		lines   []string
		current string
		want    bool
	}{
		{[]string{`"a"`}, `"a"`, true},
		{[]string{`"b", "a"`}, `"a"`, true},
		{[]string{`"b"`, ` "a" `}, `"a"`, true},
		{[]string{`*`}, `"a"`, true},
		{[]string{`*`}, ``, false},
		{[]string{``}, ``, false},
		{[]string{`a`}, `"a"`, false},
		{[]string{`W/"a"`}, `"a"`, false},
		{[]string{`"A"`}, `"a"`, false},
	} {
		if got := matches(test.lines, test.current); got != test.want {
			t.Errorf("%q, %q: %v", test.lines, test.current, got)
		}
	}
}

// Each kind of resource has an ETag that a change changes and that guards it.
func TestConditions(t *testing.T) {
	for _, test := range []struct{ path, body, other string }{
		{contoso, `{"location":"West US"}`, `{"location":"West US","tags":{"a":"b"}}`},
		{contoso + "/hybridConnections/h", `{}`, `{"properties":{"userMetadata":"x"}}`},
		{contoso + "/wcfRelays/w", `{}`, `{"properties":{"userMetadata":"x"}}`},
		{contoso + "/authorizationRules/r", `{"properties":{"rights":["Send"]}}`,
			`{"properties":{"rights":["Listen"]}}`},
		{contoso + "/networkRuleSets/default", `{}`, `{"properties":{"defaultAction":"Deny"}}`},
	} {
		f := newFixture(t)
		exists := test.path == contoso+"/networkRuleSets/default"
		if test.path != contoso {
			f.withContoso()
		}
		if !exists {
			w := f.want(412, http.MethodPut, at(test.path), test.body, "If-Match", "*")
			if codeOf(t, w) != codePrecondition {
				t.Errorf("%s", w.Body)
			}
			w = f.do(http.MethodPut, at(test.path), test.body, "If-None-Match", "*")
			if w.Code != 200 && w.Code != 201 {
				t.Fatalf("%s: %d %s", test.path, w.Code, w.Body)
			}
		}
		f.want(412, http.MethodPut, at(test.path), test.body, "If-None-Match", "*")
		first := f.want(200, http.MethodGet, at(test.path), "").Header().Get("ETag")
		if len(first) < 10 || first[0] != '"' {
			t.Errorf("%s: ETag %s", test.path, first)
		}
		w := f.want(200, http.MethodPut, at(test.path), test.other, "If-Match", first)
		second := w.Header().Get("ETag")
		if second == first {
			t.Errorf("%s: the same ETag after a change", test.path)
		}
		if got := f.do(http.MethodGet, at(test.path), "").Header().Get("ETag"); got != second {
			t.Errorf("%s: ETag %s of PUT, %s of GET", test.path, second, got)
		}
		f.want(412, http.MethodPut, at(test.path), test.body, "If-Match", first)
		f.want(200, http.MethodPut, at(test.path), test.other, "If-Match", `"x", `+second)
		if exists {
			continue
		}
		f.want(412, http.MethodDelete, at(test.path), "", "If-Match", first)
		f.want(200, http.MethodDelete, at(test.path), "", "If-Match", "*")
		f.want(204, http.MethodDelete, at(test.path), "", "If-Match", first)
	}
}

func TestConditionsOfKeys(t *testing.T) {
	f := newFixture(t).withContoso()
	const rule = contoso + "/authorizationRules/" + rootRule
	f.want(412, http.MethodPost, at(rule+"/regenerateKeys"), `{"keyType":"PrimaryKey"}`,
		"If-Match", `"x"`)
	f.want(412, http.MethodPatch, at(contoso), `{}`, "If-Match", `"x"`)
	if n := f.keys.Load(); f.store.Load().Namespace("contoso").Rules()[0].PrimaryKey != "KEY-1" {
		t.Errorf("the key has changed; %d were made", n)
	}
}
