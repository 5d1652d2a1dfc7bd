package wsframe

import "encoding/binary"

// Close codes of RFC 6455 section 7.4.1 that the gateway itself sends.
const (
	CodeNormal      uint16 = 1000
	CodeGoingAway   uint16 = 1001
	CodeProtocol    uint16 = 1002
	CodeInvalidData uint16 = 1007
	CodePolicy      uint16 = 1008
	CodeTooLarge    uint16 = 1009
	CodeInternal    uint16 = 1011

	// CodeNone stands for a Close frame without a payload. It never goes on
	// the wire (RFC 6455 section 7.1.5).
	CodeNone uint16 = 1005
)

// CloseReasonMax is the longest close reason in bytes: a control payload less
// the two bytes of the code.
const CloseReasonMax = ControlMax - 2

// ParseClose splits the payload of a Close frame. An empty payload is
// CodeNone. The reason is not checked for UTF-8: on a relayed connection it
// belongs to the end points.
//
//	Errors: CloseTooShort, CloseCodeInvalid.
func ParseClose(payload []byte) (code uint16, reason []byte, err error) {
	switch len(payload) {
	case 0:
		return CodeNone, nil, nil
	case 1:
		return 0, nil, CloseTooShort
	}
	code = binary.BigEndian.Uint16(payload)
	if !sendable(code) {
		return 0, nil, CloseCodeInvalid
	}
	return code, payload[2:], nil
}

// sendable says whether a close code may appear on the wire: the registered
// ones, the range of libraries (3000–3999) and of applications (4000–4999).
func sendable(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code == 1004 || code == 1005 || code == 1006:
		return false
	}
	return code >= 1000 && code <= 1014
}

// AppendClose appends a Close frame. CodeNone gives an empty one. The reason
// is cut to CloseReasonMax bytes, at a rune's start.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == CodeNone {
		return AppendHeader(dst, true, OpClose, 0)
	}
	if len(reason) > CloseReasonMax {
		cut := CloseReasonMax
		for cut > 0 && reason[cut]&0xC0 == 0x80 {
			cut--
		}
		reason = reason[:cut]
	}
	dst = AppendHeader(dst, true, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}
