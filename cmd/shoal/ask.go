package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

// asker asks the person at the terminal, one question at a time. It talks to
// the terminal itself, since standard input may be a pipe.
type asker struct {
	console *console
	hosts   int // in the run

	silent atomic.Bool // nobody is to be asked now

	turn   sync.Mutex // of the question that stands there
	gone   error      // the person answers no more
	shared map[string]*password
}

// password is a login password that was given for one host and is tried on the
// others of the same user, so that nobody types it a thousand times.
type password struct {
	text  string
	given int            // counts the times it was typed
	tried map[string]int // by host: which of them
}

var (
	errNoTerminal = errors.New("there is no terminal to ask on")
	errSilent     = errors.New("nobody is asked now")
)

// check reports that nobody can be asked.
func (a *asker) check() error {
	in, out, err := openTerminal()
	if err != nil {
		return errNoTerminal
	}
	return errors.Join(closeTerminal(in, out))
}

// present reports whether a person sits there and sees what happens.
func (a *asker) present() bool { return a.console.screen.StderrTTY && a.check() == nil }

// sudoPassword asks for the password that is given to sudo on all hosts.
func (a *asker) sudoPassword(ctx context.Context) (string, error) {
	text, err := a.ask(ctx, "Password for sudo on "+count(a.hosts)+": ", false)
	if err == nil && text == "" {
		err = &usageError{what: "-K: no password was given", hint: "without -K, sudo is used where it wants none"}
	}
	return text, err
}

// login answers what servers ask: see [shoal.Ask].
func (a *asker) login(ctx context.Context, q shoal.Question) (string, error) {
	prompt := q.Prompt
	if q.Kind == shoal.AskInteractive && q.User != "" {
		whose := q.Host
		if !strings.Contains(whose, "@") {
			whose = q.User + "@" + whose
		}
		prompt = whose + ": " + prompt
	}
	if q.Attempt > 1 {
		prompt = fmt.Sprintf("(attempt %d) %s", q.Attempt, prompt)
	}
	a.turn.Lock()
	defer a.turn.Unlock()
	if q.Kind == shoal.AskPassphrase || !wantsPassword(q) {
		return a.question(ctx, prompt, q.Echo)
	}
	return a.password(ctx, q, prompt)
}

// wantsPassword reports whether the question is for the login password, which
// servers with PAM ask for as for anything else.
func wantsPassword(q shoal.Question) bool {
	return q.Kind == shoal.AskPassword || !q.Echo && strings.Contains(strings.ToLower(q.Prompt), "password")
}

// password asks, unless a password was typed that this host has not refused.
func (a *asker) password(ctx context.Context, q shoal.Question, prompt string) (string, error) {
	if a.shared == nil {
		a.shared = make(map[string]*password)
	}
	p := a.shared[q.User]
	if p == nil {
		p = &password{tried: make(map[string]int)}
		a.shared[q.User] = p
	}
	if p.given == p.tried[q.Host] {
		if a.hosts > 1 {
			prompt = "(used for all hosts) " + prompt
		}
		text, err := a.question(ctx, prompt, q.Echo)
		if err != nil {
			return "", err
		}
		p.text = text
		p.given++
	}
	p.tried[q.Host] = p.given
	return p.text, nil
}

// hostKey asks about a host that is not known: see [shoal.KnownHosts].
func (a *asker) hostKey(ctx context.Context, q shoal.HostKeyQuestion) (bool, error) {
	prompt := fmt.Sprintf("The host key of %s is not known:\n  %s %s\nTrust it from now on (yes, no, or the fingerprint to compare with)? ",
		q.Addr, q.Type, q.Fingerprint)
	for {
		answer, err := a.ask(ctx, prompt, true)
		if err != nil {
			return false, err
		}
		answer = strings.TrimSpace(answer)
		switch strings.ToLower(answer) {
		case "yes", "y":
			return true, nil
		case "no", "n":
			return false, nil
		}
		if answer == q.Fingerprint {
			return true, nil
		}
		prompt = "Neither yes nor no, nor this fingerprint. Trust it? "
	}
}

// confirm asks a question whose answer is no unless it is yes.
func (a *asker) confirm(ctx context.Context, prompt string) (bool, error) {
	for prompt += " (y/N)? "; ; prompt = "Neither yes nor no" + prompt[len(prompt)-len(" (y/N)? "):] {
		answer, err := a.ask(ctx, prompt, true)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "yes", "y":
			return true, nil
		case "no", "n", "":
			return false, nil
		}
	}
}

// ask puts one question and returns the answer, without its line end.
func (a *asker) ask(ctx context.Context, prompt string, echo bool) (string, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	return a.question(ctx, prompt, echo)
}

// question is ask for those whose turn it is.
func (a *asker) question(ctx context.Context, prompt string, echo bool) (string, error) {
	if a.silent.Load() {
		return "", errSilent
	}
	if a.gone != nil {
		return "", a.gone
	}
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	in, out, err := openTerminal()
	if err != nil {
		return "", errNoTerminal
	}
	a.console.hold()
	defer a.console.release()
	text, err := converse(ctx, in, out, prompt, echo)
	if err != nil {
		a.gone = err
	}
	return text, err
}

// converse writes the prompt and reads a line. On systems where nothing ends a read
// from a terminal, its goroutine stays until the program ends where ctx ends first.
func converse(ctx context.Context, in, out *os.File, prompt string, echo bool) (string, error) {
	free := true // nobody reads
	defer func() {
		if free {
			closeTerminal(in, out)
		}
	}()
	var state *term.State
	err := control(in, func(fd int) (err error) {
		if state, err = term.GetState(fd); err == nil && !echo {
			err = hideInput(fd)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if !echo {
		defer io.WriteString(out, "\n")
	}
	defer control(in, func(fd int) error { return term.Restore(fd, state) })
	for line := range strings.Lines(prompt) {
		if _, err := io.WriteString(out, sanitizeLine(line)); err != nil {
			return "", err
		}
	}
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := readAnswer(in)
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-ctx.Done():
		if free = in.SetReadDeadline(time.Unix(1, 0)) == nil; free {
			<-answers
		}
		return "", context.Cause(ctx)
	}
}

// sanitizeLine makes a line harmless but for its end.
func sanitizeLine(line string) string {
	text, ended := strings.CutSuffix(line, "\n")
	text = render.Sanitize(text)
	if ended {
		text += "\n"
	}
	return text
}

// maxAnswer bounds a line that is typed.
const maxAnswer = 4 << 10

// readAnswer reads a line, without its end.
func readAnswer(in *os.File) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxAnswer; {
		_, err := in.Read(b)
		if err == io.EOF {
			return "", errors.New("no answer was given")
		}
		if err != nil {
			return "", err
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}

// count says how many hosts.
func count(hosts int) string {
	if hosts == 1 {
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", hosts)
}
