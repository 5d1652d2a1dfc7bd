package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/relayhouse/relayhouse/admin"
	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/gatewaystore"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/management"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/takeover"
)

// Node is one running process. Its methods may be called from any goroutine.
type Node struct {
	// Fixed after Start.
	cfg          config.Config
	log          *slog.Logger
	engine       *engine.Engine
	gateway      *gateway.Gateway
	namespaces   *namespace.Store
	store        store
	history      *metrics.History
	certificates *certificate.Store // nil if listen.https is empty
	admin        *admin.Server      // nil if admin.listen is empty
	management   *management.Server // nil if management.listen is empty
	audit        *management.AuditLog

	managementCertificates *certificate.Store // nil if it has those of tls
	addresses              Addresses
	started                time.Time
	connectionsMax         int
	descriptorsMax         int

	restart  restart
	draining atomic.Bool
	servers  sync.WaitGroup // admin and management, while they serve
}

// Addresses are the chosen addresses, host:port; empty where nothing listens.
type Addresses struct {
	HTTP       string `json:"http"`
	HTTPS      string `json:"https"`
	Admin      string `json:"admin"`
	Management string `json:"management"`
}

// Start runs a node. The settings must have passed Validate.
//
//	Errors: a *config.Error where a setting is to blame. Nothing is open then.
func Start(cfg config.Config, log *slog.Logger) (*Node, error) {
	n := &Node{
		cfg: cfg, log: log, namespaces: new(namespace.Store), started: time.Now(),
		history: metrics.NewHistory(cfg.Admin.ClosedHistory),
	}
	n.restart.replaced, n.restart.settled = make(chan struct{}), make(chan struct{})
	if err := n.openAll(); err != nil {
		n.abandon()
		return nil, err
	}
	n.namespaces.OnChange(func(previous, next *namespace.Snapshot) {
		n.gateway.EntitiesRemoved(n.engine, previous, next)
	})
	if len(n.namespaces.Load().Namespaces()) == 0 && n.management == nil {
		log.Warn("no namespace is configured: every handshake will be refused")
	}
	n.engine.Start()
	if err := n.accepting(); err != nil {
		n.abandon()
		return nil, err
	}
	n.watchStore()
	if n.admin != nil {
		n.serve("admin", n.admin.Serve)
	}
	if n.management != nil {
		n.serve("management", n.management.Serve)
	}
	return n, nil
}

// serve runs a server beside the engine until it is closed.
func (n *Node) serve(name string, serve func() error) {
	n.servers.Go(func() {
		if err := serve(); err != nil && !n.restart.taken.Load() {
			n.log.Error("a server ended", slog.String("server", name), slog.String("error", err.Error()))
		}
	})
}

// openAll takes over from the process before, if there is one, and makes all
// parts of the node; nothing serves yet.
func (n *Node) openAll() (err error) {
	if err := n.limits(); err != nil {
		return err
	}
	if err := n.inherit(); err != nil { // It lets go of store.file, too.
		return err
	}
	if err := n.openStore(); err != nil {
		return err
	}
	if err := n.openAudit(); err != nil {
		return err
	}
	counters := metrics.NewGateway()
	n.gateway = n.newGateway(counters)
	if n.engine, err = n.newEngine(); err != nil {
		return err
	}
	if err := n.openPorts(counters); err != nil {
		return err
	}
	return n.ready()
}

// abandon ends a node that could not be started.
func (n *Node) abandon() {
	if n.certificates != nil {
		n.certificates.Close()
	}
	n.endRestarts()
	n.closeStore()
	if n.engine != nil {
		n.engine.Stop()
	}
	if n.admin != nil {
		_ = n.admin.Listener().Close()
	}
	n.abandonManagement()
}

// descriptorReserve is kept free for the admin port, files and the runtime, in
// descriptors.
const descriptorReserve = 32

// limits derives the number of connections from the descriptor limit, so that
// a full gateway says so in words instead of running into it.
func (n *Node) limits() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the descriptor limit: %w", err)
	}
	n.descriptorsMax = int(min(limit.Cur, 1<<30))
	most := n.descriptorsMax - descriptors() - descriptorReserve - engine.OverloadSlack
	if most < 16 {
		return &config.Error{Path: "gateway.connections_max",
			Text: fmt.Sprintf("the descriptor limit of %d leaves room for %d connections; "+
				"raise it (ulimit -n)", n.descriptorsMax, max(most, 0))}
	}
	n.connectionsMax = n.cfg.Gateway.ConnectionsMax
	if n.connectionsMax == 0 {
		n.connectionsMax = most
	}
	if n.connectionsMax > most {
		return &config.Error{Path: "gateway.connections_max",
			Text: fmt.Sprintf("want at most %d with the descriptor limit of %d, got %d; "+
				"raise the limit (ulimit -n)", most, n.descriptorsMax, n.connectionsMax)}
	}
	return nil
}

func (n *Node) newGateway(counters *metrics.Gateway) *gateway.Gateway {
	c := n.cfg
	return gateway.New(gateway.Config{
		ID:                c.Gateway.ID,
		AdvertisedURL:     c.Gateway.AdvertisedURL,
		AdvertisedScheme:  c.Gateway.AdvertisedScheme,
		TrustedProxies:    c.HTTP.TrustedProxies,
		RendezvousWindow:  c.Gateway.RendezvousWindow,
		ListenersMax:      c.Gateway.ListenersMax,
		PendingMax:        c.Gateway.PendingMax,
		HeadBytes:         c.Limits.HeadBytes,
		HeadTimeout:       c.Limits.HeadTimeout,
		HeadMemory:        c.Limits.HeadMemory,
		ControlMessage:    c.Limits.ControlMessage,
		ControlQueue:      c.Limits.ControlQueue,
		ListenerPing:      c.Gateway.ListenerPing,
		ListenerPingGrace: c.Gateway.ListenerPingGrace,
		TokenSkew:         c.Gateway.TokenSkew,
		UnprefixedReject:  c.Gateway.UnprefixedReject,
		RestartHold:       c.Restart.Hold,
		FailureRate:       float64(c.Gateway.FailureRate),
		FailureBurst:      c.Gateway.FailureBurst,
		FailureDelay:      c.Gateway.FailureDelay,
		FailureHeldMax:    c.Gateway.FailureHeldMax,
		HTTP: gateway.HTTPConfig{
			ResponseTimeout:  c.HTTP.ResponseTimeout,
			BodyGap:          c.HTTP.BodyGap,
			KeepAlive:        c.HTTP.Keepalive,
			CollectTime:      c.HTTP.CollectTime,
			SendStall:        c.Relay.SendStall,
			HalfIdle:         c.Relay.HalfIdle,
			BodyMemory:       c.HTTP.BodyMemory,
			RawTarget:        c.HTTP.RequestTarget == "raw",
			Forwarded:        forwarded(c.HTTP.Forwarded),
			NoListenerStatus: c.HTTP.NoListenerStatus,
			KeyParameters:    c.HTTP.KeyParameters,
		},
		Namespaces: n.namespaces,
		Entities:   n.store.writer,
		Audit:      n.record,
		Authorizer: namespace.NewAuthorizer(namespace.AuthorizerConfig{
			Skew:               c.Gateway.TokenSkew,
			CacheMax:           c.Gateway.TokenCache,
			MissingClaimStatus: c.Gateway.ForbiddenStatusForMissingClaim,
		}),
		Store:    new(gatewaystore.Memory),
		Counters: counters,
		History:  n.history,
		Log:      n.log,
	})
}

// forwarded is the value of http.forwarded as the protocol's package knows it.
func forwarded(text string) hyco.Forwarded {
	switch text {
	case "x-forwarded":
		return hyco.ForwardedX
	case "forwarded":
		return hyco.ForwardedRFC
	case "both":
		return hyco.ForwardedAll
	}
	return hyco.ForwardedOff
}

func (n *Node) newEngine() (*engine.Engine, error) {
	c := n.cfg
	return engine.New(engine.Config{
		Accept:         n.gateway.Accept,
		Loops:          c.Engine.Loops,
		ReadBuffer:     c.Engine.ReadBuffer,
		TurnBytes:      c.Engine.TurnBytes,
		Tick:           c.Engine.Tick,
		ConnectionsMax: n.connectionsMax,
		LeftoverMax:    c.Limits.LeftoverMemory,
		SendStall:      c.Relay.SendStall,
		HalfIdle:       c.Relay.HalfIdle,
		Linger:         c.Relay.Linger,
	})
}

// openPorts opens the ports, and begins to watch the certificates.
//
//	Errors: as of Start. abandon closes what is open.
func (n *Node) openPorts(counters *metrics.Gateway) (err error) {
	c := n.cfg
	plain := engine.ListenConfig{
		KeepAlive: c.TCP.Keepalive, UserTimeout: c.TCP.UserTimeout, Backlog: c.TCP.Backlog,
		SendBuffer: c.TCP.SendBuffer, ReceiveBuffer: c.TCP.ReceiveBuffer,
		ProxyFrom: c.ProxyProtocol.Networks, ProxyTimeout: c.Limits.HeadTimeout,
		ProxyFailed: n.gateway.ProxyFailed,
	}
	if c.Listen.HTTP != "" {
		n.addresses.HTTP, err = n.listen("listen.http", c.Listen.HTTP, plain)
	}
	if err == nil && c.Listen.HTTPS != "" {
		secure := plain
		if err = n.openCertificates(); err != nil {
			return err
		}
		secure.TLS = n.tls()
		n.addresses.HTTPS, err = n.listen("listen.https", c.Listen.HTTPS, secure)
	}
	if err == nil {
		err = n.openAdmin(counters)
	}
	if err == nil {
		err = n.openManagement()
	}
	if err == nil && n.certificates != nil {
		err = n.certificates.Start(n.addresses.HTTPS)
	}
	return err
}

// listen opens one port of the engine and returns its address.
func (n *Node) listen(path, address string, cfg engine.ListenConfig) (string, error) {
	bound, err := n.open(strings.TrimPrefix(path, "listen."), address, cfg)
	if err != nil {
		return "", addressError(path, address, err)
	}
	return bound.String(), nil
}

// openAdmin opens the admin port, if there is to be one.
func (n *Node) openAdmin(counters *metrics.Gateway) (err error) {
	c := n.cfg
	if c.Admin.Listen == "" {
		return nil
	}
	registry := metrics.NewRegistry(metrics.Sources{
		Loops: n.engine.Counters(), Gateway: counters, Build: build(),
		Gauges: metrics.Gauges{
			Listeners:       n.gateway.Listeners,
			Pending:         n.gateway.Pending,
			HeadBytes:       n.gateway.HeadMemory,
			BodyBytes:       n.gateway.BodyMemory,
			DescriptorsOpen: descriptors,
			DescriptorsMax:  func() int { return n.descriptorsMax },
			Entities:        n.entities,
			AuditFailures:   n.audit.Failures,
			Certificates:    n.certificatesLeft(),
		},
	})
	l, err := n.listenBeside(portAdmin, c.Admin.Listen)
	if err != nil {
		return addressError("admin.listen", c.Admin.Listen, err)
	}
	n.admin = admin.ListenOn(l, admin.Options{
		Metrics: metrics.Handler(registry), Readiness: n, Status: n, Checks: n.checks(), Log: n.log,
	})
	n.addresses.Admin = n.admin.Addr().String()
	return nil
}

// addressError says which setting an address came from, and what to do.
func addressError(path, address string, err error) error {
	text := fmt.Sprintf("cannot listen on %s: %v", address, rootCause(err))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		text = address + " is in use by another process; " +
			"end it or choose another port, 0 for a free one"
	case errors.Is(err, syscall.EACCES):
		text = "no permission to listen on " + address +
			"; ports below 1024 need the capability net_bind_service"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		text = address + " is not an address of this machine"
	}
	return &config.Error{Path: path, Text: text}
}

func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Addresses returns where the node listens.
func (n *Node) Addresses() Addresses { return n.addresses }

// Reload takes over the namespaces of newly read settings, reads
// store.definitions and the files of certificates, all of it or nothing;
// everything else needs a restart. Entities that are gone are closed.
func (n *Node) Reload(cfg config.Config) error {
	defs, err := n.reloadStore(cfg)
	if err != nil {
		return err
	}
	snapshot, err := namespace.NewSnapshot(defs)
	if err != nil {
		return err
	}
	if n.certificates != nil {
		if err := n.certificates.Reload(pairs(cfg.TLS)); err != nil {
			return certificateError(err)
		}
	}
	if n.store.kind == storeSettings || n.store.kind == storeDefinitions {
		n.namespaces.Swap(snapshot)
	}
	return nil
}

// pendingWait bounds how long a drain waits for senders that have been
// announced already.
const pendingWait = 5 * time.Second

// Drain ends the node in good order. If another process has taken its place, its
// listeners are sent there. Else it is not ready any more, and after drain.delay
// new handshakes are refused and listeners get 1001. Relayed connections live on
// until they end or drain.timeout is over, and then get 1001. It returns early
// when ctx is done. The node must be stopped afterwards.
func (n *Node) Drain(ctx context.Context) {
	if n.draining.Swap(true) {
		return
	}
	replaced := n.isReplaced()
	n.log.Info("draining", slog.String("delay", n.cfg.Drain.Delay.String()),
		slog.String("timeout", n.cfg.Drain.Timeout.String()), slog.Bool("replaced", replaced))
	if !replaced {
		waitFor(ctx, n.cfg.Drain.Delay, func() bool { return false })
		n.gateway.RefuseNew()
	}
	begin := time.Now()
	n.gateway.SpreadListeners(ctx, n.engine, min(n.cfg.Drain.Spread, n.cfg.Drain.Timeout))
	left := n.cfg.Drain.Timeout - time.Since(begin)
	waitFor(ctx, pendingWait, func() bool { return n.gateway.Pending() == 0 })
	if n.certificates != nil {
		n.certificates.StopObtaining()
	}
	n.engine.CloseListeners()
	n.gateway.EndSenders(n.engine)
	n.tellSuccessor(takeover.KindSettled)
	counters := n.engine.Counters()
	waitFor(ctx, left, func() bool {
		return gateway.Relays(counters) == 0 && n.gateway.HandedOn() == 0 && isClosed(n.restart.settled)
	})
	n.gateway.EndRelays(n.engine)
	waitFor(ctx, n.cfg.Relay.Linger+time.Second, func() bool { return n.engine.Open() == 0 })
	n.tellSuccessor(takeover.KindBye)
}

// waitFor waits until ok, the time is up or ctx is done.
func waitFor(ctx context.Context, d time.Duration, ok func() bool) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// Stop ends the node at once.
func (n *Node) Stop() {
	n.draining.Store(true)
	if n.certificates != nil {
		n.certificates.Close()
	}
	n.endRestarts()
	n.engine.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if n.admin != nil {
		_ = n.admin.Close(ctx)
	}
	if n.management != nil {
		_ = n.management.Close(ctx)
	}
	n.servers.Wait()
	n.closeStore()
}

// descriptors counts the open descriptors of the process.
func descriptors() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer d.Close() //nolint:errcheck // read only
	names, _ := d.Readdirnames(-1)
	return len(names) - 1
}

// build says which version this is.
func build() metrics.Build {
	b := metrics.Build{Version: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.GoVersion = info.GoVersion
	if v := info.Main.Version; v != "" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
