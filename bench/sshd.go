package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// serveOpenSSH is the fleet's process where that is one real sshd.
func serveOpenSSH(spec fleetSpec, in io.Reader, out io.Writer) error {
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "shoal-bench-sshd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	hostKey, hostPEM, err1 := newKey()
	clientKey, clientPEM, err2 := newKey()
	port, err3 := freePort()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	// As root sshd wants its folder for privilege separation.
	_ = os.MkdirAll("/run/sshd", 0o755)
	file := func(name string) string { return filepath.Join(dir, name) }
	err = errors.Join(
		os.WriteFile(file("host_key"), hostPEM, 0o600),
		os.WriteFile(file("authorized_keys"), ssh.MarshalAuthorizedKey(clientKey), 0o600),
		os.WriteFile(file("config"), fmt.Appendf(nil, `ListenAddress 127.0.0.1:%d
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
MaxStartups 10:30:100
Subsystem sftp internal-sftp
`, port, file("host_key"), file("authorized_keys")), 0o600))
	if err != nil {
		return err
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", file("config"))
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return err
	}
	addr := fmt.Sprint("127.0.0.1:", port)
	err = awaitServer(addr)
	if err == nil {
		err = json.NewEncoder(out).Encode(fleetInfo{
			fleetSpec: spec, Addrs: []string{addr}, User: me.Username,
			HostKey:    string(ssh.MarshalAuthorizedKey(hostKey)),
			ClientKey:  string(clientPEM),
			KnownHosts: fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(hostKey)),
		})
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	} else {
		err = fmt.Errorf("%w: %s", err, log.String())
	}
	err = errors.Join(err, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	return err
}

func newKey() (ssh.PublicKey, []byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err1 := ssh.MarshalPrivateKey(private, "")
	key, err2 := ssh.NewPublicKey(public)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(block), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func awaitServer(addr string) error {
	var err error
	for range 100 {
		var c net.Conn
		if c, err = net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
