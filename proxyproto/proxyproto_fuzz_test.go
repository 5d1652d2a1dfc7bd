package proxyproto

import (
	"bufio"
	"bytes"
	"net"
	"testing"

	oracle "github.com/pires/go-proxyproto"
)

// FuzzParse checks that an answer never changes with what comes later, and that
// the well-known reader agrees with each header that is taken. It takes more:
// datagrams, parts that do not fit, longer headers.
func FuzzParse(f *testing.F) {
	for _, tt := range valid {
		f.Add([]byte(tt.header + "rest"))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, err := Parse(p)
		if n < 0 || n > min(len(p), HeaderMax) || n > 0 && err != nil || n == 0 && h != own {
			t.Fatalf("%+v, %d, %v", h, n, err)
		}
		if h.Source.IsValid() && (h.Source.Addr().Zone() != "" || h.Source.Addr().Is4In6()) {
			t.Fatalf("source %v", h.Source)
		}
		refused := false
		for cut := range min(len(p), HeaderMax+1) {
			part, size, wrong := Parse(p[:cut])
			switch {
			case refused && wrong == nil:
				t.Fatalf("refused before byte %d, then not", cut)
			case n > 0 && cut < n && (size != 0 || wrong != nil || part != own):
				t.Fatalf("cut at %d of %d: %+v, %d, %v", cut, n, part, size, wrong)
			case n > 0 && cut >= n && (size != n || wrong != nil || part != h):
				t.Fatalf("with %d bytes behind: %+v, %d, %v", cut-n, part, size, wrong)
			}
			refused = wrong != nil
		}
		if n > 0 {
			compare(t, p, h, n)
		}
	})
}

func compare(t *testing.T, p []byte, h Header, n int) {
	if p[0] == signature[0] && (p[commandAt] == commandLocal || p[familyAt] == familyUnspecified) {
		if h != own {
			t.Fatalf("%+v of a connection of the balancer's own", h)
		}
		return // the other wants a family even here, where it must be ignored
	}
	r := bufio.NewReaderSize(bytes.NewReader(p), 2*HeaderMax)
	want, err := oracle.Read(r)
	if err != nil {
		t.Fatalf("%.60q: taken as %+v, the other says %v", p[:n], h, err)
	}
	if rest := r.Buffered(); rest != min(len(p), 2*HeaderMax)-n {
		t.Fatalf("%d bytes read of %.60q, the other leaves %d of %d", n, p, rest, len(p))
	}
	source, _ := want.SourceAddr.(*net.TCPAddr)
	if want.Command == oracle.LOCAL || source == nil {
		if h.Source.IsValid() {
			t.Fatalf("source %v, the other has none", h.Source)
		}
		return
	}
	other := source.AddrPort()
	if h.Source.Port() != other.Port() || h.Source.Addr() != other.Addr().Unmap() {
		t.Fatalf("source %v, the other has %v", h.Source, other)
	}
}
