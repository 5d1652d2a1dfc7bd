package hyco

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

// entry is what the .NET client reads.
type entry struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom entry"`
	ID      string   `xml:"id"`
	Title   string   `xml:"title"`
	Updated string   `xml:"updated"`
	Content struct {
		Type        string      `xml:"type,attr"`
		Description description `xml:"HybridConnectionDescription"`
	} `xml:"content"`
}

type description struct {
	XMLName                     xml.Name
	CreatedAt, UpdatedAt        string
	RequiresClientAuthorization string
	UserMetadata                string
	ListenerCount               int
}

// TestItem74 compares a whole entry, byte for byte.
func TestItem74Entry(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.FixedZone("", 3600))
	got := string(AppendEntry([]byte("x"), &Entry{Host: "contoso.example",
		Path: "a/b", CreatedAt: created, UpdatedAt: created.Add(time.Hour), ListenerCount: 2,
		Description: Description{RequiresClientAuthorization: true, UserMetadata: "<m>&\"'\x00\n"}}))
	const want = `x<entry xmlns="http://www.w3.org/2005/Atom"><id>https://contoso.example/a/b</id>` +
		`<title type="text">a/b</title><published>2026-01-02T02:04:05.6Z</published>` +
		`<updated>2026-01-02T03:04:05.6Z</updated><author><name>contoso.example</name></author>` +
		`<link rel="self" href="https://contoso.example/a/b"/><content type="application/xml">` +
		`<HybridConnectionDescription` +
		` xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"` +
		` xmlns:i="http://www.w3.org/2001/XMLSchema-instance">` +
		`<CreatedAt>2026-01-02T02:04:05.6Z</CreatedAt><UpdatedAt>2026-01-02T03:04:05.6Z</UpdatedAt>` +
		`<RequiresClientAuthorization>true</RequiresClientAuthorization>` +
		"<UserMetadata>&lt;m&gt;&amp;&#34;&#39;\ufffd&#xA;</UserMetadata>" +
		`<ListenerCount>2</ListenerCount></HybridConnectionDescription></content></entry>`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var e entry
	if err := xml.Unmarshal([]byte(got[1:]), &e); err != nil || e.Content.Type != "application/xml" ||
		e.Content.Description.ListenerCount != 2 || e.Content.Description.XMLName.Space !=
		"http://schemas.microsoft.com/netservices/2010/10/servicebus/connect" ||
		e.Content.Description.UserMetadata != "<m>&\"'\ufffd\n" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestItem74Optional(t *testing.T) {
	text := AppendEntry(nil, &Entry{Host: `h"<`, Path: `a "<%ä`, Now: noon})
	var e entry
	err := xml.Unmarshal(text, &e)
	d := e.Content.Description
	if err != nil || d.CreatedAt != "" || d.UpdatedAt != "" ||
		strings.Contains(string(text), "UserMetadata") ||
		d.RequiresClientAuthorization != "false" || d.ListenerCount != 0 || e.Title != `a "<%ä` ||
		e.Updated != "2024-09-24T15:06:04.0000009Z" {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestItem74NotFound(t *testing.T) {
	var feed struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string   `xml:"id"`
		Entries []entry  `xml:"http://www.w3.org/2005/Atom entry"`
	}
	text := AppendEmptyFeed(nil)
	if err := xml.Unmarshal(text, &feed); err != nil || feed.ID == "" || len(feed.Entries) != 0 {
		t.Errorf("got %s, %v", text, err)
	}
	const want = `x<Error><Code>401</Code><Detail>a &lt;b&gt; &amp; c</Detail></Error>`
	if got := string(AppendErrorDocument([]byte("x"), 401, "a <b> & c")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestWCFRelayEntry compares the description of a WCF relay, rules included.
func TestWCFRelayEntry(t *testing.T) {
	got := string(AppendEntry(nil, &Entry{Host: "h", Path: "echo", ListenerCount: 1, Now: noon,
		Description: Description{WCF: true, RelayType: "NetTcp", RequiresClientAuthorization: true,
			RequiresTransportSecurity: true, UserMetadata: "m", Rules: []DescribedRule{
				{Name: "own", Rights: []string{"Listen", "Send"}, PrimaryKey: "p", SecondaryKey: "s"}}}}))
	const want = `<RelayDescription` +
		` xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"` +
		` xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><ListenerCount>1</ListenerCount>` +
		`<RelayType>NetTcp</RelayType><RequiresClientAuthorization>true</RequiresClientAuthorization>` +
		`<RequiresTransportSecurity>true</RequiresTransportSecurity><AuthorizationRules>` +
		`<AuthorizationRule i:type="SharedAccessAuthorizationRule">` +
		`<ClaimType>SharedAccessKey</ClaimType><ClaimValue>None</ClaimValue>` +
		`<Rights><AccessRights>Listen</AccessRights><AccessRights>Send</AccessRights></Rights>` +
		`<KeyName>own</KeyName><PrimaryKey>p</PrimaryKey><SecondaryKey>s</SecondaryKey>` +
		`</AuthorizationRule></AuthorizationRules><IsDynamic>false</IsDynamic>` +
		`<UserMetadata>m</UserMetadata></RelayDescription></content></entry>`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at its end\n%s", got, want)
	}
}

// TestFeed reads pages as a client does.
func TestFeed(t *testing.T) {
	type link struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	}
	type feed struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
		Title   string   `xml:"title"`
		Links   []link   `xml:"link"`
		Entries []entry  `xml:"http://www.w3.org/2005/Atom entry"`
	}
	f := Feed{Title: "HybridConnections", URL: "https://h:1/$Resources/HybridConnections",
		Skip: 100, Top: 2, Version: "2016-07&x", Now: noon}
	entries := []Entry{{Host: "h", Path: "a"}, {Host: "h", Path: "b"}}
	self := link{"self", f.URL + "?$skip=100&$top=2&api-version=2016-07%26x"}
	for _, more := range []bool{false, true} {
		f.More = more
		text := AppendFeed(nil, &f, entries)
		var got feed
		if err := xml.Unmarshal(text, &got); err != nil || got.Title != f.Title ||
			len(got.Entries) != 2 || got.Entries[1].Title != "b" || got.Links[0] != self {
			t.Errorf("got %s, %v", text, err)
		}
		next := link{"next", f.URL + "?$skip=102&$top=2&api-version=2016-07%26x"}
		if more != (len(got.Links) == 2) || more && got.Links[1] != next {
			t.Errorf("links %+v", got.Links)
		}
	}
}
