package sshtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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

func TestHostKeyTypes(t *testing.T) {
	keys := make([]ssh.Signer, 0, 3)
	for _, typ := range []string{"ed25519", "ecdsa", "rsa"} {
		key, err := sshtest.GenerateKey(typ)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	f := sshtest.New(t, sshtest.Config{InMemory: true, HostKeys: func(int) []ssh.Signer { return keys }})
	for i, algorithm := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA512} {
		cc := clientConfig(f, 0)
		cc.HostKeyAlgorithms = []string{algorithm}
		cc.HostKeyCallback = ssh.FixedHostKey(keys[i].PublicKey())
		c, err := handshake(t.Context(), f, 0, cc)
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		c.Close()
	}
	if n := bytes.Count(f.KnownHosts(), []byte("\n")); n != 3 {
		t.Errorf("got %d known hosts lines, want 3", n)
	}
	if _, err := sshtest.GenerateKey("dsa"); err == nil {
		t.Error("a DSA key was made")
	}
}

func TestHostCertificates(t *testing.T) {
	ca, err := sshtest.GenerateKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	f := sshtest.New(t, sshtest.Config{Hosts: 2, InMemory: true, HostCA: ca})
	checker := ssh.CertChecker{IsHostAuthority: func(k ssh.PublicKey, _ string) bool {
		return bytes.Equal(k.Marshal(), ca.PublicKey().Marshal())
	}}
	cc := clientConfig(f, 1)
	cc.HostKeyAlgorithms = []string{ssh.CertAlgoED25519v01}
	cc.HostKeyCallback = checker.CheckHostKey
	c, err := handshake(t.Context(), f, 1, cc)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !bytes.HasPrefix(f.KnownHosts(), []byte("@cert-authority * ssh-ed25519 ")) {
		t.Errorf("known hosts begin with %.40q", f.KnownHosts())
	}
}

func TestMaxSessions(t *testing.T) {
	inBubble(t, sshtest.Config{MaxSessions: 2}, func(t *testing.T, f *sshtest.Fleet) {
		c := login(t, f, 0)
		first := session(t, c)
		session(t, c)
		if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "open failed") {
			t.Errorf("third session: got %v, want it refused", err)
		}
		first.Close()
		synctest.Wait()
		session(t, c)
		if s := f.Stats(); s.Sessions != 2 || s.PeakSessions != 2 || s.TotalSessions != 3 {
			t.Errorf("got %+v, want 2 sessions now, at most 2, 3 in all", s)
		}
	})
}

func TestBannerAndVersion(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Banner: "Keep out.\n", Version: "SSH-2.0-OpenSSH_9.9 test"})
	got := ""
	cc := clientConfig(f, 0)
	cc.BannerCallback = func(text string) error {
		got += text
		return nil
	}
	c, err := handshake(t.Context(), f, 0, cc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got != "Keep out.\n" || string(c.ServerVersion()) != "SSH-2.0-OpenSSH_9.9 test" {
		t.Errorf("got banner %q and version %q", got, c.ServerVersion())
	}
}

func TestAlgorithms(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Algorithms: ssh.Config{Ciphers: []string{"aes256-ctr"}}})
	c := login(t, f, 0)
	if got := c.Conn.(ssh.AlgorithmsConnMetadata).Algorithms().Write.Cipher; got != "aes256-ctr" {
		t.Errorf("got cipher %q, want aes256-ctr", got)
	}
	cc := clientConfig(f, 0)
	cc.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1}
	if c, err := handshake(t.Context(), f, 0, cc); err == nil {
		c.Close()
		t.Error("SHA-1 was agreed on by default")
	}
}

func TestLoginGrace(t *testing.T) {
	inBubble(t, sshtest.Config{LoginGrace: time.Minute}, func(t *testing.T, f *sshtest.Fleet) {
		began := time.Now()
		nc := rawConn(t, f)
		if _, err := io.ReadAll(nc); err != nil || time.Since(began) != time.Minute {
			t.Errorf("closed after %v (%v), want a minute", time.Since(began), err)
		}
		c := login(t, f, 0)
		time.Sleep(time.Hour)
		if out, _, err := run(t, c, "echo still here", ""); out != "still here\n" || err != nil {
			t.Errorf("after an hour: got %q, %v", out, err)
		}
	})
}

func TestDisconnect(t *testing.T) {
	inBubble(t, sshtest.Config{Hosts: 2}, func(t *testing.T, f *sshtest.Fleet) {
		lost, kept := login(t, f, 0), login(t, f, 1)
		f.Disconnect(0)
		if err := lost.Wait(); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("got %v, want a reset", err)
		}
		synctest.Wait()
		if _, _, err := run(t, kept, "true", ""); err != nil {
			t.Errorf("the other host: %v", err)
		}
		login(t, f, 0)
		synctest.Wait()
		if s := f.Stats(); s.Conns != 2 || s.PeakConns != 2 || s.TotalConns != 3 || s.Handshakes != 0 || s.TotalHandshakes != 3 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestClose(t *testing.T) {
	f, err := sshtest.Start(sshtest.Config{Hosts: 2})
	if err != nil {
		t.Fatal(err)
	}
	c := loginTCP(t, f, 1)
	s := session(t, c)
	if err := s.Start("sleep 1000000"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	if err := c.Wait(); err == nil {
		t.Error("the connection ended without an error")
	}
	if nc, err := net.Dial("tcp", f.Host(0).Addr); err == nil {
		nc.Close()
		t.Error("the port is still open")
	}
	nc, err := f.Dial(t.Context(), "tcp", f.Host(0).Addr)
	if err == nil {
		if _, err = nc.Read(make([]byte, 1)); err == nil {
			t.Error("a closed fleet speaks")
		}
		nc.Close()
	}
}

func TestRefuse(t *testing.T) {
	for _, hosts := range []int{3, 300} {
		f := sshtest.New(t, sshtest.Config{Hosts: hosts, SharedHostKey: true, Faults: func(host int) sshtest.Fault {
			if host == 1 {
				return sshtest.Fault{Kind: sshtest.Refuse}
			}
			return sshtest.Fault{}
		}})
		loginTCP(t, f, 2)
		if _, err := net.Dial("tcp", f.Host(1).Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%d hosts: got %v, want connection refused", hosts, err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []sshtest.Config{
		{Hosts: -1}, {Hosts: 1 << 30}, {Port: 70000}, {Port: 22, ManyPorts: true}, {InMemory: true, ManyPorts: true},
		{InMemory: true, HostKeys: func(int) []ssh.Signer { return nil }},
	} {
		if f, err := sshtest.Start(cfg); err == nil {
			f.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// TestMaxStartups opens connections that never log in: those up to Start are
// greeted, those from Full on are not, and the same seed gives the same result.
func TestMaxStartups(t *testing.T) {
	cfg := sshtest.Config{InMemory: true, Seed: 7, MaxStartups: sshtest.Startups{Start: 3, Rate: 50, Full: 10}}
	pattern := func() (greeted string) {
		f := sshtest.New(t, cfg)
		for range 40 {
			b := make([]byte, 4)
			if _, err := io.ReadFull(rawConn(t, f), b); err != nil {
				t.Fatal(err)
			}
			greeted += map[string]string{"SSH-": "y", "Exce": "n"}[string(b)]
		}
		return greeted
	}
	first := pattern()
	if n := strings.Count(first, "y"); !strings.HasPrefix(first, "yyy") || n != 10 || len(first) != 40 {
		t.Errorf("got %q, want 3 let in, then some, 10 in all", first)
	}
	if second := pattern(); second != first {
		t.Errorf("same seed: got %q, want %q", second, first)
	}
}
