package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Shell returns a Handler that runs commands with a real shell, as `path -c
// COMMAND`, or the shell alone where there is no command. Commands run with
// all rights of this process, in its working directory, with PATH and HOME of
// its environment.
//
// It behaves as sshd does. The exit status is sent when the shell ends; the
// channel stays open as long as something that the shell started holds its
// output. With a PTY (Unix only), closing the channel hangs the terminal up and
// kills the process group; without one the processes are left to themselves,
// with their input and output closed, until they end or the fleet is closed.
// Signals from the client go to the process group.
func Shell(path string) Handler {
	return func(ctx context.Context, s *Session) ExitStatus {
		if s.Subsystem != "" {
			return ExitStatus{Code: 127}
		}
		cmd := exec.Command(path)
		if s.Command != "" {
			cmd = exec.Command(path, "-c", s.Command)
		}
		cmd.Env = environ(s, path)
		p := &process{cmd: cmd, session: s}
		if s.PTY != nil {
			return p.runPTY(ctx)
		}
		return p.run(ctx)
	}
}

func environ(s *Session, shell string) []string {
	env := []string{"USER=" + s.User, "LOGNAME=" + s.User, "SHELL=" + shell}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SystemRoot"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if s.PTY != nil {
		env = append(env, "TERM="+s.PTY.Term)
	}
	return append(env, s.Env...)
}

// A process is a real shell at work for one session.
type process struct {
	cmd     *exec.Cmd
	session *Session
}

// fail says on stderr why there is no process, as a shell would.
func (p *process) fail(err error) ExitStatus {
	fmt.Fprintf(p.session.Stderr, "sshtest: %v\n", err)
	return ExitStatus{Code: 127}
}

// run runs the shell on pipes.
func (p *process) run(ctx context.Context) ExitStatus {
	pipes, err := newPipes(p.cmd)
	if err != nil {
		return p.fail(err)
	}
	newGroup(p.cmd)
	err = p.cmd.Start()
	pipes.closeChild()
	if err != nil {
		pipes.close()
		return p.fail(err)
	}
	s := p.session
	// Not waited for here: it may hang in Read until the channel closes.
	s.conn.wg.Go(func() {
		io.Copy(pipes.stdin, s.Stdin)
		pipes.stdin.Close()
	})
	var output sync.WaitGroup
	output.Go(func() { copyOut(s.Stdout, pipes.stdout) })
	output.Go(func() { copyOut(s.Stderr, pipes.stderr) })
	left := context.AfterFunc(ctx, pipes.close)
	defer left()
	status := p.wait(ctx)
	s.SendExit(status)
	output.Wait()
	pipes.close()
	return status
}

// copyOut stops reading when the client has gone, so that the writer learns
// of it.
func copyOut(w io.Writer, r *os.File) {
	io.Copy(w, r)
	r.Close()
}

// wait waits for the shell and passes signals on meanwhile. Whatever is left
// of the process group when the fleet closes is killed.
func (p *process) wait(ctx context.Context) ExitStatus {
	done := make(chan error, 1)
	p.session.conn.wg.Go(func() { done <- p.cmd.Wait() })
	closing := p.session.conn.fleet.done
	for {
		select {
		case err := <-done:
			return exitStatus(p.cmd, err)
		case sig := <-p.session.Signals:
			signalGroup(p.cmd, sig)
		case <-ctx.Done():
			if p.session.PTY != nil {
				killGroup(p.cmd)
			}
			ctx = context.Background()
		case <-closing:
			killGroup(p.cmd)
			closing = nil
		}
	}
}

// exitStatus tells how a process ended.
func exitStatus(cmd *exec.Cmd, err error) ExitStatus {
	if cmd.ProcessState == nil {
		return ExitStatus{Code: 255, Message: err.Error()}
	}
	if sig, core, ok := killedBy(cmd.ProcessState); ok {
		return ExitStatus{Signal: sig, CoreDumped: core}
	}
	return ExitStatus{Code: uint32(cmd.ProcessState.ExitCode())}
}

// pipes are both ends of a process's three streams.
type pipes struct {
	stdin          *os.File
	stdout, stderr *os.File
	child          []*os.File
}

// newPipes connects cmd to new pipes. Those that os/exec makes would keep
// Wait from returning while a grandchild holds them.
func newPipes(cmd *exec.Cmd) (*pipes, error) {
	inR, inW, err1 := os.Pipe()
	outR, outW, err2 := os.Pipe()
	errR, errW, err3 := os.Pipe()
	p := &pipes{stdin: inW, stdout: outR, stderr: errR, child: []*os.File{inR, outW, errW}}
	if err := errors.Join(err1, err2, err3); err != nil {
		p.closeChild()
		p.close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, errW
	return p, nil
}

func (p *pipes) closeChild() {
	for _, f := range p.child {
		f.Close()
	}
}

func (p *pipes) close() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		f.Close()
	}
}
