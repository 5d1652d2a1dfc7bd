package hyco

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const jsonBlanks = " \t\r\n"

func trimJSON(s string) string { return strings.Trim(s, jsonBlanks) }

// jsonReader reads the members of an object or the elements of an array, of
// which only the values at the top are looked at. The text must be valid JSON;
// the cost is linear to it, at any depth.
type jsonReader struct {
	text string
	at   int // behind what has been read
}

// readInside reads an object or array.
func readInside(value string) jsonReader { return jsonReader{value, 1} }

// more says whether there is another member or element, and goes to it.
func (r *jsonReader) more() bool {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n', ',':
			r.at++
		case '}', ']':
			return false
		default:
			return true
		}
	}
	return false
}

// name takes the name of a member, in its quotes, and the colon.
func (r *jsonReader) name() string {
	name := r.value()
	for r.at < len(r.text) && r.text[r.at] != ':' {
		r.at++
	}
	for r.at++; r.at < len(r.text) && strings.IndexByte(jsonBlanks, r.text[r.at]) >= 0; {
		r.at++
	}
	return name
}

// value takes a value, as its JSON text.
func (r *jsonReader) value() string {
	start, depth := r.at, 0
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case '"':
			r.skipText()
			if depth == 0 {
				return r.text[start:r.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return r.text[start:r.at]
			}
			if depth--; depth == 0 {
				r.at++
				return r.text[start:r.at]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return r.text[start:r.at]
			}
		}
		r.at++
	}
	return r.text[start:]
}

// skipText goes behind the closing quote of a text.
func (r *jsonReader) skipText() {
	for r.at++; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '\\':
			r.at++
		case '"':
			r.at++
			return
		}
	}
}

// compound says whether a value is an object or array. An absent one, "", is
// none.
func compound(value string) bool { return value != "" && (value[0] == '{' || value[0] == '[') }

// scalar is the text of a value: of a text what it stands for, of null and of
// an absent value nothing, of others the JSON text.
func scalar(value string) string {
	switch {
	case value == "null":
		return ""
	case value == "" || value[0] != '"':
		return value
	}
	inside := value[1 : len(value)-1]
	if strings.IndexByte(inside, '\\') < 0 && utf8.ValidString(inside) {
		return inside
	}
	return unescape(inside)
}

// unescape decodes the inside of a text. As in encoding/json, what is not UTF-8
// and half a surrogate pair become U+FFFD.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c != '\\':
			r, width := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += width
		case s[i+1] != 'u':
			b = append(b, simpleEscape(s[i+1]))
			i += 2
		default:
			r, width := hexRune(s[i:])
			b = utf8.AppendRune(b, r)
			i += width
		}
	}
	return string(b)
}

// simpleEscape is what a backslash and c stand for.
func simpleEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // quote, backslash, slash
}

// hexRune reads the \uXXXX that s begins with, two of them for a pair.
func hexRune(s string) (r rune, width int) {
	const one, two = len(`\u0000`), 2 * len(`\u0000`)
	r = hexUnit(s)
	if !utf16.IsSurrogate(r) {
		return r, one
	}
	if len(s) >= two && s[one] == '\\' && s[one+1] == 'u' {
		if pair := utf16.DecodeRune(r, hexUnit(s[one:])); pair != utf8.RuneError {
			return pair, two
		}
	}
	return utf8.RuneError, one
}

func hexUnit(s string) (r rune) {
	for _, c := range []byte(s[2:6]) {
		r = r<<4 | rune(unhex(c))
	}
	return r
}
