package relaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// Request is an HTTP request as a listener gets it: its message and its body.
// In the rendezvous form the members from Target on are there once it is
// dialled.
type Request struct {
	Address  string `json:"address"`
	ID       string `json:"id"`
	Target   string `json:"requestTarget"`
	Method   string `json:"method"`
	Endpoint struct {
		Address string `json:"address"`
		Port    int    `json:"port"`
	} `json:"remoteEndpoint"`
	Headers map[string]string `json:"requestHeaders"`
	HasBody bool              `json:"body"`

	Control bool   `json:"-"` // it came whole on the control channel
	Text    string `json:"-"` // the message as it came
	Body    string `json:"-"`
	Leg     *Raw   `json:"-"` // rendezvous connection, nil until dialled

	n       *Client
	respond func(Reply) error // on the control channel
}

// Reply is a listener's response.
type Reply struct {
	Status  int // 0 is 200
	Phrase  string
	Headers map[string]any
	// Parts are the frames of the body, and one more ends it; one part is one
	// frame. nil is a response without body.
	Parts []string
}

// Message is the response message of r for a request.
func (r Reply) Message(id string) string {
	m := map[string]any{"requestId": id, "statusCode": r.Status, "body": r.Parts != nil}
	if r.Status == 0 {
		m["statusCode"] = http.StatusOK
	}
	if r.Phrase != "" {
		m["statusDescription"] = r.Phrase
	}
	if r.Headers != nil {
		m["responseHeaders"] = r.Headers
	}
	text, err := json.Marshal(map[string]any{"response": m})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Frames are r for a request, as a listener sends it.
func (r Reply) Frames(id string) []byte {
	b := Frame{OpText, true, []byte(r.Message(id))}.Bytes()
	op := OpBinary
	for _, p := range r.Parts {
		b = append(b, Frame{op, len(r.Parts) == 1, []byte(p)}.Bytes()...)
		op = OpContinuation
	}
	if len(r.Parts) > 1 {
		b = append(b, Frame{OpContinuation, true, nil}.Bytes()...)
	}
	return b
}

// parseRequest reads a request message. It must have the members of its form
// and no others.
func parseRequest(p []byte) (*Request, error) {
	var m struct {
		Request *Request `json:"request"`
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	r := m.Request
	if r == nil {
		return nil, errors.New("no request message")
	}
	r.Text = string(p)
	r.Control = r.Method != ""
	var members struct{ Request map[string]json.RawMessage }
	if err := json.Unmarshal(p, &members); err != nil {
		return nil, err
	}
	want := 2
	if r.Control {
		want = 7
	}
	if len(members.Request) != want || r.Address == "" || r.ID == "" ||
		!strings.Contains(r.Address, "sb-hc-action=request") {
		return nil, fmt.Errorf("%d members in %.300s", len(members.Request), p)
	}
	return r, nil
}

// Announced waits for a request and takes it as it is on the control channel.
func (l *Listener) Announced(t testing.TB) *Request {
	t.Helper()
	return Receive(t, l.requests, "a request message")
}

// NextRequest waits for a request and has all of it, from the rendezvous
// connection if need be.
func (l *Listener) NextRequest(t testing.TB) *Request {
	t.Helper()
	return l.Announced(t).whole(t)
}

// Requests is the number of requests that were not taken.
func (l *Listener) Requests() int { return len(l.requests) }

// Announced is that of Listener, for a control channel by hand.
func (c *Raw) Announced(t testing.TB) *Request {
	t.Helper()
	r, err := parseRequest([]byte(c.ReadMessage(t)))
	if err != nil {
		t.Fatal(err)
	}
	r.n = c.n
	r.respond = func(reply Reply) error { return c.write(reply.Frames(r.ID)) }
	if r.Control && r.HasBody {
		r.Body = c.ReadMessage(t)
	}
	return r
}

// NextRequest is that of Listener, for a control channel by hand.
func (c *Raw) NextRequest(t testing.TB) *Request {
	t.Helper()
	return c.Announced(t).whole(t)
}

func (r *Request) whole(t testing.TB) *Request {
	t.Helper()
	if !r.Control {
		r.Dial(t)
		r.ReadBody(t)
	}
	return r
}

// Dial opens the rendezvous connection. What came on the control channel
// without its members has them then.
func (r *Request) Dial(t testing.TB) *Raw {
	t.Helper()
	if err := r.TryDial(); err != nil {
		t.Fatalf("request %s: %v", r.ID, err)
	}
	t.Cleanup(func() { _ = r.Leg.Close() })
	return r.Leg
}

// TryDial is Dial for goroutines other than the test's; Leg is to be closed.
func (r *Request) TryDial() error {
	c, err := r.n.TryRaw()
	if err != nil {
		return err
	}
	r.Leg = c
	if err := c.write([]byte(r.n.UpgradeRequest(TargetOf(r.Address)))); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return err
	}
	if a := answerOf(res); a.Status != http.StatusSwitchingProtocols {
		return fmt.Errorf("rendezvous connection: %+v", a)
	}
	if r.Method != "" {
		return nil
	}
	f, err := c.tryFrame()
	if err != nil || f.Op != OpText || !f.Fin {
		return fmt.Errorf("first frame %+.300v: %w", f, err)
	}
	whole, err := parseRequest(f.Payload)
	switch {
	case err != nil:
		return err
	case whole.Address != r.Address, whole.ID != r.ID, !whole.Control, !whole.HasBody:
		return fmt.Errorf("request %.300s for %.300s", whole.Text, r.Text)
	}
	whole.Control, whole.n, whole.respond, whole.Leg = false, r.n, r.respond, r.Leg
	*r = *whole
	return nil
}

// ReadBody reads the body from the rendezvous connection.
func (r *Request) ReadBody(t testing.TB) {
	t.Helper()
	if err := r.TryReadBody(); err != nil {
		t.Fatalf("body of the request %s: %v", r.ID, err)
	}
}

// frameMax bounds the frames of a body: one client takes no larger ones. Source:
// docs/protocol.md, section 4.1.
const frameMax = 65536

// TryReadBody is ReadBody for goroutines other than the test's.
func (r *Request) TryReadBody() error {
	var b strings.Builder
	op := OpBinary
	for fin := false; !fin; op = OpContinuation {
		f, err := r.Leg.tryFrame()
		if err != nil || f.Op != op || len(f.Payload) > frameMax {
			return fmt.Errorf("frame %v of %d bytes, %w", f.Op, len(f.Payload), err)
		}
		b.Write(f.Payload)
		fin = f.Fin
	}
	r.Body = b.String()
	return nil
}

// OnControl sends a response on the control channel.
func (r *Request) OnControl(t testing.TB, reply Reply) {
	t.Helper()
	if err := r.TryControl(reply); err != nil {
		t.Fatalf("response: %v", err)
	}
}

// TryControl is OnControl for goroutines other than the test's.
func (r *Request) TryControl(reply Reply) error { return r.respond(reply) }

// OnRendezvous sends a response on the rendezvous connection, which it dials if
// need be.
func (r *Request) OnRendezvous(t testing.TB, reply Reply) *Raw {
	t.Helper()
	if r.Leg == nil {
		r.Dial(t)
	}
	if err := r.Leg.write(reply.Frames(r.ID)); err != nil {
		t.Fatalf("response: %v", err)
	}
	return r.Leg
}

// Respond sends a response where the request came from. On a rendezvous
// connection it waits for its end, which comes once the gateway has all.
func (r *Request) Respond(t testing.TB, reply Reply) {
	t.Helper()
	if r.Control && r.Leg == nil {
		r.OnControl(t, reply)
		return
	}
	r.OnRendezvous(t, reply).WantClosing(t, int(ws.StatusNormalClosure))
}

// WantClosing reads the gateway's Close, answers it and waits for the end.
func (c *Raw) WantClosing(t testing.TB, code int) (reason string) {
	t.Helper()
	reason = c.WantCloseFrame(t, code)
	// The gateway may be gone by now: it does not wait for the answer.
	_ = c.write(CloseFrame(code, "").Bytes())
	c.WantEnd(t)
	return reason
}

// Serve answers requests until the test ends, each in a goroutine of its own
// and where it came from. What fails on the way is the sender's to notice.
func (l *Listener) Serve(t testing.TB, reply func(r *Request) Reply) {
	l.Handle(t, func(r *Request) {
		if r.Control {
			_ = r.TryControl(reply(r))
			return
		}
		if r.TryDial() == nil && r.TryReadBody() == nil && r.Leg.write(reply(r).Frames(r.ID)) == nil {
			_, _ = r.Leg.tryFrame() // Close
		}
	})
}

// Handle calls f for requests until the test ends, each in a goroutine of its
// own. A rendezvous connection is closed behind it.
func (l *Listener) Handle(t testing.TB, f func(r *Request)) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case r := <-l.requests:
				running.Go(func() {
					f(r)
					if r.Leg != nil {
						_ = r.Leg.Close()
					}
				})
			case <-l.done:
				return
			}
		}
	})
	t.Cleanup(func() {
		l.Abort()
		running.Wait()
	})
}

// write sends bytes; for goroutines other than the test's.
func (c *Raw) write(p []byte) error {
	c.patience()
	_, err := c.Write(p)
	return err
}

// take is a data message on a Listener's control channel.
func (l *Listener) take(text bool, p []byte) error {
	if r := l.bodyOf; r != nil {
		l.bodyOf = nil
		if text {
			return fmt.Errorf("text %.300q in place of the body of %s", p, r.Text)
		}
		r.Body = string(p)
		return deliver(l.requests, r)
	}
	if !text {
		return fmt.Errorf("unexpected body %.300q", p)
	}
	if a, err := parseAccept(p); err == nil {
		return deliver(l.accepts, a)
	}
	r, err := parseRequest(p)
	if err != nil {
		return fmt.Errorf("unexpected message %q: %w", p, err)
	}
	r.n = l.n
	r.respond = func(reply Reply) error { return l.respond(r.ID, reply) }
	if r.Control && r.HasBody {
		l.bodyOf = r
		return nil
	}
	return deliver(l.requests, r)
}

// deliver queues what came on a control channel.
func deliver[T any](to chan T, v T) error {
	select {
	case to <- v:
		return nil
	default:
		return fmt.Errorf("more than %d messages unread", cap(to))
	}
}

// respond sends a response on the control channel. Other responses do not come
// between.
func (l *Listener) respond(id string, reply Reply) error {
	l.responding.Lock()
	defer l.responding.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := l.ws.Write(ctx, Text, []byte(reply.Message(id))); err != nil || reply.Parts == nil {
		return err
	}
	if len(reply.Parts) == 1 {
		return l.ws.Write(ctx, Binary, []byte(reply.Parts[0]))
	}
	parts := make([][]byte, len(reply.Parts))
	for i, p := range reply.Parts {
		parts[i] = []byte(p)
	}
	return (&Conn{ws: l.ws}).WriteParts(Binary, parts...)
}
