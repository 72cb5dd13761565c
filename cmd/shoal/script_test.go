package main

import (
	"errors"
	"flag"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

var update = flag.Bool("update", false, "write what the scripts compare with")

// TestScript runs the scripts on embedded fleets.
func TestScript(t *testing.T) {
	t.Run("script", func(t *testing.T) { runScripts(t, "script", startFleet("")) })
	t.Run("both", func(t *testing.T) { runScripts(t, "both", startFleet("/bin/sh")) })
}

// TestScriptOpenSSH runs those that need no broken hosts on real servers.
func TestScriptOpenSSH(t *testing.T) {
	opensshtest.Need(t, "sshd", "ssh")
	start := func(t testing.TB, hosts int, faults map[int]sshtest.Fault) access {
		return startOpenSSH(t, hosts, faults)
	}
	t.Run("both", func(t *testing.T) { runScripts(t, "both", start) })
	t.Run("openssh", func(t *testing.T) { runScripts(t, "openssh", start) })
	t.Run("tree", func(t *testing.T) { runScripts(t, "tree", startTrusting) })
}

// access is how a script gets to the hosts that it runs on.
type access struct {
	hosts      []string
	knownHosts []byte
	key        []byte
}

// starter starts hosts for a script.
type starter func(t testing.TB, hosts int, faults map[int]sshtest.Fault) access

// theTest is the key of a script's own test.
type theTest struct{}

// runScripts runs a folder of scripts. Their command "fleet [N] [HOST=FAULT…]"
// starts hosts, from 0; their addresses are in $HOSTS and $H0, $H1 and so on,
// and a home folder lets in whoever runs the test.
func runScripts(t *testing.T, dir string, start starter) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Values[theTest{}] = env.T().(testing.TB)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet": func(ts *testscript.TestScript, _ bool, args []string) {
				hosts, faults := parseFleet(ts, args)
				settle(ts, start(ts.Value(theTest{}).(testing.TB), hosts, faults))
			},
		},
	})
}

func parseFleet(ts *testscript.TestScript, args []string) (hosts int, faults map[int]sshtest.Fault) {
	hosts, faults = 1, make(map[int]sshtest.Fault)
	for _, arg := range args {
		host, kind, isFault := strings.Cut(arg, "=")
		n, err := strconv.Atoi(host)
		ts.Check(err)
		if isFault {
			faults[n] = sshtest.Fault{Kind: sshtest.FaultKind(kind)}
		} else {
			hosts = n
		}
	}
	return hosts, faults
}

// settle writes the home folder and sets the variables.
func settle(ts *testscript.TestScript, a access) {
	ts.Check(a.write(ts.Getenv("HOME")))
	ts.Setenv("HOSTS", strings.Join(a.hosts, ","))
	for i, h := range a.hosts {
		ts.Setenv("H"+strconv.Itoa(i), h)
	}
}

// write makes a home folder from which the hosts let one in.
func (a access) write(home string) error {
	ssh := filepath.Join(home, ".ssh")
	return errors.Join(
		os.MkdirAll(ssh, 0o700),
		os.WriteFile(filepath.Join(ssh, "known_hosts"), a.knownHosts, 0o600),
		os.WriteFile(filepath.Join(ssh, "id_ed25519"), a.key, 0o600),
	)
}

// startFleet starts embedded hosts; commands run in the shell, or where that is
// empty in none: see [sshtest.Builtin].
func startFleet(shell string) starter {
	return func(t testing.TB, hosts int, faults map[int]sshtest.Fault) access {
		f := sshtest.New(t, sshtest.Config{
			Hosts:  hosts,
			Shell:  shell,
			SFTP:   func(int) string { return "/" },
			Users:  []sshtest.User{{Name: loginName(t), ClientKey: true}},
			Faults: func(host int) sshtest.Fault { return faults[host] },
		})
		a := access{knownHosts: f.KnownHosts(), key: f.ClientKeyPEM()}
		for _, h := range f.Hosts() {
			a.hosts = append(a.hosts, h.Addr)
		}
		return a
	}
}

// startOpenSSH starts a server for each host; they share a user and a key.
func startOpenSSH(t testing.TB, hosts int, faults map[int]sshtest.Fault, extra ...string) access {
	if len(faults) > 0 {
		t.Fatal("real servers play no faults")
	}
	var a access
	var authorized []string
	for i := range hosts {
		s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: authorized, Extra: extra})
		known, err := os.ReadFile(s.KnownHosts)
		if err == nil && i == 0 {
			var key []byte
			a.key, err = os.ReadFile(s.KeyFile)
			if err == nil {
				key, err = os.ReadFile(s.KeyFile + ".pub")
			}
			authorized = []string{strings.TrimSpace(string(key))}
		}
		if err != nil {
			t.Fatal(err)
		}
		a.knownHosts = append(a.knownHosts, known...)
		a.hosts = append(a.hosts, s.Addr)
	}
	return a
}

// startTrusting starts servers that log in to each other with the key.
func startTrusting(t testing.TB, hosts int, faults map[int]sshtest.Fault) access {
	bin := t.TempDir()
	ssh, err := opensshtest.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	a := startOpenSSH(t, hosts, faults, "SetEnv SHLVL=2 PATH="+bin+":"+os.Getenv("PATH"))
	key := filepath.Join(bin, "key")
	if err := errors.Join(os.WriteFile(key, a.key, 0o600),
		os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\nexec "+ssh+" -F none -o IdentitiesOnly=yes -i "+key+" \"$@\"\n"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return a
}

// loginName is the name that Shoal logs in with by default.
func loginName(t testing.TB) string {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
}
