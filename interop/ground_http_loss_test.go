package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of losses over HTTP: either end goes away, or breaks the rules, at
// every stage of a request (docs/protocol.md, sections 2.8, 5.5 and 5.9).

// anonymousTarget is a request to the anonymous entity.
func anonymousTarget(o outgoing) outgoing {
	o.target = "/" + emulator.Anonymous
	return o
}

// TestGroundHTTPSenderGone: the rendezvous connection gets 1001 within a
// second, wherever the request was.
func TestGroundHTTPSenderGone(t *testing.T) {
	large := anonymousTarget(outgoing{method: "POST", body: pattern(100_000)})
	stages := []struct {
		name    string
		request outgoing
		sent    int // bytes of the request; 0 is all
		stage   func(r *httpRequest) error
	}{
		{"in the request", large, 80_000, func(r *httpRequest) error {
			return r.readUpTo(50_000)
		}},
		{"before the response", large, 0, (*httpRequest).readBody},
		{"in the response", large, 0, func(r *httpRequest) error {
			if err := r.readBody(); err != nil {
				return err
			}
			return r.beginResponse("first")
		}},
		{"in both", large, 80_000, func(r *httpRequest) error {
			if err := r.readUpTo(50_000); err != nil {
				return err
			}
			return r.beginResponse("first")
		}},
		{"before a response that was to be dialled for", anonymousTarget(outgoing{}), 0,
			(*httpRequest).dial},
		{"in a response that was dialled for", anonymousTarget(outgoing{}), 0,
			func(r *httpRequest) error {
				if err := r.dial(); err != nil {
					return err
				}
				return r.beginResponse("first")
			}},
	}
	for _, tt := range stages {
		for _, end := range []string{"reset", "fin"} {
			t.Run(tt.name+"/"+end, func(t *testing.T) {
				t.Parallel()
				g := emulator.Start(t)
				reached, done := make(chan struct{}), make(chan error, 1)
				listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
					if err := tt.stage(r); err != nil {
						return err
					}
					close(reached)
					done <- r.endedAfterParts(time.Second, 1001)
					return nil
				})
				s := dialSender(t, g)
				wire := tt.request.bytes(g.HTTP)
				if tt.sent > 0 {
					wire = wire[:tt.sent]
				}
				s.send(t, string(wire))
				<-reached
				if end == "reset" {
					s.abort()
				} else {
					s.close()
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// endedAfterParts is ended for a body of which parts may still come.
func (r *httpRequest) endedAfterParts(within time.Duration, code int) error {
	for r.rendezvous && !r.whole {
		_, last, err := receivePart(r.conn, within, len(r.frames) == 0)
		if end, ok := err.(closed); ok {
			if end.code != code {
				return fmt.Errorf("the rendezvous connection ended with %v, want %d", end, code)
			}
			return nil
		}
		if err != nil || last {
			return fmt.Errorf("%w, last part: %t; want Close %d within %v", err, last, code, within)
		}
		r.frames = append(r.frames, 0)
	}
	return r.endedWithin(within, code)
}

// TestGroundHTTPSenderGoneOnControl: nothing can be said on a control channel;
// a late response is no one's.
func TestGroundHTTPSenderGoneOnControl(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	for _, stage := range []string{"before the response", "in the response"} {
		s := dialSender(t, g)
		s.send(t, behind)
		r := <-w.requests
		rest := framer.Message(framer.Continuation, pattern(1000))
		if stage == "in the response" {
			if err := r.beginResponse("first"); err != nil {
				t.Fatal(err)
			}
			s.mustReceiveHead(t, "GET").wantPart(t, []byte("first"))
		}
		s.abort()
		time.Sleep(50 * time.Millisecond)
		if stage == "before the response" {
			if err := r.beginResponse("late"); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.onControl(rest); err != nil {
			t.Fatal(err)
		}
		_, response := w.answer(t, g, anonymousTarget(outgoing{}), reply{body: []byte("next")})
		wantResponse(t, response, 200, "OK", []byte("next"))
		if r.conn == nil { // its address is dead
			_, refusal, _ := framerPeer.dial(r.Address, nil)
			wantRefusal(t, refusal, 403, "", emulator.Anonymous)
		}
	}
}

// TestGroundHTTPListenerGone: requests that went over a control channel are
// answered at once when it ends; those that wait for a dial a little later.
func TestGroundHTTPListenerGone(t *testing.T) {
	for _, end := range []string{"close", "abort", "same id"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			const id = "&sb-hc-id=0f8fad5b-d9cb-469f-a165-70867728950e"
			token := emulator.Token(emulator.Anonymous)
			l := openListener(t, g, emulator.Anonymous, id, token, nil)
			other := listenHTTP(t, g, emulator.Authenticated,
				respondWith(httpStyles[0], reply{}))
			const waiting = 50
			var senders []*httpSender
			for i := range waiting {
				s := dialSender(t, g)
				s.send(t, string(anonymousTarget(outgoing{method: "POST",
					body: pattern(i * 100)}).bytes(g.HTTP)))
				senders = append(senders, s)
				if _, err := l.next(); err != nil {
					t.Fatal(err)
				}
			}
			large := dialSender(t, g)
			large.send(t, string(anonymousTarget(outgoing{method: "POST",
				body: pattern(66_000)}).bytes(g.HTTP)))
			if r, err := l.next(); err != nil || !r.rendezvous {
				t.Fatal(err)
			}
			begun := time.Now()
			switch end {
			case "close":
				go func() { _ = l.Close(1000, "") }()
			case "abort":
				l.leave()
			default:
				listenHTTPWith(t, g, emulator.Anonymous, id, token,
					respondWith(httpStyles[0], reply{}))
			}
			for _, s := range senders {
				r := s.mustReceive(t, "POST")
				wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
				if r.closes() {
					t.Error("the sender's connection ends, though its request is whole")
				}
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("the answers took %v", took)
			}
			r := large.mustReceive(t, "POST")
			wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
			if took := time.Since(begun); took < 4*time.Second || took > 8*time.Second {
				t.Errorf("a request that was not dialled for was answered after %v, want 5s", took)
			}
			r = fetch(t, g, outgoing{target: "/" + emulator.Authenticated,
				lines: senderLines(emulator.Authenticated)})
			wantResponse(t, r, 200, "OK", nil)
			if other.seen() != 1 {
				t.Errorf("the other listener has seen %d requests", other.seen())
			}
		})
	}
}

// legEnd is a way in which a listener ends a rendezvous connection.
type legEnd struct {
	name   string
	normal bool // ends a body properly
	end    func(c *framerConn) error
}

var legEnds = []legEnd{
	{"fin", false, func(c *framerConn) error { c.c.Close(); return nil }},
	{"reset", false, func(c *framerConn) error { c.c.Abort(); return nil }},
	{"close 1000", true, closeLeg(framer.CloseFrame(1000, "NormalClosure"))},
	{"empty close", true, closeLeg(framer.Message(framer.Close, nil))},
	{"close 1001", false, closeLeg(framer.CloseFrame(1001, "Shutdown"))},
	{"close 1011", false, closeLeg(framer.CloseFrame(1011, "failed"))},
	{"close 4000", false, closeLeg(framer.CloseFrame(4000, ""))},
	{"violation", false, closeLeg(framer.Frame{Fin: true, Opcode: framer.Text, Unmasked: true})},
	{"reserved bits", false, closeLeg(framer.Frame{Fin: true, Opcode: framer.Continuation, RSV: 4})},
	{"text in a message", false, closeLeg(framer.Message(framer.Text, []byte("{}")))},
}

func closeLeg(f framer.Frame) func(c *framerConn) error {
	return func(c *framerConn) error { return c.c.Send(f) }
}

// TestGroundHTTPRendezvousLost: before the head it is 502, in the body the
// response is cut; only a normal Close in the body is its end.
func TestGroundHTTPRendezvousLost(t *testing.T) {
	for _, end := range legEnds {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
				if r.header("X-Part") == "" {
					if err := r.readBody(); err != nil {
						return err
					}
				}
				if err := r.dial(); err != nil {
					return err
				}
				if first := r.header("X-First"); first != "" {
					if err := r.beginResponse(strings.TrimPrefix(first, "-")); err != nil {
						return err
					}
				}
				return end.end(r.conn)
			})
			for _, o := range []outgoing{{}, {method: "POST", body: pattern(100_000)}} {
				s := dialSender(t, g)
				r := s.fetch(t, anonymousTarget(o))
				wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
				if r.closes() {
					t.Error("the sender's connection ends, though its request is whole")
				}

				o.lines = []string{"X-First: first"}
				s.send(t, string(anonymousTarget(o).bytes(g.HTTP)))
				r = s.mustReceiveHead(t, o.method)
				if !end.normal {
					r.wantTruncated(t)
					continue
				}
				r.wantPart(t, []byte("first"))
				r.wantBodyEnd(t)
				s.wantSilence(t, 10*time.Millisecond)
			}
			testLostInRequest(t, g)
		})
	}
}

// testLostInRequest is the loss while the request is still on its way: the
// answer does not wait for the rest.
func testLostInRequest(t *testing.T, g *emulator.Gateway) {
	t.Helper()
	o := anonymousTarget(outgoing{method: "POST", body: pattern(300_000),
		lines: []string{"X-Part: 1"}})
	s := dialSender(t, g)
	s.send(t, string(o.bytes(g.HTTP)[:100_000]))
	r := s.mustReceive(t, "POST")
	wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
	if !r.closes() {
		t.Error("the sender's connection stays open with a request in part")
	}
	s.wantEnd(t)
}

// TestGroundHTTPTruncated: whatever tells the end of a body, its loss can be
// told from its end.
func TestGroundHTTPTruncated(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if err := r.dial(); err != nil {
			return err
		}
		a := reply{headers: map[string]any{"X-A": "b"}}
		if r.header("X-Length") != "" {
			a.headers["Content-Length"] = 100
		}
		text := a.text(r.ID, true, "requestId", "statusCode", "responseHeaders", "body")
		err := r.onRendezvous(text, framer.Part(framer.Binary, []byte("first")))
		if err != nil {
			return err
		}
		r.conn.c.Abort()
		return nil
	})
	for _, o := range []outgoing{{}, {lines: []string{"X-Length: 1"}},
		{minor: "0", lines: []string{"X-Length: 1"}}} {
		s := dialSender(t, g)
		s.send(t, string(anonymousTarget(o).bytes(g.HTTP)))
		s.mustReceiveHead(t, "GET").wantTruncated(t)
	}
	// HTTP/1.0 without a length: only a reset can tell.
	s := dialSender(t, g)
	s.send(t, string(anonymousTarget(outgoing{minor: "0"}).bytes(g.HTTP)))
	r, err := readHead(s.r, "GET")
	if err == nil {
		err = r.readBody()
	}
	if err == nil {
		t.Errorf("the end of a body of %d bytes by %s, want a reset", len(r.body), r.framing)
	}
}

// TestGroundHTTPFirstMessage: what does not begin a response on a rendezvous
// connection is answered with 1002, and 502 for the sender.
func TestGroundHTTPFirstMessage(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	messages := map[string]framer.Frame{
		"binary":       framer.Message(framer.Binary, []byte("body")),
		"empty binary": framer.Message(framer.Binary, nil),
		"no JSON":      framer.Message(framer.Text, []byte("HTTP/1.1 200 OK")),
		"empty":        framer.Message(framer.Text, nil),
		"not an object": framer.Message(framer.Text,
			[]byte(`["response",{"requestId":"x","statusCode":200}]`)),
		"another command": framer.Message(framer.Text, renewal("x")),
		"no member":       framer.Message(framer.Text, []byte(`{}`)),
		"no requestId": framer.Message(framer.Text,
			responseText(member{"statusCode", 200}, member{"body", false})),
		"empty requestId": framer.Message(framer.Text, responseText(member{"requestId", ""},
			member{"statusCode", 200})),
		"unmasked":     {Fin: true, Opcode: framer.Text, Unmasked: true},
		"continuation": framer.Message(framer.Continuation, []byte("x")),
	}
	ended := make(chan error, 1)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if err := r.readBody(); err != nil {
			return err
		}
		if err := r.dial(); err != nil {
			return err
		}
		if err := r.onRendezvous(messages[r.header("X-Message")]); err != nil {
			return err
		}
		ended <- r.ended(1002)
		return nil
	})
	s := dialSender(t, g)
	for name := range messages {
		for _, o := range []outgoing{{}, {method: "POST", body: pattern(100_000)}} {
			o.lines = []string{"X-Message: " + name}
			r := s.fetch(t, anonymousTarget(o))
			wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestGroundHTTPAfterResponse: what a listener sends on a rendezvous connection
// behind a complete response is no one's.
func TestGroundHTTPAfterResponse(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if err := r.dial(); err != nil {
			return err
		}
		text := reply{}.text(r.ID, true, "requestId", "statusCode", "body")
		err := r.onRendezvous(text, framer.Message(framer.Binary, []byte("body")),
			framer.Message(framer.Binary, []byte("more")), text,
			framer.Message(framer.Binary, []byte("HTTP/1.1 200 OK\r\n\r\n")))
		if err != nil {
			return nil // the gateway was quicker
		}
		return r.anyEnd()
	})
	s := dialSender(t, g)
	for range 20 {
		r := s.fetch(t, anonymousTarget(outgoing{}))
		wantResponse(t, r, 200, "OK", []byte("body"))
	}
	s.wantSilence(t, 20*time.Millisecond)
}

// TestGroundHTTPControlBodyTooLarge: 502, or a cut if the response has begun,
// and the control channel works.
func TestGroundHTTPControlBodyTooLarge(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	bodies := []struct {
		name        string
		size, piece int
		length      bool
	}{
		{"one byte too many", 65_537, 0, false}, {"300 KiB", 300 << 10, 0, false},
		{"2 MiB", 2 << 20, 0, false}, {"fragments", 65_537, 65_536, false},
		{"many fragments", 1 << 20, 10_000, false}, {"Content-Length", 65_537, 0, true},
	}
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.header("X-Index") == "" {
			return dotnetReply(r, reply{body: pattern(65_536)})
		}
		tt := bodies[r.index()]
		a := reply{body: pattern(tt.size)}
		if tt.length {
			a.headers = map[string]any{"Content-Length": tt.size}
		}
		text := a.text(r.ID, true, "requestId", "statusCode", "responseHeaders", "body")
		frames := append([]framer.Frame{text}, fragments(pieces(a.body, tt.piece), true)...)
		if r.header("X-At-Once") != "" {
			return r.onControlAtOnce(frames...)
		}
		if r.header("X-Pause") == "" {
			return r.onControl(frames...)
		}
		err := r.onControl(frames[0]) // no other response is under way
		time.Sleep(20 * time.Millisecond)
		return errors.Join(err, r.onControl(frames[1:]...))
	})
	for i, tt := range bodies {
		for _, line := range []string{"X-At-Once: 1", "X-Pause: 1", "X-None: 1"} {
			s := dialSender(t, g)
			r, err := s.exchange(anonymousTarget(outgoing{lines: append(indexLine(i), line)}))
			switch {
			case err != nil && (!framer.IsEnd(err) || tt.piece == 0):
				t.Errorf("%s, %s: %v", tt.name, line, err)
			case err == nil:
				wantHTTPRefusal(t, r, 502, "BadGateway", "", emulator.Anonymous)
			}
			r = fetch(t, g, anonymousTarget(outgoing{}))
			wantResponse(t, r, 200, "OK", pattern(65_536))
		}
	}
}

// TestGroundHTTPNobodysMessages: responses to unknown requests, binary messages
// without a response and commands in between are ignored.
func TestGroundHTTPNobodysMessages(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	unknown := reply{}.text("3a3b7f22-0000-4000-8000-0123456789ab_G0", true, "requestId",
		"statusCode", "body")
	noBody := reply{}.text("nobody", false, "requestId", "statusCode", "body")
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		text := reply{}.text(r.ID, true, "requestId", "statusCode", "body")
		return r.onControl(unknown, framer.Message(framer.Binary, []byte("no one's")), noBody,
			unknown, framer.Part(framer.Binary, pattern(100_000)),
			framer.Message(framer.Ping, []byte("p")),
			framer.Message(framer.Continuation, pattern(100_000)),
			framer.Message(framer.Binary, nil), framer.Message(framer.Binary, []byte("stray")),
			framer.Message(framer.Text, []byte(`{"injectFault":{"delay":"00:01:00"}}`)),
			text, framer.Message(framer.Ping, nil), framer.Part(framer.Binary, []byte("the ")),
			framer.Message(framer.Pong, []byte("x")), framer.Message(framer.Ping, []byte("y")),
			framer.Message(framer.Continuation, []byte("body")),
			framer.Message(framer.Binary, []byte("stray again")))
	})
	s := dialSender(t, g)
	for range 20 {
		wantResponse(t, s.fetch(t, anonymousTarget(outgoing{})), 200, "OK", []byte("the body"))
	}
}

// TestGroundHTTPResponseOfAnother: a listener answers its own requests only.
func TestGroundHTTPResponseOfAnother(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	w := watch(t, g, emulator.Anonymous)
	s := dialSender(t, g)
	s.send(t, behind)
	r := <-w.requests
	thief := openListener(t, g, emulator.Authenticated, "",
		emulator.Token(emulator.Authenticated), nil)
	text := reply{}.text(r.ID, true, "requestId", "statusCode", "body")
	send(t, thief.c, text, framer.Message(framer.Binary, []byte("forged")))
	s.wantSilence(t, 100*time.Millisecond)
	if err := dotnetReply(r, reply{body: []byte("own")}); err != nil {
		t.Fatal(err)
	}
	wantResponse(t, s.mustReceive(t, "GET"), 200, "OK", []byte("own"))
}
