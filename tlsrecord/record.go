package tlsrecord

// Sizes of records in bytes (RFC 8446 sections 5.1 and 5.2). Open answers a
// longer record with RecordTooLong.
const (
	// RecordHeader is the header: type, version (2), length (2).
	RecordHeader = 5
	// PlaintextMax is the most data in one record.
	PlaintextMax = 1 << 14
	// RecordMax is the longest record of TLS 1.3, header included.
	RecordMax = RecordHeader + PlaintextMax + 256
	// RecordMaxTLS12 is the longest record of TLS 1.2, header included
	// (RFC 5246 section 6.2.3).
	RecordMaxTLS12 = RecordHeader + PlaintextMax + 2048
	// Overhead is what Seal adds to each record: header, type, tag.
	Overhead = RecordHeader + 1 + tagLen
	// PendingMax is the most that AppendPending appends: one KeyUpdate.
	PendingMax = Overhead + keyUpdateLen
	// CloseMax is the most that AppendCloseNotify appends: an alert, with an
	// answer in front.
	CloseMax = PendingMax + Overhead + alertLen
)

// Types of records and of their content (RFC 8446 section B.1).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeApplicationData  = 23
)

// The version in every header after the first hello (RFC 8446 section 5.1).
const versionMajor, versionMinor = 3, 3

// SealMax is the most bytes that Seal appends for n bytes of data: the records,
// what was pending, and a KeyUpdate when the key is spent. It holds for n below
// recordsMax full records, 256 GiB, since beyond a second key is spent.
func SealMax(n int) int {
	return n + (n+PlaintextMax-1)/PlaintextMax*Overhead + 2*PendingMax
}

// RecordLen returns the length of the record that begins with header, header
// included. It is for any time of a connection, TLS 1.2 and handshakes included,
// and takes what one of them allows: the four types, versions 3.x, and the
// lengths of RFC 5246, up to RecordMaxTLS12. After a TLS 1.3 handshake
// Layer.RecordLen is stricter.
//
//	Shape:  header is at least RecordHeader bytes; the rest is not looked at.
//	Errors: RecordCut for a shorter one, RecordType, RecordVersion,
//	        RecordTooLong.
func RecordLen(header []byte) (int, error) {
	switch {
	case len(header) < RecordHeader:
		return 0, RecordCut
	case header[0] < typeChangeCipherSpec || header[0] > typeApplicationData:
		return 0, RecordType
	case header[1] != versionMajor:
		return 0, RecordVersion
	}
	n := RecordHeader + int(header[3])<<8 + int(header[4])
	if n > RecordMaxTLS12 {
		return 0, RecordTooLong
	}
	return n, nil
}

// protectedLen is RecordLen for what may come after a TLS 1.3 handshake.
func protectedLen(header []byte) (int, error) {
	n, err := RecordLen(header)
	switch {
	case err != nil:
		return 0, err
	case header[0] != typeApplicationData:
		return 0, NotProtected
	case header[2] != versionMinor:
		return 0, RecordVersion
	case n > RecordMax:
		return 0, RecordTooLong
	}
	return n, nil
}
