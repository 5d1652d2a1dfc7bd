package httphead

// Violation is what is wrong with a request. It is an error whose identity
// tests compare; the zero value is no violation and is never returned.
type Violation uint8

// The violations. ErrTooMany stands for 431, ErrVersion for 505,
// ErrTransferCoding for 501, all others for 400. After each of them the end of
// the request is unknown, so that its connection must be closed.
const (
	_ Violation = iota

	// Of Scan and Parse (RFC 9112 sections 2.2, 3, 5).
	ErrTLS
	ErrRequestLine
	ErrVersion
	ErrLineEnd
	ErrControl
	ErrFieldName
	ErrFieldValue
	ErrFolded
	ErrHost
	ErrTooMany

	// Of Head.Body (RFC 9112 sections 6.1, 6.2, 6.3).
	ErrFramingLength
	ErrFramingLengths
	ErrFramingBoth
	ErrFramingVersion
	ErrFramingCoding
	ErrTransferCoding

	// Of Chunks (RFC 9112 section 7.1).
	ErrChunkSize
	ErrChunkLine
	ErrChunkLineTooLong
	ErrChunkEnd
	ErrTrailer
	ErrTrailerTooLong
	violationCount
)

var violationTexts = [violationCount]string{
	ErrTLS:              "TLS handshake on a plain HTTP port",
	ErrRequestLine:      "malformed request line",
	ErrVersion:          "unsupported HTTP version",
	ErrLineEnd:          "header line does not end in CRLF",
	ErrControl:          "control character in request head",
	ErrFieldName:        "malformed header field name",
	ErrFieldValue:       "control character in header field value",
	ErrFolded:           "folded header line",
	ErrHost:             "request needs exactly one Host header",
	ErrTooMany:          "too many header fields",
	ErrFramingLength:    "malformed Content-Length",
	ErrFramingLengths:   "more than one Content-Length",
	ErrFramingBoth:      "Content-Length together with Transfer-Encoding",
	ErrFramingVersion:   "Transfer-Encoding in a request of HTTP/1.0",
	ErrFramingCoding:    "malformed Transfer-Encoding, or chunked not once and last in it",
	ErrTransferCoding:   "transfer coding other than chunked",
	ErrChunkSize:        "malformed chunk size",
	ErrChunkLine:        "malformed line of a chunk size",
	ErrChunkLineTooLong: "line of a chunk size too long",
	ErrChunkEnd:         "chunk does not end in CRLF",
	ErrTrailer:          "malformed trailer",
	ErrTrailerTooLong:   "trailers too long",
}

// Error says what is wrong, without the package name: the text goes to the
// client.
func (v Violation) Error() string {
	if v == 0 || v >= violationCount {
		return "unknown violation"
	}
	return violationTexts[v]
}
