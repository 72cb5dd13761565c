//go:build unix

package openssh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/openssh"
)

// hostError runs a command that must not succeed.
func hostError(t *testing.T, c *shoal.Client, h shoal.Host) *shoal.HostError {
	t.Helper()
	for r := range c.Run(testContext(t), slices.Values([]shoal.Host{h}), shoal.Command{Line: "true"}) {
		if he, ok := errors.AsType[*shoal.HostError](r.Err); ok {
			t.Log(he)
			return he
		}
		t.Fatalf("got error %v, want a *HostError", r.Err)
	}
	t.Fatal("no result")
	return nil
}

// listen answers connections on loopback with serve until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// What ssh says is understood: the kind, the stage and its own words.
func TestFailures(t *testing.T) {
	servers := start(t, 2)
	other := opensshtest.Start(t, opensshtest.Config{}) // knows another key
	key, err := os.ReadFile(other.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed")
	write(t, changed, strings.ReplaceAll(string(key), strconv.Itoa(other.Port), strconv.Itoa(servers[0].Port)))
	revoked := filepath.Join(t.TempDir(), "revoked")
	key, err = os.ReadFile(servers[0].KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	write(t, revoked, "@revoked "+string(key))
	silent := listen(t, func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
	closes := listen(t, func(c net.Conn) { c.Close() })
	web := listen(t, func(c net.Conn) { io.WriteString(c, strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 2000)); c.Close() })

	s := use(t, servers,
		"Host other", "HostName 127.0.0.1", "Port "+strconv.Itoa(other.Port), "UserKnownHostsFile "+other.KnownHosts,
		"Host changed", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "UserKnownHostsFile "+changed,
		"Host revoked", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "UserKnownHostsFile "+revoked,
		"Host unknown", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "UserKnownHostsFile none",
		"Host broken", "ProxyCommand false",
	)
	for _, test := range []struct {
		name  string
		host  shoal.Host
		stage shoal.Stage
		kind  shoal.Kind
		hop   string
		text  string
	}{
		{"key not accepted", shoal.Host{Name: "other"}, shoal.StageAuth, shoal.KindAuthFailed, "", "Permission denied (publickey)"},
		{"host key unknown", shoal.Host{Name: "unknown"}, shoal.StageHostKey, shoal.KindHostKeyUnknown, "", "Host key verification failed"},
		{"host key changed", shoal.Host{Name: "changed"}, shoal.StageHostKey, shoal.KindHostKeyChanged, "", "Offending"},
		{"host key revoked", shoal.Host{Name: "revoked"}, shoal.StageHostKey, shoal.KindHostKeyRevoked, "", "revoked"},
		{"refused", shoal.Host{Name: "127.0.0.1:1"}, shoal.StageConnect, shoal.KindRefused, "", "Connection refused"},
		{"no such name", shoal.Host{Name: "nothing.invalid"}, shoal.StageResolve, shoal.KindDNS, "", "Could not resolve hostname nothing.invalid"},
		{"silent", shoal.Host{Name: silent, Timeout: time.Second}, "", shoal.KindTimeout, "", ""},
		{"closes", shoal.Host{Name: closes, Retry: shoal.Retry{Attempts: -1}}, shoal.StageBanner, shoal.KindThrottled, "", "Connection"},
		{"no SSH", shoal.Host{Name: web}, shoal.StageBanner, shoal.KindNotSSH, "", ""},
		{"no common cipher", shoal.Host{Name: servers[0].Addr, Algorithms: shoal.Algorithms{MACs: []string{"umac-64@openssh.com"}, Ciphers: []string{"aes128-cbc"}}},
			shoal.StageKex, shoal.KindNoAlgorithm, "", "no matching cipher"},
		{"broken ProxyCommand", shoal.Host{Name: "broken"}, shoal.StageConnect, shoal.KindUnreachable, "", "closed"},
		{"refused behind", shoal.Host{Name: "127.0.0.1:1", Via: hosts(servers[1])}, shoal.StageConnect, shoal.KindRefused, "", "onnection refused"},
		{"jump host refused", shoal.Host{Name: servers[1].Addr, Via: []shoal.Host{{Name: "bastion", Addr: "127.0.0.1:1"}}},
			shoal.StageConnect, shoal.KindRefused, "bastion", "onnection refused"},
		{"jump host's key not accepted", shoal.Host{Name: servers[1].Addr, Via: []shoal.Host{{Name: "other"}}}, shoal.StageAuth, shoal.KindAuthFailed, "other", "Permission denied"},
		{"Auth", shoal.Host{Name: servers[0].Addr, Auth: []shoal.Auth{shoal.Agent()}}, shoal.StagePrepare, shoal.KindInvalid, "", "leave Auth and HostKeys unset"},
		{"jump host's Auth", shoal.Host{Name: servers[0].Addr, Via: []shoal.Host{{Name: "b", HostKeys: &shoal.KnownHosts{}}}}, shoal.StagePrepare, shoal.KindInvalid, "", "jump host b"},
		{"bind address", shoal.Host{Name: servers[0].Addr, BindAddress: "localhost"}, shoal.StagePrepare, shoal.KindInvalid, "", "bind address"},
		{"user", shoal.Host{Name: servers[0].Addr, User: "a;id"}, shoal.StagePrepare, shoal.KindInvalid, "", "cannot be a user name"},
		{"option for a user", shoal.Host{Name: servers[0].Addr, User: "-oProxyCommand=id"}, shoal.StagePrepare, shoal.KindInvalid, "", "cannot be a user name"},
		{"option for a host", shoal.Host{Name: "-oProxyCommand=id"}, shoal.StagePrepare, shoal.KindInvalid, "", "-"},
		{"option for a jump host", shoal.Host{Name: servers[0].Addr, Via: []shoal.Host{{Name: "b", User: "a,-oProxyCommand=id"}}}, shoal.StagePrepare, shoal.KindInvalid, "", "jump host b"},
		{"option in an alias", shoal.Host{Name: servers[0].Addr, HostKeyAlias: "a b"}, shoal.StagePrepare, shoal.KindInvalid, "", "HostKeyAlias"},
	} {
		t.Run(test.name, func(t *testing.T) {
			he := hostError(t, s.client, test.host)
			if he.Kind != test.kind || test.stage != "" && he.Stage != test.stage || he.Hop != test.hop || !strings.Contains(he.Error(), test.text) {
				t.Errorf("kind %s at stage %s, hop %q: %v\nwant %s at %s, hop %q, with %q", he.Kind, he.Stage, he.Hop, he, test.kind, test.stage, test.hop, test.text)
			}
			if he.Host != test.host.Name || he.MayRun {
				t.Errorf("host %q, may run %v", he.Host, he.MayRun)
			}
		})
	}
}

func TestBadSSH(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers)
	h := hosts(servers...)[0]
	for name, test := range map[string]struct {
		path string
		args []string
		text string
	}{
		"no program": {path: "/nonexistent/ssh", text: "no such file"},
		"bad option": {args: []string{"-o", "Nothing=yes"}, text: "nothing"},
		"no config":  {args: []string{"-F", "/nonexistent/config"}, text: "/nonexistent/config"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &openssh.Transport{Path: test.path, Args: append(slices.Clip(s.transport.Args), test.args...)}
			c := &shoal.Client{Transport: transport, Host: s.client.Host}
			defer c.Close()
			if he := hostError(t, c, h); he.Kind != shoal.KindInvalid || he.Stage != shoal.StagePrepare || !strings.Contains(he.Error(), test.text) {
				t.Errorf("%s at %s: %v", he.Kind, he.Stage, he)
			}
		})
	}
}

// A caller that leaves takes the ssh along that was still connecting.
func TestCancelled(t *testing.T) {
	servers := start(t, 1)
	reached := make(chan struct{}, 1)
	silent := listen(t, func(c net.Conn) { t.Cleanup(func() { c.Close() }); reached <- struct{}{} })
	s := use(t, servers)
	ctx, cancel := context.WithCancel(testContext(t))
	go func() { <-reached; cancel() }()
	_, err := s.client.Conn(ctx, shoal.Host{Name: silent})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindCancelled {
		t.Errorf("got %v", err)
	}
	if left := processes(t, s.tmp); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

// A broken connection is lost, whatever of the command came before, and the
// next command gets a new one.
func TestLost(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers)
	h := hosts(servers...)[0]
	for name, test := range map[string]struct {
		end  func(t *testing.T)
		text string
	}{
		"ssh killed":    {func(t *testing.T) { killMasters(t, s.tmp, syscall.SIGKILL) }, "ssh ended: signal: killed"},
		"ssh ended":     {func(t *testing.T) { killMasters(t, s.tmp, syscall.SIGTERM) }, "ssh"},
		"server killed": {func(t *testing.T) { servers[0].KillSessions() }, "closed by remote host"},
	} {
		for _, line := range []string{"echo on; exec sleep 1000", "echo on; exec 3>&1; { exec >/dev/null; sleep 1000 >&3; } & exit 0"} {
			t.Run(name, func(t *testing.T) {
				conn, err := s.client.Conn(testContext(t), h)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				p, err := conn.Start(testContext(t), shoal.Command{Line: line})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(p.Stdout, make([]byte, 3)); err != nil {
					t.Fatal(err)
				}
				test.end(t)
				err = p.Wait(testContext(t))
				he, ok := errors.AsType[*shoal.HostError](err)
				if !ok || he.Kind != shoal.KindLost || !strings.Contains(he.Error(), test.text) {
					t.Errorf("got %v, want a lost connection and %q", err, test.text)
				}
				if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo again"}); err != nil || out.Text() != "again\n" {
					t.Errorf("%q, %v", out.Text(), err)
				}
			})
		}
	}
}

// killMasters signals the processes of ssh that have something in the folder.
func killMasters(t *testing.T, dir string, sig syscall.Signal) {
	t.Helper()
	n := 0
	for line := range strings.SplitSeq(run(t, "ps", "-ww", "-A", "-o", "pid=,args="), "\n") {
		pid, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if id, err := strconv.Atoi(pid); err == nil && strings.Contains(args, dir) && strings.Contains(args, " -M ") {
			n++
			if err := syscall.Kill(id, sig); err != nil {
				t.Error(err)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d processes of ssh, want 1", n)
	}
}

// A host that stops answering is noticed, by ssh or by us.
func TestKeepAlive(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers)
	s.client.Host.KeepAlive = time.Second
	h := hosts(servers...)[0]
	for _, who := range []string{"nobody", "ssh"} {
		t.Run(who+" stops", func(t *testing.T) {
			conn, err := s.client.Conn(testContext(t), h)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p, err := conn.Start(testContext(t), shoal.Command{Line: "echo on; sleep 6; echo off"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(p.Stdout, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			if who == "ssh" {
				killMasters(t, s.tmp, syscall.SIGSTOP)
			}
			err = p.Wait(testContext(t))
			if who == "nobody" {
				if err != nil {
					t.Errorf("a silent command ended with its connection: %v", err)
				}
				return
			}
			if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindLost || !strings.Contains(fmt.Sprint(he), "no sign of life") {
				t.Errorf("got %v", err)
			}
		})
	}
}
