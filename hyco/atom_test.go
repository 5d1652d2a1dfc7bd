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
	got := string(AppendRuntimeInformation([]byte("x"), RuntimeInformation{Host: "contoso.example",
		Path: "a/b", CreatedAt: created, UpdatedAt: created.Add(time.Hour),
		RequiresClientAuthorization: true, UserMetadata: "<m>&\"'\x00\n", ListenerCount: 2}))
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
	text := AppendRuntimeInformation(nil, RuntimeInformation{Host: `h"<`, Path: `a "<%ä`, Now: noon})
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
