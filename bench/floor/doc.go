// Package floor builds the relay that others are measured against: a
// single-threaded C program (src/floor.c) that does the framing work of a gateway
// and nothing else. What it costs is the least that such work can cost with
// epoll and two sockets, so a ratio to it says how much of a gateway's cost is
// the gateway's own.
//
// It listens, announces, pairs and relays as much of the Hybrid Connections
// protocol as the driver of package bench speaks. It checks no token, relays no
// HTTP, has no TLS, and must never face a network. Its command line,
// endpoints.json and readiness check are those of `relayhouse dev`.
//
// [Build] compiles it with the C compiler of the machine and for its processor,
// so a binary belongs to the machine that built it. The package may change at
// any time.
package floor
