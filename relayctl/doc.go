// Package relayctl is the command line tool of operators and users: resources
// of a gateway's management API in the words of az relay, connection strings and
// tokens, relaying from a shell, and what a gateway says of itself.
//
// Run is the whole of it: a command line in, an exit status out. A file holds the
// commands of one noun, from their help texts to their output; docs/relayctl.md is
// the reference. What they share:
//
//	relayctl.go   the tree of commands, exit statuses
//	words.go      flags that take several words, as az has them
//	place.go      which gateway, with which token
//	contexts.go   the file of contexts
//	scope.go      which namespace, entity and rule a command is about
//	output.go     table, json, yaml, tsv
//	explain.go    errors as one line that says what to do
//
// Package arm speaks to the management API, package relayclient relays, and package
// namespace judges tokens as gateways do. Everything read from outside is bounded;
// docs/relayctl.md lists the bounds. Errors are searched for the tokens and keys
// that the run has used before they are printed.
//
// It builds on every operating system. The package may change.
package relayctl
