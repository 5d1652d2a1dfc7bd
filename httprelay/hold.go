package httprelay

import (
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/metrics"
)

// Hold makes the exchange wait for a listener that is expected, in place of
// anything else, until Unhold or for limit; then refusal is its answer. Only
// within Gateway.Announce.
func (x *Exchange) Hold(limit time.Duration, refusal *hyco.Refusal) {
	x.held = refusal
	if x.phase == handed {
		x.phase = announced
	}
	x.wait(limit)
}

// Unhold has a listener told.
func (x *Exchange) Unhold() {
	if x.held != nil && x.phase == announced {
		x.held = nil
		x.offer()
	}
}

// FailHeld answers an exchange that is held.
func (x *Exchange) FailHeld() {
	if x.held != nil && x.phase == announced {
		x.Fail(x.held)
	}
}

// Withdraw ends an exchange of which no listener knows, and returns what has
// been read of the request behind its head. The connection goes to the caller,
// paused. False means that it is too late for that.
func (x *Exchange) Withdraw() (read []byte, ok bool) {
	if x.phase != announced && x.phase != handed || x.response.begun {
		return nil, false
	}
	if x.collected != nil {
		read = append(read, x.collected.B...)
	}
	read = append(read, x.rest...)
	c := x.conn
	x.end(metrics.CloseUnset)
	c.SetBulk(false)
	c.SetDeadline(0)
	return read, true
}
