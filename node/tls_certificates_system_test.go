//go:build system

package node_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProcessTLSClientCertificates: off, request and require, with each kind of
// client and each record layer.
func TestProcessTLSClientCertificates(t *testing.T) {
	for layer, args := range layers {
		for mode, served := range map[string]string{
			"off": "none wrong right", "request": "none right", "require": "right",
		} {
			more := append([]string{"--tls-client-auth", mode}, args...)
			if mode != "off" {
				more = append(more, "--tls-client-ca", "DIR/ca.crt")
			}
			e := startEdge(t, more...)
			base := e.client
			for _, kind := range []string{"none", "wrong", "right"} {
				e.client = base.Clone()
				if by := map[string]*issuer{"wrong": newIssuer(t), "right": e.root}[kind]; by != nil {
					pair, err := tls.X509KeyPair(by.issue(t, 9, time.Hour))
					if err != nil {
						t.Fatal(err)
					}
					// Not Certificates: they are left out where they do not fit.
					e.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						return &pair, nil
					}
				}
				l, status, err := e.upgrade("/$hc/unauthenticated")
				if l != nil {
					l.Close()
				}
				if got, want := strings.HasPrefix(status, "404"), strings.Contains(served, kind); got != want {
					t.Errorf("%s, %s, client with %s: served %v, want %v (%q, %v)",
						layer, mode, kind, got, want, status, err)
				}
			}
			e.end(0)
		}
	}
}

// TestProcessTLSCertificatesReplaced: under a thousand relays, in all ways in
// which files are replaced; what cannot be used is refused, and told.
func TestProcessTLSCertificatesReplaced(t *testing.T) {
	e := startEdge(t)
	control := e.listener()
	var relays [1000][2]*processLeg
	for i := range relays {
		s, l, err := e.relay(control)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		defer l.Close()
		relays[i] = [2]*processLeg{s, l}
	}
	check := func(how string, serial int64) {
		t.Helper()
		soon(t, how, func() bool { return e.serial() == serial })
		for _, r := range relays {
			r[0].SetDeadline(time.Now().Add(20 * time.Second))
			r[1].SetDeadline(time.Now().Add(20 * time.Second))
			e.echo(r[0], r[1])
			e.echo(r[1], r[0])
		}
	}
	check("the first", 1)
	e.putPair(e.root.issue(t, 2, time.Hour))
	check("renamed", 2)

	// As Kubernetes mounts a secret: tls.crt -> ..data/tls.crt, ..data -> a
	// directory, of which another takes the place.
	secret := func(dir string, serial int64) {
		must(t, os.Mkdir(filepath.Join(e.dir, dir), 0o700))
		certificate, key := e.root.issue(t, serial, time.Hour)
		e.put(dir+"/tls.crt", certificate)
		e.put(dir+"/tls.key", key)
		must(t, os.Symlink(dir, filepath.Join(e.dir, "..tmp")))
		must(t, os.Rename(filepath.Join(e.dir, "..tmp"), filepath.Join(e.dir, "..data")))
	}
	secret("..2026_1", 3)
	for _, name := range []string{"tls.key", "tls.crt"} {
		link := filepath.Join(e.dir, name)
		must(t, os.Symlink("..data/"+name, link+".link"))
		must(t, os.Rename(link+".link", link))
	}
	check("linked", 3)
	secret("..2026_2", 4)
	check("linked to another", 4)

	// SIGHUP takes over other paths, which no event could tell of.
	hup := func(line, file string) {
		t.Helper()
		from := e.log.size()
		must(t, e.cmd.Process.Signal(syscall.SIGHUP))
		soon(t, line+" of "+file, func() bool { return e.log.find(from, line, file) != "" })
	}
	certificate, key := e.root.issue(t, 5, time.Hour)
	e.put("other.crt", certificate)
	e.put("other.key", key)
	e.settings("other.crt", "other.key")
	hup("namespaces reloaded", "")
	check("SIGHUP", 5)

	expired, expiredKey := e.root.issue(t, 6, -time.Hour)
	_, foreign := e.root.issue(t, 7, time.Hour)
	for name, bad := range map[string][2][]byte{
		"bad-garbage": {[]byte("\x00garbage"), key}, "bad-key": {certificate, foreign},
		"bad-cut": {certificate[:len(certificate)/2], key}, "bad-expired": {expired, expiredKey},
	} {
		e.put(name+".crt", bad[0])
		e.put(name+".key", bad[1])
		e.settings(name+".crt", name+".key")
		hup("the settings were not reloaded; the old ones stay", name+".crt")
		if got := e.serial(); got != 5 {
			t.Errorf("%s: serial %d", name, got)
		}
	}
	from := e.log.size()
	e.put("other.crt", []byte("garbage")) // seen by the watch
	soon(t, "refused by the watch", func() bool {
		return e.log.find(from, "the certificates were not reloaded; the old ones stay", "other.crt") != ""
	})
	check("in the end", 5)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
