package gateway_test

import (
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
