package hyco

import (
	"errors"
	"strings"
	"testing"
)

// TestQuery is the query table of docs/protocol.md, section 1.4 (item 48).
func TestQuery(t *testing.T) {
	for _, c := range []struct {
		query, want string
		has         bool
	}{
		{"", "", false},
		{"?", "", true},
		{"?a=1", "a=1", true},
		{"?a=1&a=2&", "a=1&a=2&", true},
		{"?&&&", "&&&", true},
		{"?sb-hc-undefined", "sb-hc-undefined", true},
		{"?sb-hc-whatever=", "", false},
		{"?sb-hc-id=1", "", false},
		{"?sb-hc-id=1&sb-hc-token=x", "", false},
		{"?custom=value&sb-hc-id=1", "custom=value", true},
		{"?sb-hc-id=1&custom=value", "custom=value", true},
		{"?a=1&sb-hc-id=1&b=2", "a=1&b=2", true},
		{"?a=1&sb-hc-id=1&b=2&sb-hc-x=&c=3&", "a=1&b=2&c=3&", true},
		{"?sb-hc-id=1&", "", true},
		{"?&sb-hc-id=1", "", true},
		{"?&sb-hc-id=1&", "&", true},
		{"?a+b=%2B%20%2f%3a%3d%26'", "a+b=%2B%20%2f%3a%3d%26'", true},
		{"?a=b=c&?x", "a=b=c&?x", true},
		{"?SB-HC-ID=1&Sb-Hc-X=2", "", false},
		{"?%73b-hc-id=1&sb%2Dhc%2did=2", "", false},
		{"?sb-hc-%zz=1", "", false},
		{"?%zz=sb-hc-id=1", "%zz=sb-hc-id=1", true},
		{"?sb-hcx=1&asb-hc-id=1&sb-hc=1", "sb-hcx=1&asb-hc-id=1&sb-hc=1", true},
		{"?a=sb-hc-id=1", "a=sb-hc-id=1", true},
		{"?sb%2hc-id=1&sb%", "sb%2hc-id=1&sb%", true},
		{"?\xff=\xfe", "\xff=\xfe", true},
	} {
		for _, path := range []string{"/$hc/hyco", "/hyco/a%20b"} {
			target, err := ParseTarget(path + c.query)
			if err != nil || target.Query != c.want || target.HasQuery != c.has {
				t.Errorf("%s: got %q, %v, %v", c.query, target.Query, target.HasQuery, err)
			}
		}
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		raw             string
		webSocket       bool
		path, rawPath   string
		authority, note string
	}{
		{"/$hc/hyco", true, "hyco", "hyco", "", ""},
		{"/$HC/Hyco/", true, "Hyco/", "Hyco/", "", "case is kept"},
		{"/%24hc/hyco", true, "hyco", "hyco", "", ""},
		{"/%24%68%43%2fhyco", true, "hyco", "hyco", "", "every letter escaped"},
		{"/$hc", true, "", "", "", ""},
		{"/$hc/", true, "", "", "", ""},
		{"/$hc//hyco", true, "/hyco", "/hyco", "", "slashes are not collapsed"},
		{"/$hc/$hc/a", true, "$hc/a", "$hc/a", "", "once"},
		{"/$hca/b", false, "$hca/b", "$hca/b", "", ""},
		{"/%24hc%2/b", true, "", "", "", "error"},
		{"/hyco", false, "hyco", "hyco", "", ""},
		{"/hyco/$hc/a", false, "hyco/$hc/a", "hyco/$hc/a", "", ""},
		{"/", false, "", "", "", ""},
		{"//", false, "/", "/", "", ""},
		{"//$hc/a", false, "/$hc/a", "/$hc/a", "", ""},

		{"/$hc/hyco/extraPath/extraPath2?p=1", true,
			"hyco/extraPath/extraPath2", "hyco/extraPath/extraPath2", "", "item 56"},
		{"/hyco/extra%20Path/x?p=1", false,
			"hyco/extra Path/x", "hyco/extra%20Path/x", "", "item 57"},
		{"/$hc/hyco/a%20b", true, "hyco/a b", "hyco/a%20b", "", "item 57"},
		{"/hyco/%252F", false, "hyco/%2F", "hyco/%252F", "", "item 61"},
		{"/$hc/a%2Fb", true, "a/b", "a%2Fb", "", "encoded slash in an entity name"},
		{"/$hc/hyco/../x/./y", true, "hyco/../x/./y", "hyco/../x/./y", "", "dots are kept"},
		{"/$hc/hyco/%2e%2E", true, "hyco/..", "hyco/%2e%2E", "", ""},
		{"/$hc/hyco/%00%0d%0a%7f", true, "hyco/\x00\r\n\x7f", "hyco/%00%0d%0a%7f", "", ""},
		{"/$hc/a+b", true, "a+b", "a+b", "", "a path is not a form"},
		{"/$hc/\xff%ff", true, "\xff\xff", "\xff%ff", "", ""},

		{"http://Contoso:443/hyco?a", false, "hyco", "hyco", "Contoso:443", "item 60"},
		{"WSS://h/$hc/a", true, "a", "a", "h", ""},
		{"https://h", false, "", "", "h", ""},
		{"ws://h?a=b", false, "", "", "h", ""},
		{"http://[::1]:80/a", false, "a", "a", "[::1]:80", ""},
	} {
		target, err := ParseTarget(c.raw)
		if c.note == "error" {
			if err != RefusalPathEscape {
				t.Errorf("%s: got %v", c.raw, err)
			}
			continue
		}
		if err != nil || target.WebSocket != c.webSocket || target.Path != c.path ||
			target.RawPath != c.rawPath || target.Authority != c.authority {
			t.Errorf("%s: got %+v, %v", c.raw, target, err)
		}
	}
}

func TestTargetErrors(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want error
	}{
		{"", RefusalBadTarget},
		{"*", RefusalBadTarget},
		{"hyco", RefusalBadTarget},
		{"h:443", RefusalBadTarget},
		{"?a", RefusalBadTarget},
		{"ftp://h/a", RefusalBadTarget},
		{"http://", RefusalBadTarget},
		{"http:///a", RefusalBadTarget},
		{"http:/h/a", RefusalBadTarget},
		{"/a b", RefusalTargetByte},
		{"/a\x00", RefusalTargetByte},
		{"/a\r\nX: y", RefusalTargetByte},
		{"/a\x7f", RefusalTargetByte},
		{"/a?b\tc", RefusalTargetByte},
		{"/a#b", RefusalTargetByte},
		{"/a%", RefusalPathEscape},
		{"/a%2", RefusalPathEscape},
		{"/a%zz", RefusalPathEscape},
		{"/$hc/%u0041", RefusalPathEscape},
		{"/a?sb-hc-token=%", RefusalQueryEscape},
		{"/a?sb-hc-id=%2", RefusalQueryEscape},
		{"/a?sb-hc-action=%zz", RefusalQueryEscape},
		{"/a?sb-hc-rendezvous=%zz", RefusalQueryEscape},
		{"/a?sb-hc-action=accept&sb-hc-statusDescription=%zz", RefusalQueryEscape},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=", RefusalBadStatusCode},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=99", RefusalBadStatusCode},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=1000", RefusalBadStatusCode},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=-400", RefusalBadStatusCode},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=4e2", RefusalBadStatusCode},
		{"/a?sb-hc-action=accept&sb-hc-statusCode=99999999999999999999", RefusalBadStatusCode},
	} {
		target, err := ParseTarget(c.raw)
		wantPath := ""
		if c.want != RefusalTargetByte && strings.HasPrefix(c.raw, "/a?") {
			wantPath = "a" // what could be read is there for the answer
		}
		if err != c.want || target.Path != wantPath || target.Rejection != nil {
			t.Errorf("%q: got %+v, %v", c.raw, target, err)
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("%q: not a refusal with 400: %v", c.raw, err)
		}
	}
}

// parameterCases: a negative status stands for the names without prefix.
var parameterCases = []struct {
	name, query             string
	action                  Action
	id, token, rendezvous   string
	status                  int
	description, actionText string
}{
	{name: "nothing", query: ""},
	{name: "empty action", query: "sb-hc-action="},
	{name: "connect", query: "sb-hc-action=connect&sb-hc-id=7", id: "7", actionText: "connect"},
	{name: "case", query: "SB-HC-ACTION=Listen&sb-hc-ID=7", action: ActionListen, id: "7",
		actionText: "Listen"},
	{name: "request", query: "sb-hc-action=request", action: ActionRequest,
		actionText: "request"},
	{name: "unknown", query: "sb-hc-action=dance%20now", action: ActionUnknown,
		actionText: "dance now"},
	{name: "not quite", query: "sb-hc-action=connected", action: ActionUnknown,
		actionText: "connected"},
	{name: "item 16: form-encoded token", token: "SharedAccessSignature sr=h&sig=a+b%2F",
		query: "sb-hc-token=SharedAccessSignature+sr%3dh%26sig%3Da%2bb%252F"},
	{name: "first of several", query: "sb-hc-id=1&sb-hc-token=t&sb-hc-id=2&sb-hc-token=u",
		id: "1", token: "t"},
	{name: "first although empty", query: "sb-hc-token=&sb-hc-token=u"},
	{name: "escaped names", query: "sb%2dhc%2Did=1&sb-hc-%74oken=t", id: "1", token: "t"},
	{name: "doc's misspelling", query: "sbc-hc-token=t"},
	{name: "without =", query: "sb-hc-id&sb-hc-token"},
	{name: "keys in the query", query: "sb-hc-sas-key-name=n&sb-hc-sas-key=%zz"},
	{name: "rest of a name", query: "sb-hc-idx=1&sb-hc-i=1&sb-hc-=1"},

	{name: "accept", query: "x=1&sb-hc-rendezvous=ab&sb-hc-action=accept&sb-hc-id=i",
		action: ActionAccept, actionText: "accept", rendezvous: "ab", id: "i"},
	{name: "reject", query: "sb-hc-action=accept&sb-hc-id=i&sb-hc-statusCode=418" +
		"&sb-hc-statusDescription=no+way%21", action: ActionAccept, actionText: "accept",
		id: "i", status: 418, description: "no way!"},
	{name: "reject without text", query: "sb-hc-action=accept&sb-hc-statusCode=401",
		action: ActionAccept, actionText: "accept", status: 401},
	{name: "text without code", query: "sb-hc-action=accept&sb-hc-statusDescription=x",
		action: ActionAccept, actionText: "accept"},
	{name: "first code", action: ActionAccept, actionText: "accept", status: 400,
		query: "sb-hc-action=accept&sb-hc-statusCode=400&sb-hc-statusCode=x"},
	{name: "not an accept", query: "sb-hc-statusCode=junk&sb-hc-statusDescription=x"},
	{name: "bare names", query: "sb-hc-action=accept&sb-hc-id=i&statusCode=403" +
		"&statusDescription=Not%20you%2C%20sorry", action: ActionAccept,
		actionText: "accept", id: "i", status: -403, description: "Not you, sorry"},
	{name: "bare names of the sender", query: "statusCode=403&sb-hc-action=accept&sb-hc-id=i",
		action: ActionAccept, actionText: "accept", id: "i"},
	{name: "bare names of both", query: "statusCode=404&sb-hc-action=accept&sb-hc-id=i&" +
		"statusCode=403", action: ActionAccept, actionText: "accept", id: "i", status: -403},
	{name: "bare names in a connect", query: "sb-hc-id=i&statusCode=403", id: "i"},
	{name: "bare junk", query: "sb-hc-action=accept&sb-hc-id=i&statusCode=99", id: "i",
		action: ActionAccept, actionText: "accept"},
	{name: "bare broken escape", action: ActionAccept, actionText: "accept", id: "i",
		query: "sb-hc-action=accept&sb-hc-id=i&statusCode=403&statusDescription=%"},
	{name: "prefixed goes first", action: ActionAccept, actionText: "accept", id: "i",
		status: 405, query: "sb-hc-action=accept&sb-hc-id=i&statusCode=403" +
			"&statusDescription=x&sb-hc-statusCode=405"},
}

func TestParameters(t *testing.T) {
	for _, c := range parameterCases {
		target, err := ParseTarget("/$hc/hyco?" + c.query)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if target.Action != c.action || target.ActionText != c.actionText || target.ID != c.id ||
			target.Token != c.token || target.Rendezvous != c.rendezvous {
			t.Errorf("%s: got %+v", c.name, target)
		}
		var got Rejection
		if target.Rejection != nil {
			got = *target.Rejection
		}
		if want := (Rejection{max(c.status, -c.status), c.description, c.status < 0}); got != want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
	}
}

func TestKeyParameters(t *testing.T) {
	for _, c := range []struct{ name, query, keyName, key, rest string }{
		{"none", "a=1", "", "", "a=1"},
		{"both", "sb-hc-sas-key-name=Root%20x&a=1&SB-HC-SAS-KEY=k%2B%2f%3D", "Root x", "k+/=", "a=1"},
		{"form-encoded", "sb-hc-sas-key=a+b", "", "a b", ""},
		{"first of several", "sb-hc-sas-key=a&sb-hc-sas-key=b&sb-hc-sas-key-name=n", "n", "a", ""},
		{"malformed", "sb-hc-sas-key-name=%&sb-hc-sas-key=%zz", "", "", ""},
		{"rest of a name", "sb-hc-sas-keys=a&sb-hc-sas-key-names=b&sb-hc-sas=c", "", "", ""},
	} {
		target, err := ParseTarget("/hyco?" + c.query)
		if err != nil || target.KeyName != c.keyName || target.Key != c.key || target.Query != c.rest {
			t.Errorf("%s: got %+v, %v", c.name, target, err)
		}
	}
}

func TestRejectionAnswer(t *testing.T) {
	long := strings.Repeat("x", MaxReasonPhrase)
	for _, c := range []struct {
		status     int
		text       string
		wantStatus int
		wantPhrase string
	}{
		{400, "Rejected by user code", 400, "Rejected by user code"}, // item 18
		{401, "", 401, "Unauthorized"},                               // item 19
		{401, `exactly: ~!@"\ that.`, 401, `exactly: ~!@"\ that.`},   // item 20
		{100, "", 502, "Bad Gateway"},
		{199, "text stays", 502, "text stays"},
		{200, "", 200, "OK"},
		{299, "", 299, ""},
		{999, "a\r\nX: y\x00é", 999, "a??X: y???"},
		{404, long + "y", 404, long},
	} {
		r := Rejection{Status: c.status, Description: c.text}
		if status, phrase := r.Answer(); status != c.wantStatus || phrase != c.wantPhrase {
			t.Errorf("%d %q: got %d %q", c.status, c.text, status, phrase)
		}
	}
}

func TestActionNames(t *testing.T) {
	for a := range ActionUnknown {
		if parseAction(strings.ToUpper(a.String())) != a {
			t.Errorf("%v does not parse", a)
		}
	}
	if Action(200).String() != "unknown" || parseAction("unknown") != ActionUnknown {
		t.Error("unknown")
	}
}

// TestParameter: the first of the name counts, in any letter case and escaped
// or not; what is malformed is as if it were not there.
func TestParameter(t *testing.T) {
	for _, tt := range []struct{ query, name, want string }{
		{"api-version=2016-07", "api-version", "2016-07"},
		{"a=b&API%2dVersion=2016%2D07&api-version=x", "api-version", "2016-07"},
		{"%24Top=1+0&$skip=2", "$top", "1 0"},
		{"%24Top=1+0&$skip=2", "$skip", "2"},
		{"api-version", "api-version", ""},
		{"api-version=%", "api-version", ""},
		{"xapi-version=1&api-versionx=2&=3", "api-version", ""},
		{"", "api-version", ""},
		{"&&", "api-version", ""},
	} {
		target, err := ParseTarget("/p?" + tt.query)
		if got := target.Parameter(tt.name); err != nil || got != tt.want {
			t.Errorf("%s in %q: got %q, %v; want %q", tt.name, tt.query, got, err, tt.want)
		}
	}
}
