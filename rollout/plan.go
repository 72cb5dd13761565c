// Package rollout takes work to hosts in batches: a canary first, then more and
// more of them, with a pause, a health check and a question in between, and it
// stops where too much goes wrong.
//
// It is a layer over [shoal.Each] and [shoal.Client.Watch] and keeps their
// promises: every host yields exactly one Result, whatever happens; the loop is
// the lifetime, and leaving it ends the work and waits for it. A host that the
// rollout did not come to has an error that is [shoal.ErrNotRun] and tells why:
// [errors.As] finds a [*BudgetError], [*CanaryError], [*CheckError],
// [*DeclinedError] or [*FirstFailureError] in it.
//
// A host failed where its Result has an error: its command did not succeed, it
// was not reached, or the check of its batch did not pass.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shoal-ssh/shoal"
)

// Plan says how a rollout goes. The zero value is one batch of all hosts that
// nothing stops. A Plan is a plain value and may be used any number of times.
type Plan struct {
	// Canary is the size of a first batch on which all hosts have to be well:
	// one that fails stops the rollout, whatever MaxFail allows. 0 means none.
	Canary int
	// Batches are the sizes of the batches after the canary; the last one
	// goes for all that follow. Nil means one batch of all hosts.
	Batches []Size
	// Pause is the time between the end of a batch, its check included, and
	// the next one.
	Pause time.Duration
	// Check is run on the hosts of each batch that are well so far, once the
	// whole batch has ended; one on which it does not succeed has failed, with
	// a [*CheckError]. Without MaxFail that stops the rollout. The zero
	// Command means no check.
	Check shoal.Command
	// CheckBatch decides about a batch as a whole, after Check. Its error
	// stops the rollout, and all hosts of the batch have failed, with a
	// [*CheckError]. Nil means that it is well.
	CheckBatch func(context.Context, Batch) error
	// Confirm is asked before each batch but the first, after the pause;
	// false or an error stops the rollout. Nil means yes.
	Confirm func(ctx context.Context, next Batch, sofar Progress) (bool, error)
	// MaxFail is how many hosts of all may fail; one more stops the rollout.
	// Hosts that are at work then are half-way and finish, and their failures
	// count too; no other is begun. Nil means any number, &Size{} none.
	MaxFail *Size
	// Total is how many hosts there are, for shares of them and [Batch.Of]. 0
	// means that they are counted before the rollout begins, where it needs
	// that.
	Total int
	// FailFast stops the rollout at the first host that fails, and ends the
	// work on the others.
	FailFast bool
}

// Batch is hosts that are worked on together.
type Batch struct {
	Number int          // from 1, the canary included
	Of     int          // how many batches there are; 0 where that is not known
	Canary bool         // it is the canary
	Hosts  []shoal.Host // all of it
	OK     int          // of the hosts, at the end of the batch; before that, of those that are to be checked
	Failed int          // of the hosts, at the end of the batch and before its check
}

// String names the batch: "canary", "batch 2 of 5".
func (b Batch) String() string {
	switch {
	case b.Canary:
		return "canary"
	case b.Of == 0:
		return fmt.Sprintf("batch %d", b.Number)
	}
	return fmt.Sprintf("batch %d of %d", b.Number, b.Of)
}

// Progress counts the hosts of a rollout.
type Progress struct {
	OK, Failed int
	Left       int // not begun; -1 where that is not known
}

// Validate reports what cannot work in a plan. A rollout by such a plan runs
// nothing and gives every host the error.
func (p Plan) Validate() error {
	if p.Canary < 0 {
		return errors.New("rollout: the canary has a negative number of hosts")
	}
	for _, s := range p.Batches {
		if err := s.check(); err != nil {
			return fmt.Errorf("rollout: batch: %w", err)
		}
		if s == (Size{}) {
			return errors.New("rollout: a batch has no hosts")
		}
	}
	if p.Total < 0 {
		return errors.New("rollout: the number of all hosts is negative")
	}
	if p.Pause < 0 {
		return errors.New("rollout: the pause is negative")
	}
	if p.MaxFail != nil {
		if err := p.MaxFail.check(); err != nil {
			return fmt.Errorf("rollout: failures allowed: %w", err)
		}
	}
	return nil
}

// Sizes returns the sizes of the batches for that many hosts, the canary's
// first. They add up to it.
func (p Plan) Sizes(hosts int) []int {
	var sizes []int
	for left := hosts; left > 0; {
		n := min(p.size(len(sizes), hosts), left)
		sizes = append(sizes, n)
		left -= n
	}
	return sizes
}

// size is that of batch i, from 0, of all hosts, where there are so many left.
func (p Plan) size(i, hosts int) int {
	if p.Canary > 0 {
		if i == 0 {
			return p.Canary
		}
		i--
	}
	if len(p.Batches) == 0 {
		return math.MaxInt
	}
	return p.Batches[min(i, len(p.Batches)-1)].batch(hosts)
}

// counts reports whether the hosts have to be counted.
func (p Plan) counts() bool {
	if p.Total > 0 {
		return false
	}
	if len(p.Batches) == 0 || p.MaxFail != nil && p.MaxFail.Percent > 0 {
		return true
	}
	for _, s := range p.Batches {
		if s.Percent > 0 {
			return true
		}
	}
	return false
}

// checks reports whether hosts are checked after their batch.
func (p Plan) checks() bool { return p.checksHosts() || p.CheckBatch != nil }

func (p Plan) checksHosts() bool { return p.Check.Line != "" || p.Check.For != nil }

// mayStop reports whether a failure may stop a batch under way.
func (p Plan) mayStop() bool { return p.FailFast || p.Canary > 0 || p.MaxFail != nil }
