package main

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// bareEach calls do for each address, so many at a time, and returns the
// errors.
func bareEach(addrs []string, limit int, do func(addr string) error) error {
	work := make(chan string)
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for range min(limit, len(addrs)) {
		wg.Go(func() {
			for addr := range work {
				if err := do(addr); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, addr := range addrs {
		work <- addr
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// bareRun connects to a host and runs one command.
func bareRun(config *ssh.ClientConfig, addr, line string) error {
	c, err := ssh.Dial("tcp", addr, config)
	if err != nil {
		return err
	}
	defer c.Close()
	var stdout, stderr bytes.Buffer
	return bareCommand(c, line, &stdout, &stderr)
}

// bareCommand runs a command on a connection.
func bareCommand(c *ssh.Client, line string, stdout, stderr io.Writer) error {
	s, err := c.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	s.Stdout, s.Stderr = stdout, stderr
	return s.Run(line)
}

// bareConnect connects to all addresses.
func bareConnect(config *ssh.ClientConfig, addrs []string, limit int) ([]*ssh.Client, error) {
	var mu sync.Mutex
	var clients []*ssh.Client
	err := bareEach(addrs, limit, func(addr string) error {
		c, err := ssh.Dial("tcp", addr, config)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, c)
		return nil
	})
	return clients, err
}

func closeAll(clients []*ssh.Client) {
	for _, c := range clients {
		c.Close()
	}
}
