package relayclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/relayhouse/relayhouse/hyco"
)

// HandshakeError is the gateway's refusal of a handshake: that of a listener or
// a sender, in which case it may be the listener's own rejection.
type HandshakeError struct {
	// Status is the HTTP status. 401 says that the token does not do, 404
	// that there is no such entity or that it has no listener; others:
	// docs/protocol.md, sections 2.1 and 3.1.
	Status int
	// Text is the reason phrase, in the gateway's or the listener's words; at
	// most 512 bytes of printable ASCII.
	Text string
	// TrackingID is what the gateway's log calls this handshake; empty if it
	// did not say.
	TrackingID string
}

// Error says status and text, which has the tracking id if the gateway put it
// there.
func (e *HandshakeError) Error() string {
	text := fmt.Sprintf("handshake refused: %d %s", e.Status, e.Text)
	if e.TrackingID != "" && !strings.Contains(text, e.TrackingID) {
		text += ". TrackingId:" + e.TrackingID
	}
	return text
}

func handshakeError(res *http.Response) *HandshakeError {
	_, text, _ := strings.Cut(res.Status, " ")
	e := &HandshakeError{Status: res.StatusCode, Text: hyco.CleanPhrase(text)}
	if e.Text == "" {
		e.Text = http.StatusText(e.Status)
	}
	id := res.Header.Get(hyco.HeaderTrackingID)
	if id == "" {
		_, after, _ := strings.Cut(text, "TrackingId:")
		id = after[:len(after)-len(strings.TrimLeft(after, idCharacters))]
	}
	if _, ok := hyco.CleanID(id); ok {
		e.TrackingID = id
	}
	return e
}

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// CloseError is a Close frame of the other end, or of the gateway, that is no
// orderly end: another code than 1000 or none.
type CloseError struct {
	Code   int    // docs/protocol.md, sections 2.8 and 4.4
	Reason string // in their words; at most 123 bytes
}

// Error says code and reason.
func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %q", e.Code, e.Reason) }

// The errors of the WebSocket layer.
var (
	// ErrProtocol is wrapped by errors that say what the gateway did against
	// the protocol.
	ErrProtocol = errors.New("relayclient: protocol violation")
	// ErrTooLarge: a message of the gateway over the limit.
	ErrTooLarge = fmt.Errorf("%w: message too large", ErrProtocol)
	// ErrWriteClosed: Write behind CloseWrite.
	ErrWriteClosed = errors.New("relayclient: write behind CloseWrite")
)
