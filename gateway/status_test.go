package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestNumbers follows a listener, a sender that waits, a relay and their ends
// through /metrics.
func TestNumbers(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	want := func(series string, value float64) {
		t.Helper()
		n.WantMetric(t, series, value)
	}
	d := relaytest.Dial{Path: relaytest.Anonymous}
	n.Connect(t, d).Want(t, 404)
	want(`relay_sender_connects_total{code="404",result="client_error"}`, 1)

	l := n.Listen(t, d)
	want(`relay_listener_connects_total{result="success"}`, 1)
	want("relay_active_listeners", 1)
	want(`relay_connections{role="listener"}`, 1)

	p := n.Waiting(t, d)
	want("relay_pending_rendezvous", 1)
	want(`relay_connections{role="sender"}`, 1)
	if n.Heads(t) == 0 {
		t.Error("a waiting sender holds no memory")
	}
	r := l.Accept(t)
	s := p.Conn(t)
	want("relay_pending_rendezvous", 0)
	want("relay_head_bytes", 0)
	want("relay_active_connections", 1)
	want(`relay_connections{role="relayed_sender"}`, 1)
	want(`relay_connections{role="relayed_listener"}`, 1)
	want(`relay_sender_connects_total{code="101",result="success"}`, 1)
	want("relay_rendezvous_seconds_count", 1)

	s.Send(t, relaytest.Binary, make([]byte, 1000)) // 4 bytes of header each
	r.Want(t, relaytest.Binary, make([]byte, 1000))
	r.Send(t, relaytest.Binary, make([]byte, 100)) // 2 bytes
	s.Want(t, relaytest.Binary, make([]byte, 100))
	want(`relay_bytes_total{direction="to_listener"}`, 1004)
	want(`relay_bytes_total{direction="to_sender"}`, 102)

	done := s.Close(1000, "")
	r.WantClose(t, 1000)
	if err := <-done; err != nil {
		t.Error(err)
	}
	want("relay_active_connections", 0)
	want(`relay_connections_closed_total{reason="peer"}`, 2)
	want(`relay_sender_disconnects_total{reason="peer"}`, 1)
	l.Abort()
	want("relay_active_listeners", 0)
	want(`relay_listener_disconnects_total{reason="peer_eof"}`, 1)
	want(`relay_connections_closed_total{reason="internal"}`, 0)
	want("relay_draining", 0)
	want("relay_leftover_bytes", 0)
}

// TestStatusPage: what an operator sees of each listener, sender and the
// connections that ended.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ID = 3 })
	before := time.Now().Add(-time.Second)
	token := signed("http%3A%2F%2Frelay.test", relaytest.RootRule, relaytest.RootKey,
		inSeconds(600))
	n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Token: token,
		Query: "sb-hc-id=my-listener"})
	p := n.Waiting(t, relaytest.Dial{Path: "UnAuthenticated/x", Query: "sb-hc-id=my-sender"})
	relaytest.Eventually(t, "two connections", func() bool { return n.Total() == 2 })
	s := n.Status(t)
	if g := s.Gateway; g.ID != 3 || g.Draining || g.Entities != 3 || g.Addresses["http"] != n.HTTP ||
		g.Addresses["admin"] != n.Admin || g.DescriptorsOpen < 3 || g.DescriptorsMax < 100 ||
		g.Started.Before(before.Add(-time.Minute)) {
		t.Errorf("gateway %+v", g)
	}
	if l := s.Listeners; l.Total != 1 || l.Items[0].ID != "my-listener" ||
		l.Items[0].Entity != "test/unauthenticated" || l.Items[0].TrackingID != "my-listener_G3" ||
		l.Items[0].Since.Before(before) || !strings.HasPrefix(l.Items[0].Peer, "127.0.0.1:") ||
		time.Until(l.Items[0].TokenExpires).Round(time.Minute) != 10*time.Minute {
		t.Errorf("listeners %+v", l)
	}
	if l := s.Pending; l.Total != 1 || l.Items[0].TrackingID != "my-sender_G3" ||
		l.Items[0].Entity != "test/unauthenticated" ||
		time.Until(l.Items[0].Expires).Round(10*time.Second) != 30*time.Second {
		t.Errorf("pending %+v", l)
	}
	if s.Connections["listener"] != 1 || s.Connections["sender"] != 1 || len(s.Loops) != 2 {
		t.Errorf("connections %v, %d loops", s.Connections, len(s.Loops))
	}
	p.Cancel()
	c := n.WantClosed(t, "sender", "sender_lost")
	if c.Entity != "test/unauthenticated" || c.TrackingID != "my-sender_G3" || c.BytesIn < 100 ||
		c.BytesOut != 0 || c.Seconds < 0 || c.Seconds > 60 || c.Time.Before(before) {
		t.Errorf("closed %+v", c)
	}
	n.TryListen(t, relaytest.Dial{Path: "nowhere", Query: "sb-hc-id=lost"}).Want(t, 401)
	if c = n.WantClosed(t, "head", "unauthorized"); c.TrackingID != "lost_G3" ||
		c.Detail != "MissingToken" || c.BytesOut < 100 {
		t.Errorf("closed %+v", c)
	}
	if closed := n.Status(t).Closed; closed.Total != 2 || closed.Items[0].Reason != "unauthorized" {
		t.Errorf("closed history %+v", closed)
	}
}

// TestClosedReasons: each end of a relay and of a handshake has the reason that
// fits it.
func TestClosedReasons(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	s, r := n.RawPair(t)
	s.Abort()
	n.WantClosed(t, "relayed_sender", "peer_reset")
	r.WantEnd(t)
	n.WantClosed(t, "relayed_listener", "mate_lost")

	s, r = n.RawPair(t)
	_ = r.Close()
	s.WantEnd(t)
	n.WantClosed(t, "relayed_listener", "peer_eof")

	s, r = n.RawPair(t)
	r.Send(t, "\xFF\xFF")
	r.WantCloseFrame(t, 1002)
	s.WantEnd(t)
	r.WantEnd(t)
	n.WantClosed(t, "relayed_listener", "protocol")

	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 404)
	n.WantClosed(t, "sender", "not_found")
	n.Open(t, n.URL("x", "sb-hc-action=accept"), relaytest.Dial{}).Want(t, 403)
	n.WantClosed(t, "head", "forbidden")
	for _, c := range n.Closed(1000).Items {
		if c.Reason == "internal" || c.Reason == "unset" {
			t.Errorf("closed %+v", c)
		}
	}
}
