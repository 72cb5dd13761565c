package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// imitated is a command line that is given to the real program and to ours.
type imitated struct {
	line  string // the program and its words, quoted by '
	stdin string

	stdoutDiffers, stderrDiffers bool // ours has its own words there
	inOrder                      bool
}

// compareWithReal runs both and compares lines, in any order unless asked, and
// exit codes.
func compareWithReal(t *testing.T, dir string, cases []imitated) {
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			args := words(strings.ReplaceAll(c.line, "DIR", dir))
			real := exec.Command(original(t, args[0]), args[1:]...)
			real.Stdin = strings.NewReader(c.stdin)
			var stdout, stderr bytes.Buffer
			real.Stdout, real.Stderr = &stdout, &stderr
			wantCode := 0
			if err := real.Run(); err != nil {
				e, ok := errors.AsType[*exec.ExitError](err)
				if !ok {
					t.Fatal(err)
				}
				wantCode = e.ExitCode()
			}
			wantOut, wantErr := plainLines(stdout.String(), c.inOrder), plainLines(stderr.String(), false)

			stdout.Reset()
			stderr.Reset()
			code := runAs(t.Context(), args[0], args[1:], strings.NewReader(c.stdin), &stdout, &stderr)
			if code != wantCode {
				t.Errorf("exit code %d, want %d", code, wantCode)
			}
			if got := plainLines(stdout.String(), c.inOrder); !c.stdoutDiffers && got != wantOut {
				t.Errorf("stdout\n%swant\n%s", got, wantOut)
			}
			if got := plainLines(stderr.String(), false); !c.stderrDiffers && got != wantErr {
				t.Errorf("stderr\n%swant\n%s", got, wantErr)
			}
			if t.Failed() {
				t.Logf("ours\n%s%s", stdout.String(), stderr.String())
			}
		})
	}
}

// original finds the real program, and not the one of that name that scripts have.
func original(t *testing.T, program string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "exits")); err == nil { // the folder for scripts
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	opensshtest.LeaveOut(t, program)
	return ""
}

// What differs from run to run, or by whose words they are.
var noise = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^\[\d+\] \d\d:\d\d:\d\d `), "[N] TIME "},
	{regexp.MustCompile(`\r\n`), "\n"},                 // of ssh
	{regexp.MustCompile(`, Killed by signal 9`), ""},   // said where pssh was quick
	{regexp.MustCompile(`(?m)[^\n]*\r`), ""},           // progress of clush
	{regexp.MustCompile(`(?m)^clush: \d+/\d+\n?`), ""}, // its end
	{regexp.MustCompile(`(?m)^sending .*\n`), ""},      // pdsh of its ssh
	{regexp.MustCompile(`(?m)^([^\n:]*)[^\n]*[Cc]onnection refused.*$`), "$1 refused"},
}

func plainLines(text string, inOrder bool) string {
	for _, n := range noise {
		text = n.find.ReplaceAllString(text, n.with)
	}
	lines := strings.SplitAfter(text, "\n")
	if !inOrder {
		slices.Sort(lines)
	}
	return strings.Join(lines, "")
}

// imitationHome sets up a home and hosts n1, n2 and so on, which are one server,
// and nodead, which is none. It returns a folder with the ssh_config.
func imitationHome(t *testing.T) (dir string) {
	s := opensshtest.Start(t, opensshtest.Config{})
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	for _, name := range []string{"PDSH_SSH_ARGS", "FANOUT", "WCOLL", "PSSH_HOSTS", "PSSH_OPTIONS", "NO_COLOR", "CLICOLOR_FORCE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("PDSH_SSH_ARGS_APPEND", "-F "+dir+"/config")
	config := fmt.Sprintf(`Host nodead
  Port 1
Host *
  HostName 127.0.0.1
  Port %d
  User %s
  IdentityFile %s
  IdentitiesOnly yes
  UserKnownHostsFile %s
  StrictHostKeyChecking yes
  LogLevel ERROR
`, s.Port, s.User, s.KeyFile, s.KnownHosts)
	files := map[string]string{"config": config, "hosts": "n1\nn2 # the second\n", "nodes": "n[1-3]\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLikePdsh(t *testing.T) {
	opensshtest.Need(t, "ssh")
	original(t, "pdsh")
	dir := imitationHome(t)
	compareWithReal(t, dir, []imitated{
		{line: "pdsh -R ssh -w n[1-3] 'echo a; echo b >&2; exit 3'"},
		{line: "pdsh -R ssh -S -w n1,n2 'exit 3'"},
		{line: "pdsh -R ssh -w n1,nodead 'echo a'"},
		{line: "pdsh -R ssh -S -w n1,nodead 'exit 3'"},
		{line: "pdsh -R ssh -S -w n1 'kill -9 $$'"},
		{line: "pdsh -R ssh -S -u 1 -w n1 'echo a; sleep 9'"},
		{line: "pdsh -R ssh -b -f 2 -t 20 -x n2 -wn[1-3] echo a"},
		{line: "pdsh -R ssh -w n[1-3],-n2 echo a"},
		{line: "pdsh -R ssh -w ^DIR/nodes echo a"},
		{line: "pdsh -R ssh -w - echo a", stdin: "n[1-2]\n"},
		{line: "pdsh -w ssh:n1,ssh:n2 echo a"},
		{line: "pdsh -R ssh -N -w n1,n2 'echo a; echo b >&2'"},
		{line: "pdsh -R ssh -w n1.example.com,n2.example.com echo a"},
		{line: "pdsh -R ssh -w n1.example.com,n2.example.org echo a"},
		{line: "pdsh -R ssh echo a", stderrDiffers: true},
		{line: "pdsh -R ssh -w n1 -x n1 echo a", stderrDiffers: true},
		{line: "pdsh -R ssh -w n1 -Y echo a", stderrDiffers: true},
	})
}

func TestLikeClush(t *testing.T) {
	opensshtest.Need(t, "ssh")
	original(t, "clush")
	dir := imitationHome(t)
	const clush = "clush -o '-F DIR/config' "
	compareWithReal(t, dir, []imitated{
		{line: clush + "-w n[1-3] 'echo a; echo b >&2; exit 3'"},
		{line: clush + "-S -w n1,nodead 'exit 3'"},
		{line: clush + "-S -w n1 -w n2 -x n2 'exit 3'"},
		{line: clush + "-q -S -w n1 'echo a; exit 3'"},
		{line: clush + "-N -w n1,n2 'echo a; echo b >&2'"},
		{line: clush + "-n --hostfile DIR/nodes echo a"},
		{line: clush + "-w n[1-2] cat", stdin: "one\ntwo\n"},
		{line: clush + "-u 1 -w n[1-2] 'sleep 9'"},
		{line: clush + "-b -w n[1-3] 'echo a; echo b >&2; echo c'", inOrder: true},
		{line: clush + "-B -w n1 'echo b >&2'"},
		{line: clush + "-b -w n[1-4] 'echo a; exit 3'", inOrder: true},
		{line: clush + "-bq -w n[1-4] 'echo a; exit 3'", inOrder: true},
		{line: clush + "-bN -w n[1-4] 'echo a'", inOrder: true},
		{line: clush + "-L -w n[1-4] 'echo a; echo b'", inOrder: true},
		{line: clush + "-bL -w n[1-4] 'echo a; echo b'", inOrder: true},
		{line: clush + "-b --color=always -w n[1-2] 'echo a'", inOrder: true},
		{line: clush + "-b -w n1,nodead 'echo a'"},
		{line: clush + "--dest /tmp -w n1 echo a"},
		{line: clush + "--nosuch -w n1 echo", stderrDiffers: true},
	})
}

func TestLikePssh(t *testing.T) {
	opensshtest.Need(t, "ssh")
	original(t, "parallel-ssh")
	dir := imitationHome(t)
	const pssh = "parallel-ssh -x '-F DIR/config' "
	compareWithReal(t, dir, []imitated{
		{line: pssh + "-h DIR/hosts 'echo a; echo b >&2'"},
		{line: pssh + "-H 'n1 n2' 'exit 3'"},
		{line: pssh + "-H n1 -H nodead 'exit 3'", stderrDiffers: true},
		{line: pssh + "-t 1 -H n1 'sleep 9'"},
		{line: pssh + "-i -H n1 'echo a; echo b >&2; exit 3'", inOrder: true},
		{line: pssh + "-i -H nodead true"},
		{line: pssh + "--inline-stdout -H n1 'echo a; echo b >&2'", inOrder: true},
		{line: pssh + "-P -H n1 -H n2 'echo a'"},
		{line: pssh + "-I -i -H n1 cat", stdin: "one\ntwo\n", inOrder: true},
		{line: "parallel-ssh -X -F -X DIR/config -O LogLevel=QUIET -p 1 -H n1 true"},
		{line: pssh + "true", stderrDiffers: true},
		{line: pssh + "-H n1", stderrDiffers: true},
		{line: pssh + "-H n1 --nosuch true", stderrDiffers: true},
	})
}

func TestPsshFolders(t *testing.T) {
	opensshtest.Need(t, "ssh")
	original(t, "parallel-ssh")
	dir := imitationHome(t)
	line := "parallel-ssh -x '-F DIR/config' -h DIR/hosts -o DIR/TO/out -e DIR/TO/err 'echo a; echo b >&2'"
	for _, who := range []string{"real", "ours"} {
		args := words(strings.NewReplacer("DIR", dir, "TO", who).Replace(line))
		if who == "real" {
			if out, err := exec.Command(original(t, args[0]), args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			continue
		}
		var stderr bytes.Buffer
		if code := runAs(t.Context(), args[0], args[1:], nil, new(bytes.Buffer), &stderr); code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr.String())
		}
	}
	if got, want := tree(t, dir+"/ours"), tree(t, dir+"/real"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// tree lists files and what is in them.
func tree(t *testing.T, dir string) string {
	var text strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		fmt.Fprintf(&text, "%s: %q\n", name, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestCopyPersonalities copies there and back under each of the names.
func TestCopyPersonalities(t *testing.T) {
	opensshtest.Need(t, "ssh")
	original(t, "parallel-scp")
	dir := imitationHome(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"there", "back", "back/scp", "clush"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const extra = " -x '-F DIR/config' "
	compareWithReal(t, dir, []imitated{
		{line: "parallel-scp" + extra + "-H n1 DIR/file DIR/there/scp"},
		{line: "parallel-scp" + extra + "-H nodead DIR/file DIR/there/scp", stderrDiffers: true},
		{line: "parallel-scp" + extra + "-H n1 DIR/file", stderrDiffers: true},
		{line: "parallel-slurp" + extra + "-H n1 -H n2 -L DIR/back DIR/there/scp copy"},
		{line: "parallel-slurp" + extra + "-H n1 -L DIR/back DIR/there/nosuch copy", stderrDiffers: true},
		{line: "clush -o '-F DIR/config' -w n1 --copy DIR/file --dest DIR/there/clush"},
		{line: "clush -o '-F DIR/config' -w n[1-2] --rcopy DIR/there/clush --dest DIR/clush"},
		{line: "clush -S -o '-F DIR/config' -w n1 --rcopy DIR/there/nosuch --dest DIR/clush", stderrDiffers: true},
	})
	for _, name := range []string{"there/scp", "there/clush", "back/n1/copy", "back/n2/copy", "clush/clush.n1", "clush/clush.n2"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != "text\n" {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}

func TestLikeDshbak(t *testing.T) {
	original(t, "dshbak")
	dir := t.TempDir()
	const lines = "n2: a\nn1: a\nn10: b: c\nn1:  x\nn2:  x\nno label\nn11:\nn3: a\n"
	compareWithReal(t, dir, []imitated{
		{line: "dshbak", stdin: lines, stderrDiffers: true, inOrder: true},
		{line: "dshbak -c", stdin: lines, stderrDiffers: true, inOrder: true},
		{line: "dshbak -f -d DIR/new", stdin: "n1: a\n"},
		{line: "dshbak -d DIR/nosuch", stdin: "n1: a\n", stderrDiffers: true},
		{line: "dshbak -c -d DIR", stdin: "n1: a\n", stderrDiffers: true},
		{line: "dshbak -f", stdin: "n1: a\n", stderrDiffers: true},
	})
	if text, err := os.ReadFile(dir + "/new/n1"); err != nil || string(text) != "a\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestLikeNodeset(t *testing.T) {
	original(t, "nodeset")
	compareWithReal(t, "", []imitated{
		{line: "nodeset -f n3 n1 n2"},
		{line: "nodeset -e n[1-3]"},
		{line: "nodeset -e -S , n[1-3]"},
		{line: "nodeset -e -S '\\n' n[01-03]", inOrder: true},
		{line: "nodeset -c n[1-9] n12"},
		{line: "nodeset -f n[1-9] -x n3 -x n5 m1 -i n[1-7],m1 -X n[6-8]"},
		{line: "nodeset -c n1 -x n1"},
		{line: "nodeset -f n1 -x n1"},
		{line: "nodeset -f", stdin: "n1 n2\nn3\n"},
		{line: "nodeset -f n9 - -x n2", stdin: "n1 n2\nn3\n"},
		{line: "nodeset -x n2 -f", stdin: "n1 n2\nn3\n"},
		{line: "nodeset -f -I 0-1 n[5-9]"},
		{line: "nodeset --split 3 -f n[1-7]", inOrder: true},
		{line: "nodeset --split=2 -e n[1-5]", inOrder: true},
		{line: "nodeset -c --pick 3 n[1-5]"},
		{line: "nodeset --autostep 3 -f n2 n4 n6"},
		{line: "nodeset -f 'n['", stderrDiffers: true},
		{line: "nodeset n1", stderrDiffers: true},
		{line: "nodeset -f -c n1", stderrDiffers: true},
		{line: "nodeset -f --nosuch n1", stderrDiffers: true},
	})
}

func TestPersonalityRefusals(t *testing.T) {
	for _, c := range []struct {
		line, want string
		code       int
	}{
		{"pdsh -R rsh -w n1 true", "-R rsh: there is ssh alone", 1},
		{"pdsh -w n1", "shoal shell", 1},
		{"pdsh -M genders -w n1 true", "-M of pdsh is not supported", 1},
		{"clush -m sudo -w n1 true", "--sudo of shoal run", 2},
		{"clush -o '-Y' -w n1 true", "-o: -Y of ssh is not supported", 2},
		{"clush -o 'unclosed \"' -w n1 true", "lacks a closing", 2},
		{"clush --copy --rcopy -w n1 x", "exclude each other", 2},
		{"pssh -g web* -h x true", "-g of pssh is not supported", 2},
		{"pssh -t x -H n1 true", "whole number", 2},
		{"pssh -H n1 -X -o true", "needs a value", 2},
		{"pscp -o x -H n1 a b", "copies write no output", 2},
		{"pslurp -H n1 a {x}", "not supported in the local name", 2},
		{"nodeset -R -f 1-3", "-R of nodeset is not supported", 2},
		{"nodeset -f n1 -x", "-x needs hosts behind it", 2},
		{"dshbak file", "files are not read", 1},
	} {
		args := words(c.line)
		var stderr bytes.Buffer
		code := runAs(t.Context(), args[0], args[1:], nil, new(bytes.Buffer), &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.want) || !strings.HasPrefix(stderr.String(), args[0]+": ") {
			t.Errorf("%s: exit code %d, want %d\n%swant %s", c.line, code, c.code, stderr.String(), c.want)
		}
	}
}

func TestPersonalityHelp(t *testing.T) {
	for name := range personalities() {
		for _, flag := range []string{"--help", "--version"} {
			if name == "dshbak" || name == "pdsh" { // letters alone
				flag = "-h"
			}
			var stdout, stderr bytes.Buffer
			code := runAs(t.Context(), "/usr/bin/"+name, []string{flag}, nil, &stdout, &stderr)
			if code != exitOK || !strings.Contains(strings.ToLower(stdout.String()), "shoal") || stderr.Len() > 0 {
				t.Errorf("%s %s: exit code %d\n%s%s", name, flag, code, stdout.String(), stderr.String())
			}
		}
	}
}
