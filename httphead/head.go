package httphead

import (
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// FieldsMax bounds the header fields of one request; more are ErrTooMany. Real
// clients send 6 to 20; browsers behind proxies reach 50.
const FieldsMax = 256

// methodMax is longer than any registered method (24 covers
// UPDATEREDIRECTREF).
const methodMax = 24

// Field is one header line, the value without the blanks around it.
type Field struct{ Name, Value string }

// Head is a parsed request head. Its strings share one copy of the head.
type Head struct {
	Method string
	Target string // request-target as sent
	Fields []Field
	Minor  int // the digit after "HTTP/1."
}

// Parse reads a head that ends with its blank line.
//
//	Errors: ErrTooMany stands for 431, ErrVersion for 505, the others for 400.
//	Cost:   one copy of p and one slice of fields.
//	Source: RFC 9112 sections 2.2, 3, 5.
func Parse(p []byte) (Head, error) {
	s := strings.TrimPrefix(string(p), "\r\n") // RFC 9112 section 2.2
	line, rest, ok := strings.Cut(s, "\r\n")
	if !ok {
		return Head{}, ErrLineEnd
	}
	h, err := parseRequestLine(line)
	if err != nil {
		return Head{}, err
	}
	n := strings.Count(rest, "\r\n") - 1
	if n > FieldsMax {
		return Head{}, ErrTooMany
	}
	h.Fields = make([]Field, 0, max(n, 0))
	for rest != "\r\n" {
		if line, rest, ok = strings.Cut(rest, "\r\n"); !ok {
			return Head{}, ErrLineEnd
		}
		f, err := parseField(line)
		if err != nil {
			return Head{}, err
		}
		h.Fields = append(h.Fields, f)
	}
	hosts := h.Count("Host")
	if hosts > 1 || hosts == 0 && h.Minor > 0 {
		return Head{}, ErrHost
	}
	return h, nil
}

func parseRequestLine(line string) (h Head, err error) {
	method, rest, ok1 := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || len(method) > methodMax || !IsToken(method) || target == "" {
		return h, ErrRequestLine
	}
	for i := range len(target) {
		if c := target[i]; c <= 0x20 || c == 0x7f {
			return h, ErrRequestLine
		}
	}
	switch version {
	case "HTTP/1.1":
		h.Minor = 1
	case "HTTP/1.0":
	default:
		digits, ok := strings.CutPrefix(version, "HTTP/")
		if ok && digits != "" && strings.Trim(digits, ".0123456789") == "" {
			return h, ErrVersion
		}
		return h, ErrRequestLine
	}
	h.Method, h.Target = method, target
	return h, nil
}

func parseField(line string) (Field, error) {
	if line == "" {
		return Field{}, ErrLineEnd
	}
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, ErrFolded
	}
	if strings.IndexByte(line, '\n') >= 0 {
		return Field{}, ErrLineEnd
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok || !IsToken(name) {
		return Field{}, ErrFieldName
	}
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if !textByte(value[i]) {
			return Field{}, ErrFieldValue
		}
	}
	return Field{name, value}, nil
}

// Count is the number of fields of that name, in any letter case.
func (h *Head) Count(name string) int {
	n := 0
	for i := range h.Fields {
		if ascii.EqualFold(h.Fields[i].Name, name) {
			n++
		}
	}
	return n
}

// Get returns the value of the first field of that name, or "".
func (h *Head) Get(name string) string {
	for i := range h.Fields {
		if ascii.EqualFold(h.Fields[i].Name, name) {
			return h.Fields[i].Value
		}
	}
	return ""
}

// Tokens yields the elements of all fields of that name, split at commas and
// trimmed; empty elements are left out.
func (h *Head) Tokens(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range h.Fields {
			if !ascii.EqualFold(h.Fields[i].Name, name) {
				continue
			}
			for element := range strings.SplitSeq(h.Fields[i].Value, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// HasToken says whether an element of the fields of that name equals token,
// in any letter case.
func (h *Head) HasToken(name, token string) bool {
	for element := range h.Tokens(name) {
		if ascii.EqualFold(element, token) {
			return true
		}
	}
	return false
}

// HasBody says whether the request announces a body of any length but zero.
func (h *Head) HasBody() bool {
	return h.Count("Transfer-Encoding") > 0 ||
		h.Count("Content-Length") > 1 ||
		h.Count("Content-Length") == 1 && h.Get("Content-Length") != "0"
}

// IsToken says whether s is a token of RFC 9110 section 5.6.2.
func IsToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// tokenBytes has a bit for each byte of a token.
var tokenBytes = func() (set [4]uint64) {
	const all = "!#$%&'*+-.^_`|~0123456789" +
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range []byte(all) {
		set[c/64] |= 1 << (c % 64)
	}
	return set
}()

func tokenByte(c byte) bool { return tokenBytes[c/64]>>(c%64)&1 != 0 }

// Append writes h as Parse would read it.
func Append(dst []byte, h *Head) []byte {
	dst = append(append(append(append(dst, h.Method...), ' '), h.Target...), " HTTP/1."...)
	dst = append(dst, byte('0'+h.Minor), '\r', '\n')
	for _, f := range h.Fields {
		dst = append(append(append(dst, f.Name...), ": "...), f.Value...)
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '\r', '\n')
}
