package hyco

import "time"

// Refusal is the answer to a request that the gateway does not serve, and the
// reason of a Close frame on a control channel. It is the one kind of error
// that clients see.
//
// The values below are shared: compare them by identity or by Code and do not
// change them.
type Refusal struct {
	// Status is the HTTP status of a handshake's answer; 0 if the refusal
	// only ever ends an open control channel.
	Status int
	// CloseCode is the code of the Close frame on an open control channel; 0
	// if the refusal only ever answers a handshake.
	CloseCode uint16
	// Code names the refusal in logs and tests; it is not sent.
	Code string
	// Text is what the client reads, before the tracking id is added. Client
	// test suites look for parts of these texts.
	Text string
}

// Error returns the text. It holds no secrets.
func (r *Refusal) Error() string { return r.Text }

// HTTPCode is the code in the body of the answer to a refused HTTP request. It
// depends on the status only.
//
// Source: docs/protocol.md, section 5.8.
func (r *Refusal) HTTPCode() string {
	if code := httpCodes[r.Status]; code != "" {
		return code
	}
	if r.Status >= 400 && r.Status < 500 {
		return httpCodes[400]
	}
	return httpCodes[500]
}

var httpCodes = map[int]string{
	400: "BadRequest",
	401: "TokenMissingOrInvalid",
	403: "Forbidden",
	404: "EndpointNotFound",
	405: "MethodNotAllowed",
	408: "RequestTimeout",
	409: "Conflict",
	410: "Gone",
	412: "PreconditionFailed",
	413: "ContentTooLarge",
	417: "ExpectationFailed",
	426: "UpgradeRequired",
	429: "TooManyRequests",
	431: "RequestHeaderFieldsTooLarge",
	500: "InternalServerError",
	501: "NotImplemented",
	502: "BadGateway",
	503: "ServiceUnavailable",
	504: "GatewayTimeout",
	505: "HTTPVersionNotSupported",
}

// Because returns r with a detail added to its text. The detail must hold no
// secrets; what is not printable in it is replaced when it is sent.
func (r *Refusal) Because(detail string) *Refusal {
	detailed := *r
	detailed.Text = trimPeriod(r.Text) + ": " + detail
	return &detailed
}

// Close codes of RFC 6455 section 7.4.1 that the table uses.
const (
	closeGoingAway   = 1001
	closeInvalidData = 1007
	closePolicy      = 1008
	closeInternal    = 1011
)

// RefusalIPNotAllowed is that of an address that the namespace does not let in.
// It does not say which rule it was (docs/protocol.md, section 6.10).
var RefusalIPNotAllowed = &Refusal{401, 0, "IPNotAllowed",
	"IpNotAllowed: Ip has been prevented to connect to the endpoint"}

// Tokens: everything about them is 401, because clients know no other, and on a
// control channel 1008 (docs/protocol.md, sections 6.7 and 2.8).
var (
	RefusalMissingToken = &Refusal{401, closePolicy, "MissingToken",
		"MissingToken: Relay security token is required."}
	RefusalMalformedToken = &Refusal{401, closePolicy, "MalformedToken",
		"MalformedToken: The token is malformed."}
	RefusalInvalidSignature = &Refusal{401, closePolicy, "InvalidSignature",
		"InvalidSignature: The token has an invalid signature."}
	RefusalInvalidAudience = &Refusal{401, closePolicy, "InvalidAudience",
		"InvalidAudience: The authorization header contains a token with a wrong audience."}
)

// RefusalExpiredToken is the refusal of a token that ended at expiry.
func RefusalExpiredToken(expiry time.Time) *Refusal {
	return &Refusal{401, closePolicy, "ExpiredToken",
		"ExpiredToken: The token is expired. Expiration time: '" +
			expiry.UTC().Format("2006-01-02T15:04:05Z") + "'."}
}

// RefusalMissingClaim is the refusal of a good token that does not confer
// right: Listen, Send or Manage. Status 403 is an alternative.
func RefusalMissingClaim(right string) *Refusal {
	return &Refusal{401, closePolicy, "MissingClaim",
		"Authorization failed for specified action: " + right + "."}
}

// Entities and listeners: docs/protocol.md, sections 2.1, 2.6, 3.1.
var (
	RefusalNoSuchEntity = &Refusal{404, closeGoingAway, "NoSuchEntity",
		"Endpoint does not exist"}
	RefusalNoListeners = &Refusal{404, 0, "NoListeners",
		"There are no listeners connected for the endpoint"}
	RefusalNoListenerMatches = &Refusal{404, 0, "NoListenerMatches",
		"None of the connected listeners meet the " +
			"AllowedListeners/DisallowedListeners criteria"}
	RefusalListenerQuota = &Refusal{403, 0, "ListenerQuota",
		"QuotaExceeded: MaximumListenersPerEndpoint. " +
			"The endpoint has as many listeners as it may have."}
	RefusalListenerLost = &Refusal{502, 0, "ListenerLost",
		"The listener went away before it accepted the connection."}
	RefusalListenerBusy = &Refusal{503, 0, "ListenerBusy",
		"The listener does not take its messages fast enough."}
	RefusalAcceptTimeout = &Refusal{504, 0, "AcceptTimeout",
		"The listener did not accept the connection within the allotted time."}
)

// The rendezvous connection: docs/protocol.md, section 3.2.
var (
	RefusalUnknownRendezvous = &Refusal{403, 0, "UnknownRendezvous",
		"The rendezvous address is unknown, expired or already used."}
	RefusalBadStatusCode = &Refusal{400, 0, "BadStatusCode",
		"sb-hc-statusCode must be an integer between 100 and 999."}
	RefusalRejectionRecorded = &Refusal{410, 0, "RejectionRecorded",
		"The rejection was passed on to the sender."}
)

// Requests that are wrong by themselves: docs/protocol.md, sections 1.1, 1.8,
// 2.1.
var (
	RefusalBadTarget = &Refusal{400, 0, "BadTarget",
		"The request target is neither a path nor an http or ws URL."}
	RefusalTargetByte = &Refusal{400, 0, "TargetByte",
		"The request target contains a blank, a control character or a fragment."}
	RefusalPathEscape = &Refusal{400, 0, "PathEscape",
		"The path contains a malformed percent escape."}
	RefusalQueryEscape = &Refusal{400, 0, "QueryEscape",
		"An sb-hc parameter contains a malformed percent escape."}
	RefusalNotWebSocket = &Refusal{400, 0, "NotWebSocket",
		"This endpoint is only for web-socket requests."}
	RefusalNotTLS = &Refusal{400, 0, "NotTLS",
		"This port speaks TLS, and the request came in plain text; use https:// or wss://."}
	RefusalUpgradeOutside = &Refusal{400, 0, "UpgradeOutside",
		"Web-socket requests need a path that begins with /$hc/."}
	RefusalBadUpgrade = &Refusal{400, 0, "BadUpgrade",
		"The web-socket upgrade request is malformed."}
	RefusalBadVersion = &Refusal{426, 0, "BadVersion",
		"Sec-WebSocket-Version must be 13."}
	RefusalBadHead = &Refusal{400, 0, "BadHead",
		"The request head is malformed."}
	RefusalBadHTTPVersion = &Refusal{505, 0, "BadHTTPVersion",
		"The HTTP version is not supported."}
	RefusalHeadTooLarge = &Refusal{431, 0, "HeadTooLarge",
		"The request head is too large."}
	RefusalHeadTimeout = &Refusal{408, 0, "HeadTimeout",
		"The request head did not arrive in time."}
)

// Relayed HTTP requests: docs/protocol.md, sections 5.1, 5.5, 5.7, 5.8.
var (
	RefusalMethod = &Refusal{405, 0, "Method",
		"The method is not allowed for this request."}
	RefusalExpectation = &Refusal{417, 0, "Expectation",
		"The one expectation that is understood is 100-continue."}
	RefusalTransferCoding = &Refusal{501, 0, "TransferCoding",
		"The one transfer coding that is understood is chunked."}
	RefusalBadFraming = &Refusal{400, 0, "BadFraming",
		"The framing of the request body is malformed."}
	RefusalUpgradeWithoutConnection = &Refusal{400, 0, "UpgradeWithoutConnection",
		"An Upgrade header needs Connection: upgrade."}
	RefusalBodyTimeout = &Refusal{408, 0, "BodyTimeout",
		"The request body stopped arriving. Send it without long pauses."}
	RefusalRequestAcceptTimeout = &Refusal{504, 0, "RequestAcceptTimeout",
		"The listener did not dial the address of the request within the allotted time."}
	RefusalResponseTimeout = &Refusal{504, 0, "ResponseTimeout",
		"The request was routed to the listener but the listener did not respond " +
			"in the required time."}
	RefusalListenerGone = &Refusal{502, 0, "ListenerGone",
		"The listener went away before it had answered the request."}
	RefusalBadResponse = &Refusal{502, 0, "BadResponse",
		"The listener sent a response that is not valid."}
	RefusalResponseTooLarge = &Refusal{502, 0, "ResponseTooLarge",
		"The listener sent a response body over 65536 bytes on its control channel. " +
			"It must dial the address of the request for that."}
)

// Management calls: docs/protocol.md, section 5.11. Who gets one of these has
// shown a token that is good for it.
var (
	RefusalReadOnly = &Refusal{405, 0, "ReadOnly",
		"The namespaces of this gateway are read-only. Change them where they are defined."}
	RefusalBadDescription = &Refusal{400, 0, "BadDescription",
		"The description of the entity is not valid."}
	RefusalBadPage = &Refusal{400, 0, "BadPage",
		"$skip must be a number from 0 on, and $top one from 1 on."}
	RefusalBodyTooLarge = &Refusal{413, 0, "BodyTooLarge",
		"The description of an entity has at most 65536 bytes."}
	RefusalEntityExists = &Refusal{409, 0, "EntityExists",
		"The endpoint exists already. To change it send the header If-Match: *."}
	RefusalEntityAbsent = &Refusal{404, 0, "EntityAbsent",
		"Endpoint does not exist"}
	RefusalPrecondition = &Refusal{412, 0, "Precondition",
		"The one value of If-Match that is understood is *."}
	RefusalEntityQuota = &Refusal{403, 0, "EntityQuota",
		"QuotaExceeded: The namespace has as many endpoints as it may have."}
	RefusalStoreUnavailable = &Refusal{503, 0, "StoreUnavailable",
		"The namespaces cannot be changed now."}
)

// RefusalUnknownAction is the refusal of a value of sb-hc-action, which is
// quoted cleaned and cut.
func RefusalUnknownAction(action string) *Refusal {
	const quoteMax = 64
	return &Refusal{400, 0, "UnknownAction",
		"Unsupported action '" + string(appendClean(nil, action, quoteMax)) + "'."}
}

// The state of the gateway.
var (
	RefusalTooManyFailures = &Refusal{429, 0, "TooManyFailures",
		"Too many failed handshakes from this address."}
	RefusalOverloaded = &Refusal{503, 0, "Overloaded",
		"The gateway is full."}
	RefusalDraining = &Refusal{503, closeGoingAway, "Draining",
		"The gateway is shutting down."}
	RefusalInternal = &Refusal{500, closeInternal, "Internal",
		"InternalServerError"}
)

// Ends of a control channel: docs/protocol.md, section 2.8.
var (
	RefusalReplaced = &Refusal{0, closeGoingAway, "Replaced",
		"A listener with the same id has taken over."}
	RefusalEntityRemoved = &Refusal{0, closeGoingAway, "EntityRemoved",
		"The endpoint was removed."}
	RefusalListenerSilent = &Refusal{0, closeGoingAway, "ListenerSilent",
		"The listener does not answer pings."}
	RefusalMessageInvalid = &Refusal{0, closeInvalidData, "MessageInvalid",
		"The message is not a JSON object."}
)
