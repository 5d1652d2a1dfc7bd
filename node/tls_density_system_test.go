//go:build system

package node_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// holderEnv makes a process of this test the holder of connections: its value
// is the address of an edge. The certificate to trust comes first on its input.
const holderEnv = "RELAYHOUSE_TEST_HOLDER"

// TestProcessTLSHolder is no test: it is what TestProcessTLSDensity runs. For
// each line "open N" it opens N connections, two to a relay; for "bulk N", 256 KiB
// go each way through N of them; each is answered with a line.
func TestProcessTLSHolder(t *testing.T) {
	address := os.Getenv(holderEnv)
	if address == "" {
		return // this is no such process
	}
	in := bufio.NewReader(os.Stdin)
	var text bytes.Buffer
	for !bytes.Contains(text.Bytes(), []byte("-----END")) {
		line, err := in.ReadBytes('\n')
		must(t, err)
		text.Write(line)
	}
	block, _ := pem.Decode(text.Bytes())
	root := &issuer{pool: poolOf(t, block.Bytes)}
	p := &process{t: t, http: address}
	p.dial = func() (net.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{RootCAs: root.pool, ServerName: "localhost",
			CurvePreferences: []tls.CurveID{tls.X25519}})
	}
	control := p.listener()
	var relays [][2]*processLeg
	for {
		var verb string
		var n int
		if _, err := fmt.Fscanln(in, &verb, &n); err != nil {
			return
		}
		for range n / 2 {
			if verb == "bulk" {
				break
			}
			s, l, err := p.relay(control)
			must(t, err)
			relays = append(relays, [2]*processLeg{s, l})
		}
		for _, r := range relays[:n/2] {
			if verb == "bulk" {
				p.bulk(r[0], r[1])
				p.bulk(r[1], r[0])
			}
		}
		fmt.Println("done")
	}
}

// bulk sends 256 KiB.
func (p *process) bulk(from, to *processLeg) {
	from.SetDeadline(time.Now().Add(time.Minute))
	to.SetDeadline(time.Now().Add(time.Minute))
	sent := make(chan error, 1)
	go func() {
		sent <- ws.WriteFrame(from, ws.MaskFrame(ws.NewBinaryFrame(make([]byte, 256<<10))))
	}()
	for n := 0; n < 256<<10; {
		f, err := ws.ReadFrame(to.r)
		must(p.t, err)
		n += len(f.Payload)
	}
	must(p.t, <-sent)
}

// memory is what the gateway holds when it has settled, in bytes.
func (e *edge) memory() (heap, rss float64) {
	e.t.Helper()
	for range 3 { // pools let go with the second
		resp, err := http.Get("http://" + e.admin + "/debug/pprof/heap?gc=1")
		must(e.t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		time.Sleep(300 * time.Millisecond)
	}
	return e.metric("go_memstats_heap_alloc_bytes"), e.metric("process_resident_memory_bytes")
}

// TestProcessTLSDensity: what a TLS connection costs that is idle, fresh and
// after some data, from the slope over 1,000 and 4,000 connections.
func TestProcessTLSDensity(t *testing.T) {
	const first, all = 1000, 4000
	for layer, bounds := range map[string][2]float64{
		"crypto/tls": {10 << 10, 48 << 10}, "own": {4 << 10, 4 << 10},
	} {
		e := startEdge(t, layers[layer]...)
		holder := exec.Command(os.Args[0], "-test.run", "^TestProcessTLSHolder$")
		holder.Env = append(os.Environ(), holderEnv+"="+e.https)
		holder.Stderr = os.Stderr
		in, err := holder.StdinPipe()
		must(t, err)
		out, err := holder.StdoutPipe()
		must(t, err)
		must(t, holder.Start())
		t.Cleanup(func() {
			in.Close()
			_ = holder.Wait()
		})
		answers := bufio.NewReader(out)
		ask := func(verb string, n int) (heap, rss float64) {
			t.Helper()
			_, err := fmt.Fprintln(in, verb, n)
			must(t, err)
			if line, err := answers.ReadString('\n'); err != nil || line != "done\n" {
				t.Fatalf("the holder: %q, %v", line, err)
			}
			return e.memory()
		}
		_, err = in.Write(e.root.pem)
		must(t, err)
		heap1, rss1 := ask("open", first)
		heap2, rss2 := ask("open", all-first)
		fresh := (heap2 - heap1) / (all - first)
		heap3, rss3 := ask("bulk", first)
		used := fresh + (heap3-heap2)/first
		t.Logf("%s: heap %.0f B fresh, %.0f B after 256 KiB each way; RSS %.0f B fresh, %.0f B after, "+
			"of one connection", layer, fresh, used, (rss2-rss1)/(all-first),
			(rss2-rss1)/(all-first)+(rss3-rss2)/first)
		if fresh > bounds[0] || used > bounds[1] {
			t.Errorf("%s: %.0f and %.0f bytes of heap, want at most %v", layer, fresh, used, bounds)
		}
		in.Close()
		must(t, holder.Wait())
		e.end(0)
	}
}
