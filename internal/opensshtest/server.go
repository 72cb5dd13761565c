// Package opensshtest starts the real OpenSSH server for tests.
//
// Each [Server] is one sshd that runs as the current user (root or not) on a
// loopback port of its own, with its own host keys, client key and folder. It
// ends with the test that started it, and its log is part of the report of a
// test that fails.
package opensshtest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// patience bounds every wait of this package. It is far more than a loaded
// machine needs: running into it means that the server is stuck.
const patience = 30 * time.Second

// Config says how the server differs from the defaults of [Start]. The zero
// value is a usable server.
type Config struct {
	// Extra holds lines of sshd_config(5). They come before the lines of this
	// package, so that they win: sshd keeps the first value of a keyword. From
	// the first Match line on they come last. LogLevel must stay at INFO or
	// above, because the server's log tells when it is ready.
	Extra []string
	// AuthorizedKeys holds lines of the authorized_keys file besides the one
	// for KeyFile, options included.
	AuthorizedKeys []string
	// KeyOptions is what stands before KeyFile's public key in authorized_keys,
	// such as `restrict,pty`. Empty means no options.
	KeyOptions string
	// HostKeyTypes lists the host keys to make, of "ed25519", "ecdsa" and
	// "rsa". Empty means ed25519 alone.
	HostKeyTypes []string
	// Env holds KEY=value pairs for the environment of the server itself, on
	// top of that of the test. Sessions do not see them.
	Env []string
}

// Server is a running sshd. Its methods end the test on failure, so they belong
// on the test's goroutine, except for Log, which any goroutine may call. The
// fields are for reading only.
type Server struct {
	Addr       string          // "127.0.0.1:port"
	Port       int             // the port of Addr
	User       string          // the only user that can log in: the one running the test
	KeyFile    string          // an authorised ed25519 client key, mode 0600; KeyFile.pub is beside it
	Signer     ssh.Signer      // the key in KeyFile
	HostKey    ssh.PublicKey   // the first of HostKeys
	HostKeys   []ssh.PublicKey // in the order of Config.HostKeyTypes
	KnownHosts string          // a known_hosts file with all HostKeys
	Dir        string          // the server's folder, removed with the test's

	// AuthorizedKeysFile may be rewritten; sshd reads it at each login.
	AuthorizedKeysFile string

	tb   testing.TB
	sshd string
	cfg  Config
	log  log
	proc *process // nil while the server is down
}

// process is one run of the sshd program.
type process struct {
	pid    int
	exited chan struct{} // closed once it was waited for
	silent chan struct{} // closed once nobody can write to its log any more
}

// Start starts sshd and returns once it listens. When sshd is missing the test
// is skipped, or fails, as [Need] says. The server ends with the test.
//
// Defaults beyond sshd's own: public keys are the only way in, root may log in,
// any environment variable is accepted, the SFTP subsystem is on, connections
// are neither throttled nor penalised, and the log level is VERBOSE.
func Start(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	Need(tb, "sshd")
	sshd, err := LookPath("sshd")
	check(tb, err)
	sshd, err = filepath.Abs(sshd) // sshd starts itself again and insists
	check(tb, err)
	me, err := user.Current()
	check(tb, err)
	s := &Server{tb: tb, sshd: sshd, cfg: cfg, User: me.Username, Dir: tb.TempDir()}
	check(tb, prepare())
	s.writeKeys()
	s.log.init()
	tb.Cleanup(s.end)
	for range 50 {
		s.Port, err = freePort()
		check(tb, err)
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
		s.writeConfig()
		if err = s.launch(); !errors.Is(err, errInUse) {
			break
		}
	}
	check(tb, err)
	return s
}

// Kill ends the server and all its sessions at once, as a crash of the host's
// sshd processes would. The clients see their connections end. Killing a dead
// server does nothing.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.proc == nil {
		return
	}
	p := s.proc
	s.proc = nil
	check(s.tb, stop(p.pid)) // no new sessions while the present ones are killed
	killChildren(p.pid)
	check(s.tb, kill(p.pid))
	s.await(p.exited, "sshd does not end")
	s.await(p.silent, "a session of sshd does not end")
}

// KillSessions ends the sessions of the server, which goes on listening.
func (s *Server) KillSessions() {
	s.tb.Helper()
	if s.proc != nil {
		killChildren(s.proc.pid)
	}
}

// Restart starts the server again on the same port and with the same keys,
// after a Kill if it is still running.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()
	check(s.tb, s.launch())
}

// Log returns what the server has logged so far, over all its runs.
func (s *Server) Log() string { return s.log.String() }

// WaitLog returns once the log holds at least n lines that contain text, and
// returns the nth. The test fails when that does not happen in reasonable time.
func (s *Server) WaitLog(text string, n int) string {
	s.tb.Helper()
	never := time.NewTimer(patience)
	defer never.Stop()
	for {
		line, changed := s.log.find(text, n, 0)
		if line != "" {
			return line
		}
		select {
		case <-changed:
		case <-never.C:
			s.tb.Fatalf("the log of sshd has not %d lines with %q", n, text)
		}
	}
}

// errInUse says that somebody else took the port between the choice and the
// start of sshd.
var errInUse = errors.New("address already in use")

// launch starts the program and waits until it listens. Readiness is read from
// the log and not tried by connecting: on a port that was taken meanwhile
// another server would answer, and OpenSSH 9.8 and later penalise clients that
// connect and leave.
func (s *Server) launch() error {
	since := s.log.size()
	p, err := s.run()
	if err != nil {
		return err
	}
	s.proc = p
	ready := "Server listening on 127.0.0.1 port " + strconv.Itoa(s.Port)
	never := time.NewTimer(patience)
	defer never.Stop()
	for {
		line, changed := s.log.find(ready, 1, since)
		if line != "" {
			return nil
		}
		select {
		case <-changed:
		case <-p.silent:
			s.proc = nil
			s.await(p.exited, "sshd does not end")
			if line, _ := s.log.find("Address already in use", 1, since); line != "" {
				return fmt.Errorf("sshd on %s: %w", s.Addr, errInUse)
			}
			return errors.New("sshd ended at its start, see its log")
		case <-never.C:
			return errors.New("sshd does not listen, see its log")
		}
	}
}

// run starts the program.
func (s *Server) run() (*process, error) {
	cmd := exec.Command(s.sshd, "-D", "-e", "-f", s.path("sshd_config"))
	cmd.Env = append(os.Environ(), s.cfg.Env...)
	return s.log.start(cmd)
}

// start starts a program whose standard error is its log. Its two goroutines end
// when it and the programs it started do.
func (l *log) start(cmd *exec.Cmd) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = w
	cmd.SysProcAttr = procAttr()
	p := &process{exited: make(chan struct{}), silent: make(chan struct{})}
	started := make(chan error)
	go runOnThread(cmd, started, p.exited)
	err = <-started
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.silent)
		defer r.Close()
		l.readFrom(r)
	}()
	return p, nil
}

// end is the cleanup of the test.
func (s *Server) end() {
	s.Kill()
	if s.tb.Failed() {
		s.tb.Logf("log of sshd on %s:\n%s", s.Addr, s.Log())
	}
}

// await waits for done; a test that runs into its bound fails.
func (s *Server) await(done <-chan struct{}, problem string) {
	s.tb.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		s.tb.Error(problem)
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.Dir, name) }

// writeConfig writes sshd_config and the known_hosts file, which depend on the
// port.
func (s *Server) writeConfig() {
	lines, match := s.cfg.Extra, []string(nil)
	if i := slices.IndexFunc(lines, isKeyword("match")); i >= 0 {
		lines, match = lines[:i], lines[i:]
	}
	lines = slices.Concat(lines, []string{
		"ListenAddress " + s.Addr,
		"PidFile " + quote(s.path("sshd.pid")),
		// This keyword alone of the ones here expands % sequences.
		"AuthorizedKeysFile " + quote(strings.ReplaceAll(s.AuthorizedKeysFile, "%", "%%")),
		"UsePAM no",
		"StrictModes no",
		"PermitRootLogin yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"AcceptEnv *",
		"LogLevel VERBOSE",
		// bash reads the user's ~/.bashrc for commands run by sshd, which no
		// test may depend on, unless it is not the outermost shell.
		"SetEnv SHLVL=2",
	})
	if !slices.ContainsFunc(lines, isKeyword("maxstartups")) { // of which sshd keeps the last
		lines = append(lines, "MaxStartups 1000")
	}
	if !slices.ContainsFunc(lines, isKeyword("subsystem")) {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	if hasPenalties(s.sshd) {
		lines = append(lines, "PerSourcePenalties no")
	}
	var known strings.Builder
	for i, key := range s.HostKeys {
		lines = append(lines, "HostKey "+quote(s.hostKeyFile(i)))
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s", s.Port, ssh.MarshalAuthorizedKey(key))
	}
	s.write("sshd_config", strings.Join(append(lines, match...), "\n")+"\n")
	s.KnownHosts = s.write("known_hosts", known.String())
}

// isKeyword returns a test for lines of sshd_config with that keyword.
func isKeyword(keyword string) func(string) bool {
	return func(line string) bool {
		word := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=", r) })
		return len(word) > 0 && strings.EqualFold(word[0], keyword)
	}
}

func quote(path string) string { return `"` + path + `"` }

// hasPenalties reports whether this sshd knows PerSourcePenalties, which came
// with OpenSSH 9.8 and is on by default. An unknown keyword is fatal to sshd,
// so its version is asked; releases without -V tell it along with their usage.
func hasPenalties(sshd string) bool {
	out, _ := exec.Command(sshd, "-V").CombinedOutput()
	_, version, _ := strings.Cut(string(out), "OpenSSH_")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return cmp.Or(cmp.Compare(major, 9), cmp.Compare(minor, 8)) >= 0
}

// freePort returns a port that is free now. It stays below 32768, where Linux
// starts to hand out ports for outgoing connections, so that one of those does
// not take it while the server is down between Kill and Restart.
func freePort() (int, error) {
	var last error
	for range 100 {
		port := 15000 + rand.IntN(17000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

// check ends the test when err is not nil.
func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("opensshtest: %v", err)
	}
}
