package hyco

import (
	"reflect"
	"strings"
	"testing"
)

// asEntry puts members of a description into an entry as .NET writes it.
func asEntry(element, members string) string {
	return `<?xml version="1.0" encoding="utf-8"?><entry xmlns="http://www.w3.org/2005/Atom">` +
		`<title type="text">x</title><content type="application/xml"><` + element +
		` xmlns:i="http://www.w3.org/2001/XMLSchema-instance"` +
		` xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">` +
		members + `</` + element + `></content></entry>`
}

func hybrid(members string) string { return asEntry("HybridConnectionDescription", members) }
func wcf(members string) string    { return asEntry("RelayDescription", members) }

// rule is an authorization rule with members and the rights to listen and send.
func rule(members string) string {
	return `<AuthorizationRules><AuthorizationRule i:type="SharedAccessAuthorizationRule">` +
		`<ClaimType>SharedAccessKey</ClaimType><ClaimValue>None</ClaimValue><Rights>` +
		`<AccessRights>Send</AccessRights> <AccessRights>Listen</AccessRights></Rights>` + members +
		`</AuthorizationRule></AuthorizationRules>`
}

func TestParseEntry(t *testing.T) {
	plain := Description{RequiresClientAuthorization: true}
	relay := Description{WCF: true, RequiresClientAuthorization: true, RequiresTransportSecurity: true}
	with := func(d Description, edit func(*Description)) Description {
		edit(&d)
		return d
	}
	open := with(plain, func(d *Description) { d.RequiresClientAuthorization = false })
	both := []string{"Send", "Listen"}
	for _, tt := range []struct {
		name, body string
		want       Description
	}{
		{"nothing", hybrid(""), plain},
		{"byte order mark", "\ufeff" + hybrid(""), plain},
		{"white space", "\n " + strings.ReplaceAll(hybrid(""), "><", "> \r\n <") + "\n<!-- end -->", plain},
		{"false", hybrid("<RequiresClientAuthorization>false</RequiresClientAuthorization>"), open},
		{"0", hybrid("<RequiresClientAuthorization> 0\n</RequiresClientAuthorization>"), open},
		{"1", hybrid("<RequiresClientAuthorization>1</RequiresClientAuthorization>"), plain},
		{"nil", hybrid(`<RequiresClientAuthorization i:nil="true"/><UserMetadata i:nil="1"></UserMetadata>` +
			`<AuthorizationRules i:nil="true"/>`), plain},
		{"what clients only read", hybrid("<Path>other</Path><CreatedAt>x</CreatedAt><UpdatedAt/>" +
			"<ListenerCount>7</ListenerCount><RelayType>Http</RelayType>" +
			"<RequiresTransportSecurity>x</RequiresTransportSecurity>"), plain},
		{"unknown members", hybrid(`<New><a><b>c</b></a></New><x:UserMetadata xmlns:x="urn:x">no` +
			`</x:UserMetadata>`), plain},
		{"metadata, as it is", hybrid("<UserMetadata> &lt;a&gt; &#38;\u00e4 <![CDATA[<b>]]>\n</UserMetadata>"),
			with(plain, func(d *Description) { d.UserMetadata = " <a> &\u00e4 <b>\n" })},
		{"any order", hybrid("<ListenerCount>1</ListenerCount><UserMetadata>m</UserMetadata>" +
			"<RequiresClientAuthorization>false</RequiresClientAuthorization>"),
			with(open, func(d *Description) { d.UserMetadata = "m" })},
		{"no rules", hybrid("<AuthorizationRules/>"),
			with(plain, func(d *Description) { d.Rules = []DescribedRule{} })},
		{"a rule", hybrid(rule("<KeyName>proxy</KeyName><PrimaryKey>\n k= </PrimaryKey>")),
			with(plain, func(d *Description) {
				d.Rules = []DescribedRule{{Name: "proxy", Rights: both, PrimaryKey: "k="}}
			})},
		{"members of a rule in another order", hybrid(`<AuthorizationRules><AuthorizationRule>` +
			`<SecondaryKey>s</SecondaryKey><KeyName>n</KeyName></AuthorizationRule></AuthorizationRules>`),
			with(plain, func(d *Description) {
				d.Rules = []DescribedRule{{Name: "n", SecondaryKey: "s"}}
			})},
		{"prefixes", `<a:entry xmlns:a="http://www.w3.org/2005/Atom"><a:content><s:RelayDescription` +
			` xmlns:s="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">` +
			`<s:RelayType>Http</s:RelayType></s:RelayDescription></a:content></a:entry>`,
			with(relay, func(d *Description) { d.RelayType = "Http" })},
		{"WCF relay", wcf("<RelayType>NetTcp</RelayType><RequiresTransportSecurity>false" +
			"</RequiresTransportSecurity><IsDynamic>true</IsDynamic>"), with(relay, func(d *Description) {
			d.RelayType, d.RequiresTransportSecurity = "NetTcp", false
		})},
	} {
		got, err := ParseEntry([]byte(tt.body))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestParseEntryErrors(t *testing.T) {
	const secret = "k3y"
	deep := strings.Repeat("<a>", entryDepthMax)
	for _, tt := range []struct{ name, body, text string }{
		{"empty", "", "its content is no"},
		{"blank", " \n", "its content is no"},
		{"no XML", "{}", "no Atom entry"},
		{"cut", hybrid("")[:200], "well-formed"},
		{"text behind the end", hybrid("") + "<", "well-formed"},
		{"not UTF-8", hybrid("<UserMetadata>\xff</UserMetadata>"), "well-formed"},
		{"another encoding", strings.Replace(hybrid(""), "utf-8", "utf-16", 1), "well-formed"},
		{"a document type", `<!DOCTYPE entry [<!ENTITY e "x">]>` + hybrid(""), "document type"},
		{"an entity", hybrid("<UserMetadata>&e;</UserMetadata>"), "well-formed"},
		{"another root", "<feed xmlns='http://www.w3.org/2005/Atom'/>", "no Atom entry"},
		{"no namespace", "<entry/>", "no Atom entry"},
		{"no content", "<entry xmlns='http://www.w3.org/2005/Atom'/>", "its content is no"},
		{"two roots", hybrid("") + "<a/>", "more than one root"},
		{"two contents", strings.Replace(hybrid(""), "</entry>", hybrid("")[strings.Index(hybrid(""),
			"<content"):], 1), "more than one description"},
		{"a queue", asEntry("QueueDescription", ""), "its content is no"},
		{"another namespace", strings.Replace(hybrid(""), "/connect", "/other", 1), "its content is no"},
		{"neither", hybrid("<RequiresClientAuthorization>yes</RequiresClientAuthorization>"),
			"RequiresClientAuthorization is neither"},
		{"empty boolean", wcf("<RequiresTransportSecurity/>"), "RequiresTransportSecurity is neither"},
		{"twice", hybrid("<UserMetadata>a</UserMetadata><UserMetadata>a</UserMetadata>"), "twice"},
		{"rule's member twice", hybrid(rule("<KeyName>a</KeyName><KeyName>a</KeyName>")), "twice"},
		{"element in text", hybrid("<UserMetadata>a<b/></UserMetadata>"), "in place of text"},
		{"another kind of rule", hybrid(strings.Replace(rule("<PrimaryKey>"+secret+"</PrimaryKey>"),
			"SharedAccessAuth", "AllowAuth", 1)), "SharedAccessAuthorizationRule"},
		{"too deep", hybrid(deep + strings.ReplaceAll(deep, "<a>", "</a>")), "nested too deep"},
		{"broken key", hybrid(rule("<PrimaryKey>" + secret + "&</PrimaryKey>")), "well-formed"},
	} {
		_, err := ParseEntry([]byte(tt.body))
		r, ok := err.(*Refusal)
		if !ok || r.Code != "BadDescription" || !strings.Contains(r.Text, tt.text) ||
			strings.Contains(r.Text, secret) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
		}
	}
	large := hybrid("<UserMetadata>" + strings.Repeat("m", EntryMax-len(hybrid("<UserMetadata></UserMetadata>"))) +
		"</UserMetadata>")
	if _, err := ParseEntry([]byte(large)); err != nil || len(large) != EntryMax {
		t.Errorf("%d bytes: %v", len(large), err)
	}
	if _, err := ParseEntry([]byte(large + " ")); err != RefusalBodyTooLarge {
		t.Errorf("one more: %v", err)
	}
}

// TestParseEntryCut: no part of an entry is one.
func TestParseEntryCut(t *testing.T) {
	body := hybrid(rule("<KeyName>a</KeyName>") + "<UserMetadata>a</UserMetadata>")
	for i := range body {
		if _, err := ParseEntry([]byte(body[:i])); err == nil {
			t.Errorf("%d bytes of %d are taken", i, len(body))
		}
	}
}

// TestDescribedRuleHidesKeys: keys do not get into logs by way of fmt.
func TestDescribedRuleHidesKeys(t *testing.T) {
	r := DescribedRule{Name: "n", PrimaryKey: "p", SecondaryKey: "s"}
	if r.String() != "n" || r.GoString() != "n" {
		t.Errorf("got %v, %#v", r, r)
	}
}

// FuzzParseEntry: what is read is written and read again as the same.
func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(hybrid(rule("<KeyName>a</KeyName>") + "<UserMetadata>&lt;&#13;\n</UserMetadata>")))
	f.Add([]byte(wcf("<RelayType>Http</RelayType><AuthorizationRules i:nil='1'/>")))
	f.Add([]byte("\ufeff<!--c--><?p i?>" + hybrid("<a:b xmlns:a='c' d='e'>&#x41;<![CDATA[f]]></a:b>")))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParseEntry(body)
		if err != nil {
			if _, ok := err.(*Refusal); !ok {
				t.Fatalf("error %T", err)
			}
			return
		}
		e := Entry{Host: "h", Path: "p", Description: got}
		again, err := ParseEntry(AppendEntry(nil, &e))
		if err != nil && err != error(RefusalBodyTooLarge) {
			t.Fatalf("%q: %v", AppendEntry(nil, &e), err)
		}
		if err == nil && !reflect.DeepEqual(again, got) {
			t.Fatalf("got %+v, then %+v", got, again)
		}
	})
}
