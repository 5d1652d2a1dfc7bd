package gateway

import (
	"net/netip"
	"time"
)

// ListenerStatus describes one control channel.
type ListenerStatus struct {
	Entity, ListenerID, TrackingID string
	Peer                           netip.AddrPort
	Since, TokenExpires            time.Time
}

// RangeListeners calls f for up to limit listeners. From any goroutine; it
// does not wait for a loop.
func (g *Gateway) RangeListeners(limit int, f func(ListenerStatus)) {
	g.table.Range(limit, func(entity, id string, l *listener) {
		f(ListenerStatus{Entity: entity, ListenerID: id, TrackingID: l.id, Peer: l.peer,
			Since: l.since, TokenExpires: time.Unix(l.token.Load(), 0)})
	})
}

// PendingStatus describes one pending rendezvous. Expires is zero for an HTTP
// request, which keeps its own time.
type PendingStatus struct {
	Entity, TrackingID string
	Peer               netip.AddrPort
	Expires            time.Time
}

// RangePending calls f for up to limit senders and HTTP requests that wait. From any goroutine;
// it does not wait for a loop.
func (g *Gateway) RangePending(limit int, f func(PendingStatus)) {
	g.table.RangePending(limit, func(w waiter, deadline time.Time) {
		s := w.status()
		s.Expires = deadline
		f(s)
	})
}
