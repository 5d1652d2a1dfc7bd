package node_test

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/relaytest"
)

// occupied is an address that something else listens on.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// TestStartErrors: one line that names the setting and what to do; nothing is
// left open, which the leak check of the package sees.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, text string
		edit             func(c *config.Config)
	}{
		{"port in use", "listen.http", "is in use by another process; end it or choose another",
			func(c *config.Config) { c.Listen.HTTP = occupied(t) }},
		{"admin port in use", "admin.listen", "is in use by another process",
			func(c *config.Config) { c.Admin.Listen = occupied(t) }},
		{"not our address", "listen.http", "192.0.2.1:0 is not an address of this machine",
			func(c *config.Config) { c.Listen.HTTP = "192.0.2.1:0" }},
		{"not our admin address", "admin.listen", "192.0.2.1:0 is not an address of this machine",
			func(c *config.Config) { c.Admin.Listen = "192.0.2.1:0" }},
		{"no host", "listen.http", "cannot listen on no-such-host.invalid:1",
			func(c *config.Config) { c.Listen.HTTP = "no-such-host.invalid:1" }},
		{"more than the descriptors", "gateway.connections_max", "raise the limit (ulimit -n)",
			func(c *config.Config) { c.Gateway.ConnectionsMax = int(limit.Cur) - 1 }},
	} {
		cfg := relaytest.Settings()
		tt.edit(&cfg)
		n, err := node.Start(cfg, slog.New(slog.DiscardHandler))
		var wrong *config.Error
		if n != nil || !errors.As(err, &wrong) {
			t.Fatalf("%s: %v, error %v", tt.name, n, err)
		}
		if wrong.Path != tt.path || !strings.Contains(wrong.Text, tt.text) ||
			strings.Contains(wrong.Error(), "\n") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections[0].Name = "/"
	_, err := node.Start(cfg, slog.New(slog.DiscardHandler))
	var wrong *namespace.FieldError
	if !errors.As(err, &wrong) || wrong.Path != "namespaces[0].hybrid_connections[0].name" {
		t.Errorf("bad name: %v", err)
	}
}

// TestHalfStartedPortIsFree: when the second port cannot be had, the first one
// is given back.
func TestHalfStartedPortIsFree(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := relaytest.Settings()
	cfg.Listen.HTTP, cfg.Admin.Listen = first, occupied(t)
	if _, err := node.Start(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("started")
	}
	again, err := net.Listen("tcp", first)
	if err != nil {
		t.Fatalf("the first port is not free: %v", err)
	}
	_ = again.Close()
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	a := n.Addresses()
	for _, address := range []string{a.HTTP, a.Admin} {
		if host, port, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" ||
			port == "0" {
			t.Errorf("address %q: %v", address, err)
		}
	}
	if a.HTTPS != "" || a.Management != "" {
		t.Errorf("addresses %+v", a)
	}
}

// TestAdminPages: the node stands behind each.
func TestAdminPages(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for path, text := range map[string]string{
		"/healthz":        "ok\n",
		"/livez":          "ok\n",
		"/readyz":         "ok\n",
		"/readyz?verbose": "ok   room for connections",
		"/health":         `"status":"healthy"`,
		"/metrics":        "relay_build_info{",
		"/status":         `"loops"`,
		"/status/pools":   `"leftover"`,
		"/debug/check":    "ok   loops answer",
		"/debug/pprof/":   "goroutine",
	} {
		if status, body := n.Get(t, path); status != 200 || !strings.Contains(body, text) {
			t.Errorf("%s: %d %.200q, want %q in it", path, status, body, text)
		}
	}
}

// TestStop ends everything at once, and again does nothing.
func TestStop(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
	raw := n.Raw(t)
	waiting := n.Waiting(t, relaytest.Dial{Path: relaytest.Anonymous})
	n.Stop()
	n.Stop()
	l.WantLost(t)
	s.WantLost(t)
	r.WantLost(t)
	raw.WantEnd(t)
	if c, a := waiting.Outcome(t); c != nil || a.Status != 0 {
		t.Errorf("answer %+v", a)
	}
	for _, address := range []string{n.HTTP, n.Admin} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close()
			t.Errorf("%s still accepts", address)
		}
	}
}

// TestReloadIsAllOrNothing: namespaces that cannot be leave the old ones.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections[1].Name = "not/a/name/"
	if err := n.Reload(cfg); err == nil ||
		!strings.Contains(err.Error(), "namespaces[0].hybrid_connections[1].name: want ") {
		t.Fatalf("error %v", err)
	}
	s, r := l.Pair(t, relaytest.Dial{Path: relaytest.Anonymous})
	relaytest.Exchange(t, s, r)
	cfg.Namespaces = nil
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	l.WantClose(t, 1001)
	s.WantClose(t, 1001)
	r.WantClose(t, 1001)
	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous}).Want(t, 401)
}

// TestSeveralNamespaces are told apart by the host.
func TestSeveralNamespaces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		second := relaytest.Namespaces()[0]
		second.Name, second.Hosts = "second", []string{"b.test", "::1"}
		c.Namespaces[0].Hosts = []string{"a.test", "127.0.0.1"}
		c.Namespaces = append(c.Namespaces, second)
	})
	listen := func(host string) relaytest.Dial {
		return relaytest.Dial{Path: relaytest.Anonymous, Host: host,
			Token: tokenFor(strings.TrimSuffix(host, ":443"))}
	}
	a := n.Listen(t, listen("A.test:443"))
	b := n.Listen(t, listen("b.test"))
	n.TryListen(t, listen("c.test")).Want(t, 401)
	wrong := listen("b.test")
	wrong.Token = tokenFor("a.test")
	n.TryListen(t, wrong).Want(t, 401)
	for host, l := range map[string]*relaytest.Listener{
		"a.test": a, "a.test:80": a, "127.0.0.1:8080": a, "B.TEST": b, "[::1]:80": b,
	} {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous, Host: host})
		relaytest.Exchange(t, l.Accept(t), p.Conn(t))
	}
	n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous, Host: "c.test"}).Want(t, 401)
	// A renewal is judged in the namespace that the listener is in.
	b.Renew(t, tokenFor("a.test"))
	b.WantClose(t, 1008)
	a.Renew(t, tokenFor("a.test"))
	a.Ping(t)
}
