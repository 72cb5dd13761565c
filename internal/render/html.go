package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// HTML writes at the end of a run a page for a browser, in one file that needs
// no other: the numbers, and every output once with the hosts that gave it, how
// they ended and the time of each stage. Hosts that did not succeed come first,
// then small groups. A search and filters work where scripts may run; without,
// the page is a list.
//
// What hosts wrote is text there and nothing else: it is escaped, and by its
// Content Security Policy the page runs no script and loads nothing but what it
// has from here. Of each output the first MiB is shown. The file can be read by
// the user alone.
type HTML struct {
	File    string // is replaced when the page is whole
	Memory  int64  // as in [JSON]
	TempDir string // as in JSON

	gather gather
}

// maxPageOutput bounds each output in the page, in bytes.
const maxPageOutput = 1 << 20

//go:embed page/report.html
var pageText string

//go:embed page/report.css
var pageStyle string

//go:embed page/report.js
var pageScript string

// Prepare finds out whether the file can be written, which is better known
// before a run than at its end.
func (h *HTML) Prepare() error {
	if info, err := os.Stat(h.File); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder", h.File)
	}
	f, err := h.create()
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (h *HTML) create() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(h.File), ".shoal-*.html")
}

// Start implements [Renderer].
func (h *HTML) Start(e Start) { h.gather.begin(e, h.Memory, h.TempDir) }

// Lines implements [Renderer].
func (h *HTML) Lines(batch []Line) { h.gather.lines(batch) }

// Exit implements [Renderer].
func (h *HTML) Exit(x Exit) { h.gather.end(x) }

// End implements [Renderer].
func (h *HTML) End(e End) error {
	err := h.write(e)
	if err != nil {
		err = fmt.Errorf("report: %w", err)
	}
	return errors.Join(h.gather.close(), err)
}

func (h *HTML) write(e End) error {
	f, err := h.create()
	if err != nil {
		return err
	}
	err = errors.Join(h.page(f, e), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), h.File)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// page is what the template has.
type page struct {
	Policy, Command, Run string
	Counted, Began, Took string
	End                  End
	Tally                []pageTally
	Stages               []string
	Slowest              string // in seconds
	Groups               iter.Seq[pageGroup]
	Style                template.CSS
	Script               template.JS
}

type pageTally struct {
	Status      Status
	Class, Word string
	Count       int
}

// pageGroup is hosts that ended alike with the same output.
type pageGroup struct {
	Status           Status // of the summary
	Class, End, Hint string
	Names            string
	Count            int
	Out, Err, Cut    string
	Hosts            []pageHost

	first *gathered
	all   []*gathered
}

type pageHost struct {
	Name   string
	Stages []string
	Took   string
}

func (h *HTML) page(w io.Writer, e End) error {
	t, err := template.New("report").Parse(pageText)
	if err != nil {
		return err
	}
	all := h.gather.all()
	p := page{
		Policy:  fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", source(pageStyle), source(pageScript)),
		Command: Sanitize(h.gather.start.Command), Run: Sanitize(h.gather.start.Run),
		Counted: counted(e.Hosts, "host"), Began: h.gather.start.Time.Format("2006-01-02 15:04:05 MST"), Took: duration(e.Took),
		End: e, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
	}
	for _, c := range []pageTally{
		{OK, "ok", "ok", e.OK}, {Failed, "bad", "failed", e.Failed}, {Timeout, "bad", "timed out", e.Timeout},
		{Unreachable, "bad", "unreachable", e.Unreachable}, {Cancelled, "warn", "cancelled", e.Cancelled}, {NotRun, "warn", "not run", e.NotRun},
	} {
		if c.Count > 0 {
			p.Tally = append(p.Tally, c)
		}
	}
	var exits []Exit
	slowest := time.Millisecond
	for _, g := range all {
		exits = append(exits, g.exit)
		slowest = max(slowest, g.exit.took())
	}
	names := stageNames(exits)
	for _, n := range names {
		p.Stages = append(p.Stages, Sanitize(n))
	}
	p.Slowest = seconds(slowest)
	groups := h.groups(all)
	p.Groups = func(yield func(pageGroup) bool) {
		for _, g := range groups {
			h.fill(g, names)
			if !yield(*g) {
				return
			}
			g.Out, g.Err, g.Hosts = "", "", nil
		}
	}
	return t.Execute(w, p)
}

// source is how a policy names a text that may stand in the page.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// groups puts hosts together that ended alike with the same output, in order.
func (h *HTML) groups(all []*gathered) []*pageGroup {
	type key struct {
		status Status
		end    string
		sums   [2][sha256.Size]byte
	}
	byKey := make(map[key]*pageGroup)
	var groups []*pageGroup
	for _, host := range all {
		x := &host.exit
		k := key{status: x.Status, end: pattern(pageEnd(host), x.Host)}
		for to, t := range host.texts {
			sum := sha256.New()
			if t != nil {
				if _, err := io.Copy(sum, t.reader()); err != nil {
					h.gather.spool.err = errors.Join(h.gather.spool.err, fmt.Errorf("keeping output: %w", err))
				}
			}
			sum.Sum(k.sums[to][:0])
		}
		g := byKey[k]
		if g == nil {
			g = &pageGroup{Status: category(x.Status), End: pageEnd(host), Hint: Sanitize(hint(x)), first: host}
			g.Class = map[Status]string{OK: "ok", Cancelled: "warn", NotRun: "warn"}[g.Status]
			g.Class = cmp.Or(g.Class, "bad")
			byKey[k] = g
			groups = append(groups, g)
		} else if g.End != pageEnd(host) {
			g.End = k.end
		}
		g.all = append(g.all, host)
	}
	order := []Status{Failed, Timeout, Unreachable, Cancelled, OK, NotRun}
	slices.SortStableFunc(groups, func(a, b *pageGroup) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status)), cmp.Compare(len(a.all), len(b.all)))
	})
	return groups
}

func pageEnd(h *gathered) string {
	if h.exit.Status == OK {
		return "ok"
	}
	return cause(&h.exit)
}

// fill gives a group its texts.
func (h *HTML) fill(g *pageGroup, stages []string) {
	var names []string
	for _, host := range g.all {
		names = append(names, host.exit.Host)
	}
	g.Count, g.Names = len(names), namesWithin(names, maxNames)
	cut := g.first.exit.Truncated
	texts := [2]*string{&g.Out, &g.Err}
	for to, t := range g.first.texts {
		if t == nil {
			continue
		}
		var buf bytes.Buffer
		n, err := io.Copy(&buf, io.LimitReader(t.reader(), maxPageOutput+1))
		if err != nil {
			h.gather.spool.err = errors.Join(h.gather.spool.err, fmt.Errorf("keeping output: %w", err))
		}
		text := buf.String()
		if n > maxPageOutput {
			cut = true
			text = text[:maxPageOutput-tornRune(text[:maxPageOutput])]
		}
		*texts[to] = sanitizeLines(text)
	}
	if cut {
		g.Cut = "The output is cut; --outdir and --errdir write all that came to files."
	}
	slices.SortStableFunc(g.all, func(a, b *gathered) int { return cmp.Compare(b.exit.took(), a.exit.took()) })
	for _, host := range g.all {
		row := pageHost{Name: Sanitize(host.exit.Host), Took: seconds(host.exit.took())}
		for _, s := range stages {
			row.Stages = append(row.Stages, stageSeconds(&host.exit, s))
		}
		g.Hosts = append(g.Hosts, row)
	}
}
