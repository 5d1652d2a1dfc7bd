package httphead

import (
	"net/http"
	"strconv"
)

// AppendResponse appends a whole response that ends its connection: status
// line, the fields, Content-Length, Connection: close, and the body.
//
// An empty reason becomes the standard phrase. Bytes that may not stand in a
// status line or a value become '?'.
func AppendResponse(dst []byte, status int, reason string, fields []Field, body string) []byte {
	if reason == "" {
		reason = http.StatusText(status)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = appendText(dst, reason)
	for _, f := range fields {
		dst = append(dst, "\r\n"...)
		dst = appendText(dst, f.Name)
		dst = append(dst, ": "...)
		dst = appendText(dst, f.Value)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nConnection: close\r\n\r\n"...)
	return append(dst, body...)
}

func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < 0x20 && c != '\t' || c == 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}
