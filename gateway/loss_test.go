package gateway_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// endings are the ways in which a control channel ends.
var endings = map[string]func(t *testing.T, c *relaytest.Raw){
	"close": func(t *testing.T, c *relaytest.Raw) {
		c.SendFrame(t, relaytest.CloseFrame(1000, ""))
		c.WantCloseFrame(t, 1000)
		_ = c.Close()
	},
	"end of stream": func(_ *testing.T, c *relaytest.Raw) { _ = c.CloseWrite() },
	"reset":         func(_ *testing.T, c *relaytest.Raw) { c.Abort() },
	"violation": func(t *testing.T, c *relaytest.Raw) {
		c.Send(t, "\xFF\xFF")
		c.WantCloseFrame(t, 1002)
	},
}

// announced opens a control channel and a sender that waits for it, and
// returns the rendezvous address.
func announced(t *testing.T, n *relaytest.Node, id string) (
	c *relaytest.Raw, p *relaytest.Pending, address string,
) {
	t.Helper()
	c = n.RawListen(t, relaytest.Anonymous+"?sb-hc-id="+id)
	p = n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous,
		Header: header("Microsoft-Relay-AllowedListeners", id)})
	a := relaytest.ParseAccept(t, c.ReadFrame(t).Payload)
	return c, p, a.Address
}

// TestListenerLostWhileSendersWait: the sender is told before its window is
// over, and the address is dead then.
func TestListenerLostWhileSendersWait(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t) // window 30 s, grace 5 s
	type waiting struct {
		name, address string
		p             *relaytest.Pending
	}
	var all []waiting
	begin := time.Now()
	for name, end := range endings {
		c, p, address := announced(t, n, name[:3])
		end(t, c)
		all = append(all, waiting{name, address, p})
	}
	for _, w := range all {
		wantPhrase(t, w.p.Want(t, 502),
			"The listener went away before it accepted the connection")
		if waited := time.Since(begin); waited < 4*time.Second {
			t.Errorf("%s: answered after %v, there is no grace", w.name, waited)
		}
		n.Open(t, w.address, relaytest.Dial{}).Want(t, 403)
	}
	n.WantMetric(t, `relay_sender_disconnects_total{reason="listener_lost"}`, 4)
	wantPhrase(t, n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 404),
		"There are no listeners connected")
}

// TestListenerLostLate: the grace does not outlast the window, for the address
// ends with that.
func TestListenerLostLate(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, window(4*time.Second))
	c, p, _ := announced(t, n, "late")
	expires := n.Status(t).Pending.Items[0].Expires
	relaytest.Eventually(t, "half of the window", func() bool {
		return time.Until(expires) < 2*time.Second
	})
	c.Abort()
	p.Want(t, 502)
	if late := time.Since(expires); late > 1500*time.Millisecond {
		t.Errorf("answered %v after the window", late)
	}
}

// TestAcceptWithinTheGrace: the rendezvous connection may be on its way when
// the control channel ends.
func TestAcceptWithinTheGrace(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for name, end := range endings {
		c, p, address := announced(t, n, name[:3])
		end(t, c)
		relaytest.Eventually(t, name+": the listener is gone", func() bool {
			return n.Listeners(1).Total == 0
		})
		r := n.Open(t, address, relaytest.Dial{}).Conn(t)
		relaytest.Exchange(t, p.Conn(t), r)
	}
}

// TestItem67RelaysOutliveTheirControlChannel.
func TestItem67RelaysOutliveTheirControlChannel(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for name, end := range endings {
		c, p, address := announced(t, n, name[:3])
		r := n.Open(t, address, relaytest.Dial{}).Conn(t)
		s := p.Conn(t)
		end(t, c)
		relaytest.Eventually(t, name+": the listener is gone", func() bool {
			return n.Listeners(1).Total == 0
		})
		relaytest.Exchange(t, s, r)
		done := s.Close(1000, "bye")
		r.WantClose(t, 1000)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSenderLostWhileAListenerAccepts: whoever is first, nobody is left
// behind: the rendezvous connection is refused, or ends.
func TestSenderLostWhileAListenerAccepts(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Engine.Loops = 4 })
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for i := range 60 {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		a := l.Next(t)
		var both sync.WaitGroup
		var o *relaytest.Pending
		if i%2 == 0 {
			both.Go(p.Cancel)
			o = n.Open(t, a.Address, relaytest.Dial{})
		} else {
			o = n.Open(t, a.Address, relaytest.Dial{})
			both.Go(p.Cancel)
		}
		r, answer := o.Outcome(t)
		both.Wait()
		if s := p.Taken(); s != nil {
			s.Abort() // it had its 101 before it went away
		}
		if r != nil {
			r.WantLost(t)
		} else if answer.Status != 403 {
			t.Errorf("answer %+v", answer)
		}
	}
	n.WantMetric(t, "relay_pending_rendezvous", 0)
	n.WantMetric(t, "relay_active_connections", 0)
	l.Ping(t)
}

// TestSenderAborts in every way while it waits.
func TestSenderAborts(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	for i, end := range []func(*relaytest.Raw){
		func(c *relaytest.Raw) { _ = c.Close() },
		func(c *relaytest.Raw) { c.Abort() },
		func(c *relaytest.Raw) { _ = c.CloseWrite() },
		func(c *relaytest.Raw) { c.Send(t, "early bytes"); _ = c.CloseWrite() },
	} {
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
		a := l.Next(t)
		end(s)
		relaytest.Eventually(t, fmt.Sprintf("case %d: the sender is gone", i), func() bool {
			return n.Pending(1).Total == 0
		})
		n.Open(t, a.Address, relaytest.Dial{}).Want(t, 403)
	}
	n.WantMetric(t, `relay_sender_disconnects_total{reason="sender_lost"}`, 4)
	// One that ends its stream with its request does not wait for an answer.
	for range 5 {
		s := n.Raw(t)
		s.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
		_ = s.CloseWrite()
		s.WantEnd(t)
	}
	n.WantMetric(t, "relay_pending_rendezvous", 0)
	for l.Waiting() > 0 {
		n.Open(t, l.Next(t).Address, relaytest.Dial{}).Want(t, 403)
	}
}

// TestItem67EntityRemoved: listeners and relays get 1001, senders that wait
// 404; other entities are not touched.
func TestItem67EntityRemoved(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	anonymous := relaytest.Dial{Path: relaytest.Anonymous}
	var gone, stay []*relaytest.Conn
	l := n.Listen(t, anonymous)
	for range 4 {
		s, r := l.Pair(t, anonymous)
		gone = append(gone, s, r)
	}
	sibling := relaytest.Dial{Path: relaytest.Sibling, Token: relaytest.Token(relaytest.Sibling)}
	other := n.Listen(t, sibling)
	s, r := other.Pair(t, sibling)
	stay = append(stay, s, r)
	p, q := n.Waiting(t, anonymous), n.Waiting(t, sibling)
	address := l.Next(t).Address

	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections = []namespace.Entity{
		{Name: relaytest.Sibling, RequiresClientAuthorization: true}, {Name: "new"},
	}
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	l.WantClose(t, 1001)
	for _, c := range gone {
		c.WantClose(t, 1001)
	}
	wantPhrase(t, p.Want(t, 404), "Endpoint does not exist")
	n.Open(t, address, relaytest.Dial{}).Want(t, 403)
	d := anonymous
	d.Token = root("http%3A%2F%2Frelay.test")
	n.TryListen(t, d).Want(t, 404)
	n.Connect(t, d).Want(t, 404)
	n.Connect(t, anonymous).Want(t, 404)
	n.WantClosed(t, "listener", "entity_removed")
	n.WantClosed(t, "relayed_sender", "entity_removed")

	relaytest.Exchange(t, stay[0], stay[1])
	relaytest.Exchange(t, other.Accept(t), q.Conn(t))
	fresh := n.Listen(t, relaytest.Dial{Path: "new"})
	s, r = fresh.Pair(t, relaytest.Dial{Path: "new"})
	relaytest.Exchange(t, s, r)
}

// TestEntityRemovedInAMessage: the Close waits for the end of a frame, so that
// no peer reads garbage.
func TestEntityRemovedInAMessage(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	s, r := n.RawPair(t)
	frame := relaytest.Frame{Op: relaytest.OpBinary, Fin: true, Payload: []byte("0123456789")}.Bytes()
	s.Send(t, string(frame[:len(frame)-4]))
	if part := r.ReadFrameHead(t, 6); string(part) != "012345" {
		t.Fatalf("first part %q", part)
	}
	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections = cfg.Namespaces[0].HybridConnections[:1]
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	s.WantCloseFrame(t, 1001)
	s.Send(t, string(frame[len(frame)-4:]))
	if rest := r.ReadBytes(t, 4); string(rest) != "6789" {
		t.Fatalf("the rest is %q", rest)
	}
	r.WantCloseFrame(t, 1001)
	r.WantEnd(t)
}

// TestReloadKeepsWhatStays: a change of rules ends nothing; it holds for what
// comes.
func TestReloadKeepsWhatStays(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	path := relaytest.Authorized
	d := relaytest.Dial{Path: path, Token: relaytest.Token(path)}
	l := n.Listen(t, d)
	s, r := l.Pair(t, d)
	cfg := relaytest.Settings()
	cfg.Namespaces[0].Rules[0].PrimaryKey = relaytest.KeyMark + "+new"
	cfg.Namespaces[0].Rules[0].SecondaryKey = ""
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	relaytest.Exchange(t, s, r)
	n.Connect(t, d).Want(t, 401)
	d.Token = mint(path, relaytest.RootRule, relaytest.KeyMark+"+new")
	s, r = l.Pair(t, d)
	relaytest.Exchange(t, s, r)
	l.Renew(t, relaytest.Token(path)) // signed with the old key
	l.WantClose(t, 1008)
}
