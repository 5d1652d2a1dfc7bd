package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// scrape returns the value of every relay_ series, keyed as it is written.
func scrape(t *testing.T, s Sources) map[string]string {
	t.Helper()
	return scrapeHandler(t, Handler(NewRegistry(s)))
}

func scrapeHandler(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, _ := io.ReadAll(w.Body)
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: %d\n%s", w.Code, body)
	}
	series := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key != "#" {
			series[key] = value
		}
	}
	return series
}

func TestScrape(t *testing.T) {
	loops, g := NewLoops(2), NewGateway()
	for i, l := range loops {
		n := uint64(i + 1)
		l.Accepted.Add(10 * n)
		l.AcceptErrors[AcceptDescriptorLimit].Add(n)
		l.Refused.Add(2 * n)
		l.BytesToListener.Add(100 * n)
		l.BytesToSender.Add(200 * n)
		l.Reads.Add(3 * n)
		l.Writes.Add(4 * n)
		l.Yields.Add(6 * n)
		l.PostsRun.Add(7 * n)
		l.Migrations.Add(8 * n)
		l.PongsSent.Add(9 * n)
		l.AddLeftover(1000)
		l.AddLeftover(-400)
		l.Connections[RoleHead].Add(5)
		l.Move(RoleHead, RoleSender)
		l.Move(RoleSender, RoleRelayedSender)
		l.Closed[RoleListener][CloseDrain].Add(n)
		l.Closed[RoleSender][CloseAcceptTimeout].Add(n)
		l.Closed[RoleRelayedSender][ClosePeer].Add(n)
		l.Closed[RoleRelayedListener][ClosePeer].Add(n)
	}
	g.ListenerConnect(101)
	g.ListenerConnect(401)
	g.ListenerConnect(404)
	g.ListenerConnect(503)
	g.SenderConnect(101)
	g.SenderConnect(404)
	g.SenderConnect(404)
	g.SenderConnect(504)
	g.SenderConnect(200) // A listener rejects with it: no success.
	g.SenderConnect(-1)
	g.SenderConnect(1000)
	g.HTTPResponse(200, 20*time.Millisecond)
	g.HTTPResponse(200, 0)
	g.HTTPResponse(504, time.Minute)
	g.HTTPBytesToListener.Add(6)
	g.HTTPBytesToSender.Add(7)
	g.Rendezvous(20 * time.Millisecond)
	g.AuthFailure("ExpiredToken")
	g.Throttled("listeners_max")
	g.AcceptTimeouts.Add(3)
	g.FailuresHeld.Add(4)
	g.FailuresRefused.Add(5)
	g.HandedOn.Add(6)
	g.HandedHere.Add(7)
	g.Held.Add(8)
	g.Draining.Store(true)

	got := scrape(t, Sources{
		Loops: loops, Gateway: g,
		Gauges: Gauges{
			Listeners:       func() int { return 11 },
			Pending:         func() int { return 12 },
			HeadBytes:       func() int64 { return 13 },
			BodyBytes:       func() int64 { return 16 },
			DescriptorsOpen: func() int { return 14 },
			DescriptorsMax:  func() int { return 15 },
			Entities:        func() int { return 17 },
			AuditFailures:   func() uint64 { return 18 },
		},
		Build: Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"},
	})
	for key, want := range map[string]string{
		"relay_entities":                                                "17",
		"relay_audit_failures_total":                                    "18",
		`relay_accepted_total`:                                          "30",
		`relay_accept_errors_total{kind="descriptor_limit"}`:            "3",
		`relay_accept_errors_total{kind="memory"}`:                      "0",
		`relay_accept_errors_total{kind="other"}`:                       "0",
		`relay_refused_total`:                                           "6",
		`relay_bytes_total{direction="to_listener"}`:                    "300",
		`relay_bytes_total{direction="to_sender"}`:                      "600",
		`relay_reads_total`:                                             "9",
		`relay_writes_total`:                                            "12",
		`relay_loop_yields_total`:                                       "18",
		`relay_loop_posts_total`:                                        "21",
		`relay_migrations_total`:                                        "24",
		`relay_pongs_total`:                                             "27",
		`relay_leftover_bytes`:                                          "1200",
		`relay_leftover_peak_bytes{loop="1"}`:                           "1000",
		`relay_connections{role="head"}`:                                "8",
		`relay_connections{role="relayed_sender"}`:                      "2",
		`relay_connections{role="listener"}`:                            "0",
		`relay_active_connections`:                                      "2",
		`relay_connections_closed_total{reason="peer"}`:                 "6",
		`relay_listener_disconnects_total{reason="drain"}`:              "3",
		`relay_listener_disconnects_total{reason="peer"}`:               "0",
		`relay_sender_disconnects_total{reason="peer"}`:                 "3",
		`relay_sender_disconnects_total{reason="accept_timeout"}`:       "3",
		`relay_listener_connects_total{result="success"}`:               "1",
		`relay_listener_connects_total{result="client_error"}`:          "2",
		`relay_listener_connects_total{result="server_error"}`:          "1",
		`relay_sender_connects_total{code="101",result="success"}`:      "1",
		`relay_sender_connects_total{code="404",result="client_error"}`: "2",
		`relay_sender_connects_total{code="504",result="server_error"}`: "1",
		`relay_sender_connects_total{code="200",result="client_error"}`: "1",
		`relay_sender_connects_total{code="0",result="server_error"}`:   "2",
		`relay_http_requests_total{code="200"}`:                         "2",
		`relay_http_requests_total{code="504"}`:                         "1",
		`relay_http_bytes_total{direction="to_listener"}`:               "6",
		`relay_http_bytes_total{direction="to_sender"}`:                 "7",
		`relay_http_request_seconds_count`:                              "3",
		`relay_http_request_seconds_bucket{le="0.01"}`:                  "1",
		`relay_http_body_bytes`:                                         "16",
		`relay_rendezvous_seconds_count`:                                "1",
		`relay_rendezvous_seconds_bucket{le="0.01"}`:                    "0",
		`relay_rendezvous_seconds_bucket{le="0.025"}`:                   "1",
		`relay_auth_failures_total{reason="ExpiredToken"}`:              "1",
		`relay_throttled_total{quota="listeners_max"}`:                  "1",
		`relay_accept_timeouts_total`:                                   "3",
		`relay_failure_limiter_total{action="held"}`:                    "4",
		`relay_failure_limiter_total{action="refused"}`:                 "5",
		`relay_restart_connections_total{direction="out"}`:              "6",
		`relay_restart_connections_total{direction="in"}`:               "7",
		`relay_restart_held_total`:                                      "8",
		`relay_draining`:                                                "1",
		`relay_active_listeners`:                                        "11",
		`relay_pending_rendezvous`:                                      "12",
		`relay_head_bytes`:                                              "13",
		`relay_open_fds`:                                                "14",
		`relay_max_fds`:                                                 "15",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	build := `relay_build_info{goversion="go1.26",revision="abc",version="1.2.3"}`
	if got[build] != "1" {
		t.Errorf("no %s", build)
	}
}

func TestScrapeOfNothing(t *testing.T) {
	got := scrape(t, Sources{})
	for _, absent := range []string{"relay_active_listeners", "relay_draining"} {
		if _, ok := got[absent]; ok {
			t.Errorf("%s without a source", absent)
		}
	}
	if got["relay_accepted_total"] != "0" {
		t.Error("no counters without loops")
	}
}

// TestNamesAreComplete: every value of the closed lists has a name of its own,
// fit for a label.
func TestNamesAreComplete(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	check := func(kind string, names []string) {
		seen := map[string]bool{}
		for i, name := range names {
			if !form.MatchString(name) || seen[name] || name == "unknown" {
				t.Errorf("%s %d is named %q", kind, i, name)
			}
			seen[name] = true
		}
	}
	check("close reason", closeReasonNames[:])
	check("role", roleNames[:])
	check("accept error", acceptErrorNames[:])
	beyond := []string{
		closeReasonCount.String(), roleCount.String(), acceptErrorCount.String(),
		CloseReason(255).String(), Role(255).String(), AcceptError(255).String(),
	}
	for _, name := range beyond {
		if name != "unknown" {
			t.Errorf("a value beyond the list is named %q", name)
		}
	}
	if len(Roles()) != int(roleCount) || len(CloseReasons()) != int(closeReasonCount)-1 {
		t.Error("a list leaves values out")
	}
}

// TestEveryReasonIsCounted: a close reason that is new in the list is a metric
// without further work, at zero from the start.
func TestEveryReasonIsCounted(t *testing.T) {
	loops := NewLoops(1)
	series := []string{
		"relay_connections_closed_total", "relay_listener_disconnects_total",
		"relay_sender_disconnects_total",
	}
	got := scrape(t, Sources{Loops: loops})
	for _, r := range CloseReasons() {
		for _, name := range series {
			if key := name + `{reason="` + r.String() + `"}`; got[key] != "0" {
				t.Errorf("%s = %q before the first", key, got[key])
			}
		}
		for _, role := range Roles() {
			loops[0].Closed[role][r].Add(1)
		}
	}
	got = scrape(t, Sources{Loops: loops})
	for _, r := range CloseReasons() {
		for i, want := range []string{strconv.Itoa(len(Roles())), "1", "2"} {
			if key := series[i] + `{reason="` + r.String() + `"}`; got[key] != want {
				t.Errorf("%s = %q, want %s", key, got[key], want)
			}
		}
	}
}

// TestScrapesDuringUpdates: scrapes run beside writers without a data race and
// never see a counter go back.
func TestScrapesDuringUpdates(t *testing.T) {
	loops, g := NewLoops(4), NewGateway()
	h := Handler(NewRegistry(Sources{Loops: loops, Gateway: g}))
	stop := make(chan struct{})
	var writers, scrapers sync.WaitGroup
	for _, l := range loops {
		writers.Go(func() {
			for reason := CloseUnset; ; reason = (reason + 1) % closeReasonCount {
				select {
				case <-stop:
					return
				default:
				}
				l.Accepted.Add(1)
				l.AddLeftover(1)
				l.Connections[RoleHead].Add(1)
				l.Closed[RoleListener][reason].Add(1)
				g.SenderConnect(400 + int(reason))
				g.Rendezvous(time.Millisecond)
				g.AuthFailure(reason.String())
			}
		})
	}
	for range 2 {
		scrapers.Go(func() {
			before := 0.0
			for range 5 {
				now, err := strconv.ParseFloat(scrapeHandler(t, h)["relay_accepted_total"], 64)
				if err != nil || now < before {
					t.Errorf("counter went from %g to %g, %v", before, now, err)
				}
				before = now
			}
		})
	}
	scrapers.Wait()
	close(stop)
	writers.Wait()
}

// TestLoopsDoNotShareLines: the first and the last line of a Loop are padding.
func TestLoopsDoNotShareLines(t *testing.T) {
	const line = 64
	var l Loop
	first := unsafe.Offsetof(l.Accepted)
	end := unsafe.Offsetof(l.Closed) + unsafe.Sizeof(l.Closed)
	if first < line || unsafe.Sizeof(l)-end < line {
		t.Errorf("counters at %d to %d of %d", first, end, unsafe.Sizeof(l))
	}
}

func TestHistory(t *testing.T) {
	entry := func(i int) Closed { return Closed{Detail: string(rune('a' + i))} }
	for name, c := range map[string]struct {
		size, added, limit int
		want               string
	}{
		"empty":         {size: 3, limit: 10},
		"part":          {size: 3, added: 2, limit: 10, want: "ba"},
		"full":          {size: 3, added: 3, limit: 10, want: "cba"},
		"over":          {size: 3, added: 8, limit: 10, want: "hgf"},
		"limit":         {size: 3, added: 8, limit: 2, want: "hg"},
		"limit zero":    {size: 3, added: 8, limit: 0},
		"limit below":   {size: 3, added: 8, limit: -1},
		"size zero":     {size: 0, added: 8, limit: 10},
		"size negative": {size: -1, added: 8, limit: 10},
		"size one":      {size: 1, added: 8, limit: 10, want: "h"},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHistory(c.size)
			for i := range c.added {
				h.Add(entry(i))
			}
			if n := min(c.added, max(c.size, 0)); h.Len() != n {
				t.Errorf("Len = %d, want %d", h.Len(), n)
			}
			got := ""
			for _, e := range h.Last(c.limit) {
				got += e.Detail
			}
			if got != c.want {
				t.Errorf("Last = %q, want %q", got, c.want)
			}
		})
	}
}

func TestHistoryConcurrently(t *testing.T) {
	h := NewHistory(16)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for range 1000 {
				h.Add(Closed{Role: Role(g), Reason: ClosePeer})
				if n := len(h.Last(100)); n < 1 || n > 16 {
					t.Errorf("%d entries", n)
				}
			}
		})
	}
	wg.Wait()
}

var closedExample = Closed{
	Time: time.Unix(1, 0), Role: RoleRelayedSender, Reason: ClosePeer,
	Peer: netip.MustParseAddrPort("192.0.2.1:5"), Entity: "ns/e", TrackingID: "id",
	BytesIn: 1, BytesOut: 2, Duration: time.Second, Detail: "text",
}

func BenchmarkScrape(b *testing.B) {
	h := Handler(NewRegistry(Sources{Loops: NewLoops(8), Gateway: NewGateway()}))
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func BenchmarkHistoryAdd(b *testing.B) {
	h := NewHistory(256)
	b.ReportAllocs()
	for b.Loop() {
		h.Add(closedExample)
	}
}

// TestCertificates: the first to expire, 100 of them.
func TestCertificates(t *testing.T) {
	left := map[string]float64{"bad\xff": -5}
	for i := range 2 * certificatesMax {
		left["n"+strconv.Itoa(i)] = float64(i)
	}
	r := NewRegistry(Sources{Gauges: Gauges{Certificates: func() map[string]float64 { return left }}})
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() != "relay_certificate_expiry_seconds" {
			continue
		}
		seen := map[string]bool{}
		for _, m := range family.GetMetric() {
			seen[m.GetLabel()[0].GetValue()] = true
		}
		if len(seen) != certificatesMax || !seen["bad?"] || !seen["n98"] || seen["n99"] {
			t.Errorf("%d series", len(seen))
		}
		return
	}
	t.Error("no metric")
}
