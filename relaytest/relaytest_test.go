package relaytest

import (
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestPairExchanges(t *testing.T) {
	t.Parallel()
	n := Start(t)
	l := n.Listen(t, Dial{Path: Authorized, Query: "sb-hc-id=one"})
	s, r := l.Pair(t, Dial{Path: Authorized, Token: Token(Authorized)})
	Exchange(t, s, r)
	if err := s.WriteParts(Binary, []byte("a"), []byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	r.Want(t, Binary, []byte("ab"))
	l.Ping(t)

	n.WantMetric(t, `relay_active_connections`, 1)
	n.WantMetric(t, `relay_no_such_metric`, 0)
	if s := n.Status(t); s.Listeners.Total != 1 || s.Listeners.Items[0].ID != "one" {
		t.Errorf("status %+v", s.Listeners)
	}
	closed := s.Close(4001, "bye")
	if reason := r.WantClose(t, 4001); reason != "bye" {
		t.Errorf("reason %q", reason)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	n.WantClosed(t, "relayed_sender", "peer")
	l.Close(t)
	n.WantClosed(t, "listener", "peer")
}

func TestRejectAndRefuse(t *testing.T) {
	t.Parallel()
	n := Start(t)
	l := n.Listen(t, Dial{Path: Anonymous})
	p := n.Waiting(t, Dial{Path: Anonymous})
	l.Reject(t, 418, "no tea here")
	if a := p.Want(t, 418); a.Phrase != "no tea here" || a.Body != "" {
		t.Errorf("answer %+v", a)
	}
	a := n.TryListen(t, Dial{Path: Anonymous}).Want(t, 401)
	if !strings.HasPrefix(a.Phrase, "MissingToken") || a.Header.Get("TrackingId") == "" {
		t.Errorf("answer %+v", a)
	}
}

func TestRawPairLeavesEverythingToTheTest(t *testing.T) {
	t.Parallel()
	n := Start(t)
	s, r := n.RawPair(t)
	s.SendFrame(t, Frame{OpText, false, []byte("he")})
	s.SendFrame(t, Frame{OpContinuation, true, []byte("llo")})
	r.WantFrame(t, Frame{OpText, false, []byte("he")})
	r.WantFrame(t, Frame{OpContinuation, true, []byte("llo")})
	r.SendFrame(t, CloseFrame(1000, "half"))
	if reason := s.WantCloseFrame(t, 1000); reason != "half" {
		t.Errorf("reason %q", reason)
	}
	s.Abort()
	r.WantEnd(t)
}

func TestRawListenerIsTakenForOne(t *testing.T) {
	t.Parallel()
	n := Start(t)
	c := n.RawListen(t, Anonymous)
	p := n.Connect(t, Dial{Path: Anonymous, Host: "relay.test:81"})
	if f := c.ReadFrame(t); !strings.HasPrefix(string(f.Payload), `{"accept":{"address":"ws://`) {
		t.Errorf("frame %q", f.Payload)
	}
	p.Cancel()
	n.WantClosed(t, "sender", "sender_lost")
}

func TestUpgradeRequest(t *testing.T) {
	n := NewClient("h:1", "")
	for _, tt := range []struct {
		fields []string
		want   string
	}{
		{nil, "Host: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " +
			Key + "\r\nSec-WebSocket-Version: 13\r\n"},
		{[]string{"upgrade", "Connection", "sec-websocket-key:x", "Sec-WebSocket-Version", "A: b"},
			"Host: h:1\r\nsec-websocket-key:x\r\nA: b\r\n"},
		{[]string{"Host: a", "Host: b", "Upgrade", "Connection", "Sec-WebSocket-Key",
			"Sec-WebSocket-Version"}, "Host: a\r\nHost: b\r\n"},
	} {
		if got := n.UpgradeRequest("/x", tt.fields...); got != "GET /x HTTP/1.1\r\n"+tt.want+"\r\n" {
			t.Errorf("%q: %q", tt.fields, got)
		}
	}
}

func TestMatrixRunsEveryShape(t *testing.T) {
	var shapes []int
	Matrix(t, func(t *testing.T, n *Node, h *History) {
		shapes = append(shapes, len(n.Loops()))
		h.Add("%d connections at first", n.Status(t).Connections["head"])
	}, func(c *config.Config) { c.Engine.Loops = 3 })
	if len(shapes) != 4 || shapes[0] != 1 || shapes[1] != 2 || shapes[2] != 4 {
		t.Errorf("loops %v", shapes)
	}
}
