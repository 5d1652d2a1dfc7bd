package namespace

import (
	"slices"

	"github.com/relayhouse/relayhouse/sas"
)

// Snapshot is the state of all namespaces at one moment. It does not change.
// The nil Snapshot is empty.
type Snapshot struct {
	namespaces []*Namespace
	byHost     map[string]*Namespace // by lower-case name
}

// NewSnapshot validates defs and copies them.
//
//	Errors: those of Validate.
//	Owner:  the snapshot shares nothing with defs that could change.
func NewSnapshot(defs []Definition) (*Snapshot, error) {
	if err := Validate(defs); err != nil {
		return nil, err
	}
	s := &Snapshot{byHost: make(map[string]*Namespace)}
	for _, d := range defs {
		n := newNamespace(d)
		for host := range n.hosts {
			s.byHost[host] = n
		}
		s.namespaces = append(s.namespaces, n)
	}
	return s, nil
}

func newNamespace(d Definition) *Namespace {
	n := &Namespace{
		name:   d.Name,
		host:   d.Name,
		hosts:  make(map[string]struct{}, len(d.Hosts)),
		rules:  slices.Clone(d.Rules),
		byName: make(map[string]*Entity, len(d.HybridConnections)),
	}
	if len(d.Hosts) > 0 {
		n.host = d.Hosts[0]
	}
	for _, host := range d.Hosts {
		n.hosts[lower(host)] = struct{}{}
	}
	for _, e := range d.HybridConnections {
		e.Rules = slices.Clone(e.Rules)
		name := lower(e.Name)
		e.key = lower(d.Name) + "/" + name
		n.entities = append(n.entities, &e)
		n.byName[name] = &e
		n.nameMax = max(n.nameMax, len(name))
	}
	return n
}

// Namespaces returns all namespaces in the order of their definition. The
// slice is shared; do not change it.
func (s *Snapshot) Namespaces() []*Namespace {
	if s == nil {
		return nil
	}
	return s.namespaces
}

// Lookup returns the namespace of a host, nil if there is none. The port of
// host and its letter case do not count. A namespace without others serves
// every host.
//
//	Cost:   0 allocs.
//	Source: docs/protocol.md, section 8.
func (s *Snapshot) Lookup(host string) *Namespace {
	if s == nil || len(s.namespaces) == 0 {
		return nil
	}
	if len(s.namespaces) == 1 {
		return s.namespaces[0]
	}
	if host = sas.HostName(host); len(host) > hostMax {
		return nil
	}
	var room [hostMax]byte
	return s.byHost[string(appendLower(room[:0], host))]
}

// Removed returns the keys of the entities of s that next lacks, for their
// listeners must go.
func (s *Snapshot) Removed(next *Snapshot) []string {
	kept := make(map[string]struct{})
	for _, n := range next.Namespaces() {
		for _, e := range n.entities {
			kept[e.key] = struct{}{}
		}
	}
	var removed []string
	for _, n := range s.Namespaces() {
		for _, e := range n.entities {
			if _, ok := kept[e.key]; !ok {
				removed = append(removed, e.key)
			}
		}
	}
	return removed
}
