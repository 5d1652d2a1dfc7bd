package bench

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGateCompare(t *testing.T) {
	committed := &Gate{Figures: []GateFigure{{Name: "reads", Value: 2, Slack: 0.1},
		{Name: "calls", Value: 24, Slack: 0.5}}}
	for _, c := range []struct {
		name string
		now  []GateFigure
		ok   bool
		want string
	}{
		{"same", []GateFigure{{Name: "reads", Value: 2.05}, {Name: "calls", Value: 24}}, true, "ok"},
		{"worse", []GateFigure{{Name: "reads", Value: 2.2}, {Name: "calls", Value: 24}}, false,
			"WORSE"},
		{"better", []GateFigure{{Name: "reads", Value: 1}, {Name: "calls", Value: 24}}, true,
			"better: commit it"},
		{"new", []GateFigure{{Name: "reads", Value: 2}, {Name: "calls", Value: 24},
			{Name: "allocations", Value: 1}}, false, "NEW"},
		{"gone", []GateFigure{{Name: "reads", Value: 2}}, false, "GONE"},
		{"skipped", []GateFigure{{Name: "reads", Value: 2}, {Name: "calls", Skipped: "no strace"}},
			true, "skipped: no strace"},
	} {
		var out bytes.Buffer
		ok, err := committed.Compare(&out, &Gate{Figures: c.now})
		if err != nil || ok != c.ok || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %v, %v\n%s", c.name, ok, err, out.String())
		}
	}
}

func TestGateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.json")
	old := &Gate{Figures: []GateFigure{{Name: "calls", Value: 24, Slack: 0.5}}}
	now := &Gate{Figures: []GateFigure{{Name: "reads", Value: 2, Slack: 0.1},
		{Name: "calls", Skipped: "no strace"}, {Name: "new", Skipped: "no strace"}}}
	if err := now.Write(path, old); err != nil {
		t.Fatal(err)
	}
	got, err := ReadGate(path)
	if err != nil || len(got.Figures) != 2 || got.figure("calls").Value != 24 ||
		got.figure("reads").Slack != 0.1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(`{"nonsense":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadGate(path); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v", err)
	}
	if _, err := ReadGate("testdata/gate.json"); err != nil {
		t.Error(err)
	}
}

func TestGateNeedsCounters(t *testing.T) {
	o := testOptions(childTarget(t, "naive"))
	_, err := MeasureGate(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "counters") {
		t.Errorf("a target without metrics: %v", err)
	}
	o = testOptions(childTarget(t, "dies"))
	if _, err := MeasureGate(context.Background(), o); err == nil {
		t.Error("a target that does not start")
	}
}

func TestSumMetric(t *testing.T) {
	body := "# HELP a x\na{loop=\"0\"} 1\na{loop=\"1\"} 2\nab 4\na_c 8\nb 1.5e+03\n"
	for name, want := range map[string]float64{"a": 3, "ab": 4, "b": 1500, "c": 0} {
		if got := sumMetric(body, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := sumMetric(body, `a{loop="1"}`); got != 2 {
		t.Errorf("one series: %v", got)
	}
}

func TestTotalCalls(t *testing.T) {
	summary := `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100        10 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           5       200        10 total
`
	if n, err := totalCalls([]byte(summary)); err != nil || n != 200 {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := totalCalls([]byte("nothing")); err == nil {
		t.Error("counted nothing")
	}
}
