package gateway

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// verdict is what happens to a failed handshake.
type verdict uint8

const (
	pass    verdict = iota // answered at once
	hold                   // answered after Config.FailureDelay
	tooMany                // answered at once with 429: heldMax are held already
)

// limiterMax bounds the addresses that are remembered. Beyond it all are
// forgotten at once: an amnesty costs less than choosing.
const limiterMax = 16384

// limiter counts failed handshakes per client address. A client in good order
// never meets it: it is asked about failures only. What it is for: hyco-ws
// dials again at once, twice, for every refusal; holding the answers back turns
// hundreds of attempts per second into a few. That holds only up to heldMax
// attempts of one address under way at once: what is over is answered at once
// and may be back as soon as it can dial (docs/adr/0007).
//
// Safe for use from any goroutine. IPv6 addresses count by their /64 network.
type limiter struct {
	rate    rate.Limit
	burst   int
	heldMax int

	// Guarded by mu.
	mu      sync.Mutex
	clients map[netip.Addr]*client
}

type client struct {
	budget *rate.Limiter
	held   int
}

func newLimiter(perSecond float64, burst, heldMax int) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, heldMax: heldMax,
		clients: make(map[netip.Addr]*client)}
}

func network(a netip.Addr) netip.Addr {
	if a.Is4() || a.Is4In6() {
		return a.Unmap()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// failure counts a failed handshake. After hold the caller owes a released.
func (l *limiter) failure(addr netip.Addr, now time.Time) verdict {
	addr = network(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[addr]
	if c == nil {
		if len(l.clients) >= limiterMax {
			clear(l.clients)
		}
		c = &client{budget: rate.NewLimiter(l.rate, l.burst)}
		l.clients[addr] = c
	}
	switch {
	case c.budget.AllowN(now, 1):
		return pass
	case c.held < l.heldMax:
		c.held++
		return hold
	}
	return tooMany
}

// released says that an answer that was held has gone out or is not needed.
func (l *limiter) released(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.clients[network(addr)]; c != nil && c.held > 0 {
		c.held--
	}
}
