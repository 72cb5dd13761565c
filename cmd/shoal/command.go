package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/shoal-ssh/shoal"
)

// commandFlags say how the command runs on a host.
type commandFlags struct {
	sudo      string
	askSudo   bool
	shell     string
	dir       string
	env       []string
	tty       bool
	ttySaid   bool // by the flag, either way
	noStdin   bool
	encoding  string
	timeLimit durationFlag

	script []byte // the input, instead of what is piped in
}

func (f *commandFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.sudo, "sudo", "", "run as root, or as `USER` with --sudo=USER, by sudo")
	fs.Lookup("sudo").NoOptDefVal = "root"
	fs.BoolVarP(&f.askSudo, "ask-sudo-pass", "K", false, "ask once for the password that sudo wants; without, sudo must not want one")
	fs.StringVar(&f.shell, "shell", "", "run it by `SHELL`, as in \"bash -c\", and not by the login shell")
	fs.StringVar(&f.dir, "dir", "", "run it in `DIR`")
	fs.StringArrayVar(&f.env, "env", nil, "set a variable: `NAME=VALUE`; other users of the host can see it")
	fs.BoolVarP(&f.tty, "tty", "T", false, "run it on a terminal; stderr comes with stdout then (default RequestTTY of ssh_config)")
	fs.BoolVarP(&f.noStdin, "no-stdin", "n", false, "give it no input; without, each host gets what is piped in, to its end")
	fs.StringVar(&f.encoding, "encoding", "", "the `NAME` of the hosts' encoding, as in latin1 (default UTF-8)")
	fs.VarP(&f.timeLimit, "timeout", "u", "end the command where it takes longer than `DUR`")
}

// command returns the command of these words. The words are joined by blanks,
// as ssh does, and else passed on as they are.
func (f *commandFlags) command(words []string) (shoal.Command, error) {
	cmd := shoal.Command{Line: strings.Join(words, " "), Shell: f.shell, Dir: f.dir, Env: f.env, Timeout: f.timeLimit.d}
	if strings.TrimSpace(cmd.Line) == "" {
		return cmd, &usageError{what: "no command given", hint: "it comes last, as in: shoal run -w 'web[1-20]' uptime"}
	}
	if f.askSudo && f.sudo == "" {
		return cmd, &usageError{what: "-K asks for a password that nothing wants", hint: "give --sudo along with it"}
	}
	for _, e := range f.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return cmd, &usageError{what: fmt.Sprintf("--env: %q is not NAME=VALUE", e), hint: "as in: --env LANG=C"}
		}
	}
	if f.encoding != "" {
		e, err := shoal.Encoding(f.encoding)
		if err != nil {
			return cmd, &usageError{what: "--encoding: " + err.Error(), hint: "as in: --encoding latin1"}
		}
		cmd.Encoding = e
	}
	return cmd, nil
}

// sudoer returns how to run as another user, nil where nobody wants that.
func (f *commandFlags) sudoer(password string) *shoal.Sudo {
	if f.sudo == "" {
		return nil
	}
	s := &shoal.Sudo{User: f.sudo, Password: password, NonInteractive: password == ""}
	if s.User == "root" {
		s.User = "" // sudo's default
	}
	return s
}

// pty returns the terminal to ask for, of the size of our own.
func (f *commandFlags) pty(outputs ...io.Writer) *shoal.PTY {
	if !f.tty {
		return nil
	}
	return newPTY(outputs...)
}

func newPTY(outputs ...io.Writer) *shoal.PTY {
	p := &shoal.PTY{Term: os.Getenv("TERM")}
	for _, w := range outputs {
		if cols, rows, ok := terminalSize(w); ok {
			p.Cols, p.Rows = cols, rows
			break
		}
	}
	return p
}

// configuredPTY is the terminal that RequestTTY of ssh_config wants, where -T
// does not say: with yes only where we have one ourselves. A script wants none,
// since it comes by the command's input.
func (f *commandFlags) configuredPTY(stdin io.Reader, outputs ...io.Writer) func(force bool) *shoal.PTY {
	return func(force bool) *shoal.PTY {
		if f.ttySaid || f.script != nil || !force && !isTerminal(stdin) {
			return nil
		}
		return newPTY(outputs...)
	}
}

// input returns what to give to the commands: standard input where it is a
// pipe, a socket or a file. A terminal is not for them, nor is /dev/null, and
// a closed one has nothing.
func (f *commandFlags) input(stdin io.Reader) io.Reader {
	if f.script != nil {
		return bytes.NewReader(f.script)
	}
	if f.noStdin || stdin == nil {
		return nil
	}
	if file, ok := stdin.(*os.File); ok {
		info, err := file.Stat()
		if err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return nil
		}
	}
	return stdin
}

// terminalSize returns the size of the terminal that w is, if it is one.
func terminalSize(w io.Writer) (cols, rows int, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0, false
	}
	cols, rows, err := term.GetSize(int(f.Fd()))
	return cols, rows, err == nil && cols > 0 && rows > 0
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
