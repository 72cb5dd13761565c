package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// workload is something to be done with a fleet, by several contenders.
type workload struct {
	name       string
	about      string
	fleet      fleetSpec
	columns    []string
	contenders []contender // the first is what the others are held against
}

// contender is one way to do it.
type contender struct {
	name string
	run  func(*target) (sample, error) // in a process of its own
	// program measures another program, from the driver.
	program func(context.Context, *fleet) (sample, error)
}

// fileName is the contender's name as part of a file's.
func (c contender) fileName() string {
	return strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(c.name)
}

func (w *workload) names() []string {
	var names []string
	for _, c := range w.contenders {
		names = append(names, c.name)
	}
	return names
}

// Columns of the tables.
const (
	columnHost       = "CPU ms/host"
	columnCommand    = "CPU ms/command"
	columnMiB        = "CPU ms/MiB"
	columnWall       = "wall s"
	columnPeak       = "peak MiB"
	columnProcess    = "process CPU ms/host"
	columnRate       = "MiB/s"
	columnGoroutines = "goroutines/conn"
	columnResident   = "resident KiB/conn"
	columnHeap       = "heap+stack KiB/conn"
	columnNew        = "round trips, new"
	columnOpen       = "round trips, open"
	columnOne        = "s, 1 host"
	columnAll        = "s, all hosts"
	columnHealthy    = "s, healthy alone"
	columnBeside     = "s, beside stalled"
	columnRatio      = "ratio"
	columnUp         = "s, up"
	columnDown       = "s, down"
	columnRight      = "hosts right"
	columnTries      = "attempts/host"
	columnLeft       = "goroutines left"
	columnRuns       = "runs"
	columnGrowth     = "MiB/minute"

	columnCount = "count" // of hosts; not shown
)

// Names of the contenders that every workload has.
const (
	nameShoal = "shoal"
	nameBare  = "x/crypto"
)

// workloads lists everything there is to measure.
func workloads(o *options) []*workload {
	var all []*workload
	for _, n := range []int{1, 100, 1000, 10_000} {
		if n <= o.hosts {
			all = append(all, connectWorkload(n))
		}
	}
	all = append(all,
		commandsWorkload(),
		idleWorkload(min(1000, o.hosts)),
		tripsWorkload(o),
		delayWorkload(),
		streamWorkload(),
		linesWorkload(min(1000, o.hosts)),
		stalledWorkload("stalled-login", "tcp-silent", min(1000, o.hosts)),
		stalledWorkload("stalled-command", "exec-hang", min(1000, o.hosts)),
		knownHostsWorkload(o.hosts),
	)
	all = append(all, bastionWorkload(o, min(200, o.hosts)))
	all = append(all, copyWorkloads(o)...)
	all = append(all, loadWorkloads(o)...)
	if o.peers {
		all = append(all, peerWorkloads(o)...)
	}
	return all
}

// results are a contender's samples, one a turn.
type results map[string][]sample

// measure lets the contenders take turns at a fresh fleet.
func (w *workload) measure(ctx context.Context, o *options) (_ results, err error) {
	dir, err := os.MkdirTemp("", "shoal-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := startFleet(ctx, w.fleet, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	f.python = o.python
	all := results{}
	for n := range o.repeat {
		for _, c := range w.contenders {
			s, err := w.turn(ctx, o, c, f, n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			all[c.name] = append(all[c.name], s)
		}
	}
	return all, nil
}
