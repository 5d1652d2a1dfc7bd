package management

import (
	"net/http"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

func TestNamespaceNames(t *testing.T) {
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPatch, at(contoso), `{"properties":{"hosts":["taken1.relay.test"]}}`)
	for _, test := range []struct{ name, reason string }{
		{"fabrikam", reasonNone},
		{"abcdef", reasonNone},
		{"a-1-b-2", reasonNone},
		{strings.Repeat("a", 50), reasonNone},
		{"Contoso", reasonInUse},
		{"taken1", reasonInUse},
		{"abcde", reasonInvalid},
		{strings.Repeat("a", 51), reasonInvalid},
		{"1abcde", reasonInvalid},
		{"-abcde", reasonInvalid},
		{"abcde-", reasonInvalid},
		{"abc.de", reasonInvalid},
		{"abc de", reasonInvalid},
		{"abcdeé", reasonInvalid},
		{"", reasonInvalid},
	} {
		w := f.want(200, http.MethodPost,
			at(sub+"/providers/Microsoft.Relay/checkNameAvailability"), `{"name":"`+test.name+`"}`)
		got := decode[nameView](t, w)
		if got.Reason != test.reason || got.NameAvailable != (test.reason == reasonNone) ||
			(got.Message == "") != (test.reason == reasonNone) {
			t.Errorf("%q: %+v", test.name, got)
		}
		path := provider + "/namespaces/" + segment(test.name)
		if test.reason != reasonInvalid || test.name == "" {
			continue
		}
		w = f.want(400, http.MethodPut, at(path), `{"location":"a"}`)
		if !strings.Contains(messageOf(t, w), textName) {
			t.Errorf("%s", w.Body)
		}
	}
	w := f.want(409, http.MethodPut, at(provider+"/namespaces/taken1"), `{"location":"a"}`)
	if codeOf(t, w) != codeConflict {
		t.Errorf("%s", w.Body)
	}
}

// A file may define what the API would not make; the API works with it.
func TestNamespaceOfFile(t *testing.T) {
	f := newFixture(t)
	s, err := namespace.NewSnapshot([]namespace.Definition{{
		Name: "dev",
		Rules: []namespace.Rule{{
			Name: rootRule, Rights: sas.Listen | sas.Send | sas.Manage, PrimaryKey: "KEY-FILE",
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.store.Swap(s)
	const other = "/subscriptions/Other/resourceGroups/My%20Group/providers/Microsoft.Relay"
	w := f.want(200, http.MethodGet, at(other+"/namespaces/DEV"), "")
	got := decode[namespaceView](t, w)
	if got.ID != other+"/namespaces/dev" || got.Location != defaultLocation ||
		got.Properties.MetricID != "Other:dev" || got.Properties.CreatedAt != "" ||
		got.SystemData != nil || got.Properties.Hosts != nil {
		t.Errorf("%s", w.Body)
	}
	w = f.want(200, http.MethodGet, at("/subscriptions/s/providers/Microsoft.Relay/namespaces"), "")
	if !strings.Contains(w.Body.String(), "/resourceGroups/default/") {
		t.Errorf("%s", w.Body)
	}
	w = f.want(200, http.MethodPost,
		at(other+"/namespaces/dev/authorizationRules/"+rootRule+"/listKeys"), "")
	if k := decode[keysView](t, w); k.SecondaryKey != "" || k.SecondaryConnectionString != "" ||
		k.PrimaryConnectionString !=
			"Endpoint=sb://dev:8443/;SharedAccessKeyName="+rootRule+";SharedAccessKey=KEY-FILE" {
		t.Errorf("%+v", k)
	}
	// A PUT leaves it in every subscription, wherever it comes from.
	f.want(200, http.MethodPut, at(other+"/namespaces/dev"), `{"location":"here"}`)
	f.want(200, http.MethodPut, at(provider+"/namespaces/dev"), `{"location":"there"}`)
	f.want(200, http.MethodGet, at(other+"/namespaces/dev"), "")
	f.want(200, http.MethodDelete, at(other+"/namespaces/dev"), "")
}

// One with labels is found below them only.
func TestLabels(t *testing.T) {
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h"), `{}`)
	const elsewhere = "/subscriptions/x/resourceGroups/Group-1/providers/Microsoft.Relay/namespaces"
	const otherGroup = sub + "/resourceGroups/other/providers/Microsoft.Relay/namespaces"
	for _, all := range []string{elsewhere, otherGroup} {
		one := all + "/contoso"
		for _, step := range []struct {
			status       int
			method, path string
			body, code   string
		}{
			{404, "GET", one, "", codeNotFound},
			{404, "PATCH", one, "{}", codeNotFound},
			{409, "PUT", one, `{"location":"West US"}`, codeConflict},
			{204, "DELETE", one, "", ""},
			{404, "GET", one + "/hybridConnections", "", codeParentNotFound},
			{404, "GET", one + "/hybridConnections/h", "", codeParentNotFound},
			{404, "GET", one + "/wcfRelays/h", "", codeParentNotFound},
			{404, "PUT", one + "/hybridConnections/h", "{}", codeParentNotFound},
			{404, "DELETE", one + "/hybridConnections/h", "", codeParentNotFound},
			{404, "GET", one + "/authorizationRules", "", codeParentNotFound},
			{404, "POST", one + "/authorizationRules/" + rootRule + "/listKeys", "",
				codeParentNotFound},
			{404, "GET", one + "/networkRuleSets/default", "", codeParentNotFound},
			{404, "GET", one + "/privateLinkResources", "", codeParentNotFound},
		} {
			w := f.want(step.status, step.method, at(step.path), step.body)
			if step.code != "" && codeOf(t, w) != step.code {
				t.Errorf("%s %s: %s", step.method, step.path, w.Body)
			}
		}
		w := f.want(200, http.MethodGet, at(all), "")
		if strings.Contains(w.Body.String(), "contoso") {
			t.Errorf("%s", w.Body)
		}
	}
	w := f.want(404, http.MethodGet, at(contoso+"/hybridConnections/x/authorizationRules"), "")
	if codeOf(t, w) != codeParentNotFound {
		t.Errorf("%s", w.Body)
	}
	// Letter case does not count, and the labels are answered as they were set.
	w = f.want(200, http.MethodGet, at(strings.ToUpper(contoso)), "")
	if got := decode[namespaceView](t, w).ID; got != contoso {
		t.Errorf("id %s", got)
	}
}

func TestLocation(t *testing.T) {
	f := newFixture(t).withContoso()
	w := f.want(409, http.MethodPut, at(contoso), `{"location":"East US"}`)
	if codeOf(t, w) != codeLocation {
		t.Errorf("%s", w.Body)
	}
	f.want(200, http.MethodPut, at(contoso), `{"location":"westus"}`)
}

// Without a domain, a namespace has no host name of its own.
func TestDomain(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Domain, o.Endpoint = "", nil }).withContoso()
	if hosts := f.store.Load().Namespace("contoso").Settings().Hosts; len(hosts) != 0 {
		t.Errorf("hosts %q", hosts)
	}
	w := f.want(200, http.MethodPut, at(contoso),
		`{"location":"West US","properties":{"hosts":["relay.example"]}}`)
	view := decode[namespaceView](t, w).Properties
	if len(view.Hosts) != 1 || view.ServiceBusEndpoint != "https://relay.example:443/" {
		t.Errorf("%+v", view)
	}
	w = f.want(200, http.MethodPost, at(contoso+"/authorizationRules/"+rootRule+"/listKeys"), "")
	k := decode[keysView](t, w)
	c, err := sas.ParseConnectionString(k.PrimaryConnectionString)
	if err != nil || c.Host != "relay.example" || c.Key != k.PrimaryKey {
		t.Errorf("%s: %v", k.PrimaryConnectionString, err)
	}
}

func TestJoinHost(t *testing.T) {
	for want, host := range map[string]string{
		"a.test:443": "a.test", "[::1]:443": "::1", "[::2]:443": "[::2]", "127.0.0.1:443": "127.0.0.1",
	} {
		if got := joinHost(host, 443); got != want {
			t.Errorf("%q: %s", host, got)
		}
	}
}

// Keys that nobody chose are as the service makes them.
func TestKeysAreRandom(t *testing.T) {
	f := newFixture(t)
	f.api.newKey = sas.NewKey
	f.withContoso()
	r := f.store.Load().Namespace("contoso").Rules()[0]
	if len(r.PrimaryKey) != 44 || len(r.SecondaryKey) != 44 || r.PrimaryKey == r.SecondaryKey {
		t.Error("not as they should be")
	}
	// A client may bring the key that the other one is.
	w := f.want(200, http.MethodPost, at(contoso+"/authorizationRules/"+rootRule+
		"/regenerateKeys"), `{"keyType":"PrimaryKey","key":"`+r.SecondaryKey+`"}`)
	if k := decode[keysView](t, w); k.PrimaryKey != r.SecondaryKey ||
		k.SecondaryKey != r.SecondaryKey {
		t.Error("another key")
	}
}
