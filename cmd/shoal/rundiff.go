package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

const diffHelp = `Compare two runs, host by host: how each ended and what it wrote. Hosts on which
the same has changed are shown once, the fewest first. Without words the last run is
compared with the one before it, with one word that run with the last one.

Exit codes: 0 the runs do not differ; 1 they do; 2 wrong usage.`

const diffExample = `  shoal diff                   the last two runs
  shoal diff 7QX2ZK            that one and the last
  shoal diff last-3 last-1`

// diffFlags are the flags of shoal diff.
type diffFlags struct {
	quiet, raw bool
	color      choiceFlag
}

func (f *diffFlags) add(fs *pflag.FlagSet) {
	f.color = choiceFlag{word: "auto", words: []string{"auto", "always", "never"}}
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "only how many hosts differ")
	fs.BoolVar(&f.raw, "raw", false, "pass on control characters in the hosts' output, which can fool a terminal")
	fs.Var(&f.color, "color", "colours; auto means on a terminal, unless NO_COLOR is set")
}

func (a *app) diffCommand() *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:                   "diff [RUN [RUN]] [FLAGS]",
		Short:                 "Compare two earlier runs, host by host",
		Long:                  diffHelp,
		Example:               diffExample,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeRuns(2),
		RunE:                  func(_ *cobra.Command, words []string) error { return a.diff(&f, words) },
	}
	addGroups(c, []flagGroup{newGroup("Flags", f.add)})
	return c
}

// diff is shoal diff.
func (a *app) diff(f *diffFlags, words []string) error {
	switch len(words) {
	case 0:
		words = []string{"last-1", "last"}
	case 1:
		words = []string{words[0], "last"}
	case 2:
	default:
		return &usageError{what: fmt.Sprintf("diff takes two runs, got %q too", words[2]), hint: "shoal help diff says how it goes"}
	}
	var sides [2]*side
	for i, word := range words {
		r, err := findRun(word)
		if err != nil {
			return err
		}
		if sides[i], err = readSide(r); err != nil {
			return err
		}
	}
	c := compareSides(sides)
	if err := c.load(); err != nil {
		return err
	}
	view := viewFlags{color: f.color}
	s := view.screen(a.stdout, a.stderr)
	s.Raw = f.raw
	if !f.quiet {
		c.show(s)
	}
	s.Say(c.sum())
	switch {
	case s.Err() != nil:
		return &codeError{exitPipe}
	case len(c.changed) > 0:
		return &codeError{exitFailed}
	}
	return nil
}

// side is one of two runs that are compared.
type side struct {
	run   *runs.Run
	hosts map[string]*sideHost
	order []string
}

// sideHost is how a host ended there, and what it wrote.
type sideHost struct {
	exit *render.Exit // nil where it did not end
	sums [2]hash.Hash // of stdout and stderr; nil where it wrote nothing
	text [2][]byte    // of those that differ
}

// readSide reads a run but keeps no output.
func readSide(r *runs.Run) (*side, error) {
	s := &side{run: r, hosts: make(map[string]*sideHost)}
	err := r.Replay(s)
	if errors.Is(err, render.ErrNoEnd) {
		err = nil
	}
	return s, err
}

func (s *side) host(name string) *sideHost {
	h := s.hosts[name]
	if h == nil {
		h = new(sideHost)
		s.hosts[name] = h
		s.order = append(s.order, name)
	}
	return h
}

// Start implements [render.Renderer].
func (s *side) Start(render.Start) {}

// Lines implements [render.Renderer].
func (s *side) Lines(batch []render.Line) {
	for i := range batch {
		n := &batch[i]
		sum := &s.host(n.Host).sums[stream(n)]
		if *sum == nil {
			*sum = sha256.New()
		}
		(*sum).Write(appendLine(nil, n))
	}
}

// Exit implements [render.Renderer].
func (s *side) Exit(x render.Exit) { s.host(x.Host).exit = &x }

// End implements [render.Renderer].
func (s *side) End(render.End) error { return nil }

func stream(n *render.Line) int {
	if n.Stderr {
		return 1
	}
	return 0
}

func appendLine(text []byte, n *render.Line) []byte {
	text = append(text, n.Text...)
	if !n.Continued {
		text = append(text, '\n')
	}
	return text
}

// comparison is two runs, and the hosts that differ in them.
type comparison struct {
	sides   [2]*side
	hosts   int // of both together
	changed []string
}

func compareSides(sides [2]*side) *comparison {
	c := &comparison{sides: sides}
	for i, s := range sides {
		for _, name := range s.order {
			other := sides[1-i].hosts[name]
			if i == 1 && other != nil {
				continue // had its turn
			}
			c.hosts++
			if other == nil || !alike(s.hosts[name], other) {
				c.changed = append(c.changed, name)
			}
		}
	}
	return c
}

func alike(a, b *sideHost) bool {
	return statusText(a.exit) == statusText(b.exit) && size64(a.exit) == size64(b.exit) &&
		sameSum(a.sums[0], b.sums[0]) && sameSum(a.sums[1], b.sums[1])
}

// size64 is how much a host wrote, which tells more than what was kept of it.
func size64(x *render.Exit) render.Bytes {
	if x == nil {
		return render.Bytes{}
	}
	return x.Bytes
}

func sameSum(a, b hash.Hash) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return bytes.Equal(a.Sum(nil), b.Sum(nil))
}

// maxCompared bounds, in bytes, the outputs that are compared by lines.
const maxCompared = 8 << 20

// load reads what the hosts wrote that differ.
func (c *comparison) load() error {
	changed := make(map[string]bool)
	for _, name := range c.changed {
		changed[name] = true
	}
	for _, s := range c.sides {
		if err := s.run.Replay(&loader{s, changed}); err != nil && !errors.Is(err, render.ErrNoEnd) {
			return err
		}
	}
	return nil
}

type loader struct {
	side    *side
	changed map[string]bool
}

func (l *loader) Start(render.Start)   {}
func (l *loader) Exit(render.Exit)     {}
func (l *loader) End(render.End) error { return nil }
func (l *loader) Lines(batch []render.Line) {
	for i := range batch {
		n := &batch[i]
		h := l.side.hosts[n.Host]
		if h == nil || !l.changed[n.Host] { // nil where a run that goes on has more hosts by now
			continue
		}
		if text := &h.text[stream(n)]; len(*text) <= maxCompared {
			*text = appendLine(*text, n)
		}
	}
}

// change says what changed on a host.
func (c *comparison) change(name string) string {
	a, b := c.sides[0].hosts[name], c.sides[1].hosts[name]
	switch {
	case b == nil:
		return " only in run " + c.sides[0].run.Short() + ": " + statusText(a.exit) + "\n"
	case a == nil:
		return " only in run " + c.sides[1].run.Short() + ": " + statusText(b.exit) + "\n"
	}
	var text strings.Builder
	if before, after := statusText(a.exit), statusText(b.exit); before != after {
		fmt.Fprintf(&text, "-%s\n+%s\n", before, after)
	}
	for i, what := range []string{"stdout", "stderr"} {
		if sameSum(a.sums[i], b.sums[i]) {
			continue
		}
		if max(len(a.text[i]), len(b.text[i])) > maxCompared {
			fmt.Fprintf(&text, "@@ %s @@\n more than %s are not compared by lines\n", what, size(maxCompared))
			continue
		}
		lines := diff.Diff("a", a.text[i], "b", b.text[i])
		_, hunks, _ := bytes.Cut(lines, []byte("\n+++ b\n"))
		for hunk := range bytes.Lines(hunks) {
			if bytes.HasPrefix(hunk, []byte("@@ ")) {
				fmt.Fprintf(&text, "@@ %s %s", what, hunk[len("@@ "):])
			} else {
				text.Write(hunk)
			}
		}
	}
	if text.Len() == 0 {
		before, after := size64(a.exit), size64(b.exit)
		fmt.Fprintf(&text, " what was kept is the same, but not how much was written: %s and %s\n",
			size(before.Out+before.Err), size(after.Out+after.Err))
	}
	return text.String()
}

// show writes each change once, under the hosts that it is of.
func (c *comparison) show(s *render.Screen) {
	byChange := make(map[string][]string)
	var order []string
	for _, name := range c.changed {
		text := c.change(name)
		if byChange[text] == nil {
			order = append(order, text)
		}
		byChange[text] = append(byChange[text], name)
	}
	slices.SortStableFunc(order, func(a, b string) int { return len(byChange[a]) - len(byChange[b]) })
	rule := strings.Repeat("-", 15)
	out := s.Out()
	for _, text := range order {
		names := byChange[text]
		head := fold(names)
		if len(names) > 1 {
			head += fmt.Sprintf(" (%d)", len(names))
		}
		block := []byte(rule + "\n" + render.Sanitize(head) + "\n" + rule + "\n")
		for line := range strings.Lines(text) {
			block = appendChange(block, s, strings.TrimSuffix(line, "\n"))
		}
		if _, err := out.Write(block); err != nil {
			return
		}
	}
}

// appendChange appends a line of a change, in its colour.
func appendChange(block []byte, s *render.Screen, line string) []byte {
	color := ""
	if s.StdoutColor && line != "" {
		color = map[byte]string{'-': "\x1b[31m", '+': "\x1b[32m", '@': "\x1b[36m"}[line[0]]
	}
	block = append(block, color...)
	if s.Raw {
		block = append(block, line...)
	} else {
		block = render.AppendSanitized(block, line)
	}
	if color != "" {
		block = append(block, "\x1b[0m"...)
	}
	return append(block, '\n')
}

// sum says how many hosts differ.
func (c *comparison) sum() string {
	var names []string
	for _, s := range c.sides {
		names = append(names, title(s.run))
	}
	which := strings.Join(names, " and ")
	if len(c.changed) == 0 {
		return fmt.Sprintf("%s do not differ on %s", which, count(c.hosts))
	}
	return fmt.Sprintf("%s differ on %d of %s", which, len(c.changed), count(c.hosts))
}
