package hyco

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
)

// NewTrackingID returns a random GUID in its 36-character form.
func NewTrackingID() string {
	var g [16]byte
	_, _ = rand.Read(g[:])  // crypto/rand says that it never fails
	g[6] = g[6]&0x0f | 0x40 // version 4 of RFC 9562
	g[8] = g[8]&0x3f | 0x80 // its variant
	return formatGUID(g)
}

func formatGUID(g [16]byte) string {
	var digits [32]byte
	hex.Encode(digits[:], g[:])
	text := make([]byte, 0, 36)
	for _, c := range digits {
		if isDash(len(text)) {
			text = append(text, '-')
		}
		text = append(text, c)
	}
	return string(text)
}

// isDash says whether the character at i of a GUID is a dash.
func isDash(i int) bool { return i == 8 || i == 13 || i == 18 || i == 23 }

// PackedID is a tracking id that takes 24 bytes and nothing else where it is a
// GUID with the mark of its gateway, as nearly all are.
type PackedID struct {
	guid [16]byte
	text *string // the id, if it is none
}

// PackID packs a tracking id of the gateway with the number gateway.
func PackID(id string, gateway int) PackedID {
	if text, marked := strings.CutSuffix(id, mark(gateway)); marked && len(text) == 36 {
		var p PackedID
		var digits [32]byte
		n := 0
		for i := range len(text) {
			switch c := text[i]; {
			case isDash(i) && c == '-':
			case !isDash(i) && ('0' <= c && c <= '9' || 'a' <= c && c <= 'f'):
				digits[n] = c
				n++
			default:
				return PackedID{text: new(id)}
			}
		}
		_, _ = hex.Decode(p.guid[:], digits[:]) // hexadecimal digits only
		return p
	}
	return PackedID{text: new(id)}
}

// Unpack is the id that was packed for the same gateway.
func (p PackedID) Unpack(gateway int) string {
	if p.text != nil {
		return *p.text
	}
	return WithGateway(formatGUID(p.guid), gateway)
}

func mark(gateway int) string { return "_G" + strconv.Itoa(gateway) }

// WithGateway marks a tracking id with the number of the gateway that handles
// it: {id}_G{n}. A second gateway appends its own mark.
//
// Source: docs/protocol.md, section 1.6.
func WithGateway(id string, gateway int) string {
	return id + mark(gateway)
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
