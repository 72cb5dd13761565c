//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// prompts are what a person is asked, with the answers, each a secret.
var prompts = map[string]string{
	"'s password: ":         canary + "-password",
	": Password: ":          canary + "-password",
	"Passphrase for ":       canary + "-passphrase",
	"Enter passphrase for ": canary + "-passphrase",
	"Secret code: ":         canary + "-code",
	"Password for sudo on ": canary + "-sudo",
}

// sudoProgram wants a password by -S at the prompt of -p.
const sudoProgram = `#!/bin/sh
while [ $# -gt 0 ]; do case $1 in -S) shift;; -u) shift 2;; -p) prompt=$2; shift 2;; *) break;; esac; done
printf %s "$prompt" >&2
read -r password && [ "$password" = ` + canary + `-sudo ] && exec "$@"
`

// No secret is ever in what is shown, written or seen in the list of processes,
// whatever is done with it and however much is told.
func TestCanary(t *testing.T) {
	opensshtest.Need(t, "ssh", "ssh-keygen")
	bin, in := t.TempDir(), t.TempDir()
	fleet := func(users ...sshtest.User) *sshtest.Fleet {
		return sshtest.New(t, sshtest.Config{
			SFTP: func(int) string { return "/" },
			Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
				s.Command = "PATH=" + bin + ":$PATH; " + s.Command
				return sshtest.Shell("/bin/sh")(ctx, s)
			},
			Users: users,
		})
	}
	f := fleet(sshtest.User{Name: "word", Password: canary + "-password"}, sshtest.User{Name: "key", ClientKey: true})
	asks := fleet(sshtest.User{Name: "code", Interactive: [][]sshtest.Prompt{{{Text: "Secret code: ", Answer: canary + "-code"}}}})
	addr, asking := f.Host(0).Addr, asks.Host(0).Addr
	_, port, _ := strings.Cut(addr, ":")
	_, askingPort, _ := strings.Cut(asking, ":")
	base := command(t, access{knownHosts: append(f.KnownHosts(), asks.KnownHosts()...), key: f.ClientKeyPEM()})
	home := strings.TrimPrefix(base.Env[0], "HOME=")
	tmp := t.TempDir()
	base.Env = append(base.Env, "TMPDIR="+tmp, "XDG_STATE_HOME="+home+"/state")
	lock := exec.Command("ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", canary+"-passphrase", "-f", home+"/.ssh/id_ed25519")
	if out, err := lock.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	inventory := fmt.Sprintf("[all:vars]\nansible_host=127.0.0.1\nansible_password=%s-inventory\nansible_become_password=%s-become\n"+
		"[all]\nword ansible_user=word ansible_port=%s\nkey ansible_user=key ansible_port=%s\ncode ansible_user=code ansible_port=%s\n",
		canary, canary, port, port, askingPort)
	for name, text := range map[string]string{bin + "/sudo": sudoProgram, in + "/hosts": inventory, in + "/script": "#!/bin/sh\necho scripted\n", in + "/tree/file": "text"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o755)
		if name == in+"/hosts" {
			mode = 0o600
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	all := fmt.Sprintf("word@%s,key@%s,code@%s", addr, addr, asking)
	for _, step := range []struct {
		args string // WITH is the flags to log in
		want string
	}{
		{"run WITH -v --sudo -K --outdir OUT/o --errdir OUT/e --report OUT/report.html -w ALL 'echo ran; echo oops >&2; exit 1'", "3 failed"},
		{"run WITH -v -b --timings -w ALL 'sleep 0.3; echo ran'", "3 ok"},
		{"run WITH -v -O jsonl -w ALL 'echo ran'", `"ev":"end"`},
		{"run WITH -v --inventory IN/hosts -g all 'echo ran'", "3 ok"},
		{"run WITH -v --transport openssh -F none -o IdentityAgent=none -o UserKnownHostsFile=HOME/.ssh/known_hosts -i HOME/.ssh/id_ed25519 -w word@ADDR,key@ADDR 'sleep 0.3; echo ran'", "2 ok"},
		{"script WITH -v -w ALL IN/script", "scripted"},
		{"push WITH -v -w ALL IN/script OUT/pushed", "3 ok"},
		{"pull WITH -v -w ALL IN/script -d OUT/pulled", "3 ok"},
		{"sync WITH -v -w word@ADDR IN/tree OUT/tree", "1 ok"},
		{"ping WITH -v -w ALL", "3 ok"},
		{"keys -w ADDR --all", "1 key"},
		{"rerun WITH -v --all", " ok"},
		{"show -v", ""},
		{"runs", ""},
		{"diff @1 @2", ""},
	} {
		line := strings.NewReplacer("WITH", "--ask-pass", "ALL", all, "ADDR", addr, "IN/", in+"/", "OUT", out, "HOME", home).Replace(step.args)
		t.Run(strings.Fields(step.args)[0], func(t *testing.T) {
			cmd := exec.Command("sh", "-c", "exec shoal "+line)
			cmd.Env = base.Env
			p := onTerminal(t, cmd)
			p.answers(t)
			if !strings.Contains(p.all(), step.want) {
				t.Errorf("%s: %q is not in %q", line, step.want, p.all())
			}
			p.hasNot(canary)
			for _, dir := range []string{home, tmp, out} {
				noCanary(t, dir)
			}
		})
	}
}

// answers types what is asked for until the program ends, and looks meanwhile at
// the processes.
func (p *program) answers(t *testing.T) {
	t.Helper()
	seen, timeout := 0, time.After(stuck)
	for {
		text := p.all()
		for prompt, answer := range prompts {
			if i := strings.LastIndex(text[seen:], prompt); i >= 0 && strings.HasSuffix(text, ": ") {
				seen = len(text)
				p.typed(answer + "\n")
				break
			}
		}
		noCanaryInProcesses(t, p.cmd.Process.Pid)
		select {
		case <-p.done:
			return
		case <-timeout:
			t.Fatalf("it does not end; all that came:\n%q", p.all())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// noCanary looks through all files of a folder.
func noCanary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(canary)) || strings.Contains(name, canary) {
			t.Errorf("a secret is in %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// noCanaryInProcesses looks at the arguments and the environment of a process and
// its children.
func noCanaryInProcesses(t *testing.T, pid int) {
	for _, name := range []string{"cmdline", "environ"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)) // it may have ended
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("a secret is in the %s of a process: %q", name, text)
		}
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(children)) {
			if n, err := strconv.Atoi(child); err == nil {
				noCanaryInProcesses(t, n)
			}
		}
	}
}
