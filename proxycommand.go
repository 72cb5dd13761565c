package shoal

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shoal-ssh/shoal/sshconfig"
)

// proxyCommand is the command line whose process is the host's network
// connection; empty where it has another.
func (h Host) proxyCommand() string {
	if len(h.Via) > 0 || h.ProxyCommand == "none" {
		return ""
	}
	return h.ProxyCommand
}

// proxyArgs are the program and its arguments. Words are found before values
// are put in, so that no value becomes two. What needs a shell gets the user's,
// as with ssh; the values hold nothing that a shell would act on.
func (h Host) proxyArgs() ([]string, error) {
	words, plain := proxyWords(h.ProxyCommand)
	if !plain {
		if runtime.GOOS == "windows" {
			return nil, errors.New("ProxyCommand: only a program and its arguments can be run, without a shell")
		}
		line, err := h.expandProxy(h.ProxyCommand)
		if err != nil {
			return nil, err
		}
		return []string{userShell(), "-c", "exec " + strings.TrimPrefix(line, "exec ")}, nil
	}
	if len(words) > 1 && words[0] == "exec" {
		words = words[1:]
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("ProxyCommand: it names no program")
	}
	for i, w := range words {
		var err error
		if words[i], err = h.expandProxy(w); err != nil {
			return nil, err
		}
	}
	return words, nil
}

func userShell() string {
	if shell := os.Getenv("SHELL"); filepath.IsAbs(shell) {
		return shell
	}
	return "/bin/sh"
}

// commandTime bounds a Match exec.
const commandTime = 10 * time.Second

// runCommand runs a command line in the user's shell, with neither input nor
// output, and reports whether it ends with status 0.
func runCommand(line string) (bool, error) {
	if runtime.GOOS == "windows" {
		return false, errors.New("no shell to run it in")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, userShell(), "-c", line)
	ownSession(cmd)
	cmd.Cancel = func() error { killSession(cmd); return nil }
	cmd.WaitDelay = lingering
	err := cmd.Run()
	if ctx.Err() != nil {
		return false, fmt.Errorf("%q does not end within %v", line, commandTime)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return false, nil
	}
	return err == nil, err
}

// proxyWords takes a command line apart at blanks, outside of quotes. It is not
// plain where a shell would see more in it than words.
func proxyWords(line string) (words []string, plain bool) {
	special := "$`\\|&;<>(){}*?[]#~!\n"
	if runtime.GOOS == "windows" { // \ and ~ stand in paths
		special = "|&;<>\n"
	}
	var word strings.Builder
	quote, begun := rune(0), false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range line {
		switch {
		case quote != '\'' && strings.ContainsRune(special, r):
			return nil, false
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			end()
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	end()
	return words, quote == 0 && (len(words) == 0 || !strings.Contains(words[0], "="))
}

// expandProxy replaces the tokens of [Host.ProxyCommand].
func (h Host) expandProxy(text string) (string, error) {
	name, port, err := h.address()
	if err != nil {
		return "", err
	}
	alias := h.Name
	if own, err := ParseHost(h.Name); err == nil {
		alias = own.Addr
	}
	values := map[byte]string{'h': name, 'k': cmp.Or(h.HostKeyAlias, alias), 'n': alias, 'p': strconv.Itoa(port), 'r': h.User}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out.WriteByte(text[i])
			continue
		}
		if i++; i < len(text) && text[i] == '%' {
			out.WriteByte('%')
			continue
		}
		if i == len(text) {
			return "", errors.New("ProxyCommand ends in a lone %")
		}
		value, ok := values[text[i]]
		if !ok {
			return "", fmt.Errorf("ProxyCommand has the unknown token %%%c", text[i])
		}
		if err := sshconfig.CheckArgument(value); err != nil {
			return "", fmt.Errorf("ProxyCommand: %%%c: %w", text[i], err)
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

// startError is a program that could not be started.
type startError struct{ err error }

func (e *startError) Error() string { return "ProxyCommand: " + e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// connectCommand runs the host's ProxyCommand. It returns when the first bytes
// came, until when the program connects.
func connectCommand(ctx context.Context, h Host) (net.Conn, error) {
	args, err := h.proxyArgs()
	if err != nil {
		return nil, &startError{err}
	}
	conn, err := startProxy(args)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r := bufio.NewReader(conn)
	_, err = r.Peek(1)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err == io.EOF && conn.hasEnded() {
		err = errProxySilent
	}
	if err != nil && err != io.EOF { // a mere end is the server's doing
		conn.Close()
		return nil, err
	}
	return &readAhead{conn, r}, nil
}

// errProxySilent is a ProxyCommand that ended well and said nothing, neither for
// the server nor for itself.
var errProxySilent = errors.New("ProxyCommand ended without a word, with exit status 0")

// maxSilent is how often such a one is run: it may have been the server behind it
// that was busy.
const maxSilent = 3

const silentHint = "run the ProxyCommand by hand: the server's line \"SSH-2.0-…\" has to come; if it does, the server turns connections away: lower -f"

func proxyHint(err error) string {
	if errors.Is(err, errProxySilent) {
		return silentHint
	}
	return ""
}

// hasEnded reports whether the program has ended by itself.
func (c *commandConn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// commandConn is a network connection over the standard input and output of a
// process. Its Close ends the process and waits for it.
type commandConn struct {
	r, w   *os.File
	cmd    *exec.Cmd
	said   *tail
	silent atomic.Bool   // its output has ended
	ended  chan struct{} // closed when the process was waited for
	err    error         // of that; set before
	closed sync.Once
}

// lingering bounds the wait for a process whose output has ended, and for what
// it leaves behind with its standard error open.
const lingering = time.Second

func startProxy(args []string) (*commandConn, error) {
	c := &commandConn{cmd: exec.Command(args[0], args[1:]...), said: new(tail), ended: make(chan struct{})}
	in, w, err := os.Pipe()
	if err != nil {
		return nil, &startError{err}
	}
	r, out, err := os.Pipe()
	if err != nil {
		in.Close()
		w.Close()
		return nil, &startError{err}
	}
	c.r, c.w = r, w
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.cmd.WaitDelay = in, out, c.said, lingering
	ownSession(c.cmd)
	err = c.cmd.Start()
	in.Close()
	out.Close()
	if err != nil {
		r.Close()
		w.Close()
		return nil, &startError{err}
	}
	go func() { // until the process ends, which Close sees to
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *commandConn) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil {
		c.silent.Store(true)
	}
	return n, c.why(err)
}

func (c *commandConn) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if errors.Is(err, syscall.EPIPE) && !c.silent.Load() {
		return len(p), nil // what it said before it ended is still to be read
	}
	return n, c.why(err)
}

// why says what became of the program, where that is why the connection ended.
func (c *commandConn) why(err error) error {
	if err == nil || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	select {
	case <-c.ended:
	case <-time.After(lingering):
		return err
	}
	said := c.said.lines()
	if c.err == nil && said == "" {
		return err
	}
	return &proxyError{c.err, said}
}

// proxyError is a program that ended, and with it the connection.
type proxyError struct {
	err  error
	said string
}

func (e *proxyError) Error() string {
	text := "ProxyCommand ended"
	if e.err != nil {
		text += ": " + e.err.Error()
	}
	if e.said != "" {
		text += ": " + e.said
	}
	return text
}

func (e *proxyError) Unwrap() error { return e.err }

// Close ends the program, with what it started.
func (c *commandConn) Close() error {
	c.closed.Do(func() {
		select {
		case <-c.ended:
		default:
			killSession(c.cmd)
		}
		<-c.ended
		c.r.Close()
		c.w.Close()
	})
	return nil
}

func (c *commandConn) LocalAddr() net.Addr  { return commandAddr{} }
func (c *commandConn) RemoteAddr() net.Addr { return commandAddr{} }

func (c *commandConn) SetDeadline(t time.Time) error {
	return errors.Join(c.r.SetReadDeadline(t), c.w.SetWriteDeadline(t))
}
func (c *commandConn) SetReadDeadline(t time.Time) error  { return c.r.SetReadDeadline(t) }
func (c *commandConn) SetWriteDeadline(t time.Time) error { return c.w.SetWriteDeadline(t) }

type commandAddr struct{}

func (commandAddr) Network() string { return "tcp" }
func (commandAddr) String() string  { return "ProxyCommand" }

// maxSaid is how much of a program's standard error is kept.
const maxSaid = 1024

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-maxSaid):]...)
	t.text = t.text[max(0, len(t.text)-maxSaid):]
	return len(p), nil
}

// lines are the last three lines, in one.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for l := range strings.Lines(string(t.text)) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, printable(l))
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
