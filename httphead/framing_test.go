package httphead

import (
	"fmt"
	"strings"
	"testing"
)

// reader reads requests from a connection as a gateway does: Scan, Parse, Body
// and Chunks over pieces of any size.
type reader struct {
	buf    []byte // of a head
	next   int
	head   Head
	kind   BodyKind
	left   int64
	chunks Chunks
	inBody bool
	body   []byte
	log    strings.Builder // a line per whole request
	err    error
}

func read(pieces ...[]byte) *reader {
	r := &reader{}
	for _, p := range pieces {
		// A piece of its own, as from a socket; what is in front of it is gone.
		for p = append([]byte(nil), p...); len(p) > 0 && r.err == nil; {
			if r.inBody {
				p = r.readBody(p)
			} else {
				p = r.readHead(p)
			}
		}
	}
	return r
}

func (r *reader) readHead(p []byte) (rest []byte) {
	before := len(r.buf)
	r.buf = append(r.buf, p...)
	var end int
	if end, r.next, r.err = Scan(r.buf, r.next); end == 0 || r.err != nil {
		return nil
	}
	if r.head, r.err = Parse(r.buf[:end]); r.err != nil {
		return nil
	}
	if r.kind, r.left, r.err = r.head.Body(); r.err != nil {
		return nil
	}
	r.buf, r.next, r.chunks, r.body, r.inBody = nil, 0, Chunks{}, nil, true
	if r.kind == BodyNone {
		r.done()
	}
	return p[end-before:]
}

func (r *reader) readBody(p []byte) (rest []byte) {
	if r.kind == BodyLength {
		n := min(int64(len(p)), r.left)
		r.body = append(r.body, p[:n]...)
		if r.left -= n; r.left == 0 {
			r.done()
		}
		return p[n:]
	}
	n, data, done, err := r.chunks.Next(p)
	r.body, r.err = append(r.body, data...), err
	if done {
		r.done()
	}
	return p[n:]
}

func (r *reader) done() {
	fmt.Fprintf(&r.log, "%s %s %s|", r.head.Method, r.head.Target, r.body)
	r.inBody = false
}

// state is what has come out of the bytes so far.
func (r *reader) state() string {
	switch {
	case r.err != nil:
		return fmt.Sprintf("%s error: %v", &r.log, r.err)
	case r.inBody:
		return fmt.Sprintf("%s in body: %s", &r.log, r.body)
	case len(r.buf) > 0:
		return fmt.Sprintf("%s in head", &r.log)
	}
	return r.log.String()
}

const (
	post    = "POST /p HTTP/1.1\r\nHost: a\r\n"
	chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	after   = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n" // what may be smuggled
)

type framingTest struct {
	name, in string
	read     string // whole requests
	want     error
}

var framingTests = []framingTest{
	{"no body", post + "\r\n" + after, "POST /p |GET /next |", nil},
	{"length", post + "Content-Length: 5\r\n\r\nhello" + after, "POST /p hello|GET /next |", nil},
	{"length of GET", "GET /g HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:\t5 \r\n\r\nhello" + after, "GET /g hello|GET /next |", nil},
	{"length 0", post + "Content-Length: 0\r\n\r\n" + after, "POST /p |GET /next |", nil},
	{"length with zeros in front", post + "Content-Length: 0005\r\n\r\nhello" + after, "POST /p hello|GET /next |", nil},
	{"length on HTTP/1.0", "POST /p HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi" + after, "POST /p hi|GET /next |", nil},
	{"body that looks like a head", post + "Content-Length: 31\r\n\r\n" + after + after, "POST /p " + after + "|GET /next |", nil},
	{"one CRLF between requests", post + "\r\n\r\n" + after, "POST /p |GET /next |", nil},
	{"chunked", chunked + "5\r\nhello\r\n00A;x=\"y;z\"\r\n0123456789\r\n0\r\n\r\n" + after, "POST /p hello0123456789|GET /next |", nil},
	{"chunked in capitals", post + "TRANSFER-ENCODING: \tCHUNKED\t\r\n\r\n0\r\n\r\n" + after, "POST /p |GET /next |", nil},
	{"sizes of all digits", chunked + "aF\r\n" + strings.Repeat("x", 0xaf) + "\r\nFa\r\n" + strings.Repeat("y", 0xfa) +
		"\r\n0\r\n\r\n" + after, "POST /p " + strings.Repeat("x", 0xaf) + strings.Repeat("y", 0xfa) + "|GET /next |", nil},
	{"trailers", chunked + "1\r\nx\r\n0\r\nContent-Length: 7\r\nB:\r\n\r\n" + after, "POST /p x|GET /next |", nil},

	{"two CRLFs between requests", post + "\r\n\r\n\r\n" + after, "POST /p |", ErrRequestLine},
	{"LF between requests", post + "\r\n\n" + after, "POST /p |", ErrRequestLine},
	{"equal lengths", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "", ErrFramingLengths},
	{"conflicting lengths", post + "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n\r\nhello", "", ErrFramingLengths},
	{"second length blank", post + "Content-Length: 5\r\nContent-Length:\r\n\r\nhello", "", ErrFramingLengths},
	{"list of equal lengths", post + "Content-Length: 5, 5\r\n\r\nhello", "", ErrFramingLength},
	{"list of lengths", post + "Content-Length: 5,6\r\n\r\nhello", "", ErrFramingLength},
	{"list with an empty element", post + "Content-Length: 5,\r\n\r\nhello", "", ErrFramingLength},
	{"length +5", post + "Content-Length: +5\r\n\r\nhello", "", ErrFramingLength},
	{"length -1", post + "Content-Length: -1\r\n\r\nhello", "", ErrFramingLength},
	{"length -0", post + "Content-Length: -0\r\n\r\nhello", "", ErrFramingLength},
	{"length 0x5", post + "Content-Length: 0x5\r\n\r\nhello", "", ErrFramingLength},
	{"length of hex digits", post + "Content-Length: a\r\n\r\nhello", "", ErrFramingLength},
	{"length 5.0", post + "Content-Length: 5.0\r\n\r\nhello", "", ErrFramingLength},
	{"length 1_0", post + "Content-Length: 1_0\r\n\r\nhello", "", ErrFramingLength},
	{"length with a blank inside", post + "Content-Length: 1 5\r\n\r\nhello", "", ErrFramingLength},
	{"blank length", post + "Content-Length: \r\n\r\nhello", "", ErrFramingLength},
	{"length in digits beyond ASCII", post + "Content-Length: \u0665\r\n\r\nhello", "", ErrFramingLength},
	{"no-break space before length", post + "Content-Length: \u00a05\r\n\r\nhello", "", ErrFramingLength},
	{"length over 63 bits", post + "Content-Length: 9223372036854775808\r\n\r\nhello", "", ErrFramingLength},
	{"length over 64 bits", post + "Content-Length: 18446744073709551621\r\n\r\nhello", "", ErrFramingLength},
	{"length of 100 digits", post + "Content-Length: " + strings.Repeat("9", 100) + "\r\n\r\nhello", "", ErrFramingLength},
	{"length and chunked", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrFramingBoth},
	{"chunked and length 0", post + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "", ErrFramingBoth},
	{"bad length and blank coding", post + "Content-Length: x\r\nTransfer-Encoding:\r\n\r\n", "", ErrFramingBoth},
	{"chunked in two fields", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked not last", post + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked not last, two fields", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"coding blank", post + "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"empty element behind chunked", post + "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"empty element before chunked", post + "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked with a parameter", post + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked quoted", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"two codings without a comma", post + "Transfer-Encoding: gzip chunked\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"chunked with a letter beyond ASCII", post + "Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", "", ErrFramingCoding},
	{"vertical tab before chunked", post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "", ErrControl},
	{"other coding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "", ErrTransferCoding},
	{"identity", post + "Transfer-Encoding: identity\r\n\r\n", "", ErrTransferCoding},
	{"other coding before chunked", post + "Transfer-Encoding: gzip;q=\"1\", chunked\r\n\r\n0\r\n\r\n", "", ErrTransferCoding},
	{"other coding before chunked, two fields", post + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrTransferCoding},
	{"chunked on HTTP/1.0", "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrFramingVersion},
	{"chunked and length on HTTP/1.0", "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "", ErrFramingVersion},

	{"blank before the colon", post + "Content-Length : 5\r\n\r\nhello", "", ErrFieldName},
	{"tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "", ErrFieldName},
	{"blank before the first field", "POST /p HTTP/1.1\r\n Host: a\r\n\r\n", "", ErrFolded},
	{"folded coding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "", ErrFolded},
	{"folded by tab", post + "X: y\r\n\tContent-Length: 5\r\n\r\nhello", "", ErrFolded},
	{"bare LF", post + "X: y\nContent-Length: 5\r\n\r\nhello", "", ErrLineEnd},
	{"bare LF behind the request line", "POST /p HTTP/1.1\nHost: a\r\n\r\n", "", ErrLineEnd},
	{"head ended by bare LF", post + "\n" + after, "", ErrLineEnd},
	{"head ended by CR LF LF", post + "X: y\r\n\n", "", ErrLineEnd},
	{"bare CR", post + "X: y\rContent-Length: 5\r\n\r\nhello", "", ErrLineEnd},
	{"two CRs", post + "X: y\r\r\n\r\n", "", ErrLineEnd},
	{"bare CR behind the request line", "POST /p HTTP/1.1\rHost: a\r\n\r\n", "", ErrLineEnd},
	{"head ended by CR CR LF", post + "\r\r\n", "", ErrLineEnd},
	{"bare CR in front", "\rPOST /p HTTP/1.1\r\n", "", ErrLineEnd},
	{"NUL in a value", post + "X: \x00\r\n\r\n", "", ErrControl},
	{"NUL in a name", post + "Content-Length\x00: 5\r\n\r\nhello", "", ErrControl},
	{"NUL in the target", "POST /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "", ErrControl},
	{"DEL in a value", post + "X: \x7f\r\n\r\n", "", ErrControl},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "", ErrHost},
	{"two Hosts on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "", ErrHost},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", "", ErrHost},
	{"HTTP/0.9", "GET /\r\n\r\n", "", ErrRequestLine},
	{"tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "", ErrRequestLine},
	{"blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "", ErrRequestLine},
	{"two targets", "GET / /x HTTP/1.1\r\nHost: a\r\n\r\n", "", ErrRequestLine},
	{"version with junk", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", "", ErrRequestLine},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "", ErrVersion},
	{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", ErrVersion},
	{"method too long", strings.Repeat("M", methodMax+1) + " / HTTP/1.1\r\n", "", ErrRequestLine},
	{"TLS", "\x16\x03\x01\x02\x00\x01", "", ErrTLS},
	{"TLS alert", "\x15\x03\x01", "", ErrRequestLine},
	{"10,000 fields", post + strings.Repeat("a: b\r\n", 10000) + "\r\n", "", ErrTooMany},

	{"chunk size blank", chunked + "\r\n\r\n", "", ErrChunkSize},
	{"extension without a size", chunked + ";x\r\n\r\n", "", ErrChunkSize},
	{"blank before a chunk size", chunked + " 5\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"blank behind a chunk size", chunked + "5 \r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"tab behind a chunk size", chunked + "5\t\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"blank inside a chunk size", chunked + "1 0\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size 0x5", chunked + "0x5\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size +5", chunked + "+5\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size -5", chunked + "-5\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size 5h", chunked + "5h\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size 1_0", chunked + "1_0\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size of 16 digits", chunked + "0000000000000005\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size over 64 bits", chunked + "10000000000000005\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"NUL behind a chunk size", chunked + "5\x00\r\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"bare LF behind a chunk size", chunked + "5\nhello\r\n0\r\n\r\n", "", ErrChunkSize},
	{"bare CR behind a chunk size", chunked + "5\rhello\r\n0\r\n\r\n", "", ErrChunkLine},
	{"bare LF in an extension", chunked + "5;x\nhello\r\n0\r\n\r\n", "", ErrChunkLine},
	{"bare CR in an extension", chunked + "5;x\ry\r\nhello\r\n0\r\n\r\n", "", ErrChunkLine},
	{"NUL in an extension", chunked + "5;\x00\r\nhello\r\n0\r\n\r\n", "", ErrChunkLine},
	{"extension too long", chunked + "5;" + strings.Repeat("x", chunkLineMax) + "\r\nhello\r\n0\r\n\r\n", "", ErrChunkLineTooLong},
	{"chunk longer than its size", chunked + "5\r\nhello!\r\n0\r\n\r\n", "", ErrChunkEnd},
	{"chunk ended by a byte and LF", chunked + "5\r\nhello!\n0\r\n\r\n", "", ErrChunkEnd},
	{"chunk size g", chunked + "g\r\n0123456789abcdef\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk size G", chunked + "G\r\n0123456789abcdef\r\n0\r\n\r\n", "", ErrChunkSize},
	{"chunk ended by bare LF", chunked + "5\r\nhello\n0\r\n\r\n", "", ErrChunkEnd},
	{"chunk ended by bare CR", chunked + "5\r\nhello\r0\r\n\r\n", "", ErrChunkEnd},
	{"chunk without an end", chunked + "5\r\nhello0\r\n\r\n", "", ErrChunkEnd},
	{"body ended by bare LF", chunked + "0\r\n\n", "", ErrTrailer},
	{"body ended by bare CR", chunked + "0\r\n\r" + after, "", ErrTrailer},
	{"trailer without a colon", chunked + "0\r\nX\r\n\r\n", "", ErrTrailer},
	{"trailer without a name", chunked + "0\r\n: x\r\n\r\n", "", ErrTrailer},
	{"blank before the colon of a trailer", chunked + "0\r\nX : y\r\n\r\n", "", ErrTrailer},
	{"folded trailer", chunked + "0\r\nX: y\r\n z\r\n\r\n", "", ErrTrailer},
	{"bare LF in a trailer", chunked + "0\r\nX: y\nZ: z\r\n\r\n", "", ErrTrailer},
	{"bare CR in a trailer", chunked + "0\r\nX: y\rZ: z\r\n\r\n", "", ErrTrailer},
	{"NUL in a trailer", chunked + "0\r\nX: \x00\r\n\r\n", "", ErrTrailer},
	{"trailer too long", chunked + "0\r\nX: " + strings.Repeat("y", trailersMax) + "\r\n\r\n", "", ErrTrailerTooLong},
	{"too many trailers", chunked + "0\r\n" + strings.Repeat("X: y\r\n", trailersMax/6+1) + "\r\n\r\n", "", ErrTrailerTooLong},
}

// TestFraming reads every input whole, cut in two at every byte, and byte by
// byte: all must come to the same.
func TestFraming(t *testing.T) {
	for _, tt := range framingTests {
		in := []byte(tt.in)
		whole := read(in)
		if whole.err != tt.want || whole.log.String() != tt.read {
			t.Errorf("%s: read %q, %v; want %q, %v", tt.name, &whole.log, whole.err, tt.read, tt.want)
			continue
		}
		if whole.err == nil && (whole.inBody || len(whole.buf) > 0) {
			t.Errorf("%s: %s", tt.name, whole.state())
		}
		step := 1 + len(in)/700 // of long inputs not all
		for i := 0; i <= len(in); i += step {
			// state has the body of a request that is not over only without an
			// error, so that nothing depends on how much came before it.
			if cut := read(in[:i], in[i:]); cut.state() != whole.state() {
				t.Errorf("%s, cut at %d: %s\nwhole: %s", tt.name, i, cut.state(), whole.state())
			}
		}
		if cut := read(singles(in)...); cut.state() != whole.state() {
			t.Errorf("%s, by bytes: %s\nwhole: %s", tt.name, cut.state(), whole.state())
		}
	}
}

func singles(p []byte) (pieces [][]byte) {
	for i := range p {
		pieces = append(pieces, p[i:i+1])
	}
	return pieces
}

// A request that is not over waits for more, at every byte of it.
func TestFramingWaits(t *testing.T) {
	for _, tt := range framingTests {
		if tt.want != nil || strings.Count(tt.read, "|") != 2 {
			continue
		}
		first := len(tt.in) - len(after)
		for i := 1; i < len(tt.in); i++ {
			r := read([]byte(tt.in[:i]))
			want := 0
			if i >= first {
				want = 1
			}
			// A CRLF behind the first request belongs to the second.
			if strings.HasSuffix(tt.in[:first], "\r\n\r\n\r\n") && i >= first-2 {
				want = 1
			}
			if n := strings.Count(r.log.String(), "|"); r.err != nil || n != want {
				t.Fatalf("%s: %d bytes of %d: %d requests, %v", tt.name, i, len(tt.in), n, r.err)
			}
		}
	}
}

// Parse refuses without Scan in front of it what Scan refuses.
func TestParseNeedsNoScan(t *testing.T) {
	for _, tt := range framingTests {
		end := strings.Index(tt.in, "\r\n\r\n") + 4
		if _, _, err := Scan([]byte(tt.in), 0); err == nil || end < 4 {
			continue
		}
		if _, err := Parse([]byte(tt.in[:end])); err == nil {
			t.Errorf("%s: Parse takes it", tt.name)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for head, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                                  true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n":                        true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-close\r\n\r\n":                           true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nconnection: x,CLOSE\r\n\r\n": false,
		"GET / HTTP/1.0\r\n\r\n":                                                             false,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                   false,
	} {
		h, err := Parse([]byte(head))
		if err != nil || h.KeepAlive() != want {
			t.Errorf("%q: %v, %v", head, h.KeepAlive(), err)
		}
	}
}

func TestViolationTexts(t *testing.T) {
	seen := map[string]bool{}
	for v := Violation(1); v < violationCount; v++ {
		if text := v.Error(); text == "" || seen[text] {
			t.Errorf("violation %d: text %q", v, text)
		} else {
			seen[text] = true
		}
	}
	if Violation(0).Error() != violationCount.Error() {
		t.Error("no violation has a text")
	}
}
