package rollout

import (
	"fmt"

	"github.com/shoal-ssh/shoal"
)

// BudgetError stops a rollout in which more hosts failed than
// [Plan.MaxFail] allows.
type BudgetError struct {
	Failed  int // up to the end of those that were at work
	Allowed int
	Hosts   int // of the rollout; 0 where that is not known
}

// Error gives the numbers.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("stopped: %d failed, %d may", e.Failed, e.Allowed)
}

// CanaryError stops a rollout of whose canary a host failed.
type CanaryError struct {
	Host string
	Err  error // of the host
}

// Error names the host and its failure.
func (e *CanaryError) Error() string {
	return "stopped: the canary failed: " + ofHost(e.Host, e.Err)
}

// CheckError says that a check did not pass. It is the error of a host that
// is not well by [Plan.Check] or [Plan.CheckBatch], and what stops a rollout
// then. It does not unwrap, since the host's own command succeeded.
type CheckError struct {
	Batch  Batch        // as it began
	Host   string       // that is not well; empty where it is the batch
	Output shoal.Output // of Check
	Err    error        // the check's
}

// Error names the host or the batch, and the check's failure.
func (e *CheckError) Error() string {
	if e.Host == "" {
		return fmt.Sprintf("the check of %v failed: %v", e.Batch, e.Err)
	}
	return "check failed: " + ofHost(e.Host, e.Err)
}

// DeclinedError stops a rollout where [Plan.Confirm] did not say yes.
type DeclinedError struct {
	Next Batch // that was asked about
	Err  error // of Confirm; nil where it said no
}

// Error says what was not confirmed.
func (e *DeclinedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("stopped: %v was not confirmed: %v", e.Next, e.Err)
	}
	return fmt.Sprintf("stopped: %v was declined", e.Next)
}

// FirstFailureError stops a rollout with [Plan.FailFast].
type FirstFailureError struct {
	Host string
	Err  error // of the host
}

// Error names the host and its failure.
func (e *FirstFailureError) Error() string {
	return "stopped at the first failure: " + ofHost(e.Host, e.Err)
}

// ofHost is the error with its host, which some have in them.
func ofHost(host string, err error) string {
	switch e := err.(type) {
	case *shoal.HostError:
		if e.Host == host {
			return e.Error()
		}
	case *CheckError:
		if e.Host == host {
			return e.Error()
		}
	}
	return host + ": " + err.Error()
}

// notRun is the error of a host that the rollout did not come to.
func notRun(h shoal.Host, why error) error {
	return &shoal.HostError{Host: h.Name, Stage: shoal.StagePrepare, Kind: shoal.KindNotRun, Err: why}
}

// invalid is the error of a host of a rollout that cannot work.
func invalid(h shoal.Host, why error) error {
	return &shoal.HostError{Host: h.Name, Stage: shoal.StagePrepare, Kind: shoal.KindInvalid, Err: why}
}
