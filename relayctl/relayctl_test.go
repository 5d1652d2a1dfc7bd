package relayctl

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// rewrite writes the golden files anew: go test ./relayctl -rewrite. Read the
// difference: help texts are what users have.
var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestHelp compares all help texts with those in testdata/help.
func TestHelp(t *testing.T) {
	root := (&app{Surroundings: Surroundings{Env: func(string) string { return "" }}}).root()
	texts := map[string]string{"relayctl": helpOf(t)}
	var walk func(file string, c *cobra.Command)
	walk = func(file string, c *cobra.Command) {
		words := strings.Fields(c.CommandPath())[1:]
		texts[file] += "## " + c.CommandPath() + "\n\n" + helpOf(t, words...) + "\n"
		for _, below := range c.Commands() {
			walk(file, below)
		}
	}
	for _, c := range root.Commands() {
		if name := c.Name(); name != "completion" && name != "help" {
			walk(name, c)
		}
	}
	texts["options"] = runWith(t, Surroundings{Env: func(string) string { return "" }}, "options").out
	for name, text := range texts {
		golden(t, filepath.Join("testdata", "help", name+".txt"), text)
		for line := range strings.Lines(text) {
			if len([]rune(line)) > 101 {
				t.Errorf("%s: a line is too wide: %s", name, line)
			}
		}
	}
}

func helpOf(t *testing.T, words ...string) string {
	t.Helper()
	r := runWith(t, Surroundings{Env: func(string) string { return "" }}, append(words, "--help")...)
	if r.status != 0 || r.err != "" {
		t.Errorf("%q: status %d, %s", words, r.status, r.err)
	}
	return r.out
}

func golden(t *testing.T, file, text string) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s differs; go test ./relayctl -rewrite writes it anew. Now it is:\n%s", file, text)
	}
}

// TestRequests holds what each command asks of the API. S is the subscription,
// /G/N the namespaces of the resource group default.
func TestRequests(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		// Namespaces.
		{"namespace create fabrikam", `PUT S/G/N/fabrikam (preview) {"location":"local","sku":{"name":"Standard","tier":"Standard"}}`},
		{"namespace create -n fabrikam -l westeurope --tags a=1 b=x=y --sku Standard --tier Standard --no-wait",
			`PUT S/G/N/fabrikam (preview) {"location":"westeurope","sku":{"name":"Standard","tier":"Standard"},"tags":{"a":"1","b":"x=y"}}`},
		{"namespace create --namespace-name fabrikam --minimum-tls-version 1.3 --public-network-access Disabled --hosts h1,h2 h3",
			`PUT S/G/N/fabrikam (preview) {"location":"local","properties":{"hosts":["h1","h2","h3"],"minimumTlsVersion":"1.3","publicNetworkAccess":"Disabled"},"sku":{"name":"Standard","tier":"Standard"}}`},
		{"namespace update contoso --tags a=1", `PATCH S/G/N/contoso (preview) {"tags":{"a":"1"}}`},
		{`namespace update contoso --tags `, `PATCH S/G/N/contoso (preview) {"tags":{}}`},
		{"namespace show contoso", "GET S/G/N/contoso (preview)"},
		{"namespace list", "GET S/P/namespaces (preview)"},
		{"namespace list -g default", "GET S/G/N (preview)"},
		{"namespace list -g other -o json", "GET S/resourceGroups/other/P/namespaces (preview)"},
		{"namespace delete contoso -y", "DELETE S/G/N/contoso (preview)"},
		{"namespace exists --name contoso", `POST S/P/checkNameAvailability (preview) {"name":"contoso"}`},
		{"namespace show contoso --subscription 7", "GET /subscriptions/7/G/N/contoso (preview)"},

		// Network rules.
		{"namespace network-rule-set show --namespace-name contoso", "GET S/G/N/contoso/networkRuleSets/default"},
		{"namespace network-rule-set update -n contoso --default-action Deny --ip-rules 10.0.0.0/8 2001:db8::/32=deny",
			"GET S/G/N/contoso/networkRuleSets/default\n" +
				`PUT S/G/N/contoso/networkRuleSets/default {"properties":{"defaultAction":"Deny","ipRules":[{"ipMask":"10.0.0.0/8","action":"Allow"},{"ipMask":"2001:db8::/32","action":"Deny"}]}}`},
		{"namespace network-rule-set update -n contoso -t true --ip-rules ip-mask=10.0.0.1 action=Allow ipMask=10.0.0.2",
			"GET S/G/N/contoso/networkRuleSets/default\n" +
				`PUT S/G/N/contoso/networkRuleSets/default {"properties":{"defaultAction":"Allow","ipRules":[{"ipMask":"10.0.0.1","action":"Allow"},{"ipMask":"10.0.0.2","action":"Allow"}],"trustedServiceAccessEnabled":true}}`},
		{"namespace network-rule-set create -n contoso --ip-rules [{ip-mask:2001:db8::1,action:Allow},{ip-mask:10.0.0.0/8}]",
			"GET S/G/N/contoso/networkRuleSets/default\n" +
				`PUT S/G/N/contoso/networkRuleSets/default {"properties":{"defaultAction":"Allow","ipRules":[{"ipMask":"2001:db8::1","action":"Allow"},{"ipMask":"10.0.0.0/8","action":"Allow"}]}}`},

		// Hybrid connections.
		{"hyco create a --namespace-name contoso", `PUT S/G/N/contoso/hybridConnections/a {"properties":{}}`},
		{"hyco create -n site-a/api --namespace-name contoso -c false --user-metadata x --status Disabled",
			`PUT S/G/N/contoso/hybridConnections/site-a%2Fapi {"properties":{"requiresClientAuthorization":false,"status":"Disabled","userMetadata":"x"}}`},
		{"hyco create --hybrid-connection-name a --namespace-name contoso -c --listeners-max 3 --http-response-timeout never --http-body-gap 5s --http-delivery rendezvous",
			`PUT S/G/N/contoso/hybridConnections/a {"properties":{"httpBodyGap":"5s","httpDelivery":"rendezvous","httpResponseTimeout":"never","listenersMax":3,"requiresClientAuthorization":true}}`},
		{"hyco create a -c yes", "GET S/P/namespaces (preview)\n" +
			`PUT S/G/N/contoso/hybridConnections/a {"properties":{"requiresClientAuthorization":true}}`},
		{"hyco show orders --namespace-name contoso", "GET S/G/N/contoso/hybridConnections/orders"},
		{"hyco list --namespace-name contoso", "GET S/G/N/contoso/hybridConnections"},
		{"hyco update orders --namespace-name contoso --status Disabled",
			"GET S/G/N/contoso/hybridConnections/orders\n" +
				`PUT S/G/N/contoso/hybridConnections/orders {"properties":{"requiresClientAuthorization":false,"status":"Disabled","userMetadata":"kept"}} if "7"`},
		{"hyco delete orders --namespace-name contoso --yes", "DELETE S/G/N/contoso/hybridConnections/orders"},
		{"hyco delete absent --namespace-name contoso", "DELETE S/G/N/contoso/hybridConnections/absent"},

		// WCF relays.
		{"wcfrelay create w --namespace-name contoso --relay-type NetTcp --requires-transport-security false -c true",
			`PUT S/G/N/contoso/wcfRelays/w {"properties":{"relayType":"NetTcp","requiresClientAuthorization":true,"requiresTransportSecurity":false}}`},
		{"wcfrelay update echo --namespace-name contoso --user-metadata m",
			"GET S/G/N/contoso/wcfRelays/echo\n" +
				`PUT S/G/N/contoso/wcfRelays/echo {"properties":{"relayType":"Http","userMetadata":"m"}} if "7"`},
		{"wcfrelay list --namespace-name contoso", "GET S/G/N/contoso/wcfRelays"},
		{"wcfrelay show -n echo --namespace-name contoso", "GET S/G/N/contoso/wcfRelays/echo"},
		{"wcfrelay delete --relay-name echo --namespace-name contoso", "DELETE S/G/N/contoso/wcfRelays/echo"},

		// Rules, in az's words and ours.
		{"namespace authorization-rule create --namespace-name contoso -n app --rights Listen Send",
			`PUT S/G/N/contoso/authorizationRules/app {"properties":{"rights":["Listen","Send"]}}`},
		{"hyco authorization-rule create --namespace-name contoso --hybrid-connection-name site-a/api --name r/1 --rights manage,send Listen",
			`PUT S/G/N/contoso/hybridConnections/site-a%2Fapi/authorizationRules/r%2F1 {"properties":{"rights":["Listen","Send","Manage"]}}`},
		{"hyco authorization-rule create --hyco orders --namespace-name contoso --rights Listen --authorization-rule-name new",
			`PUT S/G/N/contoso/hybridConnections/orders/authorizationRules/new {"properties":{"rights":["Listen"]}}`},
		{"wcfrelay authorization-rule create --namespace-name contoso --relay-name echo -n r --rights=Send",
			`PUT S/G/N/contoso/wcfRelays/echo/authorizationRules/r {"properties":{"rights":["Send"]}}`},
		{"rule create new --hyco orders --namespace-name contoso --rights Listen --rights Send",
			`PUT S/G/N/contoso/hybridConnections/orders/authorizationRules/new {"properties":{"rights":["Listen","Send"]}}`},
		{"rule create --rights Send --wcfrelay echo -n new --namespace-name contoso",
			`PUT S/G/N/contoso/wcfRelays/echo/authorizationRules/new {"properties":{"rights":["Send"]}}`},
		{"rule update app --hyco orders --namespace-name contoso --rights Send",
			"GET S/G/N/contoso/hybridConnections/orders/authorizationRules/app\n" +
				`PUT S/G/N/contoso/hybridConnections/orders/authorizationRules/app {"properties":{"rights":["Send"]}} if "7"`},
		{"rule list --namespace-name contoso", "GET S/G/N/contoso/authorizationRules"},
		{"rule show app --hybrid-connection-name orders --namespace-name contoso", "GET S/G/N/contoso/hybridConnections/orders/authorizationRules/app"},
		{"rule delete app --hyco orders --namespace-name contoso", "DELETE S/G/N/contoso/hybridConnections/orders/authorizationRules/app"},

		// Keys.
		{"namespace authorization-rule keys list --namespace-name contoso -n RootManageSharedAccessKey",
			"POST S/G/N/contoso/authorizationRules/RootManageSharedAccessKey/listKeys"},
		{"hyco authorization-rule keys renew --namespace-name contoso --hybrid-connection-name orders -n app --key SecondaryKey",
			`POST S/G/N/contoso/hybridConnections/orders/authorizationRules/app/regenerateKeys {"keyType":"SecondaryKey"}`},
		{"key renew app --hyco orders --namespace-name contoso --key primary --key-value k1234567",
			`POST S/G/N/contoso/hybridConnections/orders/authorizationRules/app/regenerateKeys {"key":"k1234567","keyType":"PrimaryKey"}`},
		{"key list app --hyco orders --namespace-name contoso", "POST S/G/N/contoso/hybridConnections/orders/authorizationRules/app/listKeys"},
	} {
		s := newStandIn(t)
		s.entity("contoso", "hybridConnections", "orders", map[string]any{
			"requiresClientAuthorization": false, "userMetadata": "kept", "listenerCount": 2,
			"createdAt": "2026-11-26T10:00:00.1234567Z",
		})
		s.entity("contoso", "wcfRelays", "echo", map[string]any{"relayType": "Http", "isDynamic": false})
		s.rule("namespaces/contoso/hybridConnections/orders", "app", "Listen")
		args := strings.Split(c.args, " ")
		if r := s.run(args...); r.status != 0 || r.err != "" {
			t.Errorf("%s: status %d: %s", c.args, r.status, r.err)
		}
		if got := s.taken(); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.args, got, c.want)
		}
	}
}

// TestUpdateSendsETag: what somebody else changed in between stays.
func TestUpdateSendsETag(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{})
	s.answers["PUT /subscriptions/"+subscriptionDefault+
		"/resourceGroups/default/providers/Microsoft.Relay/namespaces/contoso/hybridConnections/orders"] =
		answer{412, `{"error":{"code":"PreconditionFailed","message":"The ETag differs."}}`, nil}
	r := s.run("hyco", "update", "orders", "--status", "Disabled")
	want := "relayctl: update the hybrid connection orders: PreconditionFailed: The ETag differs; " +
		"somebody else changed it at the same moment: look at it, and try again\n"
	if r.status != 1 || r.err != want {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// TestOutput holds what is written in each format.
func TestOutput(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{
		"listenerCount": 2, "createdAt": "2026-11-26T10:00:00.1234567Z",
		"userMetadata": "<owned> by\tsales\x1b[31m", "requiresClientAuthorization": false,
	})
	s.entity("contoso", "hybridConnections", "site-a/api", map[string]any{"status": "Disabled"})
	s.rule("namespaces/contoso/hybridConnections/orders", "app", "Listen", "Send")
	for _, c := range []struct{ args, want string }{
		{"hyco list", `
NAME        LISTENERS  SENDERS NEED TOKEN  STATUS
orders      2          false               Active
site-a/api  0          true                Disabled
`},
		{"hyco list -o tsv", "\norders\t2\tfalse\tActive\nsite-a/api\t0\ttrue\tDisabled\n"},
		{"hyco show orders", `
NAME                orders
LISTENERS           2
SENDERS NEED TOKEN  false
STATUS              Active
METADATA            <owned> by sales [31m
CREATED             2026-11-26T10:00:00Z
`},
		{"hyco show orders -o json", `
{
  "createdAt": "2026-11-26T10:00:00.1234567Z",
  "id": "/subscriptions/0/resourceGroups/default/providers/Microsoft.Relay/namespaces/contoso/hybridConnections/orders",
  "listenerCount": 2,
  "name": "orders",
  "requiresClientAuthorization": false,
  "userMetadata": "<owned> by\tsales\u001b[31m"
}
`},
		{"rule list --hyco orders -o yaml", `
- id: /subscriptions/0/resourceGroups/default/providers/Microsoft.Relay/namespaces/contoso/hybridConnections/orders/authorizationRules/app
  name: app
  rights:
    - Listen
    - Send
`},
		{"rule list --hyco orders", "\nNAME  RIGHTS\napp   Listen Send\n"},
		{"rule list --hyco site-a/api -o json", "\n[]\n"},
		{"namespace list", `
NAME     GROUP    STATUS  ENDPOINT
contoso  default  Active  https://contoso.example.com:443/
`},
		{"key list app --hyco orders", `
RULE                         app
PRIMARY CONNECTION STRING    Endpoint=sb://contoso.example.com/;SharedAccessKeyName=app;SharedAccessKey=primary-key-of-app;EntityPath=orders
PRIMARY KEY                  primary-key-of-app
SECONDARY CONNECTION STRING  Endpoint=sb://contoso.example.com/;SharedAccessKeyName=app;SharedAccessKey=secondary-key-of-app;EntityPath=orders
SECONDARY KEY                secondary-key-of-app
`},
		{"key renew app --hyco orders --key PrimaryKey -o tsv", "\n" +
			"app\tEndpoint=sb://contoso.example.com/;SharedAccessKeyName=app;SharedAccessKey=another-key;EntityPath=orders" +
			"\tanother-key\tEndpoint=sb://contoso.example.com/;SharedAccessKeyName=app;SharedAccessKey=secondary-key-of-app;EntityPath=orders" +
			"\tsecondary-key-of-app\n"},
		{"hyco delete site-a/api", "\nthe hybrid connection site-a/api is deleted\n"},
		{"hyco delete site-a/api", "\nthe hybrid connection site-a/api was not there\n"},
		{"hyco delete site-a/api -o json", "\n"},
		{"namespace exists contoso", "\nAVAILABLE  false\nREASON     NameInUse\nMESSAGE    taken\n"},
		{"connection-string --hyco orders", "\nEndpoint=sb://contoso.example.com/;SharedAccessKeyName=app;SharedAccessKey=another-key;EntityPath=orders\n"},
		{"connection-string --hyco orders --rule RootManageSharedAccessKey --secondary",
			"\nEndpoint=sb://contoso.example.com/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=secondary-key-of-RootManageSharedAccessKey;EntityPath=orders\n"},
		{"connection-string --rule RootManageSharedAccessKey -o json",
			"\n{\n  \"connectionString\": \"Endpoint=sb://contoso.example.com/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=primary-key-of-RootManageSharedAccessKey\"\n}\n"},
	} {
		r := s.run(strings.Split(c.args, " ")...)
		if r.status != 0 || r.err != "" {
			t.Errorf("%s: status %d: %s", c.args, r.status, r.err)
		}
		if got := "\n" + r.out; got != c.want {
			t.Errorf("%s: got %s", c.args, got)
		}
	}
}

// TestListFollowsPages also has az's limit: the same host only.
func TestListFollowsPages(t *testing.T) {
	s := newStandIn(t)
	s.pageSize = 2
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.entity("contoso", "hybridConnections", name, map[string]any{})
	}
	r := s.run("hyco", "list", "-o", "tsv", "--namespace-name", "contoso")
	if r.status != 0 || strings.Count(r.out, "\n") != 5 || strings.Count(s.taken(), "\n") != 2 {
		t.Errorf("status %d: %s%s", r.status, r.out, r.err)
	}
}

// TestErrors holds the one line that each failure is.
func TestErrors(t *testing.T) {
	s := newStandIn(t)
	s.entity("contoso", "hybridConnections", "orders", map[string]any{})
	closed := newStandIn(t)
	closed.server.Close()
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 0, ""},
		{"hyco", 0, ""},
		{"hycos", 2, `unknown command "hycos" for "relayctl"; did you mean hyco?`},
		{"hyco shwo", 2, `unknown command "shwo" for "relayctl hyco"; did you mean show?`},
		{"hyco frobnicate", 2, `unknown command "frobnicate" for "relayctl hyco"; relayctl hyco --help lists them`},
		{"hyco list --frob", 2, "unknown flag: --frob"},
		{"hyco list extra", 2, `unknown command "extra" for "relayctl hyco list"`},
		{"hyco show", 2, "name the hybrid connection: relayctl hyco show NAME"},
		{"hyco show a b", 2, `want one name, got "b" as well`},
		{"hyco show a -n b", 2, `the name is given twice: "b" and "a"`},
		{"hyco show .. --namespace-name contoso", 1, `show the hybrid connection ..: want a name that is not empty, "." or ".."`},
		{"hyco update orders", 2, "nothing to change; say what, for example --status Disabled"},
		{"hyco create a -c maybe", 2, `want one name, got "maybe" as well`},
		{"hyco create a --requires-client-authorization=maybe", 2, `invalid argument "maybe" for "-c, --requires-client-authorization" flag: want true or false`},
		{"hyco list -o xml", 2, `-o: want table, json, yaml or tsv, got "xml"`},
		{"rule create r --hyco a", 2, "say what the rule allows: --rights Listen, --rights Send, --rights Listen Send Manage"},
		{"rule create r --rights", 2, "flag needs an argument: --rights"},
		{"rule create r --rights Listen Sned", 2, `invalid argument "Sned" for "--rights" flag: want Listen, Send or Manage`},
		{"rule list --hyco a --wcfrelay b", 2, "give --hyco or --wcfrelay, not both"},
		{"hyco authorization-rule list", 2, "say which hybrid connection with --hybrid-connection-name"},
		{"key renew r", 2, "say which key to replace: --key PrimaryKey or --key SecondaryKey"},
		{"key renew r --key PrimaryKey --key-value env:NOPE", 2, "--key-value: the variable NOPE is not set"},
		{"hyco show absent", 1, `show the hybrid connection absent: ResourceNotFound: The resource 'absent' does not exist; ` +
			`is it in another namespace or resource group? "relayctl namespace list" shows them`},
		{"hyco list --token-file= --token wrong-token-1", 1,
			"look for the namespace: InvalidAuthenticationToken: The access token is invalid; choose another token with --token-file or RELAYCTL_TOKEN"},
		{"hyco list --token-file=", 1,
			"look for the namespace: InvalidAuthenticationToken: The access token is invalid; there is no token to send: give one with --token-file or RELAYCTL_TOKEN"},
		{"hyco list --token x", 2, "give --token or --token-file, not both"},
		{"hyco list --management http://relay.example.com", 2, "--management: want https; a token must not be sent in plain text"},
		{"hyco list --management https://u:p@h", 2, "--management: want https://HOST:PORT"},
		{"hyco list --ca $DIR/token", 1, "$DIR/token holds no CA certificate in PEM"},
		{"hyco list --ca=", 1, "the certificate of URL is signed by nobody that is trusted here; name its CA with --ca"},
		{"hyco list --management " + closed.server.URL, 1, "no gateway answers at " + closed.server.URL +
			` (connection refused); start one with "relayhouse dev", or choose another with --management`},
		{"show info --admin " + closed.server.URL, 1, "no gateway answers at " + closed.server.URL +
			` (connection refused); start one with "relayhouse dev", or choose another with --admin`},
		{"connection-string", 2, "say for what: --hyco NAME, --rule NAME, or both"},
		{"connection-string --hyco orders --rule nope", 1, `the hybrid connection orders has no rule nope; "relayctl rule list" shows those that are there, "relayctl rule create" makes one`},
		{"connection-string --hyco orders", 2, `the hybrid connection orders has no rule of its own; say with --rule which one of the namespace, or make one with "relayctl rule create"`},
		{"connection-string --hyco absent --rule RootManageSharedAccessKey", 1, `look for the hybrid connection absent: ResourceNotFound: The resource 'absent' does not exist; ` +
			`is it in another namespace or resource group? "relayctl namespace list" shows them`},
		{"namespace network-rule-set update --ip-rules nowhere", 2, `--ip-rules: want an address or a prefix, got "nowhere"`},
		{"namespace network-rule-set update --ip-rules 10.0.0.1=Maybe", 2, `--ip-rules: want the action Allow or Deny, got "Maybe"`},
		{"namespace network-rule-set update --ip-rules action=Allow", 2, `--ip-rules: action= comes after the ip-mask= that it is for`},
		{"namespace network-rule-set update --ip-rules [{x:1}]", 2, `--ip-rules: want ip-mask and action, got "x"`},
		{"namespace create x --tags novalue", 2, `invalid argument "novalue" for "--tags" flag: want NAME=VALUE`},
		{"context use nowhere", 2, `there is no context "nowhere"; "relayctl context list" shows those that are there`},
		{"hyco list --context nowhere", 2, `there is no context "nowhere"; "relayctl context list" shows those that are there`},
		{"import", 2, "name the file: relayctl import FILE [flags]"},
		{"import $DIR/absent", 1, "open $DIR/absent: no such file or directory"},
		{"import $DIR/token --mode both", 2, `--mode: want merge or replace, got "both"`},
		{"show listeners --limit 0", 2, "--limit: want 1 to 10000, got 0"},
	} {
		r := s.run(strings.Fields(c.args)...)
		want := strings.NewReplacer("$DIR", s.dir, "URL", s.server.URL).Replace(c.want)
		if want != "" {
			want = "relayctl: " + want + "\n"
		}
		if r.status != c.status || r.err != want {
			t.Errorf("%s: status %d: %swant %d: %s", c.args, r.status, r.err, c.status, want)
		}
	}
}

// TestSeveralNamespaces: a namespace must be named then, in the context or by
// the flag.
func TestSeveralNamespaces(t *testing.T) {
	s := newStandIn(t)
	s.namespace("fabrikam")
	r := s.run("hyco", "list")
	if want := "relayctl: there are 2 namespaces (contoso, fabrikam); say which with --namespace-name\n"; r.status != 2 || r.err != want {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	if r := s.run("hyco", "list", "-n", "fabrikam"); r.status != 0 {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	delete(s.resources, "namespaces/fabrikam")
	delete(s.resources, "namespaces/contoso")
	r = s.run("hyco", "list")
	if want := "relayctl: there is no namespace yet; make one with \"relayctl namespace create NAME\"\n"; r.status != 2 || r.err != want {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// TestGroupOfTheOnlyNamespace: it is found in whatever group it is.
func TestGroupOfTheOnlyNamespace(t *testing.T) {
	s := newStandIn(t)
	s.resources["namespaces/contoso"]["id"] =
		"/subscriptions/0/resourceGroups/prod/providers/Microsoft.Relay/namespaces/contoso"
	if r := s.run("hyco", "list"); r.status != 0 || !strings.Contains(s.taken(), "/resourceGroups/prod/") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	if r := s.run("hyco", "list", "-g", "test"); r.status != 0 || !strings.Contains(s.taken(), "/resourceGroups/test/") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// TestErrorsHoldNoSecrets: a gateway that repeats what it was sent.
func TestErrorsHoldNoSecrets(t *testing.T) {
	s := newStandIn(t)
	path := "/subscriptions/" + subscriptionDefault +
		"/resourceGroups/default/providers/Microsoft.Relay/namespaces/contoso/authorizationRules/r/regenerateKeys"
	s.answers["POST "+path] = answer{400, `{"code":"BadRequest","message":"no: ` + testToken +
		` key+with/odd=characters \u001b[2J\nnext line"}`, nil}
	r := s.run("key", "renew", "r", "--namespace-name", "contoso", "--key", "PrimaryKey",
		"--key-value", "key+with/odd=characters")
	want := "relayctl: renew the PrimaryKey of the rule r of the namespace contoso: BadRequest: no: *** *** [2J next line\n"
	if r.status != 1 || r.err != want {
		t.Errorf("status %d: %q", r.status, r.err)
	}
}

// TestDeleteAsks on a terminal only.
func TestDeleteAsks(t *testing.T) {
	s := newStandIn(t)
	for _, c := range []struct {
		answer string
		status int
	}{{"", 1}, {"n\n", 1}, {"maybe\n", 1}, {"Yes\n", 0}} {
		around := s.surroundings(c.answer)
		around.Terminal = true
		r := runWith(t, around, append(s.flags(), "namespace", "delete", "contoso")...)
		if r.status != c.status || !strings.HasPrefix(r.err,
			"Delete the namespace contoso with all that is in it? [y/N] ") {
			t.Errorf("%q: status %d: %s", c.answer, r.status, r.err)
		}
	}
	if got := s.taken(); got != "DELETE S/G/N/contoso (preview)" {
		t.Error(got)
	}
}
