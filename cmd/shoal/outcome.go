package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/rollout"
)

// exitOf tells how one host ended, in the words of package render.
func exitOf(r *shoal.Result[shoal.Output], t time.Duration) render.Exit {
	x := render.Exit{
		Host: r.Host.Name, Index: r.Index, T: t,
		Stages:     stages(r.Timings),
		Bytes:      render.Bytes{Out: r.Value.OutBytes, Err: r.Value.ErrBytes},
		OutputOpen: r.Value.OutputOpen,
	}
	if e, ok := r.Err.(*rollout.CheckError); ok {
		x.Status, x.Err = render.Failed, checkProblem(e)
		return x
	}
	if e, ok := errors.AsType[*shoal.ExitError](r.Err); ok {
		ended(&x, e)
		return x
	}
	if e, ok := errors.AsType[*shoal.HostError](r.Err); ok {
		broken(&x, e)
		return x
	}
	if r.Err != nil { // the library promises one of the two
		x.Status, x.Err = render.Lost, &render.Problem{Kind: string(shoal.KindInternal), Msg: r.Err.Error()}
		return x
	}
	x.Status, x.RC = render.OK, new(int)
	return x
}

// ended is a command that ended by itself and not well.
func ended(x *render.Exit, e *shoal.ExitError) {
	if e.Signal != "" {
		x.Status, x.Signal = render.Signal, e.Signal
		return
	}
	x.Status, x.RC = render.Failed, &e.Code
}

// broken is a host on which something else went wrong.
func broken(x *render.Exit, e *shoal.HostError) {
	x.Status = statusOf(e)
	x.Attempts = e.Attempt
	x.Truncated = e.Kind == shoal.KindOutputLimit
	x.Err = &render.Problem{Hop: e.Hop, Stage: string(e.Stage), Kind: string(e.Kind), Msg: string(e.Kind), Hint: e.Hint}
	if e.Err != nil {
		x.Err.Msg = plainText(e.Err)
	}
	switch x.Status {
	case render.Timeout, render.Cancelled, render.Lost:
		x.Remote = remoteOf(e)
	}
}

// plainText is the error's text in one line, with failures of connections as
// people say them: "connection refused (10.0.0.7:22)".
func plainText(err error) string {
	if all, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var texts []string
		for _, e := range all.Unwrap() {
			texts = append(texts, plainText(e))
		}
		return strings.Join(texts, "; ")
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return err.Error()
	}
	cause := op.Err
	if call, ok := errors.AsType[*os.SyscallError](cause); ok {
		cause = call.Err
	}
	return strings.Replace(err.Error(), op.Error(), fmt.Sprintf("%v (%v)", cause, op.Addr), 1)
}

// remoteOf tells what is known of the command's process.
func remoteOf(e *shoal.HostError) render.Remote {
	switch {
	case e.MayRun:
		return render.MayStillRun
	case e.Stage == shoal.StageRun && e.Kind != shoal.KindLost:
		return render.Killed
	}
	return ""
}

// statusOf sorts an error into the ways a host can end.
func statusOf(e *shoal.HostError) render.Status {
	switch {
	case errors.Is(e, shoal.ErrTimeout):
		return render.Timeout
	case errors.Is(e, shoal.ErrHostKey):
		return render.HostKey
	case errors.Is(e, shoal.ErrAuth):
		return render.Auth
	case errors.Is(e, shoal.ErrLost):
		return render.Lost
	case errors.Is(e, shoal.ErrCancelled):
		return render.Cancelled
	case errors.Is(e, shoal.ErrNotRun):
		return render.NotRun
	case e.Stage == shoal.StageRun, e.Stage == shoal.StageTransfer:
		return render.Failed // sudo, no exit status, our own input; a file
	}
	return render.Unreachable
}

// stages lists how long the stages took that were come to.
func stages(t shoal.Timings) []render.Stage {
	var all []render.Stage
	for _, s := range []render.Stage{
		{Name: "dns", Took: t.Resolve}, {Name: "tcp", Took: t.Connect}, {Name: "kex", Took: t.Kex}, {Name: "hostkey", Took: t.HostKey},
		{Name: "auth", Took: t.Auth}, {Name: "start", Took: t.Start}, {Name: "run", Took: t.Run},
	} {
		if s.Took > 0 {
			all = append(all, s)
		}
	}
	return all
}

// overtime says which limit a command ran into.
func overtime(limit time.Duration) string {
	return fmt.Sprintf("timed out after %s", plainDuration(limit))
}

// plainDuration is d as people write it: "30 s", "1.5 s", "5 min", "2 h".
func plainDuration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= unit.size && d%unit.size == 0 {
			return fmt.Sprintf("%d %s", d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%g s", d.Seconds())
}
