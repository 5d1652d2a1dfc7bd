package hyco

import (
	"bytes"
	"encoding/json"
)

// MessageKind is the command of a listener's message: its first member.
type MessageKind uint8

// The kinds. Unknown messages and injectFault are logged and ignored; the
// control channel stays open (docs/protocol.md, section 2.2).
const (
	MessageUnknown MessageKind = iota
	MessageRenewToken
	MessageResponse
	MessageInjectFault
)

var messageNames = [...]string{"unknown", "renewToken", "response", "injectFault"}

// String returns the member name that stands for k, or "unknown".
func (k MessageKind) String() string {
	if int(k) >= len(messageNames) {
		k = MessageUnknown
	}
	return messageNames[k]
}

// ListenerMessage is one JSON message from a listener.
type ListenerMessage struct {
	Kind MessageKind
	// Token is the new token of MessageRenewToken. It is empty when the
	// message holds none or something else than text; no authorizer takes
	// that, as none takes other garbage.
	Token string
	// Response is the value of MessageResponse, unread: see ParseResponse.
	Response json.RawMessage
	// Name is the first member of MessageUnknown, cleaned and cut for a log.
	Name string
}

// ParseListenerMessage reads a text message of a control channel.
//
//	Shape:  {"renewToken":{"token":"…"}}, {"response":{…}},
//	        {"injectFault":{…}} or any other object. The first member decides;
//	        what follows is ignored.
//	Errors: RefusalMessageInvalid if p is not a JSON object.
//	Owner:  Response is a part of p.
//	Source: docs/protocol.md, sections 2.2 and 2.5.
func ParseListenerMessage(p []byte) (ListenerMessage, error) {
	var m ListenerMessage
	text := bytes.Trim(p, jsonBlanks)
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return m, RefusalMessageInvalid
	}
	members := readInside(string(text))
	if !members.more() {
		return m, nil
	}
	name := scalar(members.name())
	at := members.at
	end := at + len(members.value())
	for k, known := range messageNames {
		if name == known {
			m.Kind = MessageKind(k)
		}
	}
	switch m.Kind {
	case MessageRenewToken:
		var renewal struct{ Token string }
		if json.Unmarshal(text[at:end], &renewal) == nil {
			m.Token = renewal.Token
		}
	case MessageResponse:
		m.Response = text[at:end]
	case MessageUnknown:
		const nameMax = 64
		m.Name = string(appendClean(nil, name, nameMax))
	}
	return m, nil
}
