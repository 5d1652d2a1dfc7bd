package certificate

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestObtainingFails: nothing listens where the directory should be. Files
// serve the name meanwhile, or the client is told; the failure is logged.
func TestObtainingFails(t *testing.T) {
	f := newFiles(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	acme := &ACME{Domains: []string{"ACME.test", "other.test"}, Email: "me@example.com",
		Directory: "https://" + address + "/dir", Storage: filepath.Join(f.dir, "acme")}
	s, log := newStore(t, Options{Pairs: []Pair{f.pair(t, "a", "acme.test")}, ACME: acme})
	if err := s.Start("127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "the failure", func() bool {
		for _, c := range s.Status()[1:] {
			if !strings.Contains(c.Problem, "connection refused") {
				return false
			}
		}
		return log.count("ACME: will retry") > 0
	})
	if _, err := shake(t, s.Config(), anyone("acme.test")); err != nil {
		t.Errorf("the certificate of the file: %v", err)
	}
	for _, name := range []string{"acme.test", "a.test", ""} {
		c, err := s.GetCertificate(&tls.ClientHelloInfo{
			ServerName: name, SupportedProtos: []string{challengeProtocol}})
		if c != nil || err != errNoChallenge {
			t.Errorf("a challenge that nobody asked for, %q: %v", name, err)
		}
	}
	if err := s.Reload([]Pair{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme.test", ""} {
		if _, err := shake(t, s.Config(), anyone(name)); err == nil ||
			!strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q without any: %v", name, err)
		}
	}
	if log.count("level=INFO") != 0 || acme.Domains[0] != "ACME.test" {
		t.Errorf("%v, %s", acme.Domains, log)
	}
	s.StopObtaining()
	s.StopObtaining()
}

func TestACMEErrors(t *testing.T) {
	f := newFiles(t)
	file := f.write(t, "file", []byte("x"))
	for _, tt := range []struct {
		acme ACME
		want string
	}{
		{ACME{CA: filepath.Join(f.dir, "none"), Storage: f.dir}, "none: cannot be opened"},
		{ACME{CA: file, Storage: f.dir}, "file: holds no certificate of an authority"},
		{ACME{Storage: filepath.Join(file, "x")}, "x: cannot be made: not a directory"},
	} {
		if _, err := New(Options{ACME: &tt.acme}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.acme, err)
		}
	}
	dir := filepath.Join(f.dir, "deep", "storage")
	s, err := New(Options{ACME: &ACME{Storage: dir}})
	if err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(dir); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("storage: %v %v", stat, err)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:x"} {
		if err := s.Start(address); err == nil {
			t.Errorf("Start(%q) succeeds", address)
		}
	}
	s.Close()
}

// TestLogCore: warnings and errors of certmagic reach the log, with fields.
func TestLogCore(t *testing.T) {
	log := new(logged)
	l := zap.New(logCore{log.logger()}).With(zap.String("name", "a.test"))
	l.Debug("one")
	l.Info("two")
	l.Warn("three", zap.Int("n", 3))
	l.Error("four", zap.Error(os.ErrNotExist))
	if got := log.String(); log.count("\n") != 2 ||
		!strings.Contains(got, `level=WARN msg="ACME: three" name=a.test n=3`) ||
		!strings.Contains(got, `level=ERROR msg="ACME: four" name=a.test error="file does not exist"`) {
		t.Error(got)
	}
}
