//go:build system

package node_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// endConn notes that the end of the TCP stream has been read.
type endConn struct {
	*net.TCPConn
	ended atomic.Bool
}

func (c *endConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.ended.Store(c.ended.Load() || err == io.EOF)
	return n, err
}

// dialEnd dials e at address so that wantNotified can be asked.
func (e *edge) dialEnd(address string, buffer int) {
	e.dial = func() (net.Conn, error) {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		c := raw.(*net.TCPConn)
		if buffer > 0 {
			c.SetReadBuffer(buffer)
			c.SetWriteBuffer(buffer)
		}
		return tls.Client(&endConn{TCPConn: c}, e.client), nil
	}
}

// wantNotified wants the end of the stream from l: close_notify, and behind it
// the end of the TCP stream.
func wantNotified(l *processLeg) error {
	if rest, err := io.ReadAll(l.r); len(rest) > 0 || err != nil {
		return errors.Join(errors.New("bytes, or no end"), err)
	}
	raw := l.Conn.(*tls.Conn).NetConn().(*endConn)
	if raw.ended.Load() {
		return errors.New("the stream ended without close_notify")
	}
	if n, err := raw.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return errors.Join(errors.New("no end of the TCP stream behind close_notify"), err)
	}
	return nil
}

// inPieces is a TCP proxy that passes on 7 bytes at a time.
func inPieces(t *testing.T, to string) string {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wait sync.WaitGroup
	t.Cleanup(func() {
		port.Close()
		wait.Wait()
	})
	pass := func(dst, src *net.TCPConn) {
		defer dst.CloseWrite()
		for p := make([]byte, 7); ; {
			n, err := src.Read(p)
			if err != nil {
				return
			}
			if _, err := dst.Write(p[:n]); err != nil {
				return
			}
		}
	}
	wait.Go(func() {
		for {
			near, err := port.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			a, b := near.(*net.TCPConn), far.(*net.TCPConn)
			wait.Go(func() {
				defer a.Close()
				defer b.Close()
				wait.Go(func() { pass(a, b) })
				pass(b, a)
				b.SetReadDeadline(time.Now().Add(5 * time.Second))
			})
		}
	})
	return port.Addr().String()
}

// TestProcessTLSPieces: a whole conversation of which every record, those of the
// handshakes included, comes 7 bytes at a time.
func TestProcessTLSPieces(t *testing.T) {
	for layer, args := range layers {
		e := startEdge(t, args...)
		e.dialEnd(inPieces(t, e.https), 0)
		control := e.listener()
		s, l, err := e.relay(control)
		if err != nil {
			t.Fatalf("%s: %v", layer, err)
		}
		for _, size := range []int{0, 1, 125, 126, 4000, 66000} {
			p := make([]byte, size)
			rand.Read(p)
			for _, ends := range [][2]*processLeg{{s, l}, {l, s}} {
				must(t, ws.WriteFrame(ends[0], ws.MaskFrame(ws.NewBinaryFrame(bytes.Clone(p)))))
				var got []byte
				for fin := false; !fin; {
					f, err := ws.ReadFrame(ends[1].r)
					must(t, err)
					got, fin = append(got, f.Payload...), f.Header.Fin
				}
				if !bytes.Equal(got, p) {
					t.Fatalf("%s: %d bytes came back changed", layer, size)
				}
			}
		}
		must(t, ws.WriteFrame(s, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))))
		if f, err := ws.ReadFrame(l.r); err != nil || f.Header.OpCode != ws.OpClose {
			t.Errorf("%s: %v, %v, want a Close", layer, f.Header, err)
		}
		must(t, ws.WriteFrame(l, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))))
		if f, err := ws.ReadFrame(s.r); err != nil || f.Header.OpCode != ws.OpClose {
			t.Errorf("%s: %v, %v, want a Close", layer, f.Header, err)
		}
		for _, x := range []*processLeg{s, l} {
			if err := wantNotified(x); err != nil {
				t.Errorf("%s: %v", layer, err)
			}
			x.Close()
		}
		control.Close()
		e.end(0)
	}
}

// TestProcessTLSDrain: as TestProcessDrain, over TLS: and every stream ends with
// close_notify.
func TestProcessTLSDrain(t *testing.T) {
	for layer, args := range layers {
		e := startEdge(t, append([]string{"--drain-timeout", "1s"}, args...)...)
		e.dialEnd(e.https, 0)
		control := e.listener()
		s, l, err := e.relay(control)
		must(t, err)
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
		control.SetDeadline(time.Now().Add(20 * time.Second))
		wantProcessClose(t, control, 1001)
		resp, err := http.Get("http://" + e.admin + "/readyz")
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("readyz while draining: %s", resp.Status)
		}
		e.echo(s, l)
		wantProcessClose(t, s, 1001)
		wantProcessClose(t, l, 1001)
		for name, x := range map[string]*processLeg{"control": control, "sender": s, "listener": l} {
			if err := wantNotified(x); err != nil {
				t.Errorf("%s, %s: %v", layer, name, err)
			}
			x.Close()
		}
		_ = e.cmd.Wait()
		if got := e.cmd.ProcessState.ExitCode(); got != 0 {
			t.Errorf("%s: exit status %d", layer, got)
		}
	}
}

const (
	stuckPairs = 64
	stuckBytes = 8 << 20 // more than the kernel takes with small buffers
	stuckFrame = 16 << 10
)

// TestProcessTLSStuck: 64 relays one end of which sends and the other does not
// read, the listener of each second. The gateway holds little for them; when they
// read, all of it comes, and the end, and after it something the other way.
func TestProcessTLSStuck(t *testing.T) {
	for layer, args := range layers {
		e := startEdge(t, args...)
		e.dialEnd(e.https, 32<<10)
		control := e.listener()
		_, _, before := e.state()
		var wait sync.WaitGroup
		var sent atomic.Int64
		var legs [stuckPairs][2]*processLeg // who sends, who does not read
		var sums, got [stuckPairs][32]byte
		for i := range legs {
			s, l, err := e.relay(control)
			must(t, err)
			if i%2 == 1 {
				s, l = l, s
			}
			legs[i] = [2]*processLeg{s, l}
			s.SetDeadline(time.Now().Add(60 * time.Second))
			l.SetDeadline(time.Now().Add(60 * time.Second))
			wait.Go(func() {
				sum := sha256.New()
				p := make([]byte, stuckFrame)
				for range stuckBytes / stuckFrame {
					rand.Read(p)
					sum.Write(p)
					if ws.WriteFrame(s, ws.MaskFrame(ws.NewBinaryFrame(bytes.Clone(p)))) != nil {
						return
					}
					sent.Add(stuckFrame)
				}
				sum.Sum(sums[i][:0])
				s.Conn.(*tls.Conn).CloseWrite()
				s.Conn.(*tls.Conn).NetConn().(*endConn).CloseWrite()
			})
		}
		last, still := int64(-1), 0
		soon(t, "stuck", func() bool {
			if now := sent.Load(); now != last {
				last, still = now, 0
			}
			time.Sleep(20 * time.Millisecond)
			still++
			return still > 25
		})
		if last >= stuckPairs*stuckBytes {
			t.Fatalf("%s: nobody is stuck", layer)
		}
		held := e.metric("relay_leftover_bytes")
		_, _, rss := e.state()
		t.Logf("%s: stuck with %d MiB of %d sent; %v KiB are held, RSS %d KiB more", layer,
			last>>20, stuckPairs*stuckBytes>>20, int(held)>>10, (rss-before)>>10)
		// One block of relay.read_buffer each, which first reads do not fill.
		if bound := stuckPairs * (64 << 10); held > float64(bound) || held == 0 {
			t.Errorf("%s: %v bytes are held", layer, held)
		}
		if rss-before > 64<<20 {
			t.Errorf("%s: %d MiB more memory", layer, (rss-before)>>20)
		}
		for i := range legs {
			wait.Go(func() {
				sum := sha256.New()
				for n := 0; n < stuckBytes; {
					f, err := ws.ReadFrame(legs[i][1].r)
					if err != nil {
						t.Errorf("%s: after %d bytes: %v", layer, n, err)
						return
					}
					sum.Write(f.Payload)
					n += len(f.Payload)
				}
				sum.Sum(got[i][:0])
				if err := wantNotified(legs[i][1]); err != nil {
					t.Errorf("%s: %v", layer, err)
				}
			})
		}
		wait.Wait()
		if got != sums {
			t.Errorf("%s: bytes came changed", layer)
		}
		for _, x := range legs {
			if !t.Failed() {
				e.echo(x[1], x[0])
			}
			x[0].Close()
			x[1].Close()
		}
		control.Close()
		e.end(0)
	}
}
