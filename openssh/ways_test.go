//go:build unix

package openssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/openssh"
)

// runOn runs a command that must say hello.
func runOn(t *testing.T, c *shoal.Client, h shoal.Host) {
	t.Helper()
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo hello"}); err != nil || out.Text() != "hello\n" {
		t.Errorf("%q, %v", out.Text(), err)
	}
}

func TestCompression(t *testing.T) {
	servers := start(t, 1, "LogLevel DEBUG1", "Compression yes")
	s := use(t, servers, "Compression yes")
	runOn(t, s.client, hosts(servers...)[0])
	servers[0].WaitLog("Enabling compression", 1)
}

// A ProxyCommand and jump hosts, ours and ssh_config's, of one hop and two.
func TestProxies(t *testing.T) {
	servers := start(t, 3)
	port := func(i int) string { return strconv.Itoa(servers[i].Port) }
	s := use(t, servers,
		"Host command", "HostName 127.0.0.1", "Port "+port(2), "ProxyCommand ssh -F CONFIG -p "+port(1)+" -W %h:%p 127.0.0.1",
		"Host jump", "HostName 127.0.0.1", "Port "+port(2), "ProxyJump first,second",
		"Host first", "HostName 127.0.0.1", "Port "+port(0),
		"Host second", "HostName 127.0.0.1", "Port "+port(1),
	)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.config, strings.ReplaceAll(string(text), "CONFIG", s.config))
	for name, test := range map[string]struct {
		host   shoal.Host
		logins []int // of the servers
	}{
		"ProxyCommand": {shoal.Host{Name: "command"}, []int{0, 1, 1}},
		"ProxyJump":    {shoal.Host{Name: "jump"}, []int{1, 1, 1}},
		"one in Via":   {shoal.Host{Name: servers[2].Addr, Via: []shoal.Host{{Name: servers[0].Addr, User: servers[0].User}}}, []int{1, 0, 1}},
		"two in Via":   {shoal.Host{Name: servers[2].Addr, Via: []shoal.Host{{Name: "first"}, {Name: "b", Addr: servers[1].Addr}}}, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			before := logins(servers)
			runOn(t, s.client, test.host)
			for i, n := range logins(servers) {
				if n-before[i] != test.logins[i] {
					t.Errorf("%d logins at server %d, want %d", n-before[i], i, test.logins[i])
				}
			}
		})
	}
}

// What ssh_config says about sessions and about being in the background does
// not disturb.
func TestConfiguredSessions(t *testing.T) {
	servers := start(t, 1)
	touched := filepath.Join(t.TempDir(), "touched")
	taken := listen(t, func(c net.Conn) { c.Close() })
	s := use(t, servers,
		"ForkAfterAuthentication yes", "ControlMaster auto", "ControlPersist 10", "ControlPath "+filepath.Join(t.TempDir(), "cm"),
		"RemoteCommand echo no", "RequestTTY force", "LogLevel QUIET", "PermitLocalCommand yes", "LocalCommand touch "+touched,
		"LocalForward "+taken+" 127.0.0.1:22", "ExitOnForwardFailure yes", "ForwardAgent yes", "ForwardX11 yes")
	h := hosts(servers...)[0]
	runOn(t, s.client, h)
	if _, err := os.Stat(touched); err == nil {
		t.Error("LocalCommand was run")
	}
	servers[0].Kill()
	if he := hostError(t, s.client, shoal.Host{Name: "127.0.0.1:1"}); he.Kind != shoal.KindRefused {
		t.Errorf("got %v", he)
	}
}

// Hosts behind a jump host each have their own connection to it, more than it
// takes at once.
func TestBusyJumpHost(t *testing.T) {
	jump, targets := start(t, 1, "MaxStartups 3:60:6")[0], start(t, 1)
	key, err := os.ReadFile(jump.KeyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	write(t, targets[0].AuthorizedKeysFile, string(key))
	s := use(t, []*opensshtest.Server{jump, targets[0]},
		"Host behind*", "ProxyJump jump",
		"Host behind* direct*", "HostName 127.0.0.1", "Port "+strconv.Itoa(targets[0].Port),
		"Host jump", "HostName 127.0.0.1", "Port "+strconv.Itoa(jump.Port))
	for name, via := range map[string][]shoal.Host{"ProxyJump": nil, "Via": {{Name: "jump"}}} {
		t.Run(name, func(t *testing.T) {
			var all []shoal.Host
			for i := range 12 {
				h := shoal.Host{Name: "behind" + strconv.Itoa(i), Via: via}
				if via != nil {
					h.Name = "direct" + strconv.Itoa(i)
				}
				all = append(all, h)
			}
			if _, err := shoal.Gather(s.client.Run(testContext(t), slices.Values(all), shoal.Command{Line: "true"})); err != nil {
				t.Error(err)
			}
		})
	}
	if !strings.Contains(jump.Log(), "MaxStartups") {
		t.Error("the jump host was never busy") // so this shows nothing
	}
}

func logins(servers []*opensshtest.Server) []int {
	var n []int
	for _, s := range servers {
		n = append(n, strings.Count(s.Log(), "Accepted publickey"))
	}
	return n
}

// lock puts a passphrase on the key of the first server.
func lock(t *testing.T, s *opensshtest.Server, passphrase string) {
	t.Helper()
	opensshtest.Need(t, "ssh-keygen")
	run(t, "ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", s.KeyFile)
}

func TestAsk(t *testing.T) {
	const secret = `a b'"$\x `
	servers := start(t, 1)
	lock(t, servers[0], secret)
	s := use(t, servers, "Host fresh", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "StrictHostKeyChecking ask", "UserKnownHostsFile "+filepath.Join(t.TempDir(), "none"))
	h := hosts(servers...)[0]

	if he := hostError(t, s.client, h); he.Kind != shoal.KindAuthFailed {
		t.Errorf("without anybody to ask: %v", he)
	}
	var mu sync.Mutex
	var questions []shoal.Question
	answers := []string{"wrong", secret}
	transport := openssh.Transport{Args: s.transport.Args}
	transport.Ask = func(ctx context.Context, q shoal.Question) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		questions = append(questions, q)
		if q.Echo {
			return "yes", nil
		}
		if len(answers) == 0 {
			return "", errors.New("no more answers")
		}
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}
	c := &shoal.Client{Transport: &transport, Host: s.client.Host}
	defer c.Close()
	runOn(t, c, h)
	want := shoal.Question{Host: "h0", User: servers[0].User, Kind: shoal.AskPassphrase, Path: servers[0].KeyFile, Prompt: "Enter passphrase for key '" + servers[0].KeyFile + "': ", Attempt: 1}
	second := want
	second.Attempt = 2
	if !slices.Equal(questions, []shoal.Question{want, second}) {
		t.Errorf("asked %+v", questions)
	}

	t.Run("host key", func(t *testing.T) {
		questions, answers = nil, []string{secret}
		runOn(t, c, shoal.Host{Name: "fresh"})
		if len(questions) != 2 || !questions[0].Echo || !strings.Contains(questions[0].Prompt, "authenticity of host") {
			t.Errorf("asked %+v", questions)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		questions, answers = nil, nil
		c := &shoal.Client{Transport: &transport, Host: s.client.Host}
		defer c.Close()
		if he := hostError(t, c, shoal.Host{Name: servers[0].Addr}); he.Kind != shoal.KindAuthFailed || len(questions) == 0 {
			t.Errorf("%v after %+v", he, questions)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(testContext(t))
		transport := openssh.Transport{Args: s.transport.Args}
		transport.Ask = func(ctx context.Context, q shoal.Question) (string, error) {
			cancel()
			<-ctx.Done()
			return "", ctx.Err()
		}
		c := &shoal.Client{Transport: &transport, Host: s.client.Host}
		defer c.Close()
		if _, err := c.Conn(ctx, h); !errors.Is(err, shoal.ErrCancelled) {
			t.Errorf("got %v", err)
		}
	})
}

// The user's own SSH_ASKPASS is asked where ssh may ask.
func TestAskpass(t *testing.T) {
	servers := start(t, 1)
	lock(t, servers[0], "open sesame")
	s := use(t, servers)
	program := filepath.Join(t.TempDir(), "askpass")
	write(t, program, "#!/bin/sh\necho open sesame\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_ASKPASS", program)
	t.Setenv("SSH_ASKPASS_REQUIRE", "force")
	c := &shoal.Client{Transport: &openssh.Transport{Args: s.transport.Args, Terminal: true}, Host: s.client.Host}
	defer c.Close()
	runOn(t, c, hosts(servers...)[0])
}

// master starts a ControlMaster of the user's for the host in ssh_config.
func master(t *testing.T, s *setup, host, socket string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("ssh", "-F", s.config, "-M", "-N", host)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			return cmd
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("ssh ended: %v", err)
		case <-testContext(t).Done():
			t.Fatal("ssh does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A ControlMaster that runs is joined, more sessions than are good for it go
// elsewhere, and it lives on with the sessions that others have there.
func TestJoin(t *testing.T) {
	servers := start(t, 1)
	socket := filepath.Join(shortDir(t), "cm-%C")
	s := use(t, servers, "Host host", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "User "+servers[0].User, "ControlPath "+socket)
	config := run(t, "ssh", "-F", s.config, "-G", "host")
	_, path, _ := strings.Cut(config, "controlpath ")
	path, _, _ = strings.Cut(path, "\n")
	h := shoal.Host{Name: "host"}

	write(t, path, "") // what a master leaves that crashed
	runOn(t, s.client, h)
	if n := logins(servers)[0]; n != 1 {
		t.Errorf("%d logins beside a dead socket, want 1", n)
	}
	s.client.Close()
	os.Remove(path)
	s.client = &shoal.Client{Transport: s.transport}

	master(t, s, "host", path)
	theirs := exec.Command("ssh", "-F", s.config, "host", "cat")
	in, err := theirs.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := theirs.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	echo := func() {
		t.Helper()
		var b [1]byte
		if _, err := in.Write([]byte("x")); err != nil {
			t.Fatalf("their session: %v", err)
		}
		if _, err := io.ReadFull(out, b[:]); err != nil {
			t.Fatalf("their session: %v", err)
		}
	}
	defer func() { in.Close(); theirs.Wait() }()
	echo()
	before := logins(servers)[0]
	runOn(t, s.client, h)
	if n := logins(servers)[0] - before; n != 0 {
		t.Errorf("%d logins, want none", n)
	}

	// Ending our command must not end theirs, which runs beside it.
	conn, err := s.client.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := conn.Start(testContext(t), shoal.Command{Line: "trap '' TERM; echo on; while :; do sleep 1; done"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Stdout, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	echo()

	var many []*shoal.Proc
	for range 8 {
		p, err := conn.Start(testContext(t), shoal.Command{Line: "cat"})
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, p)
	}
	if n := logins(servers)[0] - before; n != 1 {
		t.Errorf("%d logins for 8 sessions, want 1", n)
	}
	for _, p := range many {
		p.Stdin.Close()
		if err := p.Wait(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	// Leaving with sessions open, and in the middle of opening some.
	if _, err := conn.Start(testContext(t), shoal.Command{Line: "cat"}); err != nil {
		t.Fatal(err)
	}
	sc := conn.SSH()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { sc.OpenChannel("session", nil) })
	}
	s.client.Close()
	wg.Wait()
	echo()

	c := &shoal.Client{Transport: &openssh.Transport{Args: s.transport.Args, NoJoin: true}}
	defer c.Close()
	before = logins(servers)[0]
	runOn(t, c, h)
	if n := logins(servers)[0] - before; n != 1 {
		t.Errorf("%d logins without joining, want 1", n)
	}
	echo()
}

// Sessions that the server allows not on one connection go over another.
func TestMaxSessions(t *testing.T) {
	for name, joined := range map[string]bool{"own": false, "joined": true} {
		t.Run(name, func(t *testing.T) {
			servers := start(t, 1, "MaxSessions 2")
			socket := filepath.Join(shortDir(t), "cm")
			s := use(t, servers, "Host host", "HostName 127.0.0.1", "Port "+strconv.Itoa(servers[0].Port), "User "+servers[0].User, "ControlPath "+socket)
			want := 3 // of five sessions
			if joined {
				master(t, s, "host", socket)
				for range 2 { // all that the server allows there
					theirs := exec.Command("ssh", "-F", s.config, "host", "echo on; cat")
					in, err := theirs.StdinPipe()
					if err != nil {
						t.Fatal(err)
					}
					out, err := theirs.StdoutPipe()
					if err != nil {
						t.Fatal(err)
					}
					if err := theirs.Start(); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
						t.Fatal(err)
					}
					defer func() { in.Close(); theirs.Wait() }()
				}
				want = 4
			}
			conn, err := s.client.Conn(testContext(t), shoal.Host{Name: "host"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var procs []*shoal.Proc
			for range 5 {
				p, err := conn.Start(testContext(t), shoal.Command{Line: "cat"})
				if err != nil {
					t.Fatal(err)
				}
				procs = append(procs, p)
			}
			if n := logins(servers)[0]; n != want {
				t.Errorf("%d logins, want %d", n, want)
			}
			for _, p := range procs {
				p.Stdin.Close()
				if err := p.Wait(testContext(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

var _ shoal.Transport = (*openssh.Transport)(nil)

// What the Host says is said to ssh, which takes it.
func TestArguments(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers)
	dir := t.TempDir()
	log, program := filepath.Join(dir, "log"), filepath.Join(dir, "ssh")
	write(t, program, "#!/bin/sh\necho \"$@\" >>'"+log+"'\nexec ssh \"$@\"\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &shoal.Client{Host: s.client.Host, Transport: &openssh.Transport{Path: program, Args: s.transport.Args}}
	defer c.Close()
	h := hosts(servers...)[0]
	h.Network, h.BindAddress, h.HostKeyAlias = "tcp4", "127.0.0.1", "[127.0.0.1]:"+strconv.Itoa(servers[0].Port)
	h.Methods, h.Timeout, h.KeepAlive, h.KeepAliveMax = []string{"publickey"}, 20*time.Second, 7*time.Second, 5
	runOn(t, c, h)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-4", "-b 127.0.0.1", "-l " + servers[0].User, "-p " + strconv.Itoa(servers[0].Port),
		"HostKeyAlias=" + h.HostKeyAlias, "PreferredAuthentications=publickey", "ConnectTimeout=20", "ServerAliveInterval=7", "ServerAliveCountMax=5"} {
		if !strings.Contains(string(text), " "+want+" ") && !strings.HasPrefix(string(text), want+" ") {
			t.Errorf("ssh was not told %s:\n%s", want, text)
		}
	}
}

// What does not pass a ControlMaster is refused in words.
func TestRefusals(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers)
	h := hosts(servers...)[0]
	with := h
	with.ForwardAgent = shoal.AgentSocket("/nowhere")
	if he := hostError(t, s.client, with); he.Stage != shoal.StagePrepare || he.Kind != shoal.KindInvalid || !strings.Contains(he.Error(), "a Transport forwards no agent") {
		t.Errorf("ForwardAgent: %v", he)
	}
	conn, err := s.client.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Listen(testContext(t), "tcp", "127.0.0.1:0")
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindInvalid || !strings.Contains(he.Error(), "does not listen on hosts") {
		t.Errorf("Listen: %v", err)
	}
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo on"}); err != nil || out.Text() != "on\n" {
		t.Errorf("after that: %q, %v", out.Text(), err)
	}
}
