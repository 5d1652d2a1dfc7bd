package gateway

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gatewaystore"
	"github.com/relayhouse/relayhouse/httprelay"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/internal/budget"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/rendezvous"
)

// Config holds the limits and parts of a gateway. The limits are settings of
// the same name, documented and checked in package config.
type Config struct {
	ID               int    // n of the suffix _G{n} of tracking ids
	AdvertisedURL    string // ws://host[:port] of rendezvous addresses; "" = the listener's Host
	AdvertisedScheme string // ws, wss or, as the listener does, auto; where AdvertisedURL is empty

	// TrustedProxies are those whose headers say who the sender is.
	TrustedProxies []netip.Prefix

	RendezvousWindow time.Duration
	ListenersMax     int
	PendingMax       int

	HeadBytes   int           // one request head
	HeadTimeout time.Duration // for it to arrive
	HeadMemory  int64         // all heads in progress or waiting, in bytes

	ControlMessage    int // text message from a listener, in bytes
	ControlQueue      int // bytes queued towards one listener
	ListenerPing      time.Duration
	ListenerPingGrace time.Duration

	TokenSkew        time.Duration
	UnprefixedReject bool

	FailureRate    float64 // failed handshakes per second and address
	FailureBurst   int
	FailureDelay   time.Duration
	FailureHeldMax int

	// RestartHold is how long a sender waits for listeners that are on their
	// way from the process before this one.
	RestartHold time.Duration

	HTTP HTTPConfig

	Namespaces *namespace.Store
	// Entities changes what is in Namespaces, for management calls. Nil, or a
	// namespacestore.ReadOnly, has those refused.
	Entities namespacestore.Writer
	// Audit hears of the management calls that came to Entities, before they
	// are answered. It is called from goroutines of its own, at most four at a time,
	// and may wait. Nil for nobody.
	Audit func(AuditRecord)

	Authorizer *namespace.Authorizer
	Store      gatewaystore.Store
	Counters   *metrics.Gateway
	History    *metrics.History
	Log        *slog.Logger
	Random     func() uint64 // nil but in simulations
	// EndsTLS says whether this process ends the TLS of a connection; such a one
	// is handed on byte by byte. Nil, but in tests, asks the connection.
	EndsTLS func(c *engine.Conn) bool
	Now     func() time.Time
}

// HTTPConfig holds the limits of relayed HTTP. ResponseTimeout and BodyGap are
// for entities that do not set their own; 0 is never.
type HTTPConfig struct {
	ResponseTimeout  time.Duration
	BodyGap          time.Duration
	KeepAlive        time.Duration // between two requests of a connection
	CollectTime      time.Duration
	SendStall        time.Duration // 0 is never
	HalfIdle         time.Duration // 0 is never
	BodyMemory       int64         // in bytes
	RawTarget        bool
	Forwarded        hyco.Forwarded
	NoListenerStatus int // 404 or 502
	KeyParameters    bool
}

// Gateway is the relay role of one process. Make it with New and give Accept
// to an engine.
type Gateway struct {
	// Fixed after New.
	cfg   Config
	table *rendezvous.Table[*listener, waiter]
	head  *headHandler
	idle  *idle
	http  httprelay.Config

	handover handover
	limiter  *limiter
	heads    budget.Bytes // all heads in progress or waiting
	bodies   budget.Bytes // HTTP bodies on their way to a control channel, or to the store
	changes  changes
	draining atomic.Bool
}

// New makes a gateway.
func New(cfg Config) *Gateway {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if _, ok := cfg.Entities.(namespacestore.ReadOnly); ok {
		cfg.Entities = nil
	}
	g := &Gateway{
		cfg: cfg, changes: newChanges(),
		table: rendezvous.New[*listener, waiter](rendezvous.Config{
			PendingMax: cfg.PendingMax,
			Window:     cfg.RendezvousWindow,
			Random:     cfg.Random,
		}),
		limiter: newLimiter(cfg.FailureRate, cfg.FailureBurst, cfg.FailureHeldMax),
	}
	g.head = &headHandler{g: g}
	g.idle = &idle{headHandler{g: g}}
	g.heads.Max, g.bodies.Max = cfg.HeadMemory, cfg.HTTP.BodyMemory
	g.http = httprelay.Config{
		CollectTime: cfg.HTTP.CollectTime, RendezvousWindow: cfg.RendezvousWindow,
		SendStall: cfg.HTTP.SendStall, HalfIdle: cfg.HTTP.HalfIdle, ControlMessage: cfg.ControlMessage,
		RawTarget: cfg.HTTP.RawTarget, Forwarded: cfg.HTTP.Forwarded,
		Heads: &g.heads, Bodies: &g.bodies, Counters: cfg.Counters, Now: cfg.Now,
	}
	return g
}

// overloadWait is how long a connection over the limit may take to send what
// the refusal answers.
const overloadWait = 2 * time.Second

// Accept gives a new connection its first handler; it is engine.Config.Accept.
func (g *Gateway) Accept(c *engine.Conn, overloaded bool) engine.Handler {
	if overloaded {
		c.SetDeadline(g.ticks(c, overloadWait))
		return &overload{g: g}
	}
	c.SetDeadline(g.ticks(c, g.cfg.HeadTimeout))
	return g.head
}

// NotTLS gives a handler to a connection that sends text to a port with TLS; it
// is engine.TLS.NotTLS.
func (g *Gateway) NotTLS(c *engine.Conn) engine.Handler {
	c.SetDeadline(g.ticks(c, g.cfg.HeadTimeout))
	return &notTLS{g: g}
}

type notTLS struct {
	noEvents
	g *Gateway
}

func (h *notTLS) Data(c *engine.Conn, _ []byte) { h.g.refuse(c, nil, hyco.RefusalNotTLS) }
func (h *notTLS) Hangup(c *engine.Conn)         { c.Finish(metrics.ClosePeerEOF) }
func (h *notTLS) Timeout(c *engine.Conn)        { c.Close(metrics.CloseHeadTimeout) }

func (g *Gateway) ticks(c *engine.Conn, d time.Duration) uint32 {
	return c.Loop().Engine().Ticks(d)
}

// trackingID is the id under which a client's request is logged and answered:
// the client's own, if it is fit, with the mark of this gateway.
func (g *Gateway) trackingID(sent string) string {
	id, _ := hyco.CleanID(sent)
	return hyco.WithGateway(id, g.cfg.ID)
}

// Listeners is the number of registered listeners.
func (g *Gateway) Listeners() int { return g.table.ListenersAll() }

// ListenersOf is the number of registered listeners of an entity, by its key.
func (g *Gateway) ListenersOf(entityKey string) int { return g.table.Listeners(entityKey) }

// Pending is the number of senders that wait for their rendezvous.
func (g *Gateway) Pending() int { return g.table.Pending() }

// BodyMemory is the number of bytes held by HTTP request bodies that are on
// their way to a control channel or to the store.
func (g *Gateway) BodyMemory() int64 { return g.bodies.Used() }

// HeadMemory is the number of bytes held by request heads that are in progress
// or belong to waiting senders.
func (g *Gateway) HeadMemory() int64 { return g.heads.Used() }

// noEvents is embedded by handlers that do not expect some of the events.
type noEvents struct{}

func (noEvents) Data(*engine.Conn, []byte)                {}
func (noEvents) Hangup(*engine.Conn)                      {}
func (noEvents) Timeout(*engine.Conn)                     {}
func (noEvents) Drained(*engine.Conn)                     {}
func (noEvents) Closed(*engine.Conn, metrics.CloseReason) {}

// closed records the end of a connection of a client in the closed history.
func (g *Gateway) closed(c *engine.Conn, peer netip.AddrPort,
	role metrics.Role, reason metrics.CloseReason,
	entity, trackingID string, since time.Time, detail string) {
	in, out := c.Bytes()
	now := g.cfg.Now()
	g.cfg.History.Add(metrics.Closed{
		Time: now, Role: role, Reason: reason, Peer: peer, Entity: entity,
		TrackingID: trackingID, BytesIn: in, BytesOut: out,
		Duration: now.Sub(since), Detail: detail,
	})
}
