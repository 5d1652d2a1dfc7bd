package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relayhouse/relayhouse/config"
)

// successor starts this command again, so that the new process takes over from
// this one at restart.socket.
type successor struct {
	cfg         config.Config
	log         *slog.Logger
	supervision *supervision
	ended       chan error // of the process that was started; nil without one
}

// start starts the process, unless one is on its way.
func (s *successor) start() {
	switch {
	case s.cfg.Restart.Socket == "":
		s.log.Error("no restart: restart.socket is not set")
		return
	case s.ended != nil:
		s.log.Error("no restart: a new process is on its way already")
		return
	}
	path, err := program()
	if err != nil {
		s.log.Error("no restart", slog.String("error", err.Error()))
		return
	}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = successorEnv(os.Environ())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	s.supervision.reloading()
	if err := cmd.Start(); err != nil {
		s.supervision.ready()
		s.log.Error("no restart", slog.String("error", err.Error()))
		return
	}
	s.log.Info("new process started", slog.Int("pid", cmd.Process.Pid), slog.String("program", path))
	ended := make(chan error, 1)
	s.ended = ended
	go func() { ended <- cmd.Wait() }() // it outlives this process if all is well
}

// gone says that the new process has ended before it took over.
func (s *successor) gone() {
	s.ended = nil
	s.supervision.ready()
	s.log.Error("the new process ended before it took over; this one goes on")
}

// program is the file of this command: what the present one was started from,
// where an upgrade has put another file or another link meanwhile.
func program() (string, error) {
	if strings.ContainsRune(os.Args[0], filepath.Separator) {
		return filepath.Abs(os.Args[0])
	}
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		return filepath.Abs(path)
	}
	return os.Executable()
}

// successorEnv leaves out what names this process.
func successorEnv(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
			continue
		}
		kept = append(kept, e)
	}
	return kept
}
