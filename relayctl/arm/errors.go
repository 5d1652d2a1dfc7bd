package arm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// textMax bounds what an error quotes of an answer, in bytes.
const textMax = 1024

// StatusError is an answer that is no success.
type StatusError struct {
	Status  int
	Code    string // Azure's word for it, or empty.
	Message string // One line; empty if the answer had none.
}

// Error is one line.
func (e *StatusError) Error() string {
	status := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	switch {
	case e.Message == "" && e.Code == "":
		return "the gateway answered " + status
	case e.Message == "":
		return e.Code + " (" + status + ")"
	case e.Code == "":
		return e.Message + " (" + status + ")"
	}
	return e.Code + ": " + e.Message
}

// statusError reads the body of an answer with a status that is no success.
// Azure has two shapes, the older without the member error.
func statusError(status int, body []byte) *StatusError {
	e := &StatusError{Status: status}
	var answer struct {
		Code, Message string
		Error         *struct{ Code, Message string }
	}
	if json.Unmarshal(body, &answer) != nil {
		e.Message = Line(string(body))
		return e
	}
	e.Code, e.Message = Line(answer.Code), Line(answer.Message)
	if answer.Error != nil {
		e.Code, e.Message = Line(answer.Error.Code), Line(answer.Error.Message)
	}
	return e
}

// Line makes one line of at most 1024 bytes of a text from outside: each run of
// blanks and of characters that a terminal may act on becomes one blank.
func Line(text string) string {
	if len(text) > textMax {
		text = text[:textMax] + "…"
	}
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}
