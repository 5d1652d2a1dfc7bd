package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Bounds of what is read. Chains with a few hundred names take 20 KiB.
const (
	// fileBytesMax bounds one file, in bytes; larger ones are refused.
	fileBytesMax = 1 << 20
	// pairsMax bounds the pairs of a Store; New refuses more.
	pairsMax = 1000
)

// Pair names the PEM files of a certificate, its chain behind it, and of its
// key. Both may be the same file.
type Pair struct{ Certificate, Key string }

// FileError is what is wrong with one file, in words for an operator.
type FileError struct {
	File string
	Text string // What is wrong and what to do; one line, nothing of a key.
}

func (e *FileError) Error() string { return e.File + ": " + e.Text }

func wrong(file, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return &FileError{file, strings.Join(strings.Fields(text), " ")}
}

// input is what the files of a store held when they were read.
type input struct {
	pairs  []pairInput
	ca     []byte // Of the authorities of clients; nil without.
	digest [sha256.Size]byte
	err    error // Of the first file that could not be read.
}

type pairInput struct {
	Pair
	certificate, key []byte
	keyMode          os.FileMode
}

// read reads all files. That one cannot be read is part of the digest, so that
// a further attempt can tell whether anything has changed.
func read(pairs []Pair, ca string) input {
	var in input
	sum := sha256.New()
	one := func(path string) ([]byte, os.FileMode) {
		b, mode, err := readFile(path)
		_, _ = fmt.Fprintf(sum, "%q %d %v\n", path, len(b), err)
		_, _ = sum.Write(b)
		if in.err == nil {
			in.err = err
		}
		return b, mode
	}
	for _, p := range pairs {
		pi := pairInput{Pair: p}
		pi.certificate, _ = one(p.Certificate)
		pi.key, pi.keyMode = one(p.Key)
		in.pairs = append(in.pairs, pi)
	}
	if ca != "" {
		in.ca, _ = one(ca)
	}
	sum.Sum(in.digest[:0])
	return in
}

func readFile(path string) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, wrong(path, "cannot be opened: %v", cause(err))
	}
	defer f.Close() //nolint:errcheck // read only
	stat, err := f.Stat()
	if err != nil {
		return nil, 0, wrong(path, "cannot be read: %v", cause(err))
	}
	if !stat.Mode().IsRegular() {
		return nil, 0, wrong(path, "is no file")
	}
	b, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	switch {
	case err != nil:
		return nil, 0, wrong(path, "cannot be read: %v", cause(err))
	case len(b) > fileBytesMax:
		return nil, 0, wrong(path, "is larger than %d KiB", fileBytesMax>>10)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, 0, wrong(path, "is empty; put PEM text into it")
	}
	return b, stat.Mode(), nil
}

// cause leaves out the path, which the error says already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// contents says what the PEM blocks of a file are.
type contents struct {
	certificates, keys, blocks int
	encrypted                  bool
}

func contentsOf(b []byte) (c contents) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return c
		}
		c.blocks++
		switch {
		case block.Type == "CERTIFICATE":
			c.certificates++
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			c.keys++
			c.encrypted = c.encrypted || strings.HasPrefix(block.Type, "ENCRYPTED") ||
				strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
		}
	}
}

// parse makes a certificate of a pair.
//
//	Errors: one *FileError: which of the files is to blame, and what to do.
func (p pairInput) parse(now time.Time) (*tls.Certificate, error) {
	certificate, key := contentsOf(p.certificate), contentsOf(p.key)
	switch {
	case certificate.blocks == 0:
		return nil, wrong(p.Certificate, "holds no PEM text; "+
			"convert it: openssl x509 -inform der -in FILE -out FILE")
	case certificate.certificates == 0 && certificate.keys > 0:
		return nil, wrong(p.Certificate,
			"holds a key, not a certificate; are the two files exchanged?")
	case certificate.certificates == 0:
		return nil, wrong(p.Certificate, "holds no certificate")
	case key.blocks == 0:
		return nil, wrong(p.Key, "holds no PEM text; "+
			"convert it: openssl pkey -inform der -in FILE -out FILE")
	case key.encrypted:
		return nil, wrong(p.Key, "is encrypted; "+
			"write it without a passphrase: openssl pkey -in FILE -out FILE")
	case key.keys == 0 && key.certificates > 0:
		return nil, wrong(p.Key, "holds a certificate, not a key; are the two files exchanged?")
	case key.keys == 0:
		return nil, wrong(p.Key, "holds no private key")
	}
	pair, err := tls.X509KeyPair(p.certificate, p.key)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "does not match"),
		strings.Contains(err.Error(), "type mismatch"):
		return nil, wrong(p.Certificate, "does not belong to the key in %s; "+
			"the server's own certificate must be the first in its file", p.Key)
	case strings.Contains(err.Error(), "private key"):
		return nil, wrong(p.Key, "holds a key that cannot be used: %v", err)
	default:
		return nil, wrong(p.Certificate, "cannot be used: %v", err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, wrong(p.Certificate, "expired at %s; renew it",
			pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// warnings are what is worth a line of the log, but works.
func (p pairInput) warnings(leaf *x509.Certificate, now time.Time) []string {
	var all []string
	if p.keyMode.Perm()&0o007 != 0 {
		all = append(all, fmt.Sprintf("%s: every user of this machine may use the key "+
			"(mode %04o); chmod o= it", p.Key, p.keyMode.Perm()))
	}
	if len(namesOf(leaf)) == 0 {
		all = append(all, p.Certificate+": names no host (subjectAltName); clients refuse it")
	}
	if now.Before(leaf.NotBefore) {
		all = append(all, fmt.Sprintf("%s: is not valid before %s; is the clock right?",
			p.Certificate, leaf.NotBefore.UTC().Format(time.RFC3339)))
	}
	return all
}

// authorities reads the certificates that clients' own must be signed by.
func authorities(path string, b []byte) (*x509.CertPool, error) {
	c := contentsOf(b)
	if c.certificates == 0 {
		return nil, wrong(path, "holds no certificate of an authority in PEM text")
	}
	pool := x509.NewCertPool()
	for len(b) > 0 {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrong(path, "cannot be used: %v", err)
		}
		pool.AddCert(one)
	}
	return pool, nil
}

// keyKind names the algorithm of a certificate's key.
func keyKind(public crypto.PublicKey) string {
	switch public.(type) {
	case *ecdsa.PublicKey:
		return "ecdsa"
	case *rsa.PublicKey:
		return "rsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "other"
}
