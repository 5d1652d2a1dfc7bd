// Package rendezvous is the table at which senders and listeners meet. It
// knows which listeners wait for which entity, and which senders wait for a
// rendezvous connection. It does no I/O, starts no goroutine and reads no
// clock: time is passed in, and the parties are opaque handles.
//
// The life of a connection request, in the order of the calls:
//
//  1. A listener's control channel opens: [Table.Register].
//  2. A sender arrives: [Table.Reserve] stores it under a secret random [ID]
//     before the accept message leaves.
//  3. [Table.Pick] chooses the listener that gets the accept message.
//  4. The listener dials the rendezvous address: [Table.Claim] hands out the
//     sender, exactly once.
//  5. Or the sender leaves, is refused, or its window ends: [Table.Drop]. The
//     table has no timer: whoever reserved keeps the time, as it has a deadline
//     on the sender's connection anyway, and Claim refuses what is late.
//  6. The control channel ends: [Table.Unregister].
//
// Exactly one of Claim and Drop gets a sender, whatever the order in which
// loops call them; that one owns its fate.
//
// All methods may be called from any goroutine. State is spread over shards:
// listeners by the xxhash of the entity key, pending rendezvous by their id.
// Both kinds have bounds, given to Register and in [Config]. Everything here
// runs at handshakes and is never called per frame.
//
// This package is internal to Relayhouse and may change.
package rendezvous
