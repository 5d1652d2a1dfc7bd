package management

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

// The codes of errors. Source: docs/protocol.md, section 13.4.
const (
	codeBadRequest       = "BadRequest"
	codeConflict         = "Conflict"
	codeLocation         = "InvalidResourceLocation"
	codeMethod           = "MethodNotAllowed"
	codeMissingVersion   = "MissingApiVersionParameter"
	codeNotAuthorized    = "AuthorizationFailed"
	codeNotFound         = "ResourceNotFound"
	codeNotImplemented   = "NotImplemented"
	codeParentNotFound   = "ParentResourceNotFound"
	codePrecondition     = "PreconditionFailed"
	codeQuota            = "QuotaExceeded"
	codeToken            = "InvalidAuthenticationToken"
	codeTooLarge         = "RequestEntityTooLarge"
	codeTooManyRequests  = "TooManyRequests"
	codeUnavailable      = "ServiceUnavailable"
	codeUnsupportedMedia = "UnsupportedMediaType"
	codeVersion          = "InvalidApiVersionParameter"
	textShownMax         = 120 // bytes of a client's text in a message
	fieldErrorsMax       = 5   // of one refusal
	contentType          = "Content-Type"
	typeJSON             = "application/json; charset=utf-8"
	headerAllow          = "Allow"
	headerRetryAfter     = "Retry-After"
	headerAuthenticate   = "Www-Authenticate"
	methodsOfReadOnly    = "GET, HEAD, POST"
	textSegments         = " contains character(s) that is not allowed by Relay. Entity " +
		"segments can contain only letters, numbers, periods (.), hyphens (-), and " +
		"underscores (_). "
	textReadOnly = "The namespaces of this gateway come from a file of its operator " +
		"(declarative mode) and cannot be changed by the management API."
)

// fault is a refusal: what a client reads instead of an answer.
type fault struct {
	status        int
	code, message string
	target        string // the member of the body, or ""
	header        [2]string
}

// Error is the message, so that a fault passes through Writer.Update.
func (f *fault) Error() string { return f.code + ": " + f.message }

func newFault(status int, code, format string, args ...any) *fault {
	return &fault{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func (f *fault) with(name, value string) *fault {
	f.header = [2]string{name, value}
	return f
}

func faultBadRequest(target, format string, args ...any) *fault {
	f := newFault(http.StatusBadRequest, codeBadRequest, format, args...)
	f.target = target
	return f
}

func faultConflict(format string, args ...any) *fault {
	return newFault(http.StatusConflict, codeConflict, format, args...)
}

func faultNotFound(what, name string) *fault {
	return newFault(http.StatusNotFound, codeNotFound,
		"The %s '%s' was not found.", what, shown(name))
}

func faultParent(name string) *fault {
	return newFault(http.StatusNotFound, codeParentNotFound, "Can not perform requested "+
		"operation on nested resource. Parent resource '%s' not found.", shown(name))
}

func faultMissingVersion() *fault {
	return newFault(http.StatusBadRequest, codeMissingVersion, "The api-version query "+
		"parameter (?api-version=) is required for all requests.")
}

func faultVersion(text string, since version) *fault {
	return newFault(http.StatusBadRequest, codeVersion, "The api-version '%s' is invalid. "+
		"The supported versions are '%s'.", shown(text), supported(since))
}

func faultMethod(method, allow string) *fault {
	return newFault(http.StatusMethodNotAllowed, codeMethod, "The method '%s' is not allowed "+
		"for this resource; it takes %s.", shown(method), allow).with(headerAllow, allow)
}

func faultTooManyRequests() *fault {
	return newFault(http.StatusTooManyRequests, codeTooManyRequests, "The gateway serves as "+
		"many management requests as it may; try again.").
		with(headerRetryAfter, strconv.Itoa(retryAfterSeconds))
}

func faultUnavailable(message string) *fault {
	return newFault(http.StatusServiceUnavailable, codeUnavailable, "%s", message).
		with(headerRetryAfter, strconv.Itoa(retryAfterSeconds))
}

func faultNotImplemented(what string) *fault {
	return newFault(http.StatusNotImplemented, codeNotImplemented, "%s.", what)
}

// shown is a text of a client as a message may have it: cut, and with what
// cannot be printed left out.
func shown(text string) string {
	if len(text) > textShownMax {
		text = text[:textShownMax] + "..."
	}
	return strings.Map(func(c rune) rune {
		if strconv.IsPrint(c) && c != '\uFFFD' {
			return c
		}
		return -1
	}, text)
}

// fault turns whatever ended a request into what the client reads. What is our
// own failure is logged.
func (c *call) fault(err error) *fault {
	var f *fault
	var fieldError *namespace.FieldError
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, namespacestore.ErrReadOnly):
		return newFault(http.StatusMethodNotAllowed, codeMethod, textReadOnly).
			with(headerAllow, methodsOfReadOnly)
	case errors.Is(err, namespacestore.ErrFull):
		return newFault(http.StatusForbidden, codeQuota, "The maximum number of resources has "+
			"been reached: %v.", err)
	case errors.Is(err, namespacestore.ErrUnavailable):
		// The store has said why in the log.
		return faultUnavailable("The namespace store cannot be written at the moment; " +
			"nothing has changed.")
	case errors.Is(err, namespace.ErrConflict):
		return faultConflict("The name is in use: %s.", strings.TrimSuffix(err.Error(), ": conflict"))
	case errors.Is(err, namespace.ErrNotFound):
		return newFault(http.StatusNotFound, codeNotFound, "%v.", err)
	case errors.As(err, &fieldError):
		return faultFields(err)
	}
	c.log.Error("management request failed", slog.Any("error", err),
		slog.String("path", shown(c.r.URL.Path)), slog.String("correlation_id", c.correlationID))
	return newFault(http.StatusInternalServerError, "InternalServerError",
		"The gateway failed to serve the request.")
}

// faultFields tells what package namespace finds wrong, in the words of the
// API. No FieldError quotes a key.
func faultFields(err error) *fault {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var texts []string
	target := ""
	for i, err := range all {
		var f *namespace.FieldError
		if !errors.As(err, &f) {
			continue
		}
		if i == fieldErrorsMax {
			texts = append(texts, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		path := f.Path
		if strings.HasPrefix(path, "authorization_rules[") {
			_, path, _ = strings.Cut(path, ".") // the rule that was asked for
		}
		if target == "" {
			target = camel(path)
		}
		text := fmt.Sprintf("%s: want %s, got %s", camel(path), f.Want, shown(f.Got))
		if path == "name" {
			text = shown(f.Got) + textSegments + text
		}
		texts = append(texts, text)
	}
	return faultBadRequest(target, "%s.", strings.Join(texts, "; "))
}

// camel turns a path of the settings into one of the API's bodies.
func camel(path string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(path, "_") {
		if b.Len() > 0 && word != "" {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		b.WriteString(word)
	}
	return b.String()
}

// errorBody is the part of an error that all versions have.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
}

// refuse answers with a fault.
//
//	Shape:  {"error":{"code","message","target"}}; up to 2017-04-01 with code
//	        and message at the top too. The message ends with the correlation
//	        id.
//	Source: docs/protocol.md, section 13.4.
func (c *call) refuse(f *fault) {
	c.record(f.status, f.code)
	if f.header[0] != "" {
		c.w.Header().Set(f.header[0], f.header[1])
	}
	body := struct {
		Code    string    `json:"code,omitempty"`
		Message string    `json:"message,omitempty"`
		Error   errorBody `json:"error"`
	}{Error: errorBody{f.code, f.message + " CorrelationId: " + c.correlationID, f.target}}
	if c.version.flatErrors() {
		body.Code, body.Message = body.Error.Code, body.Error.Message
	}
	c.write(answer{status: f.status, body: body})
}

// answer is what an operation has to say.
type answer struct {
	status int
	body   any    // written as JSON; nil for none
	etag   string // of the resource in body; "" for none
	secret bool   // no cache may keep it
	// raw writes the answer instead, head included.
	raw func(w http.ResponseWriter)
}

func answerOK(body any) answer { return answer{status: http.StatusOK, body: body} }

// write sends an answer. A peer that is gone is no error of ours.
func (c *call) write(a answer) {
	h := c.w.Header()
	if a.secret {
		h.Set("Cache-Control", "no-store")
	}
	if a.etag != "" {
		h.Set("Etag", a.etag)
	}
	if a.raw != nil {
		a.raw(c.w)
		return
	}
	if a.body == nil {
		c.w.WriteHeader(a.status)
		return
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(a.body); err != nil {
		c.log.Error("management answer cannot be written", slog.Any("error", err))
		http.Error(c.w, "internal error", http.StatusInternalServerError)
		return
	}
	h.Set(contentType, typeJSON)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(a.status)
	_, _ = c.w.Write(b.Bytes())
}
