package shoal_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// Each mode, at a host that is not known, one whose key changed and one whose
// key is revoked: what is accepted, what is learned and what is said.
func TestHostKeyModes(t *testing.T) {
	conform(t, "3.7 host keys")
	s := opensshtest.Start(t, opensshtest.Config{})
	other, err := sshtest.GenerateKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	name := "[127.0.0.1]:" + strings.TrimPrefix(s.Addr, "127.0.0.1:") + " "
	line := func(key ssh.PublicKey) string { return name + string(ssh.MarshalAuthorizedKey(key)) }
	files := map[string]string{"unknown": "", "changed": line(other.PublicKey()), "revoked": "@revoked " + line(s.HostKey), "known": line(s.HostKey)}
	kinds := map[string]shoal.Kind{"unknown": shoal.KindHostKeyUnknown, "changed": shoal.KindHostKeyChanged, "revoked": shoal.KindHostKeyRevoked}
	for _, tt := range []struct {
		name   string
		mode   shoal.HostKeyMode
		answer bool
		accept string // of the files
	}{
		{"strict", shoal.StrictHostKeys, false, "known"},
		{"accept-new", shoal.AcceptNewHostKeys, false, "known unknown"},
		{"ask, no", shoal.AskHostKeys, false, "known"},
		{"ask, yes", shoal.AskHostKeys, true, "known unknown"},
		{"ignore", shoal.IgnoreHostKeys, false, "known unknown changed revoked"},
	} {
		for what, text := range files {
			t.Run(tt.name+"/"+what, func(t *testing.T) {
				file := writeFile(t, "known_hosts", []byte(text))
				asked := ""
				c := &shoal.Client{Host: shoal.Host{User: s.User, Auth: []shoal.Auth{shoal.KeyFile(s.KeyFile)},
					HostKeys: &shoal.KnownHosts{Files: []string{file}, Mode: tt.mode,
						Ask: func(_ context.Context, q shoal.HostKeyQuestion) (bool, error) {
							asked = q.Fingerprint
							return tt.answer, nil
						}}}}
				defer c.Close()
				_, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "true"}))
				if strings.Contains(tt.accept, what) != (err == nil) {
					t.Errorf("got %v", err)
				}
				if err != nil {
					he := wantKind(t, err, kinds[what])
					if he.Stage != shoal.StageHostKey || !strings.Contains(err.Error(), ssh.FingerprintSHA256(s.HostKey)) {
						t.Errorf("%v does not show the key", err)
					}
					if what == "changed" && (!strings.Contains(err.Error(), file+":1") || !strings.Contains(err.Error(), ssh.FingerprintSHA256(other.PublicKey()))) {
						t.Errorf("%v does not show the line and the known key", err)
					}
				}
				if wantAsked := tt.mode == shoal.AskHostKeys && what == "unknown"; (asked != "") != wantAsked || wantAsked && asked != ssh.FingerprintSHA256(s.HostKey) {
					t.Errorf("asked about %q", asked)
				}
				after, err := os.ReadFile(file)
				learned := err == nil && what == "unknown" && strings.Contains(string(after), strings.TrimSpace(line(s.HostKey)))
				if wantLearned := what == "unknown" && err == nil && strings.Contains(tt.accept, what) && tt.mode != shoal.IgnoreHostKeys; learned != wantLearned {
					t.Errorf("the file is now %q", after)
				}
			})
		}
	}
}

// A real agent, at SSH_AUTH_SOCK and at a socket of its own; without the right
// key in it there is no way in.
func TestAgent(t *testing.T) {
	conform(t, "3.7 agent with real keys", "3.4 test_agent_auth")
	opensshtest.Need(t, "ssh-agent", "ssh-add")
	socket := startAgent(t)
	c, h, s := openssh(t)
	own := h
	own.Auth = []shoal.Auth{shoal.AgentSocket(socket)}
	_, err := c.Conn(testContext(t), own)
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	c.Close()

	add := exec.Command("ssh-add", "-q", s.KeyFile)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	t.Setenv("SSH_AUTH_SOCK", socket)
	for _, auth := range []shoal.Auth{shoal.Agent(), shoal.AgentSocket(socket)} {
		c := &shoal.Client{Host: shoal.Host{User: s.User, Auth: []shoal.Auth{auth}, HostKeys: c.Host.HostKeys}}
		results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"}))
		if err != nil || results[0].AuthMethod != "publickey" {
			t.Errorf("%s: %v", auth, err)
		}
		c.Close()
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	c = &shoal.Client{Host: shoal.Host{User: s.User, Auth: []shoal.Auth{shoal.Agent()}, HostKeys: c.Host.HostKeys}}
	defer c.Close()
	_, err = c.Conn(testContext(t), h)
	if he := wantHostError(t, err, shoal.StageAuth, shoal.KindAgent); !strings.Contains(he.Error(), "SSH_AUTH_SOCK") {
		t.Errorf("%v does not say that there is no agent", he)
	}
}

// startAgent starts an ssh-agent without keys and returns its socket.
func startAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // short: sockets' paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	said, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil { // it listens
		t.Fatal(err)
	}
	return socket
}

// To a host whose key changed not even IgnoreHostKeys gives a password, an answer
// or sudo's password, nor the agent; a key of the user's logs in.
func TestChangedKeyGetsNoSecret(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Users: []sshtest.User{{Name: sshtest.DefaultUser, Password: secret, ClientKey: true}}})
	other, err := sshtest.GenerateKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	changed := []byte("host0 " + string(ssh.MarshalAuthorizedKey(other.PublicKey())))
	c.Host.HostKeys = &shoal.KnownHosts{Files: []string{writeFile(t, "known_hosts", changed)}, Mode: shoal.IgnoreHostKeys}
	var log strings.Builder
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	for name, auth := range map[string]shoal.Auth{
		"password": shoal.Password(secret),
		"person": shoal.Ask(func(context.Context, shoal.Question) (string, error) {
			t.Error("a person was asked")
			return secret, nil
		}),
	} {
		_, err := c.Conn(testContext(t), shoal.Host{Name: "host0", Auth: []shoal.Auth{auth}})
		if he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed); name == "password" && !strings.Contains(he.Error(), "the host key changed") {
			t.Errorf("%s: %v", name, he)
		}
	}
	for _, e := range eventsOf(f, sshtest.EventAuth) {
		if e.Method != "none" {
			t.Errorf("the server was sent %+v", e)
		}
	}
	conn := connect(t, c, shoal.Host{Name: "host0", ForwardAgent: shoal.AgentSocket(agentAt(t, func(net.Conn) {}))})
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo out"}); err != nil || out.Text() != "out\n" {
		t.Errorf("%q, %v", out.Text(), err)
	}
	if !strings.Contains(log.String(), "agent is not forwarded") {
		t.Errorf("the log says %q", log.String())
	}
	_, err = conn.Run(testContext(t), shoal.Command{Line: "echo out", Sudo: &shoal.Sudo{Password: secret}})
	if he := wantHostError(t, err, shoal.StageHostKey, shoal.KindHostKeyChanged); !strings.Contains(he.Error(), "sudo") {
		t.Error(he)
	}
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo on"}); err != nil || out.Text() != "on\n" {
		t.Errorf("after that: %q, %v", out.Text(), err)
	}
}
