//go:build unix

package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLoadFiles(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, mode fs.FileMode, text []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path(name), text, 0o600), os.Chmod(path(name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	key := newKeyText(t)
	write("private", 0o600, key)
	write("readonly", 0o400, key)
	write("group", 0o640, key)
	write("world", 0o644, key)
	write("largest", 0o600, append(key, make([]byte, MaxSize-len(key))...))
	write("large", 0o600, append(key, make([]byte, MaxSize-len(key)+1)...))
	if err := errors.Join(
		syscall.Mkfifo(path("fifo"), 0o600),
		os.Symlink("private", path("link")),
		os.Truncate(path("large"), 1<<30), // a sparse file
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"private":       "",
		"readonly":      "",
		"link":          "",
		"largest":       "",
		"group":         "(mode 0640): chmod 600 it",
		"world":         "(mode 0644): chmod 600 it",
		"large":         "larger than 1048576 bytes",
		"fifo":          "not a regular file",
		".":             "not a regular file",
		"missing":       "no such file",
		"private/below": "not a directory",
	} {
		for kind, load := range map[string]func() error{
			"Load": func() error { _, err := Load(path(name), nil); return err },
			"Lazy": func() error { _, err := Lazy(path(name), nil); return err },
		} {
			err := load()
			switch {
			case want == "" && err != nil:
				t.Errorf("%s(%s): %v", kind, name, err)
			case want == "":
			case err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path(name)):
				t.Errorf("%s(%s): got error %v, want one with %q and the file", kind, name, err, want)
			case strings.Count(err.Error(), path(name)) != 1:
				t.Errorf("%s(%s): %v names the file more than once", kind, name, err)
			}
			if got, want := errors.Is(err, fs.ErrNotExist), name == "missing"; got != want {
				t.Errorf("%s(%s): is it fs.ErrNotExist: got %v, want %v", kind, name, got, want)
			}
		}
	}
}
