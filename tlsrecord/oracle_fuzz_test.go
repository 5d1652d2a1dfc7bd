package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
)

// script is what a fuzz target does, read from its input.
type script []byte

// byte takes the next one; 0 at the end.
func (s *script) byte() int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b)
}

// size takes a size in bytes: most are small, some are around the limits.
func (s *script) size() int {
	n := s.byte()
	if n < 128 {
		return n
	}
	return (n-127)*260 + s.byte()%8 - 4 // up to two records and a half
}

const stepsMax = 64

// FuzzAgainstClient: a tls.Conn as the client and a Layer in the place of the
// server understand each other, whatever they send and when.
func FuzzAgainstClient(f *testing.F) {
	f.Add(byte(0), true, []byte{0, 5, 1, 5, 0, 127, 1, 127, 0, 0, 1, 0})
	f.Add(byte(1), true, []byte{1, 255, 7, 0, 255, 7, 1, 190, 4, 0, 190, 4})
	f.Add(byte(2), false, []byte{2, 0, 1, 9, 1, 9, 1, 9, 2, 1, 1, 255, 1, 255, 1, 255})
	f.Add(byte(0), false, []byte{0, 1, 3, 1, 200, 1, 3, 4, 0})
	f.Add(byte(1), true, []byte{4, 0, 9, 3, 0})
	f.Fuzz(func(t *testing.T, which byte, tickets bool, ops []byte) {
		p := handshakeFor(t, which, tickets)
		l := p.layer(t)
		s := script(ops)
		for range stepsMax {
			if len(s) == 0 {
				return
			}
			switch op := s.byte(); op % 5 {
			case 0:
				clientWrites(t, p, l, pattern(s.size(), byte(op)))
			case 1:
				layerWrites(t, p, l, pattern(s.size(), byte(op)))
			case 2:
				l.recordsMax = max(2, l.out.seq+uint64(s.byte()%8))
			case 3:
				if err := p.client.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				_, err := l.Open(nil, p.toServer.take())
				if err != io.EOF || len(l.AppendPending(nil)) > 0 {
					t.Fatalf("close_notify: %v", err)
				}
				layerWrites(t, p, l, []byte("half closed"))
				return
			case 4:
				p.toClient.Write(l.AppendCloseNotify(nil))
				if n, err := p.client.Read(make([]byte, 10)); n != 0 || err != io.EOF {
					t.Fatalf("the client reads %d bytes, %v", n, err)
				}
				clientWrites(t, p, l, []byte("half closed"))
				return
			}
		}
	})
}

func handshakeFor(t *testing.T, which byte, tickets bool) *pair {
	return handshake(t, suites[int(which)%len(suites)].id, nil,
		func(c *tls.Config) { c.SessionTicketsDisabled = !tickets })
}

func clientWrites(t *testing.T, p *pair, l *Layer, data []byte) {
	t.Helper()
	if _, err := p.client.Write(data); err != nil {
		t.Fatal(err)
	}
	if got := openAll(t, l, p.toServer.take()); !bytes.Equal(got, data) {
		t.Fatalf("the layer reads %d bytes, want %d", len(got), len(data))
	}
	if pending := l.AppendPending(nil); len(pending) > 0 {
		t.Fatalf("pending: % x", pending)
	}
}

func layerWrites(t *testing.T, p *pair, l *Layer, data []byte) {
	t.Helper()
	p.toClient.Write(l.Seal(nil, data))
	got := make([]byte, len(data)+1)
	n := 0
	for n < len(data) {
		m, err := p.client.Read(got[n:])
		if n += m; err != nil {
			t.Fatalf("the client reads %d bytes of %d, then %v", n, len(data), err)
		}
	}
	if !bytes.Equal(got[:n], data) {
		t.Fatal("the client reads other data")
	}
}

// duel gives the same bytes to a tls.Conn, the server of a handshake, and to a
// Layer with its keys, and compares what they make of it.
type duel struct {
	*pair
	layer  *Layer
	forger half // seals for the client
	input  []byte
	// What came out, of the tls.Conn and of the layer: data, bytes written.
	oracleData, layerData []byte
	layerOut              []byte
	lastLen               int // of the record that the layer opened last
	oracleErr, layerErr   error
}

func newDuel(t *testing.T, which byte, tickets bool) *duel {
	d := &duel{pair: handshakeFor(t, which, tickets)}
	d.layer = d.pair.layer(t)
	d.forger.suite = d.layer.in.suite
	if err := d.forger.setSecret(d.secrets.Client); err != nil {
		t.Fatal(err)
	}
	d.toClient.take()
	return d
}

// feed gives p to both.
func (d *duel) feed(p []byte) {
	d.feedOracle(p)
	d.input = append(d.input, p...)
	for d.layerErr == nil && len(d.input) >= RecordHeader {
		n, err := d.layer.RecordLen(d.input)
		if err == nil && n > len(d.input) {
			return
		}
		if err == nil {
			d.lastLen = n
			d.layerData, err = d.layer.Open(d.layerData, d.input[:n])
			d.input = d.input[n:]
		}
		if d.layerErr = err; err == nil {
			d.layerOut = d.layer.AppendPending(d.layerOut)
		}
	}
}

func (d *duel) feedOracle(p []byte) {
	d.toServer.Write(p)
	buf := make([]byte, 4*PlaintextMax)
	for d.oracleErr == nil {
		n, err := d.server.Read(buf)
		d.oracleData = append(d.oracleData, buf[:n]...)
		if errors.Is(err, errLater) {
			return
		}
		d.oracleErr = err
	}
}

// compare fails the test unless both have made the same of what they were given,
// and says whether they go on.
func (d *duel) compare(t *testing.T) bool {
	t.Helper()
	if !bytes.Equal(d.oracleData, d.layerData) {
		t.Fatalf("crypto/tls reads %d bytes, the layer %d", len(d.oracleData), len(d.layerData))
	}
	d.oracleData, d.layerData = d.oracleData[:0], d.layerData[:0]
	if d.layerErr != nil && d.oracleErr == nil {
		d.stricter(t)
		return false
	}
	if (d.layerErr == nil) != (d.oracleErr == nil) ||
		(d.layerErr == io.EOF) != (d.oracleErr == io.EOF) {
		t.Fatalf("crypto/tls says %v, the layer %v", d.oracleErr, d.layerErr)
	}
	oracleOut := d.toClient.take()
	if d.layerErr == nil {
		if !bytes.Equal(oracleOut, d.layerOut) {
			t.Fatalf("crypto/tls writes % x, the layer % x", oracleOut, d.layerOut)
		}
		d.layerOut = d.layerOut[:0]
		return true
	}
	// The same until the end, and then one alert, though perhaps another one.
	if !bytes.HasPrefix(oracleOut, d.layerOut) {
		t.Fatalf("crypto/tls writes % x, the layer % x", oracleOut, d.layerOut)
	}
	pending := d.layer.AppendPending(nil)
	if _, ok := d.layerErr.(Violation); ok != (len(pending) == Overhead+alertLen) {
		t.Fatalf("after %v the layer writes % x", d.layerErr, pending)
	}
	return false
}

// stricter fails the test unless there is a reason why the layer alone has
// refused what came last.
func (d *duel) stricter(t *testing.T) {
	t.Helper()
	switch d.layerErr {
	case NotProtected, RecordType, RecordTooLong, RecordVersion:
		// Said by the header, for which crypto/tls waits longer. A
		// change_cipher_spec it ignores, in the clear and at any time; RFC
		// 8446 section 5 forbids it after the handshake.
		d.feedOracle(make([]byte, RecordMaxTLS12))
		if d.oracleErr == nil {
			t.Fatalf("crypto/tls takes the record, the layer says %v", d.layerErr)
		}
	case HandshakeType, KeyUpdateLength:
		// Said by the first bytes. crypto/tls waits for the whole message.
		for range 20 {
			d.feedOracle(forge(&d.forger, append(make([]byte, PlaintextMax), typeHandshake)))
		}
		if d.oracleErr == nil {
			t.Fatalf("crypto/tls takes the message, the layer says %v", d.layerErr)
		}
	case NoContentType:
		// crypto/tls takes no content and no type for empty data; RFC 8446
		// section 5.4 wants a type.
		if d.lastLen != RecordHeader+tagLen {
			t.Fatalf("crypto/tls takes a record of %d bytes, the layer says %v", d.lastLen, d.layerErr)
		}
	default:
		t.Fatalf("crypto/tls goes on, the layer says %v", d.layerErr)
	}
}

// record makes one record as the script says. Whoever has the keys may seal
// anything.
func (d *duel) record(s *script) []byte {
	switch op := s.byte(); op % 8 {
	case 0: // data, with padding
		return forge(&d.forger, slices.Concat(pattern(min(s.size(), PlaintextMax), byte(op)),
			[]byte{typeApplicationData}, make([]byte, s.size()%300)))
	case 1: // KeyUpdate in one piece
		record := forgeType(&d.forger, typeHandshake, keyUpdate(s.byte()%2 == 0)...)
		d.forger.rekey()
		return record
	case 2: // KeyUpdate in pieces
		message := keyUpdate(s.byte()%2 == 0)
		n := 1 + s.byte()%4
		records := slices.Concat(forgeType(&d.forger, typeHandshake, message[:n]...),
			forgeType(&d.forger, typeHandshake, message[n:]...))
		d.forger.rekey()
		return records
	case 3: // an alert
		return forgeType(&d.forger, typeAlert, byte(s.byte()), byte(s.byte()))
	case 4: // any content of any type
		content := make([]byte, s.byte()%8)
		for i := range content {
			content[i] = byte(s.byte())
		}
		return forgeType(&d.forger, byte(s.byte()), content...)
	case 5: // a handshake message, whole or not
		content := []byte{byte(s.byte()), 0, 0, byte(s.byte())}
		return forgeType(&d.forger, typeHandshake, append(content, make([]byte, s.byte())...)...)
	case 6: // any size, with or without content
		inner := make([]byte, min(s.size(), PlaintextMax+300))
		if len(inner) > 0 {
			inner[0] = byte(s.byte())
		}
		return forge(&d.forger, inner)
	default: // not sealed: header and body as they come
		record := []byte{byte(s.byte()), byte(s.byte()), byte(s.byte()), 0, 0}
		n := s.byte() % 32
		binary.BigEndian.PutUint16(record[3:], uint16(n))
		for range n {
			record = append(record, byte(s.byte()))
		}
		return record
	}
}

// FuzzAgainstServer: whatever comes from the client, forged, altered, lost,
// repeated or out of order, a Layer reads, refuses and answers as a tls.Conn with
// the same keys, but for the cases of stricter; and both write the same bytes.
func FuzzAgainstServer(f *testing.F) {
	for which := range byte(3) {
		for _, ops := range []string{
			"\x00\x00\x05\x00\x00\x00\x00\x7f\x09",         // data, padded data
			"\x00\x00\xbf\x00\x00\x00\x00\xc0\x00\x00",     // around the largest record
			"\x00\x01\x00\x00\x00\x05\x00\x08\x09",         // KeyUpdate, data, write
			"\x00\x02\x00\x01\x00\x02\x01\x03\x08\x40",     // KeyUpdates in pieces
			"\x00\x03\x01\x5a\x00\x03\x01\x00",             // user_canceled, close_notify
			"\x00\x03\x02\x2a",                             // an alert
			"\x00\x04\x05\x18\x00\x00\x01\x02\x16",         // KeyUpdate that asks 2
			"\x00\x04\x00\x17\x00\x04\x00\x17",             // empty data
			"\x00\x05\x04\x40\x20",                         // a ticket of the client
			"\x00\x05\x18\x01\x02",                         // KeyUpdate with a tail
			"\x00\x06\x00\x00\x06\x05\x00",                 // no type
			"\x00\x07\x14\x03\x03\x01\x01",                 // change_cipher_spec
			"\x00\x07\x15\x03\x03\x02\x01\x00",             // an alert in the clear
			"\x01\x00\x05\x00\x07\x01",                     // a bit is turned
			"\x02\x00\x05\x00\x00\x00\x05\x00",             // lost
			"\x03\x00\x05\x00",                             // repeated
			"\x04\x00\x05\x00\x00\x00\x06\x00",             // out of order
			"\x04\x03\x02\x2a\x07\x05",                     // an alert behind a write
			"\x05\x00\x05\x00\x03\x00\x00\x05\x00",         // cut
			"\x06\x00\x05\x00\x04\x01",                     // another length
			"\x07\x05\x07\xff\x07\x07\x07\x80\x00\x00\x09", // writes
		} {
			f.Add(which, which != 1, []byte(ops))
		}
		// Useless records, just as many as are borne, and one more.
		borne := bytes.Repeat([]byte("\x00\x04\x00\x17"), uselessMax)
		f.Add(which, true, slices.Concat(borne, []byte("\x00\x00\x05\x00")))
		f.Add(which, true, slices.Concat(borne, []byte("\x00\x04\x00\x17")))
		f.Add(which, true, bytes.Repeat([]byte("\x00\x01\x00"), uselessMax+1))
	}
	f.Fuzz(func(t *testing.T, which byte, tickets bool, ops []byte) {
		d := newDuel(t, which, tickets)
		s := script(ops)
		var held []byte
		for range stepsMax {
			if len(s) == 0 {
				break
			}
			var wire []byte
			switch how := s.byte(); how % 8 {
			case 7:
				data := pattern(s.size(), byte(how))
				if _, err := d.server.Write(data); err != nil {
					t.Fatal(err)
				}
				d.layerOut = d.layer.Seal(d.layerOut, data)
			case 4:
				held = append(held, d.record(&s)...)
				continue
			default:
				wire = alter(d.record(&s), how%8, &s)
			}
			d.feed(append(wire, held...))
			held = nil
			if !d.compare(t) {
				return
			}
		}
	})
}

// alter does to a record what may happen to it on its way.
func alter(record []byte, how int, s *script) []byte {
	switch how {
	case 1: // a bit is turned
		record[(s.byte()<<8+s.byte())%len(record)] ^= 1 << (s.byte() % 8)
	case 2: // lost
		return nil
	case 3: // repeated
		return append(record, record...)
	case 5: // cut
		return record[:len(record)-s.byte()%len(record)]
	case 6: // another length
		record[3+s.byte()%2] = byte(s.byte())
	}
	return record
}
