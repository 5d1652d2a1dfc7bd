package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of /proc/stat, fixed for user space (USER_HZ,
// proc(5)).
const ticksPerSecond = 100

// cpuTime is the CPU time that a process has used, user and system, all its
// threads including ended ones, in nanoseconds of the scheduler rather than
// ticks. The clock id is the one of clock_getcpuclockid(3).
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedulerClock, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// machineBusy is the CPU time that all processes of the machine have used.
func machineBusy() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	var ticks uint64
	// user, nice, system, then idle and iowait, which are not work, then irq,
	// softirq and steal; guest time is in user already.
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// userMemory is the anonymous resident memory of a process in bytes, without the pages of files
// that it maps: what grows with connections and buffers.
func userMemory(pid int) (uint64, error) {
	kib, err := procField(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous:")
	return kib << 10, err
}

// slab is the kernel memory of the machine in slabs: where sockets live.
func slab() (uint64, error) {
	kib, err := procField("/proc/meminfo", "Slab:")
	return kib << 10, err
}

// availableMemory is what processes of the machine can still have, in bytes.
func availableMemory() (uint64, error) {
	kib, err := procField("/proc/meminfo", "MemAvailable:")
	return kib << 10, err
}

// socketMemory is the kernel memory of all TCP buffers of the machine, in bytes,
// and sockets the number of TCP sockets that are in use.
func socketMemory() (bytes, sockets uint64, err error) {
	raw, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var orphan, waiting, all, pages uint64
		if n, _ := fmt.Sscanf(line, "TCP: inuse %d orphan %d tw %d alloc %d mem %d", &sockets,
			&orphan, &waiting, &all, &pages); n == 5 {
			return pages * uint64(os.Getpagesize()), sockets, nil
		}
	}
	return 0, 0, errors.New("/proc/net/sockstat: no line of TCP")
}

// droppedPackets is how many packets the machine has dropped because the queue
// of a core was full (net.core.netdev_max_backlog). On loopback these are
// anybody's packets, and nobody is told.
func droppedPackets() (uint64, error) {
	raw, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, err
	}
	var all uint64
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			return 0, errors.New("/proc/net/softnet_stat: short line")
		}
		n, err := strconv.ParseUint(f[1], 16, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/net/softnet_stat: %w", err)
		}
		all += n
	}
	return all, nil
}

// procField reads "NAME  NUMBER ..." from a file of /proc.
func procField(path, name string) (uint64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(raw) {
		f := bytes.Fields(line)
		if len(f) >= 2 && string(f[0]) == name {
			return strconv.ParseUint(string(f[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no line %q", path, name)
}

// descriptors counts the open descriptors of a process.
func descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// kernelRelease is the release of the running kernel.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// descriptorLimit is how many descriptors this process may open.
func descriptorLimit() uint64 {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	return lim.Cur
}

// tieToParent ends cmd when this process dies without having stopped it.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

// Spin keeps one core from halting by turning in place in the scheduler's idle
// class, until it is killed. Anything else that wants the core gets it at once.
// Latency of a single pair is taken beside one such process per core: on a
// virtual machine a halted core costs tens of microseconds to wake, which
// would be measured instead of the gateway.
func Spin() error {
	runtime.LockOSThread()
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("enter the idle class: %w", err)
	}
	if os.Getppid() == 1 {
		return errors.New("the process that wanted to spin is gone")
	}
	for turns := 0; ; turns++ {
	}
}
