package management

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
)

// list is a page as a client reads it.
type list struct {
	Value    []struct{ Name string }
	NextLink string
}

// follow reads the page at target, which may be a nextLink.
func (f *fixture) follow(target string) (names []string, next string) {
	f.Helper()
	target = strings.TrimPrefix(target, "https://127.0.0.1:9091")
	got := decode[list](f, f.want(200, http.MethodGet, target, ""))
	for _, item := range got.Value {
		names = append(names, item.Name)
	}
	return names, got.NextLink
}

// all reads a list to its end.
func (f *fixture) all(target string) (names []string, pages int) {
	f.Helper()
	for target != "" {
		var some []string
		some, target = f.follow(target)
		names = append(names, some...)
		pages++
	}
	return names, pages
}

// withEntities makes hybrid connections e0, e1 and so on, at once.
func (f *fixture) withEntities(n int) *fixture {
	f.Helper()
	changes := make([]namespace.Change, n)
	for i := range changes {
		changes[i] = namespace.PutEntity("contoso", namespace.Entity{Name: fmt.Sprintf("E%d", i)})
	}
	_, err := f.api.o.Writer.Update(
		func(*namespace.Snapshot) ([]namespace.Change, error) { return changes, nil })
	if err != nil {
		f.Fatal(err)
	}
	return f
}

func TestPages(t *testing.T) {
	f := newFixture(t).withContoso().withEntities(250)
	const entities = contoso + "/hybridConnections"
	names, pages := f.all(at(entities))
	if len(names) != 250 || pages != 3 || !slices.IsSortedFunc(names, func(a, b string) int {
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	}) {
		t.Errorf("%d names on %d pages: %q", len(names), pages, names)
	}
	for _, test := range []struct {
		query          string
		names, pages   int
		first, lastest string
	}{
		{"$top=1000", 250, 1, "E0", "E99"},
		{"$top=250", 250, 1, "E0", "E99"},
		{"$top=249", 250, 2, "E0", "E99"},
		{"%24TOP=1&$skip=249", 1, 1, "E99", "E99"},
		{"$skip=250", 0, 1, "", ""},
		{"$skip=1000000", 0, 1, "", ""},
		{"$skip=240&$top=4", 10, 3, "E90", "E99"},
		{"$skip=0", 250, 3, "E0", "E99"},
	} {
		names, pages := f.all(at(entities + "?" + test.query))
		if len(names) != test.names || pages != test.pages ||
			len(names) > 0 && (names[0] != test.first || names[len(names)-1] != test.lastest) {
			t.Errorf("%s: %d names on %d pages, %.80q", test.query, len(names), pages, names)
		}
	}
	for _, query := range []string{
		"$top=0", "$top=-1", "$top=1001", "$top=x", "$top=", "$top=1&$top=2", "$skip=-1",
		"$skip=x", "$skip=1000001", "$skipToken=!", "$skipToken=" + strings.Repeat("x", 2000),
	} {
		f.want(400, http.MethodGet, at(entities+"?"+query), "")
	}
}

// nextLink is absolute and at the host that the client called, whatever
// headers claim.
func TestNextLink(t *testing.T) {
	f := newFixture(t).withContoso().withEntities(3)
	const target = contoso + "/hybridConnections?$top=2&$skip=1&api-version=2017-04-01&x=y%20z"
	w := f.want(200, http.MethodGet, target, "", "X-Forwarded-Host", "evil.test",
		"X-Forwarded-Proto", "http", "Forwarded", "host=evil.test")
	if next := decode[list](t, w).NextLink; next != "" {
		t.Errorf("nextLink %s on the last page", next)
	}
	w = f.want(200, http.MethodGet, strings.Replace(target, "$skip=1", "$skip=0", 1), "",
		"X-Forwarded-Host", "evil.test")
	u, err := url.Parse(decode[list](t, w).NextLink)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "https" || u.Host != "127.0.0.1:9091" || u.Path != contoso+"/hybridConnections" ||
		q.Get("api-version") != "2017-04-01" || q.Get("$top") != "2" || q.Get("x") != "y z" ||
		q.Has("$skip") || q.Get("$skipToken") == "" {
		t.Errorf("%s", u)
	}
}

// What is there from the first page to the last is listed exactly once,
// whatever comes and goes meanwhile.
func TestPagesUnderChange(t *testing.T) {
	f := newFixture(t).withContoso().withEntities(100)
	const entities = contoso + "/hybridConnections"
	seen := make(map[string]int)
	target := at(entities + "?$top=10")
	removed := make(map[string]bool)
	for page := 0; target != ""; page++ {
		var names []string
		names, target = f.follow(target)
		for _, name := range names {
			seen[name]++
		}
		// The last one of the page goes, on which nextLink stands, and so does one
		// that is to come; others come before and behind.
		for _, name := range []string{names[len(names)-1], fmt.Sprintf("E%d", 9*page+5)} {
			f.do(http.MethodDelete, at(entities+"/"+name), "")
			removed[name] = true
		}
		f.want(200, http.MethodPut, at(fmt.Sprintf("%s/a%d", entities, page)), `{}`)
		f.want(200, http.MethodPut, at(fmt.Sprintf("%s/z%d", entities, page%5)), `{}`)
	}
	for i := range 100 {
		name := fmt.Sprintf("E%d", i)
		if n := seen[name]; n > 1 || n == 0 && !removed[name] {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
	for name, n := range seen {
		if n > 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
}

func TestPagesOfNamespacesAndRules(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.want(201, http.MethodPut, at(fmt.Sprintf("%s/namespaces/Name-%d", provider, 4-i)),
			`{"location":"a"}`)
	}
	names, pages := f.all(at(provider + "/namespaces?$top=2"))
	if fmt.Sprint(names) != "[Name-0 Name-1 Name-2 Name-3 Name-4]" || pages != 3 {
		t.Errorf("%q on %d pages", names, pages)
	}
	rules := provider + "/namespaces/name-0/authorizationRules"
	for _, name := range []string{"b", "A", "c"} {
		f.want(200, http.MethodPut, at(rules+"/"+name), `{"properties":{"rights":["Send"]}}`)
	}
	names, pages = f.all(at(rules + "?$top=3"))
	if fmt.Sprint(names) != "[A b c RootManageSharedAccessKey]" || pages != 2 {
		t.Errorf("%q on %d pages", names, pages)
	}
}

// Items that are empty are [] and no null.
func TestEmptyLists(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{
		provider + "/namespaces", sub + "/providers/Microsoft.Relay/namespaces",
	} {
		if got := f.want(200, http.MethodGet, at(path), "").Body.String(); got != `{"value":[]}`+"\n" {
			t.Errorf("%s", got)
		}
	}
}
