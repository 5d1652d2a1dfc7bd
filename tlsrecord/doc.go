// Package tlsrecord protects the records of one TLS 1.3 connection (RFC 8446
// section 5) on the server's side, after crypto/tls has finished the handshake.
// It does no I/O, keeps no buffers and reads no clock: a connection costs its
// keys and nothing else, where a tls.Conn keeps the largest records it has met.
//
// It is not a TLS implementation: it knows no certificates, no handshake and no
// TLS 1.2. The ciphers are those of the standard library and x/crypto.
//
// In the order of a connection's life:
//
//  1. During the handshake, RecordLen cuts what the client sends into records,
//     and tls.Conn gets them one by one, so that none after the client's
//     Finished disappears in its buffer. Secrets, as the KeyLogWriter of the
//     configuration, takes the traffic secrets; everything that the server
//     writes is kept until the end of the handshake.
//  2. Written says how many of these records were session tickets, which use up
//     numbers of the application's key, and New makes the Layer.
//  3. Layer.RecordLen says how long the next record is, Layer.Open turns it
//     into data. Layer.Seal turns data into records.
//  4. After each Open, and after its error too, Layer.AppendPending has what
//     the layer itself must say: the answer to a KeyUpdate, or the fatal alert.
//  5. Layer.AppendCloseNotify ends what is written; io.EOF of Open is the end
//     of what is read. An end of stream without io.EOF before it is a cut, and
//     it is for the owner of the connection to say so.
//
// A broken rule of the protocol is a Violation, which knows its alert. An alert
// of the peer is a PeerAlert.
//
// Owner: a Layer belongs to one goroutine. It keeps no slice that it is given.
//
// Limits: 16 useless records in a row, 5 bytes of an unfinished handshake
// message, one answer that waits, recordsMax records per key of the writer.
//
// Security: keys and secrets are in no error and no text. Nothing is returned
// of a record whose tag was not verified.
//
// This package is hot: Open of application data and Seal allocate nothing when
// dst has room. It may change without notice.
package tlsrecord
