// Package takeover is what two processes of one gateway say to each other while
// the second takes the place of the first: a protocol on a Unix socket. It knows
// neither loops nor relays.
//
//   - [Listen] opens the socket of a running process and [Dial] finds it; both
//     sides check the other's user by SO_PEERCRED.
//   - [Conn] carries messages, each one packet of a SOCK_SEQPACKET socket: a JSON
//     object, a line feed, and the bytes of a connection where there is one.
//     Descriptors travel along (SCM_RIGHTS).
//   - [Link] is a Conn after the takeover. Its writer has a queue, so that Send
//     may be called on a loop.
//
// The talk, N being the new process and O the old one:
//
//	N hello        who it is
//	O sockets      names, addresses and descriptors; or refused
//	N ready        it could serve
//	O away         the entities whose listeners are with O, in parts
//	O go           O does not accept any more
//	N accepting    O lets its descriptors go and drains
//
// If the talk ends before accepting, O goes on as if nothing had happened. Then
// either side may send:
//
//	connection     a client's connection that belongs to the other one
//	retire         N: the listeners of an entity should come over now
//	retired        O: they have been sent away
//	absent         O: there are none
//	settled        O: nobody waits any more for a rendezvous connection
//	bye            O: it ends
//
// Limits: a packet holds [MessageMax] bytes and [DescriptorsMax] descriptors; the
// times are the caller's.
//
// This package is internal to Relayhouse and may change.
package takeover
