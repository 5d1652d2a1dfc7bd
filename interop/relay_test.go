package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// tokenHeader carries a token in the way of all official clients.
func tokenHeader(token string) http.Header {
	return http.Header{"ServiceBusAuthorization": {token}}
}

// senderHeader is the token that senders of the entity need, if any.
func senderHeader(entity string) http.Header {
	if entity == emulator.Anonymous {
		return http.Header{}
	}
	return tokenHeader(emulator.Token(entity))
}

// control is a listener: its control channel, and the library that it uses for
// that and for its rendezvous connections.
type control struct {
	conn
	peer peer
}

// accept is the content of an accept message (docs/protocol.md, section 2.3).
type accept struct {
	Address        string
	ID             string
	ConnectHeaders map[string]string
	RemoteEndpoint struct {
		Address string
		Port    int
	}
}

// header returns one of the sender's headers; names have no case.
func (a accept) header(name string) string {
	for sent, value := range a.ConnectHeaders {
		if strings.EqualFold(sent, name) {
			return value
		}
	}
	return ""
}

// tryListen asks for a registration.
func tryListen(g *emulator.Gateway, p peer, path, query, token string) (
	*control, *answer, error) {
	address := g.URL(path, "sb-hc-action=listen"+query)
	c, answer, err := p.dial(address, tokenHeader(token))
	if err != nil {
		return nil, answer, err
	}
	return &control{c, p}, answer, nil
}

// listen registers a listener for the length of the test.
func listen(t *testing.T, g *emulator.Gateway, p peer, entity string) *control {
	t.Helper()
	return listenWith(t, g, p, entity, "", emulator.Token(entity))
}

func listenWith(t *testing.T, g *emulator.Gateway, p peer, entity, query, token string) *control {
	t.Helper()
	l, answer, err := tryListen(g, p, entity, query, token)
	if err != nil {
		t.Fatalf("listen on %q: %v, answer %+v", entity, err, answer)
	}
	t.Cleanup(l.Abort)
	return l
}

// next waits for the next accept message.
func (l *control) next(t *testing.T) accept {
	t.Helper()
	a, err := l.tryNext()
	if err != nil {
		t.Fatalf("waiting for an accept message: %v", err)
	}
	return a
}

// tryNext is next for goroutines that are not the test's own.
func (l *control) tryNext() (accept, error) {
	kind, message, err := l.Read()
	if err != nil {
		return accept{}, err
	}
	if kind != framer.Text {
		return accept{}, fmt.Errorf("a message of kind %d, want text", kind)
	}
	return parseAccept(message)
}

// parseAccept reads an accept message: one object with the one member accept.
func parseAccept(message []byte) (accept, error) {
	var command map[string]json.RawMessage
	if err := json.Unmarshal(message, &command); err != nil {
		return accept{}, fmt.Errorf("control message %q: %w", message, err)
	}
	if len(command) != 1 || command["accept"] == nil {
		return accept{}, fmt.Errorf("control message %q, want one member, accept", message)
	}
	var a accept
	if err := json.Unmarshal(command["accept"], &a); err != nil {
		return accept{}, fmt.Errorf("accept message %q: %w", message, err)
	}
	return a, nil
}

// accept dials the rendezvous address.
func (l *control) accept(t *testing.T, a accept, subprotocols ...string) conn {
	t.Helper()
	c, answer, err := l.peer.dial(a.Address, nil, subprotocols...)
	if err != nil {
		t.Fatalf("accept at %s: %v, answer %+v", a.Address, err, answer)
	}
	t.Cleanup(c.Abort)
	return c
}

// echoAll accepts every sender and sends its messages back, until the control
// channel ends. What goes wrong shows at the senders.
func (l *control) echoAll() {
	for {
		a, err := l.tryNext()
		if err != nil {
			return
		}
		go func() {
			c, _, err := l.peer.dial(a.Address, nil)
			if err != nil {
				return
			}
			defer c.Abort()
			for {
				kind, message, err := c.Read()
				if err != nil || c.Write(kind, message) != nil {
					return
				}
			}
		}()
	}
}

// outcome is how a sender's handshake ended.
type outcome struct {
	conn   conn
	answer *answer
	err    error
}

// connecting starts a sender; its handshake ends when the listener decides.
func connecting(p peer, address string, header http.Header, subprotocols ...string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		c, answer, err := p.dial(address, header, subprotocols...)
		done <- outcome{c, answer, err}
	}()
	return done
}

// connected waits for a sender to be connected.
func connected(t *testing.T, sender <-chan outcome) conn {
	t.Helper()
	o := <-sender
	if o.err != nil {
		t.Fatalf("connect: %v, answer %+v", o.err, o.answer)
	}
	t.Cleanup(o.conn.Abort)
	return o.conn
}

// refused waits for a sender to be refused.
func refused(t *testing.T, sender <-chan outcome) *answer {
	t.Helper()
	o := <-sender
	if o.err == nil {
		o.conn.Abort()
		t.Fatal("connected, want a refusal")
	}
	if o.answer == nil {
		t.Fatalf("no answer: %v", o.err)
	}
	return o.answer
}

// relay joins a sender and a listener over an entity.
func relay(t *testing.T, g *emulator.Gateway, sender, listener peer, entity string) (
	s, l conn, c *control) {
	t.Helper()
	c = listen(t, g, listener, entity)
	s, l = relayOn(t, g, c, sender, entity)
	return s, l, c
}

// relayOn joins a new sender with a registered listener.
func relayOn(t *testing.T, g *emulator.Gateway, c *control, sender peer, entity string) (
	s, l conn) {
	t.Helper()
	pending := connecting(sender, g.URL(entity, "sb-hc-action=connect"), senderHeader(entity))
	l = c.accept(t, c.next(t))
	return connected(t, pending), l
}

// rawRelay is relay with the framer on both sides, frame by frame.
func rawRelay(t *testing.T, g *emulator.Gateway, entity string) (s, l *framer.Conn, c *control) {
	t.Helper()
	sender, listener, c := relay(t, g, framerPeer, framerPeer, entity)
	return raw(sender), raw(listener), c
}

func raw(c conn) *framer.Conn { return c.(*framerConn).c }

// transfer sends one message and wants the same at the other end.
func transfer(t *testing.T, from, to conn, kind int, message []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- from.Write(kind, message) }()
	gotKind, got, err := to.Read()
	if err != nil {
		t.Fatalf("read: %v (write: %v)", err, <-sent)
	}
	if err := <-sent; err != nil {
		t.Fatalf("write: %v", err)
	}
	if gotKind != kind || !bytes.Equal(got, message) {
		t.Fatalf("got kind %d and %d bytes, want kind %d and the %d bytes sent",
			gotKind, len(got), kind, len(message))
	}
}

// wantClosed reads the end of a connection, compares its code and returns the
// reason.
func wantClosed(t *testing.T, c conn, code int) (reason string) {
	t.Helper()
	_, message, err := c.Read()
	if err == nil {
		t.Fatalf("a message of %d bytes, want the end", len(message))
	}
	var end closed
	if !errors.As(err, &end) || end.code != code {
		t.Fatalf("%v, want the end with code %d", err, code)
	}
	return end.reason
}

// pattern returns n bytes that tell their place.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// tail is what follows the message in every refusal (docs/protocol.md,
// section 1.7); the group is the path.
var tail = regexp.MustCompile(`[^.]\. TrackingId:[0-9a-fA-F-]{36}(?:_G\d+)+, ` +
	`SystemTracker:sb://[^/, ]+/(.*), Timestamp:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)

// wantRefusal checks a refusal by the gateway: status, text, path, tracking id
// (docs/protocol.md, sections 1.6 and 1.7) and no Via (item 69).
func wantRefusal(t *testing.T, a *answer, status int, text, path string) {
	t.Helper()
	if a == nil {
		t.Fatal("no answer")
	}
	if a.status != status || !strings.Contains(a.reason, text) {
		t.Errorf("status %d %q, want %d and %q", a.status, a.reason, status, text)
	}
	match := tail.FindStringSubmatch(a.reason)
	if match == nil {
		t.Errorf("reason phrase %q does not end in tracking id, tracker and time", a.reason)
	} else if !strings.Contains(match[1], path) {
		t.Errorf("reason phrase %q does not name the path %q", a.reason, path)
	}
	if len(a.reason) > 512 {
		t.Errorf("the reason phrase has %d bytes, want at most 512", len(a.reason))
	}
	if a.header.Get("TrackingId") == "" {
		t.Error("no TrackingId header")
	}
	if via := a.header.Get("Via"); via != "" {
		t.Errorf("Via: %s on an answer of the gateway itself", via)
	}
}

// eventually repeats an attempt until it succeeds; for states that follow an
// event at the other end of a TCP connection, which no one announces.
func eventually(t *testing.T, what string, attempt func() bool) {
	t.Helper()
	deadline := time.Now().Add(peerTimeout)
	for !attempt() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, peerTimeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
