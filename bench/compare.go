package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteComparison puts the figures of two runs side by side. The verdict is
// cautious: a change counts only when the spreads of both runs do not overlap,
// and only when each run has at least two rounds.
func WriteComparison(w io.Writer, before, after []Row) error {
	for _, e := range []struct {
		name string
		rows []Row
	}{{"before", before}, {"after", after}} {
		if len(e.rows) == 0 {
			return fmt.Errorf("%s: no rows", e.name)
		}
		env := e.rows[0].Environment
		if _, err := fmt.Fprintf(w, "%-7s %s, linux %s, %d cores, commit %s\n", e.name+":", env.Go,
			env.Kernel, env.Cores, env.Commit); err != nil {
			return err
		}
	}
	if a, b := before[0].Environment, after[0].Environment; a.Kernel != b.Kernel ||
		a.Cores != b.Cores {
		_, _ = fmt.Fprintln(w, "The machines differ; compare ratios only.")
	}
	_, _ = fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "TEST\tTARGET\tFIGURE\tUNIT\tBEFORE\tSPREAD\tAFTER\tSPREAD\tRATIO\t"+
		"VERDICT")
	common := 0
	var busy []string
	for i := range before {
		a := &before[i]
		b := findRow(after, a.Test, a.Target)
		if b == nil {
			continue
		}
		if a.Busy+b.Busy > 0 {
			busy = append(busy, a.Test+" "+a.Target)
		}
		for _, fa := range a.Figures {
			fb := b.figure(fa.Name)
			if fb == nil {
				continue
			}
			common++
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Test, a.Target,
				fa.Name, fa.Unit, short(fa.Median), spread(&fa), short(fb.Median), spread(fb),
				ratio(fa.Median, fb.Median), verdict(&fa, fb))
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\tfailures\t\t%d\t\t%d\t\t\t\n", a.Test, a.Target, a.Failures,
			b.Failures)
	}
	if common == 0 {
		return fmt.Errorf("the two runs have no figure in common")
	}
	if err := tw.Flush(); err != nil || len(busy) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\nOthers used the machine in one of the runs; no verdict on times and "+
		"rates: %s\n", strings.Join(busy, ", "))
	return err
}

func findRow(rows []Row, test, target string) *Row {
	for i := range rows {
		if rows[i].Test == test && rows[i].Target == target {
			return &rows[i]
		}
	}
	return nil
}

func (r *Row) figure(name string) *Figure {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			return &r.Figures[i]
		}
	}
	return nil
}

func spread(f *Figure) string { return short(f.Min) + ".." + short(f.Max) }

// ratio is after divided by before.
func ratio(before, after float64) string {
	if before == 0 {
		return ""
	}
	return short(after / before)
}

// verdict says in one word what became of a figure.
func verdict(before, after *Figure) string {
	switch {
	case before.Better == Neutral:
		return ""
	case before.N < 2 || after.N < 2:
		return "one round"
	case before.Min <= after.Max && after.Min <= before.Max:
		return "within spread"
	case (after.Median < before.Median) == (before.Better == Lower):
		return "better"
	}
	return "WORSE"
}
