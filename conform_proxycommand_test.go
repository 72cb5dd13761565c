package shoal_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// relay is a program that connects its standard input and output to a port, as
// nc does: this test itself.
func relay(t *testing.T, extra string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return writeScript(t, fmt.Sprintf("%s\nSHOAL_TEST_RELAY=\"$1:$2\" exec '%s'\n", extra, self))
}

func writeScript(t *testing.T, text string) string {
	t.Helper()
	opensshtest.Need(t, "sh")
	file := writeFile(t, "relay", []byte("#!/bin/sh\n"+text))
	if err := os.Chmod(file, 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// gone checks that none of the processes is left.
func gone(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for pid := range strings.FieldsSeq(string(text)) {
		for exec.Command("sh", "-c", "kill -0 "+pid).Run() == nil { // killed at once, reaped by init later
			if ctx.Err() != nil {
				t.Fatalf("process %s is still there", pid)
			}
		}
	}
}

// A command line stands for the network connection, with or without a shell,
// and its process ends with the connection.
func TestProxyCommand(t *testing.T) {
	c, h, _ := openssh(t)
	for _, line := range []string{"%s %%h %%p", "exec '%s' \"%%h\" %%p", "exec %s %%h %%p 2>/dev/null", "cat | %s %%h %%p | cat"} {
		pids := filepath.Join(t.TempDir(), "pids")
		h.ProxyCommand = fmt.Sprintf(line, relay(t, "echo $$ >>"+pids))
		conn, err := c.Conn(testContext(t), h)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out, err := conn.Run(testContext(t), shoal.Command{Line: "echo $SSH_CONNECTION; yes | head -c 1000000 | wc -c"})
		if err != nil || !strings.Contains(out.Text(), "1000000") {
			t.Errorf("%s: %q, %v", line, out.Text(), err)
		}
		conn.Close()
		c.Close()
		gone(t, pids)
		c = &shoal.Client{Host: c.Host}
		t.Cleanup(func() { c.Close() })
	}
}

// It is the first hop's alone, and "none" is stronger than the client's.
func TestProxyCommandVia(t *testing.T) {
	gate := opensshtest.Start(t, opensshtest.Config{})
	c, h, _ := openssh(t)
	used := filepath.Join(t.TempDir(), "used")
	c.Host.ProxyCommand = relay(t, "echo $1:$2 >>"+used) + " %h %p"
	h.Via = []shoal.Host{{Name: "gate", Addr: gate.Addr, Auth: []shoal.Auth{shoal.KeyFile(gate.KeyFile)}, HostKeys: &shoal.KnownHosts{Files: []string{gate.KnownHosts}}}}
	if _, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"})); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(used); err != nil || string(text) != gate.Addr+"\n" {
		t.Errorf("run for %q, %v", text, err)
	}
	h.Via, h.ProxyCommand = nil, "none"
	if _, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"})); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(used); err != nil || string(text) != gate.Addr+"\n" {
		t.Errorf("run for %q, %v", text, err)
	}
}

// What goes wrong names the cause: the program's own last words, made printable.
func TestProxyCommandFailures(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	dead := writeScript(t, "echo one >&2; echo two >&2; printf 'three \\033[31m\\n' >&2; echo four >&2; exit 7\n")
	for _, tt := range []struct {
		command string
		kind    shoal.Kind
		stage   shoal.Stage
		want    string
	}{
		{dead, shoal.KindUnreachable, shoal.StageConnect, "exit status 7: two; "},
		{writeScript(t, "echo 'connect: Connection refused' >&2; exit 1\n"), shoal.KindRefused, shoal.StageConnect, "Connection refused"},
		{"/nonexistent/program %h", shoal.KindInvalid, shoal.StageConnect, "/nonexistent/program"},
		{"no-such-program-anywhere", shoal.KindInvalid, shoal.StageConnect, "not found"},
		{"no-such-program-anywhere >/dev/null", shoal.KindUnreachable, shoal.StageConnect, "exit status 127"},
		{"x %q", shoal.KindInvalid, shoal.StagePrepare, "unknown token %q"},
		{"x %", shoal.KindInvalid, shoal.StagePrepare, "lone %"},
		{"  ", shoal.KindInvalid, shoal.StagePrepare, "names no program"},
		{"echo HTTP/1.0 400 Bad", shoal.KindNotSSH, shoal.StageBanner, "HTTP/1.0 400 Bad"},
		{"true", shoal.KindUnreachable, shoal.StageConnect, "ended without a word, with exit status 0 (attempt 3)"},
		{"sleep 1000", shoal.KindTimeout, shoal.StageConnect, "timed out"},
	} {
		c := newClient(t, f)
		h := hostOf(f, 0)
		h.ProxyCommand = tt.command
		if tt.kind == shoal.KindTimeout {
			h.Timeout = 100 * time.Millisecond
		}
		_, err := c.Conn(testContext(t), h)
		wantHostError(t, err, tt.stage, tt.kind)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v, want %s", tt.command, err, tt.want)
		}
	}
}

// A program that dies takes the connection along, and says why.
func TestProxyCommandDies(t *testing.T) {
	c, h, _ := openssh(t)
	pids := filepath.Join(t.TempDir(), "pids")
	h.ProxyCommand = relay(t, "echo $$ >>"+pids) + " %h %p"
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pid, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	p, err := conn.Start(testContext(t), shoal.Command{Line: "echo up; sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for line, err := range p.Stdout.Lines(testContext(t)) {
		if err != nil || line != "up" {
			t.Fatal(line, err)
		}
		break
	}
	if out, err := exec.Command("sh", "-c", "kill -9 "+strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	err = p.Wait(testContext(t))
	if !errors.Is(err, shoal.ErrLost) || !strings.Contains(err.Error(), "ProxyCommand ended: signal: killed") {
		t.Errorf("got %v", err)
	}
}

// Nothing that comes with a host gets anything run but the command.
func TestProxyCommandInjection(t *testing.T) {
	opensshtest.Need(t, "sh")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	ran := filepath.Join(t.TempDir(), "ran")
	for _, bad := range []string{
		"-oProxyCommand=touch " + ran, "a;touch " + ran, "$(touch " + ran + ")", "`touch " + ran + "`", "a\ntouch " + ran, "x\x00y", "-lroot", "a|b", "a b", "a'b", `a"b`, `a\b`, "a&b",
	} {
		for _, command := range []string{"echo %r %h %n %k", "echo %r %h %n %k >/dev/null"} {
			for _, set := range []func(*shoal.Host){
				func(h *shoal.Host) { h.User = bad },
				func(h *shoal.Host) { h.HostKeyAlias = bad },
				func(h *shoal.Host) { h.Name = bad },
				func(h *shoal.Host) { h.Addr = bad },
			} {
				c := newClient(t, f)
				h := hostOf(f, 0)
				h.ProxyCommand = command
				set(&h)
				_, err := c.Conn(testContext(t), h)
				wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
			}
		}
		config := &shoal.SSHConfig{File: writeFile(t, "config", []byte("Match exec \"test -n '%n%h%r'\"\n Port 7\n")), AllowCommands: true}
		for _, h := range []shoal.Host{{Name: bad}, {Name: "ok", User: bad}} {
			if strings.Contains(bad, ":") && h.Name == bad {
				continue
			}
			if _, err := config.Complete(h); err == nil || !strings.Contains(err.Error(), "must not stand in a command") {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}

// A ProxyCommand of ssh_config does for us what it does for ssh; without leave
// nothing is run, by none of the keywords that name commands.
func TestSSHConfigCommands(t *testing.T) {
	opensshtest.Need(t, "ssh")
	s := opensshtest.Start(t, opensshtest.Config{})
	dir := t.TempDir()
	used := filepath.Join(dir, "used")
	file := writeFile(t, "config", fmt.Appendf(nil, `
Host target
  HostName 127.0.0.1
  Port %d
  IdentityFile %s
  UserKnownHostsFile %s
  User %s
  ProxyCommand %s %%h %%p %%n
Match exec "touch %s/exec; test %%n = target"
  SetEnv SHOAL_SET=yes
Match all
  PermitLocalCommand yes
  LocalCommand touch %s/local
  KnownHostsCommand /usr/bin/touch %s/known
`, s.Port, s.KeyFile, s.KnownHosts, s.User, relay(t, "echo $1:$2 $3 >>"+used), dir, dir, dir))
	line := "echo $SHOAL_SET"
	ours := &shoal.SSHConfig{File: file}
	c := &shoal.Client{Complete: ours.Complete}
	defer c.Close()
	_, err := c.Conn(testContext(t), shoal.Host{Name: "target"})
	if wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid); !strings.Contains(err.Error(), "AllowCommands") {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("run without leave: %v, %v", left, err)
	}
	want, err := exec.Command("ssh", "-F", file, "-o", "KnownHostsCommand=none", "-o", "LocalCommand=none", "target", line).CombinedOutput()
	if err != nil || string(want) != "yes\n" {
		t.Fatalf("ssh itself: %s, %v", want, err)
	}
	allowed := &shoal.SSHConfig{File: file, AllowCommands: true}
	c2 := &shoal.Client{Complete: allowed.Complete}
	defer c2.Close()
	results, err := shoal.Gather(c2.Run(testContext(t), shoal.Hosts("target", "target"), shoal.Command{Line: line}))
	if err != nil || results[0].Value.Text() != "yes\n" {
		t.Fatalf("%v", err)
	}
	call := fmt.Sprintf("127.0.0.1:%d target\n", s.Port)
	if text, err := os.ReadFile(used); err != nil || string(text) != call+call {
		t.Errorf("calls of ssh and ours: %q, %v", text, err)
	}
	for _, name := range []string{"local", "known"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was run", name)
		}
	}
	// What the program says of the way goes before the files.
	for _, h := range []shoal.Host{{Name: "target", ProxyCommand: "none"}, {Name: "target", Via: []shoal.Host{}}} {
		if _, err := shoal.Gather(c2.Run(testContext(t), seq(h), shoal.Command{Line: "true"})); err != nil {
			t.Error(err)
		}
	}
	if text, _ := os.ReadFile(used); string(text) != call+call {
		t.Errorf("calls: %q", text)
	}
}
