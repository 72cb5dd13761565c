package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/shoal-ssh/shoal/hostlist"
)

// Clush shows a run as ClusterShell's clush does: lines as they come, or at the
// end the output that hosts share, and on standard error how hosts ended that
// did not end well. Unlike clush it shows what a host wrote before its time was
// over, after the others.
type Clush struct {
	Screen   *Screen
	Gather   bool // -b: equal output once
	Stderr   bool // -B: standard error too
	Diff     bool // --diff: what differs from the first output
	ByHost   bool // -L: in the order of hosts; with Gather, each line once
	NoLabels bool // -N
	Quiet    bool // -q
	MaxRC    bool // -S

	live     Live
	gather   gather
	split    []Line
	place    map[string]int   // of hosts in their order
	codes    map[int][]string // hosts by exit code
	timeouts []string
	diffs    struct {
		names, text string
		is          bool
	}
}

// Start implements [Renderer].
func (c *Clush) Start(e Start) {
	c.live = Live{Screen: c.Screen, NoLabels: c.NoLabels}
	c.live.Start(e)
	c.gather.begin(e, 0, "")
	c.codes = make(map[int][]string)
}

func (c *Clush) atEnd() bool { return c.Gather || c.ByHost }

// Lines implements [Renderer].
func (c *Clush) Lines(batch []Line) {
	if !c.atEnd() {
		c.live.Lines(batch)
		return
	}
	for i := range batch {
		n := batch[i]
		if n.Stderr && !c.Stderr {
			c.live.line(&n)
			continue
		}
		n.Stderr = false // with the output, in the order in which it came
		c.split = append(c.split[:0], n)
		c.gather.lines(c.split)
	}
	c.Screen.flush()
}

// Exit implements [Renderer].
func (c *Clush) Exit(x Exit) {
	c.live.Exit(x)
	c.gather.end(x)
	code := x.SSHCode()
	switch {
	case x.timedOut():
		c.timeouts = append(c.timeouts, x.Host)
		return
	case !x.ended() && c.atEnd() && c.Stderr:
		c.split = append(c.split[:0], Line{Host: x.Host, Index: x.Index, Text: cause(&x)})
		c.gather.lines(c.split)
	case !x.ended():
		sayCause(c.Screen, &x, c.NoLabels)
	}
	if code != 0 && !c.atEnd() {
		c.ended(code, []string{x.Host}, false)
	}
	c.codes[code] = append(c.codes[code], x.Host)
	c.Screen.flush()
}

// ended says which hosts ended with a code.
func (c *Clush) ended(code int, names []string, counted bool) {
	if c.Quiet && c.MaxRC {
		return
	}
	text := foldNames(names)
	if counted && !c.Quiet {
		text = countedNames(names)
	}
	c.Screen.line(fmt.Sprintf("clush: %s: exited with exit code %d", text, code))
}

// End implements [Renderer].
func (c *Clush) End(e End) error {
	c.Screen.Hold()
	defer c.Screen.Release()
	if c.atEnd() {
		c.sort()
		groups := c.groups()
		switch {
		case c.Gather && c.ByHost:
			c.byLine(groups)
		case c.ByHost:
			c.byHost()
		default:
			c.byOutput(groups)
		}
		for _, code := range slices.Sorted(maps.Keys(c.codes)) {
			if code != 0 {
				c.ended(code, c.codes[code], true)
			}
		}
	}
	if len(c.timeouts) > 0 && !(c.atEnd() && c.Quiet && c.MaxRC) {
		c.Screen.line("clush: " + foldNames(c.timeouts) + ": command timeout")
	}
	return errors.Join(c.gather.close(), c.live.End(e))
}

// sort finds the order of the hosts.
func (c *Clush) sort() {
	var names []string
	for _, h := range c.gather.hosts {
		names = append(names, h.exit.Host)
	}
	c.place = make(map[string]int, len(names))
	for i, name := range hostlist.Sort(slices.Values(names)) {
		c.place[name] = i
	}
}

// first is the place of the first of some hosts.
func (c *Clush) first(names []string) int {
	first := len(c.place)
	for _, name := range names {
		first = min(first, c.place[name])
	}
	return first
}

// clushGroup is hosts with equal output and exit code.
type clushGroup struct {
	code  int // those whose time was over come last
	text  string
	names []string
}

// groups are those that wrote the same, in clush's order: by exit code, the
// largest first, and by name; those that wrote nothing last of their code.
func (c *Clush) groups() []*clushGroup {
	type key struct {
		code int
		text string
	}
	found := make(map[key]*clushGroup)
	var all []*clushGroup
	for _, h := range c.gather.all() {
		k := key{h.exit.SSHCode(), c.text(h)}
		if h.exit.timedOut() {
			k.code = 256
		}
		g := found[k]
		if g == nil {
			g = &clushGroup{code: k.code, text: k.text}
			found[k] = g
			all = append(all, g)
		}
		g.names = append(g.names, h.exit.Host)
	}
	slices.SortStableFunc(all, func(a, b *clushGroup) int {
		silent := func(g *clushGroup) int {
			if g.text == "" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.code, b.code), silent(a)-silent(b), cmp.Compare(len(b.names), len(a.names)), cmp.Compare(c.first(a.names), c.first(b.names)))
	})
	return all
}

// text is what a host wrote, as whole lines.
func (c *Clush) text(h *gathered) string {
	text := strings.ReplaceAll(c.gather.output(h, toStdout), "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if c.Screen.Raw {
		return text
	}
	return sanitizeLines(text)
}

// byOutput shows blocks, or what differs from the first.
func (c *Clush) byOutput(groups []*clushGroup) {
	for _, g := range groups {
		names := foldNames(g.names)
		if !c.Quiet {
			names = countedNames(g.names)
		}
		switch {
		case c.Diff && c.diffs.is:
			c.difference(names, g.text)
		case g.text == "":
		case c.Diff:
			c.diffs.is, c.diffs.names, c.diffs.text = true, names, g.text
		default:
			c.header(names)
			c.write(g.text)
		}
	}
}

func (c *Clush) header(names string) {
	if c.NoLabels {
		return
	}
	const rule = "---------------"
	c.write(c.colored(rule+"\n"+names+"\n"+rule, brightBlue) + "\n")
}

// One line is counted as "1", and not as "1,1".
var oneLine = regexp.MustCompile(`([-+]\d+),1\b`)

// difference shows what differs from the first output, in the unified format.
func (c *Clush) difference(names, text string) {
	d := diff.Diff(c.diffs.names, []byte(c.diffs.text), names, []byte(text))
	if _, rest, ok := bytes.Cut(d, []byte("\n")); ok { // "diff A B"
		d = rest
	}
	var out strings.Builder
	for line := range strings.Lines(string(d)) {
		if strings.HasPrefix(line, "@@") {
			line = oneLine.ReplaceAllString(line, "$1")
		}
		out.WriteString(line)
	}
	c.write(out.String())
}

// byHost shows lines in the order of hosts.
func (c *Clush) byHost() {
	all := c.gather.all()
	slices.SortStableFunc(all, func(a, b *gathered) int {
		code := func(h *gathered) int {
			if h.exit.timedOut() {
				return 256
			}
			return h.exit.SSHCode()
		}
		return cmp.Or(cmp.Compare(code(a), code(b)), cmp.Compare(c.place[a.exit.Host], c.place[b.exit.Host]))
	})
	for _, h := range all {
		for line := range strings.Lines(c.text(h)) {
			c.label(foldNames([]string{h.exit.Host}), line)
		}
	}
}

// byLine shows each line once, under the hosts that wrote it as their first,
// second, and so on.
func (c *Clush) byLine(groups []*clushGroup) {
	var lines []map[string][]string
	for _, g := range groups {
		i := 0
		for line := range strings.Lines(g.text) {
			if i == len(lines) {
				lines = append(lines, make(map[string][]string))
			}
			lines[i][line] = append(lines[i][line], g.names...)
			i++
		}
	}
	for _, same := range lines {
		texts := slices.SortedFunc(maps.Keys(same), func(a, b string) int {
			return cmp.Or(cmp.Compare(len(same[b]), len(same[a])), cmp.Compare(c.first(same[a]), c.first(same[b])))
		})
		for _, line := range texts {
			c.label(foldNames(same[line]), line)
		}
	}
}

func (c *Clush) label(names, line string) {
	if !c.NoLabels {
		line = c.colored(names+": ", brightBlue) + line
	}
	c.write(line)
}

const brightBlue = "\x1b[94m"

func (c *Clush) colored(text, color string) string {
	if !c.Screen.StdoutColor {
		return text
	}
	return color + text + resetColor
}

func (c *Clush) write(text string) { c.Screen.Out().Write([]byte(text)) }
