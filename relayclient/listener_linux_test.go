package relayclient_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
	"github.com/relayhouse/relayhouse/sas"
)

// refused dials a sender that must be refused.
func refused(t testing.TB, d relayclient.Dialer, status int, text string) {
	t.Helper()
	_, err := dial(t, d)
	var he *relayclient.HandshakeError
	if !errors.As(err, &he) || he.Status != status || !strings.HasPrefix(he.Text, text) {
		t.Errorf("%v, want %d %s", err, status, text)
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous, func(o *relayclient.Options) {
		o.Reject = func(r *relayclient.Request) (int, string) {
			status, _ := strconv.Atoi(r.URL.Query().Get("status"))
			return status, r.URL.Query().Get("text")
		}
	})
	d := relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)}
	d.Suffix = "?status=403&text=not+you%2C+sorry"
	refused(t, d, 403, "not you, sorry")
	d.Suffix = "?status=418"
	refused(t, d, 418, "I'm a teapot")
	d.Suffix = "?status=7"
	refused(t, d, 502, "Bad Gateway")
	d.Suffix = "?status=0"
	pair(t, l, d)
}

// TestBacklog: senders beyond it get 503, and there is room again behind Accept
// and behind a sender that has been rejected.
func TestBacklog(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous, func(o *relayclient.Options) {
		o.Backlog = 2
		o.Reject = func(r *relayclient.Request) (int, string) {
			if r.URL.Path == "/unauthenticated/no" {
				return 400, ""
			}
			return 0, ""
		}
	})
	d := relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)}
	no := d
	no.Suffix = "/no"
	for range 5 {
		refused(t, no, 400, "Bad Request")
	}
	for range 2 {
		if _, err := dial(t, d); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		refused(t, d, 503, "The listener's backlog is full.")
	}
	relaytest.Receive(t, accept(t, l), "a sender")
	if _, err := dial(t, d); err != nil {
		t.Fatal(err)
	}
	none := listen(t, n, relaytest.Sibling, func(o *relayclient.Options) { o.Backlog = -1 })
	d.Entity = entity(n, relaytest.Sibling)
	refused(t, d, 501, "This listener takes HTTP requests only.")
	if err := none.LastError(); err != nil {
		t.Error(err)
	}
}

func TestSubprotocol(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	d := relayclient.Dialer{Entity: entity(n, relaytest.Anonymous),
		Subprotocols: []string{"one", "two"}}
	for name, choose := range map[string]func([]string) string{
		"one": nil,
		"two": func(offered []string) string { return offered[1] },
		"":    func([]string) string { return "" },
	} {
		l := listen(t, n, relaytest.Anonymous, func(o *relayclient.Options) {
			o.Subprotocol = choose
		})
		s, r := pair(t, l, d)
		if s.Subprotocol() != name || r.Subprotocol() != name {
			t.Errorf("%q and %q, want %q", s.Subprotocol(), r.Subprotocol(), name)
		}
		_ = l.Close()
	}
}

// counted is a listener's life as its callbacks tell it.
type counted struct {
	online       chan struct{}
	reconnecting chan error
	offline      chan struct{}
}

func (c *counted) options(o *relayclient.Options) {
	const room = 1000
	c.online, c.offline = make(chan struct{}, room), make(chan struct{}, room)
	c.reconnecting = make(chan error, room)
	o.Online = func() { c.online <- struct{}{} }
	o.Reconnecting = func(err error, _ time.Duration) { c.reconnecting <- err }
	o.Offline = func() { c.offline <- struct{}{} }
}

// TestRenewal: a token that is about to expire is replaced on the channel.
func TestRenewal(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	var life counted
	var made atomic.Int64
	last := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	l := listen(t, n, relaytest.Authorized, life.options, func(o *relayclient.Options) {
		o.Entity.Token = relayclient.TokenFunc(func(_ context.Context, audience string) (
			string, time.Time, error) {
			if audience != "http://127.0.0.1/authenticated" {
				t.Errorf("audience %q", audience)
			}
			// The first says that it ends at once, the second cannot be made.
			switch made.Add(1) {
			case 1:
				end := time.Now().Add(time.Hour)
				return sas.Sign(audience, relaytest.ListenRule, relaytest.ListenKey, end),
					time.Now(), nil
			case 2:
				return "", time.Time{}, errors.New("out of tokens")
			}
			return sas.Sign(audience, relaytest.RootRule, relaytest.RootKey, last), last, nil
		})
	})
	relaytest.Receive(t, life.online, "online")
	relaytest.Eventually(t, "the token is renewed", func() bool {
		items := n.Status(t).Listeners.Items
		return len(items) == 1 && items[0].TokenExpires.Truncate(time.Hour).Equal(
			last.Truncate(time.Hour))
	})
	if err := l.LastError(); err == nil || err.Error() != "token: out of tokens" {
		t.Errorf("last error %v", err)
	}
	if len(life.online)+len(life.reconnecting) != 0 {
		t.Error("the channel was lost on the way")
	}
	pair(t, l, relayclient.Dialer{Entity: entity(n, relaytest.Authorized)})
}

// TestExpiry: a listener of which the token is not renewed in time comes back
// with a new one.
func TestExpiry(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.TokenSkew = 0 })
	var life counted
	l := listen(t, n, relaytest.Authorized, life.options, func(o *relayclient.Options) {
		o.Entity.Token = relayclient.TokenFunc(func(_ context.Context, audience string) (
			string, time.Time, error) {
			end := time.Now().Add(1500 * time.Millisecond) // cut to whole seconds
			return sas.Sign(audience, relaytest.RootRule, relaytest.RootKey, end),
				time.Time{}, nil
		})
	})
	relaytest.Receive(t, life.online, "online")
	err := relaytest.Receive(t, life.reconnecting, "the expiry")
	var ce *relayclient.CloseError
	if !errors.As(err, &ce) || ce.Code != 1008 || !strings.HasPrefix(ce.Reason, "ExpiredToken") {
		t.Errorf("lost by %v", err)
	}
	if l.LastError() == nil {
		t.Error("no last error")
	}
	relaytest.Receive(t, life.online, "online again")
}

// TestRestart: the gateway goes away and comes back at the same address. What
// was relayed is lost, the listener is not.
func TestRestart(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	var life counted
	l := listen(t, n, relaytest.Anonymous, life.options)
	relaytest.Receive(t, life.online, "online")
	d := relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)}
	s, r := pair(t, l, d)
	n.Stop()
	for _, c := range []*relayclient.Conn{s, r} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a relayed connection outlived the gateway")
		}
	}
	relaytest.Receive(t, life.reconnecting, "the loss")
	if err := relaytest.Receive(t, life.reconnecting, "a vain attempt"); err == nil ||
		!strings.Contains(err.Error(), "handshake: ") {
		t.Errorf("%v", err)
	}
	again := relaytest.Start(t, func(c *config.Config) { c.Listen.HTTP = n.HTTP })
	relaytest.Receive(t, life.online, "online again")
	pair(t, l, relayclient.Dialer{Entity: entity(again, relaytest.Anonymous)})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	relaytest.Receive(t, life.offline, "offline")
	if again.Status(t).Listeners.Total != 0 {
		t.Error("still registered behind Close")
	}
}

// TestChannelLost: relayed connections outlive the control channel, and the
// listener comes back under its name.
func TestChannelLost(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	var life counted
	l := listen(t, n, relaytest.Anonymous, life.options, func(o *relayclient.Options) {
		o.ID = "one"
	})
	relaytest.Receive(t, life.online, "online")
	s, r := pair(t, l, relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)})
	// Another listener of the same name takes its place; then it comes back.
	other := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=one"})
	var ce *relayclient.CloseError
	if err := relaytest.Receive(t, life.reconnecting, "the loss"); !errors.As(err, &ce) ||
		ce.Code != 1001 {
		t.Errorf("lost by %v", err)
	}
	relaytest.Receive(t, life.online, "online again")
	other.WantClose(t, 1001)
	if _, err := s.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if k, err := r.Read(make([]byte, 9)); k != 1 || err != nil {
		t.Errorf("%d, %v", k, err)
	}
	if l.ID() != "one" || n.Status(t).Listeners.Total != 1 {
		t.Errorf("ID %q", l.ID())
	}
}

// TestCloseWhileReconnecting: Close does not wait for the next attempt.
func TestCloseWhileReconnecting(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	var life counted
	l := listen(t, n, relaytest.Anonymous, life.options, func(o *relayclient.Options) {
		o.BackoffMin, o.BackoffMax = time.Hour, time.Hour
	})
	n.Stop()
	relaytest.Receive(t, life.reconnecting, "the loss")
	_ = l.Close()
	relaytest.Receive(t, life.offline, "offline")
}

// TestCloseRefusesWaiting: those who wait for Accept are closed.
func TestCloseRefusesWaiting(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	s, err := dial(t, relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)})
	if err != nil {
		t.Fatal(err)
	}
	relaytest.Eventually(t, "the sender waits for Accept", func() bool {
		return n.Status(t).Connections["relayed_listener"] == 1
	})
	_ = l.Close()
	var ce *relayclient.CloseError
	if _, err := s.Read(make([]byte, 1)); !errors.As(err, &ce) || ce.Code != 1001 {
		t.Error(err)
	}
}

// TestRefusals: what the gateway says comes through, and no secret does.
func TestRefusals(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	good := entity(n, relaytest.Authorized)
	for name, tt := range map[string]struct {
		edit   func(e *relayclient.Entity)
		status int
		text   string
	}{
		"wrong key": {func(e *relayclient.Entity) {
			e.Token = relayclient.Key(relaytest.RootRule, relaytest.KeyMark+"wrong")
		}, 401, "InvalidSignature"},
		"no token":  {func(e *relayclient.Entity) { e.Token = nil }, 401, "MissingToken"},
		"no entity": {func(e *relayclient.Entity) { e.Path = "nothing" }, 404, "Endpoint does not"},
		"fixed token": {func(e *relayclient.Entity) {
			e.Token = relayclient.Fixed(relaytest.KeyMark)
		}, 401, "MalformedToken"},
		"wrong right": {func(e *relayclient.Entity) {
			e.Token = relayclient.Key("nobody", relaytest.KeyMark)
		}, 401, ""},
	} {
		e := good
		tt.edit(&e)
		_, listenErr := relayclient.Listen(patient(t), relayclient.Options{Entity: e})
		_, dialErr := (&relayclient.Dialer{Entity: e}).Dial(patient(t))
		for _, err := range []error{listenErr, dialErr} {
			var he *relayclient.HandshakeError
			if !errors.As(err, &he) || he.Status != tt.status || he.TrackingID == "" ||
				!strings.HasPrefix(he.Text, tt.text) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if strings.Contains(err.Error(), relaytest.KeyMark) ||
				strings.Contains(err.Error(), "sig=") {
				t.Errorf("%s: a secret in %v", name, err)
			}
		}
	}
}
