package engine_test

import (
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/engine"
)

func TestSocketBuffers(t *testing.T) {
	type buffers struct{ send, receive int }
	for _, want := range []buffers{{64 << 10, 32 << 10}, {0, 0}} {
		j := newJoiner()
		got := make(chan buffers, 1)
		_, addr := runPort(t, engine.Config{
			Accept: func(c *engine.Conn, overloaded bool) engine.Handler {
				send, _ := unix.GetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF)
				receive, _ := unix.GetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF)
				got <- buffers{send / 2, receive / 2}
				return j.accept(c, overloaded)
			},
		}, engine.ListenConfig{SendBuffer: want.send, ReceiveBuffer: want.receive}, plain)
		dial(t, addr, 'a')
		if have := <-got; want.send != 0 && have != want || want.send == 0 && have.send == 64<<10 {
			t.Errorf("got %+v, want %+v", have, want)
		}
	}
}

// TestPostsToOneLoop posts from many goroutines to loops that sleep, work, and
// post to themselves: each task runs once, in the order of its poster.
func TestPostsToOneLoop(t *testing.T) {
	const posters, each = 8, 2000
	j := newJoiner()
	e, _ := run(t, engine.Config{Accept: j.accept, Loops: 1, ManualClock: true}) // no ticks to wake it
	l := e.Loops()[0]
	var ran [posters][]int // owned by the loop
	var done sync.WaitGroup
	done.Add(2 * posters * each)
	for p := range posters {
		go func() {
			for i := range each {
				if i%500 == 499 {
					e.Do(func(*engine.Loop) {}) // and the loop may sleep
				}
				l.Post(func(l *engine.Loop) {
					ran[p] = append(ran[p], i)
					done.Done()
					l.Post(func(*engine.Loop) { done.Done() })
				})
			}
		}()
	}
	done.Wait()
	e.Do(func(*engine.Loop) {
		for p := range posters {
			if !slices.IsSorted(ran[p]) || len(ran[p]) != each {
				t.Errorf("poster %d: %d tasks, in order %v", p, len(ran[p]), slices.IsSorted(ran[p]))
			}
		}
	})
}

func TestSparesAreBounded(t *testing.T) {
	e, _ := run(t, engine.Config{Accept: newJoiner().accept, Loops: 1})
	e.Do(func(l *engine.Loop) {
		for _, n := range []int{1, engine.SparesMax, 3 * engine.SparesMax, 2} {
			if kept, want := l.Spares(n), engine.SparesMax; kept > want || n >= want && kept != want {
				t.Errorf("%d were in use: %d are kept, want %d at most", n, kept, want)
			}
		}
	})
}

func TestTaskRoomOfABurst(t *testing.T) {
	e, _ := run(t, engine.Config{Accept: newJoiner().accept, Loops: 1, ManualClock: true})
	l := e.Loops()[0]
	begun, busy := make(chan struct{}), make(chan struct{})
	l.Post(func(*engine.Loop) {
		close(begun)
		<-busy
	})
	<-begun
	for range 100_000 {
		l.Post(func(*engine.Loop) {})
	}
	close(busy)
	for range 4 { // either array has its turn
		e.Do(func(*engine.Loop) {})
	}
	e.Do(func(l *engine.Loop) {
		if n := l.TaskRoom(); n > engine.PollBatch {
			t.Errorf("room for %d tasks is kept after a burst", n)
		}
	})
}
