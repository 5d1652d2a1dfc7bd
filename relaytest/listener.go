package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// acceptsMax bounds the accept messages, and the requests, that a Listener
// keeps unread.
const acceptsMax = 4096

// Accept is an accept message.
type Accept struct {
	Address        string
	ID             string
	ConnectHeaders map[string]string
	RemoteEndpoint struct {
		Address string
		Port    int
	}
}

// Listener is a control channel. Its messages are read as they come, so Pings
// are answered and a Close is too.
type Listener struct {
	Answer Answer // to its handshake

	n        *Client
	ws       *websocket.Conn
	accepts  chan Accept
	requests chan *Request
	done     chan struct{} // closed when the channel has ended
	err      error         // how; read after done

	bodyOf     *Request   // of which the body is the next message; read's own
	responding sync.Mutex // a response and its body are one
}

// Listen opens a control channel. Without a token it takes one of RootRule.
func (n *Client) Listen(t testing.TB, d Dial) *Listener {
	t.Helper()
	if d.Token == "" {
		d.Token = Token(d.Path)
	}
	return n.TryListen(t, d).Listener(t)
}

// TryListen starts the handshake of a control channel; d is taken as it is.
func (n *Client) TryListen(t testing.TB, d Dial) *Pending {
	t.Helper()
	return n.Connect(t, d.and("sb-hc-action=listen"))
}

// Listener waits for the handshake of a control channel, which must succeed.
func (p *Pending) Listener(t testing.TB) *Listener {
	t.Helper()
	c := p.Conn(t)
	l := &Listener{
		Answer: c.Answer, n: p.client, ws: c.ws,
		accepts: make(chan Accept, acceptsMax), requests: make(chan *Request, acceptsMax),
		done: make(chan struct{}),
	}
	go l.read()
	t.Cleanup(func() {
		_ = l.ws.CloseNow()
		<-l.done
	})
	return l
}

func (l *Listener) read() {
	defer close(l.done)
	for {
		kind, p, err := l.ws.Read(context.Background())
		if err != nil {
			l.err = err
			return
		}
		if l.err = l.take(kind == websocket.MessageText, p); l.err != nil {
			_ = l.ws.CloseNow()
			return
		}
	}
}

func parseAccept(p []byte) (Accept, error) {
	var m struct{ Accept *Accept }
	if err := json.Unmarshal(p, &m); err != nil {
		return Accept{}, err
	}
	if m.Accept == nil {
		return Accept{}, errors.New("no accept message")
	}
	return *m.Accept, nil
}

// ParseAccept reads the payload of an accept message.
func ParseAccept(t testing.TB, p []byte) Accept {
	t.Helper()
	a, err := parseAccept(p)
	if err != nil {
		t.Fatalf("message %q: %v", p, err)
	}
	return a
}

// Next waits for an accept message.
func (l *Listener) Next(t testing.TB) Accept {
	t.Helper()
	return Receive(t, l.accepts, "an accept message")
}

// Waiting is the number of accept messages that were not taken with Next.
func (l *Listener) Waiting() int { return len(l.accepts) }

// Accept accepts the next sender.
func (l *Listener) Accept(t testing.TB) *Conn {
	t.Helper()
	return l.n.Open(t, l.Next(t).Address, Dial{}).Conn(t)
}

// Reject rejects the next sender and wants 410 for it.
func (l *Listener) Reject(t testing.TB, status int, text string) {
	t.Helper()
	rejection := "&sb-hc-statusCode=" + strconv.Itoa(status) +
		"&sb-hc-statusDescription=" + Escape(text)
	l.n.Open(t, l.Next(t).Address+rejection, Dial{}).Want(t, 410)
}

// Pair has a sender connected and accepts it.
func (l *Listener) Pair(t testing.TB, d Dial) (sender, listener *Conn) {
	t.Helper()
	p := l.n.Connect(t, d)
	listener = l.Accept(t)
	return p.Conn(t), listener
}

// Pair is a relayed connection with a listener of its own, which stays.
func (n *Client) Pair(t testing.TB, path string) (sender, listener *Conn) {
	t.Helper()
	id := ownID()
	l := n.Listen(t, Dial{Path: path, Query: "sb-hc-id=" + id})
	return l.Pair(t, Dial{Path: path, Token: Token(path), Header: onlyTo(id)})
}

// ids numbers the listeners of Pair and RawPair.
var ids atomic.Int64

func ownID() string { return "own-" + strconv.FormatInt(ids.Add(1), 10) }

const allowed = "Microsoft-Relay-AllowedListeners"

// onlyTo restricts a sender to one listener.
func onlyTo(id string) http.Header { return http.Header{allowed: {id}} }

// Send sends a text message to the gateway.
func (l *Listener) Send(t testing.TB, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := l.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatalf("message to the gateway: %v", err)
	}
}

// Renew sends a token in a renewToken message.
func (l *Listener) Renew(t testing.TB, token string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"renewToken": map[string]string{"token": token}})
	if err != nil {
		t.Fatal(err)
	}
	l.Send(t, string(text))
}

// Ping waits for the answer to a Ping.
func (l *Listener) Ping(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := l.ws.Ping(ctx); err != nil {
		t.Fatalf("ping on the control channel: %v", err)
	}
}

// Done is closed when the control channel has ended.
func (l *Listener) Done() <-chan struct{} { return l.done }

// WantClose waits for the gateway to end the channel with a Close frame.
func (l *Listener) WantClose(t testing.TB, code int) (reason string) {
	t.Helper()
	Receive(t, l.done, "the end of the control channel")
	return wantClose(t, l.err, code)
}

// WantLost waits for the end of the channel without a Close frame.
func (l *Listener) WantLost(t testing.TB) {
	t.Helper()
	Receive(t, l.done, "the end of the control channel")
	wantLost(t, l.err)
}

// Close closes the channel as a client does, with 1000, and waits for the
// gateway's Close.
func (l *Listener) Close(t testing.TB) {
	t.Helper()
	if err := l.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close of the control channel: %v", err)
	}
	<-l.done
}

// Abort cuts the channel's TCP connection.
func (l *Listener) Abort() {
	_ = l.ws.CloseNow()
	<-l.done
}

func wantClose(t testing.TB, err error, code int) (reason string) {
	t.Helper()
	var ce websocket.CloseError
	if !errors.As(err, &ce) || int(ce.Code) != code {
		t.Fatalf("ended by %v, want close %d", err, code)
	}
	return ce.Reason
}

func wantLost(t testing.TB, err error) {
	t.Helper()
	if code := websocket.CloseStatus(err); code != -1 {
		t.Fatalf("ended by close %d, want no Close frame", code)
	}
}

// RejectAll rejects every sender with a status until stop is closed or the
// channel ends, and then sends to done. A rejection that fails is the sender's
// to notice.
func (l *Listener) RejectAll(status int, stop <-chan struct{}, done chan<- struct{}) {
	rejection := "&sb-hc-statusCode=" + strconv.Itoa(status)
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			select {
			case a := <-l.accepts:
				ctx, cancel := context.WithTimeout(context.Background(), Patience)
				if out := l.n.dial(ctx, a.Address+rejection, Dial{}); out.ws != nil {
					_ = out.ws.CloseNow()
				}
				cancel()
			case <-stop:
				return
			case <-l.done:
				return
			}
		}
	}()
}
