package relayctl

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

const testToken = "bearer-token-of-the-tests"

// testNow is the time of all runs.
var testNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// standIn is a management API that keeps what it is told, as far as the tool
// can see. It takes notes of requests.
type standIn struct {
	t      *testing.T
	server *httptest.Server
	dir    string // token, ca.pem and the file of contexts.

	mu        sync.Mutex
	requests  []string                  // METHOD URI BODY, and the ETag that it wants
	resources map[string]map[string]any // By path below the provider, in lower case.
	keys      map[string][2]string      // By path of the rule.
	answers   map[string]answer         // By METHOD and path; go before all else.
	pageSize  int
	host      string // Of connection strings; empty for NAMESPACE.example.com.
}

type answer struct {
	status int
	body   string
	header http.Header
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{
		t: t, dir: t.TempDir(), resources: map[string]map[string]any{},
		keys: map[string][2]string{}, answers: map[string]answer{},
	}
	s.server = httptest.NewTLSServer(s)
	t.Cleanup(s.server.Close)
	s.file("token", testToken+"\n")
	s.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw,
	})))
	s.namespace("contoso")
	return s
}

func (s *standIn) file(name, text string) string {
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// namespace adds a namespace with its first rule.
func (s *standIn) namespace(name string) {
	s.put("namespaces/"+name, map[string]any{"properties": map[string]any{
		"status": "Active", "createdAt": "2026-11-26T10:00:00.1234567Z",
		"serviceBusEndpoint": "https://" + name + ".example.com:443/",
	}})
	s.rule("namespaces/"+name, "RootManageSharedAccessKey", "Listen", "Manage", "Send")
}

func (s *standIn) entity(ns, word, name string, properties map[string]any) {
	s.put("namespaces/"+ns+"/"+word+"/"+escaped(name), map[string]any{"properties": properties})
}

func (s *standIn) rule(place, name string, rights ...string) {
	s.put(place+"/authorizationRules/"+escaped(name), map[string]any{
		"properties": map[string]any{"rights": rights},
	})
}

func escaped(name string) string { return strings.ReplaceAll(name, "/", "%2F") }

// put keeps a resource as a gateway would show it.
func (s *standIn) put(path string, r map[string]any) map[string]any {
	segments := strings.Split(path, "/")
	name, _ := url.PathUnescape(segments[len(segments)-1])
	r["name"] = name
	r["id"] = "/subscriptions/0/resourceGroups/default/providers/Microsoft.Relay/" + path
	key := strings.ToLower(path)
	if old := s.resources[key]; old != nil && r["properties"] == nil {
		r["properties"] = old["properties"]
	}
	s.resources[key] = r
	if strings.Contains(key, "/authorizationrules/") && s.keys[key] == [2]string{} {
		s.keys[key] = [2]string{"primary-key-of-" + name, "secondary-key-of-" + name}
	}
	return r
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	note := strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(body))
	if etag := r.Header.Get("If-Match"); etag != "" {
		note += " if " + etag
	}
	s.requests = append(s.requests, note)
	path := r.URL.EscapedPath()
	if a, ok := s.answers[r.Method+" "+path]; ok {
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+testToken {
		reply(w, 401, failure("InvalidAuthenticationToken", "The access token is invalid."))
		return
	}
	_, below, ok := strings.Cut(path, "/providers/Microsoft.Relay/")
	if !ok || r.URL.Query().Get("api-version") == "" {
		reply(w, 400, failure("MissingApiVersionParameter", "The api-version is missing."))
		return
	}
	s.serve(w, r, below, body)
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	key := strings.ToLower(path)
	segments := strings.Split(path, "/")
	last := strings.ToLower(segments[len(segments)-1])
	rule := strings.TrimSuffix(strings.TrimSuffix(key, "/listkeys"), "/regeneratekeys")
	switch {
	case last == "checknameavailability":
		reply(w, 200, map[string]any{"nameAvailable": false, "reason": "NameInUse", "message": "taken"})
	case last == "listkeys" || last == "regeneratekeys":
		if s.resources[rule] == nil {
			reply(w, 404, failure("ResourceNotFound", "The rule does not exist."))
			return
		}
		s.serveKeys(w, rule, last, body)
	case r.Method == http.MethodGet && len(segments)%2 == 1:
		s.serveList(w, r, key)
	case r.Method == http.MethodGet && last == "default" && s.resources[key] == nil:
		reply(w, 200, map[string]any{"name": "default", "properties": map[string]any{
			"defaultAction": "Allow", "ipRules": []any{},
		}})
	case r.Method == http.MethodGet || r.Method == http.MethodPatch && s.resources[key] == nil:
		if s.resources[key] == nil {
			reply(w, 404, failure("ResourceNotFound", "The resource '"+last+"' does not exist."))
			return
		}
		w.Header().Set("ETag", `"7"`)
		reply(w, 200, s.resources[key])
	case r.Method == http.MethodPut || r.Method == http.MethodPatch:
		var resource map[string]any
		if err := json.Unmarshal(body, &resource); err != nil {
			reply(w, 400, failure("BadRequest", err.Error()))
			return
		}
		reply(w, 200, s.put(path, resource))
	case r.Method == http.MethodDelete && s.resources[key] != nil:
		delete(s.resources, key)
		w.WriteHeader(200)
	default:
		w.WriteHeader(204)
	}
}

func (s *standIn) serveKeys(w http.ResponseWriter, rule, verb string, body []byte) {
	keys := s.keys[rule]
	if verb == "regeneratekeys" {
		var b struct{ KeyType, Key string }
		_ = json.Unmarshal(body, &b)
		if b.Key == "" {
			b.Key = "another-key"
		}
		keys[map[string]int{"PrimaryKey": 0, "SecondaryKey": 1}[b.KeyType]] = b.Key
		s.keys[rule] = keys
	}
	name := s.resources[rule]["name"].(string)
	ns := strings.Split(rule, "/")[1]
	text := func(key string) string {
		c := "Endpoint=sb://" + cmp.Or(s.host, ns+".example.com") + "/;SharedAccessKeyName=" + name + ";SharedAccessKey=" + key
		if parts := strings.Split(rule, "/"); len(parts) == 6 {
			entity, _ := url.PathUnescape(parts[3])
			c += ";EntityPath=" + entity
		}
		return c
	}
	reply(w, 200, map[string]any{
		"keyName": name, "primaryKey": keys[0], "secondaryKey": keys[1],
		"primaryConnectionString": text(keys[0]), "secondaryConnectionString": text(keys[1]),
	})
}

func (s *standIn) serveList(w http.ResponseWriter, r *http.Request, key string) {
	var names []string
	for name := range s.resources {
		if rest, ok := strings.CutPrefix(name, key+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("$skip"), &from)
	page := map[string]any{}
	if s.pageSize > 0 && len(names) > from+s.pageSize {
		page["nextLink"] = fmt.Sprintf("%s%s?api-version=2024-01-01&$skip=%d", s.server.URL,
			r.URL.EscapedPath(), from+s.pageSize)
		names = names[:from+s.pageSize]
	}
	list := []any{}
	for _, name := range names[min(from, len(names)):] {
		list = append(list, s.resources[name])
	}
	page["value"] = list
	reply(w, 200, page)
}

func failure(code, message string) any {
	return map[string]any{"error": map[string]any{"code": code, "message": message}}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// result is how a run ended.
type result struct {
	status   int
	out, err string
}

// run runs a command line against s; $DIR in args is its directory.
func (s *standIn) run(args ...string) result {
	s.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$DIR", s.dir)
	}
	return runWith(s.t, s.surroundings(""), append(s.flags(), args...)...)
}

func (s *standIn) flags() []string {
	return []string{
		"--management", s.server.URL, "--token-file", filepath.Join(s.dir, "token"),
		"--ca", filepath.Join(s.dir, "ca.pem"),
	}
}

func (s *standIn) surroundings(in string) Surroundings {
	return Surroundings{
		In: strings.NewReader(in), Env: func(string) string { return "" },
		Now: func() time.Time { return testNow }, CacheDir: s.dir, ConfigDir: s.dir,
	}
}

func runWith(t *testing.T, s Surroundings, args ...string) result {
	t.Helper()
	var out, err strings.Builder
	s.Out, s.Err = &out, &err
	status := Run(t.Context(), args, s)
	return result{status, out.String(), err.String()}
}

// taken returns the requests since the last call, without what they all have.
func (s *standIn) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.requests, "\n")
	s.requests = nil
	return strings.NewReplacer(
		"/subscriptions/00000000-0000-0000-0000-000000000000", "S",
		"/resourceGroups/default/providers/Microsoft.Relay/namespaces", "/G/N",
		"/providers/Microsoft.Relay", "/P", "?api-version=2024-01-01", "",
		"?api-version=2026-07-01-preview", " (preview)",
	).Replace(text)
}
