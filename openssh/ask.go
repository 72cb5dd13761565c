//go:build unix

package openssh

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/shoal-ssh/shoal"
)

// askpass is the program that ssh runs to ask (SSH_ASKPASS in ssh(1)). It hands
// the question on through one FIFO and gets the answer through another, so that
// the answer is in no file and no argument. Of one ssh only one asks at a time.
// A hint that a key wants to be touched is no question.
const askpass = `#!/bin/sh
[ "$SSH_ASKPASS_PROMPT" != none ] || exit 0
d=${0%/*}
printf '%s\0' "$1" >"$d/question"
IFS= read -r answer <"$d/answer" || exit 1
printf '%s\n' "$answer"
`

// askError is the end of an attempt in which a question was not answered.
type askError struct{ err error }

func (e *askError) Error() string { return "ssh asks: " + e.err.Error() }
func (e *askError) Unwrap() error { return e.err }

// asking answers the questions of one ssh.
type asking struct {
	ask    func(context.Context, shoal.Question) (string, error)
	host   shoal.Host
	dir    string
	wait   *budget
	fail   context.CancelCauseFunc // ends the attempt
	times  map[string]int
	cancel context.CancelFunc
	done   chan struct{}

	question, answer *os.File
}

// startAsking answers what is asked through the folder until stop is called.
func startAsking(ctx context.Context, ask func(context.Context, shoal.Question) (string, error), h shoal.Host, dir string, wait *budget, fail context.CancelCauseFunc) (*asking, error) {
	a := &asking{ask: ask, host: h, dir: dir, wait: wait, fail: fail, times: map[string]int{}, done: make(chan struct{})}
	if err := os.WriteFile(a.path("askpass"), []byte(askpass), 0o700); err != nil {
		return nil, err
	}
	var err error
	if a.question, err = a.fifo("question"); err != nil {
		return nil, err
	}
	if a.answer, err = a.fifo("answer"); err != nil {
		a.question.Close()
		return nil, err
	}
	ctx, a.cancel = context.WithCancel(ctx)
	go a.serve(ctx)
	return a, nil
}

func (a *asking) path(name string) string { return filepath.Join(a.dir, name) }

// fifo makes a FIFO and opens both its ends, which waits for nobody.
func (a *asking) fifo(name string) (*os.File, error) {
	if err := syscall.Mkfifo(a.path(name), 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: a.path(name), Err: err}
	}
	return os.OpenFile(a.path(name), os.O_RDWR, 0)
}

// env has ssh ask us: OpenSSH before 8.4 wants a DISPLAY for that.
func (a *asking) env() []string {
	env := []string{"SSH_ASKPASS=" + a.path("askpass"), "SSH_ASKPASS_REQUIRE=force"}
	if os.Getenv("DISPLAY") == "" {
		env = append(env, "DISPLAY=none")
	}
	return env
}

func (a *asking) serve(ctx context.Context) {
	defer close(a.done)
	questions := bufio.NewReader(a.question)
	for {
		prompt, err := questions.ReadString(0)
		if err != nil || ctx.Err() != nil {
			return
		}
		q := question(a.host, printable(strings.TrimSuffix(prompt, "\x00")))
		a.times[q.Prompt]++
		q.Attempt = a.times[q.Prompt]
		a.wait.pause()
		text, err := a.ask(ctx, q)
		a.wait.resume()
		if err == nil && strings.ContainsAny(text, "\n\x00") {
			err = errors.New("an answer of more than one line")
		}
		if err != nil {
			a.fail(&askError{err})
			return
		}
		if _, err := a.answer.WriteString(text + "\n"); err != nil {
			return
		}
	}
}

// stop ends the answering and waits for that.
func (a *asking) stop() {
	a.cancel()
	a.question.Write([]byte{0}) // wakes the reader, which on some systems Close does not
	<-a.done
	a.question.Close()
	a.answer.Close()
}

var (
	passphrasePrompt = regexp.MustCompile(`passphrase for (?:key )?'?(.*?)'?: *$`)
	passwordPrompt   = regexp.MustCompile(`'s password: *$`)
)

// printable makes a prompt fit for a terminal; it may have several lines.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// question is a prompt of ssh's as a Question.
func question(h shoal.Host, prompt string) shoal.Question {
	q := shoal.Question{Host: h.Name, User: h.User, Kind: shoal.AskInteractive, Prompt: prompt}
	if m := passphrasePrompt.FindStringSubmatch(prompt); m != nil {
		q.Kind, q.Path = shoal.AskPassphrase, m[1]
	} else if passwordPrompt.MatchString(prompt) {
		q.Kind = shoal.AskPassword
	}
	q.Echo = strings.Contains(prompt, "(yes/no") || strings.Contains(prompt, "'yes', 'no'")
	return q
}
