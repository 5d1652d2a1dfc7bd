package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// A listener of HTTP requests, frame by frame, that holds the gateway to what
// the official listeners demand of it (docs/protocol.md, sections 2.2, 5.2 and
// 5.3). How it responds is in http_reply_test.go.

// httpListener is a control channel whose requests go to a function, each on a
// goroutine of its own.
type httpListener struct {
	*framerConn
	handle func(r *httpRequest) error

	mu       sync.Mutex
	requests int     // guarded by mu, like the rest
	problems []error // shown when the test ends
	ending   bool

	served chan struct{} // closed when serve has ended
}

// relayedRequest is the content of a request message.
type relayedRequest struct {
	Address        string
	ID             string
	RequestTarget  string
	Method         string
	RemoteEndpoint struct {
		Address string
		Port    int
	}
	RequestHeaders map[string]string
	Body           bool
}

// httpRequest is a request on its way to a response.
type httpRequest struct {
	relayedRequest
	l      *httpListener
	text   string      // of the request message
	body   []byte      // in the rendezvous form only after readBody
	frames []int       // sizes of the frames of the body
	whole  bool        // its last frame has come
	conn   *framerConn // the rendezvous connection, once there is one

	// rendezvous says that the request came in the rendezvous form.
	rendezvous bool
}

// listenHTTP registers a listener for the length of the test. Errors of handle
// fail the test.
func listenHTTP(t *testing.T, g *emulator.Gateway, entity string,
	handle func(r *httpRequest) error) *httpListener {
	t.Helper()
	return listenHTTPWith(t, g, entity, "", emulator.Token(entity), handle)
}

func listenHTTPWith(t *testing.T, g *emulator.Gateway, entity, query, token string,
	handle func(r *httpRequest) error) *httpListener {
	t.Helper()
	l := openListener(t, g, entity, query, token, handle)
	go l.serve()
	return l
}

// openListener registers a listener that does not read yet.
func openListener(t *testing.T, g *emulator.Gateway, entity, query, token string,
	handle func(r *httpRequest) error) *httpListener {
	t.Helper()
	c, answer, err := dialFramer(g.URL(entity, "sb-hc-action=listen"+query),
		tokenHeader(token))
	if err != nil {
		t.Fatalf("listen on %q: %v, answer %+v", entity, err, answer)
	}
	l := &httpListener{framerConn: c.(*framerConn), handle: handle,
		served: make(chan struct{})}
	t.Cleanup(func() {
		l.leave()
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, problem := range l.problems {
			if i < 5 {
				t.Errorf("listener: %v", problem)
			}
		}
	})
	return l
}

// leave ends the control channel with a reset. Problems from now on are not
// the gateway's.
func (l *httpListener) leave() {
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	l.Abort()
}

// retire ends a listener whose requests are all answered, and waits until the
// gateway has taken it off the entity.
func (l *httpListener) retire(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	if err := l.send(framer.CloseFrame(1000, "")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.served:
	case <-time.After(peerTimeout):
		t.Fatal("the Close of the control channel is not answered")
	}
}

func (l *httpListener) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !l.ending {
		l.problems = append(l.problems, err)
	}
}

// seen is the number of requests that have come.
func (l *httpListener) seen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// serve reads the control channel until it ends.
func (l *httpListener) serve() {
	defer close(l.served)
	for {
		r, err := l.next()
		if err != nil {
			l.report(err)
			return
		}
		l.mu.Lock()
		l.requests++
		l.mu.Unlock()
		go func() {
			if r.rendezvous {
				if err := r.meet(); err != nil {
					l.report(fmt.Errorf("at the rendezvous: %w", err))
					return
				}
			}
			l.report(l.handle(r))
		}()
	}
}

// quiet bounds the time that a listener waits for anything.
const quiet = 2 * time.Minute

// wireMessage is one message and the frames that it came in.
type wireMessage struct {
	opcode  byte
	payload []byte
	frames  []int
}

// receiveMessage reads one message, answering pings and a Close.
func receiveMessage(c *framerConn, within time.Duration) (m wireMessage, err error) {
	for {
		part, last, err := receivePart(c, within, len(m.frames) == 0)
		if err != nil {
			return m, err
		}
		if len(m.frames) == 0 {
			m.opcode = part.Opcode
		}
		m.payload = append(m.payload, part.Payload...)
		if m.frames = append(m.frames, len(part.Payload)); last {
			return m, nil
		}
	}
}

// receivePart reads one data frame; first says that it has to begin a message.
func receivePart(c *framerConn, within time.Duration, first bool) (
	f framer.Frame, last bool, err error) {
	for {
		f, err := c.c.ReceiveWithin(within)
		if err != nil {
			return f, false, err
		}
		switch f.Opcode {
		case framer.Ping:
			if err := c.send(framer.Message(framer.Pong, f.Payload)); err != nil {
				return f, false, err
			}
			continue
		case framer.Pong:
			continue
		case framer.Close:
			code, reason, err := f.CloseCode()
			if err == nil {
				_ = c.send(framer.Message(framer.Close, f.Payload))
				err = closed{code, reason}
			}
			return f, false, err
		}
		switch {
		case first != (f.Opcode != framer.Continuation):
			return f, false, fmt.Errorf("%v, want it to begin a message: %t", f, first)
		case f.RSV != 0 || len(f.Payload) > frameMax:
			return f, false, fmt.Errorf("%v, want at most %d bytes", f, frameMax)
		}
		return f, f.Fin, nil
	}
}

// next reads one request from the control channel, the body included.
func (l *httpListener) next() (*httpRequest, error) {
	m, err := receiveMessage(l.framerConn, quiet)
	if err != nil {
		return nil, fmt.Errorf("control channel: %w", err)
	}
	r := &httpRequest{l: l, text: string(m.payload)}
	if err := r.parse(m); err != nil {
		return nil, fmt.Errorf("request message %.300q: %w", r.text, err)
	}
	if r.rendezvous || !r.Body {
		return r, nil
	}
	if len(r.text) > requestTextMax {
		return nil, fmt.Errorf("a request of %d bytes in the control form", len(r.text))
	}
	body, err := receiveMessage(l.framerConn, peerTimeout)
	if err != nil {
		return nil, fmt.Errorf("waiting for a body: %w", err)
	}
	if body.opcode != framer.Binary || len(body.payload) > frameMax {
		return nil, fmt.Errorf("a body of %d bytes with opcode %d", len(body.payload),
			body.opcode)
	}
	r.body, r.frames = body.payload, body.frames
	return r, nil
}

// requestTextMax is the largest request message in the control form and
// messageTextMax the largest at all, in bytes (docs/protocol.md, section 1.8).
const (
	requestTextMax = 32 << 10
	messageTextMax = 64 << 10
)

// requestMembers are what a whole request message has, and all that it has.
var requestMembers = []string{"address", "id", "requestTarget", "method", "remoteEndpoint",
	"requestHeaders", "body"}

// requestID is an id that the gateway made.
var requestID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_G\d+$`)

// parse reads a request message in one of its two forms.
func (r *httpRequest) parse(m wireMessage) error {
	if m.opcode != framer.Text || len(m.payload) > messageTextMax {
		return fmt.Errorf("opcode %d and %d bytes", m.opcode, len(m.payload))
	}
	var command map[string]json.RawMessage
	if err := json.Unmarshal(m.payload, &command); err != nil {
		return err
	}
	if len(command) != 1 || command["request"] == nil {
		return errors.New("want one member, request")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(command["request"], &members); err != nil {
		return err
	}
	want := requestMembers
	if members["method"] == nil {
		want, r.rendezvous = requestMembers[:2], true
	}
	if len(members) != len(want) {
		return fmt.Errorf("%d members, want %q", len(members), want)
	}
	for _, name := range want {
		if members[name] == nil || string(members[name]) == "null" {
			return fmt.Errorf("no member %s", name)
		}
	}
	if err := json.Unmarshal(command["request"], &r.relayedRequest); err != nil {
		return err
	}
	return r.check()
}

// check looks at the values.
func (r *httpRequest) check() error {
	if !requestID.MatchString(r.ID) {
		return fmt.Errorf("id %q, want a GUID and a gateway", r.ID)
	}
	if !strings.HasPrefix(r.Address, "ws://") || !strings.Contains(r.Address, "/$hc/") ||
		!strings.HasSuffix(r.Address, "&sb-hc-action=request&sb-hc-id="+r.ID) {
		return fmt.Errorf("address %q, want action and id at the end", r.Address)
	}
	if strings.Contains(r.Address, "SharedAccessSignature") {
		return fmt.Errorf("the address %q has a token", r.Address)
	}
	if r.rendezvous {
		return nil
	}
	if !strings.HasPrefix(r.RequestTarget, "/") {
		return fmt.Errorf("requestTarget %q", r.RequestTarget)
	}
	if ip := net.ParseIP(r.RemoteEndpoint.Address); ip == nil || r.RemoteEndpoint.Port == 0 {
		return fmt.Errorf("remoteEndpoint %+v", r.RemoteEndpoint)
	}
	for _, hidden := range []string{"Connection", "Content-Length", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "Close", "Keep-Alive", "Proxy-Connection",
		"ServiceBusAuthorization", "Expect"} {
		if r.has(hidden) {
			return fmt.Errorf("requestHeaders has %s", hidden)
		}
	}
	return nil
}

// has says whether there is a header of that name; names have no case.
func (r *httpRequest) has(name string) bool {
	for sent := range r.RequestHeaders {
		if strings.EqualFold(sent, name) {
			return true
		}
	}
	return false
}

// header returns one of the headers.
func (r *httpRequest) header(name string) string {
	for sent, value := range r.RequestHeaders {
		if strings.EqualFold(sent, name) {
			return value
		}
	}
	return ""
}

// dial opens the rendezvous connection unless it is open.
func (r *httpRequest) dial() error {
	if r.conn != nil {
		return nil
	}
	c, answer, err := dialFramer(r.Address, nil)
	if err != nil {
		return fmt.Errorf("dial %s: %w, answer %+v", r.Address, err, answer)
	}
	r.conn = c.(*framerConn)
	return nil
}

// meet dials the address of a request in the rendezvous form and reads the
// request message there; the body is left for readBody.
func (r *httpRequest) meet() error {
	if err := r.dial(); err != nil {
		return err
	}
	m, err := receiveMessage(r.conn, peerTimeout)
	if err != nil {
		return err
	}
	announced := r.relayedRequest
	r.text, r.rendezvous = string(m.payload), false
	if err := r.parse(m); err != nil {
		return fmt.Errorf("request message %.300q: %w", r.text, err)
	}
	if r.rendezvous || r.ID != announced.ID || r.Address != announced.Address || !r.Body {
		return fmt.Errorf("request message %.300q after the announcement %+v", r.text, announced)
	}
	r.rendezvous = true
	return nil
}

// meetOne serves one request in the rendezvous form, where serve does not read
// the control channel.
func (l *httpListener) meetOne(t *testing.T, handle func(r *httpRequest) error) {
	r, err := l.next()
	if err == nil {
		err = r.meet()
	}
	if err == nil {
		err = handle(r)
	}
	if err != nil {
		t.Errorf("listener: %v", err)
	}
}

// nextPart reads one frame of a body in the rendezvous form.
func (r *httpRequest) nextPart() (p []byte, last bool, err error) {
	f, last, err := receivePart(r.conn, peerTimeout, len(r.frames) == 0)
	if err != nil {
		return nil, false, fmt.Errorf("in a body, after %d bytes: %w", len(r.body), err)
	}
	if len(r.frames) == 0 && f.Opcode != framer.Binary {
		return nil, false, fmt.Errorf("a body with opcode %d", f.Opcode)
	}
	r.body = append(r.body, f.Payload...)
	r.frames = append(r.frames, len(f.Payload))
	r.whole = last
	return f.Payload, last, nil
}

// readBody reads the body of a request in the rendezvous form; it is one
// message. In the control form it is there already.
func (r *httpRequest) readBody() error {
	for r.rendezvous && !r.whole {
		if _, _, err := r.nextPart(); err != nil {
			return err
		}
	}
	return nil
}

// readUpTo reads parts of the body until n bytes of it have come.
func (r *httpRequest) readUpTo(n int) error {
	for len(r.body) < n && !r.whole {
		if _, _, err := r.nextPart(); err != nil {
			return err
		}
	}
	if len(r.body) < n {
		return fmt.Errorf("a body of %d bytes, want %d", len(r.body), n)
	}
	return nil
}

// ended reads the rendezvous connection to its end, which must be a Close with
// this code (1006: none) and nothing before it.
func (r *httpRequest) ended(code int) error {
	return r.endedWithin(peerTimeout, code)
}

func (r *httpRequest) endedWithin(within time.Duration, code int) error {
	_, err := receiveMessage(r.conn, within)
	var end closed
	switch {
	case err == nil:
		return errors.New("a message on the rendezvous connection, want its end")
	case errors.As(err, &end):
	case framer.IsEnd(err):
		end.code = 1006
	default:
		return fmt.Errorf("%w; want the end of the rendezvous connection within %v", err, within)
	}
	if end.code != code {
		return fmt.Errorf("the rendezvous connection ended with %w, want %d", end, code)
	}
	if code != 1006 {
		if f, err := r.conn.c.Receive(); !framer.IsEnd(err) {
			return fmt.Errorf("after the Close: %v %v, want the end", f, err)
		}
	}
	return nil
}
