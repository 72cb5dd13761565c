package shoal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// softHSM is a PKCS#11 token in software with an ECDSA and an RSA key, of which
// nothing is outside of it. It returns the provider and the public keys.
func softHSM(t *testing.T, pin string) (provider string, public []string) {
	t.Helper()
	opensshtest.Need(t, "softhsm2-util", "pkcs11-tool", "ssh-keygen")
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib*/softhsm/libsofthsm2.so", "/usr/lib*/pkcs11/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 && provider == "" {
			provider = found[0]
		}
	}
	if provider == "" {
		opensshtest.LeaveOut(t, "libsofthsm2.so")
	}
	dir := t.TempDir()
	conf := writeFile(t, "softhsm2.conf", fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir))
	t.Setenv("SOFTHSM2_CONF", conf)
	run := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, out)
		}
		return string(out)
	}
	run("softhsm2-util", "--init-token", "--free", "--label", "shoal", "--so-pin", pin, "--pin", pin)
	for i, kind := range []string{"EC:prime256v1", "rsa:2048"} {
		run("pkcs11-tool", "--module", provider, "--login", "--pin", pin, "--keypairgen", "--key-type", kind,
			"--label", kind, "--id", fmt.Sprintf("%02d", i+1))
	}
	out, err := exec.Command("ssh-keygen", "-D", provider).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		public = append(public, strings.TrimSpace(line))
	}
	if len(public) != 2 {
		t.Fatalf("the token has the keys %q, want two", public)
	}
	return provider, public
}

// A key on a PKCS#11 token logs in to a real server through the real agent, which
// got it by ssh-add -s.
func TestPKCS11(t *testing.T) {
	opensshtest.Need(t, "ssh", "ssh-agent", "ssh-add")
	const pin = "271828"
	provider, public := softHSM(t, pin)
	socket := startAgent(t)
	askpass := filepath.Join(t.TempDir(), "askpass")
	if err := os.WriteFile(askpass, []byte("#!/bin/sh\necho "+pin+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	add := exec.Command("ssh-add", "-s", provider)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket, "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add -s: %v: %s", err, out)
	}
	for _, key := range public {
		s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: []string{key}})
		trust := &shoal.KnownHosts{Files: []string{s.KnownHosts}}
		chosen := writeFile(t, "chosen.pub", []byte(key+"\n"))
		for _, auth := range []shoal.Auth{shoal.AgentSocket(socket), shoal.Identities(shoal.AgentSocket(socket), true, chosen)} {
			c := &shoal.Client{Host: shoal.Host{User: s.User, HostKeys: trust, Auth: []shoal.Auth{auth}}}
			results, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "echo in"}))
			if err != nil || results[0].Value.Text() != "in\n" || results[0].AuthMethod != "publickey" {
				t.Errorf("%v with %.20s: %v", auth, key, err)
			}
			c.Close()
		}
		parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		if want := ssh.FingerprintSHA256(parsed); strings.Count(s.Log(), "Accepted publickey") != 2 || !strings.Contains(s.Log(), want) {
			t.Errorf("the server did not accept %s twice", want)
		}
	}
}

// securityKey is an agent with a key that signs as one on a FIDO security key
// does (OpenSSH's PROTOCOL.u2f), without the hardware: a real one signs the same.
type securityKey struct {
	agent.Agent
	private ed25519.PrivateKey
	public  *agent.Key
}

const skType = "sk-ssh-ed25519@openssh.com"

func newSecurityKey(t *testing.T) *securityKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{skType, public, "ssh:"})
	return &securityKey{agent.NewKeyring(), private, &agent.Key{Format: skType, Blob: blob, Comment: "security key"}}
}

func (k *securityKey) List() ([]*agent.Key, error) { return []*agent.Key{k.public}, nil }

func (k *securityKey) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	touched := binary.BigEndian.AppendUint32([]byte{1}, 7) // and a counter
	signed := append(append(application[:], touched...), message[:]...)
	return &ssh.Signature{Format: skType, Blob: ed25519.Sign(k.private, signed), Rest: touched}, nil
}

// The key of a security key logs in to a real server through an agent, chosen by
// its file or not.
func TestSecurityKey(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the agent of the test has a Unix socket")
	}
	key := newSecurityKey(t)
	s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: []string{key.public.String()}})
	socket := shoal.AgentSocket(agentAt(t, func(conn net.Conn) { agent.ServeAgent(key, conn) }))
	public := writeFile(t, "id_ed25519_sk.pub", []byte(key.public.String()+"\n"))
	for _, auth := range []shoal.Auth{socket, shoal.Identities(socket, true, strings.TrimSuffix(public, ".pub"))} {
		c := &shoal.Client{Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}}, Auth: []shoal.Auth{auth}}}
		if _, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "true"})); err != nil {
			t.Errorf("%v: %v", auth, err)
		}
		c.Close()
	}
	if n := strings.Count(s.Log(), "Accepted publickey"); n != 2 || !strings.Contains(s.Log(), "ED25519-SK") {
		t.Errorf("%d logins by a security key, want 2", n)
	}
}
