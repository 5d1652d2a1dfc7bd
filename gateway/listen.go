package gateway

import (
	"log/slog"
	"strings"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gatewaystore"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/sas"
	"github.com/relayhouse/relayhouse/wsframe"
)

// listen registers a listener and makes its connection a control channel. The
// order of the checks is the token, its right, then the entity, so that a
// stranger cannot find out which entities exist (docs/protocol.md, section
// 2.1).
func (g *Gateway) listen(c *engine.Conn, r *request, rest []byte) {
	if g.draining.Load() {
		g.refuse(c, r, hyco.RefusalDraining)
		return
	}
	entity, _ := r.ns.Find(r.target.Path)
	grant, err := r.authorize(entity, sas.Listen)
	if err != nil {
		g.refuse(c, r, asRefusal(err))
		return
	}
	base, ok := g.base(r)
	if !ok {
		g.refuse(c, r, hyco.RefusalBadHead.Because("the Host header is no host name"))
		return
	}
	l := &listener{
		g: g, conn: c, ref: c.Ref(), peer: c.Peer(), entity: entity, base: base,
		path: strings.Clone(r.target.Path), namespace: r.ns.Name(),
		id: r.id, since: r.now, reader: wsframe.NewReader(g.cfg.ControlMessage),
	}
	l.token.Store(grant.Expiry.Unix())
	if id, sent := hyco.CleanID(r.target.ID); sent {
		l.listenerID = strings.Clone(id)
	}
	listenersMax := entity.ListenersMax
	if listenersMax == 0 {
		listenersMax = g.cfg.ListenersMax
	}
	old, replaced, err := g.table.Register(entity.Key(), l.listenerID, listenersMax, l)
	if err != nil {
		g.cfg.Counters.Throttled("listeners_max")
		g.refuse(c, r, hyco.RefusalListenerQuota)
		return
	}
	if replaced {
		old.ref.Post(func(c *engine.Conn) {
			if c != nil {
				old.end(hyco.RefusalReplaced)
			}
		})
	}
	g.cfg.Store.Announce(l.registration())
	g.cfg.Counters.ListenerConnect(101)
	g.cfg.Log.Info("listener registered", slog.String("event", "NewListenerRegistered"),
		slog.String("entity", entity.Key()), slog.String("listenerId", l.listenerID),
		slog.String("trackingId", l.id), slog.String("clientAddr", c.Peer().String()))

	c.SetHandler(l)
	c.SetRole(metrics.RoleListener)
	c.Write(wsframe.AppendSwitching(c.Loop().Scratch(), r.key, firstOf(r.protocols()), l.id),
		responseMax)
	l.schedule()
	g.arrived(entity.Key())
	if len(rest) > 0 {
		l.Data(c, rest)
	}
}

// base is the part of rendezvous addresses before the path: the advertised
// URL, or the host that the listener itself used, since that is a name which
// it can reach and whose certificate it trusts.
func (g *Gateway) base(r *request) (string, bool) {
	if g.cfg.AdvertisedURL != "" {
		return g.cfg.AdvertisedURL, true
	}
	scheme := "ws"
	if r.source.overTLS(g) {
		scheme = "wss"
	}
	return scheme + "://" + r.host, isHost(r.host)
}

// isHost says whether host has only bytes of a host name or address, with a
// port or without.
func isHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(".-_:[]%", c) >= 0:
		default:
			return false
		}
	}
	return host != ""
}

func (l *listener) registration() gatewaystore.Registration {
	return gatewaystore.Registration{
		Gateway: l.g.cfg.ID, Entity: l.entity.Key(), ListenerID: l.listenerID,
	}
}

func firstOf(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}
