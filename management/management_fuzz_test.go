package management

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzBodies sends any body to the operations that take one. Each is answered
// with JSON, or with nothing, and never with our own failure; what was taken
// can be read again.
func FuzzBodies(f *testing.F) {
	for _, step := range scenario() {
		if step.body != "" {
			f.Add(uint8(0), step.body)
		}
	}
	for i := range changesOf {
		f.Add(uint8(i), changesOf[i].body)
	}
	f.Add(uint8(3), `{"properties":{"rights":["Manage","Send","Listen"]}}`)
	f.Add(uint8(9), `{"properties":{"ipRules":[{"ipMask":"::ffff:1.2.3.4/97","action":"Deny"}]}}`)
	a := newFuzzFixture(f)
	start := a.store.Load()
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		a.TB = t
		a.store.Swap(start)
		step := changesOf[int(which)%len(changesOf)]
		if step.method == http.MethodDelete {
			return
		}
		w := a.do(step.method, at(step.path), body)
		checkAnswer(t, w)
		if w.Code == 200 || w.Code == 201 {
			path, _, _ := strings.Cut(step.path, "/regenerateKeys")
			w = a.do(http.MethodGet, at(path), "")
			checkAnswer(t, w)
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

// newFuzzFixture has contoso with a hybrid connection a/b, and logs nothing.
func newFuzzFixture(f *testing.F) *fixture {
	a := newFixture(f, func(o *Options) {
		o.Audit, o.Log = nil, slog.New(slog.DiscardHandler)
	}).withContoso()
	a.quiet = true
	a.want(200, http.MethodPut, at(contoso+"/hybridConnections/a%2Fb"), `{}`)
	return a
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code >= 500 && w.Code != 501 || w.Code < 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d: no JSON: %q", w.Code, w.Body)
	}
	if w.Code >= 400 && !strings.Contains(w.Body.String(), "CorrelationId: ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// FuzzPath asks for any path and query with any method. No answer is a failure
// of ours, and an id in an answer is a path that leads to the same thing.
func FuzzPath(f *testing.F) {
	for _, step := range scenario() {
		f.Add(step.method, strings.ReplaceAll(step.path, group, "/subscriptions/s/resourceGroups/g"),
			"api-version="+newest)
	}
	f.Add("GET", contoso+"/hybridConnections/a%2Fb", "api-version=2017-04-01&$top=1&$skipToken=YQ")
	f.Add("GET", "/%", "x=%")
	f.Add("POST", "/relayhouse/import", "mode=replace")
	a := newFuzzFixture(f)
	start := a.store.Load()
	f.Fuzz(func(t *testing.T, method, path, query string) {
		a.TB = t
		a.store.Swap(start)
		u, err := url.ParseRequestURI("https://h" + path + "?" + query)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(method, " \r\n") {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "https://h/", strings.NewReader(`{"location":"a"}`))
		r.Method, r.URL = method, u
		r.Header.Set("Authorization", "Bearer "+ownerToken)
		w := httptest.NewRecorder()
		a.api.ServeHTTP(w, r)
		if w.Code == 200 && strings.HasPrefix(path, "/relayhouse/") {
			return
		}
		checkAnswer(t, w)
		var got resource
		if w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &got) != nil || got.ID == "" ||
			method == http.MethodDelete {
			return
		}
		again := a.do(http.MethodGet, at(got.ID), "")
		var same resource
		if err := json.Unmarshal(again.Body.Bytes(), &same); err != nil || same != got {
			t.Errorf("%s %s is %+v; asked for again %d %s", method, path, got, again.Code, again.Body)
		}
	})
}
