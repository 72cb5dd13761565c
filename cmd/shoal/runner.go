package main

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

// runner takes one command to its hosts and shows what becomes of it.
type runner struct {
	job
	command shoal.Command
	largest bool // -S

	failOnce sync.Once
	places   chan struct{} // with -k: of the hosts at work
	failed   chan struct{} // with -k: closed when the first failure has ended the run
	seq      []int64       // of lines, by host and stream
	batch    []render.Line
}

// newRunner makes a runner; show is what shows the run on the screen, but for
// its status line.
func newRunner(j job, command shoal.Command, show render.Renderer) *runner {
	j.renderer = render.Tee{j.console.status, show}
	return &runner{job: j, command: command, seq: make([]int64, 2*len(j.hosts))}
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
	for e := range r.client.Watch(ctx, r.sequence(ctx), r.command) {
		r.console.show(func() { r.event(e) })
	}
	stopTicks()
	var err error
	r.console.show(func() { err = r.end(r.verdict.code(r.cause(), r.largest)) })
	return err
}

// sequence yields the hosts; with -k only as many as are at work, so that none
// is begun with between the failure of another and our noticing it.
func (r *runner) sequence(ctx context.Context) iter.Seq[shoal.Host] {
	if !r.pace.failFast {
		return slices.Values(r.hosts)
	}
	r.places, r.failed = make(chan struct{}, r.pace.fanout.n), make(chan struct{})
	return func(yield func(shoal.Host) bool) {
		for _, h := range r.hosts {
			select {
			case r.places <- struct{}{}:
			case <-ctx.Done():
				if context.Cause(ctx) == errFailFast {
					<-r.failed // and not only ctx is over, but all that was made of it
				}
			}
			if !yield(h) {
				return
			}
		}
	}
}

// event shows lines, or the end of a host.
func (r *runner) event(e shoal.Event) {
	t := e.At.Sub(r.began)
	if len(e.Lines) > 0 {
		r.renderer.Lines(r.lines(e.Lines, t))
	}
	if e.Result != nil {
		r.result(e.Result, t)
	}
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
			Host: l.Host, Index: l.Index, Stderr: l.Stderr, Seq: *n, T: t, Text: l.Text, Continued: l.Continued,
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
	r.exit(x)
	if !r.pace.failFast {
		return
	}
	if r.verdict.failed || r.verdict.noReach || r.verdict.timedOut {
		r.cancel(errFailFast)
		r.failOnce.Do(func() { close(r.failed) })
		return
	}
	<-r.places
}
