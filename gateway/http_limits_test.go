package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPBodyMemory: bodies that are being collected have a bound; others go
// by rendezvous, and nothing is lost.
func TestHTTPBodyMemory(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.BodyMemory, c.HTTP.CollectTime = 1<<20, 10*time.Second
	})
	l := openListener(t, n)
	body := long(65536)
	request := n.HTTPRequest("POST", openTarget, body)
	begin := func() *relaytest.Raw {
		s := n.Raw(t)
		s.Send(t, request[:len(request)-60_000])
		return s
	}
	var collected []*relaytest.Raw
	for range 16 {
		collected = append(collected, begin())
		n.WantMetric(t, "relay_http_body_bytes", float64(len(collected)<<16))
	}
	over := begin()
	r := l.Announced(t)
	if r.Control || l.Requests() != 0 {
		t.Fatalf("request %+v", r)
	}
	r.Dial(t)
	over.Send(t, request[len(request)-60_000:])
	if r.ReadBody(t); r.Body != body {
		t.Fatalf("%d bytes of body", len(r.Body))
	}
	r.Respond(t, relaytest.Reply{})
	over.WantResponse(t, 200, "")
	n.WantMetric(t, `relay_throttled_total{quota="body_memory"}`, 1)

	for i, s := range collected {
		s.Send(t, request[len(request)-60_000:])
		r := l.NextRequest(t)
		if !r.Control || r.Body != body {
			t.Fatalf("request %d: control=%v, %d bytes", i, r.Control, len(r.Body))
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	// Where it goes on has given back what it had.
	for _, end := range []func(*relaytest.Raw){
		func(c *relaytest.Raw) { c.Abort() }, func(c *relaytest.Raw) { _ = c.Close() },
	} {
		s := begin()
		n.WantMetric(t, "relay_http_body_bytes", 65536)
		end(s)
		n.WantMetric(t, "relay_http_body_bytes", 0)
	}
	l.Ping(t)
	if l.Requests() != 0 {
		t.Errorf("%d requests of senders that went away", l.Requests())
	}
}

// TestHTTPHeadLimits: 431 for what is too large to read, rendezvous for what is
// too large for a control channel, 431 for what fits no message.
func TestHTTPHeadLimits(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadBytes = 64 << 10 })
	l := openListener(t, n)
	refused := func(name, request string) {
		t.Helper()
		s := n.Raw(t)
		s.Send(t, request)
		if r := s.Response(t); r.Status != 431 || r.Header.Get("Connection") != "close" {
			t.Errorf("%s: response %v", name, r)
		} else {
			wantError(t, r, 431, "RequestHeaderFieldsTooLarge")
		}
		s.WantEnd(t)
	}
	refused("65 KiB", get(n, "X: "+strings.Repeat("y", 65<<10)))
	refused("65 KiB, no end", get(n, "X: "+strings.Repeat("y", 65<<10))[:65<<10])
	refused("257 fields", "GET "+openTarget+" HTTP/1.1\r\nHost: h\r\n"+
		strings.Repeat("X: y\r\n", 256)+"\r\n")
	refused("long target", n.HTTPRequest("GET", openTarget+"?"+strings.Repeat("y", 65<<10), ""))

	s := n.Ask(t, "GET", openTarget, "", "X: "+strings.Repeat(`"`, 35_000)) // 70 KB of JSON
	wantError(t, s.Response(t), 431, "RequestHeaderFieldsTooLarge")
	for _, tt := range []struct {
		size    int
		body    string
		control bool
	}{{31_000, "", true}, {31_000, "body", true}, {33_000, "", false}, {50_000, "body", false}} {
		value := strings.Repeat("y", tt.size)
		s.Send(t, n.HTTPRequest("POST", openTarget, tt.body, "X: "+value))
		r := l.NextRequest(t)
		if r.Control != tt.control || r.Headers["X"] != value || r.Body != tt.body {
			t.Errorf("%d bytes: control=%v, %d bytes of X, body %q", tt.size, r.Control,
				len(r.Headers["X"]), r.Body)
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	n.WantMetric(t, "relay_head_bytes", 0)
}

// TestHTTPPendingMax: 503 for more than may wait, on a connection that stays
// open, and the next one has room again.
func TestHTTPPendingMax(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.PendingMax = 2 })
	l := openListener(t, n)
	first := n.Ask(t, "GET", openTarget, "")
	l.Announced(t)
	second := n.Ask(t, "POST", openTarget, relaytest.Chunked("x"), relaytest.ChunkedCoding)
	waits := l.Announced(t)
	s := n.Ask(t, "GET", openTarget, "")
	r := s.Response(t)
	wantError(t, r, 503, "ServiceUnavailable", "too many requests are waiting")
	if r.Header.Get("Retry-After") == "" || r.Header.Get("Connection") != "" {
		t.Errorf("response %v", r)
	}
	n.WantMetric(t, `relay_throttled_total{quota="pending_max"}`, 1)
	n.WantMetric(t, "relay_pending_rendezvous", 2)
	first.Abort()
	n.WantMetric(t, "relay_pending_rendezvous", 1)
	wantRelayed(t, n, s, l)
	waits.Dial(t)
	waits.ReadBody(t)
	waits.Respond(t, relaytest.Reply{})
	second.WantResponse(t, 200, "")
}

// TestHTTPHeadMemory: what waits holds memory, which has a bound.
func TestHTTPHeadMemory(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadMemory = 1 << 20 })
	l := openListener(t, n)
	request := get(n, "X: "+strings.Repeat("y", 30_000))
	var waiting []*relaytest.Raw
	refused := false
	for range 64 {
		before := l.Requests()
		s := n.Raw(t)
		s.Send(t, request)
		relaytest.Eventually(t, "announced or refused", func() bool {
			return l.Requests() > before || n.Metric(t, `relay_throttled_total{quota="head_memory"}`) > 0
		})
		if l.Requests() == before {
			wantError(t, s.Response(t), 503, "ServiceUnavailable")
			refused = true
			break
		}
		waiting = append(waiting, s)
	}
	if held := n.Heads(t); !refused || held > 1<<20 || held < 1<<19 {
		t.Errorf("%d requests wait with %d bytes, one was refused: %v", len(waiting), held, refused)
	}
	for _, s := range waiting {
		l.NextRequest(t).Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	n.WantMetric(t, "relay_head_bytes", 0)
}

// TestHTTPFullControlQueue: a listener that does not read gets no more; requests
// go to another one, and are refused if there is none.
func TestHTTPFullControlQueue(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.ControlQueue = 128 << 10 })
	stuck := n.RawListen(t, relaytest.Anonymous+"?sb-hc-id=stuck")
	small(t, stuck)
	body := long(60_000)
	const busy = `relay_http_requests_total{code="503"}`
	var waiting []*relaytest.Raw
	// The kernel takes some on its way now and then, and one that is refused
	// waits for a moment.
	for refused := 0.0; refused < 3; refused = n.Metric(t, busy) {
		before := n.Pending(1).Total
		waiting = append(waiting,
			n.Ask(t, "POST", openTarget, body, "Microsoft-Relay-AllowedListeners: stuck"))
		relaytest.Eventually(t, "waits or refused", func() bool {
			return n.Pending(1).Total > before || n.Metric(t, busy) > refused
		})
	}
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=other"})
	s := n.Raw(t)
	for range 20 { // half of them were for the other one at first
		s.Send(t, n.HTTPRequest("POST", openTarget, body))
		r := l.NextRequest(t)
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	}
	stuck.Abort()
	lost := 0
	for _, s := range waiting {
		r := s.Response(t)
		if r.Status == 502 {
			wantError(t, r, 502, "BadGateway", "listener went away")
			lost++
			continue
		}
		wantError(t, r, 503, "ServiceUnavailable", "fast enough")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("response %v", r)
		}
	}
	if refused := n.Metric(t, busy); lost < 10 || float64(len(waiting)-lost) != refused {
		t.Errorf("%d of %d requests were lost with the listener, %v were refused", lost,
			len(waiting), refused)
	}
}

// TestHTTPQueueTakesLongBodies: a message with the largest body fits an empty
// queue of the smallest size.
func TestHTTPQueueTakesLongBodies(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.ControlQueue = 128 << 10 },
		entities(func(e *namespace.Entity) { e.ListenersMax = 1 }))
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, long(65536), "X: "+strings.Repeat("y", 30_000))
	r := l.NextRequest(t)
	if !r.Control || len(r.Body) != 65536 {
		t.Errorf("control=%v, %d bytes of body", r.Control, len(r.Body))
	}
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}
