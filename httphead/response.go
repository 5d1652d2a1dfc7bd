package httphead

import (
	"net/http"
	"strconv"
)

// LastChunk ends a chunked body without trailers.
const LastChunk = "0\r\n\r\n"

// AppendStatus appends a status line with its CRLF. An empty reason stays
// empty. Control characters become '?'.
//
//	Shape: status has three digits; the caller has seen to that.
func AppendStatus(dst []byte, status int, reason string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = appendText(dst, reason)
	return append(dst, "\r\n"...)
}

// AppendField appends a header line with its CRLF. Control characters become
// '?', in a name everything that is not of a token becomes '_'.
func AppendField(dst []byte, name, value string) []byte {
	for i := range len(name) {
		c := name[i]
		if !tokenByte(c) {
			c = '_'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ": "...)
	dst = appendText(dst, value)
	return append(dst, "\r\n"...)
}

// AppendChunk appends p as one chunk of a chunked body. p is not empty: that
// would end the body, which is for LastChunk.
func AppendChunk(dst, p []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(p)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// AppendResponse appends a whole response: status line, the fields,
// Content-Length, Connection: close unless keep, and the body.
//
// An empty reason becomes the standard phrase. Bytes that may not stand in a
// status line or a header line are replaced.
func AppendResponse(dst []byte, status int, reason string, fields []Field, body string, keep bool,
) []byte {
	if reason == "" {
		reason = http.StatusText(status)
	}
	dst = AppendStatus(dst, status, reason)
	for _, f := range fields {
		dst = AppendField(dst, f.Name, f.Value)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	if !keep {
		dst = append(dst, "\r\nConnection: close"...)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if !textByte(c) {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// textByte says whether c may stand in a field value or a reason phrase.
func textByte(c byte) bool { return c >= 0x20 && c != 0x7f || c == '\t' }
