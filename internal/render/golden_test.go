package render_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares what a run wrote with testdata/NAME.golden.
func golden(t *testing.T, name string, stdout, stderr []byte) {
	t.Helper()
	got := bytes.Join([][]byte{[]byte("-- stdout --\n"), stdout, []byte("-- stderr --\n"), stderr}, nil)
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %s", file, firstDifference(got, want))
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	n := 0
	for n < len(g) && n < len(w) && g[n] == w[n] {
		n++
	}
	line := func(all []string) string {
		if n < len(all) {
			return strconv.Quote(all[n])
		}
		return "the end"
	}
	return fmt.Sprintf("line %d: got %s, want %s", n+1, line(g), line(w))
}

// screen returns a screen of width columns and what is written to it.
func screen(width int) (s *render.Screen, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &render.Screen{Stdout: stdout, Stderr: stderr, Width: width}, stdout, stderr
}

func TestGolden(t *testing.T) {
	renderers := map[string]func(*render.Screen) render.Renderer{
		"live": func(s *render.Screen) render.Renderer { return &render.Live{Screen: s} },
		"nolabels": func(s *render.Screen) render.Renderer {
			return &render.Live{Screen: s, NoLabels: true}
		},
		"timestamps": func(s *render.Screen) render.Renderer {
			return &render.Live{Screen: s, Timestamps: true}
		},
		"color": func(s *render.Screen) render.Renderer {
			s.StdoutColor, s.StderrColor = true, true
			return &render.Live{Screen: s}
		},
		"fold": func(s *render.Screen) render.Renderer {
			return &render.Fold{Screen: s}
		},
		"foldcolor": func(s *render.Screen) render.Renderer {
			s.StdoutColor, s.StderrColor = true, true
			return &render.Fold{Screen: s}
		},
		"foldstderr": func(s *render.Screen) render.Renderer {
			return &render.Fold{Screen: s, Stderr: true}
		},
		"byhost": func(s *render.Screen) render.Renderer {
			return &render.Fold{Screen: s, ByHost: true}
		},
		"quiet": func(*render.Screen) render.Renderer { return render.Tee{} },
	}
	for style, renderer := range renderers {
		t.Run(style, func(t *testing.T) {
			s, stdout, stderr := screen(80)
			r := render.Tee{renderer(s), &render.Report{Screen: s}}
			if err := mixed(r); err != nil {
				t.Errorf("End: %v", err)
			}
			golden(t, "mixed-"+style, stdout.Bytes(), stderr.Bytes())
		})
	}
}

// mixed is a run in which everything happens.
func mixed(r render.Renderer) error {
	hosts := append(names("web", 8), "db1", "db2", "db3", "gw9", "gw10", "gw11")
	t := begin(r, "uname -r", hosts...)
	t.out("web1", "6.1.0-28-amd64\n").ok("web1")
	t.out("web3", "6.1.0-27-amd64\n")
	t.errs("web3", "warning: \x1b]0;owned\x07 clock\u202eskew\n")
	t.out("web2", "6.1.0-28-amd64\n").ok("web2")
	t.out("web4", "6.1.0-28-amd64").ok("web4") // no final newline
	t.out("web5", "half a line, ")
	t.out("web6", "progress 10%\rweb1: forged\n")
	t.out("web5", "and its end \xe2\x82", "\xac\n")
	t.out("web5", "tail with a torn rune \xe2\x82").rc(2, "web5")
	t.ok("web3").rc(1, "web6", "web7")
	t.exit(render.Exit{Status: render.Signal, Signal: "KILL"}, "web8")
	t.out("db1", "dumping users\n", "dumping or")
	late := render.Problem{Stage: "run", Kind: "timeout", Msg: "timed out after 30 s"}
	t.exit(render.Exit{Status: render.Timeout, Err: &late, Remote: render.Killed}, "db1")
	t.exit(render.Exit{Status: render.Timeout, Err: &late, Remote: render.MayStillRun}, "db2")
	lost := render.Problem{Stage: "run", Kind: "lost", Msg: "read tcp 10.0.0.1:40022->10.0.3.9:22: connection reset by peer"}
	t.out("db3", "partial\n")
	t.exit(render.Exit{Status: render.Lost, Err: &lost, Remote: render.MayStillRun}, "db3")
	t.problem(render.Auth, render.Problem{
		Hop: "bastion", Stage: "auth", Kind: "auth-failed",
		Msg: "no method accepted (tried publickey, password)",
	}, "gw9")
	t.problem(render.Unreachable, render.Problem{
		Stage: "connect", Kind: "refused", Msg: "dial tcp 10.0.0.10:22: connection refused",
	}, "gw10")
	t.problem(render.HostKey, render.Problem{
		Stage: "kex", Kind: "hostkey-changed",
		Msg: "changed: known_hosts:41 has ssh-ed25519 SHA256:aaaa, offered SHA256:bbbb",
	}, "gw11")
	return t.done(3)
}
