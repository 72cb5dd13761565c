//go:build unix

package sshtest_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func shellFleet(t *testing.T) *sshtest.Fleet {
	t.Helper()
	return sshtest.New(t, sshtest.Config{InMemory: true, Shell: "/bin/sh"})
}

func TestShell(t *testing.T) {
	f := shellFleet(t)
	c := login(t, f, 0)
	for _, test := range []struct {
		command, stdin string
		stdout, stderr string
		code           int
		signal         string
	}{
		{command: "tr a-z A-Z; echo no >&2; exit 3", stdin: "abc", stdout: "ABC", stderr: "no\n", code: 3},
		{command: "echo $USER", stdout: "tester\n"},
		{command: "kill -TERM $$", code: 143, signal: "TERM"},
		{command: "head -c 100000 /dev/zero | wc -c | tr -d ' '", stdout: "100000\n"},
	} {
		t.Run(test.command, func(t *testing.T) {
			out, errOut, err := run(t, c, test.command, test.stdin)
			if out != test.stdout || errOut != test.stderr {
				t.Errorf("got %q and %q, want %q and %q", out, errOut, test.stdout, test.stderr)
			}
			if code, sig := status(t, err); code != test.code || sig != test.signal {
				t.Errorf("got exit status %d, signal %q, want %d, %q", code, sig, test.code, test.signal)
			}
		})
	}
}

func TestShellInteractive(t *testing.T) {
	out, _, err := runOrShell(t, login(t, shellFleet(t), 0), "", "echo hi\nexit 4\n")
	if code, _ := status(t, err); out != "hi\n" || code != 4 {
		t.Errorf("got %q and %d, want %q and 4", out, code, "hi\n")
	}
}

func TestNoSuchShell(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Shell: "/nonexistent/sh"})
	_, errOut, err := run(t, login(t, f, 0), "true", "")
	if code, _ := status(t, err); code != 127 || !strings.Contains(errOut, "no such file") {
		t.Errorf("got %d and %q, want 127 and a reason", code, errOut)
	}
}

func TestShellSignal(t *testing.T) {
	s := session(t, login(t, shellFleet(t), 0))
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.01; done"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	if err := s.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() && lines.Text() != "caught" {
	}
	if lines.Text() != "caught" {
		t.Errorf("got %q, want %q", lines.Text(), "caught")
	}
	if code, sig := status(t, s.Wait()); code != 5 && sig != "USR1" {
		t.Errorf("got exit status %d, signal %q, want 5", code, sig)
	}
}

// TestShellDaemon starts something that outlives the shell and holds stdout.
func TestShellDaemon(t *testing.T) {
	f := shellFleet(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := session(t, login(t, f, 0))
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("{ read line <" + fifo + "; echo $line; } & exit 6"); err != nil {
		t.Fatal(err)
	}
	if e, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventExit }); err != nil || e.Detail != "6" {
		t.Errorf("got %+v, %v, want exit status 6 before the output ends", e, err)
	}
	if err := os.WriteFile(fifo, []byte("late\n"), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(stdout); string(out) != "late\n" || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, "late\n")
	}
	if code, _ := status(t, s.Wait()); code != 6 {
		t.Errorf("got exit status %d, want 6", code)
	}
}

func TestShellTerminal(t *testing.T) {
	f := shellFleet(t)
	s := session(t, login(t, f, 0))
	if err := s.RequestPty("vt100", 33, 99, nil); err != nil {
		t.Fatal(err)
	}
	stdin, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("stty -echo; test -t 0 && stty size; echo $TERM; read x; stty size; echo \"<$x>\" >&2"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	expect := func(want string) {
		t.Helper()
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	expect("33 99\r\n")
	expect("vt100\r\n")
	if err := s.WindowChange(44, 111); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventResize }); err != nil {
		t.Fatal(err)
	}
	// The size is set by another goroutine than the one that passes input on:
	// ask until it shows.
	io.WriteString(stdin, "word\n")
	if got, err := lines.ReadString('\n'); got != "44 111\r\n" && got != "33 99\r\n" || err != nil {
		t.Errorf("got %q, %v, want a size", got, err)
	}
	expect("<word>\r\n")
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

// TestProcessesOfClosedChannels starts commands that never end and closes
// their channels: with a terminal they are killed, without they live on until
// the fleet closes.
func TestProcessesOfClosedChannels(t *testing.T) {
	for _, pty := range []bool{true, false} {
		f, err := sshtest.Start(sshtest.Config{InMemory: true, Shell: "/bin/sh"})
		if err != nil {
			t.Fatal(err)
		}
		c := login(t, f, 0)
		s := session(t, c)
		if pty {
			if err := s.RequestPty("vt100", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
		}
		stdout, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("trap '' HUP; echo ready; while :; do sleep 0.01; done"); err != nil {
			t.Fatal(err)
		}
		bufio.NewReader(stdout).ReadString('\n')
		s.Close()
		exit := func(ctx context.Context) (sshtest.Event, error) {
			return f.WaitEvent(ctx, func(e sshtest.Event) bool { return e.Kind == sshtest.EventExit })
		}
		if pty {
			if e, err := exit(t.Context()); err != nil || e.Detail != "signal KILL" {
				t.Errorf("with a terminal: got %+v, %v, want a kill", e, err)
			}
		}
		f.Close()
		if e, err := exit(t.Context()); err != nil || e.Detail != "signal KILL" {
			t.Errorf("pty=%t: got %+v, %v after Close, want a kill", pty, e, err)
		}
	}
}
