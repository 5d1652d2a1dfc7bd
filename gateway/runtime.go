package gateway

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// feedMax bounds the entries of a page of a feed; more than that comes on the
// next one. A page has less than a megabyte. Source: docs/protocol.md, section
// 5.11.
const feedMax = 100

// collections are the paths of feeds, in lower case, and what they list. No
// entity can have such a name.
var collections = map[string]struct {
	title string
	kind  namespace.Kind
}{
	"$resources/hybridconnections": {"HybridConnections", namespace.KindHybridConnection},
	"$resources/relays":            {"Relays", namespace.KindWCFRelay},
}

// isManagement says whether a request is for the gateway itself: by a header,
// or for clients that do not send it, by a version of the service's management
// API together with Atom in one of the headers that say what is sent or wanted
// (docs/protocol.md, section 5.11).
func (r *request) isManagement() bool {
	if strings.EqualFold(r.head.Get(hyco.HeaderProcessAt), "ServiceBus") {
		return true
	}
	if !r.target.HasQuery {
		return false
	}
	version := r.target.Parameter("api-version")
	return len(version) > 4 && version[:4] >= "2013" && version[:4] <= "2017" &&
		version[4] == '-' && (r.hasMedia("Accept") || r.hasMedia("Content-Type"))
}

// hasMedia says whether Atom is among the media types of a header.
func (r *request) hasMedia(header string) bool {
	for element := range r.head.Tokens(header) {
		media, _, _ := strings.Cut(element, ";")
		if strings.EqualFold(strings.TrimSpace(media), "application/atom+xml") {
			return true
		}
	}
	return false
}

// manage takes a management call. No listener hears of it.
func (g *Gateway) manage(c *engine.Conn, r *request, b body, rest []byte) {
	switch r.head.Method {
	case "GET":
		g.describe(c, r, r.behind(b.kind, b.length, rest))
	case "PUT", "DELETE":
		g.change(c, r, b, rest)
	default:
		g.refuseHTTP(c, r, hyco.RefusalMethod, r.behind(b.kind, b.length, rest))
	}
}

// managed is the entity of a management call: the one of that very name, or for
// listeners, which may listen below it, the one that their path leads to.
func (r *request) managed() *namespace.Entity {
	if e := entityOf(r.ns, r.target.Path); e != nil {
		return e
	}
	e, _ := r.ns.Find(r.target.Path)
	return e
}

// entityOf is the entity of a name, which may have a slash behind it, of either
// kind; nil if there is none.
func entityOf(ns *namespace.Namespace, name string) *namespace.Entity {
	name = strings.TrimSuffix(name, "/")
	if e := ns.Entity(namespace.KindHybridConnection, name); e != nil {
		return e
	}
	return ns.Entity(namespace.KindWCFRelay, name)
}

// describe answers a GET. An entity may be read with Listen, as listeners do,
// and so with Manage, which never comes without it; its rules, with their keys,
// and lists of entities are for Manage.
func (g *Gateway) describe(c *engine.Conn, r *request, behind []byte) {
	token, _ := r.httpToken(nil)
	list, listed := collections[strings.ToLower(r.target.Path)]
	right := sas.Listen
	if listed {
		right = sas.Manage
	}
	entity := r.managed()
	_, err := r.authorizeToken(entity, token, right)
	refusal := asRefusal(err)
	switch {
	case err == nil:
		_, err = r.authorizeToken(entity, token, sas.Manage)
		e := g.entry(r, entity, err == nil)
		g.document(c, r, 200, hyco.AtomEntryType, hyco.AppendEntry(nil, &e), behind)
	case refusal.Code != hyco.RefusalNoSuchEntity.Code:
		g.refuseHTTP(c, r, refusal, behind)
	case listed:
		g.feed(c, r, list.title, list.kind, behind)
	default:
		g.document(c, r, 200, hyco.AtomFeedType, hyco.AppendEmptyFeed(nil), behind)
	}
}

// entry describes an entity, with its rules and their keys or without.
func (g *Gateway) entry(r *request, e *namespace.Entity, rules bool) hyco.Entry {
	entry := hyco.Entry{
		Host: r.hostName(), Path: e.Name, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
		ListenerCount: g.table.Listeners(e.Key()), Now: r.now,
		Description: hyco.Description{
			WCF:                         e.Kind == namespace.KindWCFRelay,
			RequiresClientAuthorization: e.RequiresClientAuthorization,
			UserMetadata:                e.UserMetadata,
			RelayType:                   string(e.RelayType),
			RequiresTransportSecurity:   e.RequiresTransportSecurity,
		},
	}
	for i := range e.Rules {
		if !rules {
			break
		}
		rule := &e.Rules[i]
		entry.Rules = append(entry.Rules, hyco.DescribedRule{Name: rule.Name,
			Rights:     strings.Split(rule.Rights.String(), ","),
			PrimaryKey: rule.PrimaryKey, SecondaryKey: rule.SecondaryKey})
	}
	return entry
}

// feed answers with a page of the entities of a kind.
func (g *Gateway) feed(c *engine.Conn, r *request, title string, k namespace.Kind, behind []byte) {
	skip, ok1 := r.number("$skip", 0)
	top, ok2 := r.number("$top", feedMax)
	if !ok1 || !ok2 || top == 0 {
		g.refuseHTTP(c, r, hyco.RefusalBadPage, behind)
		return
	}
	host := r.host
	if !isHost(host) {
		host = r.hostName()
	}
	top = min(top, feedMax)
	all := r.ns.Entities(k)
	page := all[min(skip, len(all)):]
	page = page[:min(top, len(page))]
	f := hyco.Feed{Title: title, URL: r.proto() + "://" + host + "/$Resources/" + title,
		Skip: skip, Top: top, Version: r.target.Parameter("api-version"),
		More: skip < len(all) && skip+len(page) < len(all), Now: r.now}
	entries := make([]hyco.Entry, 0, len(page))
	for _, e := range page {
		entries = append(entries, g.entry(r, e, false))
	}
	g.document(c, r, 200, hyco.AtomFeedType, hyco.AppendFeed(nil, &f, entries), behind)
}

// number reads a parameter that is a number from 0 on; without it, it is usual.
func (r *request) number(name string, usual int) (int, bool) {
	text := r.target.Parameter(name)
	if text == "" {
		return usual, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0
}

// document answers a management call. The connection goes on with behind, what
// follows the call, unless that is nil; but not before its client has taken the
// answer, which may be long.
func (g *Gateway) document(c *engine.Conn, r *request, status int, kind string,
	document, behind []byte) {
	g.cfg.Counters.HTTPResponse(status, 0)
	fields := []httphead.Field{{Name: hyco.HeaderTrackingID, Value: r.id}}
	if len(document) > 0 {
		fields = append(fields, httphead.Field{Name: "Content-Type", Value: kind})
	}
	keep := behind != nil && r.head.KeepAlive() && !g.draining.Load()
	response := httphead.AppendResponse(nil, status, "", fields, string(document), keep)
	if !keep {
		g.reply(c, response, false, nil)
		return
	}
	c.Write(response, responseMax+len(response))
	c.Pause()
	if c.Queued() == 0 {
		g.next(c, behind)
		return
	}
	t := &taking{g: g, id: r.id, peer: r.source.addr, since: r.now, charged: int64(len(behind))}
	if !g.heads.Take(t.charged) {
		g.cfg.Counters.Throttled("head_memory")
		c.SetHandler(&ended{g: g, role: c.Role(), since: r.now, peer: r.source.addr, id: r.id})
		c.Finish(metrics.ClosePeer)
		return
	}
	t.behind = slices.Clone(behind)
	_, t.sent = c.Bytes()
	c.SetHandler(t)
	c.SetRole(metrics.RoleHTTPSender)
	t.rearm(c)
}

// taking is the handler of a connection while its client takes a document that
// did not fit into the socket. It is paused.
type taking struct {
	noEvents
	g       *Gateway
	behind  []byte
	charged int64  // taken from Gateway.heads for behind
	sent    uint64 // when its deadline was set
	id      string
	peer    netip.AddrPort
	since   time.Time
}

func (t *taking) rearm(c *engine.Conn) {
	_, t.sent = c.Bytes()
	c.SetDeadline(t.g.ticks(c, t.g.cfg.HTTP.SendStall))
}

// Drained: it has taken all.
func (t *taking) Drained(c *engine.Conn) {
	t.g.heads.Give(t.charged)
	c.SetDeadline(0)
	t.g.next(c, t.behind)
}

// Timeout: it must have taken something.
func (t *taking) Timeout(c *engine.Conn) {
	if _, sent := c.Bytes(); sent == t.sent {
		c.Close(metrics.CloseSendStalled)
		return
	}
	t.rearm(c)
}

// Hangup: who has only ended its own stream still reads.
func (t *taking) Hangup(c *engine.Conn) {
	if c.Broke() {
		c.Close(metrics.CloseSenderLost)
	}
}

func (t *taking) Closed(c *engine.Conn, reason metrics.CloseReason) {
	t.g.heads.Give(t.charged)
	t.g.closed(c, t.peer, metrics.RoleHTTPSender, reason, "", t.id, t.since, "")
}
