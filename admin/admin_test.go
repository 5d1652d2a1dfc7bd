package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
)

type readiness []Condition

func (r readiness) Ready() []Condition { return r }

// source is a node with one of everything; it records the limit it was asked.
type source struct{ limit int }

func (s *source) Gateway() Gateway { return Gateway{ID: 7, Version: "1.2.3"} }

func (s *source) Loops() []Loop { return []Loop{{Index: 0, Accepted: 5}} }

func (s *source) Connections() map[string]int64 { return map[string]int64{"listener": 2} }

func (s *source) Listeners(limit int) List[Listener] {
	s.limit = limit
	return List[Listener]{Total: 9, Items: []Listener{{Entity: "ns/e", ID: "l1"}}}
}

func (s *source) Pending(limit int) List[Sender] {
	s.limit = limit
	return List[Sender]{}
}

func (s *source) Pools() []Pool { return []Pool{{Name: "heads", Used: 4096}} }

func (s *source) Closed(limit int) List[Closed] {
	s.limit = limit
	return List[Closed]{Total: 1, Items: []Closed{{Reason: "peer"}}}
}

func (s *source) Certificates(limit int) List[Certificate] {
	s.limit = limit
	return List[Certificate]{Total: 1, Items: []Certificate{{Names: []string{"a"}}}}
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

var (
	passes = Check{"passes", func(context.Context) error { return nil }}
	fails  = Check{"fails", func(context.Context) error { return errors.New("no table") }}
)

func TestPaths(t *testing.T) {
	ready := Options{
		Readiness: readiness{{"listening", true, ""}, {"entities", true, "2 loaded"}},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "relay_draining 0\n")
		}),
		Status: &source{},
		Checks: []Check{passes},
	}
	draining := Options{
		Readiness: readiness{{"listening", true, ""}, {"draining", false, "since 12:00"}},
		Checks:    []Check{passes, fails},
	}
	for _, c := range []struct {
		options Options
		target  string
		status  int
		body    string // A part of it.
	}{
		{ready, "/", 200, "/debug/check"},
		{ready, "/livez", 200, "ok\n"},
		{ready, "/healthz", 200, "ok\n"},
		{ready, "/readyz", 200, "ok\n"},
		{ready, "/readyz?verbose", 200, "ok   listening\nok   entities: 2 loaded\nok\n"},
		{ready, "/health", 200, `{"status":"healthy","message":"Service is healthy."}`},
		{ready, "/metrics", 200, "relay_draining 0\n"},
		{ready, "/status", 200, `"pools": [`},
		{ready, "/status/pending", 200, `"items": []`},
		{ready, "/status/nothing", 404, ""},
		{ready, "/status/", 404, ""},
		{ready, "/status?limit=0", 400, `limit: want 1–10000, got "0"`},
		{ready, "/status/closed?limit=10001", 400, "limit"},
		{ready, "/status/closed?limit=ten", 400, "limit"},
		{ready, "/status/closed?limit=99999999999999999999", 400, "limit"},
		{ready, "/debug/check", 200, "ok   passes\n1 checks\n"},
		{ready, "/debug/pprof/", 200, "goroutine"},
		{ready, "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{ready, "/debug/pprof/cmdline", 200, "admin.test"},
		{ready, "/nothing", 404, ""},
		{draining, "/livez", 200, "ok\n"},
		{draining, "/readyz", 503, "not ready: draining\n"},
		{draining, "/readyz?verbose=1", 503,
			"ok   listening\nFAIL draining: since 12:00\nnot ready: draining\n"},
		{draining, "/health", 503,
			`{"status":"unhealthy","message":"Service is not ready: draining."}`},
		{draining, "/debug/check", 503, "ok   passes\nFAIL fails: no table\n2 checks\n"},
		{draining, "/status", 404, ""},
		{draining, "/metrics", 404, ""},
		{Options{}, "/readyz?verbose", 200, "ok\n"},
	} {
		w := get(Handler(c.options), http.MethodGet, c.target)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("GET %s = %d %q, want %d %q", c.target, w.Code, w.Body, c.status, c.body)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s may be cached", c.target)
		}
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	h := Handler(Options{Status: &source{}, Metrics: http.NotFoundHandler()})
	paths := []string{
		"/", "/livez", "/healthz", "/readyz", "/health", "/metrics", "/status",
		"/status/loops", "/debug/check", "/debug/pprof/", "/debug/pprof/symbol",
	}
	for _, path := range paths {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			w := get(h, method, path)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s = %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
		if w := get(h, http.MethodHead, path); path != "/metrics" && w.Code != http.StatusOK {
			t.Errorf("HEAD %s = %d", path, w.Code)
		}
	}
}

func TestStatusIsComplete(t *testing.T) {
	s := &source{}
	h := Handler(Options{Status: s})
	w := get(h, http.MethodGet, "/status?limit=10000")
	if got := w.Header().Get("Content-Type"); got != applicationJSON {
		t.Errorf("Content-Type %q", got)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &whole); err != nil {
		t.Fatal(err)
	}
	if s.limit != 10_000 {
		t.Errorf("limit %d", s.limit)
	}
	for part := range whole {
		if part == "gateway" { // Only in the whole.
			continue
		}
		var alone, within any
		w := get(h, http.MethodGet, "/status/"+part)
		if err := json.Unmarshal(w.Body.Bytes(), &alone); err != nil {
			t.Errorf("/status/%s: %d %v", part, w.Code, err)
		}
		if err := json.Unmarshal(whole[part], &within); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone, within) {
			t.Errorf("/status/%s = %v, within the whole %v", part, alone, within)
		}
	}
	if len(whole) != reflect.TypeFor[Status]().NumField() || s.limit != listLimitDefault {
		t.Errorf("%d parts, limit %d", len(whole), s.limit)
	}
}

// TestStatusOfMetrics: every counter of a loop reaches the status, and every
// member of a closed connection.
func TestStatusOfMetrics(t *testing.T) {
	loops := metrics.NewLoops(2)
	l := loops[1]
	l.Accepted.Store(1)
	l.AcceptErrors[metrics.AcceptMemory].Store(2)
	l.Refused.Store(3)
	l.BytesToListener.Store(4)
	l.BytesToSender.Store(5)
	l.Reads.Store(6)
	l.Writes.Store(7)
	l.Yields.Store(8)
	l.PostsRun.Store(9)
	l.Migrations.Store(10)
	l.PongsSent.Store(11)
	l.LeftoverBytes.Store(12)
	l.LeftoverPeak.Store(13)
	l.Connections[metrics.RoleHead].Store(15)
	l.Connections[metrics.RoleListener].Store(1)
	want := Loop{
		1, 16, 1, map[string]uint64{"descriptor_limit": 0, "memory": 2, "other": 0},
		3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	}
	if got := LoopsOf(loops); len(got) != 2 || !reflect.DeepEqual(got[1], want) {
		t.Errorf("LoopsOf = %+v", got)
	}
	loops[0].Connections[metrics.RoleHead].Store(100)
	byRole := ConnectionsOf(loops)
	if len(byRole) != len(metrics.Roles()) || byRole["head"] != 115 || byRole["listener"] != 1 {
		t.Errorf("ConnectionsOf = %v", byRole)
	}
	h := metrics.NewHistory(2)
	c := metrics.Closed{
		Time: time.Unix(1, 0), Role: metrics.RoleListener, Reason: metrics.CloseDrain,
		Peer: netip.MustParseAddrPort("192.0.2.1:5"), Entity: "ns/e", TrackingID: "id",
		BytesIn: 1, BytesOut: 2, Duration: 1500 * time.Millisecond, Detail: "text",
	}
	h.Add(metrics.Closed{})
	h.Add(c)
	got := ClosedOf(h, 1)
	wantClosed := Closed{
		c.Time, "listener", "drain", "192.0.2.1:5", "ns/e", "id", 1, 2, 1.5, "text",
	}
	if got.Total != 2 || len(got.Items) != 1 || got.Items[0] != wantClosed {
		t.Errorf("ClosedOf = %+v", got)
	}
}

func TestChecksRunOneAtATime(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := Handler(Options{Checks: []Check{{"slow", func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a check without a deadline")
		}
		close(entered)
		<-leave
		return nil
	}}}})
	done := make(chan int)
	go func() { done <- get(h, http.MethodGet, "/debug/check").Code }()
	<-entered
	if code := get(h, http.MethodGet, "/debug/check").Code; code != http.StatusTooManyRequests {
		t.Errorf("second run: %d", code)
	}
	close(leave)
	if code := <-done; code != http.StatusOK {
		t.Errorf("first run: %d", code)
	}
}

// start serves on a free port of loopback until the test ends.
func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s, err := Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, "http://" + s.Addr().String()
}

// client keeps no connection, so that tests do not see each other's.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func TestServe(t *testing.T) {
	_, url := start(t, Options{Metrics: metrics.Handler(
		metrics.NewRegistry(metrics.Sources{Loops: metrics.NewLoops(1)}))})
	for _, path := range []string{"/readyz", "/metrics"} {
		resp, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || len(body) == 0 {
			t.Errorf("GET %s = %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestListenErrors(t *testing.T) {
	s, _ := start(t, Options{})
	_, err := Listen(s.Addr().String(), Options{})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:port", "192.0.2.1:0", ":-1"} {
		if _, err := Listen(address, Options{}); err == nil {
			t.Errorf("Listen(%q) succeeds", address)
		}
	}
}

func TestCloseBeforeServe(t *testing.T) {
	s, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
	again, err := Listen(s.Addr().String(), Options{})
	if err != nil {
		t.Fatalf("the port is still in use: %v", err)
	}
	_ = again.Close(context.Background())
}

// TestCloseEndsWhatDoesNotEnd: a request that hangs does not hold up a stop
// beyond the given time.
func TestCloseEndsWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{})
	s, err := Listen("127.0.0.1:0", Options{
		Log: slog.New(slog.DiscardHandler),
		Checks: []Check{{"hangs", func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve() }()
	go func() {
		resp, err := client.Get("http://" + s.Addr().String() + "/debug/check")
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the request that hangs got an answer")
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestHeadIsBounded(t *testing.T) {
	_, url := start(t, Options{})
	r, _ := http.NewRequest(http.MethodGet, url+"/readyz", nil)
	r.Header.Set("X-Large", strings.Repeat("x", 2*headBytesMax))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestTimesAreBounded(t *testing.T) {
	s, _ := start(t, Options{})
	h := s.HTTP()
	if h.ReadTimeout <= 0 || h.WriteTimeout <= checksTimeout || h.IdleTimeout <= 0 {
		t.Errorf("read %v, write %v, idle %v", h.ReadTimeout, h.WriteTimeout, h.IdleTimeout)
	}
}

// TestConnectionsAreBounded: the connection over the limit is closed, and one
// that goes makes room.
func TestConnectionsAreBounded(t *testing.T) {
	s, _ := start(t, Options{})
	ask := func() (net.Conn, error) {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err = c.Read(make([]byte, 1))
		return c, err
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for i := range connectionsMax {
		c, err := ask()
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		open = append(open, c)
	}
	c, err := ask()
	open = append(open, c)
	if err == nil {
		t.Fatal("a connection over the limit is served")
	}
	_ = open[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := ask()
		open = append(open, c)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that went made no room")
		}
	}
}
