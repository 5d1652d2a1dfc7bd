package bench

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Plot is a picture of some rows, as SVG without scripts or fonts of its own.
type Plot struct {
	// Name is what the file is called, without its ending.
	Name string
	SVG  []byte
}

// Plots draws what the rows have figures for: throughput and CPU by size of
// message (sizes), latency (every test with curves), and memory by number of
// relays (b7, b8, b10, tls-idle). Each series is a target, or a target and a
// figure.
func Plots(rows []Row) []Plot {
	var plots []Plot
	add := func(name string, c chart) {
		if len(c.series) > 0 {
			plots = append(plots, Plot{name, c.svg()})
		}
	}
	size := []tick{{128, "128 B"}, {1 << 10, "1 KiB"}, {8 << 10, "8 KiB"}, {64 << 10, "64 KiB"}}
	for _, kind := range []struct{ figure, title, name string }{
		{"throughput", "One stream: GB/s by size of message", "throughput"},
		{"cpu", "One stream: CPU seconds per GB by size of message", "cpu"},
	} {
		c := chart{title: kind.title, x: axis{log: true, ticks: size}}
		for i := range rows {
			if rows[i].Test == "sizes" {
				c.add(rows[i].Target, rows[i].numbered(kind.figure), rows[i].Busy > 0)
			}
		}
		add(kind.name, c)
	}
	for _, test := range []string{"b7", "b8", "b10", "tls-idle"} {
		c := chart{title: test + ": user memory of the target in MiB by relays held"}
		for i := range rows {
			r := &rows[i]
			if r.Test != test {
				continue
			}
			c.add(r.Target, r.numbered("user"), r.Busy > 0)
			if after := r.numbered("after"); len(after) > 0 {
				c.add(r.Target+", after traffic", after, r.Busy > 0)
			}
		}
		add("memory-"+test, c)
	}
	return append(plots, latencyPlots(rows)...)
}

// latencyPlots draws one plot per test: microseconds by quantile, on an axis that
// spreads the last per cents.
func latencyPlots(rows []Row) (plots []Plot) {
	var tests []string
	for i := range rows {
		if len(rows[i].Curves) > 0 && !slices.Contains(tests, rows[i].Test) {
			tests = append(tests, rows[i].Test)
		}
	}
	for _, test := range tests {
		c := chart{title: test + ": microseconds by share of all", y: axis{log: true}, x: axis{
			ticks: []tick{{0, "0"}, {tailOf(0.5), "50 %"}, {tailOf(0.9), "90 %"},
				{tailOf(0.99), "99 %"}, {tailOf(0.999), "99.9 %"}}}}
		for i := range rows {
			for _, curve := range rows[i].Curves {
				if rows[i].Test != test || len(curve.Micros) != len(CurveQuantiles) {
					continue
				}
				var points []point
				for j, q := range CurveQuantiles {
					if q < 1 && curve.Micros[j] > 0 { // the maximum has no place on the axis
						points = append(points, point{tailOf(q), curve.Micros[j]})
					}
				}
				name := strings.TrimSpace(rows[i].Target + " " + curve.Name)
				c.add(name, points, rows[i].Busy > 0)
			}
		}
		if len(c.series) > 0 {
			plots = append(plots, Plot{"latency-" + test, c.svg()})
		}
	}
	return plots
}

// tailOf is the place of a quantile: each further nine is one step.
func tailOf(q float64) float64 { return -math.Log10(1 - q) }

// numbered returns the figures "N: name" of r as points at N.
func (r *Row) numbered(name string) (points []point) {
	for _, f := range r.Figures {
		number, rest, ok := strings.Cut(f.Name, ": ")
		n, err := strconv.ParseFloat(number, 64)
		if ok && err == nil && rest == name {
			points = append(points, point{n, f.Median})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return points
}

type point struct{ x, y float64 }

type tick struct {
	at   float64
	text string
}

// An axis begins at zero, or at a power of ten when it is logarithmic. Without
// ticks it gets its own.
type axis struct {
	log      bool
	ticks    []tick
	from, to float64
}

type line struct {
	name   string
	points []point
}

type chart struct {
	title  string
	x, y   axis
	series []line
}

func (c *chart) add(name string, points []point, busy bool) {
	if busy {
		name += " (busy)"
	}
	if len(points) > 0 {
		c.series = append(c.series, line{name, points})
	}
}

// Dimensions of a picture in pixels.
const (
	chartWidth, chartHeight    = 760, 420
	chartLeft, chartRight      = 80, 230 // the names are on the right
	chartTop, chartBottom      = 40, 40
	lineHeight, legendGap      = 18, 20
	plotWidth                  = chartWidth - chartLeft - chartRight
	plotHeight                 = chartHeight - chartTop - chartBottom
	linearSteps, logarithmBase = 5, 10
)

// The colours are told apart by readers who see few (Okabe and Ito, 2008); more
// series than colours get dashes.
var chartColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
	"#000000"}

// fit chooses the range and the ticks of an axis for the given values.
func (a *axis) fit(values []float64) {
	low, high := slices.Min(values), slices.Max(values)
	for _, t := range a.ticks {
		low, high = min(low, t.at), max(high, t.at)
	}
	switch {
	case a.log && len(a.ticks) > 0:
		a.from, a.to = low, high
	case a.log:
		a.from = math.Pow(logarithmBase, math.Floor(math.Log10(low)))
		a.to = math.Pow(logarithmBase, math.Ceil(math.Log10(high)))
	default:
		a.from, a.to = min(0, low), high
	}
	if a.to <= a.from {
		a.to = a.from + 1
	}
	if len(a.ticks) > 0 {
		return
	}
	if a.log {
		for v := a.from; v <= a.to*1.001; v *= logarithmBase {
			a.ticks = append(a.ticks, tick{v, short(v)})
		}
		return
	}
	step := math.Pow(10, math.Floor(math.Log10((a.to-a.from)/linearSteps)))
	for _, times := range []float64{2, 5, 10} {
		if (a.to-a.from)/step > linearSteps {
			step = times * math.Pow(10, math.Floor(math.Log10((a.to-a.from)/linearSteps)))
		}
	}
	for v := math.Ceil(a.from/step) * step; v <= a.to*1.001; v += step {
		a.ticks = append(a.ticks, tick{v, strconv.FormatFloat(v, 'g', 6, 64)})
	}
}

// place is where v lies between the ends of the axis, 0 to 1.
func (a *axis) place(v float64) float64 {
	if a.log {
		return math.Log(v/a.from) / math.Log(a.to/a.from)
	}
	return (v - a.from) / (a.to - a.from)
}

func (c *chart) svg() []byte {
	var xs, ys []float64
	for _, s := range c.series {
		for _, p := range s.points {
			xs, ys = append(xs, p.x), append(ys, p.y)
		}
	}
	c.x.fit(xs)
	c.y.fit(ys)
	at := func(p point) (x, y float64) {
		return chartLeft + plotWidth*c.x.place(p.x), chartTop + plotHeight*(1-c.y.place(p.y))
	}
	var out bytes.Buffer
	printf := func(format string, args ...any) { _, _ = fmt.Fprintf(&out, format, args...) }
	printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" `+
		"font-size=\"12\">\n", chartWidth, chartHeight)
	printf("<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	printf("<text x=\"%d\" y=\"24\" font-size=\"15\">%s</text>\n", chartLeft,
		html.EscapeString(c.title))
	for _, t := range c.x.ticks {
		x, _ := at(point{t.at, c.y.from})
		printf("<path d=\"M%.1f %dV%d\" stroke=\"#ddd\"/>\n", x, chartTop, chartTop+plotHeight)
		printf("<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x,
			chartTop+plotHeight+lineHeight, html.EscapeString(t.text))
	}
	for _, t := range c.y.ticks {
		_, y := at(point{c.x.from, t.at})
		printf("<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n", chartLeft, y, chartLeft+plotWidth)
		printf("<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", chartLeft-6, y+4,
			html.EscapeString(t.text))
	}
	for i, s := range c.series {
		colour, dashes := chartColours[i%len(chartColours)], ""
		if i >= len(chartColours) {
			dashes = ` stroke-dasharray="6 3"`
		}
		printf("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"", colour, dashes)
		for _, p := range s.points {
			x, y := at(p)
			printf("%.1f,%.1f ", x, y)
		}
		printf("\"/>\n")
		for _, p := range s.points {
			x, y := at(p)
			printf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, colour)
		}
		y := chartTop + lineHeight*(i+1)
		printf("<path d=\"M%d %dh16\" stroke=\"%s\" stroke-width=\"2\"%s/>\n",
			chartLeft+plotWidth+legendGap, y-4, colour, dashes)
		printf("<text x=\"%d\" y=\"%d\">%s</text>\n", chartLeft+plotWidth+2*legendGap, y,
			html.EscapeString(s.name))
	}
	printf("</svg>\n")
	return out.Bytes()
}
