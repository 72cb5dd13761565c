package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Proc is a command that was started. Its methods are safe for concurrent use.
type Proc struct {
	// Stdin is the command's input; closing it is the end of file. Writing
	// after the command has ended fails with [io.ErrClosedPipe].
	Stdin io.WriteCloser
	// Stdout and Stderr are the command's outputs.
	Stdout, Stderr *Stream

	conn      *Conn
	command   string
	cmd       Command
	session   *session
	began     time.Time     // of the command
	startTook time.Duration // before that
	base      int64         // writes on the wire before the request to start
	own       atomic.Int64  // writes since that were ours and are counted
	opened    int           // channels of the link so far
	uncounted atomic.Bool   // writes were made that are not counted

	life     context.Context
	failures chan *HostError // what ends the command from our side
	closing  chan struct{}
	close    sync.Once
	outputs  chan struct{} // closed when both outputs have ended
	ready    chan struct{} // closed when stdin may be written to
	readied  sync.Once
	sealed   atomic.Bool // late output is dropped
	lastByte atomic.Int64
	outBytes atomic.Int64
	errBytes atomic.Int64
	cleanup  []func()

	ending     sync.Mutex // held while the streams end and done is closed, as one
	done       chan struct{}
	err        error // set before done is closed, as the rest
	code       int
	signal     string
	outputOpen bool
	ran        time.Duration
}

// Host returns the host with all its settings.
func (p *Proc) Host() Host { return p.conn.host }

// Command returns the command line as it was sent, with sudo and shell.
func (p *Proc) Command() string { return p.command }

// Done reports whether the command has ended and all its output has come. It
// never touches the network.
func (p *Proc) Done() bool {
	p.ending.Lock()
	defer p.ending.Unlock()
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ExitCode returns the exit status; ok is false while the command runs and
// where it ended without one.
func (p *Proc) ExitCode() (code int, ok bool) {
	if !p.Done() || p.code < 0 {
		return -1, false
	}
	return p.code, true
}

// Wait waits for the command's end and returns nil for status 0, an
// [*ExitError], or a [*HostError]. Where ctx ends first it returns a
// [*TimeoutError], and the command goes on.
func (p *Proc) Wait(ctx context.Context) error {
	if err := Join(ctx, p); err != nil {
		return err
	}
	return p.err
}

// Join waits until all commands have ended, however they did: see [Proc.Wait]
// for that. Where ctx ends first it returns a [*TimeoutError] that tells the
// finished from the unfinished, which go on; Join may be called again. Nil
// procs, those of hosts that failed to start, are left out.
func Join(ctx context.Context, procs ...*Proc) error {
	var finished, unfinished []*Proc
	for _, p := range procs {
		if p == nil {
			continue
		}
		if !p.Done() {
			select {
			case <-p.done:
			case <-ctx.Done():
			}
		}
		if p.Done() {
			finished = append(finished, p)
		} else {
			unfinished = append(unfinished, p)
		}
	}
	if len(unfinished) == 0 {
		return nil
	}
	return &TimeoutError{Finished: finished, Unfinished: unfinished, Err: context.Cause(ctx)}
}

// Lines yields the lines of both outputs as they come; Text, End,
// Stderr and Continued of each [Line] are set, and Host. It ends and goes on as
// [Stream.Lines] does.
func (p *Proc) Lines(ctx context.Context) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		streams := []*Stream{p.Stdout, p.Stderr}
		ended := make([]error, len(streams))
		for {
			var waits [2]<-chan struct{} // nil waits for ever
			took := false
			for i, s := range streams {
				if ended[i] != nil {
					continue
				}
				text, end, wait, err := s.next()
				if waits[i] = wait; wait != nil {
					continue
				}
				if err != nil && err != ErrLineContinues {
					ended[i] = err
					continue
				}
				took = true
				if !yield(Line{Host: p.conn.host.Name, Stderr: i == 1, Text: text, End: end, Continued: err != nil}, nil) {
					return
				}
			}
			if ended[0] != nil && ended[1] != nil {
				if err := cmp.Or(lineEnd(ended[0]), lineEnd(ended[1])); err != nil {
					yield(Line{Host: p.conn.host.Name}, err)
				}
				return
			}
			if took {
				continue
			}
			select {
			case <-waits[0]:
			case <-waits[1]:
			case <-ctx.Done():
				yield(Line{Host: p.conn.host.Name}, context.Cause(ctx))
				return
			}
		}
	}
}

// lineEnd is why lines ended, nil for the regular end.
func lineEnd(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Output returns what is known of the command, without its outputs' bytes;
// complete once it has ended.
func (p *Proc) Output() Output {
	o := Output{Command: p.command, Code: -1, Start: p.startTook, encoding: p.cmd.Encoding,
		OutBytes: p.outBytes.Load(), ErrBytes: p.errBytes.Load()}
	if p.Done() {
		o.Code, o.Signal, o.OutputOpen, o.Run = p.code, p.signal, p.outputOpen, p.ran
	}
	return o
}

// Signal asks the server to send the command a signal (RFC 4254 §6.9). There
// is no answer: sshd ignores it for commands of root, and signals it does not
// know.
func (p *Proc) Signal(sig ssh.Signal) error {
	return p.request("signal", ssh.Marshal(struct{ Name string }{string(sig)}))
}

// Resize tells the command's terminal its new size (RFC 4254 §6.7).
func (p *Proc) Resize(rows, cols int) error {
	return p.request("window-change", ssh.Marshal(struct{ Cols, Rows, Width, Height uint32 }{uint32(cols), uint32(rows), 0, 0}))
}

func (p *Proc) request(name string, payload []byte) error {
	if p.Done() {
		return io.ErrClosedPipe
	}
	p.own.Add(1)
	_, err := p.session.channel.SendRequest(name, false, payload)
	return err
}

// Close ends the command: with a TERM signal, then KILL, at last by closing its
// session, which gives a command on a terminal a hang-up. It waits for that.
// The error is nil where the command's end was seen, before or now. What came
// of the outputs stays readable.
func (p *Proc) Close() error {
	p.close.Do(func() { close(p.closing) })
	<-p.done
	if he, ok := errors.AsType[*HostError](p.err); ok && he.MayRun {
		return p.err
	}
	return nil
}

// start opens a session and starts the command. ctx bounds the starting, life
// the command. Where out is not nil it takes what the command's own writers do
// not, the caller waits by calling watch, and Stdin is the command's alone.
func (c *Conn) start(ctx, life context.Context, cmd Command, out sinks) (*Proc, error) {
	began := time.Now()
	if c.gone.Load() {
		return nil, &HostError{Host: c.host.Name, Stage: StagePrepare, Kind: KindCancelled, Err: errConnClosed}
	}
	line, err := cmd.lineFor(c.host)
	if err != nil {
		return nil, lineError(c.host, err)
	}
	cmd.Line = line
	token := ""
	if cmd.Sudo != nil && cmd.Sudo.Password != "" {
		token = newToken()
	}
	built, err := cmd.build(token)
	if err != nil {
		return nil, &HostError{Host: c.host.Name, Stage: StagePrepare, Kind: KindInvalid, Err: err}
	}
	agent, err := c.agent()
	if err != nil {
		return nil, err
	}
	if cmd.PTY == nil && !cmd.login {
		cmd.PTY = c.host.PTY
	}
	p := newProc(c, cmd, built, life)
	if p.session, err = c.peer.session(ctx); err != nil {
		err.(*HostError).Host = c.host.Name
		return nil, err
	}
	if token != "" && p.session.link.noSecret {
		p.session.channel.Close()
		p.session.leave()
		return nil, &HostError{Host: c.host.Name, Stage: StageHostKey, Kind: KindHostKeyChanged,
			Err: errors.New("the password for sudo is not sent: the host's key is not the known one")}
	}
	c.forwardAgent(p.session.link, agent)
	if err := p.begin(ctx, cmd); err != nil {
		return nil, err
	}
	p.began = time.Now()
	p.startTook = p.began.Sub(began)
	p.limit(cmd.Timeout)
	c.peer.keep()
	p.run(cmd, token, out)
	return p, nil
}

// limit ends the command's life after d.
func (p *Proc) limit(d time.Duration) {
	if d > 0 {
		life, cancel := context.WithTimeoutCause(p.life, d, &overtimeError{d})
		p.life, p.cleanup = life, append(p.cleanup, cancel)
	}
}

// overtimeError is the cause of the end of a command that ran for too long.
type overtimeError struct{ limit time.Duration }

func (e *overtimeError) Error() string        { return "timed out after " + e.limit.String() }
func (e *overtimeError) Is(target error) bool { return target == context.DeadlineExceeded }

// lineError is a command line that could not be made for the host, or for
// another one of the run.
func lineError(h Host, err error) *HostError {
	kind := KindInvalid
	if errors.Is(err, ErrNotRun) {
		kind = KindNotRun
	}
	return &HostError{Host: h.Name, Stage: StagePrepare, Kind: kind, Err: err}
}

func newProc(c *Conn, cmd Command, built string, life context.Context) *Proc {
	return &Proc{
		Stdout: &Stream{decoder: cmd.decoder()}, Stderr: &Stream{decoder: cmd.decoder()},
		conn: c, command: built, cmd: Command{Encoding: cmd.Encoding, KillAfter: cmd.KillAfter, PTY: cmd.PTY},
		life: life, failures: make(chan *HostError, 1), closing: make(chan struct{}),
		outputs: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{}), code: -1,
	}
}

// begin asks for the terminal, and for the command's start. Only the latter is
// answered, so that starting costs one round trip (RFC 4254 §6.5).
func (p *Proc) begin(ctx context.Context, cmd Command) error {
	s := p.session
	s.link.mu.Lock()
	p.opened = s.link.opened
	p.uncounted.Store(s.link.open != 1 || s.link.forwards != 0)
	s.link.mu.Unlock()
	p.base = s.link.written()
	env := p.conn.host.Env
	p.own.Add(1 + int64(len(env)))
	if cmd.PTY != nil {
		p.own.Add(1)
	}
	forwards := s.link.forwardsAgent()
	if forwards {
		p.own.Add(1)
	}
	request, payload := "exec", ssh.Marshal(struct{ Command string }{p.command})
	if cmd.login {
		request, payload = "shell", nil
	}
	ok, err := await(ctx, s.link, p.conn.host.Timeout, func() (bool, error) {
		if forwards {
			if _, err := s.channel.SendRequest("auth-agent-req@openssh.com", false, nil); err != nil {
				return false, err
			}
		}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			if _, err := s.channel.SendRequest("env", false, ssh.Marshal(struct{ Name, Value string }{name, value})); err != nil {
				return false, err
			}
		}
		if cmd.PTY != nil {
			if _, err := s.channel.SendRequest("pty-req", false, cmd.PTY.payload()); err != nil {
				return false, err
			}
		}
		return s.channel.SendRequest(request, true, payload)
	})
	if err == nil && ok {
		return nil
	}
	he := &HostError{Host: p.conn.host.Name, Stage: StageExec, Err: err}
	switch {
	case err == nil:
		he.Kind, he.Err = KindExecRefused, errors.New("the server refused to start the command")
	case ctx.Err() != nil, errors.Is(err, errBudget):
		he.Kind, he.MayRun = endKind(err), true
	case s.link.alive():
		he.Kind, he.Err = KindExecRefused, errors.New("the server closed the session instead of starting the command")
	default:
		he.MayRun = true
		if he.Kind, he.Err = s.link.end(err); isUnimplemented(he.Err) {
			he.Kind, he.MayRun, he.Err = KindExecRefused, false, errors.New("the server knows no request to start commands")
		}
		he.at()
	}
	s.channel.Close()
	s.leave()
	return he
}

// isUnimplemented reports whether the connection ended because the server did
// not know a message (RFC 4253 §11.4), for which x/crypto has no use.
func isUnimplemented(err error) bool {
	return strings.Contains(err.Error(), "unexpected message type 3 ")
}

func (t *PTY) payload() []byte {
	term, rows, cols := t.Term, t.Rows, t.Cols
	if term == "" {
		term = "xterm"
	}
	if rows <= 0 || cols <= 0 {
		rows, cols = 24, 80
	}
	var modes []byte
	for op, value := range t.Modes {
		modes = append(modes, ssh.Marshal(struct {
			Op    byte
			Value uint32
		}{op, value})...)
	}
	return ssh.Marshal(struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}{term, uint32(cols), uint32(rows), 0, 0, string(append(modes, 0))})
}

// fail ends the command from our side, for the first reason given.
func (p *Proc) fail(kind Kind, err error) {
	select {
	case p.failures <- &HostError{Kind: kind, Err: err}:
	default:
	}
}

// seal marks the end: what comes late is dropped, who waits to write wakes up.
func (p *Proc) seal() {
	p.sealed.Store(true)
	p.openStdin()
	for _, f := range p.cleanup {
		f()
	}
}

// end makes the end known: who has read to a stream's end finds the command
// done, and the other way round.
func (p *Proc) end() {
	end := io.EOF
	if he, ok := errors.AsType[*HostError](p.err); ok {
		end = he
	}
	p.ending.Lock()
	defer p.ending.Unlock()
	p.Stdout.finish(end)
	p.Stderr.finish(end)
	close(p.done)
}

func (p *Proc) openStdin() { p.readied.Do(func() { close(p.ready) }) }

func (p *Proc) String() string { return fmt.Sprintf("%s: %s", p.conn.host.Name, p.command) }
