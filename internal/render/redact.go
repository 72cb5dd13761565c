package render

import (
	"regexp"
	"slices"
)

// Redacted stands for what was masked.
const Redacted = "[redacted]"

// Redact passes events on with all text masked that Find matches: in the
// output, the command, causes and hints. Sums of the output are left out, for
// short secrets can be found by them, and so is a command line with a match.
//
// A match must lie within a line. Lines that come in pieces are held until they
// end, or until 64 KiB have come; of a longer line the last 4 KiB of what came
// are held each time, so that a match of up to that length is found wherever it
// is cut.
type Redact struct {
	To   Renderer
	Find *regexp.Regexp

	batch []Line
	held  map[int]Line  // by streamKey: the piece that waits for more
	seq   map[int]int64 // by streamKey: how many lines were passed on
}

const (
	redactLine = 64 << 10
	redactKeep = 4 << 10
)

// Text returns s with its matches masked.
func (r *Redact) Text(s string) string { return r.Find.ReplaceAllLiteralString(s, Redacted) }

// Start implements [Renderer].
func (r *Redact) Start(e Start) {
	r.held = make(map[int]Line)
	r.seq = make(map[int]int64)
	e.Command = r.Text(e.Command)
	if slices.ContainsFunc(e.Args, r.Find.MatchString) {
		e.Args = nil // better not done again than with another word
	}
	r.To.Start(e)
}

// Lines implements [Renderer].
func (r *Redact) Lines(batch []Line) {
	r.batch = r.batch[:0]
	for _, n := range batch {
		r.line(n)
	}
	r.pass()
}

func (r *Redact) line(n Line) {
	key := streamKey(n.Index, n.Stderr)
	if h, ok := r.held[key]; ok {
		n.Text = h.Text + n.Text
		delete(r.held, key)
	}
	if n.Continued {
		cut := r.cut(n.Text)
		rest := n
		rest.Text = n.Text[cut:]
		r.held[key] = rest
		if n.Text = n.Text[:cut]; cut == 0 {
			return
		}
	}
	r.add(n, key)
}

// add adds a line to what is passed on. Pieces were joined, so that it is
// counted anew.
func (r *Redact) add(n Line, key int) {
	n.Text, n.Seq = r.Text(n.Text), r.seq[key]
	r.seq[key]++
	r.batch = append(r.batch, n)
}

// cut returns how much of an unfinished line can go on: nothing of a short one,
// and never a part of a match.
func (r *Redact) cut(text string) int {
	if len(text) < redactLine {
		return 0
	}
	cut := len(text) - redactKeep
	for _, m := range r.Find.FindAllStringIndex(text, -1) {
		if m[0] < cut && cut < m[1] {
			if m[1] == len(text) && m[0] > 0 && len(text)-m[0] < redactLine {
				return m[0] // it may go on
			}
			return m[1]
		}
	}
	return cut
}

func (r *Redact) pass() {
	if len(r.batch) > 0 {
		r.To.Lines(r.batch)
	}
	r.batch = r.batch[:0]
}

// Exit implements [Renderer].
func (r *Redact) Exit(x Exit) {
	r.rest(streamKey(x.Index, false))
	r.rest(streamKey(x.Index, true))
	r.pass()
	x.Digest = Digest{}
	if x.Err != nil {
		p := *x.Err
		p.Msg, p.Hint = r.Text(p.Msg), r.Text(p.Hint)
		x.Err = &p
	}
	r.To.Exit(x)
}

// rest passes on what is held of a line that has no end.
func (r *Redact) rest(key int) {
	if n, ok := r.held[key]; ok {
		delete(r.held, key)
		r.add(n, key)
	}
}

// End implements [Renderer].
func (r *Redact) End(e End) error {
	for key := range r.held {
		r.rest(key)
	}
	r.pass()
	e.Stopped = r.Text(e.Stopped)
	return r.To.End(e)
}
