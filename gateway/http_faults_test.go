package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// cuts are the ways in which a connection ends in the middle of something.
var cuts = map[string]func(*relaytest.Raw){
	"end of stream": func(c *relaytest.Raw) { _ = c.Close() },
	"reset":         func(c *relaytest.Raw) { c.Abort() },
}

// wantNothingLeft shows that a node has no exchange and is in order.
func wantNothingLeft(t *testing.T, n *relaytest.Node) {
	t.Helper()
	for _, series := range []string{
		`relay_connections{role="http_sender"}`, `relay_connections{role="http_listener"}`,
		"relay_pending_rendezvous", "relay_http_body_bytes", "relay_head_bytes", "relay_leftover_bytes",
		`relay_connections_closed_total{reason="internal"}`,
		`relay_connections_closed_total{reason="unset"}`,
	} {
		n.WantMetric(t, series, 0)
	}
}

// TestHTTPRequestsCut at every byte, of every kind.
func TestHTTPRequestsCut(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	l.Serve(t, sentBack)
	for _, end := range cuts {
		for _, chunked := range []bool{false, true} {
			request := bodyRequest(n, "body", chunked)
			for i := range request {
				s := n.Raw(t)
				s.Send(t, request[:i])
				end(s)
			}
			s := n.Raw(t)
			s.Send(t, request)
			s.WantResponse(t, 200, "body")
			end(s)
		}
		wantNothingLeft(t, n)
		l.Ping(t)
	}
}

// TestHTTPRequestsInTwoPieces, cut apart at every byte: nothing depends on what
// comes together.
func TestHTTPRequestsInTwoPieces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	l.Serve(t, sentBack)
	s := n.Raw(t)
	if err := s.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for _, chunked := range []bool{false, true} {
		request := bodyRequest(n, "body", chunked)
		for i := range request {
			s.Send(t, request[:i])
			l.Ping(t) // takes the way that the piece takes
			s.Send(t, request[i:])
			s.WantResponse(t, 200, "body")
		}
	}
}

// wantHonest reads a response that may be cut or an error, but not a part for
// the whole.
func wantHonest(t *testing.T, s *relaytest.Raw, sent, all int, body string) {
	t.Helper()
	r, err := s.TryResponse("GET")
	switch {
	case err != nil && relaytest.Cut(err):
	case err != nil:
		t.Fatalf("%d of %d bytes: %v", sent, all, err)
	case r.Status == 502:
		wantError(t, r, 502, "BadGateway")
	case r.Status != 200 || r.Body != body:
		t.Fatalf("%d of %d bytes: response %v", sent, all, r)
	}
	if sent == all && (err != nil || r.Status != 200) {
		t.Fatalf("response %v, %v to all bytes", r, err)
	}
	_ = s.Close()
}

// answers are small responses; their ends are marked in different ways.
var answers = []relaytest.Reply{
	{Parts: []string{"ab", "cd"}},
	{Headers: map[string]any{"Content-Length": 4}, Parts: []string{"abcd"}},
}

// TestHTTPControlResponsesCut at every byte.
func TestHTTPControlResponsesCut(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for _, end := range cuts {
		for _, reply := range answers {
			size := len(reply.Frames(strings.Repeat("i", 39)))
			for i := range size + 1 {
				c := n.RawListen(t, relaytest.Anonymous)
				s := n.Ask(t, "GET", openTarget, "")
				frames := string(reply.Frames(c.Announced(t).ID))
				c.Send(t, frames[:i])
				if i == len(frames) {
					wantHonest(t, s, i, len(frames), "abcd")
					end(c)
					continue
				}
				end(c)
				wantHonest(t, s, i, len(frames), "abcd")
			}
		}
		wantNothingLeft(t, n)
	}
}

// TestHTTPRendezvousResponsesCut at every byte, that of the handshake included:
// listeners need not wait for its answer.
func TestHTTPRendezvousResponsesCut(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for _, end := range cuts {
		for k, reply := range answers {
			request := bodyRequest(n, "body", k == 0)
			for i, all := 0, 1; i < all; i += 1 + i%3 {
				s := n.Raw(t)
				s.Send(t, request)
				r := l.Announced(t)
				handshake := n.UpgradeRequest(relaytest.TargetOf(r.Address))
				bytes := handshake + string(reply.Frames(r.ID))
				all = len(bytes)
				leg := n.Raw(t)
				leg.Send(t, bytes[:i])
				end(leg)
				if i < len(handshake) { // the address has not been used
					r.Dial(t)
					if k == 0 {
						r.ReadBody(t)
					}
					r.Respond(t, reply)
					s.WantResponse(t, 200, "abcd")
					_ = s.Close()
					continue
				}
				wantHonest(t, s, i, all, "abcd")
			}
			s := n.Raw(t)
			s.Send(t, request)
			r := l.Announced(t)
			leg := n.Raw(t)
			leg.Send(t, n.UpgradeRequest(relaytest.TargetOf(r.Address))+string(reply.Frames(r.ID)))
			s.WantResponse(t, 200, "abcd")
		}
		wantNothingLeft(t, n)
	}
}

// TestHTTPChaos: senders and listeners that reset, close and stop at random
// points of whatever they do, many at once. No sender takes a part for the
// whole, or gets what is another's, and nothing is left over.
func TestHTTPChaos(t *testing.T) {
	t.Parallel()
	for _, loops := range []int{1, 4} {
		n := relaytest.Start(t, func(c *config.Config) {
			c.Engine.Loops, c.HTTP.ResponseTimeout, c.HTTP.BodyGap = loops, short, short
			c.Gateway.RendezvousWindow = short
		})
		for range 2 {
			openListener(t, n).Handle(t, func(r *relaytest.Request) { misbehave(r) })
		}
		var senders sync.WaitGroup
		failures := make(chan error, 1000)
		for i := range 8 {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(loops)))
			senders.Go(func() {
				for k := range 25 {
					if err := wildSender(n, rnd, fmt.Sprintf("%d-%d-", i, k)); err != nil {
						failures <- fmt.Errorf("sender %d, connection %d: %w", i, k, err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			senders.Wait()
		}()
		relisten(t, n, done)
		close(failures)
		for err := range failures {
			t.Error(err)
		}
		wantNothingLeft(t, n)
	}
}

// relisten opens control channels and breaks them until done is closed.
func relisten(t *testing.T, n *relaytest.Node, done <-chan struct{}) {
	t.Helper()
	for {
		l := openListener(t, n)
		l.Handle(t, func(r *relaytest.Request) { misbehave(r) })
		select {
		case <-done:
			return
		default:
			passed(t, 10*time.Millisecond)
		}
		l.Abort()
	}
}

// misbehave answers a request in one way or another, or in none.
func misbehave(r *relaytest.Request) {
	reply := relaytest.Reply{Parts: []string{r.Body, "!"}}
	n := rand.IntN(20)
	if r.Control && n < 8 {
		_ = r.TryControl(reply)
		return
	}
	if r.TryDial() != nil {
		return
	}
	if n == 19 {
		r.Leg.Abort()
		return
	}
	if r.Body == "" && r.TryReadBody() != nil {
		return
	}
	reply.Parts[0] = r.Body
	frames := reply.Frames(r.ID)
	switch {
	case n < 12:
		_, _ = r.Leg.Write(frames)
		_, _ = io.Copy(io.Discard, r.Leg)
	case n < 15:
		_, _ = r.Leg.Write(frames[:rand.IntN(len(frames))])
		r.Leg.Abort()
	case n < 18:
		_, _ = r.Leg.Write(frames[:rand.IntN(len(frames))])
	default:
		r.Leg.Abort()
	}
}

// wildSender sends some requests on one connection, and breaks it at random.
func wildSender(n *relaytest.Node, rnd *rand.Rand, mark string) error {
	s, err := n.TryRaw()
	if err != nil {
		return err
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(relaytest.Patience))
	for i := range 3 {
		body := fmt.Sprint(mark, i) + strings.Repeat("y", []int{0, 100, 70_000}[rnd.IntN(3)])
		request := bodyRequest(n, body, rnd.IntN(2) == 0)
		if rnd.IntN(3) == 0 {
			_, _ = io.WriteString(s.TCPConn, request[:rnd.IntN(len(request))])
			if rnd.IntN(2) == 0 {
				s.Abort()
			}
			return nil
		}
		_, _ = io.WriteString(s.TCPConn, request)
		if rnd.IntN(4) == 0 {
			_, _ = s.Read(make([]byte, 1+rnd.IntN(1000)))
			s.Abort()
			return nil
		}
		r, err := s.TryResponse("POST")
		switch {
		case err != nil && !relaytest.Cut(err):
			return err
		case err != nil:
			return nil
		case r.Status == 200 && r.Body != body+"!":
			return fmt.Errorf("response %v to %.40q", r, body)
		case r.Status != 200 && r.Status/100 != 5:
			return fmt.Errorf("response %v", r)
		case r.Header.Get("Connection") == "close":
			return nil
		}
	}
	return nil
}
