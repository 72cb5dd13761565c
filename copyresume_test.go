package shoal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// copyWay is [shoal.Conn.Put] or [shoal.Conn.Get].
type copyWay = func(context.Context, shoal.Copy) (shoal.Copied, error)

// cutter makes connections that break after so many bytes in one direction.
type cutter struct {
	up, down       atomic.Int64 // bytes that went
	cutUp, cutDown atomic.Int64 // where they break; 0 for never
}

func (c *cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &cutConn{conn, c}, err
}

type cutConn struct {
	net.Conn
	*cutter
}

func (c *cutConn) Write(p []byte) (int, error) {
	if cut := c.cutUp.Load(); c.up.Add(int64(len(p))) > cut && cut > 0 {
		c.Conn.Close()
	}
	return c.Conn.Write(p)
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if cut := c.cutDown.Load(); c.down.Add(int64(n)) > cut && cut > 0 {
		c.Conn.Close()
	}
	return n, err
}

// A copy whose connection breaks in the middle goes on where it was, up and down.
func TestResume(t *testing.T) {
	t.Parallel()
	const size, cut = 20<<20 + 5, 18 << 20
	data := randomData(size)
	for name, start := range map[string]func(*testing.T) (*shoal.Client, shoal.Host){
		"fleet": func(t *testing.T) (*shoal.Client, shoal.Host) {
			f := sshtest.New(t, sshtest.Config{Shell: "/bin/sh", SFTP: func(int) string { return "/" }})
			return newClient(t, f), shoal.Host{Name: f.Host(0).Addr}
		},
		"openssh": func(t *testing.T) (*shoal.Client, shoal.Host) {
			c, h, _ := openssh(t)
			return c, h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, h := start(t)
			line := new(cutter)
			c.Dial = line.Dial
			dir, ctx := t.TempDir(), testContext(t)
			from := mustWrite(t, dir+"/from", data, 0o644)
			for _, way := range []struct {
				name string
				copy func(*shoal.Conn, context.Context, shoal.Copy) (shoal.Copied, error)
				cut  *atomic.Int64
				went *atomic.Int64
			}{{"put", (*shoal.Conn).Put, &line.cutUp, &line.up}, {"get", (*shoal.Conn).Get, &line.cutDown, &line.down}} {
				cp := shoal.Copy{From: from, To: filepath.Join(dir, way.name), Resume: true}
				do := func() (shoal.Copied, error) {
					conn, err := c.Conn(ctx, h)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					return way.copy(conn, ctx, cp)
				}
				way.cut.Store(way.went.Load() + cut)
				_, err := do()
				if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindLost {
					t.Fatalf("%s over a line that breaks: %v", way.name, err)
				}
				way.cut.Store(0)
				sameTree(t, namesOf(treeOf(t, dir)), map[string]string{"from": "", "." + way.name + ".shoal-part": ""})
				before := way.went.Load()
				got, err := do()
				if err != nil || got.Bytes != size || got.Kept == 0 {
					t.Fatalf("%s again: %+v, %v", way.name, got, err)
				}
				if n := way.went.Load() - before; n > size-got.Kept+1<<20 {
					t.Errorf("%s again: %d bytes went, with %d of %d there already", way.name, n, got.Kept, size)
				}
				if b, err := os.ReadFile(cp.To); err != nil || !bytes.Equal(b, data) {
					t.Errorf("%s: %d bytes, %v", way.name, len(b), err)
				}
				if got, err = do(); err != nil || got.Skipped != 1 {
					t.Errorf("%s of what is there: %+v, %v", way.name, got, err)
				}
				os.Remove(cp.To)
			}
		})
	}
}

func namesOf(tree map[string]string) map[string]string {
	for name := range tree {
		tree[name] = ""
	}
	return tree
}

// A part that is not the source's beginning is not gone on with, and whatever it
// is, the copy is right in the end.
func TestResumeParts(t *testing.T) {
	t.Parallel()
	const small, size, window = 2 << 20, 18 << 20, 64 * 255 << 10
	data := randomData(size)
	changed := func(at, length int) []byte {
		b := bytes.Clone(data[:length])
		b[at]++
		return b
	}
	conn := opensshConn(t)
	for name, test := range map[string]struct {
		size int
		part []byte
		kept bool
	}{
		"good":           {small, data[:1<<20], true},
		"whole":          {small, data[:small], true},
		"first byte":     {small, changed(0, 1<<20), false},
		"middle":         {small, changed(1<<19, 1<<20), false},
		"too long":       {small, data[:small+1], false},
		"tiny":           {small, data[:100], false},
		"empty":          {small, nil, false},
		"hole at end":    {size, changed(size-1<<20, size-1<<19), true},
		"hole too early": {size, changed(size-window-1<<20, size), false},
	} {
		for way, do := range map[string]copyWay{"put": conn.Put, "get": conn.Get} {
			t.Run(name+" "+way, func(t *testing.T) {
				dir := t.TempDir()
				from := mustWrite(t, dir+"/from", data[:test.size], 0o644)
				mustWrite(t, dir+"/.to.shoal-part", test.part, 0o600)
				got, err := do(testContext(t), shoal.Copy{From: from, To: dir + "/to", Resume: true})
				if err != nil || got.Files != 1 || got.Bytes != int64(test.size) || got.Kept > 0 != test.kept {
					t.Errorf("%+v, %v", got, err)
				}
				sum := fmt.Sprintf("%d %x", test.size, sha256.Sum256(data[:test.size]))
				sameTree(t, treeOf(t, dir), map[string]string{"from": sum, "to": sum})
			})
		}
	}
}

// A link where the part should be is not written through.
func TestResumePlantedLink(t *testing.T) {
	t.Parallel()
	conn, data := opensshConn(t), randomData(1<<20)
	for way, do := range map[string]copyWay{"put": conn.Put, "get": conn.Get} {
		dir := t.TempDir()
		from, victim := mustWrite(t, dir+"/from", data, 0o644), mustWrite(t, dir+"/victim", data[:600<<10], 0o600)
		if err := os.Symlink(victim, dir+"/.to.shoal-part"); err != nil {
			t.Fatal(err)
		}
		got, err := do(testContext(t), shoal.Copy{From: from, To: dir + "/to", Resume: true})
		if err != nil || got.Kept != 0 {
			t.Errorf("%s: %+v, %v", way, got, err)
		}
		if b, _ := os.ReadFile(victim); !bytes.Equal(b, data[:600<<10]) {
			t.Errorf("%s: written through a link", way)
		}
		if b, _ := os.ReadFile(dir + "/to"); !bytes.Equal(b, data) {
			t.Errorf("%s: %d bytes", way, len(b))
		}
	}
	if _, err := conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader("x"), To: "/tmp/x", Resume: true}); err == nil {
		t.Error("a Reader was gone on with")
	}
}

// sums answers sumProgram on a host as it likes, and counts how often.
type sums struct {
	asked atomic.Int32
	say   func(name string) string
}

func (s *sums) handle(_ context.Context, session *sshtest.Session) sshtest.ExitStatus {
	name, _ := io.ReadAll(session.Stdin)
	s.asked.Add(1)
	said := s.say(strings.TrimSuffix(string(name), "/"))
	if said == "" {
		return sshtest.ExitStatus{Code: 127}
	}
	fmt.Fprintln(session.Stdout, said)
	return sshtest.ExitStatus{}
}

// Verify asks the host for sums, and believes none but the one that it looks for:
// a host that computes badly costs time, one that stores badly the copy.
func TestVerify(t *testing.T) {
	t.Parallel()
	data := randomData(1 << 20)
	right := fmt.Sprintf("%x", sha256.Sum256(data))
	for name, test := range map[string]struct {
		say   string
		spoil bool
		asked int32
		back  bool // read back
		kind  shoal.Kind
	}{
		"sha256sum":           {say: right + "  -", asked: 1},
		"openssl":             {say: "Welcome!\nSHA2-256(stdin)= " + right, asked: 1},
		"no tool":             {asked: 1, back: true},
		"wrong sum":           {say: strings.Repeat("0", 64), asked: 1, back: true},
		"nonsense":            {say: "no shell for you", asked: 1, back: true},
		"spoilt, no tool":     {spoil: true, asked: 1, back: true, kind: shoal.KindTruncated},
		"spoilt, its own sum": {say: strings.Repeat("1", 64), spoil: true, asked: 1, back: true, kind: shoal.KindTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := &sums{say: func(string) string { return test.say }}
			files := &faultyFiles{spoil: test.spoil}
			conn, dir := serveFaultyWith(t, files, host.handle)
			_, err := conn.Put(testContext(t), shoal.Copy{From: writeFile(t, "x", data), To: "/file", Verify: true})
			if he, ok := errors.AsType[*shoal.HostError](err); ok != (test.kind != "") || ok && he.Kind != test.kind {
				t.Errorf("got %v", err)
			}
			if n := host.asked.Load(); n != test.asked {
				t.Errorf("asked %d times for a sum", n)
			}
			if back := files.reads.Load() > 0; back != test.back {
				t.Errorf("read back: %v", back)
			}
			want := data
			if test.kind != "" {
				want = []byte("old")
			}
			sameTree(t, treeOf(t, dir), map[string]string{"file": fmt.Sprintf("%d %x", len(want), sha256.Sum256(want))})
		})
	}
}

// On a real host the sum is the host's own, whatever the file is called.
func TestVerifyOpenSSH(t *testing.T) {
	t.Parallel()
	line := new(cutter)
	c, h, _ := openssh(t)
	c.Dial = line.Dial
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	data := randomData(4 << 20)
	for _, name := range []string{"plain", "-n", "new\nline\n", "qu'ote\"$(x)`", "\xff\xfe", "~", "sla\\sh"} {
		from, dir := writeFile(t, "x", data), t.TempDir()
		down := line.down.Load()
		if _, err := conn.Put(testContext(t), shoal.Copy{From: from, To: dir + "/" + name, Verify: true}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if n := line.down.Load() - down; n > 1<<20 {
			t.Errorf("%q: %d bytes came back", name, n)
		}
	}
}
