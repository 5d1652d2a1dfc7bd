// Package naive is a relay written the plain way: net/http, a WebSocket library
// and two goroutines per relayed connection. It exists to be compared with.
//
// It speaks as much of the Hybrid Connections protocol as the driver of package
// bench uses: listen, the accept message, connect, the rendezvous, and relayed
// HTTP requests, each on the goroutine that net/http has for it. It checks no
// token, has no limits worth the name, and must never face a network. One entity
// name is as good as another; the newest listener of an entity gets all.
//
// The library is coder/websocket, or gorilla/websocket when one asks for it.
//
// [Relay] is the handler. [Serve] runs it with the addresses, the endpoints.json
// and the readiness check of `relayhouse dev`, so that a driver can start either.
// The package may change at any time.
package naive
