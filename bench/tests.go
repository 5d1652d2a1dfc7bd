package bench

// A Test is one entry of the benchmark matrix.
type Test struct {
	// ID is what one types; Title says what is done, About why and how to
	// read the figures.
	ID, Title, About string

	start startOptions
	// ownProcesses: the test starts a fresh process per point itself.
	ownProcesses bool
	// needsCheck: the test needs a target that checks tokens.
	needsCheck bool
	// needsTLS: the test needs a target that is reached with TLS. forTLS: it
	// is part of the default list when there is such a target, and of no other.
	needsTLS, forTLS bool
	// gateway: the test needs listeners that come and go, or a target that ends
	// connections.
	gateway bool
	// http: the test sends HTTP requests.
	http bool
	// once: long and steady, so one round is enough unless more are asked for.
	once bool
	run  func(t *trial) error
}

// Tests returns the matrix in the order in which it runs.
func Tests() []*Test { return tests }

var tests = []*Test{
	{
		ID: "b1", Title: "one stream, 64 KiB messages",
		About: "bulk transfer from sender to listener; cpu is the figure that counts",
		run:   func(t *trial) error { return runStream(t, "", 64<<10, 1) },
	},
	{
		ID: "b2", Title: "one stream, 1 KiB messages, 32 per write",
		About: "cost of framing; cpu close to b1's means that frames are nearly free",
		run:   func(t *trial) error { return runStream(t, "", 1<<10, 32) },
	},
	{
		ID: "b2b", Title: "one stream, 1 KiB messages, one per write",
		About: "the worst case without batching",
		run:   func(t *trial) error { return runStream(t, "", 1<<10, 1) },
	},
	{
		ID: "sizes", Title: "one stream, messages of 128 B to 64 KiB, 32 KiB per write",
		About: "throughput and cost by message size; b1 and b2 are two points of it",
		run:   runSizes,
	},
	{
		ID: "b3", Title: "one pair, closed loop, 128 B",
		About: "added latency of an idle gateway, beside spinners so that no core sleeps",
		run:   runOnePair,
	},
	{
		ID: "b4", Title: "500 pairs, 10,000 round trips per second",
		About: "latency at moderate load, counted from when a message was due",
		run:   runPaced,
	},
	{
		ID: "b5", Title: "500 pairs, closed loop",
		About: "round trips at saturation",
		run:   runSaturated,
	},
	{
		ID: "b6", Title: "set-ups, 32 and 256 at once",
		About: "dial, both handshakes, pairing, first 8 bytes echoed; then cut",
		run:   runSetUps,
	},
	{
		ID: "b7", Title: "idle memory, slope over 1k, 4k, 9k relays",
		About:        "user memory per relay in fresh processes; kernel counts all four sockets",
		run:          func(t *trial) error { return runMemory(t, t.size.relays, false) },
		ownProcesses: true, once: true,
	},
	{
		ID: "b8", Title: "memory after 64 KiB both ways on every relay",
		About:        "the slope again after traffic; after/idle above 1.1 means kept buffers",
		run:          func(t *trial) error { return runMemory(t, t.size.relays, true) },
		ownProcesses: true, once: true,
	},
	{
		ID: "b9", Title: "90 busy pairs beside 0, 1k, 4k, 9k idle relays",
		About: "cost must not depend on idle relays: cpu and p99.9 stay flat",
		run:   runBesideIdle,
	},
	{
		ID: "b10", Title: "many relays over several gateway processes, then all echo",
		About: "20,000 over 3; `relaybench hold` takes other sizes: 100,000 and more. Memory " +
			"per relay must stay b7's, and every relay must echo after the rest",
		run: runHold, ownProcesses: true, once: true, gateway: true,
	},
	{
		ID: "b11", Title: "1,000 relays whose receiver does not read, senders that do not stop",
		About: "memory that the gateway holds per relay: at most 256 KiB, one direction's bound; " +
			"latency of 90 pairs beside them: that of the pairs alone",
		run: runStopped,
	},
	{
		ID: "b12", Title: "b4 alone, then beside 9k idle relays: pauses of the collector",
		About: "p99.9 must not grow; objects on the heap per relay, longest pause since the start",
		run:   runBesideHeap,
	},
	{
		ID: "fairness", Title: "ping beside three blasting relays on one loop",
		About: "the gateway runs one loop; p99 below 50 ms, ratio to the idle case",
		start: startOptions{oneLoop: true}, run: runFairness, gateway: true,
	},
	{
		ID: "stuck", Title: "600 MB towards receivers that do not read for 3 s",
		About: "gateway memory may grow by 16 MiB (1 pair) or 64 MiB (100 pairs); every " +
			"byte and the end must arrive",
		run: runStuck, once: true, gateway: true,
	},
	{
		ID: "storm", Title: "a bad listener reconnects without pause, doubling",
		About: "established relays must not notice: p99 with and without",
		run:   runStorm, needsCheck: true, gateway: true,
	},
	{
		ID: "churn", Title: "relays that open, echo four times and close in order",
		About: "whole lives per second; descriptors and memory return to where they were",
		run:   runChurn, gateway: true,
	},
	{
		ID: "b13", Title: "relayed HTTP, bodies of 1 KiB (64 senders) and 1 MiB (8 senders)",
		About: "keep-alive senders in a closed loop; 1 KiB travels on the control channel, " +
			"1 MiB by rendezvous; the other body is tiny or absent",
		run: runHTTP, http: true, gateway: true,
	},
	{
		ID: "b13b", Title: "relayed HTTP, one sender, closed loop",
		About: "latency of one request, beside spinners so that no core sleeps",
		run:   runHTTPOne, http: true, gateway: true,
	},
	{
		ID: "http-bulk", Title: "relayed HTTP, one body of 1 GB each way",
		About: "every byte is compared; gateway memory may grow by 16 MiB, also when the " +
			"receiver stops twice (64 MiB)",
		run: runHTTPBulk, once: true, http: true, gateway: true,
	},
	{
		ID: "tls-bulk", Title: "one stream, 64 KiB messages, with TLS",
		About: "b1 with records to open and to seal; target plain shows what TLS costs",
		run:   runTLSBulk, forTLS: true,
	},
	{
		ID: "tls-setup", Title: "set-ups, two TLS handshakes each, 32 at once",
		About: "full handshakes, no early data; resumed and TLS 1.2 beside; the rate is also " +
			"the driver's, whose handshakes share one core",
		run: runTLSSetUps, forTLS: true,
	},
	{
		ID: "tls-idle", Title: "memory, slope over 500, 2k, 4k relays with TLS",
		About:        "user memory per relay, two TLS connections: fresh, and after 64 KiB both ways",
		run:          func(t *trial) error { return runMemory(t, t.size.tlsRelays, true) },
		ownProcesses: true, once: true, forTLS: true,
	},
	{
		ID: "tls-storm", Title: "1,000 handshakes per second, then 2,000 that do not end, too",
		About: "established relays must not notice: p99 alone, in the storm, and with 1,000 " +
			"silent and 1,000 slow handshakes beside",
		run: runTLSStorm, needsTLS: true, forTLS: true,
	},
}

func testIDs() []string {
	ids := make([]string, len(tests))
	for i, t := range tests {
		ids[i] = t.ID
	}
	return ids
}

// skip says why the test does not apply to a target, empty when it does.
func (x *Test) skip(t *Target) string {
	switch {
	case x.needsCheck && t.Open:
		return "the target does not check tokens"
	case x.gateway && t.launch != nil:
		return "the target only forwards connections"
	case x.http && t.OnlyWebSockets:
		return "the target relays WebSockets only"
	case x.needsTLS && !t.secure():
		return "the target is reached without TLS"
	case x.ownProcesses && !t.fresh():
		return "needs a fresh process; use --start"
	}
	return ""
}
