package render

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// spool holds the output of many hosts in bounded memory. When all together
// exceed the limit, everything held moves to one temporary file, readable by
// the user alone, which is unlinked at once where the system allows that.
type spool struct {
	dir   string // of the file; empty for the system's
	limit int64
	used  int64 // bytes of memory
	none  bool  // nothing is held
	texts map[*text]struct{}
	line  []byte // of write
	file  *os.File
	size  int64
	err   error // the file's first error: what no longer fits is dropped
}

// text is what one host wrote, in order: parts of the file, then memory.
type text struct {
	spool   *spool
	parts   []extent
	tail    []byte
	cut     bool // something was dropped
	newline bool // the last byte written is one, or there is none
}

type extent struct{ off, n int64 }

// defaultMemory is held before output moves to the file.
const defaultMemory = 64 << 20

// keep adds a line to the text of its host.
func (s *spool) keep(texts map[int]*text, n *Line) {
	t := texts[n.Index]
	if t == nil {
		t = s.new()
		texts[n.Index] = t
	}
	s.write(t, n)
}

// write adds a line with its end.
func (s *spool) write(t *text, n *Line) {
	s.line = n.appendEnd(append(s.line[:0], n.Text...))
	t.write(s.line)
}

func (s *spool) new() *text {
	t := &text{spool: s, newline: true}
	if s.texts == nil {
		s.texts = make(map[*text]struct{})
	}
	s.texts[t] = struct{}{}
	return t
}

func (t *text) write(p []byte) {
	s := t.spool
	if len(p) == 0 || t.cut {
		return
	}
	if s.none {
		t.newline = p[len(p)-1] == '\n'
		return
	}
	if s.err != nil && s.used+int64(len(p)) > s.limit {
		t.cut = true
		return
	}
	before := cap(t.tail)
	t.tail = append(t.tail, p...)
	t.newline = p[len(p)-1] == '\n'
	s.used += int64(cap(t.tail) - before)
	if s.used > s.limit && s.err == nil {
		s.err = s.spill()
	}
}

// empty reports whether nothing was written.
func (t *text) empty() bool { return len(t.parts) == 0 && len(t.tail) == 0 }

// drop forgets the text. Its place in the file is not used again.
func (t *text) drop() {
	t.spool.used -= int64(cap(t.tail))
	delete(t.spool.texts, t)
	t.tail, t.parts = nil, nil
}

// spill moves all of memory to the file.
func (s *spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "shoal-*")
		if err != nil {
			return fmt.Errorf("keeping output: %w", err)
		}
		s.file = f
		os.Remove(f.Name()) // fails on Windows; close tries again
	}
	for t := range s.texts {
		if len(t.tail) == 0 {
			continue
		}
		if _, err := s.file.WriteAt(t.tail, s.size); err != nil {
			return fmt.Errorf("keeping output: %w", err)
		}
		t.spilled(s.size)
		s.size += t.parts[len(t.parts)-1].n
	}
	return nil
}

func (t *text) spilled(off int64) {
	t.parts = append(t.parts, extent{off, int64(len(t.tail))})
	t.spool.used -= int64(cap(t.tail))
	t.tail = nil
}

// reader reads the text from its beginning.
func (t *text) reader() io.Reader {
	var all []io.Reader
	for _, p := range t.parts {
		all = append(all, io.NewSectionReader(t.spool.file, p.off, p.n))
	}
	return io.MultiReader(append(all, bytes.NewReader(t.tail))...)
}

// close removes the file. Texts must not be read after it.
func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
		s.file = nil
	}
}
