package rendezvous

import "encoding/hex"

// IDSize is the size of an ID: 128 bits, beyond guessing within any window.
const IDSize = 16

// ID is the key of a pending rendezvous. It is secret: whoever presents it may
// claim the sender, as the listener's leg carries no token (docs/protocol.md,
// section 3.2). The tracking id of the sender is no substitute, senders choose
// it.
type ID [IDSize]byte

// ParseID reads the form that String writes and no other: 32 lower-case
// hexadecimal characters.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 2*IDSize {
		return ID{}, false
	}
	for i := range len(s) {
		v := hexValue(s[i])
		if v > 15 {
			return ID{}, false
		}
		id[i/2] = id[i/2]<<4 | v
	}
	return id, true
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// String returns id as 32 lower-case hexadecimal characters. It belongs into
// the rendezvous address and nowhere else: not into logs, not into metrics.
func (id ID) String() string { return hex.EncodeToString(id[:]) }
