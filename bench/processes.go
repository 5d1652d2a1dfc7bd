package bench

import (
	"os"
	"slices"
	"time"
)

// processes are those that a target consists of, by id: one, or two when another
// program stands in front of it; none when they are not known. What they use is
// added up.
type processes []int

func (p processes) known() bool { return len(p) > 0 }

// own says that the target runs in the process of the driver, as in tests.
func (p processes) own() bool { return slices.Contains(p, os.Getpid()) }

func (p processes) cpuTime() (time.Duration, error) { return sum(p, cpuTime) }

func (p processes) userMemory() (uint64, error) { return sum(p, userMemory) }

func (p processes) descriptors() (int, error) { return sum(p, descriptors) }

// sum adds up what of says about each process; the first error ends it.
func sum[T ~int | ~int64 | ~uint64](p processes, of func(pid int) (T, error)) (all T, err error) {
	for _, pid := range p {
		one, err := of(pid)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}
