package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// Items 15, 29-31, 34, 63, 65, 67 and 73 of the conformance list: the life of
// a listener.

// waitingSenders opens n anonymous senders that nobody accepts.
func waitingSenders(t *testing.T, g *emulator.Gateway, n int) []*framer.Conn {
	t.Helper()
	var waiting []*framer.Conn
	target := "/$hc/" + emulator.Anonymous + "?sb-hc-action=connect"
	for range n {
		c, err := framer.Connect(g.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Abort)
		if err := c.SendBytes([]byte(framer.Request(target, g.HTTP))); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	return waiting
}

// TestItem15ClosingWithWaitingAccepts: the Close of a listener is answered at
// once, and senders that were announced can still be accepted
// (docs/protocol.md, section 2.8).
func TestItem15ClosingWithWaitingAccepts(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		const senders = 100
		l := listen(t, g, p, emulator.Anonymous)
		waiting := waitingSenders(t, g, senders)
		announced := make([]accept, senders)
		for i := range announced {
			announced[i] = l.next(t)
		}
		begun := time.Now()
		if err := l.Close(1000, "Normal Closure"); err != nil {
			t.Errorf("close of the control channel: %v", err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("the close took %v with %d senders waiting", took, senders)
		}
		l.accept(t, announced[senders/2])
		answered := make(chan int, senders)
		for _, c := range waiting {
			go func() {
				r, err := c.ReadResponse()
				if err == nil {
					answered <- r.Status
				}
			}()
		}
		if status := <-answered; status != 101 {
			t.Errorf("the first answer to a waiting sender is %d, want 101", status)
		}
	})
}

func TestItem29OpenAndClose(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		l := listen(t, g, listener, emulator.Anonymous)
		s, accepted := relayOn(t, g, l, sender, emulator.Anonymous)
		transfer(t, s, accepted, framer.Text, []byte("online"))
		if err := l.Close(1000, ""); err != nil {
			t.Errorf("close: %v", err)
		}
		wantNoListeners(t, g, sender)
	})
}

// wantNoListeners wants a sender to be told so at once.
func wantNoListeners(t *testing.T, g *emulator.Gateway, sender peer) {
	t.Helper()
	a := refused(t, connecting(sender, g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil))
	wantRefusal(t, a, 404, "There are no listeners connected for the endpoint",
		emulator.Anonymous)
}

func TestItem30ControlChannelKilled(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		const id = "&sb-hc-id=6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
		token := emulator.Token(emulator.Anonymous)
		killed := listenWith(t, g, listener, emulator.Anonymous, id, token)
		killed.Abort()
		// The first retry is immediate, with the same id.
		l := listenWith(t, g, listener, emulator.Anonymous, id, token)
		s, accepted := relayOn(t, g, l, sender, emulator.Anonymous)
		transfer(t, s, accepted, framer.Text, []byte("usable"))
		// Without a retry the listener is gone.
		l.Abort()
		eventually(t, "deregistration", func() bool {
			c, answer, err := sender.dial(
				g.URL(emulator.Anonymous, "sb-hc-action=connect"), nil)
			if err == nil {
				c.Abort()
			}
			return err != nil && answer != nil && answer.status == 404
		})
	})
}

// TestSameIDReplaces: a listener that registers again with its id while its
// old channel seems alive replaces it; the old one gets 1001
// (docs/protocol.md, section 2.6).
func TestSameIDReplaces(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		const id = "&sb-hc-id=0f8fad5b-d9cb-469f-a165-70867728950e"
		token := emulator.Token(emulator.Anonymous)
		old := listenWith(t, g, p, emulator.Anonymous, id, token)
		l := listenWith(t, g, p, emulator.Anonymous, id, token)
		wantTracked(t, wantClosed(t, old, 1001))
		for range 5 {
			s, accepted := relayOn(t, g, l, p, emulator.Anonymous)
			transfer(t, s, accepted, framer.Text, []byte("to the new one"))
		}
	})
}

// wantTracked wants a Close reason with a tracking id that fits into a frame
// (docs/protocol.md, section 2.8).
func wantTracked(t *testing.T, reason string) {
	t.Helper()
	if !strings.Contains(reason, "TrackingId:") || len(reason) > 123 {
		t.Errorf("Close reason %q, want a tracking id in at most 123 bytes", reason)
	}
}

func TestItem31RegisterAgainAfterClose(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		for range 3 {
			l := listen(t, g, listener, emulator.Anonymous)
			s, accepted := relayOn(t, g, l, sender, emulator.Anonymous)
			transfer(t, s, accepted, framer.Text, []byte("served"))
			if err := l.Close(1000, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}

func renewal(token string) []byte {
	return []byte(`{"renewToken":{"token":"` + token + `"}}`)
}

func TestItem34RenewToken(t *testing.T) {
	entity, expiry := emulator.Authenticated, time.Now().Add(time.Hour)
	resource := "http://127.0.0.1/" + entity
	tests := []struct {
		name, message string
		code          int // 0: the channel stays open
	}{
		{"same rule", string(renewal(emulator.Token(entity))), 0},
		{"namespace scope", string(renewal(emulator.Sign("sb://127.0.0.1", emulator.KeyName,
			emulator.Key, expiry))), 0},
		{"other members", `{"x":1,"renewToken":{"y":2,"token":"` + emulator.Token(entity) + `"}}`, 0},
		{"wrong key", string(renewal(emulator.Sign(resource, emulator.KeyName, "wrong",
			expiry))), 1008},
		{"unknown rule", string(renewal(emulator.Sign(resource, "nobody", emulator.Key,
			expiry))), 1008},
		{"expired", string(renewal(emulator.Sign(resource, emulator.KeyName, emulator.Key,
			time.Now().Add(-time.Hour)))), 1008},
		{"wrong audience", string(renewal(emulator.Token(emulator.Anonymous))), 1008},
		{"no token", `{"renewToken":{}}`, 1008},
		{"empty token", `{"renewToken":{"token":""}}`, 1008},
	}
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				l := listen(t, g, p, entity)
				if err := l.Write(framer.Text, []byte(tt.message)); err != nil {
					t.Fatal(err)
				}
				if tt.code != 0 {
					wantTracked(t, wantClosed(t, l, tt.code))
					return
				}
				s, accepted := relayOn(t, g, l, p, entity)
				transfer(t, s, accepted, framer.Text, []byte("still open"))
				if err := l.Close(1000, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
	})
}

func TestItem63NoListeners(t *testing.T) {
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) { wantNoListeners(t, g, p) })
}

func TestItem65TwentyFiveListeners(t *testing.T) {
	g := emulator.Start(t)
	const most = 25
	served := make(chan int, most)
	for i := range most {
		l := listen(t, g, allPeers[i%len(allPeers)], emulator.Anonymous)
		go func() {
			for {
				a, err := l.tryNext()
				if err != nil {
					return
				}
				c, _, err := l.peer.dial(a.Address+"&sb-hc-statusCode=410", nil)
				if err == nil {
					c.Abort()
				}
				served <- i
			}
		}()
	}
	_, refusal, _ := tryListen(g, framerPeer, emulator.Anonymous, "",
		emulator.Token(emulator.Anonymous))
	wantRefusal(t, refusal, 403, "QuotaExceeded", emulator.Anonymous)

	// Uniformly random: after 600 senders a listener without any has a chance
	// of 25 * 0.96^600, less than one in a thousand million.
	count := map[int]int{}
	for range 600 {
		refused(t, connecting(framerPeer, g.URL(emulator.Anonymous, ""), nil))
		count[<-served]++
	}
	if len(count) != most {
		t.Errorf("%d of %d listeners were served: %v", len(count), most, count)
	}
	for i, n := range count {
		if n > 600/4 {
			t.Errorf("listener %d got %d of 600 senders", i, n)
		}
	}
}

// skew is the grace after a token's expiry (docs/protocol.md, section 6.5).
const skew = 300 * time.Second

func TestItem67Expiry(t *testing.T) {
	g := emulator.Start(t)
	entity := emulator.Authenticated
	sign := func(left time.Duration) string {
		return emulator.Sign("http://127.0.0.1/"+entity+"/", emulator.KeyName, emulator.Key,
			time.Now().Add(left-skew))
	}
	_, refusal, _ := tryListen(g, framerPeer, entity, "", sign(-2*time.Second))
	wantRefusal(t, refusal, 401, "ExpiredToken", entity)

	l := listenWith(t, g, framerPeer, entity, "", sign(3*time.Second))
	s, accepted := relayOn(t, g, l, framerPeer, entity)
	begun := time.Now()
	wantTracked(t, wantClosed(t, l, 1008))
	if took := time.Since(begun); took < time.Second || took > 8*time.Second {
		t.Errorf("closed after %v, want 2 to 3 seconds", took)
	}
	transfer(t, s, accepted, framer.Text, []byte("the relay survives expiry"))

	// A renewal in the time of grace saves the channel.
	l = listenWith(t, g, framerPeer, entity, "", sign(2*time.Second))
	if err := l.Write(framer.Text, renewal(emulator.Token(entity))); err != nil {
		t.Fatal(err)
	}
	if f, err := raw(l.conn).ReceiveWithin(5 * time.Second); !framer.IsTimeout(err) {
		t.Errorf("after a renewal: %v %v, want silence", f, err)
	}
	s, accepted = relayOn(t, g, l, framerPeer, entity)
	transfer(t, s, accepted, framer.Text, []byte("still registered"))
}

func TestItem67RelaysSurviveTheControlChannel(t *testing.T) {
	forEachPair(t, func(t *testing.T, g *emulator.Gateway, sender, listener peer) {
		for _, end := range []string{"close", "abort"} {
			s, l, c := relay(t, g, sender, listener, emulator.Anonymous)
			if end == "close" {
				if err := c.Close(1000, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			} else {
				c.Abort()
			}
			for i := range 3 {
				transfer(t, s, l, framer.Text, fmt.Appendf(nil, "message %d", i))
				transfer(t, l, s, framer.Text, fmt.Appendf(nil, "answer %d", i))
			}
		}
	})
}

func TestItem73GarbageRenewToken(t *testing.T) {
	garbage := []string{
		"com.microsoft.azure.relay.SharedAccessSignatureToken@1b6d3586", // Java 0.0.6
		"SharedAccessSignature ", "SharedAccessSignature sr=&sig=&se=&skn=", "\\u0000",
		strings.Repeat("x", 10_000),
	}
	forEachPeer(t, func(t *testing.T, g *emulator.Gateway, p peer) {
		for _, token := range garbage {
			l := listen(t, g, p, emulator.Anonymous)
			if err := l.Write(framer.Text, renewal(token)); err != nil {
				t.Fatal(err)
			}
			wantTracked(t, wantClosed(t, l, 1008))
			again := listen(t, g, p, emulator.Anonymous)
			s, accepted := relayOn(t, g, again, p, emulator.Anonymous)
			transfer(t, s, accepted, framer.Text, []byte("listening again"))
			if err := again.Close(1000, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}
