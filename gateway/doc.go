// Package gateway is the relay role of a node: it turns the handshakes of
// listeners and senders into operations on the rendezvous table and into
// splices of the engine.
//
// The life of a connection, each step in the file of its name:
//
//   - head.go: the request head arrives; it is parsed once and routed.
//   - listen.go, control.go: a listener registers; its control channel takes
//     commands, pings and token renewals until it ends.
//   - connect.go: a sender reserves a pending rendezvous, a listener is picked,
//     the accept message goes to that listener's loop.
//   - accept.go: the listener's rendezvous connection claims the sender, moves
//     to the sender's loop, both handshakes are answered and the engine
//     splices the two; or it rejects, and the sender gets the listener's word.
//   - request.go, offer.go, response.go: an HTTP request is handed to a listener
//     by package httprelay, and its response brought back.
//   - runtime.go, change.go, write.go: a management call is answered, and what
//     it changes is made off the loops.
//   - relay.go: a relayed connection has ended and is accounted for.
//   - refuse.go, limiter.go: everything that is refused, cheaply.
//   - drain.go, status.go: shutting down in good order, and what it looks like.
//
// # Who owns what
//
// A connection and the state of its handler belong to the connection's loop.
// A sender that waits is reached from other loops through its engine.Ref; the
// rendezvous table decides who settles its fate: whoever takes it out by Claim
// or Drop answers it. Nothing here runs per frame of a relayed connection.
//
// This package may change without notice.
package gateway
