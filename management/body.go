package management

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// depthMax bounds how deep a body is nested; the API's own go to 4.
const depthMax = 16

// object is a JSON object, in the order in which it was sent. A value is nil
// for null, bool, string, json.Number, []any or object.
type object []member

type member struct {
	name  string
	value any
}

// readBody reads the body of a request as one JSON object.
//
//	Errors: *fault: 415 for another type of content, 413 for more than
//	        bodyBytesMax, 400 for anything that is not one object of JSON with
//	        each name once.
func (c *call) readBody() (*fields, error) {
	if err := c.checkContentType(); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, bodyBytesMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newFault(http.StatusRequestEntityTooLarge, codeTooLarge,
			"The body of the request is longer than %d bytes.", bodyBytesMax)
	case err != nil:
		return nil, faultBadRequest("", "The body of the request cannot be read.")
	}
	o, err := parseObject(text)
	if err != nil {
		return nil, faultBadRequest("", "The body of the request is not valid: %s.", err)
	}
	return newFields(o), nil
}

func (c *call) checkContentType() error {
	text := c.r.Header.Get(contentType)
	if text == "" {
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(text)
	charset := parameters["charset"]
	if err == nil && (charset == "" || equalFold(charset, "utf-8")) &&
		(kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")) {
		return nil
	}
	return newFault(http.StatusUnsupportedMediaType, codeUnsupportedMedia, "The content media "+
		"type '%s' is not supported. Only 'application/json' is supported.", shown(text))
}

// parseObject reads one object and nothing behind it.
func parseObject(text []byte) (object, error) {
	text = bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("want a JSON object, got nothing")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("want UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want nothing behind the JSON object")
	}
	o, ok := value.(object)
	if !ok {
		return nil, fmt.Errorf("want a JSON object, got %s", kindOf(value))
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > depthMax {
		return nil, fmt.Errorf("want at most %d levels", depthMax)
	}
	t, err := d.Token()
	if err != nil {
		return nil, syntaxError(d, err)
	}
	switch t {
	case json.Delim('{'):
		return parseMembers(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, syntaxError(d, err)
	}
	return t, nil
}

func parseMembers(d *json.Decoder, depth int) (any, error) {
	o := object{}
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, syntaxError(d, err)
		}
		name, _ := t.(string) // the decoder takes nothing else here
		if folded := strings.ToLower(name); seen[folded] {
			return nil, fmt.Errorf("the member '%s' is given twice", shown(name))
		} else {
			seen[folded] = true
		}
		value, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
	}
	_, err := d.Token()
	return o, syntaxError(d, err)
}

// syntaxError says where JSON is broken, and does not quote it: it may hold a
// key.
func syntaxError(d *json.Decoder, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it is no JSON at byte %d", d.InputOffset())
}

// kindOf names what a value is.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

// fields reads the members of an object by name, in any letter case. A member
// that is null is as absent, one that is not asked for does not count. The
// first one of a wrong type is kept in err.
type fields struct {
	at  string // path of the object, "" or with a dot at its end
	all object
	err *error
}

func newFields(o object) *fields { return &fields{all: o, err: new(error)} }

// problem is the first thing that was wrong, or nil.
func (f *fields) problem() error { return *f.err }

func (f *fields) fail(name, want string, value any) {
	f.refuse(name, "want %s, got %s", want, kindOf(value))
}

// refuse keeps a fault about a member.
func (f *fields) refuse(name, format string, args ...any) {
	if *f.err == nil {
		target := f.at + name
		*f.err = faultBadRequest(target, "%s: %s.", target, fmt.Sprintf(format, args...))
	}
}

func (f *fields) value(name string) any {
	for i := range f.all {
		if equalFold(f.all[i].name, name) {
			return f.all[i].value
		}
	}
	return nil
}

// has says whether a member is given and is not null.
func (f *fields) has(name string) bool { return f.value(name) != nil }

// object returns the members of a member; none if it is absent.
func (f *fields) object(name string) *fields {
	value := f.value(name)
	o, ok := value.(object)
	if !ok && value != nil {
		f.fail(name, "an object", value)
	}
	return &fields{at: f.at + name + ".", all: o, err: f.err}
}

// text returns a string, nil if it is absent.
func (f *fields) text(name string) *string {
	value := f.value(name)
	s, ok := value.(string)
	if !ok {
		if value != nil {
			f.fail(name, "a string", value)
		}
		return nil
	}
	return &s
}

// choice returns one of some words, as they are written here; "" if absent.
func (f *fields) choice(name string, words ...string) string {
	s := f.text(name)
	if s == nil {
		return ""
	}
	for _, word := range words {
		if equalFold(*s, word) {
			return word
		}
	}
	f.refuse(name, "want %s, got '%s'", either(words), shown(*s))
	return ""
}

// either joins words: a, b or c.
func either(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// boolean returns a boolean, nil if it is absent.
func (f *fields) boolean(name string) *bool {
	value := f.value(name)
	b, ok := value.(bool)
	if !ok {
		if value != nil {
			f.fail(name, "true or false", value)
		}
		return nil
	}
	return &b
}

// number returns a whole number, nil if it is absent.
func (f *fields) number(name string) *int {
	value := f.value(name)
	if value == nil {
		return nil
	}
	digits, ok := value.(json.Number)
	if !ok {
		f.fail(name, "a whole number", value)
		return nil
	}
	n, err := strconv.ParseInt(digits.String(), 10, 32)
	if err != nil {
		f.refuse(name, "want a whole number, got %s", shown(digits.String()))
		return nil
	}
	i := int(n)
	return &i
}

// list returns a list and whether there is one.
func (f *fields) list(name string) ([]any, bool) {
	value := f.value(name)
	list, ok := value.([]any)
	if !ok && value != nil {
		f.fail(name, "a list", value)
	}
	return list, ok
}

// texts returns a list of strings and whether there is one.
func (f *fields) texts(name string) ([]string, bool) {
	list, ok := f.list(name)
	if !ok {
		return nil, false
	}
	texts := make([]string, 0, len(list))
	for i, value := range list {
		s, ok := value.(string)
		if !ok {
			f.fail(fmt.Sprintf("%s[%d]", name, i), "a string", value)
			return nil, true
		}
		texts = append(texts, s)
	}
	return texts, true
}

// dictionary returns an object of strings and whether there is one.
func (f *fields) dictionary(name string) (map[string]string, bool) {
	if !f.has(name) {
		return nil, false
	}
	inner := f.object(name)
	words := make(map[string]string, len(inner.all))
	for _, m := range inner.all {
		s, ok := m.value.(string)
		if !ok {
			inner.fail(shown(m.name), "a string", m.value)
			return nil, true
		}
		words[m.name] = s
	}
	return words, true
}
