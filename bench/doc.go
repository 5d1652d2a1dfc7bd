// Package bench measures a gateway by playing both ends of every relayed
// connection over loopback: the listener that accepts and the sender that
// connects. cmd/relaybench runs it; it is a library so that its driver can be
// tested and reused.
//
// # A tour
//
// A [Target] is something to measure: a binary to start, a gateway that is
// already running, or one of [Peers]. [Run] walks through [Tests], interleaving
// targets inside every round, so that a ratio always compares figures of the
// same minute; a round that other processes disturb is thrown away. Each test
// fills a trial with named figures and failures; [Run] folds the trials of all
// rounds into one [Row] per test and target. [WriteTable] and [WriteRows] show
// the rows, [WriteComparison] puts two runs side by side, [Plots] draws.
// [MeasureGate] counts what needs no quiet machine. docs/benchmarks.md is the
// guide for who measures.
//
// Below that sits the driver, which exists to cost little beside the gateway:
//
//	poll_linux.go  epoll and raw non-blocking sockets
//	loop.go        one goroutine that owns every socket of a driver
//	conn.go        one leg: handshake, queued bytes, frames
//	secure.go      and its TLS: a coroutine, then records in memory
//	frame.go       masked frames out, header parser in, pattern check
//	driver.go      listen, connect, accept: how a pair comes to be
//	echo.go        what pairs do once they are open: round trips
//	stream.go      or one-way transfer, verified byte for byte if need be
//	httpsend.go    or HTTP requests: senders in a closed loop
//	httplisten.go  and the listener that answers them
//	door.go        or no listener: what a forwarding target connects to
//	haproxy.go     an HAProxy that ends TLS in front of a target
//	forward.go     the peers that forward, and install.go what they are built from
//	hold.go        many gateways and drivers; drive.go is such a driver process
//	tests.go       the list of tests; each theme has a file of its own
//
// There is no goroutine per connection. Frames are built once and masked with
// one fixed key that is not zero, so the generator spends nothing on masking
// while the gateway still has to unmask. Receivers parse headers only but count
// every message and byte; the tests that verify compare every byte against a
// pattern that never repeats.
//
// # What is reported
//
// CPU cost of the gateway process is the primary figure, because it survives a
// machine that other work shares; wall-clock figures stand beside it. Latency
// under a paced load counts from the moment a message was due, not from the
// moment it left, so a stalled gateway cannot hide its stall (no coordinated
// omission). A failure is a result: a row with failures is a failed row.
//
// The driver runs on Linux only; elsewhere it builds and says so. The package
// is internal to the project in spirit: it may change at any time.
package bench
