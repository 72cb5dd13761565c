package knownhosts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// lines returns the lines of a file, which must end with a line end.
func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		t.Errorf("%s ends in the middle of a line: %.60q", path, text)
	}
	return slices.Collect(strings.Lines(string(text)))
}

func TestLearnWritesOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "ssh", "known_hosts")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Learn("Web1:2222", pub("ed1")); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"[web1]:2222 " + testKeys()["ed1"].line() + "\n"}
	if got := lines(t, path); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := db.Check("web1:2222", pub("ed1")); err != nil {
		t.Errorf("after Learn: %v", err)
	}
	if got := kind(db.Check("web1:2222", pub("ed2"))); got != "changed" {
		t.Errorf("another key after Learn is %s, want changed", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, c := range []struct {
		path string
		want fs.FileMode
	}{{path, 0o600}, {filepath.Dir(path), 0o700}} {
		info, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != c.want {
			t.Errorf("mode of %s is %o, want %o", c.path, got, c.want)
		}
	}
}

func TestLearnAppends(t *testing.T) {
	for _, c := range []struct{ name, old, want string }{
		{"whole line", "web2 {ed2}\n", "web2 {ed2}\nweb1 {ed1}\n"},
		{"no line end", "web2 {ed2}", "web2 {ed2}\nweb1 {ed1}\n"},
		{"comment", "# mine", "# mine\nweb1 {ed1}\n"},
		{"empty", "", "web1 {ed1}\n"},
		{"known already", "web1 {ed1}\n", "web1 {ed1}\n"},
		{"known by a pattern", "web* {ed1}\n", "web* {ed1}\n"},
		{"only a ca", "@cert-authority * {ca}\n", "@cert-authority * {ca}\nweb1 {ed1}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.old)
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Learn("web1:22", pub("ed1")); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(lines(t, path), ""), expand(c.want); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if got := db.Lookup("web1:22"); len(got) == 0 || got[len(got)-1].Line != len(lines(t, path)) {
				t.Errorf("Lookup after Learn: %v", got)
			}
		})
	}
}

func TestLearnRefuses(t *testing.T) {
	for _, c := range []struct{ name, file, addr, key, want string }{
		{"changed", "web1 {ed2}\n", "web1:22", "ed1", "changed"},
		{"other type", "web1 {rsa}\n", "web1:22", "ed1", "changed"},
		{"revoked", "@revoked * {ed1}\n", "web1:22", "ed1", "revoked"},
		{"short rsa", "", "web1:22", "weak", "weak"},
		{"star", "", "*:22", "ed1", `host key of "*:22": not a name that known_hosts can hold`},
		{"two names", "", "a,b:22", "ed1", `host key of "a,b:22": not a name that known_hosts can hold`},
		{"line end", "", "a\nb:22", "ed1", `host key of "a\nb:22": not a name that known_hosts can hold`},
		{"space", "", "a b", "ed1", `host key of "a b": not a name that known_hosts can hold`},
		{"marker", "", "@revoked", "ed1", `host key of "@revoked": not a name that known_hosts can hold`},
		{"comment", "", "#a", "ed1", `host key of "#a": not a name that known_hosts can hold`},
		{"hashed", "", "|1|a", "ed1", `host key of "|1|a": not a name that known_hosts can hold`},
		{"negated", "", "!a", "ed1", `host key of "!a": not a name that known_hosts can hold`},
		{"empty", "", ":22", "ed1", `host key of ":22": no host name`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file)
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := kind(db.Learn(c.addr, pub(c.key))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got, want := strings.Join(lines(t, path), ""), expand(c.file); got != want {
				t.Errorf("the file became %q, want %q", got, want)
			}
		})
	}
}

func TestLearnSeveralKeys(t *testing.T) {
	path := write(t, "")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Learn("web1:22", pub("ed1"), pub("rsa"), pub("ed1")); err != nil {
		t.Fatal(err)
	}
	if err := db.Learn("web1:22", pub("ed1"), pub("ecdsa")); err != nil {
		t.Fatalf("beside a known key: %v", err)
	}
	if got := kind(db.Learn("web1:22", pub("ed2"), pub("ed3"))); got != "changed" {
		t.Errorf("none of them known: got %s, want changed", got)
	}
	want := expand("web1 {ed1}\nweb1 {rsa}\nweb1 {ecdsa}\n")
	if got := strings.Join(lines(t, path), ""); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLearnCertificate(t *testing.T) {
	path := write(t, "")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, "ed1", "ca", nil)
	if err := db.Learn("web1:22", cert); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(lines(t, path), ""), expand("web1 {ed1}\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := db.Check("web1:22", cert); err != nil {
		t.Errorf("after Learn: %v", err)
	}
}

func TestLearnHashedWithComment(t *testing.T) {
	path := write(t, "")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	db.Hash, db.Comment = true, "accept-new\nweb9"
	db.Now = func() time.Time { return time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC) }
	if err := db.Learn("web1:2222", pub("ed1")); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	if len(got) != 1 || !strings.HasPrefix(got[0], "|1|") || !strings.HasSuffix(got[0], " accept-new web9 2026-11-22T01:02:03Z\n") {
		t.Fatalf("got %q", got)
	}
	if err := db.Check("web1:2222", pub("ed1")); err != nil {
		t.Errorf("after Learn: %v", err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Check("web1:2222", pub("ed1")); err != nil {
		t.Errorf("read again: %v", err)
	}
	if got := keygenFind(t, path, "[web1]:2222"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("ssh-keygen -F finds lines %v, want 1", got)
	}
}

// TestLearnSeesOthers lets another program change the file between two keys.
func TestLearnSeesOthers(t *testing.T) {
	for _, c := range []struct {
		name, old string
		change    func(path string) error
		want      string // outcome of learning ed1
		file      string
	}{
		{
			"same key added", "web2 {ed2}\n",
			func(path string) error { return addText(path, "web1 {ed1}\n") },
			"known", "web2 {ed2}\nweb1 {ed1}\n",
		},
		{
			"same key added, hashed", "web2 {ed2}\n",
			func(path string) error { return addText(path, hashName("web1")+" {ed1}\n") },
			"known", "web2 {ed2}\n|… {ed1}\n",
		},
		{
			"another key added", "web2 {ed2}\n",
			func(path string) error { return addText(path, "web1 {ed3}\n") },
			"changed", "web2 {ed2}\nweb1 {ed3}\n",
		},
		{
			"added to an open line", "web2 {ed2}",
			func(path string) error { return addText(path, " comment\nweb1 {ed3}\n") },
			"changed", "web2 {ed2} comment\nweb1 {ed3}\n",
		},
		{
			"removed by replacing", "web1 {ed3}\nweb2 {ed2}\n",
			func(path string) error {
				if err := os.WriteFile(path+".new", []byte(expand("web2 {ed2}\n")), 0o600); err != nil {
					return err
				}
				return os.Rename(path+".new", path)
			},
			"known", "web2 {ed2}\nweb1 {ed1}\n",
		},
		{
			"emptied", "web1 {ed3}\n",
			func(path string) error { return os.Truncate(path, 0) },
			"known", "web1 {ed1}\n",
		},
		{"removed", "web1 {ed3}\n", os.Remove, "known", "web1 {ed1}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.old)
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			db.Check("web1:22", pub("ed1")) // so that something is kept for the name
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			if got := kind(db.Learn("web1:22", pub("ed1"))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := kind(db.Check("web1:22", pub("ed1"))); got != c.want {
				t.Errorf("then Check says %s, want %s", got, c.want)
			}
			got := strings.Join(lines(t, path), "")
			if i := strings.Index(got, "|1|"); i >= 0 {
				got = got[:i] + "|…" + got[i+strings.Index(got[i:], " "):]
			}
			if want := expand(c.file); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func addText(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(expand(text))
	return errors.Join(err, f.Close())
}

func TestLearnUnsaved(t *testing.T) {
	folder := t.TempDir()
	notFolder := filepath.Join(folder, "file")
	if err := os.WriteFile(notFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(filepath.Join(folder, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "known_hosts"), 0o700); err != nil {
		t.Fatal(err)
	}
	err = db.Learn("web1:22", pub("ed1"))
	if e, ok := errors.AsType[*NotSavedError](err); !ok || !strings.HasSuffix(e.File, "known_hosts") {
		t.Fatalf("got %v, want a NotSavedError", err)
	}
	if err := db.Check("web1:22", pub("ed1")); err != nil {
		t.Errorf("after Learn: %v", err)
	}
	if err := db.Learn("web1:22", pub("ed1")); err != nil {
		t.Errorf("learned again: %v", err)
	}
	if got := kind(db.Learn("web1:22", pub("ed2"))); got != "changed" {
		t.Errorf("another key is %s, want changed", got)
	}
	if err := os.Remove(filepath.Join(folder, "known_hosts")); err != nil {
		t.Fatal(err)
	}
	if err := db.Learn("web2:22", pub("ed2")); err != nil {
		t.Fatalf("once it can be saved: %v", err)
	}
	if err := db.Check("web1:22", pub("ed1")); err != nil {
		t.Errorf("after the file was read anew: %v", err)
	}
}

// TestLearnLocked has another program keep the lock.
func TestLearnLocked(t *testing.T) {
	path := write(t, "")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openLocked(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	db.hurry = true // as after a first wait
	err = db.Learn("web1:22", pub("ed1"))
	if e, ok := errors.AsType[*NotSavedError](err); !ok || !errors.Is(err, errLocked) || !strings.Contains(e.Error(), path) {
		t.Fatalf("got %v, want a NotSavedError", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Learn("web2:22", pub("ed1")); err != nil {
		t.Fatalf("once unlocked: %v", err)
	}
	if got, want := strings.Join(lines(t, path), ""), expand("web2 {ed1}\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLearnInMemory(t *testing.T) {
	null, err := Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range []*DB{new(DB), null} {
		if got := kind(db.Check("web1:22", pub("ed1"))); got != "unknown" {
			t.Errorf("got %s, want unknown", got)
		}
		if err := db.Learn("web1:22", pub("ed1")); err != nil {
			t.Fatal(err)
		}
		if got := kind(db.Check("web1:22", pub("ed1"))); got != "known" {
			t.Errorf("after Learn: got %s, want known", got)
		}
		if err := db.Check("web1:22", pub("ed2")); kind(err) != "changed" || strings.Contains(err.Error(), "ssh-keygen") {
			t.Errorf("got %v, want changed without advice on a file", err)
		}
	}
}

func TestLearnThroughLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	for _, c := range []struct {
		mode fs.FileMode
		ok   bool
	}{{0o700, true}, {0o755, true}, {0o777, false}, {0o1777, false}} {
		folder, target := t.TempDir(), write(t, "")
		if err := os.Symlink(target, filepath.Join(folder, "known_hosts")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, c.mode.Perm()); err != nil {
			t.Fatal(err)
		}
		db, err := Open(filepath.Join(folder, "known_hosts"))
		if err != nil {
			t.Fatal(err)
		}
		err = db.Learn("web1:22", pub("ed1"))
		if wrote := len(lines(t, target)) == 1; wrote != c.ok || (err == nil) != c.ok {
			t.Errorf("folder %o: wrote %t, error %v; want %t", c.mode, wrote, err, c.ok)
		}
	}
}

// TestLearnAtOnce lets 60 goroutines, two DBs of one file, learn hosts: half
// of them the same one.
func TestLearnAtOnce(t *testing.T) {
	for _, hash := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "known_hosts")
		var dbs [2]*DB
		for i := range dbs {
			db, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			db.Hash = hash
			dbs[i] = db
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				db, addr := dbs[i%2], "same:22"
				if i%4 < 2 {
					addr = fmt.Sprintf("web%d:22", i)
				}
				if err := db.Learn(addr, pub("ed1")); err != nil {
					t.Errorf("%s: %v", addr, err)
				}
				db.Algorithms(addr)
				if err := db.Check(addr, pub("ed1")); err != nil {
					t.Errorf("%s after Learn: %v", addr, err)
				}
			})
		}
		wg.Wait()
		wantLearned(t, path, 31)
	}
}

// wantLearned checks that a file has n good lines, none twice.
func wantLearned(t *testing.T, path string, n int) {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if bad := db.Warnings(); len(bad) > 0 {
		t.Errorf("bad lines: %v", bad)
	}
	if got := len(lines(t, path)); got != n {
		t.Errorf("got %d lines, want %d", got, n)
	}
	if got := len(db.Lookup("same:22")); got != 1 {
		t.Errorf("got %d lines of the host that all learned, want 1", got)
	}
}

// TestLearnInProcesses lets several processes learn at once.
func TestLearnInProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes = 6
	path := filepath.Join(t.TempDir(), "known_hosts")
	key := authorized(pub("ed1"))
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), fmt.Sprintf("KNOWNHOSTS_LEARN=%s\n%s\np%d", path, key, i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	wantLearned(t, path, 10*processes+1)
}

// learnMany is one of these processes: it learns ten hosts of its own and one
// that all learn.
func learnMany(what string) error {
	fields := strings.SplitN(what, "\n", 3)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(fields[1]))
	if err != nil {
		return err
	}
	db, err := Open(fields[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 11)
	for i := range errs {
		wg.Go(func() {
			name := "same:22"
			if i > 0 {
				name = fmt.Sprintf("%s-web%d:22", fields[2], i)
			}
			errs[i] = db.Learn(name, key)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
