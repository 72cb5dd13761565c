package shoal_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// grove is real servers that have ssh, and a client that counts what it sends.
type grove struct {
	*shoal.Client
	servers []*opensshtest.Server
	hosts   []shoal.Host
	dir     string // in which each has a folder for what it gets
	temp    string // of their commands
	bin     string // where they find programs first
	key     string // which lets all into each other
	ssh     string
	sent    atomic.Int64
}

// newGrove starts servers whose ssh is a script: it gets "$@" and, as $ssh, the
// words of a real one that logs in with the key. Where tools are given, commands
// find nothing else.
func newGrove(t *testing.T, n int, script string, tools ...string) *grove {
	t.Helper()
	opensshtest.Need(t, "sshd", "ssh")
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	g := &grove{dir: t.TempDir(), temp: filepath.Join(t.TempDir(), "a b"), bin: t.TempDir(), ssh: ssh}
	if err := os.Mkdir(g.temp, 0o700); err != nil {
		t.Fatal(err)
	}
	path := g.bin
	if tools == nil {
		path += ":" + os.Getenv("PATH")
	}
	for _, tool := range tools {
		at, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(at, filepath.Join(g.bin, tool))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var authorized, known []string
	for i := range n {
		s := opensshtest.Start(t, opensshtest.Config{AuthorizedKeys: authorized,
			Extra: []string{fmt.Sprintf(`SetEnv SHLVL=2 "PATH=%s" "TMPDIR=%s"`, path, g.temp)}})
		if i == 0 {
			public, err := os.ReadFile(s.KeyFile + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			g.key, authorized = s.KeyFile, []string{strings.TrimSpace(string(public))}
		}
		g.servers, known = append(g.servers, s), append(known, s.KnownHosts)
		g.hosts = append(g.hosts, shoal.Host{Name: s.Addr, Vars: map[string]any{"n": i}})
	}
	g.script(t, script)
	g.Client = &shoal.Client{
		Host: shoal.Host{User: g.servers[0].User, Auth: []shoal.Auth{shoal.KeyFile(g.key)}, HostKeys: &shoal.KnownHosts{Files: known}},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &countingConn{conn, &g.sent}, err
		},
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// script makes the ssh of the servers.
func (g *grove) script(t *testing.T, script string) {
	t.Helper()
	begin := "#!/bin/sh\nssh='" + g.ssh + " -F none -o IdentitiesOnly=yes -o IdentityAgent=none -i " + g.key + "'\n"
	mustWrite(t, filepath.Join(g.bin, "ssh"), []byte(begin+script+"\n"), 0o755)
}

type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// put copies a file to a folder for each host, and makes sure that all have it
// and nothing else is left.
func (g *grove) put(t *testing.T, tree int, from, to string) (whole shoal.Copied) {
	t.Helper()
	results, err := shoal.Gather(g.Put(testContext(t), slices.Values(g.hosts), shoal.Copy{Tree: tree, Recursive: true,
		For: func(h shoal.Host) (string, string, error) {
			return from, filepath.Join(g.dir, fmt.Sprint(h.Vars["n"]), to), nil
		}}))
	if err != nil {
		t.Error(err)
	}
	want := treeOf(t, filepath.Dir(from))
	for i, r := range results {
		name := filepath.Join(g.dir, fmt.Sprint(i))
		sameTree(t, treeOf(t, name), map[string]string{to: want[filepath.Base(from)]})
		whole.Files += r.Value.Files
		whole.Bytes += r.Value.Bytes
		whole.Relayed += r.Value.Relayed
		whole.NotRelayed += r.Value.NotRelayed
	}
	sameTree(t, treeOf(t, g.temp), nil)
	return whole
}

const passOn = `exec $ssh "$@"`

// Hosts that have a file pass it on, so that it goes out from here once, whatever
// its name is.
func TestCopyByTree(t *testing.T) {
	t.Parallel()
	const hosts, size = 6, 8 << 20
	g := newGrove(t, hosts, passOn)
	from := mustWrite(t, t.TempDir()+"/from", randomData(size), 0o640)
	got := g.put(t, 2, from, "it's\na \"new\" \xff\\$(x)")
	if got.Files != hosts || got.Bytes != hosts*size || got.Relayed != (hosts-1)*size || got.NotRelayed != 0 {
		t.Errorf("%+v", got)
	}
	if sent := g.sent.Load(); sent > size*11/10 {
		t.Errorf("%d bytes went out for a file of %d", sent, size)
	}
}

// Where a host cannot pass a file on, or what it passes on is not the file, it
// comes from here.
func TestCopyByTreeFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		tools  []string
	}{
		"no ssh":     {script: "echo 'ssh: not found' >&2; exit 127"},
		"no login":   {script: `exec $ssh -o PubkeyAuthentication=no "$@"`},
		"no shell":   {tools: []string{"cat", "rm", "mktemp"}, script: "exit 1"},
		"wrong sum":  {script: `{ IFS= read -r n; echo "$n"; tr a b; } | $ssh "$@"`},
		"short":      {script: `head -c 300000 | $ssh "$@"`},
		"long":       {script: `{ cat; echo; } | $ssh "$@"`},
		"fails late": {script: `$ssh "$@"; exit 1`},
		"nothing":    {script: "exit 0"},
		"no sums":    {tools: []string{"sh", "cat", "rm", "mktemp"}, script: passOn},
	} {
		t.Run(name, func(t *testing.T) {
			const hosts, size = 3, 1 << 20
			g := newGrove(t, hosts, test.script, test.tools...)
			from := mustWrite(t, t.TempDir()+"/from", bytes.Repeat([]byte("abc\x00"), size/4), 0o600)
			got := g.put(t, 4, from, "to")
			if got.Files != hosts || got.Bytes != hosts*size || got.Relayed != 0 || got.NotRelayed != hosts-1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A host that dies while it passes a file on has its own copy, and the others get
// theirs from here, or from who is left.
func TestCopyByTreeHostDies(t *testing.T) {
	t.Parallel()
	const hosts, size = 4, 2 << 20
	g := newGrove(t, hosts, "")
	// The first to send stops in the middle and waits for its end.
	mark, at := filepath.Join(g.bin, "mark"), filepath.Join(g.bin, "at")
	if err := exec.Command("mkfifo", at).Run(); err != nil {
		t.Fatal(err)
	}
	g.script(t, `if mkdir '`+mark+`' 2>/dev/null; then { head -c 1000000; echo "$SSH_CONNECTION" >'`+at+`'; exec sleep 600; } | $ssh "$@"; fi
`+passOn)
	from := mustWrite(t, t.TempDir()+"/from", randomData(size), 0o600)
	ctx := testContext(t)
	var results []shoal.Result[shoal.Copied]
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		results, err = shoal.Gather(g.Put(ctx, slices.Values(g.hosts), shoal.Copy{Tree: 1, For: func(h shoal.Host) (string, string, error) {
			return from, filepath.Join(g.dir, fmt.Sprint(h.Vars["n"]), "to"), nil
		}}))
	}()
	var words []string // of SSH_CONNECTION: addresses and ports, the sender's last
	if pipe, err := os.OpenFile(at, os.O_RDWR, 0); err != nil {
		t.Error(err)
	} else {
		deadline, _ := ctx.Deadline()
		line, err := "", pipe.SetReadDeadline(deadline)
		if err == nil {
			line, err = bufio.NewReader(pipe).ReadString('\n')
		}
		if err != nil {
			t.Error(err)
		}
		words = strings.Fields(line)
		pipe.Close()
	}
	for _, s := range g.servers {
		if len(words) == 4 && strings.HasSuffix(s.Addr, ":"+words[3]) {
			s.Kill()
		}
	}
	<-done
	if err != nil {
		t.Error(err)
	}
	want := treeOf(t, filepath.Dir(from))
	notRelayed := 0
	for i, r := range results {
		sameTree(t, treeOf(t, filepath.Join(g.dir, fmt.Sprint(i))), map[string]string{"to": want["from"]})
		notRelayed += r.Value.NotRelayed
	}
	if notRelayed == 0 {
		t.Error("no host was seen to fail")
	}
}

// A host sends to nobody that has another key than the one that was met here.
func TestCopyByTreeOtherHost(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	other := opensshtest.Start(t, opensshtest.Config{})
	g := newGrove(t, 2, fmt.Sprintf(`exec $ssh -p %d "$@"`, other.Port))
	from := mustWrite(t, t.TempDir()+"/from", randomData(size), 0o600)
	if got := g.put(t, 1, from, "to"); got.NotRelayed != 1 || got.Files != 2 {
		t.Errorf("%+v", got)
	}
	other.WaitLog("Connection closed by", 1)
	if strings.Contains(other.Log(), "Accepted") {
		t.Error("it logged in to another host")
	}
}

// Directories go so too: large files from other hosts, small ones from here.
func TestCopyByTreeDirectory(t *testing.T) {
	t.Parallel()
	const hosts, large = 3, 300 << 10
	g := newGrove(t, hosts, passOn)
	dir := t.TempDir() + "/dir"
	for i := range 5 {
		mustWrite(t, fmt.Sprintf("%s/d/%d", dir, i), randomData(large+i), 0o644)
		mustWrite(t, fmt.Sprintf("%s/small%d", dir, i), randomData(1000+i), 0o644)
	}
	results, err := shoal.Gather(g.Put(testContext(t), slices.Values(g.hosts), shoal.Copy{Tree: 2, Recursive: true, Preserve: true,
		For: func(h shoal.Host) (string, string, error) {
			return dir, filepath.Join(g.dir, fmt.Sprint(h.Vars["n"])), nil
		}}))
	if err != nil {
		t.Fatal(err)
	}
	var relayed int64
	for i, r := range results {
		sameTree(t, treeOf(t, filepath.Join(g.dir, fmt.Sprint(i))), treeOf(t, dir))
		relayed += r.Value.Relayed
	}
	if want := int64((hosts - 1) * (5*large + 10)); relayed != want {
		t.Errorf("%d bytes came from other hosts, want %d", relayed, want)
	}
	at, err := os.Stat(dir + "/d/3")
	if err != nil {
		t.Fatal(err)
	}
	for i := range hosts {
		if got, err := os.Stat(filepath.Join(g.dir, fmt.Sprint(i), "d/3")); err != nil || got.Mode() != at.Mode() || got.ModTime().Unix() != at.ModTime().Unix() {
			t.Errorf("%v, %v", got, err)
		}
	}
}
