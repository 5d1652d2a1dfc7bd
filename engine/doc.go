// Package engine moves bytes between TCP connections on event loops. It knows
// WebSocket frames and nothing of relays: no namespaces, tokens or addresses.
//
// In the order of use:
//
//  1. New makes an Engine of N loops; Listen opens a port on every loop; Start
//     runs them. Each loop is one goroutine with a Poller, one read buffer, a
//     table of connections by descriptor, a timer wheel and counters.
//  2. A new connection gets the Handler that Config.Accept returns. The loop
//     reads into its buffer and calls Handler.Data; what a handler wants to
//     keep it copies. Conn.Write sends, and keeps what the peer does not take,
//     up to a bound that the caller names.
//     On a port with TLS the handshake comes before, in a goroutine; then the
//     loop turns records into bytes and back, and handlers see no difference.
//  3. Conn.Migrate moves a connection to another loop, and Splice joins two
//     connections of one loop: from then on the loop itself carries WebSocket
//     frames between them, see splice.go. Handlers hear of it again at the end.
//  4. Conn.Finish flushes, half-closes and lingers; Conn.Close drops. Either
//     way Handler.Closed is called exactly once, last.
//  5. CloseListeners and Stop end the engine.
//
// # Who owns what
//
// A Conn belongs to its loop; its methods may be called on that loop only,
// which is where handlers run. Other goroutines hold a Ref and Post to it. A
// Ref outlives its Conn: a posted function gets nil when the Conn is gone.
//
// # Bounds
//
// Reading stops while the other end has bytes left over, so that a direction
// holds at most one block of Config.ReadBuffer bytes, and all together about
// Config.LeftoverMax (above it reads shrink to the smallest window). A turn
// moves Config.TurnBytes, then others come first. The number of connections,
// the time to take queued bytes and the time to linger are bounded by Config.
//
// # Hot path
//
// Between two spliced connections: one read, one pass over the bytes in place,
// one write. No lock, no allocation, no goroutine, no clock per frame.
//
// The Poller is an interface so that package simnet can drive the same code
// from a seed. This package may change without notice.
package engine
