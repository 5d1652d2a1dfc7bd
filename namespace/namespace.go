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
	// The first appears in texts. The only namespace of a gateway serves
	// every host; if it names none, tokens may be signed for every host too.
	Hosts []string
	// Rules are the authorization rules of the namespace, at most RulesMax.
	Rules []Rule
	// HybridConnections are the entities.
	HybridConnections []Entity
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

// Entity is a hybrid connection: a path that listeners and senders meet at.
type Entity struct {
	// Name is the path, 1 to EntityNameMax bytes; letter case does not count.
	Name string
	// RequiresClientAuthorization says that senders need a token; listeners
	// always do. An operator who says nothing gets true.
	RequiresClientAuthorization bool
	// UserMetadata is free text of the owner.
	UserMetadata string
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
	// Rules are valid for this entity only, at most RulesMax.
	Rules []Rule

	key string // set by NewSnapshot
}

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
	name     string
	host     string
	hosts    map[string]struct{} // in lower case; empty means any
	rules    []Rule
	entities []*Entity
	byName   map[string]*Entity // by lower-case name
	nameMax  int                // bytes of the longest name
}

// Name returns the name as defined.
func (n *Namespace) Name() string { return n.name }

// Host returns the first host name, or the name if there is none.
func (n *Namespace) Host() string { return n.host }

// AnyHost says whether every host name is one of n: it has none of its own.
func (n *Namespace) AnyHost() bool { return len(n.hosts) == 0 }

// Entities returns the entities in the order of their definition. The slice is
// shared; do not change it.
func (n *Namespace) Entities() []*Entity { return n.entities }

// HasHost says whether host, in lower case and without port, is a name of n.
func (n *Namespace) HasHost(host string) bool {
	if len(n.hosts) == 0 {
		return true
	}
	_, ok := n.hosts[host]
	return ok
}

// Find returns the entity that a path leads to: the one with the longest name
// that is the path or ends before a slash of it.
//
//	Shape:  path is decoded and has no slash or $hc before it. suffix is the
//	        rest of it with its slash. Without such an entity, nil and "".
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
