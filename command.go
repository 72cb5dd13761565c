package shoal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/text/encoding"

	"github.com/shoal-ssh/shoal/internal/codec"
	"github.com/shoal-ssh/shoal/internal/printf"
	"github.com/shoal-ssh/shoal/internal/shell"
	"github.com/shoal-ssh/shoal/internal/spool"
)

// Command is what to run and how. Only Line, or For, is needed. A Command is a
// plain value that may be used any number of times, except for its readers and
// writers.
type Command struct {
	// Line is given to the remote login shell exactly as it stands: nothing
	// in it is expanded or quoted.
	Line string
	// For makes the Line of each host in place of Line: see [Format]. It is
	// called for every host before anything is run, and an error for one
	// host keeps the command from all of them.
	For func(Host) (string, error)
	// Shell runs Line by this shell instead of the login shell: "bash -c".
	Shell string
	// Dir is the folder to run in; empty means the login folder.
	Dir string
	// Env is added to the environment, as "NAME=value". It becomes part of
	// the command line, since most servers refuse RFC 4254 §6.4's request:
	// other users of the host can see it. Give secrets by Stdin.
	Env []string
	// Sudo runs the command as another user; nil means no.
	Sudo *Sudo
	// PTY runs the command on a terminal; nil means no. On a terminal
	// stderr is part of stdout.
	PTY *PTY
	// Stdin is the command's input, up to its end; nil means none, and an
	// end of file at once. Where the command runs on several hosts each gets
	// all of it. With [Conn.Start] and [Client.Start] nil leaves it to
	// [Proc.Stdin].
	Stdin io.Reader
	// Stdout and Stderr take the output as it comes, where they are not nil,
	// in place of [Output] and [Proc]. One writer is never written to by two
	// goroutines at once where one command uses it; where several hosts
	// share it, it must be safe for concurrent use. A writer that blocks
	// holds the command back; one that fails ends it.
	Stdout, Stderr io.Writer
	// Encoding is the encoding of the command line and of the output's
	// lines; nil means UTF-8. See [Encoding].
	Encoding encoding.Encoding
	// Timeout bounds the command on each host, from its start; one that takes
	// longer is ended as KillAfter says and fails with [KindTimeout]. 0 means
	// no bound.
	Timeout time.Duration
	// KillAfter is how long a command that is to end has after a TERM
	// signal until KILL; 0 means 1 s. Negative means that it is only let go
	// of, without any signal.
	KillAfter time.Duration
	// MaxOutput bounds each of the two outputs, in bytes; at a command that
	// writes more it ends with [KindOutputLimit]. 0 means 64 MiB where an
	// [Output] holds it and no bound elsewhere; negative means no bound.
	MaxOutput int64

	broadcast *spool.Log // Stdin, for several hosts
	resolved  bool       // hosts have their lines
	login     bool       // a login shell instead of a command
}

const defaultMaxOutput = 64 << 20

func (c Command) maxOutput(d int64) int64 {
	switch {
	case c.MaxOutput < 0:
		return 0
	case c.MaxOutput == 0:
		return d
	}
	return c.MaxOutput
}

// Sudo runs a command by sudo(8).
type Sudo struct {
	// User is whom to run as; empty means root.
	User string
	// Password is sent to sudo's prompt, which is a random one that only
	// sudo is told, and only once. Where it is empty nothing is sent, and
	// sudo reads a password from the command's input if it wants one.
	Password string
	// NonInteractive makes sudo fail where it would ask (sudo -n). It is
	// only used without Password.
	NonInteractive bool
}

// String shows no password.
func (s Sudo) String() string {
	if s.User == "" {
		return "sudo"
	}
	return "sudo -u " + s.User
}

// GoString shows no password.
func (s Sudo) GoString() string { return s.String() }

// PTY asks for a terminal (RFC 4254 §6.2). Servers may refuse one, and then
// the command runs without.
type PTY struct {
	Term       string            // the TERM variable; empty means xterm
	Rows, Cols int               // 0 means 24 rows, 80 columns
	Modes      ssh.TerminalModes // RFC 4254 §8; nil means the server's
}

// Format returns a [Command.For] that fills in the format as Python's %
// operator does, from [Host.Args] by position (%s, %d, %05.2f, %x, %r) or
// [Host.Vars] by name (%(name)s); %% is a percent sign. %q and %(name)q quote
// the value for a POSIX shell; the others do not.
func Format(format string) func(Host) (string, error) {
	return func(h Host) (string, error) {
		return printf.Format(format, h.Args, h.Vars)
	}
}

// Quote makes s one word of a POSIX shell's command line. A NUL cannot be part
// of one and is refused when the command is started.
func Quote(s string) string { return shell.Quote(s) }

// Encoding returns the encoding of a name that Python or the IANA knows, such
// as "utf-8", "latin_1", "utf_16", "shift_jis" or "cp1252".
func Encoding(name string) (encoding.Encoding, error) { return codec.Lookup(name) }

// quoted is s in single quotes.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// build returns the line to send. With a sudo password the line contains
// sudo's prompt, and writes a mark before the command begins.
func (c Command) build(token string) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	inner := c.Line
	if c.Dir != "" {
		inner = "cd " + quoted(c.Dir) + " || exit 1; " + inner
	}
	var words []string
	if c.Sudo != nil {
		words = append(words, c.Sudo.words(token)...)
		if token != "" {
			inner = "echo " + mark(token) + "; " + inner
		}
	}
	if len(c.Env) > 0 {
		words = append(words, "env")
		for _, e := range c.Env {
			name, value, _ := strings.Cut(e, "=")
			words = append(words, name+"="+quoted(value))
		}
	}
	if len(words) == 0 && c.Shell == "" {
		return c.encode(inner)
	}
	sh := c.Shell
	if sh == "" {
		sh = "$SHELL -c"
	}
	return c.encode(strings.Join(append(words, sh, quoted(inner)), " "))
}

func (s *Sudo) words(token string) []string {
	words := []string{"sudo"}
	if s.User != "" {
		words = append(words, "-u", shell.Quote(s.User))
	}
	switch {
	case token != "":
		words = append(words, "-S", "-p", quoted(prompt(token)))
	case s.NonInteractive:
		words = append(words, "-n")
	default:
		words = append(words, "-S")
	}
	return words
}

func prompt(token string) string { return "[sudo " + token + "] password: " }
func mark(token string) string   { return "sudo-" + token + "-done" }

func (c Command) check() error {
	if c.Line == "" && !c.login {
		return errors.New("no command line")
	}
	for _, s := range append([]string{c.Line, c.Shell, c.Dir}, c.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("a command line cannot contain a NUL: %q", clip(s, 80))
		}
	}
	if err := checkEnv(c.Env); err != nil {
		return err
	}
	if c.Sudo != nil && (strings.ContainsAny(c.Sudo.User, "\x00\n") || strings.HasPrefix(c.Sudo.User, "-")) {
		return fmt.Errorf("sudo: %q is not a user name", clip(c.Sudo.User, 80))
	}
	if c.Sudo != nil && strings.ContainsAny(c.Sudo.Password, "\x00\n") {
		return errors.New("sudo: a password cannot contain a line end or a NUL")
	}
	return nil
}

// checkEnv checks variables, but does not show their values.
func checkEnv(env []string) error {
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || !isVariable(name) || strings.ContainsRune(value, 0) {
			return fmt.Errorf("environment: %q is not NAME=value", clip(name, 80))
		}
	}
	return nil
}

func isVariable(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// encode puts the line into the command's encoding, unless that is one like
// UTF-16 in which no shell reads.
func (c Command) encode(line string) (string, error) {
	if c.Encoding == nil {
		return line, nil
	}
	enc := c.Encoding.NewEncoder()
	if a, err := enc.String("a"); err != nil || a != "a" {
		return line, nil
	}
	enc.Reset()
	s, err := enc.String(line)
	if err != nil {
		return "", fmt.Errorf("the command line has characters that its encoding has not: %w", err)
	}
	return s, nil
}

// prepare readies the command for several hosts: every host's line is made
// before anything is run, and stdin can be read once for each. done must be
// called.
func (c Command) prepare(hosts iter.Seq[Host]) (iter.Seq[Host], Command, func()) {
	done := func() {}
	if c.Stdin != nil {
		c.broadcast = spool.NewLog(c.Stdin)
		done = func() { c.broadcast.Close() }
	}
	if c.For == nil {
		return hosts, c, done
	}
	list, _ := c.resolve(hosts)
	return slices.Values(list), c, done
}

// Resolve calls For for every host, and returns the hosts with their lines and
// the command that takes the line of each from there. It is for callers that
// hand the hosts to a run bit by bit, where For would want all of them before
// the first. The error is For's first one; a run of the hosts it was returned
// with tells each of them and runs nothing.
func (c Command) Resolve(hosts iter.Seq[Host]) ([]Host, Command, error) {
	if c.For == nil {
		return slices.Collect(hosts), c, nil
	}
	list, err := c.resolve(hosts)
	c.For, c.resolved = nil, true
	return list, c, err
}

// resolve returns the hosts with what For made of them, and its first error.
func (c Command) resolve(hosts iter.Seq[Host]) ([]Host, error) {
	list := slices.Collect(hosts)
	lines := make([]madeLine, len(list))
	var bad error
	for i, h := range list {
		line, err := c.For(h)
		if err != nil && bad == nil {
			bad = fmt.Errorf("host %s: %w", h.Name, err)
		}
		lines[i] = madeLine{line: line, err: err}
	}
	for i := range list {
		list[i].line = &lines[i]
		if lines[i].err == nil && bad != nil {
			lines[i].err = &notRunError{bad}
		}
	}
	return list, bad
}

// LineFor returns the command line that a host would get: Line, or what For
// makes of the host, with what Shell, Dir, Env and Sudo add to it. Where
// [Sudo.Password] is not empty sudo's prompt and the mark behind it stand for
// random ones.
func (c Command) LineFor(h Host) (string, error) {
	line, err := c.lineFor(h)
	if err != nil {
		return "", err
	}
	c.Line, c.Encoding = line, nil
	token := ""
	if c.Sudo != nil && c.Sudo.Password != "" {
		token = "RANDOM"
	}
	return c.build(token)
}

// madeLine is what Command.For made of a host.
type madeLine struct {
	line string
	to   string // of Copy.For, whose from is line
	err  error
}

// notRunError is given to hosts that were well, in a run that was stopped.
type notRunError struct{ cause error }

func (e *notRunError) Error() string        { return "not run: " + e.cause.Error() }
func (e *notRunError) Unwrap() error        { return e.cause }
func (e *notRunError) Is(target error) bool { return target == ErrNotRun }

// line is the command's line for the host.
func (c Command) lineFor(h Host) (string, error) {
	switch {
	case h.line != nil && (c.For != nil || c.resolved):
		return h.line.line, h.line.err
	case c.For != nil:
		return c.For(h)
	}
	return c.Line, nil
}

// decoder returns how output becomes UTF-8; nil where it is.
func (c Command) decoder() *encoding.Decoder {
	if c.Encoding == nil {
		return nil
	}
	return c.Encoding.NewDecoder()
}

// decodeAll decodes what is whole.
func decodeAll(enc encoding.Encoding, p []byte) []byte {
	if enc == nil {
		return p
	}
	q, err := enc.NewDecoder().Bytes(p)
	if err != nil {
		return p
	}
	return q
}

// splitLines yields lines without their "\n" and one "\r" before it.
func splitLines(p []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(p) > 0 {
			line, rest, _ := bytes.Cut(p, []byte("\n"))
			if len(rest) > 0 || p[len(p)-1] == '\n' {
				line = bytes.TrimSuffix(line, []byte("\r"))
			}
			if !yield(string(line)) {
				return
			}
			p = rest
		}
	}
}
