package rendezvous

import (
	"fmt"
	"testing"
)

func BenchmarkPick(b *testing.B) {
	for _, listeners := range []int{1, 25, 1000} {
		b.Run(fmt.Sprint("listeners=", listeners), func(b *testing.B) {
			table := newTable(Config{})
			for i := range listeners {
				name := fmt.Sprint("l", i)
				_, _, _ = table.Register("ns/e", name, listeners, name)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = table.Pick("ns/e", Filter{}, nil)
				}
			})
		})
	}
}

func BenchmarkPickFiltered(b *testing.B) {
	table := newTable(Config{})
	for i := range 25 {
		name := fmt.Sprintf("2f6c2f6e-0000-4000-8000-%012d", i)
		_, _, _ = table.Register("ns/e", name, 25, name)
	}
	f := Filter{Allowed: []string{"2F6C2F6E-0000-4000-8000-000000000007"}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = table.Pick("ns/e", f, nil)
	}
}

// BenchmarkReserveClaim is one connection request on its own and beside a full
// house of senders that wait.
func BenchmarkReserveClaim(b *testing.B) {
	for _, waiting := range []int{0, DefaultPendingMax - 16} {
		b.Run(fmt.Sprint("waiting=", waiting), func(b *testing.B) {
			table := newTable(Config{})
			for i := range waiting {
				_, _ = table.Reserve(i, epoch)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id, err := table.Reserve(1, epoch)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = table.Claim(id, epoch)
				}
			})
		})
	}
}

func BenchmarkRegisterUnregister(b *testing.B) {
	table := newTable(Config{})
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = table.Register("ns/e", "2f6c2f6e-0000-4000-8000-000000000001", 25, "l")
		table.Unregister("ns/e", "2f6c2f6e-0000-4000-8000-000000000001", "l")
	}
}
