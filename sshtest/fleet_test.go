package sshtest_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"os"
	"path/filepath"
)

func TestLoginAndRun(t *testing.T) {
	for _, cfg := range []sshtest.Config{
		{Hosts: 3},
		{Hosts: 3, ManyPorts: true},
		{Hosts: 3, InMemory: true},
		{Hosts: 300, SharedHostKey: true},
	} {
		t.Run(fmt.Sprintf("hosts=%d,ports=%t,memory=%t", cfg.Hosts, cfg.ManyPorts, cfg.InMemory), func(t *testing.T) {
			f := sshtest.New(t, cfg)
			for i, h := range f.Hosts()[:3] {
				c := login(t, f, i)
				if !cfg.InMemory {
					c = loginTCP(t, f, i)
				}
				out, _, err := run(t, c, "hostname; whoami", "")
				if want := h.Name + "\n" + sshtest.DefaultUser + "\n"; out != want || err != nil {
					t.Errorf("host %d: got %q, %v, want %q", i, out, err, want)
				}
			}
		})
	}
}

func TestAddressesAreDistinctLoopback(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 1000, SharedHostKey: true})
	seen := make(map[string]bool)
	for _, h := range f.Hosts() {
		address, _, err := net.SplitHostPort(h.Addr)
		if err != nil || !net.ParseIP(address).IsLoopback() || seen[h.Addr] {
			t.Errorf("host %d: address %q (seen before: %t, error: %v)", h.Index, h.Addr, seen[h.Addr], err)
		}
		seen[h.Addr] = true
	}
}

func TestKnownHosts(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, f.KnownHosts(), 0o600); err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range f.Hosts() {
		addr, _ := net.ResolveTCPAddr("tcp", h.Addr)
		if err := check(h.Addr, addr, h.HostKey); err != nil {
			t.Errorf("host %d by address: %v", i, err)
		}
		name := h.Name + h.Addr[strings.LastIndex(h.Addr, ":"):]
		if err := check(name, addr, h.HostKey); err != nil {
			t.Errorf("host %d by name: %v", i, err)
		}
		if err := check(h.Addr, addr, f.Host(1-i).HostKey); err == nil {
			t.Errorf("host %d: the other host's key was accepted", i)
		}
	}
}

func TestClientKeyPEM(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	s, err := ssh.ParsePrivateKey(f.ClientKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	if got := ssh.MarshalAuthorizedKey(s.PublicKey()); !bytes.Equal(got, f.AuthorizedKey()) {
		t.Errorf("got %s, want %s", got, f.AuthorizedKey())
	}
}

func TestRealShell(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Shell: "/bin/sh"})
	out, errOut, err := run(t, loginTCP(t, f, 0), "tr a-z A-Z; echo no >&2; exit 3", "abc")
	if out != "ABC" || errOut != "no\n" {
		t.Errorf("got %q and %q, want %q and %q", out, errOut, "ABC", "no\n")
	}
	if ee, ok := err.(*ssh.ExitError); !ok || ee.ExitStatus() != 3 {
		t.Errorf("got %v, want exit status 3", err)
	}
}
