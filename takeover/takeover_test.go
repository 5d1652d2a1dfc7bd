package takeover

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

var peer = netip.MustParseAddrPort("192.0.2.1:4711")

func TestParse(t *testing.T) {
	for _, c := range []struct {
		packet      string
		descriptors int
		want        error
	}{
		{`{"kind":"hello","version":1,"pid":7}` + "\n", 0, nil},
		{`{"kind":"later","version":1,"more":true,"new":[1]}` + "\n", 0, nil},
		{`{"kind":"sockets","sockets":[{"name":"http"},{"name":"admin"}]}` + "\n", 2, nil},
		{`{"kind":"connection","peer":"[2001:db8::1]:5"}` + "\nGET / HTTP/1.1\r\n", 1, nil},
		{`{"kind":"retire","key":"a/b"}` + "\n", 0, nil},

		{``, 0, ErrMessage},
		{"\n", 0, ErrMessage},
		{`{}` + "\n", 0, ErrMessage},
		{`{"kind":"hello"}`, 0, ErrMessage},
		{`{"kind":"hello"` + "\n", 0, ErrMessage},
		{`{"kind":7}` + "\n", 0, ErrMessage},
		{`{"kind":"hello"}` + "\nmore", 0, ErrMessage},
		{`{"kind":"hello","version":"1"}` + "\n", 0, ErrMessage},
		{`{"kind":"connection"}` + "\n", 1, ErrMessage},
		{`{"kind":"connection","peer":"a:1"}` + "\n", 1, ErrMessage},
		{`{"kind":"retired"}` + "\n", 0, ErrMessage},
		{`{"kind":"hello"}` + "\n", 1, ErrDescriptors},
		{`{"kind":"connection","peer":"192.0.2.1:1"}` + "\n", 0, ErrDescriptors},
		{`{"kind":"connection","peer":"192.0.2.1:1"}` + "\n", 2, ErrDescriptors},
		{`{"kind":"sockets","sockets":[{"name":"http"}]}` + "\n", 2, ErrDescriptors},
		{strings.Repeat(" ", MessageMax) + "\n", 0, ErrMessage},
	} {
		if _, err := Parse([]byte(c.packet), c.descriptors); !errors.Is(err, c.want) {
			t.Errorf("%.60q with %d: %v, want %v", c.packet, c.descriptors, err, c.want)
		}
	}
}

// What is written is read as it was; what is read can be written.
func FuzzParse(f *testing.F) {
	for _, m := range []Message{
		{Kind: KindHello, Version: Version, PID: 1},
		{Kind: KindSockets, Sockets: []Socket{{"http", ":0", "127.0.0.1:80"}}, More: true},
		{Kind: KindRefused, Error: "no\n\"'"},
		{Kind: KindAway, Keys: []string{"a/b", "ü/\u2028"}},
		{Kind: KindConnection, Peer: peer, Secure: true, Bytes: []byte("GET / HTTP/1.1\r\n\r\n\x00\xff")},
		{Kind: KindRetire, Key: "a/b"},
	} {
		p, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, len(m.Sockets))
	}
	f.Fuzz(func(t *testing.T, p []byte, descriptors int) {
		m, err := Parse(p, descriptors)
		if err != nil {
			return
		}
		q, err := m.Append(nil)
		if err != nil {
			return // invalid UTF-8 may grow
		}
		again, err := Parse(q, descriptors)
		if err != nil || string(again.Bytes) != string(m.Bytes) || again.Kind != m.Kind ||
			len(again.Sockets) != len(m.Sockets) || again.Peer != m.Peer {
			t.Fatalf("%q was read as %+v, written as %q and read as %+v, %v", p, m, q, again, err)
		}
	})
}

func TestAway(t *testing.T) {
	var keys []string
	for i := range 3000 {
		keys = append(keys, strings.Repeat("k", i%300)+"/"+string(rune('a'+i%26)))
	}
	var got []string
	all := Away(keys)
	for _, m := range all {
		p, err := m.Append(nil)
		if err != nil || len(p) > MessageMax {
			t.Fatalf("%d bytes, %v", len(p), err)
		}
		got = append(got, m.Keys...)
	}
	if !slices.Equal(got, keys) || len(all) < 5 || len(Away(nil)) != 0 {
		t.Errorf("%d messages, %d keys of %d", len(all), len(got), len(keys))
	}
	if all = Away([]string{strings.Repeat("k", 2*keysBytesMax), "b"}); len(all) != 2 {
		t.Errorf("a long key: %d messages", len(all))
	}
}

func TestTrusted(t *testing.T) {
	if !trusted(0) || !trusted(own) || trusted(own+1) || trusted(65534+own) {
		t.Error("only root and the own user are let in")
	}
}

// pair is two ends of a connection at a socket that has been published.
func pair(t *testing.T) (l *Listener, server, client *Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "restart")
	if c, err := Dial(path); c != nil || err != nil {
		t.Fatalf("without a process: %v, %v", c, err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Dial(path); c != nil || err != nil {
		t.Fatalf("before it is published: %v, %v", c, err)
	}
	if err := l.Publish(); err != nil {
		t.Fatal(err)
	}
	if client, err = Dial(path); err != nil || client == nil {
		t.Fatalf("%v, %v", client, err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Conn{server, client} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	t.Cleanup(func() {
		_ = server.Close()
		_ = client.Close()
		_ = l.Close()
	})
	return l, server, client
}

// pipe is a descriptor that can be recognized: what is written to the other end.
func pipe(t *testing.T) (r int, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w = os.NewFile(uintptr(fds[1]), "")
	t.Cleanup(func() { _ = w.Close() })
	return fds[0], w
}

func TestConn(t *testing.T) {
	_, server, client := pair(t)
	r, w := pipe(t)
	long := strings.Repeat("head", 32<<10)
	sent := Message{Kind: KindConnection, Peer: peer, Secure: true, Bytes: []byte(long)}
	withFD := sent
	withFD.Descriptors = []int{r}
	if err := client.Send(withFD); err != nil {
		t.Fatal(err)
	}
	got, err := server.Expect(KindConnection)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.WriteString("!")
	buf := make([]byte, 1)
	if n, err := unix.Read(got.Descriptors[0], buf); n != 1 || err != nil {
		t.Errorf("the descriptor reads %d, %v", n, err)
	}
	closeAll(got.Descriptors)
	got.Descriptors = nil
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %.200v", got)
	}
	if err := client.Send(Message{Kind: KindRefused, Error: "why"}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Expect(KindGo); err == nil || err.Error() != "why" {
		t.Errorf("a refusal: %v", err)
	}
	_ = client.Send(Message{Kind: KindBye})
	if _, err := server.Expect(KindGo, KindReady); !errors.Is(err, ErrMessage) {
		t.Errorf("another kind: %v", err)
	}
	if err := client.Send(Message{Kind: KindHello, Error: strings.Repeat("x", MessageMax)}); err == nil {
		t.Error("a message that is too long was sent")
	}
	_ = client.Close()
	if _, err := server.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

// Packets that no Conn sends; descriptors that come with them are closed, as
// TestMain checks.
func TestConnGarbage(t *testing.T) {
	_, server, client := pair(t)
	for _, c := range []struct {
		packet      string
		descriptors int
	}{
		{"\x00", 0}, {`{"kind":"hel`, 0}, {`{"kind":"hello"}` + "\n", 3},
		{strings.Repeat("x", MessageMax+2), 1}, {`{"kind":"connection"}` + "\n", DescriptorsMax + 2},
	} {
		var fds []int
		for range c.descriptors {
			r, _ := pipe(t)
			fds = append(fds, r)
		}
		_, _, err := client.conn.WriteMsgUnix([]byte(c.packet), unix.UnixRights(fds...), nil)
		closeAll(fds)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := server.Receive(); err == nil {
			t.Errorf("%.40q with %d descriptors was read as %+v", c.packet, c.descriptors, m)
		}
	}
}

func TestListener(t *testing.T) {
	l, _, _ := pair(t)
	next, err := Listen(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(l.path) // the first one must not remove the second one's
	if err != nil || c == nil {
		t.Fatalf("the next process cannot be reached: %v", err)
	}
	_ = c.Close()
	next.Abandon()
	if c, err := Dial(l.path); c != nil || err != nil {
		t.Errorf("an abandoned socket: %v, %v", c, err)
	}
	if _, err := next.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if _, err := Listen(filepath.Join(l.path, "below")); err == nil {
		t.Error("a directory that is none")
	}
}

func TestLink(t *testing.T) {
	_, server, client := pair(t)
	link := NewLink(client)
	for _, key := range []string{"a", "b", "c"} {
		if !link.Send(Message{Kind: KindRetire, Key: key}) {
			t.Fatal("not taken")
		}
	}
	link.Start()
	link.Flush(time.Second)
	for _, key := range []string{"a", "b", "c"} {
		if m, err := server.Receive(); err != nil || m.Key != key {
			t.Errorf("%+v, %v, want %s", m, err, key)
		}
	}
	// One that does not read is given up, and what waits for it is closed.
	full := func() bool {
		r, _ := pipe(t)
		return link.Send(Message{Kind: KindConnection, Peer: peer,
			Bytes: make([]byte, 100_000), Descriptors: []int{r}})
	}
	for range 20 {
		full()
	}
	link.Flush(10 * time.Millisecond)
	if full() {
		t.Error("a link that was given up takes messages")
	}
	link.Close()
	link.Close()
}

func TestLinkTake(t *testing.T) {
	_, _, client := pair(t)
	link := NewLink(client)
	r, _ := pipe(t)
	link.Send(Message{Kind: KindConnection, Peer: peer, Descriptors: []int{r}})
	all := link.Take()
	if len(all) != 1 || link.Send(Message{Kind: KindBye}) || len(link.Take()) != 0 {
		t.Errorf("taken %+v", all)
	}
	closeAll(all[0].Descriptors)
	unstarted := NewLink(client)
	r, _ = pipe(t)
	unstarted.Send(Message{Kind: KindConnection, Peer: peer, Descriptors: []int{r}})
	unstarted.Close()
}
