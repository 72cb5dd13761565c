package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// stalledWorkload has one host in ten do nothing.
func stalledWorkload(name string, fault sshtest.FaultKind, n int) *workload {
	what := "accepts connections and says nothing"
	if fault == sshtest.ExecHang {
		what = "starts commands that never end"
	}
	return &workload{
		name:    name,
		about:   fmt.Sprintf("one host in ten of %d %s: time until the last healthy host is done, with only the healthy hosts and with all; x/crypto 100 at once, Shoal 100 key exchanges at once", n, what),
		fleet:   fleetSpec{Hosts: n, Every: 10, Fault: fault},
		columns: []string{columnHealthy, columnBeside, columnRatio},
		contenders: []contender{
			{name: nameBare, run: func(t *target) (sample, error) { return t.stalled(t.bareUntil) }},
			{name: nameShoal, run: func(t *target) (sample, error) { return t.stalled(t.shoalUntil) }},
		},
	}
}

// stalled compares the two runs. until returns the time until so many hosts
// were done.
func (t *target) stalled(until func(addrs []string, healthy int) (time.Duration, error)) (sample, error) {
	healthy := t.task.Info.healthy()
	alone, err1 := until(healthy, len(healthy))
	beside, err2 := until(t.addrs, len(healthy))
	return sample{columnHealthy: alone.Seconds(), columnBeside: beside.Seconds(),
		columnRatio: float64(beside) / float64(alone)}, errors.Join(err1, err2)
}

func (t *target) shoalUntil(addrs []string, healthy int) (time.Duration, error) {
	client := t.client()
	// A place among the hosts at work costs one that waits next to nothing, and
	// key exchanges have a bound of their own.
	client.Limit = len(t.addrs)
	defer client.Close()
	ctx, cancel := context.WithCancel(t.ctx)
	began := time.Now()
	done := make(chan error, len(addrs))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // cuts off what has stalled
	wg.Go(func() {
		for r := range client.Run(ctx, hosts(addrs), shoal.Command{Line: greeting, KillAfter: -1}) {
			done <- r.Err
		}
	})
	return await(began, done, healthy)
}

// bareUntil leaves its stalled connections to the process's end.
func (t *target) bareUntil(addrs []string, healthy int) (time.Duration, error) {
	config := t.config()
	began := time.Now()
	done := make(chan error, len(addrs))
	go bareEach(addrs, 100, func(addr string) error {
		done <- bareRun(config, addr, greeting)
		return nil
	})
	return await(began, done, healthy)
}

// stalledLimit is how long healthy hosts may take.
const stalledLimit = time.Minute

func await(began time.Time, done <-chan error, n int) (time.Duration, error) {
	limit := time.After(stalledLimit)
	for got := 0; got < n; {
		select {
		case err := <-done:
			if err == nil {
				got++
			}
		case <-limit:
			return 0, fmt.Errorf("%d of %d healthy hosts were done after %v", got, n, stalledLimit)
		}
	}
	return time.Since(began), nil
}
