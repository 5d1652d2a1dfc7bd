// Package admin is the private HTTP server of a node: what operators, probes
// and Prometheus ask. It changes nothing and takes GET and HEAD only.
//
//	/livez, /healthz    200 while the process answers
//	/readyz             200 when the gateway may get traffic; ?verbose says why not
//	/health             the same in the words of the Azure emulators
//	/metrics            Prometheus
//	/status             everything below as JSON; ?limit= bounds each list
//	/status/{part}      loops connections listeners pending pools closed
//	/debug/check        runs the self-checks of the process
//	/debug/pprof/       profiles
//
// The package knows nothing of the gateway. What it shows comes through
// [Readiness], [StatusSource] and [Check], which the node implements; the
// structs that they return are plain values.
//
// There is no authentication, hence the default address is on loopback. Head
// size, times and the number of connections are bounded.
//
// This package is internal to Relayhouse and may change.
package admin
