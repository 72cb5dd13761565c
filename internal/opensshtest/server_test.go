package opensshtest

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial connects as the server's user and trusts its known_hosts file only.
func dial(t *testing.T, s *Server, algorithm string) *ssh.Client {
	t.Helper()
	trust, err := knownhosts.New(s.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
		User:              s.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(s.Signer)},
		HostKeyCallback:   trust,
		HostKeyAlgorithms: []string{algorithm},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func run(t *testing.T, c *ssh.Client, command string, env ...string) string {
	t.Helper()
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i := 0; i < len(env); i += 2 {
		if err := session.Setenv(env[i], env[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := session.Output(command)
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return string(out)
}

func TestDefaults(t *testing.T) {
	s := Start(t, Config{})
	c := dial(t, s, ssh.KeyAlgoED25519)
	if got, want := run(t, c, `echo "$SHOAL_T"`, "SHOAL_T", "x y"), "x y\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Port >= 32768 || s.Port < 1024 {
		t.Errorf("port %d is outside the range for servers", s.Port)
	}
	line := s.WaitLog("Accepted publickey for", 1)
	if !strings.Contains(line, ssh.FingerprintSHA256(s.Signer.PublicKey())) {
		t.Errorf("log line %q does not name the key", line)
	}
	if info, err := os.Stat(s.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Errorf("no sftp subsystem: %v", err)
	}
}

func TestConfig(t *testing.T) {
	s := Start(t, Config{
		Extra:        []string{"Banner none", "Subsystem  sftp /nonexistent", "Match User " + "*", "ForceCommand echo forced"},
		HostKeyTypes: []string{"ecdsa", "rsa", "ed25519"},
		KeyOptions:   `restrict,environment="A=b"`,
	})
	for i, algorithm := range []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519} {
		if got, want := run(t, dial(t, s, algorithm), "true"), "forced\n"; got != want {
			t.Errorf("host key %d: got %q, want %q", i, got, want)
		}
	}
	if s.HostKey.Type() != ssh.KeyAlgoECDSA256 || len(s.HostKeys) != 3 {
		t.Errorf("host keys are %v, the first %s", s.HostKeys, s.HostKey.Type())
	}
	authorized, err := os.ReadFile(s.AuthorizedKeysFile)
	if err != nil || !strings.HasPrefix(string(authorized), `restrict,environment="A=b" ssh-ed25519 `) {
		t.Errorf("authorized_keys: %q, %v", authorized, err)
	}
}

func TestKillAndRestart(t *testing.T) {
	s := Start(t, Config{})
	c := dial(t, s, ssh.KeyAlgoED25519)
	life := startChain(t, s, c)
	s.Kill()
	if err := c.Wait(); err == nil {
		t.Error("the connection survived the server")
	}
	if _, err := io.ReadAll(life); err != nil { // blocks while one lives
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", s.Addr); err == nil {
		conn.Close()
		t.Error("somebody listens after Kill")
	}
	s.Kill() // does nothing

	addr := s.Addr
	s.Restart()
	if s.Addr != addr {
		t.Errorf("restarted on %s, want %s", s.Addr, addr)
	}
	run(t, dial(t, s, ssh.KeyAlgoED25519), "true")
	s.Restart() // while it runs
	run(t, dial(t, s, ssh.KeyAlgoED25519), "true")
	s.WaitLog("Accepted publickey for", 3)
}

func TestKillSessions(t *testing.T) {
	s := Start(t, Config{})
	c := dial(t, s, ssh.KeyAlgoED25519)
	life := startChain(t, s, c)
	s.KillSessions()
	if err := c.Wait(); err == nil {
		t.Error("the connection survived")
	}
	if _, err := io.ReadAll(life); err != nil {
		t.Error(err)
	}
	run(t, dial(t, s, ssh.KeyAlgoED25519), "true")
}

// startChain starts a command with a child of its own that both ignore the end
// of their connection. The file it returns ends when the two do.
func startChain(t *testing.T, s *Server, c *ssh.Client) *os.File {
	t.Helper()
	path := filepath.Join(s.Dir, "life")
	run(t, c, "mkfifo '"+path+"'")
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`trap "" HUP PIPE; exec 3>'` + path + `'; sleep 3600 & wait; wait`); err != nil {
		t.Fatal(err)
	}
	life, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { life.Close() })
	return life
}

func TestParallelServers(t *testing.T) {
	for range 6 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			run(t, dial(t, Start(t, Config{}), ssh.KeyAlgoED25519), "true")
		})
	}
}

// TestPortTaken takes the port between the choice and the start.
func TestPortTaken(t *testing.T) {
	s := Start(t, Config{})
	s.Kill()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.launch(); err == nil || !strings.Contains(err.Error(), errInUse.Error()) {
		t.Errorf("got error %v, want %v", err, errInUse)
	}
}
