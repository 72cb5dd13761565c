package render_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

func readFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFilesExact(t *testing.T) {
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "new", "out"), filepath.Join(dir, "err")
	f := &render.Files{Dir: out, ErrDir: errs, Open: 1} // so that files are closed and opened again
	if err := f.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "n3"), []byte("of an earlier run"), 0o666); err != nil {
		t.Fatal(err)
	}
	r := begin(f, "true", names("n", 3)...)
	r.out("n1", "a\r\n", "\x00\xff\x1b").out("n2", "x\n").errs("n1", "e\n").out("n1", "b").out("n2", "y\n")
	r.ok("n1").rc(1, "n2").exit(render.Exit{Status: render.Unreachable}, "n3")
	if err := r.done(3); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprintf("%q", readFiles(t, out)), `map["n1":"a\r\n\x00\xff\x1bb" "n2":"x\ny\n" "n3":""]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%q", readFiles(t, errs)), `map["n1":"e\n" "n2":"" "n3":""]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFilesStayInside writes for hosts whose names lead out of the folder, and
// through links that do.
func TestFilesStayInside(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	f := &render.Files{Dir: out}
	if err := f.Prepare(); err != nil {
		t.Fatal(err)
	}
	hosts := []string{"../x", "..", ".", "/etc/passwd", `a\b`, "a_b", "A_b", "root@[::1]:22", "\x1b\xff\n", "link"}
	if err := os.Symlink(filepath.Join(dir, "escaped"), filepath.Join(out, "link")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	r := begin(f, "true", hosts...)
	for _, h := range hosts {
		r.out(h, h).ok(h)
	}
	if err := r.done(0); runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), "link")) {
		t.Errorf("got %v, want that the link leads outside", err)
	}
	os.Remove(filepath.Join(out, "link"))
	for name := range readFiles(t, dir) {
		if !strings.HasPrefix(name, "out/") || strings.Count(name, "/") != 1 {
			t.Errorf("wrote %q", name)
		}
	}
	all := readFiles(t, out)
	if len(all) != len(hosts)-1 {
		t.Errorf("got %d files of %d hosts: %q", len(all), len(hosts)-1, all)
	}
	if runtime.GOOS != "windows" && (all["root@[::1]:22"] == "" || all["a_b.2"] != "a_b" || all["_.."] != "..") {
		t.Errorf("got %q", all)
	}
}

func TestFilesCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := (&render.Files{ErrDir: file}).Prepare(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Prepare: got %v", err)
	}
	f := &render.Files{Dir: dir}
	if err := f.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "n1"), 0o777); err != nil {
		t.Fatal(err)
	}
	r := begin(f, "true", "n1", "n2").out("n1", "x\n").out("n2", "y\n").ok("n1", "n2")
	if err := r.done(0); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "n1")) {
		t.Errorf("End: got %v", err)
	}
	if got := readFiles(t, dir)["n2"]; got != "y\n" {
		t.Errorf("n2: got %q", got)
	}
}
