package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/rollout"
)

// runner takes one command to its hosts and shows what becomes of it.
type runner struct {
	job
	command shoal.Command
	largest bool // -S

	violated func() bool // --same or --expect was; nil where nothing was asked

	rollout *rolloutFlags
	check   shoal.Command // of --check
	quiet   bool
	state   rolloutState

	seq   []int64 // of lines, by host and stream
	batch []render.Line
}

// newRunner makes a runner; show is what shows the run on the screen, but for
// its status line.
func newRunner(j job, command shoal.Command, show render.Renderer) *runner {
	j.renderer = render.Tee{j.console.status, show}
	return &runner{job: j, command: command, rollout: new(rolloutFlags), seq: make([]int64, 2*len(j.hosts))}
}

// run prepares, runs the command and shows how it went.
func (r *runner) run(ctx context.Context, prepare func(context.Context) error) error {
	return r.do(ctx, prepare, r.watch)
}

// watch runs the command and shows everything as it happens.
func (r *runner) watch(ctx context.Context) error {
	r.noteBegins()
	r.start(r.command.Line)
	stopTicks := r.console.tick()
	for e := range r.plan().Watch(ctx, r.client, slices.Values(r.hosts), r.command) {
		r.console.show(func() { r.event(e) })
	}
	stopTicks()
	r.verdict.violated = r.violated != nil && r.violated()
	var err error
	r.console.show(func() {
		r.tally.Stopped = r.stopped()
		err = r.end(r.verdict.code(r.why(), r.largest))
	})
	return err
}

// event shows lines, the end of a host, or how the rollout goes.
func (r *runner) event(e rollout.Event[shoal.Output]) {
	t := e.At.Sub(r.began)
	if len(e.Lines) > 0 {
		r.renderer.Lines(r.lines(e.Lines, t))
	}
	if e.Result != nil {
		r.result(e.Result, t)
	}
	r.step(&e)
	if r.console.screen.Err() != nil {
		r.cancel(errOutput)
	}
}

// lines are the lines as render has them.
func (r *runner) lines(lines []shoal.Line, t time.Duration) []render.Line {
	r.batch = r.batch[:0]
	for _, l := range lines {
		n := &r.seq[2*l.Index]
		if l.Stderr {
			n = &r.seq[2*l.Index+1]
		}
		r.batch = append(r.batch, render.Line{
			Host: l.Host, Index: l.Index, Stderr: l.Stderr, Seq: *n, T: t, Text: l.Text, Continued: l.End == "", CR: l.End == "\r\n",
		})
		*n++
	}
	return r.batch
}

func (r *runner) result(res *shoal.Result[shoal.Output], t time.Duration) {
	x := exitOf(res, t)
	if x.Status == render.Timeout && x.Err.Stage == string(shoal.StageRun) && !errors.Is(res.Err, errDeadline) {
		x.Err.Msg = overtime(r.command.Timeout)
	}
	if x.Status == render.Cancelled && r.cause() == nil {
		x.Err.Msg = errFailFast.Error() // nothing else cancels
	}
	r.state.count(&x)
	r.exit(x)
}
