package render

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Same finds out whether all hosts whose command ended gave the same output and
// ended alike, as [Fold] would show them in one block. It holds no output. At
// the end it names the hosts that differ from the most.
type Same struct {
	Screen *Screen
	Stderr bool // compare standard error too
	Loose  bool // as in Fold

	fold Fold
}

// Start implements [Renderer].
func (s *Same) Start(e Start) {
	s.fold = Fold{Screen: new(Screen), Stderr: s.Stderr, QuietErr: true, Loose: s.Loose}
	s.fold.Start(e)
	s.fold.spool.none = true
}

// Lines implements [Renderer].
func (s *Same) Lines(batch []Line) { s.fold.Lines(batch) }

// Exit implements [Renderer].
func (s *Same) Exit(x Exit) { s.fold.Exit(x) }

// Violated reports whether hosts differ, of those that had their Exit.
func (s *Same) Violated() bool { return len(s.sorted()) > 1 }

// sorted lists the groups of hosts, the majority first.
func (s *Same) sorted() []*group {
	var all []*group
	for _, g := range s.fold.groups {
		if g.ended {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(b.names), len(a.names)), cmp.Compare(a.first, b.first))
	})
	return all
}

// End implements [Renderer].
func (s *Same) End(End) error {
	if all := s.sorted(); len(all) > 1 {
		names, _ := s.violations()
		s.Screen.say("shoal: not the same: ", fmt.Sprintf("%d different outputs; %s alike, others are %s",
			len(all), counted(len(all[0].names), "host"), namesWithin(names, maxNames)), red)
	}
	return s.Screen.end()
}

// Expect finds out whether every host whose command ended wrote on standard
// output what was expected, and names at the end those that did not.
type Expect struct {
	Screen  *Screen
	Match   func(output string) bool
	Memory  int64  // as in [Fold]
	TempDir string // as in Fold

	spool spool
	texts map[int]*text
	other []string
}

// Start implements [Renderer].
func (e *Expect) Start(Start) {
	e.spool = spool{dir: e.TempDir, limit: cmp.Or(e.Memory, defaultMemory)}
	e.texts = make(map[int]*text)
}

// Lines implements [Renderer].
func (e *Expect) Lines(batch []Line) {
	for i := range batch {
		if n := &batch[i]; !n.Stderr {
			e.spool.keep(e.texts, n)
		}
	}
}

// Exit implements [Renderer].
func (e *Expect) Exit(x Exit) {
	t := e.texts[x.Index]
	delete(e.texts, x.Index)
	var output []byte
	if t != nil {
		var err error
		if output, err = io.ReadAll(t.reader()); err != nil {
			e.spool.err = errors.Join(e.spool.err, fmt.Errorf("keeping output: %w", err))
		}
		t.drop()
	}
	if x.ended() && !e.Match(string(output)) {
		e.other = append(e.other, x.Host)
	}
}

// Violated reports whether a host that had its Exit wrote something else.
func (e *Expect) Violated() bool { return len(e.other) > 0 }

// End implements [Renderer].
func (e *Expect) End(End) error {
	if len(e.other) > 0 {
		e.Screen.say("shoal: not as expected: ", countedNames(e.other), red)
	}
	e.spool.close()
	return errors.Join(e.spool.err, e.Screen.end())
}
