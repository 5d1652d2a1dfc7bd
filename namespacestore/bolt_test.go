package namespacestore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// options are those of a file in a directory of the test.
func options(t testing.TB) Options {
	return Options{
		File: filepath.Join(t.TempDir(), "namespaces.db"), Current: new(namespace.Store),
		Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, o Options) *Bolt {
	t.Helper()
	b, err := OpenBolt(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func put(t testing.TB, w Writer, changes ...namespace.Change) {
	t.Helper()
	if err := try(w, changes...); err != nil {
		t.Fatal(err)
	}
}

func try(w Writer, changes ...namespace.Change) error {
	_, err := w.Update(func(*namespace.Snapshot) ([]namespace.Change, error) { return changes, nil })
	return err
}

func definitions(s *namespace.Store) (all []namespace.Definition) {
	for _, n := range s.Load().Namespaces() {
		all = append(all, n.Definition())
	}
	return all
}

// full is a namespace that has one of everything.
func full() []namespace.Change {
	ip, _ := namespace.ParseIPRule("10.0.0.0/8")
	denied, _ := namespace.ParseIPRule("2001:db8::1")
	denied.Deny = true
	rules := []namespace.Rule{
		{Name: "Root", Rights: sas.Listen | sas.Send | sas.Manage, PrimaryKey: "one", SecondaryKey: "two"},
		{Name: "send", Rights: sas.Send, PrimaryKey: "three"},
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	return []namespace.Change{
		namespace.PutNamespace(namespace.Definition{
			Name: "Full", Hosts: []string{"full.example", "::1"}, Subscription: "s", ResourceGroup: "G",
			Location: "here", Tags: map[string]string{"a": "b"}, CreatedAt: created, UpdatedAt: created,
			MinimumTLSVersion: "1.3", PublicNetworkAccess: namespace.AccessEnabled,
			Network: namespace.NetworkRules{
				DefaultDeny: true, IPRules: []namespace.IPRule{ip, denied}, TrustedServiceAccess: true,
			},
			Rules: rules,
		}),
		namespace.PutEntity("full", namespace.Entity{
			Name: "A/b", RequiresClientAuthorization: true, UserMetadata: "täxt \"\n", Disabled: true,
			CreatedAt: created, UpdatedAt: created, ListenersMax: 7, HTTPResponseTimeout: time.Minute,
			HTTPBodyGap: namespace.Never, HTTPDelivery: namespace.DeliveryRendezvous, Rules: rules,
		}),
		namespace.PutEntity("full", namespace.Entity{Name: "plain"}),
		namespace.PutEntity("full", namespace.Entity{
			Kind: namespace.KindWCFRelay, Name: "w", RelayType: namespace.RelayNetTCP,
			RequiresTransportSecurity: true,
		}),
	}
}

// TestReopen: what was there is there again, with keys sealed or not.
func TestReopen(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		o := options(t)
		if sealed {
			o.MasterKey = masterKey(t, strings.Repeat("k", 44))
		}
		b := open(t, o)
		put(t, b, namespace.PutNamespace(namespace.Definition{Name: "zz"}))
		put(t, b, full()...)
		want := definitions(o.Current)
		b.Close()
		if len(want) != 2 || len(want[1].HybridConnections) != 2 {
			t.Fatalf("got %+v", want)
		}
		o.Current = new(namespace.Store)
		open(t, o)
		if got := definitions(o.Current); !reflect.DeepEqual(got, want) {
			t.Errorf("sealed %v: got\n%+v\nwant\n%+v", sealed, got, want)
		}
		info, err := os.Stat(o.File)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		text, _ := os.ReadFile(o.File)
		if has := bytes.Contains(text, []byte(`"three"`)); has == sealed {
			t.Errorf("sealed %v: the file has the key: %v", sealed, has)
		}
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.File), ".*"))
		if len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func masterKey(t testing.TB, text string) string {
	file := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMasterKey: what the operator may do with it, and what not.
func TestMasterKey(t *testing.T) {
	o := options(t)
	b := open(t, o)
	put(t, b, full()...)
	want := definitions(o.Current)
	b.Close()
	good := masterKey(t, strings.Repeat("k", 44))
	for _, c := range []struct{ file, want string }{
		{masterKey(t, "short"), "want 32–4096 bytes, got 5"},
		{masterKey(t, strings.Repeat("k", 4097)), "want 32–4096 bytes, got"},
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{good, ""}, // seals a file that is not
		{good, ""},
		{"", "keys are sealed; set store.master_key"},
		{masterKey(t, strings.Repeat("x", 44)), "sealed with another one"},
		{good, ""},
	} {
		o.MasterKey, o.Current = c.file, new(namespace.Store)
		b, err := OpenBolt(o)
		if c.want != "" {
			if err == nil || !errors.Is(err, ErrMasterKey) || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "kkkk") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := definitions(o.Current); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
		b.Close()
	}
}

// TestSealedPlace: a sealed key that is moved to another rule does not open.
func TestSealedPlace(t *testing.T) {
	c, err := newSeal([]byte(strings.Repeat("k", 32)), newSalt())
	if err != nil {
		t.Fatal(err)
	}
	place := sealed{"ns/e", "Rule", "primary"}
	text := c.close(place, "key")
	if key, err := c.open(sealed{"ns/e", "rule", "primary"}, text); key != "key" || err != nil {
		t.Errorf("got %q, %v", key, err)
	}
	for _, s := range []sealed{
		{"ns", "Rule", "primary"}, {"ns/e", "Rule2", "primary"}, {"ns/e", "Rule", "secondary"},
	} {
		if key, err := c.open(s, text); err == nil {
			t.Errorf("%v opens to %q", s, key)
		}
	}
	var none *seal
	if _, err := none.open(place, text); err == nil {
		t.Error("it opens without a key")
	}
}

// TestModel: random updates, one by one and many at once, and reopened now and
// then, against a Memory.
func TestModel(t *testing.T) {
	o := options(t)
	b := open(t, o)
	var current namespace.Store
	m := NewMemory(&current, Limits{})
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 400 {
		var changes []namespace.Change
		for range 1 + random.IntN(4) {
			changes = append(changes, randomChange(random))
		}
		one, two := try(b, changes...), try(m, changes...)
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Fatalf("%d: %v and %v", i, one, two)
		}
		if random.IntN(10) == 0 {
			b.Close()
			o.Current = new(namespace.Store)
			b = open(t, o)
		}
		if got, want := strip(definitions(o.Current)), strip(definitions(&current)); !reflect.DeepEqual(
			got, want) {
			t.Fatalf("%d: got\n%+v\nwant\n%+v", i, got, want)
		}
	}
}

// strip takes the times away, which differ.
func strip(defs []namespace.Definition) []namespace.Definition {
	for i := range defs {
		defs[i].CreatedAt, defs[i].UpdatedAt = time.Time{}, time.Time{}
		for _, list := range [][]namespace.Entity{defs[i].HybridConnections, defs[i].WCFRelays} {
			for j := range list {
				list[j].CreatedAt, list[j].UpdatedAt = time.Time{}, time.Time{}
			}
		}
	}
	return defs
}

func randomChange(r *rand.Rand) namespace.Change {
	ns := []string{"a", "B", "c"}[r.IntN(3)]
	name := []string{"x", "X/y", "z", "w", "V"}[r.IntN(5)]
	k := namespace.Kind(r.IntN(2))
	switch r.IntN(8) {
	case 0:
		return namespace.DeleteNamespace(ns)
	case 1, 2:
		return namespace.PutNamespace(namespace.Definition{Name: ns, Location: name})
	case 3, 4:
		return namespace.DeleteEntity(ns, k, name)
	}
	e := namespace.Entity{Kind: k, Name: name, UserMetadata: fmt.Sprint(r.IntN(10))}
	if k == namespace.KindWCFRelay {
		e.RelayType = namespace.RelayHTTP
	}
	return namespace.PutEntity(ns, e)
}

// TestBatch: an update that fails does not spoil those beside it, and all see
// each other.
func TestBatch(t *testing.T) {
	o := options(t)
	b := open(t, o)
	put(t, b, namespace.PutNamespace(namespace.Definition{Name: "n"}))
	entered, leave := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // holds up the others, so that they come together
		_, err := b.Update(func(*namespace.Snapshot) ([]namespace.Change, error) {
			close(entered)
			<-leave
			return nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	const n = 100
	var failed sync.Map
	for i := range n {
		all.Go(func() {
			_, err := b.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
				if i%3 == 0 {
					return nil, errors.New("no")
				}
				ns := s.Namespace("n")
				e := ns.Entity(0, "count")
				if e == nil {
					e = &namespace.Entity{Name: "count"}
				}
				next := *e
				next.ListenersMax++
				if i%3 == 1 {
					next.Name = "-" // refused
				}
				return []namespace.Change{namespace.PutEntity("n", next)}, nil
			})
			if err != nil {
				failed.Store(i, err.Error())
			}
		})
	}
	close(leave)
	all.Wait()
	for i := range n {
		err, ok := failed.Load(i)
		if ok != (i%3 != 2) {
			t.Errorf("%d: %v", i, err)
		}
	}
	b.Close()
	o.Current = new(namespace.Store)
	open(t, o)
	if e := o.Current.Load().Namespace("n").Entity(0, "count"); e == nil || e.ListenersMax != n/3 {
		t.Errorf("got %+v, want %d", e, n/3)
	}
}

// TestUnwritable: a file that cannot be written any more refuses updates in
// words, changes nothing, and takes them again when it can.
func TestUnwritable(t *testing.T) {
	o := options(t)
	put(t, open(t, o), full()...)
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	broken := true
	o.File, o.Current = filepath.Join(t.TempDir(), "new.db"), new(namespace.Store)
	if err := create(o.File); err != nil {
		t.Fatal(err)
	}
	o.openFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if broken { // pwrite fails with EBADF, as it would with ENOSPC
			flag = flag&^os.O_RDWR | os.O_RDONLY
		}
		return os.OpenFile(name, flag, mode)
	}
	b := open(t, o)
	for range 3 {
		err := try(b, full()...)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "bad file descriptor") {
			t.Fatalf("got %v", err)
		}
		if len(o.Current.Load().Namespaces()) != 0 {
			t.Fatal("a refused change is in force")
		}
	}
	if !strings.Contains(log.String(), "the namespace store cannot be written") {
		t.Errorf("log: %s", log.String())
	}
	broken = false
	b.Release()
	if err := try(b, full()...); !errors.Is(err, ErrUnavailable) {
		t.Errorf("released: %v", err)
	}
	other := o
	other.Current = new(namespace.Store)
	c := open(t, other)
	put(t, c, namespace.PutNamespace(namespace.Definition{Name: "theirs"}))
	b.Resume() // while the other one has it
	if err := try(b, full()...); !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	c.Close()
	put(t, b, full()...)
	if s := o.Current.Load(); s.Namespace("theirs") == nil || s.Namespace("full") == nil {
		t.Error("what another process wrote is lost")
	}
	b.Release()
	if err := os.Rename(o.File, o.File+".moved"); err != nil {
		t.Fatal(err)
	}
	b.Resume()
	if err := try(b, full()...); !errors.Is(err, ErrUnavailable) {
		t.Errorf("moved away: %v", err)
	}
	if _, err := os.Stat(o.File); err == nil || o.Current.Load().Namespace("full") == nil {
		t.Error("an empty file took the place of the one that was moved away")
	}
}

func TestOpenErrors(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	change := func(f func(tx *bbolt.Tx) error) string {
		o := options(t)
		b := open(t, o)
		put(t, b, full()...)
		b.Close()
		db, err := bbolt.Open(o.File, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // a test
		if err := db.Update(f); err != nil {
			t.Fatal(err)
		}
		return o.File
	}
	set := func(bucket []byte, key, value string) string {
		return change(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucket).Put([]byte(key), []byte(value))
		})
	}
	locked := options(t)
	open(t, locked)
	for _, c := range []struct{ file, want string }{
		{filepath.Join(t.TempDir(), "no", "x.db"), "no such file or directory"},
		{t.TempDir(), "is a directory"},
		{write("short"), "not a namespace store of this version"},
		{write(strings.Repeat("junk", 10000)), "not a namespace store of this version"},
		{locked.File, "another process has the file open"},
		{set(bucketMeta, "schema", "2"), `this program knows 1, the file has "2"`},
		{change(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketEntities) }),
			"it is another program's"},
		{set(bucketNamespaces, "full", "{"), `namespace "full": unexpected end`},
		{set(bucketNamespaces, "x", `{"Name":"y"}`), `namespace "x": it has the name "y"`},
		{set(bucketNamespaces, "x", `{"Name":"x","IPRules":[{"Mask":"z"}]}`), `"z" is no address`},
		{set(bucketNamespaces, "-", `{"Name":"-"}`), `namespaces[0].name: want`},
		{set(bucketEntities, "none/e", `{}`), `entity "none/e": it belongs to no namespace`},
		{set(bucketEntities, "full/e", `{"Kind":"queue","Name":"e"}`), `"queue" is no kind`},
		{set(bucketEntities, "full/e", `{"Kind":"wcfRelay","Name":"f"}`), `it has the name "f"`},
		{set(bucketEntities, "full/e", `{"Kind":"wcfRelay","Name":"e","BodyGap":"x"}`), "duration"},
		{set(bucketEntities, "full/e",
			`{"Kind":"wcfRelay","Name":"e","Rules":[{"Name":"r","Rights":"Fly"}]}`), `rule "r"`},
	} {
		o := options(t)
		o.File = c.file
		b, err := OpenBolt(o)
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), filepath.Base(c.file)) && !strings.Contains(c.want, "no such") {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if o.Current.Load() != nil {
			t.Errorf("%s: something was swapped in", c.want)
		}
	}
}

// TestDamaged: whatever bytes are wrong, OpenBolt returns.
func TestDamaged(t *testing.T) {
	o := options(t)
	b := open(t, o)
	put(t, b, full()...)
	b.Close()
	good, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 300 {
		bad := bytes.Clone(good)
		page := random.IntN(len(bad)/4096) * 4096
		for range 1 + random.IntN(20) {
			bad[page+random.IntN(4096)] ^= byte(1 + random.IntN(255))
		}
		if i%10 == 0 {
			bad = bad[:random.IntN(len(bad))]
		}
		if err := os.WriteFile(o.File, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		o.Current = new(namespace.Store)
		if b, err := OpenBolt(o); err == nil {
			b.Close()
		}
	}
}

func TestLimits(t *testing.T) {
	for _, kind := range []string{"memory", "bolt"} {
		o := options(t)
		o.Limits = Limits{NamespacesMax: 2, EntitiesMax: 2}
		var w Writer = NewMemory(o.Current, o.Limits)
		if kind == "bolt" {
			w = open(t, o)
		}
		ns := func(name string) namespace.Change {
			return namespace.PutNamespace(namespace.Definition{Name: name})
		}
		e := func(name string) namespace.Change {
			return namespace.PutEntity("a", namespace.Entity{Name: name})
		}
		put(t, w, ns("a"), ns("b"), e("x"), e("y"))
		for _, changes := range [][]namespace.Change{{ns("c")}, {e("z")}} {
			if err := try(w, changes...); !errors.Is(err, ErrFull) ||
				!strings.Contains(err.Error(), "s_max is 2") {
				t.Errorf("%s: got %v", kind, err)
			}
		}
		put(t, w, e("x"), ns("a"))
		put(t, w, namespace.DeleteEntity("a", 0, "x"), e("z"))
	}
}

func TestReadOnlyWriter(t *testing.T) {
	if _, err := (ReadOnly{}).Update(nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v", err)
	}
}

// TestBackup: the copy is a whole file, made while updates go on.
func TestBackup(t *testing.T) {
	o := options(t)
	b := open(t, o)
	put(t, b, full()...)
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				put(t, b, namespace.PutEntity("full", namespace.Entity{Name: fmt.Sprint("e", i)}))
			}
		}
	})
	for range 5 {
		copied := options(t)
		f, err := os.Create(copied.File)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Backup(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		open(t, copied)
		if n := copied.Current.Load().Namespace("full"); n == nil || n.Len() < 3 {
			t.Errorf("got %v", n)
		}
	}
	close(stop)
	all.Wait()
	b.Close()
	if err := b.Backup(&bytes.Buffer{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if err := try(b, full()...); !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	b.Close()
}

// TestCloseAnswersAll: nobody waits for ever.
func TestCloseAnswersAll(t *testing.T) {
	b := open(t, options(t))
	put(t, b, namespace.PutNamespace(namespace.Definition{Name: "n"}))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			err := try(b, namespace.PutEntity("n", namespace.Entity{Name: fmt.Sprint("e", i)}))
			if err != nil && !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	b.Close()
	all.Wait()
}
