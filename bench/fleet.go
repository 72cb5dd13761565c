package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/shoal-ssh/shoal/sshtest"
)

// fleetSpec describes the servers of a workload.
type fleetSpec struct {
	Hosts   int
	Latency time.Duration     // one way
	Every   int               // each so many hosts, the last of them is faulty; 0 means none
	Fault   sshtest.FaultKind // how
	Mixed   bool              // see mixedFault

	OpenSSH    bool  // one real sshd instead
	SFTP       bool  // an SFTP server that keeps nothing
	FileSize   int64 // of the file to copy
	SmallFiles int   // to copy, in a tree
}

// fleetInfo is what clients have to know of a running fleet.
type fleetInfo struct {
	fleetSpec
	Addrs      []string
	User       string
	HostKey    string // as in authorized_keys; all hosts have the same
	ClientKey  string // in OpenSSH's format, without a passphrase
	KnownHosts string
}

// healthy are the addresses of the hosts without a fault.
func (f *fleetInfo) healthy() []string {
	var addrs []string
	for i, a := range f.Addrs {
		if !f.faulty(i) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func (f *fleetSpec) faulty(host int) bool { return f.Every > 0 && host%f.Every == f.Every-1 }

// serveFleet is the fleet's process. It ends when its input does, which is at
// the latest with the driver.
func serveFleet(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	var spec fleetSpec
	if err := decoder.Decode(&spec); err != nil {
		return err
	}
	if spec.OpenSSH {
		return serveOpenSSH(spec, in, out)
	}
	subsystems := map[string]sshtest.Handler{}
	if spec.SFTP {
		subsystems["sftp"] = serveDiscard
	}
	fleet, err := sshtest.Start(sshtest.Config{
		Subsystems:    subsystems,
		Hosts:         spec.Hosts,
		SharedHostKey: true,
		EventLimit:    -1,
		Handler:       handler,
		Latency:       func(int) time.Duration { return spec.Latency },
		Faults: func(host int) sshtest.Fault {
			if spec.Mixed {
				return mixedFault(host)
			}
			if spec.faulty(host) {
				return sshtest.Fault{Kind: spec.Fault}
			}
			return sshtest.Fault{}
		},
	})
	if err != nil {
		return err
	}
	info := fleetInfo{
		fleetSpec: spec, User: sshtest.DefaultUser,
		HostKey:   string(ssh.MarshalAuthorizedKey(fleet.Host(0).HostKey)),
		ClientKey: string(fleet.ClientKeyPEM()), KnownHosts: string(fleet.KnownHosts()),
	}
	for _, h := range fleet.Hosts() {
		info.Addrs = append(info.Addrs, h.Addr)
	}
	if err := json.NewEncoder(out).Encode(info); err != nil {
		return err
	}
	io.Copy(io.Discard, in)
	return nil // what is still connected ends with the process
}

// lineSize is the length of a line of output, with its end.
const lineSize = 64

// handler is sshtest's shell with one more command: "lines N" writes N lines of
// 64 bytes.
func handler(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
	arg, ok := strings.CutPrefix(s.Command, "lines ")
	if !ok {
		return sshtest.Builtin(ctx, s)
	}
	n, err := strconv.Atoi(arg)
	if err != nil {
		return sshtest.ExitStatus{Code: 2}
	}
	const batch = 512
	line := strings.Repeat("abcdefgh", lineSize/8-1) + "1234567\n"
	block := strings.Repeat(line, batch)
	for n > 0 {
		if _, err := io.WriteString(s.Stdout, block[:min(n, batch)*lineSize]); err != nil {
			return sshtest.ExitStatus{Code: 1}
		}
		n -= batch
	}
	return sshtest.ExitStatus{}
}

// fleet is the driver's side of a fleet's process, with the files that other
// programs need to reach it.
type fleet struct {
	info   fleetInfo
	dir    string
	python string // the interpreter that has parallel-ssh
	stop   func() error
}

// startFleet starts a fleet in another process and writes its files to dir.
func startFleet(ctx context.Context, spec fleetSpec, dir string) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, fleetCommand)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &fleet{dir: dir, stop: func() error {
		in.Close()
		return cmd.Wait()
	}}
	err = json.NewEncoder(in).Encode(spec)
	if err == nil {
		err = json.NewDecoder(out).Decode(&f.info)
	}
	if err == nil {
		err = errors.Join(f.writeFiles(), spec.writeSources(dir))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fleet: %w", err), f.stop())
	}
	return f, nil
}

// Files of a fleet.
const (
	keyName       = "id_ed25519"
	plainName     = "known_hosts"
	hashedName    = "known_hosts.hashed"
	hostsName     = "hosts"
	sshConfigName = "ssh_config"
)

func (f *fleet) writeFiles() error {
	var hosts strings.Builder
	port := ""
	for _, a := range f.info.Addrs {
		host, p, err := net.SplitHostPort(a)
		if err != nil {
			return err
		}
		hosts.WriteString(host + "\n")
		port = p
	}
	config := fmt.Sprintf("Port %s\nUser %s\nIdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\n"+
		"GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nBatchMode yes\n",
		port, f.info.User, filepath.Join(f.dir, keyName), filepath.Join(f.dir, plainName))
	var errs []error
	for name, text := range map[string]string{
		keyName: f.info.ClientKey, plainName: f.info.KnownHosts, hashedName: hashed(f.info.KnownHosts),
		hostsName: hosts.String(), sshConfigName: config,
	} {
		errs = append(errs, os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600))
	}
	return errors.Join(errs...)
}

// hashed is a known_hosts file with each line's first name hashed.
func hashed(plain string) string {
	var b strings.Builder
	for line := range strings.Lines(plain) {
		names, key, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(names, ",")
		b.WriteString(knownhosts.HashHostname(name) + " " + key)
	}
	return b.String()
}
