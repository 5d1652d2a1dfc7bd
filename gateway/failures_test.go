package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

const (
	held    = `relay_failure_limiter_total{action="held"}`
	tooMany = `relay_failure_limiter_total{action="refused"}`
)

// failing is a node that answers three failures at once, holds two, and
// answers the rest with 429.
func failing(t *testing.T, delay time.Duration) *relaytest.Node {
	return relaytest.Start(t, func(c *config.Config) {
		c.Gateway.FailureRate, c.Gateway.FailureBurst = 1, 3
		c.Gateway.FailureDelay, c.Gateway.FailureHeldMax = delay, 2
	})
}

// TestFailuresAreHeld: beyond its budget a client waits for its refusals, which
// stay what they are. Clients in order do not wait, not even at its address.
func TestFailuresAreHeld(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	n := failing(t, delay)
	path := relaytest.Authorized
	s, r := n.Pair(t, path)
	bad := relaytest.Dial{Path: path, Token: mint(path, relaytest.RootRule, "wrong")}

	begin := time.Now()
	var waiting []*relaytest.Pending
	for n.Metric(t, held) < 2 { // some pass: the budget grows by one a second
		before := n.Metric(t, held)
		p := n.TryListen(t, bad)
		relaytest.Eventually(t, "answered or held", func() bool {
			return p.Answered() || n.Metric(t, held) > before
		})
		if p.Answered() {
			p.Want(t, 401)
		} else {
			waiting = append(waiting, p)
		}
	}
	if n.Metric(t, tooMany) != 0 {
		t.Error("something was answered with 429")
	}
	// More than can be held is answered at once.
	relaytest.Eventually(t, "429", func() bool {
		a := n.TryListen(t, bad).Refused(t)
		if a.Status == 429 {
			wantPhrase(t, a, "Too many failed handshakes from this address")
			if a.Header.Get("Retry-After") == "" {
				t.Errorf("answer %+v", a)
			}
		}
		return a.Status == 429 || time.Since(begin) > delay
	})
	// Good clients of the same address: new listeners, new senders, relays.
	good := relaytest.Dial{Path: path, Token: relaytest.Token(path)}
	n.Listen(t, good).Close(t)
	n.Waiting(t, good).Cancel()
	relaytest.Exchange(t, s, r)
	if waited := time.Since(begin); waited < delay {
		for _, p := range waiting {
			if p.Answered() {
				t.Errorf("a held answer came within %v", waited)
			}
		}
	}
	for _, p := range waiting {
		wantPhrase(t, p.Want(t, 401), "token has an invalid signature")
		if waited := time.Since(begin); waited < delay {
			t.Errorf("a held answer came after %v", waited)
		}
	}
	// What was held has been given back: it can be held again.
	relaytest.Eventually(t, "held again", func() bool {
		p := n.TryListen(t, bad)
		relaytest.Eventually(t, "answered or held", func() bool {
			return p.Answered() || n.Metric(t, held) > 2
		})
		return n.Metric(t, held) > 2
	})
}

// TestHeldClientsMayLeave: a place is free when its client has gone.
func TestHeldClientsMayLeave(t *testing.T) {
	t.Parallel()
	n := failing(t, 10*time.Second)
	request := n.UpgradeRequest("/$hc/" + relaytest.Authorized)
	for i := range 12 {
		c := n.Raw(t)
		c.Send(t, request)
		n.WantMetric(t, `relay_auth_failures_total{reason="MissingToken"}`, float64(i+1))
		_ = c.Close()
		relaytest.Eventually(t, "it is gone", func() bool { return n.Total() == 0 })
	}
	if n.Metric(t, held) < 3 || n.Metric(t, tooMany) > 0 {
		t.Errorf("%v were held, %v got 429 although nobody waited",
			n.Metric(t, held), n.Metric(t, tooMany))
	}
}

// TestWhatIsNoFailure: the limit is for clients that are wrong, not for those
// that come when nobody listens, or that a listener does not want.
func TestWhatIsNoFailure(t *testing.T) {
	t.Parallel()
	n := failing(t, 10*time.Second)
	d := relaytest.Dial{Path: relaytest.Anonymous}
	for range 10 {
		n.Connect(t, d).Want(t, 404)
	}
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous, Query: "sb-hc-id=one"})
	d.Header = header("Microsoft-Relay-AllowedListeners", "two")
	for range 10 {
		n.Connect(t, d).Want(t, 404)
	}
	d.Header = nil
	for range 10 {
		p := n.Connect(t, d)
		l.Reject(t, 401, "not you")
		p.Want(t, 401)
	}
	if all := n.Metric(t, held, tooMany); all != 0 {
		t.Errorf("%v answers were held or 429", all)
	}
}

// TestStormOfFailures: a client that dials again without pause gets as many
// answers as the delay allows, and few lines of the log.
func TestStormOfFailures(t *testing.T) {
	t.Parallel()
	const delay, attempts = 100 * time.Millisecond, 15
	n := failing(t, delay)
	s, r := n.Pair(t, relaytest.Anonymous)
	request := n.UpgradeRequest("/$hc/" + relaytest.Authorized + "?sb-hc-action=listen")
	begin := time.Now()
	for range attempts {
		c := n.Raw(t)
		c.Send(t, request)
		c.Want(t, 401)
	}
	waited := time.Since(begin)
	// Three and one for each second are answered at once.
	slow := attempts - 4 - int(waited/time.Second)
	if waited < time.Duration(slow)*delay {
		t.Errorf("%d answers in %v", attempts, waited)
	}
	relaytest.Exchange(t, s, r)
	lines := 0
	for _, line := range n.Lines() {
		if strings.Contains(line, "handshake refused") {
			lines++
		}
	}
	if lines < 3 || lines > attempts-slow {
		t.Errorf("%d lines of the log", lines)
	}
}

// TestNoDelay: with failure_delay 0 nothing is held, however many fail.
func TestNoDelay(t *testing.T) {
	t.Parallel()
	n := failing(t, 0)
	for range 30 {
		n.TryListen(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 401)
	}
	if all := n.Metric(t, held, tooMany); all != 0 {
		t.Errorf("%v answers were held or 429", all)
	}
}
