package hyco

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fieldsText is the header lines of fields, with "|" between them.
func fieldsText(fields []HeaderField) string {
	var lines []string
	for _, f := range fields {
		lines = append(lines, f.Name+": "+f.Value)
	}
	return strings.Join(lines, "|")
}

// TestResponseMembers reads members other than headers.
func TestResponseMembers(t *testing.T) {
	const plain = `"requestId":"r","statusCode":200`
	for _, c := range []struct {
		name, text, phrase string
		status             int
		body               bool
	}{
		{"hyco-https", `{"requestId":"r","statusCode":200,"statusDescription":"OK",` +
			`"responseHeaders":{},"body":true}`, "OK", 200, true},
		{"Java", `{"requestId":"r","body":true,"statusCode":202}`, "Accepted", 202, true},
		{".NET", `{"body":false,"statusDescription":"Gone","responseHeaders":null,` +
			`"statusCode":410,"requestId":"r"}`, "Gone", 410, false},
		{"blanks", " {\n\"requestId\" :\t\"r\" , \"statusCode\"\r: 200 , \"body\" : true } ",
			"OK", 200, true},
		{"members that nobody knows", `{"x":{"requestId":"no","a":[{"}":"]"}]},` + plain +
			`,"y":[[],{},"\"}"],"z":null}`, "OK", 200, false},
		{"other spelling", `{"RequestID":"r","STATUSCODE":299,"statusdescription":"x","Body":true}`,
			"x", 299, true},
		{"exact spelling first", `{"requestid":"no","requestId":"r","requestID":"no",` +
			`"statusCode":201,"StatusCode":500}`, "Created", 201, false},
		{"last of several", `{"requestId":"no","requestId":"r","statusCode":1,"statusCode":200}`,
			"OK", 200, false},
		{"escaped names", `{"request\u0049d":"r","st\u0061tusCode":200}`, "OK", 200, false},

		{"status as text", `{"requestId":"r","statusCode":"200"}`, "OK", 200, false},
		{"status with blanks", `{"requestId":"r","statusCode":" 404 "}`, "Not Found", 404, false},
		{"status with a fraction", `{"requestId":"r","statusCode":200.0}`, "OK", 200, false},
		{"status with an exponent", `{"requestId":"r","statusCode":2e2}`, "OK", 200, false},
		{"highest status", `{"requestId":"r","statusCode":999}`, "", 999, false},

		{"item 43: no phrase", `{"requestId":"r","statusCode":201}`, "Created", 201, false},
		{"item 43: null", `{"requestId":"r","statusCode":201,"statusDescription":null}`,
			"Created", 201, false},
		{"item 43: node", `{"requestId":"r","statusCode":404,"statusDescription":""}`,
			"Not Found", 404, false},
		{"item 44: unknown code", `{"requestId":"r","statusCode":299}`, "", 299, false},
		{"item 44: known text", `{"requestId":"r","statusCode":299,"statusDescription":"OK"}`,
			"OK", 299, false},
		{"item 44: punctuation", `{"requestId":"r","statusCode":200,"statusDescription":` +
			`" !\"#$%&'()*+,-.\/:;<=>?@[\\]^_` + "`" + `{|}~ "}`,
			" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ", 200, false},
		{"item 49", `{"requestId":"r","statusCode":501,"statusDescription":"RequestHandler has ` +
			`not been configured. TrackingId:1_G0, Address:sb://h/a"}`, "RequestHandler has not " +
			"been configured. TrackingId:1_G0, Address:sb://h/a", 501, false},
		{"phrase with control characters", `{"requestId":"r","statusCode":200,` +
			`"statusDescription":"a\r\nX: y\u0000\u007f\t"}`, "a??X: y???", 200, false},
		{"long phrase", `{` + plain + `,"statusDescription":"` + strings.Repeat("x", 600) + `"}`,
			strings.Repeat("x", 512), 200, false},
		{"phrase is a number", `{` + plain + `,"statusDescription":5}`, "5", 200, false},

		{"no body", `{` + plain + `}`, "OK", 200, false},
		{"body is null", `{` + plain + `,"body":null}`, "OK", 200, false},
		{"body as text", `{` + plain + `,"body":"True"}`, "OK", 200, true},
		{"no body as text", `{` + plain + `,"body":"false"}`, "OK", 200, false},
	} {
		r, err := ParseResponse(json.RawMessage(c.text))
		want := Response{RequestID: "r", Status: c.status, Phrase: c.phrase, Body: c.body, Length: -1}
		if len(r.Fields) == 0 {
			r.Fields = nil
		}
		if err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
}

// TestItem52 has every status that a listener may send.
func TestItem52Statuses(t *testing.T) {
	for status := range 1100 {
		r, err := ParseResponse(fmt.Appendf(nil, `{"requestId":"r","statusCode":%d}`, status))
		if ok := status >= 200 && status <= 999; ok != (err == nil) || ok && r.Status != status {
			t.Errorf("%d: got %+v, %v", status, r, err)
		}
	}
}

var responseHeaderCases = []struct {
	name, headers, want string
	length              int64 // 0 stands for -1
	close               bool
}{
	{name: "order and spelling", headers: `"X-b":"1","x-A":"2","Via":"1.1 p"`,
		want: "X-b: 1|x-A: 2|Via: 1.1 p"},
	{name: "item 46: repeated", headers: `"A":"1","B":"2","a":"3","A":"4"`,
		want: "A: 1|B: 2|a: 3|A: 4"},
	{name: "item 46: array", headers: `"A":["1", "2" ,"3"]`, want: "A: 1, 2, 3"},
	{name: "numbers", headers: `"x-num":5,"N":-1.50e3,"A":[1,"2"]`,
		want: "x-num: 5|N: -1.50e3|A: 1, 2"},
	{name: "booleans", headers: `"T":true,"F":false,"A":[true,false]`,
		want: "T: true|F: false|A: true, false"},
	{name: "null", headers: `"N":null,"A":[null,"1",null],"E":[],"O":[null]`, want: "A: 1"},
	{name: "empty", headers: `"E":"","A":[""],"B":["",""]`, want: "E: |A: |B: ,"},
	{name: "cookies", headers: `"set-cookie":["a=1","b=2; Expires=Thu, 01 Jan 1970"]`,
		want: "set-cookie: a=1|set-cookie: b=2; Expires=Thu, 01 Jan 1970"},
	{name: "cookies with nothing", headers: `"Set-Cookie":[null,""],"SET-COOKIE":[]`,
		want: "Set-Cookie: "},
	{name: "joined cookies stay", headers: `"Set-Cookie":"a=1, b=2"`, want: "Set-Cookie: a=1, b=2"},
	{name: "blanks around", headers: `"A":" \t1 2\t "`, want: "A: 1 2"},
	{name: "escapes", headers: `"\u0041\u002dB":"\"q\" \\ \/ \u00e4\t."`,
		want: "A-B: \"q\" \\ / ä\t."},
	{name: "pairs", headers: `"A":"\ud83d\ude00","B":"\ud800\u0041","C":"\ud800\ud83d\ude00",` +
		`"D":"\ude00x","E":"\ud83d"`,
		want: "A: \U0001f600|B: \ufffdA|C: \ufffd\U0001f600|D: \ufffdx|E: \ufffd"},
	{name: "texts", headers: `"A":"ä€","B":"` + "\xff" + `","C":"\u0085"`,
		want: "A: ä€|B: \ufffd|C: \u0085"},
	{name: "punctuation in a name", headers: "\"!#$%&'*+-.^_`|~0aZ\":\"x\"",
		want: "!#$%&'*+-.^_`|~0aZ: x"},
	{name: "a colon in a text", headers: `"A":":","B":"{\"}","C":"[,]"`, want: `A: :|B: {"}|C: [,]`},

	{name: "ends at a gateway", headers: `"Connection":"x","Transfer-Encoding":"chunked",` +
		`"keep-alive":"5","Upgrade":"h2c","TRAILER":"x","te":"x","Proxy-Connection":"x","X":"1"`,
		want: "X: 1"},
	{name: "whatever their values", headers: `"Connection":{"a":1},"Upgrade":[[{}]],"TE":"\r\n"`},
	{name: "close", headers: `"connection":"x, CLOSE"`, close: true},
	{name: "close in an array", headers: `"Connection":["x","close"]`, close: true},
	{name: "close stays", headers: `"Connection":"close","connection":"keep-alive"`, close: true},
	{name: "not quite close", headers: `"Connection":"closed, x-close","Close":"1"`, want: "Close: 1"},

	{name: "length", headers: `"content-length":"5"`, length: 5},
	{name: "length as a number", headers: `"Content-Length":65537`, length: 65537},
	{name: "length with blanks", headers: `"Content-Length":" 007 "`, length: 7},
	{name: "the same length twice", headers: `"Content-Length":"5","content-length":5`, length: 5},
	{name: "two lengths", headers: `"Content-Length":"5","content-length":"6"`},
	{name: "two lengths and one again", headers: `"Content-Length":5,"content-length":6,` +
		`"CONTENT-LENGTH":6`},
	{name: "lengths in an array", headers: `"Content-Length":["5","5"]`},
	{name: "lengths in a list", headers: `"Content-Length":"5, 5"`},
	{name: "negative length", headers: `"Content-Length":-5`},
	{name: "signed length", headers: `"Content-Length":"+5"`},
	{name: "length with a fraction", headers: `"Content-Length":5.0`},
	{name: "no length", headers: `"Content-Length":""`},
	{name: "null length", headers: `"Content-Length":null`},
	{name: "long length", headers: `"Content-Length":9223372036854775807`, length: 1<<63 - 1},
	{name: "too long a length", headers: `"Content-Length":9223372036854775808`},
	{name: "length with underscores", headers: `"Content-Length":"1_0"`},
}

func TestResponseHeaders(t *testing.T) {
	for _, c := range responseHeaderCases {
		r, err := ParseResponse(json.RawMessage(
			`{"responseHeaders":{` + c.headers + `},"requestId":"r","statusCode":200}`))
		if c.length == 0 {
			c.length = -1
		}
		if err != nil || fieldsText(r.Fields) != c.want || r.Length != c.length || r.Close != c.close {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
	zero, err := ParseResponse(json.RawMessage(
		`{"responseHeaders":{"Content-Length":"0"},"requestId":"r","statusCode":200}`))
	if err != nil || zero.Length != 0 {
		t.Errorf("length 0: got %+v, %v", zero, err)
	}
}

// TestResponseRefusals: the text says what is wrong; id and body are read for
// the sake of the next message.
func TestResponseRefusals(t *testing.T) {
	const begin = `{"body":true,"requestId":"r","statusCode":200,`
	for _, c := range []struct{ text, want, id string }{
		{``, "it is not a JSON object", ""},
		{`null`, "it is not a JSON object", ""},
		{`[]`, "it is not a JSON object", ""},
		{`"{"`, "it is not a JSON object", ""},
		{`{`, "it is not a JSON object", ""},
		{`{"requestId":"r"}}`, "it is not a JSON object", ""},
		{`{}`, "it needs a requestId", ""},
		{`{"requestId":5,"statusCode":200}`, "it needs a requestId", ""},
		{`{"requestId":"","statusCode":200}`, "it needs a requestId", ""},
		{`{"requestId":{"a":"b"},"statusCode":200}`, "it needs a requestId", ""},
		{`{"requestId":"r","body":5}`, "its body is neither true nor false", "r"},
		{`{"requestId":"r","body":[true]}`, "its body is neither true nor false", "r"},
		{begin + `"statusDescription":["x"]}`, "its statusDescription is not text", "r"},
		{begin + `"responseHeaders":"A: 1"}`, "its responseHeaders are not an object", "r"},
		{begin + `"responseHeaders":[]}`, "its responseHeaders are not an object", "r"},
		{begin + `"responseHeaders":{"":"1"}}`, "header '' has no valid name", "r"},
		{begin + `"responseHeaders":{"A B":"1"}}`, "header 'A B' has no valid name", "r"},
		{begin + `"responseHeaders":{"A:":"1"}}`, "header 'A:' has no valid name", "r"},
		{begin + `"responseHeaders":{"\r\nX":null}}`, "header '??X' has no valid name", "r"},
		{begin + `"responseHeaders":{"ä":"1"}}`, "header '??' has no valid name", "r"},
		{begin + `"responseHeaders":{"` + strings.Repeat("(", 99) + `":"1"}}`,
			"header '" + strings.Repeat("(", 64) + "' has no valid name", "r"},
		{begin + `"responseHeaders":{"A":"1\r\nX: y"}}`,
			"header 'A' has a control character in its value", "r"},
		{begin + `"responseHeaders":{"A":"\u0000"}}`,
			"header 'A' has a control character in its value", "r"},
		{begin + `"responseHeaders":{"A":["1","\u007f"]}}`,
			"header 'A' has a control character in its value", "r"},
		{begin + `"responseHeaders":{"Set-Cookie":["a=1","b\n"]}}`,
			"header 'Set-Cookie' has a control character in its value", "r"},
		{begin + `"responseHeaders":{"A":{}}}`,
			"header 'A' has a value that is neither text nor a list of texts", "r"},
		{begin + `"responseHeaders":{"A":["1",["2"]]}}`,
			"header 'A' has a value that is neither text nor a list of texts", "r"},
		{begin + `"responseHeaders":{"Set-Cookie":[{}]}}`,
			"header 'Set-Cookie' has a value that is neither text nor a list of texts", "r"},
		{begin + `"responseHeaders":{"Set-Cookie":[""` + strings.Repeat(`,""`, MaxHeaderFields) +
			`]}}`, "header 'Set-Cookie' has too many headers before it", "r"},
	} {
		r, err := ParseResponse(json.RawMessage(c.text))
		refusal, ok := err.(*Refusal)
		if !ok || refusal.Status != 502 || refusal.Code != "BadResponse" ||
			refusal.Text != "The listener sent a response that is not valid: "+c.want ||
			r.RequestID != c.id || r.Body != strings.HasPrefix(c.text, begin) {
			t.Errorf("%.60s: got %+v, %v", c.text, r, err)
		}
	}
	for _, status := range []string{
		``, `0`, `100`, `199`, `1000`, `-200`, `200.5`, `1e3`, `1e400`, `null`, `true`, `""`,
		`"OK"`, `"200 OK"`, `"0xC8"`, `"2_00"`, `"Inf"`, `"NaN"`, `[200]`, `{"a":200}`,
		`"` + strings.Repeat("0", 40) + `200"`,
	} {
		text := `{"requestId":"r"}`
		if status != "" {
			text = `{"requestId":"r","statusCode":` + status + `}`
		}
		_, err := ParseResponse(json.RawMessage(text))
		if err == nil || !strings.HasSuffix(err.Error(), "statusCode is not a number from 200 to 999") {
			t.Errorf("statusCode %s: %v", status, err)
		}
	}
}

// TestResponseFields has as many headers as may be, and one more.
func TestResponseFields(t *testing.T) {
	var headers strings.Builder
	for i := range MaxHeaderFields + 1 {
		r, err := ParseResponse(json.RawMessage(`{"requestId":"r","statusCode":200,` +
			`"responseHeaders":{"TE":""` + headers.String() + `}}`))
		if err != nil || len(r.Fields) != i {
			t.Fatalf("%d fields: got %d, %v", i, len(r.Fields), err)
		}
		fmt.Fprintf(&headers, `,"h%d":""`, i)
	}
	r, err := ParseResponse(json.RawMessage(`{"requestId":"r","statusCode":200,` +
		`"responseHeaders":{"TE":""` + headers.String() + `}}`))
	if err == nil || r.RequestID != "r" {
		t.Errorf("%d fields: got %+v", MaxHeaderFields+1, r)
	}
}

// TestResponseSize reads large and deep messages in a time that no quadratic
// reading of them would meet.
func TestResponseSize(t *testing.T) {
	const size = 1 << 20
	const begin, end = `{"requestId":"r","statusCode":200,`, `}`
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	start := time.Now()
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"long value", `"responseHeaders":{"A":"` + repeat("x") + `"}`, true},
		{"long array", `"responseHeaders":{"A":[1` + repeat(",1") + `]}`, true},
		{"many headers", `"responseHeaders":{"A":1` + repeat(`,"A":1`) + `}`, false},
		{"many headers of no interest", `"responseHeaders":{"TE":1` + repeat(`,"TE":1`) + `}`, true},
		{"many members", `"A":1` + repeat(`,"A":1`), true},
		{"many responseHeaders", `"A":1` + repeat(`,"responseHeaders":{}`), true},
		{"escapes", `"statusDescription":"` + repeat(`\u00e4`) + `"`, true},
		{"blanks", repeat(" ") + `"a":1`, true},
		{"deep", `"A":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), true},
		{"too deep", `"A":` + repeat("["), false},
		{"long Connection", `"responseHeaders":{"Connection":"` + repeat(",x") + `"}`, true},
	} {
		if _, err := ParseResponse(json.RawMessage(begin + c.text + end)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestResponseOwner changes the message after it has been read.
func TestResponseOwner(t *testing.T) {
	raw := []byte(`{"requestId":"r","statusCode":200,"statusDescription":"d",` +
		`"responseHeaders":{"A":"v"}}`)
	r, err := ParseResponse(raw)
	clear(raw)
	if err != nil || r.RequestID != "r" || r.Phrase != "d" || fieldsText(r.Fields) != "A: v" {
		t.Errorf("got %+v, %v", r, err)
	}
}
