package shoal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// What a host is called in known_hosts need not be its address.
func TestHostKeyAlias(t *testing.T) {
	t.Parallel()
	c, h, s := openssh(t)
	line := "web-cluster " + string(ssh.MarshalAuthorizedKey(s.HostKey))
	c.Host.HostKeys = &shoal.KnownHosts{Files: []string{writeFile(t, "known_hosts", []byte(line))}}
	_, err := c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StageHostKey, shoal.KindHostKeyUnknown)
	h.HostKeyAlias = "web-cluster"
	if _, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"})); err != nil {
		t.Error(err)
	}
}

// The address to connect from, as the server sees it.
func TestBindAddress(t *testing.T) {
	t.Parallel()
	c, h, _ := openssh(t)
	h.BindAddress = "127.0.0.1"
	results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "echo $SSH_CONNECTION"}))
	if err != nil || !strings.HasPrefix(results[0].Value.Text(), "127.0.0.1 ") {
		t.Errorf("got %q, %v", results[0].Value.Text(), err)
	}
	h.BindAddress = "192.0.2.77" // not ours
	_, err = c.Conn(testContext(t), h)
	if he := wantHostError(t, err, shoal.StageConnect, he(err).Kind); he.Kind == "" {
		t.Error(err)
	}
	h.BindAddress = "eth0"
	_, err = c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
}

func he(err error) *shoal.HostError {
	if e, ok := err.(*shoal.HostError); ok {
		return e
	}
	return &shoal.HostError{}
}

// Lists of algorithms stand instead of the default ones, as the server's log
// of what was agreed on shows.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	c, h, s := openssh(t, "LogLevel DEBUG1", "KexAlgorithms +diffie-hellman-group14-sha1", "Ciphers aes192-ctr,aes128-ctr")
	h.Algorithms = shoal.Algorithms{
		KeyExchanges: []string{"diffie-hellman-group14-sha1"},
		Ciphers:      []string{"no-such-cipher", "aes192-ctr"},
		MACs:         []string{"hmac-sha2-512"},
		PublicKeys:   []string{"ssh-ed25519"},
	}
	if _, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kex: algorithm: diffie-hellman-group14-sha1", "cipher: aes192-ctr MAC: hmac-sha2-512"} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the server's log has no %q", want)
		}
	}
	h.Algorithms = shoal.Algorithms{Ciphers: []string{"aes256-ctr"}}
	_, err := c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StageKex, shoal.KindNoAlgorithm)
	h.Algorithms = shoal.Algorithms{PublicKeys: []string{"rsa-sha2-512"}}
	_, err = c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	h.Algorithms = shoal.Algorithms{MACs: []string{"rot13"}}
	_, err = c.Conn(testContext(t), h)
	if e := wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid); !strings.Contains(e.Error(), "hmac-sha2-256") {
		t.Errorf("%v does not say what is supported", e)
	}
}

// A host's variables are set in its sessions, in commands and shells.
func TestHostEnv(t *testing.T) {
	t.Parallel()
	c, h, _ := openssh(t)
	h.Env = []string{"LC_SHOAL=one two", "SHOAL_X='$HOME'"}
	results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: `echo "$LC_SHOAL/$SHOAL_X"`}))
	if err != nil || results[0].Value.Text() != "one two/'$HOME'\n" {
		t.Errorf("got %q, %v", results[0].Value.Text(), err)
	}
	h.Env = []string{"secret-value"}
	_, err = c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
}

// Methods that are not wanted are not tried.
func TestMethods(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Users: []sshtest.User{{Name: sshtest.DefaultUser, Password: "pw"}}})
	c := newClient(t, f)
	c.Host.Auth = append(c.Host.Auth, shoal.Password("pw"))
	c.Host.Methods = []string{"keyboard-interactive", "publickey"}
	_, err := c.Conn(testContext(t), hostOf(f, 0))
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	h := hostOf(f, 0)
	h.Methods = []string{"password"}
	results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "true"}))
	if err != nil || results[0].AuthMethod != "password" {
		t.Errorf("%v, by %q", err, results[0].AuthMethod)
	}
}

// The agent at a socket, whatever SSH_AUTH_SOCK says.
func TestAgentSocket(t *testing.T) {
	t.Parallel()
	c, h, _ := openssh(t)
	c.Host.Auth = []shoal.Auth{shoal.AgentSocket(filepath.Join(t.TempDir(), "none"))}
	_, err := c.Conn(testContext(t), h)
	e := wantHostError(t, err, shoal.StageAuth, shoal.KindAgent)
	if !strings.Contains(e.Error(), os.ErrNotExist.Error()) && !strings.Contains(e.Error(), "no such file") {
		t.Errorf("%v does not say that there is no socket", e)
	}
}
