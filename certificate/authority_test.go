package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAuthority: made once, private, and trusted by Go.
func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	stat, err := os.Stat(filepath.Join(dir, authorityKeyFile))
	if err != nil || stat.Mode().Perm() != 0o600 || a.Notice != "" {
		t.Errorf("key %v, notice %q, %v", stat, a.Notice, err)
	}
	again := open(t, dir)
	if !again.certificate.Equal(a.certificate) || again.Notice != "" {
		t.Errorf("made twice: %q", again.Notice)
	}
	leaf, err := again.Leaf("relay.test", "192.0.2.7", "[2001:db8::7]", "", "relay.test")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newStore(t, Options{Made: []tls.Certificate{leaf}})
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in ca.pem")
	}
	host, _ := os.Hostname()
	for name, want := range map[string]bool{
		"localhost": true, "a.localhost": true, "127.0.0.1": true, "::1": true, host: true,
		"relay.test": true, "192.0.2.7": true, "2001:db8::7": true,
		"example.com": false, "a.servicebus.windows.net": false,
	} {
		_, err := shake(t, s.Config(), &tls.Config{RootCAs: roots, ServerName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if life := time.Until(leaf.Leaf.NotAfter); life > leafLife || life < leafLife-time.Minute {
		t.Errorf("a leaf lives %v", life)
	}
	if c := a.certificate; c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || !c.MaxPathLenZero ||
		!strings.HasPrefix(c.Subject.CommonName, "Relayhouse local CA ") {
		t.Errorf("%+v", c.Subject)
	}
	if got := len(shorten(strings.Repeat("x", 100))); got != 64 {
		t.Errorf("a common name of %d characters", got)
	}
}

// TestAuthorityIsMadeAnew, and says so, when its files are no good.
func TestAuthorityIsMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string, a *Authority) error{
		"nonsense": func(_ *testing.T, _ string, a *Authority) error {
			return os.WriteFile(a.File, []byte("x"), 0o600)
		},
		"no key": func(_ *testing.T, dir string, _ *Authority) error {
			return os.Remove(filepath.Join(dir, authorityKeyFile))
		},
		"another key": func(t *testing.T, dir string, _ *Authority) error {
			return os.WriteFile(filepath.Join(dir, authorityKeyFile), keyPEM(t, ecdsaKey(t)), 0o600)
		},
		"expires soon": func(t *testing.T, dir string, a *Authority) error {
			template := *a.certificate
			template.NotAfter = time.Now().Add(authorityRest - time.Hour)
			c, err := sign(&template, &template, &a.key.PublicKey, a.key)
			if err != nil {
				return err
			}
			return replace(a.File, "CERTIFICATE", c.Raw, 0o644)
		},
		"no authority": func(t *testing.T, dir string, a *Authority) error {
			key := ecdsaKey(t)
			c := signer{certificate: a.certificate, key: a.key}.issue(t, key, named("x.test"))
			if err := os.WriteFile(filepath.Join(dir, authorityKeyFile), keyPEM(t, key), 0o600); err != nil {
				return err
			}
			return os.WriteFile(a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600)
		},
	} {
		dir := t.TempDir()
		a := open(t, dir)
		if err := spoil(t, dir, a); err != nil {
			t.Fatal(err)
		}
		b := open(t, dir)
		if b.certificate.Equal(a.certificate) || !strings.Contains(b.Notice, "made anew, trust it again: ") {
			t.Errorf("%s: notice %q", name, b.Notice)
		}
		if c := open(t, dir); !c.certificate.Equal(b.certificate) || c.Notice != "" {
			t.Errorf("%s: once more: %q", name, c.Notice)
		}
	}
	dir := t.TempDir()
	a := open(t, dir)
	key := filepath.Join(dir, authorityKeyFile)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir)
	if stat, err := os.Stat(key); err != nil || stat.Mode().Perm() != 0o600 ||
		!b.certificate.Equal(a.certificate) || !strings.Contains(b.Notice, "could be read by others") {
		t.Errorf("an open key: %q, %v", b.Notice, err)
	}
	if _, err := OpenAuthority(filepath.Join(dir, "none")); err == nil {
		t.Error("no directory, no error")
	}
}

// TestAuthorityOfMany: whoever opens a directory at the same time has the same.
func TestAuthorityOfMany(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	all := make([]*Authority, 8)
	for i := range all {
		wg.Go(func() { all[i], _ = OpenAuthority(dir) })
	}
	wg.Wait()
	for i, a := range all {
		if a == nil || !a.certificate.Equal(all[0].certificate) || a.Notice != "" {
			t.Errorf("%d: %+v", i, a)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("files %v, %v", left, err)
	}
}

// TestAuthorityForOpenSSL, which is stricter than Go.
func TestAuthorityForOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	dir := t.TempDir()
	a := open(t, dir)
	leaf, err := a.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "leaf.pem")
	if err := replace(file, "CERTIFICATE", leaf.Certificate[0], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, check := range [][]string{
		{"-verify_hostname", "localhost"}, {"-verify_ip", "127.0.0.1"}, {"-verify_ip", "::1"},
	} {
		args := append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", a.File}, check...)
		if out, err := exec.Command(openssl, append(args, file)...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", check, err, out)
		}
	}
}
