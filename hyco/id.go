package hyco

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// NewTrackingID returns a random GUID in its 36-character form.
func NewTrackingID() string {
	var g [16]byte
	_, _ = rand.Read(g[:])  // crypto/rand says that it never fails
	g[6] = g[6]&0x0f | 0x40 // version 4 of RFC 9562
	g[8] = g[8]&0x3f | 0x80 // its variant
	text := []byte("00000000-0000-0000-0000-000000000000")
	hex.Encode(text[0:], g[0:4])
	hex.Encode(text[9:], g[4:6])
	hex.Encode(text[14:], g[6:8])
	hex.Encode(text[19:], g[8:10])
	hex.Encode(text[24:], g[10:])
	return string(text)
}

// WithGateway marks a tracking id with the number of the gateway that handles
// it: {id}_G{n}. A second gateway appends its own mark.
//
// Source: docs/protocol.md, section 1.6.
func WithGateway(id string, gateway int) string {
	return id + "_G" + strconv.Itoa(gateway)
}

// CleanID decides on the tracking id of a client that sent an sb-hc-id.
//
//	Shape:  1 to MaxTrackingID characters of [A-Za-z0-9_.:-] stay as they are;
//	        anything else is replaced by a new GUID. ok says which.
//	        An id is for tracing: clients repeat them, so it is no key.
//	Source: docs/protocol.md, section 1.6.
func CleanID(sent string) (id string, ok bool) {
	if sent == "" || len(sent) > MaxTrackingID {
		return NewTrackingID(), false
	}
	for i := range len(sent) {
		switch c := sent[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == ':', c == '-':
		default:
			return NewTrackingID(), false
		}
	}
	return sent, true
}
