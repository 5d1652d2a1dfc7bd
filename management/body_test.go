package management

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
)

func TestParseObject(t *testing.T) {
	deep := func(n int) string {
		return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	for _, test := range []struct {
		text, want string // what the error has in it; "" for none
	}{
		{`{}`, ""},
		{" {\"a\": [1, {\"b\": null}], \"c\": true}\r\n", ""},
		{"\xEF\xBB\xBF{}", ""},
		{deep(depthMax - 1), ""},
		{deep(depthMax + 1), "levels"},
		{strings.Repeat("[", 100_000), "levels"},
		{``, "nothing"},
		{"\n", "nothing"},
		{`[]`, "got a list"},
		{`"x"`, "got a string"},
		{`null`, "got null"},
		{`1`, "got a number"},
		{`{} {}`, "nothing behind"},
		{`{}x`, "nothing behind"},
		{`{"a":1,"a":1}`, "'a' is given twice"},
		{`{"a":1,"A":1}`, "'A' is given twice"},
		{`{"x":{"a":1,"a":1}}`, "'a' is given twice"},
		{`{"x":[{"a":1,"a":1}]}`, "'a' is given twice"},
		{`{"a":1,}`, "no JSON"},
		{`{"a" 1}`, "no JSON"},
		{`{a:1}`, "no JSON"},
		{`{'a':1}`, "no JSON"},
		{`{"a":01}`, "no JSON"},
		{`{"a":NaN}`, "no JSON"},
		{`{"a":"`, "no JSON"},
		{`{"a":[1`, "no JSON"},
		{`{`, "no JSON"},
		{"{\"a\":\"\x01\"}", "no JSON"},
		{"{\"a\":\"\xff\"}", "UTF-8"},
		{"\x00", "no JSON"},
		{`{} // comment`, "nothing behind"},
	} {
		_, err := parseObject([]byte(test.text))
		if test.want == "" && err != nil ||
			test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%.40q: %v, want %q", test.text, err, test.want)
		}
	}
}

// A wrong value is refused with the name of its member and what is wanted.
func TestBodies(t *testing.T) {
	f := newFixture(t).withContoso()
	const hc, wcf = contoso + "/hybridConnections/h", contoso + "/wcfRelays/w"
	const rule, network = contoso + "/authorizationRules/r", contoso + "/networkRuleSets/default"
	const renew = contoso + "/authorizationRules/RootManageSharedAccessKey/regenerateKeys"
	const check = sub + "/providers/Microsoft.Relay/checkNameAvailability"
	masks := func(n int) string {
		return `{"properties":{"ipRules":[` +
			strings.TrimSuffix(strings.Repeat(`{"ipMask":"10.0.0.1"},`, n), ",") + `]}}`
	}
	for _, test := range []struct{ method, path, body, target, text string }{
		{"PUT", contoso, ``, "", "nothing"},
		{"PUT", contoso, `{}`, "location", "required"},
		{"PUT", contoso, `{"location":null}`, "location", "required"},
		{"PUT", contoso, `{"location":" "}`, "location", "required"},
		{"PUT", contoso, `{"location":7}`, "location", "want a string, got a number"},
		{"PUT", provider + "/namespaces/fabrikam", `{"location":"` + strings.Repeat("x", 91) + `"}`,
			"location", "0–90 bytes"},
		{"PUT", contoso, `{"location":"West US","tags":[]}`, "tags", "want an object, got a list"},
		{"PUT", contoso, `{"location":"West US","tags":{"a":1}}`, "tags.a", "want a string"},
		{"PUT", contoso, `{"location":"West US","tags":{"a":"1","A":"2"}}`, "", "given twice"},
		{"PUT", contoso, `{"location":"West US","tags":{"":"x"}}`, "tags", "1–512"},
		{"PUT", contoso, `{"location":"West US","sku":"Standard"}`, "sku", "want an object"},
		{"PUT", contoso, `{"location":"West US","sku":{}}`, "sku.name", "want Standard"},
		{"PUT", contoso, `{"location":"West US","sku":{"name":"Basic"}}`, "sku.name",
			"want Standard, got 'Basic'"},
		{"PUT", contoso, `{"location":"West US","sku":{"name":"Standard","tier":"Premium"}}`,
			"sku.tier", "want Standard"},
		{"PUT", contoso, `{"location":"West US","properties":3}`, "properties", "want an object"},
		{"PUT", contoso, `{"location":"West US","properties":{"publicNetworkAccess":"No"}}`,
			"properties.publicNetworkAccess", "want Enabled, Disabled or SecuredByPerimeter"},
		{"PUT", contoso, `{"location":"West US","properties":{"minimumTlsVersion":"1.1"}}`,
			"properties.minimumTlsVersion", "want 1.2 or 1.3"},
		{"PUT", contoso, `{"location":"West US","properties":{"clusterArmId":"/x/clusters/y"}}`,
			"properties.clusterArmId", "relayhouse"},
		{"PUT", contoso, `{"location":"West US","properties":{"privateEndpointConnections":[{}]}}`,
			"properties.privateEndpointConnections", "none"},
		{"PUT", contoso, `{"location":"West US","properties":{"hosts":["a:1"]}}`, "hosts[0]",
			"a host name"},
		{"PUT", contoso, `{"location":"West US","properties":{"hosts":"a"}}`, "properties.hosts",
			"want a list"},
		{"PUT", contoso, `{"location":"West US","properties":{"hosts":["a",1]}}`,
			"properties.hosts[1]", "want a string"},
		{"PATCH", contoso, `{"tags":"x"}`, "tags", "want an object"},
		{"PATCH", contoso, `{"sku":{"name":1}}`, "sku.name", "want a string"},

		{"PUT", hc, ``, "", "nothing"},
		{"PUT", hc, `{"properties":{"requiresClientAuthorization":"true"}}`,
			"properties.requiresClientAuthorization", "want true or false, got a string"},
		{"PUT", hc, `{"properties":{"requiresClientAuthorization":1}}`,
			"properties.requiresClientAuthorization", "want true or false, got a number"},
		{"PUT", hc, `{"properties":{"userMetadata":{}}}`, "properties.userMetadata",
			"want a string, got an object"},
		{"PUT", hc, `{"properties":{"userMetadata":"` + strings.Repeat("ä", 1025) + `"}}`,
			"userMetadata", "0–1024 characters"},
		{"PUT", hc, `{"properties":{"status":"Off"}}`, "properties.status", "Active or Disabled"},
		{"PUT", hc, `{"properties":{"listenersMax":"3"}}`, "properties.listenersMax",
			"want a whole number"},
		{"PUT", hc, `{"properties":{"listenersMax":3.5}}`, "properties.listenersMax",
			"want a whole number, got 3.5"},
		{"PUT", hc, `{"properties":{"listenersMax":1e99}}`, "properties.listenersMax",
			"want a whole number"},
		{"PUT", hc, `{"properties":{"listenersMax":-1}}`, "listenersMax", "0–10000"},
		{"PUT", hc, `{"properties":{"httpBodyGap":"soon"}}`, "properties.httpBodyGap",
			"want a time"},
		{"PUT", hc, `{"properties":{"httpBodyGap":"-1ns"}}`, "properties.httpBodyGap",
			"want a time"},
		{"PUT", hc, `{"properties":{"httpBodyGap":"25h"}}`, "httpBodyGap", "1s–24h"},
		{"PUT", hc, `{"properties":{"httpResponseTimeout":60}}`,
			"properties.httpResponseTimeout", "want a string"},
		{"PUT", hc, `{"properties":{"httpDelivery":"fast"}}`, "properties.httpDelivery",
			"auto or rendezvous"},
		{"PUT", contoso + "/hybridConnections/a%20b", `{}`, "name", "Entity segments can contain"},
		{"PUT", contoso + "/hybridConnections/a%2F%2Fb", `{}`, "name", "no segment that is empty"},
		{"PUT", contoso + "/hybridConnections/" + strings.Repeat("a", 261), `{}`, "name", "1–260"},
		{"PUT", wcf, `{"properties":{"relayType":"NetEvent"}}`, "properties.relayType",
			"want NetTcp or Http"},
		{"PUT", wcf, `{"properties":{"requiresTransportSecurity":null,"userMetadata":1}}`,
			"properties.userMetadata", "want a string"},

		{"PUT", rule, `{}`, "properties.rights", "want some of"},
		{"PUT", rule, `{"properties":{"rights":[]}}`, "properties.rights", "want some of"},
		{"PUT", rule, `{"properties":{"rights":null}}`, "properties.rights", "want some of"},
		{"PUT", rule, `{"properties":{"rights":"Send"}}`, "properties.rights", "want a list"},
		{"PUT", rule, `{"properties":{"rights":[1]}}`, "properties.rights[0]", "want a string"},
		{"PUT", rule, `{"properties":{"rights":["Write"]}}`, "properties.rights",
			"want Listen, Send or Manage, got 'Write'"},
		{"PUT", rule, `{"properties":{"rights":["Send","send"]}}`, "properties.rights", "twice"},
		{"PUT", rule, `{"properties":{"rights":["Manage","Send"]}}`, "properties.rights",
			"include Send and Listen"},
		{"PUT", contoso + "/authorizationRules/a!", `{"properties":{"rights":["Send"]}}`, "name",
			"1–256"},

		{"POST", renew, ``, "", "nothing"},
		{"POST", renew, `{}`, "keyType", "want PrimaryKey or SecondaryKey"},
		{"POST", renew, `{"policyKey":"PrimaryKey"}`, "keyType", "want PrimaryKey"},
		{"POST", renew, `{"keyType":"Both"}`, "keyType", "want PrimaryKey or SecondaryKey"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":""}`, "key", "1 to 256"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":"hidden;word"}`, "key", "1 to 256"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":"hidden word"}`, "key", "1 to 256"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":"hidden` + strings.Repeat("x", 256) + `"}`,
			"key", "1 to 256"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":7}`, "key", "want a string"},
		{"POST", renew, `{"keyType":"PrimaryKey","key":"hidden`, "", "no JSON at byte"},

		{"PUT", network, `{"properties":{"defaultAction":"Maybe"}}`, "properties.defaultAction",
			"want Allow or Deny"},
		{"PUT", network, `{"properties":{"ipRules":{}}}`, "properties.ipRules", "want a list"},
		{"PUT", network, `{"properties":{"ipRules":["10.0.0.1"]}}`, "properties.ipRules[0]",
			"want an object"},
		{"PUT", network, `{"properties":{"ipRules":[{}]}}`, "properties.ipRules[0].ipMask",
			"an address or a prefix"},
		{"PUT", network, `{"properties":{"ipRules":[{"ipMask":"10.0.0.1"},{"ipMask":"10.0.0.300"}]}}`,
			"properties.ipRules[1].ipMask", "got '10.0.0.300'"},
		{"PUT", network, `{"properties":{"ipRules":[{"ipMask":"10.0.0.1","action":"Ask"}]}}`,
			"properties.ipRules[0].action", "want Allow or Deny"},
		{"PUT", network, masks(129), "properties.ipRules", "at most 128"},
		{"PUT", network, `{"properties":{"trustedServiceAccessEnabled":"yes"}}`,
			"properties.trustedServiceAccessEnabled", "want true or false"},

		{"POST", check, `{}`, "name", "want a string"},
		{"POST", check, `{"name":true}`, "name", "want a string"},
	} {
		w := f.want(400, test.method, at(test.path), test.body)
		got := decode[struct{ Error errorBody }](t, w).Error
		if got.Code != codeBadRequest || got.Target != test.target ||
			!strings.Contains(got.Message, test.text) {
			t.Errorf("%s %s: %+v, want %q at %s", test.path, test.body, got, test.text, test.target)
		}
		if strings.Contains(got.Message, "hidden") {
			t.Errorf("a key in %q", got.Message)
		}
	}
	// What was refused has changed nothing.
	if n := f.store.Load().Namespace("contoso"); n.Len() != 0 || len(n.Rules()) != 1 {
		t.Errorf("%+v", n.Definition())
	}
	f.want(200, http.MethodPut, at(network), masks(128))
}

// What is allowed to be odd.
func TestBodiesThatPass(t *testing.T) {
	f := newFixture(t).withContoso()
	for _, test := range []struct{ method, path, body string }{
		{"PUT", contoso, `{"LOCATION":"WESTUS","Sku":{"Name":"standard","tier":null},` +
			`"id":7,"unknown":{"x":[1]},"properties":null,"tags":null}`},
		{"PUT", contoso + "/hybridConnections/h", `{"Properties":{"USERMETADATA":"x",` +
			`"listenerCount":99,"createdAt":"yesterday"},"kind":"none"}`},
		{"PUT", contoso + "/wcfRelays/w", `{"properties":{"relayType":"nettcp"}}`},
		{"PUT", contoso + "/authorizationRules/r",
			`{"properties":{"rights":["MANAGE","listen","Send"]}}`},
		{"PUT", contoso, `{"location":"West US","properties":{"privateEndpointConnections":[],` +
			`"clusterArmId":"` + provider + `/clusters/Relayhouse"}}`},
	} {
		f.want(200, test.method, at(test.path), test.body)
	}
	e := f.store.Load().Namespace("contoso").Entity(namespace.KindWCFRelay, "w")
	if e.RelayType != namespace.RelayNetTCP {
		t.Errorf("relay type %s", e.RelayType)
	}
}

func TestBodySize(t *testing.T) {
	f := newFixture(t).withContoso()
	body := func(n int) string {
		const frame = `{"x":""}`
		return fmt.Sprintf(`{"x":"%s"}`, strings.Repeat("y", n-len(frame)))
	}
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h"), body(bodyBytesMax))
	w := f.want(413, http.MethodPut, at(contoso+"/hybridConnections/h"), body(bodyBytesMax+1))
	if codeOf(t, w) != codeTooLarge {
		t.Errorf("%s", w.Body)
	}
}

func TestContentTypes(t *testing.T) {
	f := newFixture(t).withContoso()
	for kind, status := range map[string]int{
		"":                                  200,
		"application/json":                  200,
		"Application/JSON; charset=UTF-8":   200,
		"text/json":                         200,
		"application/merge-patch+json":      200,
		"application/json; charset=utf-16":  415,
		"application/x-www-form-urlencoded": 415,
		"text/plain":                        415,
		"json":                              415,
		"application/json; charset":         415,
	} {
		w := f.want(status, http.MethodPut, at(contoso+"/hybridConnections/h"), `{}`,
			"Content-Type", kind)
		if status == 415 && codeOf(t, w) != codeUnsupportedMedia {
			t.Errorf("%s", w.Body)
		}
	}
}

// A member that is of Azure and absent gets its default, one of ours stays, and
// what the version does not know stays.
func TestPutKeepsAndResets(t *testing.T) {
	f := newFixture(t).withContoso()
	const hc = contoso + "/hybridConnections/h"
	f.want(200, http.MethodPut, at(hc), `{"properties":{"requiresClientAuthorization":false,`+
		`"userMetadata":"x","status":"Disabled","listenersMax":5,"httpResponseTimeout":"5s",`+
		`"httpBodyGap":"never","httpDelivery":"rendezvous"}}`)
	f.want(200, http.MethodPut, at(hc), `{}`)
	e := f.store.Load().Namespace("contoso").Entity(namespace.KindHybridConnection, "h")
	if !e.RequiresClientAuthorization || e.UserMetadata != "" || !e.Disabled ||
		e.ListenersMax != 5 || e.HTTPResponseTimeout.String() != "5s" ||
		e.HTTPBodyGap != namespace.Never || e.HTTPDelivery != namespace.DeliveryRendezvous {
		t.Errorf("%+v", e)
	}
	f.want(200, http.MethodPut, at(hc), `{"properties":{"status":"Active","listenersMax":0,`+
		`"httpResponseTimeout":"default","httpBodyGap":"default","httpDelivery":"auto"}}`)
	e = f.store.Load().Namespace("contoso").Entity(namespace.KindHybridConnection, "h")
	if e.Disabled || e.ListenersMax != 0 || e.HTTPResponseTimeout != 0 || e.HTTPBodyGap != 0 ||
		e.HTTPDelivery != namespace.DeliveryAuto {
		t.Errorf("%+v", e)
	}

	f.want(200, http.MethodPut, at(contoso), `{"location":"West US","tags":{"a":"b"},`+
		`"properties":{"publicNetworkAccess":"Disabled","minimumTlsVersion":"1.3",`+
		`"hosts":["a.test","b.test"]}}`)
	settings := func() namespace.Definition { return f.store.Load().Namespace("contoso").Settings() }
	f.want(200, http.MethodPut, contoso+"?api-version=2017-04-01", `{"location":"West US"}`)
	if d := settings(); len(d.Tags) != 0 || d.PublicNetworkAccess != namespace.AccessDisabled ||
		d.MinimumTLSVersion != "1.3" || len(d.Hosts) != 2 {
		t.Errorf("%+v", d)
	}
	f.want(200, http.MethodPut, contoso+"?api-version=2024-01-01", `{"location":"West US"}`)
	if d := settings(); d.PublicNetworkAccess != "" || d.MinimumTLSVersion != "1.3" {
		t.Errorf("%+v", d)
	}
	f.want(200, http.MethodPatch, at(contoso), `{"properties":{"publicNetworkAccess":"disabled"}}`)
	f.want(200, http.MethodPatch, at(contoso), `{"tags":{"a":"b"}}`)
	if d := settings(); d.PublicNetworkAccess != namespace.AccessDisabled || d.Tags["a"] != "b" {
		t.Errorf("%+v", d)
	}
	w := f.want(200, http.MethodGet, at(contoso+"/networkRuleSets/default"), "")
	if got := decode[networkView](t, w).Properties.PublicNetworkAccess; got != "Disabled" {
		t.Errorf("publicNetworkAccess of the rule set: %s", got)
	}
	f.want(200, http.MethodPut, at(contoso+"/networkRuleSets/default"), `{}`)
	if d := settings(); d.PublicNetworkAccess != namespace.AccessDisabled {
		t.Errorf("%+v", d)
	}
}
