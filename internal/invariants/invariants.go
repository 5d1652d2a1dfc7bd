package invariants

import "fmt"

// Check panics with the formatted message if ok is false and the build checks
// invariants. In other builds the compiler drops it.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
