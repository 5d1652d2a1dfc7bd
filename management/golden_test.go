package management

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files; read the difference")

// scenario is every operation of the table in docs/protocol.md, section 13.1,
// in an order that makes sense.
func scenario() []struct{ method, path, body string } {
	const hc, wcf = contoso + "/hybridConnections", contoso + "/wcfRelays"
	steps := []struct{ method, path, body string }{
		{"GET", "/providers/Microsoft.Relay/operations", ""},
		{"POST", sub + "/providers/Microsoft.Relay/checkNameAvailability", `{"name":"contoso"}`},
		{"PUT", contoso, `{"location":"West US","tags":{"env":"test"},"sku":{"name":"Standard",` +
			`"tier":"Standard"},"properties":{"publicNetworkAccess":"Enabled"}}`},
		{"PUT", contoso, `{"location":"westus","tags":{"env":"more"}}`},
		{"POST", sub + "/providers/Microsoft.Relay/checkNameAvailability", `{"name":"Contoso"}`},
		{"GET", contoso, ""},
		{"PATCH", contoso, `{"tags":{"a":"1"},"sku":{"name":"Standard"}}`},
		{"GET", provider + "/namespaces", ""},
		{"GET", sub + "/providers/Microsoft.Relay/namespaces", ""},
		{"GET", provider + "/namespaces/absent", ""},
		{"DELETE", provider + "/namespaces/absent", ""},
		{"PUT", hc + "/api", `{"properties":{"requiresClientAuthorization":false,` +
			`"userMetadata":"team <a> & b"}}`},
		{"PUT", hc + "/site-a%2Fapi", `{"properties":{"listenersMax":3,"status":"Disabled",` +
			`"httpResponseTimeout":"90s","httpBodyGap":"never","httpDelivery":"rendezvous"}}`},
		{"PUT", hc + "/API", `{}`},
		{"GET", hc, ""},
		{"GET", hc + "/site-a%2fAPI", ""},
		{"GET", hc + "/absent", ""},
		{"DELETE", hc + "/absent", ""},
		{"PUT", wcf + "/echo", `{"properties":{"relayType":"Http"}}`},
		{"PUT", wcf + "/echo", `{"properties":{"requiresTransportSecurity":false}}`},
		{"PUT", wcf + "/api", `{"properties":{"relayType":"NetTcp"}}`},
		{"GET", wcf, ""},
		{"GET", wcf + "/echo", ""},
		{"GET", wcf + "/absent", ""},
	}
	for _, of := range []string{contoso, hc + "/site-a%2Fapi", wcf + "/echo"} {
		rules := of + "/authorizationRules"
		steps = append(steps, []struct{ method, path, body string }{
			{"PUT", rules + "/send", `{"properties":{"rights":["Send"]}}`},
			{"PUT", rules + "/SEND", `{"properties":{"rights":["send","Listen"]}}`},
			{"GET", rules, ""},
			{"POST", rules, ""},
			{"GET", rules + "/send", ""},
			{"POST", rules + "/send", ""},
			{"GET", rules + "/absent", ""},
			{"POST", rules + "/send/listKeys", ""},
			{"POST", rules + "/send/regenerateKeys", `{"keyType":"PrimaryKey"}`},
			{"POST", rules + "/send/regenerateKeys", `{"keyType":"SecondaryKey","key":"mine"}`},
			{"POST", rules + "/send/regenerateKeys", `{"policyKey":"PrimaryKey"}`},
			{"POST", rules + "/absent/listKeys", ""},
			{"DELETE", rules + "/send", ""},
			{"DELETE", rules + "/send", ""},
		}...)
	}
	const cluster = provider + "/clusters/relayhouse"
	return append(steps, []struct{ method, path, body string }{
		{"GET", contoso + "/networkRuleSets/default", ""},
		{"PUT", contoso + "/networkrulesets/DEFAULT", `{"properties":{"defaultAction":"Deny",` +
			`"publicNetworkAccess":"Disabled","trustedServiceAccessEnabled":true,"ipRules":[` +
			`{"ipMask":"10.0.0.0/8","action":"Allow"},{"ipMask":"2001:db8::1"}]}}`},
		{"GET", contoso, ""},
		{"GET", contoso + "/privateEndpointConnections", ""},
		{"GET", contoso + "/privateEndpointConnections/one", ""},
		{"PUT", contoso + "/privateEndpointConnections/one", `{}`},
		{"DELETE", contoso + "/privateEndpointConnections/one", ""},
		{"GET", contoso + "/privateLinkResources", ""},
		{"GET", contoso + "/privateLinkResources/namespace", ""},
		{"GET", sub + "/providers/Microsoft.Relay/availableClusterRegions", ""},
		{"GET", sub + "/providers/Microsoft.Relay/clusters", ""},
		{"GET", provider + "/clusters", ""},
		{"GET", cluster, ""},
		{"PUT", cluster, `{}`},
		{"GET", cluster + "/namespaces", ""},
		{"GET", cluster + "/skus", ""},
		{"GET", provider + "/clusters/other", ""},
		{"DELETE", hc + "/api", ""},
		{"DELETE", wcf + "/echo", ""},
		{"DELETE", wcf + "/echo", ""},
		{"GET", provider + "/namespaces/absent/hybridConnections", ""},
		{"DELETE", contoso, ""},
		{"DELETE", contoso, ""},
	}...)
}

var times = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"`)

// TestOperations compares every operation in every version with testdata.
func TestOperations(t *testing.T) {
	for v := v20160701; v < versionsEnd; v++ {
		t.Run(v.String(), func(t *testing.T) {
			f := newFixture(t)
			f.api.o.Listeners = func(string) int { return 2 }
			var b bytes.Buffer
			for _, step := range scenario() {
				w := f.do(step.method, step.path+"?api-version="+v.String(), step.body)
				fmt.Fprintf(&b, "%s %s %s\n%d", step.method,
					strings.TrimPrefix(step.path, group), step.body, w.Code)
				if allow := w.Header().Get("Allow"); allow != "" {
					fmt.Fprintf(&b, " Allow: %s", allow)
				}
				b.WriteByte('\n')
				if w.Body.Len() > 0 {
					var indented bytes.Buffer
					if err := json.Indent(&indented, w.Body.Bytes(), "", "  "); err != nil {
						t.Fatalf("%s %s: %v", step.method, step.path, err)
					}
					b.Write(times.ReplaceAll(indented.Bytes(), []byte(`"TIME"`)))
				}
				b.WriteByte('\n')
			}
			compare(t, filepath.Join("testdata", v.String()+".txt"), b.Bytes())
		})
	}
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // public
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i, line := range gotLines {
			if i >= len(wantLines) || line != wantLines[i] {
				t.Fatalf("%s differs in line %d: %s\n%s", file, i+1, line,
					"go test -run TestOperations -rewrite writes it anew")
			}
		}
		t.Fatalf("%s is longer than what was answered", file)
	}
}

// TestAnswersForClients checks the statuses that the clients of the service
// take for success. Source: docs/protocol.md, section 13.2.
func TestAnswersForClients(t *testing.T) {
	f := newFixture(t)
	const rule = contoso + "/authorizationRules/r"
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPut, contoso, `{"location":"a"}`, 201},
		{http.MethodPut, contoso, `{"location":"a"}`, 200},
		{http.MethodPut, rule, `{"properties":{"rights":["Listen"]}}`, 200},
		{http.MethodPut, rule, `{"properties":{"rights":["Listen"]}}`, 200},
		{http.MethodPut, contoso + "/hybridConnections/h", `{}`, 200},
		{http.MethodPut, contoso + "/wcfRelays/w", `{}`, 200},
		{http.MethodGet, contoso + "/wcfRelays/x", ``, 204},
		{http.MethodDelete, contoso + "/wcfRelays/w", ``, 200},
		{http.MethodDelete, contoso + "/wcfRelays/w", ``, 204},
		{http.MethodDelete, rule, ``, 200},
		{http.MethodDelete, rule, ``, 204},
		{http.MethodDelete, contoso, ``, 200},
		{http.MethodDelete, contoso, ``, 204},
		{http.MethodGet, contoso, ``, 404},
	} {
		f.want(step.status, step.method, step.path+"?api-version=2017-04-01", step.body)
	}
}
