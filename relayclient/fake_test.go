package relayclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// fake is a gateway that does what a test wants, with one control channel at a
// time. It has any certificate.
type fake struct {
	*httptest.Server
	channels chan net.Conn // the control channels, behind their 101
	dials    chan string   // the request targets of all other legs, which get 403
}

func newFake(t *testing.T, secure bool) *fake {
	t.Helper()
	f := &fake{channels: make(chan net.Conn, 100), dials: make(chan string, 100)}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sb-hc-action") != "listen" {
			f.dials <- r.RequestURI
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		f.channels <- c
	})
	if secure {
		f.Server = httptest.NewTLSServer(h)
	} else {
		f.Server = httptest.NewServer(h)
	}
	t.Cleanup(func() {
		f.Close()
		for len(f.channels) > 0 {
			_ = (<-f.channels).Close()
		}
	})
	return f
}

func (f *fake) entity() Entity {
	e := Entity{Endpoint: f.URL, Path: "e", Token: Key("n", "5ecret")}
	if c := f.Certificate(); c != nil {
		e.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		e.TLS.RootCAs.AddCert(c)
	}
	return e
}

func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return v
}

// lines is a log that many goroutines write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// listen registers with the fake and gives the other end of the channel, the
// losses and the log.
func (f *fake) listen(t *testing.T, edit ...func(*Options)) (
	l *Listener, channel net.Conn, losses <-chan error, log *lines) {
	t.Helper()
	lost := make(chan error, 1000)
	log = new(lines)
	o := Options{Entity: f.entity(), BackoffMin: time.Millisecond,
		BackoffMax:   10 * time.Millisecond,
		Reconnecting: func(err error, _ time.Duration) { lost <- err },
		Logger: slog.New(slog.NewTextHandler(log,
			&slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, e := range edit {
		e(&o)
	}
	l, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	channel = receive(t, f.channels, "a control channel")
	t.Cleanup(func() {
		_ = channel.Close()
		_ = l.Close()
	})
	return l, channel, lost, log
}

// say sends a text message.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := ws.WriteFrame(c, frame(ws.OpText, true, text)); err != nil {
		t.Fatal(err)
	}
}

// hear reads the next frame of a kind.
func hear(t *testing.T, c net.Conn, op ws.OpCode) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		f, err := ws.ReadFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		if f = ws.UnmaskFrameInPlace(f); f.Header.OpCode == op {
			return string(f.Payload)
		}
	}
}

// TestSilence: a gateway that answers Pings is kept, one that does not is given
// up.
func TestSilence(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	_, c, lost, _ := f.listen(t, func(o *Options) {
		o.PingInterval, o.PingTimeout = 50*time.Millisecond, 250*time.Millisecond
	})
	for range 10 { // longer than both
		hear(t, c, ws.OpPing)
		if err := ws.WriteFrame(c, frame(ws.OpPong, true, "")); err != nil {
			t.Fatal(err)
		}
	}
	if len(lost) > 0 {
		t.Fatalf("lost: %v", <-lost)
	}
	if err := receive(t, lost, "the loss"); !isTimeout(err) {
		t.Errorf("lost by %v", err)
	}
	again := receive(t, f.channels, "another channel")
	_ = again.Close()
}

// TestCommands: what a gateway may say and what not.
func TestCommands(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	long := `{"x":"` + strings.Repeat("x", messageMax) + `"}`
	for name, tt := range map[string]struct {
		frames []ws.Frame
		ends   error // nil: the channel goes on
	}{
		"unknown":            {[]ws.Frame{frame(ws.OpText, true, `{"new":{}}`)}, nil},
		"stray binary":       {[]ws.Frame{frame(ws.OpBinary, true, "")}, nil},
		"accept to nowhere":  {[]ws.Frame{frame(ws.OpText, true, `{"accept":{}}`)}, nil},
		"request to nowhere": {[]ws.Frame{frame(ws.OpText, true, `{"request":{}}`)}, nil},
		"target of nothing": {[]ws.Frame{frame(ws.OpText, true,
			`{"request":{"id":"i","method":"GET"}}`)}, nil},
		"no JSON":  {[]ws.Frame{frame(ws.OpText, true, `5ecret`)}, ErrProtocol},
		"too long": {[]ws.Frame{frame(ws.OpText, true, long)}, ErrTooLarge},
		"no body": {[]ws.Frame{frame(ws.OpText, true, `{"request":{"id":"i","method":"GET",`+
			`"requestTarget":"/e","body":true}}`), frame(ws.OpText, true, `{}`)}, ErrProtocol},
		"large body": {[]ws.Frame{frame(ws.OpText, true, `{"request":{"id":"i","method":"GET",`+
			`"requestTarget":"/e","body":true}}`), frame(ws.OpBinary, true, long)}, ErrTooLarge},
	} {
		l, c, lost, _ := f.listen(t)
		go func() {
			_, _ = c.Write(bytesOf(t, tt.frames...)) // may be cut
			_, _ = c.Write(bytesOf(t, frame(ws.OpPing, true, "still there")))
		}()
		if tt.ends == nil {
			if got := hear(t, c, ws.OpPong); got != "still there" || len(lost) > 0 {
				t.Errorf("%s: %q, %d losses", name, got, len(lost))
			}
		} else if err := receive(t, lost, "the loss"); !errors.Is(err, tt.ends) ||
			strings.Contains(err.Error(), "5ecret") {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
		_ = l.Close()
		for len(f.channels) > 0 {
			_ = (<-f.channels).Close()
		}
	}
}

// TestNoAddress: a response that fits goes over the control channel, another
// one has nowhere to go.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	failed := make(chan error, 1)
	_, c, _, _ := f.listen(t, func(o *Options) {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				_, _ = io.WriteString(w, "hello")
				return
			}
			failed <- http.NewResponseController(w).Flush()
		})
	})
	say(t, c, `{"request":{"id":"i<>","method":"GET","requestTarget":"/e"}}`)
	want := `{"response":{"requestId":"i\u003c\u003e","statusCode":200,"statusDescription":"OK",` +
		`"responseHeaders":{"Content-Length":"5","Content-Type":"text/plain; charset=utf-8"},` +
		`"body":true}}`
	if got := hear(t, c, ws.OpText); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := hear(t, c, ws.OpBinary); got != "hello" {
		t.Errorf("%q", got)
	}
	say(t, c, `{"request":{"id":"i","method":"PUT","requestTarget":"/e"}}`)
	if err := receive(t, failed, "the end of the handler"); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
}

// TestChannelLostUnderRequest: the context of a request ends with the control
// channel that its response needs.
func TestChannelLostUnderRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	begun, ended := make(chan struct{}), make(chan error, 1)
	_, c, _, _ := f.listen(t, func(o *Options) {
		o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
	})
	say(t, c, `{"request":{"id":"i","method":"GET","requestTarget":"/e"}}`)
	receive(t, begun, "the request")
	_ = c.Close()
	if err := receive(t, ended, "the end of the context"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = receive(t, f.channels, "another channel").Close()
}

// TestAddresses: those that are not TLS are not dialled where the control
// channel is; others are as they are, and never shown.
func TestAddresses(t *testing.T) {
	t.Parallel()
	f := newFake(t, true)
	l, c, _, log := f.listen(t)
	host := f.Listener.Addr().String()
	const secret = "0123456789abcdef0123456789abcdef"
	accept := func(scheme string) {
		say(t, c, `{"accept":{"address":"`+scheme+`://`+host+`/$hc/E%2fx?sb-hc-rendezvous=`+secret+
			`&sb-hc-action=accept&sb-hc-id=i","id":"i","connectHeaders":{},"remoteEndpoint":{}}}`)
	}
	accept("ws")
	accept("ftp")
	accept("wss")
	if got := receive(t, f.dials, "a dial"); got != "/$hc/E%2fx?sb-hc-rendezvous="+secret+
		"&sb-hc-action=accept&sb-hc-id=i" {
		t.Errorf("dialled %q", got)
	}
	_ = c.Close()
	_ = l.Close()
	for _, want := range []string{"rendezvous address without TLS", "rendezvous address that is none"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log without %q: %s", want, log)
		}
	}
	if len(f.dials) > 0 || strings.Contains(log.String(), secret) {
		t.Errorf("dialled %d more, log: %s", len(f.dials), log)
	}
}

// TestHandshakes: answers that are no WebSocket's, and errors without secrets.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	for answer, want := range map[string]error{
		head + "\r\n": ErrProtocol,
		head + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n": ErrProtocol,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                          ErrProtocol,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                      new(HandshakeError),
		"garbage\r\n\r\n": nil,
		"":                nil,
	} {
		in, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := in.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}()
		e := Entity{Endpoint: "ws://" + in.Addr().String(), Path: "e", Token: Key("n", "5ecret")}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = (&Dialer{Entity: e, Suffix: "?x=5ecret"}).Dial(ctx)
		cancel()
		var he *HandshakeError
		if err == nil || want == ErrProtocol && !errors.Is(err, want) ||
			errors.As(want, &he) && !errors.As(err, &he) || strings.Contains(err.Error(), "5ecret") {
			t.Errorf("%q: %v", answer, err)
		}
		_ = in.Close()
		<-done
	}
}

// TestCloseIsBounded: a gateway that says nothing to a Close does not hold it
// up for long.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	l, c, _, _ := f.listen(t)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	hear(t, c, ws.OpClose)
	if err := receive(t, closed, "the end of Close"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("once more: %v", err)
	}
}

// TestCloseInCallback: one may give up in a callback.
func TestCloseInCallback(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	var l *Listener
	ready, offline := make(chan struct{}), make(chan struct{})
	l, c, _, _ := f.listen(t, func(o *Options) {
		o.Reconnecting = func(error, time.Duration) {
			<-ready
			_ = l.Close()
		}
		o.Offline = func() { close(offline) }
	})
	close(ready)
	_ = c.Close()
	receive(t, offline, "the end")
}
