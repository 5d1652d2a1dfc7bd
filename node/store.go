package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

// lockWait is how long a start waits for another process that has store.file
// open: one that is ending needs a moment.
const lockWait = 5 * time.Second

// lockWaitDev is lockWait of an emulator, which has something to fall back to.
const lockWaitDev = time.Second

// Where namespaces come from, in the status.
const (
	storeFile        = "file"        // store.file
	storeMemory      = "memory"      // of an emulator
	storeDefinitions = "definitions" // store.definitions
	storeSettings    = "settings"    // namespaces in the file of settings
)

// store is where the namespaces of a node come from.
type store struct {
	kind   string
	writer namespacestore.Writer
	bolt   *namespacestore.Bolt // nil but with storeFile

	endWatch context.CancelFunc // nil but with storeDefinitions
}

// openStore reads the namespaces.
//
//	Errors: a *config.Error that names the setting and the file.
func (n *Node) openStore() error {
	c := n.cfg.Store
	n.store.writer = namespacestore.ReadOnly{}
	switch {
	case c.File != "":
		return n.openFile()
	case c.Memory:
		n.keepInMemory()
		return n.seed()
	case c.Definitions != "":
		n.store.kind = storeDefinitions
		defs, err := config.LoadDefinitions(c.Definitions)
		if err != nil {
			return err
		}
		return n.swap(defs)
	}
	n.store.kind = storeSettings
	return n.swap(n.cfg.Namespaces)
}

// swap makes defs the namespaces.
func (n *Node) swap(defs []namespace.Definition) error {
	snapshot, err := namespace.NewSnapshot(defs)
	if err != nil {
		return err
	}
	n.namespaces.Swap(snapshot)
	return nil
}

func (n *Node) storeLimits() namespacestore.Limits {
	return namespacestore.Limits{
		NamespacesMax: n.cfg.Store.NamespacesMax, EntitiesMax: n.cfg.Store.EntitiesMax,
	}
}

func (n *Node) keepInMemory() {
	n.store.kind = storeMemory
	n.store.writer = namespacestore.NewMemory(n.namespaces, n.storeLimits())
}

func (n *Node) openFile() error {
	c := n.cfg.Store
	wait := lockWait
	if c.Memory {
		wait = lockWaitDev
	}
	bolt, err := namespacestore.OpenBolt(namespacestore.Options{
		File: c.File, MasterKey: c.MasterKey, LockWait: wait, Limits: n.storeLimits(),
		Current: n.namespaces, Log: n.log,
	})
	switch {
	case errors.Is(err, namespacestore.ErrLocked) && c.Memory:
		n.log.Warn("another process has the file of namespaces; changes of this one are not kept",
			slog.String("file", c.File))
		n.keepInMemory()
		return n.seed()
	case errors.Is(err, namespacestore.ErrMasterKey):
		return &config.Error{Path: "store.master_key", Text: err.Error()}
	case err != nil:
		return &config.Error{Path: "store.file", Text: err.Error()}
	}
	n.store.kind, n.store.bolt, n.store.writer = storeFile, bolt, bolt
	return n.seed()
}

// seed makes what config.Store.Seed has and the store has not. A store that
// cannot be written keeps it from nothing: that has been logged.
func (n *Node) seed() error {
	seed := n.cfg.Store.Seed
	if len(seed) == 0 {
		return nil
	}
	_, err := n.store.writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		var changes []namespace.Change
		for _, d := range seed {
			changes = append(changes, missing(s.Namespace(d.Name), d, n.cfg.Store.Given)...)
		}
		return changes, nil
	})
	if errors.Is(err, namespacestore.ErrUnavailable) {
		return nil
	}
	return err
}

// missing are the changes by which n, which may be nil, gets what d has; see
// config.Store.Seed.
func missing(n *namespace.Namespace, d namespace.Definition, given []string) []namespace.Change {
	var changes []namespace.Change
	if n == nil {
		changes = append(changes, namespace.PutNamespace(d))
	} else {
		settings, added := n.Settings(), false
		rules := append([]namespace.Rule(nil), settings.Rules...)
		for _, r := range d.Rules {
			if namespace.FindRule(rules, r.Name) == nil && len(rules) < namespace.RulesMax {
				rules, added = append(rules, r), true
			}
		}
		if added {
			settings.Rules = rules
			changes = append(changes, namespace.PutNamespace(settings))
		}
	}
	for _, e := range d.HybridConnections {
		old := n.Entity(namespace.KindHybridConnection, e.Name)
		switch {
		case old == nil && n.Entity(namespace.KindWCFRelay, e.Name) != nil:
		case old == nil:
			changes = append(changes, namespace.PutEntity(d.Name, e))
		case slices.Contains(given, e.Name) &&
			old.RequiresClientAuthorization != e.RequiresClientAuthorization:
			next := *old
			next.RequiresClientAuthorization = e.RequiresClientAuthorization
			changes = append(changes, namespace.PutEntity(d.Name, next))
		}
	}
	return changes
}

// watchStore begins to follow store.definitions.
func (n *Node) watchStore() {
	if n.store.kind != storeDefinitions {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		config.Watch(ctx, n.cfg.Store.Definitions, n.definitionsRead)
	}()
	n.store.endWatch = func() { cancel(); <-done }
}

// definitionsRead takes what store.definitions holds now.
func (n *Node) definitionsRead(defs []namespace.Definition, err error) {
	file := slog.String("file", n.cfg.Store.Definitions)
	if err == nil {
		err = n.swap(defs)
	}
	if err != nil {
		n.log.Error("the file of namespaces was not taken; what was in force stays", file,
			slog.String("error", err.Error()))
		return
	}
	n.log.Info("namespaces reloaded", file)
}

// reloadStore reads namespaces again that do not come from store.file.
func (n *Node) reloadStore(cfg config.Config) ([]namespace.Definition, error) {
	if n.store.kind == storeDefinitions {
		return config.LoadDefinitions(n.cfg.Store.Definitions)
	}
	return cfg.Namespaces, nil
}

// closeStore ends what openStore and watchStore began.
func (n *Node) closeStore() {
	if n.store.endWatch != nil {
		n.store.endWatch()
	}
	if n.store.bolt != nil {
		n.store.bolt.Close()
	}
}

// releaseStore lets go of store.file for the process that takes over.
func (n *Node) releaseStore() {
	if n.store.bolt != nil {
		n.store.bolt.Release()
	}
}

// resumeStore takes it back from one that did not.
func (n *Node) resumeStore() {
	if n.store.bolt != nil {
		n.store.bolt.Resume()
	}
}

// storePlace names the place in words, for operators.
func (n *Node) storePlace() string {
	switch n.store.kind {
	case storeFile:
		return n.cfg.Store.File
	case storeDefinitions:
		return n.cfg.Store.Definitions
	}
	return ""
}
