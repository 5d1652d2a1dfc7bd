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

// Items 66 and 67 of the conformance list for HTTP requests: time-outs, with
// short ones, and what outlives a control channel.

// httpNamespace has the emulator's rule and entities, and some with settings of
// their own. It stands at the end of a configuration.
const httpNamespace = `
namespaces:
  - name: interop
    hosts: [127.0.0.1]
    authorization_rules:
      - name: ` + emulator.KeyName + `
        rights: [Listen, Send, Manage]
        primary_key: ` + emulator.Key + `
    hybrid_connections:
      - name: ` + emulator.Authenticated + `
      - name: ` + emulator.Anonymous + `
        requires_client_authorization: false
      - name: patient
        requires_client_authorization: false
        http_response_timeout: 0
        http_body_gap: 0
      - name: streaming
        requires_client_authorization: false
        http_delivery: rendezvous
`

// shortTimes are a second each where the defaults are 60.
const shortTimes = `
http:
  response_timeout: 1s
  body_gap: 1s
`

// wantTook wants about a second to have passed, of the timers above; more only
// because of a busy machine.
func wantTook(t *testing.T, begun time.Time) {
	t.Helper()
	if took := time.Since(begun); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("after %v, want one second", took)
	}
}

// beginResponse writes the response message and the first bytes of its body.
func (r *httpRequest) beginResponse(first string) error {
	text := reply{}.text(r.ID, true, "requestId", "statusCode", "body")
	part := framer.Part(framer.Binary, []byte(first))
	if r.conn == nil {
		return r.onControl(text, part)
	}
	return r.onRendezvous(text, part)
}

// anyEnd reads a rendezvous connection to its end, however that comes.
func (r *httpRequest) anyEnd() error {
	if r.conn == nil {
		return fmt.Errorf("%s %s came in the control form", r.Method, r.RequestTarget)
	}
	for {
		_, err := receiveMessage(r.conn, peerTimeout)
		if errors.As(err, new(closed)) || framer.IsEnd(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w; want the end of the rendezvous connection", err)
		}
	}
}

func TestItem66ResponseTimeout(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, shortTimes+httpNamespace)
	l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		switch r.header("X-Case") {
		case "": // in time
			return nodeReply(r, reply{body: []byte("in time")})
		case "late":
			time.Sleep(2300 * time.Millisecond) // a timer may be a second late
			return nodeReply(r, reply{body: []byte("late")})
		case "dials":
			if err := r.dial(); err != nil {
				return err
			}
			return r.anyEnd()
		}
		if r.rendezvous {
			return r.anyEnd()
		}
		return nil
	})
	s := dialSender(t, g)
	for _, o := range []outgoing{
		{lines: []string{"X-Case: silent"}},
		{lines: []string{"X-Case: silent"}, body: []byte("small")},
		{lines: []string{"X-Case: silent"}, body: pattern(100_000)},
		{lines: []string{"X-Case: dials"}},
		{lines: []string{"X-Case: late"}, body: []byte("small")},
	} {
		o.method, o.target = "POST", "/"+emulator.Anonymous
		begun := time.Now()
		wantHTTPRefusal(t, s.fetch(t, o), 504, "GatewayTimeout", "The request was routed to the "+
			"listener but the listener did not respond in the required time", emulator.Anonymous)
		wantTook(t, begun)
	}
	// The late response is no one's, and neither is its body.
	for range 50 {
		r := s.fetch(t, outgoing{target: "/" + emulator.Anonymous})
		wantResponse(t, r, 200, "OK", []byte("in time"))
		time.Sleep(10 * time.Millisecond)
	}
	if l.seen() != 55 {
		t.Errorf("the listener has seen %d requests, want 55", l.seen())
	}
}

// TestItem66Rendezvous: the listener does not dial.
func TestItem66Rendezvous(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "gateway:\n  rendezvous_window: 1s\n"+httpNamespace)
	l := listen(t, g, framerPeer, emulator.Anonymous) // reads nothing
	begun := time.Now()
	s := dialSender(t, g)
	r := s.fetch(t, outgoing{method: "POST", target: "/" + emulator.Anonymous,
		body: pattern(66_000)})
	wantHTTPRefusal(t, r, 504, "GatewayTimeout", "", emulator.Anonymous)
	wantTook(t, begun)
	_, text, err := l.Read()
	if err != nil {
		t.Fatal(err)
	}
	late := &httpRequest{text: string(text)}
	if err := late.parse(wireMessage{opcode: framer.Text, payload: text}); err != nil {
		t.Fatal(err)
	}
	_, refusal, _ := framerPeer.dial(late.Address, nil)
	wantRefusal(t, refusal, 403, "", emulator.Anonymous)
}

// TestItem66GapInResponse: the response is cut without its end; in time, it
// may last as long as it likes.
func TestItem66GapInResponse(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, shortTimes+httpNamespace)
	whole := make(chan struct{}, 1) // the control channel is in step again
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		kind := r.header("X-Case")
		if kind == "ordinary" {
			return dotnetReply(r, reply{body: []byte("ordinary")})
		}
		if strings.HasSuffix(kind, "rendezvous") {
			if err := r.dial(); err != nil {
				return err
			}
		}
		if err := r.beginResponse("first"); err != nil {
			return err
		}
		write := r.onControl
		if r.conn != nil {
			write = r.onRendezvous
		}
		if strings.HasPrefix(kind, "steady") {
			for range 5 {
				time.Sleep(400 * time.Millisecond)
				if err := write(framer.Part(framer.Continuation, []byte("."))); err != nil {
					return err
				}
			}
			return write(framer.Message(framer.Continuation, nil))
		}
		defer func() { whole <- struct{}{} }()
		if r.conn != nil {
			return r.anyEnd()
		}
		time.Sleep(2300 * time.Millisecond)
		// The rest of the message is to be ignored.
		return write(framer.Message(framer.Continuation, []byte("rest")))
	})
	for _, channel := range []string{"rendezvous", "control"} {
		s := dialSender(t, g)
		s.send(t, string(outgoing{target: "/" + emulator.Anonymous,
			lines: []string{"X-Case: steady " + channel}}.head(g.HTTP)))
		wantResponse(t, s.mustReceive(t, "GET"), 200, "OK", []byte("first....."))

		begun := time.Now()
		s.send(t, string(outgoing{target: "/" + emulator.Anonymous,
			lines: []string{"X-Case: gap " + channel}}.head(g.HTTP)))
		r := s.mustReceiveHead(t, "GET")
		r.wantPart(t, []byte("first"))
		r.wantTruncated(t)
		wantTook(t, begun)
		<-whole
		for range 3 {
			r = fetch(t, g, outgoing{target: "/" + emulator.Anonymous,
				lines: []string{"X-Case: ordinary"}})
			wantResponse(t, r, 200, "OK", []byte("ordinary"))
		}
	}
}

// TestItem66GapInRequest: a body that stops coming is 408, in both forms; one
// that comes slowly is relayed.
func TestItem66GapInRequest(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, shortTimes+httpNamespace)
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		if r.header("X-Case") != "gap" {
			return echoWith(httpStyles[2], reply{})(r)
		}
		return r.anyEnd()
	})
	for name, o := range map[string]outgoing{
		"small": {body: pattern(100)}, "large": {body: pattern(200_000)},
		"chunked": {body: pattern(200_000), chunk: 1000}} {
		o.method, o.target = "POST", "/"+emulator.Anonymous
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.lines = []string{"X-Case: gap"}
			wire := o.bytes(g.HTTP)
			s := dialSender(t, g)
			begun := time.Now()
			s.send(t, string(wire[:len(wire)-50]))
			r := s.mustReceive(t, "POST")
			wantHTTPRefusal(t, r, 408, "RequestTimeout", "", emulator.Anonymous)
			wantTook(t, begun)
			s.wantEnd(t)
		})
		t.Run(name+", steady", func(t *testing.T) {
			t.Parallel()
			wire := o.bytes(g.HTTP)
			s := dialSender(t, g)
			for i := range 6 {
				s.send(t, string(wire[len(wire)*i/6:len(wire)*(i+1)/6]))
				time.Sleep(350 * time.Millisecond)
			}
			wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", o.body)
		})
	}
}

// TestItem66NoLimits: an entity for which both times are 0.
func TestItem66NoLimits(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, shortTimes+httpNamespace)
	listenHTTP(t, g, "patient", func(r *httpRequest) error {
		if err := r.readBody(); err != nil {
			return err
		}
		time.Sleep(2200 * time.Millisecond)
		if err := r.beginResponse("first"); err != nil {
			return err
		}
		time.Sleep(2200 * time.Millisecond)
		if r.conn == nil {
			return r.onControl(framer.Message(framer.Continuation, nil))
		}
		return r.onRendezvous(framer.Message(framer.Continuation, nil))
	})
	for name, size := range map[string]int{"control": 100, "rendezvous": 100_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := outgoing{method: "POST", target: "/patient", body: pattern(size)}.bytes(g.HTTP)
			s := dialSender(t, g)
			s.send(t, string(wire[:len(wire)-50]))
			time.Sleep(2200 * time.Millisecond)
			s.send(t, string(wire[len(wire)-50:]))
			wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", []byte("first"))
		})
	}
}

// TestItem67HTTPOutlivesTheControlChannel: a response on a rendezvous
// connection goes on when the listener's control channel ends, in all ways.
func TestItem67HTTPOutlivesTheControlChannel(t *testing.T) {
	for _, end := range []string{"close", "abort", "expiry"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			g := emulator.Start(t)
			ended := make(chan struct{})
			// An expired token is still taken for some time.
			token := emulator.Sign("http://127.0.0.1/", emulator.KeyName, emulator.Key,
				time.Now().Add(3*time.Second-skew))
			l := openListener(t, g, emulator.Anonymous, "", token, nil)
			go l.meetOne(t, func(r *httpRequest) error {
				if err := r.readUpTo(50_000); err != nil {
					return err
				}
				if err := r.beginResponse("before "); err != nil {
					return err
				}
				<-ended
				if err := r.readBody(); err != nil {
					return err
				}
				return r.onRendezvous(framer.Message(framer.Continuation, []byte("after")))
			})
			wire := outgoing{method: "POST", target: "/" + emulator.Anonymous,
				body: pattern(100_000)}.bytes(g.HTTP)
			s := dialSender(t, g)
			s.send(t, string(wire[:80_000]))
			r := s.mustReceiveHead(t, "POST")
			r.wantPart(t, []byte("before "))
			switch end {
			case "close":
				if err := l.Close(1000, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			case "abort":
				l.Abort()
			default:
				wantTracked(t, wantClosed(t, l, 1008))
			}
			wantMetrics(t, g, map[string]float64{"relay_active_listeners": 0})
			close(ended)
			s.send(t, string(wire[80_000:]))
			r.wantPart(t, []byte("after"))
			r.wantBodyEnd(t)
		})
	}
}
