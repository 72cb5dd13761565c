package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/render"
)

// job is hosts at work, whatever is done on them: how they are reached, how it
// is shown, and what ends it.
type job struct {
	client   *shoal.Client
	hosts    []shoal.Host
	pace     *paceFlags
	console  *console
	ask      *asker
	renderer render.Renderer
	origin   origin         // what a record says about the command line
	noting   bool           // the client tells the console of hosts that it begins with
	unsaved  func() []error // host keys that were accepted and could not be stored; nil if none are

	cancel  context.CancelCauseFunc
	cause   func() error // why the job was stopped
	began   time.Time
	tally   render.End
	verdict verdict
}

func newJob(a *app, view *viewFlags, pace *paceFlags, hosts []shoal.Host) job {
	tuneGCFor(min(pace.fanout.n, len(hosts)))
	c := newConsole(view.screen(a.stdout, a.stderr))
	return job{
		client:  &shoal.Client{Limit: pace.fanout.n, MaxIdle: -1, Log: newLog(c, view.verbose)},
		hosts:   hosts,
		origin:  a.origin,
		pace:    pace,
		console: c,
		ask:     &asker{console: c, hosts: len(hosts)},
	}
}

// do prepares and works until that is done or stopped. The error says what kept
// it from working, or is a [*codeError].
func (j *job) do(ctx context.Context, prepare, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j.cancel = cancel
	s := &signals{cancel: cancel, person: j.console.screen.StderrTTY, asking: j.console.asking.Load,
		progress: func() { j.console.progress(len(j.hosts), &j.tally) }}
	defer s.watch()()
	if err := prepare(ctx); err != nil {
		return err
	}
	defer j.client.Close()
	if d := j.pace.deadline.d; d > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, d, errDeadline)
		defer stop()
	}
	j.cause = func() error { return context.Cause(ctx) }
	err := work(ctx)
	j.noteUnsaved()
	return err
}

// noteUnsaved says, once, that new host keys could not be stored.
func (j *job) noteUnsaved() {
	if j.unsaved == nil {
		return
	}
	switch errs := j.unsaved(); len(errs) {
	case 0:
	case 1:
		j.console.say("warning: " + errs[0].Error())
	default:
		j.console.say(fmt.Sprintf("warning: %d host keys were not saved: %v", len(errs), errs[0]))
	}
}

// mayAsk refuses a flag that wants a person to ask where there is none.
func (j *job) mayAsk(flag string) error {
	if err := j.ask.check(); err != nil {
		return &usageError{what: flag + ": " + err.Error(), hint: "run it from a terminal"}
	}
	return nil
}

// connects readies the client as the flags say.
func (j *job) connects(f *connectFlags, verbose bool) error {
	if f.hostKey.word == "off" {
		j.console.say("warning: host keys are not verified: whoever sits between can read and change everything")
	}
	if verbose {
		for _, err := range f.passedOver {
			j.console.say(err.Error())
		}
	}
	j.client.Host = f.host()
	if f.openssh() {
		j.client.Transport = f.transport(j.ask)
		return nil
	}
	j.client.Complete = f.complete(j.ask)
	j.unsaved = f.unsaved
	if verbose {
		f.noteKeys = func(err error) { j.console.say(err.Error()) }
	}
	return f.load(func(err error) { j.console.say("warning: " + err.Error()) })
}

// noteBegins has the status line told of every host that is begun with.
func (j *job) noteBegins() {
	if !j.console.screen.StderrTTY {
		return
	}
	j.console.noteHosts(j.hosts)
	if j.noting {
		return // by an earlier run of the client
	}
	j.noting = true
	complete := j.client.Complete
	j.client.Complete = func(h shoal.Host) (shoal.Host, error) {
		j.console.noteBegin(h.Name)
		if complete == nil {
			return h, nil
		}
		return complete(h)
	}
}

func (j *job) start(command string) {
	names := make([]string, len(j.hosts))
	for i, h := range j.hosts {
		names[i] = h.Name
	}
	j.began = time.Now()
	start := render.Start{
		Run: ulid.Make().String(), Hosts: len(names), Set: hostlist.Fold(names),
		Command: command, Time: j.began,
	}
	j.origin.tell(&start)
	j.console.show(func() { j.renderer.Start(start) })
}

// exit shows how a host ended.
func (j *job) exit(x render.Exit) {
	if cause := j.cause(); x.Status == render.Cancelled && cause != nil {
		x.Err.Msg = cause.Error() // and not what broke because of it
	}
	j.tally.Count(x.Status)
	j.verdict.add(&x)
	j.renderer.Exit(x)
}

// end shows the summary and ends with the exit code.
func (j *job) end(code int) error {
	j.tally.Took = time.Since(j.began)
	j.tally.Exit = code
	if err := j.renderer.End(j.tally); err != nil {
		return err
	}
	if j.console.screen.Err() != nil && !isSignal(j.cause()) {
		return &codeError{exitPipe} // another error than a closed pipe was returned by End
	}
	if code != exitOK {
		return &codeError{code}
	}
	return nil
}

func isSignal(err error) bool {
	_, ok := errors.AsType[*signalError](err)
	return ok
}

func fold(names []string) string { return hostlist.Fold(names) }
