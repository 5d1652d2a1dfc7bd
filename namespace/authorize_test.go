package namespace

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/sas"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	host = "contoso.example"
	all  = sas.Listen | sas.Send | sas.Manage
)

func testRule(name string, rights sas.Right, key string) Rule {
	return Rule{Name: name, Rights: rights, PrimaryKey: key, SecondaryKey: key + "-secondary"}
}

// testDefinition has rules on both levels: "shared" is the name of two.
func testDefinition() Definition {
	d := Definition{
		Name: "contoso", Hosts: []string{host, "127.0.0.1"},
		Rules: []Rule{
			testRule("root", all, "root-key"), testRule("send", sas.Send, "send-key"),
			testRule("shared", sas.Listen, "outer-key"),
		},
		HybridConnections: entities("hyco", "sibling", "hyco/nested", "open"),
	}
	d.HybridConnections[0].Rules = []Rule{
		testRule("own", sas.Listen|sas.Send, "own-key"), testRule("shared", sas.Send, "inner-key"),
	}
	d.HybridConnections[3].RequiresClientAuthorization = false
	return d
}

// request is one call of Authorize; zero values stand for the usual.
type request struct {
	path  string    // "hyco"
	right sas.Right // Listen
	sr    string    // http://contoso.example/hyco
	rule  string    // root
	key   string    // that of the rule root
	late  time.Duration
	token string // instead of all that
}

func (r request) authorize(a *Authorizer, s *Snapshot) (Grant, error) {
	def := func(text *string, usual string) {
		if *text == "" {
			*text = usual
		}
	}
	def(&r.path, "hyco")
	def(&r.sr, "http://"+host+"/hyco")
	def(&r.rule, "root")
	def(&r.key, "root-key")
	def(&r.token, sas.Sign(r.sr, r.rule, r.key, now))
	if r.token == "none" {
		r.token = ""
	}
	if r.right == 0 {
		r.right = sas.Listen
	}
	n := s.Lookup(host)
	e, _ := n.Find(r.path)
	return a.Authorize(n, r.path, e, r.token, r.right, now.Add(r.late))
}

// code is what the tests compare: empty for a grant.
func code(err error) string {
	var refusal *hyco.Refusal
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

var authorizeCases = []struct {
	name string
	r    request
	want string
}{
	{"listen", request{}, ""},
	{"send", request{right: sas.Send}, ""},
	{"rule name folds case", request{rule: "ROOT"}, ""},
	{"item 12: listener with a wrong key", request{key: "wrong"}, "InvalidSignature"},
	{"item 13: sender with a wrong key", request{right: sas.Send, key: "x"}, "InvalidSignature"},
	{"item 14: no token", request{right: sas.Send, token: "none"}, "MissingToken"},
	{"no token to an unknown entity", request{path: "x", token: "none"}, "MissingToken"},
	{"item 16: namespace scope", request{sr: "sb://" + host, right: sas.Send}, ""},
	{"unknown rule", request{rule: "nobody"}, "InvalidSignature"},
	{"key of another rule", request{rule: "send"}, "InvalidSignature"},
	{"item 73: garbage", request{token: "com.x.SecurityToken@1b2c"}, "MalformedToken"},
	{"huge token", request{token: strings.Repeat("x", 1<<20)}, "MalformedToken"},
	{"no host in sr", request{sr: "http:///hyco"}, "MalformedToken"},

	{"item 70: primary key", request{rule: "own", key: "own-key"}, ""},
	{"item 70: secondary key", request{rule: "own", key: "own-key-secondary"}, ""},
	{"item 70: secondary key of the namespace", request{key: "root-key-secondary"}, ""},
	{"item 70: entity rule at a sibling", request{path: "sibling", rule: "own", key: "own-key",
		sr: "http://" + host + "/sibling"}, "InvalidSignature"},
	{"item 70: entity rule at a nested one", request{path: "hyco/nested", rule: "own",
		key: "own-key"}, "InvalidSignature"},
	{"item 70: entity scope at a sibling", request{path: "sibling"}, "InvalidAudience"},
	{"item 70: send token to listen", request{rule: "send", key: "send-key"}, "MissingClaim"},
	{"item 70: send token to send", request{rule: "send", key: "send-key",
		right: sas.Send}, ""},
	{"listen token to send", request{path: "sibling", sr: "http://" + host, right: sas.Send,
		rule: "shared", key: "outer-key"}, "MissingClaim"},

	{"both rules: the entity's", request{rule: "shared", key: "inner-key", right: sas.Send}, ""},
	{"both rules: the namespace's", request{rule: "shared", key: "outer-key"}, ""},
	{"both rules: the entity's claim", request{rule: "shared", key: "inner-key"}, "MissingClaim"},
	{"both fail: the entity's error", request{rule: "shared", key: "outer-key",
		right: sas.Send}, "InvalidSignature"},
	{"both rules and no key", request{rule: "shared"}, "InvalidSignature"},

	{"suffix", request{path: "hyco/a/b"}, ""},
	{"scope below the request", request{sr: "http://" + host + "/hyco/a"}, "InvalidAudience"},
	{"scope of the suffix", request{path: "hyco/a/b", sr: "http://" + host + "/hyco/a"}, ""},
	{"longer name", request{sr: "http://" + host + "/hyc"}, "InvalidAudience"},
	{"scope of the nested one, doubled slash", request{path: "hyco//nested",
		sr: "http://" + host + "/hyco/nested"}, "InvalidAudience"},
	{"other host", request{sr: "http://other.example/hyco"}, "InvalidAudience"},
	{"second host", request{sr: "http://127.0.0.1:8443/hyco"}, ""},

	{"at the expiry", request{}, ""},
	{"in the skew", request{late: DefaultSkew}, ""},
	{"after the skew", request{late: DefaultSkew + 1}, "ExpiredToken"},
	{"expired with a wrong key", request{key: "x", late: time.Hour}, "InvalidSignature"},
	{"expired elsewhere", request{path: "sibling", late: time.Hour}, "ExpiredToken"},

	{"unknown entity, namespace scope", request{path: "x", sr: "http://" + host}, "NoSuchEntity"},
	{"unknown entity, scope for it", request{path: "x", sr: "http://" + host + "/x"},
		"NoSuchEntity"},
	{"unknown entity, other scope", request{path: "x"}, "InvalidAudience"},
	{"unknown entity, claim missing", request{path: "x", sr: "http://" + host, rule: "send",
		key: "send-key"}, "MissingClaim"},
	{"unknown entity, wrong key", request{path: "x", key: "x"}, "InvalidSignature"},
	{"encoded slash in a name is a slash", request{path: "hyco/nested"}, ""},
	{"control characters", request{path: "hyco/\x00\r\n\xff"}, ""},

	{"anonymous sender", request{path: "open", right: sas.Send, token: "none"}, ""},
	{"anonymous sender's token is ignored", request{path: "open", right: sas.Send,
		token: "junk"}, ""},
	{"listener of an anonymous entity", request{path: "open", token: "none"}, "MissingToken"},
	{"the same with junk", request{path: "open", token: "junk"}, "MalformedToken"},
}

// TestAuthorize asks each question twice, so that the answer comes from the
// cache as well, and once without a cache.
func TestAuthorize(t *testing.T) {
	snap := newSnapshot(t, testDefinition())
	cached := NewAuthorizer(AuthorizerConfig{Skew: DefaultSkew, CacheMax: 1000})
	plain := NewAuthorizer(AuthorizerConfig{Skew: DefaultSkew})
	for _, c := range authorizeCases {
		for i, a := range []*Authorizer{cached, cached, plain} {
			grant, err := c.r.authorize(a, snap)
			if code(err) != c.want {
				t.Errorf("%s, %d: got %v, want %s", c.name, i, err, c.want)
			}
			if good := c.want == "" || c.want == "NoSuchEntity"; !good && grant != (Grant{}) {
				t.Errorf("%s, %d: %v with %v", c.name, i, err, grant)
			}
		}
	}
	if plain.cache.size() != 0 || cached.cache.size() == 0 {
		t.Errorf("%d and %d cached", plain.cache.size(), cached.cache.size())
	}
}

// TestRefusalTexts: status and texts that client suites look for (items 12,
// 13), and the path in the phrase.
func TestRefusalTexts(t *testing.T) {
	snap := newSnapshot(t, testDefinition())
	a := NewAuthorizer(AuthorizerConfig{})
	for _, c := range []struct {
		name string
		r    request
		want string
	}{
		{"item 12", request{key: "wrong"}, "token has an invalid signature"},
		{"item 13", request{key: "wrong", right: sas.Send}, "token"},
		{"claim", request{rule: "send", key: "send-key"}, "specified action: Listen."},
		{"expired", request{late: time.Second}, "Expiration time: '2030-01-01T00:00:00Z'"},
	} {
		_, err := c.r.authorize(a, snap)
		var refusal *hyco.Refusal
		if !errors.As(err, &refusal) || refusal.Status != 401 || refusal.CloseCode != 1008 {
			t.Errorf("%s: got %+v", c.name, err)
			continue
		}
		phrase := hyco.ReasonPhrase(refusal.Text, "id_G0", host, "hyco", now)
		if !strings.Contains(phrase, c.want) || !strings.Contains(phrase, "/hyco,") ||
			strings.Contains(phrase, "key") {
			t.Errorf("%s: got %s", c.name, phrase)
		}
	}
	forbidding := NewAuthorizer(AuthorizerConfig{MissingClaimStatus: 403})
	_, err := request{rule: "send", key: "send-key"}.authorize(forbidding, snap)
	var refusal *hyco.Refusal
	if !errors.As(err, &refusal) || refusal.Status != 403 || refusal.Code != "MissingClaim" {
		t.Errorf("got %+v", err)
	}
}

// TestClientShapes signs as each client does (item 71; docs/protocol.md,
// section 6.4), for entities at a host with and without port.
func TestClientShapes(t *testing.T) {
	snap := newSnapshot(t, testDefinition())
	upper := url.QueryEscape
	lowerCase := func(s string) string {
		s = url.QueryEscape(s)
		for _, escape := range []string{"%3A", "%2F"} {
			s = strings.ReplaceAll(s, escape, strings.ToLower(escape))
		}
		return s
	}
	raw := func(s string) string { return s }
	for _, c := range []struct{ name, sr string }{
		{".NET", "http://" + host + "/hyco/"},
		{"Node, from a URI", "http://" + host + ":443/hyco"},
		{"Node, from a URI with suffix", "http://" + host + ":443/hyco/sub"},
		{"Node, local gateway", "http://127.0.0.1:8443/hyco"},
		{"Node samples", "http://" + host},
		{"Java client", "sb://" + host + ":8443"},
		{"Java client, no port", "sb://" + host},
		{"Java listener", "sb://" + host + "/hyco"},
		{"Java listener with port", "sb://" + host + ":8443/hyco"},
		{"Python, aztunnel", "https://" + host + "/hyco"},
		{"capitals", "HTTP://CONTOSO.example/HYCO/"},
	} {
		for i, escape := range []func(string) string{upper, lowerCase, raw} {
			for _, format := range []string{
				"SharedAccessSignature sr=%s&sig=%s&se=%d&skn=own",
				"SharedAccessSignature skn=own&se=%[3]d&sig=%[2]s&sr=%[1]s",
			} {
				sr := escape(c.sr)
				token := fmt.Sprintf(format, sr, signature(sr), now.Unix())
				a := NewAuthorizer(AuthorizerConfig{CacheMax: 1})
				for range 2 {
					g, err := request{path: "hyco/sub/x", token: token}.authorize(a, snap)
					if err != nil || g != (Grant{now, "own"}) {
						t.Errorf("%s, escape %d: got %v, %v", c.name, i, g, err)
					}
				}
			}
		}
	}
}

// signature signs sr as it stands with the key of the rule own.
func signature(sr string) string {
	mac := hmac.New(sha256.New, []byte("own-key"))
	mac.Write([]byte(sr + "\n" + strconv.FormatInt(now.Unix(), 10)))
	return url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func TestSingleNamespaceWithoutHosts(t *testing.T) {
	d := testDefinition()
	d.Hosts = nil
	snap := newSnapshot(t, d)
	a := NewAuthorizer(AuthorizerConfig{})
	for _, sr := range []string{"http://localhost:8080/hyco", "sb://[::1]/"} {
		if _, err := (request{sr: sr}).authorize(a, snap); err != nil {
			t.Errorf("%s: %v", sr, err)
		}
	}
}

func TestUnknownNamespace(t *testing.T) {
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 1})
	token := sas.Sign("http://"+host, "root", "root-key", now)
	if _, err := a.Authorize(nil, "hyco", nil, token, sas.Listen, now); code(err) !=
		"InvalidSignature" {
		t.Errorf("got %v", err)
	}
}

// TestCacheFollowsTheSnapshot: a changed key ends the life of cached tokens.
func TestCacheFollowsTheSnapshot(t *testing.T) {
	d := testDefinition()
	before := newSnapshot(t, d)
	d.Rules[0].PrimaryKey = "new-key"
	after := newSnapshot(t, d)
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 100})
	for i, c := range []struct {
		snap *Snapshot
		key  string
		want string
	}{
		{before, "root-key", ""}, {before, "root-key", ""}, {after, "root-key", "InvalidSignature"},
		{after, "new-key", ""}, {before, "new-key", "InvalidSignature"}, {before, "root-key", ""},
		{after, "root-key", "InvalidSignature"},
	} {
		if _, err := (request{key: c.key}).authorize(a, c.snap); code(err) != c.want {
			t.Errorf("%d: got %v, want %s", i, err, c.want)
		}
	}
}

func TestCacheBound(t *testing.T) {
	snap := newSnapshot(t, testDefinition())
	for _, limit := range []int{1, 7, 64} {
		a := NewAuthorizer(AuthorizerConfig{CacheMax: limit})
		for i := range 500 {
			key, want := "root-key", ""
			if i%2 == 1 {
				key, want = "wrong", "InvalidSignature"
			}
			sr := fmt.Sprintf("http://%s/hyco/%d", host, i)
			r := request{path: fmt.Sprint("hyco/", i), sr: sr, key: key}
			if _, err := r.authorize(a, snap); code(err) != want {
				t.Errorf("%d: got %v", i, err)
			}
			if n := a.cache.size(); n > limit || n == 0 {
				t.Fatalf("%d: %d cached, limit %d", i, n, limit)
			}
		}
	}
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 1})
	for _, late := range []time.Duration{0, 1, 1} {
		_, _ = request{late: late}.authorize(a, snap)
	}
	if n := a.cache.size(); n != 0 {
		t.Errorf("%d expired proofs are cached", n)
	}
}

// TestAuthorizeFromManyLoops is for the race detector.
func TestAuthorizeFromManyLoops(t *testing.T) {
	snaps := []*Snapshot{newSnapshot(t, testDefinition()), newSnapshot(t, testDefinition())}
	a := NewAuthorizer(AuthorizerConfig{CacheMax: 20})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				sr := fmt.Sprintf("http://%s/hyco/%d", host, (i+g)%50)
				r := request{path: fmt.Sprint("hyco/", (i+g)%50), sr: sr}
				if _, err := r.authorize(a, snaps[i/100%2]); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestGone: whoever had a right at an entity learns that it is gone, whether it
// was removed, disabled or left out of a file; strangers do not.
func TestGone(t *testing.T) {
	d := testDefinition()
	var store Store
	store.Swap(newSnapshot(t, d))
	a := NewAuthorizer(AuthorizerConfig{Skew: DefaultSkew, CacheMax: 100})
	ask := func(what string, want string) {
		t.Helper()
		s := store.Load()
		for _, c := range []struct {
			r    request
			want string
		}{
			{request{rule: "own", key: "own-key", right: sas.Send}, want},
			{request{rule: "own", key: "own-key", path: "hyco/x", right: sas.Send}, want},
			{request{rule: "own", key: "own-key"}, want},
			{request{right: sas.Send}, want},
			{request{rule: "own", key: "wrong", right: sas.Send}, "InvalidSignature"},
			{request{rule: "other", key: "x", right: sas.Send}, "InvalidSignature"},
			{request{token: "none", right: sas.Send}, "MissingToken"},
			{request{path: "never", rule: "own", key: "own-key", right: sas.Send}, "InvalidSignature"},
		} {
			if _, err := c.r.authorize(a, s); code(err) != c.want {
				t.Errorf("%s: %+v: got %v, want %s", what, c.r, err, c.want)
			}
		}
		open := request{path: "open", right: sas.Send, token: "none"}
		if _, err := open.authorize(a, s); code(err) != want {
			t.Errorf("%s: the anonymous one: got %v, want %s", what, err, want)
		}
	}
	change := func(changes ...Change) { t.Helper(); store.Swap(apply(t, store.Load(), changes...)) }
	ask("there", "")
	change(DeleteEntity("contoso", 0, "hyco"), DeleteEntity("contoso", 0, "open"))
	ask("deleted", "NoSuchEntity")
	// Nobody may make it again by a rule that went with it.
	n := store.Load().Namespace("contoso")
	manage := sas.Sign("http://"+host+"/hyco", "own", "own-key", now)
	if _, err := a.Authorize(n, "hyco", nil, manage, sas.Manage, now); code(err) != "InvalidSignature" {
		t.Errorf("to manage: got %v", err)
	}
	store.Swap(newSnapshot(t, d))
	ask("there again", "")
	off := d.HybridConnections[0]
	off.Disabled = true
	anonymous := d.HybridConnections[3]
	anonymous.Disabled = true
	change(PutEntity("contoso", off), PutEntity("contoso", anonymous))
	ask("disabled", "NoSuchEntity")
	store.Swap(newSnapshot(t, d))
	less := d
	less.HybridConnections = d.HybridConnections[1:3]
	store.Swap(newSnapshot(t, less))
	ask("left out", "NoSuchEntity")
	change(PutEntity("contoso", d.HybridConnections[0]), PutEntity("contoso", d.HybridConnections[3]))
	ask("put", "")
}

func TestGoneIsBounded(t *testing.T) {
	s := newSnapshot(t, Definition{Name: "n"})
	for i := range goneMax + 10 {
		name := fmt.Sprint("e", i)
		s = apply(t, s, PutEntity("n", Entity{Name: name}), DeleteEntity("n", 0, name))
	}
	if got := len(s.Namespace("n").gone); got != goneMax {
		t.Errorf("%d are remembered, limit %d", got, goneMax)
	}
}
