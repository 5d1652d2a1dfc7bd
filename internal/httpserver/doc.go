// Package httpserver runs a net/http server beside the gateway's engine: on a
// socket that is open already, with a bound on its connections, and closed in
// good order whether it has served or not.
//
// This package is internal to Relayhouse and may change.
package httpserver
