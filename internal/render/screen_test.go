package render_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// broken accepts some bytes, then fails.
type broken struct {
	left   int
	err    error
	writes int
}

func (b *broken) Write(p []byte) (int, error) {
	b.writes++
	if b.left -= len(p); b.left < 0 {
		return 0, b.err
	}
	return len(p), nil
}

// TestWriteErrors wants a closed pipe to end quietly and any other error from
// End, once, with the other stream still served.
func TestWriteErrors(t *testing.T) {
	renderers := map[string]func(*render.Screen) render.Renderer{
		"live":  func(s *render.Screen) render.Renderer { return &render.Live{Screen: s} },
		"fold":  func(s *render.Screen) render.Renderer { return &render.Fold{Screen: s} },
		"jsonl": func(s *render.Screen) render.Renderer { return &render.JSONL{W: s.Out()} },
	}
	tests := []struct {
		err  error
		want string
	}{
		{syscall.EPIPE, ""},
		{io.ErrClosedPipe, ""},
		{syscall.ENOSPC, "no space left on device"},
	}
	for name, renderer := range renderers {
		for _, tt := range tests {
			var stderr bytes.Buffer
			w := &broken{err: tt.err}
			s := &render.Screen{Stdout: w, Stderr: &stderr}
			r := render.Tee{renderer(s), &render.Report{Screen: s}}
			err := begin(r, "true", "a", "b").out("a", "1\n").out("b", "2\n").out("a", "3\n").ok("a", "b").done(0)
			if tt.want == "" && err != nil {
				t.Errorf("%s: End after %v: %v", name, tt.err, err)
			}
			if tt.want != "" && (err == nil || strings.Count(err.Error(), tt.want) == 0) {
				t.Errorf("%s: End after %v: got %v, want %q", name, tt.err, err, tt.want)
			}
			if !errors.Is(s.Err(), tt.err) {
				t.Errorf("%s: Err: got %v, want %v", name, s.Err(), tt.err)
			}
			if w.writes != 1 {
				t.Errorf("%s: %d writes to a writer that failed", name, w.writes)
			}
			if !strings.Contains(stderr.String(), "2 hosts: 2 ok") {
				t.Errorf("%s: no summary after %v: %q", name, tt.err, stderr.String())
			}
		}
	}
}

// TestWriteErrorOnce has three renderers that share a screen.
func TestWriteErrorOnce(t *testing.T) {
	s := &render.Screen{Stdout: &broken{err: syscall.ENOSPC}}
	r := render.Tee{&render.Live{Screen: s}, &render.Fold{Screen: s}, &render.Report{Screen: s}}
	err := begin(r, "true", "a").out("a", "1\n").ok("a").done(0)
	if err == nil || strings.Count(err.Error(), "no space") != 1 {
		t.Errorf("got %v, want the error once", err)
	}
}

// TestWriteErrorOfStderr has it fail while lines are shown live.
func TestWriteErrorOfStderr(t *testing.T) {
	for name, renderer := range map[string]func(*render.Screen) render.Renderer{
		"live": func(s *render.Screen) render.Renderer { return &render.Live{Screen: s} },
		"fold": func(s *render.Screen) render.Renderer { return &render.Fold{Screen: s} },
	} {
		var stdout bytes.Buffer
		s := &render.Screen{Stdout: &stdout, Stderr: &broken{err: syscall.ENOSPC}}
		err := begin(renderer(s), "true", "a").errs("a", "1\n").out("a", "2\n").ok("a").done(0)
		if err == nil || !strings.Contains(err.Error(), "standard error: ") {
			t.Errorf("%s: got %v, want the error of standard error", name, err)
		}
		if !strings.Contains(stdout.String(), "2\n") {
			t.Errorf("%s: standard output got %q", name, stdout.String())
		}
	}
}

// TestZeroScreen discards everything and does not fail.
func TestZeroScreen(t *testing.T) {
	s := new(render.Screen)
	r := render.Tee{&render.Live{Screen: s}, &render.Fold{Screen: s}, &render.Report{Screen: s}, &render.StatusLine{Screen: s}, &render.JSONL{}}
	if err := mixed(r); err != nil {
		t.Errorf("End: %v", err)
	}
}

func TestSay(t *testing.T) {
	s, _, stderr := screen(80)
	s.Say("unknown group \"dwon\x1b[2J\"\nweb1: forged")
	s.Hint("did you mean \"down\"?")
	want := `shoal: unknown group "dwon\x1b[2J"\x0aweb1: forged` + "\n  hint: did you mean \"down\"?\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
