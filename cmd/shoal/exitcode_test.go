package main

import (
	"errors"
	"syscall"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

func TestVerdict(t *testing.T) {
	seven, big := 7, 4294967295
	ok := render.Exit{Status: render.OK}
	failed := render.Exit{Status: render.Failed, RC: &seven}
	huge := render.Exit{Status: render.Failed, RC: &big}
	signal := render.Exit{Status: render.Signal, Signal: "KILL"}
	timeout := render.Exit{Status: render.Timeout}
	unreachable := render.Exit{Status: render.Unreachable}
	notRun := render.Exit{Status: render.NotRun}
	cancelled := render.Exit{Status: render.Cancelled}
	panicked := render.Exit{Status: render.Failed, Err: &render.Problem{Kind: "internal"}}
	interrupt := &signalError{syscall.SIGINT}
	for _, c := range []struct {
		name    string
		exits   []render.Exit
		stopped error
		code    int
		largest int // with -S
	}{
		{"ok", []render.Exit{ok}, nil, 0, 0},
		{"failed", []render.Exit{ok, failed}, nil, 1, 7},
		{"code beyond a byte", []render.Exit{huge, failed}, nil, 1, 255},
		{"signal", []render.Exit{signal}, nil, 1, 137},
		{"timeout before failure", []render.Exit{failed, timeout}, nil, 4, 255},
		{"not reached before timeout", []render.Exit{timeout, unreachable, failed}, nil, 3, 255},
		{"host key", []render.Exit{{Status: render.HostKey}}, nil, 3, 255},
		{"auth", []render.Exit{{Status: render.Auth}}, nil, 3, 255},
		{"lost", []render.Exit{{Status: render.Lost}}, nil, 3, 255},
		{"policy before all of these", []render.Exit{unreachable, timeout, notRun}, errFailFast, 5, 5},
		{"the rules of the rollout", []render.Exit{ok, failed, notRun}, errPolicy, 5, 5},
		{"interrupt before policy", []render.Exit{unreachable, cancelled}, interrupt, 130, 130},
		{"terminated", []render.Exit{cancelled}, &signalError{syscall.SIGTERM}, 143, 143},
		{"hung up", []render.Exit{cancelled}, &signalError{syscall.SIGHUP}, 129, 129},
		{"deadline, some never begun", []render.Exit{ok, notRun}, errDeadline, 4, 255},
		{"deadline when all was done", []render.Exit{ok}, errDeadline, 0, 0},
		{"deadline and not reached", []render.Exit{unreachable, notRun}, errDeadline, 3, 255},
		{"our own failure", []render.Exit{panicked}, nil, 125, 125},
		{"stopped by nobody we know", []render.Exit{cancelled}, errors.New("?"), 125, 125},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v verdict
			for _, x := range c.exits {
				v.add(&x)
			}
			if got := v.code(c.stopped, false); got != c.code {
				t.Errorf("got %d, want %d", got, c.code)
			}
			if got := v.code(c.stopped, true); got != c.largest {
				t.Errorf("with -S: got %d, want %d", got, c.largest)
			}
		})
	}
}
