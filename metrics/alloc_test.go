//go:build !race

package metrics

import (
	"testing"
	"time"
)

func TestCountingDoesNotAllocate(t *testing.T) {
	l, g, h := new(Loop), NewGateway(), NewHistory(8)
	g.AuthFailure("code") // A label costs at its first use.
	for name, f := range map[string]func(){
		"Loop": func() {
			l.Accepted.Add(1)
			l.AddLeftover(1)
			l.Move(RoleHead, RoleListener)
			l.Closed[RoleListener][ClosePeer].Add(1)
		},
		"connects":    func() { g.ListenerConnect(101); g.SenderConnect(404) },
		"Rendezvous":  func() { g.Rendezvous(time.Millisecond) },
		"History.Add": func() { h.Add(closedExample) },
		"AuthFailure": func() { g.AuthFailure("code") },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocs", name, n)
		}
	}
}
