package node_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/sas"
)

func tokenFor(host string) string {
	return sas.Sign("http://"+host+"/"+relaytest.Anonymous, relaytest.RootRule,
		relaytest.RootKey, time.Now().Add(time.Hour))
}

// drain starts a drain; the channel is closed when it has returned.
func drain(ctx context.Context, n *relaytest.Node) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Drain(ctx)
	}()
	return done
}

func returned(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

var anonymous = relaytest.Dial{Path: relaytest.Anonymous}

// TestDrain goes through the steps: not ready, still serving; listeners sent
// away; what was announced may be accepted, what is new is refused; relays live
// on and get 1001 at the deadline.
func TestDrain(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	n := relaytest.Start(t, func(c *config.Config) {
		c.Drain.Delay, c.Drain.Timeout = delay, 2*time.Second
	})
	l := n.Listen(t, anonymous)
	s, r := l.Pair(t, anonymous)
	begin := time.Now()
	done := drain(t.Context(), n)

	relaytest.Eventually(t, "not ready", func() bool {
		status, body := n.Get(t, "/readyz?verbose")
		return status == 503 && strings.Contains(body, "serving: the node is draining")
	})
	early, _ := l.Pair(t, anonymous) // a balancer needs time to notice
	early.Abort()
	waiting := n.Waiting(t, anonymous)

	if reason := l.WantClose(t, 1001); !strings.Contains(reason, "The gateway is shutting down") {
		t.Errorf("reason %q", reason)
	}
	if waited := time.Since(begin); waited < delay {
		t.Errorf("listeners were sent away after %v", waited)
	}
	n.WantMetric(t, "relay_draining", 1)
	again := relaytest.Dial{Path: relaytest.Anonymous, Token: relaytest.Token(relaytest.Anonymous)}
	for _, p := range []*relaytest.Pending{n.TryListen(t, again), n.Connect(t, anonymous)} {
		a := p.Want(t, 503)
		if !strings.Contains(a.Phrase, "shutting down") || a.Header.Get("Retry-After") == "" {
			t.Errorf("answer %+v", a)
		}
	}
	last := l.Accept(t)
	relaytest.Exchange(t, waiting.Conn(t), last)

	relaytest.Eventually(t, "the port is closed", func() bool {
		c, err := net.DialTimeout("tcp", n.HTTP, relaytest.Patience)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	closed := time.Now()
	relaytest.Exchange(t, s, r)
	s.WantClose(t, 1001)
	r.WantClose(t, 1001)
	last.WantClose(t, 1001)
	if waited := time.Since(closed); waited < time.Second {
		t.Errorf("relays ended after %v", waited)
	}
	relaytest.Receive(t, done, "the end of the drain")
	if left := n.Total(); left != 0 {
		t.Errorf("%d connections are left", left)
	}
	n.WantClosed(t, "listener", "drain")
	n.WantClosed(t, "relayed_sender", "drain")
	n.WantClosed(t, "relayed_listener", "drain")
}

// TestDrainEndsWithTheLastRelay: nobody waits for a deadline that nobody needs.
func TestDrainEndsWithTheLastRelay(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Drain.Timeout = time.Hour })
	s, r := n.Pair(t, relaytest.Anonymous)
	done := drain(t.Context(), n)
	n.WantClosed(t, "listener", "drain")
	relaytest.Exchange(t, s, r)
	if returned(done) {
		t.Error("returned before the last relay ended")
	}
	closed := s.Close(1000, "")
	r.WantClose(t, 1000)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	relaytest.Receive(t, done, "the end of the drain")
	n.WantClosed(t, "relayed_sender", "peer")
}

// TestDrainWithoutClients returns at once, and a second one does nothing.
func TestDrainWithoutClients(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Drain.Timeout = time.Hour })
	relaytest.Receive(t, drain(t.Context(), n), "the end of the drain")
	relaytest.Receive(t, drain(t.Context(), n), "the end of the second drain")
}

// TestDrainRefusesWhoStillWaits: a sender that nobody accepts is told.
func TestDrainRefusesWhoStillWaits(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, anonymous)
	p := n.Waiting(t, anonymous)
	begin := time.Now()
	done := drain(t.Context(), n)
	l.WantClose(t, 1001)
	if a := p.Refused(t); a.Status != 502 && a.Status != 503 {
		t.Errorf("answer %+v", a)
	}
	relaytest.Receive(t, done, "the end of the drain")
	if waited := time.Since(begin); waited > 10*time.Second {
		t.Errorf("drained in %v", waited)
	}
}

// TestDrainInAHurry: cancelling the context cuts the waits, not the steps.
func TestDrainInAHurry(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Drain.Delay, c.Drain.Timeout = time.Minute, time.Hour
	})
	l := n.Listen(t, anonymous)
	s, r := l.Pair(t, anonymous)
	ctx, hurry := context.WithCancel(t.Context())
	done := drain(ctx, n)
	relaytest.Eventually(t, "not ready", func() bool {
		status, _ := n.Get(t, "/readyz")
		return status == 503
	})
	relaytest.Exchange(t, s, r)
	hurry()
	relaytest.Receive(t, done, "the end of the drain")
	l.WantClose(t, 1001)
	s.WantClose(t, 1001)
	r.WantClose(t, 1001)
}

// TestDrainCutsTheStuck: an end in the middle of a frame has no boundary for a
// Close; it does not hold up the node.
func TestDrainCutsTheStuck(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.Drain.Timeout, c.Relay.Linger = 0, 200*time.Millisecond
	})
	s, r := n.RawPair(t)
	frame := relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte("cut here")}.Bytes()
	s.Send(t, string(frame[:len(frame)-3]))
	if p := r.ReadFrameHead(t, 5); string(p) != "cut h" {
		t.Fatalf("payload %q", p)
	}
	silent := n.Raw(t)
	relaytest.Eventually(t, "three connections", func() bool { return n.Total() == 3 })
	done := drain(t.Context(), n)
	relaytest.Receive(t, done, "the end of the drain")
	n.Stop()
	s.WantCloseFrame(t, 1001)
	s.WantEnd(t)
	r.WantEnd(t)
	silent.WantEnd(t)
}
