package main

import (
	"context"
	"errors"

	"github.com/shoal-ssh/shoal/internal/render"
)

// Exit codes. Scripts rely on them: they do not change.
const (
	exitOK       = 0
	exitFailed   = 1 // some remote command ended non-zero or by a signal
	exitUsage    = 2
	exitNoReach  = 3 // some host was not reached, or the connection was lost
	exitTimeout  = 4 // some host timed out
	exitPolicy   = 5 // stopped by -k, --max-fail, the canary or --check, or a question was answered with no
	exitNoHosts  = 6
	exitViolated = 7   // --same or --expect was violated
	exitInternal = 125 // Shoal's own failure, such as output that cannot be written
	exitPipe     = 141 // the reader of the output is gone: 128 + SIGPIPE
)

// Why a run was stopped, as the cause of its context. A [*signalError] is
// another reason.
var (
	errFailFast = errors.New("stopped at the first failure (-k)")
	errPolicy   = errors.New("stopped by the rules of the rollout")
	errDeclined = errors.New("the answer was no")
	errDeadline = &deadlineError{}
	errOutput   = errors.New("the output cannot be written")
)

// deadlineError ends a run that took longer than --deadline allows.
type deadlineError struct{}

func (*deadlineError) Error() string        { return "the deadline of the run passed" }
func (*deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// verdict gathers what the exit code of a run depends on.
type verdict struct {
	failed, noReach, timedOut, internal bool
	stopped                             bool // some host was, or was never begun
	violated                            bool // --same or --expect was
	largest                             int  // of the remote codes, as -S has it
	largestSSH                          int  // of the codes that ssh would have

	guise func(*verdict) int // of another program; nil for Shoal's own
}

// add takes the end of one host into account.
func (v *verdict) add(x *render.Exit) {
	rc := 255
	switch x.Status {
	case render.OK:
		return
	case render.NotRun, render.Cancelled:
		v.stopped = true // why decides
		return
	case render.Timeout:
		v.timedOut = true
	case render.Failed:
		v.failed = true
		if x.RC != nil {
			rc = min(*x.RC, 255)
		}
	case render.Signal:
		v.failed = true
		rc = 128 + signalNumber(x.Signal)
	default:
		v.noReach = true
	}
	if x.Err != nil && x.Err.Kind == "internal" {
		v.internal = true
	}
	v.largest = max(v.largest, rc)
	v.largestSSH = max(v.largestSSH, min(x.SSHCode(), 255))
}

// code returns the exit code of a run that was stopped for that reason, or
// not. Where several apply, an interrupt comes first, then policy, hosts not
// reached, timeouts, what --same and --expect found, failures.
func (v *verdict) code(stopped error, wantLargest bool) int {
	if e, ok := errors.AsType[*signalError](stopped); ok {
		return e.code()
	}
	switch {
	case v.internal:
		return exitInternal
	case v.guise != nil:
		return v.guise(v)
	case errors.Is(stopped, errFailFast), errors.Is(stopped, errPolicy), errors.Is(stopped, errDeclined):
		return exitPolicy
	case wantLargest && v.stopped && errors.Is(stopped, errDeadline):
		return 255
	case wantLargest && v.largest > 0:
		return v.largest
	case v.noReach:
		return exitNoReach
	case v.timedOut, v.stopped && errors.Is(stopped, errDeadline):
		return exitTimeout
	case v.violated:
		return exitViolated
	case v.failed:
		return exitFailed
	case v.stopped:
		return exitInternal // by nobody we know
	}
	return exitOK
}

// signalNumber returns the number that a signal of RFC 4254 §6.10 has on Linux,
// by which shells make exit codes of it; 0 for other names.
func signalNumber(name string) int {
	return map[string]int{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9,
		"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
	}[name]
}
