//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// With GSSAPIAuthentication in ssh_config the user's ticket logs in, to a host
// that takes nothing else, as ssh's does; delegated where the file says so.
func TestKerberos(t *testing.T) {
	opensshtest.Need(t, "ssh")
	k := opensshtest.StartKDC(t, opensshtest.KDCConfig{})
	s := opensshtest.Start(t, k.GSSAPIConfig(k.Keytab("host/localhost"), "AuthenticationMethods gssapi-with-mic"))
	k.Admin("addprinc -pw secret " + s.User)
	known := fmt.Appendf(nil, "[localhost]:%d %s", s.Port, ssh.MarshalAuthorizedKey(s.HostKey))
	config := k.Write("ssh_config", fmt.Sprintf(`Host web
	GSSAPIDelegateCredentials yes
Host web db
	HostName localhost
	Port %d
	AddressFamily inet
	GSSAPIAuthentication yes
	UserKnownHostsFile %s
`, s.Port, k.Write("known_hosts", string(known))))
	cache := k.Kinit(s.User, "secret", "-f")
	run := func(cache string, words ...string) (string, error) {
		cmd := command(t, access{}, words[1:]...)
		if words[0] != "shoal" {
			cmd = exec.Command(words[0], words[1:]...)
			cmd.Env = os.Environ()
		}
		cmd.Env = append(append(cmd.Env, k.Env()...), "KRB5CCNAME=FILE:"+cache)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, host := range []string{"web", "db"} {
		line := "klist -f 2>&1; true"
		want, err := run(cache, "ssh", "-F", config, host, line)
		if err != nil || strings.Contains(want, "Flags: F") != (host == "web") {
			t.Fatalf("ssh itself: %q, %v", want, err)
		}
		got, err := run(cache, "shoal", "run", "-F", config, "-w", host, line)
		if err != nil || strings.Contains(got, "Flags: F") != (host == "web") {
			t.Errorf("%s: %v\n%s", host, err, got)
		}
	}
	got, err := run(filepath.Join(k.Dir, "missing"), "shoal", "run", "-F", config, "-w", "web", "true")
	if err == nil || !strings.Contains(got, "get a ticket with kinit") {
		t.Errorf("without a ticket: %v\n%s", err, got)
	}
}
