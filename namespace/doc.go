// Package namespace holds what an operator has set up: namespaces, their
// hybrid connections and authorization rules; and decides whether a token
// allows what its bearer asks for.
//
// In the order of a handshake:
//
//  1. [Store.Load] gives the current [Snapshot], which never changes.
//  2. [Snapshot.Lookup] finds the namespace of a host name.
//  3. [Namespace.Find] finds the entity that a path leads to.
//  4. [Authorizer.Authorize] checks the token and remembers good ones.
//
// Before that, [NewSnapshot] validates a list of [Definition] and builds the
// lookup structures; [Store.Swap] makes it current and tells its subscribers,
// which compare the two snapshots with [Snapshot.Removed].
//
// What it is not: it reads no files and no clock and keeps no registrations of
// listeners.
//
// Everything may be called from any goroutine. Lookup, Find and an Authorize
// that finds its token in the cache do not allocate. Keys appear in no error
// and in no formatted [Rule].
//
// This package is internal to Relayhouse and may change.
package namespace
