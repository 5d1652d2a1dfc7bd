package namespacestore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Bounds of a master key file, in bytes without white space at its ends: 32
// are what 256 random bits have at least, in whatever form.
const (
	masterKeyMin = 32
	masterKeyMax = 4096
)

// saltBytes is the size of the random salt of a file.
const saltBytes = 32

// seal encrypts keys of rules with AES-256-GCM, under a key that HKDF-SHA256
// makes of the master key and the salt of the file. Each value is bound to its
// place, so that one cannot be moved to another rule. A nil seal opens nothing.
type seal struct{ aead cipher.AEAD }

// sealed is the place of a key.
type sealed struct{ at, rule, key string }

func (s sealed) bytes() []byte {
	return []byte(s.at + "\x00" + strings.ToLower(s.rule) + "\x00" + s.key)
}

// errSealed is that of an encrypted value that the master key does not open.
var errSealed = errors.New("the master key does not open it")

// readMasterKey reads the file of store.master_key.
func readMasterKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(f, masterKeyMax+64))
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(text)
	if len(text) < masterKeyMin || len(text) > masterKeyMax {
		return nil, fmt.Errorf("want %d–%d bytes, got %d; make one with: openssl rand -base64 32",
			masterKeyMin, masterKeyMax, len(text))
	}
	return text, nil
}

func newSeal(master, salt []byte) (*seal, error) {
	key, err := hkdf.Key(sha256.New, master, salt, "relayhouse namespace store", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &seal{aead}, nil
}

func newSalt() []byte {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	return salt
}

// close encrypts the key of a place.
func (c *seal) close(s sealed, key string) []byte {
	return c.aead.Seal(nil, nil, []byte(key), s.bytes())
}

// open returns the key of a place.
//
//	Errors: errSealed.
func (c *seal) open(s sealed, text []byte) (string, error) {
	if c == nil {
		return "", errSealed
	}
	key, err := c.aead.Open(nil, nil, text, s.bytes())
	if err != nil {
		return "", errSealed
	}
	return string(key), nil
}
