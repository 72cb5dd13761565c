package render_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/internal/render"
)

// foldLines folds labelled lines; stray lines come behind.
func foldLines(t *testing.T, in string, f render.Fold) string {
	t.Helper()
	s, stdout, _ := screen(80)
	f.Screen = s
	var strays string
	err := render.Labelled(strings.NewReader(in), &f, func(n int, line string) { strays += fmt.Sprintf("%d %s\n", n, line) })
	if err != nil {
		t.Errorf("got %v", err)
	}
	return stdout.String() + strays
}

func TestLabelled(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"n1: a\nn2: a\nn3: b\n", blocks("n3|b||n[1-2] (2)|a")},
		{"n1: a\nn2: b\nn1: c\n", blocks("n1|a|c||n2|b")},
		{"n1: no newline", blocks("n1|no newline")},
		{"n1:  indented: x\n", blocks("n1| indented: x")},
		{"n1: \nn2:\nn3:\r\n", blocks("n[1-3] (3)|")},
		{"  n1 : a\n", blocks("n1|a")},
		{"n1:a b\nn2:2222: b\n", blocks("n1|a b||n2:2222|b")},
		{"root@[::1]:22: x\n2001:db8::1: y\n", blocks("root@[::1]:22|x||2001:db8::1|y")},
		{"08:30:00.123 n1: a\n", blocks("n1|a")},
		{"n1: a\nn2: x\nn1:+ b\nn1: c:+ d\n", blocks("n1|ab|c:+ d||n2|x")},
		{"n1: a\nlost words\n: b\n", blocks("n1|a") + "2 lost words\n3 : b\n"},
		{"n1: " + strings.Repeat("x", 200_000) + "\nn1: y\n", blocks("n1|" + strings.Repeat("x", 200_000) + "|y")},
		{"n1: a\xff\x1b[31m\n", blocks(`n1|a\xff\x1b[31m`)},
	} {
		if got := foldLines(t, tt.in, render.Fold{}); got != tt.want {
			t.Errorf("%.60q: got\n%.300s\nwant\n%.300s", tt.in, got, tt.want)
		}
	}
}

// TestLabelledLive wants what Live wrote to fold as the run itself does.
func TestLabelledLive(t *testing.T) {
	s, stdout, _ := screen(80)
	if err := mixed(&render.Live{Screen: s, Timestamps: true}); err != nil {
		t.Fatal(err)
	}
	got := foldLines(t, stdout.String(), render.Fold{})
	s, stdout, _ = screen(80)
	ok := render.Exit{Status: render.OK}
	if err := mixed(allOK{&render.Fold{Screen: s, QuietErr: true}, ok}); err != nil {
		t.Fatal(err)
	}
	// The live lines have \xNN where the run had bytes, and so have the blocks.
	if g, w := parseBlocks(got), parseBlocks(stdout.String()); !maps.Equal(g, w) {
		t.Errorf("got %q, want %q", g, w)
	}
}

// allOK has every host end well.
type allOK struct {
	render.Renderer
	ok render.Exit
}

func (a allOK) Exit(x render.Exit) {
	a.ok.Host, a.ok.Index = x.Host, x.Index
	a.Renderer.Exit(a.ok)
}

// parseBlocks reads blocks as any of the tools writes them: the text, by the
// hosts that gave it.
func parseBlocks(out string) map[string]string {
	all := make(map[string]string)
	header, key := 0, ""
	for line := range strings.Lines(out) {
		switch {
		case strings.Trim(line, "-\n") == "" && len(line) > 14:
			header++
		case header%2 == 1:
			hosts, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " (")
			names := []string{hosts}
			if expr, err := hostlist.Parse(hosts); err == nil {
				names = slices.Sorted(expr.All())
			}
			key = strings.Join(names, ",")
			all[key] = ""
		default:
			all[key] += line
		}
	}
	return all
}

// TestLabelledAsPeers folds what pdsh and clush write as dshbak -c and clubak -b
// do.
func TestLabelledAsPeers(t *testing.T) {
	opensshtest.Need(t, "dshbak", "clubak")
	var mixed strings.Builder
	for i := range 40 {
		for k := range 12 {
			fmt.Fprintf(&mixed, "node%d: line %d of %d\n", k+1, i, k%3*(i/30))
		}
	}
	for _, in := range []string{
		"n1: a\nn2: a\nn3: b\n", "n1: a\nn2: b\nn1: b\nn2: a\n", "n01: a\nn1: a\nn2: \nn02: \n",
		"a-1: x: y\nb_2:  x\na-2: x: y\n", "db: x\nweb10: x\nweb9: x\nweb11: y\n", mixed.String(),
	} {
		got := parseBlocks(foldLines(t, in, render.Fold{}))
		for _, peer := range [][]string{{"dshbak", "-c"}, {"clubak", "-b", "-S", ": "}} {
			c := exec.Command(peer[0], peer[1:]...)
			c.Stdin = strings.NewReader(in)
			out, err := c.Output()
			if err != nil {
				t.Fatalf("%v: %v", peer, err)
			}
			if want := parseBlocks(string(out)); !maps.Equal(got, want) {
				t.Errorf("%.100q: got %q, and of %v %q", in, got, peer, want)
			}
		}
	}
}

func FuzzLabelled(f *testing.F) {
	f.Add("n1: a\nn1:+ b\nx\n\n08:30:00.123 n2:")
	f.Fuzz(func(t *testing.T, in string) {
		checkSafe(t, []byte(foldLines(t, render.Sanitize(in), render.Fold{Diff: true})))
	})
}
