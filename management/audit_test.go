package management

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

func (f *fixture) auditLines() []auditLine {
	f.Helper()
	var lines []auditLine
	scanner := bufio.NewScanner(strings.NewReader(f.read("audit")))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line auditLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			f.Fatalf("%v in %s", err, scanner.Bytes())
		}
		lines = append(lines, line)
	}
	return lines
}

// Every change and every refused change is one line; what changes nothing is
// none.
func TestAuditLog(t *testing.T) {
	f := newFixture(t)
	const hc, rule = contoso + "/hybridConnections/a%2Fb", contoso + "/authorizationRules/r"
	const wcf = contoso + "/wcfRelays/w"
	const unknown, refused = "Bearer none", "Bearer " + readerToken
	for _, step := range []struct {
		method, path, body, authorization string
		want                              string // operationName, status and code
	}{
		{"PUT", contoso, `{"location":"a","tags":{"k":"v"}}`, "", "namespaces/write 201 "},
		{"GET", contoso, ``, "", ""},
		{"PATCH", contoso, `{"tags":{"k":"w"}}`, "", "namespaces/write 200 "},
		{"PATCH", contoso, `{"tags":{"k":1}}`, "", "namespaces/write 400 BadRequest"},
		{"PUT", contoso, `{"location":"b"}`, "", "namespaces/write 409 InvalidResourceLocation"},
		{"DELETE", contoso, ``, refused, "namespaces/delete 403 AuthorizationFailed"},
		{"DELETE", contoso, ``, unknown, ""},
		{"POST", contoso, ``, "", ""},
		{"PUT", rule, `{"properties":{"rights":["Send"]}}`, "",
			"namespaces/authorizationRules/write 200 "},
		{"PUT", rule, `{"properties":{"rights":["Listen"]}}`, "",
			"namespaces/authorizationRules/write 200 "},
		{"POST", rule + "/listKeys", ``, "", ""},
		{"POST", rule + "/regenerateKeys", `{"keyType":"SecondaryKey"}`, "",
			"namespaces/authorizationRules/regenerateKeys/action 200 "},
		{"POST", rule + "/regenerateKeys", `{"keyType":"PrimaryKey","key":"KEY;bad"}`, "",
			"namespaces/authorizationRules/regenerateKeys/action 400 BadRequest"},
		{"PUT", contoso + "/authorizationRules/a!", `{"properties":{"rights":["Send"]}}`, "",
			"namespaces/authorizationRules/write 400 BadRequest"},
		{"DELETE", rule, ``, "", "namespaces/authorizationRules/delete 200 "},
		{"DELETE", rule, ``, "", ""},
		{"PUT", hc, `{"properties":{"userMetadata":"m"}}`, "",
			"namespaces/HybridConnections/write 200 "},
		{"PUT", hc + "/authorizationRules/r", `{"properties":{"rights":["Send"]}}`, "",
			"namespaces/HybridConnections/authorizationRules/write 200 "},
		{"DELETE", hc, ``, "", "namespaces/HybridConnections/delete 200 "},
		{"PUT", wcf, `{}`, "", "namespaces/WcfRelays/write 200 "},
		{"PUT", contoso + "/networkRuleSets/default", `{"properties":{"defaultAction":"Deny"}}`, "",
			"namespaces/networkRuleSets/write 200 "},
		{"PUT", contoso + "/privateEndpointConnections/x", `{}`, "",
			"namespaces/privateEndpointConnections/write 501 NotImplemented"},
		{"DELETE", contoso, ``, "", "namespaces/delete 200 "},
	} {
		before := len(f.auditLines())
		header := []string{"x-ms-correlation-request-id", "corr"}
		if step.authorization != "" {
			header = append(header, "Authorization", step.authorization)
		}
		f.do(step.method, at(step.path), step.body, header...)
		lines := f.auditLines()[before:]
		if step.want == "" {
			if len(lines) != 0 {
				t.Errorf("%s %s: %+v", step.method, step.path, lines)
			}
			continue
		}
		if len(lines) != 1 {
			t.Fatalf("%s %s: %d lines", step.method, step.path, len(lines))
		}
		l := lines[0]
		actor := "olga"
		if step.authorization == refused {
			actor = "rita"
		}
		got := fmt.Sprintf("%s %d %s", strings.TrimPrefix(l.OperationName, "Microsoft.Relay/"),
			l.Status, l.Code)
		if got != step.want || l.Actor != actor || l.ResourceID != step.path ||
			l.Address != "192.0.2.1:1234" || l.CorrelationID != "corr" || l.Time == "" {
			t.Errorf("%s %s: %+v, want %s", step.method, step.path, l, step.want)
		}
		if (l.After == nil) != (l.Code != "" || step.method == http.MethodDelete) {
			t.Errorf("%s: after %v", got, l.After)
		}
	}
	info, err := os.Stat(filepath.Join(f.dir, "audit"))
	if err != nil || info.Mode().Perm() != auditModeFile {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// A line says what was and what is, and which key is new by its name.
func TestAuditBeforeAndAfter(t *testing.T) {
	f := newFixture(t).withContoso()
	const hc, rule = contoso + "/hybridConnections/h", contoso + "/authorizationRules/r"
	f.want(200, "PUT", at(hc), `{"properties":{"userMetadata":"one"}}`)
	f.want(200, "PUT", at(hc), `{"properties":{"userMetadata":"two"}}`)
	f.want(200, "PUT", at(rule), `{"properties":{"rights":["Send"]}}`)
	f.want(200, "POST", at(rule+"/regenerateKeys"), `{"keyType":"primarykey"}`)
	lines := f.auditLines()
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	put := lines[len(lines)-3]
	if !strings.Contains(text(put.Before), `"userMetadata":"one"`) ||
		!strings.Contains(text(put.After), `"userMetadata":"two"`) {
		t.Errorf("%+v", put)
	}
	if made := lines[len(lines)-2]; made.Before != nil ||
		!strings.Contains(text(made.After), `"rights":["Send"]`) {
		t.Errorf("%+v", made)
	}
	if renewed := lines[len(lines)-1]; renewed.Regenerated != keyPrimary ||
		text(renewed.Before) != text(renewed.After) {
		t.Errorf("%+v", renewed)
	}
}

// Without a file the lines are in the log.
func TestAuditToLog(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Audit = nil }).withContoso()
	log := f.log.String()
	if !strings.Contains(log, "operationName=Microsoft.Relay/namespaces/write") ||
		!strings.Contains(log, "actor=olga") {
		t.Errorf("%s", log)
	}
}

// A log that cannot be written is told of and does not stop changes.
func TestAuditFails(t *testing.T) {
	f := newFixture(t)
	f.api.o.Audit.path = f.dir // a directory
	f.withContoso()
	if n := f.api.o.Audit.Failures(); n != 1 {
		t.Errorf("%d failures", n)
	}
	log := f.log.String()
	if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "namespaces/write") ||
		!strings.Contains(log, "olga") {
		t.Errorf("%s", log)
	}
}

// A file that cannot be written is told of at the start.
func TestOpenAuditLog(t *testing.T) {
	if l, err := OpenAuditLog(t.TempDir(), slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("got %v", l)
	}
}

// What came to the data port is in the same form.
func TestAuditOfTheDataPort(t *testing.T) {
	f := newFixture(t)
	made := &namespace.Entity{Name: "a/b", UserMetadata: "m", Rules: []namespace.Rule{
		{Name: "r", PrimaryKey: "KEY-9"},
	}}
	f.api.o.Audit.RecordEntity(EntityChange{
		Time: time.Unix(0, 0), Rule: "root", Address: "192.0.2.9:1",
		Operation: "Microsoft.Relay/namespaces/HybridConnections/write",
		Namespace: namespace.Definition{Name: "contoso", ResourceGroup: "G"}, Name: "a/b",
		Status: 201, TrackingID: "id", After: made,
	})
	const want = `{"time":"1970-01-01T00:00:00Z","actor":"rule root","address":"192.0.2.9:1",` +
		`"operationName":"Microsoft.Relay/namespaces/HybridConnections/write","resourceId":` +
		`"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/G/providers/` +
		`Microsoft.Relay/namespaces/contoso/HybridConnections/a%2Fb","status":201,` +
		`"correlationId":"id","after":{"id":"/subscriptions/00000000-0000-0000-0000-000000000000/` +
		`resourceGroups/G/providers/Microsoft.Relay/namespaces/contoso/HybridConnections/a%2Fb",` +
		`"name":"a/b","type":"Microsoft.Relay/Namespaces/HybridConnections",` +
		`"properties":{"requiresClientAuthorization":false,"userMetadata":"m"}}}` + "\n"
	if got := f.read("audit"); got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// A log that was renamed is left at once.
func TestAuditRotation(t *testing.T) {
	f := newFixture(t).withContoso()
	if err := os.Rename(filepath.Join(f.dir, "audit"), filepath.Join(f.dir, "audit.1")); err != nil {
		t.Fatal(err)
	}
	f.want(200, http.MethodDelete, at(contoso), "")
	if n := len(f.auditLines()); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// No key is anywhere but in the answers that are made for it.
func TestKeysAreNowhereElse(t *testing.T) {
	for v := v20160701; v < versionsEnd; v++ {
		for _, log := range []string{"", "file"} {
			f := newFixture(t, func(o *Options) {
				if log == "" {
					o.Audit = nil
				}
			})
			for _, step := range scenario() {
				f.do(step.method, step.path+"?api-version="+v.String(), step.body)
			}
			f.api.o.Writer = failing{fmt.Errorf("%w: disk", namespacestore.ErrUnavailable)}
			for _, step := range scenario() {
				f.do(step.method, step.path+"?api-version="+v.String(), step.body)
			}
			if f.keys.Load() < 10 {
				t.Fatalf("%d keys were made", f.keys.Load())
			}
			text := f.out.String() + f.log.String()
			if log != "" {
				text += f.read("audit")
			}
			for _, secret := range []string{"KEY-", `"mine"`, ownerToken, readerToken} {
				if i := strings.Index(text, secret); i >= 0 {
					t.Errorf("%v: %s in %.200s", v, secret, text[max(i-100, 0):])
				}
			}
		}
	}
}
