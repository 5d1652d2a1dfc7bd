package management

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

// failing is a Writer that fails.
type failing struct{ err error }

func (w failing) Update(
	func(*namespace.Snapshot) ([]namespace.Change, error),
) (*namespace.Snapshot, error) {
	return nil, w.err
}

// changesOf are all requests that change something below contoso.
var changesOf = []struct{ method, path, body string }{
	{http.MethodPut, contoso, `{"location":"West US"}`},
	{http.MethodPatch, contoso, `{}`},
	{http.MethodDelete, contoso, ``},
	{http.MethodPut, contoso + "/authorizationRules/r", `{"properties":{"rights":["Send"]}}`},
	{http.MethodDelete, contoso + "/authorizationRules/r", ``},
	{http.MethodPost, contoso + "/authorizationRules/RootManageSharedAccessKey/regenerateKeys",
		`{"keyType":"PrimaryKey"}`},
	{http.MethodPut, contoso + "/hybridConnections/h", `{}`},
	{http.MethodDelete, contoso + "/hybridConnections/h", ``},
	{http.MethodPut, contoso + "/wcfRelays/w", `{}`},
	{http.MethodPut, contoso + "/networkRuleSets/default", `{}`},
}

func TestWriterFails(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
		header [2]string
		text   string
		logged string
	}{
		{namespacestore.ErrReadOnly, 405, codeMethod, [2]string{"Allow", "GET, HEAD, POST"},
			"declarative", ""},
		{fmt.Errorf("%w: disk full", namespacestore.ErrUnavailable), 503, codeUnavailable,
			[2]string{"Retry-After", "1"}, "nothing has changed", ""},
		{fmt.Errorf("%w: store.entities_max is 5", namespacestore.ErrFull), 403, codeQuota,
			[2]string{}, "store.entities_max is 5", ""},
		{errors.New("secret of ours"), 500, "InternalServerError", [2]string{}, "failed",
			"secret of ours"},
	} {
		f := newFixture(t).withContoso()
		f.api.o.Writer = failing{test.err}
		for _, step := range changesOf {
			w := f.want(test.status, step.method, at(step.path), step.body)
			if code := codeOf(t, w); code != test.code {
				t.Errorf("%v: code %s", test.err, code)
			}
			if name := test.header[0]; name != "" && w.Header().Get(name) != test.header[1] {
				t.Errorf("%v: %s: %q", test.err, name, w.Header().Get(name))
			}
			if message := messageOf(t, w); !strings.Contains(message, test.text) ||
				strings.Contains(message, "secret") || strings.Contains(message, "disk") {
				t.Errorf("%v: message %q", test.err, message)
			}
			if !strings.Contains(f.log.String(), test.logged) {
				t.Errorf("%v: log %s", test.err, f.log)
			}
		}
		// Reading goes on, and so do keys.
		f.want(200, http.MethodGet, at(contoso), "")
		f.want(200, http.MethodPost,
			at(contoso+"/authorizationRules/RootManageSharedAccessKey/listKeys"), "")
	}
}

func TestQuotas(t *testing.T) {
	f := newFixture(t)
	f.api.o.Writer = namespacestore.NewMemory(f.store,
		namespacestore.Limits{NamespacesMax: 1, EntitiesMax: 2})
	f.api.o.NamespacesMax = 1
	f.withContoso()
	w := f.want(403, http.MethodPut, at(provider+"/namespaces/fabrikam"), `{"location":"a"}`)
	if codeOf(t, w) != codeQuota || !strings.Contains(messageOf(t, w), "namespaces_max is 1") {
		t.Errorf("%s", w.Body)
	}
	w = f.want(200, http.MethodPost, at(sub+"/providers/Microsoft.Relay/checkNameAvailability"),
		`{"name":"fabrikam"}`)
	if got := decode[nameView](t, w); got.Reason != reasonTooMany || got.NameAvailable ||
		got.Message == "" {
		t.Errorf("%+v", got)
	}
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/a"), `{}`)
	f.want(200, http.MethodPut, at(contoso+"/wcfRelays/b"), `{}`)
	f.want(403, http.MethodPut, at(contoso+"/hybridConnections/c"), `{}`)
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/a"), `{}`)
}

func TestRulesMax(t *testing.T) {
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h"), `{}`)
	const body = `{"properties":{"rights":["Listen","Send"]}}`
	for path, most := range map[string]int{
		contoso:                          namespace.RulesMax - 1, // one is born with it
		contoso + "/hybridConnections/h": namespace.RulesMax,
	} {
		for i := range most {
			f.want(200, http.MethodPut, at(fmt.Sprintf("%s/authorizationRules/r%d", path, i)), body)
		}
		w := f.want(403, http.MethodPut, at(path+"/authorizationRules/more"), body)
		if codeOf(t, w) != codeQuota {
			t.Errorf("%s", w.Body)
		}
		f.want(200, http.MethodPut, at(path+"/authorizationRules/r0"), body)
	}
}

func TestVersions(t *testing.T) {
	f := newFixture(t).withContoso()
	const all = "2026-07-01-preview, 2026-01-01, 2024-01-01, 2021-11-01, 2017-04-01, 2016-07-01"
	for _, test := range []struct {
		query  string
		status int
		code   string
		text   string
	}{
		{"?api-version=2017-04-01", 200, "", ""},
		{"?API-Version=2026-07-01-PREVIEW", 200, "", ""},
		{"", 400, codeMissingVersion, "required"},
		{"?api-version=", 400, codeMissingVersion, "required"},
		{"?apiversion=2017-04-01", 400, codeMissingVersion, "required"},
		{"?api-version=2015-01-01", 400, codeVersion, all},
		{"?api-version=latest", 400, codeVersion, all},
		{"?api-version=2017-04-01&api-version=2017-04-01", 400, codeVersion, all},
		{"?api-version=2017-04-01&Api-Version=2021-11-01", 400, codeVersion, all},
		{"?api-version=%zz", 400, codeBadRequest, "query"},
		{"?api-version=2017-04-01;x=y", 400, codeBadRequest, "query"},
	} {
		w := f.want(test.status, http.MethodGet, contoso+test.query, "")
		if test.status == 200 {
			continue
		}
		if codeOf(t, w) != test.code || !strings.Contains(messageOf(t, w), test.text) {
			t.Errorf("%q: %s", test.query, w.Body)
		}
	}
}

func TestPaths(t *testing.T) {
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/a%2Fb"), `{}`)
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/authorizationRules"), `{}`)
	for _, test := range []struct {
		path   string
		status int
	}{
		{contoso, 200},
		{strings.ToUpper(group) + "/PROVIDERS/microsoft.relay/NAMESPACES/CONTOSO", 200},
		{contoso + "/HYBRIDCONNECTIONS/A%2fB", 200},
		{contoso + "/hybridConnections/a%2Fb/AuthorizationRules", 200},
		{contoso + "/hybridConnections/authorizationRules", 200},
		{contoso + "/hybridConnections/authorizationRules/authorizationRules", 200},
		{contoso + "/%68ybridConnections/a%2Fb", 200},
		{contoso + "/hybridConnections/a/b", 404},
		{contoso + "/hybridConnections/a%252Fb", 404},
		{contoso + "/hybridConnections%2Fa%2Fb", 404},
		{contoso + "/hybridConnections/", 404},
		{contoso + "/", 404},
		{contoso + "//hybridConnections", 404},
		{"/" + contoso, 404},
		{contoso + "/../contoso", 404},
		{contoso + "/hybridConnections/%2e%2e", 404},
		{contoso + "/hybridConnections/" + strings.Repeat("a", 261), 404},
		{contoso + "/hybridConnections/" + strings.Repeat("a", pathBytesMax), 404},
		{contoso + "/queues/x", 404},
		{contoso + "/networkRuleSets/other", 404},
		{sub + "/providers/Microsoft.ServiceBus/namespaces", 404},
		{"/", 404},
		{"/relayhouse", 404},
	} {
		f.want(test.status, http.MethodGet, at(test.path), "")
	}
	// A path that no client of net/http would send.
	r := httptest.NewRequest(http.MethodOptions, "*", nil)
	r.Header.Set("Authorization", "Bearer "+ownerToken)
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("OPTIONS * = %d", w.Code)
	}
}

// Every answer has the ids, and each error ends with one.
func TestHeaders(t *testing.T) {
	f := newFixture(t).withContoso()
	long := strings.Repeat("x", idBytesMax+1)
	for _, test := range []struct {
		correlation, client, returns string
		wantCorrelation, wantClient  string
	}{
		{"", "", "", "new", ""},
		{"abc-1", "me", "", "abc-1", ""},
		{"abc-1", "me", "false", "abc-1", ""},
		{"abc-1", "me", "True", "abc-1", "me"},
		{"a b", "m\te", "true", "new", ""},
		{long, long, "true", "new", ""},
	} {
		for _, path := range []string{contoso, contoso + "/hybridConnections/absent", "/nowhere"} {
			w := f.do(http.MethodGet, at(path), "",
				"x-ms-correlation-request-id", test.correlation,
				"x-ms-client-request-id", test.client,
				"x-ms-return-client-request-id", test.returns)
			h := w.Header()
			id := h.Get("x-ms-correlation-request-id")
			want := test.wantCorrelation
			if want == "new" {
				want = id
			}
			if id == "" || id != want || h.Get("x-ms-client-request-id") != test.wantClient ||
				h.Get("x-ms-request-id") == "" || h.Get("x-ms-request-id") == id ||
				h.Get("Cache-Control") != "no-cache" {
				t.Errorf("%+v %s: %v", test, path, h)
			}
			if w.Code != 200 && !strings.HasSuffix(messageOf(t, w), " CorrelationId: "+id) {
				t.Errorf("%s", w.Body)
			}
		}
	}
	w := f.want(200, http.MethodPost,
		at(contoso+"/authorizationRules/RootManageSharedAccessKey/listKeys"), "")
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of keys: %q", got)
	}
}

func TestMethods(t *testing.T) {
	f := newFixture(t).withContoso()
	for _, test := range []struct{ method, path, allow string }{
		{http.MethodPost, contoso, "GET, HEAD, PUT, PATCH, DELETE"},
		{http.MethodPatch, contoso + "/hybridConnections/h", "GET, HEAD, PUT, DELETE"},
		{http.MethodDelete, contoso + "/networkRuleSets/default", "GET, HEAD, PUT"},
		{http.MethodGet, contoso + "/authorizationRules/r/listKeys", "POST"},
		{http.MethodOptions, contoso + "/wcfRelays", "GET, HEAD"},
		{http.MethodDelete, provider + "/clusters/relayhouse", "GET, HEAD"},
		{"BREW", "/relayhouse/import", "POST"},
	} {
		w := f.want(405, test.method, at(test.path), "")
		if got := w.Header().Get("Allow"); got != test.allow || codeOf(t, w) != codeMethod {
			t.Errorf("%s %s: Allow %q: %s", test.method, test.path, got, w.Body)
		}
	}
}

// More requests than there are places are told to come back.
func TestRequestsMax(t *testing.T) {
	f := newFixture(t).withContoso()
	for range requestsMax {
		f.api.slots <- struct{}{}
	}
	w := f.want(429, http.MethodGet, at(contoso), "")
	if w.Header().Get("Retry-After") != "1" || codeOf(t, w) != codeTooManyRequests {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	<-f.api.slots
	f.want(200, http.MethodGet, at(contoso), "")
	f.want(200, http.MethodGet, at(contoso), "")
}

func TestOptions(t *testing.T) {
	store := new(namespace.Store)
	writer := namespacestore.NewMemory(store, namespacestore.Limits{})
	for _, o := range []Options{
		{},
		{Namespaces: store, Writer: writer},
		{Namespaces: store, TokensFile: "x"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if _, err := New(Options{Namespaces: store, Writer: writer, TokensFile: "x"}); err != nil {
		t.Error(err)
	}
}

// Ids are random, of the right form, and do not repeat.
func TestNewID(t *testing.T) {
	seen := []string{}
	for range 100 {
		id := newID()
		if len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) ||
			slices.Contains(seen, id) {
			t.Fatalf("%q", id)
		}
		seen = append(seen, id)
	}
}
