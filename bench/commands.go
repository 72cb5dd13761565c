package main

import (
	"bytes"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

const (
	commandHosts = 100
	commandRuns  = 100
)

// commandsWorkload runs commands over connections that are there already.
func commandsWorkload() *workload {
	return &workload{
		name:    "commands",
		about:   "100 commands, one after the other, on each of 100 open connections",
		fleet:   fleetSpec{Hosts: commandHosts},
		columns: []string{columnCommand, columnWall},
		contenders: []contender{
			{name: nameBare, run: bareCommands},
			{name: nameShoal, run: shoalCommands},
		},
	}
}

func bareCommands(t *target) (sample, error) {
	clients, err := bareConnect(t.config(), t.addrs, 16)
	defer closeAll(clients)
	if err != nil {
		return nil, err
	}
	c, err := t.cost(func() error {
		return together(clients, func(c *ssh.Client) error {
			var stdout, stderr bytes.Buffer
			return bareCommand(c, greeting, &stdout, &stderr)
		})
	})
	return c.per(columnCommand, commandHosts*commandRuns), err
}

func shoalCommands(t *target) (sample, error) {
	client := t.client()
	defer client.Close()
	conns, err := t.conns(client)
	if err != nil {
		return nil, err
	}
	c, err := t.cost(func() error {
		return together(conns, func(c *shoal.Conn) error {
			_, err := c.Run(t.ctx, shoal.Command{Line: greeting})
			return err
		})
	})
	return c.per(columnCommand, commandHosts*commandRuns), err
}

// together does something over and over on each connection, on all at once.
func together[T any](conns []T, do func(T) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(conns))
	for _, c := range conns {
		wg.Go(func() {
			for range commandRuns {
				if err := do(c); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// conns connects to all hosts. The connections live as long as the client.
func (t *target) conns(client *shoal.Client) ([]*shoal.Conn, error) {
	var mu sync.Mutex
	var conns []*shoal.Conn
	err := bareEach(t.addrs, shoal.DefaultLimit, func(addr string) error {
		h, err := shoal.ParseHost(addr)
		if err != nil {
			return err
		}
		c, err := client.Conn(t.ctx, h)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return nil
	})
	return conns, err
}
