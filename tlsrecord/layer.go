package tlsrecord

import "io"

// Layer is the record protection of both directions of one connection. The zero
// value is of no use; New makes one.
type Layer struct {
	in, out half

	// err is what Open returns from now on; nil while records are taken.
	err error
	// out is used for at most this many records per key.
	recordsMax uint64
	// hand is the part of a handshake message that has come: handLen bytes.
	hand    [keyUpdateLen]byte
	handLen uint8
	// useless counts the records and messages without data since the last data.
	useless uint8
	// alert is the fatal alert to be sent; 0, close_notify, is none.
	alert uint8
	// answer says that the peer waits for a KeyUpdate.
	answer bool
	// closed says that no data may be written any more.
	closed bool
}

const (
	// recordsMax is how many records are sealed with one key, the KeyUpdate at
	// the end included; then Seal goes on to the next key. RFC 8446 section 5.5
	// allows 2^24.5 full records of AES-GCM. The other suite has no such limit
	// and shares this one.
	recordsMax = 1 << 24

	// uselessMax is how many records or messages without data may follow each
	// other; one more is UselessRecords. It bounds how often a peer can make us
	// derive keys. From crypto/tls, maxUselessRecords.
	uselessMax = 16

	alertLen     = 2 // level, code
	keyUpdateLen = 5 // type, length (3), request_update

	alertLevelWarning = 1
	alertLevelFatal   = 2

	messageKeyUpdate   = 24
	keyUpdateHeader    = "\x18\x00\x00\x01" // messageKeyUpdate, length 1
	updateNotRequested = 0
	updateRequested    = 1
)

// New makes the layer of a connection whose handshake has ended with the given
// suite. The client's secret reads, the server's writes.
//
//	Shape:  suite is 0x1301, 0x1302 or 0x1303. The secrets are
//	        client_application_traffic_secret_0 and its peer (RFC 8446 section
//	        7.1), copied. written is the number of records that writeSecret has
//	        protected already: see Written.
//	Errors: ErrSuite, ErrSecret, ErrWritten, and that of an AEAD that the
//	        process may not use (FIPS 140).
func New(suite uint16, readSecret, writeSecret []byte, written uint64) (*Layer, error) {
	s := suiteByID(suite)
	if s == nil {
		return nil, ErrSuite
	}
	if written >= recordsMax {
		return nil, ErrWritten
	}
	l := &Layer{recordsMax: recordsMax}
	l.in.suite, l.out.suite = s, s
	if err := l.in.setSecret(readSecret); err != nil {
		return nil, err
	}
	if err := l.out.setSecret(writeSecret); err != nil {
		return nil, err
	}
	l.out.seq = written
	return l, nil
}

// RecordLen returns the length of the record that begins with header, header
// included, at most RecordMax. Its errors are those of Open, and stay like them.
func (l *Layer) RecordLen(header []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := protectedLen(header)
	if err != nil {
		return 0, l.fail(err)
	}
	return n, nil
}

// Open decrypts one record and appends its application data to dst. Records
// without data append nothing: KeyUpdates, which it obeys, parts of them, empty
// ones, user_canceled.
//
//	Shape:  record is a whole record, header included; it is destroyed. dst is
//	        either record[RecordHeader:RecordHeader], then the data stays in
//	        place, or its room, up to its capacity, does not overlap record.
//	        Bytes in that room may be overwritten even when nothing is appended.
//	Owner:  nothing of record and dst is kept.
//	Errors: io.EOF for close_notify, PeerAlert for another alert, else a
//	        Violation, whose alert AppendPending then has. Every call after an
//	        error returns it again, with dst as it was.
//	Cost:   0 allocs and no copy for application data, if dst has room for
//	        len(record)-RecordHeader bytes. A KeyUpdate allocates the next keys.
//	Source: RFC 8446 sections 5.2, 5.4, 4.6.3 and 6.
func (l *Layer) Open(dst, record []byte) ([]byte, error) {
	if n, err := l.RecordLen(record); err != nil {
		return dst, err
	} else if n != len(record) {
		return dst, l.fail(RecordCut)
	}
	if l.in.spent() {
		return dst, l.fail(SequenceSpent)
	}
	// Decrypted where it is wanted, or where it lies and then copied.
	out := dst[len(dst):]
	inDst := cap(out) >= len(record)-RecordHeader
	if !inDst {
		out = record[RecordHeader:RecordHeader]
	}
	content, ok := l.in.open(out, record)
	if !ok {
		return dst, l.fail(BadMAC)
	}
	content, contentType, err := unpad(content)
	if err != nil {
		return dst, l.fail(err)
	}
	if contentType != typeApplicationData {
		if err := l.control(contentType, content); err != nil {
			return dst, l.fail(err)
		}
		return dst, nil
	}
	switch {
	case l.handLen > 0:
		return dst, l.fail(Interleaved)
	case len(content) == 0:
		if err := l.countUseless(); err != nil {
			return dst, l.fail(err)
		}
		return dst, nil
	}
	l.useless = 0
	if inDst {
		return dst[:len(dst)+len(content)], nil
	}
	return append(dst, content...), nil
}

// unpad takes padding and type off the end of TLSInnerPlaintext (RFC 8446
// section 5.4).
func unpad(plain []byte) (content []byte, contentType byte, err error) {
	if len(plain) > PlaintextMax+1 {
		return nil, 0, RecordTooLong
	}
	for i := len(plain) - 1; i >= 0; i-- {
		if plain[i] != 0 {
			return plain[:i], plain[i], nil
		}
	}
	return nil, 0, NoContentType
}

// control acts on a record that is not application data.
func (l *Layer) control(contentType byte, content []byte) error {
	switch {
	case contentType != typeHandshake && contentType != typeAlert:
		return ContentType
	case len(content) == 0:
		return EmptyContent
	case contentType == typeHandshake:
		return l.handshake(content)
	case l.handLen > 0:
		return Interleaved
	case len(content) != alertLen:
		return AlertLength
	}
	// The level says nothing in TLS 1.3 (RFC 8446 section 6).
	switch code := content[1]; code {
	case alertCloseNotify:
		return io.EOF
	case alertUserCanceled:
		return l.countUseless()
	default:
		return PeerAlert(code)
	}
}

// handshake takes the next part of a handshake message. The only one that a
// client may send after the handshake is KeyUpdate, since the server asks for
// no certificate then. It must end its record (RFC 8446 section 5.1).
func (l *Layer) handshake(part []byte) error {
	n := copy(l.hand[l.handLen:], part)
	l.handLen += uint8(n)
	have := l.hand[:l.handLen]
	switch {
	case have[0] != messageKeyUpdate:
		return HandshakeType
	case string(have[:min(len(have), 4)]) != keyUpdateHeader[:min(len(have), 4)]:
		return KeyUpdateLength
	case len(have) < keyUpdateLen:
		return nil
	case n < len(part):
		return KeyUpdateNotLast
	case have[4] != updateNotRequested && have[4] != updateRequested:
		return KeyUpdateRequest
	}
	l.handLen = 0
	if err := l.countUseless(); err != nil {
		return err
	}
	// Requests that come while an answer waits get that one: RFC 8446 section
	// 4.6.3 lets who was silent answer many with one.
	l.answer = l.answer || have[4] == updateRequested
	if l.in.rekey() != nil {
		return KeysFailed
	}
	return nil
}

func (l *Layer) countUseless() error {
	l.useless++
	if l.useless > uselessMax {
		return UselessRecords
	}
	return nil
}

// fail ends reading with err, and writing too unless it is io.EOF: the other
// direction of a connection may go on after close_notify (RFC 8446 section 6.1).
func (l *Layer) fail(err error) error {
	l.err = err
	if err == io.EOF {
		return err
	}
	if v, ok := err.(Violation); ok && !l.closed {
		l.alert = v.Alert()
	}
	l.closed = true
	return err
}
