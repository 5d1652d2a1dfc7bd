package engine_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/metrics"
)

// inRecords gives a record's content as records of n bytes each.
func inRecords(record []byte, n int) (p []byte) {
	for content := record[5:]; len(content) > 0; {
		part := content[:min(n, len(content))]
		p = append(p, record[0], record[1], record[2], byte(len(part)>>8), byte(len(part)))
		p, content = append(p, part...), content[len(part):]
	}
	return p
}

// TestTLSHelloInRecords: a ClientHello may come in many records, and these in
// pieces of any size.
func TestTLSHelloInRecords(t *testing.T) {
	_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, portOf(tls13), tls13)
	hello := clientHello(t)
	for _, size := range []int{1, 3, 4, 5, 100, len(hello)} {
		p := inRecords(hello, size)
		for _, cut := range []int{1, 4, 5, 6, 9, 10, len(p) - 1} {
			raw := dialRaw(t, addr)
			raw.Write(p[:cut])
			raw.Write(p[cut:])
			answer := make([]byte, 6)
			const serverHello = 2
			if _, err := io.ReadFull(raw, answer); err != nil || answer[5] != serverHello {
				t.Errorf("records of %d, cut at %d: %x, %v", size, cut, answer, err)
			}
		}
	}
}

// TestTLSEmptyRecords: records of a handshake with nothing in them are refused,
// the first of them; they could come without end.
func TestTLSEmptyRecords(t *testing.T) {
	_, addr := runPort(t, engine.Config{Accept: newEcho().accept, Loops: 1}, portOf(tls13), tls13)
	for name, before := range map[string][]byte{
		"first": nil, "between": {22, 3, 1, 0, 3, 1, 0, 1},
	} {
		raw := dialRaw(t, addr)
		raw.Write(append(bytes.Clone(before), 22, 3, 1, 0, 0))
		got, err := io.ReadAll(raw)
		if err != nil || len(got) != 7 || got[6] != 50 {
			t.Errorf("%s: got %x, %v; want an alert", name, got, err)
		}
	}
}

// TestTLSHalfClosedHandshake: a client that ends its stream behind the last
// message of its handshake and some data, all in one piece, is served.
func TestTLSHalfClosedHandshake(t *testing.T) {
	for _, transport := range []string{tls13, own} {
		h := newEcho()
		_, addr := runPort(t, engine.Config{Accept: h.accept, Loops: 1}, portOf(transport), transport)
		for _, size := range []int{1, 20000, 100000} {
			for _, notify := range []bool{true, false} {
				var l *late
				c := dialEcho(t, addr, clientConfig(transport), func(c net.Conn) net.Conn {
					l = &late{Conn: c}
					return l
				})
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				p := random(size, 3)
				c.Write(p)
				if notify {
					c.CloseWrite() // forbids writes, by a deadline
					c.SetDeadline(time.Now().Add(30 * time.Second))
				}
				go func() {
					l.Conn.Write(l.held)
					l.Conn.(*net.TCPConn).CloseWrite()
				}()
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, p) {
					t.Fatalf("%s, %d bytes, close_notify %v: got %d bytes, %v",
						transport, size, notify, len(got), err)
				}
				if r := <-h.closed; r != metrics.ClosePeerEOF {
					t.Errorf("closed by %v", r)
				}
			}
		}
	}
}

// TestTLSCutHandshake: an end of the stream in the middle of a handshake ends
// it, at once.
func TestTLSCutHandshake(t *testing.T) {
	e, addr := runPort(t, engine.Config{Accept: newEcho().accept}, portOf(tls13), tls13)
	hello := clientHello(t)
	for _, sent := range []int{0, 3, len(hello) - 1, len(hello)} {
		raw := dialRaw(t, addr)
		raw.Write(hello[:sent])
		if sent == len(hello) {
			raw.Read(make([]byte, 1)) // it has begun
		}
		raw.CloseWrite()
		io.Copy(io.Discard, raw)
	}
	eventually(t, "all ended", func() bool { return count(e, metrics.HandshakeFailed) == 4 })
	cfg := &tls.Config{InsecureSkipVerify: true}
	wantEcho(t, dialEcho(t, addr, cfg, nil), []byte("served"))
}
