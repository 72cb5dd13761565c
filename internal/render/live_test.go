package render_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// pieces cuts data after each n bytes, as a reader that knows no lines might.
func pieces(host string, index int, data string, n int) []render.Line {
	var all []render.Line
	for line := range strings.SplitAfterSeq(data, "\n") {
		text, whole := strings.CutSuffix(line, "\n")
		for len(text) > n {
			all = append(all, render.Line{Host: host, Index: index, Text: text[:n], Continued: true})
			text = text[n:]
		}
		if text != "" || whole {
			all = append(all, render.Line{Host: host, Index: index, Text: text, Continued: !whole})
		}
	}
	return all
}

const awkward = "é漢😀 \x1b[31m \xff\xe2\x82 \u202e\r\n\n\tlast \xf0\x9f"

// TestLivePieces wants the same text however a line was cut to pieces.
func TestLivePieces(t *testing.T) {
	want := "h: " + strings.ReplaceAll(render.Sanitize(awkward), `\x0a`, "\nh: ") + "\n"
	for n := 1; n <= len(awkward); n++ {
		for _, batch := range []int{1, 1000} {
			s, stdout, _ := screen(80)
			l := &render.Live{Screen: s}
			all := pieces("h", 0, awkward, n)
			for len(all) > 0 {
				k := min(batch, len(all))
				l.Lines(all[:k])
				all = all[k:]
			}
			l.Exit(render.Exit{Host: "h", Status: render.OK})
			if err := l.End(render.End{}); err != nil {
				t.Errorf("End: %v", err)
			}
			if got := stdout.String(); got != want {
				t.Errorf("pieces of %d, %d a batch: got %q, want %q", n, batch, got, want)
			}
		}
	}
}

// TestLiveRaw wants the bytes of one host without labels unchanged, whether the
// last line has a newline or not.
func TestLiveRaw(t *testing.T) {
	for _, data := range []string{awkward, awkward + "\n", "", "\n\n", strings.Repeat("x", 1<<20)} {
		s, stdout, _ := screen(80)
		s.Raw = true
		l := &render.Live{Screen: s, NoLabels: true}
		r := render.Tee{l, &render.Report{Screen: s}}
		r.Start(render.Start{})
		r.Lines(pieces("h", 0, data, 1000))
		r.Exit(render.Exit{Host: "h", Status: render.Failed, RC: new(1)})
		if err := r.End(render.End{Hosts: 1}); err != nil {
			t.Errorf("End: %v", err)
		}
		if stdout.String() != data {
			t.Errorf("got %d bytes, want the %d given", stdout.Len(), len(data))
		}
	}
}

// TestLiveInterrupted wants pieces kept apart from the lines of others, and the
// going on of a line marked.
func TestLiveInterrupted(t *testing.T) {
	s, stdout, stderr := screen(80)
	r := begin(&render.Live{Screen: s}, "true", "a", "b")
	r.out("a", "one ", "two ").out("b", "b\n").out("a", "three ").errs("a", "oops\n").out("a", "four\n", "five\n")
	r.errs("a", "no newline").errs("b", "b\n").ok("a", "b")
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	if got, want := stdout.String(), "a: one two \nb: b\na:+ three \na:+ four\na: five\n"; got != want {
		t.Errorf("stdout: got %q, want %q", got, want)
	}
	if got, want := stderr.String(), "a: oops\na: no newline\nb: b\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
}

// TestLiveOrder wants lines of the two streams written in their order, since
// both may go to one place.
func TestLiveOrder(t *testing.T) {
	var both bytes.Buffer
	s := &render.Screen{Stdout: &both, Stderr: &both}
	r := begin(&render.Live{Screen: s}, "true", "a")
	r.r.Lines([]render.Line{
		r.line("a", false, "1\n"), r.line("a", true, "2\n"), r.line("a", true, "3\n"),
		r.line("a", false, "4"), r.line("a", true, "5\n"),
	})
	if got, want := both.String(), "a: 1\na: 2\na: 3\na: 4\na: 5\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestForgedLines wants every line of hostile output under its own host's name
// (RELIABILITY rows 44 and 75, S17).
func TestForgedLines(t *testing.T) {
	s, stdout, stderr := screen(80)
	r := begin(render.Tee{&render.Live{Screen: s}, &render.Report{Screen: s}}, "true", "evil", "web2\nweb3")
	r.out("evil", "\rweb2: OK\n", "a\u2028web2: OK\n", "a\u0085web2: OK\n", "\x1b[1Aweb2: OK\n", "x\vweb2: OK\fweb2: OK\n")
	r.r.Lines([]render.Line{{Host: "evil", Text: "a\nweb2: OK\r\nweb2: OK"}}) // no caller should
	r.out("web2\nweb3", "text\n")
	r.problem(render.Unreachable, render.Problem{
		Hop: "b\nweb2: OK", Stage: "banner\nweb2: OK", Kind: "not-ssh\n",
		Msg: "server says\r\nweb2: OK", Hint: "do\nweb2: OK",
	}, "evil")
	r.exit(render.Exit{Status: render.Signal, Signal: "TERM\nweb2: OK"}, "web2\nweb3")
	if err := r.done(1); err != nil {
		t.Errorf("End: %v", err)
	}
	for line := range strings.Lines(stdout.String() + stderr.String()) {
		if strings.HasPrefix(line, "web2:") {
			t.Errorf("forged: %q", line)
		}
	}
	checkSafe(t, stdout.Bytes())
	checkSafe(t, stderr.Bytes())
}

// TestColorOff wants no escape where colours are off, in every renderer.
func TestColorOff(t *testing.T) {
	s, stdout, stderr := screen(80)
	r := render.Tee{&render.Live{Screen: s}, &render.Fold{Screen: s}, &render.Report{Screen: s}}
	if err := mixed(r); err != nil {
		t.Errorf("End: %v", err)
	}
	if bytes.ContainsRune(append(stdout.Bytes(), stderr.Bytes()...), 0x1b) {
		t.Error("an escape was written")
	}
}
