//go:build unix

package sshtest

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// newGroup makes the process the leader of a new session and so of a group
// that can be signalled, as sshd's children are.
func newGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func killGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// signalGroup passes a signal of RFC 4254 §6.10 on; others are ignored.
func signalGroup(cmd *exec.Cmd, sig ssh.Signal) {
	for n, name := range signalNames() {
		if name == sig {
			syscall.Kill(-cmd.Process.Pid, n)
		}
	}
}

func signalNames() map[syscall.Signal]ssh.Signal {
	return map[syscall.Signal]ssh.Signal{
		syscall.SIGABRT: ssh.SIGABRT, syscall.SIGALRM: ssh.SIGALRM, syscall.SIGFPE: ssh.SIGFPE,
		syscall.SIGHUP: ssh.SIGHUP, syscall.SIGILL: ssh.SIGILL, syscall.SIGINT: ssh.SIGINT,
		syscall.SIGKILL: ssh.SIGKILL, syscall.SIGPIPE: ssh.SIGPIPE, syscall.SIGQUIT: ssh.SIGQUIT,
		syscall.SIGSEGV: ssh.SIGSEGV, syscall.SIGTERM: ssh.SIGTERM,
		syscall.SIGUSR1: ssh.SIGUSR1, syscall.SIGUSR2: ssh.SIGUSR2,
	}
}

// killedBy tells which signal ended a process, if one did.
func killedBy(state *os.ProcessState) (sig ssh.Signal, core, ok bool) {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return "", false, false
	}
	name, known := signalNames()[ws.Signal()]
	if !known {
		name = "SIG@sshtest" // RFC 4254 §6.10: others are named SIG@domain
	}
	return name, ws.CoreDump(), true
}

// runPTY runs the shell on a pseudo terminal.
func (p *process) runPTY(ctx context.Context) ExitStatus {
	s := p.session
	tty, err := startOnPTY(p.cmd, s.PTY.Window)
	if err != nil {
		return p.fail(err)
	}
	defer tty.Close()
	s.conn.wg.Go(func() { io.Copy(tty, s.Stdin) })
	resizing, stop := context.WithCancel(ctx)
	defer stop()
	s.conn.wg.Go(func() { resize(resizing, tty, s.Resizes) })
	output := make(chan struct{})
	s.conn.wg.Go(func() {
		defer close(output)
		io.Copy(s.Stdout, tty) // ends with EIO when the last process has let go of it
	})
	hangup := context.AfterFunc(ctx, func() { tty.Close() })
	defer hangup()
	status := p.wait(ctx)
	<-output
	return status
}

// startOnPTY starts cmd as the leader of a new session whose controlling
// terminal it makes. It returns the other end of the terminal, in non-blocking
// mode: package pty leaves it blocking, and Close would not end a Read.
func startOnPTY(cmd *exec.Cmd, w Window) (*os.File, error) {
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{
		Rows: uint16(w.Rows), Cols: uint16(w.Columns), X: uint16(w.Width), Y: uint16(w.Height),
	})
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	fd, err := unix.FcntlInt(tty.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), tty.Name()), nil
}

// resize passes changes of size on until ctx ends.
func resize(ctx context.Context, tty *os.File, sizes <-chan Window) {
	raw, err := tty.SyscallConn()
	if err != nil {
		return
	}
	for {
		select {
		case w := <-sizes:
			raw.Control(func(fd uintptr) {
				unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{
					Row: uint16(w.Rows), Col: uint16(w.Columns), Xpixel: uint16(w.Width), Ypixel: uint16(w.Height),
				})
			})
		case <-ctx.Done():
			return
		}
	}
}
