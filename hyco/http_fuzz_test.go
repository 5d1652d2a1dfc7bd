package hyco

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// withheldNames are never in a request message, see docs/protocol.md, sections
// 1.3 and 5.4.
var withheldNames = []string{
	"connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade", "close",
	"keep-alive", "proxy-connection", "expect", "http2-settings", "servicebusauthorization",
	"microsoft-relay-allowedlisteners", "microsoft-relay-disallowedlisteners",
}

// ownNames are headers that a gateway may write itself, or protects.
var ownNames = []string{
	"host", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
}

// FuzzAppendRequest checks the message against a plain reading of the rules for
// headers.
func FuzzAppendRequest(f *testing.F) {
	f.Add("ws://h/$hc/a", "/a b?x", "GET", "X-App", "1", "x-app", "2", byte(0))
	f.Add("\"\\\x00", "/\xff", "PÖST", "Cookie", "\xff", "cookie", "\xed\xa0\x80", byte(3))
	f.Add("", "", "", "Connection", "Host, x-app,,Via", "X-App", "1", byte(7))
	f.Add("", "", "", "Connection", "keep-alive", "Host", `a"b\`, byte(15))
	f.Add("", "", "", "Forwarded", `for="`, "forwarded", `"`, byte(2))
	f.Add("", "", "", "Authorization", "secret", "ServiceBusAuthorization", "secret", byte(4))
	f.Fuzz(func(t *testing.T, address, target, method, name1, value1, name2, value2 string,
		flags byte,
	) {
		r := Request[HeaderField]{Address: address, ID: address, Target: target, Method: method,
			Via: "h", Remote: peer, Proto: "http", Forwarded: Forwarded(flags) & ForwardedAll,
			Authorized: flags&4 != 0, Body: flags&8 != 0,
			Fields: []HeaderField{{name1, value1}, {name2, value2}}}
		message, err := AppendRequest(nil, &r)
		if err != nil {
			size := 2*len(address) + len(target+method+name1+value1+name2+value2)
			if err != RefusalHeadTooLarge || message != nil || size < MaxRequestMessage/12-500 &&
				strings.Count(value1+value2, ",") < optionsMax {
				t.Fatalf("%d bytes, but %v", size, err)
			}
			return
		}
		var got request
		if err := json.Unmarshal(message, &got); err != nil || !utf8.Valid(message) ||
			len(message) > MaxRequestMessage || got.Request.Body == nil {
			t.Fatalf("%q: %v", message, err)
		}
		g := got.Request
		if g.Address != latin1(address) || g.ID != latin1(address) || *g.Body != r.Body ||
			g.RequestTarget != latin1(target) || g.Method != latin1(method) ||
			g.RemoteEndpoint.Port != int(peer.Port()) {
			t.Fatalf("%+v in %q", r, message)
		}
		if latin1(name1) == name1 && latin1(name2) == name2 { // others may collide
			checkHeaders(t, &r, g.RequestHeaders)
		}
	})
}

// checkHeaders compares the headers of a message with those of r.
func checkHeaders(t *testing.T, r *Request[HeaderField], got map[string]string) {
	t.Helper()
	var options []string
	values := map[string][]string{}
	for _, f := range r.Fields {
		name := lowerASCII(f.Name)
		values[name] = append(values[name], latin1(f.Value))
		if name == "connection" {
			for option := range strings.SplitSeq(f.Value, ",") {
				options = append(options, lowerASCII(strings.Trim(option, " \t")))
			}
		}
	}
	folded := map[string]string{}
	for name, value := range got {
		name = lowerASCII(name)
		if _, ok := folded[name]; ok || slices.Contains(withheldNames, name) ||
			r.Authorized && name == "authorization" {
			t.Fatalf("%q in %q", name, got)
		}
		folded[name] = value
	}
	for name, sent := range values {
		joint := ", "
		if name == "cookie" {
			joint = "; "
		}
		value, ok := folded[name]
		own := slices.Contains(ownNames, name)
		gone := slices.Contains(withheldNames, name) || r.Authorized && name == "authorization" ||
			slices.Contains(options, name) && name != "" && !own
		switch want := strings.Join(sent, joint); {
		case gone == ok:
			t.Fatalf("%q: there %v, gone %v in %q", name, ok, gone, got)
		case own && name != "forwarded" && !strings.HasPrefix(value, want):
			t.Fatalf("%q: %q, want %q in front", name, value, want)
		case !gone && !own && value != want:
			t.Fatalf("%q: %q, want %q", name, value, want)
		}
	}
	if via := folded["via"]; !strings.HasSuffix(via, "1.1 h") {
		t.Fatalf("Via: %q", via)
	}
	if r.Forwarded&ForwardedX != 0 && (!strings.HasSuffix(folded["x-forwarded-for"], "203.0.113.9") ||
		len(values["x-forwarded-proto"]) == 0 && folded["x-forwarded-proto"] != "http") {
		t.Fatalf("X-Forwarded in %q", got)
	}
	if r.Forwarded&ForwardedRFC != 0 {
		elements := forwardedElements(folded["forwarded"])
		if last := elements[len(elements)-1]; !strings.HasPrefix(last, "for=203.0.113.9;proto=http") {
			t.Fatalf("Forwarded: %q, the last of %q", last, elements)
		}
	}
}

// forwardedElements splits a value at the commas outside of quoted strings, as
// whoever reads it does (RFC 7239 section 4).
func forwardedElements(value string) []string {
	elements, quoted, escaped := []string{""}, false, false
	for _, c := range value {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			elements = append(elements, "")
			continue
		}
		last := &elements[len(elements)-1]
		*last = strings.TrimLeft(*last+string(c), " ")
	}
	return elements
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// latin1 reads the bytes of s that are not UTF-8 as Latin-1.
func latin1(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, width := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && width == 1 {
			r = rune(s[0])
		}
		b.WriteRune(r)
		s = s[width:]
	}
	return b.String()
}

// FuzzParseResponse checks that what comes out can be written to a sender, and
// the reading of JSON against encoding/json.
func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{
		string(nodeResponse), `{"body":false,"requestId":"r","statusCode":"404"}`,
		`{"requestId":"r","statusCode":2e2,"responseHeaders":{"Set-Cookie":["a",1],"A":[true,null]}}`,
		`{"REQUESTID":"r","statusCode":200,"statusDescription":"\u0000\ud83d\ude00\ud800"}`,
		`{"requestId":"r","statusCode":200,"responseHeaders":{"content-length":"5","te":{},"a":"\r"}}`,
		`{"requestId":"r","statusCode":200,"responseHeaders":{"Connection":"close","\u0041\ttoken":1}}`,
		` {"a" : [ {"}" : "\"]"} , [ ] ] ,"b":{},"c":-1.5e+3,"d":null}` + "\n",
		`{"a":"\ud800\u0041\ud83d\ud83d\ude00"}`, `[]`, `{`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(raw, &object) == nil && object != nil
		if isObject {
			checkReader(t, raw)
		}
		r, err := ParseResponse(raw)
		if err != nil {
			refusal, ok := err.(*Refusal)
			if !ok || refusal.Status != 502 || CleanPhrase(refusal.Text) != refusal.Text {
				t.Fatalf("%v with %+v", err, r)
			}
			return
		}
		if !isObject || r.RequestID == "" || r.Status < 200 || r.Status > 999 || r.Length < -1 ||
			CleanPhrase(r.Phrase) != r.Phrase || len(r.Fields) > MaxHeaderFields {
			t.Fatalf("got %+v", r)
		}
		for _, f := range r.Fields {
			if !isToken(f.Name) || hopByHop(f.Name) || lowerASCII(f.Name) == "content-length" ||
				!utf8.ValidString(f.Value) || strings.Trim(f.Value, " \t") != f.Value ||
				strings.ContainsFunc(f.Value, func(c rune) bool {
					return c < ' ' && c != '\t' || c == 0x7f
				}) {
				t.Fatalf("header %q", f)
			}
		}
	})
}

// checkReader reads an object with jsonReader and with encoding/json.
func checkReader(t *testing.T, raw []byte) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	_, _ = d.Token()
	members := readInside(trimJSON(string(raw)))
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || !members.more() {
			t.Fatalf("end before %q, %v", name, err)
		}
		gotName := scalar(members.name())
		got := members.value()
		if gotName != name || got != string(value) {
			t.Fatalf("got %q: %q, want %q: %q", gotName, got, name, value)
		}
		if got[0] == '"' {
			var want string
			if err := json.Unmarshal(value, &want); err != nil || scalar(got) != want {
				t.Fatalf("%s: got %q, want %q, %v", got, scalar(got), want, err)
			}
		}
	}
	if members.more() {
		t.Fatalf("%s: there is more", raw)
	}
}
