package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

// bastionWorkload reaches hosts through the first one of the fleet.
func bastionWorkload(o *options, n int) *workload {
	w := &workload{
		name:    "bastion",
		about:   fmt.Sprintf("connect to %d hosts through one jump host, log in, run one command, close; all CPU of the process and its children", n),
		fleet:   fleetSpec{Hosts: n + 1},
		columns: []string{columnProcess, columnWall},
		contenders: []contender{
			{name: nameBare, run: once(bareBastion)},
			{name: nameShoal, run: once(func(t *target) error {
				c := t.client()
				c.Host.Via = []shoal.Host{{Name: t.addrs[0]}}
				return t.runAll(c, t.addrs[1:])
			})},
		},
	}
	if !o.peers {
		return w
	}
	for _, c := range parallelSSH(o.python) {
		c.program = func(ctx context.Context, f *fleet) (sample, error) {
			return f.behind(ctx, func(bastion, port, hosts string) []string {
				return []string{o.python, "-c", parallelSSHProgram, port, f.info.User, f.file(keyName), hosts, greeting, bastion}
			})
		}
		w.contenders = append(w.contenders, c)
	}
	if _, err := exec.LookPath("ssh"); err == nil {
		w.contenders = append(w.contenders, contender{name: nameXargs + " -J", program: func(ctx context.Context, f *fleet) (sample, error) {
			return f.behind(ctx, func(bastion, _, hosts string) []string {
				return []string{"xargs", "-P", "32", "-a", hosts, "-I", "{}", "ssh", "-F", f.file(sshConfigName), "-J", bastion, "{}", greeting}
			})
		}})
	}
	return w
}

// bareBastion shares one connection to the jump host, as Shoal does.
func bareBastion(t *target) error {
	config := t.config()
	bastion, err := ssh.Dial("tcp", t.addrs[0], config)
	if err != nil {
		return err
	}
	defer bastion.Close()
	return bareEach(t.addrs[1:], 16, func(addr string) error {
		conn, err := bastion.Dial("tcp", addr)
		if err != nil {
			return err
		}
		c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		client := ssh.NewClient(c, channels, requests)
		defer client.Close()
		return bareCommand(client, greeting, io.Discard, nil)
	})
}

// behind runs a program against all hosts but the first, the jump host.
func (f *fleet) behind(ctx context.Context, argv func(bastion, port, hosts string) []string) (sample, error) {
	names, err := os.ReadFile(f.file(hostsName))
	if err != nil {
		return nil, err
	}
	bastion, hosts, _ := strings.Cut(string(names), "\n")
	file := f.file("behind")
	if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(f.info.Addrs[0])
	if err != nil {
		return nil, err
	}
	return f.runProgram(ctx, argv(bastion, port, file), len(f.info.Addrs)-1)
}

// opensshTrips counts the round trips of ssh to the first byte: on a connection
// that it makes, and on the same one as its ControlMaster keeps it.
func opensshTrips(ctx context.Context, f *fleet) (_ sample, err error) {
	names, err := os.ReadFile(f.file(hostsName))
	if err != nil {
		return nil, err
	}
	host := strings.TrimSpace(string(names))
	ssh := func(args ...string) *exec.Cmd {
		args = append([]string{"-F", f.file(sshConfigName), "-S", filepath.Join(f.dir, "control")}, args...)
		return exec.CommandContext(ctx, "ssh", args...)
	}
	first, second := &arrival{}, &arrival{}
	cmd := ssh("-M", "-o", "ControlPersist=30", host, greeting)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ssh("-O", "exit", host).Run()) }()
	if _, err := io.CopyN(first, out, 1); err != nil {
		return nil, fmt.Errorf("ssh: %w", err)
	}
	cmd = ssh(host, greeting)
	cmd.Stdout = second
	again := time.Now()
	err = cmd.Run()
	return sample{columnNew: trips(began, first), columnOpen: trips(again, second)}, err
}
