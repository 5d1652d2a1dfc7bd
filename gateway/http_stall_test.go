package gateway_test

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// small makes the kernel keep little for c, so that it is full soon.
func small(t *testing.T, c *relaytest.Raw) {
	t.Helper()
	if err := c.SetReadBuffer(256 << 10); err != nil {
		t.Fatal(err)
	}
}

// flood writes part to c until that fails, and sends the number of bytes that
// went. The connection may last for all of Patience.
func flood(c *relaytest.Raw, part string) <-chan int {
	done := make(chan int, 1)
	_ = c.SetDeadline(time.Now().Add(relaytest.Patience))
	go func() {
		for sent := 0; ; {
			n, err := io.WriteString(c.TCPConn, part)
			if sent += n; err != nil {
				done <- sent
				return
			}
		}
	}()
	return done
}

// stalling is a node that gives up receivers after a time.
func stalling(t *testing.T, after time.Duration) *relaytest.Node {
	return relaytest.Start(t, func(c *config.Config) { c.Relay.SendStall = after })
}

// TestHTTPSenderStalls: a sender that takes nothing of a download is given up,
// and the listener is told.
func TestHTTPSenderStalls(t *testing.T) {
	t.Parallel()
	n := stalling(t, short)
	l := openListener(t, n)
	s := n.Raw(t)
	small(t, s)
	s.Send(t, get(n))
	r := l.NextRequest(t)
	leg := r.Dial(t)
	leg.SendFrame(t, head(r, nil))
	leg.SendFrame(t, binary(false, "begun"))
	done := flood(leg, string(more(false, long(60_000)).Bytes()))
	n.WantClosed(t, "http_sender", "send_stalled")
	relaytest.Receive(t, done, "the end of the flood")
	if sent := n.Metric(t, `relay_http_bytes_total{direction="to_sender"}`); sent > 64<<20 {
		t.Errorf("%v bytes were taken", sent)
	}
	n.WantMetric(t, `relay_connections{role="http_listener"}`, 0)
	n.WantMetric(t, "relay_leftover_bytes", 0)
	l.Ping(t)
}

// TestHTTPListenerStalls: a listener that takes nothing of an upload is given
// up, and the sender is told.
func TestHTTPListenerStalls(t *testing.T) {
	t.Parallel()
	n := stalling(t, short)
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, "", "Content-Length: 1000000000")
	r := l.Announced(t)
	small(t, r.Dial(t))
	done := flood(s, long(60_000))
	wantError(t, s.Response(t), 504, "GatewayTimeout")
	relaytest.Receive(t, done, "the end of the flood")
	if sent := n.Metric(t, `relay_http_bytes_total{direction="to_listener"}`); sent > 64<<20 {
		t.Errorf("%v bytes were taken", sent)
	}
	n.WantMetric(t, `relay_connections_closed_total{reason="send_stalled"}`, 1)
	n.WantMetric(t, `relay_connections{role="http_sender"}`, 0)
	l.Ping(t)
}

// TestHTTPSlowReceivers: whoever takes a little from time to time is not given
// up, is not sent more than it takes, and gets all. A little must be more than
// kernels keep back before they say that there is room.
func TestHTTPSlowReceivers(t *testing.T) {
	// Not beside other tests: what is too slow here looks like a stall there.
	const stall = 3 * time.Second
	const part, pause = 1 << 20, stall / 10
	body := long(20 << 20)
	// slowly reads parts for longer than the stall time, with memory bounded.
	slowly := func(t *testing.T, n *relaytest.Node, read func() []byte) string {
		t.Helper()
		var got strings.Builder
		for begin := time.Now(); time.Since(begin) < 3*stall/2; passed(t, pause) {
			for size := min(got.Len()+part, len(body)); got.Len() < size; {
				got.Write(read())
			}
			if held := n.Metric(t, "relay_leftover_bytes"); held > 2<<20 {
				t.Fatalf("%v bytes are held", held)
			}
		}
		for got.Len() < len(body) {
			got.Write(read())
		}
		return got.String()
	}

	t.Run("sender", func(t *testing.T) {
		t.Parallel()
		n := stalling(t, stall)
		l := openListener(t, n)
		s := n.Raw(t)
		small(t, s)
		s.Send(t, get(n))
		r := l.NextRequest(t)
		leg := r.Dial(t)
		leg.SendFrame(t, head(r, map[string]any{"Content-Length": len(body)}))
		go func() { _, _ = leg.Write(binary(true, body).Bytes()) }()
		if res := s.ResponseHead(t); res.Status != 200 {
			t.Fatalf("response %v", res)
		}
		if slowly(t, n, func() []byte { return s.ReadBytes(t, 1<<16) }) != body {
			t.Error("the response is not what was sent")
		}
		leg.WantClosing(t, 1000)
	})
	t.Run("listener", func(t *testing.T) {
		t.Parallel()
		n := stalling(t, stall)
		l := openListener(t, n)
		s := n.Ask(t, "POST", openTarget, "", "Content-Length: "+strconv.Itoa(len(body)))
		r := l.Announced(t)
		leg := r.Dial(t)
		small(t, leg)
		go func() { _, _ = io.WriteString(s.TCPConn, body) }()
		fin := false
		got := slowly(t, n, func() []byte {
			f := leg.ReadFrame(t)
			fin = f.Fin
			return f.Payload
		})
		if got != body {
			t.Error("the body is not what was sent")
		}
		if !fin {
			leg.WantFrame(t, more(true, ""))
		}
		r.Respond(t, relaytest.Reply{})
		s.WantResponse(t, 200, "")
	})
}
