package hyco

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// Action is what a WebSocket leg is for: the value of sb-hc-action.
type Action uint8

// The actions. A missing or empty value is connect.
const (
	ActionConnect Action = iota // a sender
	ActionListen                // a listener's control channel
	ActionAccept                // a rendezvous connection, to accept or reject
	ActionRequest               // a rendezvous connection for an HTTP request
	ActionUnknown               // anything else; see Target.ActionText
)

var actionNames = [...]string{"connect", "listen", "accept", "request", "unknown"}

// String returns the value of sb-hc-action that stands for a, or "unknown".
func (a Action) String() string { return actionNames[min(a, ActionUnknown)] }

func parseAction(text string) Action {
	if text == "" {
		return ActionConnect
	}
	for a := ActionConnect; a < ActionUnknown; a++ {
		if ascii.EqualFold(text, actionNames[a]) {
			return a
		}
	}
	return ActionUnknown
}

// Target is a parsed request target. Its strings share memory with the text
// that it was parsed from.
type Target struct {
	// Authority is the host[:port] of an absolute-form target, which goes
	// before the Host header (RFC 9112 section 3.2.2); empty otherwise.
	Authority string
	// WebSocket says that the path began with /$hc, in any letter case and
	// with any of it percent-encoded.
	WebSocket bool
	// RawPath is what follows "/$hc/" or, without WebSocket, "/", as sent.
	RawPath string
	// Path is RawPath percent-decoded once. It may hold any bytes: control
	// characters, dot segments and doubled slashes are the application's.
	Path string
	// Query is the query without the protocol's own parameters, otherwise as
	// sent and without "?".
	Query string
	// HasQuery says that something survived, be it an empty piece: "a?" has
	// a query and "a?sb-hc-id=1" has none.
	HasQuery bool

	// The decoded parameters. The first of several with one name counts.

	Action     Action
	ActionText string // sb-hc-action
	ID         string // sb-hc-id; see CleanID
	Token      string // sb-hc-token, form-decoded
	Rendezvous string // sb-hc-rendezvous: the secret of a rendezvous address

	// sb-hc-sas-key-name and sb-hc-sas-key, form-decoded, a key in the URL.
	// Most gateways do not look at them; a malformed one reads as empty.
	KeyName, Key string

	// Rejection is set if Action is ActionAccept and the listener rejects.
	Rejection *Rejection
}

// Rejection is what a listener answers to a sender that it does not want.
type Rejection struct {
	// Status is 100 to 999, as sent.
	Status int
	// Description is decoded; empty means the standard phrase.
	Description string
	// Unprefixed says that the parameters had no sb-hc- before their names,
	// as some Node clients send them.
	Unprefixed bool
}

// Answer is what the sender gets: an informational status would not end its
// handshake and becomes 502, and the phrase is as CleanPhrase makes it.
//
// Source: docs/protocol.md, section 3.4.
func (r *Rejection) Answer() (status int, phrase string) {
	status = r.Status
	if status < 200 {
		status = http.StatusBadGateway
	}
	if r.Description == "" {
		return status, http.StatusText(status)
	}
	return status, CleanPhrase(r.Description)
}

// parameter is one of the protocol's own query parameters that is read. Other
// sb-hc- parameters are dropped unread.
type parameter uint8

const (
	paramAction parameter = iota
	paramID
	paramToken
	paramRendezvous
	paramStatusCode
	paramStatusDescription
	paramKeyName
	paramKey
	paramsPrefixed // the ones above have the prefix

	// Without prefix, and only after our own sb-hc-id.
	paramBareCode        = paramsPrefixed
	paramBareDescription = paramsPrefixed + 1
	paramCount           = paramsPrefixed + 2
)

// paramNames are in lower case and without prefix.
var paramNames = [paramCount]string{
	paramAction:            "action",
	paramID:                "id",
	paramToken:             "token",
	paramRendezvous:        "rendezvous",
	paramStatusCode:        "statuscode",
	paramStatusDescription: "statusdescription",
	paramKeyName:           "sas-key-name",
	paramKey:               "sas-key",
	paramBareCode:          "statuscode",
	paramBareDescription:   "statusdescription",
}

const paramPrefix = "sb-hc-"

// ParseTarget reads the request target of any leg.
//
//	Shape:  raw is in origin form or in absolute form with the scheme http,
//	        https, ws or wss. Any bytes are safe; those beyond ASCII are kept.
//	Errors: a *Refusal of status 400, with as much of the Target as could be
//	        read, for the text of the answer. An unknown action is none: the caller
//	        refuses it, with RefusalUnknownAction.
//	Cost:   0 allocs for a plain path, one for each of: an escaped path, a
//	        token, a query of which the middle was dropped, a rejection.
//	Source: docs/protocol.md, sections 1.1, 1.2, 1.4, 1.5, 3.4.
func ParseTarget(raw string) (Target, error) {
	var t Target
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == 0x7f || c == '#' {
			return Target{}, RefusalTargetByte
		}
	}
	rest := raw
	if raw == "" || raw[0] != '/' {
		var ok bool
		if t.Authority, rest, ok = cutAuthority(raw); !ok {
			return Target{}, RefusalBadTarget
		}
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	t.RawPath, t.WebSocket = cutPrefix(path)
	var err error
	if t.Path, err = url.PathUnescape(t.RawPath); err != nil {
		return t, RefusalPathEscape
	}
	if hasQuery {
		err = t.parseQuery(query)
	}
	return t, err
}

// Parameter returns the form-decoded value of the first parameter of Query with
// a name, which is given in lower case and matches any; "" if there is none, or
// if its value is malformed.
//
//	Cost: 0 allocs where nothing is escaped.
func (t *Target) Parameter(name string) string {
	for piece := range strings.SplitSeq(t.Query, "&") {
		key, value, _ := strings.Cut(piece, "=")
		if n, ok := prefixFold(key, name); ok && n == len(key) {
			value, _ = url.QueryUnescape(value)
			return value
		}
	}
	return ""
}

// cutAuthority splits a target in absolute form.
func cutAuthority(raw string) (authority, rest string, ok bool) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !ascii.EqualFold(scheme, "http") && !ascii.EqualFold(scheme, "https") &&
		!ascii.EqualFold(scheme, "ws") && !ascii.EqualFold(scheme, "wss") {
		return "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[:end], rest[end:], end > 0
}

// cutPrefix takes "/$hc/" or "/" off a path, which may be empty.
func cutPrefix(path string) (rest string, webSocket bool) {
	if n, ok := prefixFold(path, "/$hc"); ok {
		if rest = path[n:]; rest == "" {
			return "", true
		}
		if n, ok := prefixFold(rest, "/"); ok {
			return rest[n:], true
		}
	}
	return strings.TrimPrefix(path, "/"), false
}

// parseQuery reads our parameters and keeps the rest for the listener.
func (t *Target) parseQuery(query string) error {
	var values [paramCount]string
	var seen [paramCount]bool
	var kept pieces
	for start := 0; start <= len(query); {
		end := start + strings.IndexByte(query[start:], '&')
		if end < start {
			end = len(query)
		}
		name, value, hasValue := strings.Cut(query[start:end], "=")
		p := paramCount
		if n, ok := prefixFold(name, paramPrefix); ok && hasValue {
			p = findParam(name[n:], paramAction, paramsPrefixed)
		} else {
			kept.add(query, start, end)
			if hasValue && seen[paramID] {
				p = findParam(name, paramBareCode, paramCount)
			}
		}
		if p < paramCount && !seen[p] {
			values[p], seen[p] = value, true
		}
		start = end + 1
	}
	t.Query, t.HasQuery = kept.join(query), kept.any
	return t.takeParams(&values, &seen)
}

// findParam looks for name among the parameters from first up to end.
func findParam(name string, first, end parameter) parameter {
	for p := first; p < end; p++ {
		if n, ok := prefixFold(name, paramNames[p]); ok && n == len(name) {
			return p
		}
	}
	return paramCount
}

// takeParams decodes the parameters into t.
func (t *Target) takeParams(values *[paramCount]string, seen *[paramCount]bool) error {
	for p := range paramsPrefixed {
		decoded, err := url.QueryUnescape(values[p])
		if err != nil && p != paramKeyName && p != paramKey {
			return RefusalQueryEscape
		}
		values[p] = decoded
	}
	t.ActionText = values[paramAction]
	t.Action = parseAction(t.ActionText)
	t.ID = values[paramID]
	t.Token = values[paramToken]
	t.Rendezvous = values[paramRendezvous]
	t.KeyName, t.Key = values[paramKeyName], values[paramKey]
	if t.Action != ActionAccept {
		return nil
	}
	if seen[paramStatusCode] {
		status, ok := parseStatus(values[paramStatusCode])
		if !ok {
			return RefusalBadStatusCode
		}
		t.Rejection = &Rejection{Status: status, Description: values[paramStatusDescription]}
		return nil
	}
	if seen[paramBareCode] {
		t.Rejection = bareRejection(values[paramBareCode], values[paramBareDescription])
	}
	return nil
}

// bareRejection reads the parameters without prefix. They are a rejection only
// if all of it makes sense, since their names are not reserved; else nil.
func bareRejection(code, description string) *Rejection {
	code, err1 := url.QueryUnescape(code)
	description, err2 := url.QueryUnescape(description)
	status, ok := parseStatus(code)
	if !ok || err1 != nil || err2 != nil {
		return nil
	}
	return &Rejection{Status: status, Description: description, Unprefixed: true}
}

func parseStatus(text string) (status int, ok bool) {
	status, err := strconv.Atoi(text)
	return status, err == nil && status >= 100 && status <= 999
}

// pieces collects the parts of a query that survive. As long as they lie side
// by side they stay a part of the query.
type pieces struct {
	start, end int
	joined     []byte // once there was a gap
	any        bool
}

func (k *pieces) add(query string, start, end int) {
	switch {
	case !k.any:
		k.start, k.end, k.any = start, end, true
	case k.joined == nil && k.end+1 == start:
		k.end = end
	default:
		if k.joined == nil {
			k.joined = append(make([]byte, 0, len(query)), query[k.start:k.end]...)
		}
		k.joined = append(append(k.joined, '&'), query[start:end]...)
	}
}

func (k *pieces) join(query string) string {
	if k.joined != nil {
		return string(k.joined)
	}
	return query[k.start:k.end]
}

// prefixFold says whether raw, percent-decoded and in lower case, begins with
// want, which is in lower case; n is the length of that part of raw. A broken
// escape stands for itself.
func prefixFold(raw, want string) (n int, ok bool) {
	for i := range len(want) {
		if n >= len(raw) {
			return 0, false
		}
		c, width := raw[n], 1
		if c == '%' && n+2 < len(raw) {
			high, low := unhex(raw[n+1]), unhex(raw[n+2])
			if high < 16 && low < 16 {
				c, width = high<<4|low, 3
			}
		}
		if ascii.Lower(c) != want[i] {
			return 0, false
		}
		n += width
	}
	return n, true
}

// unhex is the value of a hexadecimal digit, 16 for other bytes.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= ascii.Lower(c) && ascii.Lower(c) <= 'f':
		return ascii.Lower(c) - 'a' + 10
	}
	return 16
}
