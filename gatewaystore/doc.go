// Package gatewaystore records which gateway holds which listeners, so that a
// gateway without a listener for an entity knows where to forward a connection
// request.
//
// A gateway announces each listener that registers with it and withdraws it
// when its control channel ends. [Memory] is the store of a gateway that is
// alone; a store that joins many gateways implements [Store] as well and
// carries the same calls over the network, behind the caller's back: no call
// waits for another gateway.
//
// The store names listeners, it does not reach them: the handles are in
// package rendezvous. Every call happens at a handshake or at the end of a
// control channel, never per frame.
//
// This package is internal to Relayhouse and may change.
package gatewaystore
