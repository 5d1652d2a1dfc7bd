package gateway_test

import (
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// ipRule is a rule for addresses; "!" in front of the mask refuses.
func ipRule(t *testing.T, mask string) namespace.IPRule {
	t.Helper()
	mask, deny := strings.CutPrefix(mask, "!")
	r, ok := namespace.ParseIPRule(mask)
	if !ok {
		t.Fatalf("mask %q", mask)
	}
	r.Deny = deny
	return r
}

// only lets in who the rules let in.
func only(t *testing.T, masks ...string) func(*config.Config) {
	return func(c *config.Config) {
		rules := &c.Namespaces[0].Network
		rules.DefaultDeny = true
		for _, mask := range masks {
			rules.IPRules = append(rules.IPRules, ipRule(t, mask))
		}
	}
}

// surfaces are the ways in. Each has a token that would be good, if it needs
// one, or one that would be refused, if somebody looked at it.
func surfaces(n *relaytest.Client) map[string]string {
	good := "ServiceBusAuthorization: " + relaytest.Token(relaytest.Anonymous)
	wrong := "ServiceBusAuthorization: " + mint(relaytest.Authorized, relaytest.RootRule, "wrong")
	const mark = "X-PROCESS-AT: ServiceBus"
	listen, connect := "/$hc"+openTarget+"?sb-hc-action=listen", "/$hc"+openTarget
	return map[string]string{
		"listen":              n.UpgradeRequest(listen, good),
		"listen, wrong token": n.UpgradeRequest("/$hc"+closedTarget+"?sb-hc-action=listen", wrong),
		"connect":             n.UpgradeRequest(connect),
		"connect, no entity":  n.UpgradeRequest("/$hc/nowhere", good),
		"request":             n.HTTPRequest("GET", openTarget, ""),
		"request with a body": n.HTTPRequest("POST", openTarget, "body"),
		"request, no token":   n.HTTPRequest("GET", closedTarget, ""),
		"management":          n.HTTPRequest("GET", openTarget+"?api-version=2016-07", "", mark, good),
	}
}

// TestNetworkRules: who is not let in gets 401 on every surface, before his
// token is looked at, by the address that the balancer says.
func TestNetworkRules(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, only(t, "!192.0.2.9", "192.0.2.0/24", "2001:db8::/32"),
		func(c *config.Config) { c.ProxyProtocol.Networks = loopback })
	refused := 0.0
	for from, admitted := range map[string]bool{
		proxyLine: true,
		"PROXY TCP4 192.0.2.9 127.0.0.1 4000 80\r\n":    false,
		"PROXY TCP4 198.51.100.7 127.0.0.1 4000 80\r\n": false,
		"PROXY TCP6 2001:db8::7 ::1 4000 80\r\n":        true,
		"PROXY TCP6 2001:db9::7 ::1 4000 80\r\n":        false,
		proxyLocal:                                      false,
	} {
		b := n.Behind(from)
		for name, request := range surfaces(b) {
			c := b.Raw(t)
			c.Send(t, request)
			a := c.Answer(t)
			blocked := a.Status == 401 && strings.Contains(a.Phrase, "IpNotAllowed: Ip has been"+
				" prevented to connect to the endpoint. TrackingId:")
			if blocked == admitted {
				t.Errorf("%q, %s: %+v", from, name, a)
			}
			if strings.Contains(a.Phrase+a.Body, "192.0.2") || name == "management" && blocked &&
				!strings.HasPrefix(a.Body, "<Error><Code>401</Code><Detail>IpNotAllowed") {
				t.Errorf("%q, %s: %+v", from, name, a)
			}
			if blocked {
				refused++
			}
			_ = c.Close()
		}
	}
	n.WantMetric(t, `relay_auth_failures_total{reason="IPNotAllowed"}`, refused)
	found := false
	for _, line := range n.Lines() {
		if strings.Contains(line, `"code":"IPNotAllowed"`) {
			found = found || strings.Contains(line, `"clientAddr":"192.0.2.9:4000"`)
			if !strings.Contains(line, `"level":"DEBUG"`) ||
				!strings.Contains(line, `"event":"AuthorizationFailed"`) {
				t.Errorf("line %s", line)
			}
		}
	}
	if !found {
		t.Error("no line has the address")
	}
}

// TestNetworkRulesBehindProxies: on one connection of a proxy each request has the
// address of its own sender, and the connection outlives a refusal.
func TestNetworkRulesBehindProxies(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, trusting, only(t, "192.0.2.0/24"))
	l := n.RawListen(t, relaytest.Anonymous, "X-Forwarded-For: 192.0.2.1")
	c := n.Raw(t)
	for range 3 {
		c.Send(t, get(n, "X-Forwarded-For: 192.0.2.7, 198.51.100.1"))
		wantError(t, c.Response(t), 401, "TokenMissingOrInvalid", "IpNotAllowed")
		c.Send(t, get(n))
		wantError(t, c.Response(t), 401, "TokenMissingOrInvalid", "IpNotAllowed")
		c.Send(t, get(n, "X-Forwarded-For: 198.51.100.1, 192.0.2.7"))
		l.NextRequest(t).Respond(t, relaytest.Reply{})
		c.WantResponse(t, 200, "")
	}
	for from, status := range map[string]int{"198.51.100.1": 401, "192.0.2.7": 404} {
		if a := n.Raw(t).Upgrade(t, "/$hc/nowhere", "X-Forwarded-For: "+from,
			"ServiceBusAuthorization: "+root("http%3A%2F%2Frelay.test")); a.Status != status {
			t.Errorf("%s: %+v", from, a)
		}
	}
}

// TestNetworkRulesAndWhatIsOpen: a rendezvous address is a secret of its own, and good
// from any address; what is open stays when the rules change.
func TestNetworkRulesAndWhatIsOpen(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, trusting, only(t, "192.0.2.0/24"))
	l := n.RawListen(t, relaytest.Anonymous, "X-Forwarded-For: 192.0.2.1")
	s := n.Raw(t)
	s.Send(t, n.UpgradeRequest("/$hc"+openTarget, "X-Forwarded-For: 192.0.2.2"))
	accept := relaytest.ParseAccept(t, []byte(l.ReadMessage(t)))
	leg, a := n.RawOpen(t, strings.Replace(accept.Address, "wss://", "ws://", 1))
	if b := s.Answer(t); a.Status != 101 || b.Status != 101 {
		t.Fatalf("answers %+v, %+v", a, b)
	}
	cfg := relaytest.Settings()
	cfg.Namespaces[0].PublicNetworkAccess = namespace.AccessDisabled
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if a := n.Raw(t).Upgrade(t, "/$hc"+openTarget, "X-Forwarded-For: 192.0.2.2"); a.Status != 401 {
		t.Errorf("with no public access: %+v", a)
	}
	s.SendFrame(t, text("still here"))
	if got := leg.ReadMessage(t); got != "still here" {
		t.Errorf("message %q", got)
	}
	l.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true})
	l.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true})
}

// TestNetworkRulesCountAsFailures: the limiter of failed handshakes counts them.
func TestNetworkRulesCountAsFailures(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, only(t), func(c *config.Config) {
		c.Gateway.FailureRate, c.Gateway.FailureBurst = 1, 3
		c.Gateway.FailureDelay, c.Gateway.FailureHeldMax = 0, 0
	})
	relaytest.Eventually(t, "429", func() bool {
		return n.Raw(t).Upgrade(t, "/$hc"+openTarget).Status == 429
	})
}
