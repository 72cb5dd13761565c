package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Other programs.
const (
	nameParallelSSH = "parallel-ssh"
	namePdsh        = "pdsh"
	nameClush       = "clush"
	namePssh        = "pssh"
	nameXargs       = "xargs ssh"
)

// peerWorkloads compare whole processes with those of other programs, as far
// as these are installed.
func peerWorkloads(o *options) []*workload {
	var all []*workload
	for _, n := range []int{100, 1000} {
		if n > o.hosts {
			continue
		}
		w := &workload{
			name:    fmt.Sprintf("peers-%d", n),
			about:   fmt.Sprintf("connect to %d hosts, log in, run one command, close; all CPU of the process and its children", n),
			fleet:   fleetSpec{Hosts: n},
			columns: []string{columnProcess, columnWall},
			contenders: []contender{
				{name: nameBare, run: once(func(t *target) error {
					config := t.config()
					return bareEach(t.addrs, 16, func(addr string) error { return bareRun(config, addr, greeting) })
				})},
				{name: nameShoal, run: once(func(t *target) error { return t.runAll(t.client(), t.addrs) })},
			},
		}
		w.contenders = append(w.contenders, parallelSSH(o.python)...)
		if n <= 100 { // the others start a process for each host
			w.contenders = append(w.contenders, processPeers()...)
		}
		all = append(all, w)
	}
	return all
}

// once measures the whole process, so that the work is done once.
func once(work func(*target) error) func(*target) (sample, error) {
	return func(t *target) (sample, error) {
		c, err := t.cost(func() error { return work(t) })
		return c.per(columnHost, len(t.addrs)), err
	}
}

// processPeers are the programs that run OpenSSH's ssh for each host, 32 at
// once.
func processPeers() []contender {
	peers := []struct {
		name string
		argv func(f *fleet) []string
	}{
		{namePssh, func(f *fleet) []string {
			return []string{"parallel-ssh", "-i", "-p", "32", "-h", hostsName, "-x", "-F " + f.file(sshConfigName), greeting}
		}},
		{namePdsh, func(f *fleet) []string {
			return []string{"pdsh", "-R", "ssh", "-f", "32", "-w", "^" + f.file(hostsName), greeting}
		}},
		{nameClush, func(f *fleet) []string {
			return []string{"clush", "-f", "32", "--hostfile", hostsName, "-o", "-F " + f.file(sshConfigName), greeting}
		}},
		{nameXargs, func(f *fleet) []string {
			return []string{"xargs", "-P", "32", "-a", hostsName, "-I", "{}", "ssh", "-F", f.file(sshConfigName), "{}", greeting}
		}},
	}
	var found []contender
	for _, p := range peers {
		if !installed(p.argv(&fleet{})) {
			continue
		}
		found = append(found, contender{name: p.name, program: func(ctx context.Context, f *fleet) (sample, error) {
			return f.program(ctx, p.argv(f))
		}})
	}
	return found
}

// installed reports whether the program is there, and is the one that is meant:
// parallel-ssh is also the name that Debian gives to pssh.
func installed(argv []string) bool {
	path, err := exec.LookPath(argv[0])
	if err != nil || argv[0] != "parallel-ssh" {
		return err == nil
	}
	text, err := os.ReadFile(path)
	return err == nil && bytes.Contains(text, []byte("psshlib"))
}

// parallelSSHProgram runs the command with parallel-ssh's native client.
const parallelSSHProgram = `
import sys
from pssh.clients import ParallelSSHClient
port, user, key, hosts, line, *bastion = sys.argv[1:]
hosts = open(hosts).read().split()
more = {}
if bastion:
    more = dict(proxy_host=bastion[0], proxy_user=user, proxy_port=int(port), proxy_pkey=key)
client = ParallelSSHClient(hosts, user=user, port=int(port), pkey=key, pool_size=100, num_retries=1, allow_agent=False, **more)
output = client.run_command(line)
client.join(output)
for host in output:
    for line in host.stdout:
        print(host.host, line)
    if host.exit_code != 0:
        sys.exit("%s: exit code %s" % (host.host, host.exit_code))
`

func parallelSSH(python string) []contender {
	if exec.Command(python, "-c", "import pssh.clients").Run() != nil {
		return nil
	}
	return []contender{{name: nameParallelSSH, program: func(ctx context.Context, f *fleet) (sample, error) {
		_, port, err := net.SplitHostPort(f.info.Addrs[0])
		if err != nil {
			return nil, err
		}
		return f.program(ctx, []string{python, "-c", parallelSSHProgram, port, f.info.User, f.file(keyName), f.file(hostsName), greeting})
	}}}
}

func (f *fleet) file(name string) string { return filepath.Join(f.dir, name) }

// program runs a program against all hosts.
func (f *fleet) program(ctx context.Context, argv []string) (sample, error) {
	return f.runProgram(ctx, argv, len(f.info.Addrs))
}

// runProgram takes the CPU time of a program and its children. The output of so
// many hosts must be there.
func (f *fleet) runProgram(ctx context.Context, argv []string, want int) (sample, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "PDSH_SSH_ARGS=-F "+f.file(sshConfigName)+" %h")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", argv[0], err, stderr.String())
	}
	wall := time.Since(began)
	if got := strings.Count(stdout.String(), "hello"); got != want {
		return nil, fmt.Errorf("%s: output of %d hosts, want %d: %.200s", argv[0], got, want, stderr.String())
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample{columnProcess: milliseconds(cpu) / float64(want), columnWall: wall.Seconds()}, nil
}
