package gateway

import (
	"errors"
	"slices"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/httphead"
	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/rendezvous"
)

// waiter is who waits at the table for a listener: a sender's connection, or
// an HTTP request. Whoever takes it out of the table settles it.
type waiter interface {
	status() PendingStatus
}

// pick chooses among the entity's listeners that the head allows and that are
// not among tried.
func (g *Gateway) pick(entity *namespace.Entity, head *httphead.Head, tried []*listener,
) (*listener, *hyco.Refusal) {
	f := rendezvous.Filter{
		Allowed:    slices.Collect(head.Tokens(hyco.HeaderAllowedListeners)),
		Disallowed: slices.Collect(head.Tokens(hyco.HeaderDisallowedListeners)),
	}
	var skip func(*listener) bool
	if len(tried) > 0 {
		skip = func(l *listener) bool { return slices.Contains(tried, l) }
	}
	l, err := g.table.Pick(entity.Key(), f, skip)
	switch {
	case err == nil:
		return l, nil
	case len(tried) > 0:
		return nil, hyco.RefusalListenerBusy
	case errors.Is(err, rendezvous.ErrNoneMatches):
		return nil, hyco.RefusalNoListenerMatches
	}
	return nil, hyco.RefusalNoListeners
}

// offer runs deliver on l's loop. If it reports false, or l has gone,
// undelivered runs on the loop of c, which waits with handler h, unless c has
// stopped waiting.
func (l *listener) offer(c *engine.Conn, h engine.Handler, deliver func() bool,
	undelivered func(c *engine.Conn)) {
	if l.ref.Loop() == c.Loop() {
		if !deliver() {
			undelivered(c)
		}
		return
	}
	ref := c.Ref()
	l.ref.Post(func(lc *engine.Conn) {
		if lc != nil && deliver() {
			return
		}
		ref.Post(func(c *engine.Conn) {
			if c != nil && c.Handler() == h {
				undelivered(c)
			}
		})
	})
}
