// Package relayclient is a client of Azure Relay Hybrid Connections. It speaks
// the protocol of docs/protocol.md, sections 1 to 6, and works against
// Relayhouse and against Azure alike.
//
// In the order of use:
//
//  1. An [Entity] says where a hybrid connection is and how to get tokens for
//     it; [ParseConnectionString] makes one.
//  2. A sender has a [Dialer]: Dial gives a net.Conn. For plain HTTP it has
//     [Entity.Transport] and [Entity.URL].
//  3. A listener calls [Listen]. The [Listener] is a net.Listener: Accept gives
//     the senders' connections, each a [Conn] that knows the sender's
//     [Request]. With [Listener.Serve] an http.Handler answers relayed HTTP
//     requests. Both work at the same time.
//
// # Connections
//
// A Conn is a stream: Read does not show where messages begin, takes text and
// binary messages alike, and Write sends binary ones of up to 64 KiB. Deadlines
// interrupt a call and leave the connection as it was, except that crypto/tls
// does not go on behind one in Write; so a Conn can be given to http.Server,
// tls.Client and all others that rely on that. CloseWrite ends one direction.
// Every relayed connection is a TCP connection to the gateway of its own, and has
// a buffer of 16 KiB.
//
// # What a listener does by itself
//
// It stays registered until Close: it renews its token when three quarters of
// its life are over, sends a Ping every [Options.PingInterval], gives up a
// control channel on which nothing came for that and [Options.PingTimeout], and
// registers again after every loss, with waits that double up to
// [Options.BackoffMax], each cut by up to a half at random. Relayed
// connections are not touched by any of that.
//
// # Bounds
//
//   - connections that nobody has taken with Accept, those being opened
//     included: Options.Backlog; further senders get 503
//   - HTTP requests being served: Options.RequestsMax; further ones get 503
//   - rendezvous connections that only refuse: 32; beyond them a sender is left
//     to the gateway, which answers 504
//   - messages of the gateway: 256 KiB; a longer one ends the control channel
//   - an HTTP request or response in memory: 64 KiB of body, more is streamed
//   - opening: 20 s for a listener's handshakes, 70 s for a sender's; closing:
//     3 s in which the other end may answer
//   - goroutines of a listener: two, and one or two for each sender or request
//     within the bounds above
//
// # Secrets
//
// No key, token or rendezvous address is in an error or a log line, and printing
// an Entity does not print its key. A connection never falls from TLS to
// plain text: a wss control channel whose gateway names a ws address refuses it.
//
// It does not do: message boundaries, WebSocket extensions, Entra ID by itself
// (give Entity a [TokenSource]), runtime information.
package relayclient
