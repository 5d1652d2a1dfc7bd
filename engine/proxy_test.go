package engine_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/metrics"
)

// teller tells a client who it is, once it has sent something.
type teller struct{}

func (teller) Data(c *engine.Conn, p []byte) {
	c.Write(fmt.Appendf(nil, "%v %v %s", c.Peer(), c.Secure(), p), 1000)
	c.Finish(metrics.ClosePeer)
}
func (teller) Hangup(c *engine.Conn)                    { c.Close(metrics.ClosePeerEOF) }
func (teller) Timeout(*engine.Conn)                     {}
func (teller) Drained(*engine.Conn)                     {}
func (teller) Closed(*engine.Conn, metrics.CloseReason) {}

// TestProxyOnSockets sends headers over real sockets to a port that expects
// them and to one that does not.
func TestProxyOnSockets(t *testing.T) {
	e, err := engine.New(engine.Config{Tick: 20 * time.Millisecond,
		Accept: func(*engine.Conn, bool) engine.Handler { return teller{} }})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 100)
	listen := func(from ...netip.Prefix) string {
		addr, err := e.Listen("127.0.0.1:0", engine.ListenConfig{ProxyFrom: from,
			ProxyTimeout: 100 * time.Millisecond,
			ProxyFailed:  func(_ *engine.Conn, err error) { failed <- err }})
		if err != nil {
			t.Fatal(err)
		}
		return addr.String()
	}
	known := listen(netip.MustParsePrefix("127.0.0.1/32"))
	unknown := listen(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128"))
	e.Start()
	t.Cleanup(e.Stop)

	const line = "PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n"
	for _, tt := range []struct{ addr, send, want string }{
		{known, line + "hello", "192.0.2.7:4000 false hello"},
		{known, "PROXY UNKNOWN\r\nhello", "SELF false hello"},
		{known, "hello", ""},
		{known, "", ""},
		{known, line[:20], ""},
		{unknown, line, "SELF false " + line},
		{unknown, "hello", "SELF false hello"},
	} {
		c, err := net.Dial("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(c, tt.send); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c) // a reset is an end
		want := tt.want
		if rest, ok := strings.CutPrefix(want, "SELF"); ok {
			want = c.LocalAddr().String() + rest
		}
		if string(got) != want {
			t.Errorf("sent %q, got %q, want %q", tt.send, got, want)
		}
		_ = c.Close()
		if tt.want == "" && (<-failed == nil) {
			t.Error("no error")
		}
	}
}

// TestProxied: which peers are asked for a header, at no cost for the others.
func TestProxied(t *testing.T) {
	p := &engine.ListenConfig{}
	for _, s := range []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "fe80::/10"} {
		p.ProxyFrom = append(p.ProxyFrom, netip.MustParsePrefix(s))
	}
	for _, tt := range []struct {
		peer string
		want bool
	}{
		{"10.1.2.3", true}, {"::ffff:10.1.2.3", true}, {"11.1.2.3", false},
		{"192.0.2.1", true}, {"192.0.2.2", false}, {"2001:db8::1", true}, {"2001:db9::1", false},
		{"fe80::1%eth0", true}, {"::1", false},
	} {
		a := netip.MustParseAddr(tt.peer)
		if got := p.Proxied(a); got != tt.want {
			t.Errorf("%v: %v", a, got)
		}
		if n := testing.AllocsPerRun(100, func() { p.Proxied(a) }); n != 0 {
			t.Errorf("%v: %v allocations", a, n)
		}
	}
	if p.Proxied(netip.Addr{}) || new(engine.ListenConfig).Proxied(netip.MustParseAddr("10.0.0.1")) {
		t.Error("an address of no network is asked")
	}
}

// TestConnSize: an idle relayed connection is two of these.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(engine.Conn{}); n > 176 {
		t.Errorf("a Conn has %d bytes, want at most 176", n)
	}
}
