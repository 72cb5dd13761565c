package render_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

func TestFoldGroups(t *testing.T) {
	tests := []struct {
		name string
		fold render.Fold
		play func(*run)
		want string // blocks as "header|text|text"
	}{
		{"equal", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "x\n").out("n3", "x\n").ok("n3", "n1", "n2")
		}, "n[1-3] (3)|x"},
		{"final newline", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "x").ok("n1", "n2")
		}, "n[1-2] (2)|x"},
		{"pieces", render.Fold{}, func(r *run) {
			r.out("n1", "xyz\n").out("n2", "x", "y", "z\n").ok("n1", "n2")
		}, "n[1-2] (2)|xyz"},
		{"other text", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "y\n").out("n3", "x\n").ok("n1", "n2", "n3")
		}, "n2|y||n[1,3] (2)|x"},
		{"other status", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "x\n").out("n3", "x\n").ok("n1", "n3").rc(1, "n2")
		}, "n2: exit 1|x||n[1,3] (2)|x"},
		{"other exit status", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "x\n").rc(1, "n1").rc(2, "n2")
		}, "n1: exit 1|x||n2: exit 2|x"},
		{"blank line is output", render.Fold{}, func(r *run) {
			r.out("n1", "\n").ok("n1", "n2")
		}, "n1|"},
		{"no output, no block", render.Fold{}, func(r *run) { r.ok("n1").rc(1, "n2") }, ""},
		{"each host", render.Fold{ByHost: true}, func(r *run) {
			r.out("n2", "x\n").out("n1", "x\n").ok("n2", "n1")
		}, "n1|x||n2|x"},
		{"stderr is not folded", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").errs("n1", "e\n").out("n2", "x\n").ok("n1", "n2")
		}, "n[1-2] (2)|x"},
		{"stderr folded", render.Fold{Stderr: true}, func(r *run) {
			r.errs("n1", "e\n").out("n1", "x\n").out("n2", "x\n").ok("n1", "n2")
		}, "n1|e|x||n2|x"},
		{"stderr in another order", render.Fold{Stderr: true}, func(r *run) {
			r.errs("n1", "e\n").out("n1", "x\n").out("n2", "x\n").errs("n2", "e\n").ok("n1", "n2")
		}, "n[1-2] (2)|e|x"},
		{"stderr within a line", render.Fold{Stderr: true}, func(r *run) {
			r.out("n1", "x ").errs("n1", "e").out("n1", "y\n").ok("n1")
		}, "n1|x |e|y"},
		{"causes alike but for addresses", render.Fold{}, func(r *run) {
			for i, h := range []string{"n1", "n2"} {
				p := render.Problem{Msg: fmt.Sprintf("read %s: reset by 10.0.0.%d:22", h, i)}
				r.out(h, "x\n").exit(render.Exit{Status: render.Lost, Err: &p}, h)
			}
		}, "n[1-2] (2): connection lost: read <host>: reset by <address>; partial output|x"},
		{"partial output of a cancelled host", render.Fold{}, func(r *run) {
			r.out("n1", "half").exit(render.Exit{Status: render.Cancelled, Remote: render.Killed}, "n1")
		}, "n1: cancelled, killed; partial output|half"},
		{"output cut", render.Fold{}, func(r *run) {
			r.out("n1", "x\n").exit(render.Exit{Status: render.OK, Truncated: true}, "n1")
		}, "n1: ok; output cut|x"},
		{"no exit", render.Fold{}, func(r *run) {
			r.out("n1", "x\n")
		}, "n1: connection lost: its end was not seen; partial output|x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, stdout, _ := screen(80)
			tt.fold.Screen = s
			r := begin(&tt.fold, "true", names("n", 3)...)
			tt.play(r)
			if err := r.done(0); err != nil {
				t.Errorf("End: %v", err)
			}
			if got := stdout.String(); got != blocks(tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, blocks(tt.want))
			}
		})
	}
}

// blocks writes out the short form of the table above.
func blocks(short string) string {
	if short == "" {
		return ""
	}
	const rule = "---------------\n"
	var b strings.Builder
	for block := range strings.SplitSeq(short, "||") {
		header, text, _ := strings.Cut(block, "|")
		b.WriteString(rule + header + "\n" + rule)
		b.WriteString(strings.ReplaceAll(text, "|", "\n") + "\n")
	}
	return b.String()
}

// TestFoldSpills holds far more output than may be in memory, in lines of all
// hosts mixed, and wants all of it back and no file left.
func TestFoldSpills(t *testing.T) {
	dir := t.TempDir()
	s, stdout, _ := screen(80)
	f := &render.Fold{Screen: s, Memory: 10 << 10, TempDir: dir}
	r := begin(f, "true", names("n", 8)...)
	want := make([]strings.Builder, 2)
	for i := range 2000 {
		for k, h := range r.hosts {
			text := fmt.Sprintf("%d %s\n", i, strings.Repeat("é", (i+k%2)%40))
			r.out(h, text)
			if k < 2 {
				want[k].WriteString(text)
			}
		}
	}
	if runtime.GOOS != "windows" {
		wantEmpty(t, dir) // nothing to clean up should Shoal be killed now
	}
	if err := r.ok(r.hosts...).done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	all := blocks("n[1,3,5,7] (4)|"+strings.TrimSuffix(want[0].String(), "\n")) +
		blocks("n[2,4,6,8] (4)|"+strings.TrimSuffix(want[1].String(), "\n"))
	if stdout.String() != all {
		t.Errorf("got %d bytes, want %d", stdout.Len(), len(all))
	}
	wantEmpty(t, dir)
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v %v", left, err)
	}
}

// TestFoldKeepsOneCopy gives one output many times over, more in all than may be
// held, and wants no file to be needed.
func TestFoldKeepsOneCopy(t *testing.T) {
	s, stdout, _ := screen(80)
	f := &render.Fold{Screen: s, Memory: 1 << 20, TempDir: filepath.Join(t.TempDir(), "none")}
	r := begin(f, "true", names("n", 100)...)
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 1000)
	for _, h := range r.hosts {
		r.out(h, text).ok(h)
	}
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	if want := blocks("n[1-100] (100)|" + strings.TrimSuffix(text, "\n")); stdout.String() != want {
		t.Errorf("got %d bytes, want %d", stdout.Len(), len(want))
	}
}

// TestFoldCannotSpill wants what fits in memory shown, the rest said to be
// missing, and an error.
func TestFoldCannotSpill(t *testing.T) {
	s, stdout, _ := screen(80)
	f := &render.Fold{Screen: s, Memory: 1 << 10, TempDir: filepath.Join(t.TempDir(), "none")}
	r := begin(f, "true", "n1", "n2")
	r.out("n2", "short\n")
	for range 1000 {
		r.out("n1", strings.Repeat("x", 99)+"\n")
	}
	err := r.ok("n1", "n2").done(0)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
	if got := stdout.String(); !strings.Contains(got, "n1: ok; output cut\n") || len(got) > 4<<10 {
		t.Errorf("got %d bytes: %.200s", len(got), got)
	}
	if !strings.Contains(stdout.String(), blocks("n2|short")) {
		t.Errorf("n2 is missing: %.200s", stdout.String())
	}
}

// TestFoldLongLine folds a line that does not fit a buffer, cut within runes.
func TestFoldLongLine(t *testing.T) {
	s, stdout, _ := screen(80)
	f := &render.Fold{Screen: s}
	long := "x" + strings.Repeat("漢", 100_000)
	f.Start(render.Start{})
	f.Lines(pieces("n1", 0, long, 1<<16))
	f.Exit(render.Exit{Host: "n1", Status: render.OK})
	if err := f.End(render.End{Hosts: 1}); err != nil {
		t.Errorf("End: %v", err)
	}
	if want := blocks("n1|" + long); stdout.String() != want {
		t.Errorf("got %d bytes, want %d", stdout.Len(), len(want))
	}
}
