package sshtest_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
)

// program finds an outside program. Where it is missing, the test fails if
// SHOAL_REQUIRE_ALL is set and is skipped otherwise.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("SHOAL_REQUIRE_ALL") != "" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing: not checked against OpenSSH", name)
	}
	return path
}

// opensshFiles writes what OpenSSH's client needs and returns its options.
func opensshFiles(t *testing.T, f *sshtest.Fleet) []string {
	t.Helper()
	dir := t.TempDir()
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts")
	for name, content := range map[string][]byte{key: f.ClientKeyPEM(), known: f.KnownHosts()} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"-F", "none", "-o", "IdentityFile=" + key, "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + known,
		"-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
		"-o", "User=" + sshtest.DefaultUser,
	}
}

func TestOpenSSHClient(t *testing.T) {
	ssh := program(t, "ssh")
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Handler: sshtest.Builtin})
	options := opensshFiles(t, f)
	address, port, _ := net.SplitHostPort(f.Host(1).Addr)
	for _, test := range []struct {
		name    string
		options []string
		command string
		stdin   string
		stdout  string
		code    int
	}{
		{"output", nil, "echo a; hostname", "", "a\nhost1\n", 0},
		{"input", nil, "cat", "some input", "some input", 0},
		{"exit status", nil, "exit 42", "", "", 42},
		{"exit signal", nil, "signal TERM", "", "", 255},
		{"terminal", []string{"-tt"}, "echo a; whoami", "", "a\r\ntester\r\n", 0},
		{"jump", []string{"-o", "ProxyCommand=" + ssh + " " + strings.Join(options, " ") + " -p " + port + " -W %h:%p 127.0.0.1"}, "hostname", "", "host1\n", 0},
		{"megabytes", nil, "bytes 3000000", "", strings.Repeat("\x00", 3000000), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append(append(options[:len(options):len(options)], test.options...), "-p", port, address, test.command)
			cmd := exec.CommandContext(t.Context(), ssh, args...)
			cmd.Stdin = strings.NewReader(test.stdin)
			var errOut strings.Builder
			cmd.Stderr = &errOut
			out, err := cmd.Output()
			code := 0
			if ee, ok := errors.AsType[*exec.ExitError](err); ok {
				code = ee.ExitCode()
			}
			if string(out) != test.stdout || code != test.code {
				t.Errorf("got %q and %d, want %q and %d; stderr: %s", brief(string(out)), code, brief(test.stdout), test.code, errOut.String())
			}
		})
	}
}

func TestOpenSSHSFTP(t *testing.T) {
	program(t, "ssh")
	sftp := program(t, "sftp")
	remote, here := t.TempDir(), t.TempDir()
	f := sshtest.New(t, sshtest.Config{SFTP: func(int) string { return remote }})
	if err := os.WriteFile(filepath.Join(here, "up"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(f.Host(0).Addr)
	cmd := exec.CommandContext(t.Context(), sftp, append(opensshFiles(t, f), "-P", port, "-b", "-", "127.0.0.1")...)
	cmd.Dir = here
	cmd.Stdin = strings.NewReader("mkdir d\nput up d/file\nget d/file down\nrename d/file d/moved\nls -l d\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "moved") {
		t.Errorf("got %v: %s", err, out)
	}
	for _, name := range []string{filepath.Join(here, "down"), filepath.Join(remote, "d", "moved")} {
		if b, err := os.ReadFile(name); string(b) != "content" || err != nil {
			t.Errorf("%s: got %q, %v, want %q", filepath.Base(name), b, err, "content")
		}
	}
}
