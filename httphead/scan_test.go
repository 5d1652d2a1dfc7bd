package httphead

import (
	"errors"
	"strings"
	"testing"
)

// Scan gives the same for every way in which p can come in two pieces, and
// stops as soon as one byte is wrong.
func TestScan(t *testing.T) {
	tests := []struct {
		in   string
		end  int // with want: the size of the shortest part that is refused
		want error
	}{
		{"", 0, nil}, {"G", 0, nil}, {"GET / HTTP/1.1\r\nHost: a", 0, nil}, {"\r", 0, nil}, {"\r\n", 0, nil},
		{"GET / HTTP/1.1\r\n\r\n\n\x00", 18, nil}, {"\r\nG / HTTP/1.1\r\nHost: a\r\n\r\nnext", 27, nil},
		{strings.Repeat("A", 24) + " /\r\n\r\n", 30, nil}, {"\r\n" + strings.Repeat("A", 24) + " \t\x80\r\n\r\n", 33, nil},
		{sample + sample, len(sample), nil}, {"\r\n" + sample + sample, 2 + len(sample), nil},
		{strings.Repeat("A", 25), 25, ErrRequestLine}, {"\r\n" + strings.Repeat("A", 25) + " ", 27, ErrRequestLine},
		{"\x16", 1, ErrTLS}, {"\x16\x03\x01", 1, ErrTLS}, {"\x15\x03", 1, ErrRequestLine}, {"\x81\x85abcd", 1, ErrRequestLine},
		{"\r\n\r\n", 3, ErrRequestLine}, {"\r\n\x16\x03", 3, ErrRequestLine}, {" GET / HTTP/1.1\r\n", 1, ErrRequestLine},
		{"SSH-2.0-x\r\n", 10, ErrRequestLine}, {"\n", 1, ErrRequestLine}, {"\rG", 2, ErrLineEnd},
		{"GET /\n\x00", 6, ErrLineEnd}, {"GET /\x00\n", 6, ErrControl}, {"GET / HTTP/1.1\r\r", 16, ErrLineEnd},
		{"GET / HTTP/1.1\r\nA: b\r\n\n", 23, ErrLineEnd}, {"GET / HTTP/1.1\r\nA: b\r\n\rX", 24, ErrLineEnd},
		{"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", 20, ErrControl}, {"GET / HTTP/1.1\r\nA\x00", 18, ErrControl},
	}
	for _, tt := range tests {
		for i := range len(tt.in) + 1 {
			end, next, err := Scan([]byte(tt.in[:i]), 0)
			if end == 0 && err == nil {
				if next > i || next < i-1 {
					t.Errorf("%q: next %d after %d bytes", tt.in, next, i)
				}
				end, _, err = Scan([]byte(tt.in), next)
			}
			refused := tt.want != nil && i < tt.end // only the second call can
			if wantEnd := tt.end; !errors.Is(err, tt.want) || tt.want == nil && end != wantEnd {
				t.Errorf("%q, cut at %d: end %d, %v", tt.in, i, end, err)
			}
			_, _, err = Scan([]byte(tt.in[:i]), 0)
			if tt.want != nil && (err == nil) != refused {
				t.Errorf("%q: first %d bytes: %v", tt.in, i, err)
			}
		}
	}
}

// Scan looks at new bytes only: what it has passed is not looked at again.
func TestScanResumes(t *testing.T) {
	p := []byte(sample[:len(sample)-2])
	_, next, err := Scan(p, 0)
	if next != len(p) || err != nil {
		t.Fatal(next, err)
	}
	for i := methodEnd; i < len(p)-2; i++ {
		p[i] = 0
	}
	if end, _, err := Scan(append(p, "\r\n"...), next); end != len(sample) || err != nil {
		t.Errorf("end %d, %v", end, err)
	}
}
