package knownhosts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The test binary runs itself as another program for some tests.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("KNOWNHOSTS_SERVE") != "":
		exit(serve(strings.Split(os.Getenv("KNOWNHOSTS_SERVE"), " ")))
	case os.Getenv("KNOWNHOSTS_LEARN") != "":
		exit(learnMany(os.Getenv("KNOWNHOSTS_LEARN")))
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// testKey is a private key of a test.
type testKey struct {
	ssh.Signer
	private any
}

// line returns the key as a line has it.
func (k testKey) line() string { return authorized(k.PublicKey()) }

func authorized(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// testKeys are made once: ed1, ed2, ed3, ca, ca2, rsa, ecdsa, weak (RSA 1024).
var testKeys = sync.OnceValue(func() map[string]testKey {
	keys := make(map[string]testKey)
	add := func(name string, private any, err error) {
		if err != nil {
			panic(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			panic(err)
		}
		keys[name] = testKey{signer, private}
	}
	for _, name := range []string{"ed1", "ed2", "ed3", "ca", "ca2"} {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		add(name, private, err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("ecdsa", p256, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	add("rsa", rsa2048, err)
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	add("weak", rsa1024, err)
	return keys
})

func pub(name string) ssh.PublicKey { return testKeys()[name].PublicKey() }

// expand replaces {name} by the key of that name, as a line has it.
func expand(text string) string {
	for name, key := range testKeys() {
		text = strings.ReplaceAll(text, "{"+name+"}", key.line())
	}
	return text
}

// certificate returns a host certificate for the key by the CA.
func certificate(t testing.TB, key, ca string, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{
		Key: pub(key), CertType: ssh.HostCert, KeyId: "host of a test", Serial: 7,
		ValidPrincipals: []string{"web1"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if change != nil {
		change(cert)
	}
	if err := cert.SignCert(rand.Reader, testKeys()[ca]); err != nil {
		t.Fatal(err)
	}
	return cert
}

// write writes a file of known hosts and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(expand(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens a DB of one file with that text.
func open(t testing.TB, text string) *DB {
	t.Helper()
	db, err := Open(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// kind names the outcome of a Check.
func kind(err error) string {
	if err == nil {
		return "known"
	}
	if _, ok := errors.AsType[*UnknownError](err); ok {
		return "unknown"
	}
	if _, ok := errors.AsType[*ChangedError](err); ok {
		return "changed"
	}
	if _, ok := errors.AsType[*RevokedError](err); ok {
		return "revoked"
	}
	if _, ok := errors.AsType[*WeakKeyError](err); ok {
		return "weak"
	}
	return err.Error()
}

// program returns the path of a program that serves as an oracle.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("SHOAL_REQUIRE_ALL") != "" {
			t.Fatalf("%s is required: %v", name, err)
		}
		t.Skipf("no %s: not compared with OpenSSH", name)
	}
	return path
}

// serve is an SSH server on standard input and output with these host keys,
// for ssh's ProxyCommand. It lets everybody in and runs nothing.
func serve(files []string) error {
	config := &ssh.ServerConfig{NoClientAuth: true}
	for _, file := range files {
		signer, err := readSigner(file)
		if err != nil {
			return err
		}
		config.AddHostKey(signer)
	}
	_, channels, requests, err := ssh.NewServerConn(stdio{}, config)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return err
		}
		for r := range requests {
			r.Reply(true, nil)
			if r.Type == "exec" {
				channel.SendRequest("exit-status", false, make([]byte, 4))
				channel.Close()
			}
		}
	}
	return nil
}

func readSigner(file string) (ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(file + "-cert.pub"); err != nil {
		return signer, nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, err
	}
	return ssh.NewCertSigner(key.(*ssh.Certificate), signer)
}

// writeSigner writes a private key, with a certificate unless that is nil, for
// readSigner.
func writeSigner(t testing.TB, key testKey, cert *ssh.Certificate) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key.private, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "host_key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if cert != nil {
		if err := os.WriteFile(path+"-cert.pub", []byte(authorized(cert)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// stdio is standard input and output as a net.Conn.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)       { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error)      { return os.Stdout.Write(p) }
func (stdio) Close() error                     { return os.Stdout.Close() }
func (stdio) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (stdio) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (stdio) SetDeadline(time.Time) error      { return nil }
func (stdio) SetReadDeadline(time.Time) error  { return nil }
func (stdio) SetWriteDeadline(time.Time) error { return nil }

// runSSH lets ssh meet a server with that key under that address and returns
// what came of it and the host key algorithms that it offered.
func runSSH(t *testing.T, knownHosts, addr string, key testKey, cert *ssh.Certificate) (outcome string, algorithms []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "ssh"), "-F", "none", "-vv", "-p", port,
		"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+knownHosts,
		"-o", "GlobalKnownHostsFile=none", "-o", "ProxyCommand='"+self+"'", "--", host, "true")
	cmd.Env = append(os.Environ(), "SHELL=/bin/sh", "KNOWNHOSTS_SERVE="+writeSigner(t, key, cert))
	var log bytes.Buffer
	cmd.Stderr, cmd.Stdout = &log, io.Discard
	err = cmd.Run()
	text := log.String()
	_, offer, _ := strings.Cut(text, "host key algorithms: ")
	offer, _, _ = strings.Cut(offer, "\n")
	algorithms = strings.Split(strings.TrimSpace(offer), ",")
	switch {
	case err == nil:
		outcome = "known"
	case strings.Contains(text, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		outcome = "changed"
	case strings.Contains(text, "host key is known for"):
		outcome = "unknown"
	case strings.Contains(text, "REVOKED HOST KEY"):
		outcome = "revoked"
	case strings.Contains(text, "Bad server host key: Invalid key length"):
		outcome = "weak"
	default:
		t.Fatalf("ssh: %v\n%s", err, text)
	}
	return outcome, algorithms
}
