package node

import (
	"context"
	"errors"
	"time"

	"github.com/relayhouse/relayhouse/admin"
	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/namespace"
)

// Ready tells the admin port whether a balancer should send clients here.
func (n *Node) Ready() []admin.Condition {
	serving := admin.Condition{Name: "serving", OK: !n.draining.Load()}
	if !serving.OK {
		serving.Detail = "the node is draining"
	}
	full := admin.Condition{Name: "room for connections", OK: n.engine.Open() < n.connectionsMax}
	if !full.OK {
		full.Detail = "gateway.connections_max is reached"
	}
	return []admin.Condition{{Name: "listening", OK: true}, serving, full}
}

// Gateway describes the process.
func (n *Node) Gateway() admin.Gateway {
	return admin.Gateway{
		ID:            n.cfg.Gateway.ID,
		Version:       build().Version,
		Started:       n.started,
		UptimeSeconds: time.Since(n.started).Seconds(),
		Draining:      n.draining.Load(),
		Addresses: map[string]string{
			"http": n.addresses.HTTP, "https": n.addresses.HTTPS, "admin": n.addresses.Admin,
			"management": n.addresses.Management,
		},
		KernelTLS:       kernelTLS(),
		Entities:        n.entities(),
		Namespaces:      admin.Namespaces{From: n.store.kind, Place: n.storePlace()},
		DescriptorsOpen: descriptors(),
		DescriptorsMax:  n.descriptorsMax,
	}
}

// entities counts them in all namespaces.
func (n *Node) entities() int {
	count := 0
	for _, ns := range n.namespaces.Load().Namespaces() {
		count += ns.Len()
	}
	return count
}

// Loops describes the event loops.
func (n *Node) Loops() []admin.Loop { return admin.LoopsOf(n.engine.Counters()) }

// Connections counts them by role.
func (n *Node) Connections() map[string]int64 { return admin.ConnectionsOf(n.engine.Counters()) }

// Listeners lists control channels.
func (n *Node) Listeners(limit int) admin.List[admin.Listener] {
	list := admin.List[admin.Listener]{Total: n.gateway.Listeners()}
	n.gateway.RangeListeners(limit, func(l gateway.ListenerStatus) {
		list.Items = append(list.Items, admin.Listener{
			Entity: l.Entity, ID: l.ListenerID, TrackingID: l.TrackingID, Peer: l.Peer.String(),
			Since: l.Since, TokenExpires: l.TokenExpires,
		})
	})
	return list
}

// Pending lists senders that wait.
func (n *Node) Pending(limit int) admin.List[admin.Sender] {
	list := admin.List[admin.Sender]{Total: n.gateway.Pending()}
	n.gateway.RangePending(limit, func(s gateway.PendingStatus) {
		list.Items = append(list.Items, admin.Sender{
			Entity: s.Entity, TrackingID: s.TrackingID, Peer: s.Peer.String(), Expires: s.Expires,
		})
	})
	return list
}

// Pools describes the memory that is bounded.
func (n *Node) Pools() []admin.Pool {
	peak := int64(0)
	for _, l := range n.engine.Counters() {
		peak += l.LeftoverPeak.Load()
	}
	return []admin.Pool{
		{Name: "leftover", Used: n.engine.Held(), Peak: peak, BytesMax: n.cfg.Limits.LeftoverMemory},
		{Name: "heads", Used: n.gateway.HeadMemory(), BytesMax: n.cfg.Limits.HeadMemory},
		{Name: "http_bodies", Used: n.gateway.BodyMemory(), BytesMax: n.cfg.HTTP.BodyMemory},
	}
}

// Closed lists the connections that ended last.
func (n *Node) Closed(limit int) admin.List[admin.Closed] {
	return admin.ClosedOf(n.history, limit)
}

// Certificates lists those of the TLS port.
func (n *Node) Certificates(limit int) admin.List[admin.Certificate] {
	var list admin.List[admin.Certificate]
	if n.certificates == nil {
		return list
	}
	all := n.certificates.Status()
	list.Total = len(all)
	for _, c := range all[:min(limit, len(all))] {
		list.Items = append(list.Items, admin.Certificate{
			Names: c.Names, Key: c.Key, Issuer: c.Issuer,
			NotBefore: c.NotBefore, NotAfter: c.NotAfter, Source: c.Source, Problem: c.Problem,
		})
	}
	return list
}

// checks are the tests that /debug/check runs.
func (n *Node) checks() []admin.Check {
	return []admin.Check{{Name: "loops answer", Run: n.Answers}}
}

// Answers has every loop run a task.
//
//	Errors: one did not before ctx was done.
func (n *Node) Answers(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		n.engine.Do(func(*engine.Loop) {})
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("a loop has not run its tasks in time")
	}
}

// Namespaces are those in force. The slice is shared; do not change it.
func (n *Node) Namespaces() []*namespace.Namespace { return n.namespaces.Load().Namespaces() }
