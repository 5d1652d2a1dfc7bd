package httphead

import (
	"net/netip"
	"strings"
	"testing"
)

// trustedTest trusts 10.0.0.0/8 and fd00::/8.
func trustedTest(a netip.Addr) bool {
	return netip.MustParsePrefix("10.0.0.0/8").Contains(a) ||
		netip.MustParsePrefix("fd00::/8").Contains(a)
}

// fieldsOf makes fields of "Name: value" lines.
func fieldsOf(lines ...string) *Head {
	h := new(Head)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Fields = append(h.Fields, Field{name, value})
	}
	return h
}

func TestSender(t *testing.T) {
	const xff, proto, fwd = "X-Forwarded-For: ", "X-Forwarded-Proto: ", "Forwarded: "
	many := strings.Repeat("10.0.0.1, ", 10000)
	for _, tt := range []struct {
		addr, scheme string // "" for none
		lines        []string
	}{
		{"", "", nil},
		{"", "", []string{"Host: a"}},

		{"192.0.2.7:0", "", []string{xff + "192.0.2.7"}},
		{"192.0.2.7:4000", "", []string{xff + "192.0.2.7:4000"}},
		{"192.0.2.7:0", "", []string{"x-forwarded-FOR: 192.0.2.7"}},
		{"192.0.2.7:0", "", []string{xff + " \t192.0.2.7\t ,\t10.0.0.1 "}},
		{"192.0.2.7:0", "", []string{xff + "::ffff:192.0.2.7"}},
		{"[2001:db8::7]:0", "", []string{xff + "2001:db8::7"}},
		{"[2001:db8::7]:0", "", []string{xff + "[2001:db8::7]"}},
		{"[2001:db8::7]:4000", "", []string{xff + "[2001:db8::7]:4000"}},
		{"192.0.2.7:0", "", []string{xff + "1.1.1.1,192.0.2.7,10.0.0.2,fd00::1,10.0.0.1:80"}},
		{"192.0.2.7:0", "", []string{xff + "1.1.1.1", xff + "192.0.2.7", xff + "10.0.0.1"}},
		{"192.0.2.7:0", "", []string{xff + "10.0.0.9, 192.0.2.7", "Host: a", xff + "10.0.0.1"}},
		{"192.0.2.7:0", "", []string{xff + "192.0.2.7,, ,10.0.0.1,", xff + ""}},
		{"10.0.0.3:0", "", []string{xff + "10.0.0.3, 10.0.0.2, 10.0.0.1"}}, // inside
		// Garbage ends the walk: who wrote it is the last that is known.
		{"", "", []string{xff + "192.0.2.7, unknown"}},
		{"10.0.0.1:0", "", []string{xff + "192.0.2.7, unknown, 10.0.0.1"}},
		{"10.0.0.1:0", "", []string{xff + "192.0.2.7, garbage", xff + "10.0.0.1"}},
		{"", "", []string{xff + "192.0.2.256"}},
		{"", "", []string{xff + "192.0.2.07"}},
		{"", "", []string{xff + "192.0.2.7:65536"}},
		{"", "", []string{xff + "192.0.2.7:"}},
		{"", "", []string{xff + "[2001:db8::7"}},
		{"", "", []string{xff + "2001:db8::7]"}},
		{"", "", []string{xff + "[192.0.2.7"}},
		{"", "", []string{xff + "[2001:db8::7]4000"}},
		{"", "", []string{xff + "fe80::1%eth0"}},
		{"", "", []string{xff + "[fe80::1%eth0]:80"}},
		{"", "", []string{xff + `"192.0.2.7"`}},
		{"", "", []string{xff + "192.0.2.7 10.0.0.1"}},
		{"", "", []string{xff + "192.0.2.7; 10.0.0.1"}},
		{"", "", []string{xff + strings.Repeat("1", 10000)}},
		{"", "", []string{xff}},
		{"", "", []string{xff + ",,,"}},
		{"10.0.0.1:0", "", []string{xff + "192.0.2.7, " + many}},
		{"192.0.2.7:0", "", []string{xff + many + "192.0.2.7, 10.0.0.1"}},
		{"192.0.2.7:0", "", []string{xff + "1.1.1.1, 192.0.2.7, " + many[:(hopsMax-1)*10]}},
		{"10.0.0.1:0", "", []string{xff + "1.1.1.1, 192.0.2.7, " + many[:hopsMax*10]}},

		{"", "https", []string{proto + "https"}},
		{"192.0.2.7:0", "https", []string{xff + "192.0.2.7", proto + "HTTPS"}},
		{"192.0.2.7:0", "https", []string{xff + "192.0.2.7", proto + "wss"}},
		{"192.0.2.7:0", "http", []string{xff + "192.0.2.7", proto + "http"}},
		{"192.0.2.7:0", "http", []string{xff + "192.0.2.7", proto + "ws"}},
		{"192.0.2.7:0", "http", []string{xff + "192.0.2.7", proto + "https, http"}},
		{"192.0.2.7:0", "https", []string{xff + "192.0.2.7", proto + "http", proto + "https"}},
		{"192.0.2.7:0", "", []string{xff + "192.0.2.7", proto + "gopher"}},
		{"192.0.2.7:0", "", []string{xff + "192.0.2.7", proto + ""}},

		{"192.0.2.7:0", "", []string{fwd + "for=192.0.2.7"}},
		{"192.0.2.7:0", "", []string{fwd + "For=192.0.2.7;By=10.0.0.1;Host=a"}},
		{"192.0.2.7:4000", "https", []string{fwd + `for="192.0.2.7:4000";proto=https`}},
		{"192.0.2.7:4000", "https", []string{fwd + `proto=https;for=192.0.2.7:4000`}},
		{"192.0.2.7:0", "https", []string{fwd + `for=192.0.2.7 ; proto="https"`}},
		{"[2001:db8::7]:0", "", []string{fwd + `for="[2001:db8::7]"`}},
		{"[2001:db8::7]:4000", "", []string{fwd + `for="[2001:db8::7]:4000"`}},
		{"192.0.2.7:0", "https", []string{
			fwd + `for=1.1.1.1;proto=http, for=192.0.2.7;proto=https;host="a,b;c", for=10.0.0.1;proto=http`}},
		{"192.0.2.7:0", "https", []string{fwd + "for=192.0.2.7;proto=https",
			fwd + "for=10.0.0.1;proto=http"}},
		{"192.0.2.7:0", "", []string{fwd + `for=192.0.2.7;host="a\", for=1.1.1.1"`}},
		{"192.0.2.7:0", "http", []string{fwd + "for=192.0.2.7;proto=https", proto + "http"}},
		// Forwarded is not read beside X-Forwarded-For.
		{"192.0.2.7:0", "", []string{xff + "192.0.2.7", fwd + "for=1.1.1.1;proto=https"}},
		{"", "", []string{xff + "unknown", fwd + "for=1.1.1.1;proto=https"}},

		{"", "", []string{fwd + "for=unknown"}},
		{"", "", []string{fwd + "for=_hidden"}},
		{"", "", []string{fwd + "proto=https"}},
		{"", "", []string{fwd + "for=192.0.2.7;for=1.1.1.1"}},
		{"", "", []string{fwd + "for=192.0.2.7;proto=http;proto=https"}},
		{"", "", []string{fwd + "for=192.0.2.7;host"}},
		{"", "", []string{fwd + "for="}},
		{"", "", []string{fwd + "192.0.2.7"}},
		{"", "", []string{fwd + `for="192.0.2.7`}},
		{"", "", []string{fwd + `for="192.0.2.7\`}},
		{"", "", []string{fwd + `for="192.0.2.7"x`}},
		{"", "", []string{fwd + `for=192.0."2.7"`}},
		{"", "", []string{fwd + `for="", for=192.0.2.7;host=""""`}},
		{"10.0.0.1:0", "http", []string{fwd + "for=192.0.2.7 x=y", fwd + "for=10.0.0.1;proto=http"}},
		// A quote that is left open hides what a proxy wrote behind it.
		{"", "", []string{fwd + `for=1.1.1.1;x=", for=192.0.2.7;proto=http`}},
		{"", "", []string{fwd + `for=1.1.1.1;x=", for=192.0.2.7;host="a:80"`}},
		{"", "", []string{fwd + `for=1.1.1.1;x=", for="[2001:db8::7]"`}},
		{"10.0.0.1:0", "", []string{fwd + "for=192.0.2.7, " + strings.Repeat("for=10.0.0.1, ", 10000)}},
		{"192.0.2.7:0", "", []string{
			fwd + strings.Repeat("for=10.0.0.1, ", 10000) + "for=192.0.2.7, for=10.0.0.1"}},
	} {
		calls := 0
		got := fieldsOf(tt.lines...).Sender(func(a netip.Addr) bool {
			calls++
			return trustedTest(a)
		})
		addr := ""
		if got.Addr.IsValid() {
			addr = got.Addr.String()
		}
		if addr != tt.addr || got.Scheme != tt.scheme {
			t.Errorf("%.120q: %q %q, want %q %q", tt.lines, addr, got.Scheme, tt.addr, tt.scheme)
		}
		if calls > hopsMax {
			t.Errorf("%.120q: %d addresses were looked up", tt.lines, calls)
		}
	}
}

// FuzzSender has a client send what it likes, to which its proxy adds the
// client's true address: no client can pass for another.
func FuzzSender(f *testing.F) {
	for _, s := range []string{
		"", "1.1.1.1", "10.0.0.1, ", "for=1.1.1.1", `for=1.1.1.1;x="`, `for="1.1.1.1";x="\`, "for=10.0.0.1,",
		`;x="`, `for=1.1.1.1, for="`, "unknown", `for=10.0.0.1;proto=https;host="a,b"`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, sent string, oneLine bool) {
		for _, tt := range []struct {
			name, adds string
			hides      bool // the client may make the proxy's word unreadable
		}{
			{"X-Forwarded-For: ", "192.0.2.7", false},
			{"Forwarded: ", "for=192.0.2.7", true},
			{"Forwarded: ", `for="192.0.2.7:4000";proto=http;host="a:80"`, true},
			{"Forwarded: ", `proto=http;host=a;for=192.0.2.7`, true},
		} {
			lines := []string{tt.name + sent, tt.name + tt.adds}
			if oneLine {
				lines = []string{tt.name + sent + ", " + tt.adds}
			}
			got := fieldsOf(lines...).Sender(trustedTest).Addr
			switch {
			case got.Addr() == netip.MustParseAddr("192.0.2.7"):
			case tt.hides && oneLine && !got.IsValid():
			default:
				t.Fatalf("%q: sender %v", lines, got)
			}
		}
		if a := fieldsOf("X-Forwarded-For: " + sent).Sender(trustedTest).Addr; a.IsValid() &&
			(a.Addr().Zone() != "" || a.Addr().Is4In6()) {
			t.Fatalf("%q: sender %v", sent, a)
		}
	})
}

// TestSenderAllocations: the form that balancers use costs none.
func TestSenderAllocations(t *testing.T) {
	h := fieldsOf("X-Forwarded-For: 1.1.1.1, 192.0.2.7:80, 10.0.0.1", "X-Forwarded-Proto: https")
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	trusted := func(a netip.Addr) bool { return networks[0].Contains(a) }
	if n := testing.AllocsPerRun(100, func() { h.Sender(trusted) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
