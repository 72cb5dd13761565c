package shoal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// configured returns a client whose ssh_config leads to the server by any name,
// with the lines before that.
func configured(t *testing.T, s *opensshtest.Server, lines string) (*shoal.Client, *[]string) {
	t.Helper()
	var warnings []string
	file := writeFile(t, "config", fmt.Appendf(nil, "%s\nHost *\n HostName 127.0.0.1\n Port %d\n User %s\n IdentityFile %s\n IdentityAgent none\n UserKnownHostsFile %s\n GlobalKnownHostsFile none\n",
		lines, s.Port, s.User, s.KeyFile, s.KnownHosts))
	config := &shoal.SSHConfig{File: file, Warn: func(err error) { warnings = append(warnings, err.Error()) }}
	c := &shoal.Client{Complete: config.Complete, Limit: 1}
	t.Cleanup(func() { c.Close() })
	return c, &warnings
}

// said is what hosts said, by their names.
func said(t *testing.T, c *shoal.Client, cmd shoal.Command, names ...string) (map[string]string, error) {
	t.Helper()
	results, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(names...), cmd))
	got := map[string]string{}
	for _, r := range results {
		got[r.Host.Name] = r.Value.Text()
	}
	return got, err
}

// ForwardAgent counts where a Host block names the host; elsewhere it is warned
// about once.
func TestForwardAgentConfigured(t *testing.T) {
	opensshtest.Need(t, "ssh-agent", "ssh-add")
	s := opensshtest.Start(t, opensshtest.Config{})
	socket := startAgent(t)
	t.Setenv("MY_AGENT", socket)
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	const has = `test -S "$SSH_AUTH_SOCK" && echo yes || echo no`
	for _, tt := range []struct {
		lines string
		want  string // of named and other
		warn  string
	}{
		{"Host named\n ForwardAgent " + socket, "yes no", ""},
		{"Host named !x *.example.com\n ForwardAgent $MY_AGENT", "yes no", ""},
		{"Host n*\n ForwardAgent " + socket, "no no", "without a wildcard"},
		{"ForwardAgent " + socket, "no no", "without a wildcard"},
		{"Match host named\n ForwardAgent " + socket, "no no", "without a wildcard"},
		{"Host named\n Port " + fmt.Sprint(s.Port) + "\nMatch all\n ForwardAgent " + socket, "no no", "without a wildcard"},
		{"Host named\n ForwardAgent no\nHost *\n ForwardAgent " + socket, "no no", "without a wildcard"}, // of other
		{"Host named other\n ForwardAgent yes", "no no", "there is no SSH agent to forward"},             // IdentityAgent none
		{"Host named other\n ForwardAgent yes\n IdentityAgent SSH_AUTH_SOCK", "no no", "there is no SSH agent to forward"},
		{"Host named\n IdentityAgent " + socket + "\n ForwardAgent yes", "yes no", ""},
	} {
		c, warnings := configured(t, s, tt.lines)
		got, err := said(t, c, shoal.Command{Line: has}, "named", "other", "other")
		if err != nil || strings.Join(strings.Fields(got["named"]+" "+got["other"]), " ") != tt.want {
			t.Errorf("%q: %q, %v, want %s", tt.lines, got, err, tt.want)
		}
		if n := len(*warnings); tt.warn == "" && n != 0 || tt.warn != "" && (n != 1 || !strings.Contains((*warnings)[0], tt.warn)) {
			t.Errorf("%q: warnings %q, want %s", tt.lines, *warnings, tt.warn)
		}
	}
}

// An agent that is to be forwarded and is not there is told of before the host
// is connected to.
func TestForwardAgentMissing(t *testing.T) {
	c, h, s := openssh(t)
	h.ForwardAgent = shoal.AgentSocket(filepath.Join(t.TempDir(), "none"))
	_, err := c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindAgent)
	t.Setenv("SSH_AUTH_SOCK", "")
	h.ForwardAgent = shoal.Agent()
	_, err = c.Conn(testContext(t), h)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindAgent)
	if strings.Contains(s.Log(), "Connection from") {
		t.Error("the host was connected to")
	}
}

// RequestTTY is the terminal of commands that ask for none, and RemoteCommand
// gives way to the command that is given.
func TestSessionsConfigured(t *testing.T) {
	s := opensshtest.Start(t, opensshtest.Config{})
	const line = "test -t 0 && echo tty || echo none"
	made := func(force bool) *shoal.PTY {
		if force {
			return nil
		}
		return &shoal.PTY{Term: "vt100"}
	}
	for _, tt := range []struct {
		lines string
		pty   func(bool) *shoal.PTY
		want  string
	}{
		{"", nil, "none"}, {"RequestTTY auto", nil, "none"}, {"RequestTTY no", nil, "none"},
		{"RequestTTY yes", nil, "none"}, {"RequestTTY force", nil, "tty"},
		{"RequestTTY yes", made, "tty"}, {"RequestTTY force", made, "none"},
	} {
		c, _ := configured(t, s, tt.lines)
		config := &shoal.SSHConfig{PTY: tt.pty}
		complete := c.Complete
		if tt.pty != nil {
			config.File = writeFile(t, "config", []byte(tt.lines+"\n"))
			c.Complete = func(h shoal.Host) (shoal.Host, error) {
				own, err := config.Complete(shoal.Host{Name: h.Name})
				if err != nil {
					return h, err
				}
				if h, err = complete(h); err == nil {
					h.PTY = own.PTY
				}
				return h, err
			}
		}
		got, err := said(t, c, shoal.Command{Line: line}, "web")
		if err != nil || strings.TrimSpace(got["web"]) != tt.want {
			t.Errorf("%q: %q, %v, want %s", tt.lines, got, err, tt.want)
		}
	}
	c, warnings := configured(t, s, "RemoteCommand touch "+filepath.Join(t.TempDir(), "no"))
	got, err := said(t, c, shoal.Command{Line: "echo given"}, "web", "web")
	if err != nil || got["web"] != "given\n" {
		t.Errorf("%q, %v", got, err)
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "RemoteCommand is passed over") {
		t.Errorf("warnings %q", *warnings)
	}
	shell, err := c.Conn(testContext(t), shoal.Host{Name: "web", PTY: &shoal.PTY{}})
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	if out, err := shell.Run(testContext(t), shoal.Command{Line: line}); err != nil || strings.TrimSpace(out.Text()) != "tty" {
		t.Errorf("with Host.PTY: %q, %v", out.Text(), err)
	}
	sh, err := shell.Shell(testContext(t), shoal.ShellOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	if out, err := sh.Run(testContext(t), line); err != nil || strings.TrimSpace(out.Text()) != "none" {
		t.Errorf("a shell, which has a setting of its own: %q, %v", out.Text(), err)
	}
}

// RevokedHostKeys refuses keys and authorities in whatever mode, as ssh does, and
// a file that cannot be read refuses all hosts.
func TestRevokedHostKeys(t *testing.T) {
	opensshtest.Need(t, "ssh", "ssh-keygen")
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	keygen(t, "-t", "ed25519", "-N", "", "-f", ca)
	s := opensshtest.Start(t, opensshtest.Config{})
	hostKey := filepath.Join(dir, "host")
	keygen(t, "-t", "ed25519", "-N", "", "-f", hostKey)
	keygen(t, "-s", ca, "-h", "-I", "host", "-n", "127.0.0.1", hostKey+".pub")
	certified := opensshtest.Start(t, opensshtest.Config{Extra: []string{"HostKey " + hostKey, "HostCertificate " + hostKey + "-cert.pub"}})
	authority, err := os.ReadFile(ca + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := newKey(t)
	own := string(ssh.MarshalAuthorizedKey(s.HostKey))
	other := string(ssh.MarshalAuthorizedKey(stranger.PublicKey()))
	krl := filepath.Join(dir, "krl")
	keygen(t, "-k", "-f", krl, ca+".pub")
	known := writeFile(t, "known", fmt.Appendf(nil, "@cert-authority * %s[127.0.0.1]:%d %s", authority, s.Port, own))
	for _, tt := range []struct {
		name   string
		server *opensshtest.Server
		file   string
		stage  shoal.Stage // "" lets in
		kind   shoal.Kind
		only   bool // ssh does otherwise
	}{
		{"others", s, writeFile(t, "revoked", []byte("# lost\n\n"+other)), "", "", false},
		{"none", s, "none", "", "", false},
		{"own", s, writeFile(t, "revoked", []byte(other+own)), shoal.StageHostKey, shoal.KindHostKeyRevoked, false},
		{"authority's", certified, writeFile(t, "revoked", authority), shoal.StageHostKey, shoal.KindHostKeyRevoked, false},
		{"certified", certified, writeFile(t, "revoked", []byte(own)), "", "", false},
		{"missing", s, filepath.Join(dir, "missing"), shoal.StagePrepare, shoal.KindInvalid, false},
		{"noise", s, writeFile(t, "revoked", []byte("what\n")), shoal.StagePrepare, shoal.KindInvalid, true},
		{"binary list", s, krl, shoal.StagePrepare, shoal.KindInvalid, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []string{"yes", "no"} {
				lines := fmt.Sprintf("RevokedHostKeys %s\nStrictHostKeyChecking %s\nUserKnownHostsFile %s\n", tt.file, mode, known)
				c, _ := configured(t, tt.server, lines)
				conn, err := c.Conn(testContext(t), shoal.Host{Name: "web"})
				if tt.stage == "" && err != nil {
					t.Errorf("%s: %v", mode, err)
				} else if tt.stage != "" {
					wantHostError(t, err, tt.stage, tt.kind)
				}
				if err == nil {
					conn.Close()
				}
				if tt.only {
					continue
				}
				file := writeFile(t, "config", []byte(lines))
				out, err := exec.Command("ssh", "-F", file, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", tt.server.KeyFile,
					"-p", fmt.Sprint(tt.server.Port), "127.0.0.1", "true").CombinedOutput()
				if (err == nil) != (tt.stage == "") {
					t.Errorf("ssh itself, %s: %v: %s", mode, err, out)
				}
			}
		})
	}
}

// CheckHostIP refuses a host whose address is known with another key, and learns
// the address where it may.
func TestCheckHostIP(t *testing.T) {
	s := opensshtest.Start(t, opensshtest.Config{})
	stranger, _ := newKey(t)
	name := fmt.Sprintf("[localhost]:%d %s", s.Port, ssh.MarshalAuthorizedKey(s.HostKey))
	address := fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, ssh.MarshalAuthorizedKey(stranger.PublicKey()))
	connect := func(known, check, strict string) error {
		c, _ := configured(t, s, fmt.Sprintf("HostName localhost\nAddressFamily inet\nUserKnownHostsFile %s\nCheckHostIP %s\nStrictHostKeyChecking %s\n", known, check, strict))
		conn, err := c.Conn(testContext(t), shoal.Host{Name: "web"})
		if err == nil {
			conn.Close()
		}
		return err
	}
	both := writeFile(t, "known", []byte(name+address))
	if err := connect(both, "no", "yes"); err != nil {
		t.Error(err)
	}
	if err := connect(both, "yes", "no"); err != nil {
		t.Error(err)
	}
	for _, mode := range []string{"yes", "accept-new"} {
		he := wantHostError(t, connect(both, "yes", mode), shoal.StageHostKey, shoal.KindHostKeyChanged)
		if !strings.Contains(he.Error(), "CheckHostIP: host key for 127.0.0.1:") {
			t.Error(he)
		}
	}
	alone := writeFile(t, "known", []byte(name))
	for mode, lines := range map[string]int{"yes": 1, "accept-new": 2} {
		if err := connect(alone, "yes", mode); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(alone); mode == "accept-new" && (err != nil || strings.Count(string(text), "\n") != lines) {
			t.Errorf("%s: %q, %v", mode, text, err)
		}
	}
}

// A HostKeyAlias is looked up as it is written, with a port too.
func TestHostKeyAliasPort(t *testing.T) {
	t.Parallel()
	opensshtest.Need(t, "ssh")
	s := opensshtest.Start(t, opensshtest.Config{})
	for _, tt := range []struct {
		alias, known string
		ok           bool
	}{
		{"[cluster]:2200", "[cluster]:2200", true},
		{"[cluster]:2200", "[cluster]:2201", false},
		{"cluster", "[cluster]:2200", false},
		{"[::1]:2200", "[::1]:2200", true},
	} {
		known := writeFile(t, "known", fmt.Appendf(nil, "%s %s", tt.known, ssh.MarshalAuthorizedKey(s.HostKey)))
		lines := fmt.Sprintf("HostKeyAlias %s\nUserKnownHostsFile %s\nStrictHostKeyChecking yes\n", tt.alias, known)
		c, _ := configured(t, s, lines)
		conn, err := c.Conn(testContext(t), shoal.Host{Name: "web"})
		if (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt, err)
		}
		if err == nil {
			conn.Close()
		}
		file := writeFile(t, "config", []byte(lines))
		if out, err := exec.Command("ssh", "-F", file, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", s.KeyFile,
			"-p", fmt.Sprint(s.Port), "127.0.0.1", "true").CombinedOutput(); (err == nil) != tt.ok {
			t.Errorf("ssh itself: %v: %v: %s", tt, err, out)
		}
	}
}

// Nothing in a file of revoked keys makes it fail other than by an error.
func FuzzRevoked(f *testing.F) {
	f.Add([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9jyylnbdJ0bZwW4CYoKh9mKGbLHPpTmti1w3lOzMqb me\n# lost\n\n"))
	f.Add([]byte("SSHKRL\n\x00\x00\x00\x00\x01"))
	f.Add([]byte("restrict ssh-ed25519 x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "revoked")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		k := &shoal.KnownHosts{Files: []string{file + "-none"}, Revoked: file}
		for _, err := range k.Warnings() {
			if !strings.Contains(err.Error(), "no host is trusted without it") {
				t.Error(err)
			}
		}
	})
}
