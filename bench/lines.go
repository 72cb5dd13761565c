package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

// linesPerHost make 1 MiB.
const linesPerHost = 1 << 20 / lineSize

// linesWorkload merges the live output of many hosts.
func linesWorkload(n int) *workload {
	return &workload{
		name:    "lines",
		about:   fmt.Sprintf("connect to %d hosts, 100 at once, and write 1 MiB of 64-byte lines from each, merged, each behind its host's name, to one buffered writer", n),
		fleet:   fleetSpec{Hosts: n},
		columns: []string{columnRate, columnMiB, columnPeak},
		contenders: []contender{
			{name: nameBare, run: bareLines},
			{name: nameShoal, run: shoalLines},
		},
	}
}

var linesCommand = fmt.Sprintf("lines %d", linesPerHost)

func bareLines(t *target) (sample, error) {
	config := t.config()
	out := bufio.NewWriterSize(io.Discard, 64<<10)
	var mu sync.Mutex
	lines := 0
	c, err := t.cost(func() error {
		return bareEach(t.addrs, 100, func(addr string) error {
			client, err := ssh.Dial("tcp", addr, config)
			if err != nil {
				return err
			}
			defer client.Close()
			return scanLines(client, func(line []byte) {
				mu.Lock()
				defer mu.Unlock()
				lines++
				fmt.Fprintf(out, "%s: %s\n", addr, line)
			})
		})
	})
	return c.perMiB(len(t.addrs)), errors.Join(err, t.checkLines(lines))
}

func scanLines(client *ssh.Client, line func([]byte)) error {
	s, err := client.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	stdout, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.Start(linesCommand); err != nil {
		return err
	}
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		line(scanner.Bytes())
	}
	return errors.Join(scanner.Err(), s.Wait())
}

func shoalLines(t *target) (sample, error) {
	out := bufio.NewWriterSize(io.Discard, 64<<10)
	lines := 0
	c, err := t.cost(func() error {
		client := t.client()
		client.MaxIdle = -1 // closed when done with, as by the bare loop
		defer client.Close()
		for e := range client.Watch(t.ctx, hosts(t.addrs), shoal.Command{Line: linesCommand}) {
			lines += len(e.Lines)
			for _, l := range e.Lines {
				fmt.Fprintf(out, "%s: %s\n", l.Host, l.Text)
			}
			if e.Result != nil && e.Result.Err != nil {
				return e.Result.Err
			}
		}
		return nil
	})
	return c.perMiB(len(t.addrs)), errors.Join(err, t.checkLines(lines))
}

func (t *target) checkLines(got int) error {
	if want := linesPerHost * len(t.addrs); got != want {
		return fmt.Errorf("got %d lines, want %d", got, want)
	}
	return nil
}
