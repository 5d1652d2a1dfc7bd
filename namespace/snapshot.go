package namespace

import (
	"maps"
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/sas"
)

// Snapshot is the state of all namespaces at one moment. It does not change.
// The nil Snapshot is empty.
type Snapshot struct {
	namespaces []*Namespace          // in the order of their definition
	byName     map[string]*Namespace // by lower-case name
	byHost     map[string]*Namespace // by lower-case host name
	anyHost    []*Namespace          // those that name no host
	fresh      bool                  // by NewSnapshot: it knows of nothing that is gone
}

// NewSnapshot validates defs and copies them.
//
//	Errors: those of Validate.
//	Owner:  the snapshot shares nothing with defs that could change.
func NewSnapshot(defs []Definition) (*Snapshot, error) {
	if err := Validate(defs); err != nil {
		return nil, err
	}
	s := &Snapshot{fresh: true}
	for _, d := range defs {
		s.namespaces = append(s.namespaces, newNamespace(d))
	}
	s.index()
	return s, nil
}

// index makes the lookup structures from namespaces.
func (s *Snapshot) index() {
	s.byName = make(map[string]*Namespace, len(s.namespaces))
	s.byHost = make(map[string]*Namespace)
	s.anyHost = nil
	for _, n := range s.namespaces {
		s.byName[n.settings.key] = n
		if n.AnyHost() {
			s.anyHost = append(s.anyHost, n)
		}
		for host := range n.settings.hosts {
			s.byHost[host] = n
		}
	}
}

func newNamespace(d Definition) *Namespace {
	n := &Namespace{settings: newSettings(d), byName: make(map[string]*Entity)}
	for kind, list := range [kinds][]Entity{d.HybridConnections, d.WCFRelays} {
		for _, e := range list {
			n.add(Kind(kind), e)
		}
		slices.SortFunc(n.entities[kind], byKey)
	}
	return n
}

func byKey(a, b *Entity) int { return strings.Compare(a.key, b.key) }

// newSettings copies d without its entities.
func newSettings(d Definition) *settings {
	d.HybridConnections, d.WCFRelays = nil, nil
	d.Hosts, d.Rules, d.Tags = slices.Clone(d.Hosts), slices.Clone(d.Rules), maps.Clone(d.Tags)
	d.Network.IPRules = slices.Clone(d.Network.IPRules)
	s := &settings{
		def: d, key: lower(d.Name), host: d.Name, hosts: make(map[string]struct{}, len(d.Hosts)),
	}
	if len(d.Hosts) > 0 {
		s.host = d.Hosts[0]
	}
	for _, host := range d.Hosts {
		s.hosts[lower(host)] = struct{}{}
	}
	return s
}

// add copies e into n, behind the others of its kind.
func (n *Namespace) add(k Kind, e Entity) *Entity {
	e.Kind, e.Rules = k, slices.Clone(e.Rules)
	name := lower(e.Name)
	e.key = n.settings.key + "/" + name
	n.entities[k] = append(n.entities[k], &e)
	n.byName[name] = &e
	n.nameMax = max(n.nameMax, len(name))
	return &e
}

// Namespaces returns all namespaces in the order of their definition. The
// slice is shared; do not change it.
func (s *Snapshot) Namespaces() []*Namespace {
	if s == nil {
		return nil
	}
	return s.namespaces
}

// Namespace returns the namespace of that name, in any letter case; nil if
// there is none.
func (s *Snapshot) Namespace(name string) *Namespace {
	if s == nil || len(name) > NameMax {
		return nil
	}
	return s.byName[lower(name)]
}

// Lookup returns the namespace of a host, nil if there is none or the host
// alone does not say which. The port of host and its letter case do not count.
// A namespace without others serves every host; of several, one that names no
// host has those that begin with its name and a dot.
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
	folded := appendLower(room[:0], host)
	if n := s.byHost[string(folded)]; n != nil || len(s.anyHost) == 0 {
		return n
	}
	if len(s.anyHost) == 1 {
		return s.anyHost[0]
	}
	if i := strings.IndexByte(host, '.'); i > 0 {
		if n := s.byName[string(folded[:i])]; n != nil && n.AnyHost() {
			return n
		}
	}
	return nil
}

// resolveMax bounds the namespaces that Resolve checks a token against, each at
// the cost of up to four HMACs.
const resolveMax = 64

// Resolve is Lookup that also looks at the path and the token of a request,
// for hosts that several namespaces share because they name none. Of these it
// is, in this order, the one in which the path leads to an entity and the token
// is signed by a key for it; in which it leads to an entity for anonymous
// senders; in which it led to one that is gone, and a key signed; in which it
// leads to any; of which a key signed; in which it led to one that is gone;
// else the first.
//
//	Shape: path as for Find; token as in the header, empty if there is none.
//	Cost:  as Lookup; beyond it a Find for each namespace that names no host,
//	       and a signature check for up to resolveMax.
func (s *Snapshot) Resolve(host, path, token string) *Namespace {
	n := s.Lookup(host)
	if n != nil || s == nil || len(s.anyHost) == 0 {
		return n
	}
	if len(token) > sas.TokenMax {
		token = ""
	}
	best, rank := s.anyHost[0], 0
	for i, n := range s.anyHost {
		if i == resolveMax {
			token = ""
		}
		if r := n.fits(path, token); r > rank {
			best, rank = n, r
		}
	}
	return best
}

// fits says how well a request fits n, see Resolve.
func (n *Namespace) fits(path, token string) int {
	found, _ := n.Find(path)
	e := found
	if e == nil {
		e = n.Gone(path)
	}
	signed := false
	if token != "" {
		p, err := prove(n, e, token)
		signed = err == nil && p.signed()
	}
	switch {
	case found != nil && signed:
		return 6
	case found != nil && !found.RequiresClientAuthorization:
		return 5
	case e != nil && signed:
		return 4
	case found != nil:
		return 3
	case signed:
		return 2
	case e != nil:
		return 1
	}
	return 0
}

// remember takes over what is gone since previous.
func (s *Snapshot) remember(previous *Snapshot) {
	if s == nil || !s.fresh {
		return
	}
	s.fresh = false
	for _, n := range s.namespaces {
		old := previous.Namespace(n.Name())
		if old == nil {
			continue
		}
		for name, e := range old.gone {
			if n.byName[name] == nil {
				n.bury(e)
			}
		}
		for name, e := range old.byName {
			if n.byName[name] == nil {
				n.bury(e)
			}
		}
	}
}

// Removed returns the keys of the entities that serve in s and do not in next,
// for their listeners must go.
func (s *Snapshot) Removed(next *Snapshot) []string {
	var removed []string
	for _, n := range s.Namespaces() {
		other := next.Namespace(n.Name())
		if other == n {
			continue
		}
		for _, e := range n.entities[KindHybridConnection] {
			if e.Serves() && (other == nil || !other.serves(e)) {
				removed = append(removed, e.key)
			}
		}
	}
	return removed
}

// serves says whether n has a hybrid connection in service with the name of e.
func (n *Namespace) serves(e *Entity) bool {
	other := n.byName[e.key[len(n.settings.key)+1:]]
	return other == e || other != nil && other.Serves()
}
