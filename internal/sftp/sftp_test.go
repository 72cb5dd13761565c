package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type pipes struct {
	io.Reader
	io.WriteCloser
}

// newSession begins a session that ends with the test.
func newSession(t testing.TB, stream io.ReadWriteCloser) *Client {
	t.Helper()
	c, err := New(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-c.Done()
	})
	return c
}

// openSSH starts the real server.
func openSSH(t testing.TB) *Client {
	t.Helper()
	opensshtest.Need(t, "sftp-server")
	path, err := opensshtest.LookPath("sftp-server")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	return newSession(t, pipes{out, in})
}

// pkgSFTP starts the server of another implementation.
func pkgSFTP(t testing.TB) *Client {
	t.Helper()
	near, far := net.Pipe()
	srv, err := pkgsftp.NewServer(far)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve() })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	return newSession(t, near)
}

const realServer = "OpenSSH"

func bothServers(t *testing.T, test func(t *testing.T, c *Client)) {
	t.Run(realServer, func(t *testing.T) { t.Parallel(); test(t, openSSH(t)) })
	t.Run("pkg", func(t *testing.T) { t.Parallel(); test(t, pkgSFTP(t)) })
}

func pieces(data []byte, size int) Next {
	return func(context.Context) ([]byte, func(), error) {
		if len(data) == 0 {
			return nil, nil, io.EOF
		}
		p := data[:min(size, len(data))]
		data = data[len(p):]
		return p, nil, nil
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// memory is a sink for Read.
type memory struct{ data []byte }

func (m *memory) sink(offset int64, p []byte) error {
	if need := int(offset) + len(p); need > len(m.data) {
		m.data = append(m.data, make([]byte, need-len(m.data))...)
	}
	copy(m.data[offset:], p)
	return nil
}

func TestTransfer(t *testing.T) {
	bothServers(t, func(t *testing.T, c *Client) {
		ctx := t.Context()
		for _, size := range []int{0, 1, 32<<10 - 1, 32 << 10, 255 << 10, 1<<20 + 1, 9<<20 + 12345} {
			for _, piece := range []int{64, 100_000, 1 << 20} {
				if size/piece > 10_000 {
					continue
				}
				data := randomBytes(size)
				name := filepath.Join(t.TempDir(), "file")
				f, err := c.Open(ctx, name, Write|Create|Excl, Attributes{Flags: HasPermissions, Permissions: 0o600})
				if err != nil {
					t.Fatal(err)
				}
				acked := 0
				n, err := f.Write(ctx, 0, pieces(data, piece), func(n int) { acked += n })
				if err != nil || n != int64(size) || acked != size {
					t.Fatalf("Write %d: %d, %d acknowledged, %v", size, n, acked, err)
				}
				if err := errors.Join(f.Sync(ctx), f.Close(ctx)); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(name)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes in pieces of %d: got %d other ones, %v", size, piece, len(got), err)
				}
				if f, err = c.Open(ctx, name, Read, Attributes{}); err != nil {
					t.Fatal(err)
				}
				for _, limit := range []int64{int64(size), -int64(size + 1)} {
					var m memory
					end, err := f.Read(ctx, 0, limit, m.sink)
					if err != nil || end != int64(size) || !bytes.Equal(m.data, data) {
						t.Fatalf("Read %d: %d, %v", size, end, err)
					}
				}
				if size > 10 {
					var m memory
					if end, err := f.Read(ctx, 10, int64(size), m.sink); err != nil || end != int64(size) || !bytes.Equal(m.data[10:], data[10:]) {
						t.Fatalf("Read from 10: %d, %v", end, err)
					}
					for _, wrong := range []int64{int64(size - 1), int64(size + 1), int64(size) + 5<<20, -3} {
						_, err := f.Read(ctx, 0, wrong, new(memory).sink)
						if _, ok := errors.AsType[*SizeError](err); !ok {
							t.Errorf("%d bytes read as %d: %v", size, wrong, err)
						}
						if wantShort := wrong > int64(size); errors.Is(err, io.ErrUnexpectedEOF) != wantShort {
							t.Errorf("%d bytes read as %d: %v", size, wrong, err)
						}
					}
				}
				f.Close(ctx)
			}
		}
	})
}

// What reads a file with many requests sees its holes and the end of one that
// is larger than 4 GiB.
func TestSparse(t *testing.T) {
	c := openSSH(t)
	name := filepath.Join(t.TempDir(), "sparse")
	const size = 5 << 30
	local, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if _, err := local.WriteAt([]byte("end"), size-3); err != nil {
		t.Fatal(err)
	}
	f, err := c.Open(t.Context(), name, Read|Write, Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Stat(t.Context())
	if err != nil || a.Size != size {
		t.Fatalf("Stat: %d, %v", a.Size, err)
	}
	n, err := f.Write(t.Context(), size-10, pieces([]byte("before "), 3), nil)
	if err != nil || n != 7 {
		t.Fatalf("Write: %d, %v", n, err)
	}
	got := make([]byte, 100)
	end, err := f.Read(t.Context(), size-100, size, func(offset int64, p []byte) error {
		copy(got[offset-(size-100):], p)
		return nil
	})
	if err != nil || end != size || !strings.HasSuffix(string(got), "\x00before end") {
		t.Fatalf("Read: %d, %v, %q", end, err, got)
	}
}

func TestOperations(t *testing.T) {
	bothServers(t, func(t *testing.T, c *Client) {
		ctx, dir := t.Context(), t.TempDir()
		name := func(s string) string { return filepath.Join(dir, s) }
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		odd := "-rf \n\x1b[31m\xff ü"
		ok(c.Mkdir(ctx, name("d"), Attributes{}))
		ok(os.WriteFile(name("d/"+odd), []byte("content"), 0o640))
		ok(c.Symlink(ctx, "d/nowhere", name("link")))
		if target, err := c.ReadLink(ctx, name("link")); err != nil || target != "d/nowhere" {
			t.Errorf("ReadLink: %q, %v", target, err)
		}
		if target, err := os.Readlink(name("link")); err != nil || target != "d/nowhere" {
			t.Errorf("the link points to %q, %v", target, err)
		}
		if a, err := c.Lstat(ctx, name("link")); err != nil || a.Mode().Type() != fs.ModeSymlink {
			t.Errorf("Lstat: %v, %v", a.Mode(), err)
		}
		if _, err := c.Stat(ctx, name("link")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat of a link to nothing: %v", err)
		}
		var a Attributes
		a.SetMode(0o751 | fs.ModeSetuid)
		a.SetTimes(time.Unix(2000, 0), time.Unix(2000, 0)) // pkg/sftp tells one for both
		ok(c.SetStat(ctx, name("d/"+odd), a))
		a, err := c.Stat(ctx, name("d/"+odd))
		if err != nil || a.Size != 7 || a.Mode() != 0o751|fs.ModeSetuid || a.ModTime() != time.Unix(2000, 0) || a.Access != 2000 {
			t.Errorf("Stat: %+v %v, %v", a, a.Mode(), err)
		}
		var names []string
		for e, err := range c.ReadDir(ctx, dir) {
			ok(err)
			names = append(names, e.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"d", "link"}) {
			t.Errorf("ReadDir: %q", names)
		}
		for e, err := range c.ReadDir(ctx, name("d")) {
			ok(err)
			if e.Name != odd || e.Size != 7 {
				t.Errorf("ReadDir: %q with %d bytes", e.Name, e.Size)
			}
		}
		for _, err := range c.ReadDir(ctx, name("nothing")) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("ReadDir of nothing: %v", err)
			}
		}
		ok(os.WriteFile(name("other"), nil, 0o600))
		if strings.Contains(t.Name(), realServer) { // the other does what the draft forbids
			if err := c.Rename(ctx, name("d/"+odd), name("other")); err == nil {
				t.Error("Rename replaced a file")
			}
			if err := c.Rmdir(ctx, name("d/"+odd)); err == nil {
				t.Error("Rmdir removed a file")
			}
		}
		ok(c.PosixRename(ctx, name("d/"+odd), name("other")))
		ok(c.Rename(ctx, name("other"), name("third")))
		ok(c.Remove(ctx, name("third")))
		ok(c.Remove(ctx, name("link")))
		ok(c.Rmdir(ctx, name("d")))
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if p, err := c.RealPath(ctx, dir+"/./../"+filepath.Base(dir)); err != nil || p != dir {
			t.Errorf("RealPath: %q, %v", p, err)
		}
	})
}

// The limits that the server tells are used.
func TestLimits(t *testing.T) {
	l, err := openSSH(t).Limits(t.Context())
	if err != nil || l.Write < 200<<10 || l.Read < 200<<10 || l.Handles == 0 {
		t.Errorf("OpenSSH: %+v, %v", l, err)
	}
	if l, err = pkgSFTP(t).Limits(t.Context()); err != nil || l != usualLimits {
		t.Errorf("pkg/sftp: %+v, %v", l, err)
	}
}

func TestExpandPath(t *testing.T) {
	c := openSSH(t)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.ExpandPath(t.Context(), "~/x"); err != nil || !strings.HasSuffix(got, "/x") {
		t.Errorf("%q, %v, want %s/x", got, err, home)
	}
}

// Many goroutines share a session.
func TestConcurrent(t *testing.T) {
	bothServers(t, func(t *testing.T, c *Client) {
		ctx, dir := t.Context(), t.TempDir()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				data := randomBytes(1000 * i)
				name := filepath.Join(dir, fmt.Sprint(i))
				f, err := c.Open(ctx, name, Write|Create, Attributes{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := f.Write(ctx, 0, pieces(data, 777), nil); err != nil {
					t.Error(err)
				}
				if err := f.Close(ctx); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
					t.Errorf("file %d differs: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}

// A cancelled caller returns at once, the session goes on, and a file that was
// opened for nobody is closed.
func TestCancel(t *testing.T) {
	c := openSSH(t)
	dir := t.TempDir()
	for range 300 { // more than the server has handles for, were they kept
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if f, err := c.Open(ctx, filepath.Join(dir, "f"), Write|Create, Attributes{}); err == nil {
			f.Close(t.Context())
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if _, err := c.Stat(t.Context(), dir); err != nil {
		t.Errorf("after that: %v", err)
	}
	f, err := c.Open(t.Context(), filepath.Join(dir, "f"), Write|Create, Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := func(ctx context.Context) ([]byte, func(), error) { return make([]byte, 1000), nil, ctx.Err() }
	_, err = f.Write(ctx, 0, endless, func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}
