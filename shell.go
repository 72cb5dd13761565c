package shoal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/text/encoding"
)

// ShellOptions says what kind of shell [Conn.Shell] opens. The zero value is a
// shell without a terminal, in UTF-8.
type ShellOptions struct {
	// PTY gives the shell a terminal, on which stderr is part of stdout and
	// which shells take for a person's; nil means none. Its Term is "dumb"
	// where it names none.
	PTY *PTY
	// Encoding is that of the lines given and of the output; nil means UTF-8.
	Encoding encoding.Encoding
	// MaxOutput bounds what is kept of each output of one line, in bytes;
	// what is over is dropped, and the line's error says so. 0 means 64 MiB,
	// negative no bound.
	MaxOutput int64
}

// Shell is one login shell, kept open: lines run in it one after the other and
// each sees what those before it changed, such as the folder and variables.
// Each has its own output and status. The login shell must be a POSIX one (sh,
// bash, dash, ksh, zsh). Lines find nothing on their stdin. Safe for concurrent
// use; lines run one at a time.
type Shell struct {
	p      *Proc
	pty    bool
	opts   Command
	turn   chan struct{} // holds one token: who has it may run a line
	buffer *shellOutput
	line   *shellLine // under way
}

// shellLine is one line under way.
type shellLine struct {
	text  string
	mark  string
	began time.Time
}

var (
	errShellBusy  = errors.New("the line before has not ended: call Wait")
	errShellEnded = errors.New("the shell has ended")
	errShellIdle  = errors.New("no line was run")
)

// Shell opens a login shell and waits until it is ready. The end of ctx ends
// the waiting, not the shell: [Shell.Close] does, or the connection's end.
func (c *Conn) Shell(ctx context.Context, opts ShellOptions) (*Shell, error) {
	cmd := Command{PTY: opts.PTY, Encoding: opts.Encoding, MaxOutput: opts.MaxOutput, login: true}
	if opts.PTY != nil {
		pty := *opts.PTY
		if pty.Term == "" {
			pty.Term = "dumb"
		}
		cmd.PTY = &pty
	}
	limit := cmd.maxOutput(defaultMaxOutput)
	cmd.MaxOutput = -1
	s := &Shell{pty: opts.PTY != nil, opts: cmd, turn: make(chan struct{}, 1), buffer: newShellOutput(limit)}
	s.turn <- struct{}{}
	p, err := c.start(ctx, context.Background(), cmd, s.buffer)
	if err != nil {
		return nil, err
	}
	s.p = p
	go p.watch() // until the shell ends
	if _, err := s.Run(ctx, "PS1= PS2= PROMPT_COMMAND=; unset HISTFILE"); err != nil {
		p.Close()
		return nil, err
	}
	return s, nil
}

// Host returns the host with all its settings.
func (s *Shell) Host() Host { return s.p.Host() }

// Run runs a line, which may have several lines in it, and returns its output
// and status: an [*ExitError] where that is not 0. Where ctx ends first the
// error is a [*HostError] with [ErrTimeout] or [ErrCancelled], the Output is
// what has come, and the line goes on: [Shell.Wait] waits for it again. Where
// the line ended the shell, the Output is whole and the error the shell's, or
// [io.EOF] for status 0.
func (s *Shell) Run(ctx context.Context, line string) (Output, error) {
	release, err := s.take(ctx)
	if err != nil {
		return Output{Code: -1}, err
	}
	defer release()
	if s.line != nil {
		return Output{Code: -1}, s.failure(KindInvalid, errShellBusy)
	}
	script, err := Command{Line: line, Encoding: s.opts.Encoding, login: true}.build("")
	if err != nil {
		return Output{Code: -1}, s.failure(KindInvalid, err)
	}
	s.line = &shellLine{text: line, mark: newToken(), began: time.Now()}
	s.buffer.expect(s.line.mark, s.pty)
	if _, err := io.WriteString(s.p.Stdin, s.line.wrap(script, s.pty)); err != nil {
		<-s.p.done
	}
	return s.wait(ctx)
}

// wrap makes the shell say when the line begins and ends, and how. The marks
// are put together by printf so that a terminal's echo of the line has none.
// eval runs it in the shell itself and survives what it cannot parse.
func (l *shellLine) wrap(script string, pty bool) string {
	a, b := l.mark[:8], l.mark[8:]
	begin := fmt.Sprintf(`printf '%%s%%s\n' %s %s; `, a, b)
	end := fmt.Sprintf(`; printf '\n%%s%%s %%d\n' %s %s $?`, a, b)
	if !pty {
		begin += fmt.Sprintf(`printf '%%s%%s\n' %s %s >&2; `, a, b)
		end += fmt.Sprintf(`; printf '\n%%s%%s 0\n' %s %s >&2`, a, b)
	}
	return begin + "eval " + quoted(script) + " </dev/null" + end + "\n"
}

// Wait waits for a line that [Shell.Run] left running and returns all its
// output, as Run does.
func (s *Shell) Wait(ctx context.Context) (Output, error) {
	release, err := s.take(ctx)
	if err != nil {
		return Output{Code: -1}, err
	}
	defer release()
	if s.line == nil {
		return Output{Code: -1}, s.failure(KindInvalid, errShellIdle)
	}
	return s.wait(ctx)
}

func (s *Shell) take(ctx context.Context) (release func(), err error) {
	select {
	case <-s.turn:
		return func() { s.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, s.failure(endKind(context.Cause(ctx)), context.Cause(ctx))
	}
}

func (s *Shell) wait(ctx context.Context) (Output, error) {
	done := s.buffer.done()
	var err error
	select {
	case <-done:
	case <-s.p.done:
	case <-ctx.Done():
		err = s.failure(endKind(context.Cause(ctx)), context.Cause(ctx))
	}
	o := Output{Command: s.line.text, Code: -1, Run: time.Since(s.line.began), encoding: s.opts.Encoding}
	var code int
	var over bool
	o.Stdout, o.Stderr, code, over = s.buffer.take()
	o.OutBytes, o.ErrBytes = int64(len(o.Stdout)), int64(len(o.Stderr))
	select {
	case <-done:
		o.Code, s.line = code, nil
		if err = nil; code != 0 {
			err = &ExitError{Code: code}
		}
	default:
		if err == nil {
			s.line = nil
			o.Code = s.p.code
			if err = s.p.err; err == nil {
				err = io.EOF
			}
		}
	}
	if over {
		err = errors.Join(err, s.failure(KindOutputLimit, errors.New("the line wrote more than ShellOptions.MaxOutput")))
	}
	return o, err
}

func (s *Shell) failure(kind Kind, err error) error {
	if s.p.Done() {
		err = errShellEnded
	}
	return &HostError{Host: s.p.Host().Name, Stage: StageRun, Kind: kind, Err: err}
}

// Interrupt interrupts the line under way: by ^C on a terminal, else by an INT
// signal to the shell's process group, which ends a shell that does not trap it.
func (s *Shell) Interrupt() error {
	if s.pty {
		_, err := s.p.Stdin.Write([]byte{3})
		return err
	}
	return s.p.Signal(ssh.SIGINT)
}

// shellGrace is how long a shell has to end at its end of file.
const shellGrace = 5 * time.Second

// Close ends the shell by an end of file, and less gently where that is not
// enough, and returns its status as [Proc.Wait] does.
func (s *Shell) Close() error {
	if s.pty {
		s.p.Stdin.Write([]byte("exit\n"))
	}
	s.p.Stdin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), shellGrace)
	defer cancel()
	if Join(ctx, s.p) != nil {
		return s.p.Close()
	}
	return s.p.err
}

// shellOutput collects both outputs between the marks of a line.
type shellOutput struct {
	limit int64
	mu    sync.Mutex
	parts [2]shellPart
	end   chan struct{} // closed when the line has ended
}

// shellPart is one output of a line.
type shellPart struct {
	buf  []byte
	mark []byte // nil while no line runs
	from int    // of the output in buf; -1 before the first mark
	to   int    // -1 before the second
	code int
	over bool
}

func newShellOutput(limit int64) *shellOutput { return &shellOutput{limit: limit} }

// expect begins a line; what has come since the last is no line's.
func (o *shellOutput) expect(mark string, pty bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end = make(chan struct{})
	for i := range o.parts {
		o.parts[i] = shellPart{mark: []byte(mark), from: -1, to: -1}
	}
	if pty {
		o.parts[1].from, o.parts[1].to = 0, 0
	}
}

func (o *shellOutput) done() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.end
}

func (o *shellOutput) sink(stderr bool) func([]byte) error {
	part := &o.parts[0]
	if stderr {
		part = &o.parts[1]
	}
	return func(b []byte) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if part.mark == nil || part.to >= 0 {
			return nil
		}
		searched := max(0, len(part.buf)-len(part.mark)-16)
		part.buf = append(part.buf, b...)
		part.scan(searched)
		part.trim(o.limit)
		if o.parts[0].to >= 0 && o.parts[1].to >= 0 {
			select {
			case <-o.end:
			default:
				close(o.end)
			}
		}
		return nil
	}
}

// scan looks for the marks from an offset on.
func (p *shellPart) scan(at int) {
	if p.from < 0 {
		i := bytes.Index(p.buf[at:], p.mark)
		end := -1
		if i >= 0 {
			end = bytes.IndexByte(p.buf[at+i:], '\n')
		}
		if end < 0 {
			return
		}
		p.buf = p.buf[at+i+end+1:]
		p.from, at = 0, 0
	}
	i := bytes.Index(p.buf[at:], append([]byte("\n"), p.mark...))
	if i < 0 {
		return
	}
	status := p.buf[at+i+1+len(p.mark):]
	before, _, ok := bytes.Cut(status, []byte{'\n'})
	if !ok {
		return
	}
	p.code, _ = strconv.Atoi(string(bytes.TrimSpace(before)))
	p.to = len(bytes.TrimSuffix(p.buf[:at+i], []byte("\r")))
}

// trim drops what is over the limit, but not what may be a mark.
func (p *shellPart) trim(limit int64) {
	keep := int(limit)
	tail := len(p.mark) + 16
	if limit <= 0 || p.to >= 0 || len(p.buf) <= 2*keep+2*tail {
		return
	}
	p.over = true
	p.buf = append(p.buf[:keep], p.buf[len(p.buf)-tail:]...)
}

// take returns what has come of the line.
func (o *shellOutput) take() (stdout, stderr []byte, code int, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parts[0].output(o.limit), o.parts[1].output(o.limit), o.parts[0].code,
		o.parts[0].over || o.parts[1].over
}

func (p *shellPart) output(limit int64) []byte {
	b := p.buf
	switch {
	case p.from < 0:
		return nil
	case p.to >= 0:
		b = b[:p.to]
	}
	if limit > 0 && int64(len(b)) > limit {
		b, p.over = b[:limit], true
	}
	return bytes.Clone(b)
}
