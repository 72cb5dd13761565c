package main

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
)

// runner takes one command to its hosts and shows what becomes of it.
type runner struct {
	client  *shoal.Client
	hosts   []shoal.Host
	command shoal.Command
	pace    *paceFlags
	largest bool // -S

	failOnce sync.Once

	console  *console
	ask      *asker
	renderer render.Renderer

	cancel  context.CancelCauseFunc
	cause   func() error  // why the run was stopped
	places  chan struct{} // with -k: of the hosts at work
	failed  chan struct{} // with -k: closed when the first failure has ended the run
	began   time.Time
	seq     []int64 // of lines, by host and stream
	batch   []render.Line
	tally   render.End
	verdict verdict
}

func newRunner(a *app, f *runFlags, hosts []shoal.Host, command shoal.Command) *runner {
	c := newConsole(f.output.screen(a.stdout, a.stderr))
	return &runner{
		client:   &shoal.Client{Limit: f.pace.fanout.n, MaxIdle: -1, Log: newLog(c, f.output.verbose)},
		hosts:    hosts,
		command:  command,
		pace:     &f.pace,
		largest:  f.output.largest,
		console:  c,
		ask:      &asker{console: c, hosts: len(hosts)},
		renderer: render.Tee{c.status, f.output.renderer(c.screen)},
		seq:      make([]int64, 2*len(hosts)),
	}
}

// run prepares, runs the command and shows how it went. The error says what
// kept it from running, or is a [*codeError].
func (r *runner) run(ctx context.Context, prepare func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.cancel = cancel
	s := &signals{cancel: cancel, person: r.console.screen.StderrTTY, asking: r.console.asking.Load,
		progress: func() { r.console.progress(len(r.hosts), &r.tally) }}
	defer s.watch()()
	if err := prepare(ctx); err != nil {
		return err
	}
	defer r.client.Close()
	if d := r.pace.deadline.d; d > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, d, errDeadline)
		defer stop()
	}
	r.cause = func() error { return context.Cause(ctx) }
	return r.watch(ctx)
}

// watch runs the command and shows everything as it happens.
func (r *runner) watch(ctx context.Context) error {
	r.noteBegins()
	r.start()
	stopTicks := r.console.tick()
	for e := range r.client.Watch(ctx, r.sequence(ctx), r.command) {
		r.console.show(func() { r.event(e) })
	}
	stopTicks()
	var err error
	r.console.show(func() { err = r.end(r.cause()) })
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

// noteBegins has the status line told of every host that is begun with.
func (r *runner) noteBegins() {
	if !r.console.screen.StderrTTY {
		return
	}
	index := make(map[string]int, len(r.hosts))
	for i, h := range r.hosts {
		index[h.Name] = i
	}
	complete := r.client.Complete
	r.client.Complete = func(h shoal.Host) (shoal.Host, error) {
		if i, ok := index[h.Name]; ok { // and no jump host
			r.console.noteBegin(h.Name, i)
		}
		if complete == nil {
			return h, nil
		}
		return complete(h)
	}
}

func (r *runner) start() {
	names := make([]string, len(r.hosts))
	for i, h := range r.hosts {
		names[i] = h.Name
	}
	r.began = time.Now()
	r.console.show(func() {
		r.renderer.Start(render.Start{
			Run: ulid.Make().String(), Hosts: len(names), Set: hostlist.Fold(names),
			Command: r.command.Line, Time: r.began,
		})
	})
}

// event shows lines, or the end of a host.
func (r *runner) event(e shoal.Event) {
	t := e.At.Sub(r.began)
	if len(e.Lines) > 0 {
		r.renderer.Lines(r.lines(e.Lines, t))
	}
	if e.Result != nil {
		r.exit(e.Result, t)
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

func (r *runner) exit(res *shoal.Result[shoal.Output], t time.Duration) {
	x := exitOf(res, t)
	if x.Status == render.Timeout && x.Err.Stage == string(shoal.StageRun) && !errors.Is(res.Err, errDeadline) {
		x.Err.Msg = overtime(r.command.Timeout)
	}
	if cause := r.cause(); x.Status == render.Cancelled && cause != nil {
		x.Err.Msg = cause.Error() // and not what broke because of it
	}
	r.tally.Count(x.Status)
	r.verdict.add(&x)
	r.renderer.Exit(x)
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

// end shows the summary and decides the exit code.
func (r *runner) end(stopped error) error {
	r.tally.Took = time.Since(r.began)
	r.tally.Exit = r.verdict.code(stopped, r.largest)
	if err := r.renderer.End(r.tally); err != nil {
		return err
	}
	if r.console.screen.Err() != nil && !isSignal(stopped) {
		return &codeError{exitPipe} // another error than a closed pipe was returned by End
	}
	if r.tally.Exit != exitOK {
		return &codeError{r.tally.Exit}
	}
	return nil
}

func isSignal(err error) bool {
	_, ok := errors.AsType[*signalError](err)
	return ok
}

func fold(names []string) string { return hostlist.Fold(names) }
