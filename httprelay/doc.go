// Package httprelay relays one HTTP request of a sender to a listener, and the
// listener's response back, on the loop of the sender's connection.
//
//   - [Exchange] is the handler of the sender's connection from the request's
//     head to the end of the response. It reads the body, hands the request
//     over in one of two forms, and writes the response.
//   - In the control form the whole request is one unit of messages on the
//     listener's control channel. In the rendezvous form the listener learns
//     an address only; request and body travel on the connection that it dials
//     there, and are never collected.
//   - [Leg] is the handler of that connection. A listener may also dial the
//     address of a control-form request, to answer there.
//   - [Gateway] is what an Exchange asks of its surroundings: a listener, the
//     end of its address, the text of an error, the next request.
//
// Bytes flow only as fast as the slower end takes them: a full end pauses the
// other. What is held per exchange: the bytes of one read in each direction, and
// in the control form a body of at most [ControlBodyMax] bytes, all of it
// counted in budgets.
//
// The states of an exchange and what ends it are in docs/relay-states.md.
//
// This package is internal to Relayhouse and may change.
package httprelay
