package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/shoal-ssh/shoal/internal/filelock"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

// history is the lines that were typed, the latest ones of them, in this session
// and in earlier ones. It is kept in a file beside the journal.
type history struct {
	lines  []string       // the oldest first
	file   *os.File       // nil where it is not kept
	secret *regexp.Regexp // what is not remembered; nil for nothing
	warn   func(error)
}

// maxHistory is how many lines are remembered. The file may have twice as many.
const maxHistory = 1000

// openHistory reads the history. Lines in which secret is found are not added to it.
// Where it cannot be kept, warn is told.
func openHistory(secret *regexp.Regexp, warn func(error)) *history {
	h := &history{secret: secret, warn: warn}
	dir, err := runs.DefaultDir()
	if err == nil {
		err = h.open(filepath.Join(filepath.Dir(dir), "history"))
	}
	if err != nil {
		h.fail(err)
	}
	return h
}

func (h *history) open(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := h.read(name); err != nil {
		return err
	}
	var err error
	if h.file, err = openPrivate(name); err != nil {
		return err
	}
	filelock.TryShared(h.file) // it is the others who must not shorten it
	return nil
}

// openPrivate opens a file to append to, which others cannot read.
func openPrivate(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New(name + " is not a regular file")
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// read reads the latest lines, and makes the file shorter where it has too many and
// no other session writes to it.
func (h *history) read(name string) error {
	f, err := openPrivate(name)
	if err != nil {
		return err
	}
	defer f.Close()
	alone, _ := filelock.Try(f)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimRight(line, "\r\n"); worthKeeping(line) {
			h.lines = append(h.lines, line)
		}
	}
	h.shorten()
	if !alone || n <= 2*maxHistory {
		return nil
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(h.lines, "\n") + "\n")
	return err
}

// shorten forgets the oldest lines.
func (h *history) shorten() {
	if n := len(h.lines) - maxHistory; n > 0 {
		h.lines = append([]string(nil), h.lines[n:]...)
	}
}

// worthKeeping reports whether a line is remembered: none that begins with a blank,
// as in shells, and none that could not have been typed.
func worthKeeping(line string) bool {
	return line != "" && line[0] != ' ' && line[0] != '\t' && utf8.ValidString(line) && render.Sanitize(line) == line
}

// Add remembers a line, unless it is the last one again.
func (h *history) Add(line string) {
	again := len(h.lines) > 0 && h.lines[len(h.lines)-1] == line
	if again || !worthKeeping(line) || h.secret != nil && h.secret.MatchString(line) {
		return
	}
	h.lines = append(h.lines, line)
	h.shorten()
	if h.file == nil {
		return
	}
	if _, err := h.file.WriteString(line + "\n"); err != nil { // at once: the program may be ended
		h.fail(err)
	}
}

// fail gives up the file.
func (h *history) fail(err error) {
	h.warn(err)
	h.close()
}

// Len is how many lines there are.
func (h *history) Len() int { return len(h.lines) }

// At returns a line; 0 is the last one.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

func (h *history) close() error {
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	return err
}
