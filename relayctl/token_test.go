package relayctl

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

// TestTokenCreate reads what was made; tokens of the API and offline ones.
func TestTokenCreate(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{})
	s.rule("namespaces/contoso/hybridConnections/orders", "app", "Listen")
	keyFile := s.file("app.key", "a-key-of-a-file\n")
	csFile := s.file("cs", "Endpoint=sb://h:8443/;SharedAccessKeyName=n;SharedAccessKey=key-of-cs;EntityPath=e")
	for _, c := range []struct {
		args, rule, resource, key string
		life                      time.Duration
	}{
		{"--hyco orders", "app", "contoso.example.com/orders", "primary-key-of-app", time.Hour},
		{"--hyco orders --rule app --secondary --ttl 20m", "app", "contoso.example.com/orders", "secondary-key-of-app", 20 * time.Minute},
		{"--hyco orders --rule RootManageSharedAccessKey", "RootManageSharedAccessKey", "contoso.example.com/orders", "primary-key-of-RootManageSharedAccessKey", time.Hour},
		{"--rule RootManageSharedAccessKey", "RootManageSharedAccessKey", "contoso.example.com/", "primary-key-of-RootManageSharedAccessKey", time.Hour},
		{"--uri https://other/x --rule RootManageSharedAccessKey", "RootManageSharedAccessKey", "other/x", "primary-key-of-RootManageSharedAccessKey", time.Hour},
		{"--uri http://h/p --key-name n --key the-key-itself", "n", "h/p", "the-key-itself", time.Hour},
		{"--uri http://h/p --key-name n --key file:" + keyFile, "n", "h/p", "a-key-of-a-file", time.Hour},
		{"--connection-string file:" + csFile, "n", "h/e", "key-of-cs", time.Hour},
	} {
		r := s.run(append([]string{"token", "create"}, strings.Fields(c.args)...)...)
		if r.status != 0 {
			t.Errorf("%s: status %d: %s", c.args, r.status, r.err)
			continue
		}
		token, err := sas.Parse(strings.TrimSuffix(r.out, "\n"))
		if err != nil {
			t.Errorf("%s: %q: %v", c.args, r.out, err)
			continue
		}
		a, err := sas.ParseAudience(token.Resource)
		if err != nil || a.Host+"/"+a.Path != c.resource || token.KeyName != c.rule ||
			!token.SignedBy(c.key) || !token.Expiry.Equal(testNow.Add(c.life)) {
			t.Errorf("%s: got %v", c.args, token)
		}
	}
	for args, want := range map[string]string{
		"":                             "say for what: --hyco NAME, --rule NAME, or --uri URI",
		"--key-name n --uri http://h/": "without a gateway, want all of --uri, --key-name and --key",
		"--hyco orders --ttl 0s":       "--ttl: want 1s to 87600h, got 0s",
		"--uri http:// --key-name n --key abcdefgh":       "--uri: want http://HOST/PATH",
		"--connection-string Endpoint=sb://h/;Key=secret": "--connection-string: malformed connection string: segment 2: unknown key",
		"--connection-string Endpoint=sb://h/":            "the connection string has no key to sign with",
		"--hyco x --connection-string file:" + csFile:     "the connection string is for e, not for x",
	} {
		r := s.run(append([]string{"token", "create"}, strings.Fields(args)...)...)
		if r.status != 2 || r.err != "relayctl: "+want+"\n" {
			t.Errorf("%s: status %d: %s", args, r.status, r.err)
		}
	}
}

// TestTokenInspect holds each reason that a token is refused for.
func TestTokenInspect(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{"requiresClientAuthorization": false})
	s.entity("contoso", "hybridConnections", "site-a/api", map[string]any{})
	s.entity("contoso", "hybridConnections", "closed", map[string]any{"status": "Disabled"})
	s.entity("contoso", "wcfRelays", "echo", map[string]any{})
	s.rule("namespaces/contoso/hybridConnections/orders", "app", "Listen")
	s.rule("namespaces/contoso/hybridConnections/site-a%2Fapi", "app", "Send")
	s.rule("namespaces/contoso/hybridConnections/closed", "own", "Listen")
	const root, host = "RootManageSharedAccessKey", "contoso.example.com"
	sign := func(resource, rule, key string, left time.Duration) string {
		return sas.Sign(resource, rule, key, testNow.Add(left))
	}
	app := sign("http://"+host+"/orders", "app", "primary-key-of-app", time.Hour)
	for _, c := range []struct {
		name, token, args string
		status            int
		want              []string // Lines of the table, in order.
	}{
		{"one right", app, "", 0, []string{
			"rule      app", "resource  contoso.example.com/orders", "expires   2026-11-26T13:00:00Z (in 1h0m0s)",
			"Listen    accepted",
			"Send      refused: missing right: the rule app of the hybrid connection orders has no right Send",
			"Manage    refused: missing right: the rule app of the hybrid connection orders has no right Manage"}},
		{"that right", app, "--right listen", 0, []string{"Listen    accepted"}},
		{"another right", app, "--right Send", 1, []string{"Send      refused: missing right"}},
		{"secondary key", sign("sb://"+host+"/ORDERS/", "APP", "secondary-key-of-app", time.Hour), "", 0, []string{"Listen    accepted"}},
		{"several segments", sign("http://"+host+"/site-a/api/v1", "app", "primary-key-of-app", time.Hour), "", 0,
			[]string{"Listen    refused: missing right: the rule app of the hybrid connection site-a/api", "Send      accepted"}},
		{"namespace", sign("http://"+host, root, "primary-key-of-"+root, time.Hour), "", 0,
			[]string{"Listen    accepted", "Send      accepted", "Manage    accepted"}},
		{"namespace, at an entity", sign("http://"+host, root, "primary-key-of-"+root, time.Hour), "--hyco orders", 0,
			[]string{"Listen    accepted"}},
		{"WCF relay", sign("http://"+host+"/echo", root, "primary-key-of-"+root, time.Hour), "", 0, []string{"Listen    accepted"}},
		{"almost expired", sign("http://"+host+"/orders", "app", "primary-key-of-app", -time.Minute), "", 0, []string{
			"expires   2026-11-26T11:59:00Z (expired 1m0s ago; gateways take it for 4m0s more)", "Listen    accepted"}},
		{"expired", sign("http://"+host+"/orders", "app", "primary-key-of-app", -time.Hour), "", 1, []string{
			"expires   2026-11-26T11:00:00Z", "refused   expired 1h0m0s ago"}},
		{"unknown rule", sign("http://"+host+"/orders", "nope", "k", time.Hour), "", 1, []string{
			"Listen    refused: unknown rule: the hybrid connection orders has no rule nope, nor has its namespace"}},
		{"rule name of dots", sign("http://"+host+"/orders", "..", "k", time.Hour), "", 1, []string{"Listen    refused: unknown rule"}},
		{"wrong signature", sign("http://"+host+"/orders", "app", "old", time.Hour), "", 1, []string{
			"Listen    refused: wrong signature: no key of the rule app of the hybrid connection orders signed it; were the keys renewed?"}},
		{"wrong audience", app, "--hyco site-a/api", 1, []string{
			"Listen    refused: wrong audience: it is for contoso.example.com/orders, and not for "}},
		{"no entity", sign("http://"+host+"/absent", root, "primary-key-of-"+root, time.Hour), "", 1, []string{
			"Listen    refused: there is no hybrid connection or WCF relay at /absent"}},
		{"disabled", sign("http://"+host+"/closed", root, "primary-key-of-"+root, time.Hour), "", 1, []string{
			"Listen    refused: the hybrid connection closed is disabled"}},
		{"disabled, its own rule", sign("http://"+host+"/closed", "own", "primary-key-of-own", time.Hour), "", 1, []string{
			"Listen    refused: the hybrid connection closed is disabled"}},
		{"malformed", "SharedAccessSignature sr=x&se=1", "", 1, []string{"refused  malformed token: want all of sr, sig, se, skn"}},
		{"another kind", "eyJhbGciOi.eyJhdWQi.c2ln", "", 1, []string{"refused  malformed token: want SharedAccessSignature and one blank"}},
		{"no host", sign("http://", "app", "k", time.Hour), "", 1, []string{"refused   malformed token: sr names no host"}},
		{"offline", sign("http://h/x", "app", "k", time.Hour), "--offline", 0, []string{"resource  h/x"}},
		{"offline, expired", sign("http://h/x", "app", "k", -time.Hour), "--offline", 1, []string{"refused   expired 1h0m0s ago"}},
	} {
		r := s.run(append([]string{"token", "inspect", c.token}, strings.Fields(c.args)...)...)
		if r.status != c.status || r.err != "" {
			t.Errorf("%s: status %d: %s", c.name, r.status, r.err)
		}
		rest := r.out
		for _, line := range c.want {
			_, after, ok := strings.Cut(rest, line)
			if !ok {
				t.Errorf("%s: no %q in\n%s", c.name, line, r.out)
			}
			rest = after
		}
		if strings.Contains(r.out, "sig=") {
			t.Errorf("%s: the signature is shown: %s", c.name, r.out)
		}
	}
}

// TestTokenInspectByHost: of several namespaces, the token's host chooses.
func TestTokenInspectByHost(t *testing.T) {
	s := newStandIn(t)
	s.namespace("fabrikam")
	s.put("namespaces/fabrikam", map[string]any{"properties": map[string]any{
		"hosts": []string{"relay.fabrikam.com", "alias"}, "serviceBusEndpoint": "https://relay.fabrikam.com:8443/",
	}})
	for _, c := range []struct {
		host   string
		args   []string
		status int
		want   string
	}{
		{"Alias", nil, 0, "Listen    accepted"},
		{"relay.fabrikam.com:8443", nil, 0, "Listen    accepted"},
		{"nowhere", []string{"-n", "fabrikam"}, 1, "refused: wrong audience: it is for nowhere/, and not for relay.fabrikam.com/"},
		{"nowhere", nil, 2, "rule      RootManageSharedAccessKey"},
	} {
		token := sas.Sign("http://"+c.host, "RootManageSharedAccessKey",
			"primary-key-of-RootManageSharedAccessKey", testNow.Add(time.Hour))
		r := s.run(append([]string{"token", "inspect", token}, c.args...)...)
		if r.status != c.status || !strings.Contains(r.out, c.want) {
			t.Errorf("%s %v: status %d: %s%s", c.host, c.args, r.status, r.out, r.err)
		}
	}
}

// TestTokenInspectJSON: for scripts.
func TestTokenInspectJSON(t *testing.T) {
	s := newStandIn(t)
	token := sas.Sign("http://contoso.example.com/", "RootManageSharedAccessKey", "wrong-key", testNow.Add(time.Hour))
	around := s.surroundings(token + "\n")
	r := runWith(t, around, append(s.flags(), "token", "inspect", "-", "-o", "json")...)
	var got struct {
		Rule, Resource, Expires string
		Verdicts                []struct {
			Right, Reason string
			Accepted      bool
		}
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.status != 1 || len(got.Verdicts) != 3 ||
		got.Verdicts[0].Right != "Listen" || got.Verdicts[0].Accepted ||
		!strings.HasPrefix(got.Verdicts[0].Reason, "wrong signature") {
		t.Errorf("status %d, %v: %s%s", r.status, err, r.out, r.err)
	}
}
