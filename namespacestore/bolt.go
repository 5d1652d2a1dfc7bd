package namespacestore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relayhouse/relayhouse/namespace"
)

// batchMax bounds the updates that are written together: one wait for the disk
// answers all of them. It bounds what one transaction holds in memory, too.
const batchMax = 64

// Options says where a Bolt keeps its state, and how.
type Options struct {
	// File is the bbolt file; it is made if it is not there, with mode 0600.
	File string
	// MasterKey is a file of 32 to 4096 bytes that keys of rules are sealed
	// with; empty: they are not.
	MasterKey string
	// LockWait is how long to wait for another process that has the file open.
	LockWait time.Duration
	Limits   Limits
	// Current gets each snapshot.
	Current *namespace.Store
	Log     *slog.Logger

	// openFile is os.OpenFile but in tests.
	openFile func(string, int, os.FileMode) (*os.File, error)
}

// Bolt is a Writer that keeps the namespaces in a bbolt file.
//
// Each record is one namespace without its entities, or one entity with its
// rules; an update that has returned without error has been synchronised to
// disk. Whatever ends the process at whatever moment, the file has each update
// whole or not at all (bbolt writes a page that says what is valid last).
type Bolt struct {
	// Fixed after OpenBolt.
	o       Options
	updates chan *update
	quit    chan struct{} // closed by Close
	ended   chan struct{} // closed by run
	close   sync.Once

	mu       sync.Mutex
	db       *bbolt.DB // nil while another process has the file. Guarded by mu.
	seal     *seal     // Guarded by mu.
	released bool      // by Release. Guarded by mu.
	cause    error     // why db may only be read. Guarded by mu.
}

// update is one call of Update.
type update struct {
	f    func(*namespace.Snapshot) ([]namespace.Change, error)
	next *namespace.Snapshot
	err  error
	done chan struct{} // closed when next and err are set
}

// OpenBolt opens the file and swaps what is in it into o.Current. A file that
// may only be read is served, and updates get ErrUnavailable.
//
//	Errors: of the file; ErrLocked; ErrSchema; ErrMasterKey; or what is wrong
//	        with a record, which it names.
func OpenBolt(o Options) (*Bolt, error) {
	if o.openFile == nil {
		o.openFile = os.OpenFile
	}
	b := &Bolt{
		o: o, updates: make(chan *update, batchMax),
		quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := create(o.File); err != nil {
		return nil, err
	}
	if err := b.openLocked(o.LockWait); err != nil {
		return nil, err
	}
	go b.run()
	return b, nil
}

// Update implements Writer.
func (b *Bolt) Update(
	f func(*namespace.Snapshot) ([]namespace.Change, error),
) (*namespace.Snapshot, error) {
	u := &update{f: f, done: make(chan struct{})}
	select {
	case b.updates <- u:
	case <-b.quit:
		return nil, unavailable(errClosed)
	}
	select {
	case <-u.done:
		return u.next, u.err
	case <-b.ended:
		// run may have answered with its last breath.
		select {
		case <-u.done:
			return u.next, u.err
		default:
			return nil, unavailable(errClosed)
		}
	}
}

// run makes updates until Close.
func (b *Bolt) run() {
	defer close(b.ended)
	batch := make([]*update, 0, batchMax)
	for {
		select {
		case u := <-b.updates:
			batch = append(batch[:0], u)
		case <-b.quit:
			return
		}
		for more := true; more && len(batch) < batchMax; {
			select {
			case u := <-b.updates:
				batch = append(batch, u)
			default:
				more = false
			}
		}
		b.commit(batch)
		for _, u := range batch {
			close(u.done)
		}
	}
}

// commit plans the updates one after the other and writes them all at once.
func (b *Bolt) commit(batch []*update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fail := func(err error) {
		for _, u := range batch {
			if u.err == nil {
				u.next, u.err = nil, err
			}
		}
	}
	if err := b.reopenLocked(); err != nil {
		if !b.released {
			b.complain(err)
		}
		fail(unavailable(err))
		return
	}
	previous := b.o.Current.Load()
	next := previous
	var touched touched
	for _, u := range batch {
		var changes []namespace.Change
		changes, next, u.err = plan(next, u.f, b.o.Limits)
		touched.add(changes)
	}
	if next != previous {
		if err := b.write(next, &touched); err != nil {
			b.complain(err)
			fail(unavailable(err))
			return
		}
		b.o.Current.Swap(next)
	}
	for _, u := range batch {
		if u.err == nil {
			u.next = next
		}
	}
}

// complain tells the operator why updates are refused.
func (b *Bolt) complain(err error) {
	b.o.Log.Error("the namespace store cannot be written; nothing has changed",
		slog.String("file", b.o.File), slog.String("error", err.Error()))
}

// touched are the records that a batch of changes writes or removes.
type touched struct {
	purged     map[string]bool    // namespaces that went, if only for a moment
	namespaces map[string]bool    // settings
	entities   map[[2]string]bool // namespace and name
}

func (t *touched) add(changes []namespace.Change) {
	if t.namespaces == nil {
		t.purged, t.namespaces = map[string]bool{}, map[string]bool{}
		t.entities = map[[2]string]bool{}
	}
	for _, c := range changes {
		ns := strings.ToLower(c.Namespace)
		switch {
		case c.Settings != nil:
			t.namespaces[ns] = true
		case c.Entity != nil:
			t.entities[[2]string{ns, strings.ToLower(c.Entity.Name)}] = true
		case c.Name != "":
			t.entities[[2]string{ns, strings.ToLower(c.Name)}] = true
		default:
			t.purged[ns], t.namespaces[ns] = true, true
		}
	}
}

// Backup writes a consistent copy of the file, while updates go on. A reader
// that is slow makes the file grow meanwhile, as pages cannot be used again.
func (b *Bolt) Backup(w io.Writer) error {
	b.mu.Lock()
	db := b.db
	b.mu.Unlock()
	if db == nil {
		return unavailable(ErrElsewhere)
	}
	return db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Release lets go of the file, for a process that takes this one's place.
// Until Resume, updates get ErrUnavailable; reads go on.
func (b *Bolt) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
	b.closeLocked()
}

// Resume takes the file back after Release. Where that fails, each update
// tries again.
func (b *Bolt) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = false
	if err := b.reopenLocked(); err != nil {
		b.o.Log.Error("the namespace store could not be opened again",
			slog.String("file", b.o.File), slog.String("error", err.Error()))
	}
}

// Close ends the updates and closes the file. Those that wait get
// ErrUnavailable. It may be called more than once.
func (b *Bolt) Close() {
	b.close.Do(func() { close(b.quit) })
	<-b.ended
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
	b.closeLocked()
}

func (b *Bolt) closeLocked() {
	if b.db == nil {
		return
	}
	if err := b.db.Close(); err != nil {
		b.o.Log.Warn("closing the namespace store", slog.String("error", err.Error()))
	}
	b.db = nil
}

// reopenLocked opens the file if it is not open for writing. It does not make
// one: an empty file must not take the place of one that somebody moved away.
func (b *Bolt) reopenLocked() error {
	if b.released {
		return ErrElsewhere
	}
	if b.cause != nil {
		b.closeLocked() // it may be writable by now
	}
	if b.db == nil {
		if _, err := os.Stat(b.o.File); err != nil {
			return err
		}
		if err := b.openLocked(time.Millisecond); err != nil {
			return err
		}
	}
	return b.cause
}

// openLocked opens the file, which is there, and reads all of it.
func (b *Bolt) openLocked(wait time.Duration) error {
	b.cause = nil
	err := b.openAs(wait, false)
	if os.IsPermission(err) || isReadOnly(err) {
		cause := err
		if err = b.openAs(wait, true); err == nil {
			b.cause = cause
			b.o.Log.Error("the namespace store is read-only",
				slog.String("file", b.o.File), slog.String("error", cause.Error()))
		}
	}
	return err
}

func (b *Bolt) openAs(wait time.Duration, readOnly bool) (err error) {
	var files []*os.File
	options := &bbolt.Options{
		Timeout: max(wait, time.Millisecond), FreelistType: bbolt.FreelistMapType,
		NoStatistics: true, ReadOnly: readOnly,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := b.o.openFile(name, flag, mode)
			files = append(files, f)
			return f, err
		},
	}
	// bbolt panics on pages that make no sense, and the kernel faults on those
	// behind the end of the file.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			for _, f := range files {
				_ = f.Close()
			}
			err = fmt.Errorf("%s: %w: it is damaged: %v", b.o.File, ErrSchema, p)
		}
	}()
	db, err := bbolt.Open(b.o.File, fileMode, options)
	if err != nil {
		return openError(b.o.File, err)
	}
	err = b.private()
	var snapshot *namespace.Snapshot
	var seal *seal
	if err == nil {
		snapshot, seal, err = b.load(db)
	}
	if err != nil {
		_ = db.Close()
		return err
	}
	b.db, b.seal = db, seal
	b.o.Current.Swap(snapshot)
	return nil
}

// fileMode is that of the file: it holds keys.
const fileMode = 0o600

// private takes the rights of others off a file that was made by somebody else.
func (b *Bolt) private() error {
	info, err := os.Stat(b.o.File)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if err := os.Chmod(b.o.File, fileMode); err != nil {
		b.o.Log.Warn("others can read the namespace store", slog.String("error", err.Error()))
		return nil
	}
	b.o.Log.Warn("others could read the namespace store; its mode is 0600 now",
		slog.String("file", b.o.File))
	return nil
}

// create makes an empty file in one step, so that an end at any moment leaves a
// whole file or none.
func create(file string) error {
	if _, err := os.Stat(file); err == nil || !os.IsNotExist(err) {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".relayhouse-store-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left does no harm
	made := filepath.Join(dir, "new")
	db, err := bbolt.Open(made, fileMode, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketNamespaces, bucketEntities} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(schema))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Unlike a rename, a link does not replace what another process has made.
	if err := os.Link(made, file); err != nil && !os.IsExist(err) {
		return err
	}
	return syncDirectory(filepath.Dir(file))
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Sync()
}
