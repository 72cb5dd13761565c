package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
)

// Each kind belongs to one group at most, through any wrapping; the text names
// host, jump host, stage and cause, and nothing in it drives a terminal.
func TestErrors(t *testing.T) {
	conform(t, "3.6 test_exceptions", "3.6 test_errors", "3.6 test_formatted_error_string",
		"3.6 test_single_argument_error_string_is_unchanged")
	groups := []error{shoal.ErrAuth, shoal.ErrHostKey, shoal.ErrNotRun, shoal.ErrLost, shoal.ErrTimeout, shoal.ErrCancelled}
	for kind, group := range map[shoal.Kind]error{
		shoal.KindAuthFailed: shoal.ErrAuth, shoal.KindTooManyKeys: shoal.ErrAuth, shoal.KindAgent: shoal.ErrAuth,
		shoal.KindHostKeyUnknown: shoal.ErrHostKey, shoal.KindHostKeyChanged: shoal.ErrHostKey, shoal.KindHostKeyRevoked: shoal.ErrHostKey,
		shoal.KindNotRun: shoal.ErrNotRun, shoal.KindLost: shoal.ErrLost, shoal.KindTimeout: shoal.ErrTimeout, shoal.KindCancelled: shoal.ErrCancelled,
		shoal.KindDNS: nil, shoal.KindRefused: nil, shoal.KindSudo: nil, shoal.KindOutputLimit: nil, shoal.KindInvalid: nil,
	} {
		err := fmt.Errorf("wrapped: %w", &shoal.HostError{Host: "web1", Stage: shoal.StageAuth, Kind: kind})
		for _, g := range groups {
			if errors.Is(err, g) != (g == group) {
				t.Errorf("%s: is %v: %v", kind, g, errors.Is(err, g))
			}
		}
	}
	for want, err := range map[string]error{
		"web1: connect: no route":                        &shoal.HostError{Host: "web1", Stage: shoal.StageConnect, Err: errors.New("no route")},
		"web1: via gate: auth: auth-failed":              &shoal.HostError{Host: "web1", Hop: "gate", Stage: shoal.StageAuth, Kind: shoal.KindAuthFailed},
		"web1: run: 100% (attempt 3)":                    &shoal.HostError{Host: "web1", Stage: shoal.StageRun, Attempt: 3, Err: errors.New("100%")},
		"web1: run: a; the remote command may still run": &shoal.HostError{Host: "web1", Stage: shoal.StageRun, MayRun: true, Err: errors.New("a")},
		`web1: run: \x1b[2Jgone`:                         &shoal.HostError{Host: "web1", Stage: shoal.StageRun, Err: errors.New("\x1b[2Jgone")},
		"exit status 256":                                &shoal.ExitError{Code: 256},
		"ended by signal SEGV (core dumped)":             &shoal.ExitError{Code: -1, Signal: "SEGV", CoreDumped: true},
		"context deadline exceeded: 2 of 3 commands unfinished": &shoal.TimeoutError{
			Finished: make([]*shoal.Proc, 1), Unfinished: make([]*shoal.Proc, 2), Err: context.DeadlineExceeded},
	} {
		if got := err.Error(); got != want || strings.Contains(got, "\x1b") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cause := errors.New("cause")
	if !errors.Is(&shoal.HostError{Err: cause}, cause) || !errors.Is(&shoal.TimeoutError{Err: cause}, cause) {
		t.Error("a cause is hidden")
	}
}
