//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal/sshtest"
)

// inShell starts shoal shell on hosts, on a terminal.
func inShell(t *testing.T, a access, args ...string) *program {
	t.Helper()
	return onTerminal(t, command(t, a, append([]string{"shell", "-w", strings.Join(a.hosts, ",")}, args...)...))
}

const (
	ctrlD = "\x04"
	up    = "\x1b[A"
)

// A person sees a prompt that counts the hosts and those that failed, runs commands
// and goes on with some of the hosts.
func TestShell(t *testing.T) {
	for name, start := range map[string]starter{
		"fleet": startFleet("/bin/sh"),
		"OpenSSH": func(t testing.TB, hosts int, faults map[int]sshtest.Fault) access {
			return startOpenSSH(t, hosts, faults)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, 2, nil)
			p := inShell(t, a)
			p.expect("shoal: 2 hosts (")
			p.expect("shoal 2 hosts> ")
			p.typed("echo out\r")
			p.expect(": out")
			p.expect(": out")
			p.expect("2 hosts: 2 ok in ")
			p.expect("shoal 2 hosts> ")
			p.typed(":failed\r")
			p.expect("shoal: :failed: no host failed in the last command")
			p.typed(":only " + a.hosts[1] + "\r")
			p.expect("shoal: 1 of 2 hosts (" + a.hosts[1] + ")")
			p.expect("shoal 1 host> ")
			p.typed("exit 3\r")
			p.expect(a.hosts[1] + ": exit 3")
			p.expect("shoal 1 host, 1 failed> ")
			p.typed(":all\r")
			p.expect("shoal 2 hosts, 1 failed> ")
			p.typed(":failed\r")
			p.expect("shoal 1 host, 1 failed> ")
			p.typed(":hosts\r")
			p.expect("1 host (" + a.hosts[1] + "), and 1 more with :all")
			p.expect("  failed: exit 3 (1): " + a.hosts[1])
			p.typed(":fold on\r:all\r")
			p.expect("shoal 2 hosts, 1 failed> ")
			p.typed("echo folded\r")
			p.expect(" (2)\r\n")
			p.expect("folded\r\n")
			p.expect("shoal 2 hosts> ")
			p.typed(":fld off\r")
			p.expect(`unknown command ":fld" (did you mean ":fold"?)`)
			p.typed("cd /tmp\r")
			p.expect("hint: keep the folder with :dir /tmp")
			p.typed("!echo $((1+1)) here\r")
			p.expect("\r\n2 here\r\n")
			p.typed(":help\r")
			p.expect("  :failed ")
			p.expect("> ")
			p.typed(ctrlD)
			p.exits(0)
			if !echoes(t, p.tty) {
				t.Error("the terminal does not show any more what is typed")
			}
		})
	}
}

// ^C clears the line at the prompt, and ends the command while one runs, on the
// hosts too. The session and its connections go on.
func TestShellInterrupt(t *testing.T) {
	a := startOpenSSH(t, 2, nil)
	sleep := uniqueSleep()
	p := inShell(t, a, "-v")
	p.expect("shoal 2 hosts> ")
	p.typed("echo never" + ctrlC)
	p.expect("\r\n")
	p.expect("shoal 2 hosts> ")
	p.typed("echo be\x1b" + ctrlC) // in the middle of a key
	p.expect("shoal 2 hosts> ")
	p.typed("echo begun; " + sleep + "\recho pasted\r") // which ^C is for too
	p.expect("msg=connected")
	p.expect("msg=connected")
	awaitProcess(t, sleep, 2)
	p.typed(ctrlC)
	p.expect(" (2): interrupted, killed")
	p.expect("2 hosts: 2 cancelled")
	p.expect("shoal 2 hosts, 2 failed> ")
	awaitProcess(t, sleep, 0)
	p.typed("ls /et")
	p.tab("c/")
	p.typed(ctrlC)
	p.expect("shoal 2 hosts, 2 failed> ")
	before := p.seen
	p.typed("echo after\r")
	p.expect("2 hosts: 2 ok in ")
	if text := p.all()[before:]; strings.Contains(text, "msg=connected") || strings.Count(text, ": after") != 2 {
		t.Errorf("after ^C:\n%q", text)
	}
	p.expect("shoal 2 hosts> ")
	p.typed(":quit\r")
	p.exits(0)
	p.hasNot(": never")
	p.hasNot(": pasted")
	p.hasNot("\x1b\x1b")
}

// A signal at the prompt ends the session and leaves the terminal as it was.
func TestShellTerminated(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGHUP, 129}} {
		a := startFleet("")(t, 1, nil)
		p := inShell(t, a)
		p.expect("shoal 1 host> ")
		if echoes(t, p.tty) {
			t.Error("the terminal edits the line itself")
		}
		if err := p.cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		p.exits(c.code)
		if !echoes(t, p.tty) {
			t.Error("the terminal does not show any more what is typed")
		}
	}
}

// Tab completes commands and files as the first host that was reached has them, and
// Shoal's own commands.
func TestShellComplete(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	for _, name := range []string{bin + "/a-program-of-this-test", dir + "/one file", dir + "/two-1", dir + "/two-2", dir + "/folder/in it/last", dir + "/bad\x1b[2J"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("#!/bin/sh\necho it runs: \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a := startOpenSSH(t, 2, nil, "SetEnv PATH="+bin+":/usr/local/bin:/usr/bin:/bin")
	p := inShell(t, a, "--dir", dir)
	p.expect("shoal 2 hosts> ")
	p.typed("true\r")
	p.expect("shoal 2 hosts> ")
	tab := p.tab
	p.typed("a-progr")
	tab("am-of-this-test ")
	p.typed("o")
	tab(`ne\ file `)
	p.typed("fold")
	tab("er/")
	tab(`in\ it/`)
	tab("last ")
	p.typed("\r")
	p.expect(`: it runs: one file folder/in it/last`)
	p.expect("shoal 2 hosts> ")
	p.typed("ls t")
	tab("wo-")
	tab("two-1  two-2\r\n")
	p.expect("ls two-")
	p.typed("1" + ctrlC)
	p.expect("shoal 2 hosts> ")
	p.typed("ls ba\t")
	p.expect("\a")
	p.typed(ctrlC + ":dir nowhere\r")
	p.expect("shoal: commands run in " + dir + "/nowhere\r\n")
	p.expect("> ")
	p.typed(":dir ~/missing\r")
	p.expect("shoal: commands run in ~/missing\r\n")
	p.expect("> ")
	p.typed("ls /et")
	tab("c/")
	p.typed(ctrlC)
	p.expect("> ")
	p.typed(":dir\r")
	p.expect("shoal: commands run in the home folder\r\n")
	p.expect("> ")
	p.typed(":fai\tnonsense\r")
	p.expect(`:failed takes nothing, got "nonsense"`)
	p.expect("> ")
	p.typed(":ho\t\r")
	p.expect("  ok (2): ")
	p.expect("> ") // where ^D is a key of the editor
	p.typed(ctrlD)
	p.exits(0)
	p.hasNot("\x1b[2J")
}

// Lines are remembered from one session to the next, but not those that begin with
// a blank, and others cannot read them.
func TestShellHistory(t *testing.T) {
	a := startFleet("")(t, 1, nil)
	cmd := command(t, a, "shell", "-w", a.hosts[0])
	p := onTerminal(t, cmd)
	p.expect("> ")
	p.typed("echo first\r")
	p.expect(": first")
	p.expect("> ")
	p.typed(" echo secret\r")
	p.expect(": secret")
	p.expect("> ")
	p.typed(up + "\r")
	p.expect(": first")
	p.expect("> ")
	p.typed(ctrlD)
	p.exits(0)

	name := strings.TrimPrefix(cmd.Env[0], "HOME=") + "/.local/state/shoal/history"
	text, err := os.ReadFile(name)
	if err != nil || string(text) != "echo first\n" {
		t.Errorf("the history is %q, %v", text, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file is %v, %v", info, err)
	}
	again := command(t, a, "shell", "-w", a.hosts[0], "--redact", "tok[a-z]*")
	again.Env = cmd.Env
	p = onTerminal(t, again)
	p.expect("> ")
	p.typed(up)
	p.expect("echo first")
	p.typed("; echo second\r")
	p.expect(": first")
	p.expect(": second")
	p.expect("> ")
	p.typed("echo token\r")
	p.expect("> ")
	p.typed("exit\r")
	p.exits(0)
	p.keepsWithout("token")
	if text, err := os.ReadFile(name); err != nil || string(text) != "echo first\necho first; echo second\nexit\n" {
		t.Errorf("the history is %q, %v", text, err)
	}

	// Where it cannot be kept that is said, and the session goes on.
	without := command(t, a, "shell", "-w", a.hosts[0], "--no-journal")
	without.Env = append(without.Env, "XDG_STATE_HOME=/dev/null")
	p = onTerminal(t, without)
	p.expect("warning: lines are not remembered: ")
	p.expect("> ")
	p.typed("echo out\r")
	p.expect(": out")
	p.expect("> ")
	p.typed(up + "\r")
	p.expect(": out")
	p.expect("> ")
	p.typed(ctrlD)
	p.exits(0)
}

// ^C at a question ends the command, and the next one may ask again.
func TestShellQuestion(t *testing.T) {
	a := passwordFleet(t, 2)
	p := inShell(t, a, "--ask-pass")
	p.expect("> ")
	p.typed("echo fi\t") // for which nobody is asked
	p.expect("\a")
	p.hasNot("password:")
	p.typed("rst\r")
	p.expect("'s password: ")
	p.typed(ctrlC)
	p.expect("2 hosts: 2 cancelled")
	p.expect("shoal 2 hosts, 2 failed> ")
	p.typed("echo second\r")
	p.expect("'s password: ")
	p.typed(canary + "\r")
	p.expect(": second")
	p.expect(": second")
	p.expect("shoal 2 hosts> ")
	p.typed("echo third\r")
	p.expect(": third")
	p.expect("2 hosts: 2 ok")
	p.expect("> ")
	p.typed(ctrlD)
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)
}

// A connection that was lost is made anew.
func TestShellLost(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Users: []sshtest.User{{Name: loginName(t), ClientKey: true}}})
	a := access{hosts: []string{f.Host(0).Addr, f.Host(1).Addr}, knownHosts: f.KnownHosts(), key: f.ClientKeyPEM()}
	p := inShell(t, a, "-v")
	for i := range 3 {
		p.expect("shoal 2 hosts> ")
		p.typed(fmt.Sprintf("echo %d\r", i))
		p.expect("2 hosts: 2 ok")
		f.Disconnect(i % 2)
	}
	p.expect("shoal 2 hosts> ")
	p.typed(ctrlD)
	p.exits(0)
	if n := strings.Count(p.all(), "msg=connected"); n != 4 {
		t.Errorf("got %d connections, want 4:\n%s", n, p.all())
	}
}

// :sudo changes whom commands run as, and asks for a password only with -K. The
// password is nowhere shown and nowhere kept.
func TestShellSudo(t *testing.T) {
	a := startOpenSSH(t, 2, nil, "SetEnv PATH="+fakeSudo(t)+":/usr/local/bin:/usr/bin:/bin")
	p := inShell(t, a)
	p.expect("shoal 2 hosts> ")
	p.typed(":sudo admin\r")
	p.expect("shoal: commands run as admin, by sudo")
	p.expect("shoal 2 hosts as admin> ")
	p.typed("echo as $SUDO_AS\r")
	p.expect("sudo: a password is required")
	p.expect("shoal 2 hosts as admin, 2 failed> ")
	p.typed(":sudo -K\r")
	p.expect("Password for sudo on 2 hosts: ")
	p.typed(ctrlC)
	p.expect("as admin, 2 failed> ")
	p.typed(":sudo -K admin\r")
	p.expect("Password for sudo on 2 hosts: ")
	p.typed(canary + "\r")
	p.expect("as admin, 2 failed> ")
	p.typed("echo as $SUDO_AS\r")
	p.expect(": as admin\r\n")
	p.expect(": as admin\r\n")
	p.expect("shoal 2 hosts as admin> ")
	p.typed(":sudo off\r")
	p.expect("shoal 2 hosts> ")
	p.typed("echo as $SUDO_AS nobody\r")
	p.expect(": as nobody\r\n")
	p.expect("shoal 2 hosts> ")
	p.typed(":sudo off now\r")
	p.expect(":sudo: want a user or off")
	p.expect("shoal 2 hosts> ")
	p.typed(ctrlD)
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)
}

// No goroutine is left of a session.
func TestShellGoroutines(t *testing.T) {
	a := startOpenSSH(t, 2, nil)
	home := t.TempDir()
	if err := a.write(home); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", home)
	ignore := goleak.IgnoreCurrent()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"shell", "-w", strings.Join(a.hosts, ",")}, strings.NewReader("echo out\n:timeout 0.2\nsleep 1000\n:hosts\n!true\n"), &stdout, &stderr)
	if code != exitTimeout || strings.Count(stdout.String(), ": out\n") != 2 {
		t.Errorf("got %d\n%s\n%s", code, &stdout, &stderr)
	}
	goleak.VerifyNone(t, ignore)
}

// tab presses Tab until the line goes on: a slow machine may take too long.
func (p *program) tab(want string) {
	p.t.Helper()
	for {
		p.typed("\t")
		if p.expectOne("\a", want) == 1 {
			return
		}
	}
}

// expectOne waits until the program has written one of the texts, behind what was
// expected before, and returns which.
func (p *program) expectOne(texts ...string) int {
	p.t.Helper()
	timeout := time.After(stuck)
	for {
		p.mu.Lock()
		which, at := -1, 0
		for i, text := range texts {
			if n := bytes.Index(p.text.Bytes()[p.seen:], []byte(text)); n >= 0 && (which < 0 || n+len(text) < at) {
				which, at = i, n+len(text)
			}
		}
		p.seen += at
		changed := p.changed
		p.mu.Unlock()
		if which >= 0 {
			return which
		}
		select {
		case <-changed:
		case <-p.done:
			p.t.Fatalf("none of %q came; all that came:\n%q", texts, p.all())
		case <-timeout:
			p.t.Fatalf("none of %q comes; all that came:\n%q", texts, p.all())
		}
	}
}
