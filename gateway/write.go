package gateway

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/sas"
)

// The bounds of changes to namespaces, which wait for the disk: so many are
// being made at once, each in a goroutine, and so many more wait for their turn
// in one. What is over is refused with 503. They are ours: the store makes one
// after the other anyway.
const (
	changesMax        = 4
	changesWaitingMax = 64
)

// changes counts those bounds.
type changes struct {
	turns chan struct{} // fixed after newChanges; holds one for each that is being made
	all   atomic.Int64
}

func newChanges() changes { return changes{turns: make(chan struct{}, changesMax)} }

// enter takes a place for a change; false if there is none.
func (c *changes) enter() bool {
	if c.all.Add(1) > changesMax+changesWaitingMax {
		c.all.Add(-1)
		return false
	}
	return true
}

func (c *changes) leave() { c.all.Add(-1) }

// AuditRecord tells of a management call that changed something, or would have
// if it had been valid and the store able to. Those that were refused before
// that are not told of: without a token that is good for them, which anybody
// can make, or because of their framing or for want of room. It holds no keys.
type AuditRecord struct {
	Time      time.Time // of the call
	Actor     string    // name of the authorization rule
	Address   netip.AddrPort
	Operation string // Microsoft.Relay/namespaces/HybridConnections/write and so on
	Namespace string
	Kind      namespace.Kind
	Entity    string // its name, or the name that it would have
	Status    int    // of the response
	// TrackingID is in the response too.
	TrackingID string
	// Before and After are the entity; nil where there was none, or is none
	// now. Where nothing has changed, After is nil.
	Before, After *namespace.Entity
}

// outcome is what has become of a change: a refusal, or a status.
type outcome struct {
	status        int
	refusal       *hyco.Refusal
	kind          namespace.Kind
	before, after *namespace.Entity
}

// run makes the change when it is its turn, in a goroutine of its own.
func (m *change) run() {
	q := &m.g.changes
	defer q.leave()
	q.turns <- struct{}{}
	defer func() { <-q.turns }()
	if !m.begun.CompareAndSwap(changeQueued, changeBegun) {
		return
	}
	o := m.make()
	m.text = nil
	m.g.bodies.Give(m.room)
	m.audit(&o)
	m.ref.Post(func(c *engine.Conn) {
		if c != nil && c.Handler() == engine.Handler(m) {
			m.answer(c, o)
		}
	})
}

func (m *change) audit(o *outcome) {
	if m.g.cfg.Audit == nil {
		return
	}
	r := m.request
	record := AuditRecord{
		Time: r.now, Actor: m.actor, Address: r.source.addr, Namespace: r.ns.Name(),
		Kind: o.kind, Entity: m.name(), Status: o.status, TrackingID: r.id,
		Before: withoutKeys(o.before), After: withoutKeys(o.after),
		Operation: "Microsoft.Relay/namespaces/HybridConnections/",
	}
	if o.kind == namespace.KindWCFRelay {
		record.Operation = "Microsoft.Relay/namespaces/WcfRelays/"
	}
	record.Operation += "write"
	if r.head.Method == "DELETE" {
		record.Operation = strings.TrimSuffix(record.Operation, "write") + "delete"
	}
	if o.refusal != nil {
		record.Status = o.refusal.Status
	}
	m.g.cfg.Audit(record)
}

// withoutKeys copies an entity, its rules without their keys.
func withoutKeys(e *namespace.Entity) *namespace.Entity {
	if e == nil {
		return nil
	}
	shown := *e
	shown.Rules = slices.Clone(e.Rules)
	for i := range shown.Rules {
		shown.Rules[i].PrimaryKey, shown.Rules[i].SecondaryKey = "", ""
	}
	return &shown
}

// name is that of the entity.
func (m *change) name() string { return strings.TrimSuffix(m.request.target.Path, "/") }

// make makes the change. It waits for the store.
func (m *change) make() (o outcome) {
	var put *described
	if m.request.head.Method == "PUT" {
		d, err := readDescription(m.text)
		if err != nil {
			o.refusal = asRefusal(err)
			return o
		}
		put = d
		o.kind = d.kind()
	}
	var next namespace.Entity
	_, err := m.g.cfg.Entities.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		ns := s.Namespace(m.request.ns.Name())
		old := entityOf(ns, m.name())
		if err := m.authorize(ns, old); err != nil {
			return nil, err
		}
		o.before = old
		if put == nil {
			if old == nil {
				return nil, hyco.RefusalEntityAbsent
			}
			o.kind = old.Kind
			return []namespace.Change{namespace.DeleteEntity(ns.Name(), old.Kind, old.Name)}, nil
		}
		update := m.request.head.Count("If-Match") > 0
		switch {
		case old == nil && update:
			return nil, hyco.RefusalEntityAbsent
		case old != nil && (!update || old.Kind != put.kind()):
			return nil, hyco.RefusalEntityExists
		}
		next = put.entity(m.name(), old)
		return []namespace.Change{namespace.PutEntity(ns.Name(), next)}, nil
	})
	switch {
	case err != nil:
		o.refusal = m.refusal(err)
	case put == nil:
		o.status = 200
	default:
		o.after = m.stored(&next)
		if o.status = 201; o.before != nil {
			o.status = 200
		}
	}
	return o
}

// authorize asks again, as rules may have changed while the change waited.
func (m *change) authorize(ns *namespace.Namespace, e *namespace.Entity) error {
	r := m.request
	grant, err := m.g.cfg.Authorizer.Authorize(ns, r.target.Path, e, m.token, sas.Manage, r.now)
	if err != nil && asRefusal(err).Code != hyco.RefusalNoSuchEntity.Code {
		return err
	}
	m.actor = grant.Rule
	return nil
}

// stored is the entity as it is in force, with its times; or if it has changed
// again, as it was put.
func (m *change) stored(put *namespace.Entity) *namespace.Entity {
	ns := m.g.cfg.Namespaces.Load().Namespace(m.request.ns.Name())
	if e := ns.Entity(put.Kind, put.Name); e != nil {
		return e
	}
	return put
}

// refusal maps an error of the store.
func (m *change) refusal(err error) *hyco.Refusal {
	var field *namespace.FieldError
	switch refusal := (*hyco.Refusal)(nil); {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &field):
		return hyco.RefusalBadDescription.Because(strings.ReplaceAll(field.Error(), "–", "-"))
	case errors.Is(err, namespace.ErrConflict):
		return hyco.RefusalEntityExists
	case errors.Is(err, namespace.ErrNotFound):
		return hyco.RefusalEntityAbsent
	case errors.Is(err, namespacestore.ErrReadOnly):
		return hyco.RefusalReadOnly
	case errors.Is(err, namespacestore.ErrFull):
		return hyco.RefusalEntityQuota
	}
	m.g.cfg.Log.Error("namespace not changed", slog.String("event", "ProcessingRequestFailed"),
		slog.String("trackingId", m.request.id), slog.String("error", err.Error()))
	if errors.Is(err, namespacestore.ErrUnavailable) {
		return hyco.RefusalStoreUnavailable
	}
	return hyco.RefusalInternal
}

// described is what a client says of an entity, in our words.
type described struct {
	hyco.Description
	rules []namespace.Rule // as sent: keys may be missing
	keys  []namespace.Rule // with the keys that those get
}

// readDescription reads the body of a PUT.
//
//	Errors: always a *hyco.Refusal.
func readDescription(text []byte) (*described, error) {
	d, err := hyco.ParseEntry(text)
	if err != nil {
		return nil, err
	}
	all := &described{Description: d}
	for _, r := range d.Rules {
		rule := namespace.Rule{Name: r.Name, PrimaryKey: r.PrimaryKey, SecondaryKey: r.SecondaryKey}
		for _, name := range r.Rights {
			right, err := sas.ParseRight(name)
			if err != nil {
				return nil, hyco.RefusalBadDescription.Because("its rules have other rights than " +
					"Listen, Send and Manage")
			}
			rule.Rights |= right
		}
		all.rules = append(all.rules, rule)
		all.keys = append(all.keys, namespace.Rule{PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()})
	}
	return all, nil
}

func (d *described) kind() namespace.Kind {
	if d.WCF {
		return namespace.KindWCFRelay
	}
	return namespace.KindHybridConnection
}

// entity is what old, or nil, becomes. What the document cannot speak of stays,
// and so do the rules if it does not, and the keys of a rule that it names
// without them.
func (d *described) entity(name string, old *namespace.Entity) namespace.Entity {
	e := namespace.Entity{Kind: d.kind(), Name: name}
	if old != nil {
		e = *old
	}
	e.RequiresClientAuthorization, e.UserMetadata = d.RequiresClientAuthorization, d.UserMetadata
	e.RelayType = namespace.RelayType(d.RelayType)
	e.RequiresTransportSecurity = d.RequiresTransportSecurity
	if d.Rules == nil {
		return e
	}
	known := e.Rules
	e.Rules = slices.Clone(d.rules)
	for i := range e.Rules {
		r, from := &e.Rules[i], &d.keys[i]
		if k := namespace.FindRule(known, r.Name); k != nil {
			from = k
		}
		if r.PrimaryKey == "" {
			r.PrimaryKey = from.PrimaryKey
		}
		if r.SecondaryKey == "" {
			r.SecondaryKey = from.SecondaryKey
		}
	}
	return e
}
