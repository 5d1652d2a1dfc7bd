package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
)

// layers makes both ends of a connection with fixed secrets. The client's end is
// a Layer too; it is the one whose AppendPending tests do not look at.
func layers(t testing.TB, id uint16) (server, client *Layer) {
	t.Helper()
	s := suiteByID(id)
	fromClient := bytes.Repeat([]byte{1}, s.secretLen)
	fromServer := bytes.Repeat([]byte{2}, s.secretLen)
	server, err := New(id, fromClient, fromServer, 0)
	if err != nil {
		t.Fatal(err)
	}
	client, err = New(id, fromServer, fromClient, 0)
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

// eachSuite runs f as a subtest for each cipher suite.
func eachSuite(t *testing.T, f func(t *testing.T, id uint16)) {
	for _, s := range suites {
		t.Run(tls.CipherSuiteName(s.id), func(t *testing.T) { f(t, s.id) })
	}
}

// forge seals inner, a whole TLSInnerPlaintext right or wrong, as one record.
func forge(h *half, inner []byte) []byte {
	n := len(inner) + tagLen
	record := []byte{typeApplicationData, 3, 3, byte(n >> 8), byte(n)}
	return h.aead.Seal(record, h.number(), inner, record)
}

// forgeType is forge for content of a type, without padding.
func forgeType(h *half, contentType byte, content ...byte) []byte {
	return forge(h, append(slices.Clone(content), contentType))
}

// cut takes the records of wire apart.
func cut(t testing.TB, wire []byte) [][]byte {
	t.Helper()
	var records [][]byte
	for len(wire) > 0 {
		n, err := RecordLen(wire)
		if err != nil || n > len(wire) {
			t.Fatalf("a record of %d bytes, %v; have %d", n, err, len(wire))
		}
		records = append(records, slices.Clone(wire[:n]))
		wire = wire[n:]
	}
	return records
}

// openAll opens all records of wire, which must be good, and returns the data.
func openAll(t testing.TB, l *Layer, wire []byte) []byte {
	t.Helper()
	var data []byte
	for _, record := range cut(t, wire) {
		var err error
		if data, err = l.Open(data, record); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// keyUpdate is the message, asking for an answer or not.
func keyUpdate(requested bool) []byte {
	if requested {
		return []byte{messageKeyUpdate, 0, 0, 1, updateRequested}
	}
	return []byte{messageKeyUpdate, 0, 0, 1, updateNotRequested}
}

// pattern is n bytes that differ from place to place and from seed to seed.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8)*31 ^ seed
	}
	return p
}
