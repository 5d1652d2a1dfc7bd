package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// What every handshake on the public port shows: docs/protocol.md, sections 1
// to 3, where no numbered item says it.

// exchange sends one request head by hand and reads the answer.
func exchange(t *testing.T, g *emulator.Gateway, request string) *answer {
	t.Helper()
	c, err := framer.Connect(g.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	sendBytes(t, c, []byte(request))
	r, err := c.ReadResponse()
	if err != nil {
		t.Fatalf("no answer to %.60q: %v", request, err)
	}
	a := &answer{status: r.Status, reason: r.Reason, header: map[string][]string{}}
	for _, field := range r.Fields {
		a.header.Add(field.Name, field.Value)
	}
	return a
}

// TestSwitchingProtocols: the 101 is minimal and exact, because one official
// client is strict (docs/protocol.md, section 2.1).
func TestSwitchingProtocols(t *testing.T) {
	g := emulator.Start(t)
	token := "ServiceBusAuthorization: " + emulator.Token(emulator.Anonymous)
	offer := "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	check := func(role string, r *framer.Response) {
		t.Helper()
		if r.Proto != "HTTP/1.1" {
			t.Errorf("%s: protocol %q", role, r.Proto)
		}
		for name, want := range map[string]string{"Connection": "Upgrade",
			"Upgrade": "websocket"} {
			if got := r.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, want one %q", role, name, got, want)
			}
		}
		if got := r.Values("TrackingId"); len(got) != 1 {
			t.Errorf("%s: TrackingId is %q", role, got)
		}
		for _, name := range []string{"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol",
			"Via", "Content-Length", "Transfer-Encoding"} {
			if got := r.Values(name); got != nil {
				t.Errorf("%s: has %s: %q", role, name, got)
			}
		}
	}
	l, r, err := framer.Dial(g.URL(emulator.Anonymous, "sb-hc-action=listen"), token, offer)
	if err != nil || l == nil {
		t.Fatalf("listen: %v, answer %+v", err, r)
	}
	defer l.Abort()
	check("listener", r)

	s, err := framer.Connect(g.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	sendBytes(t, s, []byte(framer.Request("/$hc/"+emulator.Anonymous, g.HTTP, offer)))
	control := &control{conn: &framerConn{c: l}, peer: framerPeer}
	rendezvous, r, err := framer.Dial(control.next(t).Address, offer)
	if err != nil || rendezvous == nil {
		t.Fatalf("accept: %v, answer %+v", err, r)
	}
	defer rendezvous.Abort()
	check("rendezvous", r)
	if r, err = s.ReadResponse(); err != nil {
		t.Fatal(err)
	}
	check("sender", r)
}

// tracked is the part of a refusal that even an unreadable request gets.
var tracked = regexp.MustCompile(`[^.]\. TrackingId:[0-9a-f-]{36}_G\d+, `)

// TestRefusedRequests: requests that are no handshake get a status, not
// silence.
func TestRefusedRequests(t *testing.T) {
	g := emulator.Start(t)
	hc := "/$hc/" + emulator.Anonymous
	request := func(target string, extra ...string) string {
		return framer.Request(target, g.HTTP, extra...)
	}
	tests := []struct {
		name, request string
		status        int
		text          string
	}{
		{"no upgrade", "GET " + hc + " HTTP/1.1\r\nHost: x\r\n\r\n", 400,
			"This endpoint is only for web-socket requests"},
		{"upgrade to something else", request(hc, "Upgrade: h2c"), 400,
			"This endpoint is only for web-socket requests"},
		{"unknown action", request(hc + "?sb-hc-action=dance"), 400, "dance"},
		{"version", request(hc, "Sec-WebSocket-Version: 8"), 426, ""},
		{"no version", request(hc, "Sec-WebSocket-Version:"), 426, ""},
		{"no key", request(hc, "Sec-WebSocket-Key:"), 400, ""},
		{"bad key", request(hc, "Sec-WebSocket-Key: c2hvcnQ="), 400, ""},
		{"upgrade without $hc", request("/" + emulator.Anonymous), 400, ""},
		{"post", strings.Replace(request(hc), "GET", "POST", 1), 400, ""},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		{"bare LF in a header", request(hc, "X: a\nY: b"), 400, ""},
		{"space before the colon", request(hc, "X : a"), 400, ""},
		{"two hosts", request(hc, "Host: one", "Host: two"), 400, ""},
		{"head too large", request(hc, "X: "+strings.Repeat("x", 40_000)), 431, ""},
		{"unknown rendezvous", request(hc + "?sb-hc-rendezvous=" + strings.Repeat("a", 32) +
			"&sb-hc-action=accept"), 403, ""},
		{"accept without an address", request(hc + "?sb-hc-action=accept"), 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := exchange(t, g, tt.request)
			if a.status != tt.status || !strings.Contains(a.reason, tt.text) {
				t.Errorf("status %d %q, want %d and %q", a.status, a.reason, tt.status, tt.text)
			}
			if tt.status == 426 && a.header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("Sec-WebSocket-Version: %q, want 13",
					a.header.Get("Sec-WebSocket-Version"))
			}
			// A head that cannot be read names no path.
			if !tracked.MatchString(a.reason) {
				t.Errorf("the reason phrase %q has no tracking id", a.reason)
			}
		})
	}
}

// TestURLs: letter case, escapes, suffixes and ids (docs/protocol.md, sections
// 1.1, 1.2, 1.5, 1.6).
func TestURLs(t *testing.T) {
	g := emulator.Start(t, "--hyco", "outer:anonymous", "--hyco", "outer/inner:anonymous")
	const guid = "8e8db4b6-2a3c-4ea6-9e2c-4c1f0c1d7d55"
	tests := []struct {
		name, entity, target string
		path                 string // in the accept address
		id                   string // how accept.id begins
	}{
		{"plain", "outer", "/$hc/outer?sb-hc-action=connect", "/$hc/outer?", ""},
		{"no query", "outer", "/$hc/outer", "/$hc/outer?", ""},
		{"empty action", "outer", "/$hc/outer?sb-hc-action=", "/$hc/outer?", ""},
		{"upper-case action", "outer", "/$hc/outer?SB-HC-ACTION=CONNECT", "/$hc/outer?", ""},
		{"escaped prefix", "outer", "/%24hc/outer", "/outer?", ""},
		{"upper-case prefix", "outer", "/$HC/outer", "/outer?", ""},
		{"upper-case entity", "outer", "/$hc/OUTER", "/$hc/OUTER?", ""},
		{"escaped entity", "outer", "/$hc/%6futer", "/$hc/%6futer?", ""},
		{"suffix", "outer", "/$hc/outer/a%20b/c", "/$hc/outer/a%20b/c?", ""},
		{"nested", "outer/inner", "/$hc/outer/inner/x", "/$hc/outer/inner/x?", ""},
		{"longest match", "outer", "/$hc/outer/innermost", "/$hc/outer/innermost?", ""},
		{"id", "outer", "/$hc/outer?sb-hc-id=" + guid, "/$hc/outer?", guid + "_G"},
		{"own id", "outer", "/$hc/outer?sb-hc-id=a.b:C-1_2", "/$hc/outer?", "a.b:C-1_2_G"},
		{"unusable id", "outer", "/$hc/outer?sb-hc-id=%22%20x", "/$hc/outer?", ""},
	}
	listeners := map[string]*control{}
	for _, entity := range []string{"outer", "outer/inner"} {
		listeners[entity] = listen(t, g, framerPeer, entity)
	}
	generated := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_G\d+$`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pending := connecting(framerPeer, "ws://"+g.HTTP+tt.target, nil)
			l := listeners[tt.entity]
			a := l.next(t)
			if !strings.HasPrefix(a.Address, "ws://"+g.HTTP+"/") ||
				!strings.Contains(a.Address, tt.path) {
				t.Errorf("accept address %s, want it to hold %s", a.Address, tt.path)
			}
			switch {
			case tt.id == "" && !generated.MatchString(a.ID):
				t.Errorf("accept id %q, want a GUID and a gateway", a.ID)
			case !strings.HasPrefix(a.ID, tt.id):
				t.Errorf("accept id %q, want it to begin with %q", a.ID, tt.id)
			}
			if !strings.HasSuffix(a.Address, "&sb-hc-action=accept&sb-hc-id="+a.ID) &&
				!strings.HasSuffix(a.Address, "?sb-hc-action=accept&sb-hc-id="+a.ID) {
				t.Errorf("accept address %s, want action and id at the end", a.Address)
			}
			accepted := l.accept(t, a)
			transfer(t, connected(t, pending), accepted, framer.Text, []byte("x"))
		})
	}
}

// TestQueryFilter is the table of docs/protocol.md, section 1.4, as the
// listener sees it in the accept address.
func TestQueryFilter(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	tests := []struct{ sent, seen string }{
		{"a=1&a=2&", "a=1&a=2&"},
		{"&&&", "&&&"},
		{"sb-hc-undefined", "sb-hc-undefined"},
		{"sb-hc-whatever=", ""},
		{"sb-hc-id=1", ""},
		{"custom=value&sb-hc-id=1", "custom=value"},
		{"%73b-hc-x=1&b", "b"},
		{"SB-HC-X=1&b=2", "b=2"},
		{"x=+%2B%20%2f%3a%3d%26'", "x=+%2B%20%2f%3a%3d%26'"},
		{"name=sb-hc-x=1", "name=sb-hc-x=1"},
	}
	for _, tt := range tests {
		t.Run(tt.sent, func(t *testing.T) {
			pending := connecting(framerPeer, g.URL(emulator.Anonymous, tt.sent), nil)
			a := l.next(t)
			_, query, _ := strings.Cut(a.Address, "?")
			ours := strings.Index(query, "sb-hc-rendezvous=")
			if ours < 0 {
				ours = strings.Index(query, "sb-hc-action=accept")
			}
			// The sender's pieces come first, joined to ours by one ampersand.
			want := tt.seen
			if want != "" {
				want += "&"
			}
			if query[:max(ours, 0)] != want {
				t.Errorf("the listener sees %q before our own part, want %q", query[:max(ours, 0)],
					want)
			}
			l.accept(t, a)
			connected(t, pending)
		})
	}
}

// TestAcceptMessage: members that official listeners demand (docs/protocol.md,
// section 2.3).
func TestAcceptMessage(t *testing.T) {
	g := emulator.Start(t)
	l := listen(t, g, framerPeer, emulator.Anonymous)
	pending := connecting(framerPeer, g.URL(emulator.Anonymous, ""), map[string][]string{
		"X-Twice": {"one", "two"}, "X-Quote": {`"\` + "\t" + `ü`}, "User-Agent": {"tests"},
	})
	kind, message, err := l.Read()
	if err != nil || kind != framer.Text {
		t.Fatalf("kind %d, %v", kind, err)
	}
	if !json.Valid(message) || len(message) > 65_536 {
		t.Errorf("%d bytes, valid JSON: %t", len(message), json.Valid(message))
	}
	a, err := parseAccept(message)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Host": g.HTTP, "Connection": "Upgrade",
		"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "X-Twice": "one, two",
		"User-Agent": "tests"} {
		if got := a.header(name); got != want {
			t.Errorf("connectHeaders: %s is %q, want %q", name, got, want)
		}
	}
	if a.header("Sec-WebSocket-Key") == "" {
		t.Error("connectHeaders has no Sec-WebSocket-Key")
	}
	if got := a.header("X-Quote"); !strings.HasPrefix(got, `"\`+"\t") {
		t.Errorf("X-Quote is %q", got)
	}
	if ip := net.ParseIP(a.RemoteEndpoint.Address); ip == nil || !ip.IsLoopback() ||
		a.RemoteEndpoint.Port == 0 {
		t.Errorf("remoteEndpoint is %+v", a.RemoteEndpoint)
	}
	l.accept(t, a)
	connected(t, pending)
}

// TestListenerFilters: Allowed- and DisallowedListeners choose by the
// listeners' own ids (docs/protocol.md, section 2.6).
func TestListenerFilters(t *testing.T) {
	g := emulator.Start(t)
	ids := []string{"11111111-0000-4000-8000-000000000001",
		"11111111-0000-4000-8000-000000000002", "11111111-0000-4000-8000-000000000003"}
	chosen := make(chan string, len(ids))
	for _, id := range ids {
		l := listenWith(t, g, framerPeer, emulator.Anonymous, "&sb-hc-id="+id,
			emulator.Token(emulator.Anonymous))
		go func() {
			for {
				a, err := l.tryNext()
				if err != nil {
					return
				}
				for name := range a.ConnectHeaders {
					if strings.Contains(strings.ToLower(name), "listeners") {
						id = fmt.Sprintf("%s, which was shown %s", id, name)
					}
				}
				chosen <- id
				_, _, _ = framerPeer.dial(a.Address+"&sb-hc-statusCode=410", nil)
			}
		}()
	}
	tests := []struct {
		name, value string
		may         []string
	}{
		{"Microsoft-Relay-AllowedListeners", ids[1], ids[1:2]},
		{"Microsoft-Relay-AllowedListeners", ids[0] + ", " + ids[2], []string{ids[0], ids[2]}},
		{"Microsoft-Relay-AllowedListeners", strings.ToUpper(ids[1]), ids[1:2]},
		{"Microsoft-Relay-DisallowedListeners", ids[0] + "," + ids[1], ids[2:]},
		{"Microsoft-Relay-AllowedListeners", "11111111-0000-4000-8000-000000000009", nil},
		{"Microsoft-Relay-DisallowedListeners", strings.Join(ids, ","), nil},
	}
	for _, tt := range tests {
		for range 10 {
			a := refused(t, connecting(framerPeer, g.URL(emulator.Anonymous, ""),
				map[string][]string{tt.name: {tt.value}}))
			if tt.may == nil {
				wantRefusal(t, a, 404, "None of the connected listeners meet the "+
					"AllowedListeners/DisallowedListeners criteria", emulator.Anonymous)
				continue
			}
			if got := <-chosen; !strings.Contains(strings.Join(tt.may, " "), got) {
				t.Errorf("%s: %s chose %s", tt.name, tt.value, got)
			}
		}
	}
}

// TestDrain: on SIGTERM listeners get 1001 and new connections are refused,
// relayed connections live on, and the process ends with status 0 when the last
// one is gone (docs/protocol.md, sections 2.8 and 4.4).
func TestDrain(t *testing.T) {
	g := emulator.Start(t)
	s, l, c := relay(t, g, framerPeer, framerPeer, emulator.Anonymous)
	ended := make(chan error, 1)
	go func() {
		clean, err := g.Terminate(peerTimeout)
		if err == nil && !clean {
			err = errors.New("the gateway did not end with status 0")
		}
		ended <- err
	}()
	wantTracked(t, wantClosed(t, c, 1001))
	eventually(t, "refusal of new connections", func() bool {
		c, err := framer.Connect(g.HTTP)
		if err == nil {
			c.Abort()
		}
		return err != nil
	})
	transfer(t, s, l, framer.Text, []byte("alive in the drain"))
	transfer(t, l, s, framer.Binary, pattern(100_000))
	go func() { _ = s.Close(1000, "last") }()
	wantClosed(t, l, 1000)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
