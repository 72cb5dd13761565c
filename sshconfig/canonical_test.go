package sshconfig_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshconfig"
)

// names are those that the resolver knows, in the format of hosts(5): the first
// of a line is what the others stand for.
const names = `192.0.2.1 web1.example.test
192.0.2.2 db.other.test alias.example.test
192.0.2.3 a.b.example.test
192.0.2.4 fqdn.test
`

// lookup is Options.Lookup of names.
func lookup(name string) (string, error) {
	for line := range strings.Lines(names) {
		if fields := strings.Fields(line)[1:]; slices.Contains(fields, strings.TrimSuffix(name, ".")) {
			return fields[0] + ".", nil
		}
	}
	return "", errors.New("no such host")
}

// nssWrapper is a library that has ssh look names up in a file.
func nssWrapper(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so", "/usr/lib/libnss_wrapper.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	opensshtest.LeaveOut(t, "libnss_wrapper.so")
	return ""
}

// What is made of a name with CanonicalizeHostname, in the first pass and in the
// second, is what ssh makes of it that knows the same names.
func TestCanonicalize(t *testing.T) {
	opensshtest.Need(t, "ssh")
	library := nssWrapper(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	const yes = "CanonicalizeHostname yes\nCanonicalDomains none.test example.test\n"
	second := "\nHost *.example.test\n User second\nMatch canonical host db.*\n User aliased\nMatch final all\n Port 77\n"
	for i, text := range []string{
		yes, yes + second, second, "CanonicalizeHostname no\nCanonicalDomains example.test" + second,
		"CanonicalizeHostname always\nCanonicalDomains example.test\nProxyJump gate" + second,
		yes + "ProxyJump gate" + second, yes + "ProxyCommand nc %h %p" + second, yes + "ProxyCommand none" + second,
		yes + "CanonicalizeMaxDots 0" + second, yes + "CanonicalizeMaxDots 3" + second,
		yes + "CanonicalizePermittedCNAMEs *.example.test:*.other.test" + second,
		yes + "CanonicalizePermittedCNAMEs web*:*.other.test *.example.test:db.*,x" + second,
		yes + "CanonicalizePermittedCNAMEs *.example.test:*.third.test" + second,
		yes + "CanonicalizePermittedCNAMEs none" + second,
		yes + "CanonicalizeFallbackLocal no" + second, yes + "CanonicalizeFallbackLocal yes" + second,
		"CanonicalizeHostname yes\nCanonicalDomains none" + second, "CanonicalizeHostname yes" + second,
		yes + "Host web1\n HostName WEB1\nHost short\n HostName alias" + second,
		yes + "Host short\n HostName fqdn.test." + second,
		yes + "Host web1.example.test\n Port 5\nHost web1\n ConnectTimeout 3\nMatch originalhost web1\n User original" + second,
		yes + "Match host web1.example.test\n IdentityFile /x/%n-%h\n CertificateFile /y/%h" + second,
		yes + "Match !canonical all\n ConnectTimeout 9\nMatch final host *.test\n ConnectTimeout 8" + second,
	} {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := sshconfig.Load(sshconfig.Options{File: file, Lookup: lookup})
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range []string{"web1", "WEB1", "alias", "a.b", "short", "fqdn.test", "fqdn.test.", "web1.example.test", "192.0.2.9", "2001:DB8::1"} {
				cmd := exec.Command("ssh", "-G", "-F", file, host)
				cmd.Env = append(os.Environ(), "LD_PRELOAD="+library, "NSS_WRAPPER_HOSTS="+hosts)
				out, sshErr := cmd.Output()
				s, err := c.Resolve(sshconfig.Target{Host: host})
				if e, ok := errors.AsType[*exec.ExitError](sshErr); ok && strings.Contains(string(e.Stderr), "Could not resolve hostname") {
					continue // we find that out when we connect
				}
				if (err == nil) != (sshErr == nil) {
					t.Errorf("%s: got %v, ssh %v\n%s", host, err, sshErr, text)
				}
				if err != nil || sshErr != nil {
					continue
				}
				want := map[string]string{}
				for line := range strings.Lines(string(out)) {
					key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
					if _, listed := want[key]; !listed {
						want[key] = value
					}
				}
				timeout, set := s.Get("ConnectTimeout")
				if !set {
					timeout = "none"
				}
				got := fmt.Sprintf("%s %d %s %s", s.HostName(), s.Port(), s.User(), timeout)
				if w := fmt.Sprintf("%s %s %s %s", want["hostname"], want["port"], want["user"], want["connecttimeout"]); got != w {
					t.Errorf("%s: got %q, ssh %q\n%s", host, got, w, text)
				}
			}
		})
	}
}

// Match localnetwork holds where ssh says so: on a network of one of the
// machine's own addresses. It came with OpenSSH 9.4; where ssh is older it is what
// its manual says.
func TestLocalNetwork(t *testing.T) {
	opensshtest.Need(t, "ssh")
	addresses := func() (ips []netip.Addr, err error) {
		all, err := net.InterfaceAddrs()
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					ips = append(ips, ip.Unmap())
				}
			}
		}
		return ips, err
	}
	own, err := addresses()
	if err != nil {
		t.Fatal(err)
	}
	criteria := []string{"127.0.0.0/8", "127.0.0.1", "192.0.2.0/24", "192.0.2.0/24,127.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"}
	for _, ip := range own {
		if !ip.IsLoopback() && ip.Zone() == "" {
			n, err := ip.Prefix(min(ip.BitLen(), 16))
			if err != nil {
				t.Fatal(err)
			}
			criteria = append(criteria, n.String(), ip.String())
		}
	}
	knows := exec.Command("ssh", "-G", "-F", "none", "-o", "Tag=x", "host").Run() == nil // of the same age
	for _, list := range criteria {
		for _, not := range []string{"", "!"} {
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte("Match "+not+"localnetwork "+list+"\n Port 77\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := sshconfig.Load(sshconfig.Options{File: file, LocalAddresses: addresses})
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Resolve(sshconfig.Target{Host: "host"})
			if err != nil {
				t.Fatal(err)
			}
			want := "22"
			if holds(own, list) == (not == "") {
				want = "77"
			}
			if knows {
				want = dump(t, t.TempDir(), "-F", file, "host")["port"][0]
			}
			if got := fmt.Sprint(s.Port()); got != want {
				t.Errorf("%slocalnetwork %s: port %s, want %s", not, list, got, want)
			}
		}
	}
}

// holds reports whether one of the addresses is in one of the networks.
func holds(own []netip.Addr, list string) bool {
	for n := range strings.SplitSeq(list, ",") {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			ip := netip.MustParseAddr(n)
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		if slices.ContainsFunc(own, p.Contains) {
			return true
		}
	}
	return false
}

// The tokens of ProxyJump are those of ssh, as its own command for the jump host
// shows.
func TestProxyJumpTokens(t *testing.T) {
	opensshtest.Need(t, "ssh")
	const base = "HostName inner.invalid\nPort 2222\nUser alice\nConnectTimeout 1\n"
	for _, jump := range []string{"%h-gate.invalid", "gate-%n.invalid", "%r@gate.invalid:2200", "a%%b.invalid"} {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte("Host web1\n "+strings.ReplaceAll(base, "\n", "\n ")+"ProxyJump "+jump+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := sshconfig.Load(sshconfig.Options{File: file})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Resolve(sshconfig.Target{Host: "web1"})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, hop := range s.ProxyJump() {
			word, err := s.Command(hop)
			if err != nil {
				t.Errorf("%s: %v", jump, err)
			}
			got.WriteString(word)
		}
		out, _ := exec.Command("ssh", "-v", "-F", file, "web1").CombinedOutput() // which finds no jump host
		_, command, ok := strings.Cut(string(out), "Executing proxy command: exec ")
		command, _, _ = strings.Cut(command, "\n")
		fields := strings.Fields(strings.NewReplacer("\r", "", "'", "", "\"", "").Replace(command))
		if !ok || len(fields) < 4 {
			t.Fatalf("ssh shows no command: %s", out)
		}
		want := fields[len(fields)-1]
		if i := slices.Index(fields, "-l"); i >= 0 {
			want = fields[i+1] + "@" + want
		}
		if i := slices.Index(fields, "-p"); i >= 0 {
			want += ":" + fields[i+1]
		}
		if got.String() != want {
			t.Errorf("%s: got %s, ssh %s", jump, got.String(), command)
		}
	}
}

// Names are in lower case, and the zones of addresses are as they were.
func TestLowerCase(t *testing.T) {
	c, err := sshconfig.Load(sshconfig.Options{File: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"WEB1": "web1", "fe80::1%ETH0": "fe80::1%ETH0", "FE80::A%Wlan": "FE80::A%Wlan"} {
		if s, err := c.Resolve(sshconfig.Target{Host: host}); err != nil || s.HostName() != want {
			t.Errorf("%s: got %q, %v, want %q", host, s.HostName(), err, want)
		}
	}
}
