package config

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

// Print writes the settings as YAML that Load reads, but for the keys, which
// are masked. It is what a node runs with, from all sources together.
func (c Config) Print(w io.Writer) error {
	p := printer{w: bufio.NewWriter(w)}
	section := ""
	for _, s := range c.settings() {
		now, key := cutLast(s.path)
		depth := strings.Count(now, ".")
		if now != section {
			if now == "tls.acme" {
				p.pairs(c.TLS.Certificates)
			}
			_, name := cutLast(now)
			p.line(depth, name+":")
			section = now
		}
		value := s.get()
		switch s.kind {
		case "string":
			value = strconv.Quote(value)
		case "list":
			value = quotedList(items(value))
		}
		p.line(depth+1, key+": "+value)
	}
	p.definitions(c.Namespaces)
	return p.w.Flush()
}

// printer keeps the first error of its writer until Flush.
type printer struct {
	w    *bufio.Writer
	keys bool // Keys are written as they are.
}

func (p printer) line(depth int, text string) {
	for range depth {
		_, _ = p.w.WriteString("  ")
	}
	_, _ = p.w.WriteString(text)
	_ = p.w.WriteByte('\n')
}

// member writes a text of a mapping, unless it is empty.
func (p printer) member(depth int, key, text string) {
	if text != "" {
		p.line(depth, key+": "+strconv.Quote(text))
	}
}

// flag writes a boolean, unless it is what an absent one means.
func (p printer) flag(depth int, key string, value, absent bool) {
	if value != absent {
		p.line(depth, key+": "+strconv.FormatBool(value))
	}
}

// pairs writes tls.certificates, at the end of the section tls.
func (p printer) pairs(all []KeyPair) {
	if len(all) > 0 {
		p.line(1, "certificates:")
	}
	for _, pair := range all {
		p.line(2, "- certificate: "+strconv.Quote(pair.Certificate))
		p.line(3, "key: "+strconv.Quote(pair.Key))
	}
}

func (p printer) definitions(all []namespace.Definition) {
	if len(all) == 0 {
		p.line(0, "namespaces: []")
		return
	}
	p.line(0, "namespaces:")
	for i := range all {
		p.definition(&all[i])
	}
}

func (p printer) definition(d *namespace.Definition) {
	p.line(1, "- name: "+strconv.Quote(d.Name))
	if len(d.Hosts) > 0 {
		p.line(2, "hosts: "+quotedList(d.Hosts))
	}
	p.member(2, "subscription", d.Subscription)
	p.member(2, "resource_group", d.ResourceGroup)
	p.member(2, "location", d.Location)
	p.tags(d.Tags)
	p.instant(2, "created_at", d.CreatedAt)
	p.instant(2, "updated_at", d.UpdatedAt)
	p.member(2, "public_network_access", string(d.PublicNetworkAccess))
	p.member(2, "minimum_tls_version", d.MinimumTLSVersion)
	p.network(&d.Network)
	p.rules(2, d.Rules)
	p.entities("hybrid_connections", d.HybridConnections)
	p.entities("wcf_relays", d.WCFRelays)
}

// tags writes a mapping. Beyond 1,024 characters a key of YAML wants to be
// announced; a quoted one has up to ten bytes for one of them.
func (p printer) tags(tags map[string]string) {
	if len(tags) > 0 {
		p.line(2, "tags:")
	}
	for _, name := range sortedKeys(tags) {
		quoted := strconv.Quote(name)
		if len(quoted) > 1000 {
			p.line(3, "? "+quoted)
			quoted = ""
		}
		p.line(3, quoted+": "+strconv.Quote(tags[name]))
	}
}

// instant writes a time, unless it is not known.
func (p printer) instant(depth int, key string, t time.Time) {
	if !t.IsZero() {
		p.line(depth, key+": "+t.UTC().Format(time.RFC3339Nano))
	}
}

func (p printer) network(r *namespace.NetworkRules) {
	if !r.DefaultDeny && !r.TrustedServiceAccess && len(r.IPRules) == 0 {
		return
	}
	p.line(2, "network_rules:")
	p.line(3, "default_action: "+action(r.DefaultDeny))
	p.flag(3, "trusted_service_access", r.TrustedServiceAccess, false)
	if len(r.IPRules) > 0 {
		p.line(3, "ip_rules:")
	}
	for _, rule := range r.IPRules {
		p.line(4, "- ip_mask: "+strconv.Quote(rule.Mask))
		if rule.Deny {
			p.line(5, "action: "+action(rule.Deny))
		}
	}
}

func action(deny bool) string {
	if deny {
		return snakeWords.deny
	}
	return snakeWords.allow
}

func (p printer) entities(key string, all []namespace.Entity) {
	if len(all) > 0 {
		p.line(2, key+":")
	}
	for i := range all {
		e := &all[i]
		p.line(3, "- name: "+strconv.Quote(e.Name))
		p.member(4, "relay_type", string(e.RelayType))
		p.flag(4, "requires_client_authorization", e.RequiresClientAuthorization, true)
		if e.Kind == namespace.KindWCFRelay {
			p.flag(4, "requires_transport_security", e.RequiresTransportSecurity, true)
		}
		p.flag(4, "disabled", e.Disabled, false)
		p.member(4, "user_metadata", e.UserMetadata)
		p.instant(4, "created_at", e.CreatedAt)
		p.instant(4, "updated_at", e.UpdatedAt)
		if e.ListenersMax != 0 {
			p.line(4, "listeners_max: "+strconv.Itoa(e.ListenersMax))
		}
		if e.Kind == namespace.KindHybridConnection {
			p.http(e)
		}
		p.rules(4, e.Rules)
	}
}

// http writes what only a hybrid connection has.
func (p printer) http(e *namespace.Entity) {
	p.httpTime("http_response_timeout", e.HTTPResponseTimeout)
	p.httpTime("http_body_gap", e.HTTPBodyGap)
	if e.HTTPDelivery != namespace.DeliveryAuto {
		p.line(4, "http_delivery: "+e.HTTPDelivery.String())
	}
}

// httpTime writes a time of an entity, unless it is the gateway's.
func (p printer) httpTime(key string, d time.Duration) {
	switch d {
	case 0:
	case namespace.Never:
		p.line(4, key+": 0")
	default:
		p.line(4, key+": "+formatSpan(d))
	}
}

func (p printer) rules(depth int, rules []namespace.Rule) {
	if len(rules) > 0 {
		p.line(depth, "authorization_rules:")
	}
	for i := range rules {
		r := &rules[i]
		p.line(depth+1, "- name: "+strconv.Quote(r.Name))
		p.line(depth+2, "rights: "+quotedList(rightsOf(r)))
		p.line(depth+2, "primary_key: "+p.key(r.PrimaryKey))
		if r.SecondaryKey != "" {
			p.line(depth+2, "secondary_key: "+p.key(r.SecondaryKey))
		}
	}
}

// rightsOf returns the names of what a rule allows.
func rightsOf(r *namespace.Rule) []string {
	if r.Rights == 0 {
		return nil
	}
	return strings.Split(r.Rights.String(), ",")
}

func (p printer) key(key string) string {
	if p.keys {
		return strconv.Quote(writtenKey(key))
	}
	if key == "" {
		return `""`
	}
	return strconv.Quote(keyMask)
}

// items are the items of a list as setting.get writes it.
func items(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func quotedList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = strconv.Quote(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
