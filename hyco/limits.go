package hyco

import "time"

// The limits and waits of the protocol. Where a limit is enforced elsewhere,
// the gateway's settings have it as their default.
const (
	// MaxAcceptMessage bounds one JSON message towards a listener, in bytes.
	// The receive buffers of the .NET and Java clients end there. AppendAccept
	// refuses more with RefusalHeadTooLarge. Source: docs/protocol.md, section
	// 1.8.
	MaxAcceptMessage = 65536

	// MaxRequestMessage bounds the JSON message with an HTTP request, in
	// bytes. It is the same limit; AppendRequest refuses more with
	// RefusalHeadTooLarge. Source: docs/protocol.md, section 1.8.
	MaxRequestMessage = MaxAcceptMessage

	// MaxControlRequest bounds that message on a control channel, in bytes; a
	// longer one travels on a rendezvous connection. The service documents it
	// for the header metadata of a request. Source: docs/protocol.md, section
	// 1.8.
	MaxControlRequest = 32 << 10

	// MaxHeaderFields bounds the fields in an accept or request message, where
	// more are RefusalHeadTooLarge, and in a response, where they are
	// RefusalBadResponse. It keeps the search for duplicates short.
	MaxHeaderFields = 256

	// MaxListenerMessage bounds one JSON message from a listener, in bytes; a
	// longer one ends the control channel with 1009. Source: docs/protocol.md,
	// section 1.8.
	MaxListenerMessage = 256 << 10

	// MaxHead bounds the head of a handshake, in bytes; a longer one is
	// RefusalHeadTooLarge. Source: docs/protocol.md, section 1.8.
	MaxHead = 32 << 10

	// MaxReasonPhrase bounds a reason phrase, in bytes. Source:
	// docs/protocol.md, section 1.7.
	MaxReasonPhrase = 512

	// MaxCloseText bounds the reason in a Close frame, in bytes. RFC 6455
	// section 5.5: 125 bytes of payload, two of them the code.
	MaxCloseText = 123

	// MaxTrackingID bounds a tracking id that a client chose, in characters; a
	// longer one is replaced. Source: docs/protocol.md, section 1.6.
	MaxTrackingID = 128

	// AcceptWindow is how long a rendezvous address lives. Source:
	// docs/protocol.md, section 3.2.
	AcceptWindow = 30 * time.Second

	// ListenersPerEntity is how many listeners an entity takes; the next one
	// is RefusalListenerQuota. Source: docs/protocol.md, section 2.6.
	ListenersPerEntity = 25
)

// Headers with a meaning in the protocol: docs/protocol.md, section 1.3.
const (
	// HeaderToken carries a client's token. No listener ever sees it.
	HeaderToken = "ServiceBusAuthorization"
	// HeaderAllowedListeners and HeaderDisallowedListeners restrict a sender's
	// request to some listeners: their ids, separated by commas.
	HeaderAllowedListeners    = "Microsoft-Relay-AllowedListeners"
	HeaderDisallowedListeners = "Microsoft-Relay-DisallowedListeners"
	// HeaderTrackingID is in every answer to a handshake.
	HeaderTrackingID = "TrackingId"
	// HeaderProcessAt, with the value ServiceBus, makes a request one for the
	// gateway itself: see Entry.
	HeaderProcessAt = "X-PROCESS-AT"
)
