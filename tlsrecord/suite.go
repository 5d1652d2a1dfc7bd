package tlsrecord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// suite is a cipher suite of RFC 8446 section B.4. All three have nonces of
// nonceLen bytes and tags of tagLen bytes.
type suite struct {
	id        uint16
	hash      func() hash.Hash
	secretLen int // bytes, the length of the hash
	keyLen    int // bytes
	aead      func(key []byte) (cipher.AEAD, error)
}

const (
	nonceLen     = 12
	tagLen       = 16
	secretLenMax = sha512.Size384
)

var suites = []*suite{
	{tls.TLS_AES_128_GCM_SHA256, sha256.New, sha256.Size, 16, newGCM},
	{tls.TLS_AES_256_GCM_SHA384, sha512.New384, sha512.Size384, 32, newGCM},
	{tls.TLS_CHACHA20_POLY1305_SHA256, sha256.New, sha256.Size, chacha20poly1305.KeySize,
		chacha20poly1305.New},
}

// suiteByID returns nil for a suite that this package does not have.
func suiteByID(id uint16) *suite {
	for _, s := range suites {
		if s.id == id {
			return s
		}
	}
	return nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expandLabel is HKDF-Expand-Label of RFC 8446 section 7.1 with an empty
// context, which is the only one that traffic keys use.
//
//	Shape:  label is at most 249 bytes, length at most 65535.
//	Errors: those of crypto/hkdf, which a secret of the right length never meets.
func (s *suite) expandLabel(secret []byte, label string, length int) ([]byte, error) {
	const prefix = "tls13 "
	info := make([]byte, 0, 2+1+len(prefix)+len(label)+1)
	info = append(info, byte(length>>8), byte(length), byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0)
	return hkdf.Expand(s.hash, secret, string(info), length)
}
