// Package framer is a WebSocket client at byte level for conformance tests. It
// shares no code with the gateway and none with a library, and it can send
// what no library sends: wrong lengths, reserved bits, unmasked frames, a part
// of a frame.
//
// Dial performs the upgrade and gives the response head as it came. A Conn
// sends and receives single frames; it answers nothing by itself, neither a
// Ping nor a Close, so a test sees every byte that the gateway decides to
// send. Reads end after ReadTimeout; a Conn belongs to one goroutine for
// reading and one for writing.
//
// The package serves the tests of interop and may change.
package framer
