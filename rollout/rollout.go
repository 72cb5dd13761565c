package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/shoal-ssh/shoal"
)

// Phase is what a batch comes to.
type Phase string

// The phases of a batch, in order.
const (
	Pauses Phase = "pause" // before the batch, where there is a [Plan.Pause]
	Begins Phase = "begin"
	Checks Phase = "check" // all its hosts have ended; where there is a check
	Ends   Phase = "end"
)

// Event is something that happened in a rollout: lines of output, the end of
// one host, a phase of a batch, or the end of the rollout before its time.
type Event[T any] struct {
	// Lines came from one host, in order.
	Lines []shoal.Line
	// At is when it happened.
	At time.Time
	// Result is a host's end, of which every host has one: with a check, after
	// that. Index is the host's place among all hosts.
	Result *shoal.Result[T]
	// Phase is what Batch comes to; empty where the event is another one.
	Phase Phase
	Batch Batch
	// Stopped is why the rollout stopped: one of this package's errors. Hosts
	// that were not run come after it. There is no such event where the
	// context ended the rollout.
	Stopped error
}

// Watch runs the command on the hosts as the plan says, and yields everything
// as it happens. Else it is [shoal.Client.Watch].
//
// Hosts are pulled from the sequence a batch at a time, or all at once where
// the plan has percentages and no Total, or no batches, or a command has a For.
func (p Plan) Watch(ctx context.Context, c *shoal.Client, hosts iter.Seq[shoal.Host], cmd shoal.Command) iter.Seq[Event[shoal.Output]] {
	return func(yield func(Event[shoal.Output]) bool) {
		p, hosts, cmd := p.resolve(hosts, cmd)
		roll(ctx, p, c, hosts, func(ctx context.Context, hosts iter.Seq[shoal.Host]) iter.Seq[Event[shoal.Output]] {
			return func(yield func(Event[shoal.Output]) bool) {
				for e := range c.Watch(ctx, hosts, cmd) {
					if !yield(Event[shoal.Output]{Lines: e.Lines, At: e.At, Result: e.Result}) {
						return
					}
				}
			}
		})(yield)
	}
}

// Run runs the command on the hosts as the plan says, and yields a result a
// host. Else it is [shoal.Client.Run]; for the hosts see [Plan.Watch].
func (p Plan) Run(ctx context.Context, c *shoal.Client, hosts iter.Seq[shoal.Host], cmd shoal.Command) iter.Seq[shoal.Result[shoal.Output]] {
	return func(yield func(shoal.Result[shoal.Output]) bool) {
		p, hosts, cmd := p.resolve(hosts, cmd)
		results(ctx, p, c, hosts, func(ctx context.Context, hosts iter.Seq[shoal.Host]) iter.Seq[shoal.Result[shoal.Output]] {
			return c.Run(ctx, hosts, cmd)
		})(yield)
	}
}

// Each calls do with a connection to each of the hosts as the plan says. Else
// it is [shoal.Each]; for the hosts see [Plan.Watch].
func Each[T any](ctx context.Context, p Plan, c *shoal.Client, hosts iter.Seq[shoal.Host], do func(context.Context, *shoal.Conn) (T, error)) iter.Seq[shoal.Result[T]] {
	return results(ctx, p, c, hosts, func(ctx context.Context, hosts iter.Seq[shoal.Host]) iter.Seq[shoal.Result[T]] {
		return shoal.Each(ctx, c, hosts, do)
	})
}

// resolve makes the lines of all hosts before any is begun. Where that fails the
// plan is the one by which every host gets its error at once.
func (p Plan) resolve(hosts iter.Seq[shoal.Host], cmd shoal.Command) (Plan, iter.Seq[shoal.Host], shoal.Command) {
	if cmd.For == nil {
		return p, hosts, cmd
	}
	list, cmd, err := cmd.Resolve(hosts)
	if err != nil {
		p = Plan{}
	}
	return p, slices.Values(list), cmd
}

// work is what is done on the hosts.
type work[T any] func(context.Context, iter.Seq[shoal.Host]) iter.Seq[Event[T]]

// results is a rollout of which only the results count.
func results[T any](ctx context.Context, p Plan, c *shoal.Client, hosts iter.Seq[shoal.Host],
	do func(context.Context, iter.Seq[shoal.Host]) iter.Seq[shoal.Result[T]]) iter.Seq[shoal.Result[T]] {
	return func(yield func(shoal.Result[T]) bool) {
		for e := range roll(ctx, p, c, hosts, func(ctx context.Context, hosts iter.Seq[shoal.Host]) iter.Seq[Event[T]] {
			return func(yield func(Event[T]) bool) {
				for r := range do(ctx, hosts) {
					if !yield(Event[T]{At: time.Now(), Result: &r}) {
						return
					}
				}
			}
		}) {
			if e.Result != nil && !yield(*e.Result) {
				return
			}
		}
	}
}

// rollout is one of them under way. All but the gate belongs to the goroutine
// of the caller's loop.
type rollout[T any] struct {
	plan   Plan
	client *shoal.Client
	ctx    context.Context // the caller's
	cancel context.CancelCauseFunc
	yield  func(Event[T]) bool
	gate   *gate

	pull   func() (shoal.Host, bool)
	total  int   // of the hosts; -1 where it is not known
	begun  int   // batches
	pulled int   // hosts
	reason error // why it stopped

	batch   Batch
	open    bool // the batch has begun and not ended
	came    int  // results of the batch
	waiting []shoal.Host
	held    []shoal.Result[T] // until the check
	done    Progress
}

func roll[T any](ctx context.Context, p Plan, c *shoal.Client, hosts iter.Seq[shoal.Host], do work[T]) iter.Seq[Event[T]] {
	return func(yield func(Event[T]) bool) {
		r := &rollout[T]{plan: p, client: c, ctx: ctx, yield: yield, total: cmp.Or(p.Total, -1), gate: newGate(math.MaxInt)}
		if p.mayStop() {
			r.gate = newGate(max(1, cmp.Or(c.Limit, shoal.DefaultLimit)))
		}
		err := p.Validate()
		if err == nil && (p.counts() || p.Check.For != nil) {
			list := slices.Collect(hosts)
			hosts, r.total = slices.Values(list), len(list)
			err = p.checkLines(list)
		}
		pull, stop := iter.Pull(hosts)
		defer stop()
		r.pull = pull
		if err != nil {
			r.finish(func(h shoal.Host) error { return invalid(h, err) })
			return
		}
		r.run(do)
	}
}

// checkLines reports a host for which the check has no line.
func (p Plan) checkLines(hosts []shoal.Host) error {
	if p.Check.For == nil {
		return nil
	}
	for _, h := range hosts {
		if _, err := p.Check.For(h); err != nil {
			return fmt.Errorf("rollout: check: host %s: %w", h.Name, err)
		}
	}
	return nil
}

// run works on all batches.
func (r *rollout[T]) run(do work[T]) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	r.cancel = cancel
	defer context.AfterFunc(ctx, r.gate.stop)()
	if b, ok := r.next(); !ok || !r.begin(b) {
		return
	}
	if !r.watch(do(ctx, r.gate.hosts)) {
		return
	}
	if r.open && !r.endBatch() { // it was stopped half-way
		return
	}
	if b, ok := r.reason.(*BudgetError); ok {
		b.Failed = r.done.Failed
	}
	if r.reason != nil && !r.event(Event[T]{Stopped: r.reason}) {
		return
	}
	r.finish(func(h shoal.Host) error { return notRun(h, cmp.Or(r.reason, context.Cause(r.ctx))) })
}

// watch passes on what happens, and begins batches. It returns false where the
// caller has left.
func (r *rollout[T]) watch(events iter.Seq[Event[T]]) bool {
	for e := range events {
		if !r.guarded(e) {
			return false
		}
	}
	return true
}

// guarded is handle with the gate shut at the end of it all, even by a panic of
// the caller, so that the run, which waits for the gate, can end.
func (r *rollout[T]) guarded(e Event[T]) (more bool) {
	defer func() {
		if !more {
			r.gate.stop()
		}
	}()
	return r.handle(e)
}

func (r *rollout[T]) handle(e Event[T]) bool {
	if e.Result == nil {
		return r.yield(e)
	}
	r.came++
	if !r.take(e) {
		return false
	}
	r.gate.ended()
	if r.came < len(r.batch.Hosts) {
		return true
	}
	return r.endBatch() && r.advance()
}

// take takes a host's result. Where it is well and a check is to come it is
// held until then.
func (r *rollout[T]) take(e Event[T]) bool {
	if e.Result.Err == nil && r.plan.checks() {
		r.held = append(r.held, *e.Result)
		return true
	}
	r.count(e.Result.Host, e.Result.Err)
	return r.yield(e)
}

// count takes a host's end into account.
func (r *rollout[T]) count(h shoal.Host, err error) {
	switch {
	case err == nil:
		r.done.OK++
		r.batch.OK++
		return
	case errors.Is(err, shoal.ErrNotRun):
		return
	}
	r.done.Failed++
	r.batch.Failed++
	if r.reason == nil && r.ctx.Err() == nil {
		r.judge(h, err)
	}
}

// judge decides whether the failure of a host stops the rollout.
func (r *rollout[T]) judge(h shoal.Host, err error) {
	check, ofCheck := err.(*CheckError)
	switch p := r.plan; {
	case p.FailFast:
		r.stop(&FirstFailureError{h.Name, err})
		r.cancel(r.reason)
	case ofCheck && check.Host == "":
		r.stop(check)
	case r.batch.Canary:
		r.stop(&CanaryError{h.Name, err})
	case p.MaxFail != nil && r.done.Failed > p.MaxFail.Of(r.total):
		r.stop(&BudgetError{Allowed: p.MaxFail.Of(r.total), Hosts: max(r.total, 0)})
	case p.MaxFail == nil && ofCheck:
		r.stop(check)
	}
}

// stop lets no host begin any more.
func (r *rollout[T]) stop(reason error) {
	r.reason = reason
	r.gate.stop()
}

// endBatch checks what is to be checked and ends the batch.
func (r *rollout[T]) endBatch() bool {
	if r.plan.checks() && len(r.held) > 0 && !r.check() {
		return false
	}
	r.open, r.came = false, 0
	return r.event(Event[T]{Phase: Ends, Batch: r.batch})
}

// check checks the hosts that are well and passes their results on.
func (r *rollout[T]) check() bool {
	b := r.batch
	b.OK = len(r.held)
	if !r.event(Event[T]{Phase: Checks, Batch: b}) {
		return false
	}
	errs := r.checkHosts()
	if err := r.checkBatch(len(errs)); err != nil {
		e := &CheckError{Batch: r.batch, Err: err}
		for i := range r.held {
			errs[i] = cmp.Or[error](errs[i], e)
		}
	}
	held := r.held
	r.held = nil
	for i := range held {
		held[i].Err = errs[i]
		r.count(held[i].Host, errs[i])
		if !r.event(Event[T]{Result: &held[i]}) {
			return false
		}
	}
	return true
}

// checkHosts runs the check and returns the errors, by the place in held.
func (r *rollout[T]) checkHosts() map[int]error {
	errs := make(map[int]error)
	if !r.plan.checksHosts() {
		return errs
	}
	hosts := make([]shoal.Host, len(r.held))
	first := r.pulled - len(r.batch.Hosts)
	for i, res := range r.held {
		hosts[i] = r.batch.Hosts[res.Index-first]
	}
	for res := range r.client.Run(r.ctx, slices.Values(hosts), r.plan.Check) {
		err := res.Err
		if errors.Is(err, shoal.ErrNotRun) { // but the command was
			err = cmp.Or(context.Cause(r.ctx), err)
		}
		if err != nil {
			errs[res.Index] = &CheckError{Batch: r.batch, Host: res.Host.Name, Output: res.Value, Err: err}
		}
	}
	return errs
}

// checkBatch asks about the batch, on which so many hosts did not pass the check.
func (r *rollout[T]) checkBatch(failed int) error {
	if r.plan.CheckBatch == nil {
		return nil
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	b := r.batch
	b.OK, b.Failed = len(r.held)-failed, b.Failed+failed
	return r.plan.CheckBatch(r.ctx, b)
}

// advance goes on to the next batch, if there is one.
func (r *rollout[T]) advance() bool {
	if r.reason != nil || r.ctx.Err() != nil {
		return true
	}
	b, ok := r.next()
	if !ok {
		r.gate.stop()
		return true
	}
	return r.pause(b) && r.confirm(b) && r.begin(b)
}

func (r *rollout[T]) pause(b Batch) bool {
	if r.plan.Pause == 0 {
		return true
	}
	if !r.event(Event[T]{Phase: Pauses, Batch: b}) {
		return false
	}
	t := time.NewTimer(r.plan.Pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
	return true
}

func (r *rollout[T]) confirm(b Batch) bool {
	if r.plan.Confirm == nil || r.ctx.Err() != nil {
		return true
	}
	sofar := r.done
	sofar.Left = -1
	if r.total >= 0 {
		sofar.Left = r.total - r.done.OK - r.done.Failed
	}
	if ok, err := r.plan.Confirm(r.ctx, b, sofar); !ok || err != nil {
		if r.ctx.Err() == nil {
			r.stop(&DeclinedError{b, err})
		}
	}
	return true
}

// begin begins a batch, unless the rollout was stopped.
func (r *rollout[T]) begin(b Batch) bool {
	r.waiting = b.Hosts
	if r.reason != nil || r.ctx.Err() != nil {
		return true
	}
	r.batch, r.open, r.waiting = b, true, nil
	if !r.event(Event[T]{Phase: Begins, Batch: b}) {
		return false
	}
	r.gate.add(b.Hosts)
	return true
}

// next pulls the hosts of the next batch.
func (r *rollout[T]) next() (b Batch, ok bool) {
	n := r.plan.size(r.begun, r.total)
	for len(b.Hosts) < n {
		h, ok := r.pull()
		if !ok {
			break
		}
		b.Hosts = append(b.Hosts, h)
	}
	if len(b.Hosts) == 0 {
		return b, false
	}
	r.pulled += len(b.Hosts)
	b.Canary = r.begun == 0 && r.plan.Canary > 0
	r.begun++
	b.Number = r.begun
	if r.total >= 0 {
		b.Of = len(r.plan.Sizes(r.total))
	}
	return b, true
}

// finish yields the results of all hosts that were not begun.
func (r *rollout[T]) finish(why func(shoal.Host) error) {
	left := slices.Concat(r.gate.rest(), r.waiting)
	index := r.pulled - len(left)
	for {
		var h shoal.Host
		if len(left) > 0 {
			h, left = left[0], left[1:]
		} else {
			var ok bool
			if h, ok = r.pull(); !ok {
				return
			}
		}
		res := shoal.Result[T]{Host: h, Index: index, Began: time.Now(), Err: why(h)}
		if o, ok := any(&res.Value).(*shoal.Output); ok {
			o.Code = -1
		}
		index++
		if !r.event(Event[T]{Result: &res}) {
			return
		}
	}
}

func (r *rollout[T]) event(e Event[T]) bool {
	e.At = time.Now()
	return r.yield(e)
}
