package httphead

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// decode runs a decoder over pieces and gathers the data.
func decode(pieces ...[]byte) (data []byte, used int, done bool, err error) {
	var d Chunks
	for _, p := range pieces {
		for len(p) > 0 && !done {
			var n int
			var part []byte
			n, part, done, err = d.Next(p)
			used += n
			data = append(data, part...)
			if err != nil {
				return data, used, done, err
			}
			p = p[n:]
		}
	}
	return data, used, done, nil
}

// The bounds, at them and one beyond.
func TestChunksBounds(t *testing.T) {
	line := func(n int) string { // a size line of n bytes
		return "1;" + strings.Repeat("x", n-4) + "\r\ny\r\n" + LastChunk
	}
	trailers := func(n int) string { // n bytes of trailers, with the last CRLF
		return "0\r\nA: b\r\nX:" + strings.Repeat("y", n-12) + "\r\n\r\n"
	}
	tests := []struct {
		name, in string
		want     error
	}{
		{"size of 15 digits", "000000000000001\r\ny\r\n" + LastChunk, nil},
		{"size of 16 digits", "0000000000000001\r\ny\r\n" + LastChunk, ErrChunkSize},
		{"last size of 15 digits", "000000000000000\r\n\r\n", nil},
		{"line", line(chunkLineMax), nil},
		{"longer line", line(chunkLineMax + 1), ErrChunkLineTooLong},
		{"blanks", "1" + strings.Repeat(" ", 500) + ";\r\ny\r\n" + LastChunk, nil},
		{"more blanks", "1" + strings.Repeat(" ", chunkLineMax) + ";\r\ny\r\n" + LastChunk, ErrChunkLineTooLong},
		{"lines of many chunks", strings.Repeat(line(chunkLineMax)[:chunkLineMax+3], 20) + LastChunk, nil},
		{"trailers", trailers(trailersMax), nil},
		{"longer trailers", trailers(trailersMax + 1), ErrTrailerTooLong},
		{"extension and trailer beyond ASCII", "0;\xff\r\nA: \xff\t\r\n\r\n", nil},
	}
	for _, tt := range tests {
		for _, pieces := range [][][]byte{{[]byte(tt.in)}, singles([]byte(tt.in))} {
			_, used, done, err := decode(pieces...)
			if err != tt.want || done != (err == nil) || done && used != len(tt.in) {
				t.Errorf("%s: used %d of %d, done %v, %v", tt.name, used, len(tt.in), done, err)
			}
		}
	}
}

func TestChunksLargestSize(t *testing.T) {
	var d Chunks
	_, data, _, err := d.Next([]byte("fffffffffffffff\r\nabc"))
	if string(data) != "abc" || err != nil || d.left != 1<<60-1-3 {
		t.Errorf("%q, %v, %d left", data, err, d.left)
	}
}

// What is over stays over, and takes nothing of what follows.
func TestChunksEnds(t *testing.T) {
	p := []byte("2\r\nab\r\n0\r\n\r\nGET")
	var d Chunks
	n, data, done, err := d.Next(p)
	if n != 5 || string(data) != "ab" || cap(data) != 2 || &data[0] != &p[3] || done || err != nil {
		t.Fatalf("%d, %q (%d), %v, %v", n, data, cap(data), done, err)
	}
	if n, data, done, err = d.Next(p[5:]); n != 7 || len(data) > 0 || !done || err != nil {
		t.Fatalf("%d, %q, %v, %v", n, data, done, err)
	}
	if n, data, done, err = d.Next(p[12:]); n != 0 || len(data) > 0 || !done || err != nil {
		t.Errorf("after the end: %d, %q, %v, %v", n, data, done, err)
	}
	d = Chunks{}
	for range 2 {
		n, data, done, err = d.Next([]byte("x"))
		if n != 0 || len(data) > 0 || done || err != ErrChunkSize {
			t.Errorf("after an error: %d, %q, %v, %v", n, data, done, err)
		}
	}
	if n, _, _, err = d.Next([]byte("0\r\n\r\n")); n != 0 || err != ErrChunkSize {
		t.Errorf("after an error: %d, %v", n, err)
	}
}

// AppendChunk writes what Chunks and the standard library read.
func TestAppendChunk(t *testing.T) {
	var wire, want []byte
	for _, size := range []int{1, 9, 10, 15, 16, 255, 256, 65536} {
		part := bytes.Repeat([]byte{byte(size), '\r', '\n'}, size)[:size]
		wire, want = AppendChunk(wire, part), append(want, part...)
	}
	wire = append(wire, LastChunk...)
	if data, used, done, err := decode(wire); !bytes.Equal(data, want) || used != len(wire) || !done || err != nil {
		t.Errorf("%d bytes of %d, used %d, %v, %v", len(data), len(want), used, done, err)
	}
	data, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(wire)))
	if !bytes.Equal(data, want) || err != nil {
		t.Errorf("the standard library: %d bytes of %d, %v", len(data), len(want), err)
	}
}

func BenchmarkChunks(b *testing.B) {
	for name, size := range map[string]int{"16KiB": 16 << 10, "100B": 100, "1B": 1} {
		b.Run(name, func(b *testing.B) {
			var wire []byte
			for len(wire) < 16<<10 {
				wire = AppendChunk(wire, make([]byte, size))
			}
			wire = append(wire, LastChunk...)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				var d Chunks
				for p := wire; len(p) > 0; {
					n, _, _, err := d.Next(p)
					if err != nil {
						b.Fatal(err)
					}
					p = p[n:]
				}
			}
		})
	}
}
