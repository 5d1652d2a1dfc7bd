package wsframe

// Violation is a breach of RFC 6455 by a peer. It is an error whose identity
// tests compare; the zero value is no violation and is never returned.
type Violation uint8

// The violations, each with the section of RFC 6455 that it breaks.
const (
	_                   Violation = iota
	ReservedBits                  // 5.2: RSV1–3 without a negotiated extension
	ReservedOpcode                // 5.2: opcodes 3–7 and 11–15
	NotMasked                     // 5.1: a client must mask
	LengthNotMinimal              // 5.2: the shortest length form must be used
	LengthTooLarge                // 5.2: the top bit of a 64-bit length
	ControlTooLong                // 5.5: control payload over 125 bytes
	ControlFragmented             // 5.5: control frame without FIN
	ContinuationNoStart           // 5.4: continuation outside a message
	MessageInterrupted            // 5.4: new data frame inside a message
	DataAfterClose                // 5.5.1: data after the sender's own Close
	CloseTooShort                 // 5.5.1: a Close payload of one byte
	CloseCodeInvalid              // 7.4: a code that must not be sent
	MessageTooLarge               // 7.4.1: over the receiver's limit (1009)
	TextNotUTF8                   // 8.1: text that is not UTF-8 (1007)
	violationCount
)

var violationTexts = [violationCount]string{
	ReservedBits:        "reserved bits set without an extension",
	ReservedOpcode:      "reserved opcode",
	NotMasked:           "client frame is not masked",
	LengthNotMinimal:    "payload length is not in its shortest form",
	LengthTooLarge:      "payload length has its top bit set",
	ControlTooLong:      "control frame over 125 bytes",
	ControlFragmented:   "control frame is fragmented",
	ContinuationNoStart: "continuation frame outside a message",
	MessageInterrupted:  "new data frame inside a fragmented message",
	DataAfterClose:      "data frame after Close",
	CloseTooShort:       "close payload of one byte",
	CloseCodeInvalid:    "close code must not be sent",
	MessageTooLarge:     "message over the limit",
	TextNotUTF8:         "text message is not UTF-8",
}

// Error says which rule was broken, without the package name: the text is
// sent to the peer as a close reason.
func (v Violation) Error() string {
	if v == 0 || v >= violationCount {
		return "unknown violation"
	}
	return violationTexts[v]
}

// CloseCode is the code of the Close frame that answers v.
func (v Violation) CloseCode() uint16 {
	switch v {
	case MessageTooLarge:
		return CodeTooLarge
	case TextNotUTF8:
		return CodeInvalidData
	}
	return CodeProtocol
}
