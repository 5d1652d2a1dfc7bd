package bench

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// twoTargets are series of three rounds whose figures are easy to check.
func twoTargets() (o *Options, test *Test, gateway, base *series) {
	o = &Options{Baseline: "naive", Environment: Environment{
		Go: "go1.26", Kernel: "6.1", Cores: 2, Descriptors: 20000, Commit: "abc",
		Command: "relaybench run",
	}}
	make3 := func(name string, costs ...float64) *series {
		s := &series{target: &Target{Name: name}}
		for _, c := range costs {
			tr := new(trial)
			tr.cost("cpu", "s/GB", c)
			tr.rate("throughput", "GB/s", 1/c)
			tr.fact("size", "MB", 600)
			s.trials = append(s.trials, tr)
		}
		return s
	}
	test = &Test{ID: "b1", Title: "one stream"}
	return o, test, make3("gateway", 0.5, 0.25, 1), make3("naive", 1, 1, 4)
}

func TestRowFoldsRounds(t *testing.T) {
	o, test, gateway, base := twoTargets()
	gateway.trials[1].failures.add(errors.New("lost a byte"))
	gateway.trials[2].failures.addText("lost a byte", 2)
	gateway.trials[0].foreign = 0.2
	r := gateway.row(o, test, base)
	want := []Figure{
		{"cpu", "s/GB", Lower, 0.5, 0.25, 0.25, 1, 3, 1, 0.25, []float64{0.5, 0.25, 1}},
		{"throughput", "GB/s", Higher, 2, 4, 1, 4, 3, 1, 4, []float64{2, 4, 1}},
		{"size", "MB", Neutral, 600, 600, 600, 600, 3, 0, 0,
			[]float64{600, 600, 600}},
	}
	if !reflect.DeepEqual(r.Figures, want) {
		t.Errorf("figures\n%+v, want\n%+v", r.Figures, want)
	}
	if r.Failures != 3 || len(r.FailureTexts) != 1 ||
		r.FailureTexts[0] != "lost a byte (3 times)" {
		t.Errorf("failures %d %q", r.Failures, r.FailureTexts)
	}
	if base.row(o, test, base).Figures[0].Ratio != 0 {
		t.Error("the baseline has a ratio to itself")
	}
}

func TestRowsSurviveTheFile(t *testing.T) {
	o, test, gateway, base := twoTargets()
	rows := []Row{gateway.row(o, test, base), base.row(o, test, base)}
	var file bytes.Buffer
	if err := WriteRows(&file, rows); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(file.String(), "\n"); n != 2 {
		t.Errorf("%d lines for 2 rows", n)
	}
	again := file.String() + "\n" + file.String()
	got, err := ReadRows(strings.NewReader(again))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i := range got {
		if !got[i].Time.Equal(rows[i].Time) {
			t.Error("time differs")
		}
		got[i].Time = rows[i].Time
	}
	if !reflect.DeepEqual(got, rows) {
		t.Errorf("read\n%+v, wrote\n%+v", got, rows)
	}
	if _, err := ReadRows(strings.NewReader("{}\nnonsense\n")); err == nil ||
		!strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}

func TestWriteTable(t *testing.T) {
	o, test, gateway, base := twoTargets()
	gateway.trials[0].foreign = 0.2
	gateway.trials[0].note("no spinners")
	gateway.failures.add(errors.New("stop: exit status 3"))
	skipped := Row{Test: "storm", Target: "naive", Baseline: "naive", Skipped: "open"}
	rows := []Row{gateway.row(o, test, base), base.row(o, test, base), skipped}
	var out bytes.Buffer
	if err := WriteTable(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := `go1.26, linux 6.1, 2 cores, 20000 descriptors, commit abc
relaybench run

TEST  FIGURE      MEDIAN  UNIT  BEST  SPREAD      N  NAIVE  RATIO
b1    cpu         0.50    s/GB  0.25  0.25..1.00  3  1.00   0.25
b1    throughput  2.00    GB/s  4.00  1.00..4.00  3  1.00   4.00
b1    size        600     MB    600   600..600    3
b1    failures    1                               3

b1 gateway: FAILED: stop: exit status 3
b1 gateway: no spinners
storm naive: skipped: open
Other processes used much of the machine; trust CPU figures and ratios only, or repeat:
  b1 gateway 20 %
`
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	out.Reset()
	if err := WriteTable(&out, rows[1:2]); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "b1    cpu         1.00") {
		t.Errorf("a baseline alone must show its figures:\n%s", out.String())
	}
}

func TestComparison(t *testing.T) {
	row := func(figures ...Figure) []Row {
		return []Row{{Test: "b1", Target: "gateway", Figures: figures,
			Environment: Environment{Kernel: "6.1", Cores: 2}}}
	}
	before := row(
		Figure{"cpu", "s/GB", Lower, 0.5, 0.4, 0.4, 0.6, 3, 0, 0, nil},
		Figure{"slower", "us", Lower, 10, 9, 9, 11, 3, 0, 0, nil},
		Figure{"rate", "1/s", Higher, 10, 11, 9, 11, 3, 0, 0, nil},
		Figure{"noisy", "us", Lower, 10, 5, 5, 20, 3, 0, 0, nil},
		Figure{"single", "us", Lower, 10, 10, 10, 10, 1, 0, 0, nil},
		Figure{"size", "MB", Neutral, 10, 10, 10, 10, 3, 0, 0, nil},
		Figure{"gone", "MB", Neutral, 10, 10, 10, 10, 3, 0, 0, nil},
	)
	after := row(
		Figure{"cpu", "s/GB", Lower, 0.25, 0.2, 0.2, 0.3, 3, 0, 0, nil},
		Figure{"slower", "us", Lower, 20, 19, 19, 21, 3, 0, 0, nil},
		Figure{"rate", "1/s", Higher, 5, 6, 4, 6, 3, 0, 0, nil},
		Figure{"noisy", "us", Lower, 12, 6, 6, 18, 3, 0, 0, nil},
		Figure{"single", "us", Lower, 20, 20, 20, 20, 1, 0, 0, nil},
		Figure{"size", "MB", Neutral, 20, 20, 20, 20, 3, 0, 0, nil},
	)
	var out bytes.Buffer
	if err := WriteComparison(&out, before, after); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cpu 0.50 0.40..0.60 0.25 0.20..0.30 0.50 better",
		"slower 10.0 9.00..11.0 20.0 19.0..21.0 2.00 WORSE",
		"rate 10.0 9.00..11.0 5.00 4.00..6.00 0.50 WORSE",
		"noisy 10.0 5.00..20.0 12.0 6.00..18.0 1.20 within spread",
		"single 10.0 10.0..10.0 20.0 20.0..20.0 2.00 one round",
		"size 10.0 10.0..10.0 20.0 20.0..20.0 2.00\n",
	} {
		name, rest, _ := strings.Cut(want, " ")
		if !strings.Contains(squeeze(out.String(), name), rest) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := WriteComparison(&out, before, nil); err == nil {
		t.Error("compared with nothing")
	}
	if err := WriteComparison(&out, before, []Row{{Test: "b9"}}); err == nil {
		t.Error("compared without common figures")
	}
}

// squeeze returns the line of a figure with single blanks and without its unit.
func squeeze(table, figure string) string {
	for line := range strings.SplitSeq(table, "\n") {
		f := strings.Fields(line)
		if len(f) > 4 && f[2] == figure { // TEST TARGET FIGURE UNIT ...
			return strings.Join(f[4:], " ") + "\n"
		}
	}
	return ""
}

func TestFitLine(t *testing.T) {
	for _, c := range []struct {
		x, y             []float64
		slope, intercept float64
	}{
		{[]float64{1, 2, 3}, []float64{5, 7, 9}, 2, 3},
		{[]float64{1000, 4000, 9000}, []float64{1, 1, 1}, 0, 1},
		{[]float64{4}, []float64{8}, 2, 0},
		{nil, nil, 0, 0},
	} {
		slope, intercept := fitLine(c.x, c.y)
		if math.Abs(slope-c.slope) > 1e-9 || math.Abs(intercept-c.intercept) > 1e-9 {
			t.Errorf("%v %v: %v, %v", c.x, c.y, slope, intercept)
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.03125: "0.0312", 0.5: "0.50", 9.99: "9.99", 12.34: "12.3", 123.4: "123",
		123456: "123456", -0.5: "-0.50",
	} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for i := range 100 {
		f.addf("failure %d", i)
	}
	if f.count() != 100 || len(f.list()) != failureTexts+1 || f.first() != "failure 0" {
		t.Errorf("%d failures in %d texts, first %q", f.count(), len(f.list()), f.first())
	}
	var sum failures
	sum.merge(&f)
	sum.merge(new(failures))
	if sum.count() != 100 {
		t.Errorf("merged %d", sum.count())
	}
}

func TestWithinLimit(t *testing.T) {
	spare := int(descriptorLimit()) - descriptorsSpare
	for end, most := range map[TLSEnd]int{NoTLS: spare / 2, OwnTLS: spare / 2, FrontTLS: spare / 4} {
		tr := trial{target: &Target{TLS: end}}
		got := tr.withinLimit([]int{1, 2, 1 << 40, 1 << 41}, 10)
		if !reflect.DeepEqual(got, []int{1, 2, most - 10}) {
			t.Errorf("TLS end %d: points %v with a limit of %d", end, got, most)
		}
	}
}
