package certificate

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quick is timing for tests; the poll never comes unless a test wants it.
var quick = timing{
	quiet: 20 * time.Millisecond, quietMax: 200 * time.Millisecond,
	retry: 100 * time.Millisecond, poll: time.Hour,
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); !ok(); <-poll.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// watched is a store that has been started, with quick timing.
func watched(t *testing.T, pairs ...Pair) (*Store, *logged) {
	t.Helper()
	s, log := newStore(t, Options{Pairs: pairs})
	s.timing = quick
	if err := s.Start("127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, log
}

// serial names the first certificate that a store has.
func serial(s *Store) string { return s.table.Load().all[0].Leaf.SerialNumber.String() }

// secret lays files out as Kubernetes mounts a secret: links to ..data, which
// is a link to a directory and is replaced by a rename.
func secret(t *testing.T, f files, version string, first bool) Pair {
	t.Helper()
	dir := filepath.Join(f.dir, version)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files{dir, f.signer}.pair(t, "tls", "a.test")
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(version, "..data_tmp")
	if err := os.Rename(filepath.Join(f.dir, "..data_tmp"), filepath.Join(f.dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if first {
		link("..data/tls.pem", "tls.pem")
		link("..data/tls-key.pem", "tls-key.pem")
	}
	return Pair{filepath.Join(f.dir, "tls.pem"), filepath.Join(f.dir, "tls-key.pem")}
}

// TestWatch: the ways in which files are replaced.
func TestWatch(t *testing.T) {
	for name, replacing := range map[string]func(t *testing.T, f files, p Pair){
		"written in place": func(t *testing.T, f files, _ Pair) { f.pair(t, "tls", "a.test") },
		"renamed over": func(t *testing.T, f files, p Pair) {
			next := f.pair(t, "next", "a.test")
			for from, to := range map[string]string{next.Certificate: p.Certificate, next.Key: p.Key} {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
		},
		"removed and made": func(t *testing.T, f files, p Pair) {
			for _, file := range []string{p.Certificate, p.Key} {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			f.pair(t, "tls", "a.test")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			p := f.pair(t, "tls", "a.test")
			s, log := watched(t, p)
			server := s.Config()
			before := serial(s)
			replacing(t, f, p)
			eventually(t, "reloaded", func() bool { return serial(s) != before })
			state, err := shake(t, server, anyone("a.test"))
			if err != nil || state.PeerCertificates[0].SerialNumber.String() != serial(s) {
				t.Errorf("the old certificate is served: %v", err)
			}
			if log.count("level=ERROR") > 0 {
				t.Error(log)
			}
		})
	}
	t.Run("secret of Kubernetes", func(t *testing.T) {
		f := newFiles(t)
		s, log := watched(t, secret(t, f, "..1", true))
		for _, version := range []string{"..2", "..3"} {
			before := serial(s)
			secret(t, f, version, false)
			eventually(t, "reloaded", func() bool { return serial(s) != before })
		}
		if log.count("certificates reloaded") != 2 || log.count("level=ERROR") > 0 {
			t.Error(log)
		}
	})
}

// TestHalfWritten: a pair of which one half is new is read once more before
// anything is said, and the old certificates stay.
func TestHalfWritten(t *testing.T) {
	f := newFiles(t)
	s, log := watched(t, f.pair(t, "tls", "a.test"), f.pair(t, "other", "b.test"))
	before := serial(s)
	next := f.pair(t, "next", "a.test")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, filepath.Join(f.dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	move(next.Certificate, "tls.pem")
	eventually(t, "the error", func() bool { return log.count("the certificates were not reloaded") == 1 })
	if serial(s) != before || log.count("does not belong to the key in") != 1 {
		t.Error(log)
	}
	if err := s.Reload(nil); err == nil {
		t.Error("Reload says nothing")
	}
	f.pair(t, "other", "b.test") // One good change beside a bad one is not taken.
	eventually(t, "the second error", func() bool { return log.count("were not reloaded") == 2 })
	if serial(s) != before {
		t.Error("half of the files were taken")
	}
	move(next.Key, "tls-key.pem")
	eventually(t, "reloaded", func() bool { return serial(s) != before })
	if log.count("level=ERROR") != 2 {
		t.Error(log)
	}
}

// TestPoll finds what no event told, and says an error once.
func TestPoll(t *testing.T) {
	f := newFiles(t)
	s, log := newStore(t, Options{Pairs: []Pair{f.pair(t, "tls", "a.test")}})
	before := serial(s)
	var r retries
	f.write(t, "tls.pem", nil)
	for i, want := range []struct {
		again  bool
		errors int
	}{{true, 0}, {false, 1}, {false, 1}, {false, 1}} {
		if again := s.refresh(&r); again != want.again || log.count("level=ERROR") != want.errors {
			t.Errorf("poll %d: again %v, %s", i, again, log)
		}
	}
	f.write(t, "tls-key.pem", nil)
	if !s.refresh(&r) || s.refresh(&r) || log.count("level=ERROR") != 2 || serial(s) != before {
		t.Errorf("another mistake: %s", log)
	}
	f.pair(t, "tls", "a.test")
	if s.refresh(&r) || serial(s) == before {
		t.Errorf("good files: %s", log)
	}
}

// TestReloadOfOtherPairs is all or nothing.
func TestReloadOfOtherPairs(t *testing.T) {
	f := newFiles(t)
	a, b := f.pair(t, "a", "a.test"), f.pair(t, "b", "b.test")
	s, _ := newStore(t, Options{Pairs: []Pair{a}})
	if err := s.Reload([]Pair{b, {a.Certificate, b.Key}}); err == nil || len(s.Status()) != 1 {
		t.Errorf("a mistake: %v", err)
	}
	if err := s.Reload([]Pair{b, a}); err != nil || s.Status()[0].Names[0] != "b.test" {
		t.Errorf("two: %v", err)
	}
	if err := s.Reload([]Pair{}); err != nil || len(s.Status()) != 0 {
		t.Errorf("none: %v", err)
	}
	_, err := shake(t, s.Config(), anyone("a.test"))
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("without certificates: %v", err)
	}
	if c, err := s.GetCertificate(&tls.ClientHelloInfo{}); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
}
