// Package wsframe handles the bytes of the WebSocket protocol (RFC 6455) as a
// gateway sees them: frames come masked from clients and leave unmasked. It
// does no I/O, keeps no timers and knows nothing of relays.
//
// In the order of a connection's life:
//
//  1. AcceptKey and AppendSwitching make the answer to an upgrade request.
//  2. On a relayed connection one Rewriter per direction turns the bytes read
//     from one client into the bytes for the other, in place: headers are
//     parsed, payload is unmasked while it moves, frames over ChunkMax become
//     continuation frames, and nothing is ever assembled. Pings are answered
//     into a Pongs queue, Pongs vanish, a Close passes on.
//  3. On a control channel a Reader delivers whole text messages up to a limit,
//     binary messages in the parts in which they arrive, and control frames.
//  4. AppendFrame and AppendClose write what the gateway itself has to say.
//
// A broken rule of the protocol is a Violation, which knows its close code.
//
// Owner: a Rewriter, a Reader and a Pongs belong to one goroutine. Slices that
// a Reader returns live until its next call.
//
// This package is hot: nothing in it allocates per data frame. It may change
// without notice.
package wsframe
