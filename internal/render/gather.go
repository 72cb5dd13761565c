package render

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// gather holds how each host ended and what it wrote, for outputs that are made
// at the end of a run. What does not fit in memory is in a file, see spool.
type gather struct {
	start Start
	spool spool
	hosts map[int]*gathered
}

// gathered is what is held of one host.
type gathered struct {
	exit  Exit
	texts [2]*text // by stream; nil where nothing came
	ended bool     // exit is known
}

func (g *gather) begin(e Start, memory int64, dir string) {
	g.start = e
	g.spool = spool{dir: dir, limit: cmp.Or(memory, defaultMemory)}
	g.hosts = make(map[int]*gathered)
}

func (g *gather) lines(batch []Line) {
	for i := range batch {
		n := &batch[i]
		to := toStdout
		if n.Stderr {
			to = toStderr
		}
		h := g.host(n.Host, n.Index)
		if h.texts[to] == nil {
			h.texts[to] = g.spool.new()
		}
		g.spool.write(h.texts[to], n)
	}
}

func (g *gather) host(name string, index int) *gathered {
	h := g.hosts[index]
	if h == nil {
		h = &gathered{exit: Exit{Host: name, Index: index, Status: Lost, Err: &Problem{Msg: "its end was not seen"}}}
		g.hosts[index] = h
	}
	return h
}

func (g *gather) end(x Exit) {
	h := g.host(x.Host, x.Index)
	h.exit, h.ended = x, true
}

// all lists the hosts in their order.
func (g *gather) all() []*gathered {
	var all []*gathered
	for _, h := range g.hosts {
		for _, t := range h.texts {
			h.exit.Truncated = h.exit.Truncated || t != nil && t.cut
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *gathered) int { return cmp.Compare(a.exit.Index, b.exit.Index) })
	return all
}

// output returns what a host wrote on a stream.
func (g *gather) output(h *gathered, to stream) string {
	if h.texts[to] == nil {
		return ""
	}
	text, err := io.ReadAll(h.texts[to].reader())
	if err != nil {
		g.spool.err = errors.Join(g.spool.err, fmt.Errorf("keeping output: %w", err))
	}
	return string(text)
}

// close ends the use of the texts and returns what went wrong with them.
func (g *gather) close() error {
	g.spool.close()
	return g.spool.err
}

// took is how long a host was worked on.
func (x *Exit) took() time.Duration {
	var d time.Duration
	for _, s := range x.Stages {
		d += s.Took
	}
	return d
}

// sanitizeLines is [Sanitize] for text of several lines, whose ends become
// newlines.
func sanitizeLines(text string) string {
	var out []byte
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended {
			return string(AppendSanitized(out, line))
		}
		out = append(AppendSanitized(out, strings.TrimSuffix(line, "\r")), '\n')
	}
	return string(out)
}
