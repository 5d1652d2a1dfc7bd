package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The files of an Authority in its directory.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
)

// Lives of what an Authority is and makes.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// authorityRest is what a kept authority must have left; else it is made
	// anew, and whoever trusts it must be told again.
	authorityRest = 30 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	// clockSkew is how much clocks of machines in one room may differ.
	clockSkew = time.Hour
	// lockWait bounds the wait for another process that makes the same files,
	// which takes it milliseconds.
	lockWait = 10 * time.Second
)

// Authority is a certificate authority of one machine, for development: it is
// kept in a directory, so that it needs to be trusted only once.
type Authority struct {
	// File is the certificate in PEM text, for clients to trust.
	File string
	// Notice is what is to be said about the files; empty if nothing is.
	Notice string

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// OpenAuthority returns the authority in a directory, which must exist. It is
// made when there is none, none that can be read, or one that expires within
// authorityRest. Several processes may do so at once: one makes it, all have it.
//
//	Errors: the files cannot be written, or somebody holds the lock.
func OpenAuthority(dir string) (*Authority, error) {
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a := &Authority{File: filepath.Join(dir, authorityFile)}
	keyFile := filepath.Join(dir, authorityKeyFile)
	err = a.read(keyFile)
	if err == nil {
		return a, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		a.Notice = fmt.Sprintf("the local CA is made anew, trust it again: %v", err)
	}
	if err := a.make(); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", keyFile, err)
	}
	// The key first: a certificate without its key would be found unreadable.
	err = errors.Join(
		replace(keyFile, "PRIVATE KEY", der, 0o600),
		replace(a.File, "CERTIFICATE", a.certificate.Raw, 0o644),
	)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// read takes the files of an earlier start.
//
//	Errors: fs.ErrNotExist if there is none of them; else why they are no good.
func (a *Authority) read(keyFile string) error {
	_, err1 := os.Lstat(a.File)
	_, err2 := os.Lstat(keyFile)
	if errors.Is(err1, fs.ErrNotExist) && errors.Is(err2, fs.ErrNotExist) {
		return fs.ErrNotExist
	}
	in := read([]Pair{{a.File, keyFile}}, "")
	if in.err != nil {
		return in.err
	}
	pair, err := in.pairs[0].parse(time.Now())
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	switch {
	case !ok || !pair.Leaf.IsCA:
		return wrong(a.File, "is not of this program")
	case time.Until(pair.Leaf.NotAfter) < authorityRest:
		return wrong(a.File, "expires at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case in.pairs[0].keyMode.Perm()&0o077 != 0:
		a.Notice = keyFile + " could be read by others; it is private again"
		if err := os.Chmod(keyFile, 0o600); err != nil {
			return wrong(keyFile, "cannot be made private: %v", cause(err))
		}
	}
	a.certificate, a.key = pair.Leaf, key
	return nil
}

func (a *Authority) make() error {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{
			Organization: []string{"Relayhouse"},
			CommonName:   shorten("Relayhouse local CA " + host + " " + now.Format(time.DateOnly)),
		},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // It signs servers, not authorities.
	}
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	a.certificate, err = sign(template, template, &a.key.PublicKey, a.key)
	return err
}

// shorten keeps a common name within its 64 characters (RFC 5280, ub-common-name).
func shorten(name string) string { return name[:min(len(name), 64)] }

// Leaf makes a certificate for a server, with a new key: for localhost, names
// below it, the loopback addresses, the name of this machine, and more names
// or addresses. It lives 90 days, but no longer than the authority.
func (a *Authority) Leaf(more ...string) (tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Relayhouse"}, CommonName: "localhost"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              earlier(now.Add(leafLife), a.certificate.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	all := []string{"localhost", "*.localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		all = append(all, host)
	}
	seen := make(map[string]bool)
	for _, name := range append(all, more...) {
		name = normalName(name)
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		if address, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	leaf, err := sign(template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.certificate.Raw},
		PrivateKey: key, Leaf: leaf}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sign makes a certificate with a random serial number and key identifiers.
func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) (
	*x509.Certificate, error,
) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	id := sha256.Sum256(spki)
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	template.SubjectKeyId = id[:20]
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// lock keeps other processes out of a directory, by a lock on itself.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, wrong(dir, "cannot be opened: %v", cause(err))
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(10 * time.Millisecond) {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil // Closing unlocks.
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(end) {
			_ = d.Close()
			return nil, wrong(dir, "cannot be locked: %v", err)
		}
	}
}

// replace writes a file of one PEM block in one step.
func replace(file, kind string, der []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*")
	if err != nil {
		return wrong(file, "cannot be written: %v", cause(err))
	}
	err = errors.Join(
		pem.Encode(tmp, &pem.Block{Type: kind, Bytes: der}),
		tmp.Chmod(mode),
		tmp.Close(),
	)
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return wrong(file, "cannot be written: %v", cause(err))
	}
	return nil
}
