// Package relaytest runs real nodes inside a test process, on port 0 of
// loopback with short timers, and the clients to drive them.
//
// In the order of a test:
//
//  1. [Start] runs a node with [Settings], which the test may edit; they must
//     pass the same validation as those of an operator.
//  2. [Client.Listen] opens a control channel; [Client.Connect] starts a
//     sender, which gives a [Pending], for the answer depends on a listener.
//     Every Node is a Client; [NewClient] makes one of another process.
//  3. [Listener.Next] is the accept message, [Listener.Accept] and
//     [Listener.Reject] answer it; [Pending.Conn] and [Pending.Refused] say
//     what became of the sender. [Listener.Pair] does all of it.
//  4. [Conn] has the messages of one end: Send, Want, WantClose, WantLost.
//  5. [Client.Raw] is a TCP connection that sends any bytes, and frames of any
//     shape, for what no WebSocket library would send.
//  6. [Client.Ask] sends an HTTP request; [Raw.Response] reads the response, and
//     nothing that a strict client would not take. [Listener.NextRequest] is the
//     request on the other side, [Request.Respond] answers it;
//     [Listener.Announced], [Request.Dial], [Request.OnControl] and
//     [Request.OnRendezvous] are the steps, [Listener.Serve] answers many.
//  7. [Client.Status], [Client.Metric] and [Node.Lines] tell what the node
//     says of itself. [Eventually] waits for a condition, [Patience] at most.
//  8. [Matrix] runs one body on nodes of different shapes and compares the
//     histories that it writes.
//
// Everything is closed when the test ends. The node is then looked at once
// more: HTTP exchanges must end with their clients, nothing may be registered,
// waiting, connected or held, and its log must not contain a key or a token.
// Failures end the test, so functions that take a
// testing.TB are for its goroutine.
//
// The clients are coder/websocket and gobwas/ws: nothing of the gateway's own
// code reads or writes a frame here.
//
// This package may change without notice.
package relaytest
