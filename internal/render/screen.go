package render

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

// Screen is the standard output and the standard error that renderers share. It
// keeps lines of both whole and in order, and the status line below them.
//
// The zero value discards everything. A Screen is not safe for concurrent use,
// and its fields must not change once it is used, except Width between calls.
type Screen struct {
	Stdout, Stderr           io.Writer // nil discards
	StdoutTTY, StderrTTY     bool      // the writer is a terminal
	StdoutColor, StderrColor bool      // colours may be used; off means never

	// Width is the number of columns of the terminal. Zero means 80 on a
	// terminal and 200 elsewhere.
	Width int

	// Raw passes remote output on unchanged. What Shoal says itself, and the
	// peer text in it, is sanitised nevertheless.
	Raw bool

	buf    []byte   // for the stream to, not written yet
	to     stream   // where buf goes
	open   [2]int   // by stream: 1 + the key of the line without newline yet
	exact  bool     // an open line stays open while the other stream is written
	status string   // the status line that belongs below
	drawn  bool     // it is on the terminal now
	held   bool     // it must not be drawn
	errs   [2]error // the first error of each writer
	ended  bool     // end has returned them
}

type stream int

const (
	toStdout stream = iota
	toStderr
)

// ours is the key of text that belongs to no host.
const ours = -2

const (
	flushSize = 64 << 10
	eraseLine = "\r\x1b[K"
)

// Err returns the first error of writing, or nil. A caller who sees one, a
// closed pipe too, has no reader any more and may as well stop the run.
func (s *Screen) Err() error {
	if s.errs[toStdout] != nil {
		return s.errs[toStdout]
	}
	return s.errs[toStderr]
}

// Say writes one line of Shoal's own, "shoal: msg", on standard error.
func (s *Screen) Say(msg string) {
	s.say("shoal: ", msg, "")
	s.flush()
}

// Hint writes what to do about the line said before.
func (s *Screen) Hint(msg string) {
	s.say("  hint: ", msg, "")
	s.flush()
}

func (s *Screen) say(label, msg, color string) {
	s.begin(toStderr, ours)
	if !s.StderrColor {
		color = ""
	}
	s.buf = appendColor(s.buf, color, label)
	s.buf = AppendSanitized(s.buf, msg)
	s.buf = append(s.buf, '\n')
}

// line writes a line, made safe already, on standard error.
func (s *Screen) line(text string) {
	s.begin(toStderr, ours)
	s.buf = append(append(s.buf, text...), '\n')
}

// Hold takes the status line away, for a prompt, until Release.
func (s *Screen) Hold() {
	s.held = true
	s.flush()
	s.erase()
}

// Release lets the status line come back.
func (s *Screen) Release() {
	s.held = false
	s.redraw()
}

// Out returns standard output as a writer of whole lines that does not disturb
// the status line.
func (s *Screen) Out() io.Writer { return lineWriter{s} }

type lineWriter struct{ s *Screen }

func (w lineWriter) Write(p []byte) (int, error) {
	w.s.begin(toStdout, ours)
	w.s.buf = append(w.s.buf, p...)
	w.s.flush()
	if err := w.s.errs[toStdout]; err != nil {
		return 0, err
	}
	return len(p), nil
}

// begin makes buf ready for a line of key on stream to, and reports whether the
// line goes on where the stream stopped.
func (s *Screen) begin(to stream, key int) (joined bool) {
	if s.to != to {
		if !s.exact {
			s.endLine()
		}
		s.flush()
		s.to = to
	}
	if s.open[to] == key+1 {
		s.open[to] = 0
		return true
	}
	s.endLine()
	if len(s.buf) == 0 && s.drawn && s.tty(to) {
		// The erasing goes out in one write with the lines, against flicker.
		s.buf = append(s.buf, eraseLine...)
		s.drawn = false
	}
	return false
}

// leaveOpen notes that the line of key ended without a newline.
func (s *Screen) leaveOpen(key int) { s.open[s.to] = key + 1 }

// endLine gives the open line of the current stream its newline.
func (s *Screen) endLine() {
	if s.open[s.to] != 0 {
		s.open[s.to] = 0
		s.buf = append(s.buf, '\n')
	}
}

// full flushes when enough has gathered for one write.
func (s *Screen) full() {
	if len(s.buf) >= flushSize {
		s.flush()
	}
}

func (s *Screen) flush() {
	if len(s.buf) == 0 {
		return
	}
	if s.tty(s.to) {
		s.endLine() // the status line or a prompt may come next
	}
	if s.to == toStderr && s.wanted() {
		s.buf = append(s.buf, s.status...)
		s.drawn = true
	}
	s.write(s.to, s.buf)
	s.buf = s.buf[:0]
	s.redraw()
}

func (s *Screen) wanted() bool {
	return s.StderrTTY && !s.held && !s.drawn && s.status != ""
}

func (s *Screen) redraw() {
	if s.wanted() {
		s.drawn = true
		s.write(toStderr, []byte("\r"+s.status+"\x1b[K"))
	}
}

func (s *Screen) erase() {
	if s.drawn {
		s.drawn = false
		s.write(toStderr, []byte(eraseLine))
	}
}

// setStatus replaces the status line; an empty text takes it away.
func (s *Screen) setStatus(text string) {
	if text == s.status || !s.StderrTTY {
		return
	}
	s.flush()
	s.status = text
	if text == "" {
		s.erase()
		return
	}
	s.drawn = false
	s.redraw()
}

func (s *Screen) write(to stream, p []byte) {
	w := s.Stdout
	if to == toStderr {
		w = s.Stderr
	}
	if w == nil || s.errs[to] != nil {
		return
	}
	if _, err := w.Write(p); err != nil {
		s.errs[to] = err
	}
}

func (s *Screen) tty(to stream) bool {
	if to == toStderr {
		return s.StderrTTY
	}
	return s.StdoutTTY
}

func (s *Screen) width() int {
	switch {
	case s.Width > 0:
		return s.Width
	case s.StderrTTY:
		return 80
	}
	return 200
}

// end writes what is left and returns what went wrong, once however many
// renderers ask. A closed pipe is the reader's choice and no error.
func (s *Screen) end() error {
	s.flush()
	if s.ended {
		return nil
	}
	var errs []error
	for to, name := range []string{toStdout: "standard output", toStderr: "standard error"} {
		if err := s.errs[to]; err != nil && !brokenPipe(err) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	s.ended = len(errs) > 0
	return errors.Join(errs...)
}

func brokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || platformBrokenPipe(err)
}
