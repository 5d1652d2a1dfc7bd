package gateway_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPPipeline: requests that come together are answered in order, whatever
// their ways, and whatever pieces they come in.
func TestHTTPPipeline(t *testing.T) {
	t.Parallel()
	relaytest.Matrix(t, func(t *testing.T, n *relaytest.Node, h *relaytest.History) {
		l := openListener(t, n)
		l.Serve(t, func(r *relaytest.Request) relaytest.Reply {
			reply := relaytest.Reply{Headers: map[string]any{"X-Target": r.Target}}
			if r.Body != "" {
				reply.Parts = []string{r.Body[:1], r.Body[1:]}
			}
			return reply
		})
		at := func(i int) string { return fmt.Sprintf("%s/%d", openTarget, i) }
		requests := []struct {
			method, text string
			status       int
			body         string
		}{
			{"GET", n.HTTPRequest("GET", at(0), ""), 200, ""},
			{"POST", n.HTTPRequest("POST", at(1), "body"), 200, "body"},
			{"PUT", n.HTTPRequest("PUT", at(2), relaytest.Chunked("chu", "nks"),
				relaytest.ChunkedCoding), 200, "chunks"},
			{"GET", n.HTTPRequest("GET", closedTarget, ""), 401, ""},
			{"HEAD", n.HTTPRequest("HEAD", at(4), ""), 200, ""},
			{"POST", n.HTTPRequest("POST", at(5), long(70_000)), 200, long(70_000)},
			{"GET", n.HTTPRequest("GET", at(6), "", "Microsoft-Relay-AllowedListeners: x"), 404, ""},
			{"POST", n.HTTPRequest("POST", at(7), relaytest.Chunked(), relaytest.ChunkedCoding), 200, ""},
			{"DELETE", n.HTTPRequest("DELETE", at(8), ""), 200, ""},
		}
		all := ""
		for _, r := range requests {
			all += r.text
		}
		for _, size := range []int{len(all), 10_000, 1000} {
			s := n.Raw(t)
			go func() {
				for p := all; p != ""; p = p[min(size, len(p)):] {
					_, _ = io.WriteString(s.TCPConn, p[:min(size, len(p))])
				}
			}()
			for i, r := range requests {
				res := s.ResponseTo(t, r.method)
				if res.Status != r.status || r.status == 200 && (res.Body != r.body ||
					res.Header.Get("X-Target") != at(i)) {
					t.Fatalf("pieces of %d, request %d: response %v", size, i, res)
				}
				h.Add("%d: %d %s", i, res.Status, res.Framing)
			}
			_ = s.Close()
		}
	})
}

// TestHTTPRefusedWithBody: a connection stays open behind a refused request if
// that is whole; a body that is still to come is not waited for.
func TestHTTPRefusedWithBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for range 3 {
		s.Send(t, n.HTTPRequest("POST", closedTarget, "body"))
		wantError(t, s.Response(t), 401, "TokenMissingOrInvalid")
	}
	wantRelayed(t, n, s, l)
	for _, part := range []string{
		n.HTTPRequest("POST", closedTarget, "part", "Content-Length: 100"),
		n.HTTPRequest("POST", closedTarget, "4\r\npart\r\n", relaytest.ChunkedCoding),
		n.HTTPRequest("POST", closedTarget, "", "Content-Length: 1000000"),
	} {
		s := n.Ask(t, "GET", closedTarget, "")
		wantError(t, s.Response(t), 401, "TokenMissingOrInvalid")
		s.Send(t, part)
		r := s.Response(t)
		wantError(t, r, 401, "TokenMissingOrInvalid")
		if r.Header.Get("Connection") != "close" {
			t.Errorf("response %v", r)
		}
		_, _ = io.WriteString(s.TCPConn, "more") // is dropped, so that the response can be read
		s.WantEnd(t)
	}
}

// TestHTTPPipelineBytewise: a request of each kind, byte by byte behind others.
func TestHTTPPipelineBytewise(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	openListener(t, n).Serve(t, sentBack)
	all := get(n) + bodyRequest(n, "body", false) + bodyRequest(n, "chunks", true) + get(n)
	s := n.Raw(t)
	go func() {
		for i := range all {
			_, _ = io.WriteString(s.TCPConn, all[i:i+1])
		}
	}()
	for _, body := range []string{"", "body", "chunks", ""} {
		s.WantResponse(t, 200, body)
	}
}

// sentBack answers with the body.
func sentBack(r *relaytest.Request) relaytest.Reply {
	if r.Body == "" {
		return relaytest.Reply{}
	}
	return relaytest.Reply{Parts: []string{r.Body}}
}

// TestHTTPPipelineOfOneThatLeaves: what came before the end of its stream is
// answered.
func TestHTTPPipelineOfOneThatLeaves(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	openListener(t, n).Serve(t, sentBack)
	s := n.Raw(t)
	s.Send(t, get(n)+bodyRequest(n, "one", false)+get(n)+bodyRequest(n, "two", false))
	_ = s.CloseWrite()
	for _, body := range []string{"", "one", "", "two"} {
		s.WantResponse(t, 200, body)
	}
	s.WantEnd(t)
}

// TestHTTPPipelineIsBounded: what waits behind a request stays with the sender.
func TestHTTPPipelineIsBounded(t *testing.T) {
	t.Parallel()
	const count, size = 800, 8000
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.LeftoverMemory = 1 << 20 })
	l := openListener(t, n)
	s := n.Raw(t)
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < count && err == nil; i++ {
			_, err = io.WriteString(s.TCPConn, n.HTTPRequest("GET",
				fmt.Sprintf("%s/%d", openTarget, i), "", "X: "+strings.Repeat("y", size)))
		}
		done <- err
	}()
	first := l.NextRequest(t)
	for range 20 {
		for _, pool := range n.Pools() {
			if pool.Used > 1<<20 {
				t.Fatalf("%d bytes in the pool %s", pool.Used, pool.Name)
			}
		}
		l.Ping(t)
	}
	if l.Requests() != 0 {
		t.Errorf("%d requests while the first waits", l.Requests())
	}
	first.Respond(t, relaytest.Reply{})
	l.Serve(t, func(r *relaytest.Request) relaytest.Reply {
		return relaytest.Reply{Parts: []string{r.Target}}
	})
	s.WantResponse(t, 200, "")
	for i := 1; i < count; i++ {
		s.WantResponse(t, 200, fmt.Sprintf("%s/%d", openTarget, i))
	}
	if err := relaytest.Receive(t, done, "all requests are sent"); err != nil {
		t.Error(err)
	}
}

// TestHTTPPipelineIsFair: one that pipelines without end does not keep others
// on its loop waiting.
func TestHTTPPipelineIsFair(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Engine.Loops = 1 })
	l := openListener(t, n)
	greedy := n.Raw(t)
	// Refused at once, so that the loop could go on with them for ever.
	some := strings.Repeat(get(n, "Microsoft-Relay-AllowedListeners: nobody"), 50)
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		_ = greedy.Close()
		<-done
	})
	go func() {
		defer close(done)
		go func() { _, _ = io.Copy(io.Discard, greedy.TCPConn) }()
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := io.WriteString(greedy.TCPConn, some); err != nil {
					return
				}
			}
		}
	}()
	s := n.Raw(t)
	for range 20 {
		wantRelayed(t, n, s, l)
	}
	if n.Metric(t, `relay_http_requests_total{code="404"}`) < 100 {
		t.Error("the other one was not served")
	}
}
