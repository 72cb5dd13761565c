package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is everything that was measured.
type report struct {
	Go, OS, Arch string
	CPUs         int
	Settings     []string // of the Go runtime, other than the defaults
	Repeat       int
	Workloads    map[string]results
	Goals        []verdict

	of map[string]*workload
}

func newReport(o *options) *report {
	r := &report{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Repeat: o.repeat, Workloads: map[string]results{}, of: map[string]*workload{}}
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			r.Settings = append(r.Settings, name+"="+v)
		}
	}
	return r
}

func (r *report) add(w *workload, results results) {
	r.Workloads[w.name], r.of[w.name] = results, w
}

// print writes the table of a workload: the median of each column, and in
// brackets how it compares with the first contender.
func (r *report) print(out io.Writer, name string) {
	w, all := r.of[name], r.Workloads[name]
	fmt.Fprintf(out, "%s: %s\n", w.name, w.about)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\t%s\t\n", strings.Join(w.columns, "\t"))
	for i, c := range w.contenders {
		fmt.Fprintf(t, "%s\t", c.name)
		for _, column := range w.columns {
			cell := "-"
			if v := values(all[c.name], column); len(v) > 0 {
				cell = number(median(v))
				if first := values(all[w.contenders[0].name], column); i > 0 && len(first) > 0 {
					cell += fmt.Sprintf(" (%s)", number(median(divide(v, first))))
				}
			}
			fmt.Fprintf(t, "%s\t", cell)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(out)
}

// values are the samples of one column.
func values(samples []sample, column string) []float64 {
	var v []float64
	for _, s := range samples {
		if x, ok := s[column]; ok {
			v = append(v, x)
		}
	}
	return v
}

// divide takes the ratios turn by turn.
func divide(a, b []float64) []float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// number writes three significant digits, and never an exponent.
func number(v float64) string {
	switch a := max(v, -v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// ref names a figure.
type ref struct{ workload, contender, column string }

// goal is what a figure, or its ratio to another one, should be.
type goal struct {
	text  string
	of    ref
	over  []ref // the least of these; none where the figure itself counts
	limit float64
	least bool // the limit is the least that is wanted, not the most
}

// verdict is what became of a goal.
type verdict struct {
	Goal     string
	Measured float64
	Limit    string
	Met      bool
}

// judge takes the goals of which everything was measured.
func (r *report) judge(goals []goal) {
	for _, g := range goals {
		v := r.values(g.of)
		if len(v) == 0 {
			continue
		}
		if len(g.over) > 0 {
			over := r.least(g.over)
			if len(over) == 0 {
				continue
			}
			v = divide(v, over)
		}
		got := median(v)
		sign, met := "<=", got <= g.limit
		if g.least {
			sign, met = ">=", got >= g.limit
		}
		r.Goals = append(r.Goals, verdict{g.text, got, sign + " " + number(g.limit), met})
	}
}

func (r *report) values(f ref) []float64 {
	return values(r.Workloads[f.workload][f.contender], f.column)
}

// least is the figure with the least median.
func (r *report) least(refs []ref) []float64 {
	var all [][]float64
	for _, f := range refs {
		if v := r.values(f); len(v) > 0 {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return slices.MinFunc(all, func(a, b []float64) int { return cmp.Compare(median(a), median(b)) })
}

func (r *report) printGoals(out io.Writer) {
	if len(r.Goals) == 0 {
		return
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "goal\tmeasured\twanted\t")
	for _, v := range r.Goals {
		met := "met"
		if !v.Met {
			met = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.Goal, number(v.Measured), v.Limit, met)
	}
	t.Flush()
}
