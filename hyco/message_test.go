package hyco

import (
	"strings"
	"testing"
)

func TestParseListenerMessage(t *testing.T) {
	const token = "SharedAccessSignature sr=http%3A%2F%2Fh&sig=a%3D&se=1&skn=n"
	for _, c := range []struct {
		name, text string
		want       MessageKind
		content    string // token, response or name
	}{
		{"renewal", `{"renewToken":{"token":"` + token + `"}}`, MessageRenewToken, token},
		{"blanks", " \n{ \"renewToken\" : { \"token\" : \"a\\/b\" } } ", MessageRenewToken, "a/b"},
		{"Java's toString", `{"renewToken":{"token":"com.x.SecurityToken@1b2c"}}`,
			MessageRenewToken, "com.x.SecurityToken@1b2c"},
		{"further members", `{"renewToken":{"x":1,"token":"a","y":{}},"z":[]}`,
			MessageRenewToken, "a"},
		{"no token", `{"renewToken":{}}`, MessageRenewToken, ""},
		{"token is a number", `{"renewToken":{"token":5}}`, MessageRenewToken, ""},
		{"token is null", `{"renewToken":null}`, MessageRenewToken, ""},
		{"renewal is text", `{"renewToken":"a"}`, MessageRenewToken, ""},

		{"item 58: response is kept whole",
			`{"response":{"requestId":"r","statusCode":"202","responseHeaders":{"X-N":5}}}`,
			MessageResponse, `{"requestId":"r","statusCode":"202","responseHeaders":{"X-N":5}}`},
		{"fault", `{"injectFault":{"delay":"00:01:00"}}`, MessageInjectFault, ""},
		{"unknown", `{"dance":{"now":1}}`, MessageUnknown, "dance"},
		{"named unknown", `{"unknown":1}`, MessageUnknown, "unknown"},
		{"letter case counts", `{"RENEWTOKEN":{"token":"a"}}`, MessageUnknown, "RENEWTOKEN"},
		{"first member decides", `{"a":1,"renewToken":{"token":"a"}}`, MessageUnknown, "a"},
		{"no member", `{}`, MessageUnknown, ""},
		{"hostile name", `{"a\r\n\u0000é":1}`, MessageUnknown, "a?????"},
		{"long name", `{"` + strings.Repeat("x", 99) + `":1}`, MessageUnknown,
			strings.Repeat("x", 64)},
	} {
		m, err := ParseListenerMessage([]byte(c.text))
		if err != nil || m.Kind != c.want || m.Token+string(m.Response)+m.Name != c.content {
			t.Errorf("%s: got %+v, %v", c.name, m, err)
		}
	}
	for _, text := range []string{
		"", " ", "null", "1", `"renewToken"`, `["renewToken"]`, "{", `{"renewToken"`,
		`{"renewToken":`, `{"renewToken":{"token":"a"}`, `{"renewToken":{"token":"a"}}x`,
		`{"renewToken":{"token":"a"},}`, `{renewToken:{}}`, `{"a":01}`, `{"response":}`,
		"\xef\xbb\xbf{}", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000),
	} {
		m, err := ParseListenerMessage([]byte(text))
		if err != RefusalMessageInvalid || m.Kind != MessageUnknown {
			t.Errorf("%.40q: got %+v, %v", text, m, err)
		}
	}
	if MessageKind(99).String() != "unknown" || MessageResponse.String() != "response" {
		t.Error("kind names")
	}
}
