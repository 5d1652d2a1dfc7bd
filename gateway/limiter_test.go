package gateway

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimiterVerdicts(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	addr := netip.MustParseAddr
	type step struct {
		at   float64 // seconds after start
		addr string
		want verdict // of failure
		free bool    // released in place of failure
	}
	fail := func(at float64, addr string, want verdict) step {
		return step{at: at, addr: addr, want: want}
	}
	free := func(addr string) step { return step{addr: addr, free: true} }
	const a, b = "192.0.2.1", "192.0.2.2"
	for _, tt := range []struct {
		name  string
		steps []step // 2 per second, bursts of 3, 2 held
	}{
		{"burst, held, too many", []step{
			fail(0, a, pass), fail(0, a, pass), fail(0, a, pass),
			fail(0, a, hold), fail(0, a, hold), fail(0, a, tooMany), fail(0.4, a, tooMany),
		}},
		{"others are not touched", []step{
			fail(0, a, pass), fail(0, a, pass), fail(0, a, pass), fail(0, a, hold),
			fail(0, b, pass), fail(0, b, pass), fail(0, b, pass), fail(0, b, hold),
		}},
		{"time heals", []step{
			fail(0, a, pass), fail(0, a, pass), fail(0, a, pass), fail(0, a, hold),
			fail(0.6, a, pass), fail(0.6, a, hold), fail(0.6, a, tooMany), fail(5, a, pass),
			fail(5, a, pass), fail(5, a, pass), fail(5, a, tooMany),
		}},
		{"a place that is released", []step{
			fail(0, a, pass), fail(0, a, pass), fail(0, a, pass), fail(0, a, hold),
			fail(0, a, hold), fail(0, a, tooMany), free(a), fail(0, a, hold), fail(0, a, tooMany),
		}},
		{"released too often", []step{
			free(a), free(a), fail(0, a, pass), free(a), free(a), fail(0, a, pass),
			fail(0, a, pass), fail(0, a, hold), fail(0, a, hold), fail(0, a, tooMany),
		}},
		{"an IPv6 network is one client", []step{
			fail(0, "2001:db8::1", pass), fail(0, "2001:db8::2", pass),
			fail(0, "2001:db8:0:0:ffff::", pass), fail(0, "2001:db8::4", hold),
			free("2001:db8::5"), fail(0, "2001:db8::6", hold), fail(0, "2001:db8::7", hold),
			fail(0, "2001:db8::8", tooMany), fail(0, "2001:db8:0:1::1", pass),
		}},
		{"an IPv4 address in IPv6 is itself", []step{
			fail(0, "::ffff:192.0.2.1", pass), fail(0, a, pass), fail(0, a, pass),
			fail(0, "::ffff:192.0.2.1", hold), fail(0, "::ffff:192.0.2.2", pass),
		}},
	} {
		l := newLimiter(2, 3, 2)
		for i, s := range tt.steps {
			if s.free {
				l.released(addr(s.addr))
				continue
			}
			now := start.Add(time.Duration(s.at * float64(time.Second)))
			if got := l.failure(addr(s.addr), now); got != s.want {
				t.Errorf("%s: step %d: verdict %d, want %d", tt.name, i, got, s.want)
			}
		}
	}
}

// TestLimiterIsBounded: beyond the limit all are forgotten; what was held then
// is given back without harm.
func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(1, 1, 8)
	now := time.Unix(1_700_000_000, 0)
	first := netip.MustParseAddr("10.0.0.0")
	l.failure(first, now)
	if got := l.failure(first, now); got != hold {
		t.Fatalf("verdict %d, want hold", got)
	}
	addr := first
	for range 3 * limiterMax {
		addr = addr.Next()
		if got := l.failure(addr, now); got != pass {
			t.Fatalf("%v: verdict %d, want pass", addr, got)
		}
		if len(l.clients) > limiterMax {
			t.Fatalf("%d clients", len(l.clients))
		}
	}
	l.released(first)
	if got := l.failure(first, now); got != pass {
		t.Errorf("after the amnesty: verdict %d, want pass", got)
	}
}
