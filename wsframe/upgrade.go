package wsframe

import (
	"crypto/sha1"
	"encoding/base64"
)

// acceptGUID is the constant of RFC 6455 section 1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// ValidKey says whether key, the value of Sec-WebSocket-Key, is the base64
// text of 16 bytes (RFC 6455 section 4.2.1). What the bytes are is the
// client's business: hyco-ws sends a readable, predictable one.
func ValidKey(key string) bool {
	if len(key) != 24 {
		return false
	}
	var raw [18]byte
	n, err := base64.StdEncoding.Decode(raw[:], []byte(key))
	return err == nil && n == 16
}

// AcceptKey computes the value of Sec-WebSocket-Accept (RFC 6455 section
// 4.2.2): 28 characters.
func AcceptKey(key string) string { return string(appendAcceptKey(nil, key)) }

func appendAcceptKey(dst []byte, key string) []byte {
	in := make([]byte, 0, 64)
	in = append(in, key...)
	in = append(in, acceptGUID...)
	sum := sha1.Sum(in)
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendSwitching appends the 101 response to an upgrade request.
//
// It is minimal and exact, because the WebSocket client of the .NET listener
// refuses anything else: one Connection line holding only Upgrade, one
// Upgrade, one Sec-WebSocket-Accept, no subprotocol unless one was agreed, no
// extension ever. An empty protocol or trackingID leaves its line out; the
// caller has checked both for control characters.
func AppendSwitching(dst []byte, key, protocol, trackingID string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAcceptKey(dst, key)
	if protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	if trackingID != "" {
		dst = append(dst, "\r\nTrackingId: "...)
		dst = append(dst, trackingID...)
	}
	return append(dst, "\r\n\r\n"...)
}
