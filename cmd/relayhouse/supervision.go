package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/node"
)

// supervision tells systemd what the process does, if it was started by systemd
// (sd_notify(3)): READY, RELOADING, STOPPING, MAINPID, and WATCHDOG as long as
// every loop answers.
type supervision struct {
	log    *slog.Logger
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startSupervision(n *node.Node, log *slog.Logger) *supervision {
	ctx, cancel := context.WithCancel(context.Background())
	s := &supervision{log: log, cancel: cancel}
	s.ready()
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("no watchdog", slog.String("error", err.Error()))
	}
	if interval > 0 {
		s.done.Go(func() { s.feed(ctx, n, interval) })
	}
	return s
}

// answerer has every loop run a task.
type answerer interface {
	Answers(ctx context.Context) error
}

// feed says twice per interval that the process is alive, if every loop has run
// a task within that half.
func (s *supervision) feed(ctx context.Context, n answerer, interval time.Duration) {
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, interval/2)
		err := n.Answers(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("the watchdog is not fed", slog.String("error", err.Error()))
		default:
			s.notify(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *supervision) ready() { s.notify(daemon.SdNotifyReady) }

func (s *supervision) stopping() { s.notify(daemon.SdNotifyStopping) }

func (s *supervision) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	s.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// handOver makes another process the main one of the service. What this one
// says later does not count.
func (s *supervision) handOver(pid int) {
	s.end()
	s.notify(fmt.Sprintf("MAINPID=%d\n%s", pid, daemon.SdNotifyReady))
}

// end stops feeding the watchdog.
func (s *supervision) end() {
	s.cancel()
	s.done.Wait()
}

func (s *supervision) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd was not told", slog.String("error", err.Error()))
	}
}
