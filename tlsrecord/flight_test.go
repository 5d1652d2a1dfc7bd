package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
)

// What crypto/tls writes in a handshake: the tickets are counted, whatever
// comes before them, and the layer goes on where it stopped.
func TestWritten(t *testing.T) {
	// With client certificates, tickets come after the client's Finished.
	for _, tt := range []struct {
		name   string
		change func(*tls.Config)
		want   uint64
	}{
		{"ticket", nil, 1},
		{"no ticket", func(c *tls.Config) { c.SessionTicketsDisabled = true }, 0},
		{"client certificate", func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }, 1},
		{"hello retry", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSuite(t, func(t *testing.T, id uint16) {
				p := handshake(t, id, nil, tt.change)
				written, err := Written(id, p.secrets.Server, p.flight)
				if written != tt.want || err != nil {
					t.Fatalf("%d records, %v; want %d", written, err, tt.want)
				}
				flight := bytes.Clone(p.flight)
				p.toClient.Write(p.layer(t).Seal(nil, []byte("hello")))
				buf := make([]byte, 10)
				n, err := p.client.Read(buf)
				if string(buf[:n]) != "hello" || err != nil {
					t.Errorf("the client reads %q, %v", buf[:n], err)
				}
				if !bytes.Equal(flight, p.flight) {
					t.Error("the flight was changed")
				}
			})
		})
	}
}

func TestWrittenCountsAndRefuses(t *testing.T) {
	p := handshake(t, someSuite, nil, nil)
	h := half{suite: suiteByID(someSuite)}
	if err := h.setSecret(p.secrets.Server); err != nil {
		t.Fatal(err)
	}
	records := cut(t, p.flight)
	last := len(records) - 1 // the ticket
	h.seq = 1
	more := [][]byte{forgeType(&h, typeHandshake, 4), forgeType(&h, typeHandshake, 4)}
	flight := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	secret := p.secrets.Server
	for _, tt := range []struct {
		name   string
		suite  uint16
		secret []byte
		flight []byte
		want   uint64
		err    error
	}{
		{"as it was", someSuite, secret, p.flight, 1, nil},
		{"nothing", someSuite, secret, nil, 0, nil},
		{"without the ticket", someSuite, secret, flight(records[:last]), 0, nil},
		{"two tickets", someSuite, secret, flight(records, more[:1]), 2, nil},
		{"three tickets", someSuite, secret, flight(records, more), 3, nil},
		{"only tickets", someSuite, secret, flight(records[last:], more), 3, nil},
		{"client's secret", someSuite, p.secrets.Client, p.flight, 0, nil},
		{"lost ticket", someSuite, secret, flight(records, more[1:]), 0, ErrFlight},
		{"swapped tickets", someSuite, secret, flight(records, more[1:], more[:1]), 0, ErrFlight},
		{"repeated ticket", someSuite, secret, flight(records, records[last:]), 0, ErrFlight},
		{"handshake after a ticket", someSuite, secret, flight(records, records[:1]), 0, ErrFlight},
		{"half a record", someSuite, secret, p.flight[:len(p.flight)-1], 0, ErrFlight},
		{"half a header", someSuite, secret, p.flight[:3], 0, ErrFlight},
		{"no records", someSuite, secret, []byte("HTTP/1.1 400"), 0, ErrFlight},
		{"suite", 0x1304, secret, p.flight, 0, ErrSuite},
		{"secret", someSuite, secret[:31], p.flight, 0, ErrSecret},
	} {
		written, err := Written(tt.suite, tt.secret, tt.flight)
		if written != tt.want || err != tt.err {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, written, err, tt.want, tt.err)
		}
	}
}

func TestSecrets(t *testing.T) {
	var s Secrets
	for _, line := range []string{
		"SERVER_HANDSHAKE_TRAFFIC_SECRET 00 0102\n",
		"CLIENT_RANDOM 00 0102\n",
		"CLIENT_TRAFFIC_SECRET_0 00\n",
		"CLIENT_TRAFFIC_SECRET_0 00 01 02\n",
		"CLIENT_TRAFFIC_SECRET_0 00 012\n",
		"CLIENT_TRAFFIC_SECRET_1 00 0102\n",
		"\n",
		"",
	} {
		if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	if s.Client != nil || s.Server != nil {
		t.Errorf("secrets % x and % x", s.Client, s.Server)
	}
	line := []byte("CLIENT_TRAFFIC_SECRET_0 00 0102\n")
	s.Write(line)
	clear(line)
	s.Write([]byte("SERVER_TRAFFIC_SECRET_0 00 FF03\n"))
	if string(s.Client) != "\x01\x02" || string(s.Server) != "\xff\x03" {
		t.Errorf("secrets % x and % x", s.Client, s.Server)
	}
}

// Data that the client sends in one piece with its Finished does not disappear
// in the tls.Conn of the handshake.
func TestNothingIsReadBeyondFinished(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		p := handshake(t, id, []byte("at once"), nil)
		if got := openAll(t, p.layer(t), p.toServer.take()); string(got) != "at once" {
			t.Errorf("the layer reads %q", got)
		}
	})
}
