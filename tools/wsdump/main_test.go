package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const (
	request = "GET /$hc/e?sb-hc-token=S%20x&sb-hc-action=connect HTTP/1.1\r\nHost: h\r\n" +
		"ServiceBusAuthorization: SharedAccessSignature sig=abc\r\n\r\n"
	answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
)

type say struct {
	client bool
	bytes  string
}

var conversations = []struct {
	name  string
	talk  []say
	lines string
}{
	{"frames both ways", []say{
		{true, request}, {false, answer + "\x81\x02hi"},
		{true, "\x82\x83\x01\x02\x03\x04\x01\x00\x03"},
		{false, "\x02\x7e\x00\x05\x00\x01\x02\x03\x04\x80\x00"},
		{true, "\x88\x82\x00\x00\x00\x00\x03\xe8"}, {false, "\x88\x05\x03\xe9bye"},
	}, `> GET /$hc/e?sb-hc-token=(not shown)&sb-hc-action=connect HTTP/1.1
> Host: h
> ServiceBusAuthorization: (not shown)
< HTTP/1.1 101 Switching Protocols
< Upgrade: websocket
< text fin 2 bytes  "hi"
> binary fin masked 3 bytes  00 02 00
< binary 5 bytes  00 01 02 03 ...
< continuation fin 0 bytes
> close fin masked 2 bytes  1000 ""
< close fin 5 bytes  1001 "bye"
`},
	{"refusal, then another request", []say{
		{true, "GET / HTTP/1.1\r\n\r\n"},
		{false, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc"},
		{true, "GET /2 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 204 No Content\r\n\r\n"},
	}, `> GET / HTTP/1.1
< HTTP/1.1 404 Not Found
< Content-Length: 3
< end of body
> GET /2 HTTP/1.1
< HTTP/1.1 204 No Content
`},
	{"long frame, odd bits", []say{
		{false, answer + "\xc3\x7f\x00\x00\x00\x00\x00\x00\x00\x06abcdef"},
	}, `< HTTP/1.1 101 Switching Protocols
< Upgrade: websocket
< opcode 3 fin rsv 100 6 bytes  "abcd" ...
`},
	{"token in a control message", []say{
		{false, answer}, {true, "\x81\x09?sig=xyz&"},
	}, `< HTTP/1.1 101 Switching Protocols
< Upgrade: websocket
> text fin 9 bytes  "?sig" ...
`},
}

// What a conversation looks like, whatever the sizes of the reads.
func TestStreamPrints(t *testing.T) {
	for _, c := range conversations {
		for _, piece := range []int{1, 3, 1 << 20} {
			var lines strings.Builder
			u := new(upgrade)
			streams := map[bool]*stream{}
			for client, arrow := range map[bool]string{true: "> ", false: "< "} {
				streams[client] = &stream{fromClient: client, upgrade: u, show: 4,
					print: func(l string) { lines.WriteString(arrow + l + "\n") }}
			}
			for _, s := range c.talk {
				for rest := []byte(s.bytes); len(rest) > 0; {
					n := min(piece, len(rest))
					streams[s.client].feed(rest[:n])
					rest = rest[n:]
				}
			}
			if lines.String() != c.lines {
				t.Errorf("%s, %d bytes at a time:\n%s\nwant\n%s", c.name, piece,
					lines.String(), c.lines)
			}
		}
	}
}

func TestUnfinished(t *testing.T) {
	for talk, want := range map[string]string{
		"GET / HT":            " after 8 bytes of a head",
		answer:                "",
		answer + "\x82":       " after 1 bytes of a head",
		answer + "\x82\x05ab": ", 3 bytes of a frame missing: binary fin 5 bytes",
		answer + "\x82\x02ab": "",
		"HTTP/1.1 400 Bad\r\n" + "Content-Length: 9\r\n\r\nab": ", 7 bytes of the body missing",
	} {
		s := &stream{upgrade: new(upgrade), show: 8, print: func(string) {}}
		s.feed([]byte(talk))
		if got := s.unfinished(); got != want {
			t.Errorf("%q: %q, want %q", talk, got, want)
		}
	}
}

func TestRedactsPayload(t *testing.T) {
	s := &stream{}
	got := s.redact(`{"renewToken":{"token":"S sr=a&sig=b%2Bc&se=1"}}`)
	if strings.Contains(got, "b%2B") {
		t.Errorf("signature shown: %s", got)
	}
	s.secrets = true
	if got := s.redact("Authorization: x"); got != "Authorization: x" {
		t.Errorf("--secrets hides %q", got)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(request), true)
	f.Add([]byte(answer+"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xffhi"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"), false)
	f.Fuzz(func(_ *testing.T, p []byte, client bool) {
		s := &stream{fromClient: client, upgrade: new(upgrade), show: 8, print: func(string) {}}
		half := len(p) / 2
		s.feed(p[:half])
		s.feed(p[half:])
	})
}

// lockedBuffer takes lines from several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Bytes pass unchanged in both directions, and so do the ends.
func TestForward(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	go func() {
		c, err := target.Accept()
		if err != nil {
			return
		}
		got, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(got))
		_ = c.Close()
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	out := new(lockedBuffer)
	d := &dump{target: target.Addr().String(), show: 8, out: out}
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx, l) }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "get / http/1.1\r\n\r\n")
	_ = c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "GET / HTTP/1.1\r\n\r\n" {
		t.Errorf("came back %q, %v", got, err)
	}
	_ = c.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, want := range []string{" 1 >  get / http/1.1\n", " 1 >  end\n", " 1 <  end\n"} {
		if !strings.Contains(out.b.String(), want) {
			t.Errorf("no %q in\n%s", want, out.b.String())
		}
	}
}

func TestRefusesToListenElsewhere(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := new(dump).serve(context.Background(), l); err == nil ||
		!strings.Contains(err.Error(), "want a loopback address") {
		t.Errorf("error %v", err)
	}
}
