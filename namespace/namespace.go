package namespace

import (
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

// Definition is a namespace as an operator writes it.
type Definition struct {
	// Name is 1 to 50 letters, digits and hyphens.
	Name string
	// Hosts are the host names of the namespace, without ports: the public
	// name, names of gateways, aliases. A token may be signed for any of them.
	// The first appears in texts. A namespace that names none serves every
	// host that is not another's, and tokens may be signed for every host too;
	// see Snapshot.Resolve.
	Hosts []string

	// Subscription, ResourceGroup and Location are labels of the management
	// API. A namespace without the first two belongs to all of them.
	Subscription, ResourceGroup, Location string
	// Tags are free texts of the owner, at most TagsMax.
	Tags map[string]string
	// CreatedAt and UpdatedAt are zero where they are not known.
	CreatedAt, UpdatedAt time.Time
	// MinimumTLSVersion is a label: "", "1.2" or "1.3". What the gateway takes
	// is the setting tls.min_version.
	MinimumTLSVersion string

	// PublicNetworkAccess says whether clients may come at all.
	PublicNetworkAccess PublicNetworkAccess
	// Network says from which addresses.
	Network NetworkRules

	// Rules are the authorization rules of the namespace, at most RulesMax.
	Rules []Rule
	// HybridConnections are entities of KindHybridConnection.
	HybridConnections []Entity
	// WCFRelays are entities of KindWCFRelay. They share their names with the
	// hybrid connections.
	WCFRelays []Entity
}

// Rule is an authorization rule: a name, two keys, and what they allow.
type Rule struct {
	Name         string
	Rights       sas.Right
	PrimaryKey   string
	SecondaryKey string // may be empty, which no token is signed with
}

// String describes r without its keys.
func (r Rule) String() string { return r.Name + " (" + r.Rights.String() + ")" }

// GoString is String, so that %#v does not print keys either.
func (r Rule) GoString() string { return r.String() }

// signedBy says whether one of the keys of r signed t.
func (r *Rule) signedBy(t sas.Token) bool {
	return t.SignedBy(r.PrimaryKey) || t.SignedBy(r.SecondaryKey)
}

// Kind is what an entity is.
type Kind uint8

const (
	// KindHybridConnection is a path for WebSockets and HTTP.
	KindHybridConnection Kind = iota
	// KindWCFRelay is a path for the legacy WCF bindings.
	KindWCFRelay

	kinds = 2
)

// String returns the name of k, in words.
func (k Kind) String() string {
	if k == KindWCFRelay {
		return "WCF relay"
	}
	return "hybrid connection"
}

// RelayType is the binding of a WCF relay; empty at a hybrid connection.
type RelayType string

// The relay types of the management API.
const (
	RelayNetTCP RelayType = "NetTcp"
	RelayHTTP   RelayType = "Http"
)

// Entity is a hybrid connection or a WCF relay: a path that listeners and
// senders meet at.
type Entity struct {
	// Kind says what it is. Validate and Apply want it to be that of the list
	// it stands in.
	Kind Kind
	// Name is the path, 1 to EntityNameMax bytes; letter case does not count.
	Name string
	// RequiresClientAuthorization says that senders need a token; listeners
	// always do. An operator who says nothing gets true.
	RequiresClientAuthorization bool
	// UserMetadata is free text of the owner.
	UserMetadata string
	// Disabled takes it out of service, as if it were not there.
	Disabled bool
	// CreatedAt and UpdatedAt are zero where they are not known.
	CreatedAt, UpdatedAt time.Time

	// ListenersMax is 0 for the gateway's default.
	ListenersMax int
	// HTTPResponseTimeout is how long a listener may take to begin its response
	// to an HTTP request; 0 is the gateway's default, Never no limit. Source:
	// docs/protocol.md, section 5.7.
	HTTPResponseTimeout time.Duration
	// HTTPBodyGap is the longest silence within the body of an HTTP request or
	// response, with 0 and Never as before.
	HTTPBodyGap time.Duration
	// HTTPDelivery says how HTTP requests travel to a listener.
	HTTPDelivery Delivery

	// RelayType and RequiresTransportSecurity are those of a WCF relay.
	RelayType                 RelayType
	RequiresTransportSecurity bool

	// Rules are valid for this entity only, at most RulesMax.
	Rules []Rule

	key string // set by NewSnapshot and Apply
}

// Serves says whether e is a hybrid connection that is not disabled.
func (e *Entity) Serves() bool { return e.Kind == KindHybridConnection && !e.Disabled }

// Never is the time of an entity that has no limit.
const Never time.Duration = -1

// Delivery says how HTTP requests travel to a listener. Source:
// docs/protocol.md, section 5.2.
type Delivery uint8

const (
	// DeliveryAuto sends what is short on the control channel and the rest
	// through a rendezvous connection.
	DeliveryAuto Delivery = iota
	// DeliveryRendezvous sends everything through rendezvous connections, so
	// that responses stream from their first byte.
	DeliveryRendezvous
)

// String returns auto or rendezvous, as in the file.
func (d Delivery) String() string {
	switch d {
	case DeliveryAuto:
		return "auto"
	case DeliveryRendezvous:
		return "rendezvous"
	}
	return "unknown"
}

// Key names the entity among all namespaces and stays the same from snapshot
// to snapshot: {namespace}/{name} in lower case. It is empty in a Definition.
func (e *Entity) Key() string { return e.key }

// Namespace is a Definition made ready for lookups. It belongs to a Snapshot
// and does not change. The nil Namespace has no entities and no rules.
type Namespace struct {
	settings *settings
	entities [kinds][]*Entity   // by lower-case name
	byName   map[string]*Entity // of all kinds, by lower-case name
	nameMax  int                // at least the bytes of the longest name

	// gone are entities that were removed, by lower-case name, at most goneMax.
	// Whoever had a right there learns that they are, and not that his token is
	// none.
	gone map[string]*Entity
}

// goneMax bounds the entities of a namespace that are remembered when they are
// gone; beyond it any of them is forgotten.
const goneMax = 1000

// settings is what a namespace has beside its entities. Namespaces of
// successive snapshots share it while only entities change.
type settings struct {
	def   Definition // without entities
	key   string     // its name in lower case
	host  string
	hosts map[string]struct{} // in lower case; empty means any
}

// Name returns the name as defined.
func (n *Namespace) Name() string { return n.settings.def.Name }

// Host returns the first host name, or the name if there is none.
func (n *Namespace) Host() string { return n.settings.host }

// AnyHost says whether every host name is one of n: it has none of its own.
func (n *Namespace) AnyHost() bool { return len(n.settings.hosts) == 0 }

// Settings returns the definition without entities. What it refers to is
// shared; do not change it.
func (n *Namespace) Settings() Definition { return n.settings.def }

// Definition returns a definition with all entities, in the order of their
// names. Rules and tags are shared; do not change them.
func (n *Namespace) Definition() Definition {
	d := n.settings.def
	for _, e := range n.entities[KindHybridConnection] {
		d.HybridConnections = append(d.HybridConnections, *e)
	}
	for _, e := range n.entities[KindWCFRelay] {
		d.WCFRelays = append(d.WCFRelays, *e)
	}
	return d
}

// Rules returns the authorization rules. The slice is shared; do not change it.
func (n *Namespace) Rules() []Rule {
	if n == nil {
		return nil
	}
	return n.settings.def.Rules
}

// Entities returns the entities of a kind in the order of their lower-case
// names. The slice is shared; do not change it.
func (n *Namespace) Entities(k Kind) []*Entity { return n.entities[k] }

// Len is the number of entities, of all kinds.
func (n *Namespace) Len() int { return len(n.byName) }

// Entity returns the entity of that very name, in any letter case, whether it
// serves or not; nil if there is none of the kind.
func (n *Namespace) Entity(k Kind, name string) *Entity {
	if n == nil || len(name) > EntityNameMax {
		return nil
	}
	if e := n.byName[lower(name)]; e != nil && e.Kind == k {
		return e
	}
	return nil
}

// Gone returns the entity that a path led to before it was removed or disabled,
// see Find; nil if there is none that is remembered.
func (n *Namespace) Gone(path string) *Entity {
	if n == nil {
		return nil
	}
	end := min(len(path), EntityNameMax)
	if end < len(path) {
		end = strings.LastIndexByte(path[:end+1], '/')
	}
	var room [EntityNameMax]byte
	folded := appendLower(room[:0], path[:max(end, 0)])
	for end > 0 {
		if e := n.byName[string(folded[:end])]; e != nil {
			if e.Kind == KindHybridConnection && e.Disabled {
				return e
			}
			return nil
		}
		if e := n.gone[string(folded[:end])]; e != nil {
			return e
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	return nil
}

// bury remembers e as gone. n must be its caller's alone.
func (n *Namespace) bury(e *Entity) {
	if e.Kind != KindHybridConnection {
		return
	}
	if n.gone == nil {
		n.gone = make(map[string]*Entity)
	}
	if len(n.gone) >= goneMax {
		for name := range n.gone {
			delete(n.gone, name)
			break
		}
	}
	n.gone[lower(e.Name)] = e
}

// HasHost says whether host, in lower case and without port, is a name of n.
func (n *Namespace) HasHost(host string) bool {
	if len(n.settings.hosts) == 0 {
		return true
	}
	_, ok := n.settings.hosts[host]
	return ok
}

// Find returns the entity that a path leads to: the one with the longest name
// that is the path or ends before a slash of it. One that does not serve hides
// those above it.
//
//	Shape:  path is decoded and has no slash or $hc before it. suffix is the
//	        rest of it with its slash. Without such an entity, or if it does
//	        not serve, nil and "".
//	Cost:   0 allocs; at most EntityNameMax bytes of the path are looked at.
//	Source: docs/protocol.md, section 1.5.
func (n *Namespace) Find(path string) (e *Entity, suffix string) {
	if n == nil {
		return nil, ""
	}
	end := len(path)
	if end > n.nameMax {
		end = strings.LastIndexByte(path[:n.nameMax+1], '/')
	}
	var room [EntityNameMax]byte
	folded := appendLower(room[:0], path[:max(end, 0)])
	for end > 0 {
		if e = n.byName[string(folded[:end])]; e != nil {
			if !e.Serves() {
				return nil, ""
			}
			return e, path[end:]
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	return nil, ""
}

// appendLower appends s with its ASCII letters in lower case. The length stays
// the same, which it would not with other letters.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func lower(s string) string { return string(appendLower(nil, s)) }
