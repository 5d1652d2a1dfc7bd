package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 1-9, 24-28 and 32 of the conformance list: relaying.

var bothEntities = []string{emulator.Authenticated, emulator.Anonymous}

func forEachEntity(t *testing.T, test func(t *testing.T, entity string)) {
	for _, entity := range bothEntities {
		t.Run(entity, func(t *testing.T) { test(t, entity) })
	}
}

func TestItem01SendAndClose(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		forEachEntity(t, func(t *testing.T, entity string) {
			s, l, _ := relay(t, g, sender, listener, entity)
			transfer(t, s, l, framer.Binary, pattern(1024))
			done := make(chan error, 1)
			go func() { done <- s.Close(1000, "") }()
			wantClosed(t, l, 1000) // the library answers, which completes the close
			if err := <-done; err != nil {
				t.Errorf("the sender's close: %v", err)
			}
		})
	})
}

// halfClose closes a while b goes on sending, then b, and wants both TCP
// connections to be ended by the gateway, cleanly.
func halfClose(t *testing.T, a, b *framer.Conn) {
	t.Helper()
	send(t, a, framer.CloseFrame(1000, "Shutdown"))
	wantClose(t, b, 1000, "Shutdown")
	for _, size := range []int{1, 2048, 100_000} {
		// The closing side has no answer to its Close: data comes first.
		send(t, b, framer.Message(framer.Binary, pattern(size)))
		wantMessage(t, a, framer.Binary, pattern(size))
	}
	send(t, b, framer.CloseFrame(1000, "CloseAsync"))
	wantClose(t, a, 1000, "CloseAsync")
	for _, c := range []*framer.Conn{a, b} {
		if f, err := c.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("after both Closes: %v %v, want the end", f, err)
		}
	}
}

func TestItem02SenderHalfCloses(t *testing.T) {
	forEachMode(t, func(t *testing.T, g *emulator.Gateway) {
		forEachEntity(t, func(t *testing.T, entity string) {
			s, l, _ := rawRelay(t, g, entity)
			halfClose(t, s, l)
		})
	})
}

func TestItem03ListenerHalfCloses(t *testing.T) {
	forEachMode(t, func(t *testing.T, g *emulator.Gateway) {
		forEachEntity(t, func(t *testing.T, entity string) {
			s, l, _ := rawRelay(t, g, entity)
			send(t, l, framer.Message(framer.Binary, pattern(2048)))
			wantMessage(t, s, framer.Binary, pattern(2048))
			halfClose(t, l, s)
		})
	})
}

func TestItem04HundredSenders(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		go l.echoAll()
		results := make(chan error, 100)
		for size := 1; size <= 100; size++ {
			go func() { results <- echoOnce(g, sender, size) }()
		}
		for range 100 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// echoOnce connects and wants one message back in one piece: a small message
// is never cut (docs/protocol.md, section 4.1).
func echoOnce(g *emulator.Gateway, sender peer, size int) error {
	c, answer, err := sender.dial(g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
	if err != nil {
		return fmt.Errorf("connect: %w, answer %+v", err, answer)
	}
	defer c.Abort()
	if err := c.Write(framer.Binary, pattern(size)); err != nil {
		return err
	}
	if f, ok := c.(*framerConn); ok {
		frame, err := f.c.Receive()
		if err != nil || !frame.Fin || !bytes.Equal(frame.Payload, pattern(size)) {
			return fmt.Errorf("%v %w, want %d bytes in one frame", frame, err, size)
		}
		return nil
	}
	_, message, err := c.Read()
	if err != nil || !bytes.Equal(message, pattern(size)) {
		return fmt.Errorf("%d bytes back, %w; want %d", len(message), err, size)
	}
	return nil
}

func TestItem05SenderHeaders(t *testing.T) {
	headers := map[string]string{
		"X-Custom":           "Hello, relay; a/b.c",
		"A!#$%&'*+-.^_`|~z9": "every token character in the name",
		"X-Punctuation":      "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ end",
	}
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Authenticated)
		header := senderHeader(emulator.Authenticated)
		for name, value := range headers {
			header[name] = []string{value}
		}
		pending := connecting(sender, g.URL(emulator.Authenticated, "sb-hc-action=connect"),
			header)
		a := l.next(t)
		for name, value := range headers {
			if got := a.header(name); got != value {
				t.Errorf("header %s is %q, want %q", name, got, value)
			}
		}
		accepted := l.accept(t, a)
		transfer(t, connected(t, pending), accepted, framer.Text, []byte("flows"))
	})
}

func TestItem06LargeMessages(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		s, l, _ := relay(t, g, sender, listener, emulator.Anonymous)
		transfer(t, s, l, framer.Binary, pattern(1<<20))
		transfer(t, l, s, framer.Binary, pattern(1<<20))
		done := make(chan error, 1)
		go func() { done <- s.Close(1000, "") }()
		wantClosed(t, l, 1000)
		if err := <-done; err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

func TestItem07ListenerAborts(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		s, l, _ := relay(t, g, sender, listener, emulator.Anonymous)
		l.Abort()
		wantClosed(t, s, 1006) // no Close frame, or .NET would see a clean end
	})
}

func TestItem08EitherSideDrops(t *testing.T) {
	ends := []struct {
		name string
		drop func(c *framer.Conn)
	}{
		{"reset", (*framer.Conn).Abort},
		{"fin", (*framer.Conn).Close},
		{"fin without close_notify", (*framer.Conn).Cut},
		{"reset in a frame", func(c *framer.Conn) {
			_ = c.SendBytes(framer.AppendHeader(nil, framer.Message(framer.Binary, nil), 1000))
			c.Abort()
		}},
	}
	forEachMode(t, func(t *testing.T, g *emulator.Gateway) {
		for _, end := range ends {
			t.Run(end.name, func(t *testing.T) {
				s, l, c := rawRelay(t, g, emulator.Anonymous)
				end.drop(s)
				wantCut(t, l)
				sender, listener := relayOn(t, g, c, framerPeer, emulator.Anonymous)
				end.drop(raw(listener))
				wantCut(t, raw(sender))
			})
		}
	})
}

func TestItem09SenderAbortsBeforeAccept(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		sender, err := framer.Connect(g.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		target := "/$hc/" + emulator.Anonymous + "?sb-hc-action=connect"
		if err := sender.SendBytes([]byte(framer.Request(target, g.HTTP))); err != nil {
			t.Fatal(err)
		}
		a := l.next(t)
		sender.Abort()
		c, answer, err := listener.dial(a.Address, nil)
		if err != nil {
			wantRefusal(t, answer, 403, "", emulator.Anonymous)
			return
		}
		defer c.Abort()
		wantClosed(t, c, 1006)
	})
}

func TestItem24Sizes(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		s, l, _ := relay(t, g, sender, listener, emulator.Authenticated)
		for _, there := range []int{256, 65_537} {
			for _, back := range []int{256, 65_537} {
				transfer(t, s, l, framer.Binary, pattern(there))
				transfer(t, l, s, framer.Binary, pattern(back))
			}
		}
	})
}

func TestItem25TextStaysText(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		s, l, _ := relay(t, g, sender, listener, emulator.Authenticated)
		for _, text := range []string{"", "small", "grün ☂ 𝄞", strings.Repeat("x", 65_536)} {
			transfer(t, s, l, framer.Text, []byte(text))
			transfer(t, l, s, framer.Text, []byte(text))
			transfer(t, s, l, framer.Binary, []byte(text))
		}
	})
}

func TestItem26RepeatedAndSeveralSenders(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		c := listen(t, g, listener, emulator.Anonymous)
		var senders, accepted []conn
		for range 3 {
			s, l := relayOn(t, g, c, sender, emulator.Anonymous)
			senders, accepted = append(senders, s), append(accepted, l)
		}
		for round := range 100 {
			for i := range senders {
				message := fmt.Appendf(nil, "round %d of sender %d", round, i)
				transfer(t, senders[i], accepted[i], framer.Text, message)
				transfer(t, accepted[i], senders[i], framer.Text, message)
			}
		}
	})
}

func TestItem27CloseReachesTheOtherSideSoon(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		c := listen(t, g, listener, emulator.Anonymous)
		for _, from := range []string{"sender", "listener"} {
			s, l := relayOn(t, g, c, sender, emulator.Anonymous)
			first, other := s, l
			if from == "listener" {
				first, other = l, s
			}
			begun := time.Now()
			go func() { _ = first.Close(1000, "done") }()
			wantClosed(t, other, 1000)
			if took := time.Since(begun); took > 500*time.Millisecond {
				t.Errorf("the close of the %s took %v, want at most 500ms", from, took)
			}
		}
		// The control channel has stayed up.
		s, l := relayOn(t, g, c, sender, emulator.Anonymous)
		transfer(t, s, l, framer.Text, []byte("still here"))
	})
}

func TestItem28ExtraQuery(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		c := listen(t, g, listener, emulator.Anonymous)
		pending := connecting(sender,
			g.URL(emulator.Anonymous, "foo=bar&sb-hc-action=connect"), nil)
		a := c.next(t)
		if !strings.Contains(a.Address, "/$hc/"+emulator.Anonymous+"?foo=bar&") {
			t.Errorf("accept address %s does not carry the query", a.Address)
		}
		l := c.accept(t, a)
		transfer(t, connected(t, pending), l, framer.Text, []byte("x"))
	})
}

func TestItem32CloseCodes(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		c := listen(t, g, listener, emulator.Anonymous)
		s, l := relayOn(t, g, c, sender, emulator.Anonymous)
		go func() { _ = s.Close(1000, "") }()
		wantClosed(t, l, 1000)

		s, l = relayOn(t, g, c, sender, emulator.Anonymous)
		go func() { _ = l.Close(1000, "") }()
		wantClosed(t, s, 1000)

		// Application codes and reasons arrive as they were sent.
		s, l = relayOn(t, g, c, sender, emulator.Anonymous)
		go func() { _ = s.Close(4001, "bye") }()
		if reason := wantClosed(t, l, 4001); reason != "bye" {
			t.Errorf("reason %q, want bye", reason)
		}
	})
}
