// Package namespacestore changes the namespaces of a node and keeps them: on
// disk ([Bolt]), in memory ([Memory]), or not at all where they come from a
// file of the operator ([ReadOnly]).
//
// Reads do not come here: they take the current snapshot of
// [namespace.Store], which each update replaces as a whole.
//
// This package is internal to Relayhouse and may change.
package namespacestore
