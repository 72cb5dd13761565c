package main

import (
	"fmt"

	"github.com/shoal-ssh/shoal"
)

// greeting is the command that most workloads run.
const greeting = "echo hello"

// connectWorkload connects to hosts, logs in, runs one command and closes.
func connectWorkload(n int) *workload {
	w := &workload{
		name:    fmt.Sprintf("connect-%d", n),
		about:   fmt.Sprintf("connect to %d hosts, log in, run one command, close", n),
		fleet:   fleetSpec{Hosts: n},
		columns: []string{columnHost, columnWall, columnPeak},
		contenders: []contender{
			bareConnectAndRun(16), bareConnectAndRun(100),
			{name: nameShoal, run: shoalConnectAndRun},
		},
	}
	if n == 1 { // one at a time is all there is
		w.contenders = append(w.contenders[:1], w.contenders[2:]...)
	}
	return w
}

// rounds is how often few hosts are gone through, to have something to measure.
func rounds(n int) int { return max(1, 500/n) }

func bareName(limit int) string { return fmt.Sprintf("%s, %d at once", nameBare, limit) }

func bareConnectAndRun(limit int) contender {
	return contender{name: bareName(limit), run: func(t *target) (sample, error) {
		n := rounds(len(t.addrs))
		c, err := t.cost(func() error {
			for range n {
				config := t.config()
				if err := bareEach(t.addrs, limit, func(addr string) error {
					return bareRun(config, addr, greeting)
				}); err != nil {
					return err
				}
			}
			return nil
		})
		return c.per(columnHost, n*len(t.addrs)), err
	}}
}

func shoalConnectAndRun(t *target) (sample, error) {
	n := rounds(len(t.addrs))
	c, err := t.cost(func() error {
		for range n {
			if err := t.runAll(t.client(), t.addrs); err != nil {
				return err
			}
		}
		return nil
	})
	return c.per(columnHost, n*len(t.addrs)), err
}

// runAll runs the greeting on all hosts and closes the client.
func (t *target) runAll(c *shoal.Client, addrs []string) error {
	defer c.Close()
	for r := range c.Run(t.ctx, hosts(addrs), shoal.Command{Line: greeting}) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}
