package shoal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// A name that ssh_config explains is reached with its settings by us as by ssh
// itself, through its jump host too.
func TestSSHConfig(t *testing.T) {
	opensshtest.Need(t, "ssh")
	s := opensshtest.Start(t, opensshtest.Config{})
	gate := opensshtest.Start(t, opensshtest.Config{})
	t.Setenv("SHOAL_SENT", "from here")
	file := writeFile(t, "config", fmt.Appendf(nil, `
Host target
  Port %d
  IdentityFile %s
  UserKnownHostsFile %s
  ProxyJump gate
  SetEnv SHOAL_SET="a b"
  SendEnv SHOAL_S*
Host gate
  Port %d
  IdentityFile %s
  UserKnownHostsFile %s
Host *
  HostName 127.0.0.1
  User %s
  IdentitiesOnly yes
  StrictHostKeyChecking yes
`, s.Port, s.KeyFile, s.KnownHosts, gate.Port, gate.KeyFile, gate.KnownHosts, s.User))
	line := `echo "$SHOAL_SET/$SHOAL_SENT"`
	want, err := exec.Command("ssh", "-F", file, "target", line).Output()
	if err != nil || string(want) != "a b/from here\n" {
		t.Fatalf("ssh itself: %q, %v", want, err)
	}
	config := &shoal.SSHConfig{File: file}
	c := &shoal.Client{Complete: config.Complete}
	defer c.Close()
	results, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts("target", "target"), shoal.Command{Line: line}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Value.Text() != string(want) || r.Host.Name != "target" || len(r.Host.Via) != 1 || r.Host.Via[0].Name != "gate" {
			t.Errorf("got %q from %s via %v", r.Value.Text(), r.Host.Name, r.Host.Via)
		}
	}
	if n := strings.Count(gate.Log(), "Accepted publickey"); n != 2 { // ssh's and ours
		t.Errorf("%d logins at the jump host, want 2", n)
	}
	// What the program sets stands above the file.
	own := shoal.Host{Name: "target", Port: gate.Port, Via: []shoal.Host{}}
	_, err = c.Conn(testContext(t), own)
	wantHostError(t, err, shoal.StageHostKey, shoal.KindHostKeyUnknown)
}

// A file that is not there, or has mistakes, fails hosts before anything is
// sent; what cannot be honoured is an error or is warned about once.
func TestSSHConfigMistakes(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	var warnings []string
	for text, want := range map[string]string{
		"Port x\n":                `:1: Port: "x" is not a port`,
		"ProxyCommand nc %h %p\n": "ProxyCommand",
		"ProxyJump a b\n":         `"b" follows the value`,
		"ProxyJump -oX\n":         "cannot begin with -",
		"BindAddress eth0\n":      "bind address",
		"Ciphers rot13\n":         "rot13",
		"IdentityFile ~/%Z\n":     "unknown token %Z",
		"ProxyJump host0\n":       "its own jump host",
	} {
		config := &shoal.SSHConfig{File: writeFile(t, "config", []byte(text))}
		c := newClient(t, f)
		c.Complete = config.Complete
		if strings.HasPrefix(text, "IdentityFile") {
			c.Host.Auth = nil
		}
		_, err := c.Conn(testContext(t), hostOf(f, 0))
		if wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid); !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	config := &shoal.SSHConfig{File: writeFile(t, "config", []byte("Compression yes\nProt 22\n")),
		Warn: func(err error) { warnings = append(warnings, err.Error()) }}
	c := newClient(t, f)
	c.Complete, c.Limit = config.Complete, 1
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
		t.Error(err)
	}
	if len(warnings) != 2 || !strings.Contains(fmt.Sprint(warnings), "Compression") || !strings.Contains(fmt.Sprint(warnings), "Prot") {
		t.Errorf("warnings %q", warnings)
	}
	if n := len(eventsOf(f, sshtest.EventForward)); n != 0 {
		t.Errorf("%d connections were forwarded", n)
	}
}

// An encrypted identity file whose key the agent holds asks for nothing; with
// only, the agent's other keys are not offered.
func TestIdentitiesWithAgent(t *testing.T) {
	opensshtest.Need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	socket := startAgent(t)
	dir := t.TempDir()
	key, other := filepath.Join(dir, "key"), filepath.Join(dir, "other")
	run := func(program string, args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, out)
		}
	}
	for _, path := range []string{other, key} {
		run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
		run("ssh-add", "-q", path)
	}
	run("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key) // the agent has it open
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: []string{string(public)}})
	for _, only := range []bool{false, true} {
		for _, file := range []string{key, key + ".pub"} {
			c := &shoal.Client{Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}},
				Auth: []shoal.Auth{shoal.Identities(shoal.AgentSocket(socket), only, filepath.Join(dir, "missing"), file)}}}
			if _, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "true"})); err != nil {
				t.Errorf("only=%v, %s: %v", only, file, err)
			}
			c.Close()
		}
	}
	if strings.Contains(s.Log(), "Failed publickey") {
		t.Errorf("other keys were offered first:\n%s", s.Log())
	}
	c := &shoal.Client{Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}},
		Auth: []shoal.Auth{shoal.Identities(shoal.AgentSocket(socket), true, other)}}}
	defer c.Close()
	_, err = c.Conn(testContext(t), shoal.Host{Name: s.Addr})
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
}
