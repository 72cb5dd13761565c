package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// carriers runs a test by SFTP and by SCP, to one real OpenSSH.
func carriers(t *testing.T, test func(*testing.T, *shoal.Conn, bool)) {
	for _, scp := range []bool{false, true} {
		t.Run(map[bool]string{false: "SFTP", true: "SCP"}[scp], func(t *testing.T) {
			t.Parallel()
			opensshtest.Need(t, "scp")
			test(t, opensshConn(t), scp)
		})
	}
}

// What is copied, and from where: the same by both carriers, in both directions.
func TestCopyMatrix(t *testing.T) {
	conform(t, "3.1 test_scp_send_dir_recurse", "3.1 test_scp_recv", "3.2 test_scp_abspath_recursion", "3.2 test_scp_recv_large_file", "3.2 test_scp_send_large_file")
	t.Parallel()
	files := func(contents map[string]int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for name, n := range contents {
				mustWrite(t, dir+"/"+name, randomData(n), 0o644)
			}
		}
	}
	carriers(t, func(t *testing.T, conn *shoal.Conn, scp bool) {
		for name, test := range map[string]struct {
			make func(*testing.T, string)
			from string
			want []string // below the target
		}{
			"file":         {files(map[string]int{"f": 10<<20 + 1}), "f", []string{"f"}},
			"empty":        {files(map[string]int{"f": 0}), "f", []string{"f"}},
			"spaces":       {files(map[string]int{" a  b ": 7}), " a  b ", []string{" a  b "}},
			"newlines":     {files(map[string]int{"a\nb\n": 7, "c": 1}), "a\nb\n", []string{"a\nb\n"}},
			"newline dir":  {files(map[string]int{"d\n/e\n\n/f\n": 7, "d\n/^J\\^J": 8}), "d\n", []string{"d\n", "d\n/e\n\n", "d\n/e\n\n/f\n", "d\n/^J\\^J"}},
			"not UTF-8":    {files(map[string]int{"\xff\xfe\x80": 7}), "\xff\xfe\x80", []string{"\xff\xfe\x80"}},
			"dashes":       {files(map[string]int{"-rf": 7, "--": 2}), "-*", []string{"-rf", "--"}},
			"quotes":       {files(map[string]int{"it's \"$(x)\" `y` \\z": 7}), "it's \"$(x)\" `y` \\z", []string{"it's \"$(x)\" `y` \\z"}},
			"long name":    {files(map[string]int{strings.Repeat("x", 255): 7}), strings.Repeat("x", 255), []string{strings.Repeat("x", 255)}},
			"glob":         {files(map[string]int{"a1": 1, "a2": 2, "b": 3, ".a3": 4}), "a*", []string{"a1", "a2"}},
			"glob of dirs": {files(map[string]int{"d1/x": 1, "d2/x": 2, "e/x": 3}), "d?/x*", nil},
			"empty tree":   {func(t *testing.T, dir string) { os.MkdirAll(dir+"/d/e/f", 0o755) }, "d", []string{"d", "d/e", "d/e/f"}},
			"tree":         {files(map[string]int{"d/a": 1, "d/b/c": 2, "d/b/d/e": 300_000, "d/.h": 4, "d/-x/-y": 5}), "d", []string{"d", "d/a", "d/b", "d/b/c", "d/b/d", "d/b/d/e", "d/.h", "d/-x", "d/-x/-y"}},
			"sparse": {func(t *testing.T, dir string) {
				if err := errors.Join(os.WriteFile(dir+"/f", nil, 0o644), os.Truncate(dir+"/f", 24<<20)); err != nil {
					t.Fatal(err)
				}
			}, "f", []string{"f"}},
		} {
			for _, put := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s put=%v", name, put), func(t *testing.T) {
					src, to := t.TempDir(), t.TempDir()
					test.make(t, src)
					do := conn.Get
					if put {
						do = conn.Put
					}
					if test.want == nil { // two of one name cannot be in one place
						if _, err := do(testContext(t), shoal.Copy{From: src + "/" + test.from, To: to + "/", SCP: scp}); !put && !errors.Is(err, fs.ErrExist) {
							t.Errorf("got %v", err)
						}
						return
					}
					got, err := do(testContext(t), shoal.Copy{From: src + "/" + test.from, To: to + "/", Recursive: true, SCP: scp})
					if err != nil {
						t.Fatal(err)
					}
					want, all := map[string]string{}, treeOf(t, src)
					n := 0
					for _, name := range test.want {
						if want[name] = all[name]; all[name] != "dir" {
							n++
						}
					}
					sameTree(t, treeOf(t, to), want)
					if got.Files != n || got.Dirs != len(test.want)-n || got.Failed != 0 {
						t.Errorf("%+v", got)
					}
				})
			}
		}
	})
}

// A tree goes there and back and is the same, links included, also into what is
// there already.
func TestSCPTree(t *testing.T) {
	t.Parallel()
	carriers(t, func(t *testing.T, conn *shoal.Conn, scp bool) {
		dir, back := oddTree(t), t.TempDir()
		remote := filepath.Join(t.TempDir(), "not/yet/there")
		got, err := conn.Put(testContext(t), shoal.Copy{From: dir, To: remote, Recursive: true, Verify: true, SCP: scp})
		if err != nil || got.Files != 13 || got.Failed != 0 {
			t.Fatalf("Put: %+v, %v", got, err)
		}
		want := treeOf(t, dir)
		sameTree(t, treeOf(t, remote), want)
		if _, err = conn.Get(testContext(t), shoal.Copy{From: remote, To: back + "/x", Recursive: true, Verify: true, SCP: scp}); err != nil {
			t.Fatal(err)
		}
		sameTree(t, treeOf(t, back+"/x"), want)
		for range 2 { // the second time everything is replaced
			if _, err = conn.Put(testContext(t), shoal.Copy{From: dir, To: remote, Recursive: true, SCP: scp}); err != nil {
				t.Fatal(err)
			}
		}
		sameTree(t, treeOf(t, remote+"/tree"), want)
		if _, err = conn.Put(testContext(t), shoal.Copy{From: dir, To: remote, SCP: scp}); err == nil {
			t.Error("a directory was copied without Recursive")
		}
		if _, err = conn.Get(testContext(t), shoal.Copy{From: remote, To: back + "/y", SCP: scp}); err == nil {
			t.Error("a directory was fetched without Recursive")
		}
	})
}

// Modes and times, and what needs no copy.
func TestSCPModes(t *testing.T) {
	t.Parallel()
	carriers(t, func(t *testing.T, conn *shoal.Conn, scp bool) {
		dir, when := t.TempDir(), time.Unix(1_000_000_000, 0)
		src := mustWrite(t, dir+"/src", []byte("x"), 0o777)
		mustWrite(t, dir+"/d/f", []byte("x"), 0o600)
		for _, err := range []error{os.Chmod(src, 0o777|fs.ModeSetuid), os.Chtimes(src, when, when), os.Chmod(dir+"/d", 0o711), os.Chtimes(dir+"/d", when, when)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, do := range map[string]func(context.Context, shoal.Copy) (shoal.Copied, error){"put": conn.Put, "get": conn.Get} {
			mustWrite(t, dir+"/old", []byte("before"), 0o640)
			for _, test := range []struct {
				to       string
				preserve bool
				mode     fs.FileMode
			}{{name, false, 0o755}, {"old", false, 0o640}, {name + "-p", true, 0o777 | fs.ModeSetuid}} {
				to := filepath.Join(dir, test.to)
				if _, err := do(testContext(t), shoal.Copy{From: src, To: to, Preserve: test.preserve, SCP: scp}); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(to)
				if err != nil || info.Mode() != test.mode || info.ModTime().Equal(when) != test.preserve {
					t.Errorf("%s of %s: %v, %v", name, test.to, info.Mode(), info.ModTime())
				}
				if !test.preserve {
					continue
				}
				for _, by := range []shoal.Unchanged{shoal.SkipSameAge, shoal.SkipSameSum} {
					if got, err := do(testContext(t), shoal.Copy{From: src, To: to, Unchanged: by, SCP: scp}); err != nil || got.Skipped != 1 {
						t.Errorf("%s again: %+v, %v", name, got, err)
					}
				}
			}
			to := filepath.Join(dir, name+"-d")
			if _, err := do(testContext(t), shoal.Copy{From: dir + "/d", To: to, Preserve: true, Recursive: true, SCP: scp}); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o711 || !info.ModTime().Equal(when) {
				t.Errorf("%s of a directory: %v, %v", name, info.Mode(), info.ModTime())
			}
		}
	})
}

// Streams, a bound on the rate, and progress.
func TestSCPStreams(t *testing.T) {
	t.Parallel()
	carriers(t, func(t *testing.T, conn *shoal.Conn, scp bool) {
		dir, data := t.TempDir(), randomData(1<<20+5)
		var last shoal.Progress
		got, err := conn.Put(testContext(t), shoal.Copy{Reader: bytes.NewReader(data), To: dir + "/f", Limit: 50 << 20, SCP: scp, Progress: func(p shoal.Progress) { last = p }})
		if b, _ := os.ReadFile(dir + "/f"); err != nil || !bytes.Equal(b, data) || got.Bytes != int64(len(data)) {
			t.Errorf("%d bytes, %+v, %v", len(b), got, err)
		}
		if !last.Done || last.Bytes != int64(len(data)) || last.Files != 1 {
			t.Errorf("progress %+v", last)
		}
		var out bytes.Buffer
		got, err = conn.Get(testContext(t), shoal.Copy{From: dir + "/[f]", Writer: &out, SCP: scp, Progress: func(p shoal.Progress) { last = p }})
		if err != nil || !bytes.Equal(out.Bytes(), data) || got.Bytes != int64(len(data)) {
			t.Errorf("%d bytes, %+v, %v", out.Len(), got, err)
		}
		if !last.Done || last.Bytes != int64(len(data)) {
			t.Errorf("progress %+v", last)
		}
		if _, err = conn.Get(testContext(t), shoal.Copy{From: dir + "/none", Writer: &out, SCP: scp}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// The rules of names are those of cp -r by SCP, too.
func TestSCPNames(t *testing.T) {
	conform(t, "3.1 test_scp_send_dir", "3.2 test_scp_send_dir_target", "3.2 test_scp_dir_target", "3.2 test_scp_recv_dir_target_recurse_err")
	t.Parallel()
	opensshtest.Need(t, "scp")
	conn := opensshConn(t)
	for _, test := range []struct{ from, to, want string }{
		{"src/f", "t/new", "new"}, {"src/f", "t/", "f"}, {"src/f", "t/have", "have/f"}, {"src/f", "t/a//b///c", "a/b/c"},
		{"src/f", "t/x/", "x/f"}, {"src", "t/copy", "copy/f"}, {"src", "t/have", "have/src/f"}, {"src/", "t/copy2", "copy2/f"},
		{"src/.", "t/have", "have/f"}, {"src/*", "t/have", "have/f"}, {"src/[f]", "t/one", "one"}, {"src/f", "t/-x/-y", "-x/-y"},
		{"src/f", "t/have/link", "have/link"},
	} {
		for _, put := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s to %s %v", test.from, test.to, put), func(t *testing.T) {
				base := t.TempDir()
				mustWrite(t, base+"/src/f", []byte("content"), 0o644)
				if err := errors.Join(os.MkdirAll(base+"/t/have", 0o755), os.Symlink("nowhere", base+"/t/have/link")); err != nil {
					t.Fatal(err)
				}
				do := conn.Get
				if put {
					do = conn.Put
				}
				if _, err := do(testContext(t), shoal.Copy{From: base + "/" + test.from, To: base + "/" + test.to, Recursive: true, SCP: true}); err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(filepath.Join(base, "t", test.want)); err != nil || string(b) != "content" {
					t.Errorf("%q, %v; there is %v", b, err, treeOf(t, base))
				}
			})
		}
	}
	base := t.TempDir()
	mustWrite(t, base+"/d/f", []byte("content"), 0o644)
	if _, err := conn.Put(testContext(t), shoal.Copy{From: base + "/d", To: base + "/to", SCP: true}); err == nil || len(treeOf(t, base)) != 2 {
		t.Errorf("a directory was copied without Recursive: %v", err)
	}
	mustWrite(t, base+"/file", nil, 0o644)
	for _, do := range []func(context.Context, shoal.Copy) (shoal.Copied, error){conn.Put, conn.Get} {
		if got, err := do(testContext(t), shoal.Copy{From: base + "/d", To: base + "/file/below", Recursive: true, SCP: true}); err == nil || got.Files > 0 {
			t.Errorf("copied below a file: %+v", got)
		}
	}
}

// Several hosts, again and again, each under its own names; and nothing at all
// where a name cannot be made.
func TestSCPFleet(t *testing.T) {
	conform(t, "3.1 test_scp_send_larger_files", "3.1 test_scp_recv_larger_files", "3.1 test_scp_bad_copy_args")
	t.Parallel()
	opensshtest.Need(t, "scp")
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Shell: "/bin/sh"})
	c, ctx, dir := newClient(t, f), testContext(t), t.TempDir()
	data := randomData(1 << 20)
	names := func(h shoal.Host) (string, string, error) { return dir + "/src", dir + "/put-" + h.Name, nil }
	mustWrite(t, dir+"/src", data, 0o644)
	for range 20 {
		if _, err := shoal.Gather(c.Put(ctx, hostsOf(f), shoal.Copy{For: names, SCP: true})); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if b, err := os.ReadFile(dir + "/put-" + f.Host(i).Name); err != nil || !bytes.Equal(b, data) {
				t.Errorf("host %d: %d bytes, %v", i, len(b), err)
			}
		}
	}
	data = randomData(10 << 20)
	mustWrite(t, dir+"/src", data, 0o644)
	if _, err := shoal.Gather(c.Get(ctx, hostsOf(f), shoal.Copy{From: dir + "/src", To: dir + "/got", SCP: true})); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if b, err := os.ReadFile(dir + "/got_" + f.Host(i).Name); err != nil || !bytes.Equal(b, data) {
			t.Errorf("host %d: %d bytes, %v", i, len(b), err)
		}
	}
	bad := errors.New("too few arguments")
	for _, do := range []func(*shoal.Client, context.Context, iter.Seq[shoal.Host], shoal.Copy) iter.Seq[shoal.Result[shoal.Copied]]{(*shoal.Client).Put, (*shoal.Client).Get} {
		_, err := shoal.Gather(do(c, ctx, hostsOf(f), shoal.Copy{SCP: true, For: func(h shoal.Host) (string, string, error) {
			if h.Name == f.Host(1).Name {
				return "", "", bad
			}
			return dir + "/src", dir + "/never", nil
		}}))
		if !errors.Is(err, bad) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := os.Stat(dir + "/never"); err == nil {
		t.Error("copied in spite of a bad argument")
	}
}

// Whatever the shell is, and how poor its tools: no stat, and an mv without -T.
func TestSCPShells(t *testing.T) {
	t.Parallel()
	opensshtest.Need(t, "scp", "dash", "bash", "busybox")
	poor := t.TempDir()
	mustWrite(t, poor+"/stat", []byte("#!/bin/sh\nexit 1\n"), 0o755)
	mustWrite(t, poor+"/mv", []byte("#!/bin/sh\ncase $1 in *T*) echo 'mv: illegal option -- T' >&2; exit 1;; esac\nexec /bin/mv \"$@\"\n"), 0o755)
	for name, shell := range map[string]string{"dash": "dash", "bash": "bash", "busybox": "busybox sh", "poor": "PATH=" + poor + ":$PATH sh"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := sshtest.Shell("/bin/sh")
			f := sshtest.New(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
				if s.Command == "sh" {
					s.Command = shell
				}
				return run(ctx, s)
			}})
			conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			src, dir := oddTree(t), t.TempDir()
			mustWrite(t, src+"/mode", []byte("x"), 0o751)
			for range 2 { // the second time all is replaced
				if _, err := conn.Put(testContext(t), shoal.Copy{From: src + "/.", To: dir + "/there", Recursive: true, Preserve: true, Verify: true, SCP: true}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := conn.Get(testContext(t), shoal.Copy{From: dir + "/there", To: dir + "/back", Recursive: true, SCP: true}); err != nil {
				t.Fatal(err)
			}
			want := treeOf(t, src)
			sameTree(t, treeOf(t, dir+"/there"), want)
			sameTree(t, treeOf(t, dir+"/back"), want)
			if info, err := os.Stat(dir + "/there/mode"); err != nil || info.Mode() != 0o751 {
				t.Errorf("%v, %v", info, err)
			}
			// A link is replaced, also one to a directory; a directory is not.
			if err := errors.Join(os.MkdirAll(dir+"/in/to", 0o755), os.MkdirAll(dir+"/in/tree/d", 0o755), os.Symlink("../to", dir+"/in/tree/mode")); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, dir+"/x/tree/mode", []byte("x"), 0o644)
			mustWrite(t, dir+"/x/tree/d", []byte("x"), 0o644)
			got, err := conn.Put(testContext(t), shoal.Copy{From: dir + "/x/tree", To: dir + "/in", Recursive: true, SCP: true})
			if err == nil || got.Files != 1 || got.Failed != 1 {
				t.Errorf("%+v, %v", got, err)
			}
			tree := treeOf(t, dir+"/in")
			sameTree(t, tree, map[string]string{"to": "dir", "tree": "dir", "tree/d": "dir", "tree/mode": treeOf(t, dir+"/x")["tree/mode"]})
		})
	}
}
