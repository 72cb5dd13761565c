package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Timings shows at the end, on standard error, how many seconds each stage took
// on each host, the slowest host first:
//
//	seconds    dns   tcp   kex  auth   run total
//	web2     0.001 0.012 0.031 0.009 3.170 3.223
//	web1     0.001 0.010 0.022 0.008 0.380 0.421
type Timings struct {
	Screen *Screen

	exits []Exit
}

// Start implements [Renderer].
func (t *Timings) Start(Start) {}

// Lines implements [Renderer].
func (t *Timings) Lines([]Line) {}

// Exit implements [Renderer].
func (t *Timings) Exit(x Exit) {
	if len(x.Stages) > 0 {
		t.exits = append(t.exits, Exit{Host: x.Host, Index: x.Index, Status: x.Status, Stages: x.Stages})
	}
}

// stageNames lists the stages of all hosts, each after the one it first came
// after.
func stageNames(exits []Exit) []string {
	var names []string
	for _, x := range exits {
		at := 0
		for _, s := range x.Stages {
			i := slices.Index(names, s.Name)
			if i < 0 {
				i = at
				names = slices.Insert(names, at, s.Name)
			}
			at = i + 1
		}
	}
	return names
}

// End implements [Renderer].
func (t *Timings) End(End) error {
	if len(t.exits) == 0 {
		return t.Screen.end()
	}
	names := stageNames(t.exits)
	slices.SortFunc(t.exits, func(a, b Exit) int {
		return cmp.Or(cmp.Compare(b.took(), a.took()), cmp.Compare(a.Index, b.Index))
	})
	widths, rest, hosts := make([]int, len(names)), 0, len("seconds")
	for i, name := range names {
		widths[i] = max(columns(Sanitize(name)), 5)
		rest += 1 + widths[i]
	}
	rest += len(" total")
	failed := 0
	for i := range t.exits {
		x := &t.exits[i]
		hosts = max(hosts, columns(Sanitize(x.Host)))
		if x.Status != OK {
			failed = max(failed, 2+len(x.Status))
		}
	}
	hosts = min(hosts, max(8, t.Screen.width()-1-rest-failed))
	row := func(host string, cells func(i int) string, total, status string) {
		var line strings.Builder
		line.WriteString(padded(host, hosts))
		for i := range names {
			line.WriteString(fmt.Sprintf(" %*s", widths[i], cells(i)))
		}
		t.Screen.line(strings.TrimRight(line.String()+fmt.Sprintf(" %5s  %s", total, status), " "))
		t.Screen.full()
	}
	row("seconds", func(i int) string { return Sanitize(names[i]) }, "total", "")
	for i := range t.exits {
		x := &t.exits[i]
		status := ""
		if x.Status != OK {
			status = Sanitize(string(x.Status))
		}
		row(Sanitize(x.Host), func(i int) string { return stageSeconds(x, names[i]) }, fewDigits(x.took()), status)
	}
	return t.Screen.end()
}

// padded is text in exactly width columns.
func padded(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", width-columns(text))
}

func stageSeconds(x *Exit, name string) string {
	for _, s := range x.Stages {
		if s.Name == name {
			return fewDigits(s.Took)
		}
	}
	return "-"
}

// fewDigits writes seconds in five columns where that can be.
func fewDigits(d time.Duration) string {
	s := d.Seconds()
	digits := 3
	for limit := 9.9995; s >= limit && digits > 0; limit *= 10 {
		digits--
	}
	return strconv.FormatFloat(s, 'f', digits, 64)
}
