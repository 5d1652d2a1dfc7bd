// Package interop proves the gateway from outside: clients that were written
// by others, and a framer that trusts none of them, run against the built
// binary on loopback. It has a go.mod of its own, so that the peers never
// become dependencies of the gateway, and imports nothing from it.
//
// What is where:
//
//   - emulator starts `relayhouse dev` (or `serve`) and signs tokens
//   - framer is a WebSocket client at byte level, written for these tests
//   - item*_test.go: one test per line of the conformance list
//     (docs/protocol.md, section 7), named by its number, run with
//     coder/websocket, gorilla/websocket and the framer on either side
//   - ground*_test.go: the ground of a WebSocket conformance suite, on the
//     sender leg, the rendezvous leg and the control channel
//   - item_http*_test.go and ground_http*_test.go: the same for relayed HTTP
//     requests, with a sender at byte level (http_sender_test.go) and a
//     listener at frame level (http_listener_test.go) that responds as each of
//     the official listeners does (http_reply_test.go)
//   - node: the npm packages hyco-ws, hyco-https, ws and websocket, Express
//     and autocannon, and curl, Chromium, ab and wrk, as node:test scripts
//   - ground_tls_test.go: TLS itself, with openssl as sender. Gateways of the Go
//     tests have an emulator.Mode, which says who comes over TLS; node's
//     tls.test.js runs the other files over TLS
//   - results prints the table at the end of `make interop`
//
// The package holds tests only and may change.
package interop
