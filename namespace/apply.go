package namespace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What Apply returns for changes that do not fit the snapshot; errors.Is finds
// them.
var (
	// ErrNotFound: what is to be changed or removed is not there.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name, or the host name, is taken by something else.
	ErrConflict = errors.New("conflict")
)

// Change is one step from a snapshot to the next. Make one with PutNamespace,
// PutEntity, DeleteNamespace or DeleteEntity.
type Change struct {
	// Namespace is the name of what changes or is changed in.
	Namespace string
	// Settings replace those of the namespace, which may be new. Nil in a
	// change of an entity.
	Settings *Definition
	// Entity replaces one of the same name or is new; nil where one goes.
	Entity *Entity
	// Kind and Name are those of the entity that goes; Name is empty where the
	// namespace goes.
	Kind Kind
	Name string
}

// PutNamespace makes a namespace or changes its settings. The entities of d do
// not count: those that the namespace has stay.
func PutNamespace(d Definition) Change {
	d.HybridConnections, d.WCFRelays = nil, nil
	return Change{Namespace: d.Name, Settings: &d}
}

// DeleteNamespace removes a namespace with all that is in it.
func DeleteNamespace(name string) Change { return Change{Namespace: name} }

// PutEntity makes an entity or changes it.
func PutEntity(namespace string, e Entity) Change {
	return Change{Namespace: namespace, Entity: &e}
}

// DeleteEntity removes an entity.
func DeleteEntity(namespace string, k Kind, name string) Change {
	return Change{Namespace: namespace, Kind: k, Name: name}
}

// Apply returns the snapshot with all changes, made one after the other at the
// time now: UpdatedAt becomes now where a change leaves it zero or as it was,
// CreatedAt stays what it was, and is now in what is new unless the change
// brings one.
//
//	Errors: *FieldError, joined, with paths from the namespace or the entity
//	        on; ErrNotFound, ErrConflict. Nothing has changed then.
//	Owner:  s stays as it is. The result shares with s what has not changed,
//	        and nothing with the changes that could.
//	Cost:   a copy of the namespace's index for each run of changes to one.
func (s *Snapshot) Apply(now time.Time, changes ...Change) (*Snapshot, error) {
	e := editor{now: now, own: make(map[*Namespace]bool)}
	e.next.namespaces = slices.Clone(s.Namespaces())
	e.next.index()
	for i := range changes {
		if err := e.apply(&changes[i]); err != nil {
			return nil, err
		}
	}
	return &e.next, nil
}

// editor makes a snapshot that nobody sees yet.
type editor struct {
	now  time.Time
	next Snapshot
	own  map[*Namespace]bool // made here, may be changed
}

func (e *editor) apply(c *Change) error {
	n := e.next.Namespace(c.Namespace)
	switch {
	case c.Settings != nil:
		return e.putNamespace(n, *c.Settings)
	case n == nil:
		return fmt.Errorf("namespace %s: %w", quoted(c.Namespace), ErrNotFound)
	case c.Entity != nil:
		return e.putEntity(n, *c.Entity)
	case c.Name == "":
		e.next.namespaces = slices.DeleteFunc(e.next.namespaces,
			func(other *Namespace) bool { return other == n })
		e.next.index()
		return nil
	}
	return e.deleteEntity(n, c.Kind, c.Name)
}

// quoted shows a name from outside, cut to a length that fits into a message.
func quoted(name string) string { return strconv.Quote(name[:min(len(name), EntityNameMax)]) }

func (e *editor) putNamespace(n *Namespace, d Definition) error {
	var v validator
	v.settings("", &d)
	if err := errors.Join(v.errs...); err != nil {
		return err
	}
	for _, host := range d.Hosts {
		if other := e.next.byHost[lower(host)]; other != nil && other != n {
			return fmt.Errorf("host name %s, of namespace %s: %w", quoted(host), other.Name(), ErrConflict)
		}
	}
	next := &Namespace{byName: map[string]*Entity{}}
	if n != nil {
		*next = *n
		d.Name = n.Name() // The letter case of the first definition stays.
		e.stamp(&d.CreatedAt, &d.UpdatedAt, n.settings.def.CreatedAt, n.settings.def.UpdatedAt)
	} else {
		e.stamp(&d.CreatedAt, &d.UpdatedAt, e.now, time.Time{})
	}
	next.settings = newSettings(d)
	e.replace(n, next)
	return nil
}

// stamp sets the times of what is put, see Apply.
func (e *editor) stamp(created, updated *time.Time, wasCreated, wasUpdated time.Time) {
	if created.IsZero() {
		*created = wasCreated
	}
	if updated.IsZero() || updated.Equal(wasUpdated) {
		*updated = e.now
	}
}

// replace puts next in the place of n, or behind all others. The entities of
// next are still those of n, and so are their maps unless n was made here.
func (e *editor) replace(n, next *Namespace) {
	if i := slices.Index(e.next.namespaces, n); n != nil && i >= 0 {
		e.next.namespaces[i] = next
		e.own[next] = e.own[n]
	} else {
		e.next.namespaces = append(e.next.namespaces, next)
		e.own[next] = true
	}
	e.next.index()
}

// edit returns n with lists and maps that may be changed.
func (e *editor) edit(n *Namespace) *Namespace {
	if e.own[n] {
		return n
	}
	next := *n
	next.byName, next.gone = maps.Clone(n.byName), maps.Clone(n.gone)
	for k := range next.entities {
		next.entities[k] = slices.Clone(n.entities[k])
	}
	e.replace(n, &next)
	e.own[&next] = true
	return &next
}

func (e *editor) putEntity(n *Namespace, entity Entity) error {
	var v validator
	v.entity("", &entity, entity.Kind)
	if err := errors.Join(v.errs...); err != nil {
		return err
	}
	old := n.byName[lower(entity.Name)]
	if old != nil && old.Kind != entity.Kind {
		return fmt.Errorf("%s is the name of a %v: %w", quoted(entity.Name), old.Kind, ErrConflict)
	}
	if old != nil {
		entity.Name = old.Name
		e.stamp(&entity.CreatedAt, &entity.UpdatedAt, old.CreatedAt, old.UpdatedAt)
	} else {
		e.stamp(&entity.CreatedAt, &entity.UpdatedAt, e.now, time.Time{})
	}
	n = e.edit(n)
	added := n.add(entity.Kind, entity)
	delete(n.gone, lower(entity.Name))
	list := n.entities[entity.Kind]
	list = list[:len(list)-1]
	i, found := slices.BinarySearchFunc(list, added, byKey)
	if found {
		list[i] = added
	} else {
		list = slices.Insert(list, i, added)
	}
	n.entities[entity.Kind] = list
	return nil
}

func (e *editor) deleteEntity(n *Namespace, k Kind, name string) error {
	old := n.Entity(k, name)
	if old == nil {
		return fmt.Errorf("%v %s: %w", k, quoted(name), ErrNotFound)
	}
	n = e.edit(n)
	delete(n.byName, lower(name))
	n.bury(old)
	i, _ := slices.BinarySearchFunc(n.entities[k], old, byKey)
	n.entities[k] = slices.Delete(n.entities[k], i, i+1)
	return nil
}

// FindRule returns the rule of that name, in any letter case; nil if rules has
// none. It points into rules.
func FindRule(rules []Rule, name string) *Rule {
	for i := range rules {
		if strings.EqualFold(rules[i].Name, name) {
			return &rules[i]
		}
	}
	return nil
}
