package sshtest

import (
	"context"
	"fmt"
	"io"
	"path"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A Handler runs a session: a command, a shell or a subsystem. ctx ends when
// the client closes the channel or the connection, or when the fleet closes.
// Returning ends the session: the exit status is sent, unless SendExit has been
// called, and the channel is closed.
type Handler func(ctx context.Context, s *Session) ExitStatus

// An ExitStatus is how a command ended (RFC 4254 §6.10). The zero value is
// success.
type ExitStatus struct {
	// Code is sent as exit-status where Signal is "".
	Code uint32
	// Signal is the name of the signal that ended the command, without SIG.
	Signal ssh.Signal
	// CoreDumped and Message are sent along with Signal.
	CoreDumped bool
	Message    string
}

// String returns the code, or the signal's name.
func (e ExitStatus) String() string {
	if e.Signal != "" {
		return "signal " + string(e.Signal)
	}
	return fmt.Sprint(e.Code)
}

// A Window is the size of a terminal.
type Window struct {
	Columns, Rows uint32 // characters
	Width, Height uint32 // pixels; often 0
}

// String returns COLUMNSxROWS.
func (w Window) String() string { return fmt.Sprintf("%dx%d", w.Columns, w.Rows) }

// A PTY is the pseudo terminal that a client asked for (RFC 4254 §6.2).
type PTY struct {
	Term   string // the value of TERM
	Window Window // the size at first; Session.Resizes tells of others
	Modes  ssh.TerminalModes
}

// A Session is what a Handler works on.
type Session struct {
	Host Host
	User string
	Conn uint64 // the connection's number, as in events

	Command   string   // the command line, exactly as sent; "" for a shell
	Subsystem string   // the subsystem's name, or ""
	Env       []string // NAME=value, in the order sent
	PTY       *PTY     // nil if the client wants none

	Stdin  io.Reader // ends at the client's EOF
	Stdout io.Writer // may be used by several goroutines, as may Stderr
	Stderr io.Writer
	// Signals are those that the client sends; one that nobody has received
	// yet may be dropped when more than 16 wait.
	Signals <-chan ssh.Signal
	// Resizes are new sizes of the terminal; only the latest is kept.
	Resizes <-chan Window

	conn     *conn
	number   int
	ch       ssh.Channel
	signals  chan ssh.Signal
	resizes  chan Window
	out, err *output
	started  bool
	exit     sync.Once
}

func newSession(c *conn, number int, ch ssh.Channel) *Session {
	s := &Session{
		Host: c.host.Host, User: c.user, Conn: c.id, Stdin: ch,
		conn: c, number: number, ch: ch,
		signals: make(chan ssh.Signal, 16),
		resizes: make(chan Window, 1),
		out:     &output{w: ch}, err: &output{w: ch.Stderr()},
	}
	s.Stdout, s.Stderr, s.Signals, s.Resizes = s.out, s.err, s.signals, s.resizes
	return s
}

// An output is one stream of a session to the client.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	done bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return 0, io.ErrClosedPipe
	}
	return o.w.Write(p)
}

// Agent opens a connection to the client's agent (auth-agent@openssh.com), which
// the client refuses unless a session was given it: see [EventAgent].
func (s *Session) Agent() (io.ReadWriteCloser, error) {
	ch, requests, err := s.conn.ssh.OpenChannel("auth-agent@openssh.com", nil)
	if err != nil {
		return nil, err
	}
	s.conn.wg.Go(func() { ssh.DiscardRequests(requests) })
	return ch, nil
}

// event logs e for this session.
func (s *Session) event(e Event) {
	if s.conn.fleet.log == nil {
		return
	}
	e.Session, e.User = s.number, s.User
	s.conn.event(e)
}

// serve answers the channel's requests until the client closes it.
func (s *Session) serve(ctx context.Context, requests <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for req := range requests {
		s.request(ctx, request{req.Type, req.Payload, func(ok bool) { req.Reply(ok, nil) }})
	}
}

// A request is a channel request (RFC 4254 §5.4), however it came in.
type request struct {
	typ     string
	payload []byte
	reply   func(ok bool) // does nothing where no reply is wanted
}

func (s *Session) request(ctx context.Context, req request) {
	switch req.typ {
	case "exec", "shell", "subsystem":
		s.begin(ctx, req)
	case "env":
		req.reply(!s.started && s.setEnv(req.payload))
	case "pty-req":
		req.reply(!s.started && s.setPTY(req.payload))
	case "auth-agent-req@openssh.com":
		req.reply(true)
		s.event(Event{Kind: EventAgent, OK: true})
	case "window-change":
		req.reply(s.resize(req.payload))
	case "signal":
		req.reply(s.signal(req.payload))
	default:
		req.reply(false)
	}
}

// begin starts the one program of a session (RFC 4254 §6.5).
func (s *Session) begin(ctx context.Context, req request) {
	handler := s.program(req)
	if handler == nil || s.started {
		req.reply(false)
		return
	}
	s.started = true
	if s.playRequest(req) {
		return
	}
	req.reply(true)
	s.conn.wg.Go(func() { s.run(ctx, handler) })
}

// program finds the handler that a request asks for; nil if there is none.
func (s *Session) program(req request) Handler {
	if req.typ == "shell" {
		s.event(Event{Kind: EventShell, OK: true})
		return s.conn.fleet.cfg.Handler
	}
	var arg struct{ Value string }
	if ssh.Unmarshal(req.payload, &arg) != nil {
		return nil
	}
	if req.typ == "exec" {
		s.Command = arg.Value
		s.event(Event{Kind: EventExec, Detail: arg.Value, OK: true})
		return s.conn.fleet.cfg.Handler
	}
	s.Subsystem = arg.Value
	h := s.conn.fleet.subsystem(s.Host.Index, arg.Value)
	s.event(Event{Kind: EventSubsystem, Detail: arg.Value, OK: h != nil})
	return h
}

func (s *Session) run(ctx context.Context, handler Handler) {
	if s.conn.fault.Kind != "" {
		s.play(ctx, handler)
		return
	}
	s.end(handler(ctx, s))
}

// end sends what ends a session, all at once.
func (s *Session) end(status ExitStatus) {
	s.conn.wire.cork()
	defer s.conn.wire.uncork()
	s.SendExit(status)
	s.closeWrite()
	s.ch.Close()
}

// SendExit sends the exit status before the handler returns, as sshd does when
// a command has ended but something it started still writes. Only the first
// status counts.
func (s *Session) SendExit(e ExitStatus) {
	s.exit.Do(func() {
		s.event(Event{Kind: EventExit, Detail: e.String(), OK: e == ExitStatus{}})
		if e.Signal == "" {
			s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{e.Code}))
			return
		}
		s.ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal        string
			CoreDumped    bool
			Message, Lang string
		}{string(e.Signal), e.CoreDumped, e.Message, ""}))
	})
}

// closeWrite sends EOF, unless someone is in the middle of writing: then the
// close that follows has to do.
func (s *Session) closeWrite() {
	if !s.out.mu.TryLock() {
		return
	}
	defer s.out.mu.Unlock()
	if !s.err.mu.TryLock() {
		return
	}
	defer s.err.mu.Unlock()
	s.out.done, s.err.done = true, true
	s.ch.CloseWrite()
}

// maxEnv is the number of variables that a client can set, as of sshd.
const maxEnv = 128

func (s *Session) setEnv(payload []byte) bool {
	var env struct{ Name, Value string }
	if ssh.Unmarshal(payload, &env) != nil {
		return false
	}
	ok := len(s.Env) < maxEnv && s.conn.fleet.acceptsEnv(env.Name)
	setting := env.Name + "=" + env.Value
	s.event(Event{Kind: EventEnv, Detail: setting, OK: ok})
	if ok {
		s.Env = append(s.Env, setting)
	}
	return ok
}

func (f *Fleet) acceptsEnv(name string) bool {
	if f.cfg.AcceptEnv == nil {
		return true
	}
	for _, pattern := range f.cfg.AcceptEnv {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

func (s *Session) setPTY(payload []byte) bool {
	var req struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        []byte
	}
	if ssh.Unmarshal(payload, &req) != nil {
		return false
	}
	window := Window{req.Columns, req.Rows, req.Width, req.Height}
	s.PTY = &PTY{Term: req.Term, Window: window, Modes: parseModes(req.Modes)}
	s.event(Event{Kind: EventPTY, Detail: req.Term + " " + window.String(), OK: true})
	return true
}

func (s *Session) resize(payload []byte) bool {
	var w Window
	if ssh.Unmarshal(payload, &w) != nil {
		return false
	}
	select {
	case <-s.resizes: // an older size that nobody has seen
	default:
	}
	s.resizes <- w
	s.event(Event{Kind: EventResize, Detail: w.String(), OK: true})
	return true
}

func (s *Session) signal(payload []byte) bool {
	var sig struct{ Name string }
	if ssh.Unmarshal(payload, &sig) != nil {
		return false
	}
	ok := len(s.signals) < cap(s.signals) // nobody else sends
	s.event(Event{Kind: EventSignal, Detail: sig.Name, OK: ok})
	if ok {
		s.signals <- ssh.Signal(sig.Name)
	}
	return ok
}

// parseModes reads encoded terminal modes (RFC 4254 §8) as far as they are
// well formed.
func parseModes(b []byte) ssh.TerminalModes {
	const ttyOpEnd, firstUndefined = 0, 160
	modes := ssh.TerminalModes{}
	for len(b) >= 5 && b[0] != ttyOpEnd && b[0] < firstUndefined {
		modes[b[0]] = uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
		b = b[5:]
	}
	return modes
}
