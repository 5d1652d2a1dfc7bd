// Package arm is a client of the management API that gateways serve and Azure
// specifies (docs/protocol.md does not cover it; the paths are those of
// Microsoft.Relay in the Azure Resource Manager).
//
// A Path names a resource; Client has a method for each thing that can be done
// with one, and for what the gateway serves beside Azure's API. Resources are kept
// as they came, a JSON object each: what a newer gateway says is not lost.
//
// The server is not trusted: answers are bounded, lists are followed on the same
// host only, redirects are not followed, and texts lose their control characters.
// Errors hold no tokens; a *StatusError says what the gateway answered, everything
// else is from the connection.
//
// A Client may be used by several goroutines. The package may change.
package arm
