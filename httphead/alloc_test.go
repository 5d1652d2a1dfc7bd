package httphead

import "testing"

// What runs per read of a body, and per request beside Parse, allocates
// nothing.
func TestAllocations(t *testing.T) {
	wire := []byte("5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n")
	bad := []byte("5\nhello")
	h, err := Parse([]byte(chunked))
	length, err2 := Parse([]byte(post + "Content-Length: 5\r\n\r\n"))
	both, err3 := Parse([]byte(post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"))
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	buf := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"Chunks": func() {
			var d Chunks
			for p := wire; len(p) > 0; {
				n, _, _, err := d.Next(p)
				if err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
		},
		"Chunks, refused": func() {
			var d Chunks
			if _, _, _, err := d.Next(bad); err != ErrChunkSize {
				t.Fatal(err)
			}
		},
		"Body, chunked": func() {
			if kind, _, err := h.Body(); kind != BodyChunked || err != nil {
				t.Fatal(kind, err)
			}
		},
		"Body, length": func() {
			if kind, n, err := length.Body(); kind != BodyLength || n != 5 || err != nil {
				t.Fatal(kind, n, err)
			}
		},
		"Body, refused": func() {
			if _, _, err := both.Body(); err != ErrFramingBoth {
				t.Fatal(err)
			}
		},
		"KeepAlive": func() { _ = h.KeepAlive() },
		"Scan": func() {
			if end, _, err := Scan([]byte(sample), 0); end != len(sample) || err != nil {
				t.Fatal(end, err)
			}
		},
		"Append": func() {
			buf = AppendStatus(buf[:0], 200, "OK")
			buf = AppendField(buf, "Content-Type", "text/plain")
			buf = AppendChunk(buf, wire)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
