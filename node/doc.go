// Package node makes one process of the parts: it opens the ports, runs a
// gateway on an engine with an admin server beside it, reloads namespaces, and
// ends everything in good order.
//
// Start opens all or nothing: an address in use or an impossible limit is an
// error that names its setting, before anything serves. Drain is how a node
// ends when it is asked to; Stop is how it ends at once.
//
// This package may change without notice.
package node
