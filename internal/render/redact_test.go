package render_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// TestRedact wants no trace of a secret in any output of a run.
func TestRedact(t *testing.T) {
	find := regexp.MustCompile(`s3cr[a-z]+|token=\S+`)
	s, stdout, stderr := screen(80)
	var record, doc bytes.Buffer
	r := begin(&render.Redact{Find: find, To: render.Tee{
		&render.Live{Screen: s}, &render.Fold{Screen: s, QuietErr: true}, &render.JSONL{W: &record}, &render.JSON{W: &doc}, &render.Report{Screen: s},
	}}, "login s3cret", names("n", 4)...)
	r.out("n1", "say s3cret, twice s3cret\n", "token=abc def\n")
	r.out("n2", "in pieces s3", "cr", "et", " and on\n", "s3cr").errs("n2", "s3c", "ret\n").out("n2", "et")
	p := render.Problem{Stage: "auth", Msg: "got s3cret", Hint: "not s3cret"}
	r.exit(render.Exit{Status: render.OK, Digest: render.Digest{Out: "aa"}}, "n1").ok("n2").problem(render.Auth, p, "n3")
	r.out("n4", "held s3cret")
	r.end.Hosts++
	if err := r.done(3); err == nil { // n4 has no exit
		t.Error("no error")
	}
	for name, out := range map[string]string{"stdout": stdout.String(), "stderr": stderr.String(), "record": record.String(), "document": doc.String()} {
		if strings.Contains(out, "s3c") || strings.Contains(out, "cret") || strings.Contains(out, "abc") || strings.Contains(out, "sha256") {
			t.Errorf("%s: %s", name, out)
		}
		if name != "stderr" && !strings.Contains(out, "in pieces [redacted] and on") {
			t.Errorf("%s: %s", name, out)
		}
	}
	if err := p.Msg; err != "got s3cret" {
		t.Error("the caller's own problem was changed")
	}
	times := regexp.MustCompile(`"t":[0-9.]+,`)
	for _, want := range []string{`"seq":0,"data":"in pieces [redacted] and on"`, `"seq":1,"data":"[redacted]"`, `"data":"held [redacted]"`} {
		if !strings.Contains(times.ReplaceAllString(record.String(), ""), want) {
			t.Errorf("got %s, want %s", record.String(), want)
		}
	}
}

// TestRedactLongLine wants a secret found wherever the pieces of an endless line
// are cut, and only so much of the line held.
func TestRedactLongLine(t *testing.T) {
	const secret = "0123456789abcdef"
	find := regexp.MustCompile(secret)
	for offset := range 40 {
		var c collect
		r := &render.Redact{Find: find, To: &c}
		r.Start(render.Start{})
		text := strings.Repeat("x", 64<<10-4<<10-20+offset) + secret + strings.Repeat("y", 100_000) + secret + "z"
		sent := 0
		for piece := range chunks(text, 1000) {
			r.Lines([]render.Line{{Host: "n", Text: piece, Continued: true}})
			if sent += len(piece); sent-len(c.text) > 70_000 {
				t.Fatalf("%d bytes are held", sent-len(c.text))
			}
		}
		r.Exit(render.Exit{Host: "n", Status: render.OK})
		if want := strings.ReplaceAll(text, secret, render.Redacted); c.text != want {
			t.Errorf("offset %d: got %d bytes, want %d", offset, len(c.text), len(want))
		}
		if c.seq != fmt.Sprint(seqs(c.n)) {
			t.Errorf("numbered %s", c.seq)
		}
	}
}

// TestRedactWithoutEnd has a pattern that any text goes on matching, which must
// not be held without end.
func TestRedactWithoutEnd(t *testing.T) {
	var c collect
	r := &render.Redact{Find: regexp.MustCompile("secret=.*"), To: &c}
	r.Start(render.Start{})
	r.Lines([]render.Line{{Host: "n", Text: "a secret=", Continued: true}})
	for range 200 {
		r.Lines([]render.Line{{Host: "n", Text: strings.Repeat("x", 1000), Continued: true}})
	}
	r.Exit(render.Exit{Host: "n", Status: render.OK})
	if !strings.HasPrefix(c.text, "a [redacted]") {
		t.Errorf("got %.50s", c.text)
	}
}

func seqs(n int) []int64 {
	var all []int64
	for i := range n {
		all = append(all, int64(i))
	}
	return all
}

func chunks(text string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// collect joins the text of all lines.
type collect struct {
	render.Tee
	text string
	all  []int64
	seq  string
	n    int
}

func (c *collect) Lines(batch []render.Line) {
	for _, l := range batch {
		c.text += l.Text
		c.all = append(c.all, l.Seq)
		c.n++
	}
	c.seq = fmt.Sprint(c.all)
}
