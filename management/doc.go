// Package management is the Azure-compatible management API: the paths of
// Microsoft.Relay below /subscriptions, for every version of the API, over TLS
// and with a bearer token. What it answers is in docs/protocol.md, section 13;
// docs/management.md tells users how to call it.
//
// In the order of a request:
//
//  1. [API.ServeHTTP] names it, bounds it and finds who asks (tokens.go).
//  2. A table of paths says which operation it is (route.go) and in which
//     versions there is one (version.go).
//  3. The operation reads a snapshot, or changes it within one call of
//     namespacestore.Writer.Update: what is read there is what is written.
//  4. The answer is written in the form of the version (errors.go, page.go),
//     and a change leaves a line in the audit log (audit.go).
//
// What it is not: it keeps nothing itself, knows no sockets of the gateway and
// reads no files but that of its tokens.
//
// Keys are in the answers of listKeys, regenerateKeys and the export, and
// nowhere else: not in a log, not in an error, not in the audit log.
//
// This package is internal to Relayhouse and may change.
package management
