package relayclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
)

// entity is one of the node's, with a key.
func entity(n *relaytest.Node, path string) relayclient.Entity {
	return relayclient.Entity{Endpoint: "ws://" + n.HTTP, Path: path,
		Token: relayclient.Key(relaytest.RootRule, relaytest.RootKey)}
}

// patient is a context for what must happen.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// listen registers a listener until the test ends, with short waits.
func listen(t testing.TB, n *relaytest.Node, path string,
	edit ...func(*relayclient.Options)) *relayclient.Listener {
	t.Helper()
	o := relayclient.Options{Entity: entity(n, path),
		BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond}
	for _, f := range edit {
		f(&o)
	}
	l, err := relayclient.Listen(patient(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t testing.TB, d relayclient.Dialer) (*relayclient.Conn, error) {
	t.Helper()
	c, err := d.Dial(patient(t))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(relaytest.Patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*relayclient.Conn), nil
}

// pair is a relayed connection.
func pair(t testing.TB, l *relayclient.Listener, d relayclient.Dialer) (
	sender, listener *relayclient.Conn) {
	t.Helper()
	accepted := accept(t, l)
	sender, err := dial(t, d)
	if err != nil {
		t.Fatal(err)
	}
	return sender, relaytest.Receive(t, accepted, "a sender")
}

func accept(t testing.TB, l *relayclient.Listener) <-chan *relayclient.Conn {
	accepted := make(chan *relayclient.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(relaytest.Patience))
		accepted <- c.(*relayclient.Conn)
	}()
	return accepted
}

func TestEcho(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Authorized)
	s, r := pair(t, l, relayclient.Dialer{Entity: entity(n, relaytest.Authorized),
		Suffix: "/more%20path?a=1&sb-hc-x=2", Header: http.Header{"X-App": {"yes"}}})
	if _, err := io.WriteString(s, "hello"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 99)
	if k, err := r.Read(buf); string(buf[:k]) != "hello" {
		t.Fatalf("%q, %v", buf[:k], err)
	}
	q := r.Request()
	if q.URL.String() != "/authenticated/more%20path?a=1" || q.Header.Get("X-App") != "yes" ||
		q.Header.Get("ServiceBusAuthorization") != "" || q.RemoteAddr == "" || q.ID == "" {
		t.Errorf("request %+v, URL %v", q, q.URL)
	}
	if r.LocalAddr() != l.Addr() || l.Addr().String() != "ws://"+n.HTTP+"/authenticated" ||
		s.RemoteAddr() != l.Addr() || r.RemoteAddr().String() != s.LocalAddr().String() {
		t.Errorf("addresses %v %v, %v %v", s.LocalAddr(), s.RemoteAddr(), r.LocalAddr(),
			r.RemoteAddr())
	}
	// One direction ends, the other goes on.
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, relayclient.ErrWriteClosed) {
		t.Errorf("write behind CloseWrite: %v", err)
	}
	if k, err := r.Read(buf); k != 0 || err != io.EOF {
		t.Fatalf("%d, %v", k, err)
	}
	if _, err := io.WriteString(r, "bye"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(s); string(rest) != "bye" || err != nil {
		t.Fatalf("%q, %v", rest, err)
	}
}

// TestLarge: 10 MiB each way at the same time.
func TestLarge(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	s, r := pair(t, l, relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)})
	data := make([]byte, 10<<20)
	rand.New(rand.NewSource(1)).Read(data)
	want := sha256.Sum256(data)
	sums := make(chan [32]byte, 2)
	for _, c := range []*relayclient.Conn{s, r} {
		go func() {
			h := sha256.New()
			_, _ = io.Copy(h, c)
			sums <- [32]byte(h.Sum(nil))
		}()
		go func() {
			_, err := io.Copy(c, struct{ io.Reader }{bytes.NewReader(data)})
			if err == nil {
				err = c.CloseWrite()
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	for range 2 {
		if got := relaytest.Receive(t, sums, "10 MiB"); got != want {
			t.Error("other bytes came")
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	listen(t, n, relaytest.Authorized, func(o *relayclient.Options) {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("body: %v", err)
			}
			w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Header.Get("X-App"))
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write(body)
		})
	})
	e := entity(n, relaytest.Authorized)
	transport, err := e.Transport()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 1 << 20} {
		for _, chunked := range []bool{false, true} {
			data := strings.Repeat("x", size)
			var body io.Reader = strings.NewReader(data)
			if chunked {
				body = io.MultiReader(body)
			}
			req, _ := http.NewRequestWithContext(patient(t), "POST", e.URL("a?b=c"), body)
			req.Header.Set("X-App", "app")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(got) != data || res.StatusCode != 202 ||
				res.Header.Get("X-Seen") != "POST /authenticated/a?b=c app" {
				t.Errorf("%d bytes: %v, %d bytes, %v", size, res, len(got), err)
			}
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := listen(t, n, relaytest.Anonymous)
	served := make(chan error, 1)
	go func() { served <- l.Serve(http.NotFoundHandler()) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if err := relaytest.Receive(t, served, "the end of Serve"); err != http.ErrServerClosed {
		t.Errorf("serve: %v", err)
	}
	_, err := dial(t, relayclient.Dialer{Entity: entity(n, relaytest.Anonymous)})
	var refused *relayclient.HandshakeError
	if !errors.As(err, &refused) || refused.Status != 404 || refused.TrackingID == "" ||
		!strings.HasPrefix(refused.Text, "There are no listeners connected") {
		t.Errorf("dial: %v", err)
	}
}
