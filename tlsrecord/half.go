package tlsrecord

import (
	"crypto/cipher"
	"encoding/binary"
	"math"
	"slices"
)

// half is one direction of a connection: the keys made from one traffic secret,
// and the number of the next record.
type half struct {
	suite *suite
	aead  cipher.AEAD
	// seq counts the records under aead; it makes the nonce (RFC 8446 section
	// 5.3), and starts again at 0 with every key.
	seq   uint64
	iv    [nonceLen]byte
	nonce [nonceLen]byte // scratch: what an interface is given must not be on the stack
	// secret is what the next one is made from; its first suite.secretLen bytes
	// count. The one before is overwritten.
	secret [secretLenMax]byte
}

// setSecret makes key and iv from the secret (RFC 8446 section 7.3). After an
// error h must not be used.
func (h *half) setSecret(secret []byte) error {
	if len(secret) != h.suite.secretLen {
		return ErrSecret
	}
	key, err := h.suite.expandLabel(secret, "key", h.suite.keyLen)
	if err != nil {
		return err
	}
	iv, err := h.suite.expandLabel(secret, "iv", nonceLen)
	if err != nil {
		return err
	}
	aead, err := h.suite.aead(key)
	if err != nil {
		return err
	}
	h.aead, h.seq = aead, 0
	copy(h.iv[:], iv)
	copy(h.secret[:], secret)
	return nil
}

// rekey goes on to the next secret (RFC 8446 section 7.2). After an error h must
// not be used.
func (h *half) rekey() error {
	n := h.suite.secretLen
	next, err := h.suite.expandLabel(h.secret[:n], "traffic upd", n)
	if err != nil {
		return err
	}
	return h.setSecret(next)
}

// number returns the nonce of the next record, valid until the next call, and
// counts it. Each is used once: the caller checks that seq is not spent.
func (h *half) number() []byte {
	h.nonce = h.iv
	tail := h.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^h.seq)
	h.seq++
	return h.nonce[:]
}

// open decrypts a whole record and appends its plaintext, type and padding
// included, to dst, which may be record[RecordHeader:RecordHeader]. After false
// nothing is appended and the record is not counted.
func (h *half) open(dst, record []byte) ([]byte, bool) {
	plain, err := h.aead.Open(dst, h.number(), record[RecordHeader:], record[:RecordHeader])
	if err != nil {
		h.seq--
		return nil, false
	}
	return plain, true
}

// spent says whether no further record may be numbered.
func (h *half) spent() bool { return h.seq == math.MaxUint64 }

// appendRecord seals p as one record of the given type and appends it.
//
//	Shape: p is at most PlaintextMax bytes and does not overlap dst's room.
//	Cost:  one copy of p; 0 allocs if dst has room for len(p)+Overhead.
func (h *half) appendRecord(dst []byte, contentType byte, p []byte) []byte {
	n := len(p) + 1 + tagLen
	start := len(dst) + RecordHeader
	dst = slices.Grow(dst, RecordHeader+n)
	dst = append(dst, typeApplicationData, versionMajor, versionMinor, byte(n>>8), byte(n))
	dst = append(dst, p...)
	dst = append(dst, contentType)
	header, body := dst[start-RecordHeader:start], dst[start:]
	body = h.aead.Seal(body[:0], h.number(), body, header)
	return dst[:start+len(body)]
}
