package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestPlots(t *testing.T) {
	curve := Curve{"alone", make([]float64, len(CurveQuantiles))}
	for i := range curve.Micros {
		curve.Micros[i] = float64(10 * (i + 1))
	}
	rows := []Row{
		{Test: "sizes", Target: "gateway <&>", Busy: 1, Figures: []Figure{
			{Name: "128: throughput", Median: 0.5}, {Name: "65536: throughput", Median: 2},
			{Name: "128: cpu", Median: 1}, {Name: "128: cpu per message", Median: 1}}},
		{Test: "b7", Target: "floor", Figures: []Figure{{Name: "1000: user", Median: 1},
			{Name: "user per relay", Median: 1}, {Name: "4000: user", Median: 0}}},
		{Test: "b4", Target: "floor", Curves: []Curve{curve, {"short", []float64{1}}}},
		{Test: "b10", Target: "skipped"},
	}
	plots := Plots(rows)
	var names []string
	for _, p := range plots {
		names = append(names, p.Name)
		for dec := xml.NewDecoder(strings.NewReader(string(p.SVG))); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", p.Name, err, p.SVG)
			}
		}
		if s := string(p.SVG); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s:\n%s", p.Name, s)
		}
	}
	if want := []string{"throughput", "cpu", "memory-b7", "latency-b4"}; !slices.Equal(names, want) {
		t.Errorf("plots %q, want %q", names, want)
	}
	if s := string(plots[0].SVG); !strings.Contains(s, "gateway &lt;&amp;&gt; (busy)") ||
		strings.Count(s, "<circle") != 2 {
		t.Errorf("throughput:\n%s", s)
	}
	if s := string(plots[3].SVG); strings.Count(s, "<polyline") != 1 ||
		strings.Count(s, "<circle") != len(CurveQuantiles)-1 {
		t.Errorf("latency:\n%s", s)
	}
}

func TestAxis(t *testing.T) {
	for _, c := range []struct {
		a      axis
		values []float64
		want   string
	}{
		{axis{}, []float64{1, 100_000}, "0 20000 40000 60000 80000 100000"},
		{axis{}, []float64{0, 26}, "0 10 20"},
		{axis{}, []float64{0, 0}, "0 0.2 0.4 0.6 0.8 1"},
		{axis{log: true}, []float64{90, 4000}, "10.0 100 1000 10000"},
		{axis{log: true, ticks: []tick{{1, "one"}}}, []float64{0.5, 8}, "one"},
	} {
		c.a.fit(c.values)
		var texts []string
		for _, tick := range c.a.ticks {
			texts = append(texts, tick.text)
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.values, got, c.want)
		}
		for _, v := range c.values {
			if p := c.a.place(v); p < -0.001 || p > 1.001 {
				t.Errorf("%v: %v lies at %v", c.values, v, p)
			}
		}
	}
}
