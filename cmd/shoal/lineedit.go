package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// editor reads lines that a person types, and lets them be edited. In between the
// terminal is as it was.
type editor struct {
	in, out *os.File
	keys    *keys
	term    *term.Terminal
	history *history
}

// newEditor returns an editor on the terminal. complete gets what stands before
// the cursor, and returns what is to stand there, and what it may go on with, to be
// shown.
func newEditor(h *history, complete func(before string) (after string, choices []string)) (*editor, error) {
	in, out, err := openTerminal()
	if err != nil {
		return nil, errors.Join(&usageError{what: "shell: " + errNoTerminal.Error(), hint: "give the commands on standard input"}, h.close())
	}
	e := &editor{in: in, out: out, history: h}
	e.keys = &keys{in: in, before: e.resize}
	e.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, out}, "")
	e.term.History = h
	e.term.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		after, choices := complete(line[:pos])
		if len(choices) > 0 {
			e.term.Write([]byte(columns(choices, e.width())))
		} else if after == line[:pos] {
			io.WriteString(out, "\a")
		}
		return after + line[pos:], len(after), true
	}
	return e, nil
}

func (e *editor) close() error { return errors.Join(closeTerminal(e.in, e.out), e.history.close()) }

// read reads a line. It ends with ctx; on systems where nothing ends a read from a
// terminal, so does the program.
func (e *editor) read(ctx context.Context, prompt string) (line string, err error) {
	var state *term.State
	err = control(e.in, func(fd int) (err error) {
		state, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("the terminal: %w", err)
	}
	restore := func() error { return control(e.in, func(fd int) error { return term.Restore(fd, state) }) }
	defer func() {
		if e := restore(); err == nil {
			err = e
		}
	}()
	defer endRead(ctx, e.in, func() { restore() })()
	e.resize()
	e.term.SetPrompt(prompt)
	line, err = e.term.ReadLine()
	if err != nil {
		io.WriteString(e.out, "\r\n")
		return "", err
	}
	return line, nil
}

// endRead has a read from f fail when ctx ends, until stop is called. Where that
// cannot be, the program ends in the way that the signal wants, which is the only
// reason why ctx ends.
func endRead(ctx context.Context, f *os.File, last func()) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if f.SetReadDeadline(time.Unix(1, 0)) == nil {
			return
		}
		last()
		code := exitInternal
		if e, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
			code = e.code()
		}
		os.Exit(code)
	})
}

func (e *editor) drop() { e.keys.waiting = nil }

// resize tells the size of the terminal to what draws the line.
func (e *editor) resize() {
	control(e.out, func(fd int) error {
		cols, rows, err := term.GetSize(fd)
		if err != nil || cols <= 0 || rows <= 0 {
			return err
		}
		return e.term.SetSize(cols, rows)
	})
}

func (e *editor) width() int {
	width := 80
	control(e.out, func(fd int) error {
		if cols, _, err := term.GetSize(fd); err == nil && cols > 0 {
			width = cols
		}
		return nil
	})
	return width
}

// control calls do with the descriptor of a file, which goes on having deadlines,
// as it does not after Fd.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	return errors.Join(conn.Control(func(fd uintptr) { inner = do(int(fd)) }), inner)
}

// keys are what a person types. ^C becomes keys that clear the line and begin a new
// one, for the terminal itself takes it for the end of input.
type keys struct {
	in      io.Reader
	before  func() // is called before keys are handed on
	waiting []byte
}

// clearLine ends a sequence that began with Escape, if there is one, goes to the
// end of the line, deletes all that is before it, and ends the line.
const clearLine = "~\x05\x15\r"

func (k *keys) Read(p []byte) (int, error) {
	if len(k.waiting) == 0 {
		var typed [64]byte
		n, err := k.in.Read(typed[:])
		if err != nil {
			return 0, err
		}
		for _, b := range typed[:n] {
			if b == 3 {
				k.waiting = append(k.waiting, clearLine...)
			} else {
				k.waiting = append(k.waiting, b)
			}
		}
	}
	k.before()
	line := k.waiting // not further, so that drop has what comes behind it
	if end := bytes.IndexAny(line, "\r\n"); end >= 0 {
		line = line[:end+1]
	}
	n := copy(p, line)
	k.waiting = k.waiting[n:]
	return n, nil
}

// scriptLines are lines that come from a file or a pipe.
type scriptLines struct {
	in   io.Reader
	scan *bufio.Scanner
}

// maxLine bounds the lines of a script, which servers do too.
const maxLine = 1 << 20

func newScriptLines(in io.Reader) *scriptLines {
	l := &scriptLines{in: in}
	if in != nil {
		l.scan = bufio.NewScanner(in)
		l.scan.Buffer(nil, maxLine)
	}
	return l
}

func (l *scriptLines) read(ctx context.Context, _ string) (string, error) {
	if l.scan == nil {
		return "", io.EOF
	}
	if f, ok := l.in.(*os.File); ok {
		defer endRead(ctx, f, func() {})()
	}
	if !l.scan.Scan() {
		if err := l.scan.Err(); err != nil {
			return "", &usageError{what: "standard input: " + err.Error(), hint: "a line is a command, of up to 1 MiB"}
		}
		return "", io.EOF
	}
	return l.scan.Text(), nil
}

func (*scriptLines) drop() {}

func (*scriptLines) close() error { return nil }
