package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of HTTP/1.1 framing: requests that two servers could read in two
// ways are refused, and so is everything behind them on the same connection
// (RFC 9112 sections 2.2, 5, 6, 7 and 11.2).

// wireRequest is a request that is written as it stands.
type wireRequest struct {
	name string
	wire string
	// statuses are those that a refusal may have.
	statuses []int
	// inBody says that the head is good: a listener may hear of the request,
	// but never of a whole body.
	inBody bool
	body   string // of a good request, as the listener has to see it
}

// post is a head with these lines, and then the rest as it is.
func post(rest string, lines ...string) string {
	return requestHead("POST /"+emulator.Anonymous+" HTTP/1.1", lines...) + rest
}

// requestHead is a head with a request line and a Host.
func requestHead(line string, lines ...string) string {
	return line + "\r\nHost: relay\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

// behind is pipelined behind every request.
var behind = requestHead("GET /" + emulator.Anonymous + "/behind HTTP/1.1")

const (
	chunkedLine = "Transfer-Encoding: chunked"
	chunkedBody = "5\r\nhello\r\n0\r\n\r\n"
)

// badLengths are refused requests whose Content-Length or Transfer-Encoding is
// not clear.
func badLengths() []wireRequest {
	var list []wireRequest
	add := func(name, wire string, statuses ...int) {
		list = append(list, wireRequest{name: name, wire: wire, statuses: append(statuses, 400)})
	}
	for _, value := range []string{"", "+5", "-5", "-0", "0x5", "5a", "a", "5 5", "5,5", "5, 5",
		"5;", "1e1", "5.0", "5.", "\"5\"", "5\x0b", "\x0c5", "99999999999999999999",
		"18446744073709551621", "9223372036854775808", "٥", "5\x00", strings.Repeat("9", 400)} {
		add(fmt.Sprintf("Content-Length %.30q", value), post("hello", "Content-Length: "+value))
	}
	add("two lengths", post("hello", "Content-Length: 5", "Content-Length: 6"))
	add("two equal lengths", post("hello", "Content-Length: 5", "Content-Length: 5"))
	add("two lengths, other case", post("hello", "Content-Length: 5", "content-length: 0"))
	add("two empty lengths", post("hello", "Content-Length:", "Content-Length:"))
	add("length and chunked", post(chunkedBody, "Content-Length: 5", chunkedLine))
	add("chunked and length", post(chunkedBody, chunkedLine, "Content-Length: 5"))
	add("chunked and length 0", post(chunkedBody, chunkedLine, "Content-Length: 0"))
	add("chunked and a bad length", post(chunkedBody, chunkedLine, "Content-Length: x"))
	add("length and identity", post("hello", "Content-Length: 5", "Transfer-Encoding: identity"),
		501)
	for _, coding := range []string{"", "gzip", "identity", "xchunked", "chunked-x", "x-chunked",
		"gzip, chunked", "chunked, identity", "identity, chunked", "chunked;q=1", "chunked,",
		"\"chunked\"", "'chunked'", "chunked\x0b", "\x0bchunked", "chun ked", "chunked chunked",
		"trailers", "deflate, gzip"} {
		add(fmt.Sprintf("Transfer-Encoding %q", coding),
			post(chunkedBody, "Transfer-Encoding: "+coding), 501)
	}
	add("chunked twice", post(chunkedBody, "Transfer-Encoding: chunked, chunked"))
	add("chunked in two lines", post(chunkedBody, chunkedLine, chunkedLine))
	add("chunked not last", post(chunkedBody, "Transfer-Encoding: chunked, gzip"))
	add("chunked not last, in two lines", post(chunkedBody, chunkedLine,
		"Transfer-Encoding: gzip"))
	add("chunked and identity in two lines", post(chunkedBody, chunkedLine,
		"Transfer-encoding: identity"), 501)
	add("chunked in HTTP/1.0", strings.Replace(post(chunkedBody, chunkedLine), "HTTP/1.1",
		"HTTP/1.0", 1))
	return list
}

// badHeads are refused requests whose head is not clear.
func badHeads() []wireRequest {
	var list []wireRequest
	add := func(name, wire string, statuses ...int) {
		list = append(list, wireRequest{name: name, wire: wire, statuses: append(statuses, 400)})
	}
	for _, line := range []string{"Transfer-Encoding : chunked", " Transfer-Encoding: chunked",
		"\tTransfer-Encoding: chunked", "X: a\r\n Transfer-Encoding: chunked",
		"X: a\r\n\tb", "X: a\r\n b", "Content-Length : 5", "Content-Length\t: 5",
		"Content-Length: \r\n 5", ": x", ":", "no colon", "X\x00: a", "X(: a", "X[: a", "X@: a",
		"X/Y: a", "\x7fX: a", "Gr\xc3\xbcn: a", "X \x0b: a", "\x0bTransfer-Encoding: chunked"} {
		add(fmt.Sprintf("line %q", line), post(chunkedBody, line))
	}
	for _, value := range []string{"a\x00b", "a\x01b", "a\x08b", "a\x0bb", "a\x0cb", "a\x1bb",
		"a\x7fb", "a\rb", "a\nb", "a\r\rb", "\r", "\x00", "a\r" + chunkedLine,
		"a\n" + chunkedLine, "a\n\rb"} {
		add(fmt.Sprintf("value %q", value), post(chunkedBody, "X: "+value))
	}
	add("LF only", strings.ReplaceAll(post("", "X: a"), "\r\n", "\n"))
	add("LF behind the request line", strings.Replace(post(""), "\r\n", "\n", 1))
	add("LF behind a field", post(chunkedBody, "X: a\n"+chunkedLine))
	add("LF as the blank line", strings.TrimSuffix(post("", "X: a"), "\r\n")+"\n")
	add("CR only", strings.ReplaceAll(post("", "X: a"), "\r\n", "\r")+"\r\n\r\n")
	add("two Hosts", post("", "Host: other"))
	add("two equal Hosts", post("", "Host: relay"))
	add("no Host", "POST /"+emulator.Anonymous+" HTTP/1.1\r\nX: a\r\n\r\n")
	target := "/" + emulator.Anonymous
	for _, line := range []string{"GET  " + target + " HTTP/1.1", "GET " + target + "  HTTP/1.1",
		"GET\t" + target + " HTTP/1.1", "GET " + target + " HTTP/1.1 ", "GET " + target,
		" GET " + target + " HTTP/1.1", "GET " + target + " a HTTP/1.1", "GET HTTP/1.1",
		"GET " + target + " HTTP/1.1x", "GET " + target + " http/1.1", "GET " + target + " HTTP/",
		"GET " + target + " HTTP/11", "GET " + target + " HTTP/1.", "GET " + target + " HTP/1.1",
		"GET " + target + " HTTP/+1.1", "G(T " + target + " HTTP/1.1",
		"G\x00T " + target + " HTTP/1.1", "GET " + target + "\x00 HTTP/1.1",
		"GET " + target + "\x01 HTTP/1.1", "GET " + target + "#x HTTP/1.1",
		"GET " + target + "\x7f HTTP/1.1", "GET * HTTP/1.1", "GET unauthenticated HTTP/1.1",
		"GET " + target + "/%zz HTTP/1.1", "GET " + target + "/%4 HTTP/1.1"} {
		add(fmt.Sprintf("request line %q", line), requestHead(line), 404, 505)
	}
	add("HTTP/2.0", requestHead("GET "+target+" HTTP/2.0"), 505)
	add("HTTP/0.9", requestHead("GET "+target+" HTTP/0.9"), 505)
	add("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
	add("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	add("head of 40 KiB", post("", "X: "+strings.Repeat("x", 40<<10)), 431)
	add("name of 40 KiB", post("", strings.Repeat("x", 40<<10)+": x"), 431)
	add("target of 40 KiB", requestHead("GET "+target+strings.Repeat("x", 40<<10)+" HTTP/1.1"),
		431)
	add("400 fields", post("", slices.Repeat([]string{"X: a"}, 400)...), 431)
	for i := range list { // 400 is not enough for these
		if slices.Contains(list[i].statuses, 431) {
			list[i].statuses = []int{431}
		}
	}
	return list
}

// badChunks are refused in the body.
func badChunks() []wireRequest {
	var list []wireRequest
	add := func(name, body string) {
		list = append(list, wireRequest{name: name, wire: post(body, chunkedLine),
			statuses: []int{400}, inBody: true})
	}
	for _, size := range []string{"", " ", "g", "x5", "0x5", "-5", "+5", " 5", "\t5", "5,", "5.",
		"5 5", "5\x00", "5\x0b", "\x005", "\"5\"", "fffffffffffffffff", "10000000000000005",
		"8000000000000000", "5\r", ";a=b", "٥", "5\rX"} {
		add(fmt.Sprintf("chunk size %q", size), size+"\r\nhello\r\n0\r\n\r\n")
	}
	add("LF behind the size", "5\nhello\r\n0\r\n\r\n")
	add("LF behind an extension", "5;a=b\nhello\r\n0\r\n\r\n")
	add("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n")
	add("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n")
	add("NUL in an extension", "5;a\x00b\r\nhello\r\n0\r\n\r\n")
	add("LF behind the data", "5\r\nhello\n0\r\n\r\n")
	add("CR only behind the data", "5\r\nhello\r0\r\n\r\n")
	add("nothing behind the data", "5\r\nhello0\r\n\r\n")
	add("data too long", "4\r\nhello\r\n0\r\n\r\n")
	add("data too short", "6\r\nhello\r\n0\r\n\r\n")
	add("size line of 1.1 KiB", "5;a="+strings.Repeat("b", 1100)+"\r\nhello\r\n0\r\n\r\n")
	add("size of 1.1 KiB", strings.Repeat("0", 1100)+"5\r\nhello\r\n0\r\n\r\n")
	add("LF behind the last size", "5\r\nhello\r\n0\n\r\n")
	add("LF behind the last chunk", "5\r\nhello\r\n0\r\n\n")
	add("LF behind a trailer", "5\r\nhello\r\n0\r\nX: a\n\r\n")
	add("bare CR in a trailer", "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n")
	add("NUL in a trailer", "5\r\nhello\r\n0\r\nX: a\x00\r\n\r\n")
	add("trailer without a colon", "5\r\nhello\r\n0\r\nX\r\n\r\n")
	add("trailer with a blank name", "5\r\nhello\r\n0\r\n: x\r\n\r\n")
	add("folded trailer", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n")
	add("trailers of 9 KiB", "5\r\nhello\r\n0\r\n"+strings.Repeat("X: "+strings.Repeat("a", 600)+
		"\r\n", 15)+"\r\n")
	return list
}

// goodRequests are odd, and right.
func goodRequests() []wireRequest {
	var list []wireRequest
	add := func(name, wire, body string) {
		list = append(list, wireRequest{name: name, wire: wire, body: body})
	}
	add("nothing odd", post("hello", "Content-Length: 5"), "hello")
	add("leading line", "\r\n"+post("hello", "Content-Length: 5"), "hello")
	add("blanks around a length", post("hello", "Content-Length: \t 5 \t"), "hello")
	add("no blank before a value", post("hello", "content-length:5"), "hello")
	add("leading zeros", post("hello", "Content-Length: 0005"), "hello")
	add("no body", post(""), "")
	add("chunked", post(chunkedBody, chunkedLine), "hello")
	add("letter case", post(chunkedBody, "TRANSFER-encoding:Chunked\t"), "hello")
	add("extensions", post("5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n", chunkedLine), "hello")
	add("hexadecimal", post("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", chunkedLine),
		"01234567890123456789a")
	add("zeros", post("0005\r\nhello\r\n000\r\n\r\n", chunkedLine), "hello")
	add("trailers", post("5\r\nhello\r\n0\r\nX: a\r\nContent-Length: 7\r\n\r\n", chunkedLine),
		"hello")
	add("long extension", post("5;a="+strings.Repeat("b", 900)+"\r\nhello\r\n0\r\n\r\n",
		chunkedLine), "hello")
	add("long trailers", post("5\r\nhello\r\n0\r\n"+strings.Repeat("X: "+
		strings.Repeat("a", 600)+"\r\n", 12)+"\r\n", chunkedLine), "hello")
	add("no chunk", post("0\r\n\r\n", chunkedLine), "")
	add("names of a token", post("", "X!#$%&'*+-.^_`|~9: a", "Y:", "Z: \t "), "")
	add("bytes above ASCII", post("", "X: gr\xc3\xbcn", "Y: \xff"), "")
	add("250 fields", post("", slices.Repeat([]string{"X: a"}, 250)...), "")
	add("head of 31 KiB", post("", "X: "+strings.Repeat("x", 31<<10)), "")
	add("a request for a body", post("GET / HTTP/1.1\r\n\r\n", "Content-Length: 18"),
		"GET / HTTP/1.1\r\n\r\n")
	return list
}

// trickle writes a request whole, or byte by byte: all of a short one, and the
// ends of a long one. It stops when the gateway takes no more.
func (s *httpSender) trickle(wire string, bytewise bool) {
	if !bytewise {
		_ = s.write([]byte(wire))
		return
	}
	const ends = 300
	for at := 0; at < len(wire); {
		n := 1
		if at >= ends && len(wire)-at > ends {
			n = min(701, len(wire)-at-ends)
		}
		if s.write([]byte(wire[at:at+n])) != nil {
			return
		}
		at += n
		pace()
	}
}

// onEachCut runs a test with requests in one piece and in single bytes.
func onEachCut(t *testing.T, requests []wireRequest,
	test func(t *testing.T, s *httpSender, r wireRequest)) {
	for _, bytewise := range []bool{false, true} {
		t.Run(fmt.Sprintf("bytewise=%t", bytewise), func(t *testing.T) {
			g := emulator.Start(t)
			var mu sync.Mutex
			var targets []string
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				if r.RequestTarget == "/"+emulator.Anonymous+"/ordinary" {
					return dotnetReply(r, reply{})
				}
				mu.Lock()
				defer mu.Unlock()
				targets = append(targets, r.RequestTarget)
				if r.RequestTarget != "/"+emulator.Anonymous || !r.rendezvous {
					return errors.New("a request has come through")
				}
				return r.wantBroken()
			})
			var all sync.WaitGroup
			for _, r := range requests {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					s := dialSender(t, g)
					all.Go(func() { s.trickle(r.wire+behind, bytewise) })
					test(t, s, r)
				})
			}
			t.Cleanup(func() {
				all.Wait()
				for _, r := range requests {
					if !r.inBody && len(targets) > 0 {
						t.Errorf("requests have come through: %q", targets)
						return
					}
				}
			})
			// The gateway and its listener are well.
			r := fetch(t, g, outgoing{target: "/" + emulator.Anonymous + "/ordinary"})
			wantResponse(t, r, 200, "OK", nil)
		})
	}
}

// wantBroken reads a body that must not come to its end.
func (r *httpRequest) wantBroken() error {
	err := r.readBody()
	switch {
	case err == nil:
		return fmt.Errorf("a body has come whole: %.60q", r.body)
	case errors.As(err, new(closed)), framer.IsEnd(err):
		return nil
	}
	return err
}

// refusalCodes are the codes in the bodies of refusals (docs/protocol.md,
// section 5.8).
var refusalCodes = map[int]string{400: "BadRequest", 404: "EndpointNotFound",
	405: "MethodNotAllowed", 417: "ExpectationFailed", 431: "RequestHeaderFieldsTooLarge",
	501: "NotImplemented", 505: "HTTPVersionNotSupported"}

// wantRefusedForGood wants a refusal and the end of the connection.
func wantRefusedForGood(t *testing.T, s *httpSender, r wireRequest) {
	response, err := s.receive("POST")
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if !slices.Contains(r.statuses, response.Status) {
		t.Errorf("status %d %q, want one of %v", response.Status, response.Reason, r.statuses)
	}
	if !tracked.MatchString(response.Reason) || response.header("Via") != "" ||
		response.header("TrackingId") == "" || !response.closes() {
		t.Errorf("%q %v, want a tracking id, no Via and Connection: close", response.Reason,
			response.Fields)
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(response.body, &body); err != nil ||
		body.Error.Code != refusalCodes[response.Status] {
		t.Errorf("body %q, want the code %s", response.body, refusalCodes[response.Status])
	}
	s.wantEnd(t)
}

func TestGroundHTTPBadLengths(t *testing.T) {
	onEachCut(t, badLengths(), wantRefusedForGood)
}

func TestGroundHTTPBadHeads(t *testing.T) {
	onEachCut(t, badHeads(), wantRefusedForGood)
}

func TestGroundHTTPBadChunks(t *testing.T) {
	onEachCut(t, badChunks(), wantRefusedForGood)
}

// TestGroundHTTPGoodRequests shows that the refusals go no further than they
// have to; the request behind is answered as well.
func TestGroundHTTPGoodRequests(t *testing.T) {
	for _, bytewise := range []bool{false, true} {
		t.Run(fmt.Sprintf("bytewise=%t", bytewise), func(t *testing.T) {
			g := emulator.Start(t)
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				if strings.HasSuffix(r.RequestTarget, "/behind") {
					return nodeReply(r, reply{body: []byte("the one behind")})
				}
				return echoWith(httpStyles[2], reply{})(r)
			})
			for _, r := range goodRequests() {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					s := dialSender(t, g)
					done := make(chan struct{})
					go func() {
						defer close(done)
						s.trickle(r.wire+behind, bytewise)
					}()
					wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", []byte(r.body))
					wantResponse(t, s.mustReceive(t, "GET"), 200, "OK", []byte("the one behind"))
					<-done
				})
			}
		})
	}
}

// TestGroundHTTPRefusedHeads: what is refused though its framing is
// clear (docs/protocol.md, section 5.1). Whether the connection stays open is
// not said; if it does, the next request is answered in its turn.
func TestGroundHTTPRefusedHeads(t *testing.T) {
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	line := "GET /" + emulator.Anonymous + " HTTP/1.1"
	tests := []struct {
		name, wire string
		status     int
	}{
		{"CONNECT", requestHead("CONNECT /" + emulator.Anonymous + " HTTP/1.1"), 405},
		{"CONNECT, its own form", requestHead("CONNECT relay.example:443 HTTP/1.1"), 405},
		{"other expectation", requestHead(line, "Expect: 200-ok"), 417},
		{"two expectations", requestHead(line, "Expect: 100-continue, x=y"), 417},
		{"WebSocket outside $hc", requestHead(line, "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: cmVsYXlob3VzZS10ZXN0cw=="), 400},
		{"Upgrade without Connection", requestHead(line, "Upgrade: h2c"), 400},
		{"no upgrade on $hc", requestHead("POST /$hc/"+emulator.Anonymous+" HTTP/1.1",
			"Content-Length: 0"), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dialSender(t, g)
			s.send(t, tt.wire)
			r := s.mustReceive(t, "GET")
			if r.Status != tt.status || r.header("Via") != "" {
				t.Errorf("status %d %q, want %d", r.Status, r.Reason, tt.status)
			}
			if r.closes() {
				s.wantEnd(t)
			}
			if len(w.requests) > 0 {
				t.Fatal("the request has come through")
			}
		})
	}
	// What only looks like it: RFC 9110, section 7.8, allows to ignore it.
	r := w.seen(t, g, outgoing{target: "/" + emulator.Anonymous, lines: []string{
		"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"}})
	if r.has("HTTP2-Settings") || r.has("Upgrade") {
		t.Errorf("the listener sees %v", r.RequestHeaders)
	}
}

// TestGroundHTTPSlowHead: a head that is never finished is refused in time, and
// one in two halves is not.
func TestGroundHTTPSlowHead(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "limits:\n  head_timeout: 1s\nhttp:\n  keepalive: 2s\n"+httpNamespace)
	listenHTTP(t, g, emulator.Anonymous, respondWith(httpStyles[0], reply{}))
	s := dialSender(t, g)
	for range 2 {
		wantResponse(t, s.fetch(t, outgoing{target: "/" + emulator.Anonymous}), 200, "OK", nil)
		time.Sleep(500 * time.Millisecond) // between two requests, the longer time holds
	}
	begun := time.Now()
	s.send(t, behind[:20])
	time.Sleep(300 * time.Millisecond)
	s.send(t, behind[20:])
	wantResponse(t, s.mustReceive(t, "GET"), 200, "OK", nil)
	s.send(t, behind[:len(behind)-1])
	r := s.mustReceive(t, "GET")
	if took := time.Since(begun); r.Status != 408 || took > 5*time.Second {
		t.Errorf("status %d after %v, want 408 after one second", r.Status, took)
	}
	s.wantEnd(t)

	// A connection that idles between two requests ends without a word.
	s = dialSender(t, g)
	wantResponse(t, s.fetch(t, outgoing{target: "/" + emulator.Anonymous}), 200, "OK", nil)
	begun = time.Now()
	s.wantEnd(t)
	if took := time.Since(begun); took < 1500*time.Millisecond || took > 6*time.Second {
		t.Errorf("the idle connection ended after %v, want 2s", took)
	}
}

// TestGroundHTTPEveryCut cuts three pipelined requests in two at every place.
func TestGroundHTTPEveryCut(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	listenHTTP(t, g, emulator.Anonymous, echoWith(httpStyles[0], reply{}))
	wire := post(chunkedBody, chunkedLine) + post("hello", "Content-Length: 5") +
		strings.Replace(behind, "GET", "HEAD", 1)
	s := dialSender(t, g)
	for at := 1; at < len(wire); at++ {
		s.send(t, wire[:at])
		pace()
		s.send(t, wire[at:])
		for i, want := range []string{"hello", "hello", ""} {
			r, err := s.receive([]string{"POST", "POST", "HEAD"}[i])
			if err != nil {
				t.Fatalf("cut at %d: %v", at, err)
			}
			wantResponse(t, r, 200, "OK", []byte(want))
		}
	}
	s.wantSilence(t, 50*time.Millisecond)
}
