package gateway_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// short is the shortest time that settings take for HTTP timers.
const short = time.Second

// wantError checks a response that the gateway has made.
func wantError(t *testing.T, r relaytest.Response, status int, code string, parts ...string) {
	t.Helper()
	if r.Status != status || !strings.Contains(r.Body, `{"error":{"code":"`+code+`","message":"`) ||
		r.Header.Get("Content-Type") != "application/json" || r.Header.Get("TrackingId") == "" ||
		r.Header.Get("Via") != "" {
		t.Errorf("response %v, want %d %s", r, status, code)
	}
	wantPhrase(t, r.Answer(), append(parts, "TrackingId:")...)
}

// wantDead checks that the address of a request is not good any more.
func wantDead(t *testing.T, n *relaytest.Node, address string) {
	t.Helper()
	n.Open(t, address, relaytest.Dial{}).Want(t, 403)
}

// within checks how long something took, counted from begin.
func within(t *testing.T, what string, begin time.Time, least, most time.Duration) {
	t.Helper()
	// On a busy machine the loops' clock is behind when a timer is set.
	if d := time.Since(begin); d < least*3/4 || d > most {
		t.Errorf("%s after %v, want %v to %v", what, d, least, most)
	}
}

// TestHTTPResponseTimeout: 504; what comes late is ignored, and all stays in
// step.
func TestHTTPResponseTimeout(t *testing.T) {
	t.Parallel()
	const sentence = "The request was routed to the listener but the listener did not respond " +
		"in the required time."
	begin := func(t *testing.T, request func(n *relaytest.Node) string) (
		*relaytest.Node, *relaytest.Listener, *relaytest.Raw,
	) {
		t.Parallel()
		n := relaytest.Start(t, func(c *config.Config) { c.HTTP.ResponseTimeout = short })
		l, s := openListener(t, n), n.Raw(t)
		s.Send(t, request(n))
		return n, l, s
	}
	t.Run("control form", func(t *testing.T) {
		var start time.Time
		n, l, s := begin(t, func(n *relaytest.Node) string {
			start = time.Now()
			return bodyRequest(n, "body", false)
		})
		r := l.NextRequest(t)
		wantError(t, s.Response(t), 504, "GatewayTimeout", sentence)
		within(t, "response", start, short, 10*time.Second)
		r.OnControl(t, relaytest.Reply{Parts: []string{"late"}})
		wantDead(t, n, r.Address)
		wantRelayed(t, n, s, l)
		n.WantMetric(t, `relay_http_requests_total{code="504"}`, 1)
	})
	t.Run("control form, dialled", func(t *testing.T) {
		n, l, s := begin(t, func(n *relaytest.Node) string { return get(n) })
		leg := l.Announced(t).Dial(t)
		wantError(t, s.Response(t), 504, "GatewayTimeout", sentence)
		wantLegEnds(t, leg)
		wantRelayed(t, n, s, l)
	})
	t.Run("rendezvous form", func(t *testing.T) {
		n, l, s := begin(t, func(n *relaytest.Node) string { return bodyRequest(n, "body", true) })
		r := l.NextRequest(t)
		wantError(t, s.Response(t), 504, "GatewayTimeout", sentence)
		wantLegEnds(t, r.Leg)
		wantDead(t, n, r.Address)
		wantRelayed(t, n, s, l)
	})
}

// wantLegEnds waits for the gateway's Close of a rendezvous connection.
func wantLegEnds(t *testing.T, leg *relaytest.Raw) {
	t.Helper()
	if f := leg.ReadFrame(t); f.Op != relaytest.OpClose {
		t.Fatalf("frame %v %.60q, want Close", f.Op, f.Payload)
	}
	leg.WantEnd(t)
}

// TestHTTPResponseTimeoutBeginsBehindTheBody: an upload may take its time.
func TestHTTPResponseTimeoutBeginsBehindTheBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.ResponseTimeout = 3 * short / 2 })
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, "", relaytest.ChunkedCoding)
	r := l.Announced(t)
	// What the listener sends meanwhile does not start the time.
	leg := r.Dial(t)
	leg.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true})
	leg.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true})
	for range 4 {
		s.Send(t, "4\r\npart\r\n")
		passed(t, short/2)
	}
	s.Send(t, "0\r\n\r\n")
	r.ReadBody(t)
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// TestHTTPRequestBodyGap: 408 for a body that stops, and the listener does not
// take a part of it for the whole.
func TestHTTPRequestBodyGap(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.BodyGap = short })
	l := openListener(t, n)
	for name, begun := range map[string]string{
		"chunks": n.HTTPRequest("POST", openTarget, "4\r\npart\r\n", relaytest.ChunkedCoding),
		"length": n.HTTPRequest("POST", openTarget, "part", "Content-Length: 100000"),
	} {
		begin := time.Now()
		s := n.Raw(t)
		s.Send(t, begun)
		r := l.Announced(t)
		leg := r.Dial(t)
		leg.WantFrame(t, binary(false, "part"))
		wantError(t, s.Response(t), 408, "RequestTimeout")
		within(t, name, begin, short, 10*time.Second)
		s.WantEnd(t)
		wantLegEnds(t, leg)
	}
	n.WantMetric(t, `relay_http_requests_total{code="408"}`, 2)
}

// TestHTTPResponseBodyGap: the response is cut, so that its end is missing.
func TestHTTPResponseBodyGap(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.BodyGap = short })
	cases := []*struct {
		name       string
		rendezvous bool
		headers    map[string]any
		part       string
		s, c, on   *relaytest.Raw
	}{
		{name: "rendezvous, chunks", rendezvous: true, part: "part"},
		{name: "rendezvous, length", rendezvous: true, part: "part",
			headers: map[string]any{"Content-Length": 100}},
		{name: "rendezvous, no body", rendezvous: true},
		{name: "control, chunks", part: "part"},
		{name: "control, length", part: "part", headers: map[string]any{"Content-Length": 100}},
	}
	begin := time.Now()
	for i, tt := range cases {
		id := strconv.Itoa(i)
		tt.c = n.RawListen(t, relaytest.Anonymous+"?sb-hc-id="+id)
		tt.s = n.Ask(t, "GET", openTarget, "", "Microsoft-Relay-AllowedListeners: "+id)
		r := tt.c.Announced(t)
		if tt.on = tt.c; tt.rendezvous {
			tt.on = r.Dial(t)
		}
		tt.on.SendFrame(t, head(r, tt.headers))
		if tt.part != "" {
			tt.on.SendFrame(t, binary(false, tt.part))
		}
	}
	for _, tt := range cases {
		if res := tt.s.WantCut(t); res.Status != 200 || res.Body != tt.part {
			t.Errorf("%s: response %v", tt.name, res)
		}
		within(t, tt.name, begin, short, 10*time.Second)
		if tt.rendezvous {
			wantLegEnds(t, tt.on)
			continue
		}
		tt.c.SendFrame(t, more(true, "late"))
		tt.c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true})
		tt.c.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true})
	}
	n.WantClosed(t, "http_sender", "body_timeout")
}

// TestHTTPResponseWithoutItsBody: the response message came on the control
// channel, its body does not.
func TestHTTPResponseWithoutItsBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.BodyGap, c.HTTP.ResponseTimeout = short, short
	})
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "GET", openTarget, "")
	c.SendFrame(t, head(c.Announced(t), nil))
	// Nothing has gone out, so there may be a status; a cut says as much.
	r, err := s.TryResponse("GET")
	if err == nil && r.Status != 504 || err != nil && !relaytest.Cut(err) {
		t.Errorf("response %v, %v", r, err)
	}
	c.SendFrame(t, binary(true, "late"))
	s = n.Ask(t, "GET", openTarget, "")
	c.NextRequest(t).Respond(t, relaytest.Reply{Parts: []string{"next"}})
	s.WantResponse(t, 200, "next")
}

// TestHTTPSlowBodiesGoByRendezvous: what has come is not lost.
func TestHTTPSlowBodiesGoByRendezvous(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.CollectTime = 10 * time.Millisecond })
	l := openListener(t, n)
	body := long(60_000)
	for _, first := range []int{0, 1, 30_000, len(body) - 1} {
		for name, fields := range map[string][]string{"plain": nil, "Expect": {"Expect: 100-continue"}} {
			s := n.Raw(t)
			s.Send(t, n.HTTPRequest("POST", openTarget, body, fields...)[:len(
				n.HTTPRequest("POST", openTarget, body, fields...))-len(body)+first])
			r := l.Announced(t)
			if r.Control {
				t.Fatalf("%s, %d bytes: %+v", name, first, r)
			}
			r.Dial(t)
			s.Send(t, body[first:])
			if r.ReadBody(t); r.Body != body {
				t.Fatalf("%s, %d bytes: %d bytes of body", name, first, len(r.Body))
			}
			r.Respond(t, relaytest.Reply{})
			if fields != nil {
				if res := s.Response(t); res.Status == 200 && first > 0 {
					continue // the body was on its way: it needs no 100
				} else if res.Status != 100 {
					t.Fatalf("%s, %d bytes: response %v", name, first, res)
				}
			}
			s.WantResponse(t, 200, "")
		}
	}
	if n.Metric(t, "relay_http_body_bytes") != 0 {
		t.Error("bodies are held")
	}
}

// TestHTTPRendezvousWindow: 504 if the listener does not dial.
func TestHTTPRendezvousWindow(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(short))
	l := openListener(t, n)
	begin := time.Now()
	s := n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
	r := l.Announced(t)
	res := s.Response(t)
	wantError(t, res, 504, "GatewayTimeout", "did not dial")
	within(t, "response", begin, short, 10*time.Second)
	wantDead(t, n, r.Address)
	n.WantMetric(t, "relay_accept_timeouts_total", 1)
	l.Ping(t)
}

// TestHTTPKeepAlive: a connection is closed without words between requests, and
// 408 within one.
func TestHTTPKeepAlive(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.Keepalive, c.Limits.HeadTimeout = short, short
	})
	l := openListener(t, n)
	idle := n.Raw(t)
	for range 3 { // the time counts from the last response
		wantRelayed(t, n, idle, l)
		passed(t, short/3)
	}
	begin := time.Now()
	wantRelayed(t, n, idle, l)
	idle.WantEnd(t)
	within(t, "end", begin, short, 10*time.Second)
	n.WantMetric(t, `relay_connections_closed_total{reason="keepalive"}`, 1)

	half := n.Raw(t)
	wantRelayed(t, n, half, l)
	half.Send(t, "GET / HT")
	if res := half.Response(t); res.Status != 408 {
		t.Errorf("response %v", res)
	}
	half.WantEnd(t)
	n.WantClosed(t, "head", "head_timeout")
}

// entities sets the times of the entities.
func entities(edit func(e *namespace.Entity)) func(*config.Config) {
	return func(c *config.Config) {
		for i := range c.Namespaces[0].HybridConnections {
			edit(&c.Namespaces[0].HybridConnections[i])
		}
	}
}

// TestHTTPTimesOfEntities: an entity's time goes before the gateway's, in both
// directions, and never is never.
func TestHTTPTimesOfEntities(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		gateway, entity time.Duration
		ends            bool
	}{
		{"the entity's is shorter", time.Minute, short, true},
		{"the gateway has none", 0, short, true},
		{"the entity has none", short, namespace.Never, false},
		{"the entity's is longer", short, time.Minute, false},
		{"neither", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			response := relaytest.Start(t, func(c *config.Config) { c.HTTP.ResponseTimeout = tt.gateway },
				entities(func(e *namespace.Entity) { e.HTTPResponseTimeout = tt.entity }))
			gap := relaytest.Start(t, func(c *config.Config) { c.HTTP.BodyGap = tt.gateway },
				entities(func(e *namespace.Entity) { e.HTTPBodyGap = tt.entity }))

			l, m := openListener(t, response), openListener(t, gap)
			waits := response.Ask(t, "GET", openTarget, "")
			r := l.NextRequest(t)
			reads := gap.Ask(t, "GET", openTarget, "")
			q := m.NextRequest(t)
			leg := q.Dial(t)
			leg.SendFrame(t, head(q, nil))
			leg.SendFrame(t, binary(false, "begun"))
			sends := gap.Ask(t, "POST", openTarget, "", relaytest.ChunkedCoding)
			u := m.Announced(t)
			u.Dial(t)
			if tt.ends {
				wantError(t, waits.Response(t), 504, "GatewayTimeout")
				reads.WantCut(t)
				wantError(t, sends.Response(t), 408, "RequestTimeout")
				return
			}
			passed(t, 3*short/2)
			r.Respond(t, relaytest.Reply{})
			waits.WantResponse(t, 200, "")
			leg.SendFrame(t, more(true, ", ended"))
			reads.WantResponse(t, 200, "begun, ended")
			sends.Send(t, relaytest.Chunked("late"))
			u.ReadBody(t)
			u.Respond(t, relaytest.Reply{})
			sends.WantResponse(t, 200, "")
		})
	}
}

// TestHTTPDelivery: what is to stream at once goes by rendezvous.
func TestHTTPDelivery(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Namespaces[0].HybridConnections[1].HTTPDelivery = namespace.DeliveryRendezvous
	})
	l := openListener(t, n)
	s := n.Raw(t)
	for _, body := range []string{"", "small"} {
		s.Send(t, n.HTTPRequest("POST", openTarget, body))
		r := l.NextRequest(t)
		if r.Control || r.Body != body {
			t.Errorf("request %+v", r)
		}
		r.Respond(t, relaytest.Reply{Parts: []string{"at once"}})
		s.WantResponse(t, 200, "at once")
	}
	n = relaytest.Start(t)
	l = openListener(t, n)
	for accept, control := range map[string]bool{
		"text/event-stream": false, "text/html, Text/Event-Stream;q=0.9": false,
		"*/*": true, "text/event-streams": true, "text/html": true,
	} {
		s := n.Ask(t, "GET", openTarget, "", "Accept: "+accept)
		r := l.NextRequest(t)
		if r.Control != control || r.Headers["Accept"] != accept {
			t.Errorf("%s: request %+v", accept, r)
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
}
