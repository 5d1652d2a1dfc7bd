// Package certificate holds the certificates of a TLS port and keeps them
// fresh, without a restart and without a moment in which there are none.
//
// A [Store] is made from pairs of files. It answers the handshakes of
// crypto/tls (Store.Config), replaces all certificates at once or none when
// files change (Store.Reload, and by itself after Store.Start), obtains others
// by ACME, and says which of them will expire. [OpenAuthority] is the local
// authority of an emulator.
//
// Files are read off the path of handshakes; a handshake costs a look into a
// table that never changes, and is replaced whole. Bounds: fileBytesMax per
// file, pairsMax pairs, one goroutine for watching, those of certmagic while
// certificates are obtained.
//
// The package knows neither connections nor the protocols on them. It may
// change without notice.
package certificate
