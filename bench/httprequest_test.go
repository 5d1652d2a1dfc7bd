package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseRequest(t *testing.T) {
	for _, c := range []struct{ message, address, id, method, target, body, fails string }{
		{message: `{"request":{"address":"ws://h/a?b","id":"i_G0","requestTarget":"/e/1?q",` +
			`"method":"POST","remoteEndpoint":{"address":"::1","port":1},"requestHeaders":` +
			`{"id":"no","A":"\"}{\\","B":[1,{"c":null}]},"body":true}}`,
			address: "ws://h/a?b", id: "i_G0", method: "POST", target: "/e/1?q", body: "true"},
		{message: ` { "request" : { "id" : "i" , "address" : "ws:\/\/h\u002fa" } } }`,
			fails: "is not JSON"},
		{message: ` { "request" : { "id" : "i" , "address" : "ws:\/\/h\u002fa" } } `,
			address: "ws://h/a", id: "i", body: "false"},
		{message: `{"request":{"address":"a","id":"i","body":false}}`, address: "a", id: "i",
			body: "false"},
		{message: `{"request":{"address":"a","id":"i","deep":[[{"x":[{}]}]],"method":"GET"}}`,
			address: "a", id: "i", method: "GET", body: "false"},
		{message: ``, fails: "is not a request"},
		{message: `[]`, fails: "is not a request"},
		{message: `{"accept":{"address":"a","id":"i"}}`, fails: "is not a request"},
		{message: `{"request":true}`, fails: "is not a request"},
		{message: `{"request":{}}`, fails: "without address or id"},
		{message: `{"request":{"id":"i"}}`, fails: "without address or id"},
		{message: `{"request":{"address":"a","id":"i"`, fails: "is not JSON"},
		{message: `{"request":{"address":"a","id":"i","x":`, fails: "is not JSON"},
		{message: `{"request":{"address":"a","id":"i","x":[`, fails: "is not JSON"},
		{message: `{"request":{"address":"a","id":"i\`, fails: "is not JSON"},
		{message: `{"request":{"address":1,"id":"i"}}`, fails: "is not JSON"},
		{message: `{"request":{"address":"\x","id":"i"}}`, fails: "is not JSON"},
		{message: `{"request":{"address" "a"}}`, fails: "is not JSON"},
	} {
		m, err := parseRequest([]byte(c.message))
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want %q", c.message, err, c.fails)
			}
			continue
		}
		if err != nil || string(m.address) != c.address || string(m.id) != c.id ||
			string(m.method) != c.method || string(m.target) != c.target ||
			m.body != (c.body == "true") {
			t.Errorf("%s: %+v, %v", c.message, m, err)
		}
	}
}

// FuzzParseRequest checks that no input panics, and that a request message that
// encoding/json understands is understood alike.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"request":{"address":"a","id":"i","method":"GET","body":true}}`))
	f.Add([]byte(`{"request":{"address":"\/","id":"i","requestHeaders":{"a":"}"},"x":[1]}}`))
	f.Add([]byte(` {"request":{"id":null,"address":[{"":""}]}}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		if !utf8.Valid(message) {
			return // no JSON; encoding/json mends it, and no gateway sends it
		}
		m, err := parseRequest(message)
		var outer struct{ Request map[string]json.RawMessage }
		if json.Unmarshal(message, &outer) != nil || err != nil {
			return
		}
		for name, got := range map[string][]byte{
			"address": m.address, "id": m.id, "method": m.method, "requestTarget": m.target,
		} {
			var want string
			if raw := outer.Request[name]; raw != nil && json.Unmarshal(raw, &want) == nil &&
				want != string(got) {
				t.Fatalf("%s is %q, want %q", name, got, want)
			}
		}
		if raw := string(outer.Request["body"]); m.body != (raw == "true") {
			t.Fatalf("body is %v, want %s", m.body, raw)
		}
	})
}
