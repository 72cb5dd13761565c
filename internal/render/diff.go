package render

import (
	"bytes"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/diff"
)

// maxDiff bounds, in bytes, the outputs that are compared by lines.
const maxDiff = 8 << 20

// differ shows groups as what differs from the majority.
type differ struct {
	fold     *Fold
	majority *group
	text     []byte // of the majority
	tooLarge bool
}

// differ returns what shows the groups, or nil where they are shown whole: where
// that was not asked for or there is nothing to compare.
func (f *Fold) differ(all []*group) *differ {
	m := majority(all)
	if m == nil || !f.Loose && !f.Diff {
		return nil
	}
	d := &differ{fold: f, majority: m}
	d.text, d.tooLarge = d.read(m)
	return d
}

// read returns what a group wrote, masked when loose.
func (d *differ) read(g *group) (text []byte, tooLarge bool) {
	var out bytes.Buffer
	in := io.LimitReader(g.text.reader(), maxDiff+1)
	var n int64
	var err error
	if !d.fold.Loose {
		n, err = io.Copy(&out, in)
	} else {
		w := &maskWriter{mask: g.mask, to: &out}
		n, err = io.Copy(w, in)
		w.flush()
	}
	if err != nil {
		d.fold.failed(err)
	}
	return out.Bytes(), n > maxDiff
}

// show shows what differs in the output of a group.
func (d *differ) show(g *group) {
	s := d.fold.Screen
	if g.text.empty() {
		s.note("no output")
		return
	}
	text, tooLarge := d.read(g)
	if tooLarge || d.tooLarge {
		s.note(fmt.Sprintf("more than %d MiB are not compared", maxDiff>>20))
		d.fold.whole(g)
		return
	}
	lines := diff.Diff("a", d.text, "b", text)
	if lines == nil {
		s.note("the same output")
		return
	}
	_, hunks, _ := bytes.Cut(lines, []byte("\n+++ b\n")) // the headers stand above
	for line := range bytes.Lines(hunks) {
		d.line(bytes.TrimSuffix(line, newline))
	}
}

// line shows a line of a difference.
func (d *differ) line(line []byte) {
	s, color := d.fold.Screen, ""
	if s.StdoutColor {
		color = map[byte]string{'-': red, '+': labelColor(1), '@': labelColor(0)}[line[0]]
	}
	s.buf = append(s.buf, color...)
	if s.Raw {
		s.buf = append(s.buf, line...)
	} else {
		s.buf = AppendSanitized(s.buf, string(line))
	}
	if color != "" {
		s.buf = append(s.buf, resetColor...)
	}
	s.buf = append(s.buf, '\n')
	s.full()
}
