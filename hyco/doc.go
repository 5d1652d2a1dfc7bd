// Package hyco is the vocabulary of the Hybrid Connections protocol: request
// targets, accept, request and response messages, tracking ids, and the table of
// everything that a gateway says when it refuses. The protocol itself, with
// sources and section numbers, is in docs/protocol.md.
//
// In the order in which a gateway meets them:
//
//  1. [ParseTarget] reads the request target of a listener, a sender or a
//     rendezvous connection into a [Target]: path, filtered query, action, id,
//     token, rejection.
//  2. [CleanID] decides on the tracking id; [WithGateway] marks it.
//  3. [AppendAcceptAddress] and [AppendAccept] write the accept message to a
//     listener from a sender's Target and headers.
//  4. [ParseListenerMessage] reads what a listener says on its control channel.
//  5. [AppendRequestAddress] and [AppendRequest] write the request message for
//     an HTTP request, [AppendRendezvousRequest] the one that makes the
//     listener fetch it; [Target.RequestTarget] is the path in it.
//  6. [ParseResponse] reads the listener's answer to that.
//  7. [ParseEntry], [AppendEntry], [AppendFeed] and [AppendErrorDocument] are
//     the documents of management calls, which share their URLs with HTTP
//     requests.
//  8. A [Refusal] is the one kind of error that clients see. status.go lists
//     them all; [ReasonPhrase] and [CloseText] put one on the wire.
//
// What it is not: it does no I/O, holds no state, checks no token and knows no
// entity. Limits of the protocol are in limits.go.
//
// Input comes from strangers. Every parser takes any bytes, in time linear to
// their number, and answers with a Refusal or an error, never with a panic.
//
// Cost: called a few times per handshake or HTTP request and never per frame.
// All functions may be called from any goroutine.
package hyco
