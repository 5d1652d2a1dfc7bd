package tlsrecord

import (
	"crypto/cipher"
	"testing"
)

// usage remembers every key and nonce that something was sealed with.
type usage map[string]int

// watched is an AEAD that counts its use.
type watched struct {
	cipher.AEAD
	key  string
	used usage
}

func (w watched) Seal(dst, nonce, plain, additional []byte) []byte {
	w.used[w.key+string(nonce)]++
	return w.AEAD.Seal(dst, nonce, plain, additional)
}

// watch makes the layer count what its writing half does, from its next key on,
// and from this one too.
func watch(t *testing.T, l *Layer) usage {
	t.Helper()
	used := usage{}
	s := *l.out.suite
	plain := s.aead
	s.aead = func(key []byte) (cipher.AEAD, error) {
		aead, err := plain(key)
		return watched{aead, string(key), used}, err
	}
	seq, secret := l.out.seq, l.out.secret
	l.out.suite = &s
	if err := l.out.setSecret(secret[:s.secretLen]); err != nil {
		t.Fatal(err)
	}
	l.out.seq = seq
	return used
}

// No key and nonce seal twice: not across data, answers to KeyUpdates, limits of
// keys, alerts and the end; and not with what the handshake has written.
func TestNoncesAreUsedOnce(t *testing.T) {
	ends := map[string]func(server, client *Layer) []byte{
		"close_notify": func(server, _ *Layer) []byte {
			return append(server.AppendCloseNotify(nil), server.AppendCloseNotify(nil)...)
		},
		"alert": func(server, client *Layer) []byte {
			server.Open(nil, forgeType(&client.out, 99, 1))
			return server.AppendPending(nil)
		},
		"alert of the peer": func(server, client *Layer) []byte {
			server.Open(nil, forgeType(&client.out, typeAlert, 2, 40))
			return server.AppendCloseNotify(nil)
		},
	}
	eachSuite(t, func(t *testing.T, id uint16) {
		for name, end := range ends {
			server, client := layers(t, id)
			server.out.seq, client.in.seq = 2, 2 // two tickets
			server.recordsMax = 7
			used := watch(t, server)
			records := 0
			count := func(wire []byte) {
				for _, record := range cut(t, wire) {
					records++
					if _, err := client.Open(nil, record); err != nil && client.err == nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
			}
			for i := range 200 {
				count(server.Seal(nil, make([]byte, i%3*PlaintextMax+i)))
				if i%5 == 0 {
					record := forgeType(&client.out, typeHandshake, keyUpdate(i%2 == 0)...)
					if _, err := server.Open(nil, record); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					client.out.rekey()
					if _, err := server.Open(nil, client1(client)); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
			}
			count(end(server, client))
			count(server.AppendPending(server.Seal(nil, []byte("late"))))
			if len(used) != records {
				t.Errorf("%s: %d records, %d pairs of key and nonce", name, records, len(used))
			}
			for pair, n := range used {
				if n != 1 {
					t.Errorf("%s: key and nonce %x were used %d times", name, pair, n)
				}
			}
			if records < 300 {
				t.Errorf("%s: only %d records", name, records)
			}
		}
	})
}

// The nonce is the iv with the number in its last eight bytes, for all numbers.
func TestNonces(t *testing.T) {
	var h half
	for i := range h.iv {
		h.iv[i] = byte(i)
	}
	for _, tt := range []struct {
		seq  uint64
		want string
	}{
		{0, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"},
		{1, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0a"},
		{0x0102030405060708, "\x00\x01\x02\x03\x05\x07\x05\x03\x0d\x0f\x0d\x03"},
		{1<<64 - 2, "\x00\x01\x02\x03\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf5"},
	} {
		h.seq = tt.seq
		if got := string(h.number()); got != tt.want || h.seq != tt.seq+1 {
			t.Errorf("number %d: %x, then %d; want %x", tt.seq, got, h.seq, tt.want)
		}
	}
}
