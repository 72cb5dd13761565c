//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/shoal-ssh/shoal/sshtest"
)

// cliDoc shows command lines with their output, which TestCommandLineDoc holds true.
const cliDoc = "../../docs/cli.md"

// docHosts are the hosts of docs/cli.md.
var docHosts = slices.Concat(numbered("node%d", 4), numbered("web%d", 4), numbered("db%02d", 40), numbered("gpu%d", 3), numbered("rack%dn1", 5))

func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i+1)
	}
	return names
}

// docPrograms are what the hosts have; $NODE is the host's name.
var docPrograms = map[string]string{
	"uname":      `case $NODE in node3) echo 6.1.0-37-amd64;; *) echo 6.12.48-amd64;; esac`,
	"systemctl":  `test -n "$SUDO_USER" || { echo "systemctl: access denied" >&2; exit 4; }`,
	"curl":       `test $NODE != web3 || exit 22`,
	"pg_dumpall": `test $NODE != db07 || { echo "pg_dumpall: error: out of memory" >&2; exit 1; }`,
	"sysctl":     `case $NODE in web2) echo 10;; *) echo 60;; esac`,
	"nvidia-smi": `test $NODE != gpu2 -o -e "$ROOT/reset" || { touch "$ROOT/reset"; echo "No devices were found" >&2; exit 6; }
echo "GPU 0: NVIDIA L4 (UUID: GPU-00$NODE)"`,
	"sudo": `while :; do case $1 in -S) shift;; -p) prompt=$2; shift 2;; *) break;; esac; done
printf %s "$prompt" >&2; read -r password; SUDO_USER=root exec "$@"`,
}

// docShell runs commands where those programs are, with the host's own folders.
func docShell(bin, roots string) sshtest.Handler {
	sh := sshtest.Shell("/bin/sh")
	return func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
		root := filepath.Join(roots, s.Host.Name)
		line := s.Command
		for _, dir := range []string{"/backup/", "/opt/app/"} {
			line = strings.ReplaceAll(line, dir, root+dir)
		}
		s.Command = fmt.Sprintf("NODE=%s ROOT=%s PATH=%s:$PATH; export NODE ROOT PATH\n%s", s.Host.Name, root, bin, line)
		return sh(ctx, s)
	}
}

// startDocFleet starts the hosts, and returns a home folder that knows them by name.
func startDocFleet(t *testing.T) (home string) {
	home, bin, roots := t.TempDir(), t.TempDir(), t.TempDir()
	files := map[string]string{}
	for name, text := range docPrograms {
		files[filepath.Join(bin, name)] = "#!/bin/sh\n" + text + "\n"
	}
	for _, name := range docHosts {
		for _, dir := range []string{"backup", "opt/app", "var/log/nginx"} {
			if err := os.MkdirAll(filepath.Join(roots, name, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasPrefix(name, "web") {
			files[filepath.Join(roots, name, "var/log/nginx/error.log")] = "an error of " + name + "\n"
		}
	}
	files[filepath.Join(roots, "web1/var/log/nginx/error-old.log")] = "an older error\n"
	f := sshtest.New(t, sshtest.Config{
		Hosts:   len(docHosts),
		Name:    func(host int) string { return docHosts[host] },
		Handler: docShell(bin, roots),
		SFTP:    func(host int) string { return filepath.Join(roots, docHosts[host]) },
		Users:   []sshtest.User{{Name: loginName(t), ClientKey: true}},
	})
	if err := (access{knownHosts: f.KnownHosts(), key: f.ClientKeyPEM()}).write(home); err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	for _, h := range f.Hosts() {
		host, port, _ := strings.Cut(h.Addr, ":")
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n  Port %s\n", h.Name, host, port)
	}
	files[filepath.Join(home, ".ssh/config")] = config.String()
	files[filepath.Join(home, "app.tgz")] = strings.Repeat("an archive\n", 200)
	files[filepath.Join(home, ".config/clustershell/groups.conf")] = "[Main]\ndefault: site\nautodir: $CFGDIR/groups.d\n"
	files[filepath.Join(home, ".config/clustershell/groups.d/site.yaml")] = `site:
  web: web[1-4]
  gpu: gpu[1-3]
  compute: rack[1-5]n1
  down: rack2n1
  all: 'node[1-4],@web,@gpu,@compute'
`
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// docLine runs a line of the document in a shell. Where it asks on its terminal, it
// gets a password.
func docLine(t *testing.T, home, line string) string {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	cmd.ExtraFiles = []*os.File{theirs}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() {
		var seen []byte
		buf := make([]byte, 1024)
		for {
			n, err := ours.Read(buf)
			if seen = append(seen, buf[:n]...); bytes.HasSuffix(seen, []byte(": ")) {
				ours.WriteString("secret\n")
				seen = nil
			}
			if err != nil {
				return
			}
		}
	}()
	if err := cmd.Wait(); err != nil {
		fmt.Fprintf(&out, "# exit code %d\n", cmd.ProcessState.ExitCode())
	}
	return strings.ReplaceAll(out.String(), home, "/home/you")
}

// masked takes out of an output what differs from run to run, times and names of runs,
// and the order of its lines.
func masked(output string) []string {
	for _, m := range []struct{ find, put string }{
		{`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?`, "DATE"},
		{`\b[0-9A-HJKMNP-TV-Z]{26}\b`, "RUN"},
		{`\brun [0-9A-Z]{6,}`, "run RUN"},
		{`"t":[\d.]+`, `"t":0`},
		{`"ms":\{[^}]*\}`, `"ms":{}`},
		{`(?m)( +\d+(\.\d)?){5,}$`, " TIMES"},
		{`slowest: \S+`, "slowest: HOST"},
		{`[\d.]+ [KM]iB/s`, "RATE"},
		{`[\d.]+ bytes/s`, "RATE"},
		{`\b\d+(\.\d+)? (s|ms)\b`, "TIME"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`[ \t]+`, " "},
	} {
		output = regexp.MustCompile(m.find).ReplaceAllString(output, m.put)
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	slices.Sort(lines)
	return lines
}

// TestCommandLineDoc runs every command line of docs/cli.md and compares what it writes
// with what stands there, times aside. With -update it is written anew.
func TestCommandLineDoc(t *testing.T) {
	text, err := os.ReadFile(cliDoc)
	if err != nil {
		t.Fatal(err)
	}
	home := startDocFleet(t)
	blocks := regexp.MustCompile("(?s)```\n\\$ (.*?)\n(.*?)```\n")
	now := blocks.ReplaceAllStringFunc(string(text), func(block string) string {
		part := blocks.FindStringSubmatch(block)
		line, want := part[1], part[2]
		got := docLine(t, home, line)
		if slices.Equal(masked(got), masked(want)) {
			return block
		}
		if !*update {
			t.Errorf("%s\ngot\n%s\nwant\n%s", line, got, want)
		}
		return "```\n$ " + line + "\n" + got + "```\n"
	})
	if n := len(blocks.FindAllString(now, -1)); n < 10 {
		t.Errorf("got %d command lines, want the ten at least", n)
	}
	if *update {
		if err := os.WriteFile(cliDoc, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
