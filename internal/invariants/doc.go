// Package invariants switches checks that cost too much for production. They
// run in builds with the tag "invariants": make invariant. This package may
// change without notice.
package invariants
