package interop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// conn is what the tests of items need of a WebSocket library. Reading is for
// one goroutine, and so is writing.
type conn interface {
	// Write sends one message; kind is framer.Text or framer.Binary.
	Write(kind int, message []byte) error
	// Read gives the next message. A Close, and the loss of the connection
	// as 1006, come as a closed error.
	Read() (kind int, message []byte, err error)
	// Close sends a Close, waits for the peer's and ends the connection. It
	// reads by itself; where another goroutine reads, that one gets the end.
	Close(code int, reason string) error
	// Abort ends the TCP connection without a Close.
	Abort()
	// Subprotocol is what the gateway's 101 named.
	Subprotocol() string
}

// closed is the error of Read at the end of a connection: 1005 is a Close
// without a code, 1006 an end without a Close.
type closed struct {
	code   int
	reason string
}

func (c closed) Error() string { return fmt.Sprintf("closed: %d %q", c.code, c.reason) }

// peer is a WebSocket library in the role of a client.
type peer struct {
	name string
	dial func(address string, header http.Header, subprotocols ...string) (conn, *answer, error)
}

// answer is the head of the gateway's answer to a handshake.
type answer struct {
	status int
	reason string // the text after the status code
	header http.Header
}

var (
	coderPeer   = peer{"coder", dialCoder}
	gorillaPeer = peer{"gorilla", dialGorilla}
	framerPeer  = peer{"framer", dialFramer}

	allPeers = []peer{coderPeer, gorillaPeer, framerPeer}
)

// peerTimeout bounds every call of a peer, so that a test fails and does not
// hang; peerTimeoutDial bounds handshakes, where a sender is held for up to
// 30 s (docs/protocol.md, section 3.1).
const (
	peerTimeout     = framer.ReadTimeout
	peerTimeoutDial = 40 * time.Second
)

func answerOf(r *http.Response) *answer {
	if r == nil {
		return nil
	}
	_, reason, _ := strings.Cut(r.Status, " ")
	return &answer{r.StatusCode, reason, r.Header}
}

// coderConn is github.com/coder/websocket.
type coderConn struct{ c *coder.Conn }

func dialCoder(address string, header http.Header, subprotocols ...string) (
	conn, *answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), peerTimeoutDial)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: emulator.TLS(address)}}
	c, response, err := coder.Dial(ctx, address, &coder.DialOptions{
		HTTPClient: client, HTTPHeader: header, Subprotocols: subprotocols})
	if err != nil {
		return nil, answerOf(response), err
	}
	c.SetReadLimit(-1)
	return coderConn{c}, answerOf(response), nil
}

func (c coderConn) Write(kind int, message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), peerTimeout)
	defer cancel()
	return c.c.Write(ctx, coder.MessageType(kind), message)
}

func (c coderConn) Read() (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), peerTimeout)
	defer cancel()
	kind, message, err := c.c.Read(ctx)
	if err == nil {
		return int(kind), message, nil
	}
	var closeError coder.CloseError
	switch {
	case errors.As(err, &closeError):
		return 0, nil, closed{int(closeError.Code), closeError.Reason}
	case ctx.Err() != nil:
		return 0, nil, fmt.Errorf("nothing came: %w", err)
	}
	return 0, nil, closed{1006, err.Error()}
}

func (c coderConn) Close(code int, reason string) error {
	return c.c.Close(coder.StatusCode(code), reason)
}

func (c coderConn) Abort() { _ = c.c.CloseNow() }

func (c coderConn) Subprotocol() string { return c.c.Subprotocol() }

// gorillaConn is github.com/gorilla/websocket.
type gorillaConn struct{ c *gorilla.Conn }

func dialGorilla(address string, header http.Header, subprotocols ...string) (
	conn, *answer, error) {
	dialer := gorilla.Dialer{Subprotocols: subprotocols, HandshakeTimeout: peerTimeoutDial,
		TLSClientConfig: emulator.TLS(address)}
	c, response, err := dialer.Dial(address, header)
	if err != nil {
		return nil, answerOf(response), err
	}
	return gorillaConn{c}, answerOf(response), nil
}

func (c gorillaConn) Write(kind int, message []byte) error {
	if err := c.c.SetWriteDeadline(time.Now().Add(peerTimeout)); err != nil {
		return err
	}
	return c.c.WriteMessage(kind, message)
}

func (c gorillaConn) Read() (int, []byte, error) {
	if err := c.c.SetReadDeadline(time.Now().Add(peerTimeout)); err != nil {
		return 0, nil, err
	}
	kind, message, err := c.c.ReadMessage()
	if err == nil {
		return kind, message, nil
	}
	var closeError *gorilla.CloseError
	switch {
	case errors.As(err, &closeError):
		return 0, nil, closed{closeError.Code, closeError.Text}
	case framer.IsTimeout(err):
		return 0, nil, fmt.Errorf("nothing came: %w", err)
	}
	return 0, nil, closed{1006, err.Error()}
}

func (c gorillaConn) Close(code int, reason string) error {
	payload := gorilla.FormatCloseMessage(code, reason)
	err := c.c.WriteControl(gorilla.CloseMessage, payload, time.Now().Add(peerTimeout))
	for err == nil {
		_, _, err = c.Read()
	}
	_ = c.c.Close()
	if errors.As(err, new(closed)) {
		return nil
	}
	return err
}

func (c gorillaConn) Abort() { _ = c.c.NetConn().Close() }

func (c gorillaConn) Subprotocol() string { return c.c.Subprotocol() }

// framerConn makes messages of the framer's frames and answers control frames
// as a library does.
type framerConn struct {
	c           *framer.Conn
	subprotocol string

	mu        sync.Mutex // guards writing and sentClose
	sentClose bool
}

func dialFramer(address string, header http.Header, subprotocols ...string) (
	conn, *answer, error) {
	var lines []string
	for name, values := range header {
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
	if len(subprotocols) > 0 {
		lines = append(lines, "Sec-WebSocket-Protocol: "+strings.Join(subprotocols, ", "))
	}
	c, response, err := framer.DialTLS(emulator.TLS(address), address, lines...)
	if response == nil {
		return nil, nil, err
	}
	a := &answer{response.Status, response.Reason, http.Header{}}
	for _, field := range response.Fields {
		a.header.Add(field.Name, field.Value)
	}
	if c == nil || err != nil {
		return nil, a, errors.Join(errors.New("bad handshake"), err)
	}
	return &framerConn{c: c, subprotocol: a.header.Get("Sec-WebSocket-Protocol")}, a, nil
}

func (c *framerConn) Write(kind int, message []byte) error {
	return c.send(framer.Message(byte(kind), message))
}

func (c *framerConn) send(f framer.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sentClose {
		return errors.New("after a Close")
	}
	c.sentClose = f.Opcode == framer.Close
	return c.c.Send(f)
}

func (c *framerConn) Read() (int, []byte, error) {
	var kind byte
	var message []byte
	for {
		f, err := c.c.Receive()
		switch {
		case framer.IsEnd(err):
			return 0, nil, closed{1006, err.Error()}
		case err != nil:
			return 0, nil, err
		}
		switch f.Opcode {
		case framer.Ping:
			if err := c.send(framer.Message(framer.Pong, f.Payload)); err != nil {
				return 0, nil, err
			}
		case framer.Pong:
		case framer.Close:
			code, reason, err := f.CloseCode()
			if err != nil {
				return 0, nil, err
			}
			_ = c.send(framer.Message(framer.Close, f.Payload))
			return 0, nil, closed{code, reason}
		default:
			if message == nil {
				kind = f.Opcode
			}
			if message = append(message, f.Payload...); message == nil {
				message = []byte{}
			}
			if f.Fin {
				return int(kind), message, nil
			}
		}
	}
}

func (c *framerConn) Close(code int, reason string) error {
	if err := c.send(framer.CloseFrame(code, reason)); err != nil {
		return err
	}
	defer c.c.Close()
	for {
		if _, _, err := c.Read(); err != nil {
			if errors.As(err, new(closed)) {
				return nil
			}
			return err
		}
	}
}

func (c *framerConn) Abort() { c.c.Abort() }

func (c *framerConn) Subprotocol() string { return c.subprotocol }

// forEachPeer runs a test once per library, each with a gateway of its own:
// what one leaves behind does not reach the next.
func forEachPeer(t *testing.T, test func(t *testing.T, g *emulator.Gateway, p peer)) {
	for _, p := range allPeers {
		t.Run(p.name, func(t *testing.T) { test(t, emulator.Start(t), p) })
	}
}

// forEachPair runs a test for every library as sender with every library as
// listener, each pair with a gateway of its own, without TLS and with it on both
// sides; for every library once in the other modes.
func forEachPair(t *testing.T,
	test func(t *testing.T, g *emulator.Gateway, sender, listener peer)) {
	for m, mode := range emulator.Modes {
		for i, sender := range allPeers {
			for j, listener := range allPeers {
				if m > 1 && (i+m)%len(allPeers) != j {
					continue
				}
				name := "sender=" + sender.name + "/listener=" + listener.name
				t.Run(join(mode.Name, name), func(t *testing.T) {
					test(t, emulator.StartMode(t, mode), sender, listener)
				})
			}
		}
	}
}

// forEachMode runs a test in every mode, each with a gateway of its own.
func forEachMode(t *testing.T, test func(t *testing.T, g *emulator.Gateway)) {
	for _, mode := range emulator.Modes {
		t.Run(cmp.Or(mode.Name, "plain"), func(t *testing.T) {
			test(t, emulator.StartMode(t, mode))
		})
	}
}

// join makes the name of a part of a test.
func join(mode, name string) string {
	if mode == "" {
		return name
	}
	return mode + "/" + name
}
