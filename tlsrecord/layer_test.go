package tlsrecord

import (
	"bytes"
	"crypto/cipher"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

const someSuite = tls.TLS_AES_128_GCM_SHA256

func TestNewRefuses(t *testing.T) {
	secret := make([]byte, 48)
	for _, tt := range []struct {
		name        string
		suite       uint16
		read, write []byte
		written     uint64
		want        error
	}{
		{"TLS 1.2 suite", 0xc02f, secret[:32], secret[:32], 0, ErrSuite},
		{"AES-CCM", 0x1304, secret[:32], secret[:32], 0, ErrSuite},
		{"no read secret", someSuite, nil, secret[:32], 0, ErrSecret},
		{"no write secret", someSuite, secret[:32], nil, 0, ErrSecret},
		{"short secret", tls.TLS_AES_256_GCM_SHA384, secret[:32], secret, 0, ErrSecret},
		{"long secret", tls.TLS_CHACHA20_POLY1305_SHA256, secret[:32], secret, 0, ErrSecret},
		{"spent key", someSuite, secret[:32], secret[:32], recordsMax, ErrWritten},
		{"nearly spent key", someSuite, secret[:32], secret[:32], recordsMax - 1, nil},
	} {
		l, err := New(tt.suite, tt.read, tt.write, tt.written)
		if err != tt.want || (l == nil) != (err != nil) {
			t.Errorf("%s: %v, %v; want %v", tt.name, l != nil, err, tt.want)
		}
	}
}

// What one end seals the other opens: in dst, behind what is there, in the place
// of the record, and by a copy.
func TestSealOpen(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		server, client := layers(t, id)
		for _, n := range []int{0, 1, 15, 16, 17, 1000, PlaintextMax - 1, PlaintextMax, PlaintextMax + 1,
			3*PlaintextMax + 5} {
			data := pattern(n, byte(n))
			wire := client.Seal([]byte("head"), data)
			if string(wire[:4]) != "head" || len(wire)-4 > SealMax(n) {
				t.Fatalf("%d bytes: %d on the wire, SealMax %d", n, len(wire)-4, SealMax(n))
			}
			wire = wire[4:]
			if want := n + (n+PlaintextMax-1)/PlaintextMax*Overhead; len(wire) != want {
				t.Errorf("%d bytes: %d on the wire, want %d", n, len(wire), want)
			}
			if got := openAll(t, server, wire); !bytes.Equal(got, data) {
				t.Fatalf("%d bytes: other data", n)
			}
		}
		want := []byte("kept, new")
		for name, dst := range map[string][]byte{
			"no room":       append(make([]byte, 0, 5), "kept,"...),
			"room for data": append(make([]byte, 0, 9), "kept,"...),
			"room":          append(make([]byte, 0, 100), "kept,"...),
		} {
			got, err := server.Open(dst, client.Seal(nil, []byte(" new")))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		record := client.Seal(nil, []byte("in place"))
		got, err := server.Open(record[RecordHeader:RecordHeader], record)
		if err != nil || string(got) != "in place" || &got[0] != &record[RecordHeader] {
			t.Errorf("in place: %q, %v", got, err)
		}
	})
}

// violationTests are records that a client may seal, one connection each, and
// what comes of them.
var violationTests = []struct {
	name  string
	inner [][]byte // TLSInnerPlaintext of each record
	want  error    // of the last; those before are good
	data  string
}{
	{"data", [][]byte{[]byte("data\x17")}, nil, "data"},
	{"zeros are data", [][]byte{[]byte("\x00\x00\x17")}, nil, "\x00\x00"},
	{"padded", [][]byte{[]byte("data\x17\x00\x00\x00")}, nil, "data"},
	{"full and padded", [][]byte{append(pattern(PlaintextMax-9, 1), "\x17\x00\x00\x00\x00"+
		"\x00\x00\x00\x00\x00"...)}, nil, string(pattern(PlaintextMax-9, 1))},
	{"full", [][]byte{append(pattern(PlaintextMax, 1), 0x17)}, nil, string(pattern(PlaintextMax, 1))},
	{"over the limit", [][]byte{append(pattern(PlaintextMax+1, 1), 0x17)}, RecordTooLong, ""},
	{"padded over the limit", [][]byte{append([]byte("data\x17"), make([]byte, PlaintextMax)...)},
		RecordTooLong, ""},
	{"largest record", [][]byte{make([]byte, PlaintextMax+256-tagLen)}, RecordTooLong, ""},
	{"larger record", [][]byte{make([]byte, PlaintextMax+257-tagLen)}, RecordTooLong, ""},
	{"nothing", [][]byte{{}}, NoContentType, ""},
	{"only padding", [][]byte{make([]byte, 100)}, NoContentType, ""},
	{"full of padding", [][]byte{make([]byte, PlaintextMax+1)}, NoContentType, ""},
	{"empty", [][]byte{{0x17}}, nil, ""},
	{"empty and padded", [][]byte{{0x17, 0, 0, 0}}, nil, ""},
	{"16 empty", slices.Repeat([][]byte{{0x17}}, 16), nil, ""},
	{"17 empty", slices.Repeat([][]byte{{0x17}}, 17), UselessRecords, ""},
	{"empty ones among data", slices.Concat(slices.Repeat([][]byte{{0x17}}, 16),
		[][]byte{[]byte("a\x17")}, slices.Repeat([][]byte{{0x17}}, 16)), nil, "a"},
	{"empty ones beyond data", slices.Concat(slices.Repeat([][]byte{{0x17}}, 16),
		[][]byte{[]byte("a\x17")}, slices.Repeat([][]byte{{0x17}}, 17)), UselessRecords, "a"},

	{"close_notify", [][]byte{{1, 0, 0x15}}, io.EOF, ""},
	{"close_notify, called fatal", [][]byte{{2, 0, 0x15}}, io.EOF, ""},
	{"close_notify, padded", [][]byte{{1, 0, 0x15, 0}}, io.EOF, ""},
	{"user_canceled", [][]byte{{1, 90, 0x15}, []byte("a\x17")}, nil, "a"},
	{"user_canceled, close_notify", [][]byte{{1, 90, 0x15}, {1, 0, 0x15}}, io.EOF, ""},
	{"17 user_canceled", slices.Repeat([][]byte{{1, 90, 0x15}}, 17), UselessRecords, ""},
	{"alert", [][]byte{{2, 42, 0x15}}, PeerAlert(42), ""},
	{"alert, called a warning", [][]byte{{1, 42, 0x15}}, PeerAlert(42), ""},
	{"unknown alert", [][]byte{{0, 255, 0x15}}, PeerAlert(255), ""},
	{"empty alert", [][]byte{{0x15}}, EmptyContent, ""},
	{"half an alert", [][]byte{{1, 0x15}}, AlertLength, ""},
	{"two alerts", [][]byte{{1, 90, 1, 90, 0x15}}, AlertLength, ""},

	{"KeyUpdate, 4 then 1", [][]byte{{24, 0, 0, 1, 0x16}, {1, 0x16}}, nil, ""},
	{"KeyUpdate, 5 parts", [][]byte{{24, 0x16}, {0, 0x16}, {0, 0x16}, {1, 0x16}, {0, 0x16}}, nil, ""},
	{"part, then data", [][]byte{{24, 0x16}, []byte("a\x17")}, Interleaved, ""},
	{"part, then nothing", [][]byte{{24, 0x16}, {0x17}}, Interleaved, ""},
	{"part, then close_notify", [][]byte{{24, 0x16}, {1, 0, 0x15}}, Interleaved, ""},
	{"part, then empty handshake", [][]byte{{24, 0x16}, {0x16}}, EmptyContent, ""},
	{"empty handshake", [][]byte{{0x16}}, EmptyContent, ""},
	{"KeyUpdate with a tail", [][]byte{{24, 0, 0, 1, 0, 24, 0x16}}, KeyUpdateNotLast, ""},
	{"two KeyUpdates in one record", [][]byte{{24, 0, 0, 1, 0, 24, 0, 0, 1, 0, 0x16}},
		KeyUpdateNotLast, ""},
	{"tail in the second part", [][]byte{{24, 0, 0x16}, {0, 1, 0, 24, 0x16}}, KeyUpdateNotLast, ""},
	{"KeyUpdate asks 2", [][]byte{{24, 0, 0, 1, 2, 0x16}}, KeyUpdateRequest, ""},
	{"KeyUpdate asks 255", [][]byte{{24, 0, 0, 1, 255, 0x16}}, KeyUpdateRequest, ""},
	{"empty KeyUpdate", [][]byte{{24, 0, 0, 0, 0x16}}, KeyUpdateLength, ""},
	{"KeyUpdate of 2 bytes", [][]byte{{24, 0, 0, 2, 0, 0, 0x16}}, KeyUpdateLength, ""},
	{"KeyUpdate of 257 bytes", [][]byte{{24, 0, 1, 0x16}}, KeyUpdateLength, ""},
	{"KeyUpdate of 16 MiB", [][]byte{{24, 255, 0x16}}, KeyUpdateLength, ""},
	{"client hello", [][]byte{{1, 0x16}}, HandshakeType, ""},
	{"hello request", [][]byte{{0, 0, 0, 0, 0x16}}, HandshakeType, ""},
	{"session ticket", [][]byte{{4, 0, 0, 100, 0x16}}, HandshakeType, ""},
	{"certificate", [][]byte{{11, 255, 255, 255, 0x16}}, HandshakeType, ""},

	{"change_cipher_spec", [][]byte{{1, 0x14}}, ContentType, ""},
	{"heartbeat", [][]byte{{1, 24}}, ContentType, ""},
	{"unknown content", [][]byte{{1, 255}}, ContentType, ""},
}

func TestOpen(t *testing.T) {
	for _, tt := range violationTests {
		t.Run(tt.name, func(t *testing.T) {
			server, client := layers(t, someSuite)
			var data []byte
			for i, inner := range tt.inner {
				record := forge(&client.out, inner)
				got, err := server.Open(data, record)
				if len(got) < len(data) {
					t.Fatalf("record %d: dst became shorter", i)
				}
				data = got
				want := error(nil)
				if i == len(tt.inner)-1 {
					want = tt.want
				}
				if err != want {
					t.Fatalf("record %d: %v, want %v", i, err, want)
				}
			}
			if string(data) != tt.data {
				t.Errorf("data %.20q, want %.20q", data, tt.data)
			}
			checkBroken(t, server, client, tt.want)
		})
	}
}

// checkBroken checks what is left of a layer after the error: it says it again,
// whatever comes; its alert is sent once, and nothing after it.
func checkBroken(t *testing.T, l, peer *Layer, want error) {
	t.Helper()
	if want == nil {
		return
	}
	record := client1(peer)
	if got, err := l.Open([]byte("kept"), record); err != want || string(got) != "kept" {
		t.Errorf("after the error: %q, %v", got, err)
	}
	if n, err := l.RecordLen([]byte{23, 3, 3, 0, 20}); n != 0 || err != want {
		t.Errorf("RecordLen after the error: %d, %v", n, err)
	}
	pending := l.AppendPending(nil)
	v, isViolation := want.(Violation)
	switch {
	case isViolation:
		if len(pending) > PendingMax {
			t.Errorf("%d bytes pending, PendingMax %d", len(pending), PendingMax)
		}
		if _, err := peer.Open(nil, pending); err != PeerAlert(v.Alert()) {
			t.Errorf("the peer reads %v, want alert %d", err, v.Alert())
		}
	case len(pending) > 0:
		t.Errorf("pending after %v: % x", want, pending)
	}
	if more := l.AppendPending(nil); len(more) > 0 {
		t.Errorf("pending twice: % x", more)
	}
	written := l.Seal(nil, []byte("data"))
	if closing := l.AppendCloseNotify(nil); want == io.EOF {
		if got := openAll(t, peer, written); string(got) != "data" {
			t.Errorf("half closed, the peer reads %q", got)
		}
		if _, err := peer.Open(nil, closing); err != io.EOF {
			t.Errorf("close_notify: %v", err)
		}
	} else if len(written)+len(closing) > 0 {
		t.Errorf("written after the end: % x % x", written, closing)
	}
}

// client1 seals one more record of data for the peer of l.
func client1(l *Layer) []byte { return forgeType(&l.out, typeApplicationData, 'x') }

// What is wrong with the header is said without the record.
func TestHeaders(t *testing.T) {
	for _, tt := range []struct {
		header  string
		n       int // of RecordLen
		err     error
		layer   int // of Layer.RecordLen
		layered error
	}{
		{"\x17\x03\x03\x00\x00", 5, nil, 5, nil},
		{"\x17\x03\x03\x40\x00rest", 16389, nil, 16389, nil},
		{"\x17\x03\x03\x41\x00", RecordMax, nil, RecordMax, nil},
		{"\x17\x03\x03\x41\x01", RecordMax + 1, nil, 0, RecordTooLong},
		{"\x17\x03\x03\x48\x00", RecordMaxTLS12, nil, 0, RecordTooLong},
		{"\x17\x03\x03\x48\x01", 0, RecordTooLong, 0, RecordTooLong},
		{"\x17\x03\x03\xff\xff", 0, RecordTooLong, 0, RecordTooLong},
		{"\x17\x03\x01\x00\x20", 37, nil, 0, RecordVersion},
		{"\x17\x03\x04\x00\x20", 37, nil, 0, RecordVersion},
		{"\x17\x02\x03\x00\x20", 0, RecordVersion, 0, RecordVersion},
		{"\x17\x04\x03\x00\x20", 0, RecordVersion, 0, RecordVersion},
		{"\x16\x03\x01\x02\x00", 517, nil, 0, NotProtected},
		{"\x15\x03\x03\x00\x02", 7, nil, 0, NotProtected},
		{"\x14\x03\x03\x00\x01", 6, nil, 0, NotProtected},
		{"\x13\x03\x03\x00\x01", 0, RecordType, 0, RecordType},
		{"\x18\x03\x03\x00\x01", 0, RecordType, 0, RecordType},
		{"\x80\x2e\x01\x00\x02", 0, RecordType, 0, RecordType},
		{"GET /", 0, RecordType, 0, RecordType},
		{"\x17\x03\x03\x00", 0, RecordCut, 0, RecordCut},
		{"", 0, RecordCut, 0, RecordCut},
	} {
		if n, err := RecordLen([]byte(tt.header)); n != tt.n || err != tt.err {
			t.Errorf("RecordLen(%x) = %d, %v; want %d, %v", tt.header, n, err, tt.n, tt.err)
		}
		server, client := layers(t, someSuite)
		if n, err := server.RecordLen([]byte(tt.header)); n != tt.layer || err != tt.layered {
			t.Errorf("Layer.RecordLen(%x) = %d, %v; want %d, %v", tt.header, n, err, tt.layer, tt.layered)
		}
		checkBroken(t, server, client, tt.layered)
		if tt.layered != nil {
			server, client = layers(t, someSuite)
			if _, err := server.Open(nil, []byte(tt.header)); err != tt.layered {
				t.Errorf("Open(%x): %v, want %v", tt.header, err, tt.layered)
			}
			checkBroken(t, server, client, tt.layered)
		}
	}
}

// A record that is cut, longer, altered, lost, repeated or out of order is an
// error, and no data comes of it.
func TestAlteredRecords(t *testing.T) {
	type alteration struct {
		name string
		f    func(records [][]byte) [][]byte
	}
	const at = 2 // the record that is altered
	data := []byte("some data")
	alterations := []alteration{
		{"lost", func(r [][]byte) [][]byte { return slices.Delete(r, at, at+1) }},
		{"repeated", func(r [][]byte) [][]byte { return slices.Insert(r, at, slices.Clone(r[at])) }},
		{"repeated later", func(r [][]byte) [][]byte {
			return slices.Insert(r, at+2, slices.Clone(r[at]))
		}},
		{"swapped", func(r [][]byte) [][]byte { r[at], r[at+1] = r[at+1], r[at]; return r }},
		{"longer", func(r [][]byte) [][]byte { r[at] = append(r[at], 0); return r }},
		{"longer, header too", func(r [][]byte) [][]byte {
			r[at] = append(r[at], 0)
			r[at][4]++
			return r
		}},
		{"two in one", func(r [][]byte) [][]byte {
			r[at] = append(r[at], r[at+1]...)
			return slices.Delete(r, at+1, at+2)
		}},
	}
	for i := range len(data) + Overhead {
		alterations = append(alterations,
			alteration{fmt.Sprint("cut at ", i), func(r [][]byte) [][]byte { r[at] = r[at][:i]; return r }},
			alteration{fmt.Sprint("cut at ", i, ", header too"), func(r [][]byte) [][]byte {
				r[at] = r[at][:max(i, RecordHeader)]
				r[at][4] = byte(len(r[at]) - RecordHeader)
				return r
			}})
		for bit := range 8 {
			alterations = append(alterations, alteration{fmt.Sprint("byte ", i, " bit ", bit),
				func(r [][]byte) [][]byte { r[at][i] ^= 1 << bit; return r }})
		}
	}
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, a := range alterations {
			server, client := layers(t, id)
			var records [][]byte
			for range 5 {
				records = append(records, client.Seal(nil, data))
			}
			var got []byte
			var err error
			for _, record := range a.f(records) {
				if got, err = server.Open(got, record); err != nil {
					break
				}
			}
			if _, ok := err.(Violation); !ok {
				t.Errorf("%s: %v", a.name, err)
			}
			if len(got)%len(data) != 0 || len(got)/len(data) < at || len(got)/len(data) > at+2 ||
				strings.ReplaceAll(string(got), string(data), "") != "" {
				t.Errorf("%s: data %q", a.name, got)
			}
		}
	})
}

// The keys of one direction open nothing of the other.
func TestDirections(t *testing.T) {
	server, _ := layers(t, someSuite)
	if _, err := server.Open(nil, server.Seal(nil, []byte("mirrored"))); err != BadMAC {
		t.Error(err)
	}
}

// KeyUpdates of the client, with and without a request, alone and among data.
func TestKeyUpdateFromPeer(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		server, client := layers(t, id)
		for i := range 100 {
			requested := i%3 == 0
			readSecret, writeSecret := server.in.secret, server.out.secret
			record := forgeType(&client.out, typeHandshake, keyUpdate(requested)...)
			if got, err := server.Open(nil, record); len(got) > 0 || err != nil {
				t.Fatalf("KeyUpdate %d: % x, %v", i, got, err)
			}
			client.out.rekey()
			answer := server.AppendPending(nil)
			if (len(answer) > 0) != requested || len(answer) > PendingMax {
				t.Fatalf("KeyUpdate %d: answer of %d bytes", i, len(answer))
			}
			if server.in.secret == readSecret || (server.out.secret == writeSecret) == requested {
				t.Fatalf("KeyUpdate %d: wrong secrets were renewed", i)
			}
			openAll(t, client, answer)
			got := openAll(t, server, client.Seal(nil, []byte("from client")))
			if string(got) != "from client" {
				t.Fatalf("KeyUpdate %d: the server reads %q", i, got)
			}
			got = openAll(t, client, server.Seal(nil, []byte("from server")))
			if string(got) != "from server" {
				t.Fatalf("KeyUpdate %d: the client reads %q", i, got)
			}
			if client.answer {
				t.Fatal("an answer asks for an answer")
			}
		}
	})
}

// 16 KeyUpdates in a row are obeyed, and answered with one; one more is too many.
func TestKeyUpdateFlood(t *testing.T) {
	server, client := layers(t, someSuite)
	for i := range uselessMax {
		record := forgeType(&client.out, typeHandshake, keyUpdate(true)...)
		if _, err := server.Open(nil, record); err != nil {
			t.Fatalf("KeyUpdate %d: %v", i, err)
		}
		client.out.rekey()
	}
	answer := server.AppendPending(nil)
	if len(answer) != PendingMax {
		t.Errorf("the answer has %d bytes, want %d", len(answer), PendingMax)
	}
	openAll(t, client, answer)
	openAll(t, client, server.Seal(nil, []byte("data")))
	_, err := server.Open(nil, forgeType(&client.out, typeHandshake, keyUpdate(true)...))
	if err != UselessRecords {
		t.Error(err)
	}
	checkBroken(t, server, client, UselessRecords)
}

// A KeyUpdate that asks for nothing does not take back what another asked for.
func TestKeyUpdateAnswerIsOwed(t *testing.T) {
	server, client := layers(t, someSuite)
	for _, requested := range []bool{true, false} {
		record := forgeType(&client.out, typeHandshake, keyUpdate(requested)...)
		if _, err := server.Open(nil, record); err != nil {
			t.Fatal(err)
		}
		client.out.rekey()
	}
	if answer := server.AppendPending(nil); len(answer) != PendingMax {
		t.Errorf("the answer has %d bytes, want %d", len(answer), PendingMax)
	}
}

// A record must be given alone.
func TestOpenTakesOneRecord(t *testing.T) {
	server, client := layers(t, someSuite)
	wire := client.Seal(client.Seal(nil, []byte("one")), []byte("two"))
	if _, err := server.Open(nil, wire); err != RecordCut {
		t.Error(err)
	}
	checkBroken(t, server, client, RecordCut)
}

// Keys that cannot be made end the connection, and the old ones are not used on.
func TestKeysFailed(t *testing.T) {
	broken := *suiteByID(someSuite)
	broken.aead = func([]byte) (cipher.AEAD, error) { return nil, errors.New("no keys") }

	server, client := layers(t, someSuite)
	server.in.suite = &broken
	_, err := server.Open(nil, forgeType(&client.out, typeHandshake, keyUpdate(true)...))
	if err != KeysFailed {
		t.Errorf("reading: %v", err)
	}
	checkBroken(t, server, client, KeysFailed)

	server, client = layers(t, someSuite)
	server.out.suite, server.recordsMax = &broken, 2
	wire := server.Seal(nil, make([]byte, 4*PlaintextMax))
	if got := openAll(t, client, wire); len(got) != PlaintextMax {
		t.Errorf("writing: %d bytes arrive, want those before the KeyUpdate", len(got))
	}
	if _, err := server.Open(nil, client1(client)); err != KeysFailed {
		t.Errorf("after writing: %v", err)
	}
	if more := server.AppendCloseNotify(server.Seal(nil, []byte("x"))); len(more) > 0 {
		t.Errorf("written with no key: % x", more)
	}
}

// An answer goes out before the next data, under the old key, whoever writes
// first: Seal, AppendPending or AppendCloseNotify.
func TestKeyUpdateAnswerComesFirst(t *testing.T) {
	for name, write := range map[string]func(l *Layer) []byte{
		"Seal":              func(l *Layer) []byte { return l.Seal(nil, []byte("data")) },
		"Seal of nothing":   func(l *Layer) []byte { return l.Seal(nil, nil) },
		"AppendPending":     func(l *Layer) []byte { return l.AppendPending(nil) },
		"AppendCloseNotify": func(l *Layer) []byte { return l.AppendCloseNotify(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := layers(t, someSuite)
			// Sealed before, and still in some queue when the KeyUpdate comes.
			queued := server.Seal(nil, []byte("queued"))
			server.Open(nil, forgeType(&client.out, typeHandshake, keyUpdate(true)...))
			queued = append(queued, write(server)...)
			secret := client.in.secret
			records := cut(t, queued)
			for i, record := range records[:2] {
				if _, err := client.Open(nil, record); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
			}
			if client.in.secret == secret {
				t.Error("the record behind the queue is not a KeyUpdate")
			}
			if len(records) > 2 {
				if _, err := client.Open(nil, records[2]); err != nil && err != io.EOF {
					t.Error(err)
				}
			}
			if server.answer || len(server.AppendPending(nil)) > 0 {
				t.Error("answered twice")
			}
		})
	}
}

// Nothing follows our close_notify: no answer, no alert, no data. Reading goes
// on until the client closes too.
func TestNothingAfterCloseNotify(t *testing.T) {
	server, client := layers(t, someSuite)
	closing := server.AppendCloseNotify(nil)
	if _, err := client.Open(nil, closing); err != io.EOF {
		t.Fatal(err)
	}
	record := forgeType(&client.out, typeHandshake, keyUpdate(true)...)
	if _, err := server.Open(nil, record); err != nil {
		t.Fatal(err)
	}
	client.out.rekey()
	if got := openAll(t, server, client.Seal(nil, []byte("more"))); string(got) != "more" {
		t.Errorf("data after our close_notify: %q", got)
	}
	if _, err := server.Open(nil, forgeType(&client.out, 99, 1)); err != ContentType {
		t.Error(err)
	}
	after := server.AppendCloseNotify(server.Seal(server.AppendPending(nil), []byte("data")))
	if len(after) > 0 {
		t.Errorf("after close_notify: % x", after)
	}
}

// Before a key has sealed its limit of records, Seal goes on to the next one, in
// the middle of data too, and the peer follows.
func TestSealRenewsKeys(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, limit := range []uint64{2, 3, 10} {
			server, client := layers(t, id)
			server.recordsMax = limit
			keys := map[[secretLenMax]byte]int{}
			var got, want []byte
			for i := range 20 {
				data := pattern(i*1000, byte(i))
				want = append(want, data...)
				for _, record := range cut(t, server.Seal(nil, data)) {
					keys[client.in.secret]++
					var err error
					if got, err = client.Open(got, record); err != nil {
						t.Fatalf("limit %d, call %d: %v", limit, i, err)
					}
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("limit %d: other data", limit)
			}
			for _, n := range keys {
				if uint64(n) > limit {
					t.Errorf("limit %d: %d records under one key", limit, n)
				}
			}
			if client.answer {
				t.Error("our KeyUpdate asks for an answer")
			}
		}
	})
}

// The real limit, which no test reaches by writing.
func TestSealLimit(t *testing.T) {
	if recordsMax > 23726566 {
		t.Errorf("recordsMax %d is over 2^24.5, the limit of RFC 8446 section 5.5", uint64(recordsMax))
	}
	server, client := layers(t, someSuite)
	server.out.seq, client.in.seq = recordsMax-3, recordsMax-3
	wire := server.Seal(nil, make([]byte, 4*PlaintextMax))
	if len(wire) > SealMax(4*PlaintextMax) {
		t.Errorf("%d bytes, SealMax %d", len(wire), SealMax(4*PlaintextMax))
	}
	if got := openAll(t, client, wire); len(got) != 4*PlaintextMax {
		t.Errorf("%d bytes arrived", len(got))
	}
	if server.out.seq != 2 || client.in.seq != 2 {
		t.Errorf("records under the next key: %d, %d; want 2", server.out.seq, client.in.seq)
	}
}

// A peer that never renews its keys is stopped before a number comes again.
func TestSequenceSpent(t *testing.T) {
	server, client := layers(t, someSuite)
	server.in.seq, client.out.seq = math.MaxUint64-1, math.MaxUint64-1
	if got, err := server.Open(nil, client1(client)); string(got) != "x" || err != nil {
		t.Fatalf("the last record: %q, %v", got, err)
	}
	if _, err := server.Open(nil, client1(client)); err != SequenceSpent {
		t.Fatal(err)
	}
	client.out.seq = 0
	checkBroken(t, server, client, SequenceSpent)
}

func TestViolationTexts(t *testing.T) {
	texts := map[string]bool{}
	for v := Violation(1); v < violationCount; v++ {
		if violations[v].text == "" || violations[v].alert == 0 || texts[v.Error()] {
			t.Errorf("violation %d: %q, alert %d", v, v.Error(), v.Alert())
		}
		texts[v.Error()] = true
	}
	for _, v := range []Violation{0, violationCount} {
		if v.Error() != "tls: unknown violation" || v.Alert() != alertInternalError {
			t.Errorf("%d: %v", v, v)
		}
	}
	if got := PeerAlert(42).Error(); got != "tls: peer sent alert 42" {
		t.Error(got)
	}
}
