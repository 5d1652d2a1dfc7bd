package relayctl

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
)

// live is a run that goes on in the background.
type live struct {
	t        *testing.T
	in       *io.PipeWriter
	out, err *growing
	cancel   context.CancelFunc
	ended    chan int
}

// growing is a buffer that others may read while it grows.
type growing struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

// start starts a run, which ends with the test at the latest.
func start(t *testing.T, around Surroundings, args ...string) *live {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	l := &live{t, w, &growing{}, &growing{}, cancel, make(chan int, 1)}
	around.In, around.Out, around.Err = r, l.out, l.err
	go func() { l.ended <- Run(ctx, args, around) }()
	t.Cleanup(func() {
		cancel()
		_ = w.Close()
		_ = r.Close()
	})
	return l
}

// wantErr waits for a text on standard error.
func (l *live) wantErr(text string) {
	l.t.Helper()
	relaytest.Eventually(l.t, text, func() bool { return strings.Contains(l.err.String(), text) })
}

// wantEnd waits for the end.
func (l *live) wantEnd(status int) {
	l.t.Helper()
	if got := relaytest.Receive(l.t, l.ended, "the end"); got != status {
		l.t.Errorf("status %d, want %d: %s", got, status, l.err)
	}
}

// connectionString is for an entity of the node, to use with --plain.
func connectionString(n *relaytest.Node, path string) string {
	return "Endpoint=sb://" + n.HTTP + "/;SharedAccessKeyName=" + relaytest.RootRule +
		";SharedAccessKey=" + relaytest.RootKey + ";EntityPath=" + path
}

// relayFlagsFor is what commands need to relay through n.
func relayFlagsFor(n *relaytest.Node, path string) []string {
	return []string{"--plain", "--connection-string", connectionString(n, path)}
}

func bare() Surroundings {
	return Surroundings{
		In: strings.NewReader(""), Env: func(string) string { return "" },
		CacheDir: "/nonexistent", ConfigDir: "/nonexistent",
	}
}

func with(args []string, more ...string) []string {
	return append(append([]string{}, more...), args...)
}

// TestListenStandard relays between two shells, with keys from the API.
func TestListenStandard(t *testing.T) {
	n := relaytest.Start(t)
	s := newStandIn(t)
	s.host = n.HTTP
	s.entity("contoso", "hybridConnections", relaytest.Authorized, map[string]any{})
	place := "namespaces/contoso/hybridConnections/" + relaytest.Authorized
	s.rule(place, relaytest.EntityRule, "Listen", "Send")
	s.keys[strings.ToLower(place+"/authorizationRules/"+relaytest.EntityRule)] = [2]string{relaytest.EntityKey, ""}
	flags := append(s.flags(), "--plain", "--hyco", relaytest.Authorized)
	listener := start(t, s.surroundings(""), with(flags, "listen")...)
	listener.wantErr("relayctl: listening at http://" + n.HTTP + "/" + relaytest.Authorized)
	sender := start(t, s.surroundings(""), with(flags, "connect", "--path", "?x=1")...)
	listener.wantErr("relayctl: connected: 127.0.0.1:")
	_, _ = io.WriteString(listener.in, "to the sender\n")
	relaytest.Eventually(t, "text at the sender", func() bool { return sender.out.String() == "to the sender\n" })
	_, _ = io.WriteString(sender.in, "to the listener\n")
	relaytest.Eventually(t, "text at the listener", func() bool {
		return listener.out.String() == "to the listener\n"
	})
	_ = sender.in.Close()
	listener.wantEnd(0)
	sender.wantEnd(0)
	if n.Listeners(1).Total != 0 {
		t.Error("the listener is still there")
	}
	if want := "/listKeys"; !strings.Contains(s.taken(), relaytest.EntityRule+want) {
		t.Error("another rule was chosen")
	}
}

// TestListenEcho also has HTTP.
func TestListenEcho(t *testing.T) {
	n := relaytest.Start(t)
	flags := relayFlagsFor(n, relaytest.Authorized)
	listener := start(t, bare(), with(flags, "listen", "--echo", "-q")...)
	listener.wantErr("listening at")
	around := bare()
	around.In = strings.NewReader("there and back")
	if r := runWith(t, around, with(flags, "connect")...); r.status != 0 || r.out != "there and back" {
		t.Errorf("connect: status %d: %s%s", r.status, r.out, r.err)
	}
	file := t.TempDir() + "/body"
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"send"}, "GET /authenticated\n"},
		{[]string{"send", "DELETE", "/a?b=c"}, "DELETE /authenticated/a?b=c\n"},
		{[]string{"send", "/items", "-d", "{}"}, "{}"},
		{[]string{"send", "PUT", "/items", "-d", "@" + file}, strings.Repeat("x", 100_000)},
		{[]string{"send", "POST", "/items", "-d", "@-"}, "from a pipe"},
		{[]string{"send", "-i", "-d", "x", "-H", "Content-Type: text/odd"}, "\nContent-Type: text/odd\n"},
	} {
		around := bare()
		around.In = strings.NewReader("from a pipe")
		r := runWith(t, around, with(flags, c.args...)...)
		exact := r.out == c.want || strings.Contains(r.out, c.want) && c.args[1] == "-i"
		if r.status != 0 || !exact {
			t.Errorf("%q: status %d: %.200q%s", c.args, r.status, r.out, r.err)
		}
	}
	listener.cancel()
	listener.wantEnd(0)
}

// TestForward: a TCP client to a TCP server, through both tools.
func TestForward(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { // It answers when everything has come.
				text, _ := io.ReadAll(c)
				_, _ = c.Write(bytes.ToUpper(text))
				_ = c.Close()
			}()
		}
	}()
	n := relaytest.Start(t)
	flags := relayFlagsFor(n, relaytest.Anonymous)
	listener := start(t, bare(), with(flags, "listen", "--forward", server.Addr().String())...)
	listener.wantErr("listening at")
	sender := start(t, bare(), with(flags, "connect", "--local-port", "0", "--connections-max", "2")...)
	sender.wantErr("relayctl: listening at 127.0.0.1:")
	_, text, _ := strings.Cut(sender.err.String(), "listening at ")
	address, _, _ := strings.Cut(text, ",")
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(relaytest.Patience))
			_, _ = io.WriteString(c, strings.Repeat("a", 200_000))
			_ = c.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil || string(got) != strings.Repeat("A", 200_000) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	clients.Wait()
	_ = server.Close() // Now the target is gone: the sender's client must not hang.
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(relaytest.Patience))
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("read %q", got)
	}
	listener.wantErr("connection refused")
	for _, l := range []*live{sender, listener} {
		l.cancel()
		l.wantEnd(0)
	}
}

// TestRelayErrors holds the lines of what fails at the relay.
func TestRelayErrors(t *testing.T) {
	n := relaytest.Start(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	good := connectionString(n, relaytest.Authorized)
	wrongKey := strings.Replace(good, relaytest.RootKey, "another-key", 1)
	for _, c := range []struct {
		args   []string
		status int
		want   string // Has ID for a tracking id.
	}{
		{[]string{"connect"}, 2, "say which hybrid connection: --hyco NAME, or --connection-string TEXT"},
		{[]string{"listen", "--echo", "--forward", "a:1"}, 2, "give --echo or --forward, not both"},
		{[]string{"listen", "--forward", "a"}, 2, `--forward: want HOST:PORT, got "a"`},
		{[]string{"listen", "--connections-max", "0"}, 2, "--connections-max: want 1 to 100000, got 0"},
		{[]string{"connect", "--local-port", "a:b:c"}, 2, `--local-port: want [ADDR:]PORT, got "a:b:c"`},
		{[]string{"send", "GET", "x", "y"}, 2, `want METHOD and PATH, got "y" as well`},
		{[]string{"send", "-H", "x", "--connection-string", good}, 2, "-H: want 'NAME: VALUE'"},
		{[]string{"connect", "--connection-string", "Endpoint=sb://h/"}, 2,
			"the connection string names no hybrid connection; say which one with --hyco"},
		{[]string{"connect", "--plain", "--connection-string", good}, 1,
			"authenticated: 404 There are no listeners connected for the endpoint. TrackingId:ID" +
				`; start one with "relayctl listen --hyco authenticated"`},
		{[]string{"send", "--plain", "--connection-string", good}, 1,
			"authenticated: 404 There are no listeners connected for the endpoint. TrackingId:ID" +
				`; start one with "relayctl listen --hyco authenticated"`},
		{[]string{"listen", "--plain", "--hyco", "absent", "--connection-string",
			strings.TrimSuffix(good, ";EntityPath=authenticated")}, 1,
			"absent: 404 Endpoint does not exist. TrackingId:ID; \"relayctl hyco list\" shows those that are there"},
		{[]string{"listen", "--plain", "--connection-string", wrongKey}, 1,
			"authenticated: 401 InvalidSignature: The token has an invalid signature. TrackingId:ID" +
				`; "relayctl key list" has the present keys, "relayctl token inspect" explains tokens`},
		{[]string{"listen", "--plain", "--connection-string", "Endpoint=sb://" + dead.Addr().String() + "/;EntityPath=a"}, 1,
			"no gateway answers at sb://" + dead.Addr().String() +
				" (connection refused); is the address in the connection string right?"},
		{[]string{"connect", "--connection-string", good}, 1, "sb://" + n.HTTP +
			" does not speak TLS; is the address in the connection string right?"},
	} {
		r := runWith(t, bare(), c.args...)
		before, rest, ok := strings.Cut(c.want, ":ID;")
		got := strings.TrimSuffix(strings.TrimPrefix(r.err, "relayctl: "), "\n")
		same := got == c.want || ok && strings.HasPrefix(got, before) && strings.HasSuffix(got, ";"+rest)
		if r.status != c.status || !same || strings.Contains(r.out+r.err, relaytest.KeyMark) {
			t.Errorf("%.60q: status %d: %s\nwant %s", c.args, r.status, r.err, c.want)
		}
	}
}

// TestSendStatus: the listener's own failure is no success of ours.
func TestSendStatus(t *testing.T) {
	n := relaytest.Start(t)
	l, err := relayclient.Listen(t.Context(), relayclient.Options{
		Entity: relayclient.Entity{
			Endpoint: "ws://" + n.HTTP, Path: relaytest.Authorized,
			Token: relayclient.Key(relaytest.RootRule, relaytest.RootKey),
		},
		Handler: http.NotFoundHandler(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := runWith(t, bare(), with(relayFlagsFor(n, relaytest.Authorized), "send")...)
	if r.status != 1 || r.out != "404 page not found\n" || r.err != "relayctl: the listener answered 404 Not Found\n" {
		t.Errorf("status %d: %s%s", r.status, r.out, r.err)
	}
}

// TestShow reads the admin port of a node.
func TestShow(t *testing.T) {
	n := relaytest.Start(t)
	n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	n.Waiting(t, relaytest.Dial{Path: relaytest.Anonymous})
	around := bare()
	for args, want := range map[string][]string{
		"info":              {"VERSION", "DRAINING     false\n", "ADDRESSES    admin=127.0.0.1:", "ENTITIES     3\n", "DESCRIPTORS"},
		"info -o json":      {`"descriptors_max": `},
		"loops":             {"LOOP  CONNECTIONS  ACCEPTED", "\n0 ", "\n1 "},
		"conns":             {"ROLE", "\nlistener          1\n"},
		"conns -o yaml":     {"\nlistener: 1\n"},
		"listeners":         {"ENTITY", "test/unauthenticated  127.0.0.1:"},
		"pending --limit 1": {"ENTITY", "test/unauthenticated  127.0.0.1:"},
		"pools":             {"POOL", "leftover     0 B"},
		"closed -o json":    {`"items": []`},
		"certificates":      {"NAMES  EXPIRES"},
	} {
		r := runWith(t, around, with([]string{"--admin", n.Addresses().Admin}, append([]string{"show"}, strings.Fields(args)...)...)...)
		if r.status != 0 || r.err != "" {
			t.Errorf("%s: status %d: %s", args, r.status, r.err)
		}
		for _, text := range want {
			if !strings.Contains(r.out, text) {
				t.Errorf("%s: no %q in\n%s", args, text, r.out)
			}
		}
	}
	watch := start(t, around, "show", "conns", "--watch", "--interval", "100ms", "--admin", n.Addresses().Admin)
	relaytest.Eventually(t, "three tables", func() bool { return strings.Count(watch.out.String(), "ROLE") > 2 })
	watch.cancel()
	watch.wantEnd(0)
	r := runWith(t, around, "show", "info", "--admin", n.HTTP)
	if r.status != 1 || !strings.HasSuffix(r.err, "; is it the admin port?\n") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}
