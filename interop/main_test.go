package interop

import (
	"flag"
	"os"
	"testing"
)

// parallelTests is how many tests run at a time where they say that they may:
// most of them wait for timers, so the number of processors is no measure.
const parallelTests = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
