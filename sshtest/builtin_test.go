package sshtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

// status is how a run ended: a code, or a signal's name.
func status(t testing.TB, err error) (int, string) {
	t.Helper()
	if err == nil {
		return 0, ""
	}
	ee, ok := errors.AsType[*ssh.ExitError](err)
	if !ok {
		t.Fatalf("got %v, want an exit status", err)
	}
	return ee.ExitStatus(), ee.Signal()
}

func TestBuiltin(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Name: func(int) string { return "web1" }})
	c := login(t, f, 0)
	tests := []struct {
		command, stdin string
		stdout, stderr string
		code           int
	}{
		{command: "echo hello   world", stdout: "hello world\n"},
		{command: "echo -n 'a  b' \"c\\\"d\" e\\ f", stdout: `a  b c"d e f`},
		{command: "echo '$HOME' \"$USER\" ${USER}x $NOTSET.", stdout: "$HOME tester testerx .\n"},
		{command: "echo", stdout: "\n"},
		{command: "", stdin: "echo from stdin\nexit 4\necho not reached\n", stdout: "from stdin\n", code: 4},
		{command: "true"},
		{command: "false", code: 1},
		{command: "false; echo $?", stdout: "1\n"},
		{command: "false && echo no; true && echo yes", stdout: "yes\n"},
		{command: "false || echo yes; true || echo no", stdout: "yes\n"},
		{command: "false && echo no || echo yes", stdout: "yes\n"},
		{command: "exit 7; echo no", code: 7},
		{command: "false; exit", code: 1},
		{command: "exit 256", code: 256},
		{command: "exit 4294967295", code: 4294967295},
		{command: "exit x", stderr: "usage: exit [N]\n", code: 2},
		{command: "echo out; echo err >&2; >&2 echo too", stdout: "out\n", stderr: "err\ntoo\n"},
		{command: "stderr bad things", stderr: "bad things\n"},
		{command: `printf 'a\tb\n%s=%d\n' x 1 y 2`, stdout: "a\tb\nx=1\na\tb\ny=2\n"},
		{command: `printf '\377\0\001%%'`, stdout: "\xff\x00\x01%"},
		{command: "cat", stdin: "one\ntwo", stdout: "one\ntwo"},
		{command: "wc -c", stdin: strings.Repeat("x", 3<<20), stdout: "3145728\n"},
		{command: "hostname; whoami; id -un; uname", stdout: "web1\ntester\ntester\nsshtest\n"},
		{command: "seq 3; seq 5 6; seq 0", stdout: "1\n2\n3\n5\n6\n"},
		{command: "yes 3", stdout: "y\ny\ny\n"},
		{command: "yes 0; bytes 0"},
		{command: "bytes 300000", stdout: strings.Repeat("\x00", 300000)},
		{command: "nosuch thing", stderr: "nosuch: command not found\n", code: 127},
		{command: "echo a | cat", stderr: "sh: \"|\" is not supported\n", code: 2},
		{command: "echo $(id)", stderr: "sh: \"$(\" is not supported\n", code: 2},
		{command: "echo a > /tmp/x", stderr: "sh: \">\" is not supported\n", code: 2},
		{command: "echo 'a", stderr: "sh: unterminated quote: \"'a\"\n", code: 2},
		{command: "&& echo", stderr: "sh: syntax error near \" echo\"\n", code: 2},
		{command: "stty size", stderr: "stty: not a terminal\n", code: 1},
	}
	for _, test := range tests {
		t.Run(test.command, func(t *testing.T) {
			out, errOut, err := runOrShell(t, c, test.command, test.stdin)
			if out != test.stdout || errOut != test.stderr {
				t.Errorf("got %q and %q, want %q and %q", brief(out), brief(errOut), brief(test.stdout), test.stderr)
			}
			if code, _ := status(t, err); uint32(code) != uint32(test.code) {
				t.Errorf("got exit status %d, want %d", code, test.code)
			}
		})
	}
}

func brief(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// runOrShell runs a command, or a shell if it is "".
func runOrShell(t *testing.T, c *ssh.Client, command, stdin string) (string, string, error) {
	if command != "" {
		return run(t, c, command, stdin)
	}
	s := session(t, c)
	var out, errOut bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(stdin), &out, &errOut
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	err := s.Wait()
	return out.String(), errOut.String(), err
}

func TestSleepAndSignals(t *testing.T) {
	inBubble(t, sshtest.Config{}, func(t *testing.T, f *sshtest.Fleet) {
		c := login(t, f, 0)
		began := time.Now()
		if _, _, err := run(t, c, "sleep 2.5", ""); err != nil || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("got %v after %v, want success after 2.5s", err, time.Since(began))
		}
		for _, command := range []string{"sleep 1000000", "cat", "yes"} {
			s := session(t, c)
			stdin, err := s.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			if _, err := s.StdoutPipe(); err != nil { // never read: yes has to wait
				t.Fatal(err)
			}
			if err := s.Start(command); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := s.Signal(ssh.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			if _, sig := status(t, s.Wait()); sig != "USR1" {
				t.Errorf("%s: got signal %q, want USR1", command, sig)
			}
		}
	})
}

func TestSignalCommand(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	out, _, err := run(t, login(t, f, 0), "echo bye; signal SIGKILL; echo no", "")
	if _, sig := status(t, err); sig != "KILL" || out != "bye\n" {
		t.Errorf("got signal %q and %q, want KILL and %q", sig, out, "bye\n")
	}
}

// TestCommandEndsWithChannel leaves commands that never end by themselves.
func TestCommandEndsWithChannel(t *testing.T) {
	inBubble(t, sshtest.Config{MaxSessions: -1}, func(t *testing.T, f *sshtest.Fleet) {
		c := login(t, f, 0)
		for _, command := range []string{"sleep 1000000", "cat", "yes"} {
			s := session(t, c)
			if _, err := s.StdoutPipe(); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(command); err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		synctest.Wait()
		if n := f.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left, want 0", n)
		}
	})
}

func TestEnvironment(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, AcceptEnv: []string{"LANG", "LC_*"}})
	s := session(t, login(t, f, 0))
	for name, want := range map[string]bool{"LANG": true, "LC_ALL": true, "LD_PRELOAD": false, "LANGUAGE": false} {
		if err := s.Setenv(name, "v"); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted: %t", name, err, want)
		}
	}
	out, err := s.Output("echo $LANG$LC_ALL$LD_PRELOAD$LANGUAGE")
	if string(out) != "vv\n" || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, "vv\n")
	}
}

func TestBuiltinTerminal(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	s := session(t, login(t, f, 0))
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
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
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	say := func(send, want string) {
		t.Helper()
		io.WriteString(stdin, send)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(stdout, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	say("", "$ ")
	say("stty size\r", "stty size\r\n24 80\r\n$ ")
	if err := s.WindowChange(50, 132); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventResize }); err != nil {
		t.Fatal(err)
	}
	say("stty size\r", "stty size\r\n50 132\r\n$ ")
	say("echo $TERM; stderr no\r", "echo $TERM; stderr no\r\nxterm\r\nno\r\n$ ")
	say("exit 3\r", "exit 3\r\n")
	if code, _ := status(t, s.Wait()); code != 3 {
		t.Errorf("got exit status %d, want 3", code)
	}
}

func TestHandler(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
		if s.Command == "mine" {
			io.WriteString(s.Stdout, s.User+"@"+s.Host.Name)
			return sshtest.ExitStatus{Code: 9}
		}
		return sshtest.Builtin(ctx, s)
	}})
	c := login(t, f, 0)
	out, _, err := run(t, c, "mine", "")
	if code, _ := status(t, err); out != "tester@host0" || code != 9 {
		t.Errorf("got %q and %d, want %q and 9", out, code, "tester@host0")
	}
	if out, _, _ := run(t, c, "echo theirs", ""); out != "theirs\n" {
		t.Errorf("got %q, want %q", out, "theirs\n")
	}
}

func TestSendExitBeforeOutputEnds(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		s.SendExit(sshtest.ExitStatus{Code: 5})
		io.WriteString(s.Stdout, "late")
		return sshtest.ExitStatus{}
	}})
	out, _, err := run(t, login(t, f, 0), "daemon", "")
	if code, _ := status(t, err); out != "late" || code != 5 {
		t.Errorf("got %q and %d, want %q and 5", out, code, "late")
	}
}
