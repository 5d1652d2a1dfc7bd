package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// loops are event loops that answer or not.
type loops struct{ stuck atomic.Bool }

func (l *loops) Answers(ctx context.Context) error {
	if l.stuck.Load() {
		<-ctx.Done()
		return errors.New("stuck")
	}
	return nil
}

// TestWatchdog: it is fed while the loops answer, not while one is stuck, and
// again when it has recovered.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // read only
	t.Setenv("NOTIFY_SOCKET", path)
	fed := func(within time.Duration) bool {
		buf := make([]byte, 100)
		_ = l.SetReadDeadline(time.Now().Add(within))
		n, err := l.Read(buf)
		return err == nil && string(buf[:n]) == "WATCHDOG=1"
	}
	const interval = 40 * time.Millisecond
	n := &loops{}
	ctx, cancel := context.WithCancel(t.Context())
	s := &supervision{log: slog.New(slog.DiscardHandler), cancel: cancel}
	s.done.Go(func() { s.feed(ctx, n, interval) })
	for range 3 {
		if !fed(10 * time.Second) {
			t.Fatal("the watchdog is not fed")
		}
	}
	n.stuck.Store(true)
	for range 3 { // what was under way
		if !fed(2 * interval) {
			break
		}
	}
	if fed(5 * interval) {
		t.Error("the watchdog is fed while a loop is stuck")
	}
	n.stuck.Store(false)
	if !fed(10 * time.Second) {
		t.Error("the watchdog is not fed any more")
	}
	s.end()
}

func TestSuccessorEnv(t *testing.T) {
	got := successorEnv([]string{"A=1", "LISTEN_FDS=2", "LISTEN_PID=3", "LISTEN_FDNAMES=a",
		"WATCHDOG_PID=4", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=/s", "LISTEN_KEY=k"})
	if want := []string{"A=1", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=/s", "LISTEN_KEY=k"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
