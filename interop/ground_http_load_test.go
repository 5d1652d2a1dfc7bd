package interop

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of many HTTP requests: in a row, at once, and more than a listener
// takes.

// TestGroundHTTPPipeline: 50 requests in one write, some of them refused, are
// answered in order on the same connection.
func TestGroundHTTPPipeline(t *testing.T) {
	forEachStyle(t, func(t *testing.T, g *emulator.Gateway, style httpStyle) {
		l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
			if err := r.readBody(); err != nil {
				return err
			}
			return style.respond(r, reply{body: append([]byte(r.header("X-Index")+" "),
				r.body...), dial: r.header("X-Dial") != ""})
		})
		token := "ServiceBusAuthorization: " + namespaceToken(emulator.Key)
		const requests = 50
		var list []outgoing
		for i := range requests {
			o := anonymousTarget(outgoing{lines: indexLine(i)})
			switch {
			case i%10 == 3:
				o.target, o.lines = "/nosuch", []string{token}
			case i%10 == 6:
				o.target = "/" + emulator.Authenticated
			case i%4 == 1:
				o.method, o.body = "POST", pattern(i*20)
			case i%4 == 2:
				o.method, o.body, o.chunk = "PUT", pattern(i*2000), 1000
			case i%8 == 0:
				o.lines = append(o.lines, "X-Dial: 1")
			}
			list = append(list, o)
		}
		s := dialSender(t, g)
		for range 3 {
			var wire []byte
			for _, o := range list {
				wire = append(wire, o.bytes(g.HTTP)...)
			}
			sent := make(chan error, 1)
			go func() { sent <- s.write(wire) }()
			for i, o := range list {
				r := s.mustReceive(t, o.method)
				switch o.target {
				case "/nosuch":
					wantHTTPRefusal(t, r, 404, "EndpointNotFound", "", "nosuch")
				case "/" + emulator.Authenticated:
					wantHTTPRefusal(t, r, 401, "TokenMissingOrInvalid", "", o.target[1:])
				default:
					want := append([]byte(strconv.Itoa(i)+" "), o.body...)
					wantResponse(t, r, 200, "OK", want)
				}
				if r.closes() {
					t.Fatalf("response %d ends the connection", i)
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
		if l.seen() != 3*requests*8/10 {
			t.Errorf("the listener has seen %d requests", l.seen())
		}
	})
}

// TestGroundHTTPKeepAlive: a thousand requests on one connection.
func TestGroundHTTPKeepAlive(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	l := listenHTTP(t, g, emulator.Anonymous, func(r *httpRequest) error {
		return echoWith(httpStyles[len(r.body)%3], reply{})(r)
	})
	s := dialSender(t, g)
	const requests = 1000
	for i := range requests {
		o := anonymousTarget(outgoing{method: "POST", body: pattern(i)})
		if i%3 == 0 {
			o = anonymousTarget(outgoing{})
		}
		r := s.fetch(t, o)
		wantResponse(t, r, 200, "OK", o.body)
		if r.closes() {
			t.Fatalf("response %d ends the connection", i)
		}
	}
	if l.seen() != requests {
		t.Errorf("the listener has seen %d requests, want %d", l.seen(), requests)
	}
}

// TestGroundHTTPRandomOrder: the responses to 100 requests at once come in any
// order, each to its own sender.
func TestGroundHTTPRandomOrder(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	const senders = 100
	w := watch(t, g, emulator.Anonymous)
	var all sync.WaitGroup
	for i := range senders {
		s := dialSender(t, g)
		all.Go(func() {
			for round := range 3 {
				o := anonymousTarget(outgoing{method: "POST", lines: indexLine(i),
					body: fmt.Append(nil, i, round)})
				if i%10 == 0 {
					o.body = append(o.body, pattern(70_000)...)
				}
				r, err := s.exchange(o)
				if err != nil {
					t.Errorf("sender %d: %v", i, err)
					return
				}
				wantResponse(t, r, 200, "OK", append(fmt.Append(nil, "answer to ", i, " "),
					o.body...))
			}
		})
	}
	for range 3 {
		var waiting []*httpRequest
		for range senders {
			select {
			case r := <-w.requests:
				waiting = append(waiting, r)
			case <-time.After(peerTimeout):
				t.Fatalf("%d of %d requests have come", len(waiting), senders)
			}
		}
		rand.Shuffle(len(waiting), func(i, j int) {
			waiting[i], waiting[j] = waiting[j], waiting[i]
		})
		var replies sync.WaitGroup
		for i, r := range waiting {
			if err := r.readBody(); err != nil {
				t.Fatal(err)
			}
			body := append(fmt.Append(nil, "answer to ", r.index(), " "), r.body...)
			a := reply{body: body, piece: []int{0, 3, 1000}[i%3], dial: i%7 == 0}
			replies.Go(func() {
				if err := httpStyles[i%3].respond(r, a); err != nil {
					t.Errorf("reply: %v", err)
				}
			})
		}
		replies.Wait()
	}
	all.Wait()
}

// TestGroundHTTPStuckListener: a listener that does not read its control
// channel gets no more than a bounded queue; what comes above it is 503, or
// goes to another listener, and nobody else notices.
func TestGroundHTTPStuckListener(t *testing.T) {
	t.Parallel()
	g := emulator.Serve(t, "http:\n  response_timeout: 3s\n"+httpNamespace)
	stuck := openListener(t, g, emulator.Anonymous, "", emulator.Token(emulator.Anonymous),
		func(r *httpRequest) error { return dotnetReply(r, reply{body: []byte("late")}) })
	listenHTTP(t, g, "streaming", respondWith(httpStyles[2], reply{}))
	sender, listener, _ := relay(t, g, framerPeer, framerPeer, emulator.Authenticated)

	const requests = 2000
	counts := make(chan map[int]int, 1)
	go func() { counts <- flood(t, g, requests, requests, 30_000) }()
	var got map[int]int
	s := dialSender(t, g)
	for rounds := 0; got == nil || rounds < 5; rounds++ {
		begun := time.Now()
		wantResponse(t, s.fetch(t, outgoing{target: "/streaming"}), 200, "OK", nil)
		transfer(t, sender, listener, framer.Binary, pattern(1000))
		transfer(t, listener, sender, framer.Binary, pattern(70_000))
		if took := time.Since(begun); took > unaffectedTime {
			t.Errorf("others took %v meanwhile", took)
		}
		select {
		case got = <-counts:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if got[503] == 0 || got[503]+got[504] != requests {
		t.Errorf("statuses %v of %d requests, want 503 and 504 only", got, requests)
	}

	// Its queue is full: all goes to the other one.
	good := listenHTTP(t, g, emulator.Anonymous, respondWith(httpStyles[0], reply{}))
	if got := flood(t, g, 200, 5, 40_000); got[200] != 200 || good.seen() != 200 {
		t.Errorf("statuses %v with another listener, which has seen %d of 200", got, good.seen())
	}
	good.retire(t)

	// What it reads in the end is well-formed, and it is of use again.
	go stuck.serve()
	eventually(t, "the stuck listener to have caught up", func() bool {
		r := fetch(t, g, anonymousTarget(outgoing{}))
		return r.Status == 200 && string(r.body) == "late"
	})
	if stuck.seen() < got[504] {
		t.Errorf("the stuck listener has seen %d requests, %d were 504", stuck.seen(), got[504])
	}
}

// flood sends n requests, so many at once, each on a connection of its own, and
// counts the statuses.
func flood(t *testing.T, g *emulator.Gateway, n, atOnce, size int) map[int]int {
	statuses, slots := make(chan int, n), make(chan struct{}, atOnce)
	for range n {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s, err := tryDialSender(g.HTTP)
			if err != nil {
				t.Errorf("dial: %v", err)
				statuses <- 0
				return
			}
			defer s.abort()
			r, err := s.exchange(anonymousTarget(outgoing{method: "POST", body: pattern(size)}))
			if err != nil {
				t.Errorf("exchange: %v", err)
				statuses <- 0
				return
			}
			if r.Status == 503 && !strings.Contains(string(r.body), "ServiceUnavailable") {
				t.Errorf("503 with the body %q", r.body)
			}
			statuses <- r.Status
		}()
	}
	counts := map[int]int{}
	for range n {
		counts[<-statuses]++
	}
	return counts
}
