package interop

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Settings of relayed HTTP (docs/configuration.md), the drain, and what is left
// of all that in the gateway.

func TestHTTPRawTarget(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "http:\n  request_target: raw\n"+httpNamespace)
	w := watch(t, g, emulator.Anonymous)
	for _, target := range []string{"/a%20b", "/%41%7e?x=%41", "//x/../y/./z", "/%2F%25"} {
		target = "/" + emulator.Anonymous + target
		if r := w.seen(t, g, outgoing{target: target}); r.RequestTarget != target {
			t.Errorf("%s arrives as %s", target, r.RequestTarget)
		}
	}
}

func TestHTTPNoListenerStatus(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "http:\n  no_listener_status: 502\n"+httpNamespace)
	r := fetch(t, g, outgoing{target: "/" + emulator.Anonymous})
	wantHTTPRefusal(t, r, 502, "BadGateway", "There are no listeners connected for the endpoint",
		emulator.Anonymous)
	wantNoListeners(t, g, framerPeer) // of a WebSocket: 404
}

func TestHTTPKeyParameters(t *testing.T) {
	t.Parallel()
	query := "?a=b&sb-hc-sas-key-name=" + emulator.KeyName + "&sb-hc-sas-key="
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			t.Parallel()
			g := emulator.Serve(t, fmt.Sprintf("http:\n  key_parameters: %t\n", on)+httpNamespace)
			w := watch(t, g, emulator.Authenticated)
			target := "/" + emulator.Authenticated
			bad := []string{query + "wrong", "?sb-hc-sas-key-name=" + emulator.KeyName,
				"?sb-hc-sas-key=" + emulator.Key,
				"?sb-hc-sas-key-name=nobody&sb-hc-sas-key=" + emulator.Key}
			if on {
				r := w.seen(t, g, outgoing{target: target + query + emulator.Key})
				if r.RequestTarget != target+"?a=b" || strings.Contains(r.text, emulator.Key) {
					t.Errorf("the listener sees %s", r.text)
				}
			} else {
				bad = append(bad, query+emulator.Key)
			}
			for _, q := range bad {
				r := fetch(t, g, outgoing{target: target + q})
				wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", "", emulator.Authenticated)
				if strings.Contains(r.Reason, emulator.Key) {
					t.Errorf("the refusal shows the key: %s", r.Reason)
				}
			}
		})
	}
}

func TestHTTPForwarded(t *testing.T) {
	const forAddress, proto, standard = "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"
	tests := map[string]map[string]string{
		"off":         {forAddress: "", proto: "", standard: ""},
		"x-forwarded": {forAddress: "127.0.0.1", proto: "http", standard: ""},
		"forwarded":   {forAddress: "", proto: "", standard: "for=127.0.0.1"},
		"both":        {forAddress: "127.0.0.1", proto: "http", standard: "for=127.0.0.1"},
	}
	for mode, want := range tests {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			g := emulator.Serve(t, "http:\n  forwarded: "+mode+"\n"+httpNamespace)
			w := watch(t, g, emulator.Anonymous)
			for _, sent := range []string{"", "203.0.113.7", "203.0.113.7, 198.51.100.1"} {
				o := outgoing{target: "/" + emulator.Anonymous}
				own := map[string]string{}
				if sent != "" {
					own = map[string]string{forAddress: sent, standard: "for=" + sent[:11]}
					for name, value := range own {
						o.lines = append(o.lines, name+": "+value)
					}
				}
				r := w.seen(t, g, o)
				for name, value := range want {
					parts := slices.DeleteFunc([]string{own[name], value},
						func(s string) bool { return s == "" })
					got, whole := r.header(name), strings.Join(parts, ", ")
					if got != whole && (name != standard || !strings.HasPrefix(got, whole) ||
						value == "") {
						t.Errorf("%s: the listener sees %q, want %q", name, got, whole)
					}
				}
			}
		})
	}
}

// TestHTTPBodyMemory: what is over the memory for collecting goes by
// rendezvous, and the memory comes back.
func TestHTTPBodyMemory(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "http:\n  body_memory: 1MiB\n  collect_time: 10s\n"+httpNamespace)
	var mu sync.Mutex
	forms := map[bool]int{}
	listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		mu.Lock()
		forms[r.rendezvous]++
		mu.Unlock()
		return echoWith(httpStyles[0], reply{})(r)
	})
	o := anonymousTarget(outgoing{method: "POST", body: pattern(65_000)})
	wire := o.bytes(g.HTTP)
	const senders = 40
	for range 3 {
		mu.Lock()
		clear(forms)
		mu.Unlock()
		var all []*httpSender
		for range senders {
			s := dialSender(t, g)
			s.send(t, string(wire[:len(wire)/2]))
			all = append(all, s)
		}
		eventually(t, "the memory to be used", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return forms[true] == senders-16 // 16 bodies are 1 MiB
		})
		for _, s := range all {
			s.send(t, string(wire[len(wire)/2:]))
		}
		for _, s := range all {
			wantResponse(t, s.mustReceive(t, "POST"), 200, "OK", o.body)
			s.abort()
		}
		mu.Lock()
		if forms[false] != 16 {
			t.Errorf("by rendezvous or not: %v, want 16 on the control channel", forms)
		}
		mu.Unlock()
		wantMetrics(t, g, map[string]float64{"relay_http_body_bytes": 0})
	}
}

// TestHTTPDrain: on SIGTERM what is under way by rendezvous ends as it should,
// with the end of the connection announced; idle connections end at once.
func TestHTTPDrain(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	reached, goOn := make(chan struct{}, 2), make(chan struct{})
	l := openListener(t, g, emulator.Anonymous, "", emulator.Token(emulator.Anonymous), nil)
	large := anonymousTarget(outgoing{method: "POST", body: pattern(100_000)})
	begun, waiting, idle := dialSender(t, g), dialSender(t, g), dialSender(t, g)
	idle.send(t, requestHead("GET /nosuch HTTP/1.1"))
	if r := idle.mustReceive(t, "GET"); r.Status != 401 || r.closes() {
		t.Fatalf("status %d", r.Status)
	}
	begun.send(t, string(large.bytes(g.HTTP)))
	var parts sync.WaitGroup
	serveOne := func(stage func(r *httpRequest) error) {
		parts.Go(func() { l.meetOne(t, stage) })
		<-reached
	}
	serveOne(func(r *httpRequest) error {
		err := errors.Join(r.readBody(), r.beginResponse("first "))
		reached <- struct{}{}
		<-goOn
		return errors.Join(err, r.onRendezvous(framer.Message(framer.Continuation, []byte("last"))),
			r.ended(1000))
	})
	waiting.send(t, string(large.bytes(g.HTTP)))
	serveOne(func(r *httpRequest) error {
		err := r.readBody()
		reached <- struct{}{}
		<-goOn
		return errors.Join(err, nodeReply(r, reply{body: []byte("only")}))
	})
	head := begun.mustReceiveHead(t, "POST")
	head.wantPart(t, []byte("first "))

	ended := make(chan error, 1)
	go func() {
		clean, err := g.Terminate(peerTimeout)
		if err == nil && !clean {
			err = errors.New("the gateway did not end with status 0")
		}
		ended <- err
	}()
	wantTracked(t, wantClosed(t, l, 1001))
	idle.wantEnd(t)
	close(goOn)
	head.wantPart(t, []byte("last"))
	head.wantBodyEnd(t)
	begun.wantEnd(t)
	r := waiting.mustReceive(t, "POST")
	wantResponse(t, r, 200, "OK", []byte("only"))
	if !r.closes() {
		t.Error("a response in the drain does not announce the end of the connection")
	}
	waiting.wantEnd(t)
	parts.Wait()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHTTPDrainOnControl: requests on a control channel are still answered, and
// the channel ends behind the last response.
func TestHTTPDrainOnControl(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := openListener(t, g, emulator.Anonymous, "", emulator.Token(emulator.Anonymous), nil)
	s := dialSender(t, g)
	s.send(t, behind+behind)
	r, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		clean, err := g.Terminate(peerTimeout)
		if err == nil && !clean {
			err = errors.New("the gateway did not end with status 0")
		}
		ended <- err
	}()
	eventually(t, "refusal of new connections", func() bool {
		c, err := framer.Connect(g.HTTP)
		if err == nil {
			c.Abort()
		}
		return err != nil
	})
	if err := dotnetReply(r, reply{body: []byte("in time")}); err != nil {
		t.Fatal(err)
	}
	response := s.mustReceive(t, "GET")
	wantResponse(t, response, 200, "OK", []byte("in time"))
	wantTracked(t, wantClosed(t, l, 1001))
	if response.closes() {
		s.wantEnd(t)
	} else { // the one behind is refused, if it is answered at all
		if response, err = s.receive("GET"); err == nil && response.Status != 503 {
			t.Errorf("status %d in the drain, want 503", response.Status)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// metricsOf reads the gauges and counters of the gateway.
func metricsOf(t *testing.T, g *emulator.Gateway) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	values := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = value
		}
	}
	return values
}

// wantMetrics waits for metrics to have these values.
func wantMetrics(t *testing.T, g *emulator.Gateway, want map[string]float64) {
	t.Helper()
	var got map[string]float64
	deadline := time.Now().Add(peerTimeout)
	for wrong := true; wrong; {
		got, wrong = metricsOf(t, g), false
		for name, value := range want {
			if got[name] != value {
				wrong = true
				if time.Now().After(deadline) {
					t.Errorf("%s is %v, want %v", name, got[name], value)
				}
			}
		}
		if wrong && time.Now().After(deadline) {
			t.FailNow()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestHTTPSenderGoneWhileWaiting: a request whose sender has reset its
// connection is given up, wherever it waits, and takes nothing any more.
func TestHTTPSenderGoneWhileWaiting(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := openListener(t, g, emulator.Anonymous, "", emulator.Token(emulator.Anonymous), nil)
	for _, o := range []outgoing{{}, {method: "POST", body: pattern(50_000)},
		{method: "POST", body: pattern(70_000)}, {method: "POST", body: pattern(10), chunk: 5}} {
		s := dialSender(t, g)
		s.send(t, string(anonymousTarget(o).bytes(g.HTTP)))
		r, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		s.abort()
		wantMetrics(t, g, map[string]float64{"relay_head_bytes": 0, "relay_http_body_bytes": 0,
			`relay_connections{role="http_sender"}`: 0})
		_, refusal, _ := framerPeer.dial(r.Address, nil)
		wantRefusal(t, refusal, 403, "", emulator.Anonymous)
	}
}

// TestHTTPNothingLeft lets senders and listeners leave at random places, and
// then wants the gateway to hold nothing of it.
func TestHTTPNothingLeft(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "http:\n  response_timeout: 1s\n  body_gap: 1s\n"+
		"gateway:\n  rendezvous_window: 1s\n"+httpNamespace)
	before := metricsOf(t, g)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	var all sync.WaitGroup
	end := time.Now().Add(4 * time.Second)
	for range 8 { // listeners that come and go
		all.Go(func() {
			for time.Now().Before(end) {
				l, err := randomListener(g, chance)
				if err != nil {
					t.Errorf("listen: %v", err)
					return
				}
				leave := time.AfterFunc(300*time.Millisecond, l.Abort)
				for range chance(20) {
					r, err := l.next()
					if err != nil {
						break
					}
					all.Go(func() { randomReply(r, chance) })
				}
				leave.Stop()
				l.Abort()
			}
		})
	}
	for range 20 {
		all.Go(func() {
			for time.Now().Before(end) {
				randomSender(g, chance)
			}
		})
	}
	all.Wait()
	want := map[string]float64{"relay_head_bytes": 0, "relay_http_body_bytes": 0,
		"relay_active_connections": 0, "relay_active_listeners": 0}
	for name := range maps.Keys(before) {
		if strings.HasPrefix(name, "relay_connections{") {
			want[name] = 0
		}
	}
	wantMetrics(t, g, want)
	after := metricsOf(t, g)
	for name, slack := range map[string]float64{"process_open_fds": 5, "go_goroutines": 5} {
		if after[name] > before[name]+slack {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
}

func randomListener(g *emulator.Gateway, chance func(int) int) (*httpListener, error) {
	entity := []string{emulator.Anonymous, "streaming"}[chance(2)]
	c, _, err := dialFramer(g.URL(entity, "sb-hc-action=listen"),
		tokenHeader(emulator.Token(entity)))
	if err != nil {
		return nil, err
	}
	return &httpListener{framerConn: c.(*framerConn)}, nil
}

// randomReply does anything with a request, and leaves no connection open.
func randomReply(r *httpRequest, chance func(int) int) {
	defer func() {
		if r.conn != nil {
			r.conn.Abort()
		}
	}()
	if r.rendezvous && (chance(5) == 0 || r.meet() != nil) {
		return
	}
	if chance(4) > 0 && r.readBody() != nil {
		return
	}
	switch chance(8) {
	case 0: // silence
	case 1:
		if r.dial() == nil && r.beginResponse("half") == nil {
			_ = legEnds[chance(len(legEnds))].end(r.conn)
		}
	case 2:
		_ = r.beginResponse("half")
	default:
		a := reply{body: pattern(chance(3) * chance(100_000)), piece: chance(3) * 5000,
			dial: chance(3) == 0}
		_ = httpStyles[chance(3)].respond(r, a)
	}
}

// randomSender sends some requests, whole or in part, and reads the responses,
// or not.
func randomSender(g *emulator.Gateway, chance func(int) int) {
	s, err := tryDialSender(g.HTTP)
	if err != nil {
		return
	}
	defer []func(){s.abort, s.close}[chance(2)]()
	for range chance(4) {
		o := outgoing{target: "/" + []string{emulator.Anonymous, "streaming", "nosuch"}[chance(3)],
			chunk: chance(2) * 1000 * (1 + chance(60))}
		if chance(3) > 0 || o.chunk > 0 {
			o.method, o.body = "POST", pattern(chance(3)*chance(70_000))
		}
		wire := o.bytes(g.HTTP)
		if chance(4) == 0 {
			wire = wire[:chance(len(wire))]
		}
		if s.write(wire) != nil || chance(4) == 0 {
			return
		}
		r, err := s.receiveSoon(o.method)
		if err != nil || r.closes() {
			return
		}
	}
}

// receiveSoon is receive that gives up in time.
func (s *httpSender) receiveSoon(method string) (*httpResponse, error) {
	timer := time.AfterFunc(500*time.Millisecond, s.close)
	defer timer.Stop()
	return s.receive(method)
}
