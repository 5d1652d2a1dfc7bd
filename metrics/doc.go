// Package metrics counts what a gateway does and remembers what ended last.
//
//   - [Loop] holds the counters of one event loop. Its loop writes them, with
//     no lock and no label lookup; they are added up when somebody asks.
//   - [Gateway] holds what happens at handshakes, written from any loop.
//   - [NewRegistry] joins both, and gauges that other packages own, into a
//     registry of Prometheus metrics named relay_*; [Handler] serves it.
//   - [CloseReason] and [Role] are the closed lists from which labels, logs
//     and the closed history draw.
//   - [History] is the bounded list of the connections that ended last.
//
// Labels are from closed lists or bounded numbers, never from what a peer may
// choose freely. Keys and tokens do not come here.
//
// This package is internal to Relayhouse and may change.
package metrics
