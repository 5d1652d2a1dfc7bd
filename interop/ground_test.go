package interop

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// The ground of a WebSocket conformance suite on the two legs of a relayed
// connection. What holds for the control channel is in
// ground_control_test.go, what no leg may accept in ground_violation_test.go.

// onBothLegs runs a test with each leg as the one under test; open gives a new
// relayed connection each time, the end under test first.
func onBothLegs(t *testing.T, test func(t *testing.T, open func() (tested, other *framer.Conn))) {
	for _, mode := range emulator.Modes {
		if mode.Listener != mode.Sender {
			continue
		}
		for _, leg := range []string{"sender leg", "rendezvous leg"} {
			t.Run(join(mode.Name, leg), func(t *testing.T) {
				g := emulator.StartMode(t, mode)
				c := listen(t, g, framerPeer, emulator.Anonymous)
				test(t, func() (tested, other *framer.Conn) {
					s, l := relayOn(t, g, c, framerPeer, emulator.Anonymous)
					if leg == "sender leg" {
						return raw(s), raw(l)
					}
					return raw(l), raw(s)
				})
			})
		}
	}
}

// wantAlive shows that the relayed connection works and that nothing else was
// on its way to the other end.
func wantAlive(t *testing.T, tested, other *framer.Conn) {
	t.Helper()
	send(t, tested, framer.Message(framer.Text, []byte("alive?")))
	wantFrame(t, other, true, framer.Text, []byte("alive?"))
	send(t, other, framer.Message(framer.Text, []byte("alive!")))
	wantFrame(t, tested, true, framer.Text, []byte("alive!"))
}

func TestGroundLengths(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		for _, length := range []int{0, 1, 125, 126, 127, 128, 32_767, 65_534, 65_535, 65_536,
			65_537, 65_538, 131_071, 131_072, 131_073, 196_609, 1 << 20, 1<<20 + 1} {
			for _, opcode := range []byte{framer.Text, framer.Binary} {
				message := bytes.Repeat([]byte("0123456789abcdef"), length/16+1)[:length]
				sent := make(chan error, 1)
				go func() { sent <- tested.Send(framer.Message(opcode, message)) }()
				wantMessage(t, other, opcode, message)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
			}
		}
		wantAlive(t, tested, other)
	})
}

func TestGroundLargeFrame(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		message := pattern(16 << 20)
		sent := make(chan error, 1)
		go func() { sent <- tested.Send(framer.Message(framer.Binary, message)) }()
		wantMessage(t, other, framer.Binary, message)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

// TestGroundOneByteAtATime sends a little of everything in single bytes.
func TestGroundOneByteAtATime(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		var wire []byte
		for _, f := range []framer.Frame{
			framer.Message(framer.Text, []byte("Hello")),
			framer.Message(framer.Ping, []byte("png")),
			framer.Part(framer.Binary, pattern(3)),
			framer.Message(framer.Pong, nil),
			framer.Message(framer.Continuation, pattern(300)),
			framer.Message(framer.Binary, nil),
			framer.CloseFrame(4321, "slow"),
		} {
			wire = f.Append(wire)
		}
		for i := range wire {
			sendBytes(t, tested, wire[i:i+1])
			pace()
		}
		wantFrame(t, tested, true, framer.Pong, []byte("png"))
		wantFrame(t, other, true, framer.Text, []byte("Hello"))
		wantFrame(t, other, false, framer.Binary, pattern(3))
		wantFrame(t, other, true, framer.Continuation, pattern(300))
		wantFrame(t, other, true, framer.Binary, nil)
		wantClose(t, other, 4321, "slow")
	})
}

// pace leaves the gateway the time to read what was sent as a piece of its own.
// Nothing depends on it but how often a cut falls where it is wanted.
func pace() { time.Sleep(200 * time.Microsecond) }

// TestGroundEveryCut sends two frames in two pieces, cut at every place.
func TestGroundEveryCut(t *testing.T) {
	tests := []struct {
		name  string
		first framer.Frame
	}{
		{"7 bit length", framer.Message(framer.Text, pattern(5))},
		{"16 bit length", framer.Message(framer.Binary, pattern(130))},
		{"64 bit length", framer.Message(framer.Binary, pattern(65_536))},
		{"cut by the gateway", framer.Message(framer.Binary, pattern(65_600))},
		{"ping", framer.Message(framer.Ping, pattern(9))},
	}
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				tested, other := open()
				second := framer.Message(framer.Text, []byte("next"))
				firstLength := len(tt.first.Append(nil))
				wire := second.Append(tt.first.Append(nil))
				for _, cut := range cuts(len(wire), firstLength) {
					sendBytes(t, tested, wire[:cut])
					pace()
					sendBytes(t, tested, wire[cut:])
					if tt.first.Opcode == framer.Ping {
						wantFrame(t, tested, true, framer.Pong, tt.first.Payload)
					} else {
						wantMessage(t, other, tt.first.Opcode, tt.first.Payload)
					}
					wantFrame(t, other, true, framer.Text, []byte("next"))
				}
			})
		}
	})
}

// cuts returns the places to cut at: all of a short text, and of a long one
// those near its beginning and near the border of the two frames.
func cuts(length, border int) []int {
	var places []int
	for at := 1; at < length; at++ {
		if at <= 20 || at >= border-70 {
			places = append(places, at)
		}
	}
	return places
}

func TestGroundPings(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		for size := range 126 {
			send(t, tested, framer.Message(framer.Ping, pattern(size)))
			wantFrame(t, tested, true, framer.Pong, pattern(size))
		}
		wantAlive(t, tested, other) // the other leg has seen none of them

		// Of a burst the last must be answered, and none out of order (RFC
		// 6455, section 5.5.3).
		var burst []framer.Frame
		for i := range 100 {
			burst = append(burst, framer.Message(framer.Ping, []byte{byte(i)}))
		}
		send(t, tested, burst...)
		for last := -1; last != 99; {
			f, err := tested.Receive()
			if err != nil || f.Opcode != framer.Pong || len(f.Payload) != 1 ||
				int(f.Payload[0]) <= last {
				t.Fatalf("received %v %v after the pong %d", f, err, last)
			}
			last = int(f.Payload[0])
		}
		wantAlive(t, tested, other)
	})
}

func TestGroundUnsolicitedPongs(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		for size := range 126 {
			send(t, tested, framer.Message(framer.Pong, pattern(size)))
		}
		wantAlive(t, tested, other)
	})
}

// TestGroundFragments: fragments of up to 65,536 bytes pass one to one, with
// control frames between them answered and not forwarded.
func TestGroundFragments(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		for _, opcode := range []byte{framer.Text, framer.Binary} {
			send(t, tested,
				framer.Part(opcode, []byte("one")),
				framer.Message(framer.Ping, []byte("between")),
				framer.Part(framer.Continuation, nil),
				framer.Message(framer.Pong, []byte("unasked")),
				framer.Part(framer.Continuation, pattern(65_536)),
				framer.Message(framer.Continuation, []byte("four")),
				framer.Part(opcode, nil),
				framer.Message(framer.Continuation, nil))
			wantFrame(t, tested, true, framer.Pong, []byte("between"))
			wantFrame(t, other, false, opcode, []byte("one"))
			wantFrame(t, other, false, framer.Continuation, nil)
			wantFrame(t, other, false, framer.Continuation, pattern(65_536))
			wantFrame(t, other, true, framer.Continuation, []byte("four"))
			wantFrame(t, other, false, opcode, nil)
			wantFrame(t, other, true, framer.Continuation, nil)
		}
		wantAlive(t, tested, other)
	})
}

// TestGroundManyFragments sends messages of 64 KiB to 16 MiB in fragments of
// 64 bytes to 64 KiB.
func TestGroundManyFragments(t *testing.T) {
	tests := []struct{ message, fragment int }{
		{64 << 10, 64}, {1 << 20, 64}, {1 << 20, 1000}, {4 << 20, 4096}, {16 << 20, 65_535},
		{16 << 20, 65_536},
	}
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%d in %d", tt.message, tt.fragment), func(t *testing.T) {
				tested, other := open()
				message := pattern(tt.message)
				sent := make(chan error, 1)
				go func() { sent <- sendFragments(tested, message, tt.fragment) }()
				got := receiveFragments(t, other)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, message) {
					t.Errorf("received %d bytes, not the %d sent", len(got), len(message))
				}
			})
		}
	})
}

func sendFragments(c *framer.Conn, message []byte, size int) error {
	var wire []byte
	opcode := byte(framer.Binary)
	for len(message) > size {
		wire = framer.Part(opcode, message[:size]).Append(wire)
		message, opcode = message[size:], framer.Continuation
		if len(wire) > 1<<18 {
			if err := c.SendBytes(wire); err != nil {
				return err
			}
			wire = wire[:0]
		}
	}
	return c.SendBytes(framer.Message(opcode, message).Append(wire))
}

// receiveFragments reads one binary message in frames of at most 65,536 bytes.
func receiveFragments(t *testing.T, c *framer.Conn) []byte {
	t.Helper()
	var got []byte
	want := byte(framer.Binary)
	for {
		f, err := c.Receive()
		if err != nil || f.Opcode != want || len(f.Payload) > frameMax {
			t.Fatalf("received %v %v after %d bytes, want opcode %#x", f, err, len(got), want)
		}
		got = append(got, f.Payload...)
		if f.Fin {
			return got
		}
		want = framer.Continuation
	}
}

// allowedCodes may be in a Close (RFC 6455, section 7.4, and the registry of
// close codes that it sets up).
var allowedCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
	1014, 3000, 3999, 4000, 4001, 4999}

// TestGroundClose: a Close goes to the other end as it came and is not
// answered by the gateway; the other end's answer ends both.
func TestGroundClose(t *testing.T) {
	payloads := [][]byte{nil, framer.ClosePayload(1000, ""),
		framer.ClosePayload(1000, strings.Repeat("r", 123)),
		framer.ClosePayload(4000, "grün")}
	for _, code := range allowedCodes {
		payloads = append(payloads, framer.ClosePayload(code, "reason"))
	}
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, payload := range payloads {
			t.Run(fmt.Sprintf("%.8x of %d", payload, len(payload)), func(t *testing.T) {
				tested, other := open()
				send(t, tested, framer.Message(framer.Close, payload))
				wantFrame(t, other, true, framer.Close, payload)
				// Not answered: the next thing is what the other end sends.
				send(t, other, framer.Message(framer.Text, []byte("still open")))
				wantFrame(t, tested, true, framer.Text, []byte("still open"))
				send(t, other, framer.Message(framer.Close, payload))
				wantFrame(t, tested, true, framer.Close, payload)
				for _, c := range []*framer.Conn{tested, other} {
					if f, err := c.Receive(); err != io.EOF {
						t.Errorf("after both Closes: %v %v, want a clean end", f, err)
					}
				}
			})
		}
	})
}

// TestGroundCloseOnBothSidesAtOnce: two Closes that cross.
func TestGroundCloseOnBothSidesAtOnce(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for range 20 {
			tested, other := open()
			send(t, tested, framer.CloseFrame(4001, "tested"))
			send(t, other, framer.CloseFrame(4002, "other"))
			wantClose(t, other, 4001, "tested")
			wantClose(t, tested, 4002, "other")
			wantEnd(t, tested)
			wantEnd(t, other)
		}
	})
}

// TestGroundCloseAfterData: a Close keeps its place behind the data, even
// inside a message. Nothing follows it on the other leg: a ping from there is
// neither answered any more nor forwarded, while data goes on.
func TestGroundCloseAfterData(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		sent := make(chan error, 1)
		go func() {
			sent <- tested.Send(framer.Message(framer.Binary, pattern(1<<20)),
				framer.Part(framer.Text, []byte("unfinished")), framer.CloseFrame(1000, "end"))
		}()
		wantMessage(t, other, framer.Binary, pattern(1<<20))
		wantFrame(t, other, false, framer.Text, []byte("unfinished"))
		wantClose(t, other, 1000, "end")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		send(t, other, framer.Message(framer.Ping, []byte("late")),
			framer.Message(framer.Text, []byte("data")), framer.CloseFrame(1000, ""))
		wantFrame(t, tested, true, framer.Text, []byte("data"))
		wantClose(t, tested, 1000, "")
		wantEnd(t, tested)
		wantEnd(t, other)
	})
}

// TestGroundCloseThenFIN: a Close and a TCP half-close from one side leave the
// other direction open (docs/protocol.md, section 4.2).
func TestGroundCloseThenFIN(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		tested, other := open()
		send(t, tested, framer.CloseFrame(1000, "Shutdown"))
		if err := tested.HalfClose(); err != nil {
			t.Fatal(err)
		}
		wantClose(t, other, 1000, "Shutdown")
		send(t, other, framer.Message(framer.Binary, pattern(100_000)))
		wantMessage(t, tested, framer.Binary, pattern(100_000))
		send(t, other, framer.CloseFrame(1000, ""))
		wantClose(t, tested, 1000, "")
		wantEnd(t, tested)
		wantEnd(t, other)
	})
}

// TestGroundLossDeliversWhatWasSent: an end without a Close, by FIN, ends the
// other side without a Close, after everything that was sent
// (docs/protocol.md, section 4.3).
func TestGroundLossDeliversWhatWasSent(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, size := range []int{0, 100, 65_536, 4 << 20} {
			tested, other := open()
			sent := make(chan error, 1)
			go func() {
				err := tested.Send(framer.Message(framer.Binary, pattern(size)))
				tested.Close()
				sent <- err
			}()
			wantMessage(t, other, framer.Binary, pattern(size))
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			wantEnd(t, other)
		}
	})
}

// TestGroundLossInAFrame: what came of a frame is delivered or not, but the
// end is no clean one.
func TestGroundLossInAFrame(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		wire := framer.Message(framer.Binary, pattern(1000)).Append(nil)
		for _, cut := range []int{1, 2, 3, 4, 7, 8, 9, 500, len(wire) - 1} {
			tested, other := open()
			sendBytes(t, tested, wire[:cut])
			tested.Close()
			wantCut(t, other)
		}
	})
}

// TestGroundLongestLength: a frame may announce any length up to 2^63-1; it
// streams through, and its loss in the middle cuts the other end.
func TestGroundLongestLength(t *testing.T) {
	onBothLegs(t, func(t *testing.T, open func() (tested, other *framer.Conn)) {
		for _, length := range []uint64{1 << 32, 1 << 62, 1<<63 - 1} {
			tested, other := open()
			head := framer.AppendHeader(nil, framer.Message(framer.Binary, nil), length)
			const sentBytes = 200_000
			sendBytes(t, tested, framer.AppendMasked(head, pattern(sentBytes), 0))
			var got []byte
			for want := byte(framer.Binary); len(got) < sentBytes; want = framer.Continuation {
				f, n, err := other.ReceiveHeader()
				if err != nil || f.Fin || f.Opcode != want || n > frameMax {
					t.Fatalf("received %v of %d bytes, %v, after %d", f, n, err, len(got))
				}
				part, err := other.ReceiveBytes(min(int(n), sentBytes-len(got)))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, part...)
			}
			if !bytes.Equal(got, pattern(sentBytes)) {
				t.Error("the payload has changed on its way")
			}
			tested.Abort()
			for err := error(nil); !framer.IsEnd(err); {
				if _, err = other.ReceiveBytes(1); err != nil && !framer.IsEnd(err) {
					t.Fatal(err)
				}
			}
		}
	})
}
