package gateway

import (
	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// runtimeInformation answers the management call that shares its URL with
// relayed requests and is told from them by a header (docs/protocol.md, section
// 5.11). It needs the right Manage.
func (g *Gateway) runtimeInformation(c *engine.Conn, r *request, entity *namespace.Entity,
	behind []byte) {
	token, _ := r.httpToken(nil)
	_, err := r.authorizeToken(entity, token, sas.Manage)
	refusal := asRefusal(err)
	switch {
	case r.head.Method != "GET":
		refusal = hyco.RefusalMethod
	case err == nil:
		refusal = nil
	case refusal.Code == hyco.RefusalNoSuchEntity.Code:
		refusal, entity = nil, nil
	}
	if refusal != nil {
		g.refuseHTTP(c, r, refusal, behind)
		return
	}
	document, kind := hyco.AppendEmptyFeed(nil), hyco.AtomFeedType
	if entity != nil {
		kind = hyco.AtomEntryType
		document = hyco.AppendRuntimeInformation(nil, hyco.RuntimeInformation{
			Host: r.ns.Host(), Path: entity.Name, ListenerCount: g.table.Listeners(entity.Key()),
			RequiresClientAuthorization: entity.RequiresClientAuthorization,
			UserMetadata:                entity.UserMetadata, Now: r.now,
		})
	}
	g.cfg.Counters.HTTPResponse(200, 0)
	fields := []httphead.Field{{Name: "Content-Type", Value: kind},
		{Name: hyco.HeaderTrackingID, Value: r.id}}
	keep := behind != nil && r.head.KeepAlive() && !g.draining.Load()
	response := httphead.AppendResponse(nil, 200, "OK", fields, string(document), keep)
	g.reply(c, response, keep, behind)
}
