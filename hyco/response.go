package hyco

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// Response is a listener's answer to an HTTP request, without its body.
type Response struct {
	RequestID string // id of the request message
	Status    int    // 200 to 999
	// Phrase is the reason phrase as CleanPhrase makes it. Without one from
	// the listener it is the standard phrase, empty for unknown codes.
	Phrase string
	// Fields are the headers for the sender, in the listener's order and
	// spelling: names are tokens, values have no control characters but tabs.
	Fields []HeaderField
	Body   bool  // a binary message follows
	Close  bool  // Connection: close
	Length int64 // of a valid Content-Length, else -1
}

// ParseResponse reads the object of a response message.
//
//	Shape:  {"requestId","statusCode","statusDescription","responseHeaders":
//	        {},"body"} in any order; the letter case of a name does not count
//	        where the exact name is absent. statusCode is a number or a numeric
//	        text; without body there is none. The value of a header is text, a
//	        number, true, false or an array of these, which is joined with ", "
//	        and, for Set-Cookie, becomes one field each; null is no value. The
//	        headers that end at a gateway are left out, as is Content-Length.
//	Bounds: MaxHeaderFields fields. The length of raw is the caller's matter.
//	Errors: a *Refusal of status 502 that says what is wrong, with the
//	        RequestID and Body that could be read; no other member is of use.
//	Owner:  the response shares no memory with raw.
//	Cost:   linear to raw; 2 allocs and one for each text with escapes and
//	        each array.
//	Source: docs/protocol.md, sections 2.2, 5.5 and 5.6.
func ParseResponse(raw json.RawMessage) (Response, error) {
	r := Response{Length: -1}
	text := trimJSON(string(raw))
	if text == "" || text[0] != '{' || !json.Valid(raw) {
		return r, badResponse("it is not a JSON object")
	}
	m := responseMembers(text)
	if value := m[memberRequestID]; value != "" && value[0] == '"' {
		r.RequestID = scalar(value)
	}
	body := scalar(m[memberBody])
	r.Body = ascii.EqualFold(body, "true")
	switch {
	case r.RequestID == "":
		return r, badResponse("it needs a requestId")
	case !r.Body && body != "" && !ascii.EqualFold(body, "false"):
		return r, badResponse("its body is neither true nor false")
	}
	return r, r.takeMembers(&m)
}

// badResponse is the refusal of a response.
func badResponse(why string) error { return RefusalBadResponse.Because(why) }

// member is a member of the response object.
type member uint8

const (
	memberRequestID member = iota
	memberStatusCode
	memberStatusDescription
	memberResponseHeaders
	memberBody
	memberCount
)

var memberNames = [memberCount]string{
	"requestId", "statusCode", "statusDescription", "responseHeaders", "body",
}

// responseMembers are the JSON values of the known members, empty if absent.
// The last one of several counts.
func responseMembers(object string) (values [memberCount]string) {
	var exact [memberCount]bool
	for members := readInside(object); members.more(); {
		name, value := scalar(members.name()), members.value()
		for m, known := range memberNames {
			if name == known {
				values[m], exact[m] = value, true
			} else if !exact[m] && ascii.EqualFold(name, known) {
				values[m] = value
			}
		}
	}
	return values
}

// takeMembers reads what is not read yet into r.
func (r *Response) takeMembers(m *[memberCount]string) error {
	var ok bool
	if r.Status, ok = statusCode(m[memberStatusCode]); !ok {
		return badResponse("its statusCode is not a number from 200 to 999")
	}
	phrase := m[memberStatusDescription]
	if compound(phrase) {
		return badResponse("its statusDescription is not text")
	}
	if phrase = scalar(phrase); phrase == "" {
		phrase = http.StatusText(r.Status)
	}
	r.Phrase = CleanPhrase(phrase)
	headers := m[memberResponseHeaders]
	if scalar(headers) == "" {
		return nil
	}
	if headers[0] != '{' {
		return badResponse("its responseHeaders are not an object")
	}
	return r.takeHeaders(headers)
}

// statusCode reads a number such as 200, "200" or 200.0.
func statusCode(value string) (status int, ok bool) {
	const lengthMax = 32
	text := trimBlanks(scalar(value))
	if len(text) > lengthMax || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || number < 200 || number > 999 {
		return 0, false
	}
	status = int(number)
	return status, float64(status) == number
}

// takeHeaders reads the object of headers.
func (r *Response) takeHeaders(object string) error {
	count := 0
	for members := readInside(object); members.more() && count < MaxHeaderFields; count++ {
		_, _ = members.name(), members.value()
	}
	r.Fields = make([]HeaderField, 0, count)
	length := contentLength{value: -1}
	for members := readInside(object); members.more(); {
		name, value := scalar(members.name()), members.value()
		why := ""
		switch {
		case ascii.EqualFold(name, "Connection"):
			r.Close = r.Close || closes(value)
		case ascii.EqualFold(name, "Content-Length"):
			length.take(scalar(value))
		case hopByHop(name):
		case !isToken(name):
			why = "no valid name"
		default:
			why = r.takeHeader(name, value)
		}
		if why != "" {
			const nameMax = 64
			return badResponse("header '" + string(appendClean(nil, name, nameMax)) + "' has " + why)
		}
	}
	r.Length = length.value
	return nil
}

const notText = "a value that is neither text nor a list of texts"

// takeHeader adds the fields of a header; why is what is wrong, if anything.
func (r *Response) takeHeader(name, value string) (why string) {
	if value[0] != '[' {
		return r.takeField(name, value)
	}
	if !ascii.EqualFold(name, "Set-Cookie") {
		joined, count, why := join(value)
		if count == 0 || why != "" {
			return why
		}
		return r.addField(name, joined)
	}
	for elements := readInside(value); elements.more() && why == ""; {
		why = r.takeField(name, elements.value())
	}
	return why
}

// takeField adds a field with a value of JSON, if it is one.
func (r *Response) takeField(name, value string) (why string) {
	switch {
	case value == "null":
		return ""
	case compound(value):
		return notText
	}
	return r.addField(name, scalar(value))
}

func (r *Response) addField(name, value string) (why string) {
	value = trimBlanks(value)
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "a control character in its value"
		}
	}
	if len(r.Fields) == MaxHeaderFields {
		return "too many headers before it"
	}
	r.Fields = append(r.Fields, HeaderField{name, value})
	return ""
}

// join joins an array of count texts with ", ".
func join(array string) (joined string, count int, why string) {
	var b []byte
	for elements := readInside(array); elements.more(); {
		value := elements.value()
		switch {
		case value == "null":
			continue
		case compound(value):
			return "", 0, notText
		}
		if count > 0 {
			b = append(b, ", "...)
		}
		b = append(b, scalar(value)...)
		count++
	}
	return string(b), count, ""
}

// closes says whether a value of Connection, text or an array of texts, has
// the option close.
func closes(value string) bool {
	if value[0] == '[' {
		value, _, _ = join(value)
	} else {
		value = scalar(value)
	}
	for option := range strings.SplitSeq(value, ",") {
		if ascii.EqualFold(trimBlanks(option), "close") {
			return true
		}
	}
	return false
}

// contentLength is the one value of Content-Length, or -1: there is none, one
// is invalid, or two differ.
type contentLength struct {
	value int64
	seen  bool
}

func (l *contentLength) take(text string) {
	text = trimBlanks(text)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || text[0] < '0' || text[0] > '9' || l.seen && n != l.value {
		n = -1
	}
	l.value, l.seen = n, true
}
