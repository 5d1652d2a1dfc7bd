package main

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relayhouse/relayhouse/bench/naive"
	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func gateway(t *testing.T) (ctx context.Context, addr string) {
	t.Helper()
	srv := httptest.NewServer(new(naive.Relay))
	t.Cleanup(srv.Close)
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(stop)
	return ctx, strings.TrimPrefix(srv.URL, "http://")
}

// together runs a listener and a sender against each other.
func together(t *testing.T, listener, sender *peer) (l, s result) {
	t.Helper()
	ctx, addr := gateway(t)
	listener.role, sender.role = "listener", "sender"
	for _, p := range []*peer{listener, sender} {
		p.gateway, p.entity = addr, "e"
		if p.message == 0 {
			p.message = 1000
		}
	}
	done := make(chan error, 1)
	go func() {
		var err error
		l, err = listener.run(ctx)
		done <- err
	}()
	for {
		var err error
		s, err = sender.run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Until the listener is there the gateway answers 404.
		if s.end == nil || !strings.Contains(s.end.Error(), "404") {
			break
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestTransferInOrder(t *testing.T) {
	idle := func() *peer { return &peer{stall: time.Millisecond} }
	busy := func() *peer { return &peer{write: 2500} }
	for _, c := range []struct {
		listener, sender   *peer
		toListener, toSend int64
	}{{idle(), busy(), 2500, 0}, {busy(), idle(), 0, 2500}} {
		l, s := together(t, c.listener, c.sender)
		if l.received != c.toListener || s.sent != c.toListener ||
			s.received != c.toSend || l.sent != c.toSend || l.messagesIn+s.messagesIn != 3 {
			t.Errorf("listener: %v\nsender: %v", l, s)
		}
		if l.close != "1000" || s.close != "1000" {
			t.Errorf("close: listener %q, sender %q", l.close, s.close)
		}
	}
}

func TestRates(t *testing.T) {
	l, s := together(t, &peer{readRate: 50_000}, &peer{write: 5000, writeRate: 50_000})
	if l.received != 5000 || l.elapsed < 100*time.Millisecond {
		t.Errorf("listener: %v", l)
	}
	if s.elapsed < 100*time.Millisecond {
		t.Errorf("sender: %v", s)
	}
}

func TestCutInsideAFrame(t *testing.T) {
	for _, reset := range []bool{false, true} {
		l, s := together(t, &peer{}, &peer{write: 5000, cutAt: 2000, reset: reset})
		if !errors.Is(s.end, errCut) || l.close != "none" || l.received > 2000 {
			t.Errorf("reset %v: listener: %v\nsender: %v", reset, l, s)
		}
	}
}

func TestCutInsideTheHead(t *testing.T) {
	ctx, addr := gateway(t)
	p := &peer{gateway: addr, entity: "e", role: "sender", cutAt: 20, writeRate: 1000}
	r, err := p.run(ctx)
	if err != nil || !errors.Is(r.end, errCut) {
		t.Errorf("%v, %v", r, err)
	}
}

// As listener it accepts a sender that it has not made, and tells its Close.
func TestListenerForAnother(t *testing.T) {
	ctx, addr := gateway(t)
	p := &peer{gateway: addr, entity: "e", role: "listener"}
	done := make(chan result, 1)
	go func() {
		r, err := p.run(ctx)
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	var c *websocket.Conn
	for c == nil && ctx.Err() == nil {
		c, _, _ = websocket.Dial(ctx, "ws://"+addr+"/$hc/e?sb-hc-action=connect", nil)
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(4000, "enough")
	if r := <-done; r.received != 5 || r.close != "4000 enough" || !errors.Is(r.end, io.EOF) {
		t.Errorf("listener: %v", r)
	}
}

func TestNobodyThere(t *testing.T) {
	for _, role := range []string{"sender", "listener"} {
		p := &peer{gateway: "127.0.0.1:1", entity: "e", role: role}
		if _, err := p.run(context.Background()); err == nil {
			t.Errorf("%s: no error", role)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "10": 10, "3kB": 3000, "3KiB": 3072, "600MB": 600e6, "2MiB": 2 << 20,
	} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q = %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1 GB", "1.5MB", "99999999999999999999"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestWrongRole(t *testing.T) {
	cmd := newCommand()
	cmd.SetArgs([]string{"--role", "gateway"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "want sender or listener") {
		t.Errorf("error %v", err)
	}
}
