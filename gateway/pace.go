package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/relayhouse/relayhouse/engine"
)

// paceStep bounds the time in which SpreadListeners notices that nobody is left.
const paceStep = 100 * time.Millisecond

// SpreadListeners sends the listeners away as EndListeners does, one after the
// other in random order, over the time given, so that they do not all come back
// in one moment. It returns when all have been told, or none is left; at once
// when ctx is done.
func (g *Gateway) SpreadListeners(ctx context.Context, e *engine.Engine, over time.Duration) {
	var all []*listener
	left, away := map[string]int{}, map[string]bool{}
	g.table.Range(g.table.ListenersAll()+1, func(entity, _ string, l *listener) {
		all = append(all, l)
		left[entity]++
	})
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	begin := time.Now()
	for i, l := range all {
		if !g.waitUntil(ctx, begin.Add(turn(i, len(all), over, rand.Float64()))) {
			break
		}
		away[l.entity.Key()] = away[l.entity.Key()] || g.table.Listeners(l.entity.Key()) > 0
		l.retireLater()
		if left[l.entity.Key()]--; left[l.entity.Key()] == 0 {
			g.retiredAll(l.entity.Key())
		}
	}
	for entity := range left {
		away[entity] = away[entity] || g.table.Listeners(entity) > 0
	}
	g.EndListeners(e)
	for entity, n := range left {
		switch {
		case n > 0 && away[entity]:
			g.retiredAll(entity)
		case n > 0:
			g.allLeft(entity)
		}
	}
}

// allLeft notes that the listeners of an entity have gone by themselves: nobody
// should wait for them.
func (g *Gateway) allLeft(entity string) {
	next := g.handover.successor.Load()
	if next == nil {
		return
	}
	h := &g.handover
	h.mu.Lock()
	told := h.retired[entity]
	h.mu.Unlock()
	if !told {
		(*next).Absent(entity)
	}
}

// turn is when the i-th of n listeners is sent away: at a random moment, jitter
// in [0, 1), of its n-th part of the time.
func turn(i, n int, over time.Duration, jitter float64) time.Duration {
	return time.Duration((float64(i) + jitter) / float64(n) * float64(over))
}

// waitUntil reports false if there is nothing left to wait for.
func (g *Gateway) waitUntil(ctx context.Context, t time.Time) bool {
	for {
		left := time.Until(t)
		switch {
		case ctx.Err() != nil || g.Listeners() == 0:
			return false
		case left <= 0:
			return true
		}
		timer := time.NewTimer(min(left, paceStep))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// retiredAll notes that the last listener of an entity has been sent away.
func (g *Gateway) retiredAll(entity string) {
	next := g.handover.successor.Load()
	if next == nil {
		return
	}
	h := &g.handover
	h.mu.Lock()
	told := h.retired[entity]
	h.retired[entity] = true
	h.mu.Unlock()
	if !told {
		(*next).Retired(entity)
	}
}
