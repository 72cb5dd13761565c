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
)

// keygen runs ssh-keygen.
func keygen(t *testing.T, args ...string) {
	t.Helper()
	opensshtest.Need(t, "ssh-keygen")
	if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v: %s", args, err, out)
	}
}

// signed makes a key, and a certificate for it that lies somewhere else than ssh
// would look for it.
func signed(t *testing.T, ca string, args ...string) (key, cert string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "id")
	keygen(t, "-t", "ed25519", "-N", "", "-f", key)
	keygen(t, append(append([]string{"-s", ca, "-I", "somebody"}, args...), key+".pub")...)
	cert = filepath.Join(t.TempDir(), "elsewhere.pub")
	if err := os.Rename(key+"-cert.pub", cert); err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// CertificateFile lets in with us where it lets in with ssh, and where it does
// not the error says what is wrong with the certificate.
func TestCertificateFile(t *testing.T) {
	opensshtest.Need(t, "ssh", "ssh-keygen")
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	keygen(t, "-t", "ed25519", "-N", "", "-f", ca)
	s := opensshtest.Start(t, opensshtest.Config{Extra: []string{"TrustedUserCAKeys " + ca + ".pub"}})
	otherCA := filepath.Join(dir, "other")
	keygen(t, "-t", "ed25519", "-N", "", "-f", otherCA)
	for _, tt := range []struct {
		name string
		ca   string
		args []string
		want string // of the error; empty lets in
	}{
		{"good", ca, []string{"-n", "somebody-else," + s.User, "-V", "-1h:+1h"}, ""},
		{"other principal", ca, []string{"-n", "somebody-else"}, `certificate "somebody" is for somebody-else and not for ` + s.User},
		{"expired", ca, []string{"-n", s.User, "-V", "20200101000000Z:20200102000000Z"}, `certificate "somebody" expired at 2020-01-02T00:00:00Z`},
		{"not yet", ca, []string{"-n", s.User, "-V", "+52w:+53w"}, `certificate "somebody" is not valid before`},
		{"other authority", otherCA, []string{"-n", s.User}, "no method accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, cert := signed(t, tt.ca, tt.args...)
			file := writeFile(t, "config", fmt.Appendf(nil, "Host *\n IdentityFile %s\n CertificateFile %s\n CertificateFile %s/none\n IdentitiesOnly yes\n IdentityAgent none\n User %s\n UserKnownHostsFile %s\n BatchMode yes\n",
				key, cert, dir, s.User, s.KnownHosts))
			out, err := exec.Command("ssh", "-F", file, "-p", fmt.Sprint(s.Port), "127.0.0.1", "true").CombinedOutput()
			if (err == nil) != (tt.want == "") {
				t.Fatalf("ssh itself: %v: %s", err, out)
			}
			c := &shoal.Client{Complete: (&shoal.SSHConfig{File: file}).Complete}
			defer c.Close()
			_, err = shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "true"}))
			named := &shoal.Client{Complete: (&shoal.SSHConfig{File: "none", Options: []string{"CertificateFile=" + cert}}).Complete,
				Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}}, Auth: []shoal.Auth{shoal.Identities(shoal.Auth{}, true, key)}}}
			defer named.Close()
			if conn, err := named.Conn(testContext(t), shoal.Host{Name: s.Addr}); err == nil {
				conn.Close()
			} else if tt.want == "" {
				t.Errorf("with Identities: %v", err)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// The key of a certificate may be in the agent alone, and so may the certificate.
func TestCertificateAgent(t *testing.T) {
	opensshtest.Need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	ca := filepath.Join(t.TempDir(), "ca")
	keygen(t, "-t", "ed25519", "-N", "", "-f", ca)
	s := opensshtest.Start(t, opensshtest.Config{Extra: []string{"TrustedUserCAKeys " + ca + ".pub"}})
	for _, held := range []bool{false, true} { // the certificate, by the agent
		key, cert := signed(t, ca, "-n", s.User)
		if held {
			if err := os.Rename(cert, key+"-cert.pub"); err != nil {
				t.Fatal(err)
			}
		}
		socket := startAgent(t)
		add := exec.Command("ssh-add", "-q", key)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v: %s", err, out)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		auth := shoal.AgentSocket(socket)
		if !held {
			auth = shoal.Certificates(shoal.Identities(auth, true, key+".pub"), cert)
		}
		c := &shoal.Client{Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}}, Auth: []shoal.Auth{auth}}}
		if _, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(s.Addr), shoal.Command{Line: "true"})); err != nil {
			t.Errorf("certificate in the agent: %v: %v", held, err)
		}
		c.Close()
	}
	if n := strings.Count(s.Log(), "ED25519-CERT"); n < 2 {
		t.Errorf("%d certificates were accepted, want 2", n)
	}
}

// Certificates that cannot serve are named where no other way lets in, and keep
// no key from being offered.
func TestCertificateMistakes(t *testing.T) {
	c, h, s := openssh(t)
	ca := filepath.Join(t.TempDir(), "ca")
	keygen(t, "-t", "ed25519", "-N", "", "-f", ca)
	key, foreign := signed(t, ca, "-n", s.User)
	noise := writeFile(t, "noise.pub", []byte("not a certificate\n"))
	h.Auth = []shoal.Auth{shoal.Certificates(shoal.KeyFile(s.KeyFile), noise, foreign, s.KeyFile+".pub")}
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	h.Auth = []shoal.Auth{shoal.Certificates(shoal.KeyFile(key), noise, key+".pub"),
		shoal.Certificates(shoal.KeyFile(writeFile(t, "k", []byte("x"))), foreign)}
	_, err = c.Conn(testContext(t), h)
	he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	for _, want := range []string{"noise.pub", "it is a plain public key", "is in no identity file and not in the agent"} {
		if !strings.Contains(he.Error(), want) {
			t.Errorf("%v does not say %q", he, want)
		}
	}
	h.Auth = []shoal.Auth{shoal.Certificates(shoal.Password("x"), foreign)}
	_, err = c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
}
