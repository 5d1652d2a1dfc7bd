//go:build !race

package tlsrecord

import "testing"

// Data passes without allocations, in either direction.
func TestAllocations(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		server, client := layers(t, id)
		data := make([]byte, 2*PlaintextMax)
		wire := make([]byte, 0, SealMax(len(data)))
		dst := make([]byte, 0, RecordMax)
		for name, f := range map[string]func(){
			"Seal and Open": func() {
				for rest := client.Seal(wire, data); len(rest) > 0; {
					n, err := server.RecordLen(rest)
					if err != nil {
						t.Fatal(err)
					}
					if _, err = server.Open(dst, rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
			},
			"in place": func() {
				record := client.Seal(wire, data[:1000])
				got, err := server.Open(record[RecordHeader:RecordHeader], record)
				if err != nil || len(got) != 1000 {
					t.Fatal(len(got), err)
				}
			},
			"AppendPending": func() {
				if len(server.AppendPending(dst)) > 0 {
					t.Fatal("pending")
				}
			},
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
