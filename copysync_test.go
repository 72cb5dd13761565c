package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pkg/sftp"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// syncTo is the copy that makes a remote folder equal to a local one.
func syncTo(from, to string) shoal.Copy {
	return shoal.Copy{From: from + "/.", To: to, Recursive: true, Preserve: true, Unchanged: shoal.SkipSameAge, Delete: true}
}

// A file that is written again in the second in which it was copied is not taken
// for the copied one.
func TestSyncSameSecond(t *testing.T) {
	t.Parallel()
	conn, src, to := opensshConn(t), t.TempDir(), t.TempDir()
	for i := range 3 {
		mustWrite(t, src+"/file", fmt.Append(nil, i), 0o644)
		if _, err := conn.Put(testContext(t), syncTo(src, to)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to + "/file"); err != nil || string(got) != fmt.Sprint(i) {
			t.Errorf("the file has %q, %v; want %d", got, err, i)
		}
	}
}

// A remote folder becomes equal to a local one, and nothing else is touched. What
// a dry run says before is what is done.
func TestSync(t *testing.T) {
	t.Parallel()
	conn, src := opensshConn(t), oddTree(t)
	base := t.TempDir()
	to, outside := base+"/to", base+"/outside"
	mustWrite(t, src+"/secret/key", []byte("mine"), 0o600)
	mustWrite(t, src+"/d/x.tmp", []byte("mine"), 0o600)
	// There before: what is too much, what is kept, and things of another kind.
	mustWrite(t, to+"/old/deep/er/file", []byte("x"), 0o644)
	mustWrite(t, to+"/old/keep.tmp", []byte("excluded"), 0o644)
	mustWrite(t, to+"/gone/file", []byte("x"), 0o644)
	mustWrite(t, to+"/secret/theirs", []byte("excluded"), 0o644)
	mustWrite(t, to+"/a/was a folder", []byte("x"), 0o644)
	mustWrite(t, to+"/link/was a folder", []byte("x"), 0o644)
	mustWrite(t, to+"/none", []byte("was a file"), 0o644)
	mustWrite(t, to+"/.big.shoal-ABCDEFGHIJKL", []byte("of a killed program"), 0o600)
	victim := mustWrite(t, outside+"/e/victim", []byte("victim"), 0o644)
	for link, at := range map[string]string{"/d": outside, "/away": outside} {
		if err := os.Symlink(at, to+link); err != nil {
			t.Fatal(err)
		}
	}
	cp := syncTo(src, to)
	cp.Exclude = []string{"*.tmp", "/secret/"}

	before := treeOf(t, base)
	dry := cp
	dry.DryRun = true
	said, err := conn.Put(testContext(t), dry)
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, treeOf(t, base), before)
	var changes []string
	for _, c := range said.Changes {
		changes = append(changes, strings.Replace(c.String(), to, "", 1))
	}
	for _, want := range []string{"- /away", "- /gone/", "- /gone/file", "- /old/deep/er/file", "- /d", "+ /d/", "+ /d/e/", "- /none", "+ /none/",
		"- /a/", "- /a/was a folder", "+ /a", "- /link/", "+ /link", "+ /-rf", "- /.big.shoal-ABCDEFGHIJKL"} {
		if !slices.Contains(changes, want) && !slices.ContainsFunc(changes, func(c string) bool { return strings.Contains(c, `"`) && strings.Contains(c, want[2:]) }) {
			t.Errorf("the dry run does not say %q", want)
		}
	}

	got, err := conn.Put(testContext(t), cp)
	if err != nil {
		t.Fatal(err)
	}
	if got.Files != said.Files || got.Dirs != said.Dirs || got.Deleted != said.Deleted || got.Bytes != said.Bytes || got.Deleted == 0 || len(got.Changes) > 0 {
		t.Errorf("did %+v, and said %+v", got, said)
	}
	want := treeOf(t, src)
	for _, name := range []string{"secret/key", "d/x.tmp"} {
		delete(want, name)
	}
	there := treeOf(t, to)
	for _, name := range []string{"secret/theirs", "old/keep.tmp", "old"} {
		if there[name] == "" {
			t.Errorf("%s was deleted, which is excluded", name)
		}
		want[name] = there[name]
	}
	sameTree(t, there, want)
	if b, _ := os.ReadFile(victim); string(b) != "victim" {
		t.Error("a file outside of the target was changed")
	}

	// Once more there is nothing to do, until a mode or a time is another.
	if got, err = conn.Put(testContext(t), cp); err != nil || got.Files+got.Dirs+got.Deleted != 0 || got.Skipped != 13 {
		t.Errorf("again: %+v, %v", got, err)
	}
	if err := errors.Join(os.Chmod(to+"/a", 0o600), os.Chtimes(to+"/d/e/f/deep", time.Unix(1e9, 0), time.Unix(1e9, 0))); err != nil {
		t.Fatal(err)
	}
	cp.Unchanged = shoal.SkipSameSum
	if got, err = conn.Put(testContext(t), cp); err != nil || got.Files != 2 || got.Bytes != 0 || got.Skipped != 11 {
		t.Errorf("after another mode and time: %+v, %v", got, err)
	}
	if info, err := os.Stat(to + "/a"); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// brokenFS is a file system in which one folder cannot be read.
type brokenFS struct{ fstest.MapFS }

func (b brokenFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "src/bad" {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrPermission}
	}
	return b.MapFS.ReadDir(name)
}

// Nothing is deleted for a source that is not wholly known, nor where that is
// likely a mistake.
func TestSyncDeletesNothing(t *testing.T) {
	t.Parallel()
	conn := opensshConn(t)
	source := fstest.MapFS{"src/good": {Data: []byte("x")}, "src/bad/file": {Data: []byte("x")}, "empty": {Mode: fs.ModeDir | 0o755}}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*shoal.Copy)
		want   string
	}{
		"unreadable":   {func(cp *shoal.Copy) { cp.FS = brokenFS{source} }, "nothing was deleted"},
		"missing":      {func(cp *shoal.Copy) { cp.From = "none/." }, "not exist"},
		"empty":        {func(cp *shoal.Copy) { cp.From = "empty/." }, "has nothing in it"},
		"all excluded": {func(cp *shoal.Copy) { cp.Exclude = []string{"*"} }, "has nothing in it"},
		"file":         {func(cp *shoal.Copy) { cp.From = "src/good" }, "no directory"},
		"login folder": {func(cp *shoal.Copy) { cp.To = "" }, "login folder"},
		"home":         {func(cp *shoal.Copy) { cp.To = home + "/./" }, "login folder"},
		"all":          {func(cp *shoal.Copy) { cp.To = "/" }, "login folder"},
		"pattern":      {func(cp *shoal.Copy) { cp.Exclude = []string{"[a"} }, "Exclude"},
		"flat":         {func(cp *shoal.Copy) { cp.Recursive = false }, "Recursive"},
	} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			mustWrite(t, to+"/theirs", []byte("x"), 0o644)
			cp := syncTo("src", to)
			cp.FS = source
			test.change(&cp)
			got, err := conn.Put(testContext(t), cp)
			if err == nil || !strings.Contains(err.Error(), test.want) || got.Deleted != 0 {
				t.Errorf("%+v, %v", got, err)
			}
			if _, err := os.Stat(to + "/theirs"); err != nil {
				t.Error("it was deleted")
			}
		})
	}
	if _, err := conn.Get(testContext(t), shoal.Copy{From: "/etc/hosts", To: t.TempDir(), DryRun: true}); err == nil {
		t.Error("Get knows DryRun")
	}
}

// Patterns find files in any directory, here and there, and leave out the same.
func TestCopyPatterns(t *testing.T) {
	t.Parallel()
	conn, src := opensshConn(t), t.TempDir()
	for _, name := range []string{"x.log", "b/y.log", "b/c/z.log", "b/c/z.txt", ".h/w.log", "b/.dot.log"} {
		mustWrite(t, src+"/"+name, []byte(name), 0o644)
	}
	for _, test := range []struct {
		pattern string
		exclude []string
		want    []string
	}{
		{"**/*.log", nil, []string{"x.log", "y.log", "z.log"}},
		{"**", []string{"*.txt"}, []string{"x.log", "y.log", "z.log"}},
		{"b/**/z.*", nil, []string{"z.log", "z.txt"}},
		{".", []string{"c/", ".*"}, []string{"x.log", "b", "b/y.log"}},
		{"*", []string{"/c/z.txt"}, []string{"x.log", "b", "b/y.log", "b/c", "b/c/z.log", "b/.dot.log"}},
	} {
		for way, do := range map[string]copyWay{"put": conn.Put, "get": conn.Get} {
			to := t.TempDir()
			if _, err := do(testContext(t), shoal.Copy{From: src + "/" + test.pattern, To: to, Recursive: true, Exclude: test.exclude}); err != nil {
				t.Errorf("%s of %s: %v", way, test.pattern, err)
			}
			want := map[string]string{}
			for _, name := range test.want {
				want[name] = ""
			}
			t.Run(way+" "+test.pattern, func(t *testing.T) { sameTree(t, namesOf(treeOf(t, to)), want) })
		}
	}
	// Two files of one name cannot both have it.
	mustWrite(t, src+"/b/x.log", []byte("other"), 0o644)
	to := t.TempDir()
	if _, err := conn.Put(testContext(t), shoal.Copy{From: src + "/**/x.log", To: to}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("put: %v", err)
	}
	if left, _ := filepath.Glob(to + "/*"); len(left) > 0 {
		t.Errorf("put: %q", left)
	}
	if _, err := conn.Get(testContext(t), shoal.Copy{From: src + "/**/x.log", To: to}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("get: %v", err)
	}
	for _, bad := range []string{"/a**", "/[x"} {
		for way, do := range map[string]copyWay{"put": conn.Put, "get": conn.Get} {
			if _, err := do(testContext(t), shoal.Copy{From: src + bad, To: to}); err == nil || !strings.Contains(err.Error(), "pattern") {
				t.Errorf("%s of %s: %v", way, bad, err)
			}
		}
	}
}

// Copies over one Conn share a session, one after the other, until it ends.
func TestCopySessions(t *testing.T) {
	t.Parallel()
	var sessions atomic.Int32
	dir := t.TempDir()
	serve := func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		sessions.Add(1)
		srv, err := sftp.NewServer(struct {
			io.Reader
			io.WriteCloser
		}{s.Stdin, nopCloser{s.Stdout}}, sftp.WithServerWorkingDirectory(dir))
		if err == nil {
			srv.Serve()
		}
		return sshtest.ExitStatus{}
	}
	for _, limit := range []int{0, 2} {
		sessions.Store(0)
		f := sshtest.New(t, sshtest.Config{MaxSessions: limit, Subsystems: map[string]sshtest.Handler{"sftp": serve}})
		conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
		if err != nil {
			t.Fatal(err)
		}
		put := func(ctx context.Context) error {
			_, err := conn.Put(ctx, shoal.Copy{Reader: strings.NewReader("x"), To: "file"})
			return err
		}
		get := func() error {
			_, err := conn.Get(testContext(t), shoal.Copy{From: "file", Writer: io.Discard})
			return err
		}
		if err := errors.Join(put(testContext(t)), put(testContext(t)), get()); err != nil || sessions.Load() != 1 {
			t.Errorf("%d sessions, %v", sessions.Load(), err)
		}
		cancelled, cancel := context.WithCancel(testContext(t))
		cancel()
		if put(cancelled) == nil {
			t.Error("copied after the context's end")
		}
		for range 3 { // a command finds its place
			if _, err := conn.Run(testContext(t), shoal.Command{Line: "hostname"}); err != nil {
				t.Errorf("at most %d sessions: %v", limit, err)
			}
			if err := put(testContext(t)); err != nil {
				t.Errorf("at most %d sessions: %v", limit, err)
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := get(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		conn.Close()
	}
}
