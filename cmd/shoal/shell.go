package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

const shellHelp = `Run one command after the other on the same hosts, over connections that stay
open.

Each line is a command of its own, given to the login shell of each host. ^C ends
the command, on the hosts too, and not the session; ^D, :quit or exit leaves. Tab
completes commands and files as the first host has them, and arrow keys bring
back earlier lines; a line that begins with a blank is not remembered.

  +EXPR -EXPR @GROUP     add hosts, take some out, add a group
  :only EXPR  :failed    go on with some of the hosts, those that failed in the
                         last command, or with :all of them
  :hosts                 the hosts and how each of them ended last
  :fold on|off|loose     equal output once, or lines as they come
  :dir :sudo :timeout :fanout   as the flags of those names
  !COMMAND               run it here and not on the hosts
  :help                  all of this

Without a terminal the lines are read from standard input, without a prompt; a
line that begins with # is passed over. A command that fails does not end such a
script, a mistake in one of Shoal's own lines does. The exit code is that of the
worst command, as with shoal run.`

const shellExample = `  shoal shell -w 'web[01-20],db1' -b
  shoal shell -g web --sudo -K --dir /srv
  printf '%s\n' uptime 'df -h /' | shoal shell -w 'web[01-20]' -b`

func (a *app) shellCommand() *cobra.Command {
	var f runFlags
	f.target.example = "shoal shell -w 'web[1-20]'"
	groups := []flagGroup{
		newGroup("Hosts", f.target.add, f.target.addYes),
		newGroup(connectionGroup, func(fs *pflag.FlagSet) { f.connect.add(fs); f.connect.addTransport(fs); f.connect.addAgent(fs) }),
		newGroup("Commands", some(f.command.add, "sudo", "ask-sudo-pass", "shell", "dir", "env", "tty", "encoding", "timeout"),
			some(f.pace.add, "fanout", "fail-fast")),
		newGroup("Output", some(f.output.add, "fold", "fold-stderr", "live-fold", "by-host", "diff", "no-labels", "timestamps", "timings",
			"quiet", "redact", "raw", "color", "verbose"), f.journal.add),
	}
	c := &cobra.Command{
		Use:                   "shell -w HOSTS [FLAGS]",
		Short:                 "Run one command after the other, over connections kept open",
		Long:                  shellHelp,
		Example:               shellExample,
		DisableFlagsInUseLine: true,
		Args:                  noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			f.command.ttySaid = c.Flags().Changed("tty")
			return a.shell(c.Context(), &f)
		},
	}
	addGroups(c, groups)
	return c
}

// some adds only the named ones of the flags that add adds.
func some(add func(*pflag.FlagSet), names ...string) func(*pflag.FlagSet) {
	return func(fs *pflag.FlagSet) {
		all := pflag.NewFlagSet("", pflag.ContinueOnError)
		add(all)
		for _, name := range names {
			fs.AddFlag(all.Lookup(name))
		}
	}
}

// noCommand refuses words, which many would take for a command.
func noCommand(_ *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	return &usageError{what: fmt.Sprintf("shell takes no command, got %q", words[0]), hint: "for one command: shoal run -w HOSTS COMMAND"}
}

// session is a shoal shell: hosts, how commands run on them, and what became of
// the last ones.
type session struct {
	job     // what its commands share; its hosts are those that commands run on
	app     *app
	flags   *runFlags
	person  bool   // sits at the terminal
	sudoPwd string // that sudo gets; empty for none

	all    []shoal.Host         // of the session
	ended  map[string]hostState // by name: how the host's last command ended
	failed map[string]bool      // by name: it did in the last command

	number int // of the line
	worst  int // exit code of the commands

	leave context.CancelCauseFunc

	mu          sync.Mutex
	stop        context.CancelCauseFunc // of the command that runs; nil at the prompt
	interrupted bool                    // by ^C, and not noticed yet
}

// manyHosts is more than a session has.
const manyHosts = 1_000_000

// hostState is how a host's last command ended.
type hostState struct {
	ok    bool
	reach reach
	text  string
}

// reach is what is known of whether a host can be reached. Smaller is better.
type reach int

const (
	reached reach = iota - 1
	unknown
	unreached
)

// lineSource is where commands come from. The error of read is io.EOF at the end.
type lineSource interface {
	read(ctx context.Context, prompt string) (string, error)
	drop() // what was typed already
	close() error
}

// shell is shoal shell.
func (a *app) shell(ctx context.Context, f *runFlags) error {
	if err := checkShell(f); err != nil {
		return err
	}
	hosts, err := a.targets(ctx, &f.target, &f.connect, nil)
	if hosts == nil {
		return err
	}
	s := &session{
		job: newJob(a, &f.output.viewFlags, &f.pace, hosts), app: a, flags: f, person: isTerminal(a.stdin),
		all: hosts, ended: make(map[string]hostState),
	}
	s.client.MaxIdle = maxIdle()
	s.console.screen.Raw = f.output.raw
	f.connect.config.PTY = f.command.configuredPTY(a.stdin, a.stderr, a.stdout)
	ctx, s.leave = context.WithCancelCause(ctx)
	defer s.leave(nil)
	watch := &signals{cancel: s.leave, interrupt: s.interrupt}
	defer watch.watch()()
	defer s.client.Close()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	from, err := s.lines()
	if err != nil {
		return err
	}
	return errors.Join(s.loop(ctx, from), from.close())
}

// checkShell refuses what cannot work, before anything is done.
func checkShell(f *runFlags) error {
	if f.target.stdin() {
		return &usageError{what: "standard input has the commands, and cannot have the hosts too", hint: "name the hosts by a file: --hosts-file FILE"}
	}
	if _, err := f.command.command([]string{"true"}); err != nil {
		return err
	}
	f.rollout.yes = f.target.yes
	return errors.Join(f.output.check(), f.connect.check(), f.connect.checkAgent(&f.target))
}

// prepare asks what must be known beforehand and readies the client.
func (s *session) prepare(ctx context.Context) error {
	ctx, done := s.begin(ctx)
	defer done()
	r := &runner{job: s.job}
	if err := r.prepare(ctx, s.flags); err != nil {
		return err
	}
	if r.command.Sudo != nil {
		s.sudoPwd = r.command.Sudo.Password
	}
	s.noteBegins()
	return nil
}

// lines are those that a person types, or a script.
func (s *session) lines() (lineSource, error) {
	if !s.person {
		return newScriptLines(s.app.stdin), nil
	}
	s.app.say(fmt.Sprintf("%s; :help says what can be typed, ^D leaves", hostsText(hostNames(s.hosts))))
	h := openHistory(s.flags.output.redact.find, func(err error) { s.console.say("warning: lines are not remembered: " + err.Error()) })
	return newEditor(h, s.complete)
}

// begin begins what ^C ends without ending the session.
func (s *session) begin(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.cancel, s.cause = cancel, func() error { return context.Cause(ctx) }
	s.ask.gone = nil // who did not answer before may do now
	s.setStop(cancel)
	return ctx, func() {
		s.setStop(nil)
		cancel(nil)
	}
}

func (s *session) setStop(stop context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
}

// takeInterrupt reports whether ^C ended something since it was called before.
func (s *session) takeInterrupt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.interrupted
	s.interrupted = false
	return was
}

// interrupt is what ^C does.
func (s *session) interrupt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.person:
		s.leave(err)
	case s.stop != nil:
		s.interrupted = true
		s.stop(err)
	}
}

var errQuit = errors.New("the session was left")

// loop does what each line says. The error of a script is its exit code.
func (s *session) loop(ctx context.Context, from lineSource) error {
	for {
		s.console.hold() // what comes meanwhile must not tear the line
		line, err := from.read(ctx, s.prompt())
		s.console.release()
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err == io.EOF {
			return s.result()
		}
		if err != nil {
			return err
		}
		s.number++
		err = s.do(ctx, line)
		if s.takeInterrupt() {
			from.drop() // further lines of what was pasted
		}
		switch cause := context.Cause(ctx); {
		case cause != nil:
			return cause
		case err == errQuit:
			return s.result()
		case s.console.screen.Err() != nil:
			return &codeError{exitPipe}
		case err == nil:
		case s.person:
			s.app.finish(err)
		default:
			return s.located(err)
		}
	}
}

// result is how the session ends: a person has seen how the commands did.
func (s *session) result() error {
	if s.person || s.worst == exitOK {
		return nil
	}
	return &codeError{s.worst}
}

// located says in which line of a script a mistake is.
func (s *session) located(err error) error {
	where := fmt.Sprintf("line %d: ", s.number)
	if e, ok := errors.AsType[*usageError](err); ok {
		return &usageError{what: where + e.what, where: e.where, hint: e.hint}
	}
	if e, ok := errors.AsType[*noHostsError](err); ok {
		return &noHostsError{what: where + e.what, hint: e.hint}
	}
	return err
}

// prompt says how many hosts there are, as whom commands run where that is by sudo,
// and how many hosts failed last.
func (s *session) prompt() string {
	text := "shoal " + count(len(s.hosts))
	if user := s.flags.command.sudo; user != "" {
		text += " as " + render.Sanitize(user)
	}
	failed := 0
	for _, h := range s.hosts {
		if state, ok := s.ended[h.Name]; ok && !state.ok {
			failed++
		}
	}
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text + "> "
}

// do does what one line says.
func (s *session) do(ctx context.Context, line string) error {
	text := strings.TrimSpace(line)
	switch {
	case text == "", text[0] == '#':
		return nil
	case text == "exit", text == "logout", text == "quit":
		return errQuit
	case text[0] == '!':
		return s.local(ctx, text[1:])
	case text[0] == ':' && len(text) > 1 && text[1] != ' ' && text[1] != '\t': // a colon alone is a command of POSIX
		return s.own(ctx, text[1:])
	case text[0] == '+', text[0] == '@':
		return s.add(ctx, strings.TrimPrefix(text, "+"))
	case text[0] == '-':
		return s.remove(ctx, text[1:])
	case changesFolder(text):
		return &usageError{what: "each line is a command of its own: a folder that it changes to is forgotten at its end",
			hint: "keep the folder with :dir " + strings.TrimSpace(strings.TrimPrefix(text, "cd")) + ", or go on in the same line: " + text + " && COMMAND"}
	}
	return s.run(ctx, line)
}

// changesFolder reports whether a command changes the folder and does nothing else.
func changesFolder(line string) bool {
	return (line == "cd" || strings.HasPrefix(line, "cd ")) && !strings.ContainsAny(line, ";&|\n")
}

// run runs a command on the hosts.
func (s *session) run(ctx context.Context, line string) error {
	f := s.flags
	command, err := f.command.command([]string{line})
	if err != nil {
		return err
	}
	command.Sudo = f.command.sudoer(s.sudoPwd)
	command.PTY = f.command.pty(s.app.stderr, s.app.stdout)
	s.console.renew()
	show, err := f.output.renderer(s.console.screen)
	if err != nil {
		return err
	}
	ctx, done := s.begin(ctx)
	defer done()
	r := newRunner(s.job, command, show)
	r.quiet = f.output.quiet
	r.origin.args = s.commandLine(r.origin.args, line)
	s.app.keep(&r.job, &f.journal)
	r.redact(f.output.redact.find)
	r.renderer = render.Tee{r.renderer, (*stateKeeper)(s)}
	err = r.watch(ctx)
	if e, ok := errors.AsType[*codeError](err); ok {
		s.worst = worse(s.worst, e.code)
		return nil
	}
	return err
}

// worse is the worse one of two exit codes of commands.
func worse(a, b int) int {
	for _, code := range []int{exitPipe, 128 + int(syscall.SIGINT), exitInternal, exitPolicy, exitNoReach, exitTimeout, exitViolated, exitFailed} {
		if a == code || b == code {
			return code
		}
	}
	return exitOK
}

// stateKeeper keeps how the hosts of a session ended.
type stateKeeper session

func (s *stateKeeper) Start(render.Start)   { s.failed = make(map[string]bool) }
func (s *stateKeeper) Lines([]render.Line)  {}
func (s *stateKeeper) End(render.End) error { return nil }
func (s *stateKeeper) Exit(x render.Exit) {
	state := hostState{ok: x.Status == render.OK, reach: s.ended[x.Host].reach, text: statusText(&x)}
	switch x.Status {
	case render.OK, render.Failed, render.Signal:
		state.reach = reached
	case render.Unreachable, render.HostKey, render.Auth:
		state.reach = unreached
	case render.Timeout, render.Cancelled:
		if x.Remote == render.Killed {
			state.reach = reached
		} else if x.Status == render.Timeout {
			state.reach = unreached
		}
	case render.Lost:
		state.reach = unknown
	}
	s.ended[x.Host] = state
	if !state.ok {
		s.failed[x.Host] = true
	}
}

// commandLine is what shoal run would have been given for this line: what the
// session was given, with what has been changed since then. It is nil where that
// is not known.
func (s *session) commandLine(given []string, line string) []string {
	end := slices.Index(given, "--")
	if end < 0 {
		return nil
	}
	f := s.flags
	words := []string{"run", "--hosts=" + fold(hostNames(s.hosts))}
	own := append(targetNames(), "yes", "dir", "sudo", "ask-sudo-pass", "timeout", "fanout", "fold", "fold-stderr", "live-fold", "by-host", "diff")
	for _, word := range given[1:end] {
		name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		if !slices.Contains(own, name) || name == settings {
			words = append(words, word)
		}
	}
	for _, flag := range []struct {
		name, value string
	}{
		{"dir", f.command.dir}, {"sudo", f.command.sudo}, {"timeout", f.command.timeLimit.String()},
		{"fanout", f.pace.fanout.String()}, {"fold", f.output.fold.word},
		{"ask-sudo-pass", yes(f.command.sudo != "" && s.sudoPwd != "")},
		{"fold-stderr", yes(f.output.foldStderr)}, {"live-fold", yes(f.output.both)},
		{"by-host", yes(f.output.byHost)}, {"diff", yes(f.output.diff)},
	} {
		if flag.value != "" {
			words = append(words, "--"+flag.name+"="+flag.value)
		}
	}
	return append(words, "--", line)
}

// yes is the value of a flag that is set, and nothing for one that is not.
func yes(set bool) string {
	if set {
		return "true"
	}
	return ""
}
