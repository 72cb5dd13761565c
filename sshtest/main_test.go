package sshtest_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clientConfig logs in as the default user, or with auth if given.
func clientConfig(f *sshtest.Fleet, host int, auth ...ssh.AuthMethod) *ssh.ClientConfig {
	if auth == nil {
		auth = []ssh.AuthMethod{ssh.PublicKeys(f.ClientSigner())}
	}
	return &ssh.ClientConfig{
		User:            sshtest.DefaultUser,
		Auth:            auth,
		HostKeyCallback: ssh.FixedHostKey(f.Host(host).HostKey),
	}
}

// handshake logs in on a connection in memory.
func handshake(ctx context.Context, f *sshtest.Fleet, host int, cc *ssh.ClientConfig) (*ssh.Client, error) {
	nc, err := f.Dial(ctx, "tcp", f.Host(host).Addr)
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(nc, f.Host(host).Addr, cc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// login is a handshake that has to succeed; it ends with the test.
func login(t testing.TB, f *sshtest.Fleet, host int) *ssh.Client {
	t.Helper()
	c, err := handshake(t.Context(), f, host, clientConfig(f, host))
	if err != nil {
		t.Fatalf("log in to host %d: %v", host, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// loginTCP is login over a socket.
func loginTCP(t testing.TB, f *sshtest.Fleet, host int) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", f.Host(host).Addr, clientConfig(f, host))
	if err != nil {
		t.Fatalf("log in to host %d: %v", host, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// session opens a session that ends with the test.
func session(t testing.TB, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatalf("open a session: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run runs a command and returns what it wrote and how it ended.
func run(t testing.TB, c *ssh.Client, command, stdin string) (stdout, stderr string, err error) {
	t.Helper()
	s := session(t, c)
	var out, errOut bytes.Buffer
	s.Stdout, s.Stderr = &out, &errOut
	s.Stdin = bytes.NewReader([]byte(stdin))
	err = s.Run(command)
	return out.String(), errOut.String(), err
}
