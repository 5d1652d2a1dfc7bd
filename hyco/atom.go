package hyco

import (
	"encoding/xml"
	"net/url"
	"strconv"
	"time"
)

// The media types of the documents below.
const (
	AtomEntryType     = "application/atom+xml;type=entry;charset=utf-8"
	AtomFeedType      = "application/atom+xml;type=feed;charset=utf-8"
	ErrorDocumentType = "application/xml;charset=utf-8"
)

// Description is what a management document says about an entity.
type Description struct {
	WCF bool // a WCF relay, not a hybrid connection

	RequiresClientAuthorization bool
	UserMetadata                string // empty: left out

	// Those of a WCF relay: NetTcp or Http.
	RelayType                 string
	RequiresTransportSecurity bool

	// Rules are nil where the document does not speak of rules.
	Rules []DescribedRule
}

// DescribedRule is an authorization rule in a management document.
type DescribedRule struct {
	Name   string
	Rights []string // of Listen, Send, Manage
	// The keys are empty where the gateway is to make them.
	PrimaryKey, SecondaryKey string
}

// String describes r without its keys.
func (r DescribedRule) String() string { return r.Name }

// GoString is String, so that %#v does not print keys either.
func (r DescribedRule) GoString() string { return r.Name }

// Entry is what an Atom entry tells of an entity.
type Entry struct {
	Host string // of the namespace
	Path string // of the entity, without a leading slash
	Description

	CreatedAt     time.Time // zero: unknown, left out
	UpdatedAt     time.Time // zero: unknown, left out
	ListenerCount int

	Now time.Time // for the entry, where UpdatedAt is unknown
}

const (
	atomNamespace   = "http://www.w3.org/2005/Atom"
	relayNamespace  = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
	schemaNamespace = "http://www.w3.org/2001/XMLSchema-instance"

	hybridConnectionElement = "HybridConnectionDescription"
	wcfRelayElement         = "RelayDescription"
	sharedAccessRule        = "SharedAccessAuthorizationRule"
)

// AppendEntry appends an Atom entry, of AtomEntryType.
//
//	Shape:  <entry> whose content, of type application/xml, is a
//	        HybridConnectionDescription with CreatedAt, UpdatedAt,
//	        RequiresClientAuthorization, AuthorizationRules, UserMetadata,
//	        ListenerCount, or a RelayDescription; .NET's readers skip members
//	        that are out of their order. Texts are escaped; characters that
//	        XML does not have become U+FFFD.
//	Source: docs/protocol.md, section 5.11.
func AppendEntry(dst []byte, e *Entry) []byte {
	address := (&url.URL{Scheme: "https", Host: e.Host, Path: "/" + e.Path}).String()
	updated := e.UpdatedAt
	if updated.IsZero() {
		updated = e.Now
	}
	dst = append(dst, `<entry xmlns="`+atomNamespace+`">`...)
	dst = appendElement(dst, "id", address)
	dst = append(dst, `<title type="text">`...)
	dst = appendXML(dst, e.Path)
	dst = append(dst, "</title>"...)
	dst = appendTime(dst, "published", e.CreatedAt)
	dst = appendTime(dst, "updated", updated)
	dst = append(dst, "<author>"...)
	dst = appendElement(dst, "name", e.Host)
	dst = append(dst, "</author>"...)
	dst = appendLink(dst, "self", address)
	dst = append(dst, `<content type="application/xml">`...)
	if e.WCF {
		dst = appendWCFRelay(dst, e)
	} else {
		dst = appendHybridConnection(dst, e)
	}
	return append(dst, "</content></entry>"...)
}

const relayNamespaces = ` xmlns="` + relayNamespace + `" xmlns:i="` + schemaNamespace + `">`

func appendHybridConnection(dst []byte, e *Entry) []byte {
	dst = append(dst, "<"+hybridConnectionElement+relayNamespaces...)
	dst = appendTime(dst, "CreatedAt", e.CreatedAt)
	dst = appendTime(dst, "UpdatedAt", e.UpdatedAt)
	dst = appendBool(dst, "RequiresClientAuthorization", e.RequiresClientAuthorization)
	dst = appendRules(dst, e.Rules)
	dst = appendMetadata(dst, e.UserMetadata)
	dst = appendElement(dst, "ListenerCount", strconv.Itoa(e.ListenerCount))
	return append(dst, "</"+hybridConnectionElement+">"...)
}

func appendWCFRelay(dst []byte, e *Entry) []byte {
	dst = append(dst, "<"+wcfRelayElement+relayNamespaces...)
	dst = appendElement(dst, "ListenerCount", strconv.Itoa(e.ListenerCount))
	dst = appendTime(dst, "CreatedAt", e.CreatedAt)
	dst = appendTime(dst, "UpdatedAt", e.UpdatedAt)
	dst = appendElement(dst, "RelayType", e.RelayType)
	dst = appendBool(dst, "RequiresClientAuthorization", e.RequiresClientAuthorization)
	dst = appendBool(dst, "RequiresTransportSecurity", e.RequiresTransportSecurity)
	dst = appendRules(dst, e.Rules)
	dst = appendBool(dst, "IsDynamic", false)
	dst = appendMetadata(dst, e.UserMetadata)
	return append(dst, "</"+wcfRelayElement+">"...)
}

// appendRules appends the rules with their keys.
func appendRules(dst []byte, rules []DescribedRule) []byte {
	if rules == nil {
		return dst
	}
	dst = append(dst, "<AuthorizationRules>"...)
	for i := range rules {
		r := &rules[i]
		dst = append(dst, `<AuthorizationRule i:type="`+sharedAccessRule+`">`+
			"<ClaimType>SharedAccessKey</ClaimType><ClaimValue>None</ClaimValue><Rights>"...)
		for _, right := range r.Rights {
			dst = appendElement(dst, "AccessRights", right)
		}
		dst = append(dst, "</Rights>"...)
		dst = appendElement(dst, "KeyName", r.Name)
		dst = appendElement(dst, "PrimaryKey", r.PrimaryKey)
		dst = appendElement(dst, "SecondaryKey", r.SecondaryKey)
		dst = append(dst, "</AuthorizationRule>"...)
	}
	return append(dst, "</AuthorizationRules>"...)
}

// Feed is one page of a list of entities.
type Feed struct {
	Title string
	URL   string // of the list, without a query
	// Skip and Top are what the client asked for, Version its api-version.
	Skip, Top int
	Version   string
	More      bool // there is a page behind this one
	Now       time.Time
}

// AppendFeed appends an Atom feed of entries, of AtomFeedType, with a link to
// the next page if there is one.
//
// Source: docs/protocol.md, section 5.11.
func AppendFeed(dst []byte, f *Feed, entries []Entry) []byte {
	page := func(skip int) string {
		query := "?$skip=" + strconv.Itoa(skip) + "&$top=" + strconv.Itoa(f.Top)
		if f.Version != "" {
			query += "&api-version=" + url.QueryEscape(f.Version)
		}
		return f.URL + query
	}
	dst = append(dst, `<feed xmlns="`+atomNamespace+`">`...)
	dst = appendElement(dst, "id", f.URL)
	dst = append(dst, `<title type="text">`...)
	dst = appendXML(dst, f.Title)
	dst = append(dst, "</title>"...)
	dst = appendTime(dst, "updated", f.Now)
	dst = appendLink(dst, "self", page(f.Skip))
	if f.More {
		dst = appendLink(dst, "next", page(f.Skip+len(entries)))
	}
	for i := range entries {
		dst = AppendEntry(dst, &entries[i])
	}
	return append(dst, "</feed>"...)
}

// AppendEmptyFeed appends an Atom feed without entries, of AtomFeedType: the
// answer about a path that is no entity, which .NET reads as "not found".
//
// Source: docs/protocol.md, section 5.11.
func AppendEmptyFeed(dst []byte) []byte {
	return append(dst, `<feed xmlns="`+atomNamespace+`"><id>urn:relayhouse:none</id>`+
		`<title type="text">None</title><updated>0001-01-01T00:00:00Z</updated></feed>`...)
}

// AppendErrorDocument appends the body of a refused management call, of
// ErrorDocumentType.
//
//	Shape:  <Error><Code>{status}</Code><Detail>{detail}</Detail></Error>.
//	Source: docs/protocol.md, section 5.11.
func AppendErrorDocument(dst []byte, status int, detail string) []byte {
	dst = append(dst, "<Error>"...)
	dst = appendElement(dst, "Code", strconv.Itoa(status))
	dst = appendElement(dst, "Detail", detail)
	return append(dst, "</Error>"...)
}

func appendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = appendXML(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}

func appendBool(dst []byte, name string, b bool) []byte {
	return appendElement(dst, name, strconv.FormatBool(b))
}

func appendMetadata(dst []byte, text string) []byte {
	if text == "" {
		return dst
	}
	return appendElement(dst, "UserMetadata", text)
}

func appendLink(dst []byte, rel, address string) []byte {
	dst = append(append(append(dst, `<link rel="`...), rel...), `" href="`...)
	dst = appendXML(dst, address)
	return append(dst, `"/>`...)
}

// appendTime appends an element with t in UTC, or nothing if t is zero.
func appendTime(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	const layout = "2006-01-02T15:04:05.9999999Z" // .NET counts in 100 ns
	return appendElement(dst, name, t.UTC().Format(layout))
}

// appendXML appends s as the text of an element or attribute.
func appendXML(dst []byte, s string) []byte {
	w := sliceWriter(dst)
	_ = xml.EscapeText(&w, []byte(s)) // a sliceWriter does not fail
	return w
}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
