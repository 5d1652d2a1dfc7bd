package namespacestore

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/relayhouse/relayhouse/namespace"
)

// The file. Schema 1:
//
//	meta        schema   "1"
//	            salt     of the seal; absent where keys are not sealed
//	            check    a text sealed under the master key
//	namespaces  NAME         namespaceRecord
//	entities    NAME/ENTITY  entityRecord
//
// Names in keys are in lower case.
var (
	bucketMeta       = []byte("meta")
	bucketNamespaces = []byte("namespaces")
	bucketEntities   = []byte("entities")

	keySchema = []byte("schema")
	keySalt   = []byte("salt")
	keyCheck  = []byte("check")
)

// schema is the version of the file that this program writes. It reads those
// before it, too; there are none yet.
const schema = "1"

// checkText is what the value of keyCheck opens to.
const checkText = "relayhouse"

// load reads the whole file, and seals what is not sealed yet.
func (b *Bolt) load(db *bbolt.DB) (*namespace.Snapshot, *seal, error) {
	var defs []namespace.Definition
	var master []byte
	var seal *seal
	if b.o.MasterKey != "" {
		var err error
		if master, err = readMasterKey(b.o.MasterKey); err != nil {
			return nil, nil, masterKeyError(err)
		}
	}
	reseal := false
	err := db.View(func(tx *bbolt.Tx) (err error) {
		if seal, reseal, err = openSeal(tx, master); err != nil {
			return err
		}
		defs, err = read(tx, seal)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", b.o.File, err)
	}
	snapshot, err := namespace.NewSnapshot(defs)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", b.o.File, err)
	}
	if reseal {
		if db.IsReadOnly() {
			return nil, nil, masterKeyError(fmt.Errorf("%s cannot be written to seal its keys", b.o.File))
		}
		if seal, err = sealAll(db, master, snapshot); err != nil {
			return nil, nil, fmt.Errorf("%s: seal keys: %w", b.o.File, err)
		}
		b.o.Log.Info("the keys of the namespace store are sealed now")
	}
	return snapshot, seal, nil
}

// openSeal checks the schema and the master key. reseal says that there is a
// master key and the file is not sealed.
func openSeal(tx *bbolt.Tx, master []byte) (c *seal, reseal bool, err error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil || tx.Bucket(bucketNamespaces) == nil || tx.Bucket(bucketEntities) == nil {
		return nil, false, fmt.Errorf("%w: it is another program's", ErrSchema)
	}
	if got := meta.Get(keySchema); string(got) != schema {
		return nil, false, fmt.Errorf("%w: this program knows %s, the file has %.20q",
			ErrSchema, schema, got)
	}
	salt := meta.Get(keySalt)
	switch {
	case salt == nil:
		return nil, master != nil, nil
	case master == nil:
		return nil, false, masterKeyError(fmt.Errorf("keys are sealed; set store.master_key"))
	}
	if c, err = newSeal(master, salt); err != nil {
		return nil, false, err
	}
	if text, err := c.open(sealed{at: "check"}, meta.Get(keyCheck)); err != nil || text != checkText {
		return nil, false, masterKeyError(fmt.Errorf("keys are sealed with another one"))
	}
	return c, false, nil
}

// read collects all records.
func read(tx *bbolt.Tx, c *seal) ([]namespace.Definition, error) {
	type ordered struct {
		def   namespace.Definition
		order uint64
	}
	var all []*ordered
	byName := make(map[string]*ordered)
	err := tx.Bucket(bucketNamespaces).ForEach(func(key, value []byte) error {
		d, order, err := c.decodeNamespace(string(key), value)
		if err == nil && strings.ToLower(d.Name) != string(key) {
			err = fmt.Errorf("it has the name %q", d.Name)
		}
		if err != nil {
			return fmt.Errorf("namespace %q: %w", key, err)
		}
		o := &ordered{d, order}
		all = append(all, o)
		byName[string(key)] = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tx.Bucket(bucketEntities).ForEach(func(key, value []byte) error {
		ns, name, _ := strings.Cut(string(key), "/")
		o := byName[ns]
		if o == nil {
			return fmt.Errorf("entity %q: it belongs to no namespace", key)
		}
		e, err := c.decodeEntity(string(key), value)
		if err == nil && strings.ToLower(e.Name) != name {
			err = fmt.Errorf("it has the name %q", e.Name)
		}
		if err != nil {
			return fmt.Errorf("entity %q: %w", key, err)
		}
		if e.Kind == namespace.KindWCFRelay {
			o.def.WCFRelays = append(o.def.WCFRelays, e)
		} else {
			o.def.HybridConnections = append(o.def.HybridConnections, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *ordered) int { return cmp.Compare(a.order, b.order) })
	defs := make([]namespace.Definition, 0, len(all))
	for _, o := range all {
		defs = append(defs, o.def)
	}
	return defs, nil
}

// write makes the records of next that are touched those of the file.
func (b *Bolt) write(next *namespace.Snapshot, t *touched) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		w := recordWriter{tx.Bucket(bucketNamespaces), tx.Bucket(bucketEntities), b.seal}
		for ns := range t.purged {
			if err := w.purge(ns); err != nil {
				return err
			}
		}
		for ns := range t.namespaces {
			if err := w.namespace(next.Namespace(ns), ns); err != nil {
				return err
			}
		}
		for e := range t.entities {
			if err := w.entity(next.Namespace(e[0]), e[0], e[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// recordWriter writes records within one transaction.
type recordWriter struct {
	settings, members *bbolt.Bucket
	seal              *seal
}

// purge removes the entities of a namespace.
func (w recordWriter) purge(ns string) error {
	prefix := []byte(ns + "/")
	var keys [][]byte // a cursor must not be moved over what it deletes
	c := w.members.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := w.members.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// namespace writes the settings of n, or removes them if n is nil.
func (w recordWriter) namespace(n *namespace.Namespace, key string) error {
	if n == nil {
		return w.settings.Delete([]byte(key))
	}
	order, err := w.order(key)
	if err != nil {
		return err
	}
	d := n.Settings()
	value, err := w.seal.encodeNamespace(&d, order)
	if err != nil {
		return err
	}
	return w.settings.Put([]byte(key), value)
}

// order is that of the namespace in the file, or the next one.
func (w recordWriter) order(key string) (uint64, error) {
	if value := w.settings.Get([]byte(key)); value != nil {
		_, order, err := w.seal.decodeNamespace(key, value)
		return order, err
	}
	return w.settings.NextSequence()
}

// entity writes the entity of that name, or removes it if n has none.
func (w recordWriter) entity(n *namespace.Namespace, ns, name string) error {
	e := n.Entity(namespace.KindHybridConnection, name)
	if e == nil {
		e = n.Entity(namespace.KindWCFRelay, name)
	}
	if e == nil {
		return w.members.Delete([]byte(ns + "/" + name))
	}
	value, err := w.seal.encodeEntity(e)
	if err != nil {
		return err
	}
	return w.members.Put([]byte(e.Key()), value)
}

// entities writes all entities of n.
func (w recordWriter) entities(n *namespace.Namespace) error {
	for _, k := range []namespace.Kind{namespace.KindHybridConnection, namespace.KindWCFRelay} {
		for _, e := range n.Entities(k) {
			value, err := w.seal.encodeEntity(e)
			if err != nil {
				return err
			}
			if err := w.members.Put([]byte(e.Key()), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// sealAll writes all records again, sealed, in one transaction.
func sealAll(db *bbolt.DB, master []byte, s *namespace.Snapshot) (*seal, error) {
	salt := newSalt()
	c, err := newSeal(master, salt)
	if err != nil {
		return nil, err
	}
	return c, db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keySalt, salt); err != nil {
			return err
		}
		if err := meta.Put(keyCheck, c.close(sealed{at: "check"}, checkText)); err != nil {
			return err
		}
		plain := recordWriter{tx.Bucket(bucketNamespaces), tx.Bucket(bucketEntities), nil}
		for _, n := range s.Namespaces() {
			key := strings.ToLower(n.Name())
			order, err := plain.order(key)
			if err != nil {
				return err
			}
			d := n.Settings()
			value, err := c.encodeNamespace(&d, order)
			if err != nil {
				return err
			}
			if err := plain.settings.Put([]byte(key), value); err != nil {
				return err
			}
			if err := (recordWriter{plain.settings, plain.members, c}).entities(n); err != nil {
				return err
			}
		}
		return nil
	})
}
