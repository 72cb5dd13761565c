//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// TestCompletionInShells types into real shells, with Tab, and has them show what
// they made of it.
func TestCompletionInShells(t *testing.T) {
	lines := []struct{ typed, want string }{
		{"shoal pin", "shoal ping "},
		{"shoal run -w gw", "shoal run -w gw1"},
		{"shoal -w gw", "shoal -w gw1"},
		{"shoal ping web1,db1,gw", "shoal ping web1,db1,gw1"},
		{"shoal run -w web1,no", "shoal run -w web1,node"}, // node1 and node2
		{"shoal run -w 'node[1-2],gw", "shoal run -w 'node[1-2],gw1'"},
		{`shoal run -w "web1&gw`, `shoal run -w "web1&gw1"`},
		{`shoal run -w node\[1-2\],gw`, `shoal run -w node\[1-2\],gw1`},
		{"shoal run -w root@gw", "shoal run -w root@gw1"},
		{"shoal run -w web1 -x gw", "shoal run -w web1 -x gw1"},
		{"shoal ping odd:22", "shoal ping odd:2222"},
		{"shoal run -w web1 --transport op", "shoal run -w web1 --transport openssh "},
		{"shoal run -w web1 --color=al", "shoal run -w web1 --color=always "},
		{"shoal run -i keyf", "shoal run -i keyfile "},
		{"shoal run -w '$(touch made)gw", "shoal run -w '$(touch made)gw"},
		{"shoal hosts --expl", "shoal hosts --explain "},
	}
	for _, shell := range []struct {
		name  string
		args  []string
		setup string            // ^T shows the line and clears it
		as    map[string]string // what differs
	}{
		{"bash", []string{"--norc", "--noprofile", "-i"},
			`source <(shoal completion bash); bind -x '"\C-t": printf "\n<%s>\n" "$READLINE_LINE"; READLINE_LINE='`,
			nil},
		{"zsh", []string{"-f", "-i"},
			`autoload -U compinit; compinit -u; source <(shoal completion zsh)
show() { zle -I; print -r -- "<$BUFFER>"; BUFFER= }; zle -N show; bindkey '^T' show`,
			map[string]string{
				"shoal run -w 'node[1-2],gw": "shoal run -w 'node[1-2],gw1",
				`shoal run -w "web1&gw`:      `shoal run -w "web1&gw1`,
			}},
		{"fish", []string{"--no-config", "-i"},
			`shoal completion fish | source; function show; printf '\n<%s>\n' (commandline); commandline ''; end; bind \ct show`,
			map[string]string{ // it puts a blank behind anything that is unique
				"shoal run -w gw":             "shoal run -w gw1 ",
				"shoal -w gw":                 "shoal -w gw1 ",
				"shoal ping web1,db1,gw":      "shoal ping web1,db1,gw1 ",
				"shoal run -w 'node[1-2],gw":  "shoal run -w 'node[1-2],gw1' ",
				`shoal run -w "web1&gw`:       `shoal run -w "web1&gw1" `,
				`shoal run -w node\[1-2\],gw`: `shoal run -w node\[1-2\],gw1 `,
				"shoal run -w root@gw":        "shoal run -w root@gw1 ",
				"shoal run -w web1 -x gw":     "shoal run -w web1 -x gw1 ",
				"shoal ping odd:22":           "shoal ping odd:2222 ",
			}},
	} {
		t.Run(shell.name, func(t *testing.T) {
			opensshtest.Need(t, shell.name)
			p := onTerminal(t, completingShell(t, shell.name, shell.args...))
			p.typed(shell.setup + "; echo rea''dy\n")
			p.expect("ready\r\n")
			for _, l := range lines {
				want, differs := shell.as[l.typed]
				if !differs {
					want = l.want
				}
				p.typed(l.typed + "\t\x14")
				p.expect("<" + want + ">")
			}
			if _, err := os.Stat(filepath.Join(p.cmd.Dir, "made")); err == nil {
				t.Error("a word of the command line was evaluated")
			}
		})
	}
}

// completingShell is a shell in a home folder with hosts and a file.
func completingShell(t *testing.T, shell string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, access{knownHosts: []byte("gw1,10.0.0.1 ssh-ed25519 AAAA\n[odd]:2222 ssh-ed25519 AAAA\n|1|AAAA|BBBB ssh-ed25519 AAAA\n")})
	home := cmd.Env[0][len("HOME="):]
	for name, text := range map[string]string{".ssh/config": "Host web1 web2 node1 node2 db-*\nHost db1 db2\n", "keyfile": ""} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh := exec.Command(shell, args...)
	sh.Dir, sh.Env = home, cmd.Env
	return sh
}
