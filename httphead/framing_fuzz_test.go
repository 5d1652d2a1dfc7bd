package httphead

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// oracle is what net/http reads as the first request of p. A CRLF in front,
// which RFC 9112 section 2.2 wants tolerated, is taken off for it.
func oracle(p []byte) (req *http.Request, body []byte, rest string, err error) {
	p = bytes.TrimPrefix(p, []byte("\r\n"))
	br := bufio.NewReaderSize(bytes.NewReader(p), 2*len(p)+4096)
	if req, err = http.ReadRequest(br); err != nil {
		return nil, nil, "", err
	}
	if body, err = io.ReadAll(req.Body); err != nil {
		return nil, nil, "", err
	}
	behind, err := io.ReadAll(br)
	return req, body, string(behind), err
}

// stricter says why net/http may refuse, with err, what is taken here. p is
// the request as it came.
func stricter(h *Head, p []byte, err error) string {
	uri := h.Target
	if h.Method == "CONNECT" && !strings.HasPrefix(uri, "/") {
		uri = "http://" + uri
	}
	_, uriErr := url.ParseRequestURI(uri)
	_, blanks, _ := bytes.Cut(p, []byte("\r\n\r\n"))
	blanks = bytes.ReplaceAll(blanks, []byte{'\t'}, []byte{' '})
	text := err.Error()
	switch {
	case uriErr != nil:
		return "targets are the business of package hyco"
	case strings.Contains(text, "bad trailer key") && h.Count("Trailer") > 0:
		return "trailers are dropped, whatever their names are"
	case strings.Contains(text, "too much non-data"):
		return "the share of extensions in a body is not bounded, their lines are"
	case strings.Contains(text, "invalid byte in chunk length") && bytes.Contains(blanks, []byte(" ;")):
		return "RFC 9112 section 7.1.1 allows blanks before a semicolon"
	}
	return ""
}

// FuzzParse: net/http reads what we read, to the same method, target, fields,
// body and rest. What it refuses we refuse, but for the cases of stricter. Where
// we wait for more, it misses something too.
func FuzzParse(f *testing.F) {
	for _, tt := range framingTests {
		if len(tt.in) < 4096 {
			f.Add([]byte(tt.in))
		}
	}
	f.Add([]byte(sample))
	f.Add([]byte(chunked + "5 \t;a=b\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte(post + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\ny\r\n0\r\nX: y\r\n\r\n"))
	f.Add([]byte("PUT http://h/%2F HTTP/1.0\r\nA: \x80\r\nContent-Length: 1\r\n\r\n12"))
	f.Add([]byte("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := &reader{}
		rest := p
		for len(rest) > 0 && r.err == nil && r.log.Len() == 0 {
			if r.inBody {
				rest = r.readBody(rest)
			} else {
				rest = r.readHead(rest)
			}
		}
		if r.err != nil {
			return // stricter than net/http is fine
		}
		req, body, behind, err := oracle(p)
		if r.log.Len() == 0 {
			if err == nil {
				t.Fatalf("net/http does not wait for more: %q\n%s", p, r.state())
			}
			return
		}
		if err != nil {
			if stricter(&r.head, p, err) == "" {
				t.Fatalf("net/http refuses %q: %v", p, err)
			}
			return
		}
		if req.Method != r.head.Method || req.RequestURI != r.head.Target ||
			req.ProtoMajor != 1 || req.ProtoMinor != r.head.Minor {
			t.Fatalf("request line %q %q %d, in net/http %q %q %s", r.head.Method, r.head.Target,
				r.head.Minor, req.Method, req.RequestURI, req.Proto)
		}
		if !bytes.Equal(body, r.body) || behind != string(rest) {
			t.Fatalf("%q: body %q and rest %q, in net/http %q and %q", p, r.body, rest, body, behind)
		}
		compareFields(t, &r.head, req)
	})
}

// compareFields compares those that net/http does not move elsewhere.
func compareFields(t *testing.T, h *Head, req *http.Request) {
	if host := h.Get("Host"); req.URL.Host == "" && req.Host != host {
		t.Fatalf("Host %q, in net/http %q", host, req.Host)
	}
	for _, field := range h.Fields {
		switch strings.ToLower(field.Name) {
		case "host", "transfer-encoding", "trailer", "pragma", "cache-control":
			continue
		}
		var ours []string
		for _, other := range h.Fields {
			if strings.EqualFold(other.Name, field.Name) {
				ours = append(ours, other.Value)
			}
		}
		theirs := req.Header[http.CanonicalHeaderKey(field.Name)]
		if strings.Join(ours, "\n") != strings.Join(theirs, "\n") {
			t.Fatalf("field %s %q, in net/http %q", field.Name, ours, theirs)
		}
	}
}

// FuzzCuts: any way of cutting a stream of requests gives the same requests
// and the same error.
func FuzzCuts(f *testing.F) {
	for _, tt := range framingTests {
		if len(tt.in) < 4096 {
			f.Add([]byte(tt.in), uint64(len(tt.in)))
		}
	}
	f.Add([]byte(sample+sample), uint64(1))
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		whole, cut := read(p), read(cuts(p, seed)...)
		if cut.state() != whole.state() {
			t.Fatalf("%q\nin pieces: %s\nwhole: %s", p, cut.state(), whole.state())
		}
	})
}

// cuts cuts p into pieces of random sizes, most of them small.
func cuts(p []byte, seed uint64) (pieces [][]byte) {
	random := rand.New(rand.NewPCG(seed, 0))
	for len(p) > 0 {
		n := min(len(p), 1+random.IntN(1<<random.IntN(8)))
		pieces, p = append(pieces, p[:n]), p[n:]
	}
	return pieces
}

// FuzzChunks: Chunks at random cuts gives what it gives in one piece. That it is
// what net/http reads, FuzzParse shows.
func FuzzChunks(f *testing.F) {
	for _, tt := range framingTests {
		if _, body, ok := strings.Cut(tt.in, chunked); ok && len(body) < 4096 {
			f.Add([]byte(body), uint64(len(body)))
		}
	}
	f.Add([]byte("5 ;a=b\r\nhello\r\nA\r\n0123456789\r\n0;x\r\nA: b\r\nC:\r\n\r\nrest"), uint64(3))
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		data, used, done, err := decode(p)
		data2, used2, done2, err2 := decode(cuts(p, seed)...)
		if !bytes.Equal(data, data2) || used != used2 || done != done2 || err != err2 {
			t.Fatalf("%q: %q, %d, %v, %v; in pieces: %q, %d, %v, %v", p, data, used, done, err,
				data2, used2, done2, err2)
		}
		if len(data) > used || used > len(p) || done && err != nil || !done && err == nil && used != len(p) {
			t.Fatalf("%q: %q, %d, %v, %v", p, data, used, done, err)
		}
	})
}
