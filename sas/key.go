package sas

import (
	"crypto/rand"
	"encoding/base64"
)

// KeyBytes is how many random bytes are in a key that NewKey makes.
const KeyBytes = 32

// NewKey makes the key of a rule, as the service does.
//
//	Shape:  base64 with padding of KeyBytes random bytes, 44 characters. Tokens
//	        are signed with that text, not with what it stands for.
//	Source: docs/protocol.md, section 6.1.
func NewKey() string {
	var b [KeyBytes]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.StdEncoding.EncodeToString(b[:])
}
