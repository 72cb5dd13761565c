package main

import (
	"fmt"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/shoal-ssh/shoal"
)

// knownHostsWorkload verifies host keys against a long known_hosts file.
func knownHostsWorkload(n int) *workload {
	return &workload{
		name:    "known-hosts",
		about:   fmt.Sprintf("connect to 500 hosts, or 50 where told, run one command, close; known_hosts has a line for each of %d hosts", n),
		fleet:   fleetSpec{Hosts: n},
		columns: []string{columnHost, columnPeak},
		contenders: []contender{
			bareKnown("one key pinned", "", 500),
			bareKnown("plain", plainName, 500),
			bareKnown("hashed, 50 hosts", hashedName, 50),
			shoalKnown("one key pinned", "", 500),
			shoalKnown("plain", plainName, 500),
			shoalKnown("hashed", hashedName, 500),
		},
	}
}

// spread picks n addresses from all over the fleet.
func (t *target) spread(n int) []string {
	n = min(n, len(t.addrs))
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = t.addrs[i*len(t.addrs)/n]
	}
	return addrs
}

func bareKnown(name, file string, n int) contender {
	return contender{name: nameBare + ", " + name, run: func(t *target) (sample, error) {
		addrs := t.spread(n)
		c, err := t.cost(func() error {
			config := t.config()
			if file != "" {
				var err error
				if config.HostKeyCallback, err = knownhosts.New(t.file(file)); err != nil {
					return err
				}
			}
			return bareEach(addrs, 16, func(addr string) error { return bareRun(config, addr, greeting) })
		})
		return c.per(columnHost, len(addrs)), err
	}}
}

func shoalKnown(name, file string, n int) contender {
	return contender{name: nameShoal + ", " + name, run: func(t *target) (sample, error) {
		addrs := t.spread(n)
		c, err := t.cost(func() error {
			client := t.client()
			if file != "" {
				client.Host.HostKeys = &shoal.KnownHosts{Files: []string{t.file(file)}}
			}
			return t.runAll(client, addrs)
		})
		return c.per(columnHost, len(addrs)), err
	}}
}
