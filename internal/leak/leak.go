package leak

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// settle is how long what is ending may take to end.
const settle = 5 * time.Second

// Main runs the tests of a package and fails if goroutines or descriptors are
// left over, or if one of the given gauges is not zero. Call it from TestMain.
func Main(m *testing.M, gauges ...func() int64) {
	flag.Parse()
	// The runtime opens its own poller at first use; let it.
	r, w, err := os.Pipe()
	if err == nil {
		_ = r.SetDeadline(time.Now())
		_ = r.Close()
		_ = w.Close()
	}
	goroutines, fds := runtime.NumGoroutine(), descriptors()
	for _, profile := range []string{"test.cpuprofile", "test.trace"} {
		if given(profile) {
			fds++
		}
	}
	code := m.Run()
	if code == 0 && !given("test.fuzz") {
		if left := wait(goroutines, fds, gauges); left != "" {
			fmt.Fprintln(os.Stderr, "leak:", left)
			code = 1
		}
	}
	os.Exit(code)
}

// given says whether a flag of go test has a value. A process that fuzzes keeps
// the handling of signals; one that writes a profile keeps its file.
func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}

func wait(goroutines, fds int, gauges []func() int64) (left string) {
	for end := time.Now().Add(settle); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = ""
		if n := runtime.NumGoroutine(); n > goroutines {
			left += fmt.Sprintf(" %d goroutines;", n-goroutines)
		}
		if n := descriptors(); n > fds {
			left += fmt.Sprintf(" %d descriptors;", n-fds)
		}
		for i, g := range gauges {
			if n := g(); n != 0 {
				left += fmt.Sprintf(" gauge %d is %d;", i, n)
			}
		}
		if left == "" {
			return ""
		}
	}
	buf := make([]byte, 1<<16)
	return left + "\n" + string(buf[:runtime.Stack(buf, true)])
}

// descriptors counts the open file descriptors of the process, or returns 0
// where the system does not show them.
func descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}
