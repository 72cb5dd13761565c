package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/rollout"
	"github.com/shoal-ssh/shoal/sshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is hosts h0, h1 and so on that note what is run on them. The command
// "do" fails on bad hosts, and "check" on ill ones.
type fleet struct {
	client *shoal.Client
	hosts  []shoal.Host

	mu  sync.Mutex
	ran []string // "h0 do"
}

func newFleet(t *testing.T, hosts int, bad, ill []int) *fleet {
	t.Helper()
	f := &fleet{}
	s := sshtest.New(t, sshtest.Config{
		Hosts: hosts, InMemory: true,
		Name: func(i int) string { return fmt.Sprintf("h%d", i) },
		Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
			f.mu.Lock()
			f.ran = append(f.ran, s.Host.Name+" "+s.Command)
			f.mu.Unlock()
			switch {
			case s.Command == "do" && slices.Contains(bad, s.Host.Index):
				return sshtest.ExitStatus{Code: 1}
			case s.Command == "check" && slices.Contains(ill, s.Host.Index):
				fmt.Fprintln(s.Stderr, "not well")
				return sshtest.ExitStatus{Code: 7}
			case s.Command == "do", s.Command == "check":
				return sshtest.ExitStatus{}
			}
			return sshtest.Builtin(ctx, s)
		},
	})
	f.client = &shoal.Client{Limit: 1, Dial: s.Dial, Host: shoal.Host{
		User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(s.ClientSigner())},
	}}
	t.Cleanup(func() { f.client.Close() })
	for _, h := range s.Hosts() {
		f.hosts = append(f.hosts, shoal.Host{Name: h.Name, Addr: h.Addr, HostKeys: shoal.PinnedHostKeys(h.HostKey)})
	}
	return f
}

func (f *fleet) all() iter.Seq[shoal.Host] { return slices.Values(f.hosts) }

// story is what a rollout of the command came to, in words.
func (f *fleet) story(t *testing.T, p rollout.Plan, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return tell(t, len(f.hosts), p.Watch(ctx, f.client, f.all(), shoal.Command{Line: line}))
}

// tell puts events into words, and sees that each host has one result.
func tell(t *testing.T, hosts int, events iter.Seq[rollout.Event[shoal.Output]]) string {
	t.Helper()
	var told []string
	seen := make(map[int]bool)
	for e := range events {
		switch {
		case e.Phase != "":
			told = append(told, fmt.Sprintf("%s %v: %d", e.Phase, e.Batch, len(e.Batch.Hosts)))
			if e.Phase == rollout.Ends {
				told[len(told)-1] += fmt.Sprintf(", %d ok, %d failed", e.Batch.OK, e.Batch.Failed)
			}
		case e.Stopped != nil:
			told = append(told, e.Stopped.Error())
		case e.Result != nil:
			r := e.Result
			if want := fmt.Sprintf("h%d", r.Index); seen[r.Index] || r.Host.Name != want {
				t.Errorf("host %s has index %d, seen before: %v", r.Host.Name, r.Index, seen[r.Index])
			}
			seen[r.Index] = true
			told = append(told, r.Host.Name+" "+outcome(r.Err))
		}
		if e.At.IsZero() {
			t.Error("an event has no time")
		}
	}
	if len(seen) != hosts {
		t.Errorf("%d of %d hosts have a result", len(seen), hosts)
	}
	return strings.Join(told, "\n") + "\n"
}

func outcome(err error) string {
	if errors.Is(err, shoal.ErrNotRun) {
		return "not run"
	}
	if err != nil {
		return "failed: " + err.Error()
	}
	return "ok"
}

func TestStories(t *testing.T) {
	two := []rollout.Size{{Hosts: 2}}
	for _, c := range []struct {
		name     string
		plan     rollout.Plan
		hosts    int
		bad, ill []int
		want     string
	}{
		{"zero plan", rollout.Plan{}, 3, []int{1}, nil, `
begin batch 1 of 1: 3
h0 ok
h1 failed: exit status 1
h2 ok
end batch 1 of 1: 3, 2 ok, 1 failed
`},
		{"batches", rollout.Plan{Canary: 1, Batches: two}, 4, nil, nil, `
begin canary: 1
h0 ok
end canary: 1, 1 ok, 0 failed
begin batch 2: 2
h1 ok
h2 ok
end batch 2: 2, 2 ok, 0 failed
begin batch 3: 1
h3 ok
end batch 3: 1, 1 ok, 0 failed
`},
		{"a canary that fails", rollout.Plan{Canary: 2, Batches: two, MaxFail: &rollout.Size{Hosts: 3}}, 4, []int{0}, nil, `
begin canary: 2
h0 failed: exit status 1
end canary: 2, 0 ok, 1 failed
stopped: the canary failed: h0: exit status 1
h1 not run
h2 not run
h3 not run
`},
		{"a budget over all batches", rollout.Plan{Batches: two, MaxFail: &rollout.Size{Hosts: 1}}, 7, []int{0, 4}, nil, `
begin batch 1: 2
h0 failed: exit status 1
h1 ok
end batch 1: 2, 1 ok, 1 failed
begin batch 2: 2
h2 ok
h3 ok
end batch 2: 2, 2 ok, 0 failed
begin batch 3: 2
h4 failed: exit status 1
end batch 3: 2, 0 ok, 1 failed
stopped: 2 failed, 1 may
h5 not run
h6 not run
`},
		{"a budget of nothing", rollout.Plan{MaxFail: &rollout.Size{}}, 3, []int{1}, nil, `
begin batch 1 of 1: 3
h0 ok
h1 failed: exit status 1
end batch 1 of 1: 3, 1 ok, 1 failed
stopped: 1 failed, 0 may
h2 not run
`},
		{"a budget in percent", rollout.Plan{MaxFail: &rollout.Size{Percent: 40}}, 5, []int{0, 1}, nil, `
begin batch 1 of 1: 5
h0 failed: exit status 1
h1 failed: exit status 1
h2 ok
h3 ok
h4 ok
end batch 1 of 1: 5, 3 ok, 2 failed
`},
		{"a budget that the last host breaks", rollout.Plan{MaxFail: &rollout.Size{}}, 1, []int{0}, nil, `
begin batch 1 of 1: 1
h0 failed: exit status 1
end batch 1 of 1: 1, 0 ok, 1 failed
stopped: 1 failed, 0 may
`},
		{"the first failure", rollout.Plan{FailFast: true}, 3, []int{1}, nil, `
begin batch 1 of 1: 3
h0 ok
h1 failed: exit status 1
end batch 1 of 1: 3, 1 ok, 1 failed
stopped at the first failure: h1: exit status 1
h2 not run
`},
		{"a check that fails", rollout.Plan{Batches: two, Check: shoal.Command{Line: "check"}}, 4, []int{0}, []int{0, 1}, `
begin batch 1: 2
h0 failed: exit status 1
check batch 1: 2
h1 failed: check failed: h1: exit status 7
end batch 1: 2, 0 ok, 2 failed
check failed: h1: exit status 7
h2 not run
h3 not run
`},
		{"a check that fails within the budget", rollout.Plan{Batches: two, Check: shoal.Command{Line: "check"}, MaxFail: &rollout.Size{Hosts: 1}}, 4, []int{2}, []int{0}, `
begin batch 1: 2
check batch 1: 2
h0 failed: check failed: h0: exit status 7
h1 ok
end batch 1: 2, 1 ok, 1 failed
begin batch 2: 2
h2 failed: exit status 1
end batch 2: 2, 0 ok, 1 failed
stopped: 2 failed, 1 may
h3 not run
`},
		{"a canary that is not well", rollout.Plan{Canary: 1, Check: shoal.Command{Line: "check"}, MaxFail: &rollout.Size{Hosts: 9}}, 2, nil, []int{0}, `
begin canary: 1
check canary: 1
h0 failed: check failed: h0: exit status 7
end canary: 1, 0 ok, 1 failed
stopped: the canary failed: check failed: h0: exit status 7
h1 not run
`},
		{"a batch that is not well", rollout.Plan{Batches: two, MaxFail: &rollout.Size{Hosts: 9}, CheckBatch: func(_ context.Context, b rollout.Batch) error {
			if b.Number == 2 {
				return fmt.Errorf("%d ok and %d not", b.OK, b.Failed)
			}
			return nil
		}}, 6, []int{3}, nil, `
begin batch 1: 2
check batch 1: 2
h0 ok
h1 ok
end batch 1: 2, 2 ok, 0 failed
begin batch 2: 2
h3 failed: exit status 1
check batch 2: 2
h2 failed: the check of batch 2 failed: 1 ok and 1 not
end batch 2: 2, 0 ok, 2 failed
the check of batch 2 failed: 1 ok and 1 not
h4 not run
h5 not run
`},
		{"a total", rollout.Plan{Canary: 1, Batches: []rollout.Size{{Percent: 50}}, Total: 4}, 4, nil, nil, `
begin canary: 1
h0 ok
end canary: 1, 1 ok, 0 failed
begin batch 2 of 3: 2
h1 ok
h2 ok
end batch 2 of 3: 2, 2 ok, 0 failed
begin batch 3 of 3: 1
h3 ok
end batch 3 of 3: 1, 1 ok, 0 failed
`},
		{"no hosts", rollout.Plan{Canary: 1, Batches: two}, 0, nil, nil, "\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, max(1, c.hosts), c.bad, c.ill)
			f.hosts = f.hosts[:c.hosts]
			got := "\n" + f.story(t, c.plan, "do")
			if got != c.want {
				t.Errorf("got:%s\nwant:%s", got, c.want)
			}
		})
	}
}

// Nothing is run on a host that has the result that nothing was.
func TestNotRun(t *testing.T) {
	f := newFleet(t, 20, []int{3, 5}, nil)
	f.client.Limit = 4
	ctx := t.Context()
	ran := make(map[string]bool)
	stopped := 0
	for r := range (rollout.Plan{Batches: []rollout.Size{{Hosts: 7}}, MaxFail: &rollout.Size{Hosts: 1}}).Run(ctx, f.client, f.all(), shoal.Command{Line: "do"}) {
		ran[r.Host.Name+" do"] = !errors.Is(r.Err, shoal.ErrNotRun)
		if e, ok := errors.AsType[*rollout.BudgetError](r.Err); ok {
			stopped++
			if e.Failed != 2 || e.Allowed != 1 {
				t.Errorf("got %+v", e)
			}
			if r.Value.Code != -1 {
				t.Errorf("not run, with the code %d", r.Value.Code)
			}
		}
	}
	for _, name := range f.ran {
		if !ran[name] {
			t.Errorf("%s, which has another result", name)
		}
		delete(ran, name)
	}
	if stopped != 13 && stopped != 14 { // 1 of the first batch may have been begun or not
		t.Errorf("%d hosts were not run", stopped)
	}
	for name, did := range ran {
		if did {
			t.Errorf("%s did not", name)
		}
	}
}

// Hosts at work when the budget breaks finish; with FailFast they are ended.
func TestAtWork(t *testing.T) {
	for _, failFast := range []bool{false, true} {
		t.Run(fmt.Sprint("fail fast ", failFast), func(t *testing.T) {
			release := make(chan struct{})
			begun := make(chan struct{}, 1)
			s := sshtest.New(t, sshtest.Config{Hosts: 3, InMemory: true, Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
				if s.Host.Index == 1 {
					<-begun
					return sshtest.ExitStatus{Code: 1}
				}
				begun <- struct{}{}
				select {
				case <-release:
				case <-ctx.Done():
				case sig := <-s.Signals:
					return sshtest.ExitStatus{Signal: sig}
				}
				return sshtest.ExitStatus{}
			}})
			c := &shoal.Client{Limit: 2, Dial: s.Dial, Host: shoal.Host{
				User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(s.ClientSigner())},
			}}
			defer c.Close()
			var hosts []shoal.Host
			for _, h := range s.Hosts() {
				hosts = append(hosts, shoal.Host{Name: h.Name, Addr: h.Addr, HostKeys: shoal.PinnedHostKeys(h.HostKey)})
			}
			p := rollout.Plan{MaxFail: &rollout.Size{}, FailFast: failFast}
			errs := make([]error, 3)
			for r := range p.Run(t.Context(), c, slices.Values(hosts), shoal.Command{Line: "x"}) {
				errs[r.Index] = r.Err
				if r.Index == 1 && !failFast {
					close(release)
				}
			}
			if failFast && !errors.Is(errs[0], shoal.ErrCancelled) || !failFast && errs[0] != nil {
				t.Errorf("at work: %v", errs[0])
			}
			if _, ok := errors.AsType[*shoal.ExitError](errs[1]); !ok {
				t.Errorf("failed: %v", errs[1])
			}
			if !errors.Is(errs[2], shoal.ErrNotRun) {
				t.Errorf("not begun: %v", errs[2])
			}
			if _, ok := errors.AsType[*rollout.FirstFailureError](errs[2]); ok != failFast {
				t.Errorf("not begun: %v", errs[2])
			}
		})
	}
}

// The pause is between batches, and neither before the first nor after the last.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 5, nil, nil)
		p := rollout.Plan{Batches: []rollout.Size{{Hosts: 2}}, Pause: 20 * time.Second}
		var phases []string
		var last time.Time
		for e := range p.Watch(t.Context(), f.client, f.all(), shoal.Command{Line: "do"}) {
			if e.Phase == "" {
				continue
			}
			phases = append(phases, string(e.Phase))
			if got := e.At.Sub(last); len(phases) > 1 && phases[len(phases)-2] == "pause" && got != p.Pause {
				t.Errorf("paused for %v", got)
			}
			last = e.At
		}
		if got := strings.Join(phases, " "); got != "begin end pause begin end pause begin end" {
			t.Errorf("got %s", got)
		}
	})
}

// The end of the context ends a pause, and the hosts that remain are not run.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, nil, nil)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("too late"))
		defer cancel()
		p := rollout.Plan{Batches: []rollout.Size{{Hosts: 2}}, Pause: time.Hour}
		results, err := shoal.Gather(p.Run(ctx, f.client, f.all(), shoal.Command{Line: "do"}))
		if len(results) != 3 || err == nil || err.Error() != "h2: prepare: too late" || !errors.Is(err, shoal.ErrNotRun) {
			t.Errorf("got %v, %v", results, err)
		}
	})
}

func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		asked string
		want  string
	}{
		{"no", nil, "batch 2 2 ok 1 failed 3 left; batch 3 5 ok 1 failed 0 left; ", "stopped: batch 3 of 3 was declined"},
		{"error", errors.New("nobody there"), "batch 2 2 ok 1 failed 3 left; ", "stopped: batch 2 of 3 was not confirmed: nobody there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 6, []int{1}, nil)
			asked := ""
			p := rollout.Plan{Batches: []rollout.Size{{Percent: 50}, {Hosts: 2}}, Confirm: func(_ context.Context, next rollout.Batch, p rollout.Progress) (bool, error) {
				asked += fmt.Sprintf("batch %d %d ok %d failed %d left; ", next.Number, p.OK, p.Failed, p.Left)
				return next.Number == 2, c.err
			}}
			story := f.story(t, p, "do")
			if !strings.Contains(story, c.want+"\nh") || !strings.HasSuffix(story, "h5 not run\n") {
				t.Errorf("got\n%s\nwant %q in it", story, c.want)
			}
			if want := "batch 2 2 ok 1 failed 3 left; "; !strings.HasPrefix(asked, want) {
				t.Errorf("asked %q, want %q", asked, want)
			}
		})
	}
}

// The command's input goes to the hosts of all batches, and its lines are made
// for all hosts before any is run.
func TestCommand(t *testing.T) {
	f := newFleet(t, 4, nil, nil)
	p := rollout.Plan{Canary: 1, Batches: []rollout.Size{{Hosts: 2}}, Check: shoal.Command{Line: "check"}}
	made := 0
	cmd := shoal.Command{Stdin: strings.NewReader("input"), For: func(h shoal.Host) (string, error) {
		made++
		return "echo " + h.Name + "; cat", nil
	}}
	for r := range p.Run(t.Context(), f.client, f.all(), cmd) {
		if want := r.Host.Name + "\ninput"; r.Err != nil || string(r.Value.Stdout) != want || made != 4 {
			t.Errorf("got %q, %v, want %q; %d lines made", r.Value.Stdout, r.Err, want, made)
		}
	}
	if n := len(f.ran); n != 8 || !slices.Contains(f.ran, "h3 check") {
		t.Errorf("ran %q", f.ran)
	}
}

func TestNothingRuns(t *testing.T) {
	refuse := func(h shoal.Host) (string, error) {
		if h.Name == "h2" {
			return "", errors.New("no line")
		}
		return "do", nil
	}
	for _, c := range []struct {
		name string
		plan rollout.Plan
		cmd  shoal.Command
		want string
	}{
		{"command", rollout.Plan{Batches: []rollout.Size{{Hosts: 1}}}, shoal.Command{For: refuse}, "no line"},
		{"check", rollout.Plan{Batches: []rollout.Size{{Hosts: 1}}, Check: shoal.Command{For: refuse}}, shoal.Command{Line: "do"}, "rollout: check: host h2: no line"},
		{"canary", rollout.Plan{Canary: -1}, shoal.Command{Line: "do"}, "rollout: the canary has a negative"},
		{"batch", rollout.Plan{Batches: []rollout.Size{{}}}, shoal.Command{Line: "do"}, "rollout: a batch has no hosts"},
		{"negative batch", rollout.Plan{Batches: []rollout.Size{{Hosts: -1}}}, shoal.Command{Line: "do"}, "negative"},
		{"two sizes", rollout.Plan{Batches: []rollout.Size{{Hosts: 1, Percent: 1}}}, shoal.Command{Line: "do"}, "both"},
		{"total", rollout.Plan{Total: -1}, shoal.Command{Line: "do"}, "number of all hosts is negative"},
		{"pause", rollout.Plan{Pause: -1}, shoal.Command{Line: "do"}, "pause is negative"},
		{"budget", rollout.Plan{MaxFail: &rollout.Size{Percent: 101}}, shoal.Command{Line: "do"}, "101%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 3, nil, nil)
			results, _ := shoal.Gather(c.plan.Run(t.Context(), f.client, f.all(), c.cmd))
			for _, r := range results {
				if r.Err == nil || !strings.Contains(r.Err.Error(), c.want) {
					t.Errorf("%s: got %v, want %q in it", r.Host.Name, r.Err, c.want)
				}
			}
			if len(f.ran) > 0 || len(results) != 3 {
				t.Errorf("%d results, and this was run: %q", len(results), f.ran)
			}
		})
	}
}

// Leaving the loop ends all, at each event there is.
func TestLeave(t *testing.T) {
	f := newFleet(t, 4, []int{3}, nil)
	p := rollout.Plan{Canary: 1, Batches: []rollout.Size{{Hosts: 2}}, Pause: 1, Check: shoal.Command{Line: "check"}, MaxFail: &rollout.Size{}}
	for leaveAt := range 100 {
		n := 0
		for range p.Watch(t.Context(), f.client, f.all(), shoal.Command{Line: "do"}) {
			if n++; n > leaveAt {
				break
			}
		}
		if n <= leaveAt {
			if n < 10 {
				t.Errorf("only %d events", n)
			}
			return
		}
	}
	t.Error("there is no end of events")
}

// A panic in the loop goes through, and leaves nothing at work.
func TestPanic(t *testing.T) {
	f := newFleet(t, 4, nil, nil)
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("got %v", v)
		}
	}()
	for r := range (rollout.Plan{Batches: []rollout.Size{{Hosts: 2}}}).Run(t.Context(), f.client, f.all(), shoal.Command{Line: "do"}) {
		if r.Index == 1 {
			panic("mine")
		}
	}
}

// Batches of numbers alone are pulled from the sequence as they come.
func TestLazy(t *testing.T) {
	f := newFleet(t, 2, nil, nil)
	pulled := 0
	endless := func(yield func(shoal.Host) bool) {
		for i := 0; yield(f.hosts[i%2]); i++ {
			pulled++
		}
	}
	n := 0
	for r := range rollout.Each(t.Context(), rollout.Plan{Batches: []rollout.Size{{Hosts: 2}}}, f.client, endless, func(ctx context.Context, c *shoal.Conn) (string, error) {
		out, err := c.Run(ctx, shoal.Command{Line: "hostname"})
		return out.Text(), err
	}) {
		if r.Err != nil || r.Index/2 != n/2 {
			t.Errorf("got %d, %q, %v", r.Index, r.Value, r.Err)
		}
		if n++; n == 6 {
			break
		}
	}
	if pulled > 8 {
		t.Errorf("%d hosts were pulled for %d", pulled, n)
	}
}
