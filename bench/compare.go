package bench

import (
	"fmt"
	"io"
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
	_, _ = fmt.Fprintln(tw, "TEST\tTARGET\tFIGURE\tUNIT\tBEFORE\tAFTER\tCHANGE\tVERDICT")
	common := 0
	for i := range before {
		a := &before[i]
		b := findRow(after, a.Test, a.Target)
		if b == nil {
			continue
		}
		for _, fa := range a.Figures {
			fb := b.figure(fa.Name)
			if fb == nil {
				continue
			}
			common++
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Test, a.Target, fa.Name,
				fa.Unit, short(fa.Median), short(fb.Median), change(fa.Median, fb.Median),
				verdict(&fa, fb))
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\tfailures\t\t%d\t%d\t\t\n", a.Test, a.Target, a.Failures,
			b.Failures)
	}
	if common == 0 {
		return fmt.Errorf("the two runs have no figure in common")
	}
	return tw.Flush()
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

func change(before, after float64) string {
	if before == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", (after/before-1)*100)
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
