package render_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
)

// A run tells the events of one run to a renderer, as a command would.
type run struct {
	r     render.Renderer
	hosts []string
	seq   map[string]int64
	end   render.End
	now   time.Duration
}

func begin(r render.Renderer, command string, hosts ...string) *run {
	t := &run{r: r, hosts: hosts, seq: make(map[string]int64)}
	r.Start(render.Start{
		Run: "01JD0000000000000000000000", Hosts: len(hosts), Set: hostlist.Fold(hosts),
		Command: command, Time: time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC),
	})
	return t
}

func (t *run) line(host string, stderr bool, data string) render.Line {
	t.now += 10 * time.Millisecond
	text, whole := strings.CutSuffix(data, "\n")
	cr := false
	if whole {
		text, cr = strings.CutSuffix(text, "\r")
	}
	key := fmt.Sprint(host, stderr)
	t.seq[key]++
	return render.Line{
		Host: host, Index: slices.Index(t.hosts, host), Stderr: stderr, Seq: t.seq[key] - 1,
		T: t.now, Text: text, Continued: !whole, CR: cr,
	}
}

// out and errs give one batch of what a host wrote, cut after each newline.
func (t *run) out(host string, texts ...string) *run {
	return t.lines(host, false, texts)
}

func (t *run) errs(host string, texts ...string) *run { return t.lines(host, true, texts) }

func (t *run) lines(host string, stderr bool, texts []string) *run {
	var batch []render.Line
	for _, text := range texts {
		for data := range strings.SplitAfterSeq(text, "\n") {
			if data != "" {
				batch = append(batch, t.line(host, stderr, data))
			}
		}
	}
	t.r.Lines(batch)
	return t
}

func (t *run) exit(x render.Exit, hosts ...string) *run {
	for _, h := range hosts {
		x.Host, x.Index, x.T = h, slices.Index(t.hosts, h), t.now
		t.end.Count(x.Status)
		t.r.Exit(x)
	}
	return t
}

func (t *run) ok(hosts ...string) *run {
	return t.exit(render.Exit{Status: render.OK, RC: new(0)}, hosts...)
}

func (t *run) rc(code int, hosts ...string) *run {
	return t.exit(render.Exit{Status: render.Failed, RC: new(code)}, hosts...)
}

func (t *run) problem(s render.Status, p render.Problem, hosts ...string) *run {
	return t.exit(render.Exit{Status: s, Err: &p}, hosts...)
}

func (t *run) done(code int) error {
	t.end.Exit, t.end.Took = code, 4200*time.Millisecond
	return t.r.End(t.end)
}

// names returns prefix1 … prefixN.
func names(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, prefix+strconv.Itoa(i+1))
	}
	return all
}
