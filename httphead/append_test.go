package httphead

import (
	"reflect"
	"testing"
)

// TestAppend: what is written is read as it was.
func TestAppend(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.0\r\n\r\n",
		"\r\nPOST /a?b=%20 HTTP/1.1\r\nHost:a\r\nX-A: \t b, c\t \r\nX-A:\r\nx-b: \xff\r\n\r\n",
	} {
		h, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		p := Append(nil, &h)
		again, err := Parse(p)
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Errorf("%q became %q, %v", text, p, err)
		}
	}
}
