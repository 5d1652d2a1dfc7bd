// Package emulator starts the gateway under test, the binary that
// RELAYHOUSE_BIN names (without it ../bin/relayhouse, where `make build` puts
// it), on free ports of loopback, and signs tokens for it.
//
// Start runs `relayhouse dev`, one process per test, so that tests neither see
// each other's listeners nor share limits. Serve runs `relayhouse serve` with a
// configuration file. The process ends with the test; if it ended earlier, the
// test fails, and a failed test shows what the gateway logged.
//
// Tokens are computed here from docs/protocol.md, section 6.3, and not with the
// gateway's own package, so that a mistake is not made twice.
//
// The package serves the tests of interop and may change.
package emulator
