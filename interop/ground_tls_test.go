package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/interop/emulator"
	"github.com/relayhouse/relayhouse/interop/framer"
)

// TLS itself: openssl as sender, what is refused, and ends of streams.

// forEachLayer runs a test with each record layer, with an echo listener over
// TLS on the anonymous entity.
func forEachLayer(t *testing.T, test func(t *testing.T, g *emulator.Gateway, own bool)) {
	for _, mode := range emulator.Modes {
		if mode.Listener && mode.Sender {
			t.Run(mode.Name, func(t *testing.T) {
				g := emulator.StartMode(t, mode)
				go listen(t, g, framerPeer, emulator.Anonymous).echoAll()
				test(t, g, mode.Own)
			})
		}
	}
}

// openssl is `openssl s_client` connected to a gateway.
type openssl struct {
	stdin io.WriteCloser

	mu    sync.Mutex
	said  bytes.Buffer // what it has printed so far; guarded by mu
	ended chan struct{}
}

// startOpenssl starts s_client, which trusts nothing but the gateway's authority.
func startOpenssl(t *testing.T, g *emulator.Gateway, host string, args ...string) *openssl {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*peerTimeout)
	command := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", host,
		"-CAfile", g.CA, "-verify_return_error"}, args...)...)
	o := &openssl{ended: make(chan struct{})}
	command.Stdout, command.Stderr = o, o
	var err error
	if o.stdin, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%v; see tools/prerequisites", err)
	}
	go func() {
		_ = command.Wait()
		close(o.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-o.ended
	})
	return o
}

func (o *openssl) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(p)
}

// text returns what has been printed since the last call of expect.
func (o *openssl) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// expect waits until it prints text, and forgets what it printed up to there.
func (o *openssl) expect(t *testing.T, text string) {
	t.Helper()
	eventually(t, "openssl prints "+text, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		at := bytes.Index(o.said.Bytes(), []byte(text))
		if at >= 0 {
			o.said.Next(at + len(text))
			return true
		}
		select {
		case <-o.ended:
			t.Fatalf("openssl ended without %q:\n%s", text, o.said.String())
		default:
		}
		return false
	})
}

// end waits for the end of the process.
func (o *openssl) end(t *testing.T) {
	t.Helper()
	select {
	case <-o.ended:
	case <-time.After(2 * peerTimeout):
		t.Fatalf("openssl goes on:\n%s", o.text())
	}
}

// enter writes to its terminal: data, or in a line of its own a command.
func (o *openssl) enter(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(o.stdin, text); err != nil {
		t.Fatalf("%v:\n%s", err, o.text())
	}
}

// connect sends an upgrade request and waits for the 101.
func (o *openssl) connect(t *testing.T) {
	t.Helper()
	o.enter(t, framer.Request("/$hc/"+emulator.Anonymous, "localhost"))
	o.expect(t, "101 Switching Protocols")
	o.expect(t, "\r\n\r\n")
}

// echo sends a message and wants it back.
func (o *openssl) echo(t *testing.T, message string) {
	t.Helper()
	o.enter(t, string(framer.Message(framer.Text, []byte(message)).Append(nil)))
	o.expect(t, string([]byte{0x81, byte(len(message))})+message)
}

func TestGroundTLSOpenSSL(t *testing.T) {
	tests := []struct {
		args string
		want string // in what openssl prints at the beginning
	}{
		{"-tls1_2", "TLSv1.2"},
		{"-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{"-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{"-tls1_3", "TLSv1.3"},
		{"-ciphersuites TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
		{"-ciphersuites TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
		{"-ciphersuites TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
		{"-groups P-256", "prime256v1"},
		{"-groups P-384", "secp384r1"},
		{"-groups X25519", "X25519"},
		{"-groups P-521:P-384", "secp521r1"},
		{"-servername localhost -verify_hostname localhost", "Verification: OK"},
		{"-servername 127.0.0.1 -verify_ip 127.0.0.1", "Verification: OK"},
		{"-noservername -verify_ip 127.0.0.1", "Verification: OK"},
		{"-servername other.example", "Verification: OK"},
		{"-alpn h2,http/1.1", "Verification: OK"},
		{"-alpn http/1.1", "Verification: OK"},
		{"-max_send_frag 512 -split_send_frag 512", "Verification: OK"},
		{"-no_ticket", "Verification: OK"},
	}
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, _ bool) {
		for _, tt := range tests {
			t.Run(tt.args, func(t *testing.T) {
				o := startOpenssl(t, g, g.HTTPS, append(strings.Fields(tt.args), "-brief")...)
				o.expect(t, tt.want)
				o.connect(t)
				o.echo(t, "hello")
				o.echo(t, strings.Repeat("x", 120))
			})
		}
	})
}

func TestGroundTLSResumption(t *testing.T) {
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, _ bool) {
		for _, version := range []string{"-tls1_3", "-tls1_2"} {
			session := filepath.Join(t.TempDir(), "session")
			for i, want := range []string{"New, ", "Reused, ", "Reused, "} {
				args := []string{version, "-sess_out", session}
				if i > 0 {
					args = append(args, "-sess_in", session)
				}
				o := startOpenssl(t, g, g.HTTPS, args...)
				o.expect(t, want)
				o.connect(t)
				o.echo(t, "hello")
				_ = o.stdin.Close()
				o.end(t)
			}
		}
	})
}

func TestGroundTLSRefusals(t *testing.T) {
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, own bool) {
		tests := []struct{ args, want string }{
			{"-tls1 -cipher DEFAULT@SECLEVEL=0", "alert protocol version"},
			{"-tls1_1 -cipher DEFAULT@SECLEVEL=0", "alert protocol version"},
			{"-tls1_2 -cipher AES128-GCM-SHA256", "alert"},
			{"-alpn h2", "alert no application protocol"},
		}
		for _, tt := range tests {
			o := startOpenssl(t, g, g.HTTPS, strings.Fields(tt.args)...)
			o.end(t)
			if said := strings.ToLower(o.text()); !strings.Contains(said, tt.want) {
				t.Errorf("%s: %s\nwant %s", tt.args, said, tt.want)
			}
		}
	})
}

// TestGroundTLSRenegotiation: it is refused, and costs only who asks for it.
func TestGroundTLSRenegotiation(t *testing.T) {
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, own bool) {
		if own {
			return // TLS 1.3 has none
		}
		other := startOpenssl(t, g, g.HTTPS, "-brief")
		other.connect(t)
		o := startOpenssl(t, g, g.HTTPS, "-tls1_2", "-brief")
		o.connect(t)
		o.enter(t, "R\n")
		o.expect(t, "RENEGOTIATING")
		o.end(t)
		if said := o.text(); !strings.Contains(said, "alert") {
			t.Errorf("after a renegotiation: %s, want an alert", said)
		}
		other.echo(t, "not harmed")
	})
}

// TestGroundTLSKeyUpdate: "k" is one of ours, "K" asks for the gateway's too.
func TestGroundTLSKeyUpdate(t *testing.T) {
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, own bool) {
		for _, suite := range []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
			"TLS_CHACHA20_POLY1305_SHA256"} {
			o := startOpenssl(t, g, g.HTTPS, "-ciphersuites", suite, "-brief")
			o.connect(t)
			for range 3 {
				for _, command := range []string{"k\n", "K\n", "K\n"} {
					o.enter(t, command)
					o.expect(t, "KEYUPDATE")
					o.echo(t, "with other keys")
				}
			}
		}
	})
}

// rest reads a connection to its end and returns what came.
func rest(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(peerTimeout)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if framer.IsTimeout(err) {
		t.Fatalf("%q, and no end", text)
	}
	return string(text)
}

// TestGroundTLSWrongPort: what comes to the wrong port is told so, and not left
// to wait.
func TestGroundTLSWrongPort(t *testing.T) {
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, _ bool) {
		tests := []struct{ name, sent, want string }{
			{"GET", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 This port speaks TLS"},
			{"upgrade", framer.Request("/$hc/"+emulator.Anonymous, "x"), "HTTP/1.1 400 "},
			{"POST", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123", "HTTP/1.1 400 "},
			{"zeros", strings.Repeat("\x00", 100), "\x15\x03\x01\x00\x02\x02\x0a"},
			{"high bytes", strings.Repeat("\xff", 20_000), "\x15\x03\x01\x00\x02\x02\x0a"},
			{"SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "\x15\x03\x01\x00\x02\x02\x0a"},
			{"no ClientHello", "\x16\x03\x01\x00\x05\x63\x00\x00\x01\x00", "\x15\x03\x01\x00\x02\x02"},
			{"a record too long", "\x16\x03\x01\xff\xff\x01\x00", "\x15\x03\x01\x00\x02\x02"},
		}
		for _, tt := range tests {
			c, err := net.DialTimeout("tcp", g.HTTPS, peerTimeout)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, tt.sent); err != nil {
				t.Fatal(err)
			}
			if got := rest(t, c); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
			_ = c.Close()
		}
		o := startOpenssl(t, g, g.HTTP)
		o.end(t)
		if said := o.text(); !strings.Contains(said, "wrong version number") {
			t.Errorf("TLS to the plain port: %s", said)
		}
	})
}

// TestGroundTLSCloseNotify: a close_notify ends one direction only, as a FIN does
// without TLS: the sender still gets its response.
func TestGroundTLSCloseNotify(t *testing.T) {
	for _, own := range []bool{false, true} {
		g := emulator.StartMode(t, emulator.Mode{Sender: true, Own: own})
		listenHTTP(t, g, emulator.Anonymous,
			respondWith(httpStyles[0], reply{body: pattern(300_000)}))
		c, err := framer.ConnectTLS(emulator.TLS("https://"+g.HTTPS), g.HTTPS)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Abort)
		sendBytes(t, c, []byte("GET /"+emulator.Anonymous+" HTTP/1.1\r\nHost: x\r\n\r\n"))
		if err := c.HalfClose(); err != nil {
			t.Fatal(err)
		}
		if r, err := c.ReadResponse(); err != nil || r.Status != 200 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// TestGroundTLSDownload: 200 MiB arrive as they were, over TLS on both sides.
func TestGroundTLSDownload(t *testing.T) {
	const piece, count = 1 << 20, 200
	forEachLayer(t, func(t *testing.T, g *emulator.Gateway, _ bool) {
		c := listen(t, g, framerPeer, emulator.Authenticated)
		s, l := relayOn(t, g, c, gorillaPeer, emulator.Authenticated)
		sent, got := sha256.New(), sha256.New()
		done := make(chan error, 1)
		go func() {
			message := pattern(piece)
			for i := range count {
				message[i] ^= 0xff
				sent.Write(message)
				if err := l.Write(framer.Binary, message); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for i := range count {
			_, message, err := s.Read()
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			got.Write(message)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
			t.Error("the content has changed on its way")
		}
	})
}

// TestGroundTLSAddresses: rendezvous addresses have the scheme and the host that
// the listener itself used, on one gateway.
func TestGroundTLSAddresses(t *testing.T) {
	g := emulator.Start(t)
	cfg := emulator.TLS("https://" + g.HTTPS)
	_, port, err := net.SplitHostPort(g.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		host string // as the listener spells it
		cfg  *tls.Config
		want string
	}{
		{g.HTTP, nil, "ws://" + g.HTTP},
		{g.HTTPS, cfg, "wss://" + g.HTTPS},
		{"localhost:" + port, cfg, "wss://localhost:" + port},
		{"Relay.localhost", cfg, "wss://Relay.localhost"},
	}
	for _, tt := range tests {
		dialed := g.HTTP
		if tt.cfg != nil {
			dialed = g.HTTPS
		}
		l, err := framer.ConnectTLS(tt.cfg, dialed)
		if err != nil {
			t.Fatal(err)
		}
		sendBytes(t, l, []byte(framer.Request("/$hc/"+emulator.Authenticated+
			"?sb-hc-action=listen", tt.host,
			"ServiceBusAuthorization: "+emulator.Token(emulator.Authenticated))))
		if r, err := l.ReadResponse(); err != nil || r.Status != 101 {
			t.Fatalf("%s: %+v, %v", tt.host, r, err)
		}
		for _, sender := range []string{"ws://" + g.HTTP, "wss://" + g.HTTPS} {
			pending := connecting(framerPeer, sender+"/$hc/"+emulator.Authenticated,
				senderHeader(emulator.Authenticated))
			channel := &control{conn: &framerConn{c: l}, peer: framerPeer}
			a := channel.next(t)
			if !strings.HasPrefix(a.Address, tt.want+"/$hc/") {
				t.Errorf("listener at %s: address %s, want %s", tt.host, a.Address, tt.want)
			}
			address := strings.Replace(a.Address, tt.want, sender, 1)
			rendezvous, answer, err := framerPeer.dial(address, nil)
			if err != nil {
				t.Fatalf("%v %+v", err, answer)
			}
			transfer(t, connected(t, pending), rendezvous, framer.Text, []byte("x"))
			rendezvous.Abort()
		}
		l.Abort()
		eventually(t, "the end of the registration", func() bool {
			_, answer, err := framerPeer.dial(g.URL(emulator.Authenticated, ""),
				senderHeader(emulator.Authenticated))
			return err != nil && answer != nil && answer.status == 404
		})
	}
}
