package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// sample holds the figures of one turn, by column.
type sample map[string]float64

// task is what the driver tells a contender's process.
type task struct {
	Workload, Contender string
	Hosts               int
	Info                fleetInfo
	Dir                 string
	Profile             string
	Soak                time.Duration
}

// turn runs a contender once, in a process of its own.
func (w *workload) turn(ctx context.Context, o *options, c contender, f *fleet, n int) (sample, error) {
	if c.program != nil {
		return c.program(ctx, f)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, measureCommand)
	cmd.Stderr = os.Stderr
	cmd.Dir = f.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	info := f.info
	info.KnownHosts = "" // it is in a file
	t := task{Workload: w.name, Contender: c.name, Hosts: o.hosts, Info: info, Dir: f.dir, Soak: o.soak}
	if o.profile != "" {
		t.Profile = filepath.Join(o.profile, fmt.Sprintf("%s.%s.%d", w.name, c.fileName(), n))
	}
	go func() { // ends with the process that reads, or does not
		json.NewEncoder(in).Encode(t)
		in.Close()
	}()
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	s := sample{}
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, err
	}
	if hosts, ok := s[columnCount]; ok {
		s[columnProcess] = milliseconds(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) / hosts
		delete(s, columnCount)
	}
	return s, nil
}

// measureOne is a contender's process.
func measureOne(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	for _, w := range workloads(&options{hosts: t.Hosts, peers: true, soak: t.Soak}) {
		for _, c := range w.contenders {
			if w.name != t.Workload || c.name != t.Contender {
				continue
			}
			target, err := newTarget(ctx, &t)
			if err != nil {
				return err
			}
			s, err := c.run(target)
			if err != nil {
				return err
			}
			return json.NewEncoder(out).Encode(s)
		}
	}
	return fmt.Errorf("no contender %s in workload %s", t.Contender, t.Workload)
}

// cost is what a piece of work took.
type cost struct{ cpu, wall time.Duration }

// cost does the work and takes the CPU time of this process meanwhile, and
// its profiles where they are wanted.
func (t *target) cost(work func() error) (cost, error) {
	if t.task.Profile != "" {
		stop, err := profile(t.task.Profile)
		if err != nil {
			return cost{}, err
		}
		defer stop()
	}
	cpu, began := cpuTime(), time.Now()
	err := work()
	return cost{cpuTime() - cpu, time.Since(began)}, err
}

// profile begins a CPU profile. stop ends it, and writes one of allocations.
func profile(name string) (stop func(), err error) {
	cpu, err1 := os.Create(name + ".cpu.prof")
	allocs, err2 := os.Create(name + ".allocs.prof")
	if err := errors.Join(err1, err2, pprof.StartCPUProfile(cpu)); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		pprof.Lookup("allocs").WriteTo(allocs, 0)
		cpu.Close()
		allocs.Close()
	}, nil
}

// per is the cost as a sample, shared among n hosts, commands or such.
func (c cost) per(column string, n int) sample {
	return sample{
		column:      milliseconds(c.cpu) / float64(n),
		columnWall:  c.wall.Seconds(),
		columnPeak:  mebibytes(peakMemory()),
		columnCount: float64(n),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
