package sshtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Builtin is the Handler of a fleet that sets no other: a tiny shell inside
// this process, which starts no program and touches no file. It knows
//
//	echo [-n] WORD…      printf FORMAT [WORD…]   true, false, :
//	exit [N]             sleep SECONDS           cat
//	hostname, uname      whoami, id -un          env
//	seq [FIRST] LAST     yes [LINES]             bytes N
//	stderr WORD…         signal NAME             wc -c
//	stty size
//
// and ; && || newline, quotes, \, $NAME, ${NAME}, $? and >&2. Anything else,
// such as pipes, is an error with exit status 2, an unknown command 127.
// `cat` copies stdin until EOF; `bytes N` writes N zero bytes as fast as the
// connection takes them; `signal NAME` ends the session with exit-signal, as
// does a signal from the client. With a PTY "\n" is sent as "\r\n", stderr goes
// to stdout, and a shell prompts and echoes.
//
// A Handler of your own may call Builtin for the commands that it does not
// know.
func Builtin(ctx context.Context, s *Session) ExitStatus {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan ExitStatus, 1)
	// Apart from this goroutine, which a signal frees from a blocked command.
	// What then still reads or writes ends with the channel.
	s.conn.wg.Go(func() { done <- newShell(ctx, s).main(s) })
	select {
	case status := <-done:
		return status
	case sig := <-s.Signals:
		return ExitStatus{Signal: sig}
	case <-ctx.Done():
		return ExitStatus{Signal: ssh.SIGHUP}
	}
}

// A shell is the state of one run of Builtin.
type shell struct {
	ctx      context.Context
	session  *Session
	in       io.Reader
	out, err io.Writer
	last     uint32 // exit status of the last command
	ended    *ExitStatus
	window   Window
}

func newShell(ctx context.Context, s *Session) *shell {
	sh := &shell{ctx: ctx, session: s, in: s.Stdin, out: s.Stdout, err: s.Stderr}
	if s.PTY != nil {
		sh.window = s.PTY.Window
		sh.out = crlfWriter{s.Stdout}
		sh.err = sh.out
	}
	return sh
}

func (sh *shell) main(s *Session) ExitStatus {
	if s.Command != "" {
		sh.run(s.Command)
	} else {
		sh.interact()
	}
	if sh.ended != nil {
		return *sh.ended
	}
	return ExitStatus{Code: sh.last}
}

// interact reads command lines from stdin until EOF or exit.
func (sh *shell) interact() {
	pty := sh.session.PTY != nil
	in := bufio.NewReader(sh.in)
	sh.in = in // commands read what comes after their line
	for sh.ended == nil {
		if pty {
			io.WriteString(sh.out, "$ ")
		}
		line, err := sh.readLine(in, pty)
		sh.run(line)
		if err != nil {
			return
		}
	}
}

// readLine takes one line; a terminal ends it with CR, and wants an echo.
func (sh *shell) readLine(in *bufio.Reader, echo bool) (string, error) {
	var line []byte
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return string(line), err
		case echo && c == 4 && len(line) == 0: // ^D
			return "", io.EOF
		case c == '\n', echo && c == '\r':
			if echo {
				io.WriteString(sh.out, "\n")
			}
			return string(line), nil
		}
		line = append(line, c)
		if echo {
			sh.out.Write([]byte{c})
		}
	}
}

// run runs one command line.
func (sh *shell) run(line string) {
	script, err := parseScript(line)
	if err != nil {
		fmt.Fprintf(sh.err, "sh: %v\n", err)
		sh.last = 2
		return
	}
	for _, st := range script {
		if st.after == "&&" && sh.last != 0 || st.after == "||" && sh.last == 0 {
			continue
		}
		sh.step(st)
		if sh.ended != nil || sh.ctx.Err() != nil {
			return
		}
	}
}

func (sh *shell) step(st step) {
	args := make([]string, len(st.args))
	for i, w := range st.args {
		args[i] = w.expand(sh.variable)
	}
	out := sh.out
	if st.toStderr {
		out = sh.err
	}
	command := lookupCommand(args[0])
	if command == nil {
		fmt.Fprintf(sh.err, "%s: command not found\n", args[0])
		sh.last = 127
		return
	}
	sh.last = command(sh, args[1:], out)
}

// variable is the value of $name: the client's environment, and what every
// login has.
func (sh *shell) variable(name string) string {
	if name == "?" {
		return fmt.Sprint(sh.last)
	}
	value := ""
	for _, setting := range sh.environ() {
		if v, ok := strings.CutPrefix(setting, name+"="); ok {
			value = v // the last one counts
		}
	}
	return value
}

func (sh *shell) environ() []string {
	s := sh.session
	env := []string{"USER=" + s.User, "LOGNAME=" + s.User, "HOME=/", "SHELL=/bin/sh"}
	if s.PTY != nil {
		env = append(env, "TERM="+s.PTY.Term)
	}
	return append(env, s.Env...)
}

// exit ends the shell after this command.
func (sh *shell) exit(e ExitStatus) { sh.ended = &e }

// A crlfWriter does what a terminal does to output (ONLCR, termios(3)).
type crlfWriter struct{ w io.Writer }

func (c crlfWriter) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
