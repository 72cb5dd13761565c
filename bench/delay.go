package main

import (
	"errors"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

// oneWay is the delay of distant hosts in each direction.
const oneWay = 50 * time.Millisecond

// tripsWorkload counts round trips by the time they take.
func tripsWorkload(o *options) *workload {
	w := &workload{
		name:    "trips",
		about:   "a host 100 ms away: round trips from the dial (on an open connection, from the call) to the first byte of output; the delay does not hold for TCP's own handshake, which is one more",
		fleet:   fleetSpec{Hosts: 1, Latency: oneWay},
		columns: []string{columnNew, columnOpen},
		contenders: []contender{
			{name: nameBare, run: bareTrips},
			{name: nameShoal, run: shoalTrips},
		},
	}
	if _, err := exec.LookPath("ssh"); err == nil && o.peers {
		w.contenders = append(w.contenders, contender{name: "ssh", program: opensshTrips})
	}
	return w
}

// arrival notes when the first byte came.
type arrival struct {
	once sync.Once
	at   time.Time
}

func (a *arrival) Write(p []byte) (int, error) {
	a.once.Do(func() { a.at = time.Now() })
	return len(p), nil
}

func trips(from time.Time, a *arrival) float64 { return float64(a.at.Sub(from)) / float64(2*oneWay) }

func bareTrips(t *target) (sample, error) {
	began := time.Now()
	c, err := ssh.Dial("tcp", t.addrs[0], t.config())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	first, second := &arrival{}, &arrival{}
	err1 := bareCommand(c, greeting, first, nil)
	again := time.Now()
	err2 := bareCommand(c, greeting, second, nil)
	return sample{columnNew: trips(began, first), columnOpen: trips(again, second)}, errors.Join(err1, err2)
}

func shoalTrips(t *target) (sample, error) {
	client := t.client()
	defer client.Close()
	first, second := &arrival{}, &arrival{}
	began := time.Now()
	c, err := client.Conn(t.ctx, shoal.Host{Name: t.addrs[0]})
	if err != nil {
		return nil, err
	}
	_, err1 := c.Run(t.ctx, shoal.Command{Line: greeting, Stdout: first})
	again := time.Now()
	_, err2 := c.Run(t.ctx, shoal.Command{Line: greeting, Stdout: second})
	return sample{columnNew: trips(began, first), columnOpen: trips(again, second)}, errors.Join(err1, err2)
}

// delayWorkload compares many distant hosts with one.
func delayWorkload() *workload {
	return &workload{
		name:    "delay",
		about:   "hosts 100 ms away: connect, run one command, close, on 1 and on 100 hosts",
		fleet:   fleetSpec{Hosts: 100, Latency: oneWay},
		columns: []string{columnOne, columnAll, columnRatio},
		contenders: []contender{
			{name: nameBare, run: func(t *target) (sample, error) {
				return t.oneAndAll(func(addrs []string) error {
					config := t.config()
					return bareEach(addrs, 100, func(addr string) error { return bareRun(config, addr, greeting) })
				})
			}},
			{name: nameShoal, run: func(t *target) (sample, error) {
				return t.oneAndAll(func(addrs []string) error { return t.runAll(t.client(), addrs) })
			}},
		},
	}
}

func (t *target) oneAndAll(work func([]string) error) (sample, error) {
	began := time.Now()
	err1 := work(t.addrs[:1])
	one := time.Since(began)
	began = time.Now()
	err2 := work(t.addrs)
	all := time.Since(began)
	return sample{columnOne: one.Seconds(), columnAll: all.Seconds(), columnRatio: float64(all) / float64(one)}, errors.Join(err1, err2)
}
