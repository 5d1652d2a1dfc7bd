package metrics

// CloseReason says why a connection ended. It is the one closed list from
// which the metric label, the log attribute, the closed history and the tests
// draw; adding a value without a name fails the tests of this package.
type CloseReason uint8

// The reasons. "Peer" is the client at the far end of the connection that
// ended; "mate" is the other end of the relayed connection.
const (
	// CloseUnset is the zero value and never reported.
	CloseUnset CloseReason = iota

	// ClosePeer: a complete WebSocket closing handshake, or an HTTP exchange
	// that ended as it should.
	ClosePeer
	// ClosePeerEOF: the peer ended its TCP stream without a Close frame.
	ClosePeerEOF
	// ClosePeerReset: the peer's TCP connection broke.
	ClosePeerReset
	// CloseMateLost: the other end of the relayed connection broke.
	CloseMateLost
	// CloseProtocol: the peer broke RFC 6455 (close code 1002).
	CloseProtocol
	// CloseMessageTooLarge: a control-channel message over its limit (1009).
	CloseMessageTooLarge

	// CloseTLSFailed: the TLS handshake failed, or the peer broke TLS after it.
	CloseTLSFailed
	// CloseTLSTimeout: the TLS handshake was not complete in time.
	CloseTLSTimeout
	// CloseProxyInvalid: no good header of the PROXY protocol where one is due.
	CloseProxyInvalid
	// CloseHeadInvalid: the request head could not be parsed (400).
	CloseHeadInvalid
	// CloseHeadTooLarge: the request head was over its limit (431).
	CloseHeadTooLarge
	// CloseHeadTimeout: the request head did not arrive in time (408).
	CloseHeadTimeout
	// CloseBadRequest: a request that the gateway does not serve (400, 426).
	CloseBadRequest
	// CloseUnauthorized: no token, or one that does not authorize (401).
	CloseUnauthorized
	// CloseNotFound: no such entity, or no listener for it (404).
	CloseNotFound
	// CloseForbidden: an unknown, used or expired rendezvous address (403).
	CloseForbidden
	// CloseQuota: a configured quota is used up (403, 503).
	CloseQuota
	// CloseRateLimited: too many failed handshakes from one address (429).
	CloseRateLimited
	// CloseOverload: the gateway holds as many connections as it may (503).
	CloseOverload

	// CloseRejected: the listener rejected the sender.
	CloseRejected
	// CloseRejection: the leg on which a listener rejected, answered with 410.
	CloseRejection
	// CloseAcceptTimeout: no listener accepted within the window (504).
	CloseAcceptTimeout
	// CloseListenerLost: the chosen listener went away before it accepted.
	CloseListenerLost
	// CloseSenderLost: the sender went away before it was accepted.
	CloseSenderLost

	// CloseReplaced: the same listener id registered again.
	CloseReplaced
	// CloseTokenExpired: the listener's token ran out (1008).
	CloseTokenExpired
	// CloseTokenRefused: a renewal token was refused (1008).
	CloseTokenRefused
	// CloseEntityRemoved: the entity was deleted or disabled (1001).
	CloseEntityRemoved
	// CloseListenerSilent: the listener did not answer pings.
	CloseListenerSilent

	// CloseSendStalled: the peer accepted no byte for the stall limit.
	CloseSendStalled
	// CloseHalfIdle: one direction closed, the other idle over its limit.
	CloseHalfIdle
	// CloseBodyTimeout: the parts of an HTTP body were too far apart.
	CloseBodyTimeout
	// CloseKeepAlive: an HTTP sender sent no further request for its time.
	CloseKeepAlive
	// CloseOutputFull: the bounded output queue of the peer was full.
	CloseOutputFull

	// CloseDrain: the gateway is draining (1001).
	CloseDrain
	// CloseInternal: an impossible state; a defect of the gateway.
	CloseInternal

	closeReasonCount
)

var closeReasonNames = [closeReasonCount]string{
	CloseUnset:           "unset",
	ClosePeer:            "peer",
	ClosePeerEOF:         "peer_eof",
	ClosePeerReset:       "peer_reset",
	CloseMateLost:        "mate_lost",
	CloseProtocol:        "protocol",
	CloseMessageTooLarge: "message_too_large",
	CloseTLSFailed:       "tls_failed",
	CloseTLSTimeout:      "tls_timeout",
	CloseProxyInvalid:    "proxy_invalid",
	CloseHeadInvalid:     "head_invalid",
	CloseHeadTooLarge:    "head_too_large",
	CloseHeadTimeout:     "head_timeout",
	CloseBadRequest:      "bad_request",
	CloseUnauthorized:    "unauthorized",
	CloseNotFound:        "not_found",
	CloseForbidden:       "forbidden",
	CloseQuota:           "quota",
	CloseRateLimited:     "rate_limited",
	CloseOverload:        "overload",
	CloseRejected:        "rejected",
	CloseRejection:       "rejection",
	CloseAcceptTimeout:   "accept_timeout",
	CloseListenerLost:    "listener_lost",
	CloseSenderLost:      "sender_lost",
	CloseReplaced:        "replaced",
	CloseTokenExpired:    "token_expired",
	CloseTokenRefused:    "token_refused",
	CloseEntityRemoved:   "entity_removed",
	CloseListenerSilent:  "listener_silent",
	CloseSendStalled:     "send_stalled",
	CloseHalfIdle:        "half_idle",
	CloseBodyTimeout:     "body_timeout",
	CloseKeepAlive:       "keepalive",
	CloseOutputFull:      "output_full",
	CloseDrain:           "drain",
	CloseInternal:        "internal",
}

// String returns the label of r: lower case, words joined with underscores.
func (r CloseReason) String() string {
	if r >= closeReasonCount {
		return "unknown"
	}
	return closeReasonNames[r]
}

// CloseReasons returns every reason but CloseUnset, in declaration order.
func CloseReasons() []CloseReason {
	all := make([]CloseReason, 0, closeReasonCount-1)
	for r := CloseUnset + 1; r < closeReasonCount; r++ {
		all = append(all, r)
	}
	return all
}
