package tlsrecord

import (
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"testing"
)

var benchSizes = []int{1 << 10, 16 << 10}

// BenchmarkSeal is one write of the given size, to a peer that takes
// everything.
func BenchmarkSeal(b *testing.B) {
	for _, s := range suites {
		for _, size := range benchSizes {
			name := fmt.Sprintf("%s/%d", tls.CipherSuiteName(s.id), size)
			b.Run("Layer/"+name, func(b *testing.B) {
				server, _ := layers(b, s.id)
				data, dst := make([]byte, size), make([]byte, 0, SealMax(size))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					server.Seal(dst, data)
				}
			})
			b.Run("Conn/"+name, func(b *testing.B) {
				p := handshake(b, s.id, nil, nil)
				p.toClient.sink = true
				data := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.server.Write(data); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen is one record of the given size. The records are sealed in
// batches outside the time.
func BenchmarkOpen(b *testing.B) {
	const batch = 256
	for _, s := range suites {
		for _, size := range benchSizes {
			name := fmt.Sprintf("%s/%d", tls.CipherSuiteName(s.id), size)
			run := func(b *testing.B, open func(record []byte), client *half) {
				data := make([]byte, size)
				wire := make([]byte, 0, batch*(size+Overhead))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; done += batch {
					b.StopTimer()
					wire = wire[:0]
					n := min(batch, b.N-done)
					for range n {
						wire = client.appendRecord(wire, typeApplicationData, data)
					}
					b.StartTimer()
					for i := range n {
						open(wire[i*(size+Overhead) : (i+1)*(size+Overhead)])
					}
				}
			}
			b.Run("Layer/"+name, func(b *testing.B) {
				server, client := layers(b, s.id)
				dst := make([]byte, 0, RecordMax)
				run(b, func(record []byte) {
					if _, err := server.Open(dst, record); err != nil {
						b.Fatal(err)
					}
				}, &client.out)
			})
			b.Run("Conn/"+name, func(b *testing.B) {
				p := handshake(b, s.id, nil, nil)
				client := half{suite: s}
				if err := client.setSecret(p.secrets.Client); err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, RecordMax)
				run(b, func(record []byte) {
					p.toServer.buf = record
					if n, err := p.server.Read(dst); n != size || err != nil {
						b.Fatal(n, err)
					}
				}, &client)
			})
		}
	}
}

// heapPer is the heap in bytes that each of the n things that made returns keeps.
func heapPer(n int, made func() any) int {
	kept := make([]any, n)
	for i := range kept {
		kept[i] = made()
	}
	with := heap()
	clear(kept)
	without := heap()
	runtime.KeepAlive(kept)
	return int(with-without) / n
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools had goes with the second
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// heapMax is what a Layer may keep, in bytes.
const heapMax = 4 << 10

// What an idle connection keeps on the heap, beside the server's tls.Conn, after
// the handshake and after 256 KiB have been received.
func TestHeapPerConnection(t *testing.T) {
	const n, received = 16, 256 << 10
	data := make([]byte, received)
	eachSuite(t, func(t *testing.T, id uint16) {
		dst := make([]byte, 0, RecordMax)
		layer := func(receive bool) int {
			return heapPer(n, func() any {
				l, client := layers(t, id)
				if receive {
					wire := client.Seal(nil, data)
					for len(wire) > 0 {
						size, err := l.RecordLen(wire)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := l.Open(dst, wire[:size]); err != nil {
							t.Fatal(err)
						}
						wire = wire[size:]
					}
				}
				return l
			})
		}
		conn := func(receive bool) int {
			return heapPer(n, func() any {
				p := handshake(t, id, nil, nil)
				if receive {
					if _, err := p.client.Write(data); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(p.server, make([]byte, received)); err != nil {
						t.Fatal(err)
					}
				}
				*p.toServer, *p.toClient = stream{}, stream{}
				return p.server
			})
		}
		fresh, used := layer(false), layer(true)
		t.Logf("Layer: %d bytes new, %d after %d KiB", fresh, used, received>>10)
		t.Logf("tls.Conn: %d bytes new, %d after %d KiB", conn(false), conn(true), received>>10)
		if max(fresh, used) > heapMax {
			t.Errorf("a Layer keeps %d bytes, want at most %d", max(fresh, used), heapMax)
		}
	})
}
