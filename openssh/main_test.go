//go:build unix

package openssh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/openssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testContext ends well before the test's own deadline, so that a hang fails
// with a message.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// setup is an ssh_config for servers, and a client that reads it. Its temporary
// folder is the test's, in which nothing may be left.
type setup struct {
	client    *shoal.Client
	transport *openssh.Transport
	config    string // the file
	tmp       string
}

// use starts what the test needs: an ssh_config with the lines, that knows the
// servers and the key of the first.
func use(t *testing.T, servers []*opensshtest.Server, lines ...string) *setup {
	t.Helper()
	opensshtest.Need(t, "ssh")
	var known []byte
	for _, s := range servers {
		text, err := os.ReadFile(s.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, text...)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "known_hosts"), string(known))
	lines = append(lines,
		"Host *",
		"UserKnownHostsFile "+filepath.Join(dir, "known_hosts"),
		"GlobalKnownHostsFile none",
		"IdentityFile "+servers[0].KeyFile,
		"IdentitiesOnly yes",
		"IdentityAgent none",
	)
	s := &setup{config: filepath.Join(dir, "config"), tmp: shortDir(t)}
	t.Setenv("TMPDIR", s.tmp)
	write(t, s.config, strings.Join(lines, "\n")+"\n")
	s.transport = &openssh.Transport{Args: []string{"-F", s.config}}
	s.client = &shoal.Client{Transport: s.transport, Host: shoal.Host{User: servers[0].User}}
	t.Cleanup(func() { s.end(t) })
	return s
}

// end closes the client and checks that nothing is left of it.
func (s *setup) end(t *testing.T) {
	t.Helper()
	s.client.Close()
	if left, _ := os.ReadDir(s.tmp); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
	if left := processes(t, s.tmp); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

// shortDir is a temporary folder with a path short enough for sockets in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sht-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// processes are the command lines of the processes with that text in it.
func processes(t *testing.T, text string) []string {
	t.Helper()
	opensshtest.Need(t, "ps")
	var found []string
	for line := range strings.SplitSeq(run(t, "ps", "-ww", "-A", "-o", "args="), "\n") {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts n servers that take the first one's key.
func start(t *testing.T, n int, extra ...string) []*opensshtest.Server {
	t.Helper()
	var all []*opensshtest.Server
	var keys []string
	for i := range n {
		s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: keys, Extra: extra})
		if i == 0 {
			key, err := os.ReadFile(s.KeyFile + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			keys = []string{strings.TrimSpace(string(key))}
		}
		all = append(all, s)
	}
	return all
}

// hosts are the servers, named h0, h1 and so on.
func hosts(servers ...*opensshtest.Server) []shoal.Host {
	var hosts []shoal.Host
	for i, s := range servers {
		hosts = append(hosts, shoal.Host{Name: fmt.Sprint("h", i), Addr: s.Addr})
	}
	return hosts
}
