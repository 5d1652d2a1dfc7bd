package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// An Environment says where figures come from; without it they mean nothing.
type Environment struct {
	Go          string `json:"go"`
	Kernel      string `json:"kernel"`
	Cores       int    `json:"cores"`
	Descriptors uint64 `json:"fd_limit"`
	Commit      string `json:"commit"`
	Command     string `json:"command"`
}

// ThisEnvironment describes the machine and the driver; commit and command
// come from whoever started the run.
func ThisEnvironment(commit, command string) Environment {
	return Environment{
		Go: runtime.Version(), Kernel: kernelRelease(), Cores: runtime.NumCPU(),
		Descriptors: descriptorLimit(), Commit: commit, Command: command,
	}
}

// A Figure is one number of a test, folded over the rounds.
type Figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Better Better  `json:"better,omitempty"`
	Median float64 `json:"median"`
	Best   float64 `json:"best"`
	Min    float64 `json:"min"` // Min and Max are the spread
	Max    float64 `json:"max"`
	N      int     `json:"n"`
	// Base is the baseline's median, and Ratio the median over the rounds of
	// this figure divided by the baseline's in the same round; 0 without a
	// baseline and for neutral figures.
	Base  float64 `json:"baseline,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	// Values are those of the rounds, in their order.
	Values []float64 `json:"values,omitempty"`
}

// A Curve is how latency was distributed: at each of CurveQuantiles the median
// over the rounds, in microseconds.
type Curve struct {
	Name   string    `json:"name"` // "" for the only one of a test
	Micros []float64 `json:"us"`
}

// CurveQuantiles are where curves are sampled.
var CurveQuantiles = []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1}

// A Row is the result of one test against one target.
type Row struct {
	Test         string    `json:"test"`
	Title        string    `json:"title"`
	Target       string    `json:"target"`
	Baseline     string    `json:"baseline,omitempty"` // target of the ratios
	Time         time.Time `json:"time"`
	N            int       `json:"n"`
	Figures      []Figure  `json:"figures"`
	Failures     int       `json:"failures"`
	FailureTexts []string  `json:"failure_texts,omitempty"`
	Curves       []Curve   `json:"curves,omitempty"`
	// Version is what the target says it is.
	Version string `json:"version,omitempty"`
	// Compared says what the target does when it is not the same work.
	Compared string `json:"compared,omitempty"`
	// Skipped says why the test does not apply to the target.
	Skipped string   `json:"skipped,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	// Foreign is the largest share of the machine, 0 to 1, that other
	// processes used during a measured window.
	Foreign float64 `json:"foreign_cpu"`
	// Thrown is how many rounds were thrown away for that, and Busy how many
	// of the N rounds were disturbed although they had been repeated.
	Thrown      int         `json:"thrown_away,omitempty"`
	Busy        int         `json:"busy,omitempty"`
	Environment Environment `json:"environment"`
}

// foreignMax is the share of foreign CPU above which a row should be taken
// again on a quieter machine.
const foreignMax = 0.05

func (s *series) row(o *Options, test *Test, base *series) Row {
	r := Row{
		Test: test.ID, Title: test.Title, Target: s.target.Name, Baseline: o.Baseline,
		Time: time.Now().UTC(), N: len(s.trials), Skipped: s.skipped, Environment: o.Environment,
		Compared: s.target.Compared, Version: s.target.Version, Thrown: s.thrown, Busy: s.busy,
	}
	for _, t := range s.trials {
		s.failures.merge(&t.failures)
		r.Foreign = max(r.Foreign, t.foreign)
		for _, note := range t.notes {
			if !slices.Contains(r.Notes, note) {
				r.Notes = append(r.Notes, note)
			}
		}
		for _, v := range t.values {
			if !slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Name == v.name }) {
				r.Figures = append(r.Figures, s.figure(v, base))
			}
		}
		for name := range t.curves {
			if !slices.ContainsFunc(r.Curves, func(c Curve) bool { return c.Name == name }) {
				r.Curves = append(r.Curves, s.curve(name))
			}
		}
	}
	slices.SortFunc(r.Curves, func(a, b Curve) int { return strings.Compare(a.Name, b.Name) })
	r.Failures, r.FailureTexts = s.failures.count(), s.failures.list()
	return r
}

// curve folds the curves of that name over all trials of s.
func (s *series) curve(name string) Curve {
	c := Curve{Name: name}
	for i := range CurveQuantiles {
		var values []float64
		for _, t := range s.trials {
			if points := t.curves[name]; points != nil {
				values = append(values, points[i])
			}
		}
		c.Micros = append(c.Micros, median(values))
	}
	return c
}

// figure folds the values named like v over all trials of s.
func (s *series) figure(v value, base *series) Figure {
	f := Figure{Name: v.name, Unit: v.unit, Better: v.better}
	var values, bases, ratios []float64
	for round, t := range s.trials {
		x, ok := t.value(v.name)
		if !ok {
			continue
		}
		values = append(values, x)
		if base == nil || base == s || round >= len(base.trials) || v.better == Neutral {
			continue
		}
		if b, ok := base.trials[round].value(v.name); ok && b != 0 {
			bases, ratios = append(bases, b), append(ratios, x/b)
		}
	}
	f.N, f.Median, f.Base, f.Ratio = len(values), median(values), median(bases), median(ratios)
	f.Min, f.Max, f.Values = slices.Min(values), slices.Max(values), values
	switch v.better {
	case Lower:
		f.Best = f.Min
	case Higher:
		f.Best = f.Max
	default:
		f.Best = f.Median
	}
	return f
}

func (t *trial) value(name string) (float64, bool) {
	for _, v := range t.values {
		if v.name == name {
			return v.v, true
		}
	}
	return 0, false
}

// median of no values is zero.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// WriteRows writes one JSON object per line.
func WriteRows(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	return nil
}

// ReadRows reads what WriteRows wrote. Of rows with the same test and target
// the last one counts.
func ReadRows(r io.Reader) ([]Row, error) {
	var rows []Row
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rows = slices.DeleteFunc(rows, func(o Row) bool {
			return o.Test == row.Test && o.Target == row.Target
		})
		rows = append(rows, row)
	}
	return rows, lines.Err()
}

// WriteTable writes rows for a reader: the gateway's figures with the baseline's
// beside them. The rows of a baseline appear only when there are no others.
func WriteTable(w io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	var out bytes.Buffer
	e := rows[0].Environment
	_, _ = fmt.Fprintf(&out, "%s, linux %s, %d cores, %d descriptors, commit %s\n%s\n\n",
		e.Go, e.Kernel, e.Cores, e.Descriptors, e.Commit, e.Command)
	writeFigures(&out, rows)
	if remarks := remarksOf(rows); len(remarks) > 0 {
		_, _ = fmt.Fprintf(&out, "\n%s\n", strings.Join(remarks, "\n"))
	}
	_, err := out.WriteTo(w)
	return err
}

func writeFigures(out *bytes.Buffer, rows []Row) {
	onlyBase := !slices.ContainsFunc(rows, func(r Row) bool { return r.Target != r.Baseline })
	base := ""
	if !onlyBase && rows[0].Baseline != "" {
		base = strings.ToUpper(rows[0].Baseline) + "\tRATIO"
	}
	// The target has a column only where there are several beside the baseline.
	first := slices.IndexFunc(rows, func(r Row) bool { return onlyBase || r.Target != r.Baseline })
	several := slices.ContainsFunc(rows, func(r Row) bool {
		return r.Target != rows[first].Target && (onlyBase || r.Target != r.Baseline)
	})
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := "TEST\t"
	if several {
		head += "TARGET\t"
	}
	_, _ = fmt.Fprintln(tw, head+"FIGURE\tMEDIAN\tUNIT\tBEST\tSPREAD\tN\t"+base)
	for i := range rows {
		r := &rows[i]
		if r.Target == r.Baseline && !onlyBase {
			continue
		}
		name := r.Test
		if several {
			name += "\t" + r.Target
		}
		for _, f := range r.Figures {
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s..%s\t%d\t", name, f.Name,
				short(f.Median), f.Unit, short(f.Best), short(f.Min), short(f.Max), f.N)
			if f.Ratio != 0 {
				_, _ = fmt.Fprintf(tw, "%s\t%s", short(f.Base), short(f.Ratio))
			}
			_, _ = fmt.Fprintln(tw)
		}
		if r.Skipped == "" || r.Failures > 0 {
			_, _ = fmt.Fprintf(tw, "%s\tfailures\t%d\t\t\t\t%d\t\n", name, r.Failures, r.N)
		}
	}
	_ = tw.Flush() // a buffer takes everything
}

// remarksOf says what the figures do not.
func remarksOf(rows []Row) []string {
	var out, loud []string
	told := map[string]bool{}
	for i := range rows {
		r := &rows[i]
		head := r.Test + " " + r.Target + ": "
		if r.Compared+r.Version != "" && !told[r.Target] {
			told[r.Target] = true
			out = append(out, strings.TrimRight(r.Target+" is "+r.Version+"; "+r.Compared, "; "))
		}
		if r.Skipped != "" {
			out = append(out, head+"skipped: "+r.Skipped)
		}
		for _, text := range r.FailureTexts {
			out = append(out, head+"FAILED: "+text)
		}
		for _, note := range r.Notes {
			out = append(out, head+note)
		}
		if r.Thrown > 0 {
			out = append(out, fmt.Sprintf("%srounds thrown away because others used the machine: %d",
				head, r.Thrown))
		}
		if r.Busy > 0 {
			out = append(out, fmt.Sprintf("%sBUSY: others used up to %.0f %% of the machine in "+
				"%d of %d rounds, whatever was repeated", head, r.Foreign*100, r.Busy, r.N))
		} else if r.Foreign > foreignMax {
			loud = append(loud, fmt.Sprintf("%s %s %.0f %%", r.Test, r.Target, r.Foreign*100))
		}
	}
	if len(loud) > 0 {
		out = append(out, "Other processes used much of the machine; trust CPU figures and "+
			"ratios only, or repeat:", "  "+strings.Join(loud, ", "))
	}
	return out
}

// short writes three significant digits without an exponent.
func short(v float64) string {
	digits := 2
	for limit := 10.0; limit <= 100 && (v >= limit || v <= -limit); limit *= 10 {
		digits--
	}
	if v > -0.1 && v < 0.1 && v != 0 {
		digits = 4
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
