package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of a WebSocket conformance suite on the control channel.

// controlMessageMax is the largest text message that the gateway takes from a
// listener, in bytes (docs/protocol.md, section 1.8).
const controlMessageMax = 256 << 10

// openControl registers a listener and gives its control channel frame by
// frame.
func openControl(t *testing.T, g *emulator.Gateway) (*framer.Conn, *control) {
	t.Helper()
	l := listen(t, g, framerPeer, emulator.Anonymous)
	return raw(l.conn), l
}

// wantRegistered shows that the channel is open and serves senders.
func wantRegistered(t *testing.T, g *emulator.Gateway, l *control) {
	t.Helper()
	s, accepted := relayOn(t, g, l, framerPeer, emulator.Anonymous)
	transfer(t, s, accepted, framer.Text, []byte("served"))
	s.Abort()
	accepted.Abort()
}

// command returns an unknown command of n bytes; such are ignored
// (docs/protocol.md, section 2.2). The shortest has 8 bytes.
func command(n int) []byte {
	return []byte(`{"x":"` + strings.Repeat("y", n-8) + `"}`)
}

func TestGroundControlLengths(t *testing.T) {
	g := emulator.Start(t)
	c, l := openControl(t, g)
	for _, length := range []int{8, 125, 126, 127, 65_535, 65_536, 65_537, controlMessageMax} {
		send(t, c, framer.Message(framer.Text, command(length)))
		wantRegistered(t, g, l)
	}
	// Binary messages belong to no request: any length is ignored.
	for _, length := range []int{0, 1, 125, 126, 65_536, controlMessageMax} {
		send(t, c, framer.Message(framer.Binary, pattern(length)))
		wantRegistered(t, g, l)
	}
}

func TestGroundControlOversize(t *testing.T) {
	g := emulator.Start(t)
	t.Run("one frame", func(t *testing.T) {
		c, _ := openControl(t, g)
		send(t, c, framer.Message(framer.Text, command(controlMessageMax+1)))
		wantFailed(t, c, 1009)
	})
	t.Run("fragments", func(t *testing.T) {
		c, _ := openControl(t, g)
		text := command(controlMessageMax + 1)
		send(t, c, framer.Part(framer.Text, text[:200_000]),
			framer.Message(framer.Continuation, text[200_000:]))
		wantFailed(t, c, 1009)
	})
	t.Run("63-bit length", func(t *testing.T) {
		c, _ := openControl(t, g)
		sendBytes(t, c, framer.AppendHeader(nil, framer.Message(framer.Text, nil), 1<<63-1))
		wantFailed(t, c, 1009)
	})
}

// TestGroundControlText: a text message that is no UTF-8 is refused with 1007
// (RFC 6455, section 8.1), wherever it is cut.
func TestGroundControlText(t *testing.T) {
	g := emulator.Start(t)
	for _, text := range []string{"{\"x\":\"\xff\"}", "{\"x\":\"\xe2\x82\"}", "\xed\xa0\x80"} {
		c, _ := openControl(t, g)
		send(t, c, framer.Message(framer.Text, []byte(text)))
		wantFailed(t, c, 1007)
	}
	c, l := openControl(t, g)
	send(t, c, framer.Part(framer.Text, []byte("{\"x\":\"\xe2")),
		framer.Message(framer.Continuation, []byte("\x82\xac\"}")))
	wantRegistered(t, g, l)
}

func TestGroundControlUnknownCommands(t *testing.T) {
	g := emulator.Start(t)
	c, l := openControl(t, g)
	for _, text := range []string{`{}`, `{"unknown":{}}`, `{"injectFault":{"delay":"00:01:00"}}`,
		`{"response":{"requestId":"nobody-asked","statusCode":"200","body":false}}`,
		` { "a" : [ 1 , { } ] } `} {
		send(t, c, framer.Message(framer.Text, []byte(text)))
		wantRegistered(t, g, l)
	}
}

func TestGroundControlPings(t *testing.T) {
	g := emulator.Start(t)
	c, l := openControl(t, g)
	for size := range 126 {
		send(t, c, framer.Message(framer.Ping, pattern(size)))
		wantFrame(t, c, true, framer.Pong, pattern(size))
		send(t, c, framer.Message(framer.Pong, pattern(size)))
	}
	wantRegistered(t, g, l)
}

// wantRenewed sends a renewal in pieces on a channel whose token is about to
// expire, and wants the channel to outlive it.
func wantRenewed(t *testing.T, g *emulator.Gateway, sendIn func(c *framer.Conn, text []byte)) {
	t.Helper()
	expiring := emulator.Sign("http://127.0.0.1/", emulator.KeyName, emulator.Key,
		time.Now().Add(2*time.Second-skew))
	l := listenWith(t, g, framerPeer, emulator.Anonymous, "", expiring)
	c := raw(l.conn)
	sendIn(c, renewal(emulator.Token(emulator.Anonymous)))
	for {
		f, err := c.ReceiveWithin(5 * time.Second)
		if framer.IsTimeout(err) {
			break
		}
		if err != nil || f.Opcode != framer.Pong {
			t.Fatalf("received %v %v, want pongs only", f, err)
		}
	}
	wantRegistered(t, g, l)
}

func TestGroundControlFragments(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	wantRenewed(t, g, func(c *framer.Conn, text []byte) {
		send(t, c, framer.Part(framer.Text, text[:10]),
			framer.Message(framer.Ping, []byte("between")),
			framer.Part(framer.Continuation, nil),
			framer.Part(framer.Continuation, text[10:50]),
			framer.Message(framer.Pong, nil),
			framer.Message(framer.Continuation, text[50:]))
	})
}

func TestGroundControlOneByteAtATime(t *testing.T) {
	t.Parallel()
	g := emulator.Start(t)
	wantRenewed(t, g, func(c *framer.Conn, text []byte) {
		wire := framer.Message(framer.Text, text).Append(nil)
		wire = framer.Message(framer.Ping, []byte("after")).Append(wire)
		for i := range wire {
			sendBytes(t, c, wire[i:i+1])
			pace()
		}
	})
}

func TestGroundControlViolations(t *testing.T) {
	g := emulator.Start(t)
	for _, v := range violations() {
		t.Run(v.name, func(t *testing.T) {
			c, _ := openControl(t, g)
			sendBytes(t, c, v.wire)
			wantFailed(t, c, 1002)
		})
	}
	// Each of them was taken off the entity when it ended.
	wantNoListeners(t, g, framerPeer)
}

// TestGroundControlClose: a Close is answered at once with the same code, the
// listener is taken off the entity, and the connection ends
// (docs/protocol.md, section 2.8).
func TestGroundControlClose(t *testing.T) {
	g := emulator.Start(t)
	payloads := [][]byte{nil, framer.ClosePayload(1000, ""),
		framer.ClosePayload(1000, strings.Repeat("r", 123))}
	for _, code := range allowedCodes {
		payloads = append(payloads, framer.ClosePayload(code, "reason"))
	}
	for _, payload := range payloads {
		t.Run(fmt.Sprintf("%.8x of %d", payload, len(payload)), func(t *testing.T) {
			c, _ := openControl(t, g)
			send(t, c, framer.Message(framer.Close, payload))
			want, _, err := framer.Message(framer.Close, payload).CloseCode()
			if err != nil {
				t.Fatal(err)
			}
			f, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := f.CloseCode(); err != nil || got != want {
				t.Errorf("answered with %v (code %d), want code %d", f, got, want)
			}
			wantEnd(t, c)
			wantNoListeners(t, g, framerPeer)
		})
	}
}

// TestGroundControlCloseInAMessage: an unfinished message does not hold up the
// answer.
func TestGroundControlCloseInAMessage(t *testing.T) {
	g := emulator.Start(t)
	c, _ := openControl(t, g)
	send(t, c, framer.Part(framer.Text, []byte(`{"x`)), framer.CloseFrame(1000, ""))
	f, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if code, _, err := f.CloseCode(); err != nil || code != 1000 {
		t.Errorf("answered with %v, want Close 1000", f)
	}
	wantEnd(t, c)
}

// TestGroundControlLoss: the end of the TCP connection, in a frame or between
// two, by FIN or reset, takes the listener off the entity.
func TestGroundControlLoss(t *testing.T) {
	g := emulator.Start(t)
	wire := framer.Message(framer.Text, command(100)).Append(nil)
	for _, cut := range []int{0, 1, 5, 50} {
		for name, end := range map[string]func(*framer.Conn){
			"fin": (*framer.Conn).Close, "reset": (*framer.Conn).Abort} {
			t.Run(fmt.Sprintf("%s after %d bytes", name, cut), func(t *testing.T) {
				c, _ := openControl(t, g)
				sendBytes(t, c, wire[:cut])
				end(c)
				eventually(t, "deregistration", func() bool {
					s, a, err := framerPeer.dial(g.URL(emulator.Anonymous, ""), nil)
					if err == nil {
						s.Abort()
					}
					return err != nil && a != nil && a.status == 404
				})
			})
		}
	}
}
