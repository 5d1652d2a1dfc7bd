package metrics

import (
	"net/netip"
	"sync"
	"time"
)

// Closed describes a connection that has ended.
type Closed struct {
	Time       time.Time
	Role       Role
	Reason     CloseReason
	Peer       netip.AddrPort
	Entity     string // Key of the entity, or empty.
	TrackingID string
	BytesIn    uint64 // Received from the peer.
	BytesOut   uint64 // Sent to the peer.
	Duration   time.Duration
	Detail     string // Text for operators; no keys, no tokens.
}

// History is the list of the connections that ended last, bounded by the
// capacity given to NewHistory. Older entries fall out. The strings of an
// entry stay referenced until then, so they must not be cut from large
// buffers. All methods may be called from any goroutine.
type History struct {
	mu    sync.Mutex
	ring  []Closed // Guarded by mu; its length is fixed.
	total uint64   // Guarded by mu. Ever added; the next goes to total mod len(ring).
}

// NewHistory returns a history of n entries; with n = 0 it keeps nothing.
func NewHistory(n int) *History { return &History{ring: make([]Closed, max(n, 0))} }

// Add records one connection. Cost: 0 allocs, one uncontended lock.
func (h *History) Add(c Closed) {
	if len(h.ring) == 0 {
		return
	}
	h.mu.Lock()
	h.ring[h.total%uint64(len(h.ring))] = c
	h.total++
	h.mu.Unlock()
}

// Len returns how many entries the history holds.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(min(h.total, uint64(len(h.ring))))
}

// Last returns at most limit entries, newest first.
func (h *History) Last(limit int) []Closed {
	h.mu.Lock()
	defer h.mu.Unlock()
	size := uint64(len(h.ring))
	n := min(uint64(max(limit, 0)), h.total, size)
	last := make([]Closed, 0, n)
	for i := range n {
		last = append(last, h.ring[(h.total-1-i)%size])
	}
	return last
}
