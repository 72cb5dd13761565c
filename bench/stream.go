package main

import (
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

const streamMiB = 1024

// streamWorkload takes one long output.
func streamWorkload() *workload {
	return &workload{
		name:    "stream",
		about:   "1 GiB of one command's output to io.Discard",
		fleet:   fleetSpec{Hosts: 1},
		columns: []string{columnRate, columnMiB, columnPeak},
		contenders: []contender{
			{name: nameBare, run: bareStream},
			{name: nameShoal, run: shoalStream},
		},
	}
}

var streamCommand = fmt.Sprintf("bytes %d", streamMiB<<20)

func bareStream(t *target) (sample, error) {
	client, err := ssh.Dial("tcp", t.addrs[0], t.config())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	c, err := t.cost(func() error { return bareCommand(client, streamCommand, io.Discard, nil) })
	return c.perMiB(streamMiB), err
}

func shoalStream(t *target) (sample, error) {
	client := t.client()
	defer client.Close()
	conn, err := client.Conn(t.ctx, shoal.Host{Name: t.addrs[0]})
	if err != nil {
		return nil, err
	}
	c, err := t.cost(func() error {
		out, err := conn.Run(t.ctx, shoal.Command{Line: streamCommand, Stdout: io.Discard})
		if err == nil && out.OutBytes != streamMiB<<20 {
			err = fmt.Errorf("got %d bytes", out.OutBytes)
		}
		return err
	})
	return c.perMiB(streamMiB), err
}

// perMiB is the cost as a sample, shared among n MiB.
func (c cost) perMiB(n int) sample {
	s := c.per(columnMiB, n)
	s[columnRate] = float64(n) / c.wall.Seconds()
	return s
}
