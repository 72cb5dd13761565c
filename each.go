package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Result is one host's outcome.
type Result[T any] struct {
	// Host is the host as it came from the sequence, with all its settings
	// where it got as far.
	Host Host
	// Index is the host's place in the sequence, from 0.
	Index int
	// Value is what was asked for; of use also where Err is not nil, as far
	// as it says.
	Value T
	// Err is nil where all went well.
	Err error
	// Began is when work on the host began, Took how long it took.
	Began time.Time
	Took  time.Duration
	// Timings says how long the stages took.
	Timings Timings
	// AuthMethod is how the server was logged in to: see [Conn.AuthMethod].
	AuthMethod string
}

// Each connects to every host, at most [Client.Limit] at a time, calls do, and
// yields exactly one Result a host as it comes. Leaving the loop cancels the
// rest and waits for it; no goroutine is left. After the end of the context
// every host still gets its Result, with [ErrNotRun] where nothing was begun.
// A panic in do becomes the host's error.
//
// hosts is ranged over in a goroutine of its own, as slots fall free and the
// caller takes results. The Conn is do's while it runs.
func Each[T any](ctx context.Context, c *Client, hosts iter.Seq[Host], do func(context.Context, *Conn) (T, error)) iter.Seq[Result[T]] {
	return each(ctx, c, hosts, func(ctx context.Context, conn *Conn, _ int) (T, error) { return do(ctx, conn) })
}

func each[T any](ctx context.Context, c *Client, hosts iter.Seq[Host], do func(context.Context, *Conn, int) (T, error)) iter.Seq[Result[T]] {
	return eachHost(ctx, c, hosts, func(ctx context.Context, res *Result[T]) {
		conn, timings, err := c.connect(ctx, res.Host)
		res.Timings = timings
		if err != nil {
			res.Err = err
			return
		}
		defer conn.Close()
		res.Host, res.AuthMethod = conn.host, conn.AuthMethod()
		res.Value, res.Err = do(ctx, conn, res.Index)
		if o, ok := any(res.Value).(Output); ok {
			res.Timings.Start, res.Timings.Run = o.Start, o.Run
		}
	})
}

// eachHost is Each for work that connects in its own way and fills the Result.
func eachHost[T any](ctx context.Context, c *Client, hosts iter.Seq[Host], do func(context.Context, *Result[T])) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		c.setup()
		r := &run[T]{client: c, do: do, results: make(chan Result[T]), gone: make(chan struct{})}
		// The caller's leaving and the work's cancellation are two things:
		// results go on coming after a cancellation.
		work, cancel := context.WithCancelCause(ctx)
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			r.feed(work, hosts)
		}()
		defer func() {
			cancel(errLeft)
			<-finished
			if r.panicked != nil {
				panic(r.panicked)
			}
		}()
		defer close(r.gone)
		for res := range r.results {
			if !yield(res) {
				return
			}
		}
	}
}

var errLeft = fmt.Errorf("the loop over the results was left: %w", context.Canceled)

// run is one call of eachHost.
type run[T any] struct {
	client   *Client
	do       func(context.Context, *Result[T])
	results  chan Result[T]
	gone     chan struct{} // closed when nobody takes results
	panicked any           // of the host sequence
}

// feed starts the work on each host and closes results when all is done.
func (r *run[T]) feed(ctx context.Context, hosts iter.Seq[Host]) {
	var wg sync.WaitGroup
	defer close(r.results)
	defer wg.Wait()
	defer func() { r.panicked = recover() }()
	limit := max(min(orDefault(r.client.Limit, DefaultLimit), hostsByOpenFiles()), 1)
	slots := make(chan struct{}, limit)
	room := make(chan struct{}, 2*limit) // at work, or done and not yet taken
	index := -1
	for h := range hosts {
		index++
		i := index
		select {
		case <-r.gone:
			return
		default:
		}
		if take(ctx, room) != nil || take(ctx, slots) != nil {
			if !r.send(notRun[T](ctx, h, i)) {
				return
			}
			continue
		}
		wg.Go(func() {
			res := unfinished[T](h, i)
			defer func() {
				<-slots
				r.send(res)
				<-room
			}()
			r.one(ctx, &res)
		})
	}
}

const maxOpenFiles = 1 << 30

// hostsByOpenFiles returns how many hosts the limit of open files has room for:
// a connection each and a file for output that does not fit in memory, besides
// what the program has open itself.
func hostsByOpenFiles() int { return (openFiles() - 32) / 2 }

func (r *run[T]) send(res Result[T]) bool {
	res.Host.line = nil // of this run, and not of another one of the same host
	select {
	case r.results <- res:
		return true
	case <-r.gone:
		return false
	}
}

// unfinished is a host's result until there is another.
func unfinished[T any](h Host, i int) Result[T] {
	res := Result[T]{Host: h, Index: i, Began: time.Now(), Err: internalError(h, "the function ended its goroutine")}
	if o, ok := any(&res.Value).(*Output); ok {
		o.Code = -1
	}
	return res
}

func notRun[T any](ctx context.Context, h Host, i int) Result[T] {
	res := unfinished[T](h, i)
	res.Err = &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindNotRun, Err: context.Cause(ctx)}
	return res
}

func internalError(h Host, format string, args ...any) *HostError {
	return &HostError{Host: h.Name, Stage: StageRun, Kind: KindInternal, Err: fmt.Errorf(format, args...)}
}

func (r *run[T]) one(ctx context.Context, res *Result[T]) {
	h := res.Host
	defer func() {
		if v := recover(); v != nil {
			res.Err = internalError(h, "panic: %v\n%s", v, debug.Stack())
		}
		res.Took = time.Since(res.Began)
	}()
	if ctx.Err() != nil {
		res.Err = notRun[T](ctx, h, res.Index).Err
		return
	}
	if h.line != nil && h.line.err != nil {
		res.Err = lineError(h, h.line.err)
		return
	}
	r.do(ctx, res)
}

// Gather takes all results and returns them in the order of the hosts, and the
// errors joined, in that order too.
func Gather[T any](results iter.Seq[Result[T]]) ([]Result[T], error) {
	all := slices.SortedFunc(results, func(a, b Result[T]) int { return cmp.Compare(a.Index, b.Index) })
	var errs []error
	for _, r := range all {
		if r.Err == nil {
			continue
		}
		if _, ok := errors.AsType[*HostError](r.Err); ok {
			errs = append(errs, r.Err)
		} else {
			errs = append(errs, fmt.Errorf("%s: %w", r.Host.Name, r.Err))
		}
	}
	return all, errors.Join(errs...)
}
