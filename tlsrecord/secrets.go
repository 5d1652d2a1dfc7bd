package tlsrecord

import (
	"bytes"
	"encoding/hex"
)

// Secrets takes the traffic secrets of one handshake from crypto/tls: it is made
// for tls.Config.KeyLogWriter of a configuration that serves one connection, as
// GetConfigForClient may return. The zero value is ready.
//
//	Owner: written by the goroutine of the handshake; read it afterwards.
type Secrets struct {
	// Client and Server are the secrets that protect what each of them sends,
	// for New: the client's reads, the server's writes. Nil until they are
	// known, and for TLS 1.2.
	Client, Server []byte
}

// Write takes one line of the key log (the NSS key log format: label, client
// random and secret, the last two in hex). It ignores others than those of the
// two secrets, and never fails.
func (s *Secrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return len(line), nil
	}
	secret, err := hex.AppendDecode(nil, fields[2])
	if err != nil {
		return len(line), nil
	}
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		s.Client = secret
	case "SERVER_TRAFFIC_SECRET_0":
		s.Server = secret
	}
	return len(line), nil
}
