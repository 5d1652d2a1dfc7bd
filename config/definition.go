package config

import (
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// definitions reads a list of namespaces.
func (r *namespaceReader) definitions(n *node, path string) []namespace.Definition {
	var all []namespace.Definition
	r.list(n, path, func(item *node, path string) {
		all = append(all, r.definition(item, path))
	})
	return all
}

func (r *namespaceReader) definition(n *node, path string) namespace.Definition {
	w := &r.words
	m := r.members(n, path, w.name, w.hosts, w.rules, w.hybridConnections, w.wcfRelays, w.kind,
		w.subscription, w.resourceGroup, w.location, w.tags, w.createdAt, w.updatedAt,
		w.access, w.minimumTLS, w.network, w.quotas)
	text := func(name string) string { return r.text(m[name], join(path, name)) }
	if n := m[w.kind]; n != nil && !strings.EqualFold(n.text, "Relay") {
		r.fail(join(path, w.kind), n.line, "want Relay, got %s", n.text)
	}
	d := namespace.Definition{
		Name: text(w.name), Subscription: text(w.subscription),
		ResourceGroup: text(w.resourceGroup), Location: text(w.location),
		MinimumTLSVersion:   text(w.minimumTLS),
		PublicNetworkAccess: r.access(m[w.access], join(path, w.access)),
		Tags:                r.tags(m[w.tags], join(path, w.tags)),
		CreatedAt:           r.instant(m[w.createdAt], join(path, w.createdAt)),
		UpdatedAt:           r.instant(m[w.updatedAt], join(path, w.updatedAt)),
		Rules:               r.rules(m[w.rules], join(path, w.rules)),
	}
	r.list(m[w.hosts], join(path, w.hosts), func(item *node, path string) {
		d.Hosts = append(d.Hosts, r.text(item, path))
	})
	r.network(m[w.network], join(path, w.network), &d)
	entities := func(name string, k namespace.Kind) (all []namespace.Entity) {
		r.list(m[name], join(path, name), func(item *node, path string) {
			all = append(all, r.entity(item, path, k))
		})
		return all
	}
	d.HybridConnections = entities(w.hybridConnections, namespace.KindHybridConnection)
	d.WCFRelays = entities(w.wcfRelays, namespace.KindWCFRelay)
	r.quotas(m[w.quotas], join(path, w.quotas), &d)
	return d
}

// quotas reads the limits of a namespace, and gives one to each entity. That of
// connections is checked and has no effect.
func (r *namespaceReader) quotas(n *node, path string, d *namespace.Definition) {
	w := &r.words
	m := r.members(n, path, w.listenersPerEntity, w.connectionsQuota)
	if n := m[w.connectionsQuota]; n != nil {
		var ignored int
		r.set(number(join(path, w.connectionsQuota), &ignored, "", 0, 1<<31-1, "", ""), n)
	}
	n = m[w.listenersPerEntity]
	if n == nil {
		return
	}
	var listeners int
	r.set(number(join(path, w.listenersPerEntity), &listeners, "0",
		1, namespace.ListenersMaxMax, "gateway.listeners_max", ""), n)
	for _, entities := range [][]namespace.Entity{d.HybridConnections, d.WCFRelays} {
		for i := range entities {
			entities[i].ListenersMax = listeners
		}
	}
}

// network reads from where clients may come.
func (r *namespaceReader) network(n *node, path string, d *namespace.Definition) {
	w := &r.words
	m := r.members(n, path, w.defaultAction, w.ipRules, w.trusted, w.networkAccess)
	rules := &d.Network
	rules.DefaultDeny = r.deny(m[w.defaultAction], join(path, w.defaultAction))
	r.boolean(m[w.trusted], join(path, w.trusted), &rules.TrustedServiceAccess)
	if n := m[w.networkAccess]; n != nil {
		d.PublicNetworkAccess = r.access(n, join(path, w.networkAccess))
	}
	r.list(m[w.ipRules], join(path, w.ipRules), func(item *node, path string) {
		m := r.members(item, path, w.ipMask, w.action)
		mask := r.text(m[w.ipMask], join(path, w.ipMask))
		rule, ok := namespace.ParseIPRule(mask)
		if !ok {
			rule.Mask = mask // Validate says what is wrong.
		}
		rule.Deny = r.deny(m[w.action], join(path, w.action))
		rules.IPRules = append(rules.IPRules, rule)
	})
}

// deny reads an action; absent means allow.
func (r *namespaceReader) deny(n *node, path string) bool {
	return r.oneOf(n, path, r.words.allow, r.words.deny) == r.words.deny
}

// access reads one of the words of the management API.
func (r *namespaceReader) access(n *node, path string) namespace.PublicNetworkAccess {
	return namespace.PublicNetworkAccess(r.oneOf(n, path, string(namespace.AccessEnabled),
		string(namespace.AccessDisabled), string(namespace.AccessSecuredByPerimeter)))
}

// oneOf reads one of a few words, in any letter case as everywhere in Azure;
// "" when it is absent.
func (r *namespaceReader) oneOf(n *node, path string, values ...string) string {
	text := r.text(n, path)
	if n == nil || n.kind != scalar {
		return ""
	}
	for _, value := range values {
		if strings.EqualFold(text, value) {
			return value
		}
	}
	r.fail(path, n.line, "want %s, got %s", strings.Join(values, " | "), orNothing(text))
	return ""
}

// tags reads a mapping of texts.
func (r *namespaceReader) tags(n *node, path string) map[string]string {
	if n == nil || n.kind == null {
		return nil
	}
	if n.kind != mapping {
		r.fail(path, n.line, "want a mapping, got %v", n.kind)
		return nil
	}
	if len(n.members) == 0 {
		return nil
	}
	all := make(map[string]string, len(n.members))
	for _, m := range n.members {
		path := join(path, m.key)
		if _, ok := all[m.key]; ok {
			r.fail(path, m.line, "given twice")
		}
		if m.value.kind == null {
			m.value.kind = scalar // An empty text.
		}
		all[m.key] = r.text(m.value, path)
	}
	return all
}

// instant reads a time; zero when it is absent.
func (r *namespaceReader) instant(n *node, path string) time.Time {
	if n == nil {
		return time.Time{}
	}
	text := r.text(n, path)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil && n.kind == scalar {
		r.fail(path, n.line, "want a time such as 2006-01-02T15:04:05Z, got %s", orNothing(text))
	}
	return t.UTC()
}

func (r *namespaceReader) entity(n *node, path string, k namespace.Kind) namespace.Entity {
	w := &r.words
	properties := []string{w.clientAuthorization, w.userMetadata, w.listenersMax, w.disabled,
		w.createdAt, w.updatedAt}
	if k == namespace.KindWCFRelay {
		properties = append(properties, w.relayType, w.transportSecurity)
	} else {
		properties = append(properties, w.responseTimeout, w.bodyGap, w.httpDelivery)
	}
	known := []string{w.name, w.rules, w.properties}
	if w.properties == "" {
		known = append(known, properties...)
	}
	m := r.members(n, path, known...)
	e := namespace.Entity{
		Kind:  k,
		Name:  r.text(m[w.name], join(path, w.name)),
		Rules: r.rules(m[w.rules], join(path, w.rules)),
		// As in Azure.
		RequiresClientAuthorization: true,
		RequiresTransportSecurity:   k == namespace.KindWCFRelay,
	}
	if w.properties != "" {
		path = join(path, w.properties)
		m = r.members(m[w.properties], path, properties...)
	}
	e.UserMetadata = r.text(m[w.userMetadata], join(path, w.userMetadata))
	r.boolean(m[w.clientAuthorization], join(path, w.clientAuthorization),
		&e.RequiresClientAuthorization)
	r.boolean(m[w.disabled], join(path, w.disabled), &e.Disabled)
	if n := m[w.listenersMax]; n != nil {
		r.set(number(join(path, w.listenersMax), &e.ListenersMax, "0",
			1, namespace.ListenersMaxMax, "gateway.listeners_max", ""), n)
	}
	e.CreatedAt = r.instant(m[w.createdAt], join(path, w.createdAt))
	e.UpdatedAt = r.instant(m[w.updatedAt], join(path, w.updatedAt))
	r.httpTime(m[w.responseTimeout], join(path, w.responseTimeout), &e.HTTPResponseTimeout)
	r.httpTime(m[w.bodyGap], join(path, w.bodyGap), &e.HTTPBodyGap)
	r.delivery(m[w.httpDelivery], join(path, w.httpDelivery), &e.HTTPDelivery)
	e.RelayType = namespace.RelayType(r.oneOf(m[w.relayType], join(path, w.relayType),
		string(namespace.RelayNetTCP), string(namespace.RelayHTTP)))
	r.boolean(m[w.transportSecurity], join(path, w.transportSecurity),
		&e.RequiresTransportSecurity)
	return e
}

// httpTime reads a time of an entity: absent for the gateway's, 0 for never.
func (r *namespaceReader) httpTime(n *node, path string, p *time.Duration) {
	if n == nil {
		return
	}
	var d time.Duration
	r.set(span(path, &d, "", namespace.HTTPTimeMin, namespace.HTTPTimeMax, "never", ""), n)
	if d == 0 {
		d = namespace.Never
	}
	*p = d
}

func (r *namespaceReader) delivery(n *node, path string, p *namespace.Delivery) {
	if n == nil {
		return
	}
	auto, rendezvous := namespace.DeliveryAuto.String(), namespace.DeliveryRendezvous.String()
	var name string
	r.set(choice(path, &name, auto, "", auto, rendezvous), n)
	if name == rendezvous {
		*p = namespace.DeliveryRendezvous
	}
}

// boolean reads true or false; absent leaves p as it is.
func (r *namespaceReader) boolean(n *node, path string, p *bool) {
	if n != nil {
		r.set(boolean(path, p, "", ""), n)
	}
}

// set reads a scalar as a setting.
func (r *namespaceReader) set(s setting, n *node) {
	if text := r.text(n, s.path); n.kind == scalar && (!s.set(text) || !s.valid()) {
		r.add(s.wrong(text, at(r.file, n.line)))
	}
}

func (r *namespaceReader) rules(n *node, path string) []namespace.Rule {
	w := &r.words
	var all []namespace.Rule
	r.list(n, path, func(item *node, path string) {
		m := r.members(item, path, w.name, w.rights, w.primaryKey, w.secondaryKey)
		rule := namespace.Rule{Name: r.text(m[w.name], join(path, w.name))}
		r.list(m[w.rights], join(path, w.rights), func(item *node, path string) {
			name := r.text(item, path)
			right, err := sas.ParseRight(name)
			if err != nil && item.kind == scalar {
				r.fail(path, item.line, "want Listen, Send or Manage, got %s", name)
			}
			rule.Rights |= right
		})
		rule.PrimaryKey = r.key(m[w.primaryKey], join(path, w.primaryKey))
		rule.SecondaryKey = r.key(m[w.secondaryKey], join(path, w.secondaryKey))
		all = append(all, rule)
	})
	return all
}
