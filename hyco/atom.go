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

// RuntimeInformation is what the .NET client reads about a hybrid connection,
// with a GET of its URL and HeaderProcessAt.
type RuntimeInformation struct {
	Host string // of the namespace
	Path string // of the hybrid connection, without a leading slash

	CreatedAt                   time.Time // zero: unknown, left out
	UpdatedAt                   time.Time // zero: unknown, left out
	RequiresClientAuthorization bool
	UserMetadata                string // empty: left out
	ListenerCount               int

	Now time.Time // for the entry, where UpdatedAt is unknown
}

const atomNamespace = `"http://www.w3.org/2005/Atom"`

// AppendRuntimeInformation appends an Atom entry, of AtomEntryType.
//
//	Shape:  <entry> whose content, of type application/xml, is a
//	        HybridConnectionDescription with CreatedAt, UpdatedAt,
//	        RequiresClientAuthorization, UserMetadata, ListenerCount. The
//	        client's reader skips members that are out of this order. Texts
//	        are escaped; characters that XML does not have become U+FFFD.
//	Source: docs/protocol.md, section 5.11.
func AppendRuntimeInformation(dst []byte, i RuntimeInformation) []byte {
	address := (&url.URL{Scheme: "https", Host: i.Host, Path: "/" + i.Path}).String()
	updated := i.UpdatedAt
	if updated.IsZero() {
		updated = i.Now
	}
	dst = append(dst, "<entry xmlns="+atomNamespace+">"...)
	dst = appendElement(dst, "id", address)
	dst = append(dst, `<title type="text">`...)
	dst = appendXML(dst, i.Path)
	dst = append(dst, "</title>"...)
	dst = appendTime(dst, "published", i.CreatedAt)
	dst = appendTime(dst, "updated", updated)
	dst = append(dst, "<author>"...)
	dst = appendElement(dst, "name", i.Host)
	dst = append(dst, `</author><link rel="self" href="`...)
	dst = appendXML(dst, address)
	dst = append(dst, `"/><content type="application/xml"><HybridConnectionDescription`+
		` xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"`+
		` xmlns:i="http://www.w3.org/2001/XMLSchema-instance">`...)
	dst = appendTime(dst, "CreatedAt", i.CreatedAt)
	dst = appendTime(dst, "UpdatedAt", i.UpdatedAt)
	dst = appendElement(dst, "RequiresClientAuthorization",
		strconv.FormatBool(i.RequiresClientAuthorization))
	if i.UserMetadata != "" {
		dst = appendElement(dst, "UserMetadata", i.UserMetadata)
	}
	dst = appendElement(dst, "ListenerCount", strconv.Itoa(i.ListenerCount))
	return append(dst, "</HybridConnectionDescription></content></entry>"...)
}

// AppendEmptyFeed appends an Atom feed without entries, of AtomFeedType: the
// answer about a path that is no hybrid connection, which the client reads as
// "not found".
//
// Source: docs/protocol.md, section 5.11.
func AppendEmptyFeed(dst []byte) []byte {
	return append(dst, "<feed xmlns="+atomNamespace+"><id>urn:relayhouse:none</id>"+
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
