// Package selfsigned makes certificates for servers on the loopback interface:
// for tests, and for the peers that benchmarks compare with. They are not meant
// for any other use, and nothing of them is stored.
//
// The package may change at any time.
package selfsigned
