package sshagent

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"golang.org/x/crypto/ssh"
)

// startAgent starts a real ssh-agent and returns the path of its socket.
func startAgent(tb testing.TB) string {
	tb.Helper()
	opensshtest.Need(tb, "ssh-agent", "ssh-add", "ssh-keygen")
	folder, err := os.MkdirTemp("", "agent")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// It tells where it listens once it does.
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		tb.Fatalf("ssh-agent said %q, %v", line, err)
	}
	tb.Setenv("SSH_AUTH_SOCK", path)
	return path
}

func run(tb testing.TB, program string, args ...string) {
	tb.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

// keygen makes a key file and returns its path.
func keygen(tb testing.TB, args ...string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "id")
	run(tb, "ssh-keygen", append([]string{"-q", "-N", "", "-f", path}, args...)...)
	return path
}

func TestOpenSSH(t *testing.T) {
	startAgent(t)
	ca := keygen(t, "-t", "ed25519")
	rsa := keygen(t, "-t", "rsa", "-b", "2048")
	public, err := os.ReadFile(rsa + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s := opensshtest.Start(t, opensshtest.Config{
		AuthorizedKeys: []string{string(public)},
		Extra:          []string{`TrustedUserCAKeys "` + ca + `.pub"`},
	})
	for _, args := range [][]string{{"-t", "ecdsa"}, {"-t", "ed25519"}, {"-t", "rsa", "-b", "2048"}} {
		path := keygen(t, args...)
		run(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", s.User, path+".pub")
		run(t, "ssh-add", "-q", path) // the key and its certificate
	}
	run(t, "ssh-add", "-q", rsa)
	c, err := FromEnv(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := signers(t, c)
	wants := []struct{ typ, log string }{
		{ssh.KeyAlgoECDSA256, ""},
		{ssh.CertAlgoECDSA256v01, "ECDSA-CERT"},
		{ssh.KeyAlgoED25519, ""},
		{ssh.CertAlgoED25519v01, "ED25519-CERT"},
		{ssh.KeyAlgoRSA, ""},
		{ssh.CertAlgoRSAv01, "RSA-CERT"},
		{ssh.KeyAlgoRSA, "RSA"},
	}
	if len(all) != len(wants) {
		t.Fatalf("got %d signers, want %d", len(all), len(wants))
	}
	for i, want := range wants {
		if got := all[i].PublicKey().Type(); got != want.typ {
			t.Errorf("signer %d is %s, want %s", i, got, want.typ)
		}
		checkAlgorithms(t, all[i])
		conn, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
			User:            s.User,
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(all[i])},
			HostKeyCallback: ssh.FixedHostKey(s.HostKey),
		})
		if (err == nil) != (want.log != "") {
			t.Errorf("signer %d: %v", i, err)
		}
		if err == nil {
			conn.Close()
			s.WaitLog("ssh2: "+want.log+" SHA256:", 1)
		}
	}
}

// checkAlgorithms signs with all algorithms of a key. None may use SHA-1.
func checkAlgorithms(t *testing.T, s ssh.Signer) {
	t.Helper()
	multi := s.(ssh.MultiAlgorithmSigner)
	if slices.Contains(multi.Algorithms(), ssh.KeyAlgoRSA) {
		t.Error("offers ssh-rsa, which is SHA-1")
	}
	for _, algorithm := range append(multi.Algorithms(), "") {
		sig, err := multi.SignWithAlgorithm(nil, []byte("data"), algorithm)
		if err != nil {
			t.Errorf("%s with %q: %v", s.PublicKey().Type(), algorithm, err)
			continue
		}
		if err := plainKey(s.PublicKey()).Verify([]byte("data"), sig); err != nil {
			t.Errorf("%s with %q: %v", s.PublicKey().Type(), algorithm, err)
		}
	}
	if _, err := multi.SignWithAlgorithm(nil, nil, ssh.KeyAlgoRSA); err == nil {
		t.Error("signs with ssh-rsa")
	}
}

// TestOpenSSHRefuses has a key that the agent must not use without a person.
func TestOpenSSHRefuses(t *testing.T) {
	startAgent(t)
	t.Setenv("SSH_ASKPASS", "/nonexistent")
	run(t, "ssh-add", "-q", "-c", keygen(t, "-t", "ed25519"))
	c, err := FromEnv(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := signers(t, c)[0].Sign(nil, nil); !errors.Is(err, errRefused) {
		t.Errorf("got error %v, want %v", err, errRefused)
	}
}

// BenchmarkSign is what a host costs the agent, many at once.
func BenchmarkSign(b *testing.B) {
	startAgent(b)
	run(b, "ssh-add", "-q", keygen(b, "-t", "ed25519"))
	c, err := FromEnv(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	all, err := c.Signers(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := all[0].Sign(nil, []byte("data")); err != nil {
				b.Error(err)
			}
		}
	})
}
