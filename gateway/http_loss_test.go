package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPListenerLost: what a listener has on its control channel only it can
// answer, so the sender is told at once.
func TestHTTPListenerLost(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for name, end := range endings {
		c := n.RawListen(t, relaytest.Anonymous)
		s := n.Ask(t, "POST", openTarget, "body")
		r := c.Announced(t)
		begin := time.Now()
		end(t, c)
		wantError(t, s.Response(t), 502, "BadGateway", "listener went away")
		within(t, name, begin, 0, 4*time.Second)
		wantDead(t, n, r.Address)
		// The sender's connection is as good as before.
		s.Send(t, get(n))
		wantError(t, s.Response(t), 404, "EndpointNotFound", "There are no listeners connected")
	}
	n.WantMetric(t, `relay_http_requests_total{code="502"}`, float64(len(endings)))
}

// TestHTTPListenerLostInItsResponse: the response is cut, with and without a
// length.
func TestHTTPListenerLostInItsResponse(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for name, end := range endings {
		for _, headers := range []map[string]any{nil, {"Content-Length": 10}} {
			c := n.RawListen(t, relaytest.Anonymous)
			s := n.Ask(t, "GET", openTarget, "")
			c.SendFrame(t, head(c.Announced(t), headers))
			c.SendFrame(t, binary(false, "part"))
			if r := s.ResponseHead(t); r.Status != 200 {
				t.Errorf("%s: response %v", name, r)
			}
			if headers == nil {
				s.WantChunks(t, "part")
			} else if part := string(s.ReadBytes(t, 4)); part != "part" {
				t.Errorf("%s: body %q", name, part)
			}
			begin := time.Now()
			end(t, c)
			s.WantEnd(t)
			within(t, name, begin, 0, 4*time.Second)
		}
	}
}

// TestHTTPDialledOutlivesControlChannel: on its rendezvous connection an
// exchange needs no control channel.
func TestHTTPDialledOutlivesControlChannel(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for name, end := range endings {
		c := n.RawListen(t, relaytest.Anonymous)
		small := n.Ask(t, "GET", openTarget, "")
		r := c.Announced(t)
		r.Dial(t)
		large := n.Ask(t, "POST", openTarget, "", relaytest.ChunkedCoding)
		q := c.Announced(t)
		q.Dial(t)
		end(t, c)
		relaytest.Eventually(t, name+": the listener is gone", func() bool {
			return n.Listeners(1).Total == 0
		})
		r.Respond(t, relaytest.Reply{Parts: []string{"one"}})
		small.WantResponse(t, 200, "one")
		large.Send(t, relaytest.Chunked("body"))
		if q.ReadBody(t); q.Body != "body" {
			t.Errorf("%s: body %q", name, q.Body)
		}
		q.Respond(t, relaytest.Reply{Parts: []string{"two"}})
		large.WantResponse(t, 200, "two")
	}
}

// TestHTTPListenerLostBeforeItDials: the rendezvous connection may be on its
// way, so there is a grace.
func TestHTTPListenerLostBeforeItDials(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	type waiting struct {
		name, address string
		s             *relaytest.Raw
	}
	var all []waiting
	begin := time.Now()
	for name, end := range endings {
		c := n.RawListen(t, relaytest.Anonymous)
		dials := n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
		r := c.Announced(t)
		leaves := n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
		all = append(all, waiting{name, c.Announced(t).Address, leaves})
		end(t, c)
		relaytest.Eventually(t, name+": the listener is gone", func() bool {
			return n.Listeners(1).Total == 0
		})
		r.Dial(t)
		r.ReadBody(t)
		r.Respond(t, relaytest.Reply{Parts: []string{r.Body}})
		dials.WantResponse(t, 200, "body")
	}
	for _, w := range all {
		wantError(t, w.s.Response(t), 502, "BadGateway", "listener went away")
		within(t, w.name, begin, 4*time.Second, 14*time.Second)
		wantDead(t, n, w.address)
	}
}

// legEndings are the ways in which a rendezvous connection ends.
var legEndings = []struct {
	name   string
	normal bool // it ends a body
	end    func(t *testing.T, leg *relaytest.Raw)
}{
	{"Close 1000", true, closing(1000)},
	{"Close without code", true, func(t *testing.T, leg *relaytest.Raw) {
		leg.SendFrame(t, relaytest.Frame{Op: relaytest.OpClose, Fin: true})
	}},
	{"Close 1001", false, closing(1001)},
	{"Close 1011", false, closing(1011)},
	{"Close 4000", false, closing(4000)},
	{"end of stream", false, func(_ *testing.T, leg *relaytest.Raw) { _ = leg.CloseWrite() }},
	{"gone", false, func(_ *testing.T, leg *relaytest.Raw) { _ = leg.Close() }},
	{"reset", false, func(_ *testing.T, leg *relaytest.Raw) { leg.Abort() }},
	{"violation", false, func(t *testing.T, leg *relaytest.Raw) {
		leg.Send(t, "\xFF\xFF")
		leg.WantCloseFrame(t, 1002)
	}},
}

func closing(code int) func(*testing.T, *relaytest.Raw) {
	return func(t *testing.T, leg *relaytest.Raw) { leg.SendFrame(t, relaytest.CloseFrame(code, "x")) }
}

// TestHTTPRendezvousConnectionLost in every way, at every phase.
func TestHTTPRendezvousConnectionLost(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for _, tt := range legEndings {
		gone := func(s *relaytest.Raw) {
			t.Helper()
			r := s.Response(t)
			wantError(t, r, 502, "BadGateway")
			if r.Status != 502 {
				t.Fatalf("%s: response %v", tt.name, r)
			}
		}
		// While the body is on its way the sender's connection cannot stay.
		s := n.Ask(t, "POST", openTarget, "4\r\npart\r\n", relaytest.ChunkedCoding)
		leg := l.Announced(t).Dial(t)
		leg.WantFrame(t, binary(false, "part"))
		tt.end(t, leg)
		gone(s)
		s.WantEnd(t)
		// Behind it, it can.
		s = n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
		tt.end(t, l.NextRequest(t).Leg)
		gone(s)
		wantRelayed(t, n, s, l)
		// The same for a listener that dials although it needs not.
		s.Send(t, get(n))
		tt.end(t, l.Announced(t).Dial(t))
		gone(s)
		wantRelayed(t, n, s, l)

		for name, headers := range map[string]map[string]any{
			"chunks": nil, "length": {"Content-Length": 10},
		} {
			s.Send(t, get(n))
			r := l.Announced(t)
			leg = r.Dial(t)
			leg.SendFrame(t, head(r, headers))
			leg.SendFrame(t, binary(false, "part"))
			if tt.name == "reset" {
				// A reset takes along what has not been read.
				n.WantMetric(t, `relay_connections{role="http_listener"}`, 1)
			}
			tt.end(t, leg)
			if tt.normal && headers == nil {
				s.WantResponse(t, 200, "part")
				wantRelayed(t, n, s, l)
				continue
			}
			res, err := s.TryResponse("GET")
			if err == nil && res.Status == 502 && tt.name == "reset" {
				continue
			}
			if !relaytest.Cut(err) || res.Body != "part" && tt.name != "reset" {
				t.Fatalf("%s, %s: response %v, %v", tt.name, name, res, err)
			}
			_ = s.Close()
			s = n.Raw(t)
		}
	}
	l.Ping(t)
	n.WantMetric(t, "relay_pending_rendezvous", 0)
}

// TestHTTPNonsenseOnRendezvousConnection: 1002 for the listener, 502 for the
// sender.
func TestHTTPNonsenseOnRendezvousConnection(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for _, first := range []relaytest.Frame{
		binary(true, "body"), binary(false, ""), text(""), text("{"), text("[]"), text("{}"),
		text(`{"renewToken":{"token":"x"}}`), text(`{"response":{}}`), text(`{"response":null}`),
		text(`{"response":{"statusCode":200,"body":false}}`),
		text(`{"response":{"requestId":"","statusCode":200}}`),
	} {
		s.Send(t, get(n))
		leg := l.Announced(t).Dial(t)
		leg.SendFrame(t, first)
		leg.WantCloseFrame(t, 1002)
		leg.WantEnd(t)
		wantError(t, s.Response(t), 502, "BadGateway", "not valid")
	}
	// A response that cannot be passed on fails its request, whatever the way.
	for _, members := range []string{
		`"statusCode":100`, `"statusCode":199`, `"statusCode":1000`, `"statusCode":"x"`, `"body":true`,
		`"statusCode":200,"body":"perhaps"`, `"statusCode":200,"responseHeaders":{"A b":"c"}`,
		`"statusCode":200,"responseHeaders":{"A":"b\r\nC: d"}`, `"statusCode":200,"responseHeaders":[]`,
		`"statusCode":200,"responseHeaders":{"Content-Length":"5"}`,
	} {
		for _, control := range []bool{true, false} {
			s.Send(t, get(n))
			r := l.Announced(t)
			message := `{"response":{"requestId":"` + r.ID + `",` + members + `}}`
			if control {
				l.Send(t, message)
			} else {
				leg := r.Dial(t)
				leg.SendFrame(t, text(message))
				wantLegEnds(t, leg)
			}
			wantError(t, s.Response(t), 502, "BadGateway", "not valid")
		}
	}
	wantRelayed(t, n, s, l)
}

// senderEndings are the ways in which a sender's connection ends.
var senderEndings = map[string]func(*relaytest.Raw){
	"gone":  func(s *relaytest.Raw) { _ = s.Close() },
	"reset": func(s *relaytest.Raw) { s.Abort() },
	"end of stream": func(s *relaytest.Raw) {
		_ = s.CloseWrite()
	},
}

// TestHTTPSenderLostInItsBody: nobody hears of a request that is not whole.
func TestHTTPSenderLostInItsBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for name, end := range senderEndings {
		s := n.Ask(t, "POST", openTarget, "part", "Content-Length: 10")
		n.WantMetric(t, "relay_http_body_bytes", 10)
		end(s)
		n.WantMetric(t, "relay_http_body_bytes", 0)
		n.WantMetric(t, `relay_connections{role="http_sender"}`, 0)
		l.Ping(t)
		if l.Requests() > 0 {
			t.Errorf("%s: half a request was announced", name)
		}
	}
	n.WantClosed(t, "http_sender", "sender_lost")
}

// TestHTTPSenderLostWaiting: a request of a sender that has reset its
// connection is nobody's: its address is dead, a response to it is ignored. One
// that has only ended its stream may wait for the response.
func TestHTTPSenderLostWaiting(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for name, request := range map[string]string{
		"control form":    n.HTTPRequest("POST", openTarget, "body"),
		"rendezvous form": bodyRequest(n, "x", true),
	} {
		s := n.Raw(t)
		s.Send(t, request)
		r := l.Announced(t)
		s.Abort()
		relaytest.Eventually(t, name+": nobody waits", func() bool { return n.Pending(1).Total == 0 })
		wantDead(t, n, r.Address)
		r.OnControl(t, relaytest.Reply{Parts: []string{"late"}})
		wantRelayed(t, n, n.Raw(t), l)
	}

	s := n.Ask(t, "POST", openTarget, "body")
	r := l.Announced(t)
	_ = s.CloseWrite()
	r.OnControl(t, relaytest.Reply{Parts: []string{"in time"}})
	s.WantResponse(t, 200, "in time")
}

// TestHTTPSenderLostWithRendezvousConnection: the listener gets Close 1001 at
// once (docs/protocol.md, section 5.9).
func TestHTTPSenderLostWithRendezvousConnection(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for name, end := range senderEndings {
		for phase, begin := range map[string]func(s *relaytest.Raw) *relaytest.Request{
			"uploading": func(s *relaytest.Raw) *relaytest.Request {
				s.Send(t, n.HTTPRequest("POST", openTarget, "4\r\npart\r\n", relaytest.ChunkedCoding))
				r := l.Announced(t)
				r.Dial(t).WantFrame(t, binary(false, "part"))
				return r
			},
			"uploading, behind a part of a chunk": func(s *relaytest.Raw) *relaytest.Request {
				s.Send(t, n.HTTPRequest("POST", openTarget, "100\r\npart", relaytest.ChunkedCoding))
				r := l.Announced(t)
				r.Dial(t).WantFrame(t, binary(false, "part"))
				return r
			},
			"uploaded": func(s *relaytest.Raw) *relaytest.Request {
				s.Send(t, bodyRequest(n, "x", true))
				return l.NextRequest(t)
			},
			"dialled needlessly": func(s *relaytest.Raw) *relaytest.Request {
				s.Send(t, get(n))
				r := l.Announced(t)
				r.Dial(t)
				return r
			},
			"downloading": func(s *relaytest.Raw) *relaytest.Request {
				s.Send(t, get(n))
				r := l.Announced(t)
				leg := r.Dial(t)
				leg.SendFrame(t, head(r, nil))
				leg.SendFrame(t, binary(false, "part"))
				s.ResponseHead(t)
				s.WantChunks(t, "part")
				return r
			},
		} {
			s := n.Raw(t)
			r := begin(s)
			start := time.Now()
			end(s)
			if reason := r.Leg.WantCloseFrame(t, 1001); !strings.Contains(reason, "TrackingId:"+r.ID) {
				t.Errorf("%s, %s: reason %q", phase, name, reason)
			}
			within(t, phase+", "+name, start, 0, 4*time.Second)
			r.Leg.WantEnd(t)
			wantDead(t, n, r.Address)
		}
	}
	wantRelayed(t, n, n.Raw(t), l)
}
