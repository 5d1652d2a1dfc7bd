package bench

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/naive"
)

func TestParseAccept(t *testing.T) {
	id, at, request, err := parseAccept([]byte(`{"accept":{"address":`+
		`"ws:\/\/127.0.0.1:81\/$hc\/e?pair=17&sb-hc-action=accept&sb-hc-id=x","id":"x"}}`), "ws")
	if err != nil || id != 17 || at.String() != "127.0.0.1:81" {
		t.Fatalf("pair %d at %v: %v", id, at, err)
	}
	if !strings.HasPrefix(string(request),
		"GET /$hc/e?pair=17&sb-hc-action=accept&sb-hc-id=x HTTP/1.1\r\nHost: 127.0.0.1:81\r\n") {
		t.Errorf("request %q", request)
	}
	for _, c := range []struct{ message, want string }{
		{``, "control message"},
		{`{"request":{}}`, "is not accept"},
		{`{"accept":{"address":"wss://127.0.0.1:1/a?pair=1"}}`, "want ws://host/path"},
		{`{"accept":{"address":"ws://127.0.0.1:1"}}`, "want ws://host/path"},
		{`{"accept":{"address":"ws://gateway:80/a?pair=1"}}`, "want an IP address"},
		{`{"accept":{"address":"ws://127.0.0.1:1/a?b=1"}}`, "lost the sender's query"},
		{`{"accept":{"address":"ws://127.0.0.1:1/a?pair=-1"}}`, "lost the sender's query"},
	} {
		if _, _, _, err := parseAccept([]byte(c.message), "ws"); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.message, err, c.want)
		}
	}
}

func TestCheckResponse(t *testing.T) {
	good := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept: " +
		handshakeAccept
	if err := checkResponse(good); err != nil {
		t.Error(err)
	}
	for head, want := range map[string]string{
		"HTTP/1.1 401 Bad token. TrackingId:x": "refused: 401 Bad token. TrackingId:x",
		"HTTP/1.1 101 Switching\r\nA: b":       "without Sec-WebSocket-Accept",
		"HTTP/1.1 101 X\r\n" +
			"Sec-WebSocket-Accept: abc": "wrong Sec-WebSocket-Accept",
		"HTTP/1.0 101 X":  "not a response",
		"SSH-2.0":         "not a response",
		"HTTP/1.1 abc OK": "not a response",
	} {
		if err := checkResponse(head); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", head, err, want)
		}
	}
}

// A response that arrives one byte at a time, with frames right behind it.
func TestResponseInPieces(t *testing.T) {
	whole := []byte("HTTP/1.1 101 X\r\nSec-WebSocket-Accept: " + handshakeAccept +
		"\r\n\r\nrest")
	for cut := range len(whole) - 4 {
		c := new(conn)
		first, err := c.response(append([]byte(nil), whole[:cut]...))
		if err != nil || c.upgraded {
			t.Fatalf("cut %d: %v, upgraded %v", cut, err, c.upgraded)
		}
		rest, err := c.response(whole[cut:])
		if err != nil || !c.upgraded || len(first) != 0 || string(rest) != "rest" {
			t.Fatalf("cut %d: %v, rest %q", cut, err, rest)
		}
	}
	c := new(conn)
	if _, err := c.response(make([]byte, responseHeadMax+1)); err == nil {
		t.Error("an endless response head was taken")
	}
}

func TestNoListener(t *testing.T) {
	relay := new(naive.Relay)
	deaf := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "=listen") {
			r.URL.Path += "-elsewhere"
		}
		relay.ServeHTTP(w, r)
	})
	tr := startTrial(t, inProcess(t, deaf))
	d, err := tr.driver()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	_, err = d.openPairs(3, 2, newEcho(8))
	if err == nil || !strings.Contains(err.Error(), "sender leg: handshake refused: 404") {
		t.Errorf("error %v", err)
	}
	if n := tr.failures.count(); n != 3 || d.failed != 3 || d.opening != 0 {
		t.Errorf("%d failures, %d pairs failed, %d opening; want 3, 3, 0", n, d.failed, d.opening)
	}
}

func TestControlChannelRefused(t *testing.T) {
	tr := startTrial(t, inProcess(t, http.NotFoundHandler()))
	if _, err := tr.driver(); err == nil || !strings.Contains(err.Error(), "refused: 404") {
		t.Errorf("error %v", err)
	}
	tr.gw.addr = mustResolve(t, "http://127.0.0.1:1")
	if _, err := tr.driver(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: error %v", err)
	}
}

// Each way in which a gateway may damage a stream must turn into a failure:
// otherwise the stuck test proves nothing.
func TestStreamNoticesDamage(t *testing.T) {
	const where = 200_000
	flip := func(p []byte, at int) bool {
		if at <= where && where < at+len(p) {
			p[where-at] ^= 1
		}
		return true
	}
	cut := func(p []byte, at int) bool { return at+len(p) <= where }
	for _, c := range []struct {
		name   string
		change func([]byte, int) bool
		want   string
	}{
		{"flipped byte", flip, "of the stream is"},
		{"cut", cut, "ended by the gateway"},
	} {
		for _, dir := range []direction{toListener, toSender} {
			real := inProcess(t, new(naive.Relay))
			m := &meddler{target: strings.TrimPrefix(real.URL, "http://"), change: c.change}
			tr := startTrial(t, m.serve(t))
			if err := runStuckPairs(tr, 1, dir, 1e6, 1<<40); err != nil {
				t.Errorf("%s %v: %v", c.name, dir, err)
			}
			if got := strings.Join(tr.failures.list(), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("%s %v: failures %q, want %q", c.name, dir, got, c.want)
			}
		}
	}
}

func TestEchoNoticesLoss(t *testing.T) {
	target := inProcess(t, new(naive.Relay))
	m := &meddler{target: strings.TrimPrefix(target.URL, "http://"),
		change: func(_ []byte, at int) bool { return at < 2000 }}
	tr := startTrial(t, m.serve(t))
	if err := runClosedLoop(tr, 1); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tr.failures.list(), "\n"); !strings.Contains(got, "echo: ") {
		t.Errorf("failures %q", got)
	}
}

// A gateway that stalls must be charged with the whole stall, for every request
// that was due during it: that is what pacing is for.
func TestPacedLatencyCountsTheStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	target := inProcess(t, new(naive.Relay))
	stalled := false
	m := &meddler{target: strings.TrimPrefix(target.URL, "http://"),
		change: func(_ []byte, at int) bool {
			if at > 3000 && !stalled {
				stalled = true
				time.Sleep(stall)
			}
			return true
		}}
	tr := startTrial(t, m.serve(t))
	d, err := tr.driver()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	e := newEcho(pingSize)
	pairs, err := d.openPairs(1, 1, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := newPacer(e, pairs, 500).run(d.loop, 2*stall); err != nil {
		t.Fatal(err)
	}
	if _, err := d.runUntil(time.Now().Add(5*time.Second), func() bool {
		return outstanding(pairs) == 0
	}); err != nil {
		t.Fatal(err)
	}
	// 500 per second: about 50 requests were due in the first half of the
	// stall and waited for at least half of it.
	waited := 0
	for i, n := range e.hist.counts {
		if time.Duration(bucketEdge(i)) > stall/2 {
			waited += int(n)
		}
	}
	if waited < 30 {
		t.Errorf("only %d requests waited for half the stall or longer, want about 50", waited)
	}
}

func TestLoopStopsForContext(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	l, err := newLoop(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	stop()
	if err := l.runFor(time.Hour); err == nil {
		t.Error("the loop went on")
	}
}

// The alarm must be exact to well below a millisecond: pacing depends on it.
func TestPollerAlarm(t *testing.T) {
	l, err := newLoop(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	best := time.Hour
	for range 20 {
		at := time.Now().Add(300 * time.Microsecond)
		for time.Now().Before(at) {
			if err := l.step(at); err != nil {
				t.Fatal(err)
			}
		}
		best = min(best, time.Since(at))
	}
	if best > 500*time.Microsecond {
		t.Errorf("the best of 20 alarms was %v late", best)
	}
}

func TestSourceAddresses(t *testing.T) {
	l := &loop{firstSource: 1}
	target := mustResolve(t, "http://127.0.0.1:80").Addr()
	at := func(dialed int) string {
		l.dialed = dialed
		return l.source(target).String()
	}
	if a, b := at(0), at(sourcePorts); a != "127.0.0.1" || b != "127.0.0.2" {
		t.Errorf("first %s, after %d connections %s", a, sourcePorts, b)
	}
	l.spread = 4
	if a, b := at(5), at(7); a != "127.0.0.2" || b != "127.0.0.4" {
		t.Errorf("spread over 4: %s %s", a, b)
	}
	if l.source(mustResolve(t, "http://[::1]:80").Addr()).IsValid() {
		t.Error("a source of the wrong family")
	}
}

func mustResolve(t *testing.T, raw string) netip.AddrPort {
	t.Helper()
	at, err := resolve(raw)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
