package gateway_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPListenerSaysGoodbye: a listener that sends Close cannot answer any
// more. Its senders learn that at once, not when its TCP connection has ended.
func TestHTTPListenerSaysGoodbye(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Relay.Linger = time.Minute })
	l := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "GET", openTarget, "")
	l.Announced(t)
	l.SendFrame(t, relaytest.CloseFrame(1000, "bye"))
	wantError(t, s.Response(t), 502, "BadGateway")
}

// TestHTTPSenderMayHaveGone: a sender that has ended its stream is waited for,
// but with no limit on the response not for longer than a half-closed relay is.
func TestHTTPSenderMayHaveGone(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.ResponseTimeout, c.Relay.HalfIdle = 0, time.Second
	})
	l := openListener(t, n)
	s := n.Ask(t, "GET", openTarget, "")
	l.Announced(t)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Response(t), 504, "GatewayTimeout")
	s.WantEnd(t)
}

// TestHTTPCutForOldSender: to a sender of HTTP/1.0 the end of the connection
// is the end of the body. A body that is cut ends in a reset instead.
func TestHTTPCutForOldSender(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	s.Send(t, strings.Replace(get(n), "HTTP/1.1", "HTTP/1.0", 1))
	r := l.NextRequest(t)
	leg := r.Dial(t)
	leg.SendFrame(t, head(r, nil))
	leg.SendFrame(t, binary(false, "half"))
	for got := ""; !strings.HasSuffix(got, "\r\n\r\nhalf"); {
		got += string(s.ReadBytes(t, 1))
	}
	leg.Abort()
	_, err := s.Read(make([]byte, 1))
	if errors.Is(err, io.EOF) || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the body that is cut ends with %v", err)
	}
}
