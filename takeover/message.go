package takeover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Version is that of the protocol. Processes of different versions do not take
// over from each other.
const Version = 1

// Bounds of one packet. A head is at most 64 KiB (limits.head_bytes) and what
// was read behind it 64 KiB; Linux takes packets of up to 208 KiB by default
// (net.core.wmem_default) and 253 descriptors (SCM_MAX_FD).
const (
	MessageMax     = 192 << 10
	DescriptorsMax = 240
	// keysBytesMax bounds the names of entities in one away message.
	keysBytesMax = 48 << 10
)

// Kind says what a message is; the talk is in the package's comment.
type Kind string

// The kinds.
const (
	KindHello      Kind = "hello"
	KindSockets    Kind = "sockets"
	KindRefused    Kind = "refused"
	KindReady      Kind = "ready"
	KindAway       Kind = "away"
	KindGo         Kind = "go"
	KindAccepting  Kind = "accepting"
	KindConnection Kind = "connection"
	KindRetire     Kind = "retire"
	KindRetired    Kind = "retired"
	KindAbsent     Kind = "absent"
	KindSettled    Kind = "settled"
	KindBye        Kind = "bye"
)

// Socket names one listening socket. Its descriptor comes with the message, in
// the same order.
type Socket struct {
	Name    string `json:"name"`    // http, https, admin
	Address string `json:"address"` // as in the settings; port 0 stays 0
	Bound   string `json:"bound"`   // as it is
}

// Message is one packet. What a kind does not need is empty.
type Message struct {
	Kind    Kind     `json:"kind"`
	Version int      `json:"version,omitempty"` // hello
	PID     int      `json:"pid,omitempty"`     // hello, sockets
	Error   string   `json:"error,omitempty"`   // refused: what to tell the operator
	Sockets []Socket `json:"sockets,omitempty"` // sockets
	More    bool     `json:"more,omitempty"`    // sockets: others follow
	Keys    []string `json:"keys,omitempty"`    // away: entities
	Key     string   `json:"key,omitempty"`     // retire, retired, absent: an entity

	// connection: the client's address, whether it came over TLS, and, behind
	// the JSON object, what was read of it.
	Peer   netip.AddrPort `json:"peer,omitzero"`
	Secure bool           `json:"secure,omitempty"`
	Bytes  []byte         `json:"-"`

	// Descriptors came with the message or go with it: one per socket, one for a
	// connection. Whoever has the message owns them.
	Descriptors []int `json:"-"`
}

// Errors of what comes from the other side.
var (
	ErrMessage     = errors.New("takeover: malformed message")
	ErrDescriptors = errors.New("takeover: wrong number of descriptors")
)

// Append writes m, without its descriptors.
//
//	Errors: it would be longer than MessageMax.
func (m *Message) Append(dst []byte) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return dst, fmt.Errorf("takeover: %w", err)
	}
	if len(text)+1+len(m.Bytes) > MessageMax {
		return dst, fmt.Errorf("takeover: message of %d bytes", len(text)+1+len(m.Bytes))
	}
	dst = append(append(dst, text...), '\n')
	return append(dst, m.Bytes...), nil
}

// Parse reads one packet that came with so many descriptors. Bytes is a part of
// p. Unknown members are ignored, unknown kinds are not an error: the caller
// decides.
//
//	Errors: ErrMessage, ErrDescriptors.
func Parse(p []byte, descriptors int) (Message, error) {
	var m Message
	text, rest, ok := bytes.Cut(p, []byte{'\n'})
	if !ok || len(p) > MessageMax || json.Unmarshal(text, &m) != nil || m.Kind == "" {
		return Message{}, ErrMessage
	}
	want := 0
	switch m.Kind {
	case KindSockets:
		want = len(m.Sockets)
	case KindConnection:
		want = 1
		if !m.Peer.IsValid() {
			return Message{}, ErrMessage
		}
	case KindRetire, KindRetired, KindAbsent:
		if m.Key == "" {
			return Message{}, ErrMessage
		}
	}
	if descriptors != want {
		return Message{}, ErrDescriptors
	}
	if m.Kind == KindConnection {
		m.Bytes = rest
	} else if len(rest) > 0 {
		return Message{}, ErrMessage
	}
	return m, nil
}

// Away splits keys over messages that fit.
func Away(keys []string) []Message {
	var all []Message
	for len(keys) > 0 {
		n, size := 0, 0
		for n < len(keys) && (n == 0 || size+len(keys[n]) < keysBytesMax) {
			size += len(keys[n])
			n++
		}
		all = append(all, Message{Kind: KindAway, Keys: keys[:n]})
		keys = keys[n:]
	}
	return all
}
