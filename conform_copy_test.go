package shoal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

func opensshConn(t *testing.T, extra ...string) *shoal.Conn {
	t.Helper()
	c, h, _ := openssh(t, extra...)
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func randomData(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func mustWrite(t *testing.T, name string, data []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// treeOf describes a folder: names, kinds and content.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		switch {
		case d.IsDir():
			tree[rel] = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			tree[rel] = "-> " + to
			return err
		default:
			b, err := os.ReadFile(name)
			tree[rel] = fmt.Sprintf("%d %x", len(b), sha256.Sum256(b))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func sameTree(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%q: got %q, want %q", name, got[name], v)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is too much", name)
		}
	}
}

// oddTree is a folder with all that names and files can be.
func oddTree(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "tree")
	for name, n := range map[string]int{"a": 1, "empty": 0, "big": 3<<20 + 17, "-rf": 5, "with space": 6, "new\nline": 7, "\xff\xfe": 8,
		".hidden": 9, "d/e/f/deep": 1000, "d/quote'\"$(x)": 3, "\x1b[31m": 2} {
		mustWrite(t, filepath.Join(dir, name), randomData(n), 0o644)
	}
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "none"), 0o755), os.Symlink("a", filepath.Join(dir, "link")), os.Symlink("missing", filepath.Join(dir, "d/broken"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A tree goes to a real OpenSSH and back and is the same.
func TestCopyTree(t *testing.T) {
	conform(t, "3.1 test_pssh_client_directory_abs_path", "3.2 test_copy_file_abspath_recurse", "3.2 test_copy_remote_dir_encoding",
		"3.2 test_copy_file_with_newlines", "3.7 empty dirs", "3.7 names with newline", "3.7 symlinks and loops")
	t.Parallel()
	conn, dir, back := opensshConn(t), oddTree(t), t.TempDir()
	remote := filepath.Join(t.TempDir(), "not/yet/there")
	got, err := conn.Put(testContext(t), shoal.Copy{From: dir, To: remote, Recursive: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Files != 13 || got.Failed != 0 {
		t.Errorf("Put: %+v", got)
	}
	want := treeOf(t, dir)
	sameTree(t, treeOf(t, remote), want)
	if _, err = conn.Get(testContext(t), shoal.Copy{From: remote, To: filepath.Join(back, "x"), Recursive: true, Verify: true}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, treeOf(t, filepath.Join(back, "x")), want)
	// Once more: what is there is a directory, so the source goes into it.
	if _, err = conn.Put(testContext(t), shoal.Copy{From: dir, To: remote, Recursive: true}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, treeOf(t, filepath.Join(remote, "tree")), want)
	if _, err = conn.Put(testContext(t), shoal.Copy{From: dir, To: remote}); err == nil {
		t.Error("a directory was copied without Recursive")
	}
	if _, err = conn.Get(testContext(t), shoal.Copy{From: remote, To: back + "/y"}); err == nil {
		t.Error("a directory was fetched without Recursive")
	}
}

// The rules of names are those of cp -r.
func TestCopyNames(t *testing.T) {
	conform(t, "3.1 test_pssh_copy_file", "3.2 test_copy_file_remote_dir_relpath", "3.2 test_sftp_mkdir_abspath", "3.2 test_sftp_mkdir_rel_path",
		"3.7 relative local download path", "3.7 missing local on upload")
	t.Parallel()
	conn := opensshConn(t)
	for _, test := range []struct{ from, to, want string }{
		{"src/f", "t/new", "new"}, {"src/f", "t/", "f"}, {"src/f", "t/have", "have/f"}, {"src/f", "t/a//b///c", "a/b/c"},
		{"src/f", "t/x/", "x/f"}, {"src", "t/copy", "copy/f"}, {"src", "t/have", "have/src/f"}, {"src/", "t/copy2", "copy2/f"},
		{"src/.", "t/have", "have/f"}, {"src/*", "t/have", "have/f"}, {"src/[f]", "t/one", "one"},
	} {
		for _, put := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s to %s %v", test.from, test.to, put), func(t *testing.T) {
				base := t.TempDir()
				mustWrite(t, base+"/src/f", []byte("content"), 0o644)
				if err := os.MkdirAll(base+"/t/have", 0o755); err != nil {
					t.Fatal(err)
				}
				do := conn.Get
				if put {
					do = conn.Put
				}
				if _, err := do(testContext(t), shoal.Copy{From: base + "/" + test.from, To: base + "/" + test.to, Recursive: true}); err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(filepath.Join(base, "t", test.want)); err != nil || string(b) != "content" {
					t.Errorf("%q, %v; there is %v", b, err, treeOf(t, base))
				}
			})
		}
	}
	missing := t.TempDir() + "/target"
	_, err := conn.Put(testContext(t), shoal.Copy{From: "/nothing/here", To: missing})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindLocalIO || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing source: %v", err)
	}
	if _, err := os.Lstat(missing); err == nil {
		t.Error("something was made for a source that is not there")
	}
	_, err = conn.Get(testContext(t), shoal.Copy{From: "/nothing/here", To: missing})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindRemoteIO || he.Stage != shoal.StageTransfer || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing remote source: %v", err)
	}
}

// Modes and times are kept on demand, and setuid bits never else.
func TestCopyModes(t *testing.T) {
	conform(t, "3.7 mode and mtime")
	t.Parallel()
	conn, dir := opensshConn(t), t.TempDir()
	src := mustWrite(t, dir+"/src", []byte("x"), 0o4777)
	if err := os.Chmod(src, 0o777|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(src, when, when); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir+"/old", []byte("before"), 0o640)
	for name, do := range map[string]func(context.Context, shoal.Copy) (shoal.Copied, error){"put": conn.Put, "get": conn.Get} {
		for _, test := range []struct {
			to       string
			preserve bool
			mode     fs.FileMode
		}{{name, false, 0o755}, {"old", false, 0o640}, {name + "-p", true, 0o777 | fs.ModeSetuid}} {
			to := filepath.Join(dir, test.to)
			if _, err := do(testContext(t), shoal.Copy{From: src, To: to, Preserve: test.preserve}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(to)
			if err != nil || info.Mode() != test.mode || info.ModTime().Equal(when) != test.preserve {
				t.Errorf("%s of %s: %v, %v", name, test.to, info.Mode(), info.ModTime())
			}
			if !test.preserve {
				continue
			}
			if got, err := do(testContext(t), shoal.Copy{From: src, To: to, Unchanged: shoal.SkipSameAge}); err != nil || got.Skipped != 1 {
				t.Errorf("%s again: %+v, %v", name, got, err)
			}
			if got, err := do(testContext(t), shoal.Copy{From: src, To: to, Unchanged: shoal.SkipSameSum}); err != nil || got.Skipped != 1 {
				t.Errorf("%s again: %+v, %v", name, got, err)
			}
		}
	}
}

// Many hosts: names by host, per-host names, a stream, an fs.FS and a writer.
func TestCopyFleet(t *testing.T) {
	conform(t, "3.1 test_pssh_copy_file_per_host_args", "3.1 test_pssh_copy_remote_file", "3.1 test_pssh_copy_remote_file_per_host_args",
		"3.1 test_sftp_exceptions")
	t.Parallel()
	served := t.TempDir()
	f := sshtest.New(t, sshtest.Config{Hosts: 5, SFTP: func(host int) string {
		dir := fmt.Sprintf("%s/%d", served, host)
		os.MkdirAll(dir, 0o755)
		return dir
	}})
	c, ctx := newClient(t, f), testContext(t)
	data := randomData(2<<20 + 3)
	ok := func(results []shoal.Result[shoal.Copied], err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		for _, r := range results {
			if r.Value.Files != 1 || r.Value.Bytes != int64(len(data)) {
				t.Errorf("%s: %+v", r.Host.Name, r.Value)
			}
		}
	}
	var told []shoal.Progress
	ok(shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{From: writeFile(t, "big", data), To: "/file", Progress: func(p shoal.Progress) { told = append(told, p) }})))
	ok(shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{Reader: bytes.NewReader(data), To: "/stream"})))
	ok(shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{FS: fstest.MapFS{"a/b": {Data: data}}, From: "a/b", To: "/fs"})))
	ok(shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{For: func(h shoal.Host) (string, string, error) { return "big", "/for-" + h.Name, nil }, FS: fstest.MapFS{"big": {Data: data}}})))
	for i := range 5 {
		for _, name := range []string{"file", "stream", "fs", "for-" + f.Host(i).Name} {
			if b, err := os.ReadFile(fmt.Sprintf("%s/%d/%s", served, i, name)); err != nil || !bytes.Equal(b, data) {
				t.Errorf("host %d, %s: %d bytes, %v", i, name, len(b), err)
			}
		}
	}
	ends := 0
	for _, p := range told {
		if p.Done {
			ends++
			if p.Bytes != int64(len(data)) || p.Size != p.Bytes || p.Files != 1 {
				t.Errorf("at the end: %+v", p)
			}
		}
	}
	if ends != 5 {
		t.Errorf("%d hosts told their end", ends)
	}
	to := t.TempDir()
	ok(shoal.Gather(c.Get(ctx, hostsOf(f), shoal.Copy{From: "/file", To: to + "/got"})))
	ok(shoal.Gather(c.Get(ctx, hostsOf(f), shoal.Copy{From: "/file", To: to + "/got", Separator: "."})))
	for i := range 5 {
		for _, sep := range []string{"_", "."} {
			if b, err := os.ReadFile(to + "/got" + sep + f.Host(i).Name); err != nil || !bytes.Equal(b, data) {
				t.Errorf("host %d: %d bytes, %v", i, len(b), err)
			}
		}
	}
	// One name for all hosts: one has it, the others say so.
	results, err := shoal.Gather(c.Get(ctx, hostsOf(f), shoal.Copy{For: func(shoal.Host) (string, string, error) { return "/file", to + "/same", nil }}))
	won := 0
	for _, r := range results {
		if r.Err == nil {
			won++
		}
	}
	if won != 1 || !errors.Is(err, fs.ErrExist) {
		t.Errorf("%d hosts wrote one name: %v", won, err)
	}
	// An error for one host keeps the copy from all.
	bad := errors.New("too few arguments")
	results, err = shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{For: func(h shoal.Host) (string, string, error) {
		if h.Name == f.Host(4).Name {
			return "", "", bad
		}
		return "big", "/never", nil
	}, FS: fstest.MapFS{"big": {Data: data}}}))
	if !errors.Is(err, bad) || !errors.Is(results[0].Err, shoal.ErrNotRun) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(served + "/0/never"); err == nil {
		t.Error("copied in spite of a bad argument")
	}
	conn, err := c.Conn(ctx, shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	if _, err := conn.Get(ctx, shoal.Copy{From: "/fil*", Writer: &out}); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("Writer: %d bytes, %v", out.Len(), err)
	}
}

// What fails leaves the old file, and nothing else.
func TestCopyFailures(t *testing.T) {
	conform(t, "3.1 test_pssh_client_copy_file_failure", "3.1 test_pssh_copy_remote_file_failure", "3.2 test_sftp_fail", "3.2 test_sftp_exc",
		"3.2 test_sftp_openfh_exc", "3.5 test_invalid_mkdir", "3.7 cut transfers")
	t.Parallel()
	conn, dir := opensshConn(t), t.TempDir()
	old := mustWrite(t, dir+"/old", []byte("old"), 0o644)
	kind := func(err error, want shoal.Kind) {
		t.Helper()
		if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != want || he.Stage != shoal.StageTransfer {
			t.Errorf("got %v, want kind %s", err, want)
		}
	}
	_, err := conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader("x"), To: "/proc/nothing/file"})
	kind(err, shoal.KindRemoteIO)
	_, err = conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader("x"), To: old + "/below"})
	kind(err, shoal.KindRemoteIO)
	ctx, cancel := context.WithCancel(testContext(t))
	n := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if n++; n == 50 {
			cancel()
		}
		return len(p), nil
	})
	_, err = conn.Put(ctx, shoal.Copy{Reader: endless, To: old})
	kind(err, shoal.KindCancelled)
	broken := io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, errors.New("no more") }))
	_, err = conn.Put(testContext(t), shoal.Copy{Reader: broken, To: old})
	kind(err, shoal.KindLocalIO)
	// The source grows while it is copied.
	src := mustWrite(t, dir+"/src", randomData(5<<20), 0o644)
	grown := false
	_, err = conn.Put(testContext(t), shoal.Copy{From: src, To: old, Limit: 20 << 20, Progress: func(p shoal.Progress) {
		if !grown {
			grown = true
			os.WriteFile(src, []byte("short"), 0o644)
		}
	}})
	if grown {
		kind(err, shoal.KindChanged)
	}
	if b, _ := os.ReadFile(old); string(b) != "old" {
		t.Errorf("the old file is %q", b)
	}
	// One bad file among others.
	mustWrite(t, dir+"/tree/good", []byte("x"), 0o644)
	if err := os.Symlink("..", dir+"/tree/loop"); err != nil {
		t.Fatal(err)
	}
	got, err := conn.Put(testContext(t), shoal.Copy{From: dir + "/tree", To: dir + "/into", Recursive: true, Links: shoal.FollowLinks})
	if err == nil || got.Failed == 0 || got.Files < 1 {
		t.Errorf("a loop: %+v, %v", got, err)
	}
	got, err = conn.Get(testContext(t), shoal.Copy{From: dir + "/tree", To: dir + "/back", Recursive: true, Links: shoal.KeepLinks})
	if err == nil || got.Failed != 1 || got.Files != 1 || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("a link that leads out: %+v, %v", got, err)
	}
	left, _ := filepath.Glob(dir + "/.*shoal*")
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A server without SFTP is told so; one whose connection breaks too.
func TestCopySessionFailures(t *testing.T) {
	conform(t, "3.2 test_sftp_init_exc")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Faults: func(host int) sshtest.Fault {
		if host == 1 {
			return sshtest.Fault{Kind: sshtest.ExecResetMid, N: 100}
		}
		return sshtest.Fault{}
	}, SFTP: func(host int) string {
		if host == 1 {
			return t.TempDir()
		}
		return ""
	}})
	results, _ := shoal.Gather(newClient(t, f).Put(testContext(t), hostsOf(f), shoal.Copy{Reader: bytes.NewReader(randomData(1 << 20)), To: "/x"}))
	for i, want := range []shoal.Kind{shoal.KindExecRefused, shoal.KindLost} {
		if he, ok := errors.AsType[*shoal.HostError](results[i].Err); !ok || he.Kind != want || he.Stage != shoal.StageTransfer {
			t.Errorf("host %d: %v", i, results[i].Err)
		}
	}
}
