package shoal

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errBudget is the cause of a context whose time budget ran out.
var errBudget = errors.New("timed out")

// budget cancels a context when its time is used up. It can be set anew for
// the next stage, and stopped while a person is asked. Safe for concurrent use.
type budget struct {
	cancel context.CancelCauseFunc
	whole  bool // one budget for all stages

	mu     sync.Mutex
	timer  *time.Timer
	left   time.Duration
	since  time.Time
	paused int
}

// withBudget returns a context and its budget: total for all stages together
// where it is positive, unlimited where negative, and else what [budget.stage]
// sets. stop must be called.
func withBudget(ctx context.Context, total time.Duration) (_ context.Context, b *budget, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	b = &budget{cancel: cancel, whole: total != 0}
	if total > 0 {
		b.set(total)
	}
	return ctx, b, func() {
		b.mu.Lock()
		if b.timer != nil {
			b.timer.Stop()
		}
		b.mu.Unlock()
		cancel(nil)
	}
}

// stage gives the next stage d.
func (b *budget) stage(d time.Duration) {
	if !b.whole {
		b.set(d)
	}
}

func (b *budget) set(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	b.left, b.since = d, time.Now()
	if b.paused == 0 {
		b.timer = time.AfterFunc(d, func() { b.cancel(errBudget) })
	}
}

func (b *budget) pause() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused++; b.paused == 1 && b.timer != nil {
		b.timer.Stop()
		b.left -= time.Since(b.since)
	}
}

func (b *budget) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused--; b.paused == 0 && b.timer != nil {
		b.since = time.Now()
		b.timer = time.AfterFunc(max(b.left, 0), func() { b.cancel(errBudget) })
	}
}
