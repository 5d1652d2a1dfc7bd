package interop

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 35-44, 51, 58, 59 and 72 of the conformance list: bodies, statuses and
// phrases of relayed HTTP requests.

// forEachStyle runs a test per manner of listener, at the same time, each with
// a gateway of its own.
func forEachStyle(t *testing.T,
	test func(t *testing.T, g *emulator.Gateway, style httpStyle)) {
	for _, style := range httpStyles {
		t.Run("listener="+style.name, func(t *testing.T) {
			t.Parallel()
			test(t, emulator.Start(t), style)
		})
	}
}

// senderLines is the token that senders of the entity need, if any.
func senderLines(entity string) []string {
	if entity == emulator.Anonymous {
		return nil
	}
	return []string{"ServiceBusAuthorization: " + emulator.Token(entity)}
}

// wantHTTPRefusal checks a response that the gateway made (docs/protocol.md,
// section 5.8): beside the phrase there is a body that says the same.
func wantHTTPRefusal(t *testing.T, r *httpResponse, status int, code, text, path string) {
	t.Helper()
	a := &answer{r.Status, r.Reason, http.Header{}}
	for _, field := range r.Fields {
		a.header.Add(field.Name, field.Value)
	}
	wantRefusal(t, a, status, text, path)
	if r.framing == noBody {
		return
	}
	if r.framing != byLength || !strings.HasPrefix(r.header("Content-Type"), "application/json") {
		t.Errorf("a body by %s of type %q, want JSON with its length", r.framing,
			r.header("Content-Type"))
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Errorf("body %.100q: %v", r.body, err)
	}
	if body.Error.Code != code || !strings.Contains(body.Error.Message, text) ||
		!strings.Contains(body.Error.Message, "TrackingId:") {
		t.Errorf("body %q, want the code %s and the text %q", r.body, code, text)
	}
}

func TestItem35SmallBodies(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			for _, dial := range []bool{false, true} {
				l := listenHTTP(t, g, entity, func(r *httpRequest) error {
					a := reply{phrase: "OK", dial: dial, body: []byte("small response")}
					if r.Method == "POST" {
						a.body = r.body
					}
					return style.respond(r, a)
				})
				s := dialSender(t, g)
				get := outgoing{target: "/" + entity, lines: senderLines(entity)}
				wantResponse(t, s.fetch(t, get), 200, "OK", []byte("small response"))
				post := get
				post.method, post.body = "POST", []byte("small request")
				wantResponse(t, s.fetch(t, post), 200, "OK", post.body)
				l.retire(t)
			}
		})
	})
}

func TestItem36LargeResponses(t *testing.T) {
	large := pattern(65 << 10)
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			listenHTTP(t, g, entity, respondWith(style,
				reply{phrase: "TestStatusDescription", body: large}))
			s := dialSender(t, g)
			for _, o := range []outgoing{{}, {method: "POST", body: []byte("small")}} {
				o.target, o.lines = "/"+entity, senderLines(entity)
				wantResponse(t, s.fetch(t, o), 200, "TestStatusDescription", large)
			}
		})
	})
}

func TestItem37NothingEitherWay(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			l := listenHTTP(t, g, entity, respondWith(style, reply{}))
			s := dialSender(t, g)
			for _, o := range []outgoing{{}, {method: "POST", body: []byte{}}, {method: "POST"}} {
				o.target, o.lines = "/"+entity, senderLines(entity)
				wantResponse(t, s.fetch(t, o), 200, "OK", nil)
			}
			if l.seen() != 3 {
				t.Errorf("the listener has seen %d requests, want 3", l.seen())
			}
		})
	})
}

func TestItem38LargeRequests(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		forEachEntity(t, func(t *testing.T, entity string) {
			large := pattern(65 << 10)
			bodies := make(chan []byte, 2)
			listenHTTP(t, g, entity, func(r *httpRequest) error {
				if err := r.readBody(); err != nil {
					return err
				}
				bodies <- r.body
				return style.respond(r, reply{})
			})
			for _, chunk := range []int{0, 10_000} {
				r := fetch(t, g, outgoing{method: "POST", target: "/" + entity,
					lines: senderLines(entity), body: large, chunk: chunk})
				wantResponse(t, r, 200, "OK", nil)
				if got := <-bodies; string(got) != string(large) {
					t.Errorf("the listener got %d bytes, not the %d sent", len(got), len(large))
				}
			}
		})
	})
}

// sizes are those around which the forms of delivery change.
var sizes = []int{0, 1, 65_535, 65_536, 65_537, 1 << 20}

// TestItem39Sizes sends every size with every other as the response's, with a
// length and in chunks, answered where the listener would and by rendezvous.
func TestItem39Sizes(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			if err := r.readBody(); err != nil {
				return err
			}
			var a reply
			var size int
			_, err := fmt.Sscanf(r.header("X-Response"), "%d %d %t", &size, &a.piece, &a.dial)
			if err != nil {
				return err
			}
			a.body = pattern(size)
			a.headers = map[string]any{"X-Received": checksum(r.body)}
			return style.respond(r, a)
		})
		s := dialSender(t, g)
		count := 0
		for _, size := range sizes {
			for _, back := range sizes {
				for _, chunk := range []int{0, 10_000, 1 << 20} {
					count++
					dial, piece := count%2 == 0, []int{0, 10_000}[count/2%2]
					o := outgoing{method: "POST", target: "/" + emulator.Anonymous, chunk: chunk,
						body: pattern(size), lines: []string{
							fmt.Sprintf("X-Response: %d %d %t", back, piece, dial)}}
					r := s.fetch(t, o)
					wantResponse(t, r, 200, "OK", pattern(back))
					if r.header("X-Received") != checksum(o.body) {
						t.Errorf("%d bytes in chunks of %d did not arrive as sent", size, chunk)
					}
				}
			}
		}
		if l.seen() != count {
			t.Errorf("the listener has seen %d requests, want %d", l.seen(), count)
		}
	})
}

// TestItem39Delivery: which form is chosen (docs/protocol.md, section 5.2).
func TestItem39Delivery(t *testing.T) {
	g := emulator.Start(t)
	rendezvous := make(chan bool, 1)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		rendezvous <- r.rendezvous
		return respondWith(httpStyles[0], reply{})(r)
	})
	quotes := "X-Quotes: " + strings.Repeat(`"`, 20_000) // twice as long in JSON
	tests := []struct {
		name       string
		request    outgoing
		rendezvous bool
	}{
		{"no body", outgoing{}, false},
		{"empty", outgoing{body: []byte{}}, false},
		{"65,536 bytes", outgoing{body: pattern(65_536)}, false},
		{"65,537 bytes", outgoing{body: pattern(65_537)}, true},
		{"65,537 bytes in chunks", outgoing{body: pattern(65_537), chunk: 100}, true},
		{"stream of events", outgoing{lines: []string{"Accept: text/event-stream"}}, true},
		{"large head", outgoing{lines: []string{quotes}}, true},
	}
	for _, tt := range tests {
		tt.request.method, tt.request.target = "POST", "/"+emulator.Anonymous
		wantResponse(t, fetch(t, g, tt.request), 200, "OK", nil)
		if got := <-rendezvous; got != tt.rendezvous {
			t.Errorf("%s: the rendezvous form: %t, want %t", tt.name, got, tt.rendezvous)
		}
	}
}

// TestItem40Chunked: chunked bodies of every size, 10 senders at a time.
func TestItem40Chunked(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			if err := r.readBody(); err != nil {
				return err
			}
			a := reply{body: []byte("small"), headers: map[string]any{
				"X-Received": checksum(r.body)}}
			if r.header("X-Large") != "" {
				a.body = pattern(100_000)
			}
			return style.respond(r, a)
		})
		var all sync.WaitGroup
		for i := range 10 {
			s := dialSender(t, g)
			all.Go(func() {
				for _, size := range []int{0, 5, 65_536, 100_000, 300_000} {
					o := outgoing{method: "POST", target: "/" + emulator.Anonymous,
						body: pattern(size), chunk: 1 + 5000*i}
					if i == 0 {
						o.chunk = 100
					}
					want := []byte("small")
					if size%2 == i%2 {
						o.lines, want = []string{"X-Large: 1"}, pattern(100_000)
					}
					r, err := s.exchange(o)
					if err != nil {
						t.Errorf("%d bytes in chunks of %d: %v", size, o.chunk, err)
						return
					}
					wantResponse(t, r, 200, "OK", want)
					if r.header("X-Received") != checksum(o.body) {
						t.Errorf("%d bytes did not arrive as sent", size)
					}
				}
			})
		}
		all.Wait()
	})
}

// TestItem40ManyTinyChunks: a chunk of its own is no reason for a frame of its
// own; official listeners give up at 16,384 fragments of one message.
func TestItem40ManyTinyChunks(t *testing.T) {
	g := emulator.Start(t)
	frames := make(chan int, 1)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if err := r.readBody(); err != nil {
			return err
		}
		frames <- len(r.frames)
		return nodeReply(r, reply{body: r.body})
	})
	body := pattern(400_000)
	r := fetch(t, g, outgoing{method: "POST", target: "/" + emulator.Anonymous, body: body,
		chunk: 10})
	wantResponse(t, r, 200, "OK", body)
	if n := <-frames; n > 16_384 {
		t.Errorf("%d chunks of 10 bytes came in %d frames", len(body)/10, n)
	}
}

func TestItem41ResponsesInPieces(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			var a reply
			var size int
			_, err := fmt.Sscanf(r.header("X-Response"), "%d %d %t", &size, &a.piece, &a.dial)
			if err != nil {
				return err
			}
			a.body = pattern(size)
			return style.respond(r, a)
		})
		s := dialSender(t, g)
		for _, size := range []int{2, 65_535, 65_536, 65_537, 131_072, 300_000} {
			for _, piece := range []int{1000, 10_000, 32_768, 60_000, 65_536, 70_000} {
				for _, dial := range []bool{false, true} {
					r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous, lines: []string{
						fmt.Sprintf("X-Response: %d %d %t", size, piece, dial)}})
					wantResponse(t, r, 200, "OK", pattern(size))
				}
			}
		}
	})
}

// TestItem42Pause: the response begins, pauses for two seconds and goes on.
func TestItem42Pause(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	begun := make(chan struct{})
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if err := r.dial(); err != nil {
			return err
		}
		first := framer.Part(framer.Binary, []byte("before "))
		text := reply{}.text(r.ID, true, "requestId", "body", "statusCode")
		if err := r.onRendezvous(text, first); err != nil {
			return err
		}
		<-begun
		time.Sleep(2 * time.Second)
		err := r.onRendezvous(framer.Part(framer.Continuation, []byte("after")),
			framer.CloseFrame(1000, ""))
		if err != nil {
			return err
		}
		return r.ended(1000)
	})
	s := dialSender(t, g)
	s.send(t, string(outgoing{target: "/" + emulator.Anonymous}.head(g.HTTP)))
	r := s.mustReceiveHead(t, "GET")
	r.wantPart(t, []byte("before "))
	close(begun)
	r.wantPart(t, []byte("after"))
	r.wantBodyEnd(t)
	wantResponse(t, r, 200, "OK", []byte("before after"))
}

// checksum stands for a body in a header.
func checksum(body []byte) string {
	return fmt.Sprintf("%d bytes, %08x", len(body), crc32.ChecksumIEEE(body))
}

// indexLine tells the listener which row of a table a request is for.
func indexLine(i int) []string { return []string{fmt.Sprintf("X-Index: %d", i)} }

func (r *httpRequest) index() int {
	i, err := strconv.Atoi(r.header("X-Index"))
	if err != nil {
		panic(err)
	}
	return i
}

// answered relays one request per reply, on one connection and one control
// channel, and gives the response to a check. A GET unless method is set.
func answered(t *testing.T, g *emulator.Gateway, style httpStyle, method string,
	replies []reply, check func(i int, r *httpResponse)) {
	t.Helper()
	l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		return respondWith(style, replies[r.index()])(r)
	})
	defer l.retire(t)
	s := dialSender(t, g)
	for i := range replies {
		o := outgoing{method: method, target: "/" + emulator.Anonymous, lines: indexLine(i)}
		if method == "POST" {
			o.body = []byte("request")
		}
		check(i, s.fetch(t, o))
	}
}

func TestItem43DefaultPhrases(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		standard := map[int]string{200: "OK", 201: "Created", 202: "Accepted",
			204: "No Content", 301: "Moved Permanently", 304: "Not Modified",
			400: "Bad Request", 404: "Not Found", 500: "Internal Server Error",
			502: "Bad Gateway", 299: "", 450: ""}
		var replies []reply
		for status := range standard {
			for _, phrase := range []any{nil, jsonNull, ""} {
				replies = append(replies, reply{status: status, phrase: phrase})
			}
		}
		answered(t, g, style, "GET", replies, func(i int, r *httpResponse) {
			status := replies[i].status.(int)
			if r.Status != status || r.Reason != standard[status] {
				t.Errorf("statusDescription %s: %d %q, want %d %q", replies[i].phrase, r.Status,
					r.Reason, status, standard[status])
			}
		})
	})
}

func TestItem44OwnPhrases(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		var replies []reply
		for _, phrase := range []string{"TestStatusDescription", "not the standard one",
			"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "0", " a  b ",
			strings.Repeat("long ", 60) + "end"} {
			for _, status := range []int{200, 299, 404, 418, 500, 999} {
				replies = append(replies, reply{status: status, phrase: phrase,
					body: []byte("body")})
			}
		}
		answered(t, g, style, "POST", replies, func(i int, r *httpResponse) {
			status, phrase := replies[i].status.(int), replies[i].phrase.(string)
			if r.Status != status || strings.TrimSpace(r.Reason) != strings.TrimSpace(phrase) ||
				string(r.body) != "body" {
				t.Errorf("%d %q with the body %q, want %d %q", r.Status, r.Reason, r.body, status,
					phrase)
			}
		})
	})
}

// TestItem51SecondResponse: what was sent stays; a second response to the same
// request is one to an unknown request.
func TestItem51SecondResponse(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			if err := style.respond(r, reply{body: []byte("first")}); err != nil {
				return err
			}
			return style.respond(r, reply{status: 500, body: []byte("second"),
				headers: map[string]any{"X-Late": "yes"}})
		})
		s := dialSender(t, g)
		for range 20 {
			r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous})
			wantResponse(t, r, 200, "OK", []byte("first"))
			if r.header("X-Late") != "" {
				t.Error("the header of a second response has come")
			}
		}
	})
}

func TestItem58StatusAndHeader(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		l := listenHTTP(t, g, emulator.Anonymous, respondWith(style, reply{status: 202,
			headers: map[string]any{"X-Own": "a value; with=/signs."}, body: []byte("x")}))
		r := fetch(t, g, outgoing{target: "/" + emulator.Anonymous})
		wantResponse(t, r, 202, "Accepted", []byte("x"))
		if r.header("X-Own") != "a value; with=/signs." || l.seen() != 1 {
			t.Errorf("X-Own is %q; the handler ran %d times, want once", r.header("X-Own"),
				l.seen())
		}
	})
}

// TestItem59Framing: without a Content-Length the body comes in chunks, with
// one it has that length; a range is passed on as it is.
func TestItem59Framing(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		var replies []reply
		var want []framing
		for _, size := range []int{1, 1000, 65_536, 200_000} {
			for _, dial := range []bool{false, true} {
				own := map[string]any{"Content-Length": size, "Content-Range": "bytes 0-1/9"}
				replies = append(replies, reply{body: pattern(size), dial: dial},
					reply{body: pattern(size), dial: dial, piece: 4096},
					reply{body: pattern(size), dial: dial, piece: 999, status: 206, headers: own})
				want = append(want, chunked, chunked, byLength)
			}
		}
		answered(t, g, style, "GET", replies, func(i int, r *httpResponse) {
			if r.framing != want[i] || string(r.body) != string(replies[i].body) {
				t.Errorf("%d bytes by %s, want %d bytes by %s", len(r.body), r.framing,
					len(replies[i].body), want[i])
			}
			if (r.header("Content-Range") != "") != (want[i] == byLength) {
				t.Errorf("Content-Range is %q", r.header("Content-Range"))
			}
		})
	})
}

// TestItem59WrongLength: a body that is not as long as announced breaks the
// connection and is never mended.
func TestItem59WrongLength(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		for _, dial := range []bool{false, true} {
			for _, size := range []int{99, 101, 0, 50_000} {
				l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
					_ = style.respond(r, reply{body: pattern(size), dial: dial,
						headers: map[string]any{"Content-Length": "100"}})
					return nil // how the rendezvous connection ends is not said
				})
				s := dialSender(t, g)
				r, err := s.exchange(outgoing{target: "/" + emulator.Anonymous})
				switch {
				case err != nil && !framer.IsEnd(err):
					t.Errorf("%d bytes of 100: %v", size, err)
				case err == nil && r.Status != 502 && (size < 100 || len(r.body) != 100):
					t.Errorf("%d bytes of 100: %d with %d bytes", size, r.Status, len(r.body))
				case err == nil && r.Status != 502:
					s.wantEnd(t)
				}
				l.retire(t)
			}
		}
	})
}

// TestItem72OddEnds: the ends of bodies that only one of the listeners writes,
// one after the other on one control channel, each followed by an ordinary
// response.
func TestItem72OddEnds(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	body := pattern(70_000)
	tests := []struct {
		name, method string
		style        httpStyle
		reply        reply
	}{
		{"Java, no FIN, one frame", "GET", httpStyles[1], reply{body: body}},
		{"Java, no FIN, many frames", "GET", httpStyles[1], reply{body: body, piece: 5000}},
		{"Java, no frame at all", "GET", httpStyles[1], reply{dial: true}},
		{"Node, HEAD", "HEAD", httpStyles[2], reply{}},
		{"Node, HEAD by rendezvous", "HEAD", httpStyles[2], reply{dial: true}},
		{"Node, 204", "GET", httpStyles[2], reply{status: 204}},
		{"Node, 304", "GET", httpStyles[2], reply{status: 304}},
		{"Node, 304 by rendezvous", "GET", httpStyles[2], reply{status: 304, dial: true}},
		{"Node, no data", "POST", httpStyles[2], reply{}},
		{"Node, rendezvous left open", "GET", httpStyles[2], reply{body: body}},
		{".NET, Close after FIN", "GET", httpStyles[0], reply{body: body}},
		{".NET, no body by rendezvous", "GET", httpStyles[0], reply{dial: true}},
	}
	l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.header("X-Index") == "" {
			return respondWith(httpStyles[0], reply{body: []byte("ordinary")})(r)
		}
		return respondWith(tests[r.index()].style, tests[r.index()].reply)(r)
	})
	s := dialSender(t, g)
	for range 3 {
		for i, tt := range tests {
			r := s.fetch(t, outgoing{method: tt.method, target: "/" + emulator.Anonymous,
				lines: indexLine(i)})
			status := 200
			if tt.reply.status != nil {
				status = tt.reply.status.(int)
			}
			if r.Status != status || string(r.body) != string(tt.reply.body) {
				t.Errorf("%s: %d with %d bytes", tt.name, r.Status, len(r.body))
			}
			r = s.fetch(t, outgoing{target: "/" + emulator.Anonymous})
			wantResponse(t, r, 200, "OK", []byte("ordinary"))
		}
	}
	if l.seen() != 3*2*len(tests) {
		t.Errorf("the listener has seen %d requests, want %d", l.seen(), 3*2*len(tests))
	}
}

// TestItem72OddMembers: members that listeners write in odd ways, or not.
func TestItem72OddMembers(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	type odd struct {
		name    string
		members []member
		body    []byte // nil is no message
		status  int
		reason  string
		header  string // of X-Odd
	}
	values := map[string]any{"X-Odd": 5}
	tests := []odd{
		{"status as text", []member{{"statusCode", "200"}, {"body", false}}, nil, 200, "OK", ""},
		{"status as text with a body", []member{{"statusCode", "418"}, {"body", true}},
			[]byte("tea"), 418, "", ""},
		{"no member body", []member{{"statusCode", 200}}, nil, 200, "OK", ""},
		{"body null", []member{{"statusCode", 200}, {"body", jsonNull}}, nil, 200, "OK", ""},
		{"headers null", []member{{"statusCode", 200}, {"responseHeaders", jsonNull},
			{"body", true}}, []byte("x"), 200, "OK", ""},
		{"number", []member{{"statusCode", 200}, {"responseHeaders", values}}, nil, 200, "OK",
			"5"},
		{"bool", []member{{"responseHeaders", map[string]any{"X-Odd": true}},
			{"statusCode", 200}}, nil, 200, "OK", "true"},
		{"array", []member{{"responseHeaders", map[string]any{"X-Odd": []any{"a", 1, false}}},
			{"statusCode", 200}}, nil, 200, "OK", "a, 1, false"},
		{"empty header", []member{{"responseHeaders", map[string]any{"X-Odd": ""}},
			{"statusCode", 200}}, nil, 200, "OK", ""},
		{"phrase null", []member{{"statusCode", 201}, {"statusDescription", jsonNull}}, nil, 201,
			"Created", ""},
		{"unknown members", []member{{"x", map[string]any{"y": []int{1}}}, {"statusCode", 200},
			{"body", true}}, []byte("x"), 200, "OK", ""},
	}
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		tt := tests[r.index()]
		frames := []framer.Frame{framer.Message(framer.Text,
			responseText(append([]member{{"requestId", r.ID}}, tt.members...)...))}
		if tt.body != nil {
			frames = append(frames, framer.Message(framer.Binary, tt.body))
		}
		if r.header("X-Dial") == "" {
			return r.onControl(frames...)
		}
		if err := r.dial(); err != nil {
			return err
		}
		if err := r.onRendezvous(frames...); err != nil {
			return err
		}
		return r.ended(1000)
	})
	s := dialSender(t, g)
	for i, tt := range tests {
		for _, line := range []string{"X-None: 1", "X-Dial: 1"} {
			r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous,
				lines: append(indexLine(i), line)})
			if r.Status != tt.status || tt.reason != "" && r.Reason != tt.reason ||
				r.header("X-Odd") != tt.header || string(r.body) != string(tt.body) {
				t.Errorf("%s, %s: %d %q, X-Odd %q, body %q", tt.name, line, r.Status, r.Reason,
					r.header("X-Odd"), r.body)
			}
		}
	}
}
