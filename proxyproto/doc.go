// Package proxyproto reads the header of the PROXY protocol, with which a
// balancer says at the beginning of a connection whose connection it is. It
// does no I/O and keeps no state.
//
// Parse takes what has been received so far, from the first byte on, and says
// after any of them whether it still can become a header: bytes that are none
// are refused at once, not at a time limit. It reads both versions, the line of
// text and the binary form, and is strict: what the specification calls invalid
// is an error, and so is all that a TCP balancer has no reason to send.
//
// It does not decide who may send a header: anybody could claim any address
// with it. The caller asks only peers that it knows.
//
// Source: haproxy.org, doc/proxy-protocol.txt, sections 2.1 and 2.2.
//
// The package may change without notice.
package proxyproto
