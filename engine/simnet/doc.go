// Package simnet is a simulated network under package engine: pollers,
// sockets, and a clock, all driven step by step from one seed, so that the
// code that runs in production runs here in an order that can be repeated.
//
// A test makes a Net, an engine whose Config.NewPoller is Net.NewPoller and
// whose clock is manual, and then alternates between acting as the clients
// (Net.Dial, Peer) and Net.Step, which lets one loop do one thing: a batch of
// events, or a task. Loops are goroutines, but only one of them moves at a
// time. Equal seeds and equal actions give equal runs.
//
// What is simulated as the kernel does it: edge-triggered readiness, events
// that are stale within their batch, descriptors that are used again at once,
// bounded socket buffers that take a part of a write, half-closed and broken
// connections, EINTR, accept failures. What is not: time inside the kernel,
// loss and reordering, which TCP hides.
//
// This package is for tests and may change.
package simnet
