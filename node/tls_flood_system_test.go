//go:build system

package node_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// hello is the first flight of a client of e.
func (e *edge) hello() []byte {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, e.client).Handshake()
	p := make([]byte, 16<<10)
	n, err := far.Read(p)
	if err != nil {
		e.t.Fatal(err)
	}
	return p[:n]
}

// crowdOf makes n TCP connections to the TLS port.
func (e *edge) crowdOf(n int) []*net.TCPConn {
	e.t.Helper()
	crowd := make([]*net.TCPConn, n)
	for i := range crowd {
		c, err := net.Dial("tcp", e.https)
		if err != nil {
			e.t.Fatal(err)
		}
		crowd[i] = c.(*net.TCPConn)
		e.t.Cleanup(func() { c.Close() })
	}
	return crowd
}

// traffic are relays that echo without a pause.
type traffic struct {
	stop  chan struct{}
	wait  sync.WaitGroup
	mu    sync.Mutex
	took  []time.Duration // Guarded by mu.
	wrong error           // Guarded by mu.
}

func (e *edge) startTraffic(control *processLeg, relays int) *traffic {
	e.t.Helper()
	f := &traffic{stop: make(chan struct{})}
	for range relays {
		s, l, err := e.relay(control)
		if err != nil {
			e.t.Fatal(err)
		}
		f.wait.Go(func() {
			defer l.Close()
			for {
				l.SetDeadline(time.Now().Add(20 * time.Second))
				got, err := ws.ReadFrame(l.r)
				if err != nil || ws.WriteFrame(l, ws.MaskFrame(ws.NewBinaryFrame(got.Payload))) != nil {
					return
				}
			}
		})
		f.wait.Go(func() {
			defer s.Close()
			for {
				select {
				case <-f.stop:
					return
				default:
					f.echo(s)
				}
			}
		})
	}
	return f
}

func (f *traffic) echo(s *processLeg) {
	p := make([]byte, 1000)
	rand.Read(p)
	s.SetDeadline(time.Now().Add(20 * time.Second))
	began := time.Now()
	err := ws.WriteFrame(s, ws.MaskFrame(ws.NewBinaryFrame(bytes.Clone(p))))
	if err == nil {
		var got ws.Frame
		if got, err = ws.ReadFrame(s.r); err == nil && !bytes.Equal(got.Payload, p) {
			err = fmt.Errorf("%d bytes came back changed", len(got.Payload))
		}
	}
	f.mu.Lock()
	f.took = append(f.took, time.Since(began))
	if err != nil && f.wrong == nil {
		f.wrong = err
	}
	f.mu.Unlock()
	time.Sleep(time.Millisecond) // leave the others some of the machine
}

// figures tells how long echoes took since the last call.
func (f *traffic) figures(t *testing.T) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong != nil {
		t.Fatalf("an echo failed: %v", f.wrong)
	}
	all := f.took
	f.took = nil
	if len(all) == 0 {
		t.Fatal("no echo")
	}
	slices.Sort(all)
	return fmt.Sprintf("%d echoes, p50 %v, p99 %v, longest %v",
		len(all), all[len(all)/2], all[len(all)*99/100], all[len(all)-1])
}

func (f *traffic) end() {
	close(f.stop)
	f.wait.Wait()
}

// TestProcessTLSHandshakesThatHang: a thousand connections that say nothing or
// half a ClientHello, and a thousand that say one and no more or that are slow,
// are ended at the deadline; relays go on, and so do new senders where there is
// room for handshakes.
func TestProcessTLSHandshakesThatHang(t *testing.T) {
	for _, most := range []int{4096, 50} {
		e := startEdge(t, "--tls-handshake-timeout", "3s",
			"--tls-handshakes-max", fmt.Sprint(most))
		control := e.listener()
		f := e.startTraffic(control, 20)
		goroutines, descriptors, rss := e.state()
		time.Sleep(time.Second) // a figure needs some time
		t.Logf("handshakes_max %d, before: %s", most, f.figures(t))

		hello := e.hello()
		slow := []*net.TCPConn{}
		for i, c := range e.crowdOf(2000) {
			switch i % 4 {
			case 1:
				c.Write(hello[:len(hello)/2])
			case 2:
				c.Write(hello)
			case 3:
				slow = append(slow, c)
			}
		}
		served, refused, most2, memory := 0, 0, 0, 0
		ended := func() float64 {
			return e.metric(`relay_tls_handshakes_total{result="timeout"}`)
		}
		for at := 0; ended() < 2000 && at < 200; at++ {
			for _, c := range slow {
				c.Write(hello[at%len(hello):][:1])
			}
			if most > 2000 { // else they wait behind those that hang
				s, l, err := e.relay(control)
				if err != nil {
					refused++
					t.Errorf("a new sender: %v", err)
				} else {
					served++
					e.echo(s, l)
					s.Close()
					l.Close()
				}
			}
			g, _, m := e.state()
			most2, memory = max(most2, g), max(memory, m)
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("handshakes_max %d, during: %s; %d new relays; %d goroutines, %d before; "+
			"RSS %d KiB, %d before", most, f.figures(t), served, most2, goroutines, memory>>10, rss>>10)
		if n := ended(); n != 2000 {
			t.Errorf("%v of 2000 were ended at the deadline", n)
		}
		// Those with a whole ClientHello have a goroutine, if there is room.
		if bound := goroutines + min(500, most) + 30; most2 > bound {
			t.Errorf("%d goroutines, want at most %d", most2, bound)
		}
		if grown := memory - rss; grown > 128<<20 {
			t.Errorf("%d MiB more memory", grown>>20)
		}
		s, l, err := e.relay(control)
		if err != nil {
			t.Fatalf("a new relay in the end: %v", err)
		}
		e.echo(s, l)
		s.Close()
		l.Close()
		e.wantBack(goroutines, descriptors)
		f.end()
		control.Close()
		e.end(0)
	}
}

// TestProcessTLSGarbage: old versions are refused, and thousands of
// connections of random bytes touch no relay.
func TestProcessTLSGarbage(t *testing.T) {
	e := startEdge(t)
	control := e.listener()
	f := e.startTraffic(control, 20)
	goroutines, descriptors, _ := e.state()
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		old := e.client.Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, version
		_, err := tls.Dial("tcp", e.https, old)
		if err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("version %x: %v", version, err)
		}
	}
	for range 30 {
		for i, c := range e.crowdOf(100) {
			p := make([]byte, 1000)
			rand.Read(p)
			if i%2 == 0 { // a record of a handshake, it seems
				copy(p, []byte{22, 3, 1, 1, 0, 1, 0, 0, 252})
			}
			c.Write(p)
			if i%3 == 0 {
				c.SetLinger(0)
			}
			c.Close()
		}
	}
	e.wantBack(goroutines, descriptors)
	t.Log(f.figures(t))
	f.end()
	control.Close()
	e.end(0)
}

// cutConn sends so many bytes of the flights from the given one on, and then the
// end of its stream, or a reset.
type cutConn struct {
	*net.TCPConn
	flight, left int
	reset        bool
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.flight--; c.flight > 0 {
		return c.TCPConn.Write(p)
	}
	n, _ := c.TCPConn.Write(p[:min(c.left, len(p))])
	if c.left -= n; c.left > 0 {
		return n, nil
	}
	if c.reset {
		c.SetLinger(0)
		c.Close()
	} else {
		c.CloseWrite()
	}
	return n, io.ErrClosedPipe
}

// TestProcessTLSCut: a stream that ends behind any byte of the two flights of a
// client, in good order or not, leaves nothing behind.
func TestProcessTLSCut(t *testing.T) {
	for layer, args := range layers {
		e := startEdge(t, args...)
		goroutines, descriptors, _ := e.state()
		cuts := 0
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := e.client.Clone()
			cfg.MaxVersion = version
			for flight, size := range map[int]int{1: len(e.hello()), 2: 100} {
				for cut := range size {
					for _, reset := range []bool{true, false} {
						raw := e.crowdOf(1)[0]
						c := tls.Client(&cutConn{raw, flight, cut, reset}, cfg)
						raw.SetDeadline(time.Now().Add(20 * time.Second))
						if c.Handshake() == nil { // the flight is shorter
							raw.Close()
							continue
						}
						cuts++
						if _, err := io.Copy(io.Discard, raw); !reset && isTimeout(err) {
							t.Fatalf("%s, version %x, flight %d cut at %d: not ended", layer, version, flight, cut)
						}
						raw.Close()
					}
				}
			}
		}
		t.Logf("%s: %d cuts", layer, cuts)
		e.wantBack(goroutines, descriptors)
		soon(t, "no connection is left", func() bool { return e.metric("relay_connections{") == 0 })
		e.end(0)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
