package management

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestParseTokens(t *testing.T) {
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	long := strings.Repeat("x", bearerBytesMax+1)
	for _, test := range []struct {
		text  string
		want  []string // name, role and sum
		wrong []int
	}{
		{"", nil, nil},
		{"# comment\n\n  # another\n", nil, nil},
		{"secret\n", []string{"management owner " + sum("secret")}, nil},
		{"secret", []string{"management owner " + sum("secret")}, nil},
		{"anna s#cret # comment\r\n", []string{"anna owner " + sum("s#cret")}, nil},
		{"anna s owner\nbo t reader", []string{
			"anna owner " + sum("s"), "bo reader " + sum("t"),
		}, nil},
		{"anna sha256:" + sum("s") + " reader", []string{"anna reader " + sum("s")}, nil},
		{"anna SHA256:x", []string{"anna owner " + sum("SHA256:x")}, nil},
		{"sha256:" + sum("s"), []string{"management owner " + sum("s")}, nil},
		{"anna sha256:12\nok t\nanna s Owner\na b owner d\n" + long, []string{
			"ok owner " + sum("t"),
		}, []int{1, 3, 4, 5}},
	} {
		tokens, wrong := parseTokens(test.text)
		var got []string
		for _, k := range tokens {
			role := "owner"
			if k.reader {
				role = "reader"
			}
			got = append(got, k.name+" "+role+" "+hex.EncodeToString(k.sum[:]))
		}
		if !reflect.DeepEqual(got, test.want) || !reflect.DeepEqual(wrong, test.wrong) {
			t.Errorf("%.60q: %q, wrong %v; want %q, %v", test.text, got, wrong, test.want, test.wrong)
		}
	}
}

func TestAuthentication(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		header string
		status int
	}{
		{"Bearer " + ownerToken, 200},
		{"bearer  " + ownerToken, 200},
		{"Bearer " + readerToken, 200},
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer x" + ownerToken, 401},
		{"Bearer " + ownerToken[1:], 401},
		{"Bearer " + ownerToken + " x", 401},
		{"Basic " + ownerToken, 401},
		{ownerToken, 401},
		{"Bearer " + strings.Repeat("x", bearerBytesMax+1), 401},
		{"Bearer #", 401},
		{"Bearer rita", 401},
	} {
		w := f.want(test.status, http.MethodGet, at(provider+"/namespaces"), "",
			"Authorization", test.header)
		if test.status != 401 {
			continue
		}
		if code := codeOf(t, w); code != codeToken {
			t.Errorf("%q: code %s", test.header, code)
		}
		if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm=`) {
			t.Errorf("%q: WWW-Authenticate %q", test.header, got)
		}
	}
	// Strangers learn nothing: neither paths nor versions.
	f.want(401, http.MethodGet, "/nowhere", "", "Authorization", "")
	f.want(401, http.MethodGet, contoso, "", "Authorization", "Bearer wrong")
}

// The file is read at each request: a token that is taken out is out.
func TestTokensFileChanges(t *testing.T) {
	f := newFixture(t)
	path := at(provider + "/namespaces")
	sum := sha256.Sum256([]byte("hashed"))
	f.write("tokens", fmt.Sprintf("anna sha256:%x\n", sum))
	f.want(401, http.MethodGet, path, "")
	f.want(200, http.MethodGet, path, "", "Authorization", "Bearer hashed")
	f.want(401, http.MethodGet, path, "", "Authorization", fmt.Sprintf("Bearer sha256:%x", sum))

	f.write("tokens", strings.Repeat("#", tokensBytesMax+1))
	w := f.want(503, http.MethodGet, path, "", "Authorization", "Bearer hashed")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.api.o.TokensFile += ".gone"
	f.want(503, http.MethodGet, path, "", "Authorization", "Bearer hashed")
	if !strings.Contains(f.log.String(), "management tokens cannot be read") {
		t.Errorf("log: %s", f.log)
	}
}

// Lines that cannot be read are named by their numbers.
func TestTokensFileErrors(t *testing.T) {
	f := newFixture(t)
	f.write("tokens", ownerToken+"\nhidden-name hidden-token raeder\n")
	f.want(200, http.MethodGet, at(provider+"/namespaces"), "")
	f.want(401, http.MethodGet, at(provider+"/namespaces"), "",
		"Authorization", "Bearer hidden-token")
	log := f.log.String()
	if !strings.Contains(log, "lines=[2]") || strings.Contains(log, "hidden") {
		t.Errorf("log: %s", log)
	}
}

// Floods of strangers leave a bounded number of lines.
func TestFailuresAreThrottled(t *testing.T) {
	f := newFixture(t)
	for range 1000 {
		f.want(401, http.MethodGet, "/", "", "Authorization", "Bearer wrong-token")
	}
	lines := strings.Count(f.log.String(), "without a valid token")
	if lines == 0 || lines > linesBurst+1 {
		t.Errorf("%d lines", lines)
	}
	if strings.Contains(f.log.String(), "wrong-token") {
		t.Error("the log has a token")
	}
	f.want(200, http.MethodGet, at(provider+"/namespaces"), "") // nobody is banned
}

func TestRoles(t *testing.T) {
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h"), `{}`)
	const rule = contoso + "/authorizationRules/RootManageSharedAccessKey"
	for _, step := range []struct {
		status             int
		method, path, body string
	}{
		{200, http.MethodGet, contoso, ""},
		{200, http.MethodHead, contoso, ""},
		{200, http.MethodGet, contoso + "/hybridConnections/h", ""},
		{200, http.MethodGet, rule, ""},
		{200, http.MethodGet, contoso + "/networkRuleSets/default", ""},
		{200, http.MethodGet, "/relayhouse/version", ""},
		{403, http.MethodPost, rule + "/listKeys", ""},
		{403, http.MethodPost, rule + "/regenerateKeys", `{"keyType":"PrimaryKey"}`},
		{403, http.MethodPut, rule, `{"properties":{"rights":["Listen"]}}`},
		{403, http.MethodDelete, rule, ""},
		{403, http.MethodPut, contoso, `{"location":"West US"}`},
		{403, http.MethodPatch, contoso, `{}`},
		{403, http.MethodDelete, contoso, ""},
		{403, http.MethodPut, contoso + "/hybridConnections/h", `{}`},
		{403, http.MethodDelete, contoso + "/hybridConnections/h", ""},
		{403, http.MethodPut, contoso + "/networkRuleSets/default", `{}`},
		{403, http.MethodPost, sub + "/providers/Microsoft.Relay/checkNameAvailability",
			`{"name":"fabrikam"}`},
		{403, http.MethodGet, "/relayhouse/export", ""},
		{403, http.MethodGet, "/relayhouse/backup", ""},
		{403, http.MethodPost, "/relayhouse/import", ""},
		{404, http.MethodGet, "/nowhere", ""},
		{405, http.MethodPost, contoso, ""},
	} {
		w := f.want(step.status, step.method, at(step.path), step.body,
			"Authorization", "Bearer "+readerToken)
		if step.status == 403 && codeOf(t, w) != codeNotAuthorized {
			t.Errorf("%s %s: %s", step.method, step.path, w.Body)
		}
	}
}
