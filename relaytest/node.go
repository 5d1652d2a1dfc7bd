package relaytest

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/node"
	"github.com/relayhouse/relayhouse/sas"
)

// Patience is how long a test waits for what must happen. Machines that test
// are slow and busy; nothing waits that long when all is well.
const Patience = 15 * time.Second

// The entities of Settings.
const (
	Authorized = "authenticated"   // senders need a token; it has rules of its own
	Anonymous  = "unauthenticated" // senders need none
	Sibling    = "sibling"         // like Authorized, without rules
)

// The rules of Settings. RootRule has all rights and two keys; ListenRule and
// SendRule have one right each; EntityRule belongs to Authorized and has both.
const (
	RootRule   = "RootManageSharedAccessKey"
	ListenRule = "listen"
	SendRule   = "send"
	EntityRule = "entity"
)

// The keys of the rules. KeyMark is part of each, and of nothing else.
const (
	KeyMark      = "9f27c4e1"
	RootKey      = KeyMark + "+root/primary="
	SecondaryKey = KeyMark + "+root/secondary="
	ListenKey    = KeyMark + "+listen="
	SendKey      = KeyMark + "+send="
	EntityKey    = KeyMark + "+entity="
)

// Settings are those of a node in a test: two loops, free ports, ticks of 10
// ms, limits that no test meets by chance.
func Settings() config.Config {
	c := config.Default()
	c.Listen.HTTP = "127.0.0.1:0"
	c.Admin.Listen = "127.0.0.1:0"
	c.Engine.Loops = 2
	c.Engine.Tick = 10 * time.Millisecond
	c.Relay.Linger = time.Second
	c.Drain.Spread = 0
	c.Drain.Timeout = time.Second
	c.Log.Level = "debug"
	c.Namespaces = Namespaces()
	return c
}

// Namespaces are those of Settings: one, which serves every host.
func Namespaces() []namespace.Definition {
	const all = sas.Listen | sas.Send | sas.Manage
	return []namespace.Definition{{
		Name: "test",
		Rules: []namespace.Rule{
			{Name: RootRule, Rights: all, PrimaryKey: RootKey, SecondaryKey: SecondaryKey},
			{Name: ListenRule, Rights: sas.Listen, PrimaryKey: ListenKey},
			{Name: SendRule, Rights: sas.Send, PrimaryKey: SendKey},
		},
		HybridConnections: []namespace.Entity{
			{Name: Authorized, RequiresClientAuthorization: true, Rules: []namespace.Rule{
				{Name: EntityRule, Rights: sas.Listen | sas.Send, PrimaryKey: EntityKey},
			}},
			{Name: Anonymous},
			{Name: Sibling, RequiresClientAuthorization: true},
		},
	}}
}

// Token is a token of RootRule for a path, good for an hour.
func Token(path string) string {
	return sas.Sign("http://relay.test/"+path, RootRule, RootKey, time.Now().Add(time.Hour))
}

// Node is a node that runs in this process.
type Node struct {
	*node.Node
	*Client
	log *logBuffer
}

// Start runs a node with Settings, edited, and stops it when the test ends.
func Start(t testing.TB, edit ...func(*config.Config)) *Node {
	t.Helper()
	cfg := Settings()
	for _, f := range edit {
		f(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	log := new(logBuffer)
	started, err := node.Start(cfg, log.logger(cfg.Log.Level))
	if err != nil {
		t.Fatal(err)
	}
	a := started.Addresses()
	n := &Node{Node: started, Client: NewClient(a.HTTP, a.Admin), log: log}
	t.Cleanup(func() {
		n.quiet(t)
		n.Stop()
		n.atRest(t)
		if t.Failed() {
			t.Logf("log of the node:\n%s", strings.Join(n.Lines(), "\n"))
		}
	})
	return n
}

// quiet waits until HTTP exchanges, whose clients have all gone by now, have
// ended of themselves.
func (n *Node) quiet(t testing.TB) {
	t.Helper()
	Eventually(t, "no HTTP exchange is left", func() bool {
		c := n.Connections()
		return c["http_sender"]+c["http_listener"] == 0
	})
	for _, pool := range n.Pools() {
		if pool.Name == "http_bodies" && pool.Used != 0 {
			t.Errorf("without an exchange: %d bytes in the pool %s", pool.Used, pool.Name)
		}
	}
}

// atRest checks a node that has been stopped.
func (n *Node) atRest(t testing.TB) {
	t.Helper()
	for role, count := range n.Connections() {
		if count != 0 {
			t.Errorf("after Stop: %d connections in the role %s", count, role)
		}
	}
	for _, pool := range n.Pools() {
		if pool.Used != 0 {
			t.Errorf("after Stop: %d bytes in the pool %s", pool.Used, pool.Name)
		}
	}
	if l, p := n.Listeners(1).Total, n.Pending(1).Total; l != 0 || p != 0 {
		t.Errorf("after Stop: %d listeners, %d pending rendezvous", l, p)
	}
	for _, line := range n.Lines() {
		for _, secret := range []string{KeyMark, url.QueryEscape(KeyMark + "+"), "sig="} {
			if strings.Contains(line, secret) {
				t.Errorf("the log contains a secret: %s", line)
			}
		}
	}
}
