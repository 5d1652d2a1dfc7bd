package metrics

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"
)

// Role is what a connection is at the moment, as seen by the gateway.
type Role uint8

// The roles, in the order of a connection's life.
const (
	// RoleHandshake: the TLS handshake is not complete.
	RoleHandshake Role = iota
	// RoleHead: the request head is not complete.
	RoleHead
	// RoleListener: a control channel.
	RoleListener
	// RoleSender: a sender that waits, a pending rendezvous.
	RoleSender
	// RoleRendezvous: a rendezvous connection that is not joined yet.
	RoleRendezvous
	// RoleRelayedSender: the sender's end of a relayed connection.
	RoleRelayedSender
	// RoleRelayedListener: the listener's end of a relayed connection.
	RoleRelayedListener
	// RoleHTTPSender: a sender's connection with an HTTP request in progress.
	// Between two requests it is RoleHead again.
	RoleHTTPSender
	// RoleHTTPListener: a rendezvous connection that carries an HTTP request.
	RoleHTTPListener
	// RoleHandedOn: its bytes pass to another process of a restart.
	RoleHandedOn
	// RoleClosing: the last bytes are on their way out.
	RoleClosing

	roleCount
)

var roleNames = [roleCount]string{
	RoleHandshake:       "handshake",
	RoleHead:            "head",
	RoleListener:        "listener",
	RoleSender:          "sender",
	RoleRendezvous:      "rendezvous",
	RoleRelayedSender:   "relayed_sender",
	RoleRelayedListener: "relayed_listener",
	RoleHTTPSender:      "http_sender",
	RoleHTTPListener:    "http_listener",
	RoleHandedOn:        "handed_on",
	RoleClosing:         "closing",
}

// String returns the label of r.
func (r Role) String() string {
	if r >= roleCount {
		return "unknown"
	}
	return roleNames[r]
}

// Roles returns every role in declaration order.
func Roles() []Role {
	all := make([]Role, roleCount)
	for i := range all {
		all[i] = Role(i)
	}
	return all
}

// AcceptError says why a connection could not be accepted from the kernel.
type AcceptError uint8

// The kinds of accept errors.
const (
	// AcceptDescriptorLimit: EMFILE or ENFILE.
	AcceptDescriptorLimit AcceptError = iota
	// AcceptMemory: ENOMEM or ENOBUFS.
	AcceptMemory
	// AcceptOther: anything else. A peer that was gone already and a signal
	// (ECONNABORTED, ECONNRESET, EINTR) are no errors and are not counted.
	AcceptOther

	acceptErrorCount
)

var acceptErrorNames = [acceptErrorCount]string{
	AcceptDescriptorLimit: "descriptor_limit",
	AcceptMemory:          "memory",
	AcceptOther:           "other",
}

// String returns the label of e.
func (e AcceptError) String() string {
	if e >= acceptErrorCount {
		return "unknown"
	}
	return acceptErrorNames[e]
}

// Handshake is how a TLS handshake ended.
type Handshake uint8

// The ends of TLS handshakes.
const (
	// HandshakeFull: complete, with a certificate.
	HandshakeFull Handshake = iota
	// HandshakeResumed: complete, by the ticket of an earlier one.
	HandshakeResumed
	// HandshakeFailed: refused by either side, or cut.
	HandshakeFailed
	// HandshakeTimeout: not complete in time.
	HandshakeTimeout
	// HandshakeNotTLS: the first bytes were no TLS.
	HandshakeNotTLS

	handshakeCount
)

var handshakeNames = [handshakeCount]string{
	HandshakeFull:    "full",
	HandshakeResumed: "resumed",
	HandshakeFailed:  "failed",
	HandshakeTimeout: "timeout",
	HandshakeNotTLS:  "not_tls",
}

// String returns the label of h.
func (h Handshake) String() string {
	if h >= handshakeCount {
		return "unknown"
	}
	return handshakeNames[h]
}

// Loop holds the counters of one event loop.
//
//	Owner: the loop writes; any goroutine reads. The padding keeps the
//	       counters of two loops off a common cache line, so that an update
//	       never waits for another core, except while a scrape reads.
//
// The zero value is ready for use. A Loop must not be copied.
type Loop struct {
	_ cpu.CacheLinePad

	// Accepted counts connections taken from the kernel.
	Accepted atomic.Uint64
	// AcceptErrors counts failures to do so.
	AcceptErrors [acceptErrorCount]atomic.Uint64
	// Refused counts connections over the limit, those that are told so and
	// those that are closed as they come.
	Refused atomic.Uint64

	// Handshakes counts TLS handshakes by their end.
	Handshakes [handshakeCount]atomic.Uint64

	// BytesToListener and BytesToSender count what relayed connections are
	// sent, frame headers included, when the kernel has taken it.
	BytesToListener atomic.Uint64
	BytesToSender   atomic.Uint64
	// Reads and Writes count system calls on connections.
	Reads  atomic.Uint64
	Writes atomic.Uint64
	// Yields counts turns that ended because their budget was used up.
	Yields atomic.Uint64
	// PostsRun counts tasks that other goroutines gave to the loop.
	PostsRun atomic.Uint64
	// Migrations counts connections that came from another loop.
	Migrations atomic.Uint64
	// PongsSent counts answers to pings.
	PongsSent atomic.Uint64

	// LeftoverBytes is what the loop holds for slow receivers now, and
	// LeftoverPeak the highest it ever was; see AddLeftover.
	LeftoverBytes atomic.Int64
	LeftoverPeak  atomic.Int64
	// Connections is the number of connections by role; see Move.
	Connections [roleCount]atomic.Int64
	// Closed counts the connections that ended, by the role in which they were
	// when their close reason was set.
	Closed [roleCount][closeReasonCount]atomic.Uint64

	_ cpu.CacheLinePad
}

// NewLoops returns the counters of n loops.
func NewLoops(n int) []*Loop {
	loops := make([]*Loop, n)
	for i := range loops {
		loops[i] = new(Loop)
	}
	return loops
}

// AddLeftover changes LeftoverBytes by n and keeps the peak. Only the owner
// may call it.
func (l *Loop) AddLeftover(n int64) {
	if now := l.LeftoverBytes.Add(n); now > l.LeftoverPeak.Load() {
		l.LeftoverPeak.Store(now)
	}
}

// Move counts a connection that changes its role.
func (l *Loop) Move(from, to Role) {
	l.Connections[from].Add(-1)
	l.Connections[to].Add(1)
}
