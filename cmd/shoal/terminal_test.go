//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// stuck bounds every wait. Only a test that fails gets there.
const stuck = 60 * time.Second

// program is a shoal that a test started. What it writes can be waited for.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File // its terminal; nil where it has none
	done chan struct{}

	mu      sync.Mutex
	text    bytes.Buffer
	seen    int // of text, by expect
	changed chan struct{}
}

// command returns a shoal that finds the hosts' keys in its home folder.
func command(t *testing.T, a access, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	if err := a.write(home); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("shoal", args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "NO_COLOR=1", "GORACE=" + os.Getenv("GORACE")}
	return cmd
}

// onTerminal starts a program on a terminal of its own, of 100 columns.
func onTerminal(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, done: make(chan struct{}), changed: make(chan struct{})}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	p.tty = tty
	go p.read()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.done
		tty.Close()
	})
	return p
}

// piped starts a program without a terminal, not even a controlling one.
func piped(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, done: make(chan struct{}), changed: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *program) read() {
	defer close(p.done)
	buf := make([]byte, 4096)
	for {
		n, err := p.tty.Read(buf)
		p.Write(buf[:n])
		if err != nil { // EIO when the program has ended
			p.cmd.Wait()
			return
		}
	}
}

// Write takes what the program wrote.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

// expect waits until the program has written text, behind what was expected
// before.
func (p *program) expect(text string) {
	p.t.Helper()
	timeout := time.After(stuck)
	for {
		p.mu.Lock()
		i := bytes.Index(p.text.Bytes()[p.seen:], []byte(text))
		if i >= 0 {
			p.seen += i + len(text)
		}
		changed := p.changed
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if !strings.Contains(p.all()[p.seen:], text) {
				p.t.Fatalf("%q did not come; all that came:\n%q", text, p.all())
			}
		case <-timeout:
			p.t.Fatalf("%q does not come; all that came:\n%q", text, p.all())
		}
	}
}

// all is everything the program wrote.
func (p *program) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// typed sends what a person types.
func (p *program) typed(text string) {
	p.t.Helper()
	if _, err := p.tty.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits for the program's end and checks its exit code.
func (p *program) exits(code int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(stuck):
		p.t.Fatalf("it does not end; all that came:\n%q", p.all())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("got exit code %d, want %d; all that came:\n%q", got, code, p.all())
	}
}

// hasNot checks that something was never written.
func (p *program) hasNot(text string) {
	p.t.Helper()
	if strings.Contains(p.all(), text) {
		p.t.Errorf("%q was written:\n%q", text, p.all())
	}
}

// keepsWithout checks that the run is in the journal, and something is nowhere in
// the files that the program made.
func (p *program) keepsWithout(text string) {
	p.t.Helper()
	home, kept := strings.TrimPrefix(p.cmd.Env[0], "HOME="), 0
	err := filepath.WalkDir(home, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got, err := os.ReadFile(name)
		if strings.Contains(string(got), text) {
			p.t.Errorf("%q is in %s:\n%s", text, name, got)
		}
		if strings.HasSuffix(name, ".jsonl") && strings.Contains(string(got), `"ev":"end"`) {
			kept++
		}
		return err
	})
	if err != nil || kept == 0 {
		p.t.Errorf("got %d runs in the journal, %v", kept, err)
	}
}

const (
	ctrlC  = "\x03"
	canary = "c4n4ry-pa55word"
)

// The status line tells how far the run is, and is gone at the end.
func TestStatusLine(t *testing.T) {
	a := startFleet("")(t, 2, map[int]sshtest.Fault{1: {Kind: sshtest.ExecHang}})
	p := onTerminal(t, command(t, a, "run", "-w", strings.Join(a.hosts, ","), "echo out"))
	p.expect(a.hosts[0] + ": out")
	p.expect("1/2 done, 1 ok, 1 running")
	p.expect("slowest " + a.hosts[1])
	p.typed(ctrlC)
	p.expect("shoal: 1 of 2 hosts done, 1 running: " + a.hosts[1])
	p.expect("hint: ^C again within two seconds")
	p.typed(ctrlC)
	p.expect(a.hosts[1] + ": interrupted, may still run")
	p.expect("2 hosts: 1 ok, 1 cancelled (" + a.hosts[1] + ")")
	p.exits(130)
	_, last, _ := strings.Cut(p.all(), "2 hosts: ")
	if strings.Contains(last, "done,") {
		t.Errorf("the status line came back after the summary: %q", last)
	}
}

// ^C twice ends the commands on the hosts, keeps what came, and exits with 130.
func TestInterruptOpenSSH(t *testing.T) {
	a := startOpenSSH(t, 2, nil)
	sleep := uniqueSleep()
	p := onTerminal(t, command(t, a, "run", "-b", "-w", strings.Join(a.hosts, ","), "echo begun; "+sleep))
	interrupted(t, p, sleep)
}

// interrupted types ^C twice while two hosts run a command that nobody else runs.
func interrupted(t *testing.T, p *program, sleep string) {
	t.Helper()
	p.expect("2 running")
	awaitProcess(t, sleep, 2)
	p.typed(ctrlC)
	p.expect("0 of 2 hosts done, 2 running")
	p.typed(ctrlC)
	p.expect(" (2): interrupted, killed; partial output")
	p.expect("begun")
	p.expect("2 hosts: 2 cancelled")
	p.exits(130)
	awaitProcess(t, sleep, 0)
}

// With the user's own ssh ^C does the same: the connections are not ssh's to lose,
// since it has no terminal that would send it the signal. Nothing of it is left.
func TestInterruptTransport(t *testing.T) {
	opensshtest.Need(t, "ssh")
	a := startOpenSSH(t, 2, nil)
	sleep := uniqueSleep()
	cmd := command(t, a, "run", "--transport", "openssh", "-F", "none", "-o", "IdentityAgent=none", "-o", "GlobalKnownHostsFile=none",
		"-b", "-w", strings.Join(a.hosts, ","), "echo begun; "+sleep)
	home := strings.TrimPrefix(cmd.Env[0], "HOME=")
	tmp, err := os.MkdirTemp("", "t") // short: sockets' paths are limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	cmd.Args = slices.Insert(cmd.Args, 2, "-i", home+"/.ssh/id_ed25519", "-o", "UserKnownHostsFile="+home+"/.ssh/known_hosts")
	p := onTerminal(t, cmd)
	interrupted(t, p, sleep)
	if out, err := exec.Command("ps", "-ww", "-A", "-o", "args=").Output(); err != nil || strings.Contains(string(out), tmp) {
		t.Errorf("processes left, %v:\n%s", err, out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Elsewhere than on a terminal one signal is enough.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		code   int
		word   string
	}{{syscall.SIGINT, 130, "interrupted"}, {syscall.SIGTERM, 143, "terminated"}, {syscall.SIGHUP, 129, "hung up"}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			a := startFleet("")(t, 2, nil)
			for _, flags := range [][]string{nil, {"-S"}} {
				args := append([]string{"run", "-w", strings.Join(a.hosts, ",")}, flags...)
				p := piped(t, command(t, a, append(args, "echo begun; sleep 1000")...))
				p.expect("begun")
				p.expect("begun")
				if err := p.cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
				p.expect(c.word + ", killed")
				p.expect("2 hosts: 2 cancelled")
				p.exits(c.code)
			}
		})
	}
}

// -u ends the command on a real host.
func TestTimeoutOpenSSH(t *testing.T) {
	a := startOpenSSH(t, 1, nil)
	sleep := uniqueSleep()
	p := piped(t, command(t, a, "run", "-w", a.hosts[0], "-u", "2s", "echo begun; "+sleep+"; echo after"))
	p.expect("begun")
	awaitProcess(t, sleep, 1)
	p.expect("timed out after 2 s, killed")
	p.exits(4)
	p.hasNot("after\n")
	awaitProcess(t, sleep, 0)
}

// Many running commands end with one signal, in about the time of one.
func TestInterruptMany(t *testing.T) {
	a := startFleet("")(t, many, nil)
	p := piped(t, command(t, a, "run", "-f", fmt.Sprint(many), "-w", strings.Join(a.hosts, ","), "echo begun; sleep 1000"))
	for range many {
		p.expect("begun")
	}
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.exits(130)
	t.Logf("ended after %v", time.Since(began))
	p.expect(fmt.Sprintf("%d hosts: %d cancelled", many, many))
}

// A password is asked for once and used for all hosts; it is never shown, and
// while a person types nothing else is written.
func TestAskPassword(t *testing.T) {
	a := passwordFleet(t, 3)
	p := onTerminal(t, command(t, a, "run", "-v", "--ask-pass", "-w", strings.Join(a.hosts, ","), "echo out"))
	p.expect("(used for all hosts) " + loginName(t) + "@127.0.0.")
	p.expect("'s password: ")
	p.typed("wrong\n")
	p.expect("(used for all hosts) (attempt 2) ")
	p.typed(canary + "\n")
	p.expect("3 hosts: 3 ok")
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)
	if n := strings.Count(p.all(), "password: "); n > 4 {
		t.Errorf("asked %d times for what the hosts have in common", n)
	}
}

// passwordFleet starts hosts that want a password.
func passwordFleet(t *testing.T, hosts int) access {
	f := sshtest.New(t, sshtest.Config{Hosts: hosts, Users: []sshtest.User{{Name: loginName(t), Password: canary}}})
	a := access{knownHosts: f.KnownHosts(), key: f.ClientKeyPEM()}
	for _, h := range f.Hosts() {
		a.hosts = append(a.hosts, h.Addr)
	}
	return a
}

// What the server asks by keyboard-interactive is put to the person with the
// host's name, and a code that is good for once is asked for on each host.
func TestAskInteractive(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Users: []sshtest.User{{
		Name: loginName(t),
		Interactive: [][]sshtest.Prompt{
			{{Text: "Password: ", Answer: canary}},
			{{Text: "Your code\x1b[2J: ", Echo: true, Answer: "123456"}},
		},
	}}})
	a := access{hosts: []string{f.Host(0).Addr, f.Host(1).Addr}, knownHosts: f.KnownHosts(), key: f.ClientKeyPEM()}
	p := onTerminal(t, command(t, a, "run", "--ask-pass", "-w", strings.Join(a.hosts, ","), "echo out"))
	p.expect(": Password: ")
	p.typed(canary + "\n")
	p.expect(`: Your code\x1b[2J: `)
	p.typed("123456\n")
	p.expect(`: Your code\x1b[2J: `)
	p.typed("123456\n")
	p.expect("2 hosts: 2 ok")
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)
}

// ^C at a question ends the run at once and leaves the terminal as it was.
func TestInterruptQuestion(t *testing.T) {
	a := passwordFleet(t, 2)
	p := onTerminal(t, command(t, a, "run", "--ask-pass", "-w", strings.Join(a.hosts, ","), "echo out"))
	p.expect("'s password: ")
	if echoes(t, p.tty) {
		t.Error("the terminal shows what is typed")
	}
	p.typed(ctrlC)
	p.expect(" (2): interrupted\r\n")
	p.expect("2 hosts: 2 cancelled")
	p.exits(130)
	if !echoes(t, p.tty) {
		t.Error("the terminal does not show any more what is typed")
	}
}

// Without a terminal nobody can be asked, which is said before anything is done.
func TestAskWithoutTerminal(t *testing.T) {
	a := passwordFleet(t, 1)
	for _, flags := range [][]string{{"--ask-pass"}, {"--sudo", "-K"}, {"--host-key", "ask"}} {
		p := piped(t, command(t, a, append(append([]string{"run", "-w", a.hosts[0]}, flags...), "true")...))
		p.exits(2)
		p.expect(": there is no terminal to ask on")
	}
}

// On a terminal a host that is not known is asked about, with its fingerprint,
// and remembered where the answer is yes.
func TestAskHostKey(t *testing.T) {
	a := startFleet("")(t, 1, nil)
	a.knownHosts = nil
	cmd := command(t, a, "run", "-w", a.hosts[0], "echo out")
	p := onTerminal(t, cmd)
	p.expect("The host key of " + a.hosts[0] + " is not known:")
	p.expect("ssh-ed25519 SHA256:")
	p.typed("maybe\n")
	p.expect("Neither yes nor no")
	p.typed("no\n")
	p.expect("host key: ")
	p.exits(3)

	for _, answer := range []string{"yes\n", ""} { // it is known the second time
		again := exec.Command("shoal", cmd.Args[1:]...)
		again.Env = cmd.Env
		p := onTerminal(t, again)
		if answer != "" {
			p.expect("? ")
			p.typed(answer)
		}
		p.expect(": out")
		p.exits(0)
	}
}

// After the review of all keys there is one question, whose answer is no unless
// it is yes; keys that changed have one of their own.
func TestPinHostKeys(t *testing.T) {
	a := startFleet("")(t, 3, nil)
	right := string(a.knownHosts)
	lines := strings.SplitAfter(right, "\n")
	address, port, _ := strings.Cut(a.hosts[0], ":")
	_, other, _ := strings.Cut(lines[1], " ")
	wrong := "[" + address + "]:" + port + " " + other // the first host has changed, the others are new
	a.knownHosts = []byte(wrong)
	args := []string{"keys", "--pin", "--replace", strings.Join(a.hosts, ",")}
	for _, tt := range []struct {
		store, replace string // what is typed
		code           int
		want           []string // the answers to it
		lines          int      // in the file afterwards
	}{
		{store: "\n", code: 5, lines: 1},
		{store: "no\n", code: 5, lines: 1},
		{store: "what\nn\n", want: []string{"Neither yes nor no (y/N)? "}, code: 5, lines: 1},
		{store: ctrlC, code: 130, lines: 1},
		{store: "y\n", replace: "n\n", want: []string{"known_hosts: 2 lines added"}, code: 5, lines: 3},
		{store: "yes\n", replace: "yes\n", want: []string{"known_hosts: 3 lines added, 1 known key taken out"}, code: 0, lines: 3},
	} {
		cmd := command(t, a, args...)
		file := strings.TrimPrefix(cmd.Env[0], "HOME=") + "/.ssh/known_hosts"
		p := onTerminal(t, cmd)
		p.expect("changed      ed25519  SHA256:")
		p.expect("  was        ed25519  SHA256:")
		p.expect("new          ed25519  SHA256:")
		p.expect("3 keys of 3 hosts: 1 changed, 2 new, in ")
		p.expect("Store 2 new keys of 2 hosts (")
		p.expect(") in " + file + " (y/N)? ")
		p.typed(tt.store)
		if tt.replace != "" {
			p.expect("Make 1 key the only known keys of " + a.hosts[0] + " in " + file)
			p.typed(tt.replace)
		}
		for _, want := range tt.want {
			p.expect(want)
		}
		p.exits(tt.code)
		if _, after, _ := strings.Cut(p.all(), "Store 2 new"); strings.Contains(after, " done") {
			t.Errorf("the status line is there after the scan: %q", after)
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.Count(string(text), "\n") != tt.lines {
			t.Errorf("%q, %q: the file is\n%s%v", tt.store, tt.replace, text, err)
		}
		if strings.Contains(string(text), wrong) != (tt.code != 0) {
			t.Errorf("%q, %q: what was known before is in\n%s", tt.store, tt.replace, text)
		}
	}

	p := piped(t, command(t, a, args...))
	p.exits(2)
	p.expect("--pin: there is no terminal to ask on")
}

// -K asks once; sudo on each host gets the password at its own prompt, and
// nobody else does.
func TestAskSudo(t *testing.T) {
	a := startOpenSSH(t, 2, nil, "SetEnv PATH="+fakeSudo(t)+":/usr/local/bin:/usr/bin:/bin")
	hosts := strings.Join(a.hosts, ",")
	p := onTerminal(t, command(t, a, "run", "-v", "-w", hosts, "--sudo=admin", "-K", "echo as $SUDO_AS"))
	p.expect("Password for sudo on 2 hosts: ")
	p.typed(canary + "\n")
	p.expect(": as admin")
	p.expect(": as admin")
	p.expect("2 hosts: 2 ok")
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)

	p = onTerminal(t, command(t, a, "run", "-w", hosts, "--sudo", "-K", "echo as $SUDO_AS"))
	p.expect("Password for sudo on 2 hosts: ")
	p.typed("wrong\n")
	p.expect("sudo did not accept the password")
	p.exits(1)
	p.hasNot("as root")

	p = piped(t, command(t, a, "run", "-w", hosts, "--sudo", "echo as $SUDO_AS"))
	p.exits(1)
	p.expect("sudo: a password is required")
}

// fakeSudo is a folder with a sudo that wants the canary for a password.
func fakeSudo(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	fake := `#!/bin/sh
user=root
while [ $# -gt 0 ]; do case $1 in
-S) shift;; -n) echo "sudo: a password is required" >&2; exit 1;;
-u) user=$2; shift 2;; -p) prompt=$2; shift 2;; *) break;; esac; done
for try in 1 2 3; do
	printf %s "$prompt" >&2
	read -r password || exit 1
	[ "$password" = ` + canary + ` ] && SUDO_AS=$user exec "$@"
	echo "Sorry, try again." >&2
done
exit 1
`
	if err := os.WriteFile(bin+"/sudo", []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

// Passphrases of keys are asked for with --ask-pass.
func TestAskPassphrase(t *testing.T) {
	opensshtest.Need(t, "ssh-keygen")
	a := startFleet("")(t, 2, nil)
	cmd := command(t, a, "run", "--ask-pass", "-w", strings.Join(a.hosts, ","), "echo out")
	home := strings.TrimPrefix(cmd.Env[0], "HOME=")
	lock := exec.Command("ssh-keygen", "-q", "-p", "-P", "", "-N", canary, "-f", home+"/.ssh/id_ed25519")
	if out, err := lock.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := onTerminal(t, cmd)
	p.expect("Passphrase for ")
	p.typed(canary + "\n")
	p.expect("2 hosts: 2 ok")
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)
}

// With --transport openssh the user's ssh asks the same person: once for a
// passphrase that opens many hosts, and about a host key without --ask-pass.
func TestAskSSH(t *testing.T) {
	opensshtest.Need(t, "sshd", "ssh", "ssh-keygen")
	a := startOpenSSH(t, 3, nil)
	cmd := command(t, a, "run", "--transport", "openssh", "--ask-pass", "-w", strings.Join(a.hosts, ","))
	ssh := strings.TrimPrefix(cmd.Env[0], "HOME=") + "/.ssh/"
	cmd.Args = append(cmd.Args, "-F", "none", "-i", ssh+"id_ed25519", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile="+ssh+"known_hosts", "echo out")
	lock := exec.Command("ssh-keygen", "-q", "-p", "-P", "", "-N", canary, "-f", ssh+"id_ed25519")
	if out, err := lock.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := onTerminal(t, cmd)
	p.expect("(used for all hosts) Enter passphrase for key '" + ssh + "id_ed25519': ")
	p.typed(canary + "\n")
	p.expect("3 hosts: 3 ok")
	p.exits(0)
	p.hasNot(canary)
	p.keepsWithout(canary)

	unlock := exec.Command("ssh-keygen", "-q", "-p", "-P", canary, "-N", "", "-f", ssh+"id_ed25519")
	if out, err := unlock.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := append([]string{"run", "--transport", "openssh", "-w", a.hosts[0]}, cmd.Args[7:]...)
	for _, test := range []struct {
		answer string
		code   int
	}{{"no", 3}, {"yes", 0}, {"", 0}} {
		again := exec.Command("shoal", args...)
		again.Env = cmd.Env
		if test.answer != "" {
			os.Remove(ssh + "known_hosts")
		}
		p := onTerminal(t, again)
		if test.answer != "" {
			p.expect("fingerprint is SHA256:")
			p.expect("(yes/no/[fingerprint])? ")
			p.typed(test.answer + "\n")
		}
		p.exits(test.code)
	}
}

// -T gives the command a terminal of the size of ours.
func TestTerminalSize(t *testing.T) {
	a := startFleet("")(t, 1, nil)
	p := onTerminal(t, command(t, a, "run", "-T", "-w", a.hosts[0], "stty size"))
	p.expect(": 30 100")
	p.exits(0)
}

// No byte that a terminal acts upon comes from a host, whatever it does.
func TestTerminalSafe(t *testing.T) {
	kinds := slices.DeleteFunc(sshtest.AllFaults(), func(k sshtest.FaultKind) bool { return k == sshtest.ExecInfinite })
	faults := make(map[int]sshtest.Fault)
	for i, k := range kinds {
		faults[i+1] = sshtest.Fault{Kind: k}
		switch k {
		case sshtest.IgnoreFlood, sshtest.DebugFlood, sshtest.AuthBannerFlood, sshtest.ChanOpenFlood, sshtest.GlobalFlood, sshtest.ReplyFlood,
			sshtest.ExecNoNewline, sshtest.ExecExtFlood, sshtest.ExecWindowOverrun, sshtest.RekeyDataFlood:
			faults[i+1] = sshtest.Fault{Kind: k, N: 1000} // the terminal is slow
		}
	}
	a := startFleet("")(t, len(kinds)+1, faults)
	// Lines as they come and once more, folded.
	p := onTerminal(t, command(t, a, "run", "-L", "-v", "-f", "200", "-t", "6s", "-u", "6s", "-o", "ServerAliveInterval=1",
		"--deadline", "30s", "-w", strings.Join(a.hosts, ","), `printf '\033]0;title\007\233\r\342\200\256\342\201\246x\n'`))
	p.expect(fmt.Sprintf("%d hosts: ", len(kinds)+1))
	<-p.done
	ours := strings.NewReplacer("\r\x1b[K", "", "\x1b[K", "", "\r\n", "\n", "\r", "")
	text := ours.Replace(p.all())
	for i, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			t.Fatalf("byte %d is %q in %q", i, r, text[max(i-100, 0):min(i+100, len(text))])
		}
	}
	for _, shown := range []string{`\x1b]0;title`, `no \x1b[31mroom`, `bye\r\n\x1b[32m`} {
		if !strings.Contains(text, shown) {
			t.Errorf("%s is not shown in %s", shown, text)
		}
	}
}

// uniqueSleep is a command that no other process of the machine has.
func uniqueSleep() string { return fmt.Sprintf("sleep 1000.%d", time.Now().UnixNano()) }

// awaitProcess waits until n processes run this command.
func awaitProcess(t *testing.T, command string, n int) {
	t.Helper()
	got := -1
	for began := time.Now(); time.Since(began) < stuck; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command("ps", "-A", "-o", "args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		got = 0
		for line := range strings.Lines(string(out)) {
			if strings.TrimSpace(line) == command {
				got++
			}
		}
		if got == n {
			return
		}
	}
	t.Fatalf("%d processes run %q, want %d", got, command, n)
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// --confirm shows how it went so far and asks before each batch but the first;
// anything but yes leaves the rest alone.
func TestConfirm(t *testing.T) {
	a := startFleet("/bin/sh")(t, 4, nil)
	args := []string{"run", "-w", strings.Join(a.hosts, ","), "-f", "1", "--canary", "1", "--batch", "2", "--confirm"}
	for _, c := range []struct {
		answer string
		code   int
		want   []string
	}{
		{"y\r", 1, []string{"batch 2 of 3: 2 hosts (", "So far 1 ok, 2 failed (", "); 1 left.", "Go on with batch 3 of 3: 1 host (" + a.hosts[3] + ") (y/N)? "}},
		{"\r", 5, []string{"stopped by --confirm: the answer before batch 2 of 3 was no; 3 hosts not run (", "4 hosts: 1 ok, 3 not run ("}},
		{"what\rno\r", 5, []string{"Neither yes nor no (y/N)? ", "3 hosts not run ("}},
		{ctrlC, 130, []string{"4 hosts: 1 ok, 3 not run ("}},
	} {
		t.Run(fmt.Sprintf("%q", c.answer), func(t *testing.T) {
			p := onTerminal(t, command(t, a, append(args, "--subst", "echo out; exit $((%{index} > 0))")...))
			p.expect("canary: 1 ok")
			p.expect("So far 1 ok, 0 failed; 3 left.")
			p.expect("Go on with batch 2 of 3: 2 hosts (")
			p.expect("(y/N)? ")
			p.typed(c.answer)
			for _, want := range c.want {
				p.expect(want)
			}
			if c.code == 1 {
				p.typed("yes\r")
				p.expect("4 hosts: 1 ok, 3 failed")
			}
			p.exits(c.code)
		})
	}
}

// Where nobody can be asked --confirm is refused before anything is done.
func TestConfirmNobody(t *testing.T) {
	a := startFleet("")(t, 2, nil)
	p := piped(t, command(t, a, "run", "-w", strings.Join(a.hosts, ","), "--batch", "1", "--confirm", "echo out"))
	p.expect("--confirm: there is no terminal to ask on")
	p.expect("hint: run it from a terminal, or answer beforehand with --yes")
	p.exits(2)
	p.hasNot(": out")
}
