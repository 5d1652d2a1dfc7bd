package tlsrecord

// Written says how many records at the end of a server's handshake are protected
// with its application secret: crypto/tls sends session tickets there, as the
// first records under that key, and New must be told their number or their
// nonces would be used again.
//
// It is found by trial: a record of the handshake does not open with this key
// but with a chance of 2^-128.
//
//	Shape:  writeSecret is server_application_traffic_secret_0. flight is
//	        everything that the server has written, whole records from the
//	        first ServerHello on; it is not changed.
//	Errors: ErrSuite, ErrSecret; ErrFlight for bytes that are not whole records,
//	        and for a record that does not open behind one that does.
//	Cost:   each record is tried once; a buffer as long as flight, and the keys.
func Written(suite uint16, writeSecret, flight []byte) (uint64, error) {
	h := half{suite: suiteByID(suite)}
	if h.suite == nil {
		return 0, ErrSuite
	}
	if err := h.setSecret(writeSecret); err != nil {
		return 0, err
	}
	scratch := make([]byte, 0, len(flight))
	for len(flight) > 0 {
		n, err := RecordLen(flight)
		if err != nil || n > len(flight) {
			return 0, ErrFlight
		}
		if _, ok := h.open(scratch, flight[:n]); !ok && h.seq > 0 {
			return 0, ErrFlight
		}
		flight = flight[n:]
	}
	return h.seq, nil
}
