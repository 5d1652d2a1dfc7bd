package relayclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestConnIsANetConn: the tests that all net.Conns have to pass.
func TestConnIsANetConn(t *testing.T) {
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		s, r := pair(t, l, relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)})
		_ = s.SetDeadline(time.Time{})
		_ = r.SetDeadline(time.Time{})
		return s, r, func() { _, _ = s.Close(), r.Close() }, nil
	})
}

// TestConnServesHTTP: http.Server sets deadlines in the past behind each
// request, and goes on with the connection.
func TestConnServesHTTP(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	server := &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	dials := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (
		net.Conn, error) {
		dials++
		return (&relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)}).Dial(ctx)
	}}
	client := &http.Client{Transport: transport}
	for range 5 {
		res, err := client.Post("http://any/", "", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if dials != 1 {
		t.Errorf("%d connections for 5 requests", dials)
	}
	transport.CloseIdleConnections()
	_ = server.Close()
	if err := relaytest.Receive(t, served, "the end of Serve"); err != http.ErrServerClosed {
		t.Error(err)
	}
}

func TestConnEnds(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	d := relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)}
	end := func(c net.Conn) error {
		_, err := c.Read(make([]byte, 1))
		return err
	}

	t.Run("Close with a code", func(t *testing.T) {
		s, r := pair(t, l, d)
		if err := s.CloseWith(1006, ""); err == nil {
			t.Error("closed with 1006")
		}
		_ = s.CloseWith(4001, "bye")
		var ce *relayclient.CloseError
		if err := end(r); !errors.As(err, &ce) || ce.Code != 4001 || ce.Reason != "bye" {
			t.Error(err)
		}
		if err := end(r); !errors.As(err, &ce) {
			t.Errorf("once more: %v", err)
		}
		for name, err := range map[string]error{"Close": s.Close(), "CloseWrite": s.CloseWrite(),
			"SetDeadline": s.SetDeadline(time.Now()), "Read": end(s)} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s behind Close: %v", name, err)
			}
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write behind Close: %v", err)
		}
	})
	t.Run("Close while reading", func(t *testing.T) {
		s, r := pair(t, l, d)
		ended := make(chan error, 1)
		go func() { ended <- end(s) }()
		_, _ = r.Write([]byte("x")) // the reader is there
		if err := relaytest.Receive(t, ended, "a byte"); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- end(s) }()
		_ = s.Close()
		if err := relaytest.Receive(t, ended, "the end"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := end(r); err != io.EOF {
			t.Error(err)
		}
	})
	t.Run("what was written before Close arrives", func(t *testing.T) {
		s, r := pair(t, l, d)
		_, _ = r.Write([]byte("never read")) // a plain close would reset
		var sent int64
		for err := error(nil); err == nil; { // until nothing on the way takes more
			_ = s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			var k int
			k, err = s.Write(make([]byte, 1<<20))
			sent += int64(k)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		if got, err := io.Copy(io.Discard, r); got != sent || err != nil {
			t.Errorf("%d bytes of %d, %v", got, sent, err)
		}
		if err := relaytest.Receive(t, closed, "the end of Close"); err != nil {
			t.Error(err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		r := relaytest.Receive(t, accept(t, l), "a sender")
		p.Conn(t).Abort()
		if err := end(r); err == nil || errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		s, r := pair(t, l, d)
		_ = s.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err := end(s); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = s.SetReadDeadline(time.Time{})
		_, _ = r.Write([]byte("x"))
		if err := end(s); err != nil {
			t.Error(err)
		}
	})
	t.Run("text messages and Pings", func(t *testing.T) {
		p := n.Connect(t, relaytest.Dial{Path: relaytest.Anonymous})
		r := relaytest.Receive(t, accept(t, l), "a sender")
		c := p.Conn(t)
		c.Send(t, relaytest.Text, []byte("a"))
		c.Send(t, relaytest.Binary, nil)
		c.Send(t, relaytest.Binary, []byte("b"))
		closed := c.Close(1000, "")
		if all, err := io.ReadAll(r); string(all) != "ab" || err != nil {
			t.Errorf("%q, %v", all, err)
		}
		_ = r.Close()
		if err := relaytest.Receive(t, closed, "the Close"); err != nil {
			t.Error(err)
		}
	})
}
