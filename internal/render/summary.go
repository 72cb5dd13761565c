package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// category maps a status to the one it is counted under in a summary.
func category(s Status) Status {
	switch s {
	case Signal:
		return Failed
	case HostKey, Auth, Lost:
		return Unreachable
	}
	return s
}

// summaryLabel says within a category how a host ended; empty where the
// category says it all.
func summaryLabel(x *Exit) string {
	switch x.Status {
	case Failed:
		return failedLabel(x)
	case Signal:
		return "signal " + Sanitize(x.Signal)
	case HostKey:
		return "host key"
	case Auth:
		return "auth"
	case Lost:
		return "connection lost"
	}
	return ""
}

func failedLabel(x *Exit) string {
	switch {
	case x.RC != nil:
		return fmt.Sprintf("exit %d", *x.RC)
	case x.Err != nil:
		return Sanitize(x.Err.Kind)
	}
	return ""
}

// part is what a summary says of one category.
type part struct {
	text string // "4 failed"
	word string // "failed"
	bad  bool
	sets []namedSet
}

// namedSet is the hosts of a category that ended in the same way.
type namedSet struct {
	label string // "exit 1", may be empty
	names []string
}

// parts lists the categories that have hosts.
func (r *Report) parts(e End) []part {
	var all []part
	add := func(n int, s Status, word string, bad bool) {
		if n > 0 {
			all = append(all, part{fmt.Sprintf("%d %s", n, word), word, bad, sorted(r.sets[s])})
		}
	}
	add(e.OK, OK, "ok", false)
	add(e.Failed, Failed, "failed", true)
	add(e.Timeout, Timeout, "timed out", true)
	add(e.Unreachable, Unreachable, "unreachable", true)
	add(e.Cancelled, Cancelled, "cancelled", true)
	add(e.NotRun, NotRun, "not run", false)
	return all
}

// sorted lists sets, the largest first.
func sorted(sets map[string][]string) []namedSet {
	var all []namedSet
	for label, names := range sets {
		all = append(all, namedSet{label, names})
	}
	slices.SortFunc(all, func(a, b namedSet) int {
		return cmp.Or(cmp.Compare(len(b.names), len(a.names)), strings.Compare(a.label, b.label))
	})
	return all
}

// prefix is what stands before the names.
func (s namedSet) prefix() string {
	if s.label == "" {
		return ""
	}
	return s.label + ": "
}

// summary tells the run in one line, or where that is too long for the screen
// in a line of numbers and one or two of names.
func (r *Report) summary(e End) []string {
	color, width := r.Screen.StderrColor, r.Screen.width()-1
	parts := r.parts(e)
	if columns(summaryLine(e, parts, true, false)) <= width {
		return []string{summaryLine(e, parts, true, color)}
	}
	return append([]string{summaryLine(e, parts, false, color)}, namesLines(parts, width)...)
}

func summaryLine(e End, parts []part, names, color bool) string {
	b := fmt.Appendf(nil, "%d %s: ", e.Hosts, plural(e.Hosts, "host", "hosts"))
	for i, p := range parts {
		if i > 0 {
			b = append(b, ", "...)
		}
		if p.bad && color {
			b = appendColor(b, red, p.text)
		} else {
			b = append(b, p.text...)
		}
		if names && len(p.sets) > 0 {
			b = append(b, " ("+setsText(p.sets)+")"...)
		}
	}
	if len(parts) == 0 {
		b = append(b, "nothing to do"...)
	}
	return string(b) + " in " + duration(e.Took)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func setsText(sets []namedSet) string {
	var texts []string
	for _, s := range sets {
		texts = append(texts, s.prefix()+foldNames(s.names))
	}
	return strings.Join(texts, "; ")
}

const (
	maxSets  = 12 // that a summary names
	someRoom = 20 // columns for the names of one set, for them to be of use
)

// namesLines writes sets on at most two lines of width columns, each with as
// many names as its share of the room allows.
func namesLines(parts []part, width int) []string {
	width -= len("  ")
	sets := labelled(parts)
	need, least := make([]int, len(sets)), make([]int, len(sets))
	for i, s := range sets {
		prefix := columns(s.prefix())
		need[i] = prefix + columns(foldNames(s.names)) + len("; ")
		least[i] = min(need[i], prefix+someRoom+len("; "))
	}
	keep, rest := min(len(sets), maxSets), ""
	for ; keep > 0; keep-- {
		if more := len(sets) - keep; more > 0 {
			rest = fmt.Sprintf("and %d other %s", more, plural(more, "outcome", "outcomes"))
		}
		if keep == 1 || twoLines(append(least[:keep:keep], len(rest)+len("; ")), width) {
			break
		}
	}
	var pieces []string
	for i, n := range fit(need[:keep], least, width, len(rest)+len("; ")) {
		p := sets[i].prefix()
		pieces = append(pieces, p+namesWithin(sets[i].names, n-columns(p)-len("; ")))
	}
	if rest != "" {
		pieces = append(pieces, rest)
	}
	return wrap(pieces, width)
}

// labelled lists the sets of all categories, the first of each with the word of
// its category.
func labelled(parts []part) []namedSet {
	var sets []namedSet
	for _, p := range parts {
		for i, s := range p.sets {
			if i == 0 {
				s.label = strings.TrimSuffix(p.word+": "+s.label, ": ")
			}
			sets = append(sets, s)
		}
	}
	return sets
}

// fit gives each piece of two lines its width: what it needs where there is
// room, and never less than least.
func fit(need, least []int, width, rest int) []int {
	for room := 2*width - rest; ; room -= 2 {
		given := shares(need, max(0, room))
		for i := range given {
			given[i] = max(given[i], least[i])
		}
		if room <= 0 || twoLines(append(given[:len(given):len(given)], rest), width) {
			return given
		}
	}
}

// twoLines reports whether pieces of these widths fit on two lines, in order.
func twoLines(pieces []int, width int) bool {
	lines, used := 1, 0
	for _, n := range pieces {
		if used+n > width+len("; ") {
			lines, used = lines+1, 0
		}
		used += n
	}
	return lines <= 2
}

// wrap joins pieces on indented lines of width columns.
func wrap(pieces []string, width int) []string {
	var lines []string
	used := width + len("; ")
	for _, p := range pieces {
		n := columns(p) + len("; ")
		if used+n > width+len("; ") {
			lines, used = append(lines, "  "+cut(p, width)), n
			continue
		}
		lines[len(lines)-1] += "; " + p
		used += n
	}
	return lines
}

// shares divides width among needs: who needs less than an equal share leaves
// the rest to the others.
func shares(need []int, width int) []int {
	order := make([]int, len(need))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(need[a], need[b]) })
	given := make([]int, len(need))
	for done, i := range order {
		given[i] = min(need[i], width/(len(order)-done))
		width -= given[i]
	}
	return given
}
