package gateway_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPPongsPutNothingOff: control frames of a listener, which some clients
// send on their own, are no part of a response.
func TestHTTPPongsPutNothingOff(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.ResponseTimeout, c.HTTP.BodyGap = short, short
	})
	l := openListener(t, n)
	for _, begun := range []bool{false, true} {
		s := n.Ask(t, "POST", openTarget, relaytest.Chunked("x"), relaytest.ChunkedCoding)
		r := l.NextRequest(t)
		if begun {
			r.Leg.SendFrame(t, head(r, nil))
			r.Leg.SendFrame(t, binary(false, "a"))
		}
		done := make(chan relaytest.Response, 1)
		go func() {
			res, _ := s.TryResponse("POST")
			done <- res
		}()
		for begin, over := time.Now(), false; !over; {
			_, _ = r.Leg.Write(relaytest.Frame{Op: relaytest.OpPong, Fin: true}.Bytes())
			select {
			case <-done:
				over = true
			case <-time.After(short / 10):
			}
			if time.Since(begin) > 5*short {
				t.Fatalf("begun %v: Pongs for %v, and no end", begun, time.Since(begin))
			}
		}
	}
}

// TestHTTPUploadDoesNotPutOffStall: who takes nothing of the response is given
// up also while it sends a little.
func TestHTTPUploadDoesNotPutOffStall(t *testing.T) {
	t.Parallel()
	n := stalling(t, short)
	l := openListener(t, n)
	s := n.Raw(t)
	small(t, s)
	s.Send(t, n.HTTPRequest("POST", openTarget, "1\r\na\r\n", relaytest.ChunkedCoding))
	r := l.Announced(t)
	leg := r.Dial(t)
	go func() { _, _ = io.Copy(io.Discard, leg.TCPConn) }()
	leg.SendFrame(t, head(r, nil))
	leg.SendFrame(t, binary(false, "begun"))
	done := flood(leg, string(more(false, long(60_000)).Bytes()))
	for begin, over := time.Now(), false; !over; {
		_, _ = io.WriteString(s.TCPConn, "1\r\nb\r\n")
		select {
		case <-done:
			over = true
		case <-time.After(short / 4):
		}
		if time.Since(begin) > 6*short {
			t.Fatalf("not given up for %v", time.Since(begin))
		}
	}
	n.WantClosed(t, "http_sender", "send_stalled")
}

// TestHTTPAnnouncedAnsweredOnControl: a response on the control channel to a
// request that is still to be fetched lives on its own time, not on the window.
func TestHTTPAnnouncedAnsweredOnControl(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(time.Second))
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "POST", openTarget, relaytest.Chunked("x"), relaytest.ChunkedCoding)
	r := c.Announced(t)
	c.SendFrame(t, head(r, nil))
	c.SendFrame(t, binary(false, "a"))
	s.ResponseHead(t)
	for range 5 {
		passed(t, time.Second/2)
		c.SendFrame(t, more(false, "b"))
	}
	c.SendFrame(t, more(true, "c"))
	s.WantChunks(t, "abbbbbc")
}

// TestHTTPManagementAnswersHeadWithoutBody: the response behind it is in step.
func TestHTTPManagementAnswersHeadWithoutBody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	s.Send(t, n.HTTPRequest("HEAD", openTarget+"?api-version=2016-07", "",
		"X-PROCESS-AT: ServiceBus")+get(n))
	s.Head(t)
	l.NextRequest(t).Respond(t, relaytest.Reply{Parts: []string{"second"}})
	s.WantResponse(t, 200, "second")
}

// TestHTTPBlankLineIsNoRequest: what old clients send behind a body does not
// start the time of a head.
func TestHTTPBlankLineIsNoRequest(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadTimeout = time.Second })
	l := openListener(t, n)
	s := n.Raw(t)
	wantRelayed(t, n, s, l)
	s.Send(t, "\r\n")
	passed(t, 2*time.Second)
	wantRelayed(t, n, s, l)
}

// TestHTTPRetiringListenerLeaves: a listener that says goodbye while a drain
// waits for its answers gives none; that is known at once.
func TestHTTPRetiringListenerLeaves(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Relay.Linger = 10 * time.Second })
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "POST", openTarget, "body")
	c.Announced(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Drain(context.Background())
	}()
	relaytest.Eventually(t, "drains", func() bool { return n.Listeners(1).Total == 0 })
	begin := time.Now()
	c.SendFrame(t, relaytest.CloseFrame(1000, ""))
	wantError(t, s.Response(t), 502, "BadGateway")
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("known after %v", d)
	}
	c.Abort()
	s.Abort()
	relaytest.Receive(t, done, "the end of the drain")
}
