package tlsrecord

import (
	"errors"
	"strconv"
)

// Violation is a breach of RFC 8446 by the peer. It is an error whose identity
// tests compare; the zero value is no violation and is never returned.
type Violation uint8

// The violations, each with the section of RFC 8446 that it breaks.
const (
	_                Violation = iota
	RecordType                 // 5.1: a record of a type that does not exist
	RecordVersion              // 5.1: a version other than the fixed one
	RecordTooLong              // 5.1, 5.2: over the limit of ciphertext or plaintext
	RecordCut                  // 5.1: not as long as its header says
	NotProtected               // 5: change_cipher_spec, or a record in the clear
	BadMAC                     // 5.2: altered, cut, lost, repeated or out of order
	NoContentType              // 5.4: nothing but padding
	ContentType                // 5.2: protected content of no known type
	EmptyContent               // 5.1: a handshake or alert record without content
	Interleaved                // 5.1: another record inside a handshake message
	AlertLength                // 5.1: an alert record that is not one alert
	HandshakeType              // 4.6: no client sends this after the handshake
	KeyUpdateLength            // 4.6.3: a KeyUpdate is one byte long
	KeyUpdateRequest           // 4.6.3: request_update is 0 or 1
	KeyUpdateNotLast           // 5.1: a KeyUpdate does not end its record
	UselessRecords             // no rule: more than uselessMax in a row
	SequenceSpent              // 5.3: 2^64-1 records under one key
	KeysFailed                 // no breach: the next keys could not be made
	violationCount
)

// The codes of alerts that this package sends or looks at (RFC 8446 section 6).
const (
	alertCloseNotify       = 0
	alertUnexpectedMessage = 10
	alertBadRecordMAC      = 20
	alertRecordOverflow    = 22
	alertIllegalParameter  = 47
	alertDecodeError       = 50
	alertProtocolVersion   = 70
	alertInternalError     = 80
	alertUserCanceled      = 90
)

var violations = [violationCount]struct {
	alert byte
	text  string
}{
	RecordType:       {alertUnexpectedMessage, "unknown type of record"},
	RecordVersion:    {alertProtocolVersion, "wrong version of a record"},
	RecordTooLong:    {alertRecordOverflow, "record over the limit"},
	RecordCut:        {alertDecodeError, "record is not as long as its header says"},
	NotProtected:     {alertUnexpectedMessage, "record is not protected"},
	BadMAC:           {alertBadRecordMAC, "record does not verify"},
	NoContentType:    {alertUnexpectedMessage, "record is all padding"},
	ContentType:      {alertUnexpectedMessage, "unexpected type of content"},
	EmptyContent:     {alertUnexpectedMessage, "handshake or alert record is empty"},
	Interleaved:      {alertUnexpectedMessage, "record inside a handshake message"},
	AlertLength:      {alertDecodeError, "alert record is not one alert"},
	HandshakeType:    {alertUnexpectedMessage, "handshake message is not a KeyUpdate"},
	KeyUpdateLength:  {alertDecodeError, "KeyUpdate is not one byte long"},
	KeyUpdateRequest: {alertIllegalParameter, "KeyUpdate asks for neither yes nor no"},
	KeyUpdateNotLast: {alertUnexpectedMessage, "KeyUpdate does not end its record"},
	UselessRecords:   {alertUnexpectedMessage, "too many records without data"},
	SequenceSpent:    {alertUnexpectedMessage, "too many records under one key"},
	KeysFailed:       {alertInternalError, "next keys could not be made"},
}

// Error says which rule was broken.
func (v Violation) Error() string {
	if v == 0 || v >= violationCount {
		return "tls: unknown violation"
	}
	return "tls: " + violations[v].text
}

// Alert is the code of the fatal alert that answers v (RFC 8446 section 6.2).
func (v Violation) Alert() uint8 {
	if v == 0 || v >= violationCount {
		return alertInternalError
	}
	return violations[v].alert
}

// PeerAlert is the error of a connection that the peer ended with the alert of
// this code. close_notify and user_canceled are never one.
type PeerAlert uint8

// Error has the code; the names are in RFC 8446 section 6.
func (a PeerAlert) Error() string { return "tls: peer sent alert " + strconv.Itoa(int(a)) }

// The errors of New and Written, which are no peer's fault.
var (
	// ErrSuite: not one of 0x1301, 0x1302 and 0x1303.
	ErrSuite = errors.New("tls: not a TLS 1.3 cipher suite of this package")
	// ErrSecret: a secret is not as long as the suite's hash.
	ErrSecret = errors.New("tls: traffic secret of the wrong length")
	// ErrWritten: more records than may be written with one key.
	ErrWritten = errors.New("tls: too many records written in the handshake")
	// ErrFlight: the bytes are not whole records, or a record that the
	// secret does not open follows one that it opens.
	ErrFlight = errors.New("tls: not the records of a server's handshake")
)
