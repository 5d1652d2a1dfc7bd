//go:build !linux

package bench

import (
	"errors"
	"net/netip"
	"os/exec"
	"time"
)

var (
	errAgain = errors.New("not ready")
	errLinux = errors.New("bench needs Linux: epoll and /proc")
)

type poller struct{}

func newPoller() (*poller, error) { return nil, errLinux }

func (p *poller) close()                                    {}
func (p *poller) watch(fd int, in, out, first bool) error   { return errLinux }
func (p *poller) wait(until time.Time) (int, error)         { return 0, errLinux }
func (p *poller) event(i int) (fd int, in, out bool)        { return -1, false, false }
func dialTCP(netip.Addr, netip.AddrPort, bool) (int, error) { return -1, errLinux }
func acceptFD(int) (int, error)                             { return -1, errLinux }
func duplicateFD(int) (int, error)                          { return -1, errLinux }
func readFD(fd int, p []byte) (int, error)                  { return 0, errLinux }
func writeFD(fd int, p []byte) (int, error)                 { return 0, errLinux }
func closeFD(fd int)                                        {}
func abortFD(fd int)                                        {}

func cpuTime(pid int) (time.Duration, error) { return 0, errLinux }
func machineBusy() (time.Duration, error)    { return 0, errLinux }
func userMemory(pid int) (uint64, error)     { return 0, errLinux }
func slab() (uint64, error)                  { return 0, errLinux }
func availableMemory() (uint64, error)       { return 0, errLinux }
func socketMemory() (b, n uint64, err error) { return 0, 0, errLinux }
func droppedPackets() (uint64, error)        { return 0, errLinux }
func descriptors(pid int) (int, error)       { return 0, errLinux }
func kernelRelease() string                  { return "unknown" }
func descriptorLimit() uint64                { return 0 }
func tieToParent(cmd *exec.Cmd)              {}

// Spin is for Linux only.
func Spin() error { return errLinux }
