package tlsrecord

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// opensslNames are the names of suites for openssl's option -ciphersuites.
var opensslNames = map[uint16]string{
	tls.TLS_AES_128_GCM_SHA256:       "TLS_AES_128_GCM_SHA256",
	tls.TLS_AES_256_GCM_SHA384:       "TLS_AES_256_GCM_SHA384",
	tls.TLS_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
}

// openssl is a client of another make, with its input and the lines that it says.
type openssl struct {
	stdin io.WriteCloser
	lines *bufio.Reader
}

func startOpenssl(t *testing.T, id uint16, address string) *openssl {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, path, "s_client", "-connect", address, "-tls1_3",
		"-ciphersuites", opensslNames[id], "-servername", "localhost", "-brief")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cancel()
		cmd.Wait()
	})
	return &openssl{stdin, bufio.NewReader(stdout)}
}

// expect reads lines until one says text.
func (o *openssl) expect(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := o.lines.ReadString('\n')
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("openssl ends without having said %q: %v", text, err)
		}
	}
}

func (o *openssl) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(o.stdin, text); err != nil {
		t.Fatal(err)
	}
}

// connection is a socket with the layer that has taken over.
type connection struct {
	net.Conn
	*Layer
}

// acceptOne makes the handshake of the next connection with crypto/tls and takes
// over from there.
func acceptOne(t *testing.T, listener *net.TCPListener, id uint16) *connection {
	t.Helper()
	if err := listener.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p := pair{}
	outer := &recordwise{Conn: conn}
	p.server = tls.Server(outer, serverConfig(&p.secrets))
	if err := p.server.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.suite, p.flight = p.server.ConnectionState().CipherSuite, outer.flight
	if p.suite != id {
		t.Fatalf("suite %x was agreed on, want %x", p.suite, id)
	}
	return &connection{conn, p.layer(t)}
}

// next opens one record and sends what the layer has to say.
func (c *connection) next(t *testing.T) ([]byte, error) {
	t.Helper()
	record := make([]byte, RecordMax)
	if _, err := io.ReadFull(c, record[:RecordHeader]); err != nil {
		t.Fatal(err)
	}
	n, err := c.RecordLen(record)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, record[RecordHeader:n]); err != nil {
		t.Fatal(err)
	}
	data, err := c.Open(nil, record[:n])
	c.send(t, c.AppendPending(nil))
	return data, err
}

func (c *connection) send(t *testing.T, wire []byte) {
	t.Helper()
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
}

func (c *connection) expect(t *testing.T, text string) {
	t.Helper()
	if data, err := c.next(t); string(data) != text || err != nil {
		t.Fatalf("openssl sends %q, %v; want %q", data, err, text)
	}
}

// openssl's client understands the layer and is understood, also when it renews
// its keys (K asks for an answer, k does not) and when the layer renews its own.
func TestOpenssl(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		peer := startOpenssl(t, id, listener.Addr().String())
		c := acceptOne(t, listener.(*net.TCPListener), id)

		c.send(t, c.Seal(nil, []byte("welcome\n")))
		peer.expect(t, "welcome")
		peer.say(t, "hello\n")
		c.expect(t, "hello\n")
		for _, command := range []string{"K\n", "k\n", "K\n"} {
			secret := c.out.secret
			peer.say(t, command)
			c.expect(t, "")
			if (c.out.secret != secret) != (command == "K\n") {
				t.Errorf("after %q: answered is %v", command, c.out.secret != secret)
			}
			c.send(t, c.Seal(nil, []byte("after "+command)))
			peer.expect(t, "after "+command[:1])
			peer.say(t, "still here\n")
			c.expect(t, "still here\n")
		}
		c.recordsMax = 3
		c.send(t, c.Seal(nil, append(bytes.Repeat([]byte("long "), 12000), "end\n"...)))
		peer.expect(t, "long end")
		peer.say(t, "Q\n")
		if _, err := c.next(t); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
		c.send(t, c.AppendCloseNotify(nil))
	})
}
