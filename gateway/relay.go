package gateway

import (
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
)

// relay is what the gateway remembers of a relayed connection, shared by its
// two ends: 48 bytes.
type relay struct {
	g      *Gateway
	entity *namespace.Entity
	packed hyco.PackedID
	since  int64 // ms since 1970
}

func newRelay(s *sender) *relay {
	return &relay{
		g: s.g, entity: s.entity, packed: hyco.PackID(s.id, s.g.cfg.ID), since: s.since.UnixMilli(),
	}
}

// id is the tracking id.
func (r *relay) id() string { return r.packed.Unpack(r.g.cfg.ID) }

// end closes both ends of the relayed connection with the words of a refusal.
func (r *relay) end(c *engine.Conn, why *hyco.Refusal, reason metrics.CloseReason) {
	c.EndSplice(why.CloseCode, hyco.CloseText(why.Text, r.id()), reason)
}

// senderEnd and listenerEnd are the handlers of the two ends: one relay, two
// types, so that an end costs no memory of its own. While the ends are spliced
// the engine does everything; Closed is the only event.
type (
	senderEnd   relay
	listenerEnd relay
)

func (*senderEnd) Data(*engine.Conn, []byte) {}
func (*senderEnd) Hangup(*engine.Conn)       {}
func (*senderEnd) Timeout(*engine.Conn)      {}
func (*senderEnd) Drained(*engine.Conn)      {}

// Closed accounts for the sender's end.
func (e *senderEnd) Closed(c *engine.Conn, reason metrics.CloseReason) {
	(*relay)(e).closed(c, metrics.RoleRelayedSender, reason)
}

func (*listenerEnd) Data(*engine.Conn, []byte) {}
func (*listenerEnd) Hangup(*engine.Conn)       {}
func (*listenerEnd) Timeout(*engine.Conn)      {}
func (*listenerEnd) Drained(*engine.Conn)      {}

// Closed accounts for the listener's end.
func (e *listenerEnd) Closed(c *engine.Conn, reason metrics.CloseReason) {
	(*relay)(e).closed(c, metrics.RoleRelayedListener, reason)
}

func (r *relay) closed(c *engine.Conn, role metrics.Role, reason metrics.CloseReason) {
	r.g.closed(c, c.Peer(), role, reason, r.entity.Key(), r.id(), time.UnixMilli(r.since), "")
}
