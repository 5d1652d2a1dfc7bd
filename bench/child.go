package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is a process that the driver has started.
type child struct {
	cmd    *exec.Cmd
	exited chan exit // receives the child's end once
	output *tail
}

// startChild starts cmd; it does not outlive this process. What it prints is
// kept, unless cmd.Stdout says where else it goes.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, output: &tail{}, exited: make(chan exit, 1)}
	cmd.Stderr = c.output
	if cmd.Stdout == nil {
		cmd.Stdout = c.output
	}
	tieToParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() { c.exited <- exit{cmd.Wait()} }()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child with SIGTERM and checks how it ended: with status 0, or by
// the signal when it is one of those programs that do not catch it.
func (c *child) stop(bySignal bool) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil &&
		!errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop: %w", err)
	}
	select {
	case end := <-c.exited:
		if end.err != nil && (!bySignal || end.signal() != syscall.SIGTERM) {
			return fmt.Errorf("stop: %s%s", end, c.output)
		}
		return nil
	case <-time.After(stopMax):
		c.kill()
		return fmt.Errorf("stop: still running %v after SIGTERM, killed%s", stopMax, c.output)
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// An exit is how a process ended; a nil error is status 0.
type exit struct{ err error }

// signal is the one that ended the process, below zero when none did.
func (e exit) signal() syscall.Signal {
	failed, ok := errors.AsType[*exec.ExitError](e.err)
	if !ok {
		return -1
	}
	if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return -1
}

func (e exit) String() string {
	if e.err == nil {
		return "exit status 0"
	}
	return e.err.Error()
}

// A tail keeps the end of what a process prints.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - outputKept; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

// String is the kept text as the end of an error message, empty when nothing
// was printed.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return ""
	}
	return "; it printed last: " + strings.TrimSpace(string(t.kept))
}
