package interop

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of streaming over HTTP: what is written arrives before more is
// written, and who does not read is not written to without bound
// (docs/protocol.md, sections 5.5 and 5.6).

// TestGroundHTTPStreamedResponse: every frame reaches the sender before the
// next is sent, on either channel, as do a head and an event.
func TestGroundHTTPStreamedResponse(t *testing.T) {
	for _, channel := range []string{"control", "rendezvous"} {
		t.Run(channel, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			received := make(chan struct{})
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				write := r.onControl
				if channel == "rendezvous" {
					if err := r.dial(); err != nil {
						return err
					}
					write = r.onRendezvous
				}
				text := reply{headers: map[string]any{"Content-Type": "text/event-stream"}}.
					text(r.ID, true, "requestId", "statusCode", "responseHeaders", "body")
				frames := []framer.Frame{text, framer.Part(framer.Binary, []byte("0"))}
				if channel == "rendezvous" {
					// The application has flushed its head.
					if err := write(text); err != nil {
						return err
					}
					<-received
					frames = frames[1:]
				}
				for i := 1; i <= 20; i++ {
					if err := write(frames...); err != nil {
						return err
					}
					<-received
					frames = []framer.Frame{framer.Part(framer.Continuation, fmt.Append(nil, i))}
				}
				frames[0].Fin = true
				return write(frames...)
			})
			s := dialSender(t, g)
			s.send(t, behind)
			r := s.mustReceiveHead(t, "GET")
			if channel == "rendezvous" {
				received <- struct{}{}
			}
			for i := range 21 {
				r.wantPart(t, fmt.Append(nil, i))
				if i < 20 {
					received <- struct{}{}
				}
			}
			r.wantBodyEnd(t)
			s.wantSilence(t, 20*time.Millisecond)
		})
	}
}

// TestGroundHTTPStreamedRequest: what the sender has written of a streamed body
// reaches the listener before more is written; and the other way round at the
// same time.
func TestGroundHTTPStreamedRequest(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, httpNamespace)
	for _, entity := range []string{emulator.Anonymous, "streaming"} {
		listenHTTP(t, g, entity, func(r *httpRequest) error {
			text := reply{}.text(r.ID, true, "requestId", "statusCode", "body")
			if err := r.onRendezvous(text); err != nil {
				return err
			}
			opcode := byte(framer.Binary)
			for {
				p, last, err := r.nextPart()
				if err != nil {
					return err
				}
				f := framer.Frame{Fin: last, Opcode: opcode, Payload: bytes.ToUpper(p)}
				if err := r.onRendezvous(f); err != nil {
					return err
				}
				if opcode = framer.Continuation; last {
					return r.ended(1000)
				}
			}
		})
		head := requestHead("POST /"+entity+" HTTP/1.1", chunkedLine)
		if entity == emulator.Anonymous {
			head = requestHead("POST /"+entity+" HTTP/1.1", chunkedLine,
				"Accept: text/event-stream")
		}
		s := dialSender(t, g)
		s.send(t, head+"1\r\na\r\n")
		r := s.mustReceiveHead(t, "POST")
		r.wantPart(t, []byte("A"))
		for i := range 20 {
			piece := []byte(fmt.Sprintf("piece %d", i))
			s.send(t, string(appendChunk(nil, piece)))
			r.wantPart(t, bytes.ToUpper(piece))
		}
		s.send(t, "0\r\n\r\n")
		r.wantBodyEnd(t)
	}
}

// TestGroundHTTPSlowSmallBody: a small body that does not come at once goes by
// rendezvous, and what is there goes on.
func TestGroundHTTPSlowSmallBody(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	rendezvous, early := make(chan bool, 1), make(chan struct{}, 1)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		rendezvous <- r.rendezvous
		if r.rendezvous {
			if err := r.readUpTo(2); err != nil {
				return err
			}
			early <- struct{}{}
		}
		return echoWith(httpStyles[0], reply{})(r)
	})
	s := dialSender(t, g)
	wire := post("hello", "Content-Length: 5")
	for _, slow := range []bool{false, true} {
		s.send(t, wire[:len(wire)-3])
		if slow {
			<-early
		} else {
			time.Sleep(100 * time.Millisecond)
		}
		s.send(t, wire[len(wire)-3:])
		wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", []byte("hello"))
		if got := <-rendezvous; got != slow {
			t.Errorf("the rendezvous form: %t, want %t", got, slow)
		}
	}
}

// TestGroundHTTPEarlyResponse: a response that does not wait for the body gets
// to the sender, and ends its connection.
func TestGroundHTTPEarlyResponse(t *testing.T) {
	for _, style := range httpStyles {
		t.Run("listener="+style.name, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				if err := r.readUpTo(1000); err != nil {
					return err
				}
				a := reply{status: 403, body: []byte("too much")}
				text := a.text(r.ID, true, "requestId", "statusCode", "body")
				err := r.onRendezvous(text, framer.Message(framer.Binary, a.body))
				if err != nil {
					return err
				}
				return r.anyEndAfterParts()
			})
			s := dialSender(t, g)
			wire := outgoing{method: "POST", target: "/" + emulator.Anonymous,
				body: pattern(1 << 20)}.bytes(g.HTTP)
			s.send(t, string(wire[:200_000]))
			r := s.mustReceive(t, "POST")
			wantResponse(t, r, 403, "Forbidden", []byte("too much"))
			if !r.closes() {
				t.Error("the response does not announce the end of the connection")
			}
			s.wantEnd(t)
		})
	}
}

// anyEndAfterParts reads what is left of a body, and any end behind it.
func (r *httpRequest) anyEndAfterParts() error {
	for {
		_, last, err := r.nextPart()
		switch {
		case last:
			return r.anyEnd()
		case errors.As(err, new(closed)), framer.IsEnd(err):
			return nil
		case err != nil:
			return err
		}
	}
}

// unreadMax is what may lie between two ends of which one does not read, in
// bytes: the buffers of the system on both legs, and a little in the gateway.
const unreadMax = 48 << 20

// stalled is how long nothing is taken before that counts as a stop.
const stalled = 700 * time.Millisecond

// TestGroundHTTPSlowSender: a sender that does not read stops the listener's
// writes; nobody else notices, and nothing is lost when it reads on.
func TestGroundHTTPSlowSender(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	stopped := make(chan int, 1)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.header("X-Large") == "" {
			return respondWith(httpStyles[0], reply{})(r)
		}
		if err := r.dial(); err != nil {
			return err
		}
		if err := r.beginResponse(""); err != nil {
			return err
		}
		piece := pattern(60_000)
		frame := framer.Part(framer.Continuation, piece).Append(nil)
		sent, wire := 0, []byte(nil)
		for ; len(wire) == 0 && sent < unreadMax; sent += len(piece) {
			n, err := r.conn.c.SendSome(frame, stalled)
			if err != nil {
				return err
			}
			wire = frame[n:]
		}
		stopped <- sent
		return errors.Join(r.conn.c.SendBytes(wire),
			r.onRendezvous(framer.Message(framer.Continuation, nil)), r.ended(1000))
	})
	s := dialSender(t, g)
	s.send(t, requestHead("GET /"+emulator.Anonymous+" HTTP/1.1", "X-Large: 1"))
	sent := <-stopped
	if sent >= unreadMax {
		t.Errorf("%d bytes were taken for a sender that does not read", sent)
	}
	wantUnaffected(t, g)
	r := s.mustReceive(t, "GET")
	wantResponse(t, r, 200, "OK", bytes.Repeat(pattern(60_000), sent/60_000))
}

// unaffectedTime is what a few requests may take meanwhile: less than any of the
// gateway's own times, and enough for a machine that does other things too.
const unaffectedTime = 10 * time.Second

// wantUnaffected wants other requests and relays to go on as if nothing were.
func wantUnaffected(t *testing.T, g *emulator.Gateway) {
	t.Helper()
	begun := time.Now()
	s := dialSender(t, g)
	for range 5 {
		wantResponse(t, s.fetch(t, outgoing{method: "POST", target: "/" + emulator.Anonymous,
			body: []byte("x")}), 200, "OK", nil)
	}
	sender, listener, c := relay(t, g, framerPeer, framerPeer, emulator.Authenticated)
	transfer(t, sender, listener, framer.Binary, pattern(100_000))
	transfer(t, listener, sender, framer.Text, []byte("x"))
	c.Abort()
	if took := time.Since(begun); took > unaffectedTime {
		t.Errorf("others took %v", took)
	}
}

// TestGroundHTTPSlowListener: a listener that does not read its rendezvous
// connection stops the sender's upload.
func TestGroundHTTPSlowListener(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	goOn := make(chan struct{})
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if !r.rendezvous {
			return respondWith(httpStyles[0], reply{})(r)
		}
		<-goOn
		if err := r.readBody(); err != nil {
			return err
		}
		return dotnetReply(r, reply{body: []byte(checksum(r.body))})
	})
	s := dialSender(t, g)
	s.send(t, post("", chunkedLine))
	piece := pattern(60_000)
	chunk := appendChunk(nil, piece)
	sent, rest := 0, []byte(nil)
	for ; len(rest) == 0 && sent < unreadMax; sent += len(piece) {
		n, err := s.sendSome(chunk, stalled)
		if err != nil {
			t.Fatal(err)
		}
		rest = chunk[n:]
	}
	if sent >= unreadMax {
		t.Errorf("%d bytes were taken for a listener that does not read", sent)
	}
	wantUnaffected(t, g)
	close(goOn)
	s.send(t, string(rest)+"0\r\n\r\n")
	want := checksum(bytes.Repeat(piece, sent/len(piece)))
	wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", []byte(want))
}

// sendSome writes as many of the bytes as the gateway takes within that time.
func (s *httpSender) sendSome(p []byte, within time.Duration) (int, error) {
	if err := s.tcp.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	n, err := s.tcp.Write(p)
	if framer.IsTimeout(err) {
		err = nil
	}
	return n, err
}

// TestGroundHTTPSlowPipeline: a sender that pipelines and reads no response is
// not read from without bound.
func TestGroundHTTPSlowPipeline(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.header("X-Large") == "" {
			return respondWith(httpStyles[0], reply{})(r)
		}
		return respondWith(httpStyles[0], reply{body: pattern(65_536)})(r)
	})
	s := dialSender(t, g)
	wire := strings.Repeat(requestHead("GET /"+emulator.Anonymous+" HTTP/1.1", "X-Large: 1",
		"X-Fill: "+strings.Repeat("x", 20_000)), 100)
	for sent := 0; ; sent += len(wire) {
		n, err := s.sendSome([]byte(wire), stalled)
		if err != nil {
			t.Fatal(err)
		}
		if n < len(wire) {
			break
		}
		if sent > unreadMax {
			t.Fatalf("%d bytes of requests were taken, %d are answered", sent, l.seen())
		}
	}
	wantUnaffected(t, g)
	for range 100 {
		if r := s.mustReceive(t, "GET"); len(r.body) != 65_536 {
			t.Fatalf("%d with %d bytes", r.Status, len(r.body))
		}
	}
}

// TestGroundHTTPVersion10: what a sender of HTTP/1.0 gets: HTTP/1.1, no chunks,
// no 100, and the end of the connection.
func TestGroundHTTPVersion10(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			a := reply{body: r.body}
			if r.header("X-Length") != "" {
				a.headers = map[string]any{"Content-Length": fmt.Sprint(len(r.body))}
			}
			a.dial = r.header("X-Dial") != ""
			return style.respond(r, a)
		})
		for _, lines := range [][]string{nil, {"X-Length: 1"}, {"X-Dial: 1"},
			{"Connection: keep-alive"}, {"Expect: 100-continue"}} {
			for _, size := range []int{0, 5, 60_000} {
				s := dialSender(t, g)
				r := s.fetch(t, outgoing{method: "POST", target: "/" + emulator.Anonymous,
					minor: "0", lines: lines, body: pattern(size)})
				wantResponse(t, r, 200, "OK", pattern(size))
				if r.framing == chunked || !r.closes() {
					t.Errorf("a body by %s, %v", r.framing, r.Fields)
				}
				s.wantEnd(t)
			}
		}
		// A Host is not needed then.
		s := dialSender(t, g)
		s.send(t, "GET /"+emulator.Anonymous+" HTTP/1.0\r\n\r\n")
		wantResponse(t, s.mustReceive(t, "GET"), 200, "OK", nil)
		s.wantEnd(t)
	})
}

// TestGroundHTTPConnectionClose: either end may ask for the end.
func TestGroundHTTPConnectionClose(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			a := reply{body: []byte("body"), dial: r.header("X-Dial") != ""}
			if r.header("X-Close") != "" {
				a.headers = map[string]any{"Connection": "close"}
			}
			return style.respond(r, a)
		})
		for _, line := range []string{"Connection: close", "connection: X, Close", "X-Close: 1"} {
			for _, dial := range []string{"X-None: 1", "X-Dial: 1"} {
				s := dialSender(t, g)
				s.send(t, requestHead("GET /"+emulator.Anonymous+" HTTP/1.1", line, dial)+behind)
				r := s.mustReceive(t, "GET")
				wantResponse(t, r, 200, "OK", []byte("body"))
				if !r.closes() {
					t.Errorf("%s: the response does not announce the end", line)
				}
				s.wantEnd(t)
			}
		}
	})
}

// TestGroundHTTPExpect: a 100 comes when the body is going to be read, and only
// then; a sender need not wait for it.
func TestGroundHTTPExpect(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := listenHTTP(t, g, emulator.Anonymous, echoWith(httpStyles[0], reply{}))
	s := dialSender(t, g)
	for _, size := range []int{1, 65_536, 65_537, 300_000} {
		for _, chunk := range []int{0, 10_000} {
			for _, expect := range []string{"100-continue", "100-Continue"} {
				o := outgoing{method: "POST", target: "/" + emulator.Anonymous, chunk: chunk,
					lines: []string{"Expect: " + expect}, body: pattern(size)}
				head, wire := o.head(g.HTTP), o.bytes(g.HTTP)
				s.send(t, string(head))
				want100(t, s)
				s.wantSilence(t, 5*time.Millisecond)
				s.send(t, string(wire[len(head):]))
				wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", o.body)

				// All at once: a 100 is allowed, and not needed.
				s.send(t, string(wire))
				r := s.mustReceive(t, "POST")
				if r.Status == 100 {
					r = s.mustReceive(t, "POST")
				}
				wantResponse(t, r, 200, "OK", o.body)
			}
		}
	}
	// There is nothing to wait for without a body.
	r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous,
		lines: []string{"Expect: 100-continue"}})
	wantResponse(t, r, 200, "OK", nil)
	if l.seen() != 33 {
		t.Errorf("the listener has seen %d requests, want 33", l.seen())
	}
}

func want100(t *testing.T, s *httpSender) {
	t.Helper()
	if r := s.mustReceiveHead(t, "POST"); r.Status != 100 || len(r.Fields) > 0 {
		t.Fatalf("status %d %v, want 100", r.Status, r.Fields)
	}
}

// TestGroundHTTPExpectRefused: who is refused gets no 100, and whether the body
// follows or not, nothing of it is taken for a request.
func TestGroundHTTPExpectRefused(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	tests := []struct {
		target string
		lines  []string
		status []int
	}{
		{"/" + emulator.Authenticated, nil, []int{401}},
		{"/" + emulator.Anonymous, nil, []int{404}},
		{"/nosuch", []string{"Authorization: " + namespaceToken(emulator.Key)}, []int{404}},
	}
	for _, tt := range tests {
		for _, size := range []int{10, 100_000} {
			for _, sends := range []bool{false, true} {
				o := outgoing{method: "POST", target: tt.target, body: bytes.Repeat([]byte(
					"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), size/27+1),
					lines: append([]string{"Expect: 100-continue"}, tt.lines...)}
				s := dialSender(t, g)
				s.send(t, string(o.head(g.HTTP)))
				r := s.mustReceive(t, "POST")
				if !slices.Contains(tt.status, r.Status) || r.header("Via") != "" {
					t.Errorf("%s: status %d %q, want %v", tt.target, r.Status, r.Reason,
						tt.status)
				}
				if sends {
					_ = s.write(o.body)
				}
				if r.closes() {
					s.wantEnd(t)
				} else {
					s.wantSilence(t, 100*time.Millisecond)
				}
			}
		}
	}
}

// TestGroundHTTPTrailers: those of a request are dropped.
func TestGroundHTTPTrailers(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	for _, size := range []int{5, 100_000} {
		r := w.seen(t, g, outgoing{method: "POST", target: "/" + emulator.Anonymous,
			body: pattern(size), chunk: 1000, lines: []string{"Trailer: X-Sum"},
			trailers: []string{"X-Sum: 1", "Authorization: x", "Content-Length: 3"}})
		if r.has("X-Sum") || r.has("Authorization") || !bytes.Equal(r.body, pattern(size)) {
			t.Errorf("the listener sees %v and %d bytes", r.RequestHeaders, len(r.body))
		}
	}
}

// TestGroundHTTPResponseSplitting: no listener can write a head of its own.
func TestGroundHTTPResponseSplitting(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	headers := []map[string]any{{"X-A": "a\r\nX-Evil: 1"}, {"X-A": "a\nX-Evil: 1"},
		{"X-A": "a\rX-Evil: 1"}, {"X-A\r\nX-Evil": "1"}, {"X-A: b\r\nX-Evil": "1"},
		{"X-A": "a\x00b"}, {"X-A\x00": "a"}, {"X A": "a"}, {"": "a"}, {"X-A:": "a"},
		{"X-A": []string{"a", "b\r\nX-Evil: 1"}}, {"X-A": "a\x7f"}, {"X-A": map[string]any{"b": 1}}}
	var replies []reply
	for _, fields := range headers {
		replies = append(replies, reply{headers: fields, body: []byte("x")},
			reply{headers: fields, dial: true})
	}
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		a := replies[r.index()]
		if err := javaReply(r, a); !a.dial {
			return err
		}
		return nil // how the rendezvous connection ends is not said
	})
	s := dialSender(t, g)
	for i := range replies {
		r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous, lines: indexLine(i)})
		wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
		if r.header("X-Evil") != "" || t.Failed() {
			t.Fatalf("after %q: %v", replies[i].headers, r.Fields)
		}
	}
}

// TestGroundHTTPPhraseSplitting: neither in the phrase, which is cleaned.
func TestGroundHTTPPhraseSplitting(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	var replies []reply
	for _, phrase := range []string{"OK\r\nX-Evil: 1", "OK\nX-Evil: 1", "OK\r\n\r\nbody",
		"\r\n", "a\x00b", "a\x7fb", "\x1b[31m", "gr\u00fcn", "\u2028", strings.Repeat("x", 60_000)} {
		replies = append(replies, reply{phrase: phrase, body: []byte("the body")},
			reply{phrase: phrase, body: []byte("the body"), dial: true})
	}
	answered(t, g, httpStyles[2], "GET", replies, func(i int, r *httpResponse) {
		if r.Status != 200 || string(r.body) != "the body" || r.header("X-Evil") != "" {
			t.Errorf("%.30q: %d %.60q %v %q", replies[i].phrase, r.Status, r.Reason, r.Fields,
				r.body)
		}
	})
}
