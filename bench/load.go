package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// loadWorkloads say whether many hosts, bad ones among them, are dealt with as
// they should be; there is nothing to compare that with.
func loadWorkloads(o *options) []*workload {
	alone := func(run func(*target) (sample, error)) []contender { return []contender{{name: nameShoal, run: run}} }
	all := []*workload{
		{
			name:       "load-bad",
			about:      "1,000 hosts, 300 of which stall, lie or break off in twenty ways and 100 are busy at first: how many hosts ended as they should, and the time against the longest that one of them may take",
			fleet:      fleetSpec{Hosts: 1000, Mixed: true},
			columns:    []string{columnRight, columnWall, columnRatio, columnPeak},
			contenders: alone(badFleet),
		},
		{
			name:       "load-startups",
			about:      "200 hosts at one real sshd with MaxStartups 10:30:100, all at once and each with a connection of its own",
			fleet:      fleetSpec{Hosts: 1, OpenSSH: true},
			columns:    []string{columnRight, columnTries, columnWall},
			contenders: alone(startups),
		},
		{
			name:       "load-slow",
			about:      "10 MiB of lines from each of 200 hosts, read at 50 MiB/s",
			fleet:      fleetSpec{Hosts: 200},
			columns:    []string{columnRight, columnRate, columnPeak},
			contenders: alone(slowReader),
		},
		{
			name:       "load-cancel",
			about:      "1,000 hosts at work on commands that never end: the time from the end of the context to the end of the loop, and what is left then",
			fleet:      fleetSpec{Hosts: 1000},
			columns:    []string{columnRight, columnWall, columnLeft},
			contenders: alone(cancelStorm),
		},
	}
	if o.soak > 0 {
		all = append(all, &workload{
			name:       "load-soak",
			about:      fmt.Sprintf("50 hosts with random faults, runs that are left at random, for %v: what grows", o.soak),
			fleet:      fleetSpec{Hosts: 50, Mixed: true},
			columns:    []string{columnRuns, columnLeft, columnGrowth},
			contenders: alone(func(t *target) (sample, error) { return t.soak(t.task.Soak) }),
		})
	}
	return all
}

// mixedFaults are the faults of a mixed fleet and the kinds of errors that they
// are to be.
var mixedFaults = []struct {
	fault sshtest.FaultKind
	kind  shoal.Kind
}{
	{sshtest.TCPSilent, shoal.KindTimeout},
	{sshtest.BannerSilent, shoal.KindTimeout},
	{sshtest.BannerSlow, shoal.KindTimeout},
	{sshtest.KexInitSilent, shoal.KindTimeout},
	{sshtest.NewKeysSilent, shoal.KindTimeout},
	{sshtest.ServiceSilent, shoal.KindTimeout},
	{sshtest.AuthSilent, shoal.KindTimeout},
	{sshtest.AuthSilentKey, shoal.KindTimeout},
	{sshtest.AfterAuthSilent, shoal.KindTimeout},
	{sshtest.AfterAuthFreeze, shoal.KindTimeout},
	{sshtest.ChanOpenSilent, shoal.KindTimeout},
	{sshtest.ExecSilent, shoal.KindTimeout},
	{sshtest.ExecHang, shoal.KindTimeout},
	{sshtest.ExecFreezeMid, shoal.KindTimeout},
	{sshtest.RekeySilent, shoal.KindTimeout},
	{sshtest.BannerHTTP, shoal.KindNotSSH},
	{sshtest.KexBadSig, shoal.KindProtocol},
	{sshtest.AuthFailAll, shoal.KindAuthFailed},
	{sshtest.ExecResetMid, shoal.KindLost},
	{sshtest.ExecStatusReset, shoal.KindLost},
}

// mixedFault is the fault of a host of a mixed fleet: six of ten are healthy,
// one is busy at first, three are faulty.
func mixedFault(host int) sshtest.Fault {
	switch host % 10 {
	case 7, 8, 9:
		return sshtest.Fault{Kind: mixedFaults[host/10%len(mixedFaults)].fault}
	case 6:
		return sshtest.Fault{Kind: sshtest.Throttled, Times: 2}
	}
	return sshtest.Fault{}
}

// mixedKind is the kind of error that a host of a mixed fleet is to end with;
// empty means success.
func mixedKind(host int) shoal.Kind {
	if host%10 < 7 {
		return ""
	}
	return mixedFaults[host/10%len(mixedFaults)].kind
}

func badFleet(t *target) (sample, error) {
	const limit = 20 * time.Second // of a command; a login takes no longer in this workload
	client := t.client()
	client.Limit = len(t.addrs)
	client.Host.Timeout = 15 * time.Second
	defer client.Close()
	right, wrong := 0, map[string]int{}
	c, err := t.cost(func() error {
		for r := range client.Run(t.ctx, hosts(t.addrs), shoal.Command{Line: greeting, Timeout: limit}) {
			he, _ := errors.AsType[*shoal.HostError](r.Err)
			if want := mixedKind(r.Index); r.Err == nil && want == "" || he != nil && he.Kind == want {
				right++
			} else {
				wrong[fmt.Sprintf("host %d: %v, want %q", r.Index, r.Err, want)]++
			}
		}
		return nil
	})
	for what := range wrong {
		fmt.Println(what)
		break
	}
	return sample{columnRight: float64(right), columnWall: c.wall.Seconds(),
		columnRatio: c.wall.Seconds() / (limit + 15*time.Second).Seconds(), columnPeak: mebibytes(peakMemory())}, err
}

func startups(t *target) (sample, error) {
	const n = 200
	client := t.client()
	client.Limit, client.MaxIdle, client.PerAddress = n, -1, n
	var tries atomic.Int64
	client.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		tries.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	defer client.Close()
	right := 0
	began := time.Now()
	all := func(yield func(shoal.Host) bool) {
		for i := range n {
			// Other keys, another connection.
			h := shoal.Host{Name: fmt.Sprint("host", i), Addr: t.addrs[0], HostKeys: shoal.PinnedHostKeys(t.hostKey)}
			if !yield(h) {
				return
			}
		}
	}
	for r := range client.Run(t.ctx, all, shoal.Command{Line: "echo " + greeting}) {
		if r.Err == nil {
			right++
		}
	}
	return sample{columnRight: float64(right), columnTries: float64(tries.Load()) / n, columnWall: time.Since(began).Seconds()}, nil
}

func slowReader(t *target) (sample, error) {
	const perHost, rate = 10 << 20, 50 << 20
	client := t.client()
	client.Limit, client.MaxIdle = len(t.addrs), -1
	defer client.Close()
	right, read := 0, int64(0)
	began := time.Now()
	command := shoal.Command{Line: fmt.Sprint("lines ", perHost/lineSize)}
	for e := range client.Watch(t.ctx, hosts(t.addrs), command) {
		for _, l := range e.Lines {
			read += int64(len(l.Text)) + 1
		}
		if ahead := time.Duration(float64(read)/rate*float64(time.Second)) - time.Since(began); ahead > 0 {
			time.Sleep(ahead)
		}
		if e.Result != nil && e.Result.Err == nil && e.Result.Value.OutBytes == perHost {
			right++
		}
	}
	if want := int64(perHost) * int64(len(t.addrs)); read != want {
		return nil, fmt.Errorf("read %d bytes, want %d", read, want)
	}
	return sample{columnRight: float64(right), columnRate: mebibytes(read) / time.Since(began).Seconds(), columnPeak: mebibytes(peakMemory())}, nil
}

func cancelStorm(t *target) (sample, error) {
	before := runtime.NumGoroutine()
	client := t.client()
	client.Limit, client.MaxIdle = len(t.addrs), -1
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var began time.Time
	right, running := 0, 0
	for e := range client.Watch(ctx, hosts(t.addrs), shoal.Command{Line: "echo begun; sleep 1000000"}) {
		running += len(e.Lines)
		if len(e.Lines) > 0 && running == len(t.addrs) {
			began = time.Now()
			cancel()
		}
		if he, ok := errorsAsHost(e.Result); ok && he.Kind == shoal.KindCancelled {
			right++
		}
	}
	wall := time.Since(began)
	err := client.Close()
	runtime.Gosched()
	return sample{columnRight: float64(right), columnWall: wall.Seconds(), columnLeft: float64(runtime.NumGoroutine() - before)}, err
}

func errorsAsHost(r *shoal.Result[shoal.Output]) (*shoal.HostError, bool) {
	if r == nil {
		return nil, false
	}
	return errors.AsType[*shoal.HostError](r.Err)
}

// soak runs commands on a bad fleet, leaving at random, and looks at what is
// left after each run.
func (t *target) soak(d time.Duration) (sample, error) {
	random := rand.New(rand.NewPCG(1, 2))
	base, first, most := runtime.NumGoroutine(), int64(0), 0
	began, runs := time.Now(), 0
	var warm time.Time
	for time.Since(began) < d {
		client := t.client()
		client.Host.Timeout = time.Second
		ctx, cancel := context.WithTimeout(t.ctx, time.Duration(random.Int64N(int64(3*time.Second))))
		for r := range client.Run(ctx, hosts(t.addrs), shoal.Command{Line: greeting, Timeout: time.Second, KillAfter: -1}) {
			if r.Err == nil && mixedKind(r.Index) != "" {
				cancel()
				return nil, fmt.Errorf("host %d succeeded, which it cannot", r.Index)
			}
			if random.IntN(200) == 0 {
				break
			}
		}
		cancel()
		if err := client.Close(); err != nil {
			return nil, err
		}
		runs++
		most = max(most, runtime.NumGoroutine()-base)
		if warm.IsZero() && time.Since(began) > d/6 {
			warm, first = time.Now(), occupied().resident
		}
	}
	grown := mebibytes(occupied().resident-first) / time.Since(warm).Minutes()
	return sample{columnRuns: float64(runs), columnLeft: float64(most), columnGrowth: grown}, nil
}
